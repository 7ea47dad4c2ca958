//! Set-up: whatever a start or a test needs, each step skipped where its result is there already. Nothing is asked,
//! and nothing needs root.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::{fetch, house, step};

/// The oldest Node.js that llm-node and the Studio's tools run on.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// Everything: packages, PostgreSQL, model, builds. Gives the release binary.
pub fn all() -> anyhow::Result<PathBuf> {
    tools()?;
    if env::var_os("DATABASE_URL").is_none() {
        fetch::postgres()?;
    }
    fetch::model()?;
    llm_node()?;
    web()?;
    release()
}

/// The tools that must be there before.
pub fn tools() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    if !cfg!(target_os = "linux") {
        missing.push(
            "Linux: the sandbox is built on its namespaces; use a Linux machine or virtual machine"
                .to_owned(),
        );
    }
    match told("node", &["--version"]) {
        Some(version) if major_minor(&version).is_some_and(|found| found >= OLDEST_NODE) => {}
        Some(version) => missing.push(format!("Node.js 20.19 or newer (here is {version}): install it")),
        None => missing.push("Node.js 20.19 or newer: install it".to_owned()),
    }
    if told("npm", &["--version"]).is_none() {
        missing.push("npm: install it; most packages of Node.js bring it along".to_owned());
    }
    if told("python3", &["--version"]).is_none() {
        missing.push(format!("Python 3 with pip: {}", fetch::PIP_REMEDY));
    }
    if ["cc", "gcc", "clang"].iter().all(|name| house::program(name).is_none()) {
        missing.push(
            "a C linker: install gcc or clang (Debian and Ubuntu: apt install gcc libc6-dev)".to_owned(),
        );
    }
    if !missing.is_empty() {
        bail!("Missing on this machine:\n  - {}", missing.join("\n  - "));
    }
    Ok(())
}

fn told(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// llm-node's packages and build. Its optional packages are GPU builds of several hundred megabytes, and its install
/// scripts would compile: neither is wanted.
pub fn llm_node() -> anyhow::Result<()> {
    llm_node_packages()?;
    build(
        "llm-node",
        "dist/main.js",
        &["src", "package.json", "package-lock.json", "tsconfig.json", "catalog.json"],
    )
}

/// llm-node's packages only; buf and the generator of TypeScript are among them.
pub fn llm_node_packages() -> anyhow::Result<()> {
    packages("llm-node", &["--omit=optional", "--ignore-scripts"])
}

/// The Studio's packages only.
pub fn web_packages() -> anyhow::Result<()> {
    packages("web", &["--ignore-scripts"])
}

/// The Studio's packages and build.
pub fn web() -> anyhow::Result<()> {
    web_packages()?;
    let sources = [
        "src",
        "public",
        "index.html",
        "package.json",
        "package-lock.json",
        "vite.config.ts",
        "project.inlang",
    ];
    build("web", "dist/index.html", &sources)
}

/// `npm ci` of a part, unless its lock file was installed already.
fn packages(part: &str, flags: &[&str]) -> anyhow::Result<()> {
    let dir = house::root().join(part);
    let key = fingerprint(&dir, &["package.json", "package-lock.json", ".npmrc"])?;
    let stamp = Stamp::new(&dir, "packages", key);
    if stamp.is_set() && dir.join("node_modules/.package-lock.json").is_file() {
        return Ok(());
    }
    let step = step::begin(&format!("{part}: packages"));
    let mut ci = house::npm(part);
    ci.args(["ci", "--no-audit", "--no-fund"]).args(flags);
    step.must(ci, "Is the network there? A registry or proxy is set as for npm.")?;
    stamp.set()?;
    step.done("");
    Ok(())
}

/// `npm run build` of a part, unless it was built from these sources already.
fn build(part: &str, proof: &str, sources: &[&str]) -> anyhow::Result<()> {
    let dir = house::root().join(part);
    let stamp = Stamp::new(&dir, "build", fingerprint(&dir, sources)?);
    if stamp.is_set() && dir.join(proof).is_file() {
        return Ok(());
    }
    let step = step::begin(&format!("{part}: build"));
    let mut build = house::npm(part);
    build.args(["run", "build"]);
    step.must(build, "The sources do not build; the log says where.")?;
    stamp.set()?;
    step.done("");
    Ok(())
}

/// The release build of all binaries. Cargo itself knows what is up to date.
pub fn release() -> anyhow::Result<PathBuf> {
    let step = step::begin("release build");
    let mut build = house::cargo();
    build.args(["build", "--release", "--locked", "--workspace", "--bins"]);
    if has_virtualisation() {
        build.args(["--features", "devstudio/micro"]);
    }
    step.must(build, "If crates could not be fetched: is the network there?")?;
    let binary = house::binary()?;
    step.done(&format!("{}", binary.display()));
    Ok(binary)
}

/// MicroVMs are built in where they could start: the processor shows virtualisation, and /dev/kvm may be opened.
pub fn has_virtualisation() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm")
        && fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// Says that a step was done with certain inputs. It lies in node_modules, and so goes with what it speaks of.
struct Stamp {
    file: PathBuf,
    key: String,
}

impl Stamp {
    fn new(part: &Path, name: &str, key: String) -> Self {
        Self { file: part.join("node_modules").join(format!(".devstudio-{name}")), key }
    }

    fn is_set(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|text| text == self.key)
    }

    fn set(&self) -> anyhow::Result<()> {
        fs::write(&self.file, &self.key).with_context(|| format!("write {}", self.file.display()))
    }
}

/// A hash over names and contents of files and folders; what is not there counts as that. Generated folders that
/// are rebuilt with every build do not count.
pub fn fingerprint(dir: &Path, names: &[&str]) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for name in names {
        let walk = walkdir::WalkDir::new(dir.join(name)).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|entry| entry.file_name() != "paraglide").flatten() {
            if entry.file_type().is_file() {
                let bytes =
                    fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
                let path = entry.path().strip_prefix(dir).unwrap_or(entry.path());
                hash.update(path.as_os_str().as_encoded_bytes());
                hash.update([0]);
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(&bytes);
            }
        }
    }
    Ok(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_changes_with_content_and_name_and_not_otherwise() {
        let dir = tempfile::tempdir().expect("a folder");
        let of = || fingerprint(dir.path(), &["src", "absent"]).expect("a fingerprint");
        fs::create_dir_all(dir.path().join("src/paraglide")).expect("made");
        fs::write(dir.path().join("src/a"), "1").expect("written");
        let first = of();
        fs::write(dir.path().join("src/paraglide/made"), "new").expect("written");
        assert_eq!(of(), first, "what a build makes does not count");
        fs::write(dir.path().join("src/a"), "2").expect("written");
        let second = of();
        assert_ne!(second, first);
        fs::rename(dir.path().join("src/a"), dir.path().join("src/b")).expect("renamed");
        assert_ne!(of(), second);
    }

    #[test]
    fn a_stamp_speaks_of_its_key_only() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("node_modules")).expect("made");
        Stamp::new(dir.path(), "build", "one".into()).set().expect("set");
        assert!(Stamp::new(dir.path(), "build", "one".into()).is_set());
        assert!(!Stamp::new(dir.path(), "build", "two".into()).is_set());
    }
}
