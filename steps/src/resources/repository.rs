//! A package repository of apt: its definition, its keyring and its pins, a file each.

use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::files;
use distro::openpgp::{self, Keyring};
use distro::{Class, Fault, apt};
use serde_json::Value;

use super::directory::Directory;
use super::file::File;
use crate::undo::Undo;
use crate::{Change, Claim, Cx, Endpoint, Probe, Resource, Stage};

const KEYRINGS: &str = "/etc/apt/keyrings";
const PREFERENCES: &str = "/etc/apt/preferences.d";

/// A repository. Its packages are trusted by its own keyring only, in which every primary key is pinned.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Name of its files, without their endings.
    name: String,
    /// What apt is told.
    definition: String,
    /// Packets of its keys; none where they are fetched ([`super::fetched_keyring`]).
    keyring: Option<Vec<u8>>,
    /// Content of its preferences; none where nothing is pinned.
    pins: Option<String>,
    uris: Vec<String>,
    suites: Vec<String>,
}

/// What a repository is defined by.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    /// Name of its files, without their endings.
    pub name: String,
    /// Where it is.
    pub uris: Vec<String>,
    /// Suites, or paths that end in `/`.
    pub suites: Vec<String>,
    /// Components, none where suites are paths.
    pub components: Vec<String>,
    /// Architectures, where not all that the host knows are offered.
    pub architectures: Vec<String>,
    /// Its keyring, ASCII-armored or binary; none where it is fetched.
    pub key: Option<Vec<u8>>,
    /// Full fingerprints of the keys that may be in it.
    pub fingerprints: Vec<String>,
    /// Which versions are preferred.
    pub pins: Vec<Pin>,
}

/// A preference (apt_preferences(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Names or patterns of packages.
    pub packages: Vec<String>,
    /// What is preferred: `version 5:7.*`, `origin packages.example.com`, `release a=stable`.
    pub pin: String,
    /// Priority: over 1000 also downgrades.
    pub priority: i32,
}

impl Repository {
    /// Checks the keyring and writes the files, in memory.
    ///
    /// # Errors
    /// Class `repository`, where the key is none, or holds a primary key that is not pinned; class `blueprint`, where a
    /// fingerprint is not a full one.
    pub fn new(definition: Definition) -> Result<Self, Fault> {
        let what = format!("repository '{}'", definition.name);
        let pinned = pinned(&what, &definition.fingerprints)?;
        let keyring = definition.key.as_ref().map(|key| checked(&what, key, &pinned)).transpose()?;
        Ok(Self {
            definition: definition_text(&definition),
            keyring,
            pins: (!definition.pins.is_empty()).then(|| pins_text(&definition.pins)),
            name: definition.name,
            uris: definition.uris,
            suites: definition.suites,
        })
    }

    /// What is written where: the keyring first, since a definition without it makes apt complain.
    fn parts(&self) -> Vec<(&'static str, File)> {
        let definition = apt::Source { name: self.name.clone(), ..apt::Source::default() }.definition();
        let keyring = self.keyring.iter().map(|packets| ("keyring", part(&keyring_path(&self.name), packets)));
        let mut parts: Vec<(&str, File)> = keyring.collect();
        parts.push(("definition", part(&definition, self.definition.as_bytes())));
        if let Some(pins) = &self.pins {
            let path = Path::new(PREFERENCES).join(format!("{}.pref", self.name));
            parts.push(("pins", part(&path, pins.as_bytes())));
        }
        parts
    }

    /// apt refuses all of its sources where two name the same repository with different keys.
    fn refuse_rivals(&self, entries: &[apt::Entry]) -> Result<(), Fault> {
        let own = apt::Source { name: self.name.clone(), ..apt::Source::default() }.definition();
        let keyring = keyring_path(&self.name);
        let rival = entries.iter().find(|entry| {
            entry.file != own
                && Path::new(&entry.signed_by) != keyring
                && self.suites.contains(&entry.suite)
                && self.uris.iter().any(|uri| uri.trim_end_matches('/') == entry.uri)
        });
        let Some(rival) = rival else { return Ok(()) };
        let message = format!("repository '{}' is in apt's sources already, with another key", self.name);
        Err(Fault::new(Class::Conflict, message)
            .evidence([format!("{}: {} {}", rival.file.display(), rival.uri, rival.suite)])
            .advice(format!("remove {} if nobody needs it, then run again", rival.file.display())))
    }
}

/// `fingerprints` as full ones.
///
/// # Errors
/// Class `blueprint`, where one is not full.
pub(crate) fn pinned(what: &str, fingerprints: &[String]) -> Result<Vec<String>, Fault> {
    let pinned = fingerprints.iter().map(|text| openpgp::fingerprint(text)).collect::<Result<Vec<_>, _>>();
    pinned.map_err(|why| {
        Fault::new(Class::Blueprint, format!("{what}: {why}"))
            .advice("write the whole fingerprint, as the vendor publishes it")
    })
}

/// The packets of the keyring `bytes`, of which every primary key has to be pinned.
///
/// # Errors
/// Class `repository`, where it is no keyring, or has a key that is not pinned.
pub(crate) fn checked(what: &str, bytes: &[u8], pinned: &[String]) -> Result<Vec<u8>, Fault> {
    let keyring = Keyring::read(bytes).map_err(|mut fault| {
        fault.message = format!("the key of {what}: {}", fault.message);
        fault
    })?;
    if let Some(stranger) = keyring.fingerprints.iter().find(|key| !pinned.contains(key)) {
        return Err(Fault::new(
            Class::Repository,
            format!("the keyring of {what} holds key {stranger}, which is not pinned"),
        )
        .evidence(keyring.fingerprints.iter().map(|key| format!("in the keyring: {key}")))
        .evidence(pinned.iter().map(|key| format!("pinned: {key}")))
        .advice("compare the fingerprints with those that the vendor publishes; pin a key only when they agree"));
    }
    Ok(keyring.packets)
}

/// Where the keyring of the repository `name` is.
pub(crate) fn keyring_path(name: &str) -> PathBuf {
    Path::new(KEYRINGS).join(format!("{name}.gpg"))
}

fn part(path: &Path, bytes: &[u8]) -> File {
    File { stage: Stage::Repositories, ..File::new(path.display().to_string(), bytes) }
}

fn definition_text(definition: &Definition) -> String {
    let mut text = "# Managed by surefoot.\nTypes: deb\n".to_owned();
    let fields = [
        ("URIs", &definition.uris),
        ("Suites", &definition.suites),
        ("Components", &definition.components),
        ("Architectures", &definition.architectures),
    ];
    for (field, values) in fields {
        if !values.is_empty() {
            text.push_str(&format!("{field}: {}\n", values.join(" ")));
        }
    }
    text.push_str(&format!("Signed-By: {}\n", keyring_path(&definition.name).display()));
    text
}

fn pins_text(pins: &[Pin]) -> String {
    let stanza =
        |pin: &Pin| format!("Package: {}\nPin: {}\nPin-Priority: {}\n", pin.packages.join(" "), pin.pin, pin.priority);
    format!("# Managed by surefoot.\n{}", pins.iter().map(stanza).collect::<Vec<_>>().join("\n"))
}

/// The folder for keyrings, which hosts as old as Debian 11 do not have.
fn keyrings() -> Directory {
    Directory { stage: Stage::Repositories, ..Directory::new(KEYRINGS) }
}

impl Resource for Repository {
    fn sort(&self) -> &'static str {
        "repository"
    }

    fn key(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Repositories
    }

    fn claims(&self) -> Vec<Claim> {
        self.parts().iter().flat_map(|(_, file)| file.claims()).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        self.refuse_rivals(&apt::entries(Path::new("/etc/apt"))?)?;
        let mut changes = Vec::new();
        if files::stat(cx.look, Path::new(KEYRINGS))?.is_none() {
            match keyrings().probe(cx)? {
                Probe::Changes(folder) => changes.extend(folder),
                other => return Ok(other),
            }
        }
        for (item, file) in self.parts() {
            match file.probe(cx)? {
                Probe::InPlace(_) => {}
                Probe::Changes(parts) => changes.extend(parts.into_iter().map(|change| Change {
                    item: format!("{item} {}", change.item),
                    summary: format!("{item}: {}", change.summary),
                    ..change
                })),
                // The folder is among the changes.
                Probe::Pending(_) if !changes.is_empty() => {
                    let undo = Undo::RemoveFile { path: file.path.clone() };
                    let change = Change::new(format!("{item} content"), format!("{item}: create"), undo);
                    changes.push(Change { wrote: Some(file.content), ..change });
                }
                other => return Ok(other),
            }
        }
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        if changes.iter().any(|change| change.item == "folder") {
            keyrings().apply(cx, changes)?;
        }
        for (item, file) in self.parts() {
            let of_part = |change: &Change| {
                let item = change.item.strip_prefix(item)?.strip_prefix(' ')?.to_owned();
                Some(Change { item, ..change.clone() })
            };
            let parts: Vec<Change> = changes.iter().filter_map(of_part).collect();
            if !parts.is_empty() {
                file.apply(cx, &parts)?;
            }
        }
        Ok(())
    }

    fn repository(&self) -> Option<String> {
        Some(self.name.clone())
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let purpose = format!("package repository {}", self.name);
        let pairs = self.uris.iter().flat_map(|uri| self.suites.iter().map(move |suite| (uri, suite)));
        pairs.map(|(uri, suite)| Endpoint { url: apt::release_url(uri, suite), purpose: purpose.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key packet that is one only for the eye: version 4 and six bytes.
    const KEY: [u8; 8] = [0xc6, 6, 4, 0, 0, 0, 0, 1];

    fn definition() -> Definition {
        let fingerprints = Keyring::read(&KEY).unwrap().fingerprints;
        Definition {
            name: "redis".into(),
            uris: vec!["https://packages.example.net/deb".into()],
            suites: vec!["bookworm".into()],
            components: vec!["main".into()],
            architectures: vec!["amd64".into(), "arm64".into()],
            key: Some(KEY.to_vec()),
            fingerprints,
            pins: vec![Pin { packages: vec!["redis*".into()], pin: "version 5:7.*".into(), priority: 1001 }],
        }
    }

    #[test]
    fn the_files_are_what_apt_reads() {
        let repository = Repository::new(definition()).unwrap();
        let written: Vec<(&str, String, String)> = repository
            .parts()
            .iter()
            .map(|(item, file)| (*item, file.path.clone(), String::from_utf8_lossy(&file.content).into_owned()))
            .collect();
        assert_eq!(written[0].1, "/etc/apt/keyrings/redis.gpg");
        assert_eq!(repository.keyring.as_deref(), Some(&KEY[..]));
        let expected = "\
# Managed by surefoot.
Types: deb
URIs: https://packages.example.net/deb
Suites: bookworm
Components: main
Architectures: amd64 arm64
Signed-By: /etc/apt/keyrings/redis.gpg
";
        assert_eq!(written[1], ("definition", "/etc/apt/sources.list.d/redis.sources".into(), expected.into()));
        let expected = "# Managed by surefoot.\nPackage: redis*\nPin: version 5:7.*\nPin-Priority: 1001\n";
        assert_eq!(written[2], ("pins", "/etc/apt/preferences.d/redis.pref".into(), expected.into()));
        assert_eq!(repository.claims().len(), 3);
        let without = Repository::new(Definition { pins: Vec::new(), ..definition() }).unwrap();
        assert_eq!(without.claims().len(), 2);
    }

    #[test]
    fn every_key_must_be_pinned() {
        let two = [&KEY[..], &[0xc6, 6, 4, 0, 0, 0, 0, 2]].concat();
        let fault = Repository::new(Definition { key: Some(two), ..definition() }).unwrap_err();
        assert_eq!(fault.class, Class::Repository);
        let stranger = &Keyring::read(&[0xc6, 6, 4, 0, 0, 0, 0, 2]).unwrap().fingerprints[0];
        assert!(fault.message.contains(stranger.as_str()), "{fault}");

        let fault = Repository::new(Definition { key: Some(b"<html>".to_vec()), ..definition() }).unwrap_err();
        assert_eq!(fault.class, Class::Repository);
        assert!(fault.message.starts_with("the key of repository 'redis': "), "{fault}");
        let fault = Repository::new(Definition { fingerprints: vec!["0EBFCD88".into()], ..definition() }).unwrap_err();
        assert_eq!(fault.class, Class::Blueprint);
    }

    #[test]
    fn the_same_repository_with_another_key_is_a_conflict() {
        let repository = Repository::new(definition()).unwrap();
        let entry = |file: &str, suite: &str, signed_by: &str| apt::Entry {
            file: file.into(),
            uri: "https://packages.example.net/deb".into(),
            suite: suite.into(),
            signed_by: signed_by.into(),
        };
        let list = "/etc/apt/sources.list.d/redis.list";
        assert!(repository.refuse_rivals(&[entry("/etc/apt/sources.list.d/redis.sources", "bookworm", "/k")]).is_ok());
        assert!(repository.refuse_rivals(&[entry(list, "trixie", "/k")]).is_ok());
        assert!(repository.refuse_rivals(&[entry(list, "bookworm", "/etc/apt/keyrings/redis.gpg")]).is_ok());
        let fault = repository.refuse_rivals(&[entry(list, "bookworm", "")]).unwrap_err();
        assert_eq!(fault.class, Class::Conflict);
        assert!(fault.evidence[0].starts_with(list), "{fault:?}");
    }
}
