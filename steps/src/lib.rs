//! Step kinds and the resources they expand to.
//!
//! A *kind* (`kinds/`) is a pure function from settings and facts to an ordered list of *resources*. A resource
//! (`resources/`) is one thing on the host in a wanted state: it is probed, applied and undone. The engine knows [`Resource`]
//! and nothing of what is behind it.

pub mod kinds;
pub mod resource;
pub mod resources;
pub mod undo;

pub use resource::{Change, Claim, Cx, Endpoint, Memory, Port, Probe, Resource, Stage};
pub use undo::{Undo, UndoCx, Undone};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};

/// How a file of keys and values is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyFormat {
    /// `[section]` and `key = value`, as in st2.conf.
    Ini,
    /// `KEY=value`, as in /etc/default.
    Env,
    /// `key value`, as in redis.conf.
    Space,
    /// `key:value`, as in htpasswd: of several lines for one key the first is meant.
    Colon,
    /// Nested `key: value` lines, as in mongod.conf; a key is named by its whole path (`net.bindIp`).
    Yaml,
}

/// Keyed digest (HMAC-SHA256) of `bytes`, in hexadecimal.
pub fn digest(key: &[u8], bytes: &[u8]) -> String {
    // HMAC takes keys of any length, so the error never comes; a digest of nothing would still differ from every real one.
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(bytes);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
