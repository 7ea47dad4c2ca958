//! gVisor: a kernel of its own in user space, by the program `runsc`. What `micro:*` runs on where the processor
//! offers no virtualisation.

mod bundle;
mod end;

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::{process::Command, sync::Notify};

pub use self::bundle::View;
use crate::{
    blocking,
    engine::{Facts, Isolation, Job, Outcome, Status},
    error::{Doing as _, SandboxError},
    fs::{private_folder, remove_tree},
    pool::{Pool, Stands},
    process::{
        Settings,
        cgroup::{Bounds, Group},
        changes::Change,
        pump::{Sink, Stream, feed, pump},
        runtimes::{Runtime, answer_of},
    },
};

/// What gVisor itself needs beside the program.
const OWN_MEMORY_BYTES: u64 = 128 * 1024 * 1024;
/// Threads and processes of gVisor on the host, whatever the program makes.
const OWN_PROCESSES: u64 = 512;
/// What a container that waits is put up with.
const USUAL_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// How often disk and memory are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// gVisor on this machine.
pub struct Gvisor {
    runsc: Runsc,
    version: String,
    bundles: PathBuf,
    settings: Settings,
    expose: Vec<PathBuf>,
    pool: Pool<Armed>,
}

/// Its program, and where that keeps its state.
#[derive(Clone)]
struct Runsc {
    program: PathBuf,
    state: PathBuf,
}

/// A container that stands, or is about to, and waits for its program.
pub(crate) struct Armed {
    container: Container,
    child: tokio::process::Child,
}

/// What is kept of a container until nothing of it is left.
struct Container {
    runsc: Runsc,
    id: String,
    bundle: PathBuf,
    group: Option<Group>,
    /// It is gone; its folders are left.
    deleted: bool,
}

impl Stands for Gvisor {
    type Item = Armed;

    fn pool(&self) -> &Pool<Armed> {
        &self.pool
    }

    fn stand_one(&self) -> BoxFuture<'_, Result<Armed, String>> {
        Box::pin(async { self.stand().await.map_err(|error| error.to_string()) })
    }

    fn is_standing(armed: &mut Armed) -> bool {
        matches!(armed.child.try_wait(), Ok(None))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let (runsc, id, bundle) = (self.runsc.clone(), self.id.clone(), self.bundle.clone());
        let (group, deleted) = (self.group.take(), self.deleted);
        // Deleting waits for processes to end, and this may be a thread that must not wait.
        std::thread::spawn(move || {
            if !deleted {
                runsc.delete(&id, group);
            }
            runsc.forget(&id, &bundle);
        });
    }
}

impl Runsc {
    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg("--root").arg(&self.state).args(["--network=none", "--ignore-cgroups"]);
        if !rustix::process::geteuid().is_root() {
            command.arg("--rootless");
        }
        command
    }

    /// Ends a container with all that is left in it: by its group first, since runsc waits long for what it ends itself.
    fn delete(&self, id: &str, group: Option<Group>) {
        drop(group);
        let deleted = self.command().args(["delete", "-force", id]).stdin(Stdio::null()).output();
        if let Err(error) = deleted {
            tracing::warn!(%error, id, "a container could not be deleted");
        }
    }

    /// Removes the folder of a container that has ended.
    fn forget(&self, id: &str, bundle: &Path) {
        if let Err(error) = remove_tree(bundle) {
            tracing::warn!(%error, id, "a container's folder could not be removed");
        }
    }
}

impl Gvisor {
    /// gVisor, where the program is there. Clears what an earlier service left. `expose` are folders of runtimes
    /// outside of /usr, which every container shows.
    pub fn find(folder: &Path, expose: Vec<PathBuf>, settings: &Settings) -> Result<Arc<Self>, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .chain(["/usr/local/bin".into(), "/usr/bin".into()])
            .map(|folder| folder.join("runsc"))
            .find(|program| program.is_file())
            .ok_or("gVisor is not installed: install the program runsc (on Debian the package runsc)")?;
        let answer = answer_of(std::process::Command::new(&program).arg("--version"))
            .ok_or("runsc does not tell its version")?;
        let version = answer.lines().next().unwrap_or_default().replace("runsc version ", "");
        let (state, bundles) = (folder.join("state"), folder.join("bundles"));
        let made = private_folder(folder)
            .and_then(|()| private_folder(&state))
            .and_then(|()| private_folder(&bundles));
        made.map_err(|error| error.to_string())?;
        let runsc = Runsc { program, state };
        // What ran was ended by its control groups: runsc alone waits for seconds until what nobody reaps is gone.
        for left in std::fs::read_dir(&bundles).into_iter().flatten().flatten() {
            let id = left.file_name().to_string_lossy().into_owned();
            runsc.delete(&id, None);
            runsc.forget(&id, &left.path());
        }
        let (settings, pool) = (settings.clone(), Pool::default());
        Ok(Arc::new(Self { runsc, version, bundles, settings, expose, pool }))
    }

    /// Its name and version.
    pub fn provider(&self) -> String {
        format!("gVisor {}", self.version)
    }

    /// Layers and limits.
    pub fn facts(&self) -> Facts {
        let how = self.settings.cgroups.word();
        let limits = [
            ("memory", how.unwrap_or("none")),
            ("pids", how.unwrap_or("rlimit")),
            ("cpu", if self.settings.cgroups.bounds_cpu() { "cgroup" } else { "none" }),
            ("disk", "watched"),
        ];
        Facts {
            layers: ["gvisor", "mount", "pid", "net", "seccomp"].map(str::to_owned).into(),
            limits: limits.into_iter().map(|(name, how)| (name.to_owned(), how.to_owned())).collect(),
        }
    }

    /// Keeps so many containers standing, each for one program to come.
    pub fn keep_armed(self: &Arc<Self>, many: usize) {
        Pool::keep(self, many);
    }

    /// How many containers stand and wait, or are about to.
    pub fn armed(&self) -> usize {
        self.pool.len()
    }

    fn bounds(&self, memory_bytes: u64) -> Bounds {
        Bounds {
            memory_bytes: memory_bytes + OWN_MEMORY_BYTES,
            processes: OWN_PROCESSES,
            cpu_millis: self.settings.cpu_millis,
        }
    }

    /// Puts a container up that waits for its program.
    async fn stand(&self) -> Result<Armed, SandboxError> {
        let id = uuid::Uuid::now_v7().to_string();
        let group = self
            .settings
            .cgroups
            .create(&id, self.bounds(USUAL_MEMORY_BYTES))
            .doing("making control groups")?;
        let bundle = self.bundles.join(&id);
        private_folder(&bundle)?;
        let container =
            Container { runsc: self.runsc.clone(), id, bundle: bundle.clone(), group, deleted: false };
        let view = View::new(bundle, None, None);
        let config =
            bundle::config(&self.expose, self.settings.max_processes, self.settings.disk_bytes, &view);
        blocking(move || view.make(&config)).await??;
        let child = self.start(&container)?;
        Ok(Armed { container, child })
    }

    /// Runs a program in a container of its own.
    pub async fn run(
        self: &Arc<Self>,
        job: &Job,
        runtime: &Runtime,
        sink: &mut Sink,
    ) -> Result<Outcome, SandboxError> {
        let (file, code) = crate::process::program_file(job, runtime.extension)?;
        let argv: Vec<String> =
            runtime.argv.iter().cloned().chain([file]).chain(job.args.iter().cloned()).collect();
        let armed = match Pool::take(self) {
            Some(armed) => armed,
            None => self.stand().await?,
        };
        let Armed { mut container, mut child } = armed;
        if let Some(group) = &container.group {
            group.set(self.bounds(job.memory_bytes)).doing("setting limits")?;
        }
        let lower = job.view.as_ref().map(|view| view.folder.clone());
        let view = View::new(container.bundle.clone(), lower, code);
        let ordered = job.clone();
        let view = blocking(move || {
            view.fill()?;
            view.order(&ordered, &argv)?;
            Ok::<_, SandboxError>(view)
        })
        .await??;

        sink.start(None).await;
        let started = Instant::now();
        let take = || SandboxError::Internal("a child has its pipes".to_owned());
        let stdin = child.stdin.take().ok_or_else(take)?;
        let mut stdout = child.stdout.take().ok_or_else(take)?;
        let mut stderr = child.stderr.take().ok_or_else(take)?;
        let (flood, sink) = (Notify::new(), &*sink);
        // The first line is for what waits; the rest is the program's.
        let input = [b"\n", &job.stdin[..]].concat();
        let feed = async {
            feed(stdin, &input, job.more.as_ref()).await;
            std::future::pending::<()>().await
        };
        let watch = async {
            let end = self.watch_over(&mut child, &container, &view, job, &flood).await;
            let wall = started.elapsed();
            end::gently(&mut child).await;
            let (runsc, id, group) = (self.runsc.clone(), container.id.clone(), container.group.take());
            blocking(move || runsc.delete(&id, group)).await?;
            container.deleted = true;
            Ok::<_, SandboxError>((end?, wall))
        };
        let pumps = async {
            tokio::join!(
                pump(&mut stdout, Stream::Stdout, sink, &flood),
                pump(&mut stderr, Stream::Stderr, sink, &flood)
            )
        };
        let both = async { tokio::join!(pumps, watch) };
        let ((out, err), watched) = tokio::select! {
            biased;
            both = both => both,
            () = feed => unreachable!("feeding never ends"),
        };
        let ((status, exit_code, signal, message), wall) = watched?;
        let changes: Vec<Change> = match job.view {
            Some(_) => blocking(move || view.changes()).await??,
            None => Vec::new(),
        };
        Ok(Outcome {
            status,
            exit_code,
            signal,
            wall,
            cpu_ms: 0,
            max_rss_bytes: 0,
            truncated: out || err,
            isolation: Isolation::Gvisor,
            facts: self.facts(),
            changes,
            message: message.to_owned(),
        })
    }

    fn start(&self, container: &Container) -> Result<tokio::process::Child, SandboxError> {
        let mut command = self.runsc.command();
        command.args(["run", "--bundle"]).arg(&container.bundle).arg(&container.id);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let joins: Vec<std::ffi::CString> = container
            .group
            .iter()
            .flat_map(|group| group.folders())
            .filter_map(|folder| {
                std::ffi::CString::new(folder.join("cgroup.procs").into_os_string().into_encoded_bytes()).ok()
            })
            .collect();
        // SAFETY: between fork and exec only open, write and close are called, on strings made before.
        unsafe {
            command.pre_exec(move || {
                for path in &joins {
                    let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                    if fd < 0 || libc::write(fd, c"0".as_ptr().cast(), 1) != 1 {
                        return Err(std::io::Error::last_os_error());
                    }
                    libc::close(fd);
                }
                Ok(())
            });
        }
        Command::from(command).kill_on_drop(true).spawn().doing("starting gVisor")
    }

    /// Waits for whatever ends the run first.
    async fn watch_over(
        &self,
        child: &mut tokio::process::Child,
        container: &Container,
        view: &View,
        job: &Job,
        flood: &Notify,
    ) -> Result<(Status, i32, i32, &'static str), SandboxError> {
        let deadline = tokio::time::sleep(job.timeout);
        tokio::pin!(deadline);
        let mut look = tokio::time::interval(LOOK_EVERY);
        let oom = || container.group.as_ref().is_some_and(|group| group.oom_kills() > 0);
        let out_of_memory = (Status::OutOfMemory, -1, 0, "the memory limit was reached");
        // gVisor ends itself, with 2, where the kernel refuses it a thread.
        let too_many = || container.group.as_ref().is_some_and(|group| group.refused_processes() > 0);
        loop {
            tokio::select! {
                biased;
                ended = child.wait() => {
                    let code = ended.doing("waiting for gVisor")?.code().unwrap_or(-1);
                    return Ok(match code {
                        0 => (Status::Succeeded, 0, 0, ""),
                        _ if oom() => out_of_memory,
                        2 if too_many() => {
                            (Status::Signaled, -1, libc::SIGKILL, "the program was ended: it made too many processes")
                        }
                        // runsc answers a signal as a shell does.
                        129..=192 => (Status::Signaled, -1, code - 128, ""),
                        code => (Status::NonzeroExit, code, 0, ""),
                    });
                }
                () = &mut deadline => return Ok((Status::Timeout, -1, 0, "the time limit was reached")),
                () = job.cancel.cancelled() => return Ok((Status::Cancelled, -1, 0, "the run was cancelled")),
                () = flood.notified() => {
                    return Ok((Status::Signaled, -1, libc::SIGKILL, "the program was ended: it wrote far too much"));
                }
                _ = look.tick() => {
                    if oom() {
                        return Ok(out_of_memory);
                    }
                    // Not on this thread: a program may have made very many files.
                    let disk = view.disk();
                    if blocking(move || disk.used_bytes()).await? > self.settings.disk_bytes {
                        return Ok((Status::Signaled, -1, libc::SIGXFSZ, "the program was ended: its disk is full"));
                    }
                }
            }
        }
    }
}

/// A job that does nothing, to try the engine with.
pub fn trial(runtime: &Runtime) -> Job {
    Job {
        exec_id: uuid::Uuid::now_v7(),
        user_id: uuid::Uuid::nil(),
        program: crate::engine::Program::Code(runtime.sample.to_owned()),
        runtime: runtime.name.to_owned(),
        stdin: Bytes::new(),
        more: None,
        args: Vec::new(),
        env: Default::default(),
        function: String::new(),
        timeout: Duration::from_secs(20),
        memory_bytes: 256 * 1024 * 1024,
        workspace_id: None,
        fencing_token: 0,
        most_removed: None,
        as_of: None,
        view: None,
        cancel: Default::default(),
    }
}
