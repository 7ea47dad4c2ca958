//! `devstudio doctor`: names what this machine lacks, and what to do about it.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use devstudio_sandbox::{
    engine::Engine as _,
    process::{Factory, Process, Settings, runtimes},
};
use serde_json::json;
use sqlx::Connection as _;

use crate::{health, installed, lock, paths, paths::Paths, postgres};

/// Least free space for database, models and logs.
const LEAST_FREE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Settings of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON: [{"name", "state", "found", "remedy"}], where state is ok, missing or absent.
    #[arg(long)]
    pub json: bool,
    /// The address that DevStudio is to serve.
    #[arg(long, env = "DEVSTUDIO_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// The PostgreSQL to use, if not the embedded one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Parts beside the binary.
    #[command(flatten)]
    pub parts: installed::Parts,
}

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is there.
    Ok,
    /// It is not there, and DevStudio does not start without it.
    Missing,
    /// It is not there, and DevStudio does less, or with less isolation.
    Absent,
}

struct Finding {
    name: &'static str,
    state: State,
    found: String,
    remedy: String,
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), remedy: String::new() }
    }

    fn missing(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Missing, found: found.into(), remedy: remedy.into() }
    }

    fn absent(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Absent, ..Self::missing(name, found, remedy) }
    }
}

/// Runs the command. The exit code is 1 if something is missing.
pub async fn run(args: Args, paths: &Paths) -> anyhow::Result<ExitCode> {
    let mut findings = vec![postgresql(&args).await];
    findings.extend(parts(&args, paths));
    findings.push(space(&paths.data));
    findings.push(port(args.listen, paths).await);
    findings.extend(isolation());
    findings.extend(programs().await);
    let missing = findings.iter().filter(|finding| finding.state == State::Missing).count();
    if args.json {
        let list: Vec<_> = findings.iter().map(as_json).collect();
        println!("{}", serde_json::to_string_pretty(&list)?);
    } else {
        findings.iter().for_each(print);
        println!();
        match missing {
            0 => println!("DevStudio can run here."),
            1 => println!("DevStudio cannot run here: one thing is missing."),
            many => println!("DevStudio cannot run here: {many} things are missing."),
        }
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let state = match finding.state {
        State::Ok => "ok",
        State::Missing => "missing",
        State::Absent => "absent",
    };
    json!({"name": finding.name, "state": state, "found": finding.found, "remedy": finding.remedy})
}

fn print(finding: &Finding) {
    let mark = match finding.state {
        State::Ok => "ok     ",
        State::Missing => "MISSING",
        State::Absent => "absent ",
    };
    println!("{mark}  {:<16} {}", finding.name, finding.found);
    if !finding.remedy.is_empty() {
        println!("{:>26} {}", "→", finding.remedy);
    }
}

async fn postgresql(args: &Args) -> Finding {
    const NAME: &str = "PostgreSQL";
    if let Some(url) = &args.database_url {
        return match sqlx::PgConnection::connect(url).await {
            Ok(_) => Finding::ok(NAME, "the one of DATABASE_URL answers"),
            Err(error) => Finding::missing(NAME, error.to_string(), "start it, or mend DATABASE_URL"),
        };
    }
    match postgres::installations().first() {
        Some(one) => Finding::ok(NAME, format!("{} in {}", one.version, one.bin.display())),
        None => Finding::missing(
            NAME,
            "there is none",
            "run `cargo xtask up` once, or install Debian's package postgresql, or set DATABASE_URL",
        ),
    }
}

fn parts(args: &Args, paths: &Paths) -> Vec<Finding> {
    let told = |name, found: anyhow::Result<String>, remedy: &str| match found {
        Ok(found) => Finding::ok(name, found),
        Err(error) => Finding::missing(name, format!("{error:#}"), remedy),
    };
    let models = args.parts.models(&paths.data);
    let fetched = paths::cache().map(|cache| cache.join("models")).unwrap_or_default();
    let model =
        [models, fetched].iter().map(|dir| dir.join(installed::FIRST_MODEL)).find(|file| file.is_file());
    vec![
        told("Node.js", args.parts.node().map(|(_, version)| version), "install Node.js 20.19 or newer"),
        told(
            "llm-node",
            args.parts.llm().map(|file| file.display().to_string()),
            "run `cargo xtask up` once",
        ),
        told("Studio", args.parts.web().map(|dir| dir.display().to_string()), "run `cargo xtask up` once"),
        match model {
            Some(file) => Finding::ok("first model", file.display().to_string()),
            None => Finding::absent(
                "first model",
                "there is none",
                "run `cargo xtask up` once, or download a model in the Studio",
            ),
        },
    ]
}

fn space(data: &Path) -> Finding {
    const NAME: &str = "disk space";
    let Some(there) = data.ancestors().find(|dir| dir.exists()) else {
        return Finding::missing(
            NAME,
            format!("{} cannot be looked at", data.display()),
            "name another --data-dir",
        );
    };
    match rustix::fs::statvfs(there) {
        Ok(found) => {
            let free = found.f_bavail * found.f_frsize;
            let told = format!("{:.1} GiB free for {}", free as f64 / f64::from(1 << 30), data.display());
            match free >= LEAST_FREE_BYTES {
                true => Finding::ok(NAME, told),
                false => Finding::missing(NAME, told, "free 2 GiB, or name another place with --data-dir"),
            }
        }
        Err(error) => {
            Finding::missing(NAME, format!("{}: {error}", there.display()), "name another --data-dir")
        }
    }
}

async fn port(listen: SocketAddr, paths: &Paths) -> Finding {
    const NAME: &str = "address";
    if TcpListener::bind(listen).is_ok() {
        return Finding::ok(NAME, format!("{listen} is free"));
    }
    if lock::is_taken(&paths.data) && health::ask_http(format!("http://{listen}/healthz")).await.is_ok() {
        return Finding::ok(NAME, format!("DevStudio runs at {listen}"));
    }
    Finding::missing(NAME, format!("{listen} is not free"), "choose another address with --listen")
}

/// What the engines can build on. Which grade a run had stands in its result; `devstudio call run.engines '{}'` tells
/// it of a DevStudio that runs.
fn isolation() -> Vec<Finding> {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let off = "without it the engines run and wasm are off";
    let filters = read("/proc/sys/kernel/seccomp/actions_avail");
    let security = read("/sys/kernel/security/lsm");
    let landlock = landlock_version();
    vec![
        match user_namespaces() {
            Ok(()) => Finding::ok("user namespaces", "a process may make its own"),
            Err(why) => Finding::absent(
                "user namespaces",
                why,
                format!(
                    "allow them (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns); {off}"
                ),
            ),
        },
        match landlock {
            Some(version) => Finding::ok("Landlock", format!("version {version}")),
            None => Finding::absent(
                "Landlock",
                format!("not in this kernel ({})", if security.is_empty() { "unknown" } else { &security }),
                "use Linux 5.13 or newer with lsm=landlock; programs are isolated without it, by one layer less",
            ),
        },
        if filters.is_empty() {
            Finding::absent(
                "seccomp",
                "not in this kernel",
                format!("use a kernel with CONFIG_SECCOMP_FILTER; {off}"),
            )
        } else {
            Finding::ok("seccomp", "filters of system calls")
        },
        virtualisation(),
        match program("runsc") {
            Some(path) => Finding::ok("gVisor", path),
            None => {
                Finding::absent("gVisor", "runsc is not on the PATH", "install runsc for the engines micro:*")
            }
        },
    ]
}

/// Tries it, in a process of its own.
fn user_namespaces() -> Result<(), String> {
    let Some(unshare) = program("unshare") else {
        return Err("cannot be tried: unshare is not on the PATH".into());
    };
    let tried =
        Command::new(unshare).args(["--user", "--map-current-user", "true"]).stdin(Stdio::null()).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn landlock_version() -> Option<i64> {
    const VERSION: u32 = 1;
    // SAFETY: with no attributes, size 0 and the flag VERSION the call reads no memory and only returns a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) };
    (version > 0).then_some(version)
}

fn virtualisation() -> Finding {
    const NAME: &str = "virtual machines";
    let remedy = "use a machine with hardware virtualisation for isolation hardware-vm; without it micro:* runs on \
                  gVisor, where that is installed";
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let able = flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    match (able, fs::File::open("/dev/kvm")) {
        (true, Ok(_)) if !cfg!(feature = "micro") => Finding::absent(
            NAME,
            "/dev/kvm is there, but this build has no microsandbox",
            "build it with `--features devstudio/micro`, as `cargo xtask up` does on this machine",
        ),
        (true, Ok(_)) => Finding::ok(NAME, "/dev/kvm, and the processor has virtualisation"),
        (true, Err(error)) => Finding::absent(NAME, format!("/dev/kvm: {error}"), remedy),
        (false, _) => Finding::absent(NAME, "the processor shows no vmx or svm", remedy),
    }
}

/// Makes a real sandbox and tries each runtime in it, as the engine run does at its start.
async fn programs() -> Vec<Finding> {
    const NAME: &str = "engine run";
    let config = match devstudio_sandbox::Config::of_environment() {
        Ok(config) => config,
        Err(error) => {
            let error = error.to_string();
            return vec![Finding::missing(NAME, error.trim(), "mend this setting of the environment")];
        }
    };
    // Apart from every service: each clears what an earlier one of its name left.
    let instance = format!("doctor-{}", std::process::id());
    let settings = Settings::of(&config, "/proc/self/exe".into(), &instance);
    let factory = match Factory::probe(settings).await {
        Ok(factory) => factory,
        Err(remedy) => return vec![Finding::absent(NAME, "programs cannot be isolated here", remedy)],
    };
    let engine = Process::new(Ok(factory), config.run_min_isolation).await;
    let info = engine.info();
    let limits: Vec<String> = info.facts.limits.iter().map(|(name, how)| format!("{name}: {how}")).collect();
    let found = format!("isolation {} ({})", info.isolation.name(), limits.join(", "));
    let mut findings = vec![match info.facts.limits.get("memory").map(String::as_str) {
        Some("cgroup") => Finding::ok(NAME, found),
        _ => Finding::absent(
            NAME,
            found,
            "let it have control groups, so that memory is bounded surely: start as root, or by systemd-run --user \
             --scope -p Delegate=yes devstudio up",
        ),
    }];
    findings.extend(runtimes::known().map(|(name, programs)| match info.runtimes.get(name) {
        Some(version) => Finding::ok(name, version.clone()),
        None => Finding::absent(
            name,
            "none that works in the sandbox",
            format!("install {}", programs.join(" or ")),
        ),
    }));
    findings
}

fn program(name: &str) -> Option<String> {
    let path = env::var_os("PATH")?;
    let found = env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.map(|file| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_a_remedy() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = listener.local_addr().expect("its address");
        let dir = tempfile::tempdir().expect("a folder");
        let paths = Paths::of(Some(dir.path())).expect("paths");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let finding = runtime.block_on(port(listen, &paths));
        assert_eq!(finding.state, State::Missing);
        let told = as_json(&finding);
        assert_eq!(told["state"], "missing");
        assert!(told["remedy"].as_str().is_some_and(|remedy| remedy.contains("--listen")), "{told}");
    }

    #[test]
    fn this_machine_has_space_and_a_kernel() {
        assert_eq!(space(Path::new("/tmp/not/yet")).state, State::Ok);
        assert_eq!(isolation().len(), 5);
    }
}
