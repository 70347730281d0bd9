//! A key in a section of an INI file.

use std::fmt;

use anyhow::Result;

use super::setting::{Setting, Spot};
use crate::{Change, Claim, Cx, KeyFormat, Probe, Resource, Stage};

/// A key of an INI file that must be there. Everything else in the file stays as it is; a section that is missing is made.
#[derive(Clone)]
pub struct Ini {
    /// Absolute path of the file.
    pub path: String,
    /// Section, empty for keys before the first one.
    pub section: String,
    /// Key.
    pub key: String,
    /// Value: one line, without spaces around it.
    pub value: String,
    /// Must the value not be shown?
    pub sensitive: bool,
    /// When it is its turn.
    pub stage: Stage,
}

impl Ini {
    fn setting(&self) -> Setting<'_> {
        let spot = Spot { format: KeyFormat::Ini, section: &self.section, key: &self.key, repeat: false };
        Setting { path: &self.path, spot, value: &self.value, sensitive: self.sensitive }
    }
}

impl fmt::Debug for Ini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ini").field(&self.key()).finish()
    }
}

impl Resource for Ini {
    fn sort(&self) -> &'static str {
        "ini"
    }

    fn key(&self) -> String {
        format!("{} [{}] {}", self.path, self.section, self.key)
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
