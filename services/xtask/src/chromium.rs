//! Programs that only tests need, from the system's package manager: Chromium, and gVisor's runsc.

use std::{path::PathBuf, process::Command};

use crate::{house, step};

/// A browser for the browser tests; installed where that is possible without asking.
pub fn find_or_install() -> Option<PathBuf> {
    let find = || ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(house::program);
    find().or_else(|| {
        install("chromium");
        find()
    })
}

/// gVisor, for the engines micro:*.
pub fn runsc() -> Option<PathBuf> {
    house::program("runsc").or_else(|| {
        install("runsc");
        house::program("runsc")
    })
}

/// Installs a Debian package, as root and where there is apt; else does nothing.
fn install(package: &str) {
    if !house::is_root() || house::program("apt-get").is_none() {
        return;
    }
    let step = step::begin(&format!("install {package}"));
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-y", "-q", "-o", "DPkg::Lock::Timeout=300"]).args(args);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    // A list of packages that is old, or not there at all, is brought up to date once.
    let done = [vec!["install", "--no-install-recommends", package], vec!["update"]]
        .iter()
        .any(|args| step.watch(apt(args), |_| {}).unwrap_or(false));
    let again = done && house::program(package).is_none();
    if again {
        let _ = step.watch(apt(&["install", "--no-install-recommends", package]), |_| {});
    }
    step.done(if house::program(package).is_some() { "" } else { "not available here" });
}
