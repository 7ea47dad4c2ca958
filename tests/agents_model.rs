//! Agents with the bundled model: every answer is an action, and a task ends with its file written and its books right.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::{House, eventually},
    proof::{counts, figure},
};

const SITUATION: &str = "# Task (code)\nWrite hello.py, which prints Hello.\n\n# Files in the workspace\n<data>\nREADME.md (12 bytes)\n</data>\n\nWhat is your next action?";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_bundled_model_at_temperature_1_is_an_action() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let schema = devstudio_agent::action_schema().to_string();
    let all = counts(6, 200);
    let (mut acts, mut cut) = (std::collections::BTreeMap::<String, usize>::new(), 0);
    let mut done = 0;
    while done < all {
        let params = json!({
            "messages": [
                {"role": "system", "content": "You are a careful programmer. Answer with one action, as JSON."},
                {"role": "user", "content": SITUATION},
            ],
            "responseSchema": schema, "temperature": 1, "maxTokens": 2048, "seed": done + 1000 * cut,
        });
        let answer = dev.call("llm.chat", params).await.ok();
        if answer["finishReason"] == "length" {
            // An agent asks anew then, with shorter bounds; here it only counts.
            cut += 1;
            assert!(cut <= 2 + all / 10, "{cut} answers were cut short");
            continue;
        }
        let text = answer["text"].as_str().unwrap();
        let action = devstudio_agent::read_action(text).unwrap_or_else(|why| panic!("{why}: {text}"));
        assert!(action.act.is_some());
        let value: Value = serde_json::from_str(text).unwrap();
        let name = value.as_object().unwrap().keys().find(|key| *key != "thought").unwrap().clone();
        *acts.entry(name).or_default() += 1;
        done += 1;
    }
    figure(
        "actions",
        format!(
            "{done} of {done} answers at temperature 1 are actions ({acts:?}); {cut} were cut short and asked for anew"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_task_of_the_bundled_model_ends_with_its_file_written_and_its_books_right() {
    let house = House::shared().await;
    let agents = house.admin.call("agent.agents", json!({})).await.ok();
    assert!(agents["agents"].as_array().unwrap().iter().any(|agent| agent["agentId"] == "coder"));
    // The smallest of models may name no path that can be; the books are right whatever it does.
    let mut tasks = 0;
    loop {
        tasks += 1;
        if one_task(house).await {
            break;
        }
        assert!(tasks < 3, "no action of {tasks} tasks wrote a file");
    }
    figure(
        "actions",
        format!("a file written by an action in the {tasks}. code task, all tokens billed to tasks"),
    );
}

/// A code task to its end; tells whether an action wrote a file.
async fn one_task(house: &House) -> bool {
    let dev = house.dev().await;
    let params = json!({
        "kind": "code", "policy": "free", "prompt": "Write hello.py, a program that prints Hello.", "maxSteps": 6,
    });
    let id = dev.call("agent.submit", params).await.ok()["taskId"].as_str().unwrap().to_owned();
    let ended = eventually("the task ends", Duration::from_secs(300), || async {
        let task = dev.call("agent.get", json!({"taskId": id})).await.ok()["task"].clone();
        (!task["endedAt"].is_null()).then_some(task)
    })
    .await;
    let state = ended["state"].as_str().unwrap();
    assert!(["SUCCEEDED", "FAILED"].contains(&state), "{ended:#}");
    let (used, reserved) = dev.used_and_reserved().await;
    let sum = dev.call("usage.get", json!({"groupBy": "task"})).await.ok();
    let of_task =
        sum["groups"].as_array().unwrap().iter().find(|group| group["group"] == id).unwrap().clone();
    let number = |name: &str| of_task[name].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!((number("promptTokens") + number("completionTokens"), reserved), (used, 0), "{sum:#}");
    assert_eq!(ended["tokens"].as_i64().unwrap(), used, "what the task counts is what was billed");
    let by_agent = dev.call("usage.get", json!({"groupBy": "agent"})).await.ok();
    let agents: Vec<&str> =
        by_agent["groups"].as_array().unwrap().iter().map(|group| group["group"].as_str().unwrap()).collect();
    assert!(agents.contains(&"planner") && agents.contains(&"coder"), "{agents:?}");
    println!("the task ended {state} after {} steps: {}", ended["steps"], ended["result"]);
    let watch = json!({"taskId": id}).to_string();
    let watched = dev.post("/rpc/agent.watch", watch, "application/x-ndjson").await;
    let events: Vec<Value> = watched.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wrote = events.iter().any(|message| {
        let done = &message["event"]["done"];
        done["ok"] == true && done["observation"].as_str().is_some_and(|said| said.starts_with("wrote "))
    });
    let files = dev.call("fs.list", json!({})).await.ok();
    assert!(wrote || files["entries"].as_array().unwrap().is_empty(), "{files:#}");
    wrote
}

/// A small repository: its name, its files, and what is wanted of it.
type Repository = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const REPOSITORIES: [Repository; 5] = [
    (
        "rust",
        &[
            ("Cargo.toml", "[package]\nname = \"sums\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            ("src/main.rs", "fn main() {\n    println!(\"{}\", 1 + 2);\n}\n"),
        ],
        "a function that adds two numbers, with a test",
    ),
    (
        "node",
        &[
            (
                "package.json",
                "{\"name\": \"sums\", \"version\": \"1.0.0\", \"scripts\": {\"test\": \"node --test\"}}\n",
            ),
            ("index.js", "console.log(1 + 2);\n"),
        ],
        "a module that adds two numbers, with a test",
    ),
    (
        "python",
        &[("requirements.txt", "\n"), ("app.py", "print(1 + 2)\n"), ("test_app.py", "import unittest\n")],
        "a function that counts words, with a test",
    ),
    (
        "mixed",
        &[
            ("server.py", "print('up')\n"),
            ("web/index.js", "console.log('up');\n"),
            ("run.sh", "#!/bin/sh\npython3 server.py\n"),
        ],
        "a check that the server starts",
    ),
    ("empty", &[], "python cli with tests"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_plan_of_the_bundled_model_keeps_the_contract_and_the_rules_of_the_house() {
    let house = House::shared().await;
    let all = counts(2, 50);
    let dev = house.dev().await;
    let (mut commands, mut files) = (0, 0);
    for at in 0..all {
        let (name, tree, wish) = REPOSITORIES[at % REPOSITORIES.len()];
        let workspace = dev.call("workspace.create", json!({"name": format!("{name} {at}")})).await.ok();
        let id = workspace["workspaceId"].as_str().unwrap();
        for (path, text) in tree {
            dev.call("fs.write", json!({"workspaceId": id, "path": path, "text": text})).await.ok();
        }
        let params = json!({"workspaceId": id, "wish": wish}).to_string();
        let reply = dev.post("/rpc/provision.plan", params, "application/x-ndjson").await;
        let last: Value = serde_json::from_str(reply.text.lines().last().unwrap()).unwrap();
        let plan = &last["plan"];
        assert!(!plan.is_null(), "{name}: {last:#}");
        let read =
            devstudio_agent::read_plan(&plan.to_string()).unwrap_or_else(|why| panic!("{why}: {plan:#}"));
        files += read.files.len();
        commands += read.commands.len();
        // A plan that is kept can be shown, and nothing of it is written yet.
        let planned = json!({"planId": last["planId"]});
        let preview = dev.call("provision.preview", planned).await.ok();
        assert_eq!(preview["changes"].as_array().unwrap().len(), read.files.len(), "{preview:#}");
        assert!(!preview["commands"].as_array().unwrap().is_empty(), "{preview:#}");
        let there = dev.call("fs.list", json!({"workspaceId": id})).await.ok();
        let is_file = |entry: &&Value| entry["kind"] == "file";
        assert_eq!(there["entries"].as_array().unwrap().iter().filter(is_file).count(), tree.len());
    }
    figure(
        "plans",
        format!("{all} of {all} plans of the bundled model valid: {files} files, {commands} commands"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_would_be_shown_is_chosen_counted_and_bounded() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let prose = "Nothing to see here.\n".repeat(30);
    for name in ["one", "two", "three", "four", "five", "six"] {
        dev.call("fs.write", json!({"path": format!("notes/{name}.md"), "text": prose})).await.ok();
    }
    let parser =
        "def parse_invoice(line):\n    \"\"\"Reads an invoice's line.\"\"\"\n    return line.split(';')\n";
    dev.call("fs.write", json!({"path": "billing/reader.py", "text": parser})).await.ok();
    dev.call("fs.write", json!({"path": "app.py", "text": "print('up')\n"})).await.ok();
    let asked = json!({"prompt": "parse_invoice loses the last column; mend it, and call it in app.py"});
    let shown = dev.call("agent.context", asked.clone()).await.ok();
    let files: Vec<(&str, &str)> = shown["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["path"].as_str().unwrap(), file["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(files[0], ("app.py", "named"), "{shown:#}");
    assert!(files.iter().any(|(path, _)| *path == "billing/reader.py"), "{shown:#}");
    assert!(!files.iter().any(|(path, _)| path.starts_with("notes/")), "{shown:#}");
    let counted: i64 =
        shown["files"].as_array().unwrap().iter().map(|file| file["tokens"].as_i64().unwrap()).sum();
    let (all, most) = (shown["tokens"].as_i64().unwrap(), shown["maxTokens"].as_i64().unwrap());
    assert!(counted > 0 && counted < all && all <= most, "{shown:#}");
    // What does not fit is left out, and a task that does not fit is refused with its figures.
    let mut small = asked.clone();
    small["maxTokens"] = json!(all - 1);
    let small = dev.call("agent.context", small).await.ok();
    assert_eq!(small["leftOut"].as_array().unwrap().len(), 1, "{small:#}");
    let mut tiny = asked;
    tiny["maxTokens"] = json!(3);
    let details = dev.call("agent.context", tiny).await.fails(400, "CONTEXT_OVERFLOW");
    assert_eq!(details["max_tokens"], "3");
    let other = house.dev().await;
    let theirs = dev.call("workspace.list", json!({})).await.ok()["workspaces"][0]["workspaceId"].clone();
    let params = json!({"prompt": "x", "workspaceId": theirs});
    other.call("agent.context", params.clone()).await.fails(404, "NOT_FOUND");
    other.call("agent.enhance", params).await.fails(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_worded_anew_piece_by_piece_and_billed_to_the_enhancer() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let params = json!({"prompt": "make hello.py print the time", "kind": "code"}).to_string();
    let reply = dev.post("/rpc/agent.enhance", params, "application/x-ndjson").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let pieces: Vec<Value> = reply.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = pieces.last().unwrap();
    let whole: String = pieces.iter().filter_map(|piece| piece["delta"].as_str()).collect();
    assert_eq!(last["text"].as_str().unwrap(), whole.trim(), "{pieces:#?}");
    assert!(pieces.len() > 3, "it comes in pieces");
    let by_agent = dev.call("usage.get", json!({"groupBy": "agent"})).await.ok();
    let group = &by_agent["groups"][0];
    let number = |name: &str| group[name].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!(group["group"], "enhancer");
    assert_eq!(number("promptTokens") + number("completionTokens"), last["tokens"].as_i64().unwrap());
}
