//! One run at a time on a host.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Result;
use distro::{Class, Fault, failure::io_fault};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

const FOLDER: &str = "/run/surefoot";
const FILE: &str = "/run/surefoot/lock";

/// Who holds the lock.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    started: String,
    run: String,
    product: String,
}

/// The lock, held until it is dropped. The kernel lets go of it when we die, however.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
}

impl Lock {
    /// Takes the lock of this host.
    ///
    /// # Errors
    /// Class `locked`, naming who holds it.
    pub fn take(run: &str, product: &str) -> Result<Self> {
        let path = Path::new(FILE);
        let fail = |error: io::Error| io_fault(&error, "lock", path);
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(FOLDER).map_err(fail)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(fail)?;
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).ok();
                return Err(held(serde_json::from_str(&text).ok()).into());
            }
            Err((_, errno)) => return Err(fail(errno.into()).into()),
        };
        let lock = Self { file };
        lock.assign(run, product)?;
        Ok(lock)
    }

    /// Writes down that it is held for this run.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn assign(&self, run: &str, product: &str) -> Result<()> {
        let holder = Holder {
            pid: std::process::id(),
            started: super::event::now(),
            run: run.to_owned(),
            product: product.to_owned(),
        };
        // What it says is for people; the lock itself is the kernel's.
        let text = serde_json::to_string(&holder)?;
        let mut file: &File = &self.file;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        Ok(written.map_err(|error| io_fault(&error, "write", Path::new(FILE)))?)
    }
}

/// Is `run` at work on this host? None where that may not be looked at: root alone reads the lock. Asked of the kernel, since whoever took the lock to
/// see whether it is free would keep a run from beginning.
pub fn is_at_work(run: &str) -> Option<bool> {
    let file = std::fs::read_to_string(FILE).and_then(|text| Ok((text, std::fs::metadata(FILE)?.ino())));
    at_work(run, file, || std::fs::read_to_string("/proc/locks"))
}

/// The same by the text and the inode of the lock's file, and by the kernel's list of locks.
fn at_work(run: &str, file: io::Result<(String, u64)>, locks: impl Fn() -> io::Result<String>) -> Option<bool> {
    let (text, inode) = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(false),
        file => file.ok()?,
    };
    match serde_json::from_str::<Holder>(&text) {
        Ok(holder) if holder.run == run => Some(holds(&locks().ok()?, holder.pid, inode)),
        _ => Some(false),
    }
}

/// Does `pid` hold a lock of flock(2) on the file `inode`, as /proc/locks (proc(5)) tells? `1: FLOCK  ADVISORY  WRITE 5433 08:01:7864448 0 EOF`.
fn holds(locks: &str, pid: u32, inode: u64) -> bool {
    locks.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, holder, file, ..] = fields[..] else { return false };
        holder == pid.to_string() && file.rsplit(':').next() == Some(&*inode.to_string())
    })
}

fn held(holder: Option<Holder>) -> Fault {
    let fault = match holder {
        Some(Holder { pid, started, run, product }) => Fault::new(
            Class::Locked,
            format!("another surefoot is at work on this host: pid {pid}, on '{product}' since {started}"),
        )
        .evidence([format!("run {run}")]),
        None => Fault::new(Class::Locked, "another surefoot is at work on this host"),
    };
    fault.advice("wait until it is done (surefoot log --follow shows it), then run again")
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::{at_work, holds};

    #[test]
    fn who_is_at_work() {
        let held = || Ok((r#"{"pid":5433,"started":"","run":"r1","product":"p"}"#.to_owned(), 1403));
        let locks = |pid: u32| move || Ok(format!("1: FLOCK  ADVISORY  WRITE {pid} 00:19:1403 0 EOF\n"));
        let none = |kind: ErrorKind| io::Error::from(kind);
        assert_eq!(at_work("r1", held(), locks(5433)), Some(true));
        assert_eq!(at_work("r2", held(), locks(5433)), Some(false));
        assert_eq!(at_work("r1", held(), locks(5434)), Some(false));
        assert_eq!(at_work("r1", held(), || Err(none(ErrorKind::NotFound))), None);
        assert_eq!(at_work("r1", Ok((String::new(), 1403)), locks(5433)), Some(false));
        assert_eq!(at_work("r1", Err(none(ErrorKind::NotFound)), locks(5433)), Some(false));
        assert_eq!(at_work("r1", Err(none(ErrorKind::PermissionDenied)), locks(5433)), None);
    }

    #[test]
    fn who_holds_a_lock() {
        let locks = "1: POSIX  ADVISORY  WRITE 12 00:2b:1403 0 EOF\n2: FLOCK  ADVISORY  WRITE 5433 00:19:1403 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 71 00:19:1403 0 EOF\n3: FLOCK  ADVISORY  WRITE 88 00:19:403 0 EOF\n";
        for (pid, inode, holding) in [
            (12, 1403, false),
            (5433, 1403, true),
            (5433, 403, false),
            (71, 1403, false),
            (88, 1403, false),
            (88, 403, true),
        ] {
            assert_eq!(holds(locks, pid, inode), holding, "{pid} {inode}");
        }
    }
}
