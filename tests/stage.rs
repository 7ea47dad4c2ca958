//! The stage on which agents act: real services, a process of agents beside them, and a scripted Llm service; and the words
//! in which scripts and tests speak.

use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex as Lock},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    harness::{House, Person, binary, eventually, free_port, fresh_dir, root, spawn_bound},
    kill::children,
    scripted_llm::{Ask, Line, Script, Scripted},
};

/// A house whose own workers rest, and a process of agents beside it that asks the scripted service.
pub struct Stage {
    /// The house.
    pub house: House,
    pub llm: Scripted,
    script: Arc<Lock<Script>>,
    agents: Lock<Option<Child>>,
    /// Its database.
    pub database: String,
    /// Where the process of agents tells its metrics.
    pub metrics: u16,
    /// Where its own edge listens.
    edge: u16,
}

static STAGE: OnceCell<Stage> = OnceCell::const_new();

/// The stage that these tests share.
pub async fn stage() -> &'static Stage {
    STAGE
        .get_or_init(|| async {
            let mut env: Vec<(String, String)> =
                ["DEVSTUDIO_RATE", "DEVSTUDIO_RATE_LLM", "DEVSTUDIO_RATE_RUN", "DEVSTUDIO_RATE_SIGN_IN"]
                    .map(|name| (name.to_owned(), "1000:5000".to_owned()))
                    .into();
            env.push(("DEVSTUDIO_AGENT_WORKERS".into(), "0".into()));
            let house = House::start(fresh_dir(), &env).await;
            let core = children(house.supervisor.id())["core"];
            let environment = std::fs::read(format!("/proc/{core}/environ")).unwrap();
            let database = environment
                .split(|byte| *byte == 0)
                .find_map(|one| String::from_utf8_lossy(one).strip_prefix("DATABASE_URL=").map(str::to_owned))
                .unwrap();
            let script: Arc<Lock<Script>> =
                Arc::new(Lock::new(Arc::new(|_: &Ask| panic!("no script was given"))));
            let now = script.clone();
            let ask: Script = Arc::new(move |ask: &Ask| {
                let script = now.lock().unwrap().clone();
                script(ask)
            });
            let socket = house.data_dir.join("scripted.sock");
            let keys = house.data_dir.join("keys");
            let llm = Scripted::serve(&keys, &house.socket("core"), &socket, ask).await;
            Stage {
                house,
                llm,
                script,
                agents: Lock::default(),
                database,
                metrics: free_port(),
                edge: free_port(),
            }
        })
        .await
}

impl Stage {
    /// From now on the script is this, and agents work.
    pub async fn play(&self, script: impl Fn(&Ask) -> Line + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
        if self.agents.lock().unwrap().is_none() {
            self.raise();
        }
    }

    /// Starts the process of agents.
    pub fn raise(&self) {
        self.raise_with(&[]);
    }

    /// The same with other settings.
    pub fn raise_with(&self, settings: &[(&str, &str)]) {
        let link = |name: &str| format!("unix:{}", self.house.socket(name).display());
        let mut command = Command::new(binary());
        command
            .args(["serve", "agent", "edge", "--mesh-listen=127.0.0.1:0"])
            .arg(format!("--listen=127.0.0.1:{}", self.edge))
            .arg(format!("--web-dir={}", root().join("web/dist").display()))
            .arg(format!("--link-auth={}", link("core")))
            .arg(format!("--link-billing={}", link("core")))
            .arg(format!("--link-sandbox={}", link("sandbox")))
            .arg(format!("--link-llm=unix:{}", self.house.data_dir.join("scripted.sock").display()))
            .arg(format!("--metrics-listen=127.0.0.1:{}", self.metrics))
            .arg("--data-dir")
            .arg(&self.house.data_dir)
            .env("DATABASE_URL", &self.database)
            .env("DEVSTUDIO_AGENT_WORKERS", "2")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.house.data_dir.join("agents.log")).unwrap());
        *self.agents.lock().unwrap() = Some(spawn_bound(command));
    }

    /// Somebody who calls by the edge of that process: what agents do for a call asks the scripted service then.
    pub fn at_its_edge(&self, person: Person) -> Person {
        Person { url: format!("http://127.0.0.1:{}", self.edge), ..person }
    }

    /// Ends the process of agents as a power failure would.
    pub fn kill(&self) {
        let mut child = self.agents.lock().unwrap().take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A task's thread of events, as JSON.
pub async fn events(dev: &Person, task: &str) -> Vec<Value> {
    let reply =
        dev.post("/rpc/agent.watch", json!({"taskId": task}).to_string(), "application/x-ndjson").await;
    let lines = reply.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|message| !message["event"].is_null()).map(|message| message["event"].clone()).collect()
}

pub async fn submit(dev: &Person, params: Value) -> String {
    dev.call("agent.submit", params).await.ok()["taskId"].as_str().unwrap().to_owned()
}

pub async fn task(dev: &Person, id: &str) -> Value {
    dev.call("agent.get", json!({"taskId": id})).await.ok()["task"].clone()
}

/// Waits until a task is in a state.
pub async fn reaches(dev: &Person, id: &str, state: &str) -> Value {
    let limit = Duration::from_secs(60);
    eventually(&format!("the task is {state}"), limit, || async {
        let task = task(dev, id).await;
        let ended = !task["endedAt"].is_null();
        assert!(!ended || task["state"] == state, "{task:#}");
        (task["state"] == state).then_some(task)
    })
    .await
}

pub fn act(action: Value) -> Value {
    let mut whole = json!({"thought": "as the script says"});
    whole.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
    whole
}

pub fn write(path: &str, text: &str) -> Value {
    act(json!({"writeFile": {"path": path, "text": text}}))
}

pub fn run(code: &str) -> Value {
    act(json!({"runExec": {"runtime": "python", "code": code}}))
}

pub fn finish(success: bool, summary: &str) -> Value {
    act(json!({"finish": {"success": success, "summary": summary}}))
}

pub const CHECK: &str = "import sys\nsys.path.insert(0, '.')\nfrom add import add\nassert add(2, 3) == 5, add(2, 3)\nprint('passed')";
