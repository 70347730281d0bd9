//! Who has which host: one folder a host below `hosts/`, with a record in it and a lock that its owner holds while it lives.

use crate::{boot, cleanup, lock::Lock, network::Reach, place, suite::Suite};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Addresses given to hosts: the last number of 10.77.0.x.
const SLOTS: std::ops::RangeInclusive<u8> = 10..=199;

/// What is known about a host, also to processes that did not make it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The name that `lab shell` and `lab down` take.
    pub name: String,
    /// What it runs.
    pub suite: Suite,
    /// What the host calls itself.
    pub hostname: String,
    /// The last number of its address.
    pub slot: u8,
    /// How far it can reach.
    pub reach: Reach,
    /// Whether systemd runs in it.
    pub init: bool,
    /// The layers under its own disk, uppermost first.
    pub layers: Vec<PathBuf>,
    /// Folders with a small file system of their own: path and size.
    pub tmpfs: Vec<(String, String)>,
    /// Folders that cannot be written to.
    pub read_only: Vec<String>,
    /// May it filter its own network?
    #[serde(default)]
    pub filters: bool,
    /// Stays after its owner is gone.
    pub kept: bool,
    /// Its first process, as the machine numbers it, while it runs.
    pub leader: Option<i32>,
}

impl Record {
    /// The host's folder.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        place::root().join("hosts").join(&self.name)
    }

    /// Where its merged disk is mounted.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.dir().join("root")
    }

    /// Writes the record down.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<()> {
        let path = self.dir().join("host.json");
        let draft = self.dir().join("host.json.new");
        fs::write(&draft, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&draft, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The record of the host called `name`.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn load(name: &str) -> Result<Self> {
        let path = place::root().join("hosts").join(name).join("host.json");
        let bytes = fs::read(&path).with_context(|| format!("no host called {name}: `lab list` shows all"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    /// True while its first process lives.
    #[must_use]
    pub fn running(&self) -> bool {
        self.leader.is_some_and(boot::alive)
    }
}

/// Gives the host described by `record` a slot, a folder and an owner. An empty name becomes one made of the slot.
///
/// # Errors
/// When the name is taken, or no slot is free.
pub fn claim(mut record: Record) -> Result<(Record, Lock)> {
    let _all = Lock::take("hosts")?;
    remove_abandoned()?;
    let taken = taken()?;
    let Some(slot) = SLOTS.into_iter().find(|slot| !taken.contains(&u64::from(*slot))) else {
        bail!("no free slot for a host")
    };
    record.slot = slot;
    if record.name.is_empty() {
        record.name = format!("lab{slot}");
    }
    let dir = record.dir();
    if dir.exists() {
        bail!("there is a host called {0} already: `lab down {0}` removes it", record.name);
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let owner = Lock::try_file(&dir.join("owner"))?.context("a new host's lock is held")?;
    record.save()?;
    Ok((record, owner))
}

/// All hosts.
///
/// # Errors
/// When the folder of hosts cannot be read.
pub fn all() -> Result<Vec<Record>> {
    let mut names: Vec<_> = fs::read_dir(place::dir("hosts")?)?.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    Ok(names.iter().filter_map(|name| Record::load(&name.to_string_lossy()).ok()).collect())
}

/// Slots of all hosts, also of those that a lab of another version describes in its own way.
fn taken() -> Result<Vec<u64>> {
    let records = fs::read_dir(place::dir("hosts")?)?.flatten().map(|entry| entry.path().join("host.json"));
    let records = records.filter_map(|path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).ok()?).ok());
    Ok(records.filter_map(|record| record["slot"].as_u64()).collect())
}

/// Removes hosts whose owner is gone without having kept them.
///
/// # Errors
/// When one cannot be removed.
fn remove_abandoned() -> Result<()> {
    for entry in fs::read_dir(place::dir("hosts")?)?.flatten() {
        let Some(_lock) = abandoned(&entry.path())? else { continue };
        match Record::load(&entry.file_name().to_string_lossy()) {
            Ok(record) if record.kept => {}
            Ok(record) => cleanup::remove_host(&record)?,
            Err(_) if is_kept(&entry.path()) => {}
            Err(_) => cleanup::discard(&entry.path())?,
        }
    }
    Ok(())
}

/// Does a lab of another version want to keep the host in this folder?
fn is_kept(dir: &Path) -> bool {
    let record =
        fs::read(dir.join("host.json")).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    record.is_some_and(|record| record["kept"] == true)
}

/// The lock of a host that nobody owns. A host may go while it is looked at.
fn abandoned(dir: &Path) -> Result<Option<Lock>> {
    match Lock::try_file(&dir.join("owner")) {
        Err(_) if !dir.exists() => Ok(None),
        result => result,
    }
}

/// Removes leftovers of dead owners, under the registry's lock.
///
/// # Errors
/// When one cannot be removed.
pub fn sweep() -> Result<()> {
    let _all = Lock::take("hosts")?;
    remove_abandoned()
}
