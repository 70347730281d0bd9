//! `surefoot blueprint`: check, show, list; the format's schema. Touches no host and needs no root.

use std::fmt::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::BlueprintCommand;
use super::context::Context;
use crate::blueprint::{self, Blueprint, InputSpec};

/// Runs it.
///
/// # Errors
/// Class `usage`, where there is no such blueprint; class `blueprint`, with everything that is wrong in it.
pub fn run(context: &Context, command: &BlueprintCommand) -> Result<i32> {
    let text = match command {
        BlueprintCommand::Validate { blueprint } => {
            let blueprint = Blueprint::load(blueprint)?;
            blueprint.validate()?;
            if context.json() {
                lines(&json!({ "valid": true, "name": blueprint.name(), "digest": blueprint.digest() }))?
            } else {
                format!(
                    "{} {} is valid: {}, {}\n",
                    blueprint.name(),
                    blueprint.version(),
                    count(blueprint.inputs().len(), "input"),
                    count(blueprint.steps().len(), "step")
                )
            }
        }
        BlueprintCommand::Show { blueprint } => {
            let blueprint = Blueprint::load(blueprint)?;
            if context.json() { lines(&as_json(&blueprint))? } else { as_text(&blueprint)? }
        }
        BlueprintCommand::Schema => lines(&blueprint::schema(steps::kinds::ALL))?,
        BlueprintCommand::List => list(context.json())?,
    };
    context.print(&text);
    Ok(0)
}

fn lines(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn list(json: bool) -> Result<String> {
    let blueprints: Vec<(&str, Blueprint)> =
        blueprint::builtin_names().into_iter().map(|name| Ok((name, Blueprint::load(name)?))).collect::<Result<_>>()?;
    if json {
        let entry = |(name, blueprint): &(&str, Blueprint)| json!({ "blueprint": name, "title": blueprint.title(), "version": blueprint.version() });
        return lines(&Value::from(blueprints.iter().map(entry).collect::<Vec<_>>()));
    }
    let rows = blueprints.iter().map(|(name, blueprint)| {
        vec![(*name).to_owned(), blueprint.version().to_owned(), blueprint.title().to_owned()]
    });
    Ok(table("", &rows.collect::<Vec<_>>()))
}

/// Where the value of an input comes from when nobody gives one.
fn otherwise(spec: &InputSpec) -> String {
    let default = spec.input.default.as_ref().map(|default| format!("default {default}"));
    let generated = spec.input.generate.map(|length| format!("generated, {}", count(length, "character")));
    let when = spec.input.when.as_ref().map(|when| format!("when {when}"));
    let value = default.or(generated).unwrap_or("to be given".to_owned());
    [Some(value), when].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn as_text(blueprint: &Blueprint) -> Result<String> {
    let mut text = format!("{} {}: {}\n", blueprint.name(), blueprint.version(), blueprint.title());
    let inputs: Vec<Vec<String>> = blueprint
        .inputs()
        .iter()
        .map(|spec| {
            let what = spec.input.ask.clone().or(spec.input.help.clone()).unwrap_or_default();
            vec![spec.name.clone(), spec.input.sort.name().to_owned(), otherwise(spec), what]
        })
        .collect();
    let requires = blueprint.requires();
    let mut needs: Vec<Vec<String>> = Vec::new();
    needs.extend(requires.memory.map(|memory| vec!["memory".to_owned(), memory.to_string()]));
    needs.extend(requires.cpus.map(|cpus| vec!["cpus".to_owned(), cpus.to_string()]));
    needs.extend(requires.disk.iter().map(|(path, size)| vec![format!("disk {path}"), size.to_string()]));
    if !requires.os.is_empty() {
        needs.push(vec!["os".to_owned(), requires.os.join(", ")]);
    }
    let steps: Vec<Vec<String>> = blueprint
        .steps()
        .iter()
        .map(|step| {
            let when = step.when.as_ref().map_or(String::new(), |(when, _)| format!("when {when}"));
            vec![step.id.clone(), step.kind.clone(), when]
        })
        .collect();
    let files: Vec<Vec<String>> = blueprint.files().into_keys().map(|name| vec![name]).collect();
    for (title, rows) in [("inputs", inputs), ("requires", needs), ("steps", steps), ("files", files)] {
        if !rows.is_empty() {
            write!(text, "\n{title}\n{}", table("  ", &rows))?;
        }
    }
    writeln!(text, "\ndigest {}", blueprint.digest())?;
    Ok(text)
}

/// Rows in columns, without blanks at the end of a line.
fn table(indent: &str, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| console::pad_str(cell, width + 2, console::Alignment::Left, None).into_owned())
            .collect();
        text.push_str(format!("{indent}{line}").trim_end());
        text.push('\n');
    }
    text
}

fn as_json(blueprint: &Blueprint) -> Value {
    let input = |spec: &InputSpec| {
        json!({
            "name": spec.name, "type": spec.input.sort.name(), "ask": spec.input.ask, "help": spec.input.help,
            "default": spec.input.default, "choices": spec.input.choices, "generate": spec.input.generate,
            "when": spec.input.when,
        })
    };
    let requires = blueprint.requires();
    json!({
        "name": blueprint.name(),
        "title": blueprint.title(),
        "version": blueprint.version(),
        "digest": blueprint.digest(),
        "inputs": blueprint.inputs().iter().map(input).collect::<Vec<_>>(),
        "requires": {
            "memory": requires.memory.map(|memory| memory.0),
            "cpus": requires.cpus,
            "disk": requires.disk.iter().map(|(path, size)| (path.clone(), size.0)).collect::<std::collections::BTreeMap<_, _>>(),
            "os": requires.os,
        },
        "steps": blueprint.steps().iter().map(|step| json!({
            "id": step.id, "kind": step.kind, "was": step.was, "when": step.when.as_ref().map(|(when, _)| when),
        })).collect::<Vec<_>>(),
        "files": blueprint.files().into_keys().collect::<Vec<_>>(),
    })
}
