//! Virtual machines by microsandbox: one for each run, without a network, gone with it.
//!
//! Reached only where microsandbox's own diagnosis says that this machine can boot one; a boot that cannot succeed
//! would otherwise burn a processor for most of a minute.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use microsandbox::{
    ExecEvent, Image, Sandbox,
    sandbox::{DeploymentProfile, PullPolicy, SecurityProfile},
};
use serde_json::Value;

use crate::{
    blocking,
    engine::{Facts, Isolation, Job, Outcome, Status},
    error::SandboxError,
    fs::{WORK_DIR, private_folder, remove_tree},
    gvisor::View,
    process::{
        program_file,
        pump::{MAX_DROPPED_BYTES, MAX_OUTPUT_BYTES, Sink, Stream},
    },
};

const MIB: u64 = 1024 * 1024;
/// The most memory of a machine.
const MOST_MEMORY_MIB: u64 = 512;
/// How long a machine may take to boot.
const BOOT_TIMEOUT: Duration = Duration::from_secs(30);
/// Images by runtime; loaded beforehand, never fetched by a run. What a person names as name@sha256:… is that image by
/// its digest, whatever it is called here.
const IMAGES: [(&str, &str, &str); 2] = [
    ("python", "DEVSTUDIO_MICRO_IMAGE_PYTHON", "python:3.12-slim"),
    ("node", "DEVSTUDIO_MICRO_IMAGE_NODE", "node:20-slim"),
];

/// microsandbox on this machine.
pub struct Vm {
    folder: PathBuf,
}

/// The folder of a run; removed with it.
struct Bundle(PathBuf);

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.0) {
            tracing::warn!(%error, "a machine's folder could not be removed");
        }
    }
}

impl Vm {
    /// microsandbox, where its own diagnosis says that machines boot here; otherwise what is missing.
    pub async fn find(folder: &Path) -> Result<Arc<Self>, String> {
        let diagnosis = tokio::task::spawn_blocking(microsandbox::setup::diagnose)
            .await
            .map_err(|error| error.to_string())?;
        if !diagnosis.is_healthy() {
            let problems: Vec<String> = diagnosis
                .problems
                .iter()
                .map(|problem| format!("{} {}", problem.headline, problem.hints.join(" ")))
                .collect();
            return Err(format!("microsandbox cannot boot a machine here: {}", problems.join("; ")));
        }
        let folder = folder.join("vm");
        let parent = folder.parent().map_or(Ok(()), private_folder);
        parent.and_then(|()| private_folder(&folder)).map_err(|error| error.to_string())?;
        Ok(Arc::new(Self { folder }))
    }

    /// Its name and version.
    pub fn provider(&self) -> String {
        "microsandbox 0.7.11".to_owned()
    }

    /// The image of a runtime, as it was named.
    pub fn image_of(&self, runtime: &str) -> String {
        let known = IMAGES.iter().find(|(name, _, _)| *name == runtime);
        known.map_or_else(String::new, |(_, variable, usual)| {
            std::env::var(variable).unwrap_or_else(|_| (*usual).to_owned())
        })
    }

    /// What the image of a runtime is called here.
    async fn reference(&self, runtime: &str) -> Result<String, SandboxError> {
        let image = self.image_of(runtime);
        let Some((_, digest)) = image.split_once('@') else { return Ok(image) };
        let here = Image::list().await.map_err(|error| SandboxError::Internal(error.to_string()))?;
        let found = here.iter().find(|one| one.manifest_digest() == Some(digest));
        found.map(|one| one.reference().to_owned()).ok_or_else(|| SandboxError::EngineDisabled {
            remedy: format!("no image here has the digest {digest}: load it with `msb load --input FILE`"),
        })
    }

    /// Layers and limits.
    pub fn facts(&self) -> Facts {
        Facts {
            layers: ["kvm", "guest-kernel", "no-network", "no-new-privileges"].map(str::to_owned).into(),
            limits: [("memory", "vm"), ("pids", "vm"), ("cpu", "vm"), ("disk", "quota")]
                .map(|(name, how)| (name.to_owned(), how.to_owned()))
                .into(),
        }
    }

    /// Runs a program in a machine of its own.
    pub async fn run(&self, job: &Job, sink: &mut Sink) -> Result<Outcome, SandboxError> {
        let id = format!("devstudio-{}", job.exec_id.simple());
        let bundle = Bundle(self.folder.join(&id));
        private_folder(&bundle.0)?;
        let extension = if job.runtime == "node" { "js" } else { "py" };
        let (file, code) = program_file(job, extension)?;
        let view = View::new(bundle.0.clone(), job.view.as_ref().map(|view| view.folder.clone()), code);
        let view =
            blocking(move || view.make(&Value::Null).and_then(|()| view.fill()).map(|()| view)).await??;
        let machine = tokio::time::timeout(BOOT_TIMEOUT, self.boot(&id, job, &bundle.0.join("work")))
            .await
            .map_err(|_| SandboxError::Internal("the machine did not boot in time".to_owned()))??;
        let result = self.work(&machine, job, file, sink).await;
        // The machine is ephemeral and has a longest life of its own, should this fail.
        if let Err(error) = machine.kill().await {
            tracing::warn!(%error, "a machine could not be ended");
        }
        let mut outcome = result?;
        if job.view.is_some() {
            outcome.changes = blocking(move || view.changes()).await??;
        }
        Ok(outcome)
    }

    async fn boot(&self, id: &str, job: &Job, work: &Path) -> Result<Sandbox, SandboxError> {
        let memory_mib = (job.memory_bytes / MIB).clamp(128, MOST_MEMORY_MIB) as u32;
        Sandbox::builder(id)
            .image(self.reference(&job.runtime).await?.as_str())
            .pull_policy(PullPolicy::Never)
            .cpus(1)
            .memory(memory_mib)
            .hostname("sandbox")
            .workdir(WORK_DIR)
            .volume(WORK_DIR, |mount| mount.bind(work).quota(64u32))
            .disable_network()
            .security(SecurityProfile::Restricted)
            .deployment_profile(DeploymentProfile::MultiTenant)
            .ephemeral(true)
            .quiet_logs()
            .max_duration(job.timeout.as_secs() + 5)
            .create()
            .await
            .map_err(|error| SandboxError::Internal(format!("the machine does not boot: {error}")))
    }

    async fn work(
        &self,
        machine: &Sandbox,
        job: &Job,
        file: String,
        sink: &mut Sink,
    ) -> Result<Outcome, SandboxError> {
        let program = if job.runtime == "node" { "node" } else { "python3" };
        let before: &[&str] = if job.runtime == "node" { &[] } else { &["-u", "-B"] };
        let args: Vec<String> = before
            .iter()
            .map(|arg| (*arg).to_owned())
            .chain([file])
            .chain(job.args.iter().cloned())
            .collect();
        sink.start(None).await;
        let started = Instant::now();
        let mut running = machine
            .exec_stream_with(program, |exec| {
                exec.args(args).cwd(WORK_DIR).envs(job.env.clone()).stdin_bytes(job.stdin.to_vec())
            })
            .await
            .map_err(|error| SandboxError::Internal(format!("the program does not start: {error}")))?;
        let deadline = tokio::time::sleep(job.timeout);
        tokio::pin!(deadline);
        let mut seen = [0usize; 2];
        let (status, exit_code, signal, message) = loop {
            let event = tokio::select! {
                biased;
                () = job.cancel.cancelled() => break (Status::Cancelled, -1, 0, "the run was cancelled".to_owned()),
                () = &mut deadline => break (Status::Timeout, -1, 0, "the time limit was reached".to_owned()),
                event = running.recv() => event,
            };
            let (stream, data) = match event {
                Some(ExecEvent::Stdout(data)) => (Stream::Stdout, data),
                Some(ExecEvent::Stderr(data)) => (Stream::Stderr, data),
                Some(ExecEvent::Exited { code: 0 }) => break (Status::Succeeded, 0, 0, String::new()),
                Some(ExecEvent::Exited { code: 137 }) => {
                    break (Status::OutOfMemory, -1, 0, "the machine's memory was used up".to_owned());
                }
                Some(ExecEvent::Exited { code }) if (129..=192).contains(&code) => {
                    break (Status::Signaled, -1, code - 128, String::new());
                }
                Some(ExecEvent::Exited { code }) => break (Status::NonzeroExit, code, 0, String::new()),
                Some(ExecEvent::Failed(failed)) => break (Status::Failed, -1, 0, failed.message),
                Some(ExecEvent::Started { .. } | ExecEvent::StdinError(_)) => continue,
                None => break (Status::Failed, -1, 0, "the machine ended before the program".to_owned()),
            };
            let count = &mut seen[usize::from(stream == Stream::Stderr)];
            let room = MAX_OUTPUT_BYTES.saturating_sub(*count);
            *count += data.len();
            if room > 0 {
                sink.output(stream, data.slice(..data.len().min(room))).await;
            }
            if *count > MAX_OUTPUT_BYTES + MAX_DROPPED_BYTES {
                break (
                    Status::Signaled,
                    -1,
                    libc::SIGKILL,
                    "the program was ended: it wrote far too much".to_owned(),
                );
            }
        };
        Ok(Outcome {
            status,
            exit_code,
            signal,
            wall: started.elapsed(),
            cpu_ms: 0,
            max_rss_bytes: 0,
            truncated: seen.iter().any(|count| *count > MAX_OUTPUT_BYTES),
            isolation: Isolation::HardwareVm,
            facts: self.facts(),
            changes: Vec::new(),
            message,
        })
    }
}
