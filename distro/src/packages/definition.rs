//! A repository of ours as it is written down for the package manager.

use std::path::PathBuf;

use anyhow::Result;

use super::Manager;
use crate::apt;

/// What a repository is.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    /// Name of its files, without their endings.
    pub name: String,
    /// Where it is.
    pub uris: Vec<String>,
    /// Suites, or paths that end in `/`.
    pub suites: Vec<String>,
    /// Components, none where suites are paths.
    pub components: Vec<String>,
    /// Architectures, where not all that the host knows are offered.
    pub architectures: Vec<String>,
    /// Which versions are preferred.
    pub pins: Vec<Pin>,
}

/// A preference (apt_preferences(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Names or patterns of packages.
    pub packages: Vec<String>,
    /// What is preferred: `version 5:7.*`, `origin packages.example.com`, `release a=stable`.
    pub pin: String,
    /// Priority: over 1000 also downgrades.
    pub priority: i32,
}

/// A file of a repository's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What is in it, in a word.
    pub name: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// Another definition of the same repository, which the package manager would not take beside ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// The file that it stands in.
    pub file: PathBuf,
    /// What it says.
    pub says: String,
}

impl Manager {
    /// The files that define a repository, besides its keyring.
    pub fn parts(self, of: &Definition) -> Vec<Part> {
        match self {
            Manager::Apt => apt::parts(of),
        }
    }

    /// Where the keyring of our repository `name` is.
    pub fn keyring_path(self, name: &str) -> PathBuf {
        match self {
            Manager::Apt => apt::keyring_path(name),
        }
    }

    /// What can be asked for to see whether a repository is there.
    pub fn urls(self, of: &Definition) -> Vec<String> {
        match self {
            Manager::Apt => {
                let pairs = of.uris.iter().flat_map(|uri| of.suites.iter().map(move |suite| (uri, suite)));
                pairs.map(|(uri, suite)| apt::release_url(uri, suite)).collect()
            }
        }
    }

    /// Who else defines the same repository so that both together cannot be.
    ///
    /// # Errors
    /// Where a file that defines repositories cannot be read.
    pub fn rival(self, of: &Definition) -> Result<Option<Rival>> {
        match self {
            Manager::Apt => apt::rival(of),
        }
    }
}
