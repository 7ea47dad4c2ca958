//! `cargo xtask bench`: figures, each beside its reference in the same run. Starts a release DevStudio of its own with
//! rates that do not bind.

use std::process::Command;

use anyhow::bail;

use crate::{running::House, setup};

/// Runs the benchmarks.
pub fn run() -> anyhow::Result<()> {
    setup::tools()?;
    setup::llm_node()?;
    setup::web()?;
    let binary = setup::release()?;
    println!("Starting a DevStudio for the benchmark; DEVSTUDIO_RATE is raised to 1000000:1000000");
    let house = House::start(&binary, "bench", &[("DEVSTUDIO_RATE", "1000000:1000000")])?;
    let mut command = Command::new(&binary);
    command.args(["bench", "--url", &house.url, "--data-dir"]).arg(&house.data);
    if command.status()?.success() { Ok(()) } else { bail!("the benchmark failed") }
}
