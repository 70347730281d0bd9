//! The blueprints that are built into the binary.

use std::collections::BTreeMap;

use anyhow::Result;
use include_dir::{Dir, include_dir};

use super::load::{Files, text};

static FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/blueprints");

/// Names of the built-in blueprints, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = FOLDER
        .dirs()
        .filter(|dir| dir.get_file(dir.path().join("blueprint.toml")).is_some())
        .filter_map(|dir| dir.path().to_str())
        .collect();
    names.sort_unstable();
    names
}

/// The files of the built-in blueprint `name`, where there is one.
///
/// # Errors
/// Where its text is not UTF-8.
pub(super) fn files(name: &str) -> Result<Option<Files>> {
    if !names().contains(&name) {
        return Ok(None);
    }
    let Some(dir) = FOLDER.get_dir(name) else { return Ok(None) };
    let Some(main) = dir.get_file(dir.path().join("blueprint.toml")) else { return Ok(None) };
    let shown = format!("{name} (built in), blueprint.toml");
    let text = text(main.contents().to_vec(), &shown)?;
    let mut files = BTreeMap::new();
    let below = dir.path().join("files");
    if let Some(folder) = dir.get_dir(&below) {
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            folders.extend(folder.dirs());
            for file in folder.files() {
                let name = file.path().strip_prefix(&below).ok().and_then(std::path::Path::to_str);
                if let Some(name) = name {
                    files.insert(name.to_owned(), file.contents().to_vec());
                }
            }
        }
    }
    Ok(Some(Files { name: shown, text, files }))
}
