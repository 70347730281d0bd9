//! Where the lab keeps its files.

use crate::lock::Lock;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The lab's folder: `LAB_DIR`, or `/var/tmp/surefoot-lab`.
#[must_use]
pub fn root() -> PathBuf {
    std::env::var_os("LAB_DIR").map_or_else(|| PathBuf::from("/var/tmp/surefoot-lab"), PathBuf::from)
}

/// A folder below the lab's, made if it is missing.
///
/// # Errors
/// When the folder cannot be made.
pub fn dir(name: &str) -> Result<PathBuf> {
    let path = root().join(name);
    std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// A file or folder `name` that is fetched once: `fetch` puts it at the path that it is given.
///
/// # Errors
/// Those of `fetch`; nothing half fetched is left under the name.
pub fn cached(name: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let ready = dir("cache")?.join(name);
    let _lock = Lock::take(name)?;
    if !ready.exists() {
        let fresh = ready.with_file_name(format!("{name}.fresh"));
        fetch(&fresh)?;
        std::fs::rename(&fresh, &ready).with_context(|| format!("cannot make {}", ready.display()))?;
    }
    Ok(ready)
}

/// The surefoot program to drive: `SUREFOOT_BIN`, or the release build of this workspace.
///
/// # Errors
/// When there is no such file.
pub fn surefoot() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("SUREFOOT_BIN") {
        let path = PathBuf::from(named);
        return path.canonicalize().with_context(|| format!("SUREFOOT_BIN: no program at {}", path.display()));
    }
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
    let native = format!("{target}/{}-unknown-linux-gnu/release/surefoot", std::env::consts::ARCH);
    let found =
        [native, format!("{target}/release/surefoot")].iter().find_map(|path| Path::new(path).canonicalize().ok());
    found.with_context(|| format!("no surefoot program below {target}: `cargo build --release`, or set SUREFOOT_BIN"))
}
