//! surefoot's own folders on the host: `/var/lib/surefoot/<product>/` and the key of the stored digests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::{Class, Fault, Host, failure::io_fault, files};

use super::journal::{self, Content};
use super::state::State;

/// Where everything is kept.
pub const ROOT: &str = "/var/lib/surefoot";
/// Where run logs are kept.
pub const LOGS: &str = "/var/log/surefoot";

/// The folder of one product.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    product: String,
}

/// What became of the machine that the state was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// No state yet, or made here.
    Same,
    /// Made on another machine: this is a clone.
    Other,
}

impl Store {
    /// The store of `product`; touches nothing.
    pub fn new(product: &str) -> Self {
        Self { folder: Path::new(ROOT).join(product), product: product.to_owned() }
    }

    /// Names of all products that have a journal here.
    pub fn products() -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(ROOT) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().join("journal").exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Name of the product.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// Path of something in the product's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Path of the journal.
    pub fn journal(&self) -> PathBuf {
        self.path("journal")
    }

    /// Folder of the product's run logs.
    pub fn logs(&self) -> PathBuf {
        Path::new(LOGS).join(&self.product)
    }

    /// Is there a journal?
    pub fn exists(&self) -> bool {
        self.journal().exists()
    }

    /// Reads the journal and what it says.
    ///
    /// # Errors
    /// Class `state`; class `permission` for others than root.
    pub fn load(&self) -> Result<(Content, State)> {
        let content = journal::read(&self.journal())?;
        let state = State::replay(&content.records)?;
        Ok((content, state))
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// Class `disk` or `permission`.
    pub fn make(&self) -> Result<()> {
        make_folder(&self.path("originals"))
    }

    /// Keeps files by their names in this folder: each 0600, replaced by rename, and all of them on disk when this returns. The
    /// files are synced one by one, since syncing the file system would wait for what others write, too, which takes seconds
    /// on a busy host.
    ///
    /// # Errors
    /// Class `disk` or `permission`.
    pub fn keep(&self, files: &[(String, &[u8])]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        // What has the name of ROOT, which may be new.
        let mut folders: BTreeSet<PathBuf> = Path::new(ROOT).parent().map(Path::to_owned).into_iter().collect();
        for (name, bytes) in files {
            let path = self.path(name);
            let above = path.ancestors().skip(1);
            folders.extend(above.take_while(|folder| folder.starts_with(ROOT)).map(Path::to_owned));
            if let Some(folder) = path.parent() {
                make_folder(folder)?;
            }
            keep(&path, bytes)?;
        }
        folders.iter().rev().try_for_each(|folder| sync_folder(folder))
    }

    /// Folder of the product's blueprint. Where a kill came while it was replaced, the one of before is whole.
    pub fn blueprint(&self) -> PathBuf {
        let (here, old) = (self.path("blueprint"), self.path("blueprint.old"));
        if !here.exists() && old.exists() { old } else { here }
    }

    /// Keeps the files of the blueprint, by their paths in it, and no other of an earlier one: the folder is replaced whole, so that a kill leaves
    /// the old files or the new ones. What a name was a file of may be a folder by now.
    ///
    /// # Errors
    /// Class `disk` or `permission`.
    pub fn keep_blueprint(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        let (here, next, old) = (self.path("blueprint"), self.path("blueprint.next"), self.path("blueprint.old"));
        let rename = |from: &Path, to: &Path| {
            std::fs::rename(from, to).map_err(|error| anyhow::Error::from(io_fault(&error, "rename", from)))
        };
        if self.blueprint() == old {
            rename(&old, &here)?;
        }
        remove(&next)?;
        remove(&old)?;
        let mut kept = BTreeSet::new();
        names_below(&here, "", &mut kept)?;
        if kept.iter().eq(files.keys()) {
            let mut differ = false;
            for (name, bytes) in files {
                differ |= files::read(&here.join(name))?.as_deref() != Some(bytes);
            }
            if !differ {
                return Ok(());
            }
        }
        let mut folders = BTreeSet::from([next.clone()]);
        make_folder(&next)?;
        for (name, bytes) in files {
            let path = next.join(name);
            let above = path.ancestors().skip(1);
            folders.extend(above.take_while(|folder| *folder != next).map(Path::to_owned));
            if let Some(folder) = path.parent() {
                make_folder(folder)?;
            }
            write(&path, bytes)?;
        }
        folders.iter().rev().try_for_each(|folder| sync_folder(folder))?;
        if here.exists() {
            rename(&here, &old)?;
        }
        rename(&next, &here)?;
        sync_folder(&self.folder)?;
        remove(&old)
    }

    /// What is kept under `name`.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>> {
        files::read(&self.path(name))
    }

    /// Saves an original under a name that is made of `at`, unique in this product, and gives that name.
    ///
    /// # Errors
    /// Class `disk`.
    pub fn save_original(&self, at: &str, bytes: &[u8]) -> Result<String> {
        // The name tells a sysadmin what it is; the digest keeps two states of one file apart.
        let readable: String =
            at.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let readable = &readable[readable.len().saturating_sub(100)..];
        let mark = crc32fast::hash(&[at.as_bytes(), b"\0", bytes].concat());
        let name = format!("{readable}.{mark:08x}");
        let folder = self.path("originals");
        keep(&folder.join(&name), bytes)?;
        sync_folder(&folder)?;
        Ok(name)
    }

    /// Gives an original back.
    ///
    /// # Errors
    /// Class `state`, where it is missing.
    pub fn original(&self, name: &str) -> Result<Vec<u8>> {
        self.kept(&format!("originals/{name}"))?.ok_or_else(|| {
            Fault::new(Class::State, format!("original '{name}' is missing from {}", self.folder.display()))
                .advice("restore the folder from a backup; or put the file right by hand and run again")
                .into()
        })
    }

    /// Was the state made on this machine?
    ///
    /// # Errors
    /// Where the kept machine-id cannot be read.
    pub fn machine(&self, host: &Host) -> Result<Machine> {
        let kept = self.kept("machine-id")?;
        let here = &host.facts.machine_id;
        Ok(match kept.as_deref().map(String::from_utf8_lossy) {
            Some(made) if !here.is_empty() && !made.trim().is_empty() && made.trim() != here => Machine::Other,
            _ => Machine::Same,
        })
    }

    /// Removes everything of the product: after a purge. The journal goes last, so that a kill in the middle leaves something
    /// to resume.
    ///
    /// # Errors
    /// Class `disk` or `permission`.
    pub fn remove(&self) -> Result<()> {
        // Others than root may be able to write to the folder above it.
        files::remove_tree(&self.logs())?;
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name() != "journal" {
                remove(&entry.path())?;
            }
        }
        remove(&self.folder)?;
        remove_shared()
    }

    /// Removes what a purge of the last product leaves when it is cut off after the journal, its last trace.
    ///
    /// # Errors
    /// Class `disk` or `permission`.
    pub fn remove_rest() -> Result<()> {
        for entry in std::fs::read_dir(ROOT).into_iter().flatten().flatten() {
            // The folder of a run that was never begun has secrets in it, and stays.
            if entry.path().is_dir() {
                files::remove_dir_if_empty(&entry.path())?;
            }
        }
        let others = std::fs::read_dir(ROOT).into_iter().flatten().flatten();
        if others.into_iter().any(|entry| entry.path().is_dir()) { Ok(()) } else { remove_shared() }
    }
}

/// Removes what all products share, where there is none any more.
fn remove_shared() -> Result<()> {
    if Store::products().is_empty() {
        remove(Path::new(ROOT))?;
        remove(&Path::new(LOGS).join("failure.json"))?;
    }
    // Logs of other products may be there; then it stays.
    files::remove_dir_if_empty(Path::new(LOGS)).map(drop)
}

/// Removes a file or folder of ours.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_fault(&error, "remove", path).into()),
        _ => Ok(()),
    }
}

/// Where the key of all digests that are stored on this host is kept.
fn key_path() -> PathBuf {
    Path::new(ROOT).join("key")
}

/// The key of all digests that are stored on this host. Where there is none, or we may not read it, a random one: it does for
/// everything that is not stored, and is the host's once it is [kept](keep_key).
///
/// # Errors
/// Where it cannot be read, or the random source fails.
pub fn key(host: &Host) -> Result<Vec<u8>> {
    if host.root
        && let Some(key) = files::read(&key_path())?.filter(|key| key.len() >= 32)
    {
        return Ok(key);
    }
    let mut key = vec![0; 32];
    random(&mut key)?;
    Ok(key)
}

/// Makes `key` the host's, before anything that was digested with it is written down.
///
/// # Errors
/// Class `disk` or `permission`.
pub fn keep_key(key: &[u8]) -> Result<()> {
    let path = key_path();
    if files::read(&path)?.as_deref() == Some(key) {
        return Ok(());
    }
    make_folder(Path::new(ROOT))?;
    keep(&path, key)?;
    sync_folder(Path::new(ROOT))
}

/// Fills `bytes` from the kernel's random source.
///
/// # Errors
/// Where that fails.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| anyhow::anyhow!("the kernel's random source fails: {error}"))
}

/// Makes a folder of ours, 0700 whatever the umask.
fn make_folder(path: &Path) -> Result<()> {
    let fail = |error: std::io::Error| io_fault(&error, "make", path);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
    Ok(())
}

/// Writes a file of ours by rename; its name is durable after [`sync_folder`]. No unprivileged user can reach the state's folders, so
/// the care that `distro::files` takes with the host's files is not needed here.
fn keep(path: &Path, bytes: &[u8]) -> Result<()> {
    // Appended, so that no two files have one.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    write(Path::new(&temporary), bytes)?;
    std::fs::rename(&temporary, path).map_err(|error| io_fault(&error, "write", path))?;
    Ok(())
}

/// Writes a file of ours, 0600, and waits until what it holds is on disk.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |error: std::io::Error| io_fault(&error, "write", path);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
    Ok(())
}

/// Adds the paths of everything below `folder` that is no folder itself, each after `prefix`. None where it is not there.
fn names_below(folder: &Path, prefix: &str, names: &mut BTreeSet<String>) -> Result<()> {
    let fail = |error: std::io::Error| io_fault(&error, "read", folder);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(fail)?,
    };
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(fail)?.is_dir() {
            names_below(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.insert(name);
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
fn sync_folder(path: &Path) -> Result<()> {
    std::fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| io_fault(&error, "write", path))?;
    Ok(())
}

#[cfg(test)]
mod tests;
