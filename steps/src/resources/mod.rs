//! The resources, a file each: probe, apply, undo.

pub mod absent;
pub mod acme_certificate;
pub(crate) mod append_log;
pub(crate) mod beside;
pub mod ca;
pub(crate) mod checked;
pub mod command;
pub mod data_folder;
pub mod directory;
mod edit;
pub mod fetched_keyring;
pub mod file;
pub(crate) mod file_attributes;
pub mod firewall;
pub mod given_certificate;
pub mod group;
pub mod htpasswd;
pub(crate) mod http;
pub mod include;
pub mod index;
pub mod ini;
pub mod key_value;
pub(crate) mod login;
pub(crate) mod main_servers;
pub(crate) mod memory_limit;
pub(crate) mod migration;
pub(crate) mod module;
pub(crate) mod mongod_key;
pub mod mongodb_user;
pub mod own_certificate;
pub(crate) mod packaged_default;
pub mod packages;
pub(crate) mod paths;
pub(crate) mod postgresql;
pub(crate) mod private;
pub mod program_copy;
pub(crate) mod rabbitmq;
pub(crate) mod readable;
pub(crate) mod redis_data;
pub mod repository;
pub(crate) mod schema;
pub mod selinux;
pub mod service;
pub(crate) mod setting;
pub(crate) mod site_login;
pub(crate) mod ssh_key;
pub mod symlink;
pub(crate) mod top_block;
pub mod trusted_keys;
pub mod user;
pub mod wait;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trial;
