//! Taking hosts away, whatever state they are in.

use crate::{
    cgroup::HostGroup,
    mirror, network,
    network::Netns,
    place,
    registry::{self, Record},
    tool,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

/// Kills a host and removes all that it had.
///
/// # Errors
/// When a process survives or a mount stays.
pub fn remove_host(record: &Record) -> Result<()> {
    let group = HostGroup::of(&record.name)?;
    group.kill()?;
    group.remove();
    unmount(&record.disk())?;
    Netns::of(record.slot, record.reach).remove();
    discard(&record.dir())
}

/// Removes a folder that others look at: for them it goes at once.
///
/// # Errors
/// When it cannot be moved or removed.
pub fn discard(dir: &Path) -> Result<()> {
    let grave = tempfile::Builder::new().tempdir_in(place::dir("trash")?)?.keep();
    fs::rename(dir, grave.join("it")).with_context(|| format!("cannot move {}", dir.display()))?;
    fs::remove_dir_all(&grave).with_context(|| format!("cannot remove {}", grave.display()))
}

/// Unmounts a host's disk; not mounted is fine.
///
/// # Errors
/// When it stays mounted.
pub fn unmount(disk: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while mounted(disk)? {
        if Instant::now() > deadline {
            tool::tool("umount", ["--lazy".as_ref(), disk.as_os_str()])?;
        } else if !tool::succeeds("umount", [disk]) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// True when a disk is mounted at `path`. The table of mounts is no answer: read while somebody else unmounts, it leaves lines out.
///
/// # Errors
/// When it cannot be looked at.
pub fn mounted(path: &Path) -> Result<bool> {
    let Some(above) = path.parent().filter(|_| path.exists()) else { return Ok(false) };
    let device = |path: &Path| -> Result<u64> {
        Ok(path.metadata().with_context(|| format!("cannot look at {}", path.display()))?.dev())
    };
    Ok(device(path)? != device(above)?)
}

/// Removes leftovers of killed runs. With `everything`, also kept hosts, snapshots, bases, caches, the mirror and the network.
///
/// # Errors
/// When something stays.
pub fn clean(everything: bool) -> Result<()> {
    registry::sweep()?;
    for grave in fs::read_dir(place::dir("trash")?)?.flatten() {
        // Somebody else may be at it.
        let _ = fs::remove_dir_all(grave.path());
    }
    if !everything {
        return Ok(());
    }
    for record in registry::all()? {
        remove_host(&record)?;
    }
    mirror::stop()?;
    network::remove();
    let root = place::root();
    ensure!(registry::all()?.is_empty(), "hosts appeared while cleaning");
    fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))
}
