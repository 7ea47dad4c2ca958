//! `cargo xtask dist`: what is needed to run DevStudio, in one archive that is unpacked anywhere.

use std::{fs, process::Command};

use anyhow::{Context as _, bail};

use crate::{house, setup, step};

/// Runs the command: bin/devstudio and share/devstudio/{web,llm}, as the binary looks for them.
pub fn run() -> anyhow::Result<()> {
    let binary = setup::all()?;
    let step = step::begin("archive");
    let root = house::root();
    let name = format!("devstudio-{}-linux-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let dist = root.join("target/dist");
    let top = dist.join(&name);
    let _ = fs::remove_dir_all(&top);
    let share = top.join("share/devstudio");
    fs::create_dir_all(top.join("bin"))?;
    fs::create_dir_all(share.join("llm"))?;
    fs::copy(&binary, top.join("bin/devstudio")).context("copy the binary")?;
    copy(&root.join("web/dist"), &share.join("web"))?;
    for part in ["dist", "package.json", "package-lock.json", "catalog.json", ".npmrc"] {
        copy(&root.join("llm-node").join(part), &share.join("llm").join(part))?;
    }
    for text in ["LICENSE", "README.md", "CHANGELOG.md"] {
        copy(&root.join(text), &top.join(text))?;
    }
    let mut ci = Command::new("npm");
    ci.current_dir(share.join("llm"));
    ci.args(["ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]);
    step.must(ci, "Is the network there?")?;
    let archive = dist.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.current_dir(&dist).args(["--owner=0", "--group=0", "-czf"]).arg(&archive).arg(&name);
    step.must(tar, "Is the disk full?")?;
    step.done(&format!("{}", archive.display()));
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<()> {
    let done = Command::new("cp").arg("-a").arg("--").arg(from).arg(to).status().context("start cp")?;
    if !done.success() {
        bail!("{} could not be copied", from.display());
    }
    Ok(())
}
