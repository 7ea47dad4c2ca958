//! `cargo xtask test`: every test there is. Suites run one after the other, and whatever has a clock runs alone, after
//! all builds.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    chromium,
    cluster::Cluster,
    fetch, house,
    report::{self, Counts, Row},
    running::House,
    setup, step,
};

/// Settings of `test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what needs no running DevStudio, no model and no browser.
    #[arg(long)]
    fast: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let began = Instant::now();
    println!("Testing DevStudio");
    setup::tools()?;
    setup::llm_node()?;
    setup::web()?;
    let model = fetch::model()?;
    let wasmtime = fetch::wasmtime()?;
    let binary = if args.fast { None } else { Some(setup::release()?) };
    let (browser, _) =
        if args.fast { (None, None) } else { (chromium::find_or_install(), chromium::runsc()) };
    let mut database = None;
    let url = match std::env::var("DEVSTUDIO_TEST_DATABASE_URL") {
        Ok(url) => url,
        Err(_) => database.insert(Cluster::start()?).url.clone(),
    };
    let run = Run { url, model, wasmtime, binary, browser };

    let mut rows = Vec::new();
    // Built before anything is timed.
    run.suite(&mut rows, "Rust: build", run.cargo(&["--no-run"], &[]));
    if rows[0].ok {
        run.suite(
            &mut rows,
            "Rust: services",
            run.cargo(&["--exclude", "devstudio-tests"], &["--show-output"]),
        );
    }
    run.suite(&mut rows, "llm-node", run.npm("llm-node", &["test"]));
    run.suite(&mut rows, "Studio", run.npm("web", &["test"]));
    if !args.fast && rows[0].ok {
        run.suite(&mut rows, "llm-node with a model", run.npm("llm-node", &["run", "test:model"]));
        run.suite(&mut rows, "journeys", run.cargo(&["--test", "journeys"], &["--show-output"]));
        let alone = ["--show-output", "--test-threads=1"];
        run.suite(&mut rows, "alone (clocks and kills)", run.cargo(&["--test", "alone"], &alone));
        rows.push(run.browser_suite());
        if run.browser.is_some() {
            // What needs errors and states that a real DevStudio does not give at will; the rest ran on a real one.
            let double = ["run", "e2e", "--", "e2e/studio.spec.ts"];
            run.suite(&mut rows, "browser, on the tests' double", run.npm("web", &double));
        }
    }
    drop(database);
    let well = report::close(&rows);
    println!(
        "in {:.0} s; logs of the suites are in {}",
        began.elapsed().as_secs_f64(),
        house::own_target().display()
    );
    if well { Ok(()) } else { bail!("some tests failed") }
}

/// What all suites are run with.
struct Run {
    url: String,
    model: PathBuf,
    wasmtime: PathBuf,
    binary: Option<PathBuf>,
    browser: Option<PathBuf>,
}

impl Run {
    fn cargo(&self, select: &[&str], for_tests: &[&str]) -> Command {
        let mut command = house::cargo();
        command.args(["test", "--locked", "--workspace", "--no-fail-fast"]).args(select);
        command.arg("--").args(for_tests);
        self.prepared(command)
    }

    fn npm(&self, part: &str, args: &[&str]) -> Command {
        let mut command = house::npm(part);
        command.args(args);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.env("DEVSTUDIO_TEST_DATABASE_URL", &self.url).env("DEVSTUDIO_TEST_MODEL", &self.model);
        command.env("DEVSTUDIO_TEST_WASMTIME", &self.wasmtime);
        command.env_remove("DATABASE_URL").env("CI", "true").env("CARGO_TERM_COLOR", "never");
        if let Ok(cache) = house::cache() {
            command.env("DEVSTUDIO_TEST_CACHE", cache.join("test"));
        }
        if let Some(binary) = &self.binary {
            command.env("DEVSTUDIO_BIN", binary);
        }
        if let Some(browser) = &self.browser {
            command.env("CHROMIUM", browser);
        }
        command
    }

    /// Runs one suite, shows what failed, and writes its row.
    fn suite(&self, rows: &mut Vec<Row>, name: &str, command: Command) {
        rows.push(suite(name, command));
    }

    /// The browser, against a DevStudio of its own.
    fn browser_suite(&self) -> Row {
        const NAME: &str = "browser";
        let skipped = |why: &str| {
            println!("  {NAME:<28} SKIPPED: {why}");
            let why_skipped = vec![format!("{NAME}: {why}")];
            let counts = Counts { skipped: 1, why_skipped, ..Counts::default() };
            Row { suite: NAME.into(), counts, took: Duration::ZERO, ok: true }
        };
        let Some(binary) = &self.binary else { return skipped("the release binary was not built") };
        if self.browser.is_none() {
            return skipped("there is no Chromium; install it (Debian and Ubuntu: apt install chromium)");
        }
        let (house, hub) = match house_with_hub(binary) {
            Ok(started) => started,
            Err(error) => {
                println!("  {NAME:<28} FAILED: {error:#}");
                return Row {
                    suite: NAME.into(),
                    counts: Counts::default(),
                    took: Duration::ZERO,
                    ok: false,
                };
            }
        };
        let mut command = self.npm("web", &["run", "e2e"]);
        command.env("DEVSTUDIO_E2E_URL", &house.url).env("DEVSTUDIO_E2E_EMAIL", &house.email);
        command.env("DEVSTUDIO_E2E_PASSWORD", &house.password).env("DEVSTUDIO_E2E_HUB", &hub);
        suite(NAME, command)
    }
}

/// A DevStudio that looks for models at an address of this machine, and that address. The admin's journey serves a hub
/// there (web/e2e/hub); nobody else gets the port before the house is up.
fn house_with_hub(binary: &Path) -> anyhow::Result<(House, String)> {
    let place = TcpListener::bind("127.0.0.1:0").context("a port for the hub of models")?;
    let hub = format!("http://{}", place.local_addr()?);
    let catalog = house::root().join("web/e2e/hub/catalog.json").display().to_string();
    let env = [("HF_ENDPOINT", hub.as_str()), ("DEVSTUDIO_LLM_CATALOG", catalog.as_str())];
    Ok((House::start(binary, "browser", &env)?, hub))
}

fn suite(name: &str, command: Command) -> Row {
    let step = step::begin(name);
    let mut counts = Counts::default();
    let ended = step.watch(command, |line| counts.read(line));
    let (ok, took) = (matches!(ended, Ok(true)), step.elapsed());
    let (tail, log) = (step.tail(), step.log());
    if ok {
        step.done(&format!("{} passed", counts.passed));
    } else {
        step.clear();
        println!("  {name:<28} FAILED; the end of {}:\n{tail}", log.display());
        if let Err(error) = ended {
            println!("  {error:#}");
        }
    }
    Row { suite: name.to_owned(), counts, took, ok }
}
