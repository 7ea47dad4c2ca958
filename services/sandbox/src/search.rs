//! Search in the text of files, by ripgrep's engine.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use grep_matcher::Matcher as _;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, sinks::Bytes};

use crate::error::SandboxError;

/// The most bytes of a line that are shown.
const MOST_LINE_BYTES: usize = 400;
/// The most memory of a compiled expression.
const MOST_REGEX_BYTES: usize = 4 * 1024 * 1024;

/// What to look for, and where.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The text or expression.
    pub query: String,
    /// It is a regular expression.
    pub regex: bool,
    /// Upper and lower case are told apart.
    pub match_case: bool,
    /// Only whole words.
    pub whole_word: bool,
    /// Globs of paths to look into; all when empty.
    pub include: Vec<String>,
    /// Globs of paths to leave out.
    pub exclude: Vec<String>,
    /// The most lines.
    pub most: usize,
}

/// A line in which the query occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Its text; of a long line, the part around the first occurrence.
    pub text: String,
    /// Occurrences in `text`, begin and end in UTF-16 code units.
    pub ranges: Vec<(usize, usize)>,
    /// The column of the first occurrence in the whole line, from 1, in UTF-16 code units.
    pub column: usize,
}

/// A query that is ready to run.
pub struct Search {
    matcher: RegexMatcher,
    searcher: Searcher,
    include: Option<GlobSet>,
    exclude: GlobSet,
    /// Lines that may still be found.
    pub left: usize,
}

impl Search {
    /// Compiles a query. Fails with SCHEMA_VIOLATION at the expression or glob that is wrong.
    pub fn new(query: &Query) -> Result<Self, SandboxError> {
        let matcher = RegexMatcherBuilder::new()
            .case_insensitive(!query.match_case)
            .word(query.whole_word)
            .fixed_strings(!query.regex)
            .size_limit(MOST_REGEX_BYTES)
            .dfa_size_limit(MOST_REGEX_BYTES)
            .line_terminator(Some(b'\n'))
            .build(&query.query)
            .map_err(|error| SandboxError::Invalid {
                pointer: "/query",
                keyword: "format",
                why: error.to_string(),
            })?;
        let searcher =
            SearcherBuilder::new().line_number(true).binary_detection(BinaryDetection::quit(0)).build();
        let include = match query.include.is_empty() {
            true => None,
            false => Some(globs(&query.include, "/include")?),
        };
        Ok(Self { matcher, searcher, include, exclude: globs(&query.exclude, "/exclude")?, left: query.most })
    }

    /// The query looks into a file of this path.
    pub fn wants(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path)) && !self.exclude.is_match(path)
    }

    /// The lines of a content in which the query occurs; no more than are left.
    pub fn lines(&mut self, content: &[u8]) -> Vec<Line> {
        let (matcher, mut found, left) = (&self.matcher, Vec::new(), self.left);
        let sink = Bytes(|number, line| {
            found.push(show(matcher, number, line));
            Ok(found.len() < left)
        });
        if left > 0 && self.searcher.search_slice(matcher, content, sink).is_err() {
            found.clear();
        }
        self.left -= found.len();
        found
    }
}

fn globs(patterns: &[String], pointer: &'static str) -> Result<GlobSet, SandboxError> {
    let wrong =
        |error: globset::Error| SandboxError::Invalid { pointer, keyword: "format", why: error.to_string() };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // "*.rs" and "target" mean any folder, as in editors
        let anywhere = if pattern.contains('/') { pattern.clone() } else { format!("**/{pattern}") };
        for pattern in [format!("{}/**", anywhere.trim_end_matches('/')), anywhere] {
            set.add(GlobBuilder::new(&pattern).literal_separator(true).build().map_err(wrong)?);
        }
    }
    set.build().map_err(wrong)
}

fn show(matcher: &RegexMatcher, number: u64, line: &[u8]) -> Line {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut places = Vec::new();
    // only a broken matcher fails, and then nothing is marked
    let _ = matcher.find_iter(line, |found| {
        places.push((found.start(), found.end()));
        places.len() < 100
    });
    let first = places.first().map_or(0, |place| place.0);
    let begin = if line.len() <= MOST_LINE_BYTES { 0 } else { first.saturating_sub(MOST_LINE_BYTES / 4) };
    let end = (begin + MOST_LINE_BYTES).min(line.len());
    let (begin, end) = (boundary(line, begin), boundary(line, end));
    let units = |from: usize, to: usize| String::from_utf8_lossy(&line[from..to]).encode_utf16().count();
    let ranges = places
        .iter()
        .filter(|(from, to)| *from >= begin && *to <= end)
        .map(|(from, to)| (units(begin, *from), units(begin, *to)))
        .collect();
    let text = String::from_utf8_lossy(&line[begin..end]).into_owned();
    Line { number, text, ranges, column: units(0, first) + 1 }
}

/// The next place at which a character begins.
fn boundary(line: &[u8], at: usize) -> usize {
    (at..line.len()).find(|at| line[*at] & 0xc0 != 0x80).unwrap_or(line.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query { query: text.into(), most: 100, ..Query::default() }
    }

    fn lines(query: &Query, content: &str) -> Vec<Line> {
        Search::new(query).unwrap().lines(content.as_bytes())
    }

    #[test]
    fn occurrences_are_counted_in_utf16_and_case_words_and_expressions_matter_as_asked() {
        let text = "äö Foo foo\nfood\nfo+\n";
        let found = lines(&query("foo"), text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].number, found[0].column, found[0].ranges.clone()),
            (1, 4, vec![(3, 6), (7, 10)])
        );
        assert_eq!(lines(&Query { match_case: true, ..query("Foo") }, text).len(), 1);
        assert_eq!(lines(&Query { whole_word: true, ..query("foo") }, text).len(), 1);
        assert_eq!(lines(&query("fo+"), text).len(), 1, "a plain text");
        assert_eq!(lines(&Query { regex: true, ..query("fo+d?$") }, text).len(), 2);
        assert!(Search::new(&Query { regex: true, ..query("(") }).is_err());
    }

    #[test]
    fn a_long_line_is_shown_around_its_occurrence_and_nul_means_binary() {
        let text = format!("{}needle{}\n", "ü".repeat(5000), "x".repeat(5000));
        let found = lines(&query("needle"), &text);
        assert!(found[0].text.len() <= MOST_LINE_BYTES + 4 && found[0].text.contains("needle"));
        assert_eq!(found[0].column, 5001);
        let (from, to) = found[0].ranges[0];
        let units: Vec<u16> = found[0].text.encode_utf16().collect();
        assert_eq!(String::from_utf16(&units[from..to]).unwrap(), "needle");
        assert!(lines(&query("needle"), "\0needle").is_empty());
    }

    #[test]
    fn globs_choose_files_and_the_number_of_lines_is_bounded() {
        let search = |include: &[&str], exclude: &[&str]| {
            let own = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
            Search::new(&Query { include: own(include), exclude: own(exclude), ..query("x") }).unwrap()
        };
        assert!(search(&[], &[]).wants("a/b.rs"));
        assert!(search(&["*.rs"], &[]).wants("a/b.rs") && !search(&["*.rs"], &[]).wants("a/b.py"));
        assert!(
            search(&["src/**/*.rs"], &[]).wants("src/b.rs")
                && !search(&["src/*.rs"], &[]).wants("src/a/b.rs")
        );
        assert!(
            !search(&[], &["target"]).wants("a/target/x.rs")
                && search(&[], &["target"]).wants("a/targets.rs")
        );
        let mut few = Search::new(&Query { most: 3, ..query("x") }).unwrap();
        assert_eq!(few.lines("x\n".repeat(10).as_bytes()).len(), 3);
        assert_eq!((few.left, few.lines(b"x\n").len()), (0, 0));
    }
}
