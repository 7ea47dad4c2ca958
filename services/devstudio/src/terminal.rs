//! What the supervisor says to the person at the terminal.

use std::{
    io::{self, Write as _},
    time::Duration,
};

/// Prints progress; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Terminal {
    /// Show what the children print as well.
    pub verbose: bool,
}

impl Terminal {
    /// A line as it is.
    pub fn line(&self, text: &str) {
        say(text);
    }

    /// A step that is done, with its time.
    pub fn step(&self, name: &str, what: &str, took: Duration) {
        say(&format!("  {name:<12} {what:<10} {:>6.2} s", took.as_secs_f64()));
    }

    /// Something that a person should know.
    pub fn note(&self, text: &str) {
        say(&format!("{} {text}", clock()));
    }

    /// A line that a child printed.
    pub fn output(&self, child: &str, line: &str) {
        say(&format!("{child:<8} | {line}"));
    }
}

/// A terminal that is gone is no reason to end, as `println!` would.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The time of day in UTC.
fn clock() -> String {
    let now = time::OffsetDateTime::now_utc();
    format!("{:02}:{:02}:{:02}Z", now.hour(), now.minute(), now.second())
}
