//! Whole blueprints, with a kind of the tests' own.

mod docs;
mod errors;
mod expanding;
mod giving;
mod quoting;
mod sources;

use std::collections::BTreeMap;

use anyhow::Result;
use distro::{Facts, Fault};
use serde::Deserialize;
use steps::kinds::units::Size;
use steps::kinds::{Context, Entry, Format, Kind};
use steps::{Change, Claim, Cx, Probe, Resource, Stage};

use super::given::Given;
use super::inputs::Inputs;
use super::load::Files;
use super::model::Blueprint;
use super::resolve::resolve;
use super::sample;

/// A kind with a setting of every sort.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "looked at by its debug form")]
struct Note {
    text: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    memory: Option<Size>,
    #[serde(default)]
    on_disk: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    servers: Vec<Server>,
    #[serde(default)]
    argv: Vec<String>,
    #[serde(default)]
    template: Option<String>,
    #[serde(default)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Plain,
    Encrypted,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "looked at by its debug form")]
struct Server {
    name: String,
}

impl Kind for Note {
    const NAME: &'static str = "note";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if self.text == "refuse" {
            return Err(Fault::new(distro::Class::Blueprint, format!("text '{}' is refused", self.text)).into());
        }
        let rendered = match (&self.template, self.format) {
            (Some(name), Some(format)) => cx.render(name, format)?,
            (Some(name), None) => String::from_utf8(cx.file(name)?)?,
            _ => String::new(),
        };
        let in_list = self.argv.iter().any(|word| cx.has_secret(word));
        let secret = in_list || cx.is_secret(&rendered) || cx.is_secret(&self.text);
        Ok(vec![Box::new(Noted { note: self, rendered, secret })])
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "looked at by its debug form")]
struct Noted {
    note: Note,
    rendered: String,
    secret: bool,
}

impl Resource for Noted {
    fn sort(&self) -> &'static str {
        "note"
    }

    fn key(&self) -> String {
        self.note.text.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, _: &Cx<'_>) -> Result<Probe> {
        Ok(Probe::InPlace(serde_json::Value::Null))
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

const KINDS: &[Entry] = &[Entry::of::<Note>()];

const HEAD: &str = "schema = 1\n[product]\nname = \"demo\"\ntitle = \"Demo\"\nversion = \"1\"\n";

/// A blueprint of `text`, with `files`.
fn with_files(text: &str, files: &[(&str, &str)]) -> Result<Blueprint, Fault> {
    with_kinds(text, files, KINDS)
}

fn with_kinds(text: &str, files: &[(&str, &str)], kinds: &'static [Entry]) -> Result<Blueprint, Fault> {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect();
    super::read::read(Files { name: "blueprint.toml".to_owned(), text: text.to_owned(), files }, kinds)
}

/// A blueprint of `rest` after [`HEAD`].
fn blueprint(rest: &str) -> Blueprint {
    with_files(&format!("{HEAD}{rest}"), &[]).unwrap()
}

fn debian() -> Facts {
    sample::facts("debian-12")
}

/// Inputs of `blueprint`, given with `--set`, and secrets in the environment.
fn inputs(blueprint: &Blueprint, set: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Inputs> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let given =
        Given { set: set.iter().map(owned).collect(), env: env.iter().map(owned).collect(), ..Given::default() };
    resolve(blueprint, given, &debian(), None)
}

/// The message of an error's fault.
fn message(error: &anyhow::Error) -> String {
    Fault::find(error).map_or_else(|| format!("no fault: {error:#}"), |fault| fault.message.clone())
}
