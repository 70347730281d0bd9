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
pub use postgresql::{Cluster, Postgresql};
pub use rabbitmq::{PortMapper, Rabbitmq};
pub use redis::{Redis, Users};

use crate::Facts;

/// What a distribution's own server of a kind lacks, and where there is another: nothing is known of those that a host may have from elsewhere.
pub fn too_old(facts: &Facts, kind: &str) -> Option<&'static str> {
    match (facts.base.as_str(), major(facts), kind) {
        ("rhel", "7", "rabbitmq") => Some("RabbitMQ 3.3, which EPEL has there, reads no rabbitmq.conf"),
        ("rhel", "7", "postgresql") => Some("PostgreSQL 9.2, which it has, knows no SCRAM-SHA-256"),
        ("rhel", "7", "redis") => Some("Redis 3.2, which EPEL has there, gets no corrections any more"),
        ("amzn", "2", "rabbitmq" | "postgresql" | "redis") => {
            Some("its servers are among its extras, which nobody tried")
        }
        _ => None,
    }
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
