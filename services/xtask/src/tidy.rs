//! The house rules that a program can check (docs/ARCHITECTURE.md, Invariants; docs/STYLE.md). What has a good reason
//! to be otherwise stands in tests/gates/allow.txt, a line each with its reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::house;

/// Where exceptions stand: `<path> <rule> <reason>` a line.
const ALLOWED: &str = "tests/gates/allow.txt";
/// A file of more lines is worth a second look.
const LONG: usize = 500;
/// A larger file does not belong into git.
const LARGE: usize = 3_000_000;
/// Crates that never import each other.
const SIBLINGS: [&str; 5] = ["auth", "billing", "sandbox", "agent", "edge"];

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
    warning: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{} [{}]", self.path, self.line, self.what, self.rule)
    }
}

/// Checks the clone and prints what breaks a rule.
pub fn run() -> anyhow::Result<()> {
    let root = house::root();
    let files = files()?;
    let allowed = fs::read_to_string(root.join(ALLOWED)).unwrap_or_default();
    let home = std::env::home_dir().map(|dir| format!("{}/", dir.display()));
    let place = Some(format!("{}/", root.display()));
    let machine: Vec<String> = [home, place].into_iter().flatten().filter(|path| path.len() > 2).collect();
    let found = apply_exceptions(check(&files, &machine), &allowed);
    found.iter().for_each(|finding| println!("{finding}"));
    match found.iter().filter(|finding| !finding.warning).count() {
        0 => Ok(()),
        count => bail!("{count} house rules are broken; an exception with its reason goes into {ALLOWED}"),
    }
}

/// The files of the clone that git knows or would know, with their text; binary files have none.
fn files() -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let root = house::root();
    let listed = Command::new("git")
        .current_dir(&root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("git ls-files")?;
    let names = String::from_utf8(listed.stdout).context("file names are UTF-8")?;
    let names = names.split('\0').filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| Some((name.to_owned(), fs::read(root.join(name)).ok()?))).collect())
}

fn check(files: &BTreeMap<String, Vec<u8>>, machine: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, bytes) in files {
        if bytes.len() > LARGE {
            found.push(finding(path, 1, "large-file", format!("has {} bytes", bytes.len())));
        }
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        everywhere(path, text, machine, &mut found);
        if is_vendored(path) {
            continue;
        }
        if is_code(path) {
            header(path, text, &mut found);
            words(path, text, &mut found);
            if text.lines().count() > LONG {
                let what = format!("has {} lines: does one idea fill it?", text.lines().count());
                found.push(Finding { warning: true, ..finding(path, 1, "long-file", what) });
            }
        }
        if path.ends_with(".rs") {
            layers(path, text, &mut found);
        }
        if let Some(name) = path.strip_prefix("services/").and_then(|p| p.strip_suffix("/Cargo.toml")) {
            siblings(path, name, text, &mut found);
        }
    }
    languages(files, &mut found);
    found.sort();
    found
}

fn finding(path: &str, line: usize, rule: &'static str, what: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), line, rule, what: what.into(), warning: false }
}

fn is_code(path: &str) -> bool {
    [".rs", ".ts", ".tsx", ".proto", ".sql"].iter().any(|end| path.ends_with(end)) && !path.ends_with(".d.ts")
}

fn is_vendored(path: &str) -> bool {
    path.contains("/gen/")
        || path.contains("/vendor/")
        || path.ends_with("-lock.json")
        || path == "Cargo.lock"
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || ["/tests/", "/test/", "/e2e/", ".test."].iter().any(|part| path.contains(part))
}

/// The part of a Rust file before its tests.
fn without_tests<'a>(path: &str, text: &'a str) -> &'a str {
    if !path.ends_with(".rs") {
        return text;
    }
    text.find("#[cfg(test)]").map_or(text, |at| &text[..at])
}

/// The first line says what a file is for.
fn header(path: &str, text: &str, found: &mut Vec<Finding>) {
    let first = text.lines().find(|line| !line.starts_with("#!/")).unwrap_or_default();
    let starts: &[&str] = match path.rsplit('.').next() {
        Some("rs") => &["//! "],
        Some("sql") => &["-- "],
        _ => &["// ", "/** ", "/* "],
    };
    if !starts.iter().any(|start| first.starts_with(start)) {
        found.push(finding(path, 1, "header", "the first line does not say what the file is for"));
    }
}

/// Nothing is left for later, and nothing only pretends.
fn words(path: &str, text: &str, found: &mut Vec<Finding>) {
    let later = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let pretending = [concat!("mo", "ck"), concat!("st", "ub"), concat!("dum", "my"), concat!("fa", "ke")];
    for (number, line) in text.lines().enumerate() {
        for word in line.split(|c: char| !c.is_alphanumeric()) {
            if later.contains(&word) {
                found.push(finding(path, number + 1, "later", format!("{word}: nothing is left for later")));
            }
        }
        for open in [concat!("to", "do!("), concat!("unimple", "mented!(")] {
            if line.contains(open) {
                found.push(finding(
                    path,
                    number + 1,
                    "later",
                    format!("{open}…): nothing is left for later"),
                ));
            }
        }
    }
    if is_test(path) {
        return;
    }
    for (number, line) in without_tests(path, text).lines().enumerate() {
        for word in line.split(|c: char| !c.is_alphanumeric()) {
            let lower = word.to_lowercase();
            let stem = lower.strip_suffix('s').unwrap_or(&lower);
            if pretending.contains(&stem) {
                found.push(finding(
                    path,
                    number + 1,
                    "pretending",
                    format!("{word}: test doubles are for tests"),
                ));
            }
        }
    }
}

/// Who may know SQL, gRPC and the engines' libraries.
fn layers(path: &str, text: &str, found: &mut Vec<Finding>) {
    let Some((unit, file)) = path.strip_prefix("services/").and_then(|path| path.split_once("/src/")) else {
        return;
    };
    let is_store = file == "store.rs" || file.starts_with("store/");
    let is_service = file == "lib.rs"
        || file == "service.rs"
        || file.ends_with("_service.rs")
        || path.contains("/src/service/");
    // How a service calls the others.
    let is_peers = file == "peers.rs";
    let rules: [(&'static str, &str, bool); 4] = [
        ("sql", "sqlx::query", is_store || path == "services/kit/src/db.rs"),
        (
            "tonic",
            "tonic::",
            !matches!(unit, "auth" | "billing" | "sandbox" | "agent") || is_service || is_peers,
        ),
        ("wasmer", "wasmer", file.starts_with("wasm")),
        ("microsandbox", "microsandbox::", file.starts_with("micro")),
    ];
    if unit == "xtask" {
        return;
    }
    for (number, line) in without_tests(path, text).lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (rule, word, allowed) in rules {
            if !allowed && code.contains(word) {
                found.push(finding(path, number + 1, rule, format!("{word} does not belong here")));
            }
        }
    }
}

/// Siblings never import each other.
fn siblings(path: &str, name: &str, text: &str, found: &mut Vec<Finding>) {
    if !SIBLINGS.contains(&name) {
        return;
    }
    let Ok(manifest) = text.parse::<toml::Table>() else {
        return found.push(finding(path, 1, "siblings", "is not TOML"));
    };
    for part in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let named = manifest.get(part).and_then(toml::Value::as_table);
        for other in named.into_iter().flat_map(toml::Table::keys) {
            let sibling =
                other.strip_prefix("devstudio-").filter(|other| *other != name && SIBLINGS.contains(other));
            if let Some(sibling) = sibling {
                found.push(finding(path, 1, "siblings", format!("{name} must not depend on {sibling}")));
            }
        }
    }
}

/// No host of a package registry, no path of a machine.
fn everywhere(path: &str, text: &str, machine: &[String], found: &mut Vec<Finding>) {
    let registries = ["registry", "index", "static", "files", "deb", "security"];
    for (number, line) in text.lines().enumerate() {
        for rest in line.split("://").skip(1) {
            let host = rest.split(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c))).next();
            if let Some((first, _)) = host.and_then(|host| host.split_once('.'))
                && registries.contains(&first)
            {
                found.push(finding(path, number + 1, "registry", "names the host of a package registry"));
            }
        }
        if machine.iter().any(|place| names_path(line, place)) {
            found.push(finding(path, number + 1, "machine", "names a path of this machine"));
        }
    }
}

/// Is the path there, and not as the end of a longer one?
fn names_path(line: &str, path: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    line.match_indices(path).any(|(at, _)| before(at).is_none_or(|c| !c.is_alphanumeric()))
}

/// Both languages say the same things.
fn languages(files: &BTreeMap<String, Vec<u8>>, found: &mut Vec<Finding>) {
    let keys = |name: &str| -> Option<BTreeSet<String>> {
        let table: serde_json::Value = serde_json::from_slice(files.get(name)?).ok()?;
        Some(table.as_object()?.keys().cloned().collect())
    };
    let (de, en) = ("web/src/i18n/de.json", "web/src/i18n/en.json");
    if let (Some(german), Some(english)) = (keys(de), keys(en)) {
        for key in german.symmetric_difference(&english) {
            let path = if german.contains(key) { en } else { de };
            found.push(finding(path, 1, "languages", format!("lacks the text {key}")));
        }
    }
}

/// Leaves out what is allowed; an exception without reason, or for nothing, is itself a finding.
fn apply_exceptions(found: Vec<Finding>, allowed: &str) -> Vec<Finding> {
    let mut left = found;
    for (number, line) in allowed.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.splitn(3, char::is_whitespace);
        let (path, rule) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let reason = parts.next().unwrap_or_default().trim();
        let before = left.len();
        left.retain(|finding| finding.path != path || finding.rule != rule);
        if left.len() == before {
            left.push(finding(
                ALLOWED,
                number + 1,
                "exception",
                format!("{path} {rule}: there is nothing to allow"),
            ));
        } else if reason.is_empty() {
            left.push(finding(
                ALLOWED,
                number + 1,
                "exception",
                format!("{path} {rule}: the reason is missing"),
            ));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let files = BTreeMap::from([(path.to_owned(), text.as_bytes().to_vec())]);
        check(&files, &["/home/somebody/".to_owned()]).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_file_says_first_what_it_is_for() {
        assert_eq!(rules("services/kit/src/a.rs", "use x;\n"), ["header"]);
        assert_eq!(rules("services/kit/src/a.rs", "//! For this.\n"), [""; 0]);
        assert_eq!(rules("web/src/a.tsx", "// For this.\n"), [""; 0]);
        assert_eq!(rules("web/src/gen/a.ts", "export {}\n"), [""; 0]);
    }

    #[test]
    fn sql_stands_in_stores_only() {
        let text = "//! A.\nfn f() { sqlx::query(\"select 1\"); }\n";
        assert_eq!(rules("services/auth/src/login.rs", text), ["sql"]);
        assert_eq!(rules("services/auth/src/store/users.rs", text), [""; 0]);
        let in_tests = "//! A.\n#[cfg(test)]\nmod tests { fn f() { sqlx::query(\"\"); } }\n";
        assert_eq!(rules("services/auth/src/login.rs", in_tests), [""; 0]);
    }

    #[test]
    fn grpc_stands_at_the_services_edge_only() {
        let text = "//! A.\nuse tonic::Status;\n";
        assert_eq!(rules("services/billing/src/reserve.rs", text), ["tonic"]);
        assert_eq!(rules("services/billing/src/service.rs", text), [""; 0]);
        assert_eq!(rules("services/billing/src/service/budgets.rs", text), [""; 0]);
        assert_eq!(rules("services/edge/src/door.rs", text), [""; 0]);
    }

    #[test]
    fn siblings_do_not_know_each_other() {
        let text = "[dependencies]\ndevstudio-auth.workspace = true\ndevstudio-billing.workspace = true\n";
        assert_eq!(rules("services/auth/Cargo.toml", text), ["siblings"]);
        assert_eq!(rules("services/devstudio/Cargo.toml", text), [""; 0]);
    }

    #[test]
    fn nothing_is_left_for_later_and_nothing_pretends() {
        let later = concat!("//! A.\n// TO", "DO: write it\n");
        assert_eq!(rules("services/auth/src/a.rs", later), ["later"]);
        let pretending = concat!("// A.\nconst client = new Mo", "ck();\n");
        assert_eq!(rules("web/src/a.ts", pretending), ["pretending"]);
        assert_eq!(rules("web/src/a.test.ts", pretending), [""; 0]);
    }

    #[test]
    fn registries_and_machines_are_not_named() {
        let host = concat!("see https://regis", "try.example.org/x\n");
        assert_eq!(rules("README.md", host), ["registry"]);
        assert_eq!(rules("README.md", "cd /home/somebody/clone\n"), ["machine"]);
        assert_eq!(rules("README.md", "cd /srv/home/somebody/clone\n"), [""; 0]);
        assert_eq!(rules("README.md", "https://example.org/registry\n"), [""; 0]);
    }

    #[test]
    fn both_languages_have_the_same_texts() {
        let files = BTreeMap::from([
            ("web/src/i18n/de.json".to_owned(), br#"{"a": "A", "b": "B"}"#.to_vec()),
            ("web/src/i18n/en.json".to_owned(), br#"{"a": "A"}"#.to_vec()),
        ]);
        let found = check(&files, &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "web/src/i18n/en.json");
    }

    #[test]
    fn an_exception_needs_a_reason_and_something_to_allow() {
        let broken = vec![finding("a.rs", 1, "sql", "x")];
        assert_eq!(apply_exceptions(broken.clone(), "# why\na.rs sql it is the one place\n"), []);
        assert_eq!(apply_exceptions(broken.clone(), "a.rs sql\n")[0].rule, "exception");
        assert_eq!(apply_exceptions(broken, "b.rs sql since\n").len(), 2);
    }
}
