//! What the test runners say, added up: counts by suite, and the names of what was skipped.

use std::time::Duration;

/// What one suite did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed.
    pub failed: u32,
    /// Tests that could not be run here.
    pub skipped: u32,
    /// Why, by name.
    pub why_skipped: Vec<String>,
}

impl Counts {
    /// Reads one line of a runner's output: cargo test, node's test runner, vitest, or our own closing line.
    pub fn read(&mut self, line: &str) {
        let line = without_colours(line);
        let line = line.trim();
        if let Some(skipped) = line.strip_prefix("SKIPPED ") {
            self.why_skipped.push(skipped.to_owned());
            // A test of Rust that skips itself is counted as passed by the runner.
            if skipped.split(':').next().is_some_and(|name| !name.contains(' ')) && self.passed > 0 {
                self.passed -= 1;
            }
            self.skipped += 1;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += number_before(counts, "passed");
            self.failed += number_before(counts, "failed");
            self.skipped += number_before(counts, "ignored");
        } else if let Some(rest) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            match rest.split_once(' ') {
                Some(("pass", count)) => self.passed += count.parse::<u32>().unwrap_or(0),
                Some(("fail", count)) => self.failed += count.parse::<u32>().unwrap_or(0),
                Some(("skipped", count)) => self.skipped += count.parse::<u32>().unwrap_or(0),
                _ => {}
            }
        } else if let Some(counts) = line.strip_prefix("Tests ") {
            self.passed += number_before(counts, "passed");
            self.failed += number_before(counts, "failed");
            self.skipped += number_before(counts, "skipped");
        } else if is_closing_line(line) {
            self.passed += number_before(line, "passed");
            self.failed += number_before(line, "failed");
            self.skipped += number_before(line, "skipped");
        }
    }
}

/// `N passed, N failed`, with or without `, N skipped`, alone on a line.
fn is_closing_line(line: &str) -> bool {
    let mut parts = line.split(", ");
    let fits = |part: Option<&str>, word: &str| {
        part.and_then(|part| part.strip_suffix(word)).is_some_and(|n| n.trim().parse::<u32>().is_ok())
    };
    fits(parts.next(), "passed") && fits(parts.next(), "failed")
}

/// The number before a word: `3 passed`.
fn number_before(text: &str, word: &str) -> u32 {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || ".,;|()".contains(c)).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut escaped = false;
    for c in line.chars() {
        match (escaped, c) {
            (false, '\u{1b}') => escaped = true,
            (false, c) => plain.push(c),
            (true, c) if c.is_ascii_alphabetic() => escaped = false,
            (true, _) => {}
        }
    }
    plain
}

/// A suite of the closing table.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub suite: String,
    /// What it did.
    pub counts: Counts,
    /// How long it took.
    pub took: Duration,
    /// It ended well.
    pub ok: bool,
}

/// Prints the table and the closing line. Gives whether all is well.
pub fn close(rows: &[Row]) -> bool {
    println!("\n  {:<28} {:>7} {:>7} {:>8} {:>9}", "suite", "passed", "failed", "skipped", "time");
    for Row { suite, counts, took, ok } in rows {
        let mark = if *ok { "" } else { "  FAILED" };
        let (p, f, s) = (counts.passed, counts.failed, counts.skipped);
        println!("  {suite:<28} {p:>7} {f:>7} {s:>8} {:>7.1} s{mark}", took.as_secs_f64());
    }
    let skipped: Vec<_> = rows.iter().flat_map(|row| &row.counts.why_skipped).collect();
    if !skipped.is_empty() {
        println!("\n  Skipped on this machine:");
        skipped.iter().for_each(|why| println!("  - {why}"));
    }
    let sum = |part: fn(&Counts) -> u32| rows.iter().map(|row| part(&row.counts)).sum::<u32>();
    // A suite that failed without naming a test still failed.
    let unnamed = rows.iter().filter(|row| !row.ok && row.counts.failed == 0).count() as u32;
    let (passed, failed, skipped) = (sum(|c| c.passed), sum(|c| c.failed) + unnamed, sum(|c| c.skipped));
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    failed == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> (u32, u32, u32) {
        let mut counts = Counts::default();
        lines.iter().for_each(|line| counts.read(line));
        (counts.passed, counts.failed, counts.skipped)
    }

    #[test]
    fn the_lines_of_every_runner_are_understood() {
        let rust = "test result: FAILED. 12 passed; 4 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(counted(&[rust, "test result: ok. 2 passed; 0 failed; 0 ignored"]), (14, 4, 1));
        assert_eq!(counted(&["# tests 9", "# pass 7", "# fail 1", "# skipped 1", "# todo 0"]), (7, 1, 1));
        assert_eq!(counted(&["ℹ pass 3", "ℹ fail 0"]), (3, 0, 0));
        assert_eq!(
            counted(&["\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m40 passed\u{1b}[22m | 2 skipped (42)"]),
            (40, 0, 2)
        );
        assert_eq!(counted(&["5 passed, 0 failed, 1 skipped"]), (5, 0, 1));
        assert_eq!(counted(&["5 passed, then more", "all 3 passed"]), (0, 0, 0));
    }

    #[test]
    fn a_test_that_skips_itself_did_not_pass() {
        let counts =
            counted(&["test result: ok. 2 passed; 0 failed; 0 ignored", "SKIPPED micro::python: no runsc"]);
        assert_eq!(counts, (1, 0, 1));
    }
}
