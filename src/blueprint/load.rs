//! Where blueprints come from: the binary, a folder, a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Fault};

use super::builtin;
use super::document::nearest;

/// Name of the file that makes a folder a blueprint.
pub(super) const MAIN: &str = "blueprint.toml";
/// Most bytes of all files of a blueprint: it is kept in memory and stored with each product.
const LIMIT: u64 = 16 << 20;

/// The files of a blueprint, not yet understood.
#[derive(Debug)]
pub struct Files {
    /// What blueprint.toml is called in errors.
    pub name: String,
    /// Text of blueprint.toml.
    pub text: String,
    /// Everything below `files/`, by its path below it.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Reads the files of the blueprint that `source` names.
///
/// # Errors
/// Class `usage`, where there is none; class `blueprint`, where a file is not one that can be part of a blueprint.
pub fn read(source: &str) -> Result<Files> {
    if let Some(files) = builtin::files(source)? {
        return Ok(files);
    }
    let path = Path::new(source);
    if path.is_dir() {
        return folder(path);
    }
    if path.is_file() {
        if path.file_name().is_some_and(|name| name == MAIN) {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return folder(parent.unwrap_or(Path::new(".")));
        }
        let message = format!("'{source}' is a file that is not called {MAIN}");
        return Err(Fault::new(Class::Usage, message)
            .advice("name the folder of the blueprint, or its blueprint.toml")
            .into());
    }
    let names = builtin::names();
    let hint = nearest(source, &names).map_or(String::new(), |near| format!("; did you mean '{near}'?"));
    Err(Fault::new(Class::Usage, format!("there is no blueprint '{source}'{hint}"))
        .evidence([
            format!("built in: {}", names.join(", ")),
            format!("no folder or {MAIN} at {}", std::path::absolute(path).unwrap_or(path.to_owned()).display()),
        ])
        .advice("name a built-in blueprint (`surefoot blueprint list`), a folder or a blueprint.toml")
        .into())
}

/// Reads the files of the blueprint in `folder`.
///
/// # Errors
/// As [`read`].
pub fn folder(folder: &Path) -> Result<Files> {
    let main = folder.join(MAIN);
    let bytes = std::fs::read(&main).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let message = format!("the folder '{}' holds no {MAIN}", folder.display());
            return Fault::new(Class::Usage, message).advice("name the folder that holds it");
        }
        io_fault(&error, "read", &main)
    })?;
    let text = text(bytes, &main.display().to_string())?;
    let mut files = BTreeMap::new();
    let below = folder.join("files");
    if below.exists() {
        let mut left = LIMIT;
        collect(&below, &below, &mut files, &mut left)?;
    }
    Ok(Files { name: main.display().to_string(), text, files })
}

/// `bytes` as text.
///
/// # Errors
/// Class `blueprint`, where they are not UTF-8.
pub fn text(bytes: Vec<u8>, name: &str) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Fault::new(Class::Blueprint, format!("{name}:{line}: not UTF-8")).advice("save the file as UTF-8")
    })
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>, left: &mut u64) -> Result<()> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|error| io_fault(&error, "read", folder))?;
    paths.sort();
    for path in paths {
        let kind = std::fs::symlink_metadata(&path).map_err(|error| io_fault(&error, "read", &path))?;
        if kind.is_dir() {
            collect(root, &path, files, left)?;
            continue;
        }
        let refuse = |why: String| Fault::new(Class::Blueprint, format!("{}: {why}", path.display()));
        if !kind.is_file() {
            return Err(refuse("not a regular file".to_owned())
                .advice("a blueprint holds files only, no symlinks: put a copy there")
                .into());
        }
        *left = left.checked_sub(kind.len()).ok_or_else(|| {
            refuse(format!("the files of the blueprint are larger than {} MiB", LIMIT >> 20))
                .advice("a blueprint holds configuration; put software into packages")
        })?;
        let name = path.strip_prefix(root).ok().and_then(Path::to_str);
        let name = name.ok_or_else(|| refuse("the name is not UTF-8".to_owned()).advice("rename the file"))?;
        let content = std::fs::read(&path).map_err(|error| io_fault(&error, "read", &path))?;
        files.insert(name.to_owned(), content);
    }
    Ok(())
}
