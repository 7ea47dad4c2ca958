//! What DevStudio needs beside its binary: the built Studio, llm-node, Node.js and a first model. What is missing is
//! named with its remedy.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::paths;

/// The model that set-up fetches, so that a fresh DevStudio answers.
pub const FIRST_MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The oldest Node.js that llm-node runs on.
pub const OLDEST_NODE: (u32, u32) = (20, 19);

/// Where to look for the parts, if not beside the binary.
#[derive(Debug, Clone, clap::Args)]
pub struct Parts {
    /// Folder of the built Studio. Without it: beside the binary, or web/dist of the clone it was built in.
    #[arg(long, env = "DEVSTUDIO_WEB_DIR", value_name = "DIR")]
    pub web_dir: Option<PathBuf>,
    /// Folder of llm-node, with its dist and node_modules. Without it: beside the binary, or llm-node of the clone.
    #[arg(long, env = "DEVSTUDIO_LLM_DIR", value_name = "DIR")]
    pub llm_dir: Option<PathBuf>,
    /// Folder of the models' files; the folder models of the data folder when left out.
    #[arg(long, env = "DEVSTUDIO_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<PathBuf>,
    /// Node.js, version 20.19 or newer.
    #[arg(long, env = "DEVSTUDIO_NODE", default_value = "node", value_name = "PROGRAM")]
    pub node: PathBuf,
}

impl Parts {
    /// The built Studio.
    pub fn web(&self) -> anyhow::Result<PathBuf> {
        let beside = || paths::beside_binary("web", "web/dist", "index.html");
        part(self.web_dir.as_deref(), beside, "index.html", "the built Studio", "--web-dir")
    }

    /// The start file of llm-node.
    pub fn llm(&self) -> anyhow::Result<PathBuf> {
        let beside = || paths::beside_binary("llm", "llm-node", "dist/main.js");
        let dir = part(self.llm_dir.as_deref(), beside, "dist/main.js", "llm-node", "--llm-dir")?;
        Ok(dir.join("dist/main.js"))
    }

    /// Node.js and its version.
    pub fn node(&self) -> anyhow::Result<(PathBuf, String)> {
        let remedy = "install Node.js 20.19 or newer, or name it with --node";
        let told = Command::new(&self.node).arg("--version").stdin(Stdio::null()).output();
        let told = told.with_context(|| format!("{} does not start: {remedy}", self.node.display()))?;
        let version = String::from_utf8_lossy(&told.stdout).trim().trim_start_matches('v').to_owned();
        match major_minor(&version) {
            Some(found) if found >= OLDEST_NODE => Ok((self.node.clone(), version)),
            _ => bail!("{} is version {version:?}: {remedy}", self.node.display()),
        }
    }

    /// The folder of the models.
    pub fn models(&self, data: &Path) -> PathBuf {
        self.models_dir.clone().unwrap_or_else(|| data.join("models"))
    }
}

fn part(
    named: Option<&Path>,
    beside: impl FnOnce() -> Option<PathBuf>,
    proof: &str,
    what: &str,
    flag: &str,
) -> anyhow::Result<PathBuf> {
    let found = match named {
        Some(dir) => dir.join(proof).is_file().then(|| std::path::absolute(dir)).transpose()?,
        None => beside(),
    };
    found.with_context(|| match named {
        Some(dir) => format!("{} has no {proof}: it is not {what}", dir.display()),
        None => {
            format!("{what} was not found: run `cargo xtask up` once to build it, or name it with {flag}")
        }
    })
}

/// The first two numbers of a version.
pub fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Puts the model that set-up fetched into a folder of models that lacks it. Tells whether the model is there.
pub fn bring_first_model(models: &Path) -> anyhow::Result<bool> {
    fs::create_dir_all(models).with_context(|| format!("make {}", models.display()))?;
    let there = models.join(FIRST_MODEL);
    if there.exists() {
        return Ok(true);
    }
    let Some(fetched) = paths::cache().map(|cache| cache.join("models").join(FIRST_MODEL)) else {
        return Ok(false);
    };
    match fs::hard_link(&fetched, &there) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(_) => {} // another file system
    }
    let part = there.with_extension("part");
    fs::copy(&fetched, &part).with_context(|| format!("copy {}", fetched.display()))?;
    fs::rename(&part, &there).with_context(|| format!("move to {}", there.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(major_minor("v20.19.1").is_some_and(|found| found >= OLDEST_NODE));
        assert!(major_minor("v20.9.0").is_some_and(|found| found < OLDEST_NODE));
        assert!(major_minor("22.0.0\n").is_some_and(|found| found >= OLDEST_NODE));
        assert_eq!(major_minor("none"), None);
    }

    #[test]
    fn a_folder_that_is_not_the_part_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let args = Parts {
            web_dir: Some(dir.path().to_owned()),
            llm_dir: None,
            models_dir: None,
            node: "/nowhere/node".into(),
        };
        assert!(args.web().expect_err("empty").to_string().contains("has no index.html"));
        assert!(format!("{:#}", args.node().expect_err("absent")).contains("install Node.js"));
    }
}
