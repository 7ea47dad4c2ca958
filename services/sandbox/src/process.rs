//! The engine `run`: programs of the host's runtimes in a Linux sandbox of our own.
//!
//! The layers, each of which stops what another lets through: namespaces of users, mounts, processes, network, IPC
//! and names; a root of its own; Landlock; a filter of system calls; no capabilities; control groups and limits.
//! `launcher` is the inside, `child` the outside; `spec` is what they tell each other. A sandbox is put up before it
//! is known what will run in it; some wait in a pool, each for one program.

pub mod cgroup;
pub mod changes;
mod child;
mod control;
pub mod dialer;
mod engine;
mod filter;
pub mod launcher;
mod limits;
mod mounts;
mod ports;
pub(crate) mod pty;
pub mod pump;
pub mod runtimes;
mod spawn;
pub mod spec;
mod watch;
mod wire;

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use futures::future::BoxFuture;
use rustix::process::geteuid;

pub(crate) use self::child::{End, Ending, Life, Running, StartError, Work};
pub use self::engine::Process;
pub(crate) use self::engine::{outcome, program_file};
use self::{
    cgroup::{Bounds, Cgroups},
    child::Armed,
    pump::Sink,
    spec::{Go, Limits, Lower, Payload, Stage},
};
use crate::{
    Config,
    engine::Facts,
    error::SandboxError,
    pool::{Pool, Stands},
};

const MIB: u64 = 1024 * 1024;
/// What the launcher and the first process need beside the program.
const OWN_MEMORY_BYTES: u64 = 8 * MIB;
const OWN_PROCESSES: u64 = 2;
/// What most programs get, and what a sandbox that waits is put up with.
const USUAL_MEMORY_BYTES: u64 = 256 * MIB;

/// How sandboxes are made on this machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that becomes the launcher.
    pub init_program: PathBuf,
    /// The control groups of this service, of which every engine makes its own.
    pub cgroups: Arc<Cgroups>,
    /// The user and group that programs run as where the service is root.
    pub run_as: (u32, u32),
    /// Processes and threads of a run.
    pub max_processes: u64,
    /// Thousandths of a processor for a run.
    pub cpu_millis: u64,
    /// Bytes that a run may add to its workspace's view.
    pub disk_bytes: u64,
    /// Files that a run may add to it.
    pub disk_files: u64,
    /// Bytes of a run's /tmp.
    pub tmp_bytes: u64,
}

impl Settings {
    /// As the sandbox's settings say. Finds out which control groups there are; `instance` keeps those of services on
    /// one machine apart.
    pub fn of(config: &Config, init_program: PathBuf, instance: &str) -> Self {
        Self {
            init_program: config.sandbox_init.clone().unwrap_or(init_program),
            cgroups: Cgroups::detect(instance),
            run_as: (config.run_uid, config.run_uid),
            max_processes: config.run_processes.into(),
            cpu_millis: config.run_cpu_millis.into(),
            disk_bytes: u64::from(config.run_disk_mib) * MIB,
            disk_files: 10_000,
            tmp_bytes: 64 * MIB,
        }
    }
}

/// What one sandbox is for.
pub struct Order {
    /// The workspace's working copy.
    pub lower: Option<PathBuf>,
    /// What runs.
    pub payload: Payload,
    /// A file for it.
    pub code: Option<(String, String)>,
    /// The environment, beside what every program has.
    pub env: BTreeMap<String, String>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes that it may add to its workspace's view; the usual number where 0.
    pub disk_bytes: u64,
    /// The terminal's columns and rows, where it has one.
    pub terminal: Option<(u16, u16)>,
}

impl Order {
    /// For a program without a workspace.
    pub fn of(payload: Payload, memory_bytes: u64) -> Self {
        let (lower, code, env, terminal) = (None, None, BTreeMap::new(), None);
        Self { lower, payload, code, env, memory_bytes, disk_bytes: 0, terminal }
    }
}

/// Makes sandboxes; knows what this machine offers.
pub struct Factory {
    settings: Settings,
    drop_to: Option<(u32, u32)>,
    facts: Facts,
    expose: OnceLock<Vec<PathBuf>>,
    copies: OnceLock<PathBuf>,
    pool: Pool<Armed>,
}

impl Stands for Factory {
    type Item = Armed;

    fn pool(&self) -> &Pool<Armed> {
        &self.pool
    }

    fn stand_one(&self) -> BoxFuture<'_, Result<Armed, String>> {
        Box::pin(async { self.stand(self.copies.get()).await.map_err(remedy) })
    }

    fn is_standing(item: &mut Armed) -> bool {
        Armed::is_standing(item)
    }
}

impl Factory {
    /// Finds out what this machine offers by making a real sandbox. Answers the remedy where there is none.
    pub async fn probe(settings: Settings) -> Result<Arc<Self>, String> {
        let drop_to = geteuid().is_root().then_some(settings.run_as);
        let mut factory = Self {
            settings,
            drop_to,
            facts: Facts::default(),
            expose: OnceLock::new(),
            copies: OnceLock::new(),
            pool: Pool::default(),
        };
        let nothing = Payload::Program { argv: vec!["/usr/bin/true".to_owned()] };
        let running = factory.begin(Order::of(nothing, 64 * MIB), || None).await.map_err(remedy)?;
        let landlock_abi = running.landlock_abi;
        let (mut sink, _receiver) = Sink::new();
        let ending = running.finish(factory.work(&mut sink)).await.map_err(|error| error.to_string())?;
        if ending.end != End::Exited(0) {
            return Err(format!(
                "a program that does nothing did not succeed in the sandbox: {:?}",
                ending.end
            ));
        }
        factory.facts = factory.find_facts(landlock_abi);
        Ok(Arc::new(factory))
    }

    fn work<'a>(&self, sink: &'a mut Sink) -> Work<'a> {
        Work {
            stdin: bytes::Bytes::new(),
            more: None,
            timeout: std::time::Duration::from_secs(10),
            watched_memory_bytes: None,
            cancel: Default::default(),
            sink,
        }
    }

    fn find_facts(&self, landlock_abi: i32) -> Facts {
        let mut layers: Vec<String> =
            ["userns", "mount", "pid", "net", "ipc", "uts", "seccomp"].map(str::to_owned).into();
        if landlock_abi > 0 {
            layers.push(format!("landlock-{landlock_abi}"));
        }
        let mut limits: BTreeMap<String, String> = BTreeMap::new();
        let mut limit = |name: &str, how: &str| limits.insert(name.to_owned(), how.to_owned());
        limit("memory", self.settings.cgroups.word().unwrap_or("watched"));
        limit("pids", self.settings.cgroups.word().unwrap_or("rlimit"));
        limit("cpu", if self.settings.cgroups.bounds_cpu() { "cgroup" } else { "none" });
        limit("disk", "overlay");
        Facts { layers, limits }
    }

    /// Layers and limits of every sandbox.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The bytes of memory to watch for a program, where no control group sees to it.
    pub fn watched(&self, memory_bytes: u64) -> Option<u64> {
        self.settings.cgroups.word().is_none().then_some(memory_bytes + OWN_MEMORY_BYTES)
    }

    /// Who owns working copies, where that is not the service's own user.
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.drop_to
    }

    /// Names the folders of runtimes that every sandbox shows.
    fn show(&self, expose: Vec<PathBuf>) {
        // A second engine on the same sandboxes finds the same.
        let _ = self.expose.set(expose);
    }

    /// Names the folder of all working copies. Said before sandboxes are kept armed.
    pub fn find_copies_in(&self, folder: PathBuf) {
        if self.drop_to.is_none() {
            let _ = self.copies.set(folder);
        }
    }

    /// Keeps so many sandboxes standing, each for one program to come.
    pub fn keep_armed(self: &Arc<Self>, many: usize) {
        Pool::keep(self, many);
    }

    /// How many sandboxes stand and wait.
    pub fn armed(&self) -> usize {
        self.pool.len()
    }

    fn bounds(&self, memory_bytes: u64) -> Bounds {
        Bounds {
            memory_bytes: memory_bytes + OWN_MEMORY_BYTES,
            processes: self.settings.max_processes + OWN_PROCESSES,
            cpu_millis: self.settings.cpu_millis,
        }
    }

    /// Puts a sandbox up that waits for its program.
    async fn stand(&self, copies: Option<&PathBuf>) -> Result<Armed, StartError> {
        let name = uuid::Uuid::now_v7().to_string();
        let group = self
            .settings
            .cgroups
            .create(&name, self.bounds(USUAL_MEMORY_BYTES))
            .map_err(|source| SandboxError::Io { doing: "making control groups", source })?;
        let stage = Stage {
            drop_to: self.drop_to,
            cgroups: group.as_ref().map(|group| group.folders().to_vec()).unwrap_or_default(),
            copies: copies.cloned(),
            expose: self.expose.get().cloned().unwrap_or_default(),
            tmp_bytes: self.settings.tmp_bytes,
            refuse_memory_files: group.is_none(),
        };
        Armed::stand(&self.settings.init_program, &stage, group).await
    }

    /// Starts a program in a sandbox: one that waits, or a new one.
    pub async fn start(self: &Arc<Self>, order: Order) -> Result<Running, StartError> {
        self.begin(order, || Pool::take(self)).await
    }

    async fn begin(&self, order: Order, waiting: impl Fn() -> Option<Armed>) -> Result<Running, StartError> {
        let mut env: BTreeMap<String, String> = order.env;
        let path = self.path();
        for (key, value) in
            [("PATH", path.as_str()), ("HOME", "/tmp/home"), ("LANG", "C.UTF-8"), ("TZ", "UTC")]
        {
            env.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
        let disk_bytes = if order.disk_bytes == 0 { self.settings.disk_bytes } else { order.disk_bytes };
        let mut go = Go {
            lower: Lower::None,
            payload: order.payload,
            code: order.code,
            env: env.into_iter().collect(),
            limits: Limits {
                disk_bytes,
                disk_files: self.settings.disk_files,
                processes: self.settings.max_processes,
                data_bytes: self.settings.cgroups.word().is_none().then_some(order.memory_bytes),
            },
            terminal: order.terminal,
        };
        loop {
            let (lower, tree, apart) = self.lower(order.lower.as_deref())?;
            go.lower = lower;
            let (armed, waited) = match (apart, waiting()) {
                (None, Some(armed)) => (armed, true),
                (apart, _) => (self.stand(apart.as_ref().or(self.copies.get())).await?, false),
            };
            match armed.go(&go, tree, self.bounds(order.memory_bytes)).await {
                // Somebody ended it while it waited: the next one, or a new one.
                Err(StartError::Other(error)) if waited => {
                    tracing::warn!(%error, "an armed sandbox had ended")
                }
                started => return started,
            }
        }
    }

    /// How a sandbox gets to a working copy: root hands the tree over, since the sandbox cannot walk to it any more;
    /// an ordinary user's sandbox finds it by name among the copies that it was put up with, and is put up apart for
    /// one that stands elsewhere.
    fn lower(&self, folder: Option<&Path>) -> Result<(Lower, Option<OwnedFd>, Option<PathBuf>), StartError> {
        let Some(folder) = folder else { return Ok((Lower::None, None, None)) };
        if self.drop_to.is_some() {
            let tree = mounts::clone_tree(folder, "taking the workspace");
            let refused =
                |step: spec::Step| StartError::Step { step: step.step.to_owned(), errno: step.errno };
            return Ok((Lower::Tree, Some(tree.map_err(refused)?), None));
        }
        match (folder.parent(), folder.file_name().and_then(|name| name.to_str())) {
            (Some(parent), Some(name)) => {
                let apart =
                    (self.copies.get().map(PathBuf::as_path) != Some(parent)).then(|| parent.to_owned());
                Ok((Lower::Copy(name.to_owned()), None, apart))
            }
            _ => Err(SandboxError::Internal("a workspace without a name".to_owned()).into()),
        }
    }

    /// Where programs are looked for: the runtimes outside of /usr first.
    pub fn path(&self) -> String {
        let shown = self.expose.get().map(Vec::as_slice).unwrap_or_default();
        let shown = shown.iter().map(|folder| format!("{}/bin", folder.display()));
        shown.chain(["/usr/local/bin:/usr/bin:/bin".to_owned()]).collect::<Vec<_>>().join(":")
    }
}

/// What to do about a step that this machine refuses.
pub(crate) fn remedy(error: StartError) -> String {
    let (step, errno) = match error {
        StartError::Other(error) => return format!("the sandbox does not start: {error}"),
        StartError::Step { step, errno } => (step, errno),
    };
    let why = std::io::Error::from_raw_os_error(errno);
    let advice = match step.as_str() {
        "making namespaces" | "mapping the user" => {
            "allow user namespaces (sysctl user.max_user_namespaces above 0), or, in a container, start the sandbox \
             with a seccomp profile that allows unshare and mount"
        }
        "making mounts private" | "mounting a tmpfs" | "loopback" => {
            "an AppArmor rule takes the capabilities from user namespaces: give this program a profile with \
             `userns,`, or start the service as root"
        }
        "mounting /proc" => {
            "the container masks /proc: start the sandbox's container with systempaths=unconfined"
        }
        "mounting the workspace" => "overlay mounts in user namespaces need Linux 5.11 or newer",
        "giving up root" => "choose a user that exists here with DEVSTUDIO_RUN_UID",
        _ => "see the service's log",
    };
    format!("{step}: {why}. What helps: {advice}.")
}

/// A sandbox that stood at start does not stand now.
pub(crate) fn not_standing(error: StartError) -> SandboxError {
    match error {
        StartError::Other(error) => error,
        StartError::Step { step, errno } => SandboxError::Io {
            doing: "making a sandbox",
            source: std::io::Error::other(format!("{step}: {}", std::io::Error::from_raw_os_error(errno))),
        },
    }
}
