//! The disk of a host that was, as the ground for new ones.

use crate::{cleanup, host::Host, lock::Lock, place, registry::Record, suite::Suite};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A stopped host's disk. Removed when dropped, unless it is a cached one; hosts that stand on it must be gone by then.
#[derive(Debug)]
pub struct Snapshot {
    dir: PathBuf,
    facts: Facts,
    cached: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    suite: Suite,
    layers: Vec<PathBuf>,
}

impl Snapshot {
    /// Takes over the disk of a stopped host, which is nobody's after that.
    pub(crate) fn take(record: &Record) -> Result<Self> {
        cleanup::unmount(&record.disk())?;
        let snapshots = place::dir("snapshots")?;
        let dir = tempfile::Builder::new().prefix("once-").tempdir_in(snapshots)?.keep();
        let upper = dir.join("upper");
        fs::rename(record.dir().join("upper"), &upper).context("cannot take over the host's disk")?;
        let layers = std::iter::once(upper).chain(record.layers.iter().cloned()).collect();
        let facts = Facts { suite: record.suite, layers };
        fs::write(dir.join("snapshot.json"), serde_json::to_vec_pretty(&facts)?)?;
        Ok(Self { dir, facts, cached: false })
    }

    /// The snapshot kept under `name` for exactly this `key` (what it was made from: a program's digest, a version). Made by `prepare`
    /// if there is none, by one process while others wait. A snapshot made under another key is not used.
    ///
    /// # Errors
    /// When `prepare` fails; nothing is kept then.
    pub fn cached(name: &str, key: &str, prepare: impl FnOnce() -> Result<Host>) -> Result<Self> {
        let kept = place::dir("snapshots")?.join(format!("{name}-{}", file_name(key)));
        let _lock = Lock::take(&format!("snapshot-{name}"))?;
        if kept.exists() {
            return Self::load(kept);
        }
        let mut made = prepare().with_context(|| format!("cannot prepare the snapshot {name}"))?.snapshot()?;
        made.cached = true;
        let moved = made.facts.layers.split_first().map(|(_, below)| below.to_vec()).unwrap_or_default();
        made.facts.layers = std::iter::once(kept.join("upper")).chain(moved).collect();
        fs::write(made.dir.join("snapshot.json"), serde_json::to_vec_pretty(&made.facts)?)?;
        fs::rename(&made.dir, &kept)?;
        made.dir = kept;
        Ok(made)
    }

    /// A host standing on this snapshot.
    pub fn host(&self) -> crate::HostBuilder {
        Host::builder(self.facts.suite).from(self)
    }

    /// What it runs.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.facts.suite
    }

    /// Its layers, uppermost first.
    #[must_use]
    pub fn layers(&self) -> Vec<PathBuf> {
        self.facts.layers.clone()
    }

    fn load(dir: PathBuf) -> Result<Self> {
        let path = dir.join("snapshot.json");
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { dir, facts: serde_json::from_slice(&bytes)?, cached: true })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if !self.cached {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A key as part of a file name: short, and different for different keys.
fn file_name(key: &str) -> String {
    // FNV-1a: the same on every machine and in every build.
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// A key for what is made with this program: its content.
///
/// # Errors
/// When it cannot be read.
pub fn key_of(program: &Path) -> Result<String> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    Ok(file_name(&String::from_utf8_lossy(&bytes)))
}
