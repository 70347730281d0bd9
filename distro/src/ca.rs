//! Where a distribution keeps the CAs that everything on it trusts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::facts::Family;
use crate::{Class, Command, Host, files};

/// Where Debian's store has a link to each certificate that is trusted, under the name that its hooks know it by.
const LINKS: &str = "/etc/ssl/certs";
/// What packages that keep certificates in a store of their own, as Java does, leave there to hear of changes.
const HOOKS: &str = "/etc/ca-certificates/update.d";

/// The store of one family of distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Package that brings it.
    pub package: &'static str,
    /// Where an administrator puts certificates, a file each.
    folder: &'static str,
    /// Ending of those files.
    ending: &'static str,
    /// What takes them up.
    command: &'static [&'static str],
    /// What takes them up and leaves nothing of those that are gone.
    renewal: &'static [&'static str],
    /// What everything reads.
    pub bundle: &'static str,
    /// Does the package manager trust what is in it and can be told of nothing else, so that its package is always there?
    pub is_its_managers: bool,
}

/// The store of `family`; none where it is not known.
pub fn store(family: Family) -> Option<Store> {
    match family {
        Family::Debian => Some(Store {
            package: "ca-certificates",
            folder: "/usr/local/share/ca-certificates",
            ending: "crt",
            command: &["update-ca-certificates"],
            renewal: &["update-ca-certificates", "--fresh"],
            bundle: "/etc/ssl/certs/ca-certificates.crt",
            is_its_managers: false,
        }),
        Family::RedHat => Some(Store {
            package: "ca-certificates",
            folder: "/etc/pki/ca-trust/source/anchors",
            ending: "pem",
            command: &["update-ca-trust", "extract"],
            renewal: &["update-ca-trust", "extract"],
            bundle: "/etc/pki/tls/certs/ca-bundle.crt",
            is_its_managers: false,
        }),
        Family::Suse => Some(Store {
            package: "ca-certificates",
            folder: "/etc/pki/trust/anchors",
            ending: "pem",
            command: &["update-ca-certificates"],
            renewal: &["update-ca-certificates", "--fresh"],
            bundle: "/var/lib/ca-certificates/ca-bundle.pem",
            is_its_managers: true,
        }),
        _ => None,
    }
}

impl Store {
    /// The file for a certificate that is called `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder).join(format!("{name}.{}", self.ending))
    }

    /// Does everything trust the certificate in `pem`?
    ///
    /// # Errors
    /// Where the bundle cannot be read.
    pub fn trusts(&self, pem: &str) -> Result<bool> {
        let bundle = files::read(Path::new(self.bundle))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bundle).contains(pem.trim()))
    }

    /// Takes up what is in the folder. False where there is no store.
    ///
    /// # Errors
    /// Class `host`, where that fails.
    pub fn refresh(&self, host: &Host) -> Result<bool> {
        update(host, self.command)
    }

    /// The same, and forgets what is not there any more, with its links.
    ///
    /// # Errors
    /// As [`Store::refresh`].
    pub fn forget(&self, host: &Host) -> Result<bool> {
        self.tell_hooks(host)?;
        update(host, self.renewal)
    }

    /// Tells the store's hooks which certificates went. `update-ca-certificates` does so only of its own, and by then their links are
    /// gone, so that Java would trust them for ever.
    fn tell_hooks(&self, host: &Host) -> Result<()> {
        let gone: String = dangling(Path::new(LINKS), Path::new(self.folder))?
            .iter()
            .map(|link| format!("-{}\n", link.display()))
            .collect();
        if gone.is_empty() || !Path::new(HOOKS).is_dir() {
            return Ok(());
        }
        let doing = "asking for the hooks of the CA store";
        let hooks =
            Command::new("run-parts").args(["--test", "--", HOOKS]).data().run(&host.runner, Class::Host, doing)?;
        for hook in hooks.stdout.lines() {
            let output = Command::new(hook).stdin(gone.as_str()).output(&host.runner)?;
            if !output.ok() {
                let fault = output.fault(Class::Host, format!("{hook} did not take out a CA that is gone"));
                return Err(fault.advice("mend what it says, or remove that hook, then run uninstall again").into());
            }
        }
        Ok(())
    }
}

/// The links in `links` to files of `folder` that are gone.
fn dangling(links: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(links) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries.with_context(|| format!("reading {}", links.display()))?,
    };
    for entry in entries {
        let path = entry?.path();
        if fs::read_link(&path).is_ok_and(|target| target.starts_with(folder)) && !path.exists() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn update(host: &Host, command: &[&str]) -> Result<bool> {
    let [program, args @ ..] = command else { return Ok(false) };
    if crate::find_program(program).is_none() {
        return Ok(false);
    }
    let output = Command::new(*program).args(args.iter().copied()).output(&host.runner)?;
    if output.ok() {
        return Ok(true);
    }
    let fault = output.fault(Class::Host, "the store of CA certificates cannot be updated");
    Err(fault.advice(format!("run `{}` and mend what it says", command.join(" "))).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_to_what_is_gone_of_our_folder() {
        let root = tempfile::tempdir().unwrap();
        let (links, folder) = (root.path().join("certs"), root.path().join("local"));
        assert!(dangling(&links, &folder).unwrap().is_empty());
        for path in [&links, &folder] {
            fs::create_dir(path).unwrap();
        }
        fs::write(folder.join("there.crt"), "x").unwrap();
        for (name, target) in [
            ("there.pem", folder.join("there.crt")),
            ("gone.pem", folder.join("gone.crt")),
            ("other.pem", root.path().join("elsewhere.crt")),
            // What openssl calls it is a link to the link.
            ("0a1b2c3d.0", "gone.pem".into()),
        ] {
            symlink(target, links.join(name)).unwrap();
        }
        fs::write(links.join("ca-certificates.crt"), "x").unwrap();
        assert_eq!(dangling(&links, &folder).unwrap(), [links.join("gone.pem")]);
    }
}
