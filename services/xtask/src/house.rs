//! Where things lie: the clone, cargo's target folder, the cache of what set-up fetches.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, bail};

/// The clone.
pub fn root() -> PathBuf {
    let of_cargo = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let start = of_cargo.or_else(|| env::current_dir().ok()).unwrap_or_default();
    let found = start.ancestors().find(|dir| dir.join("services/xtask/Cargo.toml").is_file());
    found.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Where cargo builds, as it says itself.
pub fn target() -> anyhow::Result<PathBuf> {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    if let Some(known) = TARGET.get() {
        return Ok(known.clone());
    }
    let told = cargo().args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).output()?;
    let told: serde_json::Value =
        serde_json::from_slice(&told.stdout).context("cargo metadata tells no target folder")?;
    let dir = told["target_directory"].as_str().context("cargo metadata tells no target folder")?;
    Ok(TARGET.get_or_init(|| dir.into()).clone())
}

/// What belongs to this clone alone: logs of steps, reports.
pub fn own_target() -> PathBuf {
    root().join("target/xtask")
}

/// The cache that every clone of this user shares, and that `devstudio` looks into: outside of root's home, where the
/// account of PostgreSQL may not look.
pub fn cache() -> anyhow::Result<PathBuf> {
    if is_root() {
        return Ok("/var/cache/devstudio".into());
    }
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(base.context("HOME is not set")?.join("devstudio"))
}

/// Do we run as root?
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Cargo, in the clone, without what cargo told us about this package.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in env::vars_os() {
        let told = name.to_string_lossy().into_owned();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// npm, in a folder of the clone.
pub fn npm(part: &str) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(root().join(part)).env("NO_UPDATE_NOTIFIER", "1").env("NO_COLOR", "1");
    command.env_remove("FORCE_COLOR");
    command
}

/// A program on the PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The release binary at its one place, target/release/devstudio of the clone: a link where cargo builds elsewhere.
pub fn binary() -> anyhow::Result<PathBuf> {
    let place = root().join("target/release/devstudio");
    let built = target()?.join("release/devstudio");
    if !built.is_file() {
        bail!("{} was not built", built.display());
    }
    if built != place && fs::read_link(&place).ok().as_ref() != Some(&built) {
        fs::create_dir_all(place.parent().unwrap_or(&place))?;
        let _ = fs::remove_file(&place);
        symlink(&built, &place).with_context(|| format!("link {}", place.display()))?;
    }
    Ok(place)
}
