//! The data folder that a package makes, and that purging the package leaves behind.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use distro::failure::io_fault;
use serde_json::Value;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// A folder that comes with a package of this run, and into which only the service of that package writes. It is the product's, so that
/// `--purge` removes it with all that is in it, unless somebody's data was there already.
#[derive(Clone, Debug)]
pub struct DataFolder {
    /// Absolute path.
    pub path: String,
    /// Package that makes it.
    pub package: String,
}

/// Is there nothing in it but folders of which the same holds?
fn is_empty(path: &Path) -> Result<bool> {
    let entries = match path.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(io_fault(&error, "list", path).into()),
    };
    for entry in entries {
        let entry = entry.map_err(|error| io_fault(&error, "list", path))?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || !is_empty(&entry.path())? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl DataFolder {
    fn thing(&self) -> String {
        format!("data:{}", self.path)
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !cx.look.is_installed(&self.package)? {
            return Ok(Probe::Pending(format!("package {}", self.package)));
        }
        let is_ours = cx.memory.intended(&format!("package:{}", self.package));
        if !is_ours || cx.memory.intended(&self.thing()) || !is_empty(Path::new(&self.path))? {
            return Ok(Probe::InPlace(Value::Null));
        }
        let undo = Undo::RemoveFolder { path: self.path.clone() };
        Ok(Probe::Changes(vec![Change {
            data: true,
            ..Change::new("folder", "take charge of it, as it is empty", undo)
        }]))
    }
}

impl Resource for DataFolder {
    fn sort(&self) -> &'static str {
        "data_folder"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim { thing: self.thing(), wants: Vec::new() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &format!("what is in {}", self.path), self.look(cx))
    }

    /// The intent alone is what makes it ours.
    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_empty;

    #[test]
    fn folders_of_a_package_are_no_data() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_empty(&folder.path().join("gone")).unwrap());
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        assert!(is_empty(folder.path()).unwrap());
        std::fs::write(folder.path().join("a/b/c"), "").unwrap();
        assert!(!is_empty(folder.path()).unwrap());
    }
}
