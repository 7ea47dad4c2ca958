//! Chains, through the one door: pieces as they are made, types checked first, budgets, drops, and runs that go on.

use std::{process::Command, time::Duration};

use devstudio_kit::Reason;
use devstudio_proto::agent::v1::{
    ChainSpec, ChainStage, JoinStage, RunChainRequest, TemplateStage,
    chain_service_client::ChainServiceClient, chain_stage::Stage,
};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::harness::{House, PATIENCE, Person, binary, eventually};

/// All messages of a run.
async fn messages(dev: &Person, params: Value) -> Vec<Value> {
    let reply = dev.post("/rpc/chain.run", params.to_string(), "application/x-ndjson").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sequence(stages: Value) -> Value {
    json!({"stage": {"sequence": {"stages": stages}}})
}

const SHOUT: &str = "print(input().upper(), end='')";

#[tokio::test(flavor = "multi_thread")]
async fn stages_pass_their_pieces_on_and_the_last_message_has_the_result() {
    let house = House::shared().await;
    let dev = house.dev().await;
    dev.call("fs.write", json!({"path": "names.txt", "text": "ada\nbob\ncy\n"})).await.ok();
    let chain = sequence(json!([
        {"read": {"path": "names.txt"}},
        {"split": {}},
        {"filter": {"contains": "b", "not": true}},
        {"each": {"limit": 2, "stage": {"name": "shout", "exec": {"runtime": "python", "code": SHOUT}}}},
        {"join": {"separator": " and "}},
        {"template": {"text": "Hello {{input}}!"}},
        {"write": {"path": "hello.txt"}},
    ]));
    let all = messages(&dev, json!({"chain": chain, "input": "", "workspaceId": ""})).await;
    let last = all.last().unwrap();
    assert_eq!(dev.call("fs.read", json!({"path": "hello.txt"})).await.ok()["text"], "Hello ADA and CY!");
    let locks = dev.call("fs.locks", json!({})).await.ok();
    assert_eq!(locks["locks"].as_array().map_or(0, Vec::len), 0, "{locks:#}");
    assert_eq!(last["result"]["text"], "Hello ADA and CY!", "{all:#?}");
    assert_eq!(last["result"]["tokens"], 0);
    let frames: Vec<&Value> =
        all.iter().map(|message| &message["frame"]).filter(|frame| !frame.is_null()).collect();
    let of = |path: &str| {
        frames.iter().position(|frame| frame["path"] == path).unwrap_or_else(|| panic!("{path}: {frames:#?}"))
    };
    assert!(
        of("sequence/read") < of("sequence/each.1/shout")
            && of("sequence/each.2/shout") < of("sequence/join")
    );
    let finals: Vec<&&Value> = frames.iter().filter(|frame| frame["final"] == true).collect();
    assert_eq!((finals.len(), &finals[0]["path"]), (1, &json!("sequence/write")));
    // Without an Accept for streams the last message is the answer.
    let short = json!({"stage": {"template": {"text": "Hello {{input}}"}}});
    let answer = dev.call("chain.run", json!({"chain": short, "input": "you"})).await.ok();
    assert_eq!(answer["result"]["text"], "Hello you");
    let run = dev.call("chain.get", json!({"runId": last["runId"]})).await.ok()["run"].clone();
    assert_eq!((&run["state"], run["frames"].as_array().unwrap().len()), (&json!("SUCCEEDED"), 4));
    house.dev().await.call("chain.get", json!({"runId": last["runId"]})).await.fails(404, "NOT_FOUND");
    dev.call("chain.resume", json!({"runId": last["runId"]})).await.fails(409, "STATE_CONFLICT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_whose_types_do_not_fit_is_refused_by_both_doors_before_it_starts() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let chain = sequence(json!([{"name": "plan", "template": {"text": "x"}}, {"join": {}}]));
    for method in ["chain.run", "chain.check"] {
        let details = dev.call(method, json!({"chain": chain})).await.fails(400, "TYPE_MISMATCH");
        assert_eq!(
            details,
            json!({"from": "sequence/plan", "to": "sequence/join", "gives": "text", "takes": "list"})
        );
    }
    let stage = |name: &str, stage: Stage| ChainStage { name: name.into(), stage: Some(stage) };
    let stages = vec![
        stage("", Stage::Template(TemplateStage { text: "x".into() })),
        stage("", Stage::Join(JoinStage::default())),
    ];
    let whole = stage("", Stage::Sequence(devstudio_proto::agent::v1::SequenceStage { stages }));
    let request = RunChainRequest {
        chain: Some(ChainSpec { stage: Some(whole), max_tokens: 0 }),
        ..Default::default()
    };
    let mut client = ChainServiceClient::new(dev.channel().await);
    let status = client.run_chain(dev.request(request)).await.unwrap_err();
    crate::errors::said(&status, Reason::TypeMismatch);
    dev.call("chain.run", json!({"chain": {"stage": {}}})).await.fails(400, "SCHEMA_VIOLATION");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_goes_on_at_its_first_open_stage_and_asks_no_model_again() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let chain = sequence(json!([
        {"name": "say", "llm": {"maxTokens": 12, "temperature": 0}},
        {"name": "check", "exec": {"runtime": "python", "code": "print(open('ready.txt').read() + input()[:0], end='')"}},
    ]));
    let failed = dev.call("chain.run", json!({"chain": chain, "input": "Name a colour."})).await;
    let details = failed.fails(409, "STATE_CONFLICT");
    assert_eq!(details["path"], "sequence/check", "{details}");
    let (run_id, used) = (details["run_id"].clone(), dev.used_and_reserved().await.0);
    assert!(used > 0);
    dev.call("fs.write", json!({"path": "ready.txt", "text": "ready"})).await.ok();
    let reply =
        dev.post("/rpc/chain.resume", json!({"runId": run_id}).to_string(), "application/x-ndjson").await;
    let all: Vec<Value> = reply.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = all.last().unwrap();
    assert_eq!(last["result"]["text"], "ready", "{all:#?}");
    assert!(all.iter().any(|message| message["frame"]["replayed"] == true && message["frame"]["path"] == "sequence/say"));
    assert_eq!(dev.used_and_reserved().await, (used, 0), "the second try cost nothing");
    let rows = dev.call("usage.list", json!({})).await.ok()["rows"].clone();
    assert_eq!((&rows[0]["taskId"], &rows[0]["agentId"]), (&run_id, &json!("chain")));
    assert_eq!(last["result"]["tokens"].as_i64(), Some(used));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_stops_at_its_tokens_and_at_its_time() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let mut chain = sequence(json!([{"llm": {"maxTokens": 60}}, {"llm": {"maxTokens": 60}}]));
    chain["maxTokens"] = json!(8);
    let details = dev
        .call("chain.run", json!({"chain": chain, "input": "Count."}))
        .await
        .fails(429, "TOKEN_BUDGET_EXCEEDED");
    assert_eq!((&details["scope"], &details["limit"]), (&json!("chain"), &json!("8")), "{details}");
    eventually("what it used is settled", PATIENCE, || async {
        (dev.used_and_reserved().await.1 == 0).then_some(())
    })
    .await;
    let rows = dev.call("usage.list", json!({})).await.ok()["rows"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 1, "the second stage did not begin: {rows:#}");
    let slow = json!({"exec": {"runtime": "python", "code": "import time; time.sleep(60)"}});
    let chain = json!({"stage": {"name": "hurry", "timeout": {"stage": slow, "timeoutMs": 400}}});
    let details = dev.call("chain.run", json!({"chain": chain})).await.fails(504, "DEADLINE");
    assert_eq!(details["path"], "hurry");
    let instead = json!({"stage": {"fallback": {"stage": chain["stage"], "text": "too slow"}}});
    assert_eq!(dev.call("chain.run", json!({"chain": instead})).await.ok()["result"]["text"], "too slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_stops_every_stage_and_the_run_can_go_on_later() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let sleep =
        json!({"exec": {"runtime": "python", "code": "import time; time.sleep(300)", "timeoutMs": 600_000}});
    let chain = json!({"stage": {"gather": {"stages": [sleep, sleep]}}});
    let request = dev.http.post(format!("{}/rpc/chain.run", dev.url)).bearer_auth(&dev.credential);
    let request = request.header("accept", "application/x-ndjson").body(json!({"chain": chain}).to_string());
    let caller = tokio::spawn(async move {
        let mut stream = request.send().await.unwrap().bytes_stream();
        while stream.next().await.is_some() {}
    });
    let going_on = async |wanted: usize| {
        let runs = dev.call("run.list", json!({})).await.ok();
        let runs = runs["runs"].as_array().cloned().unwrap_or_default();
        let open = runs.iter().filter(|run| run["status"].is_null()).count();
        (runs.len() == 2 && open == wanted).then_some(())
    };
    eventually("both programs run", PATIENCE, async || going_on(2).await).await;
    let began = std::time::Instant::now();
    caller.abort();
    eventually("none runs", PATIENCE, async || going_on(0).await).await;
    let took = began.elapsed();
    println!("both programs ended {took:?} after their caller went");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_runs_checks_and_resumes_chains() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let folder = crate::harness::fresh_dir();
    let file = folder.join("chain.json");
    let chain = sequence(json!([
        {"template": {"text": "hello {{input}}"}},
        {"exec": {"runtime": "python", "code": "import os\nassert os.path.exists('go')\n".to_owned() + SHOUT}},
    ]));
    std::fs::write(&file, chain.to_string()).unwrap();
    let devstudio = |args: &[&str]| {
        let out = Command::new(binary())
            .arg("chain")
            .args(args)
            .env("DEVSTUDIO_URL", &house.url)
            .env("DEVSTUDIO_KEY", &dev.credential)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    };
    let path = file.to_str().unwrap();
    let (well, said, _) = devstudio(&["check", path]);
    assert!(well && said.contains("takes a text and gives a text"), "{said}");
    let (well, _, error) = devstudio(&["run", path, "--input", "world"]);
    assert!(!well && error.contains("devstudio chain resume "), "{error}");
    let id = error.split("devstudio chain resume ").nth(1).unwrap().split('`').next().unwrap();
    dev.call("fs.write", json!({"path": "go", "text": ""})).await.ok();
    let (well, said, told) = devstudio(&["resume", id, "-v"]);
    assert!(well && said == "HELLO WORLD\n" && told.contains("[sequence/template]"), "{said} {told}");
    let (well, _, error) = devstudio(&["run", "/nonexistent.json"]);
    assert!(!well && error.contains("/nonexistent.json"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_write_at_once_leave_each_others_locks_alone() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let stages: Vec<Value> =
        (0..6).map(|n| json!({"name": format!("w{n}"), "write": {"path": format!("out/{n}.txt")}})).collect();
    let chain = json!({"stage": {"gather": {"stages": stages}}});
    let all = messages(&dev, json!({"chain": chain, "input": "the same"})).await;
    assert_eq!(all.last().unwrap()["result"]["list"], json!(vec!["the same"; 6]), "{all:#?}");
    for n in 0..6 {
        let file = dev.call("fs.read", json!({"path": format!("out/{n}.txt")})).await.ok();
        assert_eq!((&file["text"], &file["version"]), (&json!("the same"), &json!("1")), "{file:#}");
    }
    let locks = dev.call("fs.locks", json!({})).await.ok();
    assert_eq!(locks["locks"].as_array().map_or(0, Vec::len), 0, "{locks:#}");
}
