//! JSON schemas (draft 2020-12) of all methods, from the descriptors and their field rules; and the check of input
//! against them.

use std::{collections::HashMap, sync::LazyLock};

use devstudio_kit::{
    Fault, Reason,
    rpc::{Index, Method, comment},
};
use jsonschema::Validator;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Proto};
use serde_json::{Map, Value, json};

use crate::forms;

/// The schema of a method's parameters. `$id` carries the contract's version.
pub fn of(method: &Method) -> Value {
    let mut definitions = Map::new();
    let mut schema = message(&method.input, &mut definitions);
    let version = method.input.package_name().rsplit('.').next().unwrap_or("v1");
    if let Value::Object(object) = &mut schema {
        object.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        object.insert("$id".into(), format!("devstudio:{version}:rpc/{}", method.name).into());
        object.insert("title".into(), method.name.clone().into());
        object.insert("description".into(), method.comment.clone().into());
        if !definitions.is_empty() {
            object.insert("$defs".into(), Value::Object(definitions));
        }
    }
    schema
}

/// Checks canonical parameters. The fault names the JSON pointer and the keyword that is broken.
pub fn check(method: &Method, params: &Value) -> Result<(), Fault> {
    static VALIDATORS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
        let compiled = Index::get().methods.iter().map(|method| {
            let validator = jsonschema::draft202012::new(&of(method)).expect("the generated schema is valid");
            (method.path.clone(), validator)
        });
        compiled.collect()
    });
    let Some(validator) = VALIDATORS.get(&method.path) else { return Ok(()) };
    let Some(error) = validator.iter_errors(params).next() else { return Ok(()) };
    let pointer = error.instance_path().to_string();
    let keyword = error.kind().keyword().to_owned();
    let place = if pointer.is_empty() { "the parameters".to_owned() } else { pointer.clone() };
    // the value itself stays out of the message: it may be a secret, or long
    let problem = error.masked_with("the value").to_string();
    Err(Fault::new(Reason::SchemaViolation, format!("{place}: {problem}"))
        .with("pointer", pointer)
        .with("keyword", keyword))
}

fn message(descriptor: &MessageDescriptor, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in descriptor.fields() {
        let rule = rule(&field);
        if flag(rule.as_ref(), "required") {
            required.push(Value::String(field.json_name().to_owned()));
        }
        let mut schema = if field.is_map() {
            json!({"type": "object", "additionalProperties": map_value(&field, definitions)})
        } else if field.is_list() {
            json!({"type": "array", "items": single(&field, rule.as_ref(), definitions)})
        } else {
            single(&field, rule.as_ref(), definitions)
        };
        if let Value::Object(object) = &mut schema {
            let most = number(rule.as_ref(), "max_items");
            if let Some(most) = most {
                object.insert(
                    if field.is_map() { "maxProperties" } else { "maxItems" }.into(),
                    (most as i64).into(),
                );
            }
            if field.is_list() && flag(rule.as_ref(), "required") {
                object.insert("minItems".into(), 1.into());
            }
            let text = comment(field.parent_message().parent_file().file_descriptor_proto(), field.path());
            object.insert("description".into(), text.into());
        }
        properties.insert(field.json_name().to_owned(), schema);
    }
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if let (Value::Object(object), false) = (&mut schema, required.is_empty()) {
        object.insert("required".into(), Value::Array(required));
    }
    schema
}

fn map_value(field: &FieldDescriptor, definitions: &mut Map<String, Value>) -> Value {
    match field.kind() {
        Kind::Message(entry) => single(&entry.map_entry_value_field(), None, definitions),
        _ => json!({}),
    }
}

fn single(
    field: &FieldDescriptor,
    rule: Option<&DynamicMessage>,
    definitions: &mut Map<String, Value>,
) -> Value {
    let mut schema = match field.kind() {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::String => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Float | Kind::Double => json!({"type": "number"}),
        Kind::Int64 | Kind::Sint64 | Kind::Uint64 | Kind::Fixed64 | Kind::Sfixed64 => {
            json!({"type": ["integer", "string"], "pattern": "^-?[0-9]{1,19}$"})
        }
        Kind::Enum(owner) => {
            let names: Vec<String> =
                owner.values().filter(|v| v.number() != 0).map(|v| forms::enum_form(&v)).collect();
            json!({"type": "string", "enum": names})
        }
        Kind::Message(inner) if inner.full_name() == "google.protobuf.Timestamp" => {
            json!({"type": "string", "format": "date-time"})
        }
        Kind::Message(inner) => {
            let name = inner.name().to_owned();
            if !definitions.contains_key(&name) {
                definitions.insert(name.clone(), Value::Null);
                let schema = message(&inner, definitions);
                definitions.insert(name.clone(), schema);
            }
            json!({"$ref": format!("#/$defs/{name}")})
        }
        _ => json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
    };
    if let Value::Object(object) = &mut schema {
        let text = matches!(field.kind(), Kind::String);
        let numeric = object.get("type").is_some_and(|t| t == "integer" || t == "number");
        let whole = !matches!(field.kind(), Kind::Float | Kind::Double);
        if text && flag(rule, "required") {
            object.insert("minLength".into(), 1.into());
        }
        for (key, keyword) in [("min_len", "minLength"), ("max_len", "maxLength")] {
            if let (true, Some(n)) = (text, number(rule, key)) {
                object.insert(keyword.into(), (n as i64).into());
            }
        }
        for (key, keyword) in [("min", "minimum"), ("max", "maximum")] {
            if let (true, Some(n)) = (numeric, number(rule, key)) {
                object.insert(keyword.into(), if whole { json!(n as i64) } else { json!(n) });
            }
        }
        let format =
            rule.and_then(|r| r.get_field_by_name("format").and_then(|v| v.as_enum_number())).unwrap_or(0);
        let optional = !flag(rule, "required");
        match format {
            1 => drop(object.insert("format".into(), "email".into())),
            // the empty text stands for "not set"
            2 => drop(object.insert(
                "pattern".into(),
                pattern("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", optional),
            )),
            3 => drop(object.insert("pattern".into(), pattern("[0-9a-f]{64}", optional))),
            _ => {}
        }
    }
    schema
}

fn pattern(body: &str, optional: bool) -> Value {
    if optional { format!("^({body})?$").into() } else { format!("^{body}$").into() }
}

fn rule(field: &FieldDescriptor) -> Option<DynamicMessage> {
    let extension = field.parent_pool().get_extension_by_name("devstudio.options.v1.field")?;
    let options = field.options();
    options
        .has_extension(&extension)
        .then(|| options.get_extension(&extension).as_message().cloned())
        .flatten()
}

fn flag(rule: Option<&DynamicMessage>, name: &str) -> bool {
    rule.and_then(|rule| rule.get_field_by_name(name).and_then(|v| v.as_bool())).unwrap_or(false)
}

fn number(rule: Option<&DynamicMessage>, name: &str) -> Option<f64> {
    let rule = rule.filter(|rule| rule.has_field_by_name(name))?;
    match &*rule.get_field_by_name(name)? {
        Proto::U32(n) => Some(f64::from(*n)),
        Proto::F64(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(method: &str, params: Value) -> (String, String) {
        let method = Index::get().by_name(method).expect("in the contract");
        let fault = check(method, &params).expect_err("it breaks a rule");
        (fault.details["pointer"].clone(), fault.details["keyword"].clone())
    }

    #[test]
    fn a_violation_names_pointer_and_keyword() {
        assert_eq!(broken("fs.write", json!({"text": "x"})), ("".into(), "required".into()));
        assert_eq!(
            broken("llm.chat", json!({"prompt": "x", "temperature": 3})),
            ("/temperature".into(), "maximum".into())
        );
        assert_eq!(
            broken("llm.chat", json!({"messages": [{"role": "ghost"}]})),
            ("/messages/0/role".into(), "enum".into())
        );
        assert_eq!(
            broken("fs.read", json!({"path": "x", "pfad": 1})),
            ("".into(), "additionalProperties".into())
        );
    }

    #[test]
    fn a_password_never_stands_in_the_message_about_it() {
        let method = Index::get().by_name("user.login").expect("in the contract");
        let fault =
            check(method, &json!({"email": "a@b.c", "password": ["secret-123"]})).expect_err("a list");
        assert!(!fault.message.contains("secret-123"), "{}", fault.message);
    }

    #[test]
    fn every_method_has_a_schema_that_compiles() {
        for method in &Index::get().methods {
            assert!(jsonschema::draft202012::new(&of(method)).is_ok(), "{}", method.name);
        }
    }
}
