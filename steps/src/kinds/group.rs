//! `group`: a group.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::user::yes;
use super::value::{Account, Turn};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::group::Group;

/// A group. One that is there already stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name.
    name: Account,
    /// Does a new one get a number from the range for services?
    #[serde(default = "yes")]
    system: bool,
    /// When it is made.
    #[serde(default)]
    stage: Turn,
}

impl Kind for Settings {
    const NAME: &'static str = "group";

    fn expand(self, _: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        Ok(vec![Box::new(Group { name: self.name.0, system: self.system, stage: self.stage.into() })])
    }
}
