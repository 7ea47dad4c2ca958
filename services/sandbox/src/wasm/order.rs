//! What the service tells the worker for WebAssembly, and what the worker reports.

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

/// Reads a report: the compiled module where it came first, and the verdict where the worker came that far.
pub fn read_report(mut report: &[u8]) -> (Option<&[u8]>, Option<Verdict>) {
    let (mut compiled, mut verdict, mut first) = (None, None, true);
    while let Some((head, rest)) = report.split_at_checked(5) {
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some((content, rest)) = rest.split_at_checked(length) else { break };
        match head[0] {
            COMPILED if first => compiled = Some(content),
            VERDICT => verdict = serde_json::from_slice(content).ok(),
            _ => break,
        }
        (report, first) = (rest, false);
    }
    (compiled, verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_far_as_it_goes() {
        let verdict = serde_json::to_vec(&Verdict::Exited(3)).expect("a verdict");
        let whole = [part(COMPILED, b"code"), part(VERDICT, &verdict)].concat();
        assert_eq!(read_report(&whole), (Some(&b"code"[..]), Some(Verdict::Exited(3))));
        assert_eq!(read_report(&whole[..whole.len() - 1]), (Some(&b"code"[..]), None));
        assert_eq!(read_report(&whole[..7]), (None, None));
        assert_eq!(read_report(b""), (None, None));
    }

    #[test]
    fn a_compiled_module_that_comes_late_is_not_believed() {
        let verdict = serde_json::to_vec(&Verdict::Exited(0)).expect("a verdict");
        let late = [part(VERDICT, &verdict), part(COMPILED, b"evil")].concat();
        assert_eq!(read_report(&late).0, None);
    }
}
