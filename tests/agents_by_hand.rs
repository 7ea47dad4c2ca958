//! The whole scenario by hand: a browser before real services, whose model is scripted. What the person does, and what
//! has to be seen, is web/e2e/agents.spec.ts.

use std::{process::Stdio, time::Duration};

use serde_json::json;

use crate::{
    agents::scenario,
    harness::{PASSWORD, root, skipped},
    kill::ALONE,
    scripted_llm::{Ask, Line},
    stage::{act, finish, stage},
};

/// The scenario of tests/agents.rs; with a question, slowly, or ended where it is not allowed, as the task says.
fn script(ask: &Ask) -> Line {
    let task = ask.prompt.split("# Task").nth(1).unwrap_or_default();
    let task = task.split("\n# ").next().unwrap_or_default().to_lowercase();
    let asks = task.contains("question") || task.contains("frage");
    let first = ask.agent == "coder" && ask.steps == 0;
    match ask.agent.as_str() {
        "enhancer" => {
            Line::Say(json!("Write add.py with a function add(a, b); it is done when add(2, 3) is 5."))
        }
        "coder" if ask.prompt.contains("does not allow it") => {
            Line::Say(finish(false, "The change was not allowed."))
        }
        _ if first && asks => Line::Say(act(json!({"askUser": {"question": "Which language shall I use?"}}))),
        _ => {
            let steps = ask.steps.saturating_sub(usize::from(asks));
            let next = scenario(&Ask { agent: ask.agent.clone(), prompt: ask.prompt.clone(), steps });
            match first && task.contains("slowly") {
                true => Line::Slowly(next, Duration::from_millis(100)),
                false => Line::Say(next),
            }
        }
    }
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
