//! The whole scenario by hand: a browser before real services, whose model is scripted. What the person does, and what
//! has to be seen, is web/e2e/agents.spec.ts.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{
    agents::stage,
    harness::{PASSWORD, root, skipped},
    kill::ALONE,
    scripted_llm::{Ask, Line},
};

const CHECK: &str = "import sys\nsys.path.insert(0, '.')\nfrom add import add\nassert add(2, 3) == 5, add(2, 3)\nprint('passed')";

fn act(thought: &str, action: Value) -> Value {
    let mut whole = json!({"thought": thought});
    whole.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
    whole
}

fn finish(thought: &str, success: bool, summary: &str) -> Value {
    act(thought, json!({"finish": {"success": success, "summary": summary}}))
}

/// write → test fails → hand back → fix → test passes; with a question, slowly, or not at all, as the task says.
fn script(ask: &Ask) -> Line {
    let task = ask.prompt.split("# Task").nth(1).unwrap_or_default();
    let task = task.split("\n# ").next().unwrap_or_default().to_lowercase();
    let asks = task.contains("question") || task.contains("frage");
    let steps = ask.steps.saturating_sub(usize::from(asks));
    let write = json!({"writeFile": {"path": "add.py", "text": "def add(a, b):\n    return a - b\n"}});
    let check = json!({"runExec": {"runtime": "python", "code": CHECK}});
    Line::Say(match (ask.agent.as_str(), steps) {
        ("planner", _) => json!({"steps": ["Write add.py with a function that adds.", "Test it."]}),
        ("enhancer", _) => json!("Write add.py with a function add(a, b); it is done when add(2, 3) is 5."),
        ("coder", _) if ask.prompt.contains("does not allow it") => {
            finish("It is not wanted.", false, "The change was not allowed.")
        }
        ("coder", 0) if asks && ask.steps == 0 => {
            act("I do not know it.", json!({"askUser": {"question": "Which language shall I use?"}}))
        }
        ("coder", 0) if task.contains("slowly") => {
            return Line::Slowly(act("The file is not there yet.", write), Duration::from_millis(100));
        }
        ("coder", 0) => act("The file is not there yet.", write),
        ("coder", 1) => finish("It is written.", true, "add.py is written."),
        ("tester", 2) => act("I run it.", check),
        ("tester", 3) => finish("It does not add.", false, "add(2, 3) is -1, not 5."),
        ("coder", 4) => act(
            "The sign is wrong.",
            json!({"editFile": {"path": "add.py", "hunks": [{"search": "a - b", "replace": "a + b"}]}}),
        ),
        ("coder", 5) => finish("It adds now.", true, "The sign was wrong."),
        ("tester", 6) => act("I run it again.", check),
        ("tester", 7) => finish("It works.", true, "add(2, 3) is 5."),
        (agent, steps) => panic!("{agent} is not asked after {steps} steps: {}", ask.prompt),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_given_followed_answered_and_reviewed_by_hand_in_both_languages() {
    let _alone = ALONE.lock().await;
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !std::path::Path::new(&chromium).exists() {
        return skipped("agents_by_hand::tasks_are_given…", "there is no Chromium");
    }
    let stage = stage().await;
    stage.play(script).await;
    let admin = stage.at_its_edge(stage.house.person("admin").await);
    let ran = tokio::process::Command::new("npm")
        .args(["run", "--silent", "e2e", "--", "e2e/agents.spec.ts"])
        .current_dir(root().join("web"))
        .env("CHROMIUM", chromium)
        .env("DEVSTUDIO_E2E_URL", &admin.url)
        .env("DEVSTUDIO_E2E_EMAIL", &admin.email)
        .env("DEVSTUDIO_E2E_PASSWORD", PASSWORD)
        .env("DEVSTUDIO_E2E_SCRIPTED", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(Duration::from_secs(480), ran).await.expect("it ends").unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    println!("{told}");
    assert!(ran.status.success() && !told.contains("skipped"), "{told}");
}
