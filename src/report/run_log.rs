//! The run log: every event of every attempt of a run, one JSON line each (docs/run-log.md).
//!
//! `<logs>/<product>/<run>.jsonl`, for root only. A log that cannot be written never stops a run: that is said once.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Result;
use distro::failure::io_fault;
use nix::fcntl::OFlag;

use crate::engine::event::{ChangeTold, Event, Report, What};
use crate::engine::failure::Failure;
pub use crate::engine::store::LOGS;

/// How many runs of a product are kept.
const KEPT: usize = 20;
/// Longest line in bytes; what is longer is told in short.
const LINE: usize = 64 << 10;
/// Most bytes of a text, and most entries of a list, in a line that is told in short.
const TEXT: usize = 1 << 10;
const LIST: usize = 100;

type Complain = Box<dyn Fn(&str) + Send + Sync>;

/// Writes the run log.
pub struct RunLog {
    file: Mutex<Option<File>>,
    path: PathBuf,
    complain: Complain,
}

/// Where the last failure of an invocation is kept that ended before its run had a log.
pub fn unlogged(logs: &Path) -> PathBuf {
    logs.join("failure.json")
}

/// Keeps such a failure, for root only.
///
/// # Errors
/// Where it cannot be written.
pub fn keep_unlogged(logs: &Path, failure: &Failure) -> io::Result<()> {
    way_is_ours(logs)?;
    DirBuilder::new().recursive(true).mode(0o700).create(logs)?;
    let (path, new) = (unlogged(logs), logs.join("failure.new"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    options.open(&new)?.write_all(&serde_json::to_vec(failure)?)?;
    std::fs::rename(&new, path)
}

/// Where the log of a run is.
pub fn path(logs: &Path, product: &str, run: &str) -> PathBuf {
    logs.join(product).join(format!("{run}.jsonl"))
}

impl RunLog {
    /// Opens the log of `run`, to add to it, and removes the logs of the oldest runs. Where it cannot be written, `complain`
    /// is told so, once, and nothing is written.
    pub fn open(logs: &Path, product: &str, run: &str, complain: Complain) -> Self {
        let path = path(logs, product, run);
        let log = Self { file: Mutex::default(), path, complain };
        match append_to(&log.path) {
            Ok(file) => {
                *log.file() = Some(file);
                // Too many logs are no reason to bother anybody.
                let _ = forget(&logs.join(product), KEPT);
            }
            Err(error) => log.is_lost(&error),
        }
        log
    }

    fn file(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_lost(&self, error: &io::Error) {
        (self.complain)(&format!("the run log {} cannot be written, and is not: {error}", self.path.display()));
    }
}

impl Report for RunLog {
    fn event(&self, event: &Event) {
        let mut slot = self.file();
        let Some(file) = slot.as_mut() else { return };
        let written = line(event).and_then(|line| file.write_all(&line));
        if let Err(error) = written {
            *slot = None;
            self.is_lost(&error);
        }
    }
}

/// Does no symlink that somebody else may have put there lead away from `folder`? On some systems others than root can write to /var/log.
fn way_is_ours(folder: &Path) -> io::Result<()> {
    distro::files::missing_folder(&folder.join("log")).map(drop).map_err(|error| io::Error::other(format!("{error:#}")))
}

fn append_to(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        way_is_ours(folder)?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut file = options.open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    // A kill may have left half a line.
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn forget(folder: &Path, kept: usize) -> io::Result<()> {
    for (_, path) in newest_first(folder)?.into_iter().skip(kept) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// The logs in a product's folder, the one written last first.
fn newest_first(folder: &Path) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            logs.push((path.symlink_metadata()?.modified()?, path));
        }
    }
    logs.sort_by(|one, other| other.cmp(one));
    Ok(logs)
}

/// The log that was written last: of `product`, or of all where none is given.
///
/// # Errors
/// Where the folder is there and cannot be read.
pub fn last(logs: &Path, product: Option<&str>) -> Result<Option<PathBuf>> {
    let folders = match product {
        Some(product) => vec![logs.join(product)],
        None => or_none(std::fs::read_dir(logs).and_then(Iterator::collect::<io::Result<Vec<_>>>), logs)?
            .unwrap_or_default()
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect(),
    };
    let mut newest = None;
    for folder in folders {
        let found = or_none(newest_first(&folder), &folder)?.unwrap_or_default();
        newest = newest.max(found.into_iter().next());
    }
    Ok(newest.map(|log| log.1))
}

fn or_none<T>(result: io::Result<T>, folder: &Path) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_fault(&error, "read the run logs in", folder).into()),
    }
}

/// `event` as a line, told in short where it would be too long.
fn line(event: &Event) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)?;
    if line.len() > LINE {
        line = serde_json::to_vec(&Event { what: in_short(event.what.clone()), ..event.clone() })?;
    }
    line.push(b'\n');
    Ok(line)
}

fn in_short(mut what: What) -> What {
    match &mut what {
        What::ResourceChanging { changes, .. } => {
            for change in &mut *changes {
                shorten(&mut change.item);
                shorten(&mut change.summary);
                change.diff = None;
            }
            if changes.len() > LIST {
                let summary = format!("and {} more", changes.len() - LIST);
                changes.truncate(LIST);
                changes.push(ChangeTold { item: "…".to_owned(), summary, diff: None });
            }
        }
        What::ResourceUndone { summary: text }
        | What::ResourceKept { why: text }
        | What::CommandLine { text, .. }
        | What::Progress { text, .. }
        | What::Warning { text } => shorten(text),
        What::CommandStarted { argv: texts } | What::RunEnded { next: texts, .. } => shorten_all(texts),
        What::Failed { failure } => {
            shorten(&mut failure.message);
            shorten(&mut failure.advice);
            shorten_all(&mut failure.evidence);
            shorten_all(&mut failure.while_doing);
            if let Some(ran) = &mut failure.command {
                shorten_all(&mut ran.argv);
            }
        }
        What::RunStarted { title, .. } => shorten(title),
        What::StageStarted
        | What::StepStarted { .. }
        | What::StepEnded { .. }
        | What::ResourceInPlace
        | What::ResourceChanged { .. }
        | What::CommandEnded { .. } => {}
    }
    what
}

fn shorten(text: &mut String) {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push_str(" […cut]");
    }
}

fn shorten_all(texts: &mut Vec<String>) {
    texts.iter_mut().for_each(shorten);
    if texts.len() > LIST {
        let more = format!("and {} more", texts.len() - LIST);
        texts.truncate(LIST);
        texts.push(more);
    }
}

#[cfg(test)]
mod tests;
