//! Field rules of the contract, as code: what `devstudio.options.v1.field` allows. Lengths are in bytes.

use std::collections::BTreeMap;

/// A message that can tell which of its fields break their rules.
pub trait Check {
    /// Adds to `out` what breaks a rule. `at` is the JSON pointer of this message.
    fn check(&self, at: &str, out: &mut Vec<Violation>);
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer (RFC 6901) of the field.
    pub pointer: String,
    /// The keyword of JSON Schema that it breaks.
    pub keyword: &'static str,
    /// What is wrong, to follow the pointer in a sentence.
    pub message: String,
}

/// One field's rule; see options.proto.
#[derive(Debug)]
pub struct Rule {
    /// Must be set and not empty.
    pub required: bool,
    /// Shortest length.
    pub min_len: Option<u32>,
    /// Longest length.
    pub max_len: Option<u32>,
    /// Smallest number.
    pub min: Option<f64>,
    /// Largest number.
    pub max: Option<f64>,
    /// Most entries.
    pub max_items: Option<u32>,
    /// Number of the `Format`.
    pub format: i32,
}

impl Rule {
    /// Allows everything.
    pub const NONE: Rule = Rule {
        required: false,
        min_len: None,
        max_len: None,
        min: None,
        max: None,
        max_items: None,
        format: 0,
    };
}

type Out = Vec<Violation>;

fn add(out: &mut Out, pointer: &str, keyword: &'static str, message: impl Into<String>) {
    out.push(Violation { pointer: pointer.to_owned(), keyword, message: message.into() });
}

fn length(len: usize, rule: &Rule, at: &str, out: &mut Out) {
    if len == 0 {
        if rule.required {
            add(out, at, "required", "must be set");
        }
        return;
    }
    if let Some(min) = rule.min_len.filter(|min| len < *min as usize) {
        add(out, at, "minLength", format!("must have at least {min} bytes"));
    }
    if let Some(max) = rule.max_len.filter(|max| len > *max as usize) {
        add(out, at, "maxLength", format!("must have at most {max} bytes, not {len}"));
    }
}

fn number(value: f64, rule: &Rule, at: &str, out: &mut Out) {
    if value.is_nan() {
        add(out, at, "type", "must be a number");
    }
    if value == 0.0 && rule.required {
        add(out, at, "required", "must be set");
    }
    if let Some(min) = rule.min.filter(|min| value < *min) {
        add(out, at, "minimum", format!("must be at least {min}"));
    }
    if let Some(max) = rule.max.filter(|max| value > *max) {
        add(out, at, "maximum", format!("must be at most {max}"));
    }
}

pub(crate) fn string(value: &str, rule: &Rule, at: &str, out: &mut Out) {
    length(value.len(), rule, at, out);
    if value.is_empty() {
        return;
    }
    let wanted = match rule.format {
        1 if !is_email(value) => "an e-mail address",
        2 if !is_uuid(value) => "a UUID",
        3 if !is_sha256(value) => "64 lower-case hexadecimal digits",
        4 if value.chars().any(char::is_control) => "a line without control characters",
        _ => return,
    };
    add(out, at, "format", format!("must be {wanted}"));
}

pub(crate) fn bytes(value: &[u8], rule: &Rule, at: &str, out: &mut Out) {
    length(value.len(), rule, at, out);
}

pub(crate) fn int32(value: &i32, rule: &Rule, at: &str, out: &mut Out) {
    number(f64::from(*value), rule, at, out);
}

pub(crate) fn int64(value: &i64, rule: &Rule, at: &str, out: &mut Out) {
    number(*value as f64, rule, at, out);
}

pub(crate) fn float(value: &f32, rule: &Rule, at: &str, out: &mut Out) {
    number(f64::from(*value), rule, at, out);
}

pub(crate) fn message<M: Check>(value: &M, _rule: &Rule, at: &str, out: &mut Out) {
    value.check(at, out);
}

pub(crate) fn optional<T, R: ?Sized>(
    value: &Option<T>,
    rule: &Rule,
    at: &str,
    out: &mut Out,
    check: fn(&R, &Rule, &str, &mut Out),
) where
    T: std::borrow::Borrow<R>,
{
    match value {
        Some(value) => check(value.borrow(), rule, at, out),
        None if rule.required => add(out, at, "required", "must be set"),
        None => {}
    }
}

/// `max_items` and `required` bind the list, the other rules each entry.
pub(crate) fn list<T, R: ?Sized>(
    values: &[T],
    rule: &Rule,
    at: &str,
    out: &mut Out,
    check: fn(&R, &Rule, &str, &mut Out),
) where
    T: std::borrow::Borrow<R>,
{
    items(values.len(), rule, at, out);
    for (i, value) in values.iter().enumerate() {
        check(value.borrow(), rule, &format!("{at}/{i}"), out);
    }
}

pub(crate) fn map<K, V>(values: &BTreeMap<K, V>, rule: &Rule, at: &str, out: &mut Out) {
    items(values.len(), rule, at, out);
}

fn items(count: usize, rule: &Rule, at: &str, out: &mut Out) {
    if count == 0 && rule.required {
        add(out, at, "required", "must be set");
    }
    if let Some(max) = rule.max_items.filter(|max| count > *max as usize) {
        add(out, at, "maxItems", format!("must have at most {max} entries, not {count}"));
    }
}

fn is_email(value: &str) -> bool {
    let Some((name, domain)) = value.split_once('@') else { return false };
    let plain = !value.chars().any(|c| c.is_whitespace() || c.is_control());
    let domain_ok =
        domain == "localhost" || (domain.contains('.') && domain.split('.').all(|part| !part.is_empty()));
    plain && !name.is_empty() && !domain.contains('@') && domain_ok
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

fn is_sha256(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[allow(clippy::all)]
mod generated {
    use super::{Check, Rule, Violation};
    use crate::check;
    include!(concat!(env!("OUT_DIR"), "/checks.rs"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::v1::CreateUserRequest,
        llm::v1::{ChatMessage, ChatRequest},
    };

    fn violations(message: &impl Check) -> Vec<(String, &'static str)> {
        let mut out = Vec::new();
        message.check("", &mut out);
        out.into_iter().map(|v| (v.pointer, v.keyword)).collect()
    }

    #[test]
    fn a_missing_field_and_a_bad_form_are_named_by_pointer() {
        let request = CreateUserRequest { email: "nobody".into(), ..Default::default() };
        assert_eq!(violations(&request), [("/email".into(), "format"), ("/password".into(), "required")]);
    }

    #[test]
    fn rules_of_messages_in_lists_and_of_optional_fields_bind() {
        let request = ChatRequest {
            messages: vec![ChatMessage::default()],
            top_p: Some(1.5),
            stop: vec!["x".repeat(201)],
            ..Default::default()
        };
        assert_eq!(
            violations(&request),
            [
                ("/messages/0/role".into(), "required"),
                ("/topP".into(), "maximum"),
                ("/stop/0".into(), "maxLength")
            ]
        );
    }

    #[test]
    fn what_keeps_the_rules_passes() {
        let request =
            CreateUserRequest { email: "a@localhost".into(), password: "x".repeat(8), ..Default::default() };
        assert_eq!(violations(&request), []);
    }
}
