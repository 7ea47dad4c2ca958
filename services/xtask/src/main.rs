//! `cargo xtask …`: the project's one tool, for people and for CI alike.

mod bench;
mod check;
mod chromium;
mod cluster;
mod cov;
mod dist;
mod fetch;
mod r#gen;
mod house;
mod prove;
mod report;
mod running;
mod setup;
mod step;
mod test;
mod tidy;
mod up;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

/// The project's one tool.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set everything up, build it, and start DevStudio in the foreground.
    Up {
        /// Handed to `devstudio up`, such as -- --listen 127.0.0.1:9000.
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Run all tests: Rust, llm-node, the Studio, journeys over the running whole, a browser.
    Test(test::Args),
    /// Run the proofs with their full counts, and write their figures into docs/proofs.md.
    Prove(prove::Args),
    /// Everything that must hold without running: format, lints, contract, generated code, licences, house rules.
    Check(check::Args),
    /// Check the house rules only.
    Tidy,
    /// Generate TypeScript types, JSON schemas and docs/API.md from the contract.
    Gen,
    /// Measure the tests' coverage of a crate, and fail below a share of its lines.
    Cov(cov::Args),
    /// Print figures, each beside its reference: the edge, the engines, the Studio.
    Bench(bench::Args),
    /// Pack the binary, the Studio and llm-node into target/dist.
    Dist,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up { args } => up::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Tidy => tidy::run(),
        Command::Gen => r#gen::run(),
        Command::Cov(args) => cov::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Dist => dist::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}
