//! Locks between lab processes: `flock` on a file, released when the value is dropped or its process dies.

use anyhow::{Context, Result};
use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

/// A held lock.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] File);

impl Lock {
    /// Waits for the lock called `name`.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn take(name: &str) -> Result<Self> {
        let path = crate::place::dir("locks")?.join(name);
        let file = open(&path)?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self(file))
    }

    /// Takes the lock on a file unless another process holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked for another reason than being held.
    pub fn try_file(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}
