//! A plan of what to set up: the schema that a model is held to, the house's rules for it, and what the model is told.

use devstudio_kit::{Fault, Reason};
use devstudio_proto::{
    agent::v1::{EnvFacts, EnvPlan},
    llm::v1::{ChatMessage, MessageRole},
};
use serde_json::{Value, json};

use crate::{action, prompt::tail};

const PLAN: &str = "devstudio.agent.v1.EnvPlan";

/// Relative paths, whose parts begin with a letter, a digit, `_`, or with a dot before these.
const PATHS: &str = r"^(\.?[A-Za-z0-9_][A-Za-z0-9_+@-]{0,40}/){0,6}\.?[A-Za-z0-9_][A-Za-z0-9_+@-]{0,40}(\.[A-Za-z0-9]{1,12}){0,3}$";
/// Words of commands, which are no absolute paths.
const WORDS: &str = r"^[^/\\~\s].{0,99}$";

/// The JSON schema of plans. What of the rules of the house a grammar can hold is in it.
pub fn schema() -> Value {
    let mut schema = action::message_schema(PLAN);
    for (place, pattern) in [
        ("/properties/files/items/properties/path", PATHS),
        ("/properties/commands/items/properties/argv/items", WORDS),
    ] {
        *schema.pointer_mut(place).expect("the contract has it") =
            json!({"type": "string", "pattern": pattern});
    }
    schema
}

/// The same, as it is published.
pub fn published() -> Value {
    let mut schema = schema();
    if let Value::Object(object) = &mut schema {
        object.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        object.insert("$id".into(), "devstudio:v1:provision/env_plan".into());
        object.insert("title".into(), "EnvPlan".into());
    }
    schema
}

/// Reads a plan; of a file that is planned twice the later text counts. In words what is wrong with it.
pub fn read(text: &str) -> Result<EnvPlan, String> {
    let mut plan: EnvPlan = action::decode(PLAN, text)?;
    let paths: Vec<String> = plan.files.iter().map(|file| file.path.clone()).collect();
    let mut at = 0;
    plan.files.retain(|file| {
        at += 1;
        !paths[at..].contains(&file.path)
    });
    Ok(plan)
}

/// A plan as JSON, as `read` reads it.
pub fn json(plan: &EnvPlan) -> String {
    action::encode(PLAN, plan).to_string()
}

/// The rules of the house: paths within the workspace, no file twice, no command that leaves the sandbox's ways. The fault
/// names the field.
pub fn check(plan: &EnvPlan) -> Result<(), Fault> {
    let forbidden = |pointer: String, why: &str| {
        Err(Fault::new(Reason::PathForbidden, format!("{pointer}: {why}")).with("pointer", pointer))
    };
    for (index, file) in plan.files.iter().enumerate() {
        let pointer = format!("/files/{index}/path");
        let path = &file.path;
        if path.starts_with('/') || path.starts_with('\\') || path.starts_with('~') {
            return forbidden(pointer, "is absolute");
        }
        if path.split(['/', '\\']).any(|part| part == ".." || part == ".git" || part == ".devstudio") {
            return forbidden(pointer, "leads out of the workspace, or into what is not its own");
        }
        if path.chars().any(char::is_control) || path.ends_with('/') {
            return forbidden(pointer, "is no file's name");
        }
        if plan.files[..index].iter().any(|before| before.path == *path) {
            return forbidden(pointer, "is planned twice");
        }
        if file.text.contains('\0') {
            return forbidden(format!("/files/{index}/text"), "is not text");
        }
    }
    for (index, command) in plan.commands.iter().enumerate() {
        let pointer = format!("/commands/{index}/argv/0");
        let program = command.argv.first().map_or("", String::as_str);
        if program.is_empty() || program.starts_with('/') || matches!(program, "sudo" | "su" | "doas") {
            return forbidden(pointer, "is no program that may be run");
        }
        if command.argv.iter().any(|word| word.contains('\0')) {
            return forbidden(format!("/commands/{index}/argv"), "holds a NUL character");
        }
    }
    Ok(())
}

/// A command as one would type it.
pub fn typed(argv: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c))
    };
    let quoted = |word: &String| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What the model is told, to plan.
pub fn messages(
    system: &str,
    facts: &EnvFacts,
    paths: &[String],
    wish: &str,
    runtimes: &[String],
) -> Vec<ChatMessage> {
    let languages: Vec<String> =
        facts.languages.iter().map(|share| format!("{} ({} files)", share.language, share.files)).collect();
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let text = format!(
        "# Wish\n{wish}\n\n# The workspace\nlanguages: {}\npackage managers: {}\nentry points: {}\ntests: {}\nfiles: {}\n\n# \
         Runtimes that there are\n{}\n\nPlan the files and the commands. Answer as JSON.",
        list(&languages),
        list(&facts.package_managers),
        list(&facts.entrypoints),
        list(&facts.test_commands),
        list(&paths[..paths.len().min(100)]),
        list(runtimes),
    );
    told(system, text)
}

/// What the model is told, to repair what does not work.
pub fn repair(system: &str, plan: &EnvPlan, command: &str, output: &str) -> Vec<ChatMessage> {
    let files: Vec<String> = plan
        .files
        .iter()
        .map(|file| format!("## {}\n<data>\n{}\n</data>", file.path, file.text.replace("</data", "< /data")))
        .collect();
    let text = format!(
        "# These files were written\n{}\n\n# This command failed\n{command}\n<data>\n{}\n</data>\n\nPlan the files anew, so \
         that it works, and the same commands. Answer as JSON.",
        files.join("\n\n"),
        tail(output, 2_000).replace("</data", "< /data"),
    );
    told(system, text)
}

fn told(system: &str, text: String) -> Vec<ChatMessage> {
    vec![
        ChatMessage { role: MessageRole::System.into(), content: system.to_owned() },
        ChatMessage { role: MessageRole::User.into(), content: text },
    ]
}

#[cfg(test)]
mod tests {
    use devstudio_proto::agent::v1::{PlannedCommand, PlannedFile};

    use super::*;

    fn plan(path: &str, argv: &[&str]) -> EnvPlan {
        let file = PlannedFile { path: path.into(), text: "x".into(), reason: String::new() };
        let command = PlannedCommand { argv: argv.iter().map(|word| (*word).to_owned()).collect() };
        EnvPlan { summary: String::new(), files: vec![file], commands: vec![command] }
    }

    #[test]
    fn a_plan_that_leaves_its_workspace_is_refused_by_its_field() {
        let pointer = |plan: EnvPlan| check(&plan).expect_err("it is refused").details["pointer"].clone();
        for path in
            ["/etc/passwd", "../x", "a/../../x", ".git/hooks/pre-commit", "~/.ssh/id", "a\u{1b}b", "folder/"]
        {
            assert_eq!(pointer(plan(path, &["python", "x"])), "/files/0/path", "{path}");
        }
        for argv in [&["/bin/sh"][..], &["sudo", "ls"], &[""], &[]] {
            assert_eq!(pointer(plan("a.py", argv)), "/commands/0/argv/0", "{argv:?}");
        }
        let mut twice = plan("a.py", &["python", "a.py"]);
        twice.files.push(twice.files[0].clone());
        assert_eq!(pointer(twice), "/files/1/path");
        check(&plan("src/a.py", &["python", "-m", "unittest"])).expect("it is fine");
    }

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let words = ["python", "-c", "print('a b')", ""].map(str::to_owned);
        assert_eq!(typed(&words), r"python -c 'print('\''a b'\'')' ''");
    }

    #[test]
    fn of_a_file_that_is_planned_twice_the_later_text_counts() {
        let read = read(
            r#"{"summary":"","files":[{"path":"a","text":"1","reason":""},{"path":"b","text":"2","reason":""},
            {"path":"a","text":"3","reason":""}],"commands":[{"argv":["ls"]}]}"#,
        )
        .expect("it is a plan");
        let files: Vec<(&str, &str)> =
            read.files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
        assert_eq!(files, [("b", "2"), ("a", "3")]);
    }

    #[test]
    fn the_schema_bounds_everything() {
        let text = schema().to_string();
        assert!(text.contains(r#""maxItems":4"#) && text.contains(r#""maxLength":1500"#), "{text}");
        assert!(
            read(r#"{"summary":"s","files":[],"commands":[]}"#).is_err(),
            "a plan writes and checks something"
        );
    }
}
