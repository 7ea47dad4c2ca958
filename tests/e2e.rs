//! The main job by the door, as a program would do it: ask, take the code, save it, run it, see it in the log and the
//! tokens on the ledger. The same by hand is web/e2e/main_job.spec.ts.

use serde_json::{Value, json};

use crate::harness::{House, PATIENCE, eventually};

#[tokio::test]
async fn from_a_question_to_a_metered_answer_and_a_run_program() {
    let dev = House::shared().await.person("dev").await;
    let params = json!({"messages": [{"role": "user", "content": "Write a Python function that adds two numbers."}], "maxTokens": 96});
    let answer = dev.call("llm.chat", params).await.ok();
    assert!(answer["usage"]["completionTokens"].as_i64().unwrap() > 0);
    // the bundled model's code is often wrong; the journey is about the way, so the program is ours
    let program = "def add(a, b):\n    return a + b\n\nprint(add(2, 3))\n";
    dev.call("fs.write", json!({"path": "add.py", "text": program})).await.ok();
    let result = dev.call("run.exec", json!({"engine": "run", "path": "add.py"})).await.ok();
    assert_eq!((&result["stdout"], &result["exitCode"]), (&json!("5\n"), &json!(0)), "{result}");
    let entry = eventually("the output is in the log", PATIENCE, || async {
        let logs = dev.call("logs.list", json!({"pageSize": 100})).await.ok();
        let entries = logs["entries"].as_array()?.clone();
        entries.into_iter().find(|entry| {
            entry["fields"]["execId"] == result["execId"] || entry["fields"]["exec_id"] == result["execId"]
        })
    })
    .await;
    assert_eq!(entry["service"], "sandbox", "{entry}");
    let rows = dev.call("usage.list", json!({})).await.ok();
    assert_eq!(rows["rows"][0]["requestId"], answer["requestId"]);
    let runs = dev.call("run.list", json!({})).await.ok();
    assert_eq!(runs["runs"][0]["execId"], result["execId"]);
}

#[tokio::test]
async fn examples_are_answered_as_they_stand() {
    let house = House::shared().await;
    let dev = house.person("dev").await;
    let mut tried = 0;
    let folder = crate::harness::root().join("json-schemas/examples/rpc");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|file| file.path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        // those that name things which only other calls make, or that end what the others need
        let about_one_thing =
            text.contains("0191e7a0-0000") || name.starts_with("user.") || name.contains("micro");
        let endless = name.contains("watch");
        // nor what the smallest of models may fail at: tests/provision.rs has a scripted one plan
        let managing =
            ["llm.download", "llm.start", "llm.stop", "llm.cancel_job", "agent.update", "provision.plan"];
        let managing = managing.iter().any(|method| name.starts_with(method));
        let in_order = name.starts_with("fs.") || name == "run.exec.wasm_path.json";
        if about_one_thing || endless || managing || in_order {
            continue;
        }
        let parts: Vec<&str> = name.split('.').collect();
        let admin_only = ["llm.jobs"].iter().any(|m| name.starts_with(m));
        let caller = if admin_only { &house.admin } else { &dev };
        let reply = caller.post(&format!("/rpc/{}", parts[..2].join(".")), text, "application/json").await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text);
        tried += 1;
    }
    // Tasks that were given go on by themselves.
    let tasks = dev.call("agent.list", json!({})).await.ok()["tasks"].clone();
    for task in tasks.as_array().unwrap().iter().filter(|task| task["endedAt"].is_null()) {
        dev.call("agent.cancel", json!({"taskId": task["taskId"]})).await;
    }
    for (file, at) in [
        ("fs.write.ok", "fs.write"),
        ("fs.read.ok", "fs.read"),
        ("fs.list.all", "fs.list"),
        ("fs.edit.hunk", "fs.edit"),
        ("fs.merge.three_way", "fs.merge"),
        ("fs.search.word", "fs.search"),
        ("fs.copy.file", "fs.copy"),
        ("fs.mkdir.one", "fs.mkdir"),
        ("fs.history.one", "fs.history"),
        ("fs.locks.all", "fs.locks"),
        ("fs.move.rename", "fs.move"),
        ("fs.lock.folder", "fs.lock"),
    ] {
        let text = std::fs::read_to_string(
            crate::harness::root().join(format!("json-schemas/examples/rpc/{file}.json")),
        )
        .unwrap();
        dev.post(&format!("/rpc/{at}"), text, "application/json").await.ok();
        tried += 1;
    }
    assert!(tried > 20, "{tried} examples were tried");
}

#[tokio::test]
async fn a_session_is_refreshed_by_its_cookie_and_ended_by_sign_out() {
    let house = House::shared().await;
    let dev = house.person("dev").await;
    let http = reqwest::Client::builder().cookie_store(true).build().unwrap();
    let post = |method: &str, body: Value| {
        let request =
            http.post(format!("{}/rpc/{method}", house.url)).header("content-type", "application/json");
        request.header("origin", &house.url).body(body.to_string()).send()
    };
    let login =
        post("user.login", json!({"email": dev.email, "password": "correct horse battery"})).await.unwrap();
    let cookie = login.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let body: Value = login.json().await.unwrap();
    assert!(body.get("refreshToken").is_none(), "the page never sees it: {body}");
    let refreshed = post("user.refresh", json!({})).await.unwrap();
    assert_eq!(refreshed.status(), 200);
    let token = refreshed.json::<Value>().await.unwrap()["accessToken"].as_str().unwrap().to_owned();
    let me = crate::harness::Person { credential: token, ..dev.clone() };
    assert_eq!(me.call("user.me", json!({})).await.ok()["user"]["email"], dev.email);
    assert_eq!(post("user.logout", json!({})).await.unwrap().status(), 200);
    assert_eq!(post("user.refresh", json!({})).await.unwrap().status(), 401);
}

#[tokio::test]
async fn the_command_line_manages_people_keys_and_limits() {
    use crate::harness::cli;
    let house = House::shared().await;
    let dir = &house.data_dir;
    let email = format!("cli-{}@example.org", std::process::id());
    cli(dir, &["user", "add", "--email", &email, "--role", "dev", "--password-stdin"], "eight or more\n");
    cli(dir, &["user", "limit", "--email", &email, "--monthly-tokens", "3"], "");
    let key = cli(dir, &["key", "add", "--email", &email, "--name", "k", "--token-budget", "100"], "");
    assert!(key.starts_with("dsk_") && key.trim().lines().count() == 1, "only the key is printed: {key:?}");
    let person = crate::harness::Person { credential: key.trim().into(), ..house.nobody() };
    person.call("llm.chat", json!({"prompt": "hello"})).await.fails(429, "TOKEN_BUDGET_EXCEEDED");
    let called = cli(dir, &["call", "budget.get", "{}"], "");
    assert!(serde_json::from_str::<Value>(&called).unwrap()["budgets"].is_array(), "{called}");
}

#[tokio::test]
async fn the_first_password_leaves_its_file_when_it_is_changed() {
    let house = House::shared().await;
    let file = house.data_dir.join("initial-admin-password");
    let password = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let nobody = house.nobody();
    let login =
        nobody.call("user.login", json!({"email": "admin@localhost", "password": password})).await.ok();
    let admin =
        crate::harness::Person { credential: login["accessToken"].as_str().unwrap().into(), ..nobody };
    let change = json!({"currentPassword": password, "newPassword": "a longer correct horse"});
    admin.call("user.change_password", change).await.ok();
    assert!(!file.exists());
}
