//! What an engine does with resources, in a folder of its own, for tests.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use distro::{Facts, Host, Look, Runner};
use serde_json::Value;

use super::file::File;
use crate::{Change, Cx, Memory, Probe, Resource, UndoCx, Undone};

const KEY: &[u8] = b"key";

/// A journal that knows nothing, but whether all that is there was made.
struct Known {
    made: bool,
}

impl Memory for Known {
    fn seen(&self, _: &str) -> Option<&Value> {
        None
    }

    fn intended(&self, _: &str) -> bool {
        false
    }

    fn installed(&self, _: &str) -> bool {
        self.made
    }

    fn has_made(&self, _: &str, _: &str) -> bool {
        self.made
    }
}

/// A folder, and what an engine does with resources in it.
pub(crate) struct Trial {
    folder: tempfile::TempDir,
    /// This machine.
    pub host: Host,
    /// Does the journal say of all that is there that it was made?
    pub made: bool,
}

impl Trial {
    pub fn new() -> Self {
        let root = nix::unistd::Uid::effective().is_root();
        let host = Host { facts: Facts::gather(Path::new("/")).unwrap(), runner: Runner::quiet(), root };
        Self { folder: tempfile::tempdir().unwrap(), host, made: false }
    }

    pub fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Mode, with ourselves as owner.
    pub fn meta(&self, mode: u32) -> Meta {
        Meta { mode, ..files::stat(&Look::new(&self.host), self.folder.path()).unwrap().unwrap().meta }
    }

    pub fn with<T>(&self, act: impl FnOnce(&Cx<'_>) -> T) -> T {
        let look = Look::new(&self.host);
        let memory = Known { made: self.made };
        act(&Cx {
            host: &self.host,
            look: &look,
            memory: &memory,
            key: KEY,
            id: "t/t:t",
            changing: &[],
            survivor: &|_| Ok(()),
        })
    }

    pub fn probe(&self, resource: &dyn Resource) -> Result<Probe> {
        self.with(|cx| resource.probe(cx))
    }

    /// The changes that the resource wants; none where it is in place.
    pub fn changes(&self, resource: &dyn Resource) -> Vec<Change> {
        match self.probe(resource).unwrap() {
            Probe::Changes(changes) => changes,
            Probe::InPlace(_) => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    /// Makes the changes, sees them in place, and gives them back.
    pub fn bring(&self, resource: &dyn Resource) -> Vec<Change> {
        let changes = self.changes(resource);
        assert!(!changes.is_empty(), "{resource:?} is in place already");
        self.with(|cx| resource.apply(cx, &changes)).unwrap();
        assert!(self.changes(resource).is_empty(), "{resource:?} is not in place");
        // Found half made, it comes to the same.
        self.with(|cx| resource.apply(cx, &changes)).ok();
        assert!(self.changes(resource).is_empty(), "{resource:?} is not in place any more");
        changes
    }

    /// Takes changes back, the last first.
    pub fn undo(&self, changes: &[Change], purge: bool) -> Vec<Undone> {
        changes.iter().rev().map(|change| self.undo_one(change, purge, |_| {})).collect()
    }

    /// Takes one change back, where an engine says something else than usual.
    pub fn undo_one(&self, change: &Change, purge: bool, say: impl FnOnce(&mut UndoCx<'_>)) -> Undone {
        {
            let look = Look::new(&self.host);
            let wrote: Vec<String> = change.wrote.iter().map(|bytes| crate::digest(KEY, bytes)).collect();
            let originals: HashMap<&str, Vec<u8>> = change.original.iter().map(|bytes| ("o", bytes.clone())).collect();
            let mut cx = UndoCx {
                host: &self.host,
                look: &look,
                key: KEY,
                wrote: &wrote,
                original: &|name| Ok(originals[name].clone()),
                purge_data: purge && change.data,
                purge,
                going: false,
                content_stays: false,
            };
            say(&mut cx);
            let mut undo = change.undo.clone();
            if change.original.is_some() {
                undo.set_original("o".to_owned());
            }
            crate::undo::undo(&cx, &undo).unwrap()
        }
    }

    pub fn file(&self, name: &str, content: &str, mode: u32) -> File {
        File { meta: self.meta(mode), ..File::new(self.at(name), content) }
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.at(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    pub fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.at(name)).unwrap().permissions().mode() & 0o7777
    }

    pub fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.at(name)).is_ok()
    }
}
