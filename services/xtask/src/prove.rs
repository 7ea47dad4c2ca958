//! `cargo xtask prove [NAME…]`: the proofs with their full counts. Each prints its figure, and docs/proofs.md keeps it
//! with date, commit and machine. What this machine cannot run is written as skipped, what fails as FAILED.

mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};

use self::table::{PROOFS, Proof, Tests};
use crate::{cluster::Cluster, fetch, house, setup, step};

/// Where figures are kept.
const KEPT: &str = "docs/proofs.md";
const HEAD: &str = "# Proofs

What must hold under attack, load and faults, each an automated test with a figure, from runs of `cargo xtask prove`:
the full counts, one proof after the other. `cargo xtask test` runs all of them with small counts. A proof that a
machine cannot run is skipped by name; one that fails says so here. `-dirty` marks a tree with changes that are in no
commit yet.

| Proof | What holds | Figure | Date | Commit | Machine |
|---|---|---|---|---|---|
";

/// Settings of `prove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which proofs, such as TX2 TU6 wasi; all where none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print the proofs and their tests, and run nothing.
    #[arg(long)]
    list: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let wanted = wanted(&args.names)?;
    if args.list {
        for proof in wanted {
            println!("{:<9} {}", proof.name, proof.holds);
            proof.tests.iter().flat_map(|tests| tests.filters).for_each(|test| println!("          {test}"));
        }
        return Ok(());
    }
    println!("Proving {}", wanted.iter().map(|proof| proof.name).collect::<Vec<_>>().join(", "));
    let house = wanted.iter().any(|proof| proof.needs_house);
    if house {
        setup::tools()?;
        setup::llm_node()?;
        setup::web()?;
    }
    let binary = if house { Some(setup::release()?) } else { None };
    let model = if house { Some(fetch::model()?) } else { None };
    let wasmtime = fetch::wasmtime()?;
    // Built before anything is timed.
    let built = step::begin("tests: build");
    let mut build = cargo(&["--no-run"]);
    let targets: BTreeSet<&str> =
        wanted.iter().flat_map(|proof| proof.tests).map(|tests| tests.target).collect();
    targets.iter().for_each(|target| {
        build.args(["--test", target]);
    });
    built.must(build, "The tests do not build; the log says where.")?;
    built.done("");
    let mut database = None;
    let url = match std::env::var("DEVSTUDIO_TEST_DATABASE_URL") {
        Ok(url) => url,
        Err(_) => database.insert(Cluster::start()?).url.clone(),
    };
    let place = Place::here()?;
    let mut failed = Vec::new();
    for proof in wanted {
        let step = step::begin(&format!("proof {}", proof.name));
        let mut seen = Seen::default();
        for tests in proof.tests {
            let mut command = cargo(&["--test", tests.target]);
            command.args(["--", "--show-output", "--test-threads=1"]).args(tests.filters);
            command.env("DEVSTUDIO_PROVE", "1").env("DEVSTUDIO_TEST_DATABASE_URL", &url);
            command.env("DEVSTUDIO_TEST_WASMTIME", &wasmtime);
            command.env("CARGO_TERM_COLOR", "never").env_remove("DATABASE_URL");
            if let (Some(binary), Some(model)) = (&binary, &model) {
                command.env("DEVSTUDIO_BIN", binary).env("DEVSTUDIO_TEST_MODEL", model);
            }
            let well = step.watch(command, |line| seen.read(proof.name, line))?;
            seen.ended(tests, well);
        }
        let verdict = seen.verdict();
        let took = step.elapsed();
        keep(proof, &verdict, &place, took)?;
        match &verdict {
            Verdict::Failed(why) => {
                let tail = step.tail();
                step.clear();
                println!("  proof {:<22} FAILED: {why}\n{tail}", proof.name);
                failed.push(proof.name);
            }
            Verdict::Holds(figures) => step.done(&figures.join("; ")),
            Verdict::Skipped(why) => step.done(&format!("SKIPPED: {why}")),
        }
    }
    drop(database);
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("{} of the proofs failed: {}", failed.len(), failed.join(", ")),
    }
}

/// The proofs that were named, in the table's order.
fn wanted(names: &[String]) -> anyhow::Result<Vec<&'static Proof>> {
    for name in names {
        if !PROOFS.iter().any(|proof| proof.name.eq_ignore_ascii_case(name)) {
            let known: Vec<_> = PROOFS.iter().map(|proof| proof.name).collect();
            bail!("there is no proof {name}; there are {}", known.join(", "));
        }
    }
    let named = |proof: &&Proof| names.iter().any(|name| proof.name.eq_ignore_ascii_case(name));
    Ok(PROOFS.iter().filter(|proof| names.is_empty() || named(proof)).collect())
}

fn cargo(args: &[&str]) -> Command {
    let mut command = house::cargo();
    command.args(["test", "--locked", "--workspace"]);
    if setup::has_virtualisation() {
        command.args(["--features", "devstudio-sandbox/micro"]);
    }
    command.args(args);
    command
}

/// What the tests of one proof said.
#[derive(Debug, Default)]
struct Seen {
    figures: Vec<String>,
    skipped: Vec<String>,
    ran: Vec<String>,
    failed: Vec<String>,
}

impl Seen {
    fn read(&mut self, proof: &str, line: &str) {
        let line = line.trim();
        if let Some(told) = line.strip_prefix("PROOF ") {
            if let Some((name, figure)) = told.split_once(": ")
                && name == proof
                && !self.figures.iter().any(|known| known == figure)
            {
                self.figures.push(figure.to_owned());
            }
        } else if let Some(skipped) = line.strip_prefix("SKIPPED ") {
            self.skipped.push(skipped.to_owned());
        } else if let Some((test, ended)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        {
            // One that is ignored is run by another, or not at all; `ended` sees to that.
            if ended.starts_with("ignored") {
                return;
            }
            self.ran.push(test.to_owned());
            if ended != "ok" {
                self.failed.push(test.to_owned());
            }
        }
    }

    fn ended(&mut self, tests: &Tests, well: bool) {
        if !well && self.failed.is_empty() {
            self.failed.push(format!("the tests of {} did not end well", tests.target));
        }
        for filter in tests.filters {
            if !self.ran.iter().any(|test| test.contains(filter)) {
                self.failed.push(format!("no test {filter} ran"));
            }
        }
    }

    fn verdict(self) -> Verdict {
        let named = |test: &&String| {
            self.skipped.iter().any(|skipped| {
                let name = skipped.split([':', ' ']).next().unwrap_or_default();
                !name.is_empty() && test.ends_with(name)
            })
        };
        if !self.failed.is_empty() {
            return Verdict::Failed(self.failed.join(", "));
        }
        if self.ran.iter().all(|test| named(&test)) {
            return Verdict::Skipped(self.skipped.join("; "));
        }
        let mut figures = self.figures;
        if figures.is_empty() {
            figures.push(format!("{} tests", self.ran.len()));
        }
        figures.extend(self.skipped.iter().map(|skipped| format!("skipped: {skipped}")));
        Verdict::Holds(figures)
    }
}

/// How a proof ended.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Holds(Vec<String>),
    Failed(String),
    Skipped(String),
}

/// When and on what a proof was made.
struct Place {
    date: String,
    commit: String,
    machine: String,
}

impl Place {
    fn here() -> anyhow::Result<Self> {
        let told = |program: &str, args: &[&str]| -> anyhow::Result<String> {
            let output = Command::new(program).current_dir(house::root()).args(args).output();
            let output = output.with_context(|| format!("{program} does not start"))?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let changed = told("git", &["status", "--porcelain"])?;
        let changed = changed.lines().any(|line| !line.ends_with(KEPT));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kernel: Vec<&str> = kernel.trim().split('.').take(2).collect();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            date: told("date", &["-u", "+%Y-%m-%d"])?,
            commit: format!(
                "{}{}",
                told("git", &["rev-parse", "--short", "HEAD"])?,
                if changed { "-dirty" } else { "" }
            ),
            machine: format!("{cores} cores, Linux {}", kernel.join(".")),
        })
    }
}

/// Writes a proof's row and keeps those of others.
fn keep(proof: &Proof, verdict: &Verdict, place: &Place, took: Duration) -> anyhow::Result<()> {
    let file = house::root().join(KEPT);
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let told = match verdict {
        Verdict::Holds(figures) => format!("{} ({} s)", figures.join("; "), took.as_secs().max(1)),
        Verdict::Failed(why) => format!("**FAILED**: {why}"),
        Verdict::Skipped(why) => format!("skipped: {why}"),
    };
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let row = format!(
        "| {} | {} | {} | {} | {} | {} |",
        proof.name,
        cell(proof.holds),
        cell(&told),
        place.date,
        place.commit,
        place.machine
    );
    fs::write(&file, with_row(&kept, proof.name, &row)).with_context(|| format!("write {}", file.display()))
}

/// The file with one row set, rows in the table's order.
fn with_row(kept: &str, name: &str, row: &str) -> String {
    let mut rows: BTreeMap<usize, String> = BTreeMap::new();
    for (place, known) in PROOFS.iter().enumerate() {
        let start = format!("| {} |", known.name);
        let old = kept.lines().find(|line| line.starts_with(&start));
        let new = if known.name == name { Some(row) } else { old };
        rows.extend(new.map(|row| (place, row.to_owned())));
    }
    rows.into_values().fold(HEAD.to_owned(), |text, row| text + &row + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[&str]) -> Seen {
        let mut seen = Seen::default();
        lines.iter().for_each(|line| seen.read("TX4", line));
        seen
    }

    #[test]
    fn figures_are_collected_and_those_of_other_proofs_are_not() {
        let lines =
            ["test a::floods ... ok", "PROOF TX4: 1 MiB kept", "PROOF TX5: no", "PROOF TX4: 1 MiB kept"];
        assert_eq!(seen(&lines).verdict(), Verdict::Holds(vec!["1 MiB kept".to_owned()]));
    }

    #[test]
    fn a_test_that_skips_itself_is_no_proof() {
        let lines = ["test a::b ... ok", "SKIPPED b: no control groups"];
        assert_eq!(seen(&lines).verdict(), Verdict::Skipped("b: no control groups".to_owned()));
        let lines = ["test a::b ... ok", "test a::c ... ok", "SKIPPED b: no control groups"];
        let expected = ["2 tests", "skipped: b: no control groups"].map(str::to_owned);
        assert_eq!(seen(&lines).verdict(), Verdict::Holds(expected.into()));
    }

    #[test]
    fn a_failure_and_a_filter_without_a_test_fail_the_proof() {
        assert_eq!(seen(&["test a::b ... FAILED"]).verdict(), Verdict::Failed("a::b".to_owned()));
        let mut nothing = seen(&["test a::b ... ok"]);
        nothing.ended(&Tests { target: "run", filters: &["c"] }, true);
        assert_eq!(nothing.verdict(), Verdict::Failed("no test c ran".to_owned()));
        let mut ignored = seen(&["test a::b ... ignored, for itself"]);
        ignored.ended(&Tests { target: "run", filters: &["b"] }, true);
        assert_eq!(ignored.verdict(), Verdict::Failed("no test b ran".to_owned()));
        let mut broken = seen(&["test a::b ... ok"]);
        broken.ended(&Tests { target: "run", filters: &["b"] }, false);
        assert!(matches!(broken.verdict(), Verdict::Failed(_)));
    }

    #[test]
    fn a_row_takes_the_place_of_the_old_one_and_others_stay() {
        let first = with_row("", "TX2", "| TX2 | a |");
        let both = with_row(&first, "TX1", "| TX1 | b |");
        assert!(both.ends_with("|\n| TX1 | b |\n| TX2 | a |\n"), "{both}");
        assert!(with_row(&both, "TX2", "| TX2 | c |").ends_with("| TX1 | b |\n| TX2 | c |\n"));
    }

    /// Names of functions in the clone's Rust files.
    fn functions() -> std::collections::HashSet<String> {
        let mut names = std::collections::HashSet::new();
        for folder in ["services", "tests"] {
            for entry in walkdir::WalkDir::new(house::root().join(folder)).into_iter().flatten() {
                if entry.path().extension().is_none_or(|end| end != "rs") {
                    continue;
                }
                let text = fs::read_to_string(entry.path()).expect("a text");
                names.extend(
                    text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next()).map(str::to_owned),
                );
            }
        }
        names
    }

    #[test]
    fn every_test_that_the_threat_model_names_is_there() {
        let functions = functions();
        let text = fs::read_to_string(house::root().join("docs/SECURITY.md")).expect("it is there");
        let named = text.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() >= 3);
        let named: Vec<&str> = named
            .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
            .collect();
        assert!(named.len() > 60, "{named:?}");
        let missing: Vec<&&str> = named.iter().filter(|name| !functions.contains(**name)).collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn every_test_that_a_proof_names_is_there() {
        let functions = functions();
        let filters = PROOFS.iter().flat_map(|proof| proof.tests).flat_map(|tests| tests.filters);
        let missing: Vec<_> =
            filters.filter(|name| !name.ends_with("::") && !functions.contains(**name)).collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn proofs_are_found_by_name_in_any_case() {
        let names = |names: &[&str]| wanted(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["tx2"]).expect("it is there").len(), 1);
        assert_eq!(names(&[]).expect("all").len(), PROOFS.len());
        assert!(names(&["TX99"]).is_err());
    }
}
