//! What a workspace is, by its files: languages, package managers, where programs start, how they are tested, ports and
//! services. The same files always give the same facts; no model is asked.

use std::collections::{BTreeMap, BTreeSet};

use devstudio_proto::agent::v1::{EnvFacts, LanguageShare};
use serde_json::Value;

/// Languages by the endings of their files.
const LANGUAGES: [(&str, &str); 24] = [
    ("rs", "rust"),
    ("py", "python"),
    ("js", "javascript"),
    ("mjs", "javascript"),
    ("cjs", "javascript"),
    ("jsx", "javascript"),
    ("ts", "typescript"),
    ("tsx", "typescript"),
    ("go", "go"),
    ("java", "java"),
    ("kt", "kotlin"),
    ("c", "c"),
    ("h", "c"),
    ("cc", "c++"),
    ("cpp", "c++"),
    ("hpp", "c++"),
    ("cs", "c#"),
    ("rb", "ruby"),
    ("php", "php"),
    ("sh", "shell"),
    ("sql", "sql"),
    ("html", "html"),
    ("css", "css"),
    ("swift", "swift"),
];
/// Files that programs start with, by their names.
const ENTRYPOINTS: [&str; 12] = [
    "main.py",
    "app.py",
    "manage.py",
    "__main__.py",
    "index.js",
    "server.js",
    "index.ts",
    "server.ts",
    "main.go",
    "main.rs",
    "main.c",
    "main.cpp",
];
/// Files that say what a workspace needs.
const MANIFESTS: [&str; 12] = [
    "Cargo.toml",
    "package.json",
    "pyproject.toml",
    "requirements.txt",
    "Dockerfile",
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.yml",
    "compose.yaml",
    ".env",
    ".env.example",
    "Procfile",
];
/// Services by a word of their images.
const SERVICES: [&str; 8] =
    ["postgres", "mysql", "mariadb", "redis", "mongo", "rabbitmq", "kafka", "elasticsearch"];
/// Most files that are read.
const MOST_READ: usize = 60;
/// Larger files are not read.
const MOST_BYTES: i32 = 64 * 1024;

/// A file of a workspace.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its path.
    pub path: String,
    /// Its length.
    pub size_bytes: i32,
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Other people's code is not the workspace's.
fn is_foreign(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "node_modules" | "target" | "vendor" | ".git" | "__pycache__" | ".venv"))
}

fn is_entrypoint(path: &str) -> bool {
    ENTRYPOINTS.contains(&name(path)) || (path.starts_with("src/bin/") && path.ends_with(".rs"))
}

/// The files whose text matters.
pub fn wanted(files: &[Found]) -> Vec<String> {
    let own = files.iter().filter(|file| !is_foreign(&file.path) && file.size_bytes <= MOST_BYTES);
    let script = |path: &str| !name(path).contains('.') && !MANIFESTS.contains(&name(path));
    let mut wanted: Vec<String> = own
        .filter(|file| {
            MANIFESTS.contains(&name(&file.path)) || is_entrypoint(&file.path) || script(&file.path)
        })
        .map(|file| file.path.clone())
        .collect();
    // What is nearest to the top says most.
    wanted.sort_by_key(|path| (path.matches('/').count(), path.clone()));
    wanted.truncate(MOST_READ);
    wanted
}

/// What the files and their texts say.
pub fn of(files: &[Found], texts: &BTreeMap<String, String>) -> EnvFacts {
    let own: Vec<&Found> = files.iter().filter(|file| !is_foreign(&file.path)).collect();
    let has = |wanted: &str| own.iter().any(|file| name(&file.path) == wanted);
    let text =
        |wanted: &str| texts.iter().find(|(path, _)| name(path) == wanted).map(|(_, text)| text.as_str());
    let mut managers = BTreeSet::new();
    let mut tests = Vec::new();
    if has("Cargo.toml") {
        managers.insert("cargo");
        tests.push("cargo test".to_owned());
    }
    if has("package.json") {
        let manager = match () {
            () if has("pnpm-lock.yaml") => "pnpm",
            () if has("yarn.lock") => "yarn",
            () => "npm",
        };
        managers.insert(manager);
        let package: Value =
            text("package.json").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        if package["scripts"]["test"].as_str().is_some_and(|test| !test.contains("no test specified")) {
            tests.push(format!("{manager} test"));
        }
    }
    let python_tests = own.iter().any(|file| {
        let name = name(&file.path);
        name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py"))
    });
    let needs = [text("requirements.txt"), text("pyproject.toml")].into_iter().flatten().collect::<String>();
    if has("pyproject.toml") || has("requirements.txt") {
        managers.insert(match () {
            () if has("poetry.lock") || needs.contains("[tool.poetry]") => "poetry",
            () if has("uv.lock") => "uv",
            () => "pip",
        });
    }
    if python_tests {
        let by_pytest = needs.contains("pytest") || has("pytest.ini") || has("conftest.py");
        tests.push(if by_pytest { "python -m pytest" } else { "python -m unittest" }.to_owned());
    }
    if has("go.mod") {
        managers.insert("go");
        tests.push("go test ./...".to_owned());
    }
    for (file, manager) in [
        ("pom.xml", "maven"),
        ("build.gradle", "gradle"),
        ("Gemfile", "bundler"),
        ("composer.json", "composer"),
    ] {
        if has(file) {
            managers.insert(manager);
        }
    }
    let mut entrypoints: BTreeSet<String> =
        own.iter().filter(|file| is_entrypoint(&file.path)).map(|file| file.path.clone()).collect();
    let scripts: Vec<(&String, &'static str)> =
        texts.iter().filter_map(|(path, text)| Some((path, interpreter(text)?))).collect();
    entrypoints.extend(scripts.iter().map(|(path, _)| (*path).clone()));
    EnvFacts {
        languages: languages(&own, &scripts),
        package_managers: managers.into_iter().map(str::to_owned).collect(),
        entrypoints: entrypoints.into_iter().collect(),
        test_commands: tests,
        ports: texts.values().flat_map(|text| ports(text)).collect::<BTreeSet<i32>>().into_iter().collect(),
        services: services(texts),
        files: i32::try_from(own.len()).unwrap_or(i32::MAX),
    }
}

fn languages(own: &[&Found], scripts: &[(&String, &'static str)]) -> Vec<LanguageShare> {
    let mut shares: BTreeMap<&str, (i32, i64)> = BTreeMap::new();
    for file in own {
        let ending = name(&file.path).rsplit_once('.').map(|(_, ending)| ending);
        let by_ending = ending.and_then(|ending| LANGUAGES.iter().find(|(known, _)| *known == ending));
        let by_line = scripts.iter().find(|(path, _)| **path == file.path).map(|(_, language)| *language);
        let Some(language) = by_ending.map(|(_, language)| *language).or(by_line) else { continue };
        let share = shares.entry(language).or_default();
        share.0 += 1;
        share.1 += i64::from(file.size_bytes);
    }
    let mut shares: Vec<LanguageShare> = shares
        .into_iter()
        .map(|(language, (files, bytes))| LanguageShare { language: language.to_owned(), files, bytes })
        .collect();
    shares.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.language.cmp(&b.language)));
    shares
}

/// The language of a script, by its first line.
fn interpreter(text: &str) -> Option<&'static str> {
    let line = text.lines().next()?.strip_prefix("#!")?;
    let program = line.split_whitespace().next_back()?.rsplit('/').next()?;
    match program {
        _ if program.starts_with("python") => Some("python"),
        "sh" | "bash" | "dash" | "zsh" => Some("shell"),
        "node" => Some("javascript"),
        "ruby" => Some("ruby"),
        "perl" => Some("perl"),
        _ => None,
    }
}

/// Ports that a text opens: EXPOSE, listen(…), port = …, PORT=….
fn ports(text: &str) -> Vec<i32> {
    let mut ports = Vec::new();
    for line in text.lines().map(str::trim) {
        let lower = line.to_lowercase();
        if let Some(rest) = lower.strip_prefix("expose ") {
            ports.extend(
                rest.split_whitespace().filter_map(|port| port.split('/').next()?.parse::<i32>().ok()),
            );
            continue;
        }
        for mark in ["listen(", "port=", "port =", "port:", "\"port\":", "port\", "] {
            let Some(at) = lower.find(mark) else { continue };
            let rest =
                lower[at + mark.len()..].trim_start_matches(|c: char| !c.is_ascii_digit() && c != '\n');
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            ports.extend(digits.parse::<i32>().ok());
        }
    }
    ports.retain(|port| (1..=65_535).contains(port));
    ports
}

fn services(texts: &BTreeMap<String, String>) -> Vec<String> {
    let compose = texts.iter().filter(|(path, _)| name(path).contains("compose"));
    let images =
        compose.flat_map(|(_, text)| text.lines()).filter_map(|line| line.trim().strip_prefix("image:"));
    let images: Vec<String> = images.map(str::to_lowercase).collect();
    let named = SERVICES.iter().filter(|service| images.iter().any(|image| image.contains(**service)));
    named.map(|service| (*service).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The facts of a workspace with these files.
    fn facts(files: &[(&str, &str)]) -> EnvFacts {
        let found: Vec<Found> = files
            .iter()
            .map(|(path, text)| Found { path: (*path).to_owned(), size_bytes: text.len() as i32 })
            .collect();
        let wanted = wanted(&found);
        let texts = files.iter().filter(|(path, _)| wanted.iter().any(|w| w == path));
        of(&found, &texts.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    fn shares(facts: &EnvFacts) -> Vec<(&str, i32)> {
        facts.languages.iter().map(|share| (share.language.as_str(), share.files)).collect()
    }

    #[test]
    fn a_rust_workspace_is_known() {
        let facts = facts(&[
            ("Cargo.toml", "[package]\nname = \"tool\"\n"),
            ("Cargo.lock", "version = 4\n"),
            ("src/main.rs", "fn main() {\n    println!(\"hello\");\n}\n"),
            ("src/bin/extra.rs", "fn main() {}\n"),
            ("target/debug/build.rs", "fn main() {}\n"),
        ]);
        assert_eq!(shares(&facts), [("rust", 2)]);
        assert_eq!(facts.package_managers, ["cargo"]);
        assert_eq!(facts.entrypoints, ["src/bin/extra.rs", "src/main.rs"]);
        assert_eq!(facts.test_commands, ["cargo test"]);
        assert_eq!((facts.ports.len(), facts.services.len(), facts.files), (0, 0, 4));
    }

    #[test]
    fn a_node_workspace_is_known() {
        let package = r#"{"name":"web","main":"server.js","scripts":{"test":"node --test"}}"#;
        let facts = facts(&[
            ("package.json", package),
            ("pnpm-lock.yaml", "lockfileVersion: 9\n"),
            ("server.js", "require('http').createServer(answer).listen(3000);\n"),
            ("lib/answer.ts", "export const answer = 42;\n"),
            ("node_modules/x/index.js", "module.exports = 1;\n"),
        ]);
        assert_eq!(shares(&facts), [("javascript", 1), ("typescript", 1)]);
        assert_eq!(facts.package_managers, ["pnpm"]);
        assert_eq!(facts.entrypoints, ["server.js"]);
        assert_eq!(facts.test_commands, ["pnpm test"]);
        assert_eq!(facts.ports, [3000]);
    }

    #[test]
    fn a_python_workspace_is_known() {
        let facts = facts(&[
            ("pyproject.toml", "[project]\nname = \"shop\"\n[dependency-groups]\ndev = [\"pytest\"]\n"),
            ("uv.lock", "version = 1\n"),
            ("app.py", "app.run(host='0.0.0.0', port=5000)\n"),
            ("tests/test_app.py", "def test_nothing():\n    pass\n"),
            ("tool", "#!/usr/bin/env python3\nprint(1)\n"),
        ]);
        assert_eq!(shares(&facts), [("python", 3)]);
        assert_eq!(facts.package_managers, ["uv"]);
        assert_eq!(facts.entrypoints, ["app.py", "tool"]);
        assert_eq!(facts.test_commands, ["python -m pytest"]);
        assert_eq!(facts.ports, [5000]);
    }

    #[test]
    fn a_mixed_workspace_is_known_with_its_services() {
        let facts = facts(&[
            ("requirements.txt", "flask\n"),
            ("api/main.py", "print('api')\n"),
            ("api/test_main.py", "import unittest\n"),
            ("web/package.json", r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#),
            ("web/index.js", "console.log('web and much more than the other language has');\n"),
            ("compose.yaml", "services:\n  db:\n    image: postgres:16\n  cache:\n    image: redis:7\n"),
            ("Dockerfile", "FROM python:3.12\nEXPOSE 8080 9090/tcp\n"),
        ]);
        assert_eq!(shares(&facts), [("javascript", 1), ("python", 2)]);
        assert_eq!(facts.package_managers, ["npm", "pip"]);
        assert_eq!(facts.entrypoints, ["api/main.py", "web/index.js"]);
        assert_eq!(facts.test_commands, ["python -m unittest"]);
        assert_eq!(
            (facts.ports, facts.services),
            (vec![8080, 9090], vec!["postgres".to_owned(), "redis".to_owned()])
        );
    }

    #[test]
    fn an_empty_workspace_is_nothing() {
        assert_eq!(facts(&[]), EnvFacts::default());
    }

    #[test]
    fn five_thousand_files_take_well_under_two_seconds() {
        let files: Vec<Found> =
            (0..5_000).map(|n| Found { path: format!("src/{}/{n}.rs", n % 50), size_bytes: 100 }).collect();
        let began = std::time::Instant::now();
        let facts = of(&files, &BTreeMap::new());
        assert_eq!((facts.files, facts.languages[0].files), (5_000, 5_000));
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    }
}
