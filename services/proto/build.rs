//! Generates the Rust types, clients, servers and field checks from proto/.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};

const FILES: [&str; 16] = [
    "devstudio/options/v1/options.proto",
    "devstudio/errors/v1/reason.proto",
    "devstudio/auth/v1/auth.proto",
    "devstudio/auth/v1/log.proto",
    "devstudio/billing/v1/billing.proto",
    "devstudio/sandbox/v1/lock.proto",
    "devstudio/sandbox/v1/workspace.proto",
    "devstudio/sandbox/v1/run.proto",
    "devstudio/sandbox/v1/snapshot.proto",
    "devstudio/sandbox/v1/terminal.proto",
    "devstudio/sandbox/v1/archive.proto",
    "devstudio/llm/v1/llm.proto",
    "devstudio/agent/v1/action.proto",
    "devstudio/agent/v1/agent.proto",
    "devstudio/agent/v1/chain.proto",
    "devstudio/agent/v1/provision.proto",
];

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed={}", root.display());

    let mut compiler = protox::Compiler::new([&root]).expect("proto/ is there");
    compiler.include_imports(true).include_source_info(true);
    for file in FILES {
        if let Err(error) = compiler.open_file(root.join(file)) {
            panic!("{error:?}");
        }
    }
    let bytes = compiler.encode_file_descriptor_set();
    fs::write(out.join("devstudio.bin"), &bytes).expect("OUT_DIR is writable");

    let mut fds = prost_types::FileDescriptorSet::decode(bytes.as_slice()).expect("just encoded");
    for file in &mut fds.file {
        if !file.name().starts_with("devstudio/") {
            file.source_code_info = None; // comments of others are no doc tests of ours
        }
    }
    tonic_prost_build::configure()
        .codec_path("crate::codec::CheckedCodec")
        .btree_map(".")
        .compile_fds(fds)
        .expect("the descriptors are valid");

    let pool = DescriptorPool::decode(bytes.as_slice()).expect("just encoded");
    fs::write(out.join("checks.rs"), checks(&pool)).expect("OUT_DIR is writable");
}

/// One `impl Check` for every message of the house: its own rules, then those of the messages in it.
fn checks(pool: &DescriptorPool) -> String {
    let rule_of = pool.get_extension_by_name("devstudio.options.v1.field").expect("options.proto defines it");
    let mut code = String::new();
    for message in pool.all_messages() {
        if !message.package_name().starts_with("devstudio.") || message.is_map_entry() {
            continue;
        }
        let mut body = String::new();
        for field in message.fields() {
            let options = field.options();
            let rule = options
                .has_extension(&rule_of)
                .then(|| options.get_extension(&rule_of).as_message().cloned())
                .flatten();
            check_field(&mut body, &message, &field, rule.as_ref());
        }
        let unused = if body.is_empty() { "_" } else { "" };
        writeln!(
            code,
            "impl Check for {} {{ fn check(&self, {unused}at: &str, {unused}out: &mut Vec<Violation>) {{ {body} }} }}",
            rust_path(&message)
        )
        .expect("a String takes all");
    }
    code
}

fn check_field(
    body: &mut String,
    message: &MessageDescriptor,
    field: &FieldDescriptor,
    rule: Option<&DynamicMessage>,
) {
    let house = |m: &MessageDescriptor| m.package_name().starts_with("devstudio.") && !m.is_map_entry();
    let nested = matches!(field.kind(), Kind::Message(m) if house(&m));
    if rule.is_none() && !nested {
        return;
    }
    let name = rust_ident(field.name());
    let pointer = format!("&format!(\"{{at}}/{}\")", field.json_name());
    let rule_code = rule.map(rule_literal).unwrap_or_else(|| "Rule::NONE".into());
    let oneof = field.containing_oneof().filter(|oneof| !is_optional(field) && oneof.fields().len() > 0);
    let line = if let Some(oneof) = oneof {
        let module = rust_module(message);
        let variant = format!("{module}::{}::{}", upper_camel(oneof.name()), upper_camel(field.name()));
        format!(
            "if let Some({variant}(value)) = &self.{} {{ check::{}(value, &{rule_code}, {pointer}, out); }}",
            rust_ident(oneof.name()),
            checker(field)
        )
    } else if field.is_map() {
        format!("check::map(&self.{name}, &{rule_code}, {pointer}, out);")
    } else if field.is_list() {
        format!("check::list(&self.{name}, &{rule_code}, {pointer}, out, check::{});", checker(field))
    } else if matches!(field.kind(), Kind::Message(_)) || is_optional(field) {
        format!("check::optional(&self.{name}, &{rule_code}, {pointer}, out, check::{});", checker(field))
    } else {
        format!("check::{}(&self.{name}, &{rule_code}, {pointer}, out);", checker(field))
    };
    body.push_str(&line);
}

fn checker(field: &FieldDescriptor) -> String {
    let name = match field.kind() {
        Kind::String => "string",
        Kind::Bytes => "bytes",
        // Named, since a message that holds itself stands in a box.
        Kind::Message(m) if m.package_name().starts_with("devstudio.") => {
            return format!("message::<{}>", rust_path(&m));
        }
        Kind::Message(_) => "any",
        Kind::Bool => "any",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "int64",
        _ => "int32",
    };
    name.to_owned()
}

fn rule_literal(rule: &DynamicMessage) -> String {
    let number = |name: &str| {
        if !rule.has_field_by_name(name) {
            return "None".to_owned();
        }
        match &*rule.get_field_by_name(name).expect("FieldRule has it") {
            Value::U32(n) => format!("Some({n})"),
            Value::F64(n) => format!("Some({n:?})"),
            other => panic!("{name} is {other:?}"),
        }
    };
    let format = rule.get_field_by_name("format").and_then(|v| v.as_enum_number()).unwrap_or(0);
    let required = rule.get_field_by_name("required").and_then(|v| v.as_bool()).unwrap_or(false);
    format!(
        "Rule {{ required: {required}, min_len: {}, max_len: {}, min: {}, max: {}, max_items: {}, format: {format} }}",
        number("min_len"),
        number("max_len"),
        number("min"),
        number("max"),
        number("max_items")
    )
}

fn is_optional(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional() && field.cardinality() != Cardinality::Repeated
}

fn rust_path(message: &MessageDescriptor) -> String {
    format!(
        "{}::{}",
        message.package_name().replace('.', "::").replacen("devstudio", "crate", 1),
        message.name()
    )
}

fn rust_module(message: &MessageDescriptor) -> String {
    let package = message.package_name().replace('.', "::").replacen("devstudio", "crate", 1);
    format!("{package}::{}", snake(message.name()))
}

fn rust_ident(name: &str) -> String {
    if ["type", "use", "match", "move", "ref", "mod"].contains(&name) {
        format!("r#{name}")
    } else {
        name.to_owned()
    }
}

fn upper_camel(name: &str) -> String {
    name.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.char_indices() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
