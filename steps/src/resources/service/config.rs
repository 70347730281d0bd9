//! The configuration of a service as it is on disk, and whether the running service has it.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::Fault;
use distro::failure::io_fault;
use serde::{Deserialize, Serialize};

/// A service and its configuration, as they were when both were right: what the journal remembers.
///
/// Compared for equality only. A clock never decides what is newer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Keyed digest of its configuration files: paths, modes, contents.
    #[serde(default)]
    pub config: String,
    /// Keyed digest of what defines it: unit file, drop-ins, environment files, the package's version.
    #[serde(default)]
    pub definition: String,
    /// This start of it.
    #[serde(default)]
    pub invocation: String,
    /// This taking up of configuration: changes with a reload too.
    #[serde(default)]
    pub generation: String,
    /// Inode and change time of each of the files: equal means that nobody has touched any of them since.
    #[serde(default)]
    pub stamps: Vec<String>,
}

/// Does the running service have the configuration on disk?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Judgement {
    Right,
    /// It may not: a reload brings it.
    Reload,
    /// It may not: a restart brings it.
    Restart,
}

/// What this product has changed of a service, ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    pub config: bool,
    pub definition: bool,
}

/// Judges `now` by what was seen when it was last right; where nothing was, by whether we have ever `touched` its files: a
/// service that was found with files that were found is none of our business. `reloads`: can it take up configuration by a
/// reload?
pub(super) fn judge(last: Option<&Seen>, now: &Seen, touched: Touched, reloads: bool) -> Judgement {
    let softly = if reloads { Judgement::Reload } else { Judgement::Restart };
    let Some(last) = last else {
        return match touched {
            Touched { definition: true, .. } => Judgement::Restart,
            Touched { config: true, .. } => softly,
            _ => Judgement::Right,
        };
    };
    if last.definition != now.definition {
        return Judgement::Restart;
    }
    if last.config != now.config {
        return softly;
    }
    // The files are as they were. If nobody touched them in between, every start since has used them.
    if last.stamps == now.stamps {
        return Judgement::Right;
    }
    if last.invocation != now.invocation {
        return Judgement::Restart;
    }
    if reloads && last.generation != now.generation { softly } else { Judgement::Right }
}

/// Files on disk, digested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub digest: String,
    pub stamps: Vec<String>,
    /// Every path that was looked at, also those that are not there.
    pub paths: Vec<String>,
}

/// Reads `paths`, folders with everything in them.
///
/// # Errors
/// Where one cannot be read, class `permission` where a right is missing.
pub(crate) fn read(key: &[u8], paths: &[PathBuf], more: &str) -> Result<Reading> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        list(path, &mut files)?;
    }
    files.sort();
    files.dedup();
    let mut reading = Reading::default();
    let mut lines = format!("{more}\n");
    for path in &files {
        let (line, stamp) = read_one(key, path)?;
        lines.push_str(&format!("{}\0{line}\n", path.display()));
        reading.stamps.push(stamp);
        reading.paths.push(path.display().to_string());
    }
    reading.digest = crate::digest(key, lines.as_bytes());
    Ok(reading)
}

/// Adds `path` and, where it is a folder, all below it. Links to folders are not followed: what they point to is part of the
/// content of the link.
fn list(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    files.push(path.to_owned());
    let is_folder = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    if !is_folder {
        return Ok(());
    }
    for entry in path.read_dir().map_err(|error| io_fault(&error, "read", path))? {
        list(&entry.map_err(|error| io_fault(&error, "read", path))?.path(), files)?;
    }
    Ok(())
}

/// What `path` is, for the digest, and its stamp. A link counts with its target and with what is there.
fn read_one(key: &[u8], path: &Path) -> Result<(String, String)> {
    let cannot = |error: std::io::Error| -> Fault { io_fault(&error, "read", path) };
    let own = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(("absent".to_owned(), "-".to_owned()));
        }
        Err(error) => return Err(cannot(error).into()),
    };
    let (mut line, mut stamp) = (String::new(), stamp(&own));
    let mut meta = own;
    if meta.is_symlink() {
        line = format!("-> {}\0", path.read_link().map_err(cannot)?.display());
        meta = match path.metadata() {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((line, stamp)),
            Err(error) => return Err(cannot(error).into()),
        };
        stamp.push_str(&format!(" {}", self::stamp(&meta)));
    }
    if meta.is_file() {
        let content = std::fs::read(path).map_err(cannot)?;
        line.push_str(&format!("file {:o} {}", meta.mode() & 0o7777, crate::digest(key, &content)));
    } else if meta.is_dir() {
        line.push_str(&format!("folder {:o}", meta.mode() & 0o7777));
    } else {
        line.push_str("other");
    }
    Ok((line, stamp))
}

/// Without the device: its number is another one after a reboot where it is handed out as things are mounted (overlays, LVM).
fn stamp(meta: &std::fs::Metadata) -> String {
    format!("{:x}:{}.{:09}", meta.ino(), meta.ctime(), meta.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn seen(config: &str, definition: &str, invocation: &str, generation: &str, stamp: &str) -> Seen {
        Seen {
            config: config.into(),
            definition: definition.into(),
            invocation: invocation.into(),
            generation: generation.into(),
            stamps: vec![stamp.into()],
        }
    }

    #[test]
    fn judgements() {
        use Judgement::{Reload, Restart, Right};
        let last = seen("c", "d", "i", "g", "s");
        for (what, now, restarting, reloading) in [
            ("nothing happened", seen("c", "d", "i", "g", "s"), Right, Right),
            ("rebooted", seen("c", "d", "I", "G", "s"), Right, Right),
            ("reloaded", seen("c", "d", "i", "G", "s"), Right, Right),
            ("edited", seen("C", "d", "i", "g", "S"), Restart, Reload),
            ("edited and restarted", seen("C", "d", "I", "G", "S"), Restart, Reload),
            ("edited and put back", seen("c", "d", "i", "g", "S"), Right, Right),
            ("edited, restarted, put back", seen("c", "d", "I", "G", "S"), Restart, Restart),
            ("edited, reloaded, put back", seen("c", "d", "i", "G", "S"), Right, Reload),
            ("new drop-in", seen("c", "D", "i", "g", "S"), Restart, Restart),
            ("package upgraded and restarted", seen("c", "D", "I", "G", "S"), Restart, Restart),
        ] {
            let touched = Touched { config: true, definition: true };
            assert_eq!(judge(Some(&last), &now, touched, false), restarting, "{what}");
            assert_eq!(judge(Some(&last), &now, touched, true), reloading, "{what}, reload");
        }
    }

    #[test]
    fn judgements_without_a_record() {
        use Judgement::{Reload, Restart, Right};
        let now = seen("c", "d", "i", "g", "s");
        for (config, definition, restarting, reloading) in [
            (false, false, Right, Right),
            (true, false, Restart, Reload),
            (false, true, Restart, Restart),
            (true, true, Restart, Restart),
        ] {
            let touched = Touched { config, definition };
            assert_eq!(judge(None, &now, touched, false), restarting, "{touched:?}");
            assert_eq!(judge(None, &now, touched, true), reloading, "{touched:?}, reload");
        }
    }

    #[test]
    fn the_digest_sees_paths_modes_and_contents() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a/x.conf");
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(&file, "1").unwrap();
        let read = || read(b"key", &[root.path().join("a"), root.path().join("gone")], "1.0").unwrap();
        let first = read();
        assert_eq!(first, read());
        assert_eq!(first.paths.len(), 3);

        std::fs::write(&file, "2").unwrap();
        assert_ne!(first.digest, read().digest, "content");
        std::fs::write(&file, "1").unwrap();
        assert_eq!(first.digest, read().digest);

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(first.digest, read().digest, "mode");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(first.digest, read().digest);
        assert_ne!(first.stamps, read().stamps, "put back is still touched");

        std::fs::write(root.path().join("a/y.conf"), "").unwrap();
        assert_ne!(first.digest, read().digest, "another file");
        assert_ne!(
            self::read(b"key", &[], "1").unwrap().digest,
            self::read(b"key", &[], "2").unwrap().digest,
            "version"
        );
    }

    #[test]
    fn links_count_with_what_they_point_to() {
        let root = tempfile::tempdir().unwrap();
        let (target, link) = (root.path().join("target"), root.path().join("link"));
        symlink(&target, &link).unwrap();
        let read = || read(b"key", std::slice::from_ref(&link), "").unwrap();
        let dangling = read();
        std::fs::write(&target, "1").unwrap();
        let first = read();
        assert_ne!(dangling.digest, first.digest);
        std::fs::write(&target, "2").unwrap();
        assert_ne!(first.digest, read().digest);
    }
}
