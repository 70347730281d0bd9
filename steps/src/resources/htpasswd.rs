//! Users in a file as the program `htpasswd` writes it.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use serde_json::{Map, Value, json};

use super::edit::{self, Back, Garbled};
use super::paths;
use super::setting::Spot;
use crate::{Change, Claim, Cx, KeyFormat, Probe, Resource, Stage, Undo};

/// Longest password in bytes: bcrypt looks at 72, of which the last is the end.
pub const MOST: usize = 71;
/// Cost of a hash, as a power of two: a web server pays it with each request, 10 ms at this one.
const COST: u32 = 8;

/// Users with their passwords. Others in the file stay as they are, but for those that were made here and are not named any more.
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
        changes.extend(self.bygone(cx, &text));
        Ok(if changes.is_empty() { Probe::InPlace(json!({ "users": seen })) } else { Probe::Changes(changes) })
    }

    /// The removal of users that were made here, whom nobody names any more, and whom nobody gave another password since.
    fn bygone(&self, cx: &Cx<'_>, text: &[u8]) -> Vec<Change> {
        let removal = |(item, wrote): (&str, &[String])| {
            let user = item.strip_prefix("user ")?;
            // Another product may name them in the same file.
            if self.users.iter().any(|(name, _)| name == user) || cx.memory.is_shared(&self.thing(user)) {
                return None;
            }
            let hash = edit::value(text, self.spot(user))?;
            let is_ours = wrote.contains(&cx.digest(&[user.as_bytes(), b":", &hash].concat()));
            is_ours.then(|| Change::new(item, format!("remove {user}, whom nobody names any more"), self.undo(user)))
        };
        cx.memory.made(cx.id).into_iter().filter_map(removal).collect()
    }

    fn thing(&self, user: &str) -> String {
        format!("key:{}#{user}", self.path)
    }

    fn undo(&self, user: &str) -> Undo {
        Undo::RestoreKey {
            path: self.path.clone(),
            format: KeyFormat::Colon,
            section: String::new(),
            key: user.to_owned(),
            original: None,
            made_section: false,
            repeat: false,
        }
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
        let undo = self.undo(user);
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
            thing: self.thing(user),
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
            let Some(user) = change.item.strip_prefix("user ") else { continue };
            let Some(line) = &change.wrote else {
                if let Back::Text(rest) = edit::take_back(&text, self.spot(user), |_| true, None, false) {
                    text = rest;
                }
                continue;
            };
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
    fn the_longest_password_is_taken() {
        let trial = Trial::new();
        trial.bring(&users(&trial, &[("adam", &"x".repeat(MOST))]));
    }

    /// Remembers what was written of users, and which thing another product claims.
    struct Journal(Vec<(String, Vec<String>)>, String);

    impl crate::Memory for Journal {
        fn seen(&self, _: &str) -> Option<&Value> {
            None
        }

        fn intended(&self, _: &str) -> bool {
            true
        }

        fn is_shared(&self, thing: &str) -> bool {
            thing == self.1
        }

        fn made(&self, _: &str) -> Vec<(&str, &[String])> {
            self.0.iter().map(|(item, wrote)| (item.as_str(), wrote.as_slice())).collect()
        }
    }

    #[test]
    fn who_is_not_named_any_more_is_removed() {
        let trial = Trial::new();
        trial.write("users", "root:x\n");
        let made = trial.bring(&users(&trial, &[("adam", "a"), ("eve", "e"), ("seth", "s"), ("noah", "n")]));
        let before = trial.read("users");
        // One has chosen another password since.
        let seth = before.lines().find(|line| line.starts_with("seth:")).unwrap();
        trial.write("users", &before.replace(seth, "seth:other"));
        let named = users(&trial, &[("adam", "a")]);
        let again = trial.with(|cx| {
            let told = |change: &Change| change.wrote.as_ref().map(|line| (change.item.clone(), vec![cx.digest(line)]));
            let shared = format!("key:{}#noah", trial.at("users"));
            let memory = Journal(made.iter().filter_map(told).collect(), shared);
            let cx = &Cx { memory: &memory, ..*cx };
            let Probe::Changes(changes) = named.probe(cx).unwrap() else { panic!("nobody is removed") };
            assert_eq!(items(&changes), ["user eve: remove eve, whom nobody names any more"]);
            named.apply(cx, &changes).unwrap();
            named.probe(cx).unwrap()
        });
        assert!(matches!(again, Probe::InPlace(_)), "{again:?}");
        let left: Vec<String> =
            trial.read("users").lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(left, ["root", "adam", "seth", "noah"]);
        trial.undo(&made, false);
        assert_eq!(trial.read("users"), "root:x\nseth:other\n");
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
