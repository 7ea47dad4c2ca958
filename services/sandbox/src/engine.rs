//! What an engine is: one file with `impl Engine`, one line in the registry.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    error::SandboxError,
    process::{
        changes::Change,
        pump::{Feed, Sink},
    },
    store::Hash,
};

/// Grades of isolation, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// A process with a filter and Landlock, but without namespaces.
    ProcessWeak,
    /// A process in namespaces of its own, with a filter of system calls.
    Process,
    /// WebAssembly, in such a process.
    Wasm,
    /// A kernel of its own in user space.
    Gvisor,
    /// A virtual machine on the processor's virtualisation.
    HardwareVm,
}

impl Isolation {
    /// The grade's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProcessWeak => "process-weak",
            Self::Process => "process",
            Self::Wasm => "wasm",
            Self::Gvisor => "gvisor",
            Self::HardwareVm => "hardware-vm",
        }
    }
}

impl std::str::FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::ProcessWeak, Self::Process, Self::Wasm, Self::Gvisor, Self::HardwareVm]
            .into_iter()
            .find(|grade| grade.name() == text)
            .ok_or_else(|| format!("{text}: expected process-weak, process, wasm, gvisor or hardware-vm"))
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// By itself, with exit code 0.
    Succeeded,
    /// By itself, with another exit code.
    NonzeroExit,
    /// By a signal.
    Signaled,
    /// At its time limit.
    Timeout,
    /// At its memory limit.
    OutOfMemory,
    /// WebAssembly trapped, or its fuel was used up.
    Trapped,
    /// Cancelled.
    Cancelled,
    /// The program could not be started.
    Failed,
}

impl Status {
    /// The status' name, as metrics and the database have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::NonzeroExit => "NONZERO_EXIT",
            Self::Signaled => "SIGNALED",
            Self::Timeout => "TIMEOUT",
            Self::OutOfMemory => "OUT_OF_MEMORY",
            Self::Trapped => "TRAPPED",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }
}

/// Layers and limits, in words for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The layers, such as "userns", "seccomp", "landlock-7".
    pub layers: Vec<String>,
    /// How each limit is kept.
    pub limits: BTreeMap<String, String>,
}

/// An engine on this machine.
#[derive(Debug, Clone)]
pub struct EngineInfo {
    /// Its name.
    pub engine: &'static str,
    /// It works here.
    pub available: bool,
    /// The isolation it gives.
    pub isolation: Isolation,
    /// The least isolation it may give where a request says nothing.
    pub default_minimum: Isolation,
    /// Its runtimes with their versions.
    pub runtimes: BTreeMap<String, String>,
    /// Layers and limits.
    pub facts: Facts,
    /// Why it does not work, and what to do.
    pub remedy: String,
    /// What gives the isolation.
    pub provider: String,
    /// What it lacks is hardware virtualisation.
    pub wants_kvm: bool,
}

/// An operation on files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FsOp {
    /// Writes a file.
    Write {
        /// Where.
        path: String,
        /// What.
        text: String,
    },
    /// Reads a file.
    Read {
        /// Which.
        path: String,
    },
    /// Lists a folder.
    List {
        /// Which.
        path: String,
    },
    /// Deletes a file or folder.
    Delete {
        /// Which.
        path: String,
    },
    /// Moves a file or folder.
    Move {
        /// From where.
        from: String,
        /// Where to.
        to: String,
    },
}

/// What to run.
#[derive(Debug, Clone)]
pub enum Program {
    /// A program's text.
    Code(String),
    /// A program file of the workspace.
    Path(String),
    /// A WebAssembly module.
    Module(Bytes),
    /// Operations on files.
    Ops(Vec<FsOp>),
}

/// The workspace of a run.
#[derive(Debug, Clone)]
pub struct View {
    /// Its id.
    pub workspace_id: Uuid,
    /// Its working copy. Nothing in it changes while the run goes on.
    pub folder: PathBuf,
}

/// A run, checked and complete.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub exec_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What to run.
    pub program: Program,
    /// The runtime's name, such as "python".
    pub runtime: String,
    /// What the program reads.
    pub stdin: Bytes,
    /// What it reads after that, until it is closed.
    pub more: Option<Feed>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, beside what every program has.
    pub env: BTreeMap<String, String>,
    /// An exported function to call.
    pub function: String,
    /// Its time limit.
    pub timeout: Duration,
    /// Its memory limit.
    pub memory_bytes: u64,
    /// Its workspace.
    pub workspace_id: Option<Uuid>,
    /// What it changes is written as the holder of this lock; 0: as the person.
    pub fencing_token: i64,
    /// Most files that it may remove; all where nothing is said.
    pub most_removed: Option<usize>,
    /// It runs only if the workspace's tree has this hash.
    pub as_of: Option<Hash>,
    /// The workspace as programs see it; set for engines that want it.
    pub view: Option<View>,
    /// Cancels it.
    pub cancel: CancellationToken,
}

/// The result of a run, without its output: that went to the sink.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Its exit code; -1 where it has none.
    pub exit_code: i32,
    /// The signal that ended it; 0 where none did.
    pub signal: i32,
    /// From start to end.
    pub wall: Duration,
    /// Processor time; 0 where unknown.
    pub cpu_ms: u64,
    /// Most memory; 0 where unknown.
    pub max_rss_bytes: u64,
    /// Not all of the output was kept.
    pub truncated: bool,
    /// The isolation it had.
    pub isolation: Isolation,
    /// Layers and limits it had.
    pub facts: Facts,
    /// What it changed in its workspace.
    pub changes: Vec<Change>,
    /// Why it trapped or did not start.
    pub message: String,
}

/// Runs programs in one way.
pub trait Engine: Send + Sync {
    /// What it is and whether it works here. Found out once, at start.
    fn info(&self) -> &EngineInfo;

    /// Programs see the workspace, so one must be given with the job.
    fn wants_view_for(&self, _program: &Program) -> bool {
        true
    }

    /// A program's input can stay open for more.
    fn takes_more_input(&self) -> bool {
        true
    }

    /// Bytes of memory where a request says nothing.
    fn default_memory_bytes(&self) -> u64 {
        256 * 1024 * 1024
    }

    /// Runs a program to its end. Dropping the future ends it at once, with everything it started.
    fn run<'a>(&'a self, job: &'a Job, sink: &'a mut Sink) -> BoxFuture<'a, Result<Outcome, SandboxError>>;
}

/// Why an engine that is switched off does not work.
pub(crate) const SWITCHED_OFF: &str =
    "it is switched off; an admin switches it on by the setting DEVSTUDIO_ENGINES_OFF";

/// An engine that an admin has switched off.
struct SwitchedOff(EngineInfo);

impl Engine for SwitchedOff {
    fn info(&self) -> &EngineInfo {
        &self.0
    }

    fn run<'a>(&'a self, _: &'a Job, _: &'a mut Sink) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(async { Err(SandboxError::EngineDisabled { remedy: self.0.remedy.clone() }) })
    }
}

/// Every engine, in the order in which they are listed.
#[derive(Clone, Default)]
pub struct Registry(Vec<Arc<dyn Engine>>);

impl Registry {
    /// Adds an engine.
    pub fn with(mut self, engine: impl Engine + 'static) -> Self {
        self.0.push(Arc::new(engine));
        self
    }

    /// Switches engines off by name. Fails with a name that no engine has.
    pub fn without(mut self, names: &[String]) -> Result<Self, SandboxError> {
        for name in names.iter().filter(|name| !name.is_empty()) {
            let engine = self.0.iter_mut().find(|engine| engine.info().engine == name).ok_or_else(|| {
                SandboxError::Internal(format!("DEVSTUDIO_ENGINES_OFF: there is no engine {name}"))
            })?;
            let info = EngineInfo {
                available: false,
                wants_kvm: false,
                // its own, so that it is refused for being off and not for being weak
                default_minimum: engine.info().isolation,
                remedy: SWITCHED_OFF.to_owned(),
                ..engine.info().clone()
            };
            *engine = Arc::new(SwitchedOff(info));
        }
        Ok(self)
    }

    /// The engines.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Engine>> {
        self.0.iter()
    }

    /// The engine of a name, if it works here with the isolation that is wanted.
    pub fn find(&self, name: &str, wanted: Option<Isolation>) -> Result<&Arc<dyn Engine>, SandboxError> {
        let engine = self.0.iter().find(|engine| engine.info().engine == name).ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|engine| engine.info().engine).collect();
            SandboxError::Invalid {
                pointer: "/engine",
                keyword: "enum",
                why: format!("no such engine; there are {}", names.join(", ")),
            }
        })?;
        let info = engine.info();
        let wanted = wanted.unwrap_or(info.default_minimum);
        if !info.available {
            let remedy = info.remedy.clone();
            return Err(if info.wants_kvm {
                SandboxError::KvmUnavailable { remedy }
            } else if info.isolation < wanted {
                let (wanted, offered) = (wanted.name().to_owned(), info.isolation.name().to_owned());
                SandboxError::IsolationUnavailable { wanted, offered, remedy }
            } else {
                SandboxError::EngineDisabled { remedy }
            });
        }
        if info.isolation >= wanted {
            return Ok(engine);
        }
        let remedy = if info.remedy.is_empty() {
            let better: Vec<_> = self
                .0
                .iter()
                .filter(|other| other.info().available && other.info().isolation >= wanted)
                .map(|other| other.info().engine)
                .collect();
            match better.is_empty() {
                true => "no engine of this machine isolates that well".to_owned(),
                false => format!("these engines of this machine isolate that well: {}", better.join(", ")),
            }
        } else {
            info.remedy.clone()
        };
        if wanted == Isolation::HardwareVm && name.starts_with("micro:") {
            return Err(SandboxError::KvmUnavailable { remedy });
        }
        Err(SandboxError::IsolationUnavailable {
            wanted: wanted.name().to_owned(),
            offered: info.isolation.name().to_owned(),
            remedy,
        })
    }
}
