//! `cargo xtask gen`: everything that is generated from the contract, in its place.

use std::process::Command;

use crate::{house, setup, step};

/// Folders and files that are generated and committed.
pub const GENERATED: &[&str] = &["web/src/gen", "llm-node/src/gen", "json-schemas", "docs/API.md"];

/// Runs the command.
pub fn run() -> anyhow::Result<()> {
    setup::tools()?;
    setup::llm_node_packages()?;
    let step = step::begin("TypeScript types");
    step.must(buf(&["generate"]), "The log says which line of which file.")?;
    step.done("web/src/gen, llm-node/src/gen");
    let step = step::begin("JSON schemas and API.md");
    let mut write = house::cargo();
    write.args(["test", "--locked", "--workspace", "--test", "generated"]).env("DEVSTUDIO_GEN", "write");
    step.must(write, "The log says why.")?;
    step.done("json-schemas, docs/API.md");
    Ok(())
}

/// buf, as llm-node's packages bring it.
pub fn buf(args: &[&str]) -> Command {
    let mut command = Command::new(house::root().join("llm-node/node_modules/.bin/buf"));
    command.current_dir(house::root()).args(args);
    command
}
