//! docs/blueprint.md says what is: its examples are valid, and its tables are made from the kinds.

use serde_json::Value;

use super::super::{schema, spec};
use super::*;

fn path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/blueprint.md")
}

/// The fenced blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// What the examples refer to.
const INPUTS: &str = "[inputs.site]\ntype = \"hostname\"\ndefault = \"{{ host.fqdn }}\"\n[inputs.redis_password]\ntype = \"secret\"\ngenerate = 24\n[inputs.admin_password]\ntype = \"secret\"\ngenerate = 24\n[inputs.shop_password]\ntype = \"secret\"\ngenerate = 24\n";
const FILES: [(&str, &str); 2] = [("shop.conf", "name = {{ inputs.site }}\n"), ("vendor.asc", "")];

#[test]
fn the_examples_are_valid() {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut kinds = Vec::new();
    for example in blocks(&text, "toml") {
        let whole = match example {
            _ if example.starts_with("schema") => example.to_owned(),
            _ if example.contains("[[step]]") => format!("{HEAD}{INPUTS}{example}"),
            _ => format!("{HEAD}{example}[[step]]\nid = \"a\"\nkind = \"group\"\nname = \"a\"\n"),
        };
        let made = with_kinds(&whole, &FILES, steps::kinds::ALL).unwrap_or_else(|fault| panic!("{fault}\n{example}"));
        kinds.extend(made.steps.iter().map(|step| step.kind.clone()));
        match made.validate() {
            // There is no such vendor, so there is no such key; everything before it was looked at.
            Err(error) if example.contains("\"repository\"") => {
                assert!(message(&error).contains("vendor.asc") || message(&error).contains("key"), "{error:#}")
            }
            other => other.unwrap_or_else(|error| panic!("{error:#}\n{example}")),
        }
    }
    let without: Vec<&str> =
        steps::kinds::ALL.iter().map(|kind| kind.name).filter(|name| !kinds.iter().any(|kind| kind == name)).collect();
    assert!(without.is_empty(), "kinds without an example: {without:?}");
}

#[test]
fn the_tables_of_settings_are_those_of_the_kinds() {
    let text = std::fs::read_to_string(path()).unwrap();
    let whole = schema::schema(steps::kinds::ALL);
    let mut made = text.clone();
    for kind in whole["properties"]["step"]["items"]["oneOf"].as_array().unwrap() {
        let name = kind["title"].as_str().unwrap();
        let (begin, end) = (format!("<!-- settings of {name} -->\n"), "<!-- end -->");
        let at = made.find(&begin).unwrap_or_else(|| panic!("no section of kind {name}")) + begin.len();
        let until = at + made[at..].find(end).unwrap();
        let description = kind["description"].as_str().unwrap_or_default().replace('\n', " ");
        let mut table =
            format!("{description}\n\n| setting | value | default | meaning |\n| --- | --- | --- | --- |\n");
        let required = kind["then"]["required"].as_array().unwrap();
        rows(&whole, &kind["properties"], required, "", &mut table);
        made.replace_range(at..until, &table);
    }
    if std::env::var_os("SUREFOOT_UPDATE_DOCS").is_some() {
        std::fs::write(path(), &made).unwrap();
        return;
    }
    assert_eq!(text, made, "a setting changed: run this test with SUREFOOT_UPDATE_DOCS=1 and look at what it wrote");
}

fn rows(whole: &Value, properties: &Value, required: &[Value], before: &str, table: &mut String) {
    for (key, schema) in properties.as_object().unwrap() {
        if before.is_empty() && spec::STEP_KEYS.contains(&key.as_str()) {
            continue;
        }
        let meaning = meaning(whole, schema);
        let needed = required.iter().any(|name| name == key);
        let default = if needed { "required".to_owned() } else { default(schema) };
        table.push_str(&format!("| `{before}{key}` | {} | {default} | {meaning} |\n", value(whole, schema)));
        let (inner, list) = inner(whole, schema);
        if let Some(parts) = inner.get("properties") {
            let required = inner["required"].as_array().cloned().unwrap_or_default();
            rows(whole, parts, &required, &format!("{before}{key}{}.", if list { "[]" } else { "" }), table);
        }
    }
}

/// What it is for, and what each of its words means, where that is said.
fn meaning(whole: &Value, schema: &Value) -> String {
    let mut text = schema["description"].as_str().unwrap_or_default().to_owned();
    // When a step is its turn is said once for all kinds.
    if !schema.to_string().contains("/Turn\"") {
        for word in resolved(whole, schema)["oneOf"].as_array().into_iter().flatten() {
            if let (Some(word), Some(meaning)) = (word["const"].as_str(), word["description"].as_str()) {
                text.push_str(&format!(" `{word}`: {meaning}"));
            }
        }
    }
    text.replace('\n', " ").replace('|', "\\|")
}

/// The value where none is given; empty where there is none, or where its meaning says it.
fn default(schema: &Value) -> String {
    let alternatives = schema["anyOf"].as_array().into_iter().flatten();
    match std::iter::once(schema).chain(alternatives).find_map(|one| one.get("default")) {
        Some(Value::String(text)) if !text.is_empty() => format!("`{text}`"),
        Some(Value::Array(list)) if !list.is_empty() => format!("`{}`", Value::from(list.clone())),
        Some(other @ (Value::Bool(_) | Value::Number(_))) => format!("`{other}`"),
        _ => String::new(),
    }
}

/// The schema without alternatives that are templates or nothing, references followed.
fn resolved<'s>(whole: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return resolved(whole, &whole["$defs"][name]);
    }
    let alternatives = schema["anyOf"].as_array().into_iter().flatten();
    let real = |one: &&Value| one["$ref"] != "#/$defs/Template" && one["type"] != "null";
    alternatives.filter(real).map(|one| resolved(whole, one)).next().unwrap_or(schema)
}

fn inner<'s>(whole: &'s Value, schema: &'s Value) -> (&'s Value, bool) {
    let schema = resolved(whole, schema);
    if schema.get("items").is_some() { (resolved(whole, &schema["items"]), true) } else { (schema, false) }
}

/// What sort of value it is, in a few words.
fn value(whole: &Value, schema: &Value) -> String {
    let names = schema.to_string();
    for (reference, word) in [
        ("/Size\"", "size"),
        ("/Span\"", "duration"),
        ("/AbsolutePath\"", "path"),
        ("/Mode\"", "permission bits"),
        ("/Account\"", "name"),
        ("/Owner\"", "name"),
        ("/StepRef\"", "`step:ID`"),
    ] {
        if names.contains(reference) {
            let list = resolved(whole, schema).get("items").is_some();
            return if list { format!("list: {word}") } else { word.to_owned() };
        }
    }
    if names.contains("/Line\"") && !names.contains("additionalProperties") {
        return "text, number, true or false".to_owned();
    }
    let schema = resolved(whole, schema);
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str()).map(|word| format!("`{word}`")).collect()
    };
    let of_variants: Vec<String> = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| one["const"].as_str().map(|word| format!("`{word}`")).into_iter().chain(words(&one["enum"])))
        .collect();
    if !of_variants.is_empty() {
        return of_variants.join(", ");
    }
    if !words(&schema["enum"]).is_empty() {
        return words(&schema["enum"]).join(", ");
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or_default(),
        other => other.as_str().unwrap_or_default(),
    };
    match kind {
        "string" if schema["format"] == "ip" => "address".to_owned(),
        "string" => "text".to_owned(),
        "integer" if schema["minimum"].as_u64() > Some(0) => {
            format!("number from {} to {}", schema["minimum"], schema["maximum"])
        }
        "integer" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list: {}", value(whole, &schema["items"])),
        "object" => "table".to_owned(),
        "" => "any value".to_owned(),
        other => other.to_owned(),
    }
}
