//! Fixture apt repositories: packages made from data, an index, a signature by a throw-away key.

use crate::{Host, tool, web::Web};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A package to build.
#[derive(Clone, Debug)]
#[must_use]
pub struct Package {
    name: String,
    version: String,
    fields: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>, u32)>,
    conffiles: Vec<String>,
    scripts: Vec<(String, String)>,
}

impl Package {
    /// An empty package for every architecture.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            fields: Vec::new(),
            files: Vec::new(),
            conffiles: Vec::new(),
            scripts: Vec::new(),
        }
    }

    /// A control field: `Depends`, `Conflicts` …
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file; what is below /etc becomes a conffile.
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        if path.starts_with("/etc/") {
            return self.conffile(path, content, mode);
        }
        self.files.push((path.to_owned(), content.as_ref().to_vec(), mode));
        self
    }

    /// A conffile, wherever it is.
    pub fn conffile(mut self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        self.files.push((path.to_owned(), content.as_ref().to_vec(), mode));
        self.conffiles.push(path.to_owned());
        self
    }

    /// All files below `folder` of the machine, below `path` of the host.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn tree(mut self, path: &str, folder: &Path) -> Result<Self> {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let inside = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self = self.tree(&inside, &entry.path())?;
            } else {
                let mode = entry.metadata()?.permissions().mode() & 0o777;
                self.files.push((inside, fs::read(entry.path())?, mode));
            }
        }
        Ok(self)
    }

    /// A maintainer script: `preinst`, `postinst`, `prerm`, `postrm`.
    pub fn script(mut self, name: &str, content: &str) -> Self {
        self.scripts.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Builds it into `folder` and returns the file.
    ///
    /// # Errors
    /// When dpkg-deb refuses.
    pub fn build(&self, folder: &Path) -> Result<PathBuf> {
        let tree = self.unpacked()?;
        let inside = |path: &str| tree.path().join(path.trim_start_matches('/'));
        put(&inside("DEBIAN/control"), self.control().as_bytes(), 0o644)?;
        let conffiles: String = self.conffiles.iter().map(|path| format!("{path}\n")).collect();
        put(&inside("DEBIAN/conffiles"), conffiles.as_bytes(), 0o644)?;
        for (name, content) in &self.scripts {
            put(&inside(&format!("DEBIAN/{name}")), content.as_bytes(), 0o755)?;
        }
        fs::create_dir_all(folder)?;
        // File names leave the epoch out.
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, rest)| rest);
        let file = folder.join(format!("{}_{}_all.deb", self.name, version));
        let args = ["--root-owner-group".as_ref(), "-Znone".as_ref(), "--build".as_ref(), tree.path().as_os_str()];
        tool::tool("dpkg-deb", args.into_iter().chain([file.as_os_str()]))?;
        Ok(file)
    }

    /// Its files, as they are to be on a host.
    pub(crate) fn unpacked(&self) -> Result<tempfile::TempDir> {
        let tree = tempfile::tempdir()?;
        fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755))?;
        for (path, content, mode) in &self.files {
            put(&tree.path().join(path.trim_start_matches('/')), content, *mode)?;
        }
        Ok(tree)
    }

    /// Its name, and its version.
    pub(crate) fn identity(&self) -> (&str, &str) {
        (&self.name, &self.version)
    }

    fn control(&self) -> String {
        let Self { name, version, .. } = self;
        let mut text =
            format!("Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: The lab <lab@lab.test>\n");
        text.extend(self.fields.iter().map(|(name, value)| format!("{name}: {value}\n")));
        text + "Description: made by the lab\n for tests only\n"
    }
}

/// How a repository is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signature {
    /// By the key that [`Repo::key`] gives away.
    #[default]
    Right,
    /// By another key.
    Wrong,
    /// Not at all.
    None,
}

/// An apt repository in a folder, with distribution `stable` and component `main` unless said otherwise. Removed when dropped.
#[derive(Debug)]
pub struct Repo {
    folder: tempfile::TempDir,
    suite: String,
    component: String,
    key: Key,
    valid_until: Option<String>,
    signature: Signature,
}

impl Repo {
    /// Builds the packages and signs their index.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn new(packages: &[Package]) -> Result<Self> {
        Self::laid_out("stable", "main", packages)
    }

    /// The same with another distribution, as a path below `dists`, and component.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn laid_out(suite: &str, component: &str, packages: &[Package]) -> Result<Self> {
        let repo = Self {
            folder: tempfile::tempdir()?,
            suite: suite.to_owned(),
            component: component.to_owned(),
            key: Key::make()?,
            valid_until: None,
            signature: Signature::Right,
        };
        fs::set_permissions(repo.folder.path(), fs::Permissions::from_mode(0o755))?;
        repo.add(packages)?;
        Ok(repo)
    }

    /// Adds packages and makes the index anew.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn add(&self, packages: &[Package]) -> Result<()> {
        let pool = self.folder.path().join("pool");
        fs::create_dir_all(&pool)?;
        for package in packages {
            package.build(&pool)?;
        }
        self.index()
    }

    /// Signs the index in another way.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn signed(mut self, signature: Signature) -> Result<Self> {
        self.signature = signature;
        self.index()?;
        Ok(self)
    }

    /// The index was valid until a moment in the past.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn expired(mut self) -> Result<Self> {
        self.valid_until = Some("Sat, 01 Jan 2000 00:00:00 UTC".to_owned());
        self.index()?;
        Ok(self)
    }

    /// The index is valid, without an end.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn current(mut self) -> Result<Self> {
        self.valid_until = None;
        self.index()?;
        Ok(self)
    }

    /// Serves it on `web`, and makes it and its key known to `host`.
    ///
    /// # Errors
    /// When the host cannot be written to.
    pub fn offer(&self, web: &Web, host: &Host) -> Result<()> {
        web.serve("/apt", self.folder());
        host.write("/etc/apt/keyrings/lab.asc", self.key(), 0o644)?;
        let source = format!("deb [signed-by=/etc/apt/keyrings/lab.asc] {}/apt stable main\n", web.url());
        host.write("/etc/apt/sources.list.d/lab.list", source, 0o644)
    }

    /// The folder to serve.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The public key, armoured.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key.public
    }

    /// The full fingerprint of the public key.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.key.fingerprint
    }

    fn index(&self) -> Result<()> {
        let root = self.folder.path();
        let Self { suite, component, .. } = self;
        let dist = root.join("dists").join(suite);
        let binary = dist.join(component).join("binary-amd64");
        fs::create_dir_all(&binary)?;
        for stale in ["Release", "InRelease", "Release.gpg"] {
            let _ = fs::remove_file(dist.join(stale));
        }
        let packages = tool::output(Command::new("apt-ftparchive").args(["packages", "pool"]).current_dir(root))?;
        fs::write(binary.join("Packages"), &packages)?;
        let mut command = Command::new("apt-ftparchive");
        let fields = [
            "Origin=Lab".to_owned(),
            "Label=Lab".to_owned(),
            format!("Suite={suite}"),
            format!("Codename={suite}"),
            "Architectures=amd64 all".to_owned(),
            format!("Components={component}"),
        ];
        for field in &fields {
            command.args(["-o", &format!("APT::FTPArchive::Release::{field}")]);
        }
        let mut release = tool::output(command.args(["release", "."]).current_dir(&dist))?;
        if let Some(until) = &self.valid_until {
            release = format!("Valid-Until: {until}\n{release}");
        }
        fs::write(dist.join("Release"), &release)?;
        let other;
        let signer = match self.signature {
            Signature::None => return Ok(()),
            Signature::Right => &self.key,
            Signature::Wrong => {
                other = Key::make()?;
                &other
            }
        };
        signer.sign(&dist.join("Release"), &dist.join("InRelease"))
    }
}

/// A key pair that lives as long as the value.
#[derive(Debug)]
pub(crate) struct Key {
    home: tempfile::TempDir,
    public: String,
    fingerprint: String,
}

impl Key {
    pub(crate) fn make() -> Result<Self> {
        let home = tempfile::tempdir()?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700))?;
        let user = "Lab <lab@lab.test>";
        gpg(&home, &["--passphrase", "", "--quick-generate-key", user, "rsa2048", "sign", "never"])?;
        let public = gpg(&home, &["--armor", "--export"])?;
        let listed = gpg(&home, &["--with-colons", "--list-keys"])?;
        let line = listed.lines().find_map(|line| line.strip_prefix("fpr:")).context("gpg lists no fingerprint")?;
        let fingerprint = line.trim_matches(':').to_owned();
        Ok(Self { home, public, fingerprint })
    }

    /// Gives it a further key to sign with, which it signs with from now on.
    pub(crate) fn renew(&mut self) -> Result<()> {
        gpg(&self.home, &["--passphrase", "", "--quick-add-key", &self.fingerprint, "rsa2048", "sign", "never"])?;
        self.public = gpg(&self.home, &["--armor", "--export"])?;
        Ok(())
    }

    pub(crate) fn public(&self) -> &str {
        &self.public
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Signs a package of rpm.
    pub(crate) fn sign_rpm(&self, package: &Path) -> Result<()> {
        let mut command = Command::new("rpmsign");
        command.env("GNUPGHOME", self.home.path()).args(["--define", &format!("_gpg_name {}", self.fingerprint)]);
        command.args(["--define", "__gpg /usr/bin/gpg", "--define", "_gpg_digest_algo sha256", "--addsign"]);
        tool::output(command.arg(package)).map(drop)
    }

    /// Puts a signature beside a file.
    pub(crate) fn sign_apart(&self, file: &Path) -> Result<()> {
        gpg(&self.home, &["--yes", "--armor", "--detach-sign", &file.display().to_string()]).map(drop)
    }

    fn sign(&self, file: &Path, signed: &Path) -> Result<()> {
        let (file, signed) = (file.display().to_string(), signed.display().to_string());
        gpg(&self.home, &["--yes", "--clearsign", "--digest-algo", "SHA256", "--output", &signed, &file]).map(drop)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let home = self.home.path().as_os_str();
        tool::succeeds("gpgconf", ["--homedir".as_ref(), home, "--kill".as_ref(), "all".as_ref()]);
    }
}

fn gpg(home: &tempfile::TempDir, args: &[&str]) -> Result<String> {
    let mut command = Command::new("gpg");
    command.arg("--homedir").arg(home.path()).args(["--batch", "--quiet", "--no-permission-warning"]).args(args);
    tool::output(&mut command)
}

fn put(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}
