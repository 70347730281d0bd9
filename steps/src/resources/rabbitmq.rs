//! RabbitMQ: what it is configured with before its first start, and the accounts in it.

mod accounts;
mod node;

use std::path::Path;

use anyhow::Result;
use distro::failure::io_fault;

pub use accounts::{Accounts, Permission, User};
pub(crate) use accounts::{undo_user, undo_vhost};
pub use node::{FirstDefinitions, NodeAddress, NodeName, Plugins};

/// Its data, a folder for each node.
const DATA: &str = "/var/lib/rabbitmq/mnesia";

/// Names of the nodes that have data below `folder`.
fn nodes(folder: &Path) -> Result<Vec<String>> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_fault(&error, "read", folder).into()),
    };
    let is_node = |name: &String| name.contains('@') && !name.ends_with("-plugins-expand");
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut nodes: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(is_node).collect();
    nodes.sort();
    Ok(nodes)
}
