//! Step kinds: what a blueprint can ask for.
//!
//! A kind is a pure function from its settings and the host's facts to resources. It does no I/O: what it needs of the
//! blueprint's files comes through [`Context`]. [`ALL`] lists them.

pub mod absent;
mod attributes;
pub mod command;
pub mod directory;
pub mod file;
pub mod group;
pub mod htpasswd;
pub mod http;
pub mod ini;
pub mod key_value;
pub mod migration;
pub mod module;
pub mod mongodb;
pub mod nginx_site;
pub mod offer;
pub mod packages;
pub mod postgresql;
pub mod rabbitmq;
pub mod readable;
pub mod redis;
pub mod repository;
pub mod schema;
mod server;
pub mod service;
pub mod settings;
pub mod ssh_key;
pub mod symlink;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls_certificate;
pub mod units;
pub mod user;
pub mod value;
pub mod wait;

use anyhow::Result;
use distro::network::Setting;
use distro::{Class, Facts, Fault, layout};
use serde::de::DeserializeOwned;

use crate::Resource;
use crate::resources::firewall::Firewall;
use crate::resources::selinux;
use offer::Offer;
pub use server::is_host_with_port;
use settings::{Misfit, Node};
use value::StepRef;

/// What a kind may know besides its settings.
pub trait Context {
    /// The host.
    fn facts(&self) -> &Facts;
    /// How the host reaches others.
    fn network(&self) -> &Setting;
    /// Name of the product, for the names of files that are ours.
    fn product(&self) -> &str;
    /// Id of the step, for the names of files that are ours.
    fn step(&self) -> &str;
    /// A file below the blueprint's `files/`, as it is.
    ///
    /// # Errors
    /// Class `blueprint`, where there is none.
    fn file(&self, name: &str) -> Result<Vec<u8>>;
    /// A template below the blueprint's `files/`, rendered: each value quoted for `format`, or refused.
    ///
    /// # Errors
    /// Class `blueprint`, where there is none, it does not parse, a name in it is undefined or a value cannot be quoted.
    fn render(&self, name: &str, format: Format) -> Result<String>;
    /// Does `text` contain a secret? Then it is one.
    fn is_secret(&self, text: &str) -> bool;
    /// Did the blueprint put a secret into this setting? For settings that cannot take one: a short secret stands in many a text by
    /// chance.
    fn has_secret(&self, setting: &str) -> bool;
    /// What an earlier step makes for others to use; none where it makes nothing of that sort.
    ///
    /// # Errors
    /// Class `blueprint`, where no earlier step of that id is part of the product, or its own settings do not fit.
    fn offer(&self, step: &StepRef) -> Result<Option<Offer>>;
}

/// What a template is written in, which decides how a value is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "names of formats")]
pub enum Format {
    Nginx,
    Ini,
    Redis,
    Yaml,
    Json,
    Env,
    /// No quoting: a value with a control character is refused.
    Text,
}

/// A step kind: the settings of a `[[step]]`, and what they mean.
pub trait Kind: DeserializeOwned + schemars::JsonSchema {
    /// As in `kind = "…"`.
    const NAME: &'static str;

    /// Do its resources keep their names under another step's name (`was`), so that what was made for the old one is the new one's?
    const OUTLIVES_STEP: bool = true;

    /// The resources, in order.
    ///
    /// # Errors
    /// Class `blueprint`, where settings contradict each other; class `unsupported`, where the host is one that the kind does
    /// not know.
    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>>;

    /// What later steps can use of it by `step:ID`.
    ///
    /// # Errors
    /// As [`Kind::expand`].
    fn offer(self, _: &dyn Context) -> Result<Option<Offer>> {
        Ok(None)
    }
}

/// Settings of a step that cannot be meant; `message` says why.
fn refused(cx: &dyn Context, message: &str, advice: &str) -> anyhow::Error {
    Fault::new(Class::Blueprint, format!("step '{}': {message}", cx.step())).advice(advice).into()
}

/// The kind `name` does not know hosts of this family, or what they have of it is too old.
fn unsupported(name: &str, cx: &dyn Context) -> anyhow::Error {
    if let Some(old) = layout::too_old(cx.facts(), name) {
        let message = format!("step '{}': the kind '{name}' is not for {}: {}", cx.step(), cx.facts().os_name, old.why);
        let advice = format!(
            "leave it out, name a server of another host where the blueprint has an input for one, or install on {}",
            old.later
        );
        return Fault::new(Class::Unsupported, message).advice(advice).into();
    }
    let message = format!("step '{}': the kind '{name}' does not know {}", cx.step(), cx.facts().os_name);
    Fault::new(Class::Unsupported, message).advice("install on Debian, Ubuntu or a derivative of them").into()
}

/// Settings to resources.
pub type Expand = fn(&Node, &dyn Context) -> Result<Vec<Box<dyn Resource>>, Refusal>;

/// Settings to what later steps can use.
pub type Offering = fn(&Node, &dyn Context) -> Result<Option<Offer>, Refusal>;

/// A kind as the blueprint sees it, without its type.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// As in `kind = "…"`.
    pub name: &'static str,
    /// [`Kind::OUTLIVES_STEP`].
    pub outlives_step: bool,
    /// Settings to resources, in order.
    pub expand: Expand,
    /// Settings to what later steps can use.
    pub offer: Offering,
    /// JSON Schema of the settings.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
}

/// Why a step does not expand.
#[derive(Debug)]
pub enum Refusal {
    /// A setting does not fit.
    Settings(Misfit),
    /// The kind says no.
    Kind(anyhow::Error),
}

impl Entry {
    /// The entry of `K`.
    pub const fn of<K: Kind>() -> Self {
        Self {
            name: K::NAME,
            outlives_step: K::OUTLIVES_STEP,
            expand: expand::<K>,
            offer: offer::<K>,
            schema: schemars::SchemaGenerator::subschema_for::<K>,
        }
    }
}

fn expand<K: Kind>(settings: &Node, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>, Refusal> {
    let kind: K = settings.read().map_err(Refusal::Settings)?;
    let mut resources = kind.expand(cx).map_err(Refusal::Kind)?;
    // Before the services, which could not listen, or not be reached.
    resources.splice(..0, Firewall::of(cx.facts(), &resources).map(|firewall| Box::new(firewall) as Box<dyn Resource>));
    selinux::Ports::put_before(&mut resources, cx.facts());
    Ok(resources)
}

fn offer<K: Kind>(settings: &Node, cx: &dyn Context) -> Result<Option<Offer>, Refusal> {
    let kind: K = settings.read().map_err(Refusal::Settings)?;
    kind.offer(cx).map_err(Refusal::Kind)
}

macro_rules! kinds {
    ($($kind:ty),* $(,)?) => {
        /// Every kind.
        pub const ALL: &[Entry] = &[$(Entry::of::<$kind>()),*];
    };
}

kinds! {
    absent::Settings,
    command::Settings,
    directory::Settings,
    file::Settings,
    group::Settings,
    htpasswd::Settings,
    http::Settings,
    ini::Settings,
    key_value::Settings,
    migration::Settings,
    module::Settings,
    mongodb::Settings,
    nginx_site::Settings,
    packages::Settings,
    postgresql::Settings,
    rabbitmq::Settings,
    readable::Settings,
    redis::Settings,
    repository::Settings,
    schema::Settings,
    service::Settings,
    ssh_key::Settings,
    symlink::Settings,
    tls_certificate::Settings,
    user::Settings,
    wait::Settings,
}

#[cfg(test)]
mod tests;
