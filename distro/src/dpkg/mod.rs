//! dpkg's database: what is installed, whose a file is and who needs whom, read without starting a process.
//!
//! Formats: deb-src-control(5) for the stanzas of `status`, dpkg(1) for package states; the files in `updates/` are stanzas
//! that dpkg has not merged into `status` yet, which is how an interrupted dpkg leaves them.

mod files;
mod needs;
mod unfinished;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Look;

pub use unfinished::finish;

/// dpkg's database.
pub const DATABASE: &str = "/var/lib/dpkg";

/// What dpkg knows of all packages.
#[derive(Debug, Default)]
pub struct Dpkg {
    /// By name (of the native architecture; others as `name:arch`).
    pub packages: HashMap<String, Package>,
    /// Architecture of dpkg itself: that of packages named without one.
    pub architecture: String,
    /// Was dpkg cut off, or is it still at work, before it merged what it wrote down? Its scratch files are there.
    pub unmerged: bool,
    folder: PathBuf,
}

/// A package that dpkg knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Version that is installed or half installed; empty where only configuration is left.
    pub version: String,
    /// Third word of `Status`: `installed`, `config-files`, `half-configured`, …
    pub status: String,
    /// First word of `Status`, what the admin wants: `install`, `hold`, `deinstall`, `purge`.
    pub want: String,
    /// Must it be unpacked again (second word of `Status` is `reinstreq`)?
    pub broken: bool,
    /// `Architecture`: `all`, or that of a machine.
    pub architecture: String,
    /// Version whose configuration is in place, where it is not the one installed.
    pub config_version: String,
    /// `Pre-Depends` and `Depends`, comma-separated.
    pub depends: String,
    /// `Provides`, comma-separated.
    pub provides: String,
    /// Has it configuration files?
    pub conffiles: bool,
}

impl Package {
    /// Is it there, whole and configured?
    pub fn is_installed(&self) -> bool {
        self.status == "installed" && !self.broken
    }

    /// Is it configured, and has yet to hear of what others brought?
    pub fn is_triggered(&self) -> bool {
        self.status == "triggers-pending" && !self.broken
    }

    /// Are only its configuration files left (removed, not purged)?
    pub fn is_only_configuration(&self) -> bool {
        self.status == "config-files"
    }

    /// Is dpkg not done with it?
    pub fn is_unfinished(&self) -> bool {
        self.broken || !matches!(self.status.as_str(), "installed" | "config-files" | "not-installed")
    }
}

impl Dpkg {
    /// Reads the database in `folder` (normally [`DATABASE`]). A host without one has no packages.
    ///
    /// # Errors
    /// Where a file of it cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut dpkg = Self { folder: folder.to_owned(), ..Self::default() };
        let path = folder.join("status");
        let of_status =
            || std::fs::metadata(&path).map(|status| (status.ino(), status.mtime(), status.mtime_nsec())).ok();
        let (status, updates) = loop {
            let before = of_status();
            let paths = unfinished::updates(folder)?;
            let updates: Vec<Vec<u8>> = paths.iter().map(|path| read_or_empty(path)).collect::<Result<_>>()?;
            let status = read_or_empty(&path)?;
            // A dpkg at work merges the updates into a new one, and removes them one by one.
            if of_status() == before && paths.iter().all(|path| path.symlink_metadata().is_ok()) {
                break (status, updates);
            }
        };
        let mut stanzas = Vec::new();
        parse(&status, &mut stanzas);
        dpkg.unmerged = !updates.is_empty() || unfinished::scratch(folder);
        for update in &updates {
            parse(update, &mut stanzas);
        }
        let of_dpkg = stanzas.iter().find(|(name, _)| *name == "dpkg");
        dpkg.architecture = of_dpkg.map(|(_, package)| package.architecture.clone()).unwrap_or_default();
        for (name, package) in stanzas {
            let native = package.architecture == dpkg.architecture || matches!(&*package.architecture, "all" | "");
            let name = if native { name.to_owned() } else { format!("{name}:{}", package.architecture) };
            dpkg.packages.insert(name, package);
        }
        Ok(dpkg)
    }

    /// Is `name` (with `:arch` where it is a foreign one) there, whole and configured?
    pub fn is_installed(&self, name: &str) -> bool {
        self.package(name).is_some_and(Package::is_installed)
    }

    /// Was dpkg cut off at the end of a removal? What has neither configuration nor a script for its purge is purged when it is removed,
    /// and its last states before that are those of a package of which only configuration is left.
    pub fn is_almost_gone(&self, name: &str) -> bool {
        let Some(package) = self.package(name).filter(|package| package.is_only_configuration()) else { return false };
        let plain = name.split_once(':').map_or(name, |(plain, _)| plain);
        let scripts = [format!("{plain}.postrm"), format!("{plain}:{}.postrm", package.architecture)];
        let has_script = scripts.iter().any(|script| self.folder.join("info").join(script).exists());
        package.want == "purge" || !(package.conffiles || has_script)
    }

    /// What dpkg knows of `name`, with or without the native architecture.
    pub fn package(&self, name: &str) -> Option<&Package> {
        let plain = name.strip_suffix(&self.architecture).and_then(|name| name.strip_suffix(':')).unwrap_or(name);
        self.packages.get(plain)
    }
}

impl Look<'_> {
    /// dpkg's database as of this look.
    ///
    /// # Errors
    /// As [`Dpkg::read`].
    pub fn dpkg(&self) -> Result<&Dpkg> {
        if let Some(dpkg) = self.dpkg.get() {
            return Ok(dpkg);
        }
        let dpkg = Dpkg::read(Path::new(DATABASE))?;
        Ok(self.dpkg.get_or_init(|| dpkg))
    }
}

fn read_or_empty(path: &Path) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.with_context(|| format!("reading {}", path.display())),
    }
}

/// The packages of stanzas, in order; a name may come more than once, once an architecture.
fn parse<'a>(text: &'a [u8], into: &mut Vec<(&'a str, Package)>) {
    let mut name = "";
    let mut package = Package::default();
    for line in text.split(|byte| *byte == b'\n').chain([&[][..]]) {
        if line.is_empty() {
            if !name.is_empty() {
                into.push((std::mem::take(&mut name), std::mem::take(&mut package)));
            }
            continue;
        }
        // Only these fields are looked at: the first byte decides for nearly every line.
        if !matches!(line[0], b'P' | b'S' | b'A' | b'V' | b'C' | b'D') {
            continue;
        }
        let Some((field, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else {
            continue;
        };
        let value = value.trim();
        match field {
            "Package" => name = value,
            "Version" => value.clone_into(&mut package.version),
            "Architecture" => value.clone_into(&mut package.architecture),
            "Config-Version" => value.clone_into(&mut package.config_version),
            "Conffiles" => package.conffiles = true,
            "Provides" => value.clone_into(&mut package.provides),
            "Pre-Depends" | "Depends" => {
                if !package.depends.is_empty() {
                    package.depends.push_str(", ");
                }
                package.depends.push_str(value);
            }
            "Status" => {
                let mut words = value.split_ascii_whitespace();
                words.next().unwrap_or_default().clone_into(&mut package.want);
                package.broken = words.next() == Some("reinstreq");
                words.next().unwrap_or_default().clone_into(&mut package.status);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;

    pub const STATUS: &str = "\
Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.21.22
Pre-Depends: libc6 (>= 2.34)
Depends: tar (>= 1.28-1)
Description: Debian package management system
 Package: liar
 Status: install ok installed

Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9

Package: libc6
Status: hold ok installed
Architecture: i386
Version: 2.36-8

Package: tar
Status: install ok installed
Architecture: amd64
Version: 1.34

Package: nginx
Status: deinstall ok config-files
Architecture: all
Version: 1.22
Config-Version: 1.22

Package: redis-server
Status: install reinstreq half-installed
Architecture: amd64
Version: 5:7.0
";

    /// A database in a temporary folder.
    pub fn database(status: &str, updates: &[(&str, &str)]) -> (tempfile::TempDir, Dpkg) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("updates")).unwrap();
        fs::create_dir(folder.path().join("info")).unwrap();
        fs::write(folder.path().join("status"), status).unwrap();
        for (name, text) in updates {
            fs::write(folder.path().join("updates").join(name), text).unwrap();
        }
        let dpkg = Dpkg::read(folder.path()).unwrap();
        (folder, dpkg)
    }

    #[test]
    fn stanzas_are_read() {
        let (_folder, dpkg) = database(STATUS, &[]);
        let mut names: Vec<_> = dpkg.packages.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["dpkg", "libc6", "libc6:i386", "nginx", "redis-server", "tar"]);
        assert_eq!(dpkg.packages["dpkg"].depends, "libc6 (>= 2.34), tar (>= 1.28-1)");
        assert_eq!(dpkg.packages["libc6:i386"].want, "hold");
        assert_eq!(dpkg.packages["nginx"].config_version, "1.22");
        assert!(dpkg.is_installed("libc6") && dpkg.is_installed("libc6:amd64") && dpkg.is_installed("libc6:i386"));
        assert!(!dpkg.is_installed("nginx") && dpkg.packages["nginx"].is_only_configuration());
        assert!(!dpkg.is_installed("redis-server") && dpkg.packages["redis-server"].is_unfinished());
        assert!(!dpkg.is_installed("liar") && !dpkg.unmerged);
    }

    #[test]
    fn what_dpkg_was_about_to_purge_is_almost_gone() {
        let stanza = |name: &str, status: &str, more: &str| {
            format!("Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: 1\n{more}\n")
        };
        let status = [
            stanza("dpkg", "install ok installed", ""),
            stanza("plain", "deinstall ok config-files", ""),
            stanza("configured", "deinstall ok config-files", "Conffiles:\n /etc/x 0123\n"),
            stanza("scripted", "deinstall ok config-files", ""),
            stanza("going", "purge ok config-files", "Conffiles:\n /etc/x 0123\n"),
            stanza("there", "install ok installed", ""),
        ];
        let (folder, dpkg) = database(&status.concat(), &[]);
        std::fs::create_dir_all(folder.path().join("info")).unwrap();
        std::fs::write(folder.path().join("info/scripted:amd64.postrm"), "").unwrap();
        let almost: Vec<&str> = ["plain", "configured", "scripted", "going", "there", "never-seen"]
            .into_iter()
            .filter(|name| dpkg.is_almost_gone(name))
            .collect();
        assert_eq!(almost, ["plain", "going"]);
    }

    #[test]
    fn what_dpkg_has_not_merged_yet_counts() {
        let first = "Package: tar\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 1.35\n";
        let second = first.replace("half-configured", "installed");
        let (_folder, dpkg) = database(STATUS, &[("0001", &second), ("0000", first), ("tmp.i", "Package: x\n")]);
        assert!(dpkg.unmerged);
        assert_eq!(dpkg.packages["tar"].version, "1.35");
        assert!(dpkg.is_installed("tar"));
        assert!(dpkg.package("x").is_none());
        let (_folder, dpkg) = database(STATUS, &[("tmp.i", "")]);
        assert!(dpkg.unmerged && dpkg.is_installed("tar"), "what it made at its start is still there");
    }

    /// dpkg writes updates, merges all of them into a new status, and removes them.
    #[test]
    fn a_dpkg_at_work_is_never_seen_to_go_back() {
        let (folder, _) = database(STATUS, &[]);
        let put = |name: &str, text: &str| {
            let new = folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, folder.path().join(name)).unwrap();
        };
        std::thread::scope(|scope| {
            let dpkg = scope.spawn(|| {
                for round in 0..100 {
                    let stanza = |version: u32| {
                        format!("Package: x\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n")
                    };
                    let updates: Vec<String> = (0..5).map(|number| format!("updates/{number:04}")).collect();
                    for (number, update) in (0..).zip(&updates) {
                        put(update, &stanza(5 * round + number));
                    }
                    put("status", &format!("{STATUS}\n{}", stanza(5 * round + 4)));
                    updates.iter().for_each(|update| fs::remove_file(folder.path().join(update)).unwrap());
                    // Within a tick of the kernel's clock, two states of a file have the same time.
                    crate::patience::pause(std::time::Duration::from_millis(10));
                }
            });
            let mut last = 0;
            while !dpkg.is_finished() {
                let seen = Dpkg::read(folder.path()).unwrap();
                let version = seen.package("x").map_or(0, |package| package.version.parse().unwrap());
                assert!(last <= version, "{last} was seen, and then {version}");
                last = version;
            }
        });
        assert_eq!(Dpkg::read(folder.path()).unwrap().packages["x"].version, "499");
    }

    #[test]
    fn a_host_without_dpkg_has_no_packages() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Dpkg::read(folder.path()).unwrap().packages.is_empty());
    }
}
