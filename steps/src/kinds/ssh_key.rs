//! `ssh_key`: a key with which a user logs in.

use anyhow::Result;
use distro::files::Meta;
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{AbsolutePath, Account};
use super::{Context, Kind, refused};
use crate::Resource;
use crate::resources::directory::Directory;
use crate::resources::ssh_key::SshKey;

/// A key pair of a user's for SSH, without passphrase, with the folder that it is in. One that is there stays, whatever sort it is of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path of the private key. The public half is beside it, as `.pub`.
    path: AbsolutePath,
    /// Whose it is.
    user: Account,
    /// Group of the files, the one with the user's name where it is not given.
    group: Option<Account>,
    /// May who has the key log in as this user on this host? Then it is written into `authorized_keys` beside it.
    #[serde(default)]
    authorize: bool,
}

impl Kind for Settings {
    const NAME: &'static str = "ssh_key";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let path = self.path.0;
        let Some((folder, _)) = path.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) else {
            return Err(refused(cx, "'path' has no folder of its own", "write it as /home/shop/.ssh/id_ecdsa"));
        };
        let user = self.user.0;
        let group = self.group.map_or_else(|| user.clone(), |group| group.0);
        let directory = Directory { meta: Meta::new(0o700, user.clone(), group.clone()), ..Directory::new(folder) };
        let authorized = self.authorize.then(|| format!("{folder}/authorized_keys"));
        Ok(vec![Box::new(directory), Box::new(SshKey { path, user, group, authorized })])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names};

    #[test]
    fn a_key_in_its_folder() {
        let settings = json!({"path": "/home/a/.ssh/id", "user": "a", "authorize": true});
        let resources = Step::new("key").expand::<Settings>(settings).unwrap();
        assert_eq!(names(&resources), ["directory /home/a/.ssh", "ssh_key /home/a/.ssh/id"]);
        assert!(format!("{resources:?}").contains("authorized: Some(\"/home/a/.ssh/authorized_keys\")"));
    }
}
