//! `surefoot blueprint`: check, show, list; the format's schema. Touches no host and needs no root.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::BlueprintCommand;
use super::context::Context;
use crate::blueprint::{self, Blueprint, InputSpec, Step, Warning};
use crate::report::blueprint::{BlueprintTold, InputAsked, RequiresTold, StepNamed, WarningNamed, blueprint_view};
use crate::report::style::Style;

/// A blueprint without mistakes.
#[derive(Serialize, JsonSchema)]
pub(super) struct Valid {
    /// Always true: what is wrong with one that is not valid is the failure.
    valid: bool,
    /// Name of the product.
    name: String,
    /// Digest of all files of the blueprint.
    digest: String,
}

/// A blueprint that is built in.
#[derive(Serialize, JsonSchema)]
pub(super) struct BuiltIn {
    /// What commands take as its name.
    blueprint: String,
    /// Title of the product.
    title: String,
    /// Version of the product.
    version: String,
}

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
                lines(&Valid { valid: true, name: blueprint.name().to_owned(), digest: blueprint.digest() })?
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
            let told = told(&blueprint);
            if context.json() { lines(&told)? } else { blueprint_view(&told, &Style::stdout()) }
        }
        BlueprintCommand::Schema => lines(&blueprint::schema(steps::kinds::ALL))?,
        BlueprintCommand::List => list(context.json())?,
    };
    context.print(&text);
    Ok(0)
}

fn lines(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn list(json: bool) -> Result<String> {
    let blueprints: Vec<(&str, Blueprint)> =
        blueprint::builtin_names().into_iter().map(|name| Ok((name, Blueprint::load(name)?))).collect::<Result<_>>()?;
    if json {
        let listed = blueprints.iter().map(|(name, blueprint)| BuiltIn {
            blueprint: (*name).to_owned(),
            title: blueprint.title().to_owned(),
            version: blueprint.version().to_owned(),
        });
        return lines(&listed.collect::<Vec<_>>());
    }
    let rows = blueprints.iter().map(|(name, blueprint)| {
        vec![(*name).to_owned(), blueprint.version().to_owned(), blueprint.title().to_owned()]
    });
    Ok(table("", &rows.collect::<Vec<_>>()))
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

/// A blueprint as it is shown.
pub(super) fn told(blueprint: &Blueprint) -> BlueprintTold {
    let input = |InputSpec { name, input, .. }: &InputSpec| InputAsked {
        name: name.clone(),
        sort: input.sort.name().to_owned(),
        ask: input.ask.clone(),
        help: input.help.clone(),
        default: input.default.as_ref().map(|default| json!(default)),
        choices: input.choices.clone(),
        generate: input.generate,
        min: input.min.map(|min| min.0),
        max: input.max.map(|max| max.0),
        pattern: input.pattern.clone(),
        found: input.found.iter().map(|found| found.file.clone()).collect(),
        when: input.when.clone(),
    };
    let step = |step: &Step| StepNamed {
        id: step.id.clone(),
        kind: step.kind.clone(),
        was: step.was.clone(),
        when: step.when.as_ref().map(|(when, _)| when.clone()),
    };
    let warning = |warning: &Warning| WarningNamed {
        name: warning.name.clone(),
        found: warning.found.clone(),
        refuse: warning.refuse,
        when: warning.when.clone(),
    };
    let requires = blueprint.requires();
    BlueprintTold {
        name: blueprint.name().to_owned(),
        title: blueprint.title().to_owned(),
        version: blueprint.version().to_owned(),
        digest: blueprint.digest(),
        inputs: blueprint.inputs().iter().map(input).collect(),
        requires: RequiresTold {
            memory: requires.memory.map(|memory| memory.0),
            cpus: requires.cpus,
            avx: requires.avx,
            disk: requires.disk.iter().map(|(path, size)| (path.clone(), size.0)).collect(),
            os: requires.os.clone(),
            warnings: requires.warning.iter().map(warning).collect(),
        },
        steps: blueprint.steps().iter().map(step).collect(),
        files: blueprint.files().into_keys().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { width: 80, colour: false, unicode: true };

    #[test]
    fn everything_that_a_blueprint_asks_for_and_requires_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"
schema = 1
[product]
name = "shop"
title = "The shop"
version = "2.1"
[inputs.mode]
type = "choice"
ask = "How is it reached?"
help = "By TLS, or by nobody at all, which is what most people do who read a help that is a little longer."
choices = ["tls", "none"]
default = "tls"
[inputs.token]
type = "secret"
pattern = "xoxb-.+"
min = 8
max = 72
when = "inputs.mode == 'tls'"
[inputs.key]
type = "secret"
ask = "The key"
help = "It stays."
generate = 43
min = 43
max = 43
found = [{ file = "/etc/shop", pattern = 'key=(.*)' }]
[inputs.cache]
type = "size"
min = "64 MiB"
default = "1 GiB"
[requires]
memory = "1 GiB"
cpus = 2
avx = true
disk = { "/var" = "2 GiB" }
os = ["debian-12", "ubuntu"]
[[requires.warning]]
name = "old"
when = "host.os == 'debian'"
found = "it is newer on Ubuntu"
wanted = "Ubuntu"
advice = "take that"
[[step]]
id = "operators"
kind = "group"
when = "inputs.mode == 'tls'"
name = "shop"
"#;
        std::fs::write(folder.path().join("blueprint.toml"), text).unwrap();
        let told = told(&Blueprint::load(&folder.path().display().to_string()).unwrap());
        let shown = blueprint_view(&told, &STYLE);
        insta::assert_snapshot!(shown.split("\ndigest").next().unwrap(), @"
        shop 2.1: The shop

        inputs
          mode: choice of tls, none
              How is it reached? By TLS, or by nobody at all, which is what most people
              do who read a help that is a little longer.
              default: tls
          token: secret, 8 to 72 characters
              matches xoxb-.+
              has to be given
              only where inputs.mode == 'tls'
          key: secret, 43 characters
              The key. It stays.
              generated where it is not given, 43 characters
              taken from another installation: /etc/shop
          cache: size, at least 64 MiB
              default: 1 GiB

        requires
          memory: 1 GiB
          processors: 2
          processor: one that knows AVX, where it is an x86_64
          free below /var: 2 GiB
          system: debian-12, ubuntu
          warning old: it is newer on Ubuntu
              only where host.os == 'debian'

        steps
          operators: group
              only where inputs.mode == 'tls'

        files
          blueprint.toml
        ");
        let json = json!(told);
        assert_eq!((&json["requires"]["avx"], &json["inputs"][1]["pattern"]), (&json!(true), &json!("xoxb-.+")));
    }

    #[test]
    fn what_is_built_in_is_shown_in_eighty_columns() {
        for name in blueprint::builtin_names() {
            let shown = blueprint_view(&told(&Blueprint::load(name).unwrap()), &STYLE);
            let long: Vec<&str> = shown.lines().filter(|line| console::measure_text_width(line) > 80).collect();
            assert!(long.is_empty(), "{name}: {long:#?}");
        }
    }
}
