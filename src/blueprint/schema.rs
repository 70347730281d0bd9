//! JSON Schema of blueprint.toml, from the types that read it.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use steps::kinds::Entry;

use super::spec::{Input, Product, Requires, SOME_TYPES, Sort, StepHead};

/// The schema, with the settings of `kinds` (all that surefoot knows: [`steps::kinds::ALL`]).
pub fn schema(kinds: &[Entry]) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let product = part::<Product>(&mut generator);
    let requires = part::<Requires>(&mut generator);
    let mut input = part::<Input>(&mut generator);
    let rules: Vec<Value> = Sort::ALL.iter().map(|(sort, name)| input_rule(*sort, name)).collect();
    input["allOf"] = Value::from(rules);
    let head = part::<StepHead>(&mut generator);
    let steps: Vec<Value> = kinds.iter().map(|kind| step(kind, &head, &mut generator)).collect();
    let mut definitions = generator.take_definitions(true);
    definitions.values_mut().for_each(with_templates);
    let template = json!({ "description": "A text with {{ … }} in it.", "type": "string", "pattern": "\\{\\{" });
    definitions.insert("Template".to_owned(), template);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "blueprint.toml",
        "description": "A product that surefoot installs on a host.",
        "type": "object",
        "properties": {
            "schema": { "description": "Version of this format.", "const": super::read::SCHEMA },
            "surefoot": { "description": "Versions of surefoot that can read it, such as \">= 0.1\".", "type": "string" },
            "product": product,
            "inputs": {
                "description": "What is asked.",
                "type": "object",
                "propertyNames": { "pattern": "^[a-z][a-z0-9_]{0,63}$" },
                "additionalProperties": input,
            },
            "requires": requires,
            "step": {
                "description": "What is done, in order.",
                "type": "array",
                "minItems": 1,
                "items": { "type": "object", "required": ["id", "kind"], "oneOf": steps },
            },
        },
        "required": ["schema", "product", "step"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn part<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// The keys that this type of input does not have.
fn input_rule(sort: Sort, name: &str) -> Value {
    let others = SOME_TYPES.iter().filter(|(_, types)| !types.contains(&sort));
    let refused: Map<String, Value> = others.map(|(key, _)| ((*key).to_owned(), Value::Bool(false))).collect();
    let required = if sort == Sort::Choice { vec!["choices"] } else { Vec::new() };
    json!({
        "if": { "properties": { "type": { "const": name } } },
        "then": { "properties": refused, "required": required },
    })
}

/// A step of one kind.
fn step(kind: &Entry, head: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut settings = settings(kind, generator);
    with_templates(&mut settings);
    let own = settings.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut properties = head["properties"].as_object().cloned().unwrap_or_default();
    properties.insert("kind".to_owned(), json!({ "const": kind.name }));
    properties.extend(own.clone());
    properties.insert(
        "on".to_owned(),
        json!({
            "description": "Settings that differ on a family (debian), a system (ubuntu) or a version of one (ubuntu-22.04).",
            "type": "object",
            "additionalProperties": { "type": "object", "properties": own, "additionalProperties": false },
        }),
    );
    // What a host's own settings give need not be among the general ones.
    let needed = settings.get("required").cloned().unwrap_or(json!([]));
    json!({
        "title": kind.name,
        "description": settings.get("description"),
        "properties": properties,
        "if": { "not": { "required": ["on"] } },
        "then": { "required": needed },
        "additionalProperties": false,
    })
}

/// The schema of a kind's settings, taken out of the definitions.
fn settings(kind: &Entry, generator: &mut SchemaGenerator) -> Value {
    let schema = (kind.schema)(generator).to_value();
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    name.and_then(|name| generator.definitions_mut().remove(name)).unwrap_or(schema)
}

/// Any value of a setting, whatever its type, can be a text with a template in it.
fn with_templates(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    for (key, child) in object {
        match (key.as_str(), child) {
            ("properties", Value::Object(properties)) => {
                properties.iter_mut().for_each(|(_, value)| or_template(value))
            }
            ("items" | "additionalProperties", child @ Value::Object(_)) => or_template(child),
            ("anyOf" | "oneOf", Value::Array(list)) => list.iter_mut().for_each(with_templates),
            _ => {}
        }
    }
}

fn or_template(value: &mut Value) {
    with_templates(value);
    let any_text = value.get("type").is_some_and(|kind| kind == "string")
        && ["enum", "pattern", "format", "const"].iter().all(|key| value.get(key).is_none());
    if any_text {
        return;
    }
    let mut schema = value.take();
    let description = schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
    *value = json!({ "anyOf": [schema, { "$ref": "#/$defs/Template" }] });
    if let (Some(description), Some(object)) = (description, value.as_object_mut()) {
        object.insert("description".to_owned(), description);
    }
}
