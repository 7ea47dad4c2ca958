//! What the tests of the engines share: a sandbox of this machine, and runs told in one line.
#![allow(dead_code)]

pub mod module;
pub mod proof;

use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use devstudio_sandbox::{
    SandboxError,
    engine::{Engine, Isolation, Job, Outcome, Program, View},
    process::{
        Factory, Process, Settings,
        cgroup::Cgroups,
        changes::Change,
        pump::{Event, Sink, Stream},
    },
};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// The launcher that cargo built beside the tests.
pub const INIT: &str = env!("CARGO_BIN_EXE_sandbox-init");

/// Settings of a service of its own: no two sweep each other's groups.
pub fn settings(instance: &str) -> Settings {
    static SERVICES: AtomicUsize = AtomicUsize::new(0);
    let number = SERVICES.fetch_add(1, Ordering::Relaxed);
    settings_of(&format!("test-{instance}-{}-{number}", std::process::id()))
}

/// Settings of a service of this very name; one of the same name before is swept.
pub fn settings_of(instance: &str) -> Settings {
    Settings {
        init_program: std::env::var_os("DEVSTUDIO_SANDBOX_INIT")
            .map_or_else(|| PathBuf::from(INIT), PathBuf::from),
        cgroups: Cgroups::detect(instance),
        run_as: (65534, 65534),
        max_processes: 64,
        cpu_millis: 1000,
        disk_bytes: 64 << 20,
        disk_files: 10_000,
        tmp_bytes: 64 << 20,
    }
}

static ENGINE: OnceCell<Result<Arc<Process>, String>> = OnceCell::const_new();

/// The engine `run` of this machine, made once; nothing and a word about it where it does not work.
pub async fn run_engine(test: &str) -> Option<Arc<Process>> {
    let engine = ENGINE
        .get_or_init(|| async {
            let factory = Factory::probe(settings("run")).await?;
            Ok(Arc::new(Process::new(Ok(factory), Isolation::Process).await))
        })
        .await;
    match engine {
        Ok(engine) => Some(engine.clone()),
        Err(remedy) => {
            eprintln!("SKIPPED {test}: {remedy}");
            None
        }
    }
}

pub fn job(program: Program, runtime: &str) -> Job {
    Job {
        exec_id: Uuid::now_v7(),
        user_id: Uuid::nil(),
        program,
        runtime: runtime.to_owned(),
        stdin: Default::default(),
        more: None,
        args: Vec::new(),
        env: BTreeMap::new(),
        function: String::new(),
        timeout: Duration::from_secs(20),
        memory_bytes: 256 << 20,
        workspace_id: None,
        fencing_token: 0,
        most_removed: None,
        as_of: None,
        view: None,
        cancel: Default::default(),
    }
}

pub fn python(code: &str) -> Job {
    job(Program::Code(code.to_owned()), "python")
}

pub fn node(code: &str) -> Job {
    job(Program::Code(code.to_owned()), "node")
}

/// How a Python program looks about: what a folder holds, what a file says, whether it can be written; refusals by name.
pub const LOOKING: &str = r"
import os, json
def ls(p):
    try: return sorted(os.listdir(p))
    except OSError as e: return type(e).__name__
def cat(p):
    try: return open(p).read()
    except OSError as e: return type(e).__name__
def write(p):
    try:
        open(p, 'w').write('x'); return 'WRITTEN'
    except OSError: return 'no'
";

/// A folder that stands for a workspace's working copy.
pub fn workspace(files: &[(&str, &str)]) -> (tempfile::TempDir, View) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = rustix::process::geteuid().is_root();
    let jail =
        devstudio_sandbox::fs::Jail::open(folder.path(), root.then_some((65534, 65534))).expect("a jail");
    for (path, text) in files {
        let path = devstudio_sandbox::fs::JailPath::file(path).expect("a path");
        jail.write(&path, text.as_bytes()).expect("a write");
    }
    if root {
        std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).expect("an owner");
    }
    let view = View { workspace_id: Uuid::now_v7(), folder: folder.path().to_owned() };
    (folder, view)
}

/// A run and all that it wrote.
#[derive(Debug)]
pub struct Ran {
    pub outcome: Outcome,
    pub stdout: String,
    pub stderr: String,
    pub events: Vec<Event>,
}

impl Ran {
    /// Its output as it is.
    pub fn stdout_bytes(&self) -> Vec<u8> {
        self.bytes(Stream::Stdout)
    }

    /// What it changed, a word each: written with its size, removed, or rejected with the reason.
    pub fn changes(&self) -> Vec<String> {
        let changes = self.outcome.changes.iter();
        changes
            .map(|change| match change {
                Change::Written(path, content) => format!("w {path} {}", content.len()),
                Change::Removed(path) => format!("r {path}"),
                Change::Rejected { path, why } => format!("x {path} {why}"),
            })
            .collect()
    }

    fn bytes(&self, wanted: Stream) -> Vec<u8> {
        let mut bytes = Vec::new();
        for event in &self.events {
            match event {
                Event::Output { stream, data, .. } if *stream == wanted => bytes.extend_from_slice(data),
                _ => {}
            }
        }
        bytes
    }
}

pub async fn try_run(engine: &dyn Engine, job: &Job) -> Result<Ran, SandboxError> {
    let (mut sink, mut receiver) = Sink::new();
    let mut events = Vec::new();
    let outcome = {
        let run = engine.run(job, &mut sink);
        tokio::pin!(run);
        loop {
            tokio::select! {
                outcome = &mut run => break outcome?,
                Some(event) = receiver.recv() => events.push(event),
            }
        }
    };
    while let Ok(event) = receiver.try_recv() {
        events.push(event);
    }
    let mut ran = Ran { outcome, stdout: String::new(), stderr: String::new(), events };
    ran.stdout = String::from_utf8_lossy(&ran.bytes(Stream::Stdout)).into_owned();
    ran.stderr = String::from_utf8_lossy(&ran.bytes(Stream::Stderr)).into_owned();
    Ok(ran)
}

pub async fn run(engine: &dyn Engine, job: &Job) -> Ran {
    try_run(engine, job).await.expect("the engine runs")
}

/// Waits for a condition of the machine, for at most `seconds`.
pub async fn until(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}

/// Runs many futures at once.
pub async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures::future::join_all(futures).await
}

/// How many processes of this machine have a word in their command line.
pub fn processes_with(word: &str) -> usize {
    pids_with(word).len()
}

/// Processes of this machine whose command line contains a word, without this one.
pub fn pids_with(word: &str) -> Vec<u32> {
    let own = std::process::id();
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(word)
        })
        .collect()
}
