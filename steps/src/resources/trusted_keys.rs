//! Keys of a repository that the package manager keeps among its packages, and then trusts for all repositories.

use anyhow::Result;
use distro::files;
use distro::openpgp::Keyring;
use distro::packages::Manager;
use serde_json::Value;

use super::packages;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// The keys that are in the keyring of a repository.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    /// Whose repository it is.
    pub manager: Manager,
    /// Name of the repository.
    pub repository: String,
    /// Full fingerprints of the keys that may be in its keyring.
    pub fingerprints: Vec<String>,
}

impl Resource for TrustedKeys {
    fn sort(&self) -> &'static str {
        "trusted_keys"
    }

    fn key(&self) -> String {
        self.repository.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Repositories
    }

    fn claims(&self) -> Vec<Claim> {
        let names = self.manager.trusted_keys(&self.fingerprints);
        names.iter().map(|name| Claim { thing: packages::thing(name), wants: b"installed".to_vec() }).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = self.manager.keyring_path(&self.repository);
        let Some(bytes) = files::read(&path)? else { return Ok(Probe::Pending(format!("keyring {}", path.display()))) };
        let names = self.manager.trusted_keys(&Keyring::read(&bytes)?.fingerprints);
        let known = cx.look.packages(&names)?;
        let change = |name: &String| {
            let undo = Undo::RemovePackage { name: name.clone(), dependency: false };
            Change::new(format!("package {name}"), format!("trust {name} of {}", path.display()), undo)
        };
        let missing: Vec<Change> = names.iter().filter(|name| !known.contains_key(*name)).map(change).collect();
        Ok(if missing.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(missing) })
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        self.manager.trust(cx.host, &self.repository)
    }
}
