//! A module of dnf: which of its streams packages come from.
//!
//! dnf 4 keeps that in a file for each module, which `dnf module enable` writes and every start of dnf reads.

use std::path::Path;

use anyhow::Result;
use distro::files;
use distro::{Class, Fault};
use serde_json::Value;

use super::file::File;
use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// What is wanted of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// This stream, and no other.
    Enabled(String),
    /// None: packages of no stream are offered.
    Disabled,
}

/// A module that has a stream, or has none.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// What is wanted of it.
    pub stream: Stream,
}

impl Module {
    fn path(&self) -> String {
        format!("/etc/dnf/modules.d/{}.module", self.name)
    }

    /// As dnf itself would write it.
    fn text(&self) -> String {
        let (stream, state) = match &self.stream {
            Stream::Enabled(stream) => (stream.as_str(), "enabled"),
            Stream::Disabled => ("", "disabled"),
        };
        format!("[{0}]\nname={0}\nstream={stream}\nprofiles=\nstate={state}\n", self.name)
    }

    fn file(&self) -> File {
        File { stage: Stage::Prepare, ..File::new(self.path(), self.text()) }
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let found = files::read(Path::new(&self.path()))?.unwrap_or_default();
        let found = read(&String::from_utf8_lossy(&found));
        if found.as_ref() == Some(&self.stream) {
            return Ok(Probe::InPlace(Value::Null));
        }
        if let (Some(Stream::Enabled(found)), Stream::Enabled(wanted)) = (&found, &self.stream) {
            let name = &self.name;
            let message = format!("the module '{name}' has its stream '{found}' switched on, and '{wanted}' is wanted");
            return Err(Fault::new(Class::Conflict, message)
                .advice(format!(
                    "where nothing of it is installed, `dnf module reset {name}`; else `dnf module switch-to {name}:{wanted}` moves what is; then run again"
                ))
                .into());
        }
        self.file().probe(cx)
    }
}

/// What a file of dnf's says; none, where nobody has chosen.
fn read(text: &str) -> Option<Stream> {
    let value = |key: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(name, _)| name.trim() == key).map_or("", |(_, value)| value.trim())
    };
    match value("state") {
        "enabled" => Some(Stream::Enabled(value("stream").to_owned())),
        "disabled" => Some(Stream::Disabled),
        _ => None,
    }
}

impl Resource for Module {
    fn sort(&self) -> &'static str {
        "module"
    }

    fn key(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Prepare
    }

    fn claims(&self) -> Vec<Claim> {
        self.file().claims()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path(), self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.file().apply(cx, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dnf_writes_is_read() {
        let enabled = |stream: &str| Some(Stream::Enabled(stream.to_owned()));
        for (text, stream) in [
            ("", None),
            ("[redis]\nname=redis\nstream=7\nprofiles=common\nstate=enabled\n", enabled("7")),
            ("[redis]\nname = redis\nstream = rhel8\nprofiles =\nstate = enabled\n", enabled("rhel8")),
            ("[redis]\nname=redis\nstream=\nprofiles=\nstate=disabled\n", Some(Stream::Disabled)),
            ("[redis]\nname=redis\nstream=\nprofiles=\nstate=\n", None),
        ] {
            assert_eq!(read(text), stream, "{text}");
            if let Some(stream) = stream {
                let module = Module { name: "redis".to_owned(), stream: stream.clone() };
                assert_eq!(read(&module.text()), Some(stream), "as it is written");
            }
        }
    }
}
