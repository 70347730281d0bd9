//! Users that the configuration of a Redis has already, and that would take the place of ours.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use distro::net::redis_hash;
use distro::{Class, Fault, files};
use serde_json::Value;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// Nothing in a Redis' own configuration wins over the user that is set: it changes nothing, and what wins is a conflict. The server would
/// be up again with somebody else's password, or not at all.
#[derive(Clone)]
pub struct RedisUsers {
    /// Its unit.
    pub unit: String,
    /// Absolute path of its configuration file, which includes ours.
    pub main: String,
    /// Absolute path of ours.
    pub own: String,
    /// Name of our user; the default user where there is none.
    pub user: Option<String>,
    /// The user's password.
    pub password: String,
}

impl RedisUsers {
    /// What wins in the text of the configuration, and what to do about it.
    fn wins(&self, text: &str) -> Option<(String, &'static str)> {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let key = words.next().unwrap_or_default().to_ascii_lowercase();
            // `CONFIG REWRITE` quotes what it writes where that is needed.
            let word = words.next().unwrap_or_default().trim_matches(['"', '\'']);
            if key == "aclfile" && !word.is_empty() {
                let advice = "the server takes no other users then: take that line out, write the users of the file (but default) as lines \
                              `user …` in its place, then run it again";
                return Some((format!("aclfile {word}"), advice));
            }
            let is_ours = word == "default" || Some(word) == self.user.as_deref();
            if key == "user" && is_ours && !(self.user.is_none() && self.is_same(words)) {
                return Some((format!("user {word}"), "take that line out, then run it again: the user is set by us"));
            }
        }
        None
    }

    /// Do the rules of a user say the same as our `requirepass`?
    fn is_same<'a>(&self, rules: impl Iterator<Item = &'a str>) -> bool {
        let hash = format!("#{}", redis_hash(&self.password));
        let mut passwords = 0;
        let known = rules.map(|rule| rule.trim_matches('"')).all(|rule| {
            passwords += usize::from(rule == hash);
            ["on", "sanitize-payload", "~*", "&*", "+@all", &hash].contains(&rule)
        });
        known && passwords == 1
    }

    /// Insists that nothing in the text of the file at `path` wins.
    fn refuse(&self, path: &str, text: &str) -> Result<()> {
        let Some((line, advice)) = self.wins(text) else { return Ok(()) };
        let message = format!("{path} has a line '{line}', which would win over the password of this step");
        Err(Fault::new(Class::Conflict, message).advice(advice).into())
    }

    fn look(&self) -> Result<Probe> {
        let main = text(&self.main)?;
        let included = main.lines().filter_map(|line| {
            let (key, path) = line.trim().split_once([' ', '\t'])?;
            let path = path.trim().trim_matches(['"', '\'']);
            (key.eq_ignore_ascii_case("include") && path != self.own).then(|| path.to_owned())
        });
        self.refuse(&self.main, &main)?;
        for path in included {
            self.refuse(&path, &text(&path)?)?;
        }
        Ok(Probe::InPlace(Value::Null))
    }
}

fn text(path: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&files::read(Path::new(path))?.unwrap_or_default()).into_owned())
}

impl fmt::Debug for RedisUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUsers").field("main", &self.main).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Resource for RedisUsers {
    fn sort(&self) -> &'static str {
        "redis_users"
    }

    fn key(&self) -> String {
        self.main.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn units(&self) -> Vec<String> {
        vec![self.unit.clone()]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.main, self.look())
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn users_that_would_win_are_a_conflict() {
        let trial = Trial::new();
        let same = "#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        for (text, default, named) in [
            ("# user default on >x\nuser guest on >x ~* +@all\nrequirepass y\naclfile \"\"\n", None, None),
            ("user default on >theirs ~* +@all\n", Some("user default"), Some("user default")),
            ("USER default on nopass ~* +@all\n", Some("user default"), Some("user default")),
            ("user app on >x ~* +@all\n", None, Some("user app")),
            (
                "aclfile /etc/redis/users.acl\n",
                Some("aclfile /etc/redis/users.acl"),
                Some("aclfile /etc/redis/users.acl"),
            ),
            // What `CONFIG REWRITE` makes of our own: beside the line of ours a named user is there twice.
            (&format!("user default on sanitize-payload {same} ~* &* +@all\n"), None, Some("user default")),
            (&format!("user default on {same} #00 ~* +@all\n"), Some("user default"), Some("user default")),
            (&format!("user default on {same} ~* +@all -keys\n"), Some("user default"), Some("user default")),
        ] {
            let includes = format!("include {}\nInclude \"{}\"\n", trial.at("own.conf"), trial.at("more.conf"));
            trial.write("own.conf", "user default off\nuser app on >x\n");
            for (file, user, wanted) in [
                ("redis.conf", None, default),
                ("redis.conf", Some("app".to_owned()), named),
                ("more.conf", None, default),
                ("more.conf", Some("app".to_owned()), named),
            ] {
                trial.write("more.conf", "");
                trial.write("redis.conf", &includes);
                let text = if file == "more.conf" { text.to_owned() } else { format!("{includes}{text}") };
                trial.write(file, &text);
                let users = RedisUsers {
                    unit: "redis.service".into(),
                    main: trial.at("redis.conf"),
                    own: trial.at("own.conf"),
                    user,
                    password: "x".into(),
                };
                let found = trial.probe(&users).err().map(|error| (Fault::class_of(&error), error.to_string()));
                match (found, wanted) {
                    (None, None) => {}
                    (Some((Class::Conflict, said)), Some(line)) => {
                        assert!(
                            said.contains(&format!("{file} has a line '{line}', which ")) && !said.contains("theirs"),
                            "{said}"
                        );
                    }
                    (found, _) => panic!("{text} {:?}: {found:?}", users.user),
                }
            }
        }
    }
}
