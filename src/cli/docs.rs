//! Tables of docs/ that are made from what the program reads and prints: `SUREFOOT_UPDATE_DOCS=1 cargo test docs` writes them anew.

use std::path::Path;

use distro::Facts;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::blueprint::{BuiltIn, Valid, told};
use crate::blueprint::{Blueprint, builtin_names};
use crate::preflight::Check;
use crate::preflight::endpoints::Reached;
use crate::report::blueprint::{BlueprintTold, InputAsked};
use crate::report::plan::PlanTold;
use crate::report::status::StatusTold;

/// Sees to it that `table` stands between the marks `<!-- mark -->` and `<!-- end -->` of a page.
fn same(page: &str, mark: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {mark} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("docs/{page} has no {begin}"));
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let made = format!("{before}{begin}{table}<!-- end -->{after}");
    if std::env::var_os("SUREFOOT_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    } else {
        assert_eq!(text, made, "docs/{page}: run this test with SUREFOOT_UPDATE_DOCS=1 and look at what it wrote");
    }
}

#[test]
fn inputs_are_those_of_the_blueprints() {
    for name in builtin_names() {
        let rows: String = told(&Blueprint::load(name).unwrap()).inputs.iter().map(input).collect();
        let head = "| input | value | where none is given | asked for | only where | meaning |";
        let table = format!("{head}\n| --- | --- | --- | --- | --- | --- |\n{rows}");
        same(&format!("{name}.md"), &format!("inputs of {name}"), &table);
    }
}

fn input(input: &InputAsked) -> String {
    let code = |text: &str| match text.replace('|', "\\|") {
        text if text.contains('`') => format!("`` {text} ``"),
        text => format!("`{text}`"),
    };
    let codes = |list: &[String], between| list.iter().map(|word| code(word)).collect::<Vec<_>>().join(between);
    let mut value = match input.sort.as_str() {
        "choice" => codes(&input.choices, ", "),
        "bool" => "`true`, `false`".to_owned(),
        _ => input.takes(),
    };
    value.extend(input.pattern.as_ref().map(|pattern| format!(" that matches {}", code(pattern))));
    let mut files = input.found.clone();
    files.dedup();
    let found = if files.is_empty() { String::new() } else { format!("what {} has, else ", codes(&files, " or ")) };
    let otherwise = match (input.default_text().as_deref(), input.generate) {
        (Some(""), _) => "empty".to_owned(),
        (Some(text), _) => code(text),
        (None, Some(length)) => format!("generated, {length} characters"),
        (None, None) => "**must be given**".to_owned(),
    };
    let asked = if input.ask.is_some() { "yes" } else { "no" };
    let when = input.when.as_ref().map_or(String::new(), |when| code(&when.replace("inputs.", "")));
    let what = input.what().replace('|', "\\|");
    format!("| `{}` | {value} | {found}{otherwise} | {asked} | {when} | {what} |\n", input.name)
}

#[test]
fn fields_of_json_are_those_of_the_types() {
    for (what, table) in [
        ("plan", table::<PlanTold>()),
        ("status", table::<StatusTold>()),
        ("preflight", table::<Check>()),
        ("endpoints", table::<Reached>()),
        ("facts", table::<Facts>()),
        ("blueprint show", table::<BlueprintTold>()),
        ("blueprint list", table::<BuiltIn>()),
        ("blueprint validate", table::<Valid>()),
    ] {
        same("json.md", &format!("fields of {what}"), &table);
    }
}

/// A row for each field that `T` is written with, and for those of what is in it.
fn table<T: JsonSchema>() -> String {
    let whole = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value();
    let mut table = "| Field | Type | Meaning |\n| --- | --- | --- |\n".to_owned();
    rows(&whole, &whole, "", &mut table);
    table
}

fn rows(whole: &Value, object: &Value, before: &str, table: &mut String) {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, field) in object["properties"].as_object().unwrap() {
        let (schema, is_null) = resolved(whole, field);
        // What `plan` prints is described there.
        let is_plan = field.to_string().contains("/PlanTold\"");
        let list = schema.get("items").map(|items| resolved(whole, items).0);
        let mut sort = match list {
            _ if is_plan => "object, as of [`plan`](#plan)".to_owned(),
            Some(items) => format!("list of {}s", name(items)),
            None => name(schema),
        };
        match (required.contains(&key.as_str()), is_null) {
            (false, _) => sort.push_str(", optional"),
            (true, true) => sort.push_str(" or null"),
            (true, false) => {}
        }
        let meaning = field["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let words = schema["oneOf"].as_array().into_iter().flatten();
        let words =
            words.filter_map(|one| Some(format!(" `{}`: {}", one["const"].as_str()?, one["description"].as_str()?)));
        let all = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let all = all.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let all = if all.is_empty() || meaning.contains(".md)") { String::new() } else { format!(" One of {all}.") };
        table.push_str(&format!("| `{before}{key}` | {sort} | {meaning}{all}{} |\n", words.collect::<String>()));
        let inner = list.unwrap_or(schema);
        if inner.get("properties").is_some() && !is_plan {
            rows(whole, inner, &format!("{before}{key}{}.", if list.is_some() { "[]" } else { "" }), table);
        }
    }
}

/// The schema that is meant, references followed, and whether null is another possibility.
fn resolved<'s>(whole: &'s Value, schema: &'s Value) -> (&'s Value, bool) {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return resolved(whole, &whole["$defs"][name]);
    }
    match schema["anyOf"].as_array().map(Vec::as_slice) {
        Some([one, null]) if null["type"] == "null" => (resolved(whole, one).0, true),
        _ => (schema, schema["type"].as_array().is_some_and(|kinds| kinds.contains(&"null".into()))),
    }
}

fn name(schema: &Value) -> String {
    let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
    match kind.as_str() {
        _ if schema.get("oneOf").is_some() || schema.get("enum").is_some() => "string".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("object") if schema.get("properties").is_none() => "map".to_owned(),
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    }
}
