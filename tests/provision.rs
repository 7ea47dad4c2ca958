//! Provision: a plan that is shown, applied once, verified by running, repaired, and undone where that does not help.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::{
    harness::Person,
    kill::ALONE,
    scripted_llm::{Ask, Line},
    stage::stage,
};

/// The answers of a stream.
async fn stream(dev: &Person, method: &str, params: Value) -> Vec<Value> {
    let reply = dev.post(&format!("/rpc/{method}"), params.to_string(), "application/x-ndjson").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn plan_of(text: &str) -> Value {
    json!({
        "summary": "a program and its test",
        "files": [
            {"path": "words.py", "text": text, "reason": "counts words"},
            {"path": "test_words.py", "text": "import unittest\nfrom words import count\n\n\nclass Words(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(count('a b'), 2)\n", "reason": "tests it"},
        ],
        "commands": [{"argv": ["python3", "-m", "unittest", "-q"]}],
    })
}

const GOOD: &str = "def count(text):\n    return len(text.split())\n";
const BAD: &str = "def count(text):\n    return len(text)\n";

async fn planned(dev: &Person) -> String {
    let all =
        stream(dev, "provision.plan", json!({"wish": "a python command line that counts words, with tests"}))
            .await;
    let last = all.last().unwrap();
    assert_eq!(last["plan"]["files"].as_array().unwrap().len(), 2, "{all:#?}");
    last["planId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_shown_applied_once_and_verified_by_running() {
    let _alone = ALONE.lock().await;
    let stage = stage().await;
    stage.play(|_: &Ask| Line::Say(plan_of(GOOD))).await;
    let dev = stage.at_its_edge(stage.house.dev().await);
    dev.call("fs.write", json!({"path": "words.py", "text": "# empty\n"})).await.ok();
    let facts = dev.call("provision.analyze", json!({})).await.ok()["facts"].clone();
    assert_eq!(
        (&facts["languages"][0]["language"], &facts["files"]),
        (&json!("python"), &json!(1)),
        "{facts:#}"
    );
    let id = planned(&dev).await;
    let preview = dev.call("provision.preview", json!({"planId": id})).await.ok();
    assert_eq!(preview["commands"], json!(["python3 -m unittest -q"]));
    let change = &preview["changes"][0];
    assert!(change["diff"].as_str().unwrap().contains("-# empty") && change["isNew"] == false, "{preview:#}");
    assert_eq!(preview["changes"][1]["isNew"], true);
    let untouched = dev.call("fs.read", json!({"path": "words.py"})).await.ok();
    assert_eq!(untouched["version"], "1", "a preview writes nothing");
    dev.call("provision.verify", json!({"planId": id})).await.fails(409, "STATE_CONFLICT");
    dev.call("provision.apply", json!({"planId": id, "acceptedPaths": ["other"]}))
        .await
        .fails(400, "SCHEMA_VIOLATION");
    let applied = dev.call("provision.apply", json!({"planId": id})).await.ok();
    assert_eq!(applied["writtenPaths"], json!(["words.py", "test_words.py"]));
    dev.call("provision.apply", json!({"planId": id})).await.fails(409, "ALREADY_EXISTS");
    let verified = stream(&dev, "provision.verify", json!({"planId": id})).await;
    let last = verified.last().unwrap();
    assert_eq!((&last["state"], &last["repairs"]), (&json!("VERIFIED"), &json!(0)), "{verified:#?}");
    assert_eq!(dev.call("fs.read", json!({"path": "words.py"})).await.ok()["text"], GOOD);
    let locks = dev.call("fs.locks", json!({})).await.ok();
    assert_eq!(locks["locks"].as_array().map_or(0, Vec::len), 0);
    let rows = dev.call("usage.list", json!({})).await.ok()["rows"].clone();
    assert_eq!((&rows[0]["agentId"], &rows[0]["taskId"]), (&json!("provisioner"), &json!(id)));
    let other = stage.at_its_edge(stage.house.dev().await);
    for method in ["provision.preview", "provision.apply", "provision.verify"] {
        other.call(method, json!({"planId": id})).await.fails(404, "NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_does_not_work_is_repaired_or_the_workspace_is_as_it_was() {
    let _alone = ALONE.lock().await;
    let stage = stage().await;
    for (repairable, state, repairs) in [(true, "VERIFIED", 1), (false, "ROLLED_BACK", 2)] {
        let asked = AtomicUsize::new(0);
        stage
            .play(move |ask: &Ask| {
                let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
                if !first {
                    assert!(
                        ask.prompt.contains("This command failed") && ask.prompt.contains("AssertionError"),
                        "{}",
                        ask.prompt
                    );
                }
                Line::Say(plan_of(if repairable && !first { GOOD } else { BAD }))
            })
            .await;
        let dev = stage.at_its_edge(stage.house.dev().await);
        dev.call("fs.write", json!({"path": "README.md", "text": "mine\n"})).await.ok();
        let id = planned(&dev).await;
        dev.call("provision.apply", json!({"planId": id})).await.ok();
        let verified = stream(&dev, "provision.verify", json!({"planId": id})).await;
        let last = verified.last().unwrap();
        assert_eq!((&last["state"], &last["repairs"]), (&json!(state), &json!(repairs)), "{verified:#?}");
        let files = dev.call("fs.list", json!({})).await.ok();
        let paths: Vec<&str> =
            files["entries"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
        match repairable {
            true => assert_eq!(dev.call("fs.read", json!({"path": "words.py"})).await.ok()["text"], GOOD),
            false => assert_eq!(paths, ["README.md"], "as it was"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_breaks_a_rule_is_refused_by_its_field_and_writes_nothing() {
    let _alone = ALONE.lock().await;
    let stage = stage().await;
    let mut bad = plan_of(GOOD);
    bad["files"][1]["path"] = json!("/etc/cron.d/words");
    stage.play(move |_: &Ask| Line::Say(bad.clone())).await;
    let dev = stage.at_its_edge(stage.house.dev().await);
    let details = dev.call("provision.plan", json!({"wish": "anything"})).await.fails(403, "PATH_FORBIDDEN");
    assert_eq!(details["pointer"], "/files/1/path");
    // All or nothing: a file that is locked by another keeps all of them out.
    stage.play(|_: &Ask| Line::Say(plan_of(GOOD))).await;
    let id = planned(&dev).await;
    dev.call("fs.lock", json!({"path": "test_words.py", "pinned": true})).await.ok();
    dev.call("provision.apply", json!({"planId": id})).await.fails(409, "LOCK_HELD");
    let files = dev.call("fs.list", json!({})).await.ok();
    assert_eq!(files["entries"].as_array().map_or(0, Vec::len), 0, "{files:#}");
    let preview = dev.call("provision.preview", json!({"planId": id})).await.ok();
    assert_eq!(preview["state"], "PLANNED", "it can be applied later");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_template_works_and_what_works_becomes_one() {
    let _alone = ALONE.lock().await;
    let stage = stage().await;
    stage.play(|ask: &Ask| panic!("a template asks no model: {}", ask.prompt)).await;
    let dev = stage.at_its_edge(stage.house.dev().await);
    let list = async |dev: &Person, params: Value| {
        dev.call("provision.templates", params).await.ok()["templates"].as_array().unwrap().clone()
    };
    let all = list(&dev, json!({"wish": "a tool for the shell"})).await;
    let available: Vec<&Value> = all.iter().filter(|template| template["available"] == true).collect();
    assert_eq!(available[0]["builtIn"], "bash-tool", "the wish says which: {all:#?}");
    let mut last = String::new();
    for template in &available {
        let space = dev.call("workspace.create", json!({"name": template["name"]})).await.ok();
        let workspace = space["workspaceId"].as_str().unwrap();
        let asked = json!({"workspaceId": workspace, "templateId": template["templateId"]});
        let made = stream(&dev, "provision.plan", asked).await;
        let id = made.last().unwrap()["planId"].as_str().unwrap().to_owned();
        dev.call("provision.keep", json!({"planId": id, "name": "early"})).await.fails(409, "STATE_CONFLICT");
        dev.call("provision.apply", json!({"planId": id})).await.ok();
        let verified = stream(&dev, "provision.verify", json!({"planId": id})).await;
        let end = verified.last().unwrap();
        assert_eq!((&end["state"], &end["repairs"]), (&json!("VERIFIED"), &json!(0)), "{verified:#?}");
        // What is like the workspace comes first now.
        let ranked = list(&dev, json!({"workspaceId": workspace})).await;
        assert_eq!(ranked[0]["templateId"], template["templateId"], "{ranked:#?}");
        last = id;
    }
    assert!(available.len() >= 2, "python and bash at least: {all:#?}");
    let used = list(&dev, json!({})).await;
    let of = |id: &Value| used.iter().find(|template| template["templateId"] == *id).unwrap().clone();
    for template in &available {
        let counted = of(&template["templateId"]);
        assert_eq!((&counted["uses"], &counted["successes"]), (&json!(1), &json!(1)), "{counted:#}");
    }
    // A person's own template is theirs, and has versions.
    let kept = dev.call("provision.keep", json!({"planId": last, "name": "Mine"})).await.ok();
    let again =
        dev.call("provision.keep", json!({"planId": last, "name": "Mine", "about": "anew"})).await.ok();
    assert_eq!((&kept["version"], &again["version"]), (&json!(1), &json!(2)));
    assert_eq!(kept["templateId"], again["templateId"]);
    let other = stage.at_its_edge(stage.house.dev().await);
    let mine = |all: &[Value]| all.iter().filter(|template| template["name"] == "Mine").count();
    assert_eq!((mine(&list(&dev, json!({})).await), mine(&list(&other, json!({})).await)), (1, 0));
    let id = json!({"templateId": kept["templateId"]});
    other.call("provision.forget", id.clone()).await.fails(404, "NOT_FOUND");
    other.call("provision.plan", id.clone()).await.fails(404, "NOT_FOUND");
    other
        .call("provision.forget", json!({"templateId": available[0]["templateId"]}))
        .await
        .fails(404, "NOT_FOUND");
    dev.call("provision.forget", id.clone()).await.ok();
    dev.call("provision.forget", id).await.fails(404, "NOT_FOUND");
    let refused = dev.call("provision.plan", json!({})).await.fails(400, "SCHEMA_VIOLATION");
    assert_eq!(refused["pointer"], "/wish");
}
