//! Where a distribution keeps the CAs that everything on it trusts.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::facts::Family;
use crate::{Class, Command, Host, files};

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
        }),
        Family::RedHat => Some(Store {
            package: "ca-certificates",
            folder: "/etc/pki/ca-trust/source/anchors",
            ending: "pem",
            command: &["update-ca-trust", "extract"],
            renewal: &["update-ca-trust", "extract"],
            bundle: "/etc/pki/tls/certs/ca-bundle.crt",
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
        update(host, self.renewal)
    }
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
