//! Fixture repositories of RPM packages: built from spec files, signed, indexed.

use crate::{
    base,
    repo::{Key, Signature},
    tool,
};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds the packages of a spec file into `folder`, of what is in `tree`.
///
/// # Errors
/// When rpmbuild refuses.
pub(crate) fn build(spec: &str, tree: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let top = tempfile::tempdir()?;
    let file = top.path().join("package.spec");
    fs::write(&file, spec)?;
    let mut command = Command::new("rpmbuild");
    command.args(["-bb", "--quiet", "--define", &format!("_topdir {}", top.path().display())]);
    command.args(["--define", &format!("tree {}", tree.display())]);
    // Programs stay as Debian built them.
    for definition in
        ["__os_install_post %{nil}", "debug_package %{nil}", "_build_id_links none", "_binary_payload w1.zstdio"]
    {
        command.args(["--define", definition]);
    }
    tool::output(command.arg(&file))?;
    let mut built = Vec::new();
    for arch in fs::read_dir(top.path().join("RPMS"))? {
        for package in fs::read_dir(arch?.path())? {
            let package = package?;
            let to = folder.join(package.file_name());
            fs::copy(package.path(), &to).with_context(|| format!("cannot copy to {}", to.display()))?;
            built.push(to);
        }
    }
    Ok(built)
}

/// A repository in a folder. Removed when dropped.
#[derive(Debug)]
pub struct RpmRepo {
    folder: tempfile::TempDir,
    key: Key,
}

impl RpmRepo {
    /// The packages of these spec files of `data/el9`; they and their index are signed in these ways.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn new(specs: &[&str], packages: Signature, index: Signature) -> Result<Self> {
        let repo = Self { folder: tempfile::tempdir()?, key: Key::make()? };
        let root = repo.folder.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
        let other = Key::make()?;
        let signer = |signature| match signature {
            Signature::None => None,
            Signature::Right => Some(&repo.key),
            Signature::Wrong => Some(&other),
        };
        for name in specs {
            let folder = base::packages(name)?;
            for entry in fs::read_dir(&folder).with_context(|| format!("no packages in {}", folder.display()))? {
                let from = entry?.path();
                let package = root.join(from.file_name().unwrap_or_default());
                fs::copy(&from, &package).with_context(|| format!("cannot copy {}", from.display()))?;
                signer(packages).map_or(Ok(()), |key| key.sign_rpm(&package))?;
            }
        }
        tool::tool("createrepo_c", ["--quiet".as_ref(), root.as_os_str()])?;
        signer(index).map_or(Ok(()), |key| key.sign_apart(&root.join("repodata/repomd.xml")))?;
        Ok(repo)
    }

    /// The folder to serve.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The public key, armoured.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.public()
    }

    /// The full fingerprint of the public key.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.key.fingerprint()
    }
}
