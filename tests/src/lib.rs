//! The lab: disposable real hosts, and what is done to them.
//!
//! A host is an overlay over a debootstrapped root, booted by systemd-nspawn in a network namespace of its own. The order of things:
//!
//! 1. [`setup`] installs the Debian packages that the lab drives.
//! 2. [`network`] makes the bridge, [`mirror`] the caching mirror on it, [`base`] the root file systems, each made once and shared.
//! 3. [`Host`] boots one: [`Host::exec`] and [`Host::run`] run programs in it, [`Host::power_cut`] pulls the plug.
//! 4. [`kill`] and [`Running`] kill programs at chosen moments; [`Snapshot`] starts hosts from an earlier host's disk.
//! 5. [`product`] drives surefoot on a host, and keeps hosts that it installed.
//! 6. [`web`] and [`repo`] play servers that misbehave and repositories signed with throw-away keys.
//!    [`mongodb`] and [`stackstorm`] are stand-ins for servers that no reachable repository has.
//! 7. [`digest`] is what a host looks like, for comparison.
//!
//! Nothing here links surefoot: the program is driven from outside.
#![expect(clippy::disallowed_methods, reason = "the lab starts processes and sockets; that is its job")]
#![expect(clippy::disallowed_macros, reason = "the lab talks to the person who runs it")]

pub mod archive;
pub mod base;
pub mod bench;
pub mod bench_product;
pub mod boot;
pub mod cgroup;
pub mod cleanup;
pub mod demo;
pub mod digest;
pub mod gateway;
pub mod host;
pub mod kill;
pub mod line;
pub mod lock;
pub mod mirror;
pub mod mongodb;
pub mod network;
pub mod nginx_org;
pub mod pebble;
pub mod place;
pub mod product;
pub mod registry;
pub mod repo;
pub mod rpm;
pub mod run;
pub mod setup;
pub mod snapshot;
pub mod stackstorm;
pub mod suite;
pub mod sweep;
pub mod terminal;
pub mod tool;
pub mod watch;
pub mod web;

pub use digest::Digest;
pub use gateway::{Gateway, Wall};
pub use host::{Host, HostBuilder};
pub use kill::{Fate, KillPoint};
pub use line::Line;
pub use network::Reach;
pub use pebble::Pebble;
pub use product::{Told, installed};
pub use run::{Output, Run, Running};
pub use snapshot::Snapshot;
pub use suite::Suite;
pub use terminal::Terminal;
pub use watch::Watch;
