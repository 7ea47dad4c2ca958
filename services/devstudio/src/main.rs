//! The one binary of DevStudio: the supervisor, every Rust service, and the commands of those who run it.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use devstudio::{
    bench, call, chain,
    cli::{Cli, Command},
    doctor, image, key, migrate,
    paths::Paths,
    serve, up, user,
};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    // The sandbox starts this binary again, as the first process of a sandbox; then nothing below is reached.
    devstudio_sandbox::init_if_asked();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("devstudio: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let paths = Paths::of(cli.data_dir.as_deref())?;
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        Command::Up(args) => on_this_thread()?.block_on(up::run(args, &paths, &cli.telemetry)).map(done),
        Command::Serve(args) => on_all_cores()?.block_on(serve::run(*args, &paths, &cli.telemetry)).map(done),
        Command::Migrate(args) => on_this_thread()?.block_on(migrate::run(args, &paths)).map(done),
        Command::User(command) => on_this_thread()?.block_on(user::run(command, &paths)).map(done),
        Command::Key(command) => on_this_thread()?.block_on(key::run(command, &paths)).map(done),
        Command::Call(args) => on_this_thread()?.block_on(call::run(args, &paths)).map(done),
        Command::Chain(command) => on_this_thread()?.block_on(chain::run(command)).map(done),
        Command::Bench(args) => on_this_thread()?.block_on(bench::run(args, &paths)).map(done),
        Command::Image(command) => image::run(command).map(done),
        Command::Doctor(args) => on_this_thread()?.block_on(doctor::run(args, &paths)),
    }
}

/// Everything on the main thread: see child.rs for why the supervisor must.
fn on_this_thread() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("start the runtime")
}

fn on_all_cores() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("start the runtime")
}
