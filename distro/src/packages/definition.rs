//! A repository of ours as it is written down for the package manager.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Manager, Survivor};
use crate::command::Output;
use crate::network::{Login, Mirror};
use crate::{Class, Command, Host, apt, dnf, locks, openpgp, rpm, yum, zypper};

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
    /// Who we are there, where the definition itself says it ([`Manager::login_path`]).
    pub login: Option<Login>,
    /// Which versions are preferred.
    pub pins: Vec<Pin>,
    /// Files of somebody else's with the same repository, which are gone by the time that this one is written.
    pub replaces: Vec<PathBuf>,
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
    /// Is there a password in it?
    pub is_secret: bool,
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
    /// Has a repository parts by which it is told further than by its address?
    pub fn has_suites(self) -> bool {
        match self {
            Manager::Apt => true,
            Manager::Dnf | Manager::Yum | Manager::Zypper => false,
        }
    }

    /// Can a repository be told which versions of its packages are meant?
    pub fn has_pins(self) -> bool {
        match self {
            Manager::Apt | Manager::Dnf | Manager::Yum => true,
            Manager::Zypper => false,
        }
    }

    /// Where to read how repositories are written down.
    pub fn manual(self) -> &'static str {
        match self {
            Manager::Apt => "see sources.list(5) for what apt takes",
            Manager::Dnf => "see dnf.conf(5) for what dnf takes",
            Manager::Yum => "see yum.conf(5) for what yum takes",
            Manager::Zypper => "see zypper(8) for what zypper takes",
        }
    }

    /// The files that define a repository, besides its keyring.
    pub fn parts(self, of: &Definition) -> Vec<Part> {
        match self {
            Manager::Apt => apt::parts(of),
            Manager::Dnf => dnf::parts(of),
            Manager::Yum => yum::parts(of),
            Manager::Zypper => zypper::parts(of),
        }
    }

    /// The file that says who we are to our repository `name`; none where its definition has it.
    pub fn login_path(self, name: &str) -> Option<PathBuf> {
        match self {
            Manager::Apt => Some(apt::login_path(name)),
            Manager::Dnf | Manager::Yum => None,
            Manager::Zypper => Some(zypper::login_path(name)),
        }
    }

    /// Is a repository's login sent to all its addresses? apt has one for each server.
    pub fn has_one_login(self) -> bool {
        match self {
            Manager::Apt => false,
            Manager::Dnf | Manager::Yum | Manager::Zypper => true,
        }
    }

    /// A name that no repository may have: the section of its files that is so called is about the package manager itself.
    pub fn reserved_name(self) -> Option<&'static str> {
        match self {
            Manager::Apt => None,
            Manager::Dnf | Manager::Yum | Manager::Zypper => Some("main"),
        }
    }

    /// What no login may have in it, since there is no way to write it down.
    pub fn unwritable(self) -> Option<&'static str> {
        match self {
            Manager::Apt | Manager::Dnf | Manager::Zypper => None,
            Manager::Yum => Some(yum::UNWRITABLE),
        }
    }

    /// What stands in that file, of the logins to `mirrors`; empty where there is none.
    pub fn logins(self, mirrors: &[Mirror]) -> String {
        match self {
            Manager::Apt => {
                let together = |all: String, login: String| if all.contains(&login) { all } else { all + &login };
                mirrors.iter().map(Mirror::apt_login).fold(String::new(), together)
            }
            Manager::Dnf | Manager::Yum => String::new(),
            Manager::Zypper => {
                mirrors.iter().find_map(|mirror| mirror.login.as_ref()).map(zypper::login).unwrap_or_default()
            }
        }
    }

    /// Where the keyring of our repository `name` is.
    pub fn keyring_path(self, name: &str) -> PathBuf {
        match self {
            Manager::Apt => apt::keyring_path(name),
            Manager::Dnf => dnf::keyring_path(name),
            Manager::Yum => yum::keyring_path(name),
            Manager::Zypper => zypper::keyring_path(name),
        }
    }

    /// The keyring of `packets` in the form that is read.
    pub fn keyring(self, packets: Vec<u8>) -> Vec<u8> {
        match self {
            Manager::Apt => packets,
            Manager::Dnf | Manager::Zypper => openpgp::armor(&packets).into_bytes(),
            // Its rpm takes one key of each block.
            Manager::Yum => openpgp::keys(&packets).into_iter().map(openpgp::armor).collect::<String>().into_bytes(),
        }
    }

    /// Packages as which the keys with these fingerprints are kept, where they are trusted for all repositories together and not for
    /// that of their keyring alone.
    pub fn trusted_keys(self, fingerprints: &[String]) -> Vec<String> {
        match self {
            Manager::Apt => Vec::new(),
            Manager::Dnf | Manager::Yum | Manager::Zypper => rpm::trusted_keys(fingerprints),
        }
    }

    /// Trusts the keys of the keyring of our repository `name`: [`Manager::trusted_keys`].
    ///
    /// # Errors
    /// Class `repository`, where a key is refused, as one that is too weak for the host's crypto policy; `locked` where another process holds
    /// rpm's lock.
    pub fn trust(self, host: &Host, name: &str) -> Result<()> {
        match self {
            Manager::Apt => Ok(()),
            Manager::Dnf | Manager::Yum | Manager::Zypper => {
                let path = self.keyring_path(name);
                let import = ["--import".to_owned(), path.display().to_string()];
                let is_lost = |output: &Output| rpm::is_locked(&output.stderr);
                let output =
                    locks::when_free(host, &[rpm::LOCK], is_lost, |_| Ok(Command::new("rpm").args(import.clone())))?;
                if output.ok() {
                    return Ok(());
                }
                let fault =
                    output.fault(Class::Repository, format!("rpm does not take the key of repository '{name}'"));
                let advice = match self {
                    Manager::Yum if is_rsa(&path) => "mend what rpm says above, then go on with --resume",
                    Manager::Yum => "ask the vendor for an RSA key: rpm knows no elliptic curves here",
                    _ => {
                        "ask the vendor for a key that the host's crypto policy allows (`update-crypto-policies --show`)"
                    }
                };
                Err(fault.advice(advice).into())
            }
        }
    }

    /// Takes those of the keys with these names ([`Manager::trusted_keys`]) back that are trusted.
    ///
    /// # Errors
    /// Class `package`, where rpm refuses; `locked` where another process holds rpm's lock.
    pub fn distrust(self, host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
        match self {
            Manager::Apt => Ok(()),
            Manager::Dnf | Manager::Yum | Manager::Zypper => rpm::remove_keys(host, &[rpm::LOCK], names, survivor),
        }
    }

    /// What can be asked for to see whether a repository is there.
    pub fn urls(self, of: &Definition) -> Vec<String> {
        match self {
            Manager::Apt => {
                let pairs = of.uris.iter().flat_map(|uri| of.suites.iter().map(move |suite| (uri, suite)));
                pairs.map(|(uri, suite)| apt::release_url(uri, suite)).collect()
            }
            Manager::Dnf | Manager::Yum | Manager::Zypper => of.uris.iter().map(|uri| rpm::repos::url(uri)).collect(),
        }
    }

    /// Who else defines the same repository so that both together cannot be.
    ///
    /// # Errors
    /// Where a file that defines repositories cannot be read.
    pub fn rival(self, of: &Definition) -> Result<Option<Rival>> {
        match self {
            Manager::Apt => apt::rival(of),
            Manager::Dnf => dnf::rival(of),
            Manager::Yum => yum::rival(of),
            Manager::Zypper => zypper::rival(of),
        }
    }
}

/// Are the keys of the keyring at `path` RSA's? Nothing is known of one that cannot be read.
fn is_rsa(path: &Path) -> bool {
    let packets = std::fs::read(path).ok().and_then(|bytes| openpgp::dearmor(&bytes).ok());
    packets.is_none_or(|packets| openpgp::is_rsa(&packets))
}
