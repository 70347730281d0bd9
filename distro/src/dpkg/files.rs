//! Whose a file in /etc is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Dpkg;

/// Endings of files that dpkg and ucf make beside configuration files.
const LEFT_BY_DPKG: [&str; 7] =
    [".dpkg-old", ".dpkg-dist", ".dpkg-new", ".dpkg-tmp", ".dpkg-bak", ".ucf-old", ".ucf-dist"];

/// What packages say is theirs below /etc: per path the names of the packages that ship it.
type Owners = BTreeMap<String, BTreeSet<String>>;

/// Files that scripts of packages make, and that stand in no list: package, path. Those of ucf's registry count only while ucf is
/// there, and a purge may take it first.
const GENERATED: &[(&str, &str)] = &[
    ("postgresql-common", "/etc/postgresql-common/createcluster.conf"),
    ("postgresql-common", "/etc/postgresql-common/minor_versions"),
    ("postgresql-common", "/etc/postgresql-common/root.crt"),
];

impl Dpkg {
    /// Files and symlinks in the folders that `package` has in /etc and that no package shipped: purging it may delete them, as
    /// nginx-common's purge deletes all of /etc/nginx. A folder is the package's where nobody else ships it, or where the
    /// package is named after it; `/etc/default` and the like are nobody's. `root` is where /etc is, normally `/`.
    ///
    /// Not counted: what was generated from a package (ucf's registry), what dpkg itself leaves beside configuration files, and
    /// symlinks to a shipped file (as in `sites-enabled`).
    ///
    /// # Errors
    /// Where a list of dpkg or a folder cannot be read.
    pub fn foreign_etc_files(&self, root: &Path, package: &str) -> Result<Vec<PathBuf>> {
        let owners = self.owners_in_etc(root)?;
        let plain = package.split_once(':').map_or(package, |(plain, _)| plain);
        let mut found = BTreeSet::new();
        for (path, names) in &owners {
            let on_disk = root.join(path.trim_start_matches('/'));
            let is_folder = std::fs::symlink_metadata(&on_disk).is_ok_and(|meta| meta.is_dir());
            if is_folder && names.contains(plain) && (names.len() == 1 || is_named_after(plain, path)) {
                collect_foreign(root, &on_disk, &owners, &mut found)?;
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The package that has `path` among its configuration files, where it is installed.
    ///
    /// # Errors
    /// Where a list of dpkg cannot be read.
    pub fn owner_of_conffile(&self, path: &str) -> Result<Option<String>> {
        let info = self.folder.join("info");
        for entry in std::fs::read_dir(&info).with_context(|| format!("reading {}", info.display()))? {
            let list = entry.with_context(|| format!("reading {}", info.display()))?.path();
            let name = list.file_name().and_then(|name| name.to_str()?.strip_suffix(".conffiles"));
            let Some(name) = name.filter(|name| self.is_installed(name)) else { continue };
            let text = std::fs::read(&list).with_context(|| format!("reading {}", list.display()))?;
            if String::from_utf8_lossy(&text).lines().any(|line| line.trim_end() == path) {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    /// Owners of everything below /etc: from `info/*.list`, and from ucf's registry where there is one.
    fn owners_in_etc(&self, root: &Path) -> Result<Owners> {
        let mut owners = Owners::new();
        let info = self.folder.join("info");
        for entry in std::fs::read_dir(&info).with_context(|| format!("reading {}", info.display()))? {
            let path = entry.with_context(|| format!("reading {}", info.display()))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".list")) else { continue };
            let name = name.split_once(':').map_or(name, |(name, _)| name);
            let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            for line in String::from_utf8_lossy(&text).lines().filter(|line| line.starts_with("/etc/")) {
                owners.entry(line.to_owned()).or_default().insert(name.to_owned());
            }
        }
        for (name, path) in GENERATED {
            owners.entry((*path).to_owned()).or_default().insert((*name).to_owned());
        }
        let registry = super::read_or_empty(&root.join("var/lib/ucf/registry"))?;
        for line in String::from_utf8_lossy(&registry).lines() {
            if let Some((name, path)) = line.split_once(char::is_whitespace) {
                owners.entry(path.trim().to_owned()).or_default().insert(name.to_owned());
            }
        }
        Ok(owners)
    }
}

/// Is `package` named after the folder below /etc that `path` is or is in: `redis-server` after `/etc/redis`?
fn is_named_after(package: &str, path: &str) -> bool {
    let top = path.trim_start_matches("/etc/").split('/').next().unwrap_or_default();
    package == top || package.strip_prefix(top).is_some_and(|rest| rest.starts_with('-'))
}

fn collect_foreign(root: &Path, folder: &Path, owners: &Owners, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let path = entry.path();
        let kind = entry.file_type().with_context(|| format!("looking at {}", path.display()))?;
        let shipped = |path: &Path| path.to_str().is_some_and(|path| owners.contains_key(path));
        // `root` is `/` or a test's folder; either way what is below it is what packages call absolute.
        let Ok(below) = path.strip_prefix(root) else { continue };
        let absolute = Path::new("/").join(below);
        if kind.is_dir() {
            collect_foreign(root, &path, owners, found)?;
            continue;
        }
        let left_by_dpkg = LEFT_BY_DPKG.iter().any(|end| absolute.to_string_lossy().ends_with(end));
        let links_to_shipped =
            kind.is_symlink() && link_target(&path, &absolute).is_some_and(|target| shipped(&target));
        if !(shipped(&absolute) || left_by_dpkg || links_to_shipped) {
            found.insert(absolute);
        }
    }
    Ok(())
}

/// Where the symlink `path` points to, as an absolute path without `.` and `..`; `absolute` is its own.
fn link_target(path: &Path, absolute: &Path) -> Option<PathBuf> {
    let target = std::fs::read_link(path).ok()?;
    let mut clean = PathBuf::from("/");
    for part in absolute.parent()?.join(target).components() {
        match part {
            std::path::Component::ParentDir => drop(clean.pop()),
            std::path::Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{STATUS, database};
    use super::*;
    use std::fs;

    #[test]
    fn whose_a_configuration_file_is() {
        let (folder, dpkg) = database(STATUS, &[]);
        let installed = dpkg.packages.iter().find(|(_, package)| package.is_installed()).unwrap().0.clone();
        let removed = dpkg.packages.iter().find(|(_, package)| package.is_only_configuration()).unwrap().0.clone();
        for (package, paths) in [(&installed, "/etc/a.conf\n/etc/b.conf\n"), (&removed, "/etc/gone.conf\n")] {
            fs::write(folder.path().join("info").join(format!("{package}.conffiles")), paths).unwrap();
        }
        let owner = |path: &str| dpkg.owner_of_conffile(path).unwrap();
        assert_eq!(owner("/etc/b.conf"), Some(installed));
        assert_eq!((owner("/etc/b"), owner("/etc/gone.conf")), (None, None));
    }

    #[test]
    fn only_files_of_nobody_in_folders_of_the_package() {
        let (folder, dpkg) = database(STATUS, &[]);
        let list = |package: &str, paths: &str| {
            fs::write(folder.path().join("info").join(format!("{package}.list")), paths).unwrap();
        };
        list(
            "nginx-common",
            "/.\n/etc\n/etc/default\n/etc/default/nginx\n/etc/nginx\n/etc/nginx/nginx.conf\n/etc/nginx/conf.d\n\
             /etc/nginx/sites-available\n/etc/nginx/sites-available/default\n/usr/sbin/x\n",
        );
        list("php-nginx:amd64", "/etc/nginx\n/etc/nginx/conf.d\n/etc/nginx/conf.d/php.conf\n/etc/default\n");
        let root = folder.path().join("root");
        for name in ["nginx/conf.d", "nginx/sites-available", "nginx/sites-enabled", "default"] {
            fs::create_dir_all(root.join("etc").join(name)).unwrap();
        }
        let ours = ["nginx/nginx.conf", "nginx/conf.d/php.conf", "nginx/sites-available/default", "default/nginx"];
        for name in ours.iter().chain(&["default/mine", "nginx/nginx.conf.dpkg-old", "nginx/generated"]) {
            fs::write(root.join("etc").join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("../sites-available/default", root.join("etc/nginx/sites-enabled/default")).unwrap();
        fs::create_dir_all(root.join("var/lib/ucf")).unwrap();
        fs::write(root.join("var/lib/ucf/registry"), "nginx-common \t /etc/nginx/generated\n").unwrap();
        assert_eq!(dpkg.foreign_etc_files(&root, "nginx-common").unwrap(), Vec::<PathBuf>::new());

        fs::write(root.join("etc/nginx/sites-available/mine"), "").unwrap();
        std::os::unix::fs::symlink("/etc/nginx/sites-available/mine", root.join("etc/nginx/sites-enabled/mine"))
            .unwrap();
        let expected = ["/etc/nginx/sites-available/mine", "/etc/nginx/sites-enabled/mine"].map(PathBuf::from);
        assert_eq!(dpkg.foreign_etc_files(&root, "nginx-common").unwrap(), expected);
        // /etc/nginx is shared and php-nginx is not named after it
        assert_eq!(dpkg.foreign_etc_files(&root, "php-nginx").unwrap(), Vec::<PathBuf>::new());
    }
}
