//! Keeps json-schemas/ and docs/API.md equal to what the contract says; `cargo xtask gen` writes them anew.

use std::{collections::BTreeMap, fs, path::PathBuf};

use devstudio_edge::{api_doc, schema};
use devstudio_kit::rpc::{Access, Index};
use serde_json::{Value, json};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn wanted() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::from([(root().join("docs/API.md"), api_doc::markdown())]);
    let text = |schema: &Value| format!("{}\n", serde_json::to_string_pretty(schema).expect("it is JSON"));
    for method in Index::get().methods.iter().filter(|method| !method.takes_stream) {
        let file = |name: &str| root().join(format!("json-schemas/rpc/{name}.json"));
        files.insert(file(&method.name), text(&schema::of(method)));
        for alias in &method.aliases {
            let reference = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": format!("devstudio:v1:rpc/{alias}"),
                "title": alias,
                "$ref": format!("{}.json", method.name),
            });
            files.insert(file(alias), text(&reference));
        }
    }
    files
}

#[test]
fn schemas_and_api_document_are_what_the_contract_says() {
    let wanted = wanted();
    let folder = root().join("json-schemas/rpc");
    if std::env::var("DEVSTUDIO_GEN").as_deref() == Ok("write") {
        fs::create_dir_all(&folder).expect("the folder can be made");
        for file in fs::read_dir(&folder).expect("the folder is there").flatten() {
            if !wanted.contains_key(&file.path()) {
                fs::remove_file(file.path()).expect("it was generated");
            }
        }
        for (path, text) in &wanted {
            fs::write(path, text).expect("the file can be written");
        }
    }
    for (path, text) in &wanted {
        let there = fs::read_to_string(path).unwrap_or_default();
        assert!(there == *text, "{} is not fresh: run `cargo xtask gen`", path.display());
    }
    let count = fs::read_dir(&folder).expect("the folder is there").count();
    assert_eq!(count, wanted.len() - 1, "json-schemas/rpc has files that no method has");
}

#[test]
fn every_example_fits_its_schema_and_every_method_for_people_has_one() {
    let mut seen = BTreeMap::new();
    for file in fs::read_dir(root().join("json-schemas/examples/rpc")).expect("the folder is there").flatten()
    {
        let name = file.file_name().to_string_lossy().into_owned();
        let mut params: Value = serde_json::from_str(&fs::read_to_string(file.path()).expect("readable"))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let parts: Vec<&str> = name.split('.').collect();
        let method = (2..parts.len()).rev().find_map(|n| Index::get().by_name(&parts[..n].join(".")));
        let method = method.unwrap_or_else(|| panic!("{name} names no method"));
        devstudio_edge::forms::normalise(&method.input, &mut params);
        schema::check(method, &params).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        seen.insert(method.name.clone(), name);
    }
    let without: Vec<&str> = Index::get()
        .methods
        .iter()
        .filter(|method| {
            method.access != Access::Service && !method.takes_stream && !seen.contains_key(&method.name)
        })
        .map(|method| method.name.as_str())
        .collect();
    assert!(without.is_empty(), "no example for {without:?}");
}
