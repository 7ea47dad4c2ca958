//! A house to test: the release binary started as a user would, people in it, and their calls.
#![allow(dead_code)] // each test binary uses its part

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

/// Where programs see their workspace.
pub const WORK_DIR: &str = "/tmp/work";

/// How long anything may take before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in it").to_owned()
}

/// The release binary: `DEVSTUDIO_BIN`, else the one that `cargo xtask up` builds.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("DEVSTUDIO_BIN")
        .map_or_else(|| root().join("target/release/devstudio"), PathBuf::from);
    assert!(
        path.exists(),
        "{} is not there: run `cargo xtask test`, or build it with `cargo xtask up`",
        path.display()
    );
    path
}

/// The password of everybody that tests make.
pub const PASSWORD: &str = "correct horse battery";

/// Says that a test could not run here; the test then returns.
pub fn skipped(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}

/// Waits until `ready` gives something; fails with `what` when it takes too long.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(started.elapsed() < limit, "{what} did not happen within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A running DevStudio.
pub struct House {
    /// Its address.
    pub url: String,
    /// Its data folder.
    pub data_dir: PathBuf,
    /// The first admin, by an API key.
    pub admin: Person,
    /// The process of `devstudio up`.
    pub supervisor: Child,
}

static SHARED: OnceCell<House> = OnceCell::const_new();

impl House {
    /// The house that most tests share. Rates are raised: twenty tests knock at once.
    pub async fn shared() -> &'static House {
        SHARED
            .get_or_init(|| async {
                let raised =
                    ["DEVSTUDIO_RATE", "DEVSTUDIO_RATE_LLM", "DEVSTUDIO_RATE_RUN", "DEVSTUDIO_RATE_SIGN_IN"];
                let env: Vec<(String, String)> =
                    raised.map(|name| (name.to_owned(), "1000:5000".to_owned())).into();
                House::start(fresh_dir(), &env).await
            })
            .await
    }

    /// Starts a house in a data folder and waits until it is ready and its model is loaded.
    pub async fn start(data_dir: PathBuf, env: &[(String, String)]) -> House {
        House::prepared(data_dir, env, |_| ()).await
    }

    /// Starts a house whose command `prepare` has seen.
    pub async fn prepared(
        data_dir: PathBuf,
        env: &[(String, String)],
        prepare: impl FnOnce(&mut Command),
    ) -> House {
        let port = free_port();
        let mut command = up(&data_dir, port, env);
        prepare(&mut command);
        let mut supervisor = spawn_bound(command);
        let url = format!("http://127.0.0.1:{port}");
        let http = client();
        ready(&mut supervisor, &url, &http, &data_dir).await;
        let key = cli(
            &data_dir,
            &["key", "add", "--email", "admin@localhost", "--name", &format!("tests-{port}")],
            "",
        );
        let admin = Person {
            url: url.clone(),
            http,
            credential: key.trim().to_owned(),
            user_id: String::new(),
            email: "admin@localhost".into(),
        };
        let me = admin.call("user.me", json!({})).await.ok();
        let admin = Person { user_id: me["user"]["userId"].as_str().expect("an id").to_owned(), ..admin };
        let house = House { url, data_dir, admin, supervisor };
        eventually("the default model is loaded", Duration::from_secs(120), || async {
            let models = house.admin.call("llm.list_models", json!({})).await.ok();
            models["models"]
                .as_array()?
                .iter()
                .any(|m| m["isDefault"] == true && m["state"] == "LOADED")
                .then_some(())
        })
        .await;
        house
    }

    /// A new dev with an API key.
    pub async fn dev(&self) -> Person {
        let dev = self.person("dev").await;
        let key = dev.call("key.add", json!({"name": "tests"})).await.ok();
        Person { credential: key["key"].as_str().expect("a key").to_owned(), ..dev }
    }

    /// A new person with an access token.
    pub async fn person(&self, role: &str) -> Person {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let email = format!("{role}-{}-{n}@example.org", std::process::id());
        let password = PASSWORD;
        let user = self
            .admin
            .call("user.add", json!({"email": email, "password": password, "role": role}))
            .await
            .ok();
        let nobody = self.nobody();
        let login = nobody.call("user.login", json!({"email": email, "password": password})).await.ok();
        Person {
            credential: login["accessToken"].as_str().expect("a token").to_owned(),
            user_id: user["user"]["userId"].as_str().expect("an id").to_owned(),
            email,
            ..nobody
        }
    }

    /// Whoever has not signed in.
    pub fn nobody(&self) -> Person {
        let (url, http) = (self.url.clone(), self.admin.http.clone());
        Person { url, http, credential: String::new(), user_id: String::new(), email: String::new() }
    }

    /// A dev whose budget leaves exactly `tokens` for this month.
    pub async fn dev_with_budget(&self, tokens: i64) -> Person {
        let dev = self.dev().await;
        let limit = json!({"scope": "user", "subjectId": dev.user_id, "monthlyLimit": tokens.to_string()});
        self.admin.call("budget.set", limit).await.ok();
        dev
    }

    /// A socket of its run folder.
    pub fn socket(&self, name: &str) -> PathBuf {
        let data = self.data_dir.canonicalize().unwrap();
        let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
        let instance: String = digest.iter().map(|b| format!("{b:02x}")).collect::<String>()[..12].to_owned();
        let uid = rustix::process::geteuid();
        let base = if uid.is_root() {
            "/tmp/devstudio".to_owned()
        } else {
            format!("/tmp/devstudio-{}", uid.as_raw())
        };
        PathBuf::from(base).join(instance).join("run").join(format!("{name}.sock"))
    }

    /// The host and port.
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        stop(&mut self.supervisor);
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

/// Asks a process to end, and waits for it.
pub fn stop(child: &mut Child) {
    let pid = rustix::process::Pid::from_child(child);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        match child.try_wait() {
            Ok(Some(_)) | Err(_) => return,
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits until a house answers and everything in it serves.
pub async fn ready(supervisor: &mut Child, url: &str, http: &reqwest::Client, data_dir: &Path) {
    let started = Instant::now();
    loop {
        let ended = supervisor.try_wait().unwrap();
        if let Ok(response) = http.get(format!("{url}/readyz")).send().await
            && response.status() == StatusCode::OK
        {
            return;
        }
        if ended.is_some() || started.elapsed() > Duration::from_secs(120) {
            let log = std::fs::read_to_string(data_dir.join("test-up.log")).unwrap_or_default();
            panic!("{url} is not ready after {:?}, ended: {ended:?}\n{log}", started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts `devstudio up`; it ends with this process.
pub fn spawn_up(data_dir: &Path, port: u16, env: &[(String, String)]) -> Child {
    spawn_bound(up(data_dir, port, env))
}

fn up(data_dir: &Path, port: u16, env: &[(String, String)]) -> Command {
    std::fs::create_dir_all(data_dir).unwrap();
    let log = std::fs::File::create(data_dir.join("test-up.log")).unwrap();
    let mut command = Command::new(binary());
    command
        .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data_dir)
        .envs(env.iter().map(|(k, v)| (k, v)))
        .env("DEVSTUDIO_WEB_DIR", root().join("web/dist"))
        .env("DEVSTUDIO_LLM_DIR", root().join("llm-node"))
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}

/// Starts a process that is ended when this one ends. The signal comes when the thread that started it ends, so one
/// thread that lives as long as the process starts them all.
pub fn spawn_bound(mut command: Command) -> Child {
    type Job = (Command, std::sync::mpsc::Sender<Child>);
    static STARTER: OnceLock<std::sync::Mutex<std::sync::mpsc::Sender<Job>>> = OnceLock::new();
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    let starter = STARTER.get_or_init(|| {
        let (jobs, queue) = std::sync::mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, done) in queue {
                done.send(command.spawn().expect("the binary starts")).unwrap();
            }
        });
        std::sync::Mutex::new(jobs)
    });
    let (done, child) = std::sync::mpsc::channel();
    starter.lock().unwrap().send((command, done)).unwrap();
    child.recv().unwrap()
}

/// Runs a command of the binary on a data folder and gives its output; fails when it fails.
pub fn cli(data_dir: &Path, args: &[&str], stdin: &str) -> String {
    let mut child = Command::new(binary())
        .arg("--data-dir")
        .arg(data_dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "devstudio {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A folder of its own for a house's data, where the database's account can reach it.
pub fn fresh_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    if n == 0 {
        remove_leftovers();
    }
    let dir = PathBuf::from(format!("/var/tmp/devstudio-test-{}-{n}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Removes folders of test runs that have ended: the house that tests share is not dropped.
fn remove_leftovers() {
    for entry in std::fs::read_dir("/var/tmp").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let run = name.strip_prefix("devstudio-test-").and_then(|rest| rest.split('-').next());
        if run.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A client without a pool: each test has a runtime of its own, and a pooled connection dies with the runtime that
/// made it.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Person {
    pub url: String,
    pub http: reqwest::Client,
    /// An access token, an API key, or nothing.
    pub credential: String,
    pub user_id: String,
    pub email: String,
}

impl Person {
    /// `POST /rpc/<method>` with bare parameters.
    pub async fn call(&self, method: &str, params: Value) -> Reply {
        self.post(&format!("/rpc/{method}"), params.to_string(), "application/json").await
    }

    /// Posts a body to a path.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>, accept: &str) -> Reply {
        let mut request = self.http.post(format!("{}{path}", self.url)).timeout(PATIENCE).body(body);
        request = request.header("content-type", "application/json").header("accept", accept);
        if !self.credential.is_empty() {
            request = request.bearer_auth(&self.credential);
        }
        Reply::of(request.send().await.unwrap_or_else(|error| panic!("{path}: {error:?}"))).await
    }

    /// The tokens of this person in the ledger this month: used, and still reserved.
    pub async fn used_and_reserved(&self) -> (i64, i64) {
        let budget = self.call("budget.get", json!({})).await.ok()["budgets"][0].clone();
        let number = |name: &str| budget[name].as_str().and_then(|n| n.parse().ok()).unwrap_or(0);
        (number("used"), number("reserved"))
    }

    /// Adds an `Authorization` to gRPC metadata.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if !self.credential.is_empty() {
            request
                .metadata_mut()
                .insert("authorization", format!("Bearer {}", self.credential).parse().unwrap());
        }
        request
    }

    /// A gRPC channel to the house.
    pub async fn channel(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from_shared(self.url.clone()).unwrap().connect().await.unwrap()
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    /// All of an answer.
    pub async fn of(response: reqwest::Response) -> Reply {
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap_or_default() }
    }

    /// The body.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The result of a call that went well.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// The error's details, when the call failed with this status and reason.
    pub fn fails(&self, status: u16, reason: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let data = self.json()["error"]["data"].clone();
        assert_eq!(data["reason"], reason, "{}", self.text);
        data["details"].clone()
    }
}
