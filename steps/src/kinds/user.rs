//! `user`: a user, its home and its groups.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{AbsolutePath, Account, Turn, refused};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::user::User;

/// A user with a primary group of the same name. Of one that is there already only what is named here is changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Login name.
    name: Account,
    /// Does a new one get a number from the range for services, and no login shell?
    #[serde(default = "yes")]
    system: bool,
    /// Home folder. Without it: as it is; of a new user, what `useradd` gives (`/home/NAME`).
    home: Option<AbsolutePath>,
    /// Login shell. Without it: as it is; of a new user, none (`/usr/sbin/nologin`) with `system`, else what `useradd` gives.
    shell: Option<AbsolutePath>,
    /// Groups to be a member of, besides others. They must be there.
    #[serde(default)]
    groups: Vec<Account>,
    /// Is the folder `home` made, empty and the user's own? It is kept at uninstall, and with it a user and a group that were made, unless `--purge` is given.
    #[serde(default)]
    create_home: bool,
    /// When the user is made.
    #[serde(default)]
    stage: Turn,
}

/// For settings that are on unless they are switched off.
pub(super) fn yes() -> bool {
    true
}

impl Kind for Settings {
    const NAME: &'static str = "user";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if self.create_home && self.home.is_none() {
            return Err(refused(cx, "'create_home' needs 'home'").into());
        }
        Ok(vec![Box::new(User {
            name: self.name.0,
            system: self.system,
            home: self.home.map(|path| path.0),
            shell: self.shell.map(|path| path.0),
            groups: self.groups.into_iter().map(|group| group.0).collect(),
            create_home: self.create_home,
            stage: self.stage.into(),
        })])
    }
}
