//! A release DevStudio that runs for one command of xtask, on a free port and a data folder of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::house;

/// A DevStudio with a data folder of its own; ended with the value.
pub struct House {
    up: std::process::Child,
    /// Its data folder.
    pub data: PathBuf,
    /// Its address.
    pub url: String,
    /// The first admin's address.
    pub email: String,
    /// The first admin's password.
    pub password: String,
}

impl House {
    /// Starts it for a purpose, with further settings, and waits until it can be signed in to.
    pub fn start(binary: &Path, purpose: &str, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let data = PathBuf::from(format!("/var/tmp/devstudio-{purpose}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&data);
        let mut command = Command::new(binary);
        command
            .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .env_remove("DATABASE_URL")
            .envs(env.iter().copied());
        let log = fs::File::create(house::own_target().join(format!("{purpose}-devstudio.log")))?;
        let mut up = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let output = up.stdout.take().context("its output")?;
        let mut house = Self { up, data, url: String::new(), email: String::new(), password: String::new() };
        let mut lines = BufReader::new(output).lines();
        for line in lines.by_ref() {
            let line = line?;
            let Some((name, value)) = line.split_once(' ') else { continue };
            match name {
                "Studio" => house.url = value.trim().to_owned(),
                "E-mail" => house.email = value.trim().to_owned(),
                "Password" => house.password = value.trim().to_owned(),
                _ => continue,
            }
            if !house.password.is_empty() {
                // Go on reading, or its output would have nowhere to go.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(house);
            }
        }
        bail!("`devstudio up` did not come up; see {}/{purpose}-devstudio.log", house::own_target().display())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.up.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.up.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}
