//! Actions of agents: the schema that a model's answer is forced into, made of the contract's own descriptors; reading
//! an answer; and an action's hash.

use devstudio_kit::rpc::Index;
use devstudio_proto::{
    agent::v1::{AgentAction, EditHunk, agent_action::Act},
    check::Check,
};
use prost::Message as _;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Proto,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// A character has at most this many bytes: a schema counts characters, the contract bytes.
const BYTES_A_CHARACTER: usize = 4;
/// Most paths that a schema lists; beyond that a model writes them itself.
const MOST_PATHS: usize = 100;

/// What a model may choose from at this moment.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The actions, by their names in the contract, such as `write_file`.
    pub tools: Vec<String>,
    /// Files that there are.
    pub paths: Vec<String>,
    /// Runtimes that there are.
    pub runtimes: Vec<String>,
    /// The only value of a finish's success, where there is only one.
    pub success: Option<bool>,
    /// Bounds of texts are divided by this: 1, more after an answer that was cut short.
    pub shorter: usize,
}

impl Choice {
    /// Why an act cannot be chosen at this moment, where it cannot: an answer may come from a model that no grammar
    /// holds. What it names (paths, runtimes) is checked where it is done.
    pub fn refuses(&self, act: &Act) -> Option<String> {
        let tool = name(act);
        if !self.tools.iter().any(|offered| offered == tool) {
            return Some(format!("{tool} is not among what you may do now"));
        }
        match (act, self.success) {
            (Act::Finish(finish), Some(only)) if finish.success != only => {
                Some("the last run failed: this cannot be finished as a success".to_owned())
            }
            _ => None,
        }
    }
}

const ACTION: &str = "devstudio.agent.v1.AgentAction";

fn descriptor() -> MessageDescriptor {
    Index::get().pool.get_message_by_name(ACTION).expect("the contract has it")
}

/// All actions, by their names in the contract.
pub fn tools() -> Vec<String> {
    let acts = descriptor().oneofs().next().expect("act");
    acts.fields().map(|field| field.name().to_owned()).collect()
}

/// The JSON schema of the actions that may be chosen.
pub fn schema(choice: &Choice) -> Value {
    let descriptor = descriptor();
    let thought = descriptor.get_field_by_name("thought").expect("the contract has it");
    let acts = descriptor.oneofs().next().expect("act");
    let each =
        acts.fields().filter(|field| choice.tools.iter().any(|tool| tool == field.name())).map(|field| {
            object([(thought.json_name(), of(&thought, choice)), (field.json_name(), of(&field, choice))])
        });
    json!({"oneOf": each.collect::<Vec<_>>()})
}

/// The whole schema of actions, as it is published: whatever an agent may do.
pub fn published() -> Value {
    let mut schema = schema(&Choice { tools: tools(), shorter: 1, ..Choice::default() });
    if let Value::Object(object) = &mut schema {
        object.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        object.insert("$id".into(), "devstudio:v1:agent/action".into());
        object.insert("title".into(), "AgentAction".into());
    }
    schema
}

/// The JSON schema of a message of the contract: all its fields, all bounded.
pub fn message_schema(name: &str) -> Value {
    let descriptor = Index::get().pool.get_message_by_name(name).expect("the contract has it");
    let choice = Choice { shorter: 1, ..Choice::default() };
    let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
    object(fields.iter().map(|field| (field.json_name(), of(field, &choice))))
}

fn object<'a>(properties: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let properties: Map<String, Value> =
        properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

fn of(field: &FieldDescriptor, choice: &Choice) -> Value {
    let one = match field.kind() {
        Kind::Message(message) => {
            let fields: Vec<FieldDescriptor> = message.fields().collect();
            object(fields.iter().map(|field| (field.json_name(), of(field, choice))))
        }
        Kind::Bool => match choice.success {
            Some(only) => json!({"const": only}),
            None => json!({"type": "boolean"}),
        },
        Kind::String => text(field, choice),
        other => panic!("{}: a schema of {other:?} is not known", field.full_name()),
    };
    match field.is_list() {
        false => one,
        true => {
            json!({"type": "array", "minItems": 1, "maxItems": rule(field, "max_items").unwrap_or(1), "items": one})
        }
    }
}

fn text(field: &FieldDescriptor, choice: &Choice) -> Value {
    let message = field.parent_message();
    let listed = match (message.name(), field.name()) {
        ("ReadFileAction" | "EditFileAction" | "DeletePathAction", "path") | ("MovePathAction", "from") => {
            &choice.paths
        }
        ("RunExecAction", "runtime") => &choice.runtimes,
        _ => &Vec::new(),
    };
    if !listed.is_empty() && listed.len() <= MOST_PATHS {
        return json!({"enum": listed});
    }
    let most = rule(field, "max_len").expect("every text of an action has a bound") / BYTES_A_CHARACTER;
    // Names stay whole; what is long gets shorter.
    let most = if most > 200 { (most / choice.shorter.max(1)).max(100) } else { most };
    json!({"type": "string", "minLength": usize::from(flag(field, "required")), "maxLength": most})
}

fn rules(field: &FieldDescriptor) -> Option<DynamicMessage> {
    let extension = field.parent_pool().get_extension_by_name("devstudio.options.v1.field")?;
    field.options().get_extension(&extension).as_message().cloned()
}

fn rule(field: &FieldDescriptor, name: &str) -> Option<usize> {
    match &*rules(field)?.get_field_by_name(name)? {
        Proto::U32(number) => Some(*number as usize),
        _ => None,
    }
}

fn flag(field: &FieldDescriptor, name: &str) -> bool {
    rules(field).and_then(|rules| rules.get_field_by_name(name)?.as_bool()).unwrap_or(false)
}

/// Reads an action. In words what is wrong with it: nothing of it is done.
pub fn read(text: &str) -> Result<AgentAction, String> {
    let action: AgentAction = decode("devstudio.agent.v1.AgentAction", text)?;
    match action.act {
        Some(_) => Ok(action),
        None => Err("it says nothing of what to do".to_owned()),
    }
}

/// Reads a message of the contract from a model's JSON, and checks it by the contract's rules.
pub fn decode<M: prost::Message + Default + Check>(name: &str, text: &str) -> Result<M, String> {
    let descriptor = Index::get().pool.get_message_by_name(name).expect("the contract has it");
    let what = descriptor.name().to_owned();
    let mut json = serde_json::Deserializer::from_str(text);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor, &mut json, &options);
    let message = message.map_err(|error| format!("it is no {what}: {error}"))?;
    json.end().map_err(|error| format!("something follows the {what}: {error}"))?;
    let message: M = message.transcode_to().map_err(|error| format!("it is no {what}: {error}"))?;
    let mut broken = Vec::new();
    message.check("", &mut broken);
    match broken.first() {
        Some(first) => Err(format!("{} {}", first.pointer, first.message)),
        None => Ok(message),
    }
}

/// An action as JSON, as a model writes it.
pub fn json(action: &AgentAction) -> Value {
    encode(ACTION, action)
}

/// A message of the contract as JSON, as `decode` reads it.
pub fn encode<M: prost::Message>(name: &str, message: &M) -> Value {
    let descriptor = Index::get().pool.get_message_by_name(name).expect("the contract has it");
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor, bytes.as_slice()).expect("just encoded");
    serde_json::to_value(&message).unwrap_or_default()
}

/// What tells an action from others: all but the thought.
pub fn hash(action: &AgentAction) -> String {
    let act = AgentAction { thought: String::new(), act: action.act.clone() };
    hex::encode(Sha256::digest(act.encode_to_vec()))
}

/// The places that an act names.
pub fn paths(act: &Act) -> Vec<&str> {
    match act {
        Act::WriteFile(write) => vec![&write.path],
        Act::EditFile(edit) => vec![&edit.path],
        Act::DeletePath(delete) => vec![&delete.path],
        Act::MovePath(moved) => vec![&moved.from, &moved.to],
        Act::ReadFile(read) => vec![&read.path],
        _ => Vec::new(),
    }
}

/// The name of an action in the contract, such as `write_file`.
pub fn name(act: &Act) -> &'static str {
    match act {
        Act::WriteFile(_) => "write_file",
        Act::EditFile(_) => "edit_file",
        Act::DeletePath(_) => "delete_path",
        Act::MovePath(_) => "move_path",
        Act::RunExec(_) => "run_exec",
        Act::ReadFile(_) => "read_file",
        Act::Search(_) => "search",
        Act::AskUser(_) => "ask_user",
        Act::Finish(_) => "finish",
    }
}

/// Does it change files?
pub fn writes(act: &Act) -> bool {
    matches!(act, Act::WriteFile(_) | Act::EditFile(_) | Act::DeletePath(_) | Act::MovePath(_))
}

/// A text with its changes made: each `search` must be there exactly once. In words why that cannot be.
pub fn edited(text: &str, hunks: &[EditHunk]) -> Result<String, String> {
    let mut text = text.to_owned();
    for (index, hunk) in hunks.iter().enumerate() {
        match text.matches(hunk.search.as_str()).count() {
            1 => text = text.replacen(hunk.search.as_str(), &hunk.replace, 1),
            found => {
                return Err(format!(
                    "the search text of change {} is there {found} times, not once",
                    index + 1
                ));
            }
        }
    }
    Ok(text)
}

/// The schema of a plan.
pub fn plan_schema() -> Value {
    let step = json!({"type": "string", "minLength": 3, "maxLength": 160});
    object([("steps", json!({"type": "array", "minItems": 1, "maxItems": 6, "items": step}))])
}

/// Reads a plan.
pub fn read_plan(text: &str) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Plan {
        steps: Vec<String>,
    }
    let plan: Plan = serde_json::from_str(text).map_err(|error| format!("it is no plan: {error}"))?;
    Ok(plan.steps.into_iter().map(|step| step.replace('\0', "")).collect())
}

#[cfg(test)]
mod tests {
    use devstudio_proto::agent::v1::{FinishAction, WriteFileAction};

    use super::*;

    fn every() -> Choice {
        Choice { tools: tools(), shorter: 1, ..Choice::default() }
    }

    #[test]
    fn an_action_is_read_as_it_was_written() {
        let write = WriteFileAction { path: "a.py".into(), text: "print(\"ä\")\n".into() };
        let action = AgentAction { thought: "so".into(), act: Some(Act::WriteFile(write)) };
        assert_eq!(read(&json(&action).to_string()).expect("an action"), action);
    }

    #[test]
    fn what_is_no_action_is_refused_whole() {
        let long = format!(r#"{{"thought":"","writeFile":{{"path":"a","text":"{}"}}}}"#, "x".repeat(8001));
        for (text, why) in [
            ("", "no AgentAction"),
            ("write a file", "no AgentAction"),
            ("{}", "nothing of what to do"),
            (r#"{"thought":"x"}"#, "nothing of what to do"),
            (r#"{"thought":"x","writeFile":{"path":"","text":"y"}}"#, "/writeFile/path"),
            (
                r#"{"thought":"x","writeFile":{"path":"a","text":"y"},"finish":{"success":true,"summary":"z"}}"#,
                "no AgentAction",
            ),
            (r#"{"thought":"x","rmRf":{"path":"/"}}"#, "no AgentAction"),
            (r#"{"thought":"x","finish":{"success":"yes","summary":"z"}}"#, "no AgentAction"),
            (r#"{"thought":"x","finish":{"success":true,"summary":"z"}} {"#, "follows"),
            (long.as_str(), "/writeFile/text"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn every_text_and_list_of_the_schema_has_a_bound_that_the_contract_keeps() {
        fn walk(schema: &Value) {
            match schema["type"].as_str() {
                Some("string") => {
                    assert!(schema["maxLength"].as_u64().is_some_and(|most| most <= 2000), "{schema}")
                }
                Some("array") => {
                    assert!(schema["maxItems"].as_u64().is_some(), "{schema}");
                    walk(&schema["items"]);
                }
                Some("object") => {
                    schema["properties"].as_object().expect("properties").values().for_each(walk);
                }
                _ => schema["oneOf"].as_array().into_iter().flatten().for_each(walk),
            }
        }
        let schema = published();
        assert_eq!(schema["oneOf"].as_array().expect("actions").len(), 9);
        walk(&schema);
    }

    #[test]
    fn a_choice_offers_only_what_there_is() {
        let choice = Choice {
            tools: vec!["read_file".into(), "run_exec".into(), "finish".into()],
            paths: vec!["a.py".into()],
            runtimes: vec!["python".into()],
            success: Some(false),
            shorter: 4,
        };
        let schema = schema(&choice).to_string();
        assert!(!schema.contains("writeFile"), "{schema}");
        assert!(
            schema.contains(r#"{"enum":["a.py"]}"#) && schema.contains(r#"{"enum":["python"]}"#),
            "{schema}"
        );
        assert!(schema.contains(r#""success":{"const":false}"#), "{schema}");
        assert!(schema.contains(r#""maxLength":250"#), "code is shorter: {schema}");
        assert!(super::schema(&every()).to_string().contains("writeFile"));
        let finish = |success| Act::Finish(FinishAction { success, summary: "s".into() });
        assert!(choice.refuses(&finish(true)).is_some_and(|why| why.contains("the last run failed")));
        assert_eq!(choice.refuses(&finish(false)), None);
        let write = Act::WriteFile(WriteFileAction::default());
        assert!(choice.refuses(&write).is_some_and(|why| why.contains("write_file")));
    }

    #[test]
    fn equal_acts_have_equal_hashes_whatever_the_thought() {
        let finish = |thought: &str, summary: &str| AgentAction {
            thought: thought.into(),
            act: Some(Act::Finish(FinishAction { success: true, summary: summary.into() })),
        };
        assert_eq!(hash(&finish("a", "done")), hash(&finish("b", "done")));
        assert_ne!(hash(&finish("a", "done")), hash(&finish("a", "not done")));
    }

    #[test]
    fn a_change_is_made_only_where_its_text_is_there_once() {
        let hunk = |search: &str| [EditHunk { search: search.into(), replace: "z".into() }];
        assert_eq!(edited("a b", &hunk("b")), Ok("a z".into()));
        assert!(edited("b b", &hunk("b")).expect_err("twice").contains("2 times"));
        assert!(edited("a", &hunk("b")).expect_err("not there").contains("0 times"));
    }
}
