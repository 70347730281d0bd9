//! Fixture repositories of RPM packages: built from spec files, signed, indexed.

use crate::{
    Digest, Host, base,
    repo::{Key, Signature},
    tool,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds the packages of a spec file into `folder`, of what is in `tree`, with these macros: `name value`.
///
/// # Errors
/// When rpmbuild refuses.
pub(crate) fn build(spec: &str, macros: &[&str], tree: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    build_for(None, spec, macros, tree, folder)
}

/// The same for an architecture; without one, for this machine's.
fn build_for(arch: Option<&str>, spec: &str, macros: &[&str], tree: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let top = tempfile::tempdir()?;
    let file = top.path().join("package.spec");
    fs::write(&file, spec)?;
    let mut command = Command::new("rpmbuild");
    command.args(["-bb", "--quiet", "--define", &format!("_topdir {}", top.path().display())]);
    command.args(["--define", &format!("tree {}", tree.display())]);
    command.args(arch.iter().flat_map(|arch| ["--target", *arch]));
    // Programs stay as Debian built them.
    let as_they_are =
        ["__os_install_post %{nil}", "debug_package %{nil}", "_build_id_links none", "_binary_payload w1.zstdio"];
    for definition in as_they_are.iter().chain(macros) {
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

/// Puts a package of nobody's into a host, which needs what `needs` says and has nothing in it.
///
/// # Errors
/// When it cannot be built, or what it needs is not there.
pub fn install_app(host: &Host, needs: &str) -> Result<()> {
    install_empty(host, "app", "noarch", &format!("Requires: {needs}\n"))
}

/// Puts a package `name` of a foreign architecture into a host, with nothing in it.
///
/// # Errors
/// When it cannot be built.
pub fn install_twin(host: &Host, name: &str) -> Result<()> {
    install_empty(host, name, "i686", "")
}

fn install_empty(host: &Host, name: &str, arch: &str, more: &str) -> Result<()> {
    let spec = format!(
        "Name: {name}\nVersion: 1\nRelease: 1\nSummary: A stand-in\nLicense: Apache-2.0\nAutoReqProv: no\n{more}\n\
         %description\nMade by the lab, for tests only.\n\n%files\n"
    );
    let folder = tempfile::tempdir()?;
    let built = build_for(Some(arch), &spec, &[], folder.path(), folder.path())?;
    host.write("/root/empty.rpm", fs::read(built.first().context("nothing was built")?)?, 0o644)?;
    let asked_twice =
        if host.sh("rpm --force-debian --version 2>/dev/null || true")?.is_empty() { "" } else { "--force-debian" };
    host.sh(&format!("rpm -i --nosignature --oldpackage {asked_twice} /root/empty.rpm; rm /root/empty.rpm")).map(drop)
}

/// A repository in a folder. Removed when dropped.
#[derive(Debug)]
pub struct RpmRepo {
    folder: tempfile::TempDir,
    key: Key,
}

impl RpmRepo {
    /// The packages that the base of the stand-in has under these names; they and their index are signed in these ways.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn new(specs: &[&str], packages: Signature, index: Signature) -> Result<Self> {
        let folders = specs.iter().map(|name| base::packages(name)).collect::<Result<Vec<_>>>()?;
        Self::of(&folders, packages, index)
    }

    /// The packages in these folders; they and their index are signed in these ways.
    ///
    /// # Errors
    /// When a tool refuses.
    pub(crate) fn of(folders: &[PathBuf], packages: Signature, index: Signature) -> Result<Self> {
        let repo = Self { folder: tempfile::tempdir()?, key: Key::make()? };
        let root = repo.folder.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
        let other = Key::make()?;
        let signer = |signature| match signature {
            Signature::None => None,
            Signature::Right => Some(&repo.key),
            Signature::Wrong => Some(&other),
        };
        for folder in folders {
            for entry in fs::read_dir(folder).with_context(|| format!("no packages in {}", folder.display()))? {
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

    /// Renews the key: it has the same fingerprint, and what signs everything from now on is a further key of it.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn renew(&mut self) -> Result<()> {
        self.key.renew()?;
        for entry in fs::read_dir(self.folder())? {
            let package = entry?.path();
            if package.extension().is_some_and(|end| end == "rpm") {
                self.key.sign_rpm(&package)?;
            }
        }
        tool::tool("createrepo_c", ["--quiet".as_ref(), self.folder().as_os_str()])?;
        self.key.sign_apart(&self.folder().join("repodata/repomd.xml"))
    }

    /// Adds module metadata to the index, and signs it anew.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn modules(&self, text: &str) -> Result<()> {
        let (file, data) = (self.folder().join("modules.yaml"), self.folder().join("repodata"));
        fs::write(&file, text)?;
        tool::tool("modifyrepo_c", ["--mdtype=modules".as_ref(), file.as_os_str(), data.as_os_str()])?;
        self.key.sign_apart(&data.join("repomd.xml"))
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

/// What rpm leaves, as on every host that had the packages, with what is below: accounts, logs, and folders that a server wrote into.
const LEFT: [&str; 33] = [
    "file /var/cache/dnf/.gpgkeyschecked.yum",
    "file /var/log/dnf.librepo.log",
    "file /var/log/dnf.log",
    "file /var/log/dnf5.log",
    "file /var/log/dnf.rpm.log",
    "file /var/log/hawkey.log",
    "file /var/log/yum.log",
    "file /var/log/zypp",
    "file /var/log/zypper.log",
    "file /var/lib/YaST2",
    "file /var/lib/nginx",
    "file /var/log/mongodb",
    "file /var/log/nginx",
    "file /var/log/rabbitmq",
    "file /var/log/redis",
    "file /var/log/redis6",
    "file /var/log/valkey",
    "group epmd",
    "group mongod",
    "group nginx",
    "group postgres",
    "group rabbitmq",
    "group redis",
    "group redis6",
    "group valkey",
    "user epmd",
    "user mongod",
    "user nginx",
    "user postgres",
    "user rabbitmq",
    "user redis",
    "user redis6",
    "user valkey",
];

/// Nothing but what rpm leaves, and `more`, is there that was not there before.
///
/// # Errors
/// When there is, with what it is.
pub fn nothing_is_left(before: &Digest, host: &Host, more: &[&str]) -> Result<()> {
    let is_left = |line: &String| {
        let fact = line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ");
        let mut left = LEFT.iter().chain(more);
        left.any(|left| fact.strip_prefix(left).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    let after = Digest::diff(before, &Digest::of(host)?);
    let more: Vec<String> = after.into_iter().filter(|line| !is_left(line)).collect();
    ensure!(more.is_empty(), "it leaves {more:#?}");
    Ok(())
}
