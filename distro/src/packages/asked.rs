//! Why packages are there: did somebody ask for them, or did they come because another package needs them?

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::{Manager, Package};
use crate::{Look, apt, dnf, zypper};

impl Look<'_> {
    /// Which of `names` are installed and, as the package manager knows, there because somebody asked for them: by their names, or by a mark since.
    ///
    /// # Errors
    /// Where the package manager does not say.
    pub fn asked_for(&self, names: &[String]) -> Result<BTreeSet<String>> {
        let known = self.packages(names)?;
        let there: Vec<String> =
            known.into_iter().filter(|(_, package)| Package::is_installed(package)).map(|(name, _)| name).collect();
        if there.is_empty() {
            return Ok(BTreeSet::new());
        }
        match self.host.packages() {
            Manager::Apt => apt::asked_for(&self.dpkg()?.architecture, there),
            Manager::Dnf => dnf::asked_for(self.host, &there),
            Manager::Zypper => zypper::asked_for(there),
            Manager::Yum => bail!("yum is not asked why a package is there"),
        }
    }
}

impl Manager {
    /// The command by which the package `name` is no longer one that somebody asked for; by which it goes, where there is none.
    pub fn let_go(self, name: &str) -> String {
        match self {
            Manager::Apt => format!("apt-mark auto {name}"),
            Manager::Dnf => format!("dnf {} {name}", dnf::unmark()),
            Manager::Yum => format!("yum remove {name}"),
            Manager::Zypper => format!("zypper remove {name}"),
        }
    }
}
