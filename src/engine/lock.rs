//! One run at a time on a host.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Result;
use distro::{Class, Fault, failure::io_fault};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

const FOLDER: &str = "/run/surefoot";

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
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock of this host.
    ///
    /// # Errors
    /// Class `locked`, naming who holds it.
    pub fn take(run: &str, product: &str) -> Result<Self> {
        let path = Path::new(FOLDER).join("lock");
        let fail = |error: std::io::Error| io_fault(&error, "lock", &path);
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(FOLDER).map_err(fail)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).ok();
                return Err(held(serde_json::from_str(&text).ok()).into());
            }
            Err((_, errno)) => return Err(fail(errno.into()).into()),
        };
        let holder = Holder {
            pid: std::process::id(),
            started: super::event::now(),
            run: run.to_owned(),
            product: product.to_owned(),
        };
        // What it says is for people; the lock itself is the kernel's.
        let text = serde_json::to_string(&holder)?;
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes())).map_err(fail)?;
        Ok(Self { _file: file })
    }
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
