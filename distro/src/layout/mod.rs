//! Where distributions have what of the servers that there are kinds for: names of packages and units, paths, accounts.
//!
//! The one place that knows it: kinds ask here, and none asks which distribution it is on. A server that a table does not have is one
//! that is not known on that distribution.

mod mongodb;
mod nginx;
mod postgresql;
mod rabbitmq;
mod redis;

pub use mongodb::Mongodb;
pub(crate) use nginx::MAIN as NGINX_CONF;
pub use nginx::{Nginx, Sites, web_group};
pub(crate) use postgresql::clusters_of_package;
pub use postgresql::{Cluster, Postgresql, data_folder};
pub(crate) use rabbitmq::NO_RABBITMQ;
pub use rabbitmq::{PortMapper, Rabbitmq, rabbitmq_plugins};
pub use redis::{Redis, Users};

use crate::Facts;

/// A distribution's own server of a kind that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    /// What it lacks.
    pub why: &'static str,
    /// The releases that have one which is.
    pub later: &'static str,
}

/// Has the distribution modules, of which dnf 4 switches streams on? Fedora and Enterprise Linux 10 have none, and dnf 5 keeps its choice elsewhere.
pub fn has_modules(facts: &Facts) -> bool {
    facts.base == "rhel" && matches!(facts.major, Some(8 | 9))
}

/// Why a distribution's own server of a kind is too old for it: nothing is known of those that a host may have from elsewhere.
pub fn too_old(facts: &Facts, kind: &str) -> Option<TooOld> {
    let base = (facts.base.as_str(), major(facts));
    let why = match (base, kind) {
        (("rhel", "7"), "rabbitmq") => "RabbitMQ 3.3, which EPEL has there, reads no rabbitmq.conf",
        (("rhel", "7"), "postgresql") => "PostgreSQL 9.2, which it has, knows no SCRAM-SHA-256",
        (("rhel", "7"), "redis") => "Redis 3.2, which EPEL has there, gets no corrections any more",
        (("amzn", "2"), "rabbitmq" | "postgresql" | "redis") => "its servers are among its extras, which nobody tried",
        (("ubuntu", "16"), "rabbitmq") => "RabbitMQ 3.5, which it has, is older than 3.7 and reads no rabbitmq.conf",
        (("ubuntu", "16"), "redis") => "Redis 3.0, which it has, was never tried",
        _ => return None,
    };
    let later = match base {
        ("amzn", _) => "Amazon Linux 2023",
        ("ubuntu", _) => "Ubuntu 20.04 or later",
        _ => "Enterprise Linux 8 or later",
    };
    Some(TooOld { why, later })
}

fn major(facts: &Facts) -> &str {
    facts.base_version.split('.').next().unwrap_or_default()
}

/// Is the host's distribution Debian, of this version or a later one, or Ubuntu, of this or a later one; or a derivative?
fn since(facts: &Facts, debian: u32, ubuntu: u32) -> bool {
    let Some(major) = facts.base_version.split('.').next().and_then(|major| major.parse::<u32>().ok()) else {
        return false;
    };
    match facts.base.as_str() {
        "debian" => major >= debian,
        "ubuntu" => major >= ubuntu,
        _ => false,
    }
}

/// Is the host's distribution a release of Ubuntu before that one?
fn is_ubuntu_before(facts: &Facts, major: u32) -> bool {
    let found = facts.base_version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    facts.base == "ubuntu" && found.is_some_and(|found| found < major)
}

#[cfg(test)]
mod tests;
