//! `rabbitmq`: a RabbitMQ server with users, virtual hosts and the management plugin.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use distro::files::Meta;
use distro::layout::Rabbitmq;
use schemars::JsonSchema;
use serde::Deserialize;

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

/// Plugins that would listen on all addresses, without `rabbitmq_`, with their ports.
const PROTOCOLS: [(&str, u16); 3] = [("mqtt", 1883), ("stomp", 61613), ("stream", 5552)];
/// The same of those that answer over HTTP.
const PAGES: [(&str, u16); 3] = [("web_mqtt", 15675), ("web_stomp", 15674), ("prometheus", 15692)];

/// Does the plugin `name` bring that one, itself or as what it needs? (`rabbitmq_web_mqtt_examples` needs `web_mqtt`, and that `mqtt`;
/// `rabbitmq_shovel_prometheus` needs `prometheus`.)
fn brings(name: &str, plugin: &str) -> bool {
    let name = name.strip_prefix("rabbitmq_").unwrap_or(name);
    let needs = |name: &str| {
        let begins = name.strip_prefix(plugin).is_some_and(|rest| rest.starts_with('_'));
        begins || name == plugin || name.strip_suffix(plugin).is_some_and(|rest| rest.ends_with('_'))
    };
    needs(name) || name.strip_prefix("web_").is_some_and(needs)
}

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

    fn config(&self, layout: &Rabbitmq, bind: &[IpAddr]) -> String {
        let mut lines = vec!["# Written by surefoot: what is changed here is put back at its next run.".to_owned()];
        // `default` is the name of the listener that every example has: another one would listen besides it.
        let listeners = |of: &str, port: u16| -> Vec<String> {
            let name = |at| if at == 0 { "default".to_owned() } else { format!("surefoot_{at}") };
            let line = |(at, address)| format!("{of}listeners.tcp.{} = {address}:{port}", name(at));
            bind.iter().enumerate().map(line).collect()
        };
        lines.extend(listeners("", self.port));
        for (plugin, port) in PROTOCOLS {
            if self.plugins.iter().any(|name| brings(name, plugin)) {
                lines.extend(listeners(&format!("{plugin}."), port));
            }
        }
        for (plugin, port) in PAGES {
            if self.plugins.iter().any(|name| brings(name, plugin)) {
                lines.extend([format!("{plugin}.tcp.ip = 127.0.0.1"), format!("{plugin}.tcp.port = {port}")]);
            }
        }
        lines.push("management.tcp.ip = 127.0.0.1".to_owned());
        lines.push(format!("management.tcp.port = {}", self.management_port));
        lines.push(match self.memory {
            Some(size) => format!("vm_memory_high_watermark.absolute = {}", size.0),
            None => "vm_memory_high_watermark.relative = 0.25".to_owned(),
        });
        if layout.imports_once {
            lines.push("definitions.import_backend = local_filesystem".to_owned());
            lines.push(format!("definitions.local.path = {FOLDER}/definitions.d"));
            lines.push("definitions.skip_if_unchanged = true".to_owned());
        } else {
            lines.push(format!("load_definitions = {FOLDER}/definitions.d"));
        }
        lines.join("\n") + "\n"
    }
}

/// Erlang's own listeners: the one between nodes, which also tools use, and the port mapper, where it is not started by its socket.
fn unit_file(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!(
        "# Written by surefoot: what is changed here is put back at its next run.\n[Service]\n\
         Environment=\"ERL_ZFLAGS=-kernel inet_dist_use_interface {{{a},{b},{c},{d}}}\" ERL_EPMD_ADDRESS={address}\n"
    )
}

/// The port mapper's socket. A node makes itself known at 127.0.0.1, whatever its own address.
fn socket_file(address: Ipv4Addr) -> String {
    let mut addresses = vec![Ipv4Addr::LOCALHOST, address];
    addresses.dedup();
    let lines: String = addresses.iter().map(|address| format!("ListenStream={address}:4369\n")).collect();
    format!(
        "# Written by surefoot: what is changed here is put back at its next run.\n[Socket]\nListenStream=\n{lines}"
    )
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
mod tests {
    use serde_json::json;

    use distro::facts::Family;
    use distro::{Class, Fault};

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    #[test]
    fn what_a_step_expands_to() {
        let step = Step::new("broker");
        let settings = json!({
            "user": "admin", "password": "hunter2", "memory": "256 MiB", "plugins": ["rabbitmq_shovel"],
            "users": [{"name": "shop", "password": "hunter22"}],
        });
        let resources = step.expand::<Settings>(settings).unwrap();
        let expected = [
            "packages all",
            "directory /etc/systemd/system/epmd.socket.d",
            "file /etc/systemd/system/epmd.socket.d/surefoot.conf",
            "directory /etc/systemd/system/rabbitmq-server.service.d",
            "file /etc/systemd/system/rabbitmq-server.service.d/surefoot.conf",
            "directory /etc/rabbitmq/conf.d",
            "file /etc/rabbitmq/conf.d/90-surefoot.conf",
            "plugins /etc/rabbitmq/enabled_plugins",
            "node_name /etc/rabbitmq/rabbitmq-env.conf",
            "directory /etc/rabbitmq/definitions.d",
            "file /etc/rabbitmq/definitions.d/surefoot.json",
            "service epmd.socket",
            "service epmd.service",
            "service rabbitmq-server.service",
            "accounts rabbitmq-server.service",
        ];
        assert_eq!(names(&resources), expected);
        assert_eq!(
            wants(&resources, expected[6]),
            "file 0640 root:rabbitmq\n\
             # Written by surefoot: what is changed here is put back at its next run.\n\
             listeners.tcp.default = 127.0.0.1:5672\n\
             listeners.tcp.surefoot_1 = ::1:5672\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = 15672\n\
             vm_memory_high_watermark.absolute = 268435456\n\
             load_definitions = /etc/rabbitmq/definitions.d\n"
        );
        assert!(!wants(&resources, expected[10]).contains("hunter2"), "a definition has hashes only");
        assert!(!format!("{resources:?}").contains("hunter2"), "the password is not told");
    }

    #[test]
    fn what_plugins_bring_listens_where_it_should() {
        let mut step = Step::new("broker");
        step.facts.ipv6 = false;
        for (plugin, listening) in [
            ("rabbitmq_shovel", ""),
            ("rabbitmq_mqtt", "mqtt.listeners.tcp.default = 10.0.0.1:1883"),
            ("rabbitmq_stream_management", "stream.listeners.tcp.default = 10.0.0.1:5552"),
            ("rabbitmq_prometheus", "prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = 15692"),
            ("rabbitmq_shovel_prometheus", "prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = 15692"),
            (
                "rabbitmq_web_stomp_examples",
                "stomp.listeners.tcp.default = 10.0.0.1:61613\nweb_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = 15674",
            ),
        ] {
            let settings = json!({"user": "a", "password": "x", "bind": ["10.0.0.1"], "plugins": [plugin]});
            let config =
                wants(&step.expand::<Settings>(settings).unwrap(), "file /etc/rabbitmq/conf.d/90-surefoot.conf");
            let (_, rest) = config.split_once("\nlisteners.tcp.default = 10.0.0.1:5672\n").unwrap();
            let (found, _) = rest.split_once("management.tcp.ip").unwrap();
            assert_eq!(found.trim_end(), listening, "{plugin}");
        }
    }

    #[test]
    fn where_the_node_brings_the_port_mapper_along() {
        let mut step = Step::new("broker");
        step.facts.family = Family::RedHat;
        let resources = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap();
        let expected = [
            "packages all",
            "data_folder /var/lib/rabbitmq",
            "file /etc/rabbitmq/rabbitmq-env.conf",
            "directory /etc/systemd/system/rabbitmq-server.service.d",
            "file /etc/systemd/system/rabbitmq-server.service.d/surefoot.conf",
        ];
        assert_eq!(names(&resources)[..5], expected);
        assert!(!names(&resources).iter().any(|name| name.contains("epmd")));
    }

    #[test]
    fn one_that_reads_another_configuration_is_refused_unless_it_is_somebody_elses() {
        let mut step = Step::new("broker");
        (step.facts.base, step.facts.base_version) = ("ubuntu".into(), "16.04".into());
        let error = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap_err();
        assert!(error.to_string().contains(" is older than 3.7 "), "{error}");
        let fault = Fault::find(&error).unwrap();
        assert_eq!(fault.class, Class::Unsupported);
        assert!(fault.advice.ends_with("install on Ubuntu 20.04 or later"), "{}", fault.advice);
        let external = json!({"user": "a", "password": "x", "external": "mq.example.com:5672"});
        assert_eq!(names(&step.expand::<Settings>(external).unwrap()), ["login a@mq.example.com:5672"]);
    }

    #[test]
    fn what_is_imported_once_and_what_at_every_start() {
        let mut step = Step::new("broker");
        step.facts.ipv6 = false;
        for (base, version, once) in [
            ("debian", "11", false),
            ("debian", "12", false),
            ("debian", "13", true),
            ("ubuntu", "24.04", false),
            ("", "", false),
        ] {
            (step.facts.base, step.facts.base_version) = (base.into(), version.into());
            let resources = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap();
            let config = wants(&resources, "file /etc/rabbitmq/conf.d/90-surefoot.conf");
            assert!(config.contains("\nvm_memory_high_watermark.relative = 0.25\n"), "{config}");
            assert_eq!(config.ends_with("\ndefinitions.skip_if_unchanged = true\n"), once, "{base} {version}");
            assert_eq!(
                config.ends_with("\nload_definitions = /etc/rabbitmq/definitions.d\n"),
                !once,
                "{base} {version}"
            );
        }
    }

    #[test]
    fn where_erlang_listens() {
        let (here, other) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 1, 1));
        assert!(socket_file(here).ends_with("[Socket]\nListenStream=\nListenStream=127.0.0.1:4369\n"));
        assert!(socket_file(other).ends_with("=\nListenStream=127.0.0.1:4369\nListenStream=127.0.1.1:4369\n"));
        let line =
            "Environment=\"ERL_ZFLAGS=-kernel inet_dist_use_interface {127,0,1,1}\" ERL_EPMD_ADDRESS=127.0.1.1\n";
        assert!(unit_file(other).ends_with(line));
    }

    #[test]
    fn a_server_that_is_there_already() {
        let settings = json!({"user": "a", "password": "hunter2", "external": "mq.example.com:5672"});
        let resources = Step::new("broker").expand::<Settings>(settings).unwrap();
        assert_eq!(names(&resources), ["login a@mq.example.com:5672"]);
        assert!(!format!("{resources:?}").contains("hunter2"));
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        let other = |user: serde_json::Value| json!({"user": "a", "password": "x", "users": [user]});
        for (settings, wanted) in [
            (json!({"user": "a:b", "password": "x"}), "'a:b' is not a name that a user can have"),
            (
                json!({"user": "a", "password": ""}),
                "the password of 'a' is empty, too long or has a control character in it",
            ),
            (
                json!({"user": "guest", "password": "x"}),
                "'guest' may log in with a password that everybody knows, and is removed",
            ),
            (other(json!({"name": "a", "password": "y"})), "user 'a' is there twice"),
            (
                other(json!({"name": "b", "password": "y", "permissions": [{"vhost": "v"}]})),
                "a user has permissions in 'v', which is not one of 'vhosts'",
            ),
            (json!({"user": "a", "password": "x", "vhosts": []}), "'vhosts' is empty, or a port is 0"),
            (
                json!({"user": "a", "password": "x", "memory": "1 MiB"}),
                "'memory' is less than 128 MiB, which the server takes by itself",
            ),
            (
                json!({"user": "a", "password": "x", "port": 15672}),
                "port 15672 cannot be that of AMQP and of the management page",
            ),
            (json!({"user": "a", "password": "x", "plugins": ["A b"]}), "'plugins': 'A b' is not the name of a plugin"),
        ] {
            let error = Step::new("broker").expand::<Settings>(settings).unwrap_err();
            assert_eq!(error.to_string(), format!("step 'broker': {wanted}"));
        }
    }
}
