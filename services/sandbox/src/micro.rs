//! The engines `micro:python` and `micro:node`: a kernel of their own for every run. By microsandbox where the
//! processor offers virtualisation and the feature `micro` is built in, by gVisor where it is installed.

#[cfg(feature = "micro")]
mod vm;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    engine::{Engine, EngineInfo, Facts, Isolation, Job, Outcome, Status},
    error::SandboxError,
    gvisor::{Gvisor, trial},
    process::{
        self,
        pump::Sink,
        runtimes::{self, Runtime},
    },
};

/// The engines, and the runtime of each.
const ENGINES: [(&str, &str); 2] = [("micro:python", "python"), ("micro:node", "node")];

/// How programs get a kernel of their own.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where containers and machines are kept while they run.
    pub folder: PathBuf,
    /// Limits that are the same for every engine.
    pub process: process::Settings,
}

/// One of the engines.
pub struct Micro {
    info: EngineInfo,
    kernel: Kernel,
}

/// What gives the kernel.
enum Kernel {
    #[cfg(feature = "micro")]
    Vm(Arc<vm::Vm>),
    Gvisor(Arc<Gvisor>, Runtime),
    None,
}

/// The names of both engines.
pub fn names() -> [&'static str; 2] {
    ENGINES.map(|(name, _)| name)
}

/// Both engines without looking at what works here: nobody is to use them.
pub fn untried(why: &str) -> Vec<Micro> {
    let off = |(engine, _)| Micro {
        info: EngineInfo { remedy: why.to_owned(), ..nothing(engine) },
        kernel: Kernel::None,
    };
    ENGINES.map(off).into()
}

/// What is said of an engine before it was tried.
fn nothing(engine: &'static str) -> EngineInfo {
    EngineInfo {
        engine,
        available: false,
        isolation: Isolation::Gvisor,
        default_minimum: Isolation::Gvisor,
        runtimes: BTreeMap::new(),
        facts: Facts::default(),
        remedy: String::new(),
        provider: String::new(),
        wants_kvm: false,
    }
}

/// Both engines, with what works here.
pub async fn engines(settings: Settings) -> Result<Vec<Micro>, SandboxError> {
    let diagnosis = hardware(&settings).await;
    let found = tokio::task::spawn_blocking({
        let settings = settings.clone();
        move || {
            let candidates = runtimes::candidates();
            let used =
                candidates.iter().filter(|runtime| ENGINES.iter().any(|(_, name)| *name == runtime.name));
            let expose = runtimes::exposed(used);
            (Gvisor::find(&settings.folder, expose, &settings.process), candidates)
        }
    })
    .await;
    let (gvisor, candidates) = found.map_err(|error| SandboxError::Internal(error.to_string()))?;
    let made = ENGINES.map(|(engine, runtime)| Micro::new(engine, runtime, &diagnosis, &gvisor, candidates));
    Ok(futures::future::join_all(made).await)
}

impl Micro {
    /// Keeps so many kernels standing, each for one program to come, where that is what this engine runs on.
    pub fn keep_armed(&self, many: usize) {
        if let Kernel::Gvisor(gvisor, _) = &self.kernel {
            gvisor.keep_armed(many);
        }
    }

    /// How many kernels stand and wait; all engines share them.
    pub fn armed(&self) -> usize {
        match &self.kernel {
            Kernel::Gvisor(gvisor, _) => gvisor.armed(),
            _ => 0,
        }
    }
}

#[cfg(feature = "micro")]
type Hardware = Result<Arc<vm::Vm>, String>;
#[cfg(not(feature = "micro"))]
type Hardware = Result<(), String>;

#[cfg(feature = "micro")]
async fn hardware(settings: &Settings) -> Hardware {
    vm::Vm::find(&settings.folder).await
}

#[cfg(not(feature = "micro"))]
async fn hardware(_settings: &Settings) -> Hardware {
    Err("this build of DevStudio has no microsandbox; build it with the feature micro on a machine whose processor \
         offers virtualisation"
        .to_owned())
}

impl Micro {
    async fn new(
        engine: &'static str,
        name: &str,
        hardware: &Hardware,
        gvisor: &Result<Arc<Gvisor>, String>,
        candidates: &[Runtime],
    ) -> Self {
        let mut info = EngineInfo { available: true, ..nothing(engine) };
        let why = match hardware {
            #[cfg(feature = "micro")]
            Ok(vm) => {
                info.isolation = Isolation::HardwareVm;
                info.provider = vm.provider();
                info.facts = vm.facts();
                info.runtimes.insert(name.to_owned(), vm.image_of(name));
                return Self { info, kernel: Kernel::Vm(vm.clone()) };
            }
            #[cfg(not(feature = "micro"))]
            Ok(()) => String::new(),
            Err(why) => why.clone(),
        };
        let mut missing = match gvisor {
            Ok(_) => format!("gVisor is here, but no {name} that works in it"),
            Err(missing) => missing.clone(),
        };
        if let Ok(gvisor) = gvisor {
            for runtime in candidates.iter().filter(|runtime| runtime.name == name) {
                match works(gvisor, runtime).await {
                    Ok(()) => {
                        info.provider = gvisor.provider();
                        info.facts = gvisor.facts();
                        info.runtimes.insert(name.to_owned(), runtime.version.clone());
                        // What a stronger grade would need.
                        info.remedy = why;
                        return Self { info, kernel: Kernel::Gvisor(gvisor.clone(), runtime.clone()) };
                    }
                    Err(failed) => missing = format!("gVisor is here, but does not work: {failed}"),
                }
            }
        }
        (info.available, info.wants_kvm) = (false, true);
        info.remedy = format!("{why}; or {missing}");
        Self { info, kernel: Kernel::None }
    }

    async fn execute(&self, job: &Job, sink: &mut Sink) -> Result<Outcome, SandboxError> {
        match &self.kernel {
            #[cfg(feature = "micro")]
            Kernel::Vm(vm) => vm.run(job, sink).await,
            Kernel::Gvisor(gvisor, runtime) => gvisor.run(job, runtime, sink).await,
            Kernel::None => Err(SandboxError::KvmUnavailable { remedy: self.info.remedy.clone() }),
        }
    }
}

/// Tries gVisor with a program that does nothing.
async fn works(gvisor: &Arc<Gvisor>, runtime: &Runtime) -> Result<(), String> {
    let (mut sink, mut events) = Sink::new();
    let listening = tokio::spawn(async move {
        let mut heard = Vec::new();
        while let Some(event) = events.recv().await {
            if let process::pump::Event::Output { data, .. } = event {
                heard.extend_from_slice(&data);
            }
        }
        String::from_utf8_lossy(&heard).into_owned()
    });
    let outcome = gvisor.run(&trial(runtime), runtime, &mut sink).await.map_err(|error| error.to_string())?;
    drop(sink);
    match outcome.status {
        Status::Succeeded => Ok(()),
        other => {
            let heard = listening.await.unwrap_or_default();
            Err(format!("{} {}", other.name(), heard.lines().next().unwrap_or_default()))
        }
    }
}

impl Engine for Micro {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn takes_more_input(&self) -> bool {
        // A virtual machine is given its whole input with its program.
        matches!(self.kernel, Kernel::Gvisor(..))
    }

    fn run<'a>(&'a self, job: &'a Job, sink: &'a mut Sink) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(self.execute(job, sink))
    }
}
