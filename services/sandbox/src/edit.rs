//! Edits of text: hunks, unified diffs, three-way merges, and how many lines came and went. All or nothing.

use imara_diff::{Algorithm, BasicLineDiffPrinter, Diff, InternedInput, UnifiedDiffConfig};

use crate::{error::SandboxError, store::Trace};

/// A text to look for and what to put in its place.
#[derive(Debug, Clone)]
pub struct Hunk {
    /// The text as it is.
    pub search: String,
    /// The text to put there.
    pub replace: String,
    /// Which occurrence, from 1; 0: there must be exactly one.
    pub occurrence: usize,
}

/// What to do to a text.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Replacements, made in order.
    Hunks(Vec<Hunk>),
    /// A unified diff of this one file.
    Patch(String),
}

impl Edit {
    /// The text after the edit. Fails with HUNK_MISMATCH where it does not fit.
    pub fn apply(&self, text: &str) -> Result<String, SandboxError> {
        match self {
            Self::Hunks(hunks) => hunks
                .iter()
                .enumerate()
                .try_fold(text.to_owned(), |text, (at, hunk)| hunk.apply(&text, at + 1)),
            Self::Patch(patch) => {
                let wrong = |error: &dyn std::fmt::Display| SandboxError::Invalid {
                    pointer: "/unifiedDiff",
                    keyword: "format",
                    why: format!("is no unified diff of one file: {error}"),
                };
                let patch = diffy::Patch::from_str(patch).map_err(|error| wrong(&error))?;
                if patch.hunks().is_empty() {
                    return Err(wrong(&"it changes nothing"));
                }
                diffy::apply(text, &patch).map_err(|_| {
                    let fits = |hunk: &&diffy::Hunk<'_, str>| !is_there(text, hunk);
                    let hunk = patch.hunks().iter().position(|hunk| fits(&hunk)).map_or(1, |at| at + 1);
                    SandboxError::HunkMismatch { hunk, found: 0 }
                })
            }
        }
    }
}

/// The lines that a hunk takes away or keeps stand somewhere in the text, in order and together.
fn is_there(text: &str, hunk: &diffy::Hunk<'_, str>) -> bool {
    let old: String = hunk
        .lines()
        .iter()
        .filter_map(|line| match line {
            diffy::Line::Context(line) | diffy::Line::Delete(line) => Some(*line),
            diffy::Line::Insert(_) => None,
        })
        .collect();
    text.contains(&old)
}

impl Hunk {
    fn apply(&self, text: &str, number: usize) -> Result<String, SandboxError> {
        let mismatch = |found| SandboxError::HunkMismatch { hunk: number, found };
        if self.search.is_empty() {
            return if text.is_empty() { Ok(self.replace.clone()) } else { Err(mismatch(0)) };
        }
        let mut places = text.match_indices(&self.search).map(|(at, _)| at);
        let at = match self.occurrence {
            0 => match (places.next(), places.next()) {
                (Some(at), None) => at,
                (None, _) => return Err(mismatch(0)),
                (Some(_), Some(_)) => return Err(mismatch(2 + places.count())),
            },
            n => places.nth(n - 1).ok_or_else(|| mismatch(text.matches(&self.search).count()))?,
        };
        Ok([&text[..at], &self.replace, &text[at + self.search.len()..]].concat())
    }
}

/// How many lines came and went from one content to another; nothing where either is not text.
pub fn trace(old: Option<&[u8]>, new: &[u8], agent: String) -> Trace {
    let Ok(new) = std::str::from_utf8(new) else {
        return Trace { is_binary: true, agent, ..Trace::default() };
    };
    let is_binary = new.as_bytes().contains(&0);
    let Ok(old) = std::str::from_utf8(old.unwrap_or_default()) else {
        return Trace { is_binary, agent, ..Trace::default() };
    };
    let (lines_added, lines_removed) = if is_binary { (0, 0) } else { counts(old, new) };
    Trace { is_binary, lines_added, lines_removed, agent }
}

/// Lines that came and lines that went.
pub fn counts(old: &str, new: &str) -> (i32, i32) {
    let input = InternedInput::new(old, new);
    let diff = Diff::compute(Algorithm::Histogram, &input);
    (diff.count_additions() as i32, diff.count_removals() as i32)
}

/// The difference of two texts as a unified diff with three lines of context.
pub fn unified(path: &str, old: &str, new: &str) -> String {
    let input = InternedInput::new(old, new);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let printer = BasicLineDiffPrinter(&input.interner);
    let body = diff.unified_diff(&printer, UnifiedDiffConfig::default(), &input).to_string();
    format!("--- a/{path}\n+++ b/{path}\n{body}")
}

/// Both changes of a base in one text, and whether lines are in conflict: those stand between markers.
pub fn merge(base: &str, ours: &str, theirs: &str) -> (String, bool) {
    match diffy::merge(base, ours, theirs) {
        Ok(text) => (text, false),
        Err(text) => (text, true),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hunk(search: &str, replace: &str, occurrence: usize) -> Hunk {
        Hunk { search: search.into(), replace: replace.into(), occurrence }
    }

    fn edit(hunks: &[Hunk], text: &str) -> Result<String, (usize, usize)> {
        Edit::Hunks(hunks.to_vec()).apply(text).map_err(|error| match error {
            SandboxError::HunkMismatch { hunk, found } => (hunk, found),
            other => panic!("{other}"),
        })
    }

    #[test]
    fn hunks_are_made_in_order_and_all_or_none() {
        let text = "one\ntwo\ntwo\nthree\n";
        assert_eq!(edit(&[hunk("one", "1", 0), hunk("two", "2", 2)], text).unwrap(), "1\ntwo\n2\nthree\n");
        assert_eq!(
            edit(&[hunk("one", "two", 0), hunk("two", "2", 3)], text).unwrap(),
            "two\ntwo\n2\nthree\n"
        );
        assert_eq!(
            edit(&[hunk("one", "1", 0), hunk("two", "2", 0)], text),
            Err((2, 2)),
            "it is not the only one"
        );
        assert_eq!(edit(&[hunk("four", "4", 0)], text), Err((1, 0)));
        assert_eq!(edit(&[hunk("two", "2", 3)], text), Err((1, 2)));
        assert_eq!(edit(&[hunk("", "new\n", 0)], "").unwrap(), "new\n");
        assert_eq!(edit(&[hunk("", "new\n", 0)], text), Err((1, 0)));
    }

    #[test]
    fn a_patch_made_from_two_texts_turns_one_into_the_other() {
        let old: String = (0..4000).map(|n| format!("line {n}\n")).collect();
        let new = old.replace("line 17\n", "line seventeen\n").replace("line 3999\n", "");
        let patch = unified("a.txt", &old, &new);
        assert!(patch.len() < 1024, "{patch}");
        assert_eq!(Edit::Patch(patch.clone()).apply(&old).unwrap(), new);
        assert_eq!(counts(&old, &new), (1, 2));
        let error = Edit::Patch(patch).apply("nothing of it\n").unwrap_err();
        assert!(matches!(error, SandboxError::HunkMismatch { hunk: 1, found: 0 }), "{error}");
        for junk in ["", "junk", "--- a\n+++ b\n"] {
            assert!(
                matches!(Edit::Patch(junk.into()).apply(&old).unwrap_err(), SandboxError::Invalid { .. }),
                "{junk}"
            );
        }
    }

    #[test]
    fn both_changes_are_merged_and_the_same_line_is_a_conflict() {
        let base = "a\nb\nc\nd\ne\n";
        assert_eq!(merge(base, "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n"), ("A\nb\nc\nd\nE\n".to_owned(), false));
        let (text, conflicts) = merge(base, "A\nb\nc\nd\ne\n", "X\nb\nc\nd\ne\n");
        assert!(
            conflicts && text.contains("<<<<<<<") && text.contains("A\n") && text.contains("X\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_text_has_no_lines() {
        assert!(trace(None, &[0xff, 0xfe], String::new()).is_binary);
        assert!(trace(None, b"a\0b", String::new()).is_binary);
        let changed = trace(Some(b"a\n"), b"b\nc\n", "coder".into());
        assert_eq!((changed.lines_added, changed.lines_removed, changed.agent.as_str()), (2, 1, "coder"));
    }
}
