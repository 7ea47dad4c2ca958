//! `cargo xtask cov`: which lines the tests reach.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::bail;

use crate::{cluster::Cluster, fetch, house, step};

/// Settings of `cov`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose coverage.
    #[arg(long, default_value = "devstudio-sandbox")]
    package: String,
    /// Fail below this share of lines, in per cent.
    #[arg(long, default_value_t = 90)]
    least: u8,
}

/// Runs the command. Writes lcov.info in the clone. Files of microVMs do not count where none can be started.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let tool = fetch::cargo_llvm_cov()?;
    let Some((cov, profdata)) = llvm() else {
        bail!(
            "llvm-cov and llvm-profdata are missing: `rustup component add llvm-tools`, or install Debian's llvm-22, \
             or set LLVM_COV and LLVM_PROFDATA"
        );
    };
    let database = Cluster::start()?;
    let step = step::begin("coverage");
    let mut command = Command::new(tool);
    command.current_dir(house::root()).args(["llvm-cov", "--locked", "-p", &args.package]);
    command.args(["--fail-under-lines", &args.least.to_string(), "--lcov", "--output-path", "lcov.info"]);
    let others = "services/(kit|proto)/|/target/";
    let ignored =
        if Path::new("/dev/kvm").exists() { others.to_owned() } else { format!("{others}|micro\\.rs") };
    command.args(["--ignore-filename-regex", &ignored]);
    // Launchers of sandboxes write their counters through a mapping, see services/sandbox/src/process/spawn.rs.
    command.env("RUSTFLAGS", "-Cllvm-args=-runtime-counter-relocation");
    command.env("LLVM_COV", cov).env("LLVM_PROFDATA", profdata);
    command.env("DEVSTUDIO_TEST_DATABASE_URL", &database.url);
    let mut total = String::new();
    let well = step.watch(command, |line| {
        if line.starts_with("TOTAL") {
            total = line.to_owned();
        }
    })?;
    if !well {
        bail!("the tests failed, or reach less than {} % of lines:\n{}", args.least, step.tail());
    }
    step.done(&format!("at least {} % of lines; lcov.info {total}", args.least));
    Ok(())
}

/// The tools of LLVM that fit the compiler: named, the toolchain's own, or the system's.
fn llvm() -> Option<(PathBuf, PathBuf)> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|file| file.is_file());
    if let (Some(cov), Some(profdata)) = (named("LLVM_COV"), named("LLVM_PROFDATA")) {
        return Some((cov, profdata));
    }
    let told =
        Command::new("rustc").args(["--print", "target-libdir"]).current_dir(house::root()).output().ok()?;
    let libdir = PathBuf::from(String::from_utf8_lossy(&told.stdout).trim());
    let own = libdir.parent().map(|dir| dir.join("bin"));
    [own, Some("/usr/lib/llvm-22/bin".into())]
        .into_iter()
        .flatten()
        .map(|dir| (dir.join("llvm-cov"), dir.join("llvm-profdata")))
        .find(|(cov, profdata)| cov.is_file() && profdata.is_file())
}
