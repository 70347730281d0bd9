//! Users in a file as the program `htpasswd` writes it.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use serde_json::{Map, Value, json};

use super::edit::{self, Garbled};
use super::paths;
use super::setting::Spot;
use crate::{Change, Claim, Cx, KeyFormat, Probe, Resource, Stage, Undo};

/// Longest password in bytes: bcrypt looks at no more of it.
pub const MOST: usize = 72;
/// Cost of a hash, as a power of two: a web server pays it with each request, 10 ms at this one.
const COST: u32 = 8;

/// Users with their passwords. Others in the file stay as they are.
#[derive(Clone)]
pub struct Htpasswd {
    /// Absolute path of the file. It is made where it is not there.
    pub path: String,
    /// Its mode and owner.
    pub meta: Meta,
    /// Names and passwords.
    pub users: Vec<(String, String)>,
}

impl Htpasswd {
    fn spot<'a>(&self, user: &'a str) -> Spot<'a> {
        Spot { format: KeyFormat::Colon, section: "", key: user, repeat: false }
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = Path::new(&self.path);
        if let Some(pending) = paths::awaited(cx, path, Some(&self.meta))? {
            return Ok(pending);
        }
        let mut changes = Vec::new();
        let text = match (files::read(path)?, files::stat(cx.look, path)?) {
            (Some(text), Some(seen)) => {
                changes.extend(paths::attributes(&self.path, &seen.meta, &self.meta));
                text
            }
            _ => {
                let undo = Undo::RemoveFile { path: self.path.clone() };
                // Once our users are taken out again, it is empty, or somebody's.
                let wrote = Some(Vec::new());
                changes.push(Change { wrote, ..Change::new("file", format!("create, {}", self.meta), undo) });
                Vec::new()
            }
        };
        let mut seen = Map::new();
        for (user, password) in &self.users {
            match self.user(cx, &text, user, password)? {
                Ok(proof) => drop(seen.insert(user.clone(), Value::from(proof))),
                Err(change) => changes.push(change),
            }
        }
        Ok(if changes.is_empty() { Probe::InPlace(json!({ "users": seen })) } else { Probe::Changes(changes) })
    }

    /// The proof that a user has its password, or what has to be done about it.
    fn user(&self, cx: &Cx<'_>, text: &[u8], user: &str, password: &str) -> Result<Result<String, Change>> {
        let found = edit::value(text, self.spot(user));
        if let Some(hash) = &found {
            // A hash that was once seen to be that of the password need not be tried again.
            let proof = cx.digest(&[user.as_bytes(), password.as_bytes(), hash].join(&0));
            let known = cx.memory.seen(cx.id).and_then(|seen| seen["users"][user].as_str());
            let tried = || std::str::from_utf8(hash).is_ok_and(|hash| bcrypt::verify(password, hash).unwrap_or(false));
            if known == Some(&proof) || tried() {
                return Ok(Ok(proof));
            }
        }
        let line = format!("{user}:{}", bcrypt::non_truncating_hash(password, COST)?);
        let undo = Undo::RestoreKey {
            path: self.path.clone(),
            format: KeyFormat::Colon,
            section: String::new(),
            key: user.to_owned(),
            original: None,
            made_section: false,
            repeat: false,
        };
        let summary = if found.is_some() { format!("set the password of {user}") } else { format!("add {user}") };
        let original = found.map(|hash| [user.as_bytes(), b":", &hash].concat());
        let wrote = Some(line.into_bytes());
        Ok(Err(Change { original, wrote, ..Change::new(format!("user {user}"), summary, undo) }))
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("path", &self.path).field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl Resource for Htpasswd {
    fn sort(&self) -> &'static str {
        "htpasswd"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let user = |(user, password): &(String, String)| Claim {
            thing: format!("key:{}#{user}", self.path),
            wants: password.as_bytes().to_vec(),
        };
        [paths::claim(&self.path, "keys")].into_iter().chain(self.users.iter().map(user)).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let path = Path::new(&self.path);
        let mut text = files::read(path)?.unwrap_or_default();
        for change in changes {
            let (Some(user), Some(line)) = (change.item.strip_prefix("user "), &change.wrote) else { continue };
            // The hash that the probe made is what the journal has the digest of.
            let hash = &line[user.len() + 1..];
            match edit::set(&text, self.spot(user), hash) {
                Ok(Some(edit)) => text = edit.text,
                Ok(None) => {}
                Err(Garbled) => anyhow::bail!("{user} cannot be written into {}", self.path),
            }
        }
        files::replace(cx.look, path, &text, &self.meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    fn users(trial: &Trial, users: &[(&str, &str)]) -> Htpasswd {
        let owned = |(user, password): &(&str, &str)| ((*user).to_owned(), (*password).to_owned());
        Htpasswd { path: trial.at("users"), meta: trial.meta(0o640), users: users.iter().map(owned).collect() }
    }

    fn items(changes: &[Change]) -> Vec<String> {
        changes.iter().map(|change| format!("{}: {}", change.item, change.summary)).collect()
    }

    #[test]
    fn a_file_is_made_and_taken_back() {
        let trial = Trial::new();
        let changes = trial.bring(&users(&trial, &[("adam", "a b:c"), ("eve", "ü$")]));
        assert_eq!(items(&changes)[1..], ["user adam: add adam", "user eve: add eve"]);
        assert_eq!(trial.mode("users"), 0o640);
        let text = trial.read("users");
        assert!(text.starts_with("adam:$2b$08$") && text.lines().count() == 2, "{text}");
        assert!(trial.changes(&users(&trial, &[("eve", "ü$")])).is_empty(), "it is verified without a memory of it");

        let changed = trial.bring(&users(&trial, &[("adam", "other"), ("eve", "ü$")]));
        assert_eq!(items(&changed), ["user adam: set the password of adam"]);
        assert_eq!(trial.read("users").lines().nth(1), text.lines().nth(1));
        assert!(!format!("{changed:?}").contains("other"));

        trial.undo(&changed, false);
        assert_eq!(trial.read("users"), text);
        trial.undo(&changes, false);
        assert!(!trial.exists("users"));
    }

    #[test]
    fn other_users_stay() {
        let trial = Trial::new();
        trial.write("users", "root:$apr1$x$y\neve:{SHA}x\nnobody:z");
        let changes = trial.bring(&users(&trial, &[("eve", "x"), ("adam", "y")]));
        let text = trial.read("users");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0] == "root:$apr1$x$y" && lines[1].starts_with("eve:$2b$") && lines[2] == "nobody:z", "{text}");
        assert!(lines[3].starts_with("adam:$2b$") && lines.len() == 4);

        std::fs::write(trial.at("users"), text.replace("nobody:z", "nobody:Z")).unwrap();
        trial.undo(&changes, false);
        assert_eq!(trial.read("users"), "root:$apr1$x$y\neve:{SHA}x\nnobody:Z");
    }
}
