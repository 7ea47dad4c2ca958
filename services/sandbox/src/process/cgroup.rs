//! Control groups: version 2 where it was delegated, version 1 where it is writable, none otherwise.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// What control groups this process may make. Their folder goes with it, where nothing is left in it.
#[derive(Debug)]
pub enum Cgroups {
    /// One tree; each group is a folder below this one.
    V2 {
        /// The folder of our groups.
        base: PathBuf,
    },
    /// A tree for each controller; each group is a folder below each of these.
    V1 {
        /// For memory.
        memory: PathBuf,
        /// For the number of processes.
        pids: PathBuf,
        /// For processor time.
        cpu: Option<PathBuf>,
    },
    /// None.
    None,
}

/// What a group may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory, files in memory among them.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Thousandths of a processor.
    pub cpu_millis: u64,
}

/// The groups of one sandbox; removed when dropped.
#[derive(Debug)]
pub struct Group {
    folders: Vec<PathBuf>,
    events: PathBuf,
    bounds: Bounds,
}

impl Cgroups {
    /// Finds out what there is, by making and removing a group, and ends what an earlier service left behind.
    /// `instance` keeps those of other services apart.
    pub fn detect(instance: &str) -> Arc<Self> {
        let name = format!("devstudio-{instance}");
        for candidate in [v2(&name), v1(&name)].into_iter().flatten() {
            let swept = candidate.sweep();
            if swept > 0 {
                tracing::info!(swept, "removed control groups that an earlier service left");
            }
            let bounds = Bounds { memory_bytes: 64 << 20, processes: 8, cpu_millis: 1000 };
            match candidate.create("probe", bounds) {
                Ok(_group) => {
                    candidate.bound_all();
                    return Arc::new(candidate);
                }
                Err(error) => tracing::debug!(%error, ?candidate, "these control groups cannot be used"),
            }
        }
        Arc::new(Self::None)
    }

    /// The word for how limits are kept.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::V2 { .. } | Self::V1 { .. } => Some("cgroup"),
            Self::None => None,
        }
    }

    /// Processor time is bounded as well.
    pub fn bounds_cpu(&self) -> bool {
        matches!(self, Self::V2 { .. } | Self::V1 { cpu: Some(_), .. })
    }

    /// Makes the groups of a sandbox.
    pub fn create(&self, name: &str, bounds: Bounds) -> io::Result<Option<Group>> {
        let quota = quota(bounds);
        match self {
            Self::None => Ok(None),
            Self::V2 { base } => {
                let folder = base.join(name);
                fs::create_dir(&folder)?;
                let group =
                    Group { folders: vec![folder.clone()], events: folder.join("memory.events"), bounds };
                let set = |file: &str, value: String| fs::write(folder.join(file), value);
                set("memory.max", bounds.memory_bytes.to_string())?;
                set("pids.max", bounds.processes.to_string())?;
                set("memory.oom.group", "1".to_owned())?;
                // Kernels without swap or without the controller lack these files.
                let _ = set("memory.swap.max", "0".to_owned());
                let _ = set("cpu.max", format!("{quota} 100000"));
                Ok(Some(group))
            }
            Self::V1 { memory, pids, cpu } => {
                let events = memory.join(name).join("memory.oom_control");
                let mut group = Group { folders: Vec::new(), events, bounds };
                let mut make = |base: &Path| {
                    let folder = base.join(name);
                    fs::create_dir_all(base)?;
                    fs::create_dir(&folder)?;
                    group.folders.push(folder.clone());
                    io::Result::Ok(folder)
                };
                let folder = make(memory)?;
                fs::write(folder.join("memory.limit_in_bytes"), bounds.memory_bytes.to_string())?;
                // Absent where the kernel does not account for swap.
                let _ =
                    fs::write(folder.join("memory.memsw.limit_in_bytes"), bounds.memory_bytes.to_string());
                fs::write(make(pids)?.join("pids.max"), bounds.processes.to_string())?;
                if let Some(cpu) = cpu {
                    let folder = make(cpu)?;
                    fs::write(folder.join("cpu.cfs_period_us"), "100000")?;
                    fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string())?;
                }
                Ok(Some(group))
            }
        }
    }

    /// Bounds all programs of this service together, by three quarters of the machine's memory: each has its own limit,
    /// but many may be asked for. Where the kernel does not let it, each still has its own.
    fn bound_all(&self) {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let total = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        let Some(most) = total.map(|kib| kib / 4 * 3 * 1024) else { return };
        let file = match self {
            Self::V2 { base } => base.join("memory.max"),
            Self::V1 { memory, .. } => memory.join("memory.limit_in_bytes"),
            Self::None => return,
        };
        if let Err(error) = fs::write(file, most.to_string()) {
            tracing::debug!(%error, "programs are not bounded together");
        }
    }

    fn bases(&self) -> Vec<&PathBuf> {
        match self {
            Self::None => Vec::new(),
            Self::V2 { base } => vec![base],
            Self::V1 { memory, pids, cpu } => {
                [Some(memory), Some(pids), cpu.as_ref()].into_iter().flatten().collect()
            }
        }
    }

    /// Ends and removes what a service that was killed left behind. Answers how many groups there were.
    fn sweep(&self) -> usize {
        let mut swept = 0;
        for base in self.bases() {
            for entry in fs::read_dir(base).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    swept += 1;
                    remove(&entry.path());
                }
            }
        }
        swept
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for base in self.bases() {
            // Runs that still end keep theirs; the next start sweeps them.
            let _ = fs::remove_dir(base);
        }
    }
}

impl Group {
    /// The folders that a process joins.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Gives the group other bounds.
    pub fn set(&self, bounds: Bounds) -> io::Result<()> {
        if bounds == self.bounds {
            return Ok(());
        }
        for folder in &self.folders {
            let file = |name: &str| Some(folder.join(name)).filter(|file| file.exists());
            let memory = bounds.memory_bytes.to_string();
            match (file("memory.max"), file("memory.limit_in_bytes"), file("memory.memsw.limit_in_bytes")) {
                (Some(most), ..) => fs::write(most, memory)?,
                // With swap it may never be less than without: whichever way it goes, one of the two must be first.
                (None, Some(most), Some(with_swap)) => {
                    if bounds.memory_bytes > self.bounds.memory_bytes {
                        fs::write(&with_swap, &memory)?;
                    }
                    fs::write(most, &memory)?;
                    fs::write(with_swap, memory)?;
                }
                (None, Some(most), None) => fs::write(most, memory)?,
                (None, None, _) => {}
            }
            if let Some(most) = file("pids.max") {
                fs::write(most, bounds.processes.to_string())?;
            }
            if let Some(most) = file("cpu.max") {
                fs::write(most, format!("{} 100000", quota(bounds)))?;
            }
            if let Some(most) = file("cpu.cfs_quota_us") {
                fs::write(most, quota(bounds).to_string())?;
            }
        }
        Ok(())
    }

    /// How many processes the kernel killed since the memory was used up.
    pub fn oom_kills(&self) -> u64 {
        let text = fs::read_to_string(&self.events).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// How many processes or threads the kernel refused since there were as many as may be.
    pub fn refused_processes(&self) -> u64 {
        let texts =
            self.folders.iter().filter_map(|folder| fs::read_to_string(folder.join("pids.events")).ok());
        texts
            .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("max ")?.parse::<u64>().ok()))
            .sum()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            remove(folder);
        }
    }
}

/// Microseconds of processor time in each tenth of a second.
fn quota(bounds: Bounds) -> u64 {
    bounds.cpu_millis * 100
}

/// Ends whatever is in a group and removes it; ended processes take a moment to leave.
fn remove(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(1);
    while let Err(error) = fs::remove_dir(folder) {
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        if Instant::now() > deadline {
            tracing::warn!(%error, folder = %folder.display(), "a control group could not be removed");
            return;
        }
        let _ = fs::write(folder.join("cgroup.kill"), "1");
        let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0) {
            // SAFETY: the call touches no memory. The process is in a group of ours.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::yield_now();
    }
}

/// Where the controllers of version 1 are mounted, or the one tree of version 2, and the path of this process there.
fn place(controller: Option<&str>) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (target, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        match controller {
            None => (kind == "cgroup2").then_some(target),
            Some(name) => (kind == "cgroup" && options.split(',').any(|o| o == name)).then_some(target),
        }
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        match controller {
            None => names.is_empty().then_some(path),
            Some(name) => names.split(',').any(|n| n == name).then_some(path),
        }
    })?;
    Some(Path::new(mount).join(path.trim_start_matches('/')))
}

fn v1(name: &str) -> Option<Cgroups> {
    let base = |controller| {
        let base = place(Some(controller))?.join(name);
        fs::create_dir_all(&base).ok()?;
        Some(base)
    };
    Some(Cgroups::V1 { memory: base("memory")?, pids: base("pids")?, cpu: base("cpu") })
}

fn v2(name: &str) -> Option<Cgroups> {
    let own = place(None)?;
    let has = |folder: &Path, file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        ["memory", "pids"].iter().all(|wanted| text.split_whitespace().any(|word| word == *wanted))
    };
    // A service that was started again within its own leaf makes its groups beside it.
    let own = if own.ends_with("devstudio-service") { own.parent()?.to_owned() } else { own };
    if !has(&own, "cgroup.controllers") {
        return None;
    }
    if !has(&own, "cgroup.subtree_control") {
        // A group with processes of its own passes no controllers on: this process moves into a leaf.
        let leaf = own.join("devstudio-service");
        fs::create_dir_all(&leaf).ok()?;
        fs::write(leaf.join("cgroup.procs"), "0").ok()?;
        fs::write(own.join("cgroup.subtree_control"), "+memory +pids").ok()?;
        let _ = fs::write(own.join("cgroup.subtree_control"), "+cpu");
    }
    let base = own.join(name);
    fs::create_dir_all(&base).ok()?;
    fs::write(base.join("cgroup.subtree_control"), "+memory +pids").ok()?;
    let _ = fs::write(base.join("cgroup.subtree_control"), "+cpu");
    Some(Cgroups::V2 { base })
}
