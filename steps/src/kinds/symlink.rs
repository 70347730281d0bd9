//! `symlink`: a symlink.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{AbsolutePath, Turn, refused};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::symlink::Symlink;

/// A symlink. What it points to need not be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path of the symlink.
    path: AbsolutePath,
    /// What it points to: an absolute path, or one that starts from the symlink's own folder.
    target: String,
    /// When it is made.
    #[serde(default)]
    stage: Turn,
}

impl Kind for Settings {
    const NAME: &'static str = "symlink";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if self.target.is_empty() || self.target.contains(char::is_control) {
            return Err(refused(cx, format!("'target' is not a path: '{}'", self.target.escape_debug())).into());
        }
        if cx.has_secret(&self.target) {
            return Err(refused(cx, "'target' has a secret in it, and everybody can read a symlink").into());
        }
        Ok(vec![Box::new(Symlink { path: self.path.0, target: self.target, stage: self.stage.into() })])
    }
}
