//! A step: a named piece of work with a time, a log file, and, where it fails, the end of the log and a remedy.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, IsTerminal as _, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::house;

/// Lines of the log that are shown when a step fails: of its beginning …
const HEAD: usize = 8;
/// … and of its end.
const TAIL: usize = 30;

/// A step that runs.
pub struct Step {
    name: String,
    bar: ProgressBar,
    began: Instant,
}

impl Step {
    /// Begins a step and shows that it runs.
    pub fn begin(name: &str) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("  {prefix:<28} {spinner} {elapsed:>5} {wide_msg:.dim}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { name: name.to_owned(), bar, began: Instant::now() }
    }

    /// Ends it well.
    pub fn done(self, note: &str) {
        self.bar.finish_and_clear();
        println!("  {:<28} {:>7.1} s  {note}", self.name, self.began.elapsed().as_secs_f64());
    }

    /// Runs a command to its end. Its output goes into the step's log; a line at a time is handed on.
    pub fn watch(&self, mut command: Command, mut each: impl FnMut(&str)) -> anyhow::Result<bool> {
        let log_path = self.log();
        fs::create_dir_all(house::own_target())?;
        let mut log = File::options().append(true).create(true).open(&log_path)?;
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        writeln!(log, "$ {}", words.join(" "))?;
        let (reader, writer) = std::io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("{program} does not start"))?;
        drop(command); // it holds the pipe's other end
        let mut output = BufReader::new(reader);
        let mut bytes = Vec::new();
        while output.read_until(b'\n', &mut bytes)? > 0 {
            log.write_all(&bytes)?;
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            self.bar.set_message(line.trim().to_owned());
            each(&line);
            bytes.clear();
        }
        Ok(child.wait()?.success())
    }

    /// Runs a command that must succeed.
    pub fn must(&self, command: Command, remedy: &str) -> anyhow::Result<()> {
        if self.watch(command, |_| {})? {
            return Ok(());
        }
        self.bar.finish_and_clear();
        bail!("{} failed. {remedy}\nFrom {}:\n{}", self.name, self.log().display(), self.tail());
    }

    /// The step's log file.
    pub fn log(&self) -> PathBuf {
        let name: String = self
            .name
            .chars()
            .map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        house::own_target().join(format!("{name}.log"))
    }

    /// The beginning and the end of the step's log.
    pub fn tail(&self) -> String {
        let text = fs::read(self.log()).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let left_out = lines.len().saturating_sub(HEAD + TAIL);
        let shown = |lines: &[&str]| lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
        if left_out == 0 {
            return shown(&lines);
        }
        format!("{}  … {left_out} lines …\n{}", shown(&lines[..HEAD]), shown(&lines[HEAD + left_out..]))
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Ends it without a line of its own.
    pub fn clear(self) {
        self.bar.finish_and_clear();
    }
}

/// Begins a step with an empty log.
pub fn begin(name: &str) -> Step {
    let step = Step::begin(name);
    let _ = fs::remove_file(step.log());
    step
}
