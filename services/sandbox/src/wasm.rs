//! The engine `wasm`: WebAssembly modules on wasmer, in a worker process inside the sandbox of the engine `run`.
//!
//! The service never compiles or loads a module. A worker that waits, started beforehand, takes one order and ends.
//! What it compiled it hands back before any of the module's code runs; the service keeps that under the hash of the
//! very module it sent, so a module can at most spoil its own entry.

mod calls;
pub mod order;
mod stdio;
mod tunables;
pub mod worker;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use self::order::Verdict;
use crate::{
    blocking,
    engine::{Engine, EngineInfo, Isolation, Job, Outcome, Program, Status},
    error::SandboxError,
    fs::{Jail, JailPath},
    pool::{Pool, Stands},
    process::{
        End, Factory, Order, Running, StartError, Work, not_standing, outcome, pump::Sink, remedy,
        spec::Payload,
    },
};

/// Bytes of memory of a module where a request says nothing.
pub const DEFAULT_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
/// What compiler and worker need beside the module's memory.
const WORKER_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// The most bytes of compiled modules that are kept.
const MAX_CACHE_BYTES: u64 = 256 * 1024 * 1024;
/// Names the compiler; what it compiled is of no use to another.
const COMPILER: &str = "cranelift-none-7.4.2";

/// How modules are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where compiled modules are kept.
    pub cache: PathBuf,
    /// How many operations a module may do.
    pub fuel: u64,
    /// A worker is started before it is needed.
    pub warm: bool,
}

/// The engine.
pub struct Wasm {
    inner: Arc<Inner>,
    info: EngineInfo,
}

struct Inner {
    factory: Option<Arc<Factory>>,
    settings: Settings,
    workers: Pool<Running>,
    spent_micros: AtomicU64,
}

impl Wasm {
    /// The engine on a machine whose sandbox is known.
    pub fn new(factory: Result<Arc<Factory>, String>, settings: Settings) -> Result<Self, SandboxError> {
        crate::fs::private_folder(&settings.cache)?;
        let mut facts = factory.as_ref().map(|factory| factory.facts().clone()).unwrap_or_default();
        facts.layers.push("wasm".to_owned());
        facts.limits.insert("fuel".to_owned(), "metered".to_owned());
        let (factory, remedy) = match factory {
            Ok(factory) => (Some(factory), String::new()),
            Err(remedy) => (None, remedy),
        };
        let info = EngineInfo {
            engine: "wasm",
            available: factory.is_some(),
            isolation: if factory.is_some() { Isolation::Wasm } else { Isolation::ProcessWeak },
            default_minimum: Isolation::Wasm,
            runtimes: BTreeMap::from([("wasi".to_owned(), "preview1".to_owned())]),
            facts,
            remedy,
            provider: "wasmer 7.4.2 cranelift".to_owned(),
            wants_kvm: false,
        };
        let warm = usize::from(settings.warm && factory.is_some());
        let (workers, spent_micros) = (Pool::default(), AtomicU64::new(0));
        let inner = Arc::new(Inner { factory, settings, workers, spent_micros });
        Pool::keep(&inner, warm);
        Ok(Self { inner, info })
    }

    /// A worker was started beforehand and waits for its order.
    pub fn worker_waits(&self) -> bool {
        self.inner.workers.len() > 0
    }

    /// How long the module that ended last took for its store, its instance and its call, as its worker says; without
    /// compiling or loading it. For benchmarks.
    pub fn last_call(&self) -> Duration {
        Duration::from_micros(self.inner.spent_micros.load(Ordering::Relaxed))
    }

    async fn execute(&self, job: &Job, sink: &mut Sink) -> Result<Outcome, SandboxError> {
        let module = self.module(job).await?;
        let remedy = || SandboxError::EngineDisabled { remedy: self.info.remedy.clone() };
        let factory = self.inner.factory.as_ref().ok_or_else(remedy)?;
        let (inner, hashed) = (self.inner.clone(), module.clone());
        let cached = blocking(move || inner.cached(&hashed)).await?;
        let compiled = tokio::fs::read(&cached).await.unwrap_or_default();
        let input = self.order(job, &module, &compiled);
        // Those that wait have the usual memory.
        let waits = if job.memory_bytes > DEFAULT_MEMORY_BYTES { None } else { Pool::take(&self.inner) };
        let running = match waits {
            Some(running) => running,
            None => start(factory, job.memory_bytes).await.map_err(not_standing)?,
        };
        let ending = running
            .finish(Work {
                stdin: input,
                more: job.more.clone(),
                timeout: job.timeout,
                watched_memory_bytes: factory.watched(job.memory_bytes + WORKER_MEMORY_BYTES),
                cancel: job.cancel.clone(),
                sink,
            })
            .await?;
        let report = order::read_report(&ending.report);
        if let Some(spent) = report.spent {
            self.inner.spent_micros.store(spent.as_micros() as u64, Ordering::Relaxed);
        }
        if let (Some(code), true) = (report.compiled, compiled.is_empty()) {
            let (inner, code) = (self.inner.clone(), code.to_vec());
            blocking(move || inner.keep(&cached, &code)).await?;
        }
        let (verdict, end) = (report.verdict, ending.end.clone());
        let mut outcome = outcome(ending, Isolation::Wasm, self.info.facts.clone()).await?;
        outcome.changes.clear();
        let (status, exit_code, message) = match (verdict, end) {
            (_, End::TimedOut | End::Cancelled | End::OutOfMemory | End::Flooded | End::NotStarted(_)) => {
                return Ok(outcome);
            }
            (Some(Verdict::Exited(0)), _) => (Status::Succeeded, 0, String::new()),
            (Some(Verdict::Exited(code)), _) => (Status::NonzeroExit, code, String::new()),
            (Some(Verdict::Trapped(why)), _) => (Status::Trapped, -1, why),
            (Some(Verdict::Failed(why)), _) => (Status::Failed, -1, why),
            (None, End::Signaled(signal)) => {
                (Status::Trapped, -1, format!("the module ended its worker with signal {signal}"))
            }
            (None, End::Exited(code)) => {
                (Status::Failed, -1, format!("the worker ended without a verdict, with code {code}"))
            }
        };
        Ok(Outcome { status, exit_code, signal: 0, message, ..outcome })
    }

    /// The module of a job.
    async fn module(&self, job: &Job) -> Result<Bytes, SandboxError> {
        match &job.program {
            Program::Module(module) => Ok(module.clone()),
            Program::Code(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Program::Path(path) => {
                let view = job.view.as_ref().ok_or(SandboxError::NotFound { what: "file" })?;
                let (folder, path) = (view.folder.clone(), JailPath::file(path)?);
                blocking(move || Jail::open(&folder, None)?.read(&path).map(Bytes::from)).await?
            }
            Program::Ops(_) => Err(SandboxError::Invalid {
                pointer: "/module",
                keyword: "required",
                why: "this engine runs a module".to_owned(),
            }),
        }
    }

    fn order(&self, job: &Job, module: &[u8], compiled: &[u8]) -> Bytes {
        let module = if compiled.is_empty() { module } else { &[] };
        let order = order::Order {
            module_bytes: module.len(),
            compiled_bytes: compiled.len(),
            memory_bytes: job.memory_bytes,
            fuel: self.inner.settings.fuel,
            args: job.args.clone(),
            env: job.env.clone().into_iter().collect(),
            function: job.function.clone(),
        };
        let head = serde_json::to_vec(&order).unwrap_or_default();
        let length = (head.len() as u32).to_le_bytes();
        [&length[..], &head, module, compiled, &job.stdin].concat().into()
    }
}

/// Starts a worker for a module with so much memory.
async fn start(factory: &Arc<Factory>, memory_bytes: u64) -> Result<Running, StartError> {
    factory.start(Order::of(Payload::WasmWorker, memory_bytes + WORKER_MEMORY_BYTES)).await
}

impl Stands for Inner {
    type Item = Running;

    fn pool(&self) -> &Pool<Running> {
        &self.workers
    }

    fn stand_one(&self) -> BoxFuture<'_, Result<Running, String>> {
        Box::pin(async {
            let factory = self.factory.as_ref().ok_or("there is no sandbox")?;
            start(factory, DEFAULT_MEMORY_BYTES).await.map_err(remedy)
        })
    }

    fn is_standing(running: &mut Running) -> bool {
        Running::is_standing(running)
    }
}

impl Inner {
    /// Where the compiled form of a module is kept.
    fn cached(&self, module: &[u8]) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(module);
        let name = format!("{}-{COMPILER}-{}", hex::encode(hash.finalize()), self.settings.fuel);
        self.settings.cache.join(name)
    }

    /// Keeps a compiled module. The cache is a convenience: where this fails, the next run compiles again.
    fn keep(&self, place: &Path, code: &[u8]) {
        if let Err(error) = keep(&self.settings.cache, place, code) {
            tracing::warn!(%error, "a compiled module could not be kept");
        }
    }
}

fn keep(cache: &Path, place: &Path, code: &[u8]) -> std::io::Result<()> {
    let mut entries: Vec<(std::time::SystemTime, u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(cache)? {
        let entry = entry?;
        let about = entry.metadata()?;
        entries.push((about.modified()?, about.len(), entry.path()));
    }
    entries.sort();
    let mut used: u64 = entries.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in entries {
        if used + code.len() as u64 <= MAX_CACHE_BYTES {
            break;
        }
        std::fs::remove_file(path)?;
        used -= size;
    }
    let mut file = tempfile::NamedTempFile::new_in(cache)?;
    std::io::Write::write_all(&mut file, code)?;
    file.persist(place).map(drop).map_err(|error| error.error)
}

impl Engine for Wasm {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn run<'a>(&'a self, job: &'a Job, sink: &'a mut Sink) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(self.execute(job, sink))
    }

    fn default_memory_bytes(&self) -> u64 {
        DEFAULT_MEMORY_BYTES
    }

    fn wants_view_for(&self, program: &Program) -> bool {
        matches!(program, Program::Path(_))
    }
}
