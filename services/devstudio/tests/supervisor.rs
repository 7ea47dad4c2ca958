//! The supervisor with a real child: a PostgreSQL of its own, killed, orphaned, started again.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use devstudio::{
    child::{self, Child},
    paths::Paths,
    postgres::{self, Cluster},
    terminal::Terminal,
};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};

/// A data folder that the account of PostgreSQL reaches, removed with all that belongs to it.
struct Home {
    _dir: tempfile::TempDir,
    paths: Paths,
}

impl Home {
    fn new() -> Self {
        assert!(!postgres::installations().is_empty(), "no PostgreSQL: run `cargo xtask up` once");
        let dir = tempfile::tempdir().expect("a folder");
        let paths = Paths::of(Some(dir.path())).expect("paths");
        paths.create().expect("folders");
        Self { _dir: dir, paths }
    }

    fn child(&self, cluster: &Cluster) -> Child {
        let (for_start, for_probe) = (cluster.clone(), cluster.url("postgres"));
        Child {
            name: "postgres",
            command: Box::new(move || for_start.server()),
            ready: Box::new(move || {
                let url = for_probe.clone();
                Box::pin(
                    async move { PgConnection::connect(&url).await.map(drop).map_err(|e| e.to_string()) },
                )
            }),
            start_within: Duration::from_secs(60),
            stop: Signal::INT,
            stop_within: Duration::from_secs(20),
            orphan: Signal::INT,
            log: self.log(),
        }
    }

    fn log(&self) -> PathBuf {
        self.paths.logs().join("postgres.log")
    }

    fn postmaster(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.paths.data.join("postgres/postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.parse().ok()?)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.paths.runtime);
    }
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 10 s: {what}");
}

#[tokio::test]
async fn a_killed_postgres_comes_back_within_ten_seconds_with_what_was_committed() {
    let home = Home::new();
    let cluster = Cluster::open(&home.paths).expect("a cluster");
    let running = child::start(home.child(&cluster), Terminal::default()).await.expect("it starts");
    let url = cluster.url("postgres");
    let mut connection = PgConnection::connect(&url).await.expect("connected");
    sqlx::query("create table kept (n int)").execute(&mut connection).await.expect("made");
    sqlx::query("insert into kept values (7)").execute(&mut connection).await.expect("committed");

    let killed = home.postmaster().expect("a pid file");
    kill_process(killed, Signal::KILL).expect("killed");
    let mut connection = eventually("PostgreSQL answers again", async || {
        home.postmaster().filter(|pid| *pid != killed)?;
        PgConnection::connect(&url).await.ok()
    })
    .await;
    let kept: i32 = sqlx::query_scalar("select n from kept").fetch_one(&mut connection).await.expect("read");
    assert_eq!(kept, 7);

    running.stop(&Terminal::default()).await;
    assert_eq!(home.postmaster(), None, "a stopped server leaves no pid file");
    assert!(fs::read_to_string(home.log()).expect("a log").contains("ready to accept connections"));
}

#[tokio::test]
async fn an_orphaned_postgres_is_stopped_before_the_next_one_starts() {
    let home = Home::new();
    let cluster = Cluster::open(&home.paths).expect("a cluster");
    let mut orphan = cluster.server().stderr(std::process::Stdio::null()).spawn().expect("it starts");
    let url = cluster.url("postgres");
    eventually("the orphan answers", async || PgConnection::connect(&url).await.ok()).await;

    // A supervisor that was killed left it behind; reap it as init would.
    let reaped = std::thread::spawn(move || orphan.wait());
    let cluster = Cluster::open(&home.paths).expect("the next start");
    assert!(reaped.join().expect("joined").expect("waited").success(), "it was stopped in order");
    let running = child::start(home.child(&cluster), Terminal::default()).await.expect("it starts");
    running.stop(&Terminal::default()).await;
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_does_not_hinder() {
    let home = Home::new();
    Cluster::open(&home.paths).expect("a cluster");
    let pid_file = home.paths.data.join("postgres/postmaster.pid");
    fs::write(&pid_file, format!("{}\n{}\n", std::process::id(), home.paths.data.display()))
        .expect("written");
    let cluster = Cluster::open(&home.paths).expect("opened");
    assert!(!pid_file.exists(), "the stale file is gone, and this test still runs");
    let running = child::start(home.child(&cluster), Terminal::default()).await.expect("it starts");
    running.stop(&Terminal::default()).await;
}

#[tokio::test]
async fn a_child_that_does_not_come_up_is_reported_with_the_end_of_its_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let broken = Child {
        name: "broken",
        command: Box::new(|| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", "echo the reason; exit 3"]);
            command
        }),
        ready: Box::new(|| Box::pin(std::future::pending())),
        start_within: Duration::from_secs(10),
        stop: Signal::TERM,
        stop_within: Duration::from_secs(1),
        orphan: Signal::KILL,
        log: dir.path().join("broken.log"),
    };
    let error = child::start(broken, Terminal::default()).await.expect_err("it does not").to_string();
    assert!(error.contains("exit code 3") && error.contains("the reason"), "{error}");
}

#[test]
fn a_second_up_on_a_data_folder_is_refused_with_the_pid_of_the_first() {
    let home = Home::new();
    let _first = devstudio::lock::Lock::take(&home.paths.data).expect("the first");
    let parts = parts(&home.paths.data);
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_devstudio"))
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&home.paths.data)
        .env("DEVSTUDIO_WEB_DIR", &parts)
        .env("DEVSTUDIO_LLM_DIR", &parts)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(told.contains(&format!("pid {}", std::process::id())) && told.contains("--data-dir"), "{told}");
}

#[test]
fn admin_commands_without_a_running_devstudio_say_how_to_start_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_devstudio"))
        .args(["user", "list", "--data-dir"])
        .arg(dir.path())
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&listed.stderr);
    assert!(!listed.status.success() && told.contains("devstudio up --data-dir"), "{told}");
}

/// Parts that are found, though they would not run.
fn parts(data: &Path) -> PathBuf {
    let dir = data.join("parts");
    fs::create_dir_all(dir.join("dist")).expect("made");
    fs::write(dir.join("index.html"), "").expect("written");
    fs::write(dir.join("dist/main.js"), "").expect("written");
    dir
}
