//! `htpasswd`: users of a web page.

use std::collections::BTreeMap;

use anyhow::Result;
use distro::files::Meta;
use distro::layout::web_group;
use schemars::JsonSchema;
use serde::Deserialize;

use super::offer::{Offer, Users};
use super::tls_certificate::FOLDER;
use super::value::{AbsolutePath, Account};
use super::{Context, Kind, refused};
use crate::Resource;
use crate::resources::directory::Directory;
use crate::resources::htpasswd::{Htpasswd, MOST};

/// Users with their passwords, in a file as the program `htpasswd` writes it (bcrypt). Other users in it stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Passwords by name of user, each of at most 71 bytes. One user is needed, here or as `user`.
    #[serde(default)]
    users: BTreeMap<String, String>,
    /// Name of one more user, with `password`: for one that a template tells.
    user: Option<String>,
    /// That user's password.
    password: Option<String>,
    /// Absolute path of the file: `/etc/surefoot/PRODUCT-STEP.htpasswd`, where it is not given.
    path: Option<AbsolutePath>,
    /// Group that may read it: the web server's, where it is not given.
    group: Option<Account>,
}

impl Settings {
    fn path(&self, cx: &dyn Context) -> String {
        let own = || format!("{FOLDER}/{}-{}.htpasswd", cx.product(), cx.step());
        self.path.as_ref().map_or_else(own, |path| path.0.clone())
    }

    fn check(&mut self, cx: &dyn Context) -> Result<()> {
        match (self.user.take(), self.password.take()) {
            (Some(user), Some(password)) => drop(self.users.insert(user, password)),
            (None, None) => {}
            _ => return Err(refused(cx, "'user' and 'password' go together", "give both, or none")),
        }
        if self.users.is_empty() {
            return Err(refused(cx, "'users' is empty", "give one, as users = { admin = \"{{ inputs.password }}\" }"));
        }
        for (name, password) in &self.users {
            if cx.has_secret(name) {
                return Err(refused(cx, "'users' has a secret as a name, and names are shown", "take another name"));
            }
            if name.is_empty() || name.starts_with('#') || name.contains(|c: char| c == ':' || c.is_control()) {
                let message = format!("'{}' cannot be the name of a user", name.escape_debug());
                return Err(refused(cx, &message, "take a name of letters and digits"));
            }
            if password.is_empty() || password.len() > MOST || password.contains('\0') {
                let message = format!("the password of '{name}' is empty, longer than {MOST} bytes or has a NUL in it");
                return Err(refused(cx, &message, "take another password: bcrypt takes no longer ones"));
            }
        }
        Ok(())
    }
}

impl Kind for Settings {
    const NAME: &'static str = "htpasswd";

    fn expand(mut self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        self.check(cx)?;
        let path = self.path(cx);
        let group = self.group.map_or_else(|| web_group(cx.facts()), |group| group.0);
        let mut resources: Vec<Box<dyn Resource>> = Vec::new();
        if self.path.is_none() {
            resources.push(Box::new(Directory::new(FOLDER)));
        }
        let users = self.users.into_iter().collect();
        resources.push(Box::new(Htpasswd { path, meta: Meta::new(0o640, "root", group), users }));
        Ok(resources)
    }

    fn offer(mut self, cx: &dyn Context) -> Result<Option<Offer>> {
        self.check(cx)?;
        let path = self.path(cx);
        Ok(self.users.into_iter().next().map(|login| Offer::Users(Users { path, login })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    #[test]
    fn users_and_their_file() {
        let step = Step::new("users");
        let settings = json!({"users": {"eve": "hunter2", "adam": "x"}});
        let resources = step.expand::<Settings>(settings.clone()).unwrap();
        let own = "htpasswd /etc/surefoot/demo-users.htpasswd";
        assert_eq!(names(&resources), ["directory /etc/surefoot", own]);
        assert_eq!(wants(&resources, own), "keysxhunter2");
        assert!(!format!("{resources:?}").contains("hunter2"));
        let offer = serde_json::from_value::<Settings>(settings).unwrap().offer(&step).unwrap();
        assert!(matches!(&offer, Some(Offer::Users(users)) if users.login.0 == "adam"));
        let elsewhere = json!({"user": "eve", "password": "x", "path": "/etc/shop/users", "group": "shop"});
        let resources = step.expand::<Settings>(elsewhere).unwrap();
        assert_eq!(names(&resources), ["htpasswd /etc/shop/users"]);
        assert!(format!("{resources:?}").contains("group: \"shop\""), "{resources:?}");
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        for (settings, wanted) in [
            (json!({"users": {}}), "'users' is empty"),
            (json!({"user": "a"}), "'user' and 'password' go together"),
            (json!({"users": {"a:b": "x"}}), "'a:b' cannot be the name of a user"),
            (json!({"users": {"#a": "x"}}), "'#a' cannot be the name of a user"),
            (json!({"users": {"hunter2": "x"}}), "'users' has a secret as a name, and names are shown"),
            (
                json!({"users": {"a": "x".repeat(72)}}),
                "the password of 'a' is empty, longer than 71 bytes or has a NUL in it",
            ),
        ] {
            let error = Step::new("users").expand::<Settings>(settings).unwrap_err();
            assert_eq!(error.to_string(), format!("step 'users': {wanted}"));
        }
    }
}
