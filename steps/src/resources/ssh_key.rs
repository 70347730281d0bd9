//! A key with which a user logs in by SSH.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use distro::ssh_key::{SORT, new_key, public_half};
use distro::{Class, Fault};
use serde_json::json;

use super::edit::{self, Garbled};
use super::file::File;
use super::paths;
use super::setting::Spot;
use crate::{Change, Claim, Cx, KeyFormat, Probe, Resource, Stage, Undo};

/// Names of the parts among the items.
const PARTS: [&str; 2] = ["key ", "public half "];
const AUTHORIZED: &str = "authorized";

/// A key pair of a user's. One that is there stays, whatever sort it is of.
#[derive(Debug)]
pub struct SshKey {
    /// Absolute path of the private key. The public one is beside it, as `.pub`.
    pub path: String,
    /// The user.
    pub user: String,
    /// Group of the files.
    pub group: String,
    /// File of those who may log in as the user, where that is to be who has this key.
    pub authorized: Option<String>,
}

/// What is to be on the host.
struct Wanted {
    key: String,
    /// A line: sort, public half, comment.
    public: String,
}

impl SshKey {
    fn public_path(&self) -> String {
        format!("{}.pub", self.path)
    }

    /// What is there; in place of what is not, something newly made.
    fn wanted(&self) -> Result<Wanted> {
        let text = |path: &str| -> Result<Option<String>> {
            let text = files::read(Path::new(path))?.and_then(|bytes| String::from_utf8(bytes).ok());
            Ok(text.filter(|text| !text.trim().is_empty()))
        };
        let (key, public) = (text(&self.path)?, text(&self.public_path())?);
        let key = key.map_or_else(new_key, Ok)?;
        match (public_half(&key), public) {
            (Some(half), Some(public)) if public.split_whitespace().nth(1) == Some(&half) => Ok(Wanted { key, public }),
            (Some(half), _) => Ok(Wanted { key, public: format!("{SORT} {half} {}\n", self.user) }),
            (None, Some(public)) => Ok(Wanted { key, public }),
            (None, None) => {
                let message =
                    format!("{} has a key of another sort, and there is no {}", self.path, self.public_path());
                let advice = format!(
                    "run `ssh-keygen -y -f {} > {}`, then run again with --resume",
                    self.path,
                    self.public_path()
                );
                Err(Fault::new(Class::Conflict, message).advice(advice).into())
            }
        }
    }

    fn parts(&self, wanted: &Wanted) -> [File; 2] {
        let file = |path: String, mode, content: &str| File {
            meta: Meta::new(mode, self.user.clone(), self.group.clone()),
            sensitive: true,
            ..File::new(path, content)
        };
        [file(self.path.clone(), 0o600, &wanted.key), file(self.public_path(), 0o644, &wanted.public)]
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let wanted = self.wanted()?;
        let mut changes = Vec::new();
        for (part, file) in PARTS.into_iter().zip(self.parts(&wanted)) {
            match file.probe(cx)? {
                Probe::InPlace(_) => {}
                Probe::Changes(found) => changes.extend(found.into_iter().map(|change| Change {
                    item: format!("{part}{}", change.item),
                    summary: format!("{part}{}", change.summary),
                    ..change
                })),
                other => return Ok(other),
            }
        }
        if let Some(path) = &self.authorized {
            changes.extend(self.authorize(path, &wanted)?);
        }
        Ok(match changes.is_empty() {
            true => Probe::InPlace(json!({ "digest": cx.digest(wanted.public.as_bytes()) })),
            false => Probe::Changes(changes),
        })
    }

    /// The changes that let in who has the key.
    fn authorize(&self, path: &str, wanted: &Wanted) -> Result<Vec<Change>> {
        let found = files::read(Path::new(path))?;
        let text = found.clone().unwrap_or_default();
        let line = wanted.public.trim();
        let half = line.split_whitespace().nth(1).unwrap_or_default();
        let is_there =
            |line: &str| !line.trim_start().starts_with('#') && line.split_whitespace().any(|word| word == half);
        if String::from_utf8_lossy(&text).lines().any(is_there) {
            return Ok(Vec::new());
        }
        let sort = line.split_whitespace().next().unwrap_or_default();
        let undo = Undo::RestoreKey {
            path: path.to_owned(),
            format: KeyFormat::Space,
            section: String::new(),
            key: sort.to_owned(),
            original: None,
            made_section: false,
            repeat: true,
        };
        let mut changes = Vec::new();
        if found.is_none() {
            // Once the line is taken out again, it is empty, or somebody's.
            let (wrote, undo) = (Some(Vec::new()), Undo::RemoveFile { path: path.to_owned() });
            changes.push(Change { wrote, ..Change::new("authorized_keys", format!("create {path}"), undo) });
        }
        let wrote = Some(line.as_bytes().to_vec());
        changes.push(Change { wrote, ..Change::new(AUTHORIZED, format!("let {} in with it", self.user), undo) });
        Ok(changes)
    }
}

impl Resource for SshKey {
    fn sort(&self) -> &'static str {
        "ssh_key"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let wants = format!("key of {}", self.user);
        let keys = self.authorized.iter().map(|path| paths::claim(path, "keys"));
        [self.path.clone(), self.public_path()]
            .iter()
            .map(|path| paths::claim(path, wants.clone()))
            .chain(keys)
            .collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let nothing = Wanted { key: String::new(), public: String::new() };
        for (part, mut file) in PARTS.into_iter().zip(self.parts(&nothing)) {
            let of_part = |change: &Change| {
                let item = change.item.strip_prefix(part)?.to_owned();
                Some(Change { item, ..change.clone() })
            };
            let changes: Vec<Change> = changes.iter().filter_map(of_part).collect();
            // What the probe made is what the journal has the digest of.
            if let Some(made) =
                changes.iter().find_map(|change| change.wrote.clone().filter(|_| change.item == "content"))
            {
                file.content = made;
            }
            if !changes.is_empty() {
                file.apply(cx, &changes)?;
            }
        }
        let line = changes.iter().find(|change| change.item == AUTHORIZED).and_then(|change| change.wrote.as_deref());
        let (Some(path), Some(line)) = (&self.authorized, line) else { return Ok(()) };
        let text = files::read(Path::new(path))?.unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let (sort, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let spot = Spot { format: KeyFormat::Space, section: "", key: sort, repeat: true };
        let meta = match files::stat(cx.look, Path::new(path))? {
            Some(seen) => seen.meta,
            None => Meta::new(0o600, self.user.clone(), self.group.clone()),
        };
        match edit::set(&text, spot, rest.as_bytes()) {
            Ok(Some(edit)) => files::replace(cx.look, Path::new(path), &edit.text, &meta),
            Ok(None) => Ok(()),
            Err(Garbled) => anyhow::bail!("the key cannot be written into {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    fn key(trial: &Trial) -> SshKey {
        let Meta { owner, group, .. } = trial.meta(0);
        SshKey { path: trial.at("id"), user: owner, group, authorized: Some(trial.at("authorized")) }
    }

    #[test]
    fn a_key_is_made_and_taken_back() {
        let trial = Trial::new();
        trial.write("authorized", "# mine\necdsa-sha2-nistp256 AAAA somebody\n");
        let changes = trial.bring(&key(&trial));
        let items: Vec<&str> = changes.iter().map(|change| change.item.as_str()).collect();
        assert_eq!(items, ["key content", "public half content", "authorized"]);
        assert_eq!((trial.mode("id"), trial.mode("id.pub")), (0o600, 0o644));
        let public = trial.read("id.pub");
        assert!(trial.read("authorized").ends_with(&format!("somebody\n{public}")), "{}", trial.read("authorized"));
        trial.undo(&changes, false);
        assert_eq!(trial.read("authorized"), "# mine\necdsa-sha2-nistp256 AAAA somebody\n");
        assert!(!Path::new(&trial.at("id")).exists() && !Path::new(&trial.at("id.pub")).exists());
    }

    #[test]
    fn a_key_that_is_there_stays() {
        let trial = Trial::new();
        trial.with(|cx| trial.file("id", "a key of another sort", 0o600).apply(cx, &[])).unwrap();
        let error = trial.probe(&key(&trial)).unwrap_err();
        assert!(error.to_string().contains("has a key of another sort, and there is no"), "{error}");
        trial.with(|cx| trial.file("id.pub", "ssh-rsa AAAB eve@box\n", 0o644).apply(cx, &[])).unwrap();
        let changes = trial.bring(&key(&trial));
        assert_eq!(changes.len(), 2);
        assert_eq!((trial.read("authorized"), trial.mode("authorized")), ("ssh-rsa AAAB eve@box\n".to_owned(), 0o600));
        assert_eq!(trial.read("id"), "a key of another sort");
        trial.undo(&changes, false);
        assert!(!Path::new(&trial.at("authorized")).exists() && Path::new(&trial.at("id")).exists());
    }
}
