//! `cargo xtask bench`: figures, each beside its reference in the same run. Starts a release DevStudio of its own with
//! rates that do not bind; measures the engines without it; and the Studio in a browser, where there is one.

use std::process::Command;

use anyhow::bail;

use crate::{chromium, fetch, house, running::House, setup};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// What the edge adds to a call.
    Edge,
    /// What isolation costs: run, wasm, micro.
    Engines,
    /// How fast the Studio's large views open and scroll.
    Studio,
}

/// Settings of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to measure; all where nothing is named.
    parts: Vec<Part>,
}

/// Runs the benchmarks.
pub fn run(args: &Args) -> anyhow::Result<()> {
    setup::tools()?;
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    if wanted(Part::Engines) {
        engines()?;
    }
    if !wanted(Part::Edge) && !wanted(Part::Studio) {
        return Ok(());
    }
    setup::llm_node()?;
    setup::web()?;
    let binary = setup::release()?;
    println!("Starting a DevStudio for the benchmark; DEVSTUDIO_RATE is raised to 1000000:1000000");
    let house = House::start(&binary, "bench", &[("DEVSTUDIO_RATE", "1000000:1000000")])?;
    if wanted(Part::Edge) {
        let mut command = Command::new(&binary);
        command.args(["bench", "--url", &house.url, "--data-dir"]).arg(&house.data);
        must(command, "the benchmark of the edge")?;
    }
    if wanted(Part::Studio) {
        match chromium::find_or_install() {
            Some(browser) => {
                let mut command = house::npm("web");
                command.args(["run", "figures"]).env("CHROMIUM", browser);
                must(command, "the Studio's figures")?;
            }
            None => println!("The Studio's figures: SKIPPED, there is no Chromium"),
        }
    }
    Ok(())
}

fn must(mut command: Command, what: &str) -> anyhow::Result<()> {
    if command.status()?.success() { Ok(()) } else { bail!("{what} failed") }
}

/// The engines, each beside its reference: the bare interpreter, bubblewrap, wasmtime.
fn engines() -> anyhow::Result<()> {
    let mut command = house::cargo();
    command.args(["bench", "--locked", "--workspace", "--bench", "engines"]);
    command.env("DEVSTUDIO_TEST_WASMTIME", fetch::wasmtime()?);
    must(command, "the benchmark of the engines")
}
