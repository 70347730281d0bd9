//! A key, or a line, of a configuration file without sections.

use std::fmt;

use anyhow::Result;

use super::setting::{Setting, Spot};
use crate::{Change, Claim, Cx, KeyFormat, Probe, Resource, Stage};

/// A key of a file of `KEY=value`, `key value` or nested `key: value` lines that must be there. A new one comes last in the file, where it wins.
#[derive(Clone)]
pub struct KeyValue {
    /// Absolute path of the file.
    pub path: String,
    /// How the file is written: any format without sections.
    pub format: KeyFormat,
    /// Key.
    pub key: String,
    /// Value: one line, quoted by us where the format knows quotes, as it is where it is `Space`.
    pub value: String,
    /// May other lines have the same key? Then this line must be among them, and the others are left alone.
    pub repeat: bool,
    /// Must the value not be shown? Then only one line of a file can be repeated: elsewhere the value is part of the name.
    pub sensitive: bool,
    /// When it is its turn.
    pub stage: Stage,
}

impl KeyValue {
    fn setting(&self) -> Setting<'_> {
        let spot = Spot { format: self.format, section: "", key: &self.key, repeat: self.repeat };
        Setting { path: &self.path, spot, value: &self.value, sensitive: self.sensitive }
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyValue").field(&self.key()).finish()
    }
}

impl Resource for KeyValue {
    fn sort(&self) -> &'static str {
        "key_value"
    }

    fn key(&self) -> String {
        if self.repeat && !self.sensitive {
            return format!("{} {} {}", self.path, self.key, self.value);
        }
        format!("{} {}", self.path, self.key)
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        self.setting().claims()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        self.setting().probe(cx)
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        self.setting().apply(cx)
    }
}
