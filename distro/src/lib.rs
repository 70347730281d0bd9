//! What a host is, and how to talk to it.
//!
//! The only crate that starts a process ([`command`]) or opens a socket ([`net`]), and the only one that knows how
//! distributions differ. It changes nothing by itself: the crate `steps` decides what, this one knows how.

pub mod accounts;
mod apt;
pub mod ca;
pub mod certificate;
pub mod command;
mod dnf;
mod dpkg;
pub mod facts;
pub mod failure;
pub mod files;
pub mod firewall;
pub mod guard;
pub mod host;
pub mod layout;
pub mod listeners;
pub mod locale;
pub mod locks;
pub mod net;
pub mod network;
pub mod nginx;
pub mod openpgp;
pub mod os;
pub mod packages;
pub mod patience;
mod pattern;
mod rpm;
pub mod selinux;
pub mod services;
pub mod ssh_key;
pub mod survivor;
mod yum;
mod zypper;

use std::path::{Path, PathBuf};

pub use command::{Command, Runner};
pub use facts::Facts;
pub use failure::{Class, Fault};
pub use host::{Host, Look};
pub use network::Network;

/// Where `program` is: on the known [`command::PATH`], or itself where it is an absolute path.
pub fn find_program(program: &str) -> Option<PathBuf> {
    which::which_in(program, Some(command::PATH), Path::new("/")).ok()
}
