//! What the service tells the worker for WebAssembly, and what the worker reports.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What to do. Follows its own length (4 bytes, little-endian) on the worker's input; then come the module, the
/// compiled module where there is one, and what the module itself reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Order {
    /// Bytes of the module that follow; none where it is compiled already.
    pub module_bytes: usize,
    /// Bytes of the compiled module that follow.
    pub compiled_bytes: usize,
    /// Most bytes of the module's memory.
    pub memory_bytes: u64,
    /// How many operations it may do.
    pub fuel: u64,
    /// Its arguments, or the function's numbers.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// The exported function to call; the command's start where empty.
    pub function: String,
}

/// A part of a worker's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It ran and left this exit code.
    Exited(i32),
    /// It trapped.
    Trapped(String),
    /// It could not be started.
    Failed(String),
}

/// Marks the compiled module in a report. Sent before any of the module's code runs.
pub const COMPILED: u8 = b'C';
/// Marks how long store, instance and call took: microseconds (8 bytes, little-endian). Sent right before the verdict.
pub const SPENT: u8 = b'T';
/// Marks the [`Verdict`].
pub const VERDICT: u8 = b'V';

/// One part of a report: mark, length (4 bytes, little-endian), content.
pub fn part(mark: u8, content: &[u8]) -> Vec<u8> {
    let mut part = Vec::with_capacity(content.len() + 5);
    part.push(mark);
    part.extend_from_slice(&(content.len() as u32).to_le_bytes());
    part.extend_from_slice(content);
    part
}

/// What a worker reported, as far as it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report<'a> {
    /// The compiled module, where it came first.
    pub compiled: Option<&'a [u8]>,
    /// How long store, instance and call took.
    pub spent: Option<Duration>,
    /// What came of it.
    pub verdict: Option<Verdict>,
}

/// Reads a report as far as it goes.
pub fn read_report(mut text: &[u8]) -> Report<'_> {
    let (mut report, mut first) = (Report::default(), true);
    while let Some((head, rest)) = text.split_at_checked(5) {
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some((content, rest)) = rest.split_at_checked(length) else { break };
        match head[0] {
            COMPILED if first => report.compiled = Some(content),
            SPENT => {
                let micros = content.try_into().map(u64::from_le_bytes);
                report.spent = micros.ok().map(Duration::from_micros);
            }
            VERDICT => report.verdict = serde_json::from_slice(content).ok(),
            _ => break,
        }
        (text, first) = (rest, false);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_far_as_it_goes() {
        let verdict = serde_json::to_vec(&Verdict::Exited(3)).expect("a verdict");
        let spent = part(SPENT, &7u64.to_le_bytes());
        let whole = [part(COMPILED, b"code"), spent, part(VERDICT, &verdict)].concat();
        let (compiled, spent) = (Some(&b"code"[..]), Some(Duration::from_micros(7)));
        assert_eq!(read_report(&whole), Report { compiled, spent, verdict: Some(Verdict::Exited(3)) });
        assert_eq!(read_report(&whole[..whole.len() - 1]), Report { compiled, spent, verdict: None });
        assert_eq!(read_report(&whole[..7]), Report::default());
        assert_eq!(read_report(b""), Report::default());
    }

    #[test]
    fn a_compiled_module_that_comes_late_is_not_believed() {
        let verdict = serde_json::to_vec(&Verdict::Exited(0)).expect("a verdict");
        let late = [part(VERDICT, &verdict), part(COMPILED, b"evil")].concat();
        assert_eq!(read_report(&late).compiled, None);
    }
}
