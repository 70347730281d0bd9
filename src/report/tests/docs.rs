//! What a program reads, checked against the types: `SUREFOOT_BLESS=1 cargo test` writes the files anew.

use std::path::Path;

use distro::Class;

use crate::engine::event::Event;
use crate::engine::failure::Failure;

fn same(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("SUREFOOT_BLESS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/{file} is not what the types give: run the test with SUREFOOT_BLESS=1");
}

#[test]
fn the_schema_of_the_run_log() {
    let schema = schemars::schema_for!(Event);
    same("run-log.schema.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
}

#[test]
fn the_exit_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/exit-codes.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("| Code | Class | Meaning |\n").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let rows = Class::ALL.map(|(_, code, name, meaning)| format!("| {code} | `{name}` | {meaning} |"));
    let table = format!("| Code | Class | Meaning |\n| ---: | --- | --- |\n{}", rows.join("\n"));
    same("exit-codes.md", &format!("{before}{table}\n\n{after}"));
}

/// Each type of event has a section with its fields and an example that can be read.
#[test]
fn the_reference_of_the_run_log() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/run-log.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let schema = serde_json::to_value(schemars::schema_for!(Event)).unwrap();
    for kind in schema["oneOf"].as_array().unwrap() {
        let fields = kind["properties"].as_object().unwrap();
        let name = fields["type"]["const"].as_str().unwrap();
        let (_, section) =
            text.split_once(&format!("\n### `{name}`\n")).unwrap_or_else(|| panic!("no section for {name}"));
        let section = section.split("\n##").next().unwrap();
        for field in fields.keys().filter(|field| *field != "type") {
            assert!(section.contains(&format!("\n| `{field}` |")), "{name}: field {field} is not in the docs");
        }
        let example = section.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
        let event: Event = serde_json::from_str(example).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = serde_json::to_value(&event).unwrap();
        assert_eq!(written["type"], name);
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(example).unwrap(), "{name}");
    }
    for field in schema["properties"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("\n| `{field}` |")), "field {field} is not in the docs");
    }
    let failure = serde_json::to_value(schemars::schema_for!(Failure)).unwrap();
    for field in failure["properties"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("\n| `{field}` |")), "field {field} of a failure is not in the docs");
    }
}
