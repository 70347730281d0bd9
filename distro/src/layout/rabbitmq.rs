//! RabbitMQ.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::since;
use crate::Facts;
use crate::facts::Family;

/// Package of the server.
const PACKAGE: &str = "rabbitmq-server";

/// What there is to do where no repository of a host has it.
pub(crate) const NO_RABBITMQ: &str = "no repository of this host has RabbitMQ, as most distributions have none: add that of its vendor (rabbitmq.com) and that of \
                               its Erlang, or, where the blueprint has inputs for it (`surefoot blueprint show`), name a server of another host or \
                               leave it out, then go on with --resume";

/// How a distribution has RabbitMQ. Unit and folders have the same names everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Rabbitmq {
    /// Packages: the server, and its plugins where they are apart.
    pub packages: &'static [&'static str],
    /// Erlang's port mapper, where it is a service of its own; else each node brings it along.
    pub port_mapper: Option<PortMapper>,
    /// Does the package bring the file with the environment of the node?
    pub has_environment: bool,
    /// Do the data go with the package when it is purged?
    pub purged: bool,
    /// Can it import definitions once, and not at every start? 3.10 and some after it can, too, and then fail to export any: the digest
    /// of what was imported is in the way.
    pub imports_once: bool,
}

/// Erlang's port mapper.
#[derive(Clone, Copy, Debug)]
pub struct PortMapper {
    /// Package.
    pub package: &'static str,
    /// Socket that starts it.
    pub socket: &'static str,
    /// Its unit.
    pub unit: &'static str,
}

/// Names of the plugins that the installed server has; none where it is not there, or keeps them elsewhere.
pub fn rabbitmq_plugins(root: &Path) -> BTreeSet<String> {
    let entries = |path: PathBuf| path.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let servers = ["usr/lib/rabbitmq/lib", "usr/lib64/rabbitmq/lib"].map(|folder| root.join(folder));
    let own = servers.into_iter().flat_map(entries).map(|server| server.join("plugins"));
    // For those that somebody adds.
    let more = ["usr/lib/rabbitmq/plugins", "usr/share/rabbitmq/plugins"].map(|folder| root.join(folder));
    let files = own.flat_map(entries).chain(more.into_iter().flat_map(entries));
    // `rabbitmq_mqtt-3.10.8`, a folder or an archive.
    let name = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split('-').next().unwrap_or_default().trim_end_matches(".ez").to_owned()
    };
    files.map(name).collect()
}

impl Rabbitmq {
    /// That of a host; none where it is not known, or where it is older than 3.7, which reads Erlang's terms and no `rabbitmq.conf`.
    pub fn of(facts: &Facts) -> Option<Self> {
        if super::too_old(facts, "rabbitmq").is_some() {
            return None;
        }
        match facts.family {
            Family::Debian => Some(Self {
                packages: &[PACKAGE],
                port_mapper: Some(PortMapper { package: "erlang-base", socket: "epmd.socket", unit: "epmd.service" }),
                has_environment: true,
                purged: true,
                imports_once: since(facts, 13, 25),
            }),
            // Its vendor's: the distribution has none.
            Family::RedHat => Some(Self {
                packages: &[PACKAGE],
                port_mapper: None,
                has_environment: false,
                purged: false,
                imports_once: false,
            }),
            Family::Suse => Some(Self {
                packages: &[PACKAGE, "rabbitmq-server-plugins"],
                port_mapper: Some(PortMapper { package: "erlang-epmd", socket: "epmd.socket", unit: "epmd.service" }),
                has_environment: false,
                purged: false,
                imports_once: false,
            }),
            _ => None,
        }
    }
}
