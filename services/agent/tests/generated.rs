//! Keeps json-schemas/agent equal to what the contract says; `cargo xtask gen` writes it anew.
#![allow(missing_docs)]

use std::{fs, path::PathBuf};

#[test]
fn the_schema_of_actions_is_what_the_contract_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../json-schemas/agent/action.v1.json");
    let text = serde_json::to_string_pretty(&devstudio_agent::action_schema()).expect("it is JSON") + "\n";
    if std::env::var("DEVSTUDIO_GEN").as_deref() == Ok("write") {
        fs::write(&path, &text).expect("the file can be written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is not fresh: run `cargo xtask gen`", path.display());
}
