//! gVisor: a kernel of its own in user space, by the program `runsc`. What `micro:*` runs on where the processor
//! offers no virtualisation.

mod bundle;

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{process::Command, sync::Notify};

pub use self::bundle::View;
use crate::{
    engine::{Facts, Isolation, Job, Outcome, Status},
    error::{Doing as _, SandboxError},
    fs::{private_folder, remove_tree},
    process::{
        cgroup::{Bounds, Cgroups, Group},
        changes::Change,
        pump::{Sink, Stream, feed, pump},
        runtimes::{Runtime, answer_of},
    },
};

/// What gVisor itself needs beside the program.
const OWN_MEMORY_BYTES: u64 = 128 * 1024 * 1024;
/// Threads and processes of gVisor on the host, whatever the program makes.
const OWN_PROCESSES: u64 = 512;
/// How often disk and memory are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// gVisor on this machine.
pub struct Gvisor {
    program: PathBuf,
    version: String,
    state: PathBuf,
    bundles: PathBuf,
    cgroups: Cgroups,
    cpu_millis: u64,
    disk_bytes: u64,
    processes: u64,
}

/// What is kept of a container until nothing of it is left.
struct Container {
    gvisor: Arc<Gvisor>,
    id: String,
    bundle: PathBuf,
    group: Option<Group>,
}

impl Drop for Gvisor {
    fn drop(&mut self) {
        self.cgroups.close();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let (gvisor, id, bundle) = (self.gvisor.clone(), self.id.clone(), self.bundle.clone());
        let group = self.group.take();
        // Deleting waits for processes to end, and this may be a thread that must not wait.
        std::thread::spawn(move || gvisor.clear(&id, &bundle, group));
    }
}

impl Gvisor {
    /// gVisor, where the program is there. Clears what an earlier service left.
    pub fn find(
        folder: &Path,
        instance: &str,
        cpu_millis: u64,
        disk_bytes: u64,
        processes: u64,
    ) -> Result<Arc<Self>, String> {
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
        let cgroups = Cgroups::detect(&format!("{instance}-micro"));
        let gvisor = Self { program, version, state, bundles, cgroups, cpu_millis, disk_bytes, processes };
        for left in std::fs::read_dir(&gvisor.bundles).into_iter().flatten().flatten() {
            gvisor.clear(&left.file_name().to_string_lossy(), &left.path(), None);
        }
        gvisor.cgroups.sweep();
        Ok(Arc::new(gvisor))
    }

    /// Its name and version.
    pub fn provider(&self) -> String {
        format!("gVisor {}", self.version)
    }

    /// Layers and limits.
    pub fn facts(&self) -> Facts {
        let how = self.cgroups.word();
        let limits = [
            ("memory", how.unwrap_or("none")),
            ("pids", how.unwrap_or("rlimit")),
            ("cpu", if self.cgroups.bounds_cpu() { "cgroup" } else { "none" }),
            ("disk", "watched"),
        ];
        Facts {
            layers: ["gvisor", "mount", "pid", "net", "seccomp"].map(str::to_owned).into(),
            limits: limits.into_iter().map(|(name, how)| (name.to_owned(), how.to_owned())).collect(),
        }
    }

    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg("--root").arg(&self.state).args(["--network=none", "--ignore-cgroups"]);
        if !rustix::process::geteuid().is_root() {
            command.arg("--rootless");
        }
        command
    }

    /// Ends a container and removes all that is left of it.
    fn clear(&self, id: &str, bundle: &Path, group: Option<Group>) {
        let deleted = self.command().args(["delete", "-force", id]).stdin(Stdio::null()).output();
        if let Err(error) = deleted {
            tracing::warn!(%error, id, "a container could not be deleted");
        }
        drop(group);
        if !bundle.as_os_str().is_empty()
            && let Err(error) = remove_tree(bundle)
        {
            tracing::warn!(%error, id, "a container's folder could not be removed");
        }
    }

    /// Runs a program in a container of its own.
    pub async fn run(
        self: &Arc<Self>,
        job: &Job,
        runtime: &Runtime,
        sink: &mut Sink,
    ) -> Result<Outcome, SandboxError> {
        let id = job.exec_id.to_string();
        let (file, code) = crate::process::program_file(job, runtime.extension)?;
        let bounds = Bounds {
            memory_bytes: job.memory_bytes + OWN_MEMORY_BYTES,
            processes: OWN_PROCESSES,
            cpu_millis: self.cpu_millis,
        };
        let group = self.cgroups.create(&id, bounds).doing("making control groups")?;
        let bundle = self.bundles.join(&id);
        private_folder(&bundle)?;
        let mut container = Container { gvisor: self.clone(), id, bundle: bundle.clone(), group };
        let view = View::new(bundle, job.view.as_ref().map(|view| view.folder.clone()), code);
        let argv: Vec<String> =
            runtime.argv.iter().cloned().chain([file]).chain(job.args.iter().cloned()).collect();
        let config = bundle::config(job, runtime, argv, self.processes, self.disk_bytes, &view);
        let view = blocking(move || view.fill(&config).map(|()| view)).await?;

        let mut child = self.start(&container)?;
        sink.start(None).await;
        let started = Instant::now();
        let take = || SandboxError::Internal("a child has its pipes".to_owned());
        let stdin = child.stdin.take().ok_or_else(take)?;
        let stdout = child.stdout.take().ok_or_else(take)?;
        let stderr = child.stderr.take().ok_or_else(take)?;
        let (flood, sink) = (Notify::new(), &*sink);
        let feed = async {
            feed(stdin, &job.stdin, job.more.as_ref()).await;
            std::future::pending::<()>().await
        };
        let watch = async {
            let end = self.watch_over(&mut child, &container, &view, job, &flood).await;
            let wall = started.elapsed();
            // Without its container nobody writes to the pipes any more.
            let _ = child.start_kill();
            let (gvisor, id, bundle, group) =
                (self.clone(), container.id.clone(), PathBuf::new(), container.group.take());
            blocking(move || {
                gvisor.clear(&id, &bundle, group);
                Ok(())
            })
            .await?;
            let _ = child.wait().await;
            Ok::<_, SandboxError>((end?, wall))
        };
        let pumps = async {
            tokio::join!(
                pump(stdout, Stream::Stdout, sink, &flood),
                pump(stderr, Stream::Stderr, sink, &flood)
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
            Some(_) => blocking(move || view.changes()).await?,
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
        let mut command = self.command();
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
        loop {
            tokio::select! {
                biased;
                ended = child.wait() => {
                    let code = ended.doing("waiting for gVisor")?.code().unwrap_or(-1);
                    return Ok(match code {
                        0 => (Status::Succeeded, 0, 0, ""),
                        _ if oom() => out_of_memory,
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
                    if view.used_bytes() > self.disk_bytes {
                        return Ok((Status::Signaled, -1, libc::SIGXFSZ, "the program was ended: its disk is full"));
                    }
                }
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SandboxError::Internal(error.to_string()))?
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
        view: None,
        cancel: Default::default(),
    }
}
