//! A certificate of our own making, which signs itself.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use distro::certificate::{self, Certificate, Flaw};
use distro::files::{self, Meta};
use distro::net;
use serde_json::json;

use super::file::File;
use super::paths;
use crate::kinds::offer;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A certificate and its key. Once made they stay, as long as the certificate is good for `names` and has time left: what else the host is
/// called by then is no reason to make another one, which users would have to trust again.
#[derive(Debug)]
pub struct OwnCertificate {
    /// Where they are.
    pub files: offer::Certificate,
    /// Names and addresses that it has to be good for.
    pub names: Vec<String>,
    /// Names that it is made for besides, with the addresses of the host.
    pub also: Vec<String>,
}

/// What is to be on the host.
struct Wanted {
    key: String,
    certificate: String,
    /// Why it is another certificate than the one that is there.
    why: String,
}

impl OwnCertificate {
    /// What is there, where it is good; in place of what is not, something newly made.
    fn wanted(&self, now: SystemTime) -> Result<Wanted> {
        let text = |path: &str| -> Result<Option<String>> {
            Ok(files::read(Path::new(path))?.and_then(|bytes| String::from_utf8(bytes).ok()))
        };
        let (key, found) = (text(&self.files.key)?, text(&self.files.certificate)?);
        let why = match (&key, &found) {
            (Some(key), Some(found)) => match self.flaw(key, found, now) {
                None => return Ok(Wanted { key: key.clone(), certificate: found.clone(), why: String::new() }),
                Some(why) => why,
            },
            _ => String::new(),
        };
        let names = self.all_names()?;
        // A run that was killed has left the key alone.
        if let Some(key) = key
            && let Ok(certificate) = certificate::self_signed(&names, &key, now)
        {
            return Ok(Wanted { key, certificate, why });
        }
        let key = certificate::new_key()?;
        Ok(Wanted { certificate: certificate::self_signed(&names, &key, now)?, key, why })
    }

    /// Why the certificate has to be made anew.
    fn flaw(&self, key: &str, found: &str, now: SystemTime) -> Option<String> {
        let good = || -> Result<(), Flaw> {
            let certificate = Certificate::parse(found.as_bytes())?;
            certificate.check_key(key.as_bytes())?;
            self.names.iter().try_for_each(|name| certificate.check_name(name))?;
            certificate.check_left(now)
        };
        good().err().map(|flaw| flaw.to_string())
    }

    fn all_names(&self) -> Result<Vec<String>> {
        let mut names = self.names.clone();
        let addresses = net::own_addresses()?.into_iter().map(|address| address.to_string());
        let also = self.also.iter().cloned().chain(["localhost".to_owned()]).chain(addresses);
        for name in also.filter(|name| !name.is_empty()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// What makes the two files, by the beginning of its items' names.
    fn parts(&self, key: &str, certificate: &str) -> [(&'static str, File); 2] {
        let file = |path: &str, mode, content: &str| File {
            meta: Meta::root(mode),
            sensitive: true,
            ..File::new(path, content)
        };
        // The key first: a certificate can be made for it again, but not the other way round.
        [
            ("key ", file(&self.files.key, 0o600, key)),
            ("certificate ", file(&self.files.certificate, 0o644, certificate)),
        ]
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let wanted = self.wanted(SystemTime::now())?;
        let mut changes = Vec::new();
        for (part, file) in self.parts(&wanted.key, &wanted.certificate) {
            let found = match file.probe(cx)? {
                Probe::InPlace(_) => continue,
                Probe::Changes(found) => found,
                other => return Ok(other),
            };
            changes.extend(found.into_iter().map(|change| {
                let why = if part == "certificate " && change.item == "content" { wanted.why.as_str() } else { "" };
                let mut summary = format!("{part}{}", change.summary);
                if !why.is_empty() {
                    summary = format!("make the certificate anew: {why}");
                }
                Change { item: format!("{part}{}", change.item), summary, ..change }
            }));
        }
        if changes.is_empty() {
            let both = format!("{}{}", wanted.key, wanted.certificate);
            return Ok(Probe::InPlace(json!({ "digest": cx.digest(both.as_bytes()) })));
        }
        Ok(Probe::Changes(changes))
    }
}

impl Resource for OwnCertificate {
    fn sort(&self) -> &'static str {
        "tls_certificate"
    }

    fn key(&self) -> String {
        self.files.certificate.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let wants = format!("signs itself, for {}", self.names.join(" "));
        [&self.files.certificate, &self.files.key].map(|path| paths::claim(path, wants.clone())).to_vec()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.files.key, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        for (part, mut file) in self.parts("", "") {
            let of_part = |change: &Change| {
                let item = change.item.strip_prefix(part)?.to_owned();
                Some(Change { item, ..change.clone() })
            };
            let changes: Vec<Change> = changes.iter().filter_map(of_part).collect();
            if changes.is_empty() {
                continue;
            }
            // What the probe made is what the journal has the digest of.
            if let Some(made) = changes.iter().find(|change| change.item == "content").and_then(|one| one.wrote.clone())
            {
                file.content = made;
            }
            file.apply(cx, &changes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;
    use crate::{Undo, Undone};

    fn own(trial: &Trial, names: &[&str]) -> OwnCertificate {
        OwnCertificate {
            files: offer::Certificate {
                certificate: trial.at("a.crt"),
                key: trial.at("a.key"),
                webroot: None,
                renewed: false,
            },
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            also: vec!["box".into()],
        }
    }

    #[test]
    fn it_is_made_once_and_taken_back() {
        let trial = Trial::new();
        if !trial.host.root {
            return; // The files are root's.
        }
        let changes = trial.bring(&own(&trial, &["a.example"]));
        let items: Vec<&str> = changes.iter().map(|change| change.item.as_str()).collect();
        assert_eq!(items, ["key content", "certificate content"]);
        assert!(changes.iter().all(|change| change.diff.is_none() && matches!(change.undo, Undo::RemoveFile { .. })));
        assert_eq!((trial.mode("a.key"), trial.mode("a.crt")), (0o600, 0o644));
        let (key, made) = (trial.read("a.key"), trial.read("a.crt"));
        let certificate = Certificate::parse(made.as_bytes()).unwrap();
        for name in ["a.example", "box", "localhost", "127.0.0.1"] {
            assert_eq!(certificate.check_name(name), Ok(()), "{name}");
        }

        // Other names of the host are no reason, another name of the site is one; the key stays.
        let renamed = OwnCertificate { also: vec!["other".into()], ..own(&trial, &["a.example"]) };
        assert!(trial.changes(&renamed).is_empty());
        let changes = trial.bring(&own(&trial, &["b.example"]));
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].summary, "make the certificate anew: the certificate is not valid for 'b.example'");
        assert_eq!(trial.read("a.key"), key);

        // A killed run left the key alone, or somebody lost it.
        std::fs::remove_file(trial.at("a.crt")).unwrap();
        assert_eq!(trial.bring(&own(&trial, &["a.example"])).len(), 1);
        assert_eq!(trial.read("a.key"), key);
        std::fs::remove_file(trial.at("a.key")).unwrap();
        let changes = trial.bring(&own(&trial, &["a.example"]));
        assert_eq!(changes.len(), 2);

        let both = [&changes[..1], &changes[1..]].concat();
        let undone = trial.undo(&both[..1], false);
        assert!(matches!(&undone[..], [Undone::Done(_)]) && !trial.exists("a.key"));
    }

    #[test]
    fn it_is_renewed_when_less_than_thirty_days_are_left_and_never_before() {
        let trial = Trial::new();
        let (own, now) = (own(&trial, &["a.example"]), SystemTime::now());
        let made = own.wanted(now).unwrap();
        let flaw =
            |days: u64| own.flaw(&made.key, &made.certificate, now + std::time::Duration::from_secs(days * 24 * 3600));
        for (days, wanted) in [
            (0, None),
            (366, None),
            (368, Some("the certificate expires in 29 days")),
            (399, Some("the certificate expired 2 days ago")),
        ] {
            assert_eq!(flaw(days).as_deref(), wanted, "after {days} days");
        }
    }
}
