//! `directory`: a folder with mode and owner.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::owned;
use super::value::{AbsolutePath, Mode, Owner, Turn};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::directory::Directory;

/// A folder. The one above must be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path.
    path: AbsolutePath,
    /// Permission bits, "0755" where they are not given.
    mode: Option<Mode>,
    /// Owner, root where it is not given.
    owner: Option<Owner>,
    /// Group, the one with the owner's name where it is not given.
    group: Option<Owner>,
    /// Will it hold data of the user? Then it is kept at uninstall, unless `--purge` is given, which removes all that is in it.
    #[serde(default)]
    data: bool,
    /// When it is made.
    #[serde(default)]
    stage: Turn,
}

impl Kind for Settings {
    const NAME: &'static str = "directory";

    fn expand(self, _: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let meta = owned(self.mode.unwrap_or(Mode(0o755)), self.owner, self.group);
        Ok(vec![Box::new(Directory { path: self.path.0, meta, data: self.data, stage: self.stage.into() })])
    }
}
