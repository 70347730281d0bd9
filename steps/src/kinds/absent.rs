//! `absent`: something that must not be there.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{AbsolutePath, Turn};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::absent::Absent;

/// A file, a symlink or an empty folder that must not be there. A file or symlink is put back at uninstall.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path.
    path: AbsolutePath,
    /// When it is removed.
    #[serde(default)]
    stage: Turn,
}

impl Kind for Settings {
    const NAME: &'static str = "absent";

    fn expand(self, _: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        Ok(vec![Box::new(Absent { path: self.path.0, stage: self.stage.into() })])
    }
}
