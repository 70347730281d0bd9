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

#[cfg(test)]
mod tests;
