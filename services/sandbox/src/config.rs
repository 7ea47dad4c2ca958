//! Settings of the sandbox.

use std::path::PathBuf;

use clap::{Args as _, FromArgMatches as _};

use crate::engine::Isolation;

/// Settings of the sandbox.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Where working copies and other files of runs are kept; each instance has a folder of its own below it.
    #[arg(long, env = "DEVSTUDIO_SANDBOX_DIR", default_value = "/tmp/devstudio")]
    pub sandbox_dir: PathBuf,
    /// The least isolation of engine run: process-weak, process, wasm, gvisor or hardware-vm.
    #[arg(long, env = "DEVSTUDIO_RUN_MIN_ISOLATION", default_value = "process")]
    pub run_min_isolation: Isolation,
    /// Engines that are switched off, such as wasm,micro:node.
    #[arg(long, env = "DEVSTUDIO_ENGINES_OFF", value_delimiter = ',', value_name = "NAMES")]
    pub engines_off: Vec<String>,
    /// How many programs run at once.
    #[arg(long, env = "DEVSTUDIO_RUN_SLOTS", default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub run_slots: u16,
    /// How many sandboxes stand ready beforehand, each for one program, so that it starts at once.
    #[arg(long, env = "DEVSTUDIO_RUN_ARMED", default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(0..=64))]
    pub run_armed: u16,
    /// How many kernels of engine micro stand ready beforehand, where that runs on gVisor; some 40 MiB each.
    #[arg(long, env = "DEVSTUDIO_MICRO_ARMED", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(0..=64))]
    pub micro_armed: u16,
    /// How many runs of one person may wait.
    #[arg(long, env = "DEVSTUDIO_RUN_QUEUE", default_value_t = 32,
        value_parser = clap::value_parser!(u16).range(0..=10000))]
    pub run_queue: u16,
    /// The user and group id that programs have on the host where the service is root.
    #[arg(long, env = "DEVSTUDIO_RUN_UID", default_value_t = 65534)]
    pub run_uid: u32,
    /// Processes and threads of a run.
    #[arg(long, env = "DEVSTUDIO_RUN_PROCESSES", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(8..=4096))]
    pub run_processes: u32,
    /// Processor time of a run, in thousandths of a processor.
    #[arg(long, env = "DEVSTUDIO_RUN_CPU_MILLIS", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(50..=256000))]
    pub run_cpu_millis: u32,
    /// MiB that a run may write into its workspace's view. They count as its memory.
    #[arg(long, env = "DEVSTUDIO_RUN_DISK_MIB", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub run_disk_mib: u32,
    /// Days for which runs and their output are kept.
    #[arg(long, env = "DEVSTUDIO_RUN_KEEP_DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub run_keep_days: u16,
    /// MiB that a workspace may hold.
    #[arg(long, env = "DEVSTUDIO_WORKSPACE_QUOTA_MIB", default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..=1048576))]
    pub workspace_quota_mib: u32,
    /// Files that a workspace may hold.
    #[arg(long, env = "DEVSTUDIO_WORKSPACE_FILES", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1000000))]
    pub workspace_files: u32,
    /// Workspaces that a person may have.
    #[arg(long, env = "DEVSTUDIO_WORKSPACES", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=100000))]
    pub workspaces: u32,
    /// Terminals that a person may have open.
    #[arg(long, env = "DEVSTUDIO_TERMINALS", default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub terminals: u16,
    /// Minutes for which a terminal goes on with nobody attached.
    #[arg(long, env = "DEVSTUDIO_TERMINAL_IDLE_MINUTES", default_value_t = 720,
        value_parser = clap::value_parser!(u32).range(1..=525600))]
    pub terminal_idle_minutes: u32,
    /// MiB of memory of a terminal with all that runs in it.
    #[arg(long, env = "DEVSTUDIO_TERMINAL_MEMORY_MIB", default_value_t = 1024,
        value_parser = clap::value_parser!(u32).range(64..=1048576))]
    pub terminal_memory_mib: u32,
    /// MiB that a terminal may write into its workspace's view. They count as its memory.
    #[arg(long, env = "DEVSTUDIO_TERMINAL_DISK_MIB", default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub terminal_disk_mib: u32,
    /// MiB of one upload.
    #[arg(long, env = "DEVSTUDIO_UPLOAD_MIB", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub upload_mib: u32,
    /// MiB of all uploads of a person. They are kept for a day.
    #[arg(long, env = "DEVSTUDIO_UPLOADS_MIB", default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..=1048576))]
    pub uploads_mib: u32,
    /// Operations that a WebAssembly module may do.
    #[arg(long, env = "DEVSTUDIO_WASM_FUEL", default_value_t = 100_000_000_000)]
    pub wasm_fuel: u64,
    /// The program that becomes the launcher of sandboxes; this one where it is left out.
    #[arg(long, env = "DEVSTUDIO_SANDBOX_INIT")]
    pub sandbox_init: Option<PathBuf>,
}

impl Config {
    /// What the environment says, and the defaults.
    pub fn of_environment() -> Result<Self, clap::Error> {
        let command = Self::augment_args(clap::Command::new("sandbox"));
        Self::from_arg_matches(&command.try_get_matches_from(["sandbox"])?)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sandbox_dir: PathBuf::from("/tmp/devstudio"),
            run_min_isolation: Isolation::Process,
            engines_off: Vec::new(),
            run_slots: 8,
            run_armed: 2,
            micro_armed: 1,
            run_queue: 32,
            run_uid: 65534,
            run_processes: 64,
            run_cpu_millis: 1000,
            run_disk_mib: 64,
            run_keep_days: 30,
            workspace_quota_mib: 256,
            workspace_files: 10_000,
            workspaces: 100,
            terminals: 8,
            terminal_idle_minutes: 720,
            terminal_memory_mib: 1024,
            terminal_disk_mib: 256,
            upload_mib: 64,
            uploads_mib: 256,
            wasm_fuel: 100_000_000_000,
            sandbox_init: None,
        }
    }
}
