//! What a node is configured with before its first start: its name, its plugins, its first accounts.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use distro::{Class, Fault, Host, layout, net};
use serde_json::Value;

use super::UNIT;
use super::data::Data;
use crate::resources::around::Around;
use crate::resources::file::File;
use crate::resources::paths;
use crate::resources::setting::{Setting, Spot};
use crate::{Change, Claim, Cx, KeyFormat, Probe, Resource, Stage};

/// The name of the node stands in its environment file. Without one it is that of the host, and a host that is renamed loses its data.
#[derive(Clone, Debug)]
pub struct NodeName {
    /// Absolute path of the environment file, which must be there.
    pub path: String,
}

/// The loopback address at which a node looks for itself, by the name of its host.
///
/// # Errors
/// Class `host`, where there is none: it would not start, and says so in a way that few understand.
fn address(host: &Host, node: &str) -> Result<Ipv4Addr> {
    let name = node.split_once('@').map_or("localhost", |(_, name)| name);
    let is_localhost = name == "localhost";
    let hosts = if is_localhost { files::read(Path::new("/etc/hosts"))? } else { None };
    // With its dot it is asked of the host's resolvers: without, everybody answers for it by himself, but Erlang.
    let resolved = match localhost_in(&hosts.unwrap_or_default()) {
        Some(address) => Ok(vec![address.into()]),
        None => net::resolve(&host.runner, if is_localhost { "localhost." } else { name }),
    };
    let usual = if is_localhost { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(127, 0, 1, 1) };
    let fault = |message: String, advice: String| Err(Fault::new(Class::Host, message).advice(advice).into());
    let Ok(addresses) = resolved else {
        return fault(
            format!("RabbitMQ's data are those of node {node}, and '{name}' does not resolve: it would not start"),
            match name {
                "localhost" => "add the line '127.0.0.1 localhost' to /etc/hosts, then run again".to_owned(),
                _ => format!(
                    "if this host was called {name}: add the line '127.0.0.1 {name}' to /etc/hosts, then run again"
                ),
            },
        );
    };
    // Erlang takes the first one of IPv4.
    let first = addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    if let Some(address) = first.filter(Ipv4Addr::is_loopback) {
        return Ok(address);
    }
    let found = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    fault(
        format!("RabbitMQ's data are those of node {node}, which would look for itself at {found}, not on loopback"),
        format!("add the line '{usual} {name}' to /etc/hosts, above others that have '{name}', then run again"),
    )
}

/// The address of IPv4 that a table of hosts has for `localhost`: who asks for that gets 127.0.0.1 for a line of `::1`, too.
fn localhost_in(hosts: &[u8]) -> Option<Ipv4Addr> {
    let text = String::from_utf8_lossy(hosts);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let mut addresses = lines.filter_map(|mut words| {
        let address = match words.next()?.parse().ok()? {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => address.is_loopback().then_some(Ipv4Addr::LOCALHOST)?,
        };
        words.any(|name| name == "localhost").then_some(address)
    });
    addresses.next()
}

impl NodeName {
    fn name(&self, cx: &Cx<'_>) -> Result<Option<String>> {
        if files::stat(cx.look, Path::new(&self.path))?.is_none() {
            return Ok(None);
        }
        Data::of(cx, &self.path)?.name().map(Some)
    }

    fn setting<'a>(&'a self, name: &'a str) -> Setting<'a> {
        let spot = Spot { format: KeyFormat::Env, section: "", key: "NODENAME", repeat: false };
        Setting { path: &self.path, spot, value: name, sensitive: false }
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let Some(name) = self.name(cx)? else { return Ok(Probe::Pending(format!("file {}", self.path))) };
        address(cx.host, &name)?;
        self.setting(&name).probe(cx)
    }
}

impl Resource for NodeName {
    fn sort(&self) -> &'static str {
        "node_name"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        vec![paths::claim(&self.path, "keys")]
    }

    fn units(&self) -> Vec<String> {
        vec![UNIT.to_owned()]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, "the name of RabbitMQ's node", self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        self.setting(&self.name(cx)?.unwrap_or_default()).apply(cx)
    }
}

/// A file with the loopback address at which the node looks for itself: Debian gives the host's own name another one than `localhost`.
#[derive(Clone, Debug)]
pub struct NodeAddress {
    /// Absolute path of the file.
    pub path: String,
    /// What it holds.
    pub text: fn(Ipv4Addr) -> String,
    /// Absolute path of the environment file, which need not be there yet.
    pub environment: String,
}

impl NodeAddress {
    fn file(&self, cx: &Cx<'_>) -> Result<File> {
        let name = Data::of(cx, &self.environment)?.name()?;
        Ok(File::new(&self.path, (self.text)(address(cx.host, &name)?)))
    }
}

impl Resource for NodeAddress {
    fn sort(&self) -> &'static str {
        "file"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        vec![paths::claim(&self.path, "address")]
    }

    fn units(&self) -> Vec<String> {
        vec![UNIT.to_owned()]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, "the name of RabbitMQ's node", self.file(cx).and_then(|file| file.probe(cx)))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.file(cx)?.apply(cx, changes)
    }
}

/// Plugins that are enabled. Others that are stay so.
#[derive(Clone, Debug)]
pub struct Plugins {
    /// Absolute path of the list.
    pub path: String,
    /// Their names.
    pub names: Vec<String>,
}

/// The names in a list of enabled plugins: `[one,two].` None, where it is not one.
fn listed(text: &str) -> Option<Vec<String>> {
    let text: String = text.lines().map(|line| line.split('%').next().unwrap_or_default()).collect();
    let inner = text.trim().strip_suffix('.')?.trim().strip_prefix('[')?.strip_suffix(']')?;
    let names = inner.split(',').map(|name| name.trim().trim_matches('\'')).filter(|name| !name.is_empty());
    Some(names.map(str::to_owned).collect())
}

impl Plugins {
    /// The list as it has to be; none, where it is right.
    fn file(&self, cx: &Cx<'_>) -> Result<Option<File>> {
        let path = Path::new(&self.path);
        let text = String::from_utf8_lossy(&files::read(path)?.unwrap_or_default()).into_owned();
        let found = if text.trim().is_empty() { Some(Vec::new()) } else { listed(&text) };
        let Some(mut names) = found else {
            return Err(Fault::new(Class::Conflict, format!("{} is not a list of plugins", self.path))
                .advice("mend it, as in '[rabbitmq_management].', then run again with --resume")
                .into());
        };
        let missing: Vec<&String> = self.names.iter().filter(|name| !names.contains(name)).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        names.extend(missing.into_iter().cloned());
        let seen = files::stat(cx.look, path)?;
        let meta = seen.map_or_else(|| Meta::new(0o644, "rabbitmq", "rabbitmq"), |seen| seen.meta);
        Ok(Some(File { meta, ..File::new(&self.path, format!("[{}].\n", names.join(","))) }))
    }
}

impl Plugins {
    /// Insists that each of them is among those that are `there`: the server would start without the others, and say nothing. Where not
    /// even its management page is there, they are kept elsewhere.
    fn refuse_unknown(&self, there: &BTreeSet<String>) -> Result<()> {
        let is_known = there.contains("rabbitmq_management");
        let Some(name) = self.names.iter().find(|name| is_known && !there.contains(*name)) else { return Ok(()) };
        let all: Vec<&str> = there.iter().map(String::as_str).filter(|name| name.starts_with("rabbitmq_")).collect();
        Err(Fault::new(Class::Blueprint, format!("RabbitMQ has no plugin '{name}'"))
            .evidence([format!("it has {}", all.join(", "))])
            .advice("name one of these, or let a `packages` or `file` step before this one bring it")
            .into())
    }
}

impl Resource for Plugins {
    fn sort(&self) -> &'static str {
        "plugins"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        vec![paths::claim(&self.path, "plugins")]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        match self.file(cx)? {
            Some(file) => file.probe(cx),
            None => {
                self.refuse_unknown(&layout::rabbitmq_plugins(Path::new("/"))).map(|()| Probe::InPlace(Value::Null))
            }
        }
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.refuse_unknown(&layout::rabbitmq_plugins(Path::new("/")))?;
        self.file(cx)?.map_or(Ok(()), |file| file.apply(cx, changes))
    }
}

/// Accounts that a node without data has from its first start. A node with data gets them otherwise: an import would be done behind the
/// journal's back.
#[derive(Clone, Debug)]
pub struct FirstDefinitions {
    /// The file that it imports.
    pub file: File,
    /// Absolute path of the environment file, which need not be there yet.
    pub environment: String,
}

impl Around for FirstDefinitions {
    fn inner(&self) -> &dyn Resource {
        &self.file
    }

    fn units(&self) -> Vec<String> {
        vec![UNIT.to_owned()]
    }

    /// None: what is in the file for a password is a digest of it.
    fn recall(&self, _: &str) -> Result<Option<(String, String)>> {
        Ok(None)
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let absent = || -> Result<bool> {
            let there = files::stat(cx.look, Path::new(&self.file.path))?.is_some();
            Ok(!there && !Data::of(cx, &self.environment)?.is_new())
        };
        match absent() {
            Ok(true) => Ok(Probe::InPlace(Value::Null)),
            Ok(false) => self.file.probe(cx),
            Err(error) => paths::unless_hidden(cx, "the data of RabbitMQ", Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn a_plugin_that_is_not_there_is_refused() {
        let plugins = |name: &str| Plugins { path: "/x".into(), names: vec![name.to_owned()] };
        let there = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let known = there(&["rabbitmq_management", "rabbitmq_mqtt", "cowlib"]);
        assert!(plugins("rabbitmq_mqtt").refuse_unknown(&known).is_ok());
        // Nobody knows.
        assert!(plugins("rabbitmq_mqtt").refuse_unknown(&there(&[])).is_ok());
        let error = plugins("rabbitmq_nonsense").refuse_unknown(&known).unwrap_err();
        assert_eq!(error.to_string(), "RabbitMQ has no plugin 'rabbitmq_nonsense'");
        assert_eq!(Fault::find(&error).unwrap().evidence, ["it has rabbitmq_management, rabbitmq_mqtt"]);
    }

    #[test]
    fn a_host_that_cannot_be_found_is_told_before_it_hurts() {
        let trial = Trial::new();
        assert_eq!(address(&trial.host, "rabbit@localhost").unwrap(), Ipv4Addr::LOCALHOST);
        assert_eq!(address(&trial.host, "rabbit@127.0.1.1").unwrap(), Ipv4Addr::new(127, 0, 1, 1));
        for (node, said) in [
            ("rabbit@nowhere.invalid", "'nowhere.invalid' does not resolve"),
            ("rabbit@192.0.2.1", "would look for itself at 192.0.2.1, not on loopback"),
            ("rabbit@::1", "would look for itself at ::1, not on loopback"),
        ] {
            let error = address(&trial.host, node).unwrap_err();
            assert_eq!(Fault::class_of(&error), Class::Host);
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn the_table_of_hosts_tells_of_localhost() {
        for (hosts, told) in [
            ("127.0.0.1 localhost\n::1 localhost ip6-localhost\n", Some(Ipv4Addr::LOCALHOST)),
            ("# 127.0.0.1 localhost\n127.0.0.1 localhost.example.com\n", None),
            ("127.0.0.1\tbox localhost # us\n", Some(Ipv4Addr::LOCALHOST)),
            ("::1 localhost\n127.0.0.1 box\n", Some(Ipv4Addr::LOCALHOST)),
            ("192.0.2.1 localhost\n127.0.0.1 localhost\n", Some(Ipv4Addr::new(192, 0, 2, 1))),
            ("", None),
        ] {
            assert_eq!(localhost_in(hosts.as_bytes()), told, "{hosts}");
        }
    }

    #[test]
    fn plugins_of_others_stay() {
        let trial = Trial::new();
        let plugins = |names: &[&str]| Plugins {
            path: trial.at("enabled"),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        trial.write("enabled", "% mine\n[rabbitmq_mqtt,\n 'rabbitmq_stomp'].\n");
        let changes = trial.bring(&plugins(&["rabbitmq_management", "rabbitmq_mqtt"]));
        assert_eq!(trial.read("enabled"), "[rabbitmq_mqtt,rabbitmq_stomp,rabbitmq_management].\n");
        trial.undo(&changes, false);
        assert_eq!(trial.read("enabled"), "% mine\n[rabbitmq_mqtt,\n 'rabbitmq_stomp'].\n");
        trial.write("enabled", "nonsense");
        assert_eq!(Fault::class_of(&trial.probe(&plugins(&["a"])).unwrap_err()), Class::Conflict);
    }
}
