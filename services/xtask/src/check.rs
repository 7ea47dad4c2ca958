//! `cargo xtask check`: everything that must hold without running the whole. Each check says its name, its time and,
//! where it fails, why; all run, even where one fails.

use std::process::Command;

use anyhow::bail;

use crate::{
    fetch, r#gen, house, setup,
    step::{self, Step},
    tidy,
};

/// Settings of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these checks, such as fmt or clippy.
    #[arg(value_name = "CHECK")]
    only: Vec<String>,
}

enum Outcome {
    Well,
    Failed(String),
    Skipped(String),
}

type Check = (&'static str, fn(&Step) -> anyhow::Result<Outcome>);

const CHECKS: &[Check] = &[
    ("tidy", |_| Ok(tidy::run().map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Well))),
    ("fmt", |step| ends_well(step, cargo(&["fmt", "--all", "--check", "--", "--color", "never"]))),
    ("clippy", |step| {
        ends_well(
            step,
            cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        )
    }),
    ("micro", |step| {
        ends_well(step, cargo(&["check", "--locked", "--workspace", "--features", "devstudio/micro"]))
    }),
    ("buf-lint", |step| ends_well(step, r#gen::buf(&["lint"]))),
    ("buf-format", |step| {
        ends_well(step, r#gen::buf(&["format", "--diff", "--exit-code", "--path", "proto/devstudio"]))
    }),
    ("buf-breaking", breaking),
    ("generated", generated),
    ("llm-node-types", |step| ends_well(step, npm("llm-node", &["run", "typecheck"]))),
    ("llm-node-lint", |step| ends_well(step, npm("llm-node", &["run", "lint"]))),
    ("web-types", |step| ends_well(step, npm("web", &["run", "typecheck"]))),
    ("web-lint", |step| ends_well(step, npm("web", &["run", "lint"]))),
    ("deny", |step| ends_well(step, deny(&["bans", "licenses", "sources"])?)),
    ("advisories", advisories),
    ("npm-audit", audit),
];

/// Checks that run only when they are named: microVMs add some three hundred crates to a build.
const WHEN_NAMED: &[&str] = &["micro"];

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    for name in &args.only {
        if CHECKS.iter().all(|(known, _)| known != name) {
            let known: Vec<_> = CHECKS.iter().map(|(name, _)| *name).collect();
            bail!("there is no check {name}; there are {}", known.join(", "));
        }
    }
    println!("Checking DevStudio");
    if args
        .only
        .iter()
        .any(|name| !["tidy", "fmt", "clippy", "micro", "deny", "advisories"].contains(&name.as_str()))
        || args.only.is_empty()
    {
        setup::tools()?;
        setup::llm_node_packages()?;
        setup::web_packages()?;
    }
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        let wanted = match args.only.is_empty() {
            true => !WHEN_NAMED.contains(name),
            false => args.only.iter().any(|only| only == name),
        };
        if !wanted {
            continue;
        }
        let step = step::begin(name);
        match check(&step) {
            Ok(Outcome::Well) => step.done(""),
            Ok(Outcome::Skipped(why)) => step.done(&format!("SKIPPED: {why}")),
            Ok(Outcome::Failed(why)) => {
                step.clear();
                println!("  {name:<28} FAILED\n{why}");
                failed.push(*name);
            }
            Err(error) => {
                step.clear();
                println!("  {name:<28} FAILED\n  {error:#}");
                failed.push(*name);
            }
        }
    }
    match failed.is_empty() {
        true => {
            println!("\nAll checks passed.");
            Ok(())
        }
        false => bail!("{} of the checks failed: {}", failed.len(), failed.join(", ")),
    }
}

fn ends_well(step: &Step, command: Command) -> anyhow::Result<Outcome> {
    let well = step.watch(command, |_| {})?;
    Ok(if well { Outcome::Well } else { Outcome::Failed(step.tail()) })
}

fn cargo(args: &[&str]) -> Command {
    let mut command = house::cargo();
    command.args(args).env("CARGO_TERM_COLOR", "never");
    command
}

fn npm(part: &str, args: &[&str]) -> Command {
    let mut command = house::npm(part);
    command.args(args);
    command
}

/// The contract does not break those who built on the last release.
fn breaking(step: &Step) -> anyhow::Result<Outcome> {
    let tag =
        Command::new("git").current_dir(house::root()).args(["describe", "--tags", "--abbrev=0"]).output()?;
    if !tag.status.success() {
        return Ok(Outcome::Skipped("there is no release to compare with".into()));
    }
    let tag = String::from_utf8_lossy(&tag.stdout).trim().to_owned();
    ends_well(step, r#gen::buf(&["breaking", "--against", &format!(".git#tag={tag}")]))
}

/// Generating again changes nothing.
fn generated(_: &Step) -> anyhow::Result<Outcome> {
    let before = setup::fingerprint(&house::root(), r#gen::GENERATED)?;
    r#gen::run()?;
    Ok(match setup::fingerprint(&house::root(), r#gen::GENERATED)? == before {
        true => Outcome::Well,
        false => Outcome::Failed(
            "  what is generated was old; it is new now: look at `git diff`, and commit it".to_owned(),
        ),
    })
}

fn deny(what: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(fetch::cargo_deny()?);
    command.current_dir(house::root()).args(["--color", "never", "--locked", "check"]).args(what);
    Ok(command)
}

/// Known faults of crates; the list comes from outside and may be out of reach.
fn advisories(step: &Step) -> anyhow::Result<Outcome> {
    let mut unreachable = false;
    let well = step.watch(deny(&["advisories"])?, |line| {
        unreachable |= line.contains("failed to fetch advisory database") || line.contains("unable to fetch");
    })?;
    Ok(match well {
        true => Outcome::Well,
        false if unreachable => Outcome::Skipped("the database of advisories cannot be reached".into()),
        false => Outcome::Failed(step.tail()),
    })
}

/// Known faults of npm packages that are shipped; the registry may not answer this.
fn audit(step: &Step) -> anyhow::Result<Outcome> {
    for part in ["llm-node", "web"] {
        let mut unanswered = false;
        let command = npm(part, &["audit", "--omit=dev", "--audit-level=high"]);
        let well = step.watch(command, |line| {
            unanswered |= line.contains("audit endpoint returned an error") || line.contains("ENOAUDIT");
            unanswered |= line.contains("npm error code E") && !line.contains("EAUDIT");
        })?;
        if unanswered {
            return Ok(Outcome::Skipped("the registry does not answer audits".into()));
        }
        if !well {
            return Ok(Outcome::Failed(format!("  in {part}:\n{}", step.tail())));
        }
    }
    Ok(Outcome::Well)
}
