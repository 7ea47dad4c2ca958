//! The engine `fs`: a list of operations on files, through the same writer as every other change.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{
    engine::{Engine, EngineInfo, Facts, FsOp, Isolation, Job, Outcome, Program, Status},
    error::SandboxError,
    fs::JailPath,
    lock::Writer,
    process::pump::{MAX_OUTPUT_BYTES, Sink, Stream},
    store::Seen,
    tree::Trees,
};

/// The engine.
pub struct Fs {
    trees: Trees,
    info: EngineInfo,
}

impl Fs {
    /// On the workspaces of this service.
    pub fn new(trees: Trees) -> Self {
        let info = EngineInfo {
            engine: "fs",
            available: true,
            isolation: Isolation::Process,
            default_minimum: Isolation::Process,
            runtimes: BTreeMap::new(),
            facts: Facts {
                layers: ["openat2-beneath", "no-symlinks", "regular-files"].map(str::to_owned).into(),
                limits: BTreeMap::from([("disk".to_owned(), "quota".to_owned())]),
            },
            remedy: String::new(),
            provider: "file jail".to_owned(),
            wants_kvm: false,
        };
        Self { trees, info }
    }

    /// Does one operation; answers what goes to the output.
    async fn act(&self, job: &Job, op: &FsOp) -> Result<Vec<u8>, SandboxError> {
        let workspace_id = job.workspace_id.ok_or(SandboxError::NotFound { what: "workspace" })?;
        let user_id = job.user_id;
        let writer = Writer::holding(user_id, job.fencing_token);
        match op {
            FsOp::Write { path, text } => {
                let path = JailPath::file(path)?;
                self.trees.write(writer, workspace_id, &path, text.as_bytes(), None).await?;
                Ok(Vec::new())
            }
            FsOp::Read { path } => {
                let path = JailPath::file(path)?;
                self.trees.read(user_id, workspace_id, &path).await.map(|(_, content)| content)
            }
            FsOp::List { path } => {
                let path = JailPath::folder(path)?;
                let seen = self.trees.list(user_id, workspace_id, &path).await?;
                let files = seen.iter().filter_map(|seen| match seen {
                    Seen::File(file) => Some([file.path.as_bytes(), b"\n"]),
                    _ => None,
                });
                Ok(files.flatten().flatten().copied().collect())
            }
            FsOp::Delete { path } => {
                let path = JailPath::file(path)?;
                self.trees.delete(writer, workspace_id, &path, None).await?;
                Ok(Vec::new())
            }
            FsOp::Move { from, to } => {
                let (from, to) = (JailPath::file(from)?, JailPath::file(to)?);
                self.trees.rename(writer, workspace_id, &from, &to).await?;
                Ok(Vec::new())
            }
        }
    }

    async fn execute(&self, job: &Job, sink: &mut Sink) -> Result<Outcome, SandboxError> {
        let Program::Ops(ops) = &job.program else {
            return Err(SandboxError::Invalid {
                pointer: "/ops",
                keyword: "required",
                why: "this engine takes operations".to_owned(),
            });
        };
        sink.start(None).await;
        let started = Instant::now();
        let (mut status, mut exit_code, mut message, mut written) = (Status::Succeeded, 0, String::new(), 0);
        let deadline = tokio::time::sleep(job.timeout);
        tokio::pin!(deadline);
        for op in ops {
            let done = tokio::select! {
                biased;
                () = job.cancel.cancelled() => {
                    (status, exit_code) = (Status::Cancelled, -1);
                    break;
                }
                () = &mut deadline => {
                    (status, exit_code) = (Status::Timeout, -1);
                    break;
                }
                done = self.act(job, op) => done,
            };
            match done {
                Ok(output) => {
                    let room = MAX_OUTPUT_BYTES.saturating_sub(written);
                    written += output.len();
                    if room > 0 && !output.is_empty() {
                        let piece = output[..output.len().min(room)].to_vec();
                        sink.output(Stream::Stdout, Bytes::from(piece)).await;
                    }
                }
                Err(
                    error @ (SandboxError::Database(_) | SandboxError::Io { .. } | SandboxError::Internal(_)),
                ) => {
                    return Err(error);
                }
                Err(error) => {
                    message = format!("{}: {error}", devstudio_kit::fault::name(error.reason()));
                    sink.output(Stream::Stderr, Bytes::from(format!("{message}\n"))).await;
                    (status, exit_code) = (Status::NonzeroExit, 1);
                    break;
                }
            }
        }
        Ok(Outcome {
            status,
            exit_code,
            signal: 0,
            wall: started.elapsed(),
            cpu_ms: 0,
            max_rss_bytes: 0,
            truncated: written > MAX_OUTPUT_BYTES,
            isolation: self.info.isolation,
            facts: self.info.facts.clone(),
            changes: Vec::new(),
            message,
        })
    }
}

impl Engine for Fs {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn wants_view_for(&self, _program: &Program) -> bool {
        false
    }

    fn takes_more_input(&self) -> bool {
        false
    }

    fn run<'a>(&'a self, job: &'a Job, sink: &'a mut Sink) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(self.execute(job, sink))
    }
}
