//! The engine over those sandboxes: which runtimes work here, what a run becomes, and how its end is told.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;

use super::{
    End, Ending, Factory, Order, USUAL_MEMORY_BYTES, Work, changes, not_standing,
    pump::Sink,
    remedy,
    runtimes::{self, Runtime},
    spec::Payload,
};
use crate::{
    blocking,
    engine::{Engine, EngineInfo, Facts, Isolation, Job, Outcome, Program, Status},
    error::SandboxError,
    fs::{Jail, JailPath, Kind, RESERVED_PREFIX, WORK_DIR},
};

/// The engine.
pub struct Process {
    factory: Option<Arc<Factory>>,
    runtimes: BTreeMap<&'static str, Runtime>,
    info: EngineInfo,
}

impl Process {
    /// The engine on a machine whose sandbox is known. Each runtime is tried in the real sandbox.
    pub async fn new(factory: Result<Arc<Factory>, String>, minimum: Isolation) -> Self {
        let mut info = EngineInfo {
            engine: "run",
            available: false,
            isolation: Isolation::Process,
            default_minimum: minimum,
            runtimes: BTreeMap::new(),
            facts: Facts::default(),
            remedy: String::new(),
            provider: "Linux namespaces".to_owned(),
            wants_kvm: false,
        };
        let factory = match factory {
            Ok(factory) => factory,
            Err(remedy) => {
                info.isolation = Isolation::ProcessWeak;
                info.remedy = remedy;
                return Self { factory: None, runtimes: BTreeMap::new(), info };
            }
        };
        info.facts = factory.facts().clone();
        let candidates = tokio::task::spawn_blocking(runtimes::candidates).await.unwrap_or_default();
        factory.show(runtimes::exposed(candidates));
        let tried = candidates.iter().map(|runtime| {
            let factory = &factory;
            async move { (works(factory, runtime).await, runtime.clone()) }
        });
        let mut runtimes: BTreeMap<&'static str, Runtime> = BTreeMap::new();
        for (works, runtime) in futures::future::join_all(tried).await {
            match works {
                Ok(()) if !runtimes.contains_key(runtime.name) => {
                    info.runtimes.insert(runtime.name.to_owned(), runtime.version.clone());
                    runtimes.insert(runtime.name, runtime);
                }
                Ok(()) => {}
                Err(why) => {
                    tracing::warn!(runtime = runtime.name, version = runtime.version, why, "does not work")
                }
            }
        }
        info.available = !runtimes.is_empty();
        if !info.available {
            info.remedy = "install python3, node or another runtime, and start the service again".to_owned();
        }
        Self { factory: Some(factory), runtimes, info }
    }

    async fn execute(&self, job: &Job, sink: &mut Sink) -> Result<Outcome, SandboxError> {
        let disabled = || SandboxError::EngineDisabled { remedy: self.info.remedy.clone() };
        let factory = self.factory.as_ref().ok_or_else(disabled)?;
        let runtime = self.runtimes.get(job.runtime.as_str()).ok_or_else(|| SandboxError::Invalid {
            pointer: "/runtime",
            keyword: "enum",
            why: format!("there are {}", self.runtimes.keys().copied().collect::<Vec<_>>().join(", ")),
        })?;
        let (file, code) = program_file(job, runtime.extension)?;
        let argv = runtime.argv.iter().cloned().chain([file]).chain(job.args.iter().cloned()).collect();
        let running = factory
            .start(Order {
                lower: job.view.as_ref().map(|view| view.folder.clone()),
                code,
                env: job.env.clone(),
                ..Order::of(Payload::Program { argv }, job.memory_bytes)
            })
            .await
            .map_err(not_standing)?;
        let ending = running
            .finish(Work {
                stdin: job.stdin.clone(),
                more: job.more.clone(),
                timeout: job.timeout,
                watched_memory_bytes: factory.watched(job.memory_bytes),
                cancel: job.cancel.clone(),
                sink,
            })
            .await?;
        let mut outcome = outcome(ending, Isolation::Process, factory.facts().clone()).await?;
        if job.view.is_none() {
            outcome.changes.clear();
        }
        Ok(outcome)
    }
}

/// Turns the end of a sandbox into a result.
pub(crate) async fn outcome(
    ending: Ending,
    isolation: Isolation,
    facts: Facts,
) -> Result<Outcome, SandboxError> {
    let Ending { end, cpu_ms, max_rss_bytes, wall, truncated, upper, .. } = ending;
    let changes = blocking(move || changes::read(&upper)).await??;
    let (status, exit_code, signal, message) = match end {
        End::Exited(0) => (Status::Succeeded, 0, 0, String::new()),
        End::Exited(code) => (Status::NonzeroExit, code, 0, String::new()),
        End::Signaled(signal) => (Status::Signaled, -1, signal, String::new()),
        End::TimedOut => (Status::Timeout, -1, 0, "the time limit was reached".to_owned()),
        End::OutOfMemory => (Status::OutOfMemory, -1, 0, "the memory limit was reached".to_owned()),
        End::Cancelled => (Status::Cancelled, -1, 0, "the run was cancelled".to_owned()),
        End::Flooded => {
            (Status::Signaled, -1, libc::SIGKILL, "the program was ended: it wrote far too much".to_owned())
        }
        End::NotStarted(why) => (Status::Failed, -1, 0, why),
    };
    Ok(Outcome {
        status,
        exit_code,
        signal,
        wall,
        cpu_ms,
        max_rss_bytes,
        truncated,
        isolation,
        facts,
        changes,
        message,
    })
}

/// The file to run as the program sees it, and its content where it is not in the workspace.
pub(crate) fn program_file(
    job: &Job,
    extension: &str,
) -> Result<(String, Option<(String, String)>), SandboxError> {
    match &job.program {
        Program::Code(code) => {
            let name = format!("{RESERVED_PREFIX}run.{extension}");
            Ok((format!("{WORK_DIR}/{name}"), Some((name, code.clone()))))
        }
        Program::Path(path) => {
            let path = JailPath::file(path)?;
            let view = job.view.as_ref().ok_or(SandboxError::NotFound { what: "file" })?;
            match Jail::open(&view.folder, None)?.kind(&path)? {
                Kind::File { .. } => Ok((format!("{WORK_DIR}/{path}"), None)),
                Kind::Folder => Err(SandboxError::NotFound { what: "file" }),
            }
        }
        Program::Module(_) | Program::Ops(_) => Err(SandboxError::Invalid {
            pointer: "/code",
            keyword: "required",
            why: "this engine runs code or a path".to_owned(),
        }),
    }
}

/// Tries a runtime in the real sandbox.
async fn works(factory: &Arc<Factory>, runtime: &Runtime) -> Result<(), String> {
    let name = format!("{RESERVED_PREFIX}run.{}", runtime.extension);
    let argv = runtime.argv.iter().cloned().chain([format!("{WORK_DIR}/{name}")]).collect();
    let code = Some((name, runtime.sample.to_owned()));
    let order = Order { code, ..Order::of(Payload::Program { argv }, USUAL_MEMORY_BYTES) };
    let running = factory.start(order).await.map_err(remedy)?;
    let (mut sink, mut events) = Sink::new();
    let listening = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let ending = running.finish(factory.work(&mut sink)).await.map_err(|error| error.to_string());
    listening.abort();
    match ending?.end {
        End::Exited(0) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

impl Engine for Process {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn run<'a>(&'a self, job: &'a Job, sink: &'a mut Sink) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(self.execute(job, sink))
    }
}
