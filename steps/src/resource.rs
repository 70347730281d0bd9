//! What every resource can do, and what the engine tells it.

use std::fmt::Debug;

use anyhow::Result;
use distro::{Host, Look};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resources::packages::Packages;
use crate::undo::Undo;

/// When a resource is brought to its wanted state. Stages come in this order; within one, the order of the blueprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Whatever must exist before a package: CA, proxy, package manager settings.
    Prepare,
    /// All repositories, then the index.
    Repositories,
    /// One transaction for everything that the steps want.
    Packages,
    /// Files, accounts, services.
    Configure,
    /// Waits and checks that change nothing.
    Verify,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Stage; 5] = [Stage::Prepare, Stage::Repositories, Stage::Packages, Stage::Configure, Stage::Verify];

    /// Name, as users see it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Prepare => "prepare",
            Stage::Repositories => "repositories",
            Stage::Packages => "packages",
            Stage::Configure => "configure",
            Stage::Verify => "verify",
        }
    }
}

/// Something on the host that a resource wants for itself: two products may claim the same thing in the same state, not in
/// different ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `file:/etc/x`, `package:nginx`, `unit:nginx.service`: a namespace of all products on the host.
    pub thing: String,
    /// Everything that is wanted of it, as bytes; only a keyed digest of it is ever stored.
    pub wants: Vec<u8>,
}

/// One difference between what is and what is wanted.
#[derive(Clone, Debug)]
pub struct Change {
    /// Names the part of the resource, unique and stable within it (`content`, `mode`, `package redis-server`): ownership is
    /// decided per part, by its first intent.
    pub item: String,
    /// What will be done, in a few lowercase words: `create`, `mode 0644 -> 0600`, `install redis-server 5:7.0.15`.
    pub summary: String,
    /// Unified diff where there is text and nothing in it is secret.
    pub diff: Option<String>,
    /// How to take it back.
    pub undo: Undo,
    /// What is there now and has to be kept to be able to take it back: saved and fsynced before the intent is written.
    pub original: Option<Vec<u8>>,
    /// The bytes that will be there: a keyed digest of them is written down with the intent, so that undo can tell our own
    /// writing from somebody else's.
    pub wrote: Option<Vec<u8>>,
    /// Is what was made data of the user (a database's folder), kept unless `--purge`?
    pub data: bool,
}

impl Change {
    /// A change without diff, original or data.
    pub fn new(item: impl Into<String>, summary: impl Into<String>, undo: Undo) -> Self {
        Self { item: item.into(), summary: summary.into(), diff: None, undo, original: None, wrote: None, data: false }
    }
}

/// What a probe found.
#[derive(Clone, Debug)]
pub enum Probe {
    /// As wanted. What was seen (a service's invocation, a file's digest) is remembered by the journal and given back to later
    /// probes and to undo.
    InPlace(Value),
    /// Different, and how. Never empty.
    Changes(Vec<Change>),
    /// Not knowable before another resource is there; says which.
    Pending(String),
    /// Needs root to be seen; says what.
    Hidden(String),
}

/// What the journal of this product remembers.
pub trait Memory {
    /// What the last probe that found `resource` (its `step/type:key`) in place had seen.
    fn seen(&self, resource: &str) -> Option<&Value>;
    /// The same of every resource of this product that ends with `type_and_key` (`/service:nginx.service`): several steps can share a
    /// thing, each with a resource of its own.
    fn seen_of_all(&self, _type_and_key: &str) -> Vec<&Value> {
        Vec::new()
    }
    /// Has this product ever intended to change `thing` (a claim's name)?
    fn intended(&self, thing: &str) -> bool;
    /// Did this product bring `package`, which nobody had, or begin to?
    fn installed(&self, _package: &str) -> bool {
        false
    }
    /// The keys that `resource` (its `step/type:key`) wrote where there was none, by the names of its items, each with the keyed digests of what was
    /// written there.
    fn made(&self, _resource: &str) -> Vec<(&str, &[String])> {
        Vec::new()
    }
    /// Did this product make the part `item` of `resource` (its `step/type:key`), or begin to?
    fn has_made(&self, _resource: &str, _item: &str) -> bool {
        false
    }
    /// Does another product of this host claim `thing`?
    fn is_shared(&self, _thing: &str) -> bool {
        false
    }
    /// Was a change of `resource` (its `step/type:key`) begun that has no outcome yet, as after a kill, or that failed?
    fn begun(&self, _resource: &str) -> bool {
        false
    }
}

/// Everything a resource may look at.
pub struct Cx<'a> {
    /// The host.
    pub host: &'a Host,
    /// One look at the host: what is asked once is not asked again.
    pub look: &'a Look<'a>,
    /// What the journal remembers.
    pub memory: &'a dyn Memory,
    /// Key of all digests that are stored (HMAC-SHA256): what is stored tells nobody what a file holds.
    pub key: &'a [u8],
    /// `step/type:key` of the resource in hand.
    pub id: &'a str,
    /// Names of claims that are changed before its turn, as far as a plan knows. Empty when it is its turn.
    pub changing: &'a [String],
    /// Called with the pid of a package transaction, so that a resume can wait for a survivor.
    pub survivor: &'a dyn Fn(u32) -> Result<()>,
}

impl Cx<'_> {
    /// Keyed digest of `bytes`, in hexadecimal.
    pub fn digest(&self, bytes: &[u8]) -> String {
        crate::digest(self.key, bytes)
    }
}

/// Sorts of resources that need nothing that runs.
const ON_DISK: [&str; 14] = [
    "absent",
    "directory",
    "file",
    "group",
    "htpasswd",
    "ini",
    "key_value",
    "lines",
    "node_name",
    "plugins",
    "settings",
    "symlink",
    "tls_certificate",
    "user",
];

/// One thing on the host in a wanted state.
pub trait Resource: Debug {
    /// What sort of thing: `file`, `package`, `service`.
    fn sort(&self) -> &'static str;

    /// Which one: a path, a name. With the step and the sort it is the resource's identity.
    fn key(&self) -> String;

    /// When it is its turn.
    fn stage(&self) -> Stage;

    /// What it wants for itself.
    fn claims(&self) -> Vec<Claim>;

    /// Looks and never touches.
    ///
    /// # Errors
    /// Where an answer that it should have had did not come.
    fn probe(&self, cx: &Cx<'_>) -> Result<Probe>;

    /// Makes the changes that the probe just found. May find some of them half made.
    ///
    /// # Errors
    /// Where one cannot be made.
    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()>;

    /// Begins what [`Resource::apply`] does and does not wait for it, where that pays; says whether it has. `apply` is called later
    /// and waits.
    ///
    /// # Errors
    /// As [`Resource::apply`].
    fn launch(&self, _cx: &Cx<'_>, _changes: &[Change]) -> Result<bool> {
        Ok(false)
    }

    /// Does what was launched answer, before the service manager is done with its start? It is given a moment. What went wrong with it is told
    /// by `apply`.
    ///
    /// # Errors
    /// Where it cannot be asked.
    fn answers(&self, _cx: &Cx<'_>) -> Result<bool> {
        Ok(false)
    }

    /// Can it be brought while services of other steps still come up? So can whatever is only a file.
    fn is_independent(&self) -> bool {
        ON_DISK.contains(&self.sort())
    }

    /// Does it take seconds in which the host could do something else?
    fn is_slow(&self) -> bool {
        false
    }

    /// systemd units that the probe will ask about, so that all are asked at once.
    fn units(&self) -> Vec<String> {
        Vec::new()
    }

    /// TCP ports that it will listen on: `(address, port, unit)`, for preflight.
    fn ports(&self) -> Vec<Port> {
        Vec::new()
    }

    /// What on the network has to be reached for it.
    fn endpoints(&self) -> Vec<Endpoint> {
        Vec::new()
    }

    /// Name of the package repository, where this is one.
    fn repository(&self) -> Option<String> {
        None
    }

    /// Has it to take up a change of one of `things` (names of claims), as a service its configuration?
    ///
    /// # Errors
    /// Where the host does not say what belongs to it.
    fn follows(&self, _cx: &Cx<'_>, _things: &[String]) -> Result<bool> {
        Ok(false)
    }

    /// Does it take the place of the resource of its step that was called so, and that the blueprint no longer names? That is then taken back without
    /// being asked for.
    fn takes_the_place_of(&self, _sort: &str, _key: &str) -> bool {
        false
    }

    /// The secret that stands on the host where `marker` stands in what is wanted, with the path of the file that holds it. Lets
    /// a secret that was generated be found again where surefoot's own memory of it is gone.
    ///
    /// # Errors
    /// Where the host cannot be read.
    fn recall(&self, _marker: &str) -> Result<Option<(String, String)>> {
        Ok(None)
    }

    /// Itself, where this is a set of packages: all sets of a run are installed in one transaction.
    fn packages(&self) -> Option<&Packages> {
        None
    }
}

/// A TCP port that a service will listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Port number.
    pub number: u16,
    /// The unit that will listen, and may listen already.
    pub unit: String,
    /// Is it for other hosts, too?
    pub outside: bool,
}

/// A place on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Something there that can be asked for, without a login in it; or `tcp://HOST:PORT`, where no proxy is gone through.
    pub url: String,
    /// What it is needed for, in a few words.
    pub purpose: String,
}

/// `step/type:key` of a resource.
pub fn id_of(step: &str, resource: &dyn Resource) -> String {
    format!("{step}/{}:{}", resource.sort(), resource.key())
}
