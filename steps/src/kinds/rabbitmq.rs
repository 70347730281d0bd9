//! `rabbitmq`: a RabbitMQ server with users, virtual hosts and the management plugin.

mod text;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use distro::files::Meta;
use distro::layout::Rabbitmq;
use schemars::JsonSchema;
use serde::Deserialize;

use self::text::{socket_file, unit_file};
use super::server::{external, listen, outside, reached_at};
use super::units::Size;
use super::{Context, Kind, refused, unsupported};
use crate::Resource;
use crate::resources::data_folder::DataFolder;
use crate::resources::directory::Directory;
use crate::resources::file::File;
use crate::resources::login::Login;
use crate::resources::packages::Packages;
use crate::resources::rabbitmq::{
    Accounts, Configuration, FirstDefinitions, NodeAddress, NodeName, Permission, Plugins, User,
};
use crate::resources::service::{Ready, Service};

/// With less, nobody could ever publish.
const LEAST_MEMORY: u64 = 128 << 20;
/// Longest name that AMQP takes.
const NAME_BYTES: usize = 255;
const PACKAGE: &str = "rabbitmq-server";
const UNIT: &str = "rabbitmq-server.service";
const FOLDER: &str = "/etc/rabbitmq";
const DATA: &str = "/var/lib/rabbitmq";
/// Where the service manager reads what is added to a unit.
const UNITS: &str = "/etc/systemd/system";

/// A RabbitMQ server from the distribution, with its management page. The distribution and port mapper of Erlang listen on loopback
/// only. Users that are not named here stay as they are, except `guest` with its default password, which goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the administrator, who has every permission in each of `vhosts`.
    user: String,
    /// The administrator's password.
    password: String,
    /// Virtual hosts.
    #[serde(default = "vhosts")]
    vhosts: Vec<String>,
    /// Users besides the administrator.
    #[serde(default)]
    users: Vec<NamedUser>,
    /// Plugins besides `rabbitmq_management`. What they answer over HTTP is on loopback only.
    #[serde(default)]
    plugins: Vec<String>,
    /// TCP port of AMQP.
    #[serde(default = "port")]
    #[schemars(range(min = 1))]
    port: u16,
    /// Addresses on which AMQP listens, and MQTT, STOMP and streams where there are plugins for them. Without it: loopback, of IPv6 too
    /// where the host has it.
    bind: Option<Vec<IpAddr>>,
    /// TCP port of the management page, which listens on loopback only.
    #[serde(default = "management_port")]
    #[schemars(range(min = 1))]
    management_port: u16,
    /// Memory at which publishers are held up, at least "128 MiB". Without it: a quarter of the host's.
    memory: Option<Size>,
    /// A server that is there already, as `host:port`: nothing is installed, and the login is checked. Empty: none.
    #[serde(default)]
    external: String,
}

/// A user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedUser {
    /// Name.
    name: String,
    /// Password.
    password: String,
    /// What it may do in the management page: `management`, `policymaker`, `monitoring`, `administrator`.
    #[serde(default)]
    tags: Vec<String>,
    /// Where it has which rights. Without it: all rights in each of `vhosts`.
    permissions: Option<Vec<NamedPermission>>,
}

/// Rights in a virtual host: regular expressions of names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedPermission {
    /// Virtual host, one of `vhosts`.
    vhost: String,
    /// What it may make and delete, as a regular expression of names.
    #[serde(default = "all")]
    configure: String,
    /// Where it may publish, likewise.
    #[serde(default = "all")]
    write: String,
    /// What it may read, likewise.
    #[serde(default = "all")]
    read: String,
}

fn vhosts() -> Vec<String> {
    vec!["/".to_owned()]
}

fn port() -> u16 {
    5672
}

fn management_port() -> u16 {
    15672
}

fn all() -> String {
    ".*".to_owned()
}

impl Settings {
    fn check(&self, cx: &dyn Context) -> Result<()> {
        let good = |name: &str| !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control);
        let no = |what: String| Err(refused(cx, &what, "correct it in the blueprint or in the inputs"));
        let users = self.users.iter().map(|user| (&user.name, &user.password));
        let mut names = BTreeSet::new();
        for (name, password) in std::iter::once((&self.user, &self.password)).chain(users) {
            // A colon ends the name in a login over HTTP.
            if !good(name) || name.contains(':') {
                return no(format!("'{name}' is not a name that a user can have"));
            }
            if password.is_empty() || password.len() > NAME_BYTES || password.chars().any(char::is_control) {
                return no(format!("the password of '{name}' is empty, too long or has a control character in it"));
            }
            if name == "guest" {
                return no("'guest' may log in with a password that everybody knows, and is removed".to_owned());
            }
            if !names.insert(name) {
                return no(format!("user '{name}' is there twice"));
            }
        }
        if let Some(vhost) = self.vhosts.iter().find(|vhost| !good(vhost)) {
            return no(format!("'vhosts': '{vhost}' is not a name that can be taken"));
        }
        let permissions = self.users.iter().flat_map(|user| user.permissions.iter().flatten());
        if let Some(wrong) = permissions.map(|permission| &permission.vhost).find(|vhost| !self.vhosts.contains(vhost))
        {
            return no(format!("a user has permissions in '{wrong}', which is not one of 'vhosts'"));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if let Some(wrong) = self.plugins.iter().find(|name| name.is_empty() || !name.chars().all(plain)) {
            return no(format!("'plugins': '{wrong}' is not the name of a plugin"));
        }
        if self.port == 0 || self.management_port == 0 || self.vhosts.is_empty() {
            return no("'vhosts' is empty, or a port is 0".to_owned());
        }
        if self.memory.is_some_and(|size| size.0 < LEAST_MEMORY) {
            return no("'memory' is less than 128 MiB, which the server takes by itself".to_owned());
        }
        if self.port == self.management_port {
            return no(format!("port {} cannot be that of AMQP and of the management page", self.port));
        }
        Ok(())
    }

    fn accounts(self, management: SocketAddr, amqp: SocketAddr) -> Accounts {
        let whole = |vhosts: &[String]| {
            let of = |vhost: &String| Permission { vhost: vhost.clone(), configure: all(), write: all(), read: all() };
            vhosts.iter().map(of).collect::<Vec<_>>()
        };
        let administrator = User {
            name: self.user,
            password: self.password,
            tags: vec!["administrator".to_owned()],
            permissions: whole(&self.vhosts),
        };
        let others = self.users.into_iter().map(|user| User {
            name: user.name,
            password: user.password,
            tags: user.tags,
            permissions: user.permissions.map_or_else(
                || whole(&self.vhosts),
                |list| {
                    let of = |NamedPermission { vhost, configure, write, read }| Permission {
                        vhost,
                        configure,
                        write,
                        read,
                    };
                    list.into_iter().map(of).collect()
                },
            ),
        });
        let users = std::iter::once(administrator).chain(others).collect();
        Accounts { unit: UNIT.to_owned(), management, amqp, users, vhosts: self.vhosts }
    }
}

impl Kind for Settings {
    const NAME: &'static str = "rabbitmq";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        self.check(cx)?;
        if !self.external.is_empty() {
            let vhost = self.vhosts.first().cloned().unwrap_or_default();
            let login = Login {
                product: "RabbitMQ",
                user: Some(self.user.clone()),
                remedy: format!(
                    "`rabbitmqctl add_user` or `change_password`, then `rabbitmqctl set_permissions -p {vhost} {} '.*' '.*' '.*'`",
                    self.user
                ),
                ready: Ready::Amqp { addr: self.external.clone(), user: self.user, password: self.password, vhost },
                server: self.external,
            };
            return Ok(vec![external(cx, login)?]);
        }
        let layout = Rabbitmq::of(cx.facts()).ok_or_else(|| unsupported(Self::NAME, cx))?;
        let bind = listen(cx, self.bind.as_ref())?;
        let amqp = SocketAddr::new(reached_at(&bind), self.port);
        let management = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.management_port);
        let config = self.config(&layout, &bind);
        let (port, plugins) = (self.port, self.plugins.clone());
        let ports = vec![port, self.management_port];
        let accounts = self.accounts(management, amqp);
        let readable = |mode| Meta::new(mode, "root", "rabbitmq");
        let own = format!("{FOLDER}/conf.d/90-surefoot.conf");
        let (environment, plugin_file) = (format!("{FOLDER}/rabbitmq-env.conf"), format!("{FOLDER}/enabled_plugins"));
        let definitions = format!("{FOLDER}/definitions.d");
        let at_address = |path: String, text: fn(Ipv4Addr) -> String| -> Box<dyn Resource> {
            Box::new(NodeAddress { path, text, environment: environment.clone() })
        };
        let mapper = layout.port_mapper;
        let units = mapper.iter().flat_map(|mapper| [mapper.socket, mapper.unit]).chain([UNIT]);
        let mut resources: Vec<Box<dyn Resource>> = vec![Box::new(Packages::new(
            layout.packages.iter().map(|name| (*name).to_owned()).collect(),
            units.map(str::to_owned).collect(),
        ))];
        if !layout.purged {
            resources.push(Box::new(DataFolder { path: DATA.to_owned(), package: PACKAGE.to_owned() }));
        }
        if let Some(mapper) = mapper {
            let folder = format!("{UNITS}/{}.d", mapper.socket);
            resources.push(Box::new(Directory::new(&folder)));
            resources.push(at_address(format!("{folder}/surefoot.conf"), socket_file));
        }
        if !layout.has_environment {
            resources
                .push(Box::new(File { once: true, ..File::new(&environment, "# The environment of the node.\n") }));
        }
        resources.extend::<Vec<Box<dyn Resource>>>(vec![
            Box::new(Directory::new(format!("{UNITS}/{UNIT}.d"))),
            at_address(format!("{UNITS}/{UNIT}.d/surefoot.conf"), unit_file),
            Box::new(Directory::new(format!("{FOLDER}/conf.d"))),
            Box::new(Configuration {
                file: File { meta: readable(0o640), ..File::new(&own, config) },
                folder: FOLDER.into(),
            }),
            Box::new(Plugins {
                path: plugin_file.clone(),
                names: std::iter::once("rabbitmq_management".to_owned()).chain(plugins).collect(),
            }),
            Box::new(NodeName { path: environment.clone() }),
            Box::new(Directory { meta: readable(0o750), ..Directory::new(&definitions) }),
            Box::new(FirstDefinitions {
                file: File {
                    meta: readable(0o640),
                    sensitive: true,
                    ..File::new(format!("{definitions}/surefoot.json"), accounts.definitions())
                },
                environment: environment.clone(),
            }),
        ]);
        if let Some(mapper) = mapper {
            let package = Some(mapper.package.to_owned());
            for unit in [mapper.socket, mapper.unit] {
                resources.push(Box::new(Service { package: package.clone(), ..Service::new(unit) }));
            }
        }
        resources.extend::<Vec<Box<dyn Resource>>>(vec![
            Box::new(Service {
                config: ["conf.d", "rabbitmq.conf", "rabbitmq.config", "advanced.config"]
                    .iter()
                    .map(|name| format!("{FOLDER}/{name}"))
                    .chain([plugin_file, environment])
                    .map(PathBuf::from)
                    .collect(),
                package: Some(PACKAGE.to_owned()),
                // A greeting over AMQP without a login after it would stand in the server's log at every run.
                ready: Some(Ready::Http { url: format!("http://{management}/api/whoami"), statuses: vec![401] }),
                ports,
                outside: outside(&bind),
                bind,
                more: vec![(management.port(), vec![management.ip()])],
                // Its own log is named after the node; what comes before that is in others.
                logs: vec!["/var/log/rabbitmq".into()],
                independent: true,
                slow: true,
                ..Service::new(UNIT)
            }),
            Box::new(accounts),
        ]);
        Ok(resources)
    }
}

#[cfg(test)]
mod tests;
