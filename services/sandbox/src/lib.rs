//! The sandbox: workspaces of files behind a jail, and engines that run strangers' programs in isolation.
//!
//! A program asks for a run at [`service`]'s door; [`run`] gives every run its limits, its place in the queue, its
//! row and its metrics; an [`engine`] isolates it: [`process`] by Linux namespaces, [`wasm`] by wasmer in such a
//! process, `micro` by gVisor or a virtual machine. What it changed comes back into its workspace through [`tree`],
//! the one writer. [`fs`] is the jail through which every file of a workspace is touched.

pub mod archive;
mod config;
mod edit;
pub mod engine;
pub mod error;
pub mod fs;
mod fs_engine;
pub mod gvisor;
pub mod lock;
mod metrics;
pub mod micro;
mod pack;
mod pool;
pub mod port;
pub mod process;
pub mod run;
mod search;
mod service;
pub mod store;
pub mod terminal;
pub mod tree;
pub mod uploads;
pub mod wasm;
mod watch;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use devstudio_kit::{clock::Clock, logs::Log, server::MAX_MESSAGE_BYTES};
use devstudio_proto::sandbox::v1::{
    archive_service_server::ArchiveServiceServer, lock_service_server::LockServiceServer,
    port_service_server::PortServiceServer, sandbox_service_server::SandboxServiceServer,
    snapshot_service_server::SnapshotServiceServer, terminal_service_server::TerminalServiceServer,
    workspace_service_server::WorkspaceServiceServer,
};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{codec::CompressionEncoding, service::Routes};

pub use config::Config;
pub use error::SandboxError;

use self::{
    engine::Registry,
    error::Doing as _,
    port::Ports,
    process::Factory,
    run::{Dispatcher, queue::Queue},
    store::Store,
    terminal::Terminals,
    tree::{Quota, Trees},
    uploads::Uploads,
};

const MIB: u64 = 1024 * 1024;
/// How often the sandbox looks for what is too old to keep.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long the first sweep waits for a database that does not answer yet.
const SWEEP_AGAIN: Duration = Duration::from_secs(5);

/// Becomes a sandbox where this process was started for that, and then never returns.
///
/// Must be the first thing in `main`, before any thread is started.
pub fn init_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == process::spec::INIT_ARGUMENT) {
        process::launcher::main();
    }
}

/// What the sandbox works with.
#[derive(Clone)]
pub struct Deps {
    /// Connections in the role `devstudio_sandbox`.
    pub pool: PgPool,
    /// Tells the time of everything that is stored.
    pub clock: Clock,
    /// The settings.
    pub config: Config,
    /// Where the output of runs is shown to people.
    pub log: Option<Log>,
    /// The instance's data; its hash keeps instances of one machine apart.
    pub data_dir: PathBuf,
    /// Ends watches and terminals when the process stops: they would hold up its end. Runs may finish.
    pub stop: CancellationToken,
    /// What the process waits for before it is gone: terminals that bring their last changes to the workspaces.
    pub endings: TaskTracker,
}

/// The sandbox of this process.
pub struct Sandbox {
    dispatcher: Dispatcher,
    trees: Trees,
    terminals: Terminals,
    ports: Ports,
    uploads: Uploads,
}

impl Sandbox {
    /// Finds out what this machine offers, by trying it, and starts. Needs no database yet.
    pub async fn start(deps: Deps) -> Result<Self, SandboxError> {
        let Deps { pool, clock, config, log, data_dir, stop, endings } = deps;
        let instance = instance_of(&data_dir);
        let folder = instance_folder(&config.sandbox_dir, &instance)?;
        let init_program = std::env::current_exe().doing("finding this program")?;
        let settings = process::Settings::of(&config, init_program, &instance);
        let factory = Box::pin(Factory::probe(settings.clone())).await;
        if let Err(remedy) = &factory {
            tracing::error!(remedy, "programs cannot be isolated here; the engines run and wasm are off");
        }
        let owner = rustix::process::geteuid().is_root().then_some(settings.run_as);
        let store = Store::new(pool);
        let quota = Quota {
            bytes: u64::from(config.workspace_quota_mib) * MIB,
            files: config.workspace_files.into(),
            workspaces: config.workspaces,
        };
        let trees = Trees::new(store.clone(), clock.clone(), stop.clone(), folder.join("ws"), owner, quota)?;
        if let Ok(factory) = &factory {
            factory.find_copies_in(folder.join("ws"));
        }
        let limits = uploads::Limits {
            upload_bytes: u64::from(config.upload_mib) * MIB,
            person_bytes: u64::from(config.uploads_mib) * MIB,
        };
        let uploads = Uploads::new(store.clone(), clock.clone(), limits);
        let wasm = wasm::Settings { cache: folder.join("wasm"), fuel: config.wasm_fuel, warm: true };
        let micro = micro::Settings { folder: folder.join("micro"), process: settings };
        let no_micro = micro::names().iter().all(|name| config.engines_off.iter().any(|off| off == name));
        let micros = async {
            if no_micro { Ok(micro::untried(engine::SWITCHED_OFF)) } else { micro::engines(micro).await }
        };
        let run = process::Process::new(factory.clone(), config.run_min_isolation);
        let (run, micros) = tokio::join!(Box::pin(run), Box::pin(micros));
        let registry = Registry::default().with(fs_engine::Fs::new(trees.clone())).with(run);
        if let Ok(factory) = &factory {
            factory.keep_armed(config.run_armed.into());
        }
        let switched_off = config.engines_off.iter().any(|name| name == "run");
        let terminals = Terminals::new(terminal::Deps {
            factory: if switched_off { Err(engine::SWITCHED_OFF.to_owned()) } else { factory.clone() },
            minimum: config.run_min_isolation,
            trees: trees.clone(),
            clock: clock.clone(),
            log: log.clone(),
            limits: terminal::Limits {
                most: config.terminals.into(),
                idle: time::Duration::minutes(config.terminal_idle_minutes.into()),
                memory_bytes: u64::from(config.terminal_memory_mib) * MIB,
                disk_bytes: u64::from(config.terminal_disk_mib) * MIB,
                ring_bytes: 1024 * 1024,
            },
            stop,
            endings,
        });
        let registry = registry.with(wasm::Wasm::new(factory, wasm)?);
        let micros = micros?;
        micros.iter().for_each(|micro| micro.keep_armed(config.micro_armed.into()));
        let registry = micros.into_iter().fold(registry, |registry, micro| registry.with(micro));
        let registry = registry.without(&config.engines_off)?;
        for engine in registry.iter().map(|engine| engine.info()) {
            let (name, isolation) = (engine.engine, engine.isolation.name());
            tracing::info!(name, available = engine.available, isolation, remedy = engine.remedy, "engine");
        }
        let dispatcher = Dispatcher::new(run::Deps {
            registry,
            store,
            trees: trees.clone(),
            clock,
            log,
            queue: Queue::new(config.run_slots.into(), config.run_queue.into()),
            limits: run::Limits {
                default_timeout: Duration::from_secs(10),
                most_timeout: Duration::from_secs(600),
                most_memory_bytes: 4096 * MIB,
            },
            instance,
        });
        let keep = time::Duration::days(config.run_keep_days.into());
        tokio::spawn(sweep(dispatcher.clone(), uploads.clone(), keep));
        let ports = Ports::new(terminals.clone(), dispatcher.clone(), trees.clone());
        Ok(Self { dispatcher, trees, terminals, ports, uploads })
    }

    /// All services of the sandbox, to be laid under `kit::server::guarded`.
    pub fn routes(&self) -> Routes {
        let sandbox = SandboxServiceServer::new(service::Sandbox { dispatcher: self.dispatcher.clone() })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let trees = service::Workspaces { trees: self.trees.clone() };
        let workspaces = WorkspaceServiceServer::new(trees.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let locks = LockServiceServer::new(trees.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let archives = ArchiveServiceServer::new(service::Archives::new(trees.clone(), self.uploads.clone()))
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let snapshots = SnapshotServiceServer::new(trees)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let terminals = TerminalServiceServer::new(service::Shells { terminals: self.terminals.clone() })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip);
        let ports = PortServiceServer::new(service::Doors { ports: self.ports.clone() })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip);
        Routes::new(sandbox)
            .add_service(workspaces)
            .add_service(locks)
            .add_service(snapshots)
            .add_service(terminals)
            .add_service(ports)
            .add_service(archives)
    }

    /// The engines of this machine.
    pub fn engines(&self) -> &Registry {
        self.dispatcher.registry()
    }
}

/// Starts the sandbox and answers its routes.
pub async fn routes(deps: Deps) -> Result<Routes, SandboxError> {
    Ok(Sandbox::start(deps).await?.routes())
}

/// Does work for a processor or a disk off the async workers.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SandboxError::Internal(error.to_string()))
}

async fn sweep(dispatcher: Dispatcher, uploads: Uploads, keep: time::Duration) {
    // At the start the database may not be there yet; later that is worth a word.
    let mut before = false;
    loop {
        let (runs, parts) = tokio::join!(dispatcher.sweep(keep), uploads.sweep());
        let failed = runs.err().or(parts.err());
        match &failed {
            Some(error) if before => tracing::warn!(%error, "what is old could not be swept; trying again"),
            Some(error) => tracing::debug!(%error, "what is old could not be swept yet"),
            None => {}
        }
        before |= failed.is_none();
        tokio::time::sleep(if failed.is_none() { SWEEP_EVERY } else { SWEEP_AGAIN }).await;
    }
}

/// Names an instance by the hash of its data directory.
fn instance_of(data_dir: &Path) -> String {
    let place = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    hex::encode(&Sha256::digest(place.as_os_str().as_encoded_bytes())[..6])
}

/// The folder of an instance, private, below one that several users of the machine may share.
fn instance_folder(shared: &Path, instance: &str) -> Result<PathBuf, SandboxError> {
    match std::fs::create_dir(shared) {
        Ok(()) => std::fs::set_permissions(shared, std::fs::Permissions::from_mode(0o1777))
            .doing("sharing the sandbox's folder")?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).doing("making the sandbox's folder"),
    }
    if !std::fs::symlink_metadata(shared).doing("looking at the sandbox's folder")?.is_dir() {
        return Err(SandboxError::Internal(format!("{} is not a folder", shared.display())));
    }
    let folder = shared.join(instance);
    // the supervisor keeps its sockets beside ours, and the database's account passes through; all in it is private
    fs::own_folder(&folder, 0o711)?;
    Ok(folder)
}
