//! RabbitMQ: what it is configured with before its first start, and the accounts in it.

mod accounts;
mod config;
mod data;
mod node;
mod password;
mod terms;
mod tool;

pub use accounts::{Accounts, Permission, User};
pub use config::Configuration;
pub use node::{FirstDefinitions, NodeAddress, NodeName, Plugins};
pub(crate) use tool::{undo_user, undo_vhost};

/// Its unit.
const UNIT: &str = "rabbitmq-server.service";
