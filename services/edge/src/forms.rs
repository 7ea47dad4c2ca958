//! The JSON forms of messages: camelCase and snake_case in, camelCase out; enums without prefix; what is empty is left out.

use prost_reflect::{
    DeserializeOptions, DynamicMessage, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, ReflectMessage as _, SerializeOptions,
};
use serde_json::Value;

/// Enums whose values are status words and stay in upper case.
const STATUS_ENUMS: [&str; 7] =
    ["RunStatus", "JobState", "ModelState", "UsageStatus", "TaskState", "ChainState", "PlanState"];

/// A value's JSON form, such as `admin` for ROLE_ADMIN or `TIMEOUT` for RUN_STATUS_TIMEOUT.
pub fn enum_form(value: &EnumValueDescriptor) -> String {
    let owner = value.parent_enum();
    let bare = value.name().strip_prefix(&format!("{}_", upper_snake(owner.name()))).unwrap_or(value.name());
    if STATUS_ENUMS.contains(&owner.name()) { bare.to_owned() } else { bare.to_lowercase().replace('_', "-") }
}

/// Other words that stand for a value.
pub fn enum_aliases(value: &EnumValueDescriptor) -> Vec<String> {
    let Some(extension) = value.parent_pool().get_extension_by_name("devstudio.options.v1.aliases") else {
        return Vec::new();
    };
    let options = value.options();
    let list = options.get_extension(&extension);
    list.as_list().unwrap_or_default().iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// Brings JSON input into its canonical form: camelCase keys, no nulls, lists where one value was given, enums in
/// their JSON form. What does not fit is left for the schema to name.
pub fn normalise(message: &MessageDescriptor, value: &mut Value) {
    let Value::Object(object) = value else { return };
    object.retain(|_, value| !value.is_null());
    for field in message.fields() {
        if field.name() != field.json_name()
            && !object.contains_key(field.json_name())
            && let Some(value) = object.remove(field.name())
        {
            object.insert(field.json_name().to_owned(), value);
        }
        let Some(value) = object.get_mut(field.json_name()) else { continue };
        if field.is_list() && !value.is_array() {
            *value = Value::Array(vec![value.take()]);
        }
        each(&field, value, &mut |field, value| match field.kind() {
            Kind::Message(inner) if is_house(&inner) => normalise(&inner, value),
            Kind::Enum(owner) => {
                if let Some(found) = value.as_str().and_then(|text| enum_value(&owner, text)) {
                    *value = Value::String(enum_form(&found));
                }
            }
            _ => {}
        });
    }
}

/// Reads a message from canonical JSON. The error says what does not fit.
pub fn read(message: &MessageDescriptor, mut value: Value) -> Result<DynamicMessage, String> {
    to_proto_names(message, &mut value);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(message.clone(), value, &options)
        .map_err(|error| error.to_string())
}

/// Writes a message as JSON. Numbers, texts and booleans are there even when they are zero or empty; empty bytes,
/// and enums that are not set are left out.
pub fn write(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut value =
        message.serialize_with_options(serde_json::value::Serializer, &options).unwrap_or(Value::Null);
    from_proto_names(&message.descriptor(), &mut value);
    value
}

/// Writes a message whose type is known as JSON; `descriptor` is that type's.
pub fn write_typed(descriptor: &MessageDescriptor, message: &impl prost::Message) -> Value {
    let dynamic = DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice());
    dynamic.map_or(Value::Null, |dynamic| write(&dynamic))
}

/// Is the message one of ours, so that its fields are walked?
pub fn is_house(message: &MessageDescriptor) -> bool {
    message.package_name().starts_with("devstudio.") && !message.is_map_entry()
}

fn to_proto_names(message: &MessageDescriptor, value: &mut Value) {
    let Value::Object(object) = value else { return };
    for field in message.fields() {
        let Some(value) = object.get_mut(field.json_name()) else { continue };
        each(&field, value, &mut |field, value| match field.kind() {
            Kind::Message(inner) if is_house(&inner) => to_proto_names(&inner, value),
            Kind::Enum(owner) => {
                if let Some(found) = value.as_str().and_then(|text| enum_value(&owner, text)) {
                    *value = Value::String(found.name().to_owned());
                }
            }
            _ => {}
        });
    }
}

fn from_proto_names(message: &MessageDescriptor, value: &mut Value) {
    let Value::Object(object) = value else { return };
    for field in message.fields() {
        let Some(value) = object.get_mut(field.json_name()) else { continue };
        let mut empty =
            matches!(field.kind(), Kind::Bytes) && value == "" && field.containing_oneof().is_none();
        each(&field, value, &mut |field, value| match field.kind() {
            Kind::Message(inner) if is_house(&inner) => from_proto_names(&inner, value),
            Kind::Enum(owner) => {
                if let Some(found) = value.as_str().and_then(|text| owner.get_value_by_name(text)) {
                    *value = Value::String(enum_form(&found));
                    empty |= found.number() == 0 && !field.is_list();
                }
            }
            _ => {}
        });
        if empty {
            object.remove(field.json_name());
        }
    }
}

/// Visits the value of a field, or each entry of its list or map.
fn each(field: &FieldDescriptor, value: &mut Value, visit: &mut dyn FnMut(&FieldDescriptor, &mut Value)) {
    match value {
        Value::Array(items) if field.is_list() => items.iter_mut().for_each(|item| visit(field, item)),
        Value::Object(entries) if field.is_map() => {
            if let Kind::Message(entry) = field.kind() {
                let of = entry.map_entry_value_field();
                entries.values_mut().for_each(|value| visit(&of, value));
            }
        }
        single => visit(field, single),
    }
}

fn enum_value(owner: &EnumDescriptor, text: &str) -> Option<EnumValueDescriptor> {
    let wanted = text.to_lowercase().replace('_', "-");
    owner.values().find(|value| {
        value.name() == text
            || enum_form(value).to_lowercase().replace('_', "-") == wanted
            || enum_aliases(value).iter().any(|alias| alias.to_lowercase() == wanted)
    })
}

fn upper_snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.char_indices() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_uppercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use devstudio_kit::rpc::Index;
    use serde_json::json;

    use super::*;

    fn round(method: &str, mut value: Value) -> Value {
        let method = Index::get().by_name(method).expect("in the contract");
        normalise(&method.input, &mut value);
        write(&read(&method.input, value).expect("it fits"))
    }

    #[test]
    fn both_spellings_of_keys_and_the_alias_of_a_role_are_read() {
        let out = round(
            "user.add",
            json!({"email": "a@b.c", "password": "12345678", "role": "user", "display_name": "A"}),
        );
        assert_eq!(out, json!({"email": "a@b.c", "password": "12345678", "role": "dev", "displayName": "A"}));
    }

    #[test]
    fn one_text_stands_for_a_list_and_null_for_nothing() {
        let out = round("llm.embed", json!({"input": "hello", "model": null}));
        assert_eq!(out, json!({"input": ["hello"], "model": ""}));
    }

    #[test]
    fn isolation_has_hyphens_and_large_numbers_are_texts() {
        let out =
            round("run.exec", json!({"engine": "run", "minIsolation": "HARDWARE_VM", "memory_bytes": 5}));
        assert_eq!(out["minIsolation"], "hardware-vm");
        assert_eq!(out["memoryBytes"], "5");
        assert!(out.get("module").is_none(), "empty bytes are left out: {out}");
    }

    #[test]
    fn what_is_unknown_is_named() {
        let method = Index::get().by_name("fs.read").expect("in the contract");
        assert!(read(&method.input, json!({"pfad": "x"})).expect_err("unknown").contains("pfad"));
    }
}
