//! The PostgreSQL of one test run: made anew, without fsync, on a free port of 127.0.0.1, removed in the end.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::{fetch, house, step};

/// A server that ends with this value, or, if we are killed, with us.
pub struct Cluster {
    server: Child,
    dir: PathBuf,
    /// Where tests may make databases.
    pub url: String,
}

impl Cluster {
    /// Makes and starts it.
    pub fn start() -> anyhow::Result<Self> {
        let bin = fetch::postgres()?;
        let step = step::begin("test database");
        let dir = PathBuf::from(format!("/var/tmp/devstudio-test-pg-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let account = account()?;
        if let Some((uid, gid)) = account {
            chown(&dir, Some(uid), Some(gid))?;
        }
        let data = dir.join("data");
        let mut initdb = program(&bin, "initdb", account);
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-E", "UTF8", "--auth=trust", "--no-sync"]);
        initdb.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]);
        step.must(initdb, "The log says why.")?;

        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = fs::File::create(house::own_target().join("test-database-server.log"))?;
        let mut server = program(&bin, "postgres", account);
        server.arg("-D").arg(&data).arg("-k").arg(&dir).arg("-p").arg(port.to_string());
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=300"] {
            server.arg("-c").arg(setting);
        }
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // SAFETY: prctl is async-signal-safe and touches no memory of ours.
        unsafe {
            server.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::INT))?));
        }
        let server = server.spawn().context("start the test database")?;
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let cluster = Self { server, dir, url };
        cluster.wait(port)?;
        step.done(&cluster.url);
        Ok(cluster)
    }

    fn wait(&self, port: u16) -> anyhow::Result<()> {
        let ready = self.dir.join(format!(".s.PGSQL.{port}"));
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            let said = fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap_or_default();
            if ready.exists() && said.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the test database did not come up; see {}", house::own_target().display())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.server.id() as i32) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn program(bin: &Path, name: &str, account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(bin.join(name));
    command.current_dir("/").env("LC_ALL", "C").env("TZ", "UTC");
    if let Some((uid, gid)) = account {
        command.uid(uid).gid(gid);
    }
    command
}

/// PostgreSQL refuses to be root: then it is `postgres`, else `nobody`.
fn account() -> anyhow::Result<Option<(u32, u32)>> {
    if !house::is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    let of = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    };
    Ok(Some(of("postgres").or_else(|| of("nobody")).context("there is no account postgres or nobody")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_listens_while_it_lives_and_leaves_nothing() {
        let cluster = Cluster::start().expect("it starts");
        let address =
            cluster.url.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        std::net::TcpStream::connect(address).expect("it listens");
        let dir = cluster.dir.clone();
        assert!(dir.exists());
        drop(cluster);
        assert!(!dir.exists());
    }
}
