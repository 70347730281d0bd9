//! Everything on the host's disk, seen from outside: no link is followed and nothing is written.

use super::{
    accounts::Accounts,
    content::{self, Stamped},
    rules::{Look, Rules},
};
use crate::host::Host;
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// No file with a secret in it is as large.
const SECRETS_LIMIT: u64 = 1 << 20;

/// Adds the facts about files and returns the numbers of the rules that matched one.
pub(super) fn collect(
    host: &Host,
    rules: &Rules,
    accounts: &Accounts,
    secrets: &BTreeMap<String, String>,
    facts: &mut BTreeMap<String, String>,
) -> Result<BTreeSet<usize>> {
    let mut walk = Walk { root: host.disk(), rules, accounts, used: BTreeSet::new(), found: Vec::new() };
    walk.folder(Path::new("/"))?;
    let (used, found) = (walk.used, walk.found);
    let whole: Vec<Stamped> = found.iter().filter_map(|one| one.stamped.clone()).collect();
    let digests = content::digests(&whole)?;
    for one in found {
        let content = match one.content {
            Content::Digest if one.may_hold_secrets && !secrets.is_empty() => {
                let named = content::but_for(&one.outside, secrets)?;
                named.or_else(|| digests.get(&one.outside).cloned()).unwrap_or_else(|| "vanished".to_owned())
            }
            Content::Digest => digests.get(&one.outside).cloned().unwrap_or_else(|| "vanished".to_owned()),
            Content::Pem => content::pem(&one.outside)?,
            Content::Known(text) => text,
        };
        facts.insert(format!("file {}", one.path), format!("{} {content}", one.head).trim_end().to_owned());
    }
    Ok(used)
}

#[derive(PartialEq)]
enum Content {
    Digest,
    Pem,
    Known(String),
}

struct Found {
    path: String,
    outside: PathBuf,
    head: String,
    content: Content,
    stamped: Option<Stamped>,
    may_hold_secrets: bool,
}

struct Walk<'a> {
    root: PathBuf,
    rules: &'a Rules,
    accounts: &'a Accounts,
    used: BTreeSet<usize>,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn folder(&mut self, inside: &Path) -> Result<()> {
        let outside = self.outside(inside);
        let entries = fs::read_dir(&outside).with_context(|| format!("cannot list {}", outside.display()))?;
        for entry in entries {
            self.entry(&inside.join(entry?.file_name()))?;
        }
        Ok(())
    }

    fn entry(&mut self, inside: &Path) -> Result<()> {
        let path = inside.to_string_lossy().into_owned();
        let (look, rule) = self.rules.look_at(&path);
        self.used.extend(rule);
        if look == Look::Skip {
            return Ok(());
        }
        let outside = self.outside(inside);
        // What is gone by now was not there.
        let Ok(data) = fs::symlink_metadata(&outside) else { return Ok(()) };
        let kind = data.file_type();
        let owner = format!("{}:{}", self.accounts.user(data.uid()), self.accounts.group(data.gid()));
        let (letter, content) = if kind.is_dir() {
            ("d", Content::Known(String::new()))
        } else if kind.is_symlink() {
            ("l", Content::Known(format!("-> {}", fs::read_link(&outside)?.display())))
        } else if kind.is_file() {
            ("f", file_content(look, data.len()))
        } else if kind.is_fifo() {
            ("p", Content::Known(String::new()))
        } else if kind.is_socket() {
            ("s", Content::Known(String::new()))
        } else {
            ("n", Content::Known(format!("device {:x}", data.rdev())))
        };
        let mode = if kind.is_symlink() { String::new() } else { format!(" {:04o}", data.mode() & 0o7777) };
        if look != Look::Unlisted {
            let stamped = (content == Content::Digest).then(|| Stamped::new(outside.clone(), &data));
            let head = format!("{letter}{mode} {owner}");
            let may_hold_secrets = data.len() < SECRETS_LIMIT && !path.starts_with("/usr/");
            self.found.push(Found { path, outside, head, content, stamped, may_hold_secrets });
        }
        if kind.is_dir() { self.folder(inside) } else { Ok(()) }
    }

    fn outside(&self, inside: &Path) -> PathBuf {
        self.root.join(inside.strip_prefix("/").unwrap_or(inside))
    }
}

fn file_content(look: Look, length: u64) -> Content {
    match look {
        Look::Opaque => Content::Known("opaque".to_owned()),
        _ if length == 0 => Content::Known("empty".to_owned()),
        Look::Pem => Content::Pem,
        _ => Content::Digest,
    }
}
