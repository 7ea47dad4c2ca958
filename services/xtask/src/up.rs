//! `cargo xtask up`: set everything up, then become `devstudio up`, so that signals reach it.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command, time::Instant};

use anyhow::anyhow;

use crate::setup;

/// Runs the command; returns only where it fails.
pub fn run(args: &[OsString]) -> anyhow::Result<()> {
    let began = Instant::now();
    println!("Setting up DevStudio");
    let binary = setup::all()?;
    println!("  set up in {:.1} s\n", began.elapsed().as_secs_f64());
    let mut devstudio = Command::new(&binary);
    devstudio.arg("up").args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") {
            devstudio.env_remove(name);
        }
    }
    Err(anyhow!("{} does not start: {}", binary.display(), devstudio.exec()))
}
