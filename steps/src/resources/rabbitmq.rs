//! RabbitMQ: what it is configured with before its first start, and the accounts in it.

mod accounts;
mod config;
mod data;
mod node;

pub use accounts::{Accounts, Permission, User};
pub(crate) use accounts::{undo_user, undo_vhost};
pub use config::Configuration;
pub use node::{FirstDefinitions, NodeAddress, NodeName, Plugins};

/// Its unit.
const UNIT: &str = "rabbitmq-server.service";
