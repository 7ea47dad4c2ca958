//! Keeps json-schemas/agent and json-schemas/provision equal to what the contract says; `cargo xtask gen` writes them anew.
#![allow(missing_docs)]

use std::{fs, path::PathBuf};

#[test]
fn the_schema_of_actions_is_what_the_contract_says() {
    is_fresh("agent/action.v1.json", &devstudio_agent::action_schema());
}

#[test]
fn the_schema_of_plans_is_what_the_contract_says() {
    is_fresh("provision/env_plan.v1.json", &devstudio_agent::plan_schema());
}

fn is_fresh(file: &str, schema: &serde_json::Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../json-schemas").join(file);
    let text = serde_json::to_string_pretty(schema).expect("it is JSON") + "\n";
    if std::env::var("DEVSTUDIO_GEN").as_deref() == Ok("write") {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        fs::write(&path, &text).expect("the file can be written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is not fresh: run `cargo xtask gen`", path.display());
}
