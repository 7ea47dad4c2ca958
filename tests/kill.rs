//! kill -9 of each child in turn under load: it comes back within ten seconds, no acknowledged write and no ledger row
//! is lost, and what was sent is what is billed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    harness::{House, PATIENCE, Person, eventually, free_port, fresh_dir, ready, spawn_up, stop},
    proof::{counts, figure},
};

/// People's chats at once, and how many chats and writes must come between two kills.
const CHATTERS: usize = 3;
const MORE: usize = 8;

/// Tests of this binary take turns.
pub static ALONE: Mutex<()> = Mutex::const_new(());

/// The children of a process: pid and a word of their command line that tells which it is.
pub fn children(supervisor: u32) -> BTreeMap<&'static str, i32> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        if parent != Some(supervisor) {
            continue;
        }
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let name = if line.contains("postgres") {
            "postgres"
        } else if line.contains("serve auth") {
            "core"
        } else if line.contains("serve sandbox") {
            "sandbox"
        } else if line.contains("main.js") {
            "llm"
        } else {
            continue;
        };
        found.insert(name, pid);
    }
    found
}

/// Processes of this machine whose command line contains a word.
fn processes_with(word: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    lines
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(word))
        .count()
}

/// A program that would go on for long; it runs when this returns (TX14).
async fn long_run(dev: &Person, marker: &str) {
    let request = dev.http.post(format!("{}/rpc/run.exec", dev.url)).bearer_auth(&dev.credential);
    let code = "import os, time\nfor _ in range(2): os.fork()\ntime.sleep(300)";
    let body = json!({"engine": "run", "code": code, "args": [marker], "timeoutMs": 300_000}).to_string();
    tokio::spawn(request.body(body).send());
    eventually("a program runs", PATIENCE, || async { (processes_with(marker) >= 4).then_some(()) }).await;
}

pub fn kill9(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// What the load has seen so far.
#[derive(Default)]
struct Seen {
    halt: AtomicBool,
    /// Path and content of each acknowledged write.
    written: std::sync::Mutex<Vec<(String, String)>>,
    /// The last token count of each request that sent anything.
    sent: std::sync::Mutex<BTreeMap<String, i64>>,
}

impl Seen {
    fn halted(&self) -> bool {
        self.halt.load(Ordering::Relaxed)
    }

    fn counts(&self) -> (usize, usize) {
        (self.written.lock().unwrap().len(), self.sent.lock().unwrap().len())
    }
}

/// Writes files one after the other and remembers what was acknowledged.
async fn write_on(dev: Person, seen: Arc<Seen>) {
    let mut n = 0;
    while !seen.halted() {
        n += 1;
        let (path, text) = (format!("load/{n}.txt"), format!("content {n}"));
        let request = dev.http.post(format!("{}/rpc/fs.write", dev.url)).bearer_auth(&dev.credential);
        let body = json!({"path": path, "text": text}).to_string();
        match request.timeout(Duration::from_secs(10)).body(body).send().await {
            Ok(response) if response.status() == 200 => seen.written.lock().unwrap().push((path, text)),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Restores two states of a workspace in turn. Whatever was acknowledged is the same tree, to the byte, by its hash.
/// Answers how many.
async fn restore_on(dev: Person, states: [Value; 2], seen: Arc<Seen>) -> usize {
    let call = async |method: &str, body: Value| {
        let request = dev.http.post(format!("{}/rpc/{method}", dev.url)).bearer_auth(&dev.credential);
        let answer = request.timeout(Duration::from_secs(10)).body(body.to_string()).send().await.ok()?;
        if answer.status() == 200 { answer.json::<Value>().await.ok() } else { None }
    };
    let mut restored = 0;
    while !seen.halted() {
        let wanted = &states[restored % 2];
        let back = call("snapshot.restore", json!({"snapshotId": wanted["snapshotId"]})).await;
        let now = match back {
            Some(_) => call("snapshot.create", json!({"reason": "to compare"})).await,
            None => None,
        };
        match now {
            Some(now) => {
                assert_eq!(now["snapshot"]["treeSha256"], wanted["treeSha256"], "restore {restored}");
                restored += 1;
            }
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    restored
}

/// Two states of a workspace, as snapshots.
async fn two_states(dev: &Person) -> [Value; 2] {
    for n in 0..10 {
        dev.call("fs.write", json!({"path": format!("d{}/f{n}", n % 3), "text": "ä\n".repeat(n)})).await.ok();
    }
    let first = dev.call("snapshot.create", json!({"reason": "first"})).await.ok();
    dev.call("fs.delete", json!({"path": "d1"})).await.ok();
    dev.call("fs.write", json!({"path": "d1", "text": "a file where a folder was"})).await.ok();
    let second = dev.call("snapshot.create", json!({"reason": "second"})).await.ok();
    assert_ne!(first["snapshot"]["treeSha256"], second["snapshot"]["treeSha256"]);
    [first["snapshot"].clone(), second["snapshot"].clone()]
}

/// Chats one after the other, and remembers the tokens that each message tells.
async fn chat_on(dev: Person, seen: Arc<Seen>) {
    while !seen.halted() {
        let request = dev.http.post(format!("{}/rpc/llm.chat", dev.url)).bearer_auth(&dev.credential);
        let body = json!({"prompt": "Tell me a story.", "maxTokens": 16, "temperature": 0.9}).to_string();
        let response =
            request.header("accept", "application/x-ndjson").timeout(PATIENCE).body(body).send().await;
        let Some(response) = response.ok().filter(|response| response.status() == 200) else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mut lines = response.bytes_stream();
        let mut rest = String::new();
        while let Some(Ok(bytes)) = lines.next().await {
            rest.push_str(&String::from_utf8_lossy(&bytes));
            while let Some((line, tail)) = rest.split_once('\n') {
                if let Ok(message) = serde_json::from_str::<Value>(line)
                    && let (Some(id), Some(tokens)) =
                        (message["requestId"].as_str(), message["usage"]["completionTokens"].as_i64())
                {
                    seen.sent.lock().unwrap().insert(id.to_owned(), tokens);
                }
                rest = tail.to_owned();
            }
        }
    }
}

/// What a child is needed for works again.
async fn serves(dev: &Person, child: &str) -> bool {
    let (method, params) = match child {
        "sandbox" => ("run.exec", json!({"engine": "run", "code": "print(1)"})),
        "llm" => ("llm.chat", json!({"prompt": "hi", "maxTokens": 2})),
        _ => ("fs.list", json!({})),
    };
    let request = dev.http.post(format!("{}/rpc/{method}", dev.url)).bearer_auth(&dev.credential);
    let answer = request.timeout(Duration::from_secs(5)).body(params.to_string()).send().await;
    answer.is_ok_and(|response| response.status() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_each_child_under_load_loses_nothing() {
    let _alone = ALONE.lock().await;
    let house = House::start(
        fresh_dir(),
        &[("DEVSTUDIO_RATE".into(), "1000:5000".into()), ("DEVSTUDIO_RATE_LLM".into(), "1000:5000".into())],
    )
    .await;
    let dev = house.dev().await;
    dev.call("fs.write", json!({"path": "kept/a.txt", "text": "as it was"})).await.ok();
    let kept = dev.call("snapshot.create", json!({"reason": "before the kills"})).await.ok();
    let pinned = dev.call("fs.lock", json!({"path": "kept/a.txt", "pinned": true})).await.ok();
    let rounds = counts(1, 3);
    let keeper = house.dev().await;
    let states = two_states(&keeper).await;
    let seen = Arc::new(Seen::default());
    let restoring = tokio::spawn(restore_on(keeper.clone(), states.clone(), seen.clone()));
    let mut load = vec![tokio::spawn(write_on(dev.clone(), seen.clone()))];
    load.extend((0..CHATTERS).map(|_| tokio::spawn(chat_on(dev.clone(), seen.clone()))));
    let goes_on = async |when: &str| {
        let (writes, chats) = seen.counts();
        eventually(&format!("{when}, {MORE} more writes and chats"), PATIENCE, || async {
            let now = seen.counts();
            (now.0 >= writes + MORE && now.1 >= chats + MORE).then_some(())
        })
        .await;
    };
    goes_on("before anything is killed").await;
    for name in ["llm", "sandbox", "core", "postgres"].into_iter().cycle().take(4 * rounds) {
        let before = children(house.supervisor.id());
        let pid = *before.get(name).unwrap_or_else(|| panic!("{name} runs: {before:?}"));
        let marker = format!("killed-with-{name}-{pid}");
        if name == "sandbox" {
            long_run(&dev, &marker).await;
        }
        let killed = Instant::now();
        kill9(pid);
        if name == "sandbox" {
            let gone = || async { (processes_with(&marker) == 0).then_some(()) };
            eventually("its programs go with it", Duration::from_secs(5), gone).await;
        }
        eventually(&format!("{name} comes back"), Duration::from_secs(10), || async {
            let now = children(house.supervisor.id());
            let renewed = now.get(name).is_some_and(|new| *new != pid);
            (renewed && serves(&dev, name).await).then_some(())
        })
        .await;
        eprintln!("FIGURE kill -9 of {name}: serves again after {:?}", killed.elapsed());
        goes_on(&format!("after kill -9 of {name}")).await;
    }
    seen.halt.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let restored = restoring.await.unwrap();
    assert!(restored > 0, "states are restored under load");
    for state in &states {
        let by_id = json!({"snapshotId": state["snapshotId"]});
        keeper.call("snapshot.restore", by_id).await.ok();
        let now = keeper.call("snapshot.create", json!({"reason": "at the end"})).await.ok();
        assert_eq!(now["snapshot"]["treeSha256"], state["treeSha256"], "{state}");
    }
    let acknowledged = std::mem::take(&mut *seen.written.lock().unwrap());
    let sent = std::mem::take(&mut *seen.sent.lock().unwrap());
    for (path, text) in &acknowledged {
        let read = dev.call("fs.read", json!({"path": path})).await.ok();
        assert_eq!(read["text"], *text, "{path} was acknowledged");
    }
    let locks = dev.call("fs.locks", json!({})).await.ok();
    assert_eq!(locks["locks"][0]["lockId"], pinned["lockId"], "the lock holds still: {locks}");
    let agent = json!({"path": "kept/a.txt", "agentId": "coder"});
    dev.call("fs.lock", agent).await.fails(409, "LOCK_HELD");
    let snapshots = dev.call("snapshot.list", json!({})).await.ok();
    assert_eq!(snapshots["snapshots"][0], kept["snapshot"], "{snapshots}");
    // what was left open is settled from the journal when Billing is back
    let rows =
        eventually("every request that sent something has its row", Duration::from_secs(60), || async {
            let rows = dev.call("usage.list", json!({"pageSize": 500})).await.ok();
            let rows: BTreeMap<String, Value> = rows["rows"]
                .as_array()?
                .iter()
                .map(|row| (row["requestId"].as_str().unwrap().to_owned(), row.clone()))
                .collect();
            sent.keys().all(|id| rows.contains_key(id)).then_some(rows)
        })
        .await;
    for (id, tokens) in &sent {
        let billed = rows[id]["completionTokens"].as_i64().unwrap();
        assert!((billed - tokens).abs() <= 1, "{id}: {tokens} were sent, {billed} are billed: {}", rows[id]);
    }
    eprintln!("FIGURE kill -9: {} writes and {} chats checked", acknowledged.len(), sent.len());
    figure(
        "kills",
        format!(
            "{} kills, {} writes, {} chats, {restored} restores of whole trees checked: nothing lost",
            4 * rounds,
            acknowledged.len(),
            sent.len()
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_of_the_supervisor_and_all_up_starts_again_with_everything() {
    let _alone = ALONE.lock().await;
    let mut house = House::start(fresh_dir(), &[]).await;
    let dev = house.dev().await;
    dev.call("fs.write", json!({"path": "kept.txt", "text": "kept"})).await.ok();
    let below = children(house.supervisor.id());
    house.supervisor.kill().unwrap();
    house.supervisor.wait().unwrap();
    for pid in below.values() {
        // the kernel ends them with their supervisor; who is quicker does not matter
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(*pid).unwrap(),
            rustix::process::Signal::KILL,
        );
    }
    let port = free_port();
    let started = Instant::now();
    house.supervisor = spawn_up(&house.data_dir, port, &[]);
    let url = format!("http://127.0.0.1:{port}");
    ready(&mut house.supervisor, &url, &dev.http, &house.data_dir).await;
    eprintln!("FIGURE up after kill -9 of all: {:?}", started.elapsed());
    let dev = Person { url, ..dev };
    assert_eq!(dev.call("fs.read", json!({"path": "kept.txt"})).await.ok()["text"], "kept");
    stop(&mut house.supervisor);
}
