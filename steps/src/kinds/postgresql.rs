//! `postgresql`: a PostgreSQL server with a role and its database.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use distro::facts::Init;
use distro::files::Meta;
use distro::layout::{self, Postgresql};
use schemars::JsonSchema;
use serde::Deserialize;

use super::server::{external, listen, outside, reached_at};
use super::service::drop_ins;
use super::units::Size;
use super::{Context, Kind, refused, unsupported};
use crate::resources::brought::Brought;
use crate::resources::directory::Directory;
use crate::resources::file::File;
use crate::resources::key_value::KeyValue;
use crate::resources::login::Login;
use crate::resources::packages::Packages;
use crate::resources::postgresql::{Cluster, Database, NewCluster, Overruled};
use crate::resources::service::{Ready, Service};
use crate::resources::top_block::TopBlock;
use crate::{KeyFormat, Resource, Stage};

/// The unit that starts all clusters at boot, where they have a version.
const ALL_CLUSTERS: &str = "postgresql.service";
/// Longest name that PostgreSQL takes.
const NAME_BYTES: usize = 63;
/// Names the socket at which systemd is told that a service is ready.
const SOCKET: &str = "NOTIFY_SOCKET";
const SOCKET_OF_SYSTEMD: &str = "/run/systemd/notify";

/// A PostgreSQL server from the distribution, with a role that logs in by password and a database that it owns. A cluster that is there
/// already is taken as it is, with its data, its port and its other roles; what is set here comes after its own configuration and wins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Role that logs in.
    user: String,
    /// Its password.
    password: String,
    /// Database, which the role owns; named as the role, where it is not given.
    database: Option<String>,
    /// Extensions in the database.
    #[serde(default)]
    extensions: Vec<String>,
    /// May the role make databases? Without it: no, and as it is where the role was there before.
    createdb: Option<bool>,
    /// Major version; the distribution's, where it is not given and known.
    version: Option<u16>,
    /// Name of the cluster. It is made where it is not there.
    #[serde(default = "main")]
    cluster: String,
    /// TCP port. Without it: the cluster's, which is 5432 where no other cluster has it.
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// Addresses to listen on. Without it: loopback, of IPv6 too where the host has it.
    bind: Option<Vec<IpAddr>>,
    /// Networks from which the role may log in, such as "10.1.0.0/16". Without it: this host only.
    #[serde(default)]
    clients: Vec<String>,
    /// Memory for the cache that all connections share (`shared_buffers`). Without it, what postgresql.conf says.
    memory: Option<Size>,
    /// A server that is there already, as `host:port`: nothing is installed, and the login is checked. Empty: none.
    #[serde(default)]
    external: String,
}

fn main() -> String {
    "main".to_owned()
}

impl Settings {
    /// The cluster that is meant, reached at `address`.
    fn cluster(&self, cx: &dyn Context, layout: Postgresql, address: IpAddr) -> Result<Cluster> {
        let version = match (layout, self.version) {
            (Postgresql::Single { folder, .. }, None) if self.cluster == main() => {
                return Ok(Cluster::at(folder, address));
            }
            (Postgresql::Single { .. }, _) => {
                let message = format!("{} has one cluster, without a version and a name", cx.facts().os_name);
                return Err(refused(cx, &message, "leave 'version' and 'cluster' out"));
            }
            (Postgresql::Versioned(_), Some(version)) => version.to_string(),
            (Postgresql::Versioned(Some(version)), None) => version.to_owned(),
            (Postgresql::Versioned(None), None) => {
                let message = format!("which PostgreSQL {} has is not known", cx.facts().os_name);
                return Err(refused(cx, &message, "give 'version', as in the name of the package postgresql-VERSION"));
            }
        };
        Ok(Cluster { version, name: self.cluster.clone(), address })
    }

    /// A name that needs no thought in SQL, in pg_hba.conf and in paths.
    fn check_names(&self, cx: &dyn Context, database: &str) -> Result<()> {
        let good = |name: &str, more: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.len() <= NAME_BYTES
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.as_bytes().contains(&byte))
        };
        let names = [("user", self.user.as_str()), ("database", database)].into_iter();
        let extensions = self.extensions.iter().map(|name| ("extensions", name.as_str()));
        for (key, name) in names.chain(extensions) {
            if !good(name, "_-") {
                let advice = "letters, digits, _ and - only, at most 63 of them, a letter or _ first";
                return Err(refused(cx, &format!("'{key}': '{name}' is not a name that can be taken"), advice));
            }
        }
        if !good(&self.cluster, "_") {
            let message = format!("'cluster': '{}' is not the name of a cluster", self.cluster);
            return Err(refused(cx, &message, "letters, digits and _ only, a letter or _ first"));
        }
        // That of another host's server may be all that there is.
        if self.external.is_empty() && ["postgres", "template0", "template1"].contains(&database) {
            let message = format!("'database': '{database}' is PostgreSQL's own");
            return Err(refused(cx, &message, "name a database of the product's own"));
        }
        if self.user == "postgres" || self.user.starts_with("pg_") {
            let message = format!("'user': '{}' is PostgreSQL's own", self.user);
            return Err(refused(cx, &message, "name a role of the product's own"));
        }
        if self.password.is_empty() || self.password.chars().any(char::is_control) {
            let message = "'password' is empty or has a control character in it";
            return Err(refused(cx, message, "choose another password"));
        }
        let is_network = |text: &str| {
            let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
            let most = address.parse().map(|address: IpAddr| if address.is_ipv4() { 32 } else { 128 });
            most.is_ok_and(|most| text.contains('/') && bits.parse::<u8>().is_ok_and(|bits| bits <= most))
        };
        if let Some(wrong) = self.clients.iter().find(|network| !is_network(network)) {
            return Err(refused(cx, &format!("'clients': '{wrong}' is not a network"), "write it as 10.1.0.0/16"));
        }
        Ok(())
    }

    /// What is set, in the order in which it is written.
    fn set(&self, bind: &[IpAddr], before_scram: bool) -> Vec<(String, String)> {
        let bind: Vec<String> = bind.iter().map(IpAddr::to_string).collect();
        let mut set = vec![("listen_addresses", bind.join(", "))];
        set.extend(self.port.map(|port| ("port", port.to_string())));
        // Before 10 the only hash there is goes by no name.
        set.push(("password_encryption", if before_scram { "on" } else { "scram-sha-256" }.to_owned()));
        set.extend(self.memory.map(|size| ("shared_buffers", format!("{}kB", size.0 >> 10))));
        set.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Who may log in how, for the top of pg_hba.conf; we do it at `address`.
    fn logins(&self, database: &str, address: IpAddr, before_scram: bool) -> Vec<String> {
        let (user, how) = (&self.user, if before_scram { "md5" } else { "scram-sha-256" });
        let mut here = ["127.0.0.1/32", "::1/128"].map(str::to_owned).to_vec();
        let own = format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 });
        let is_named = here.contains(&own) || self.clients.contains(&own);
        here.extend((!is_named).then_some(own));
        let networks = here.iter().chain(&self.clients);
        let host = |network: &String| format!("host \"{database}\" \"{user}\" {network} {how}");
        let local = format!("local \"{database}\" \"{user}\" {how}");
        std::iter::once(local).chain(networks.map(host)).collect()
    }
}

fn config(set: &[(String, String)]) -> String {
    let is_plain = |value: &str| value == "on" || value.bytes().all(|byte| byte.is_ascii_digit());
    let quote = |value: &str| if is_plain(value) { "" } else { "'" };
    let lines = set.iter().map(|(key, value)| format!("{key} = {0}{value}{0}\n", quote(value)));
    let head = "# Written by surefoot: what is changed here is put back at its next run.\n";
    std::iter::once(head.to_owned()).chain(lines).collect()
}

/// The drop-in of a cluster's unit that is ours.
fn drop_in(paths: &layout::Cluster) -> String {
    format!("{}/surefoot.conf", drop_ins(&paths.unit))
}

/// How systemd learns at once that the server answers, which tells it so itself: Debian's program would ask it for two seconds at each start. That is
/// started without the socket of systemd in its environment. Without that a start never ends: one of a cluster that somebody made anew brings the line
/// itself, as the server's own user, who may have put anything in the place of the file. systemd's limit of five starts within 10 s, which nobody
/// reached with these two seconds, is for services that it restarts itself.
fn told_at_once(paths: &layout::Cluster, package: &str) -> impl Iterator<Item = Box<dyn Resource>> {
    let (folder, environment) = (drop_ins(&paths.unit), format!("{}/environment", paths.folder));
    let unit = format!(
        "# Written by surefoot: what is changed here is put back at its next run.\n[Unit]\nStartLimitIntervalSec=0\n\
         [Service]\nType=notify\n\
         ExecStartPre=/usr/bin/setpriv --reuid postgres --regid postgres --init-groups /bin/sh -c '\
         grep -q \"^{SOCKET} = .{SOCKET_OF_SYSTEMD}.$\" {environment} || \
         echo \"{SOCKET} = \\'{SOCKET_OF_SYSTEMD}\\'\" >>{environment}'\n\
         ExecStart=\nExecStart=/usr/bin/pg_ctlcluster --skip-systemctl-redirect --foreground --stdlog %i start\n"
    );
    let socket = KeyValue {
        path: environment,
        format: KeyFormat::Ini,
        key: SOCKET.to_owned(),
        value: format!("'{SOCKET_OF_SYSTEMD}'"),
        repeat: false,
        sensitive: false,
        stage: Stage::Configure,
    };
    let unit = File::new(drop_in(paths), unit);
    let (package, server) = (package.to_owned(), paths.unit.clone());
    let all: [Box<dyn Resource>; 3] = [Box::new(socket), Box::new(Directory::new(folder)), Box::new(unit)];
    all.into_iter().map(move |inner| {
        Box::new(Brought { inner, package: package.clone(), unit: server.clone() }) as Box<dyn Resource>
    })
}

impl Kind for Settings {
    const NAME: &'static str = "postgresql";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let database = self.database.clone().unwrap_or_else(|| self.user.clone());
        self.check_names(cx, &database)?;
        if !self.external.is_empty() {
            let login = Login {
                product: "PostgreSQL",
                user: Some(self.user.clone()),
                remedy: format!(
                    "`CREATE ROLE {} LOGIN`, `\\password {}`, `CREATE DATABASE {database} OWNER {}`, and a line in its pg_hba.conf",
                    self.user, self.user, self.user
                ),
                ready: Ready::Postgres {
                    addr: self.external.clone(),
                    user: self.user,
                    password: self.password,
                    database,
                },
                server: self.external,
            };
            return Ok(vec![external(cx, login)?]);
        }
        let layout = Postgresql::of(cx.facts()).ok_or_else(|| unsupported(Self::NAME, cx))?;
        let bind = listen(cx, self.bind.as_ref())?;
        if self.port == Some(0) {
            return Err(refused(cx, "there is no port 0", "leave 'port' out for the cluster's own"));
        }
        let cluster = self.cluster(cx, layout, reached_at(&bind))?;
        let (paths, package) = (cluster.paths(), layout.package(&cluster.version));
        let main = format!("{}/postgresql.conf", paths.folder);
        let logins = format!("{}/pg_hba.conf", paths.folder);
        let ready = Ready::Cluster { cluster: cluster.clone(), user: self.user.clone(), database: database.clone() };
        let meta = |mode| Meta::new(mode, "postgres", "postgres");
        let set = self.set(&bind, paths.before_scram);
        let config = config(&set);
        let own = |mode| File { meta: meta(mode), ..File::new(&paths.own, config.as_str()) };
        let mut resources: Vec<Box<dyn Resource>> = Vec::new();
        match layout {
            Postgresql::Versioned(_) => {
                let units = vec![ALL_CLUSTERS.to_owned(), paths.unit.clone()];
                let client = vec!["postgresql-common".to_owned(), format!("postgresql-client-{}", cluster.version)];
                let client = Packages { light: true, part: "client", ..Packages::new(client, units.clone()) };
                resources.push(Box::new(Packages::new(vec![package.clone()], units)));
                resources.push(Box::new(client));
                resources.push(Box::new(NewCluster::new(cluster.clone(), package.clone())));
                resources.push(Box::new(own(0o644)));
                // Older ones do not speak to systemd.
                if !paths.before_scram && cx.facts().init == Init::Systemd {
                    resources.extend(told_at_once(&paths, &package));
                }
            }
            Postgresql::Single { extensions, .. } => {
                let mut names = vec![package.clone()];
                names.extend((!self.extensions.is_empty()).then(|| extensions.to_owned()));
                resources.push(Box::new(Packages::new(names, vec![paths.unit.clone()])));
                resources.push(Box::new(NewCluster::new(cluster.clone(), package.clone())));
                resources.push(Box::new(own(0o600)));
            }
        }
        if !paths.includes_own {
            resources.push(Box::new(KeyValue {
                path: main.clone(),
                format: KeyFormat::Space,
                key: "include".to_owned(),
                value: format!("'{}'", paths.own),
                repeat: true,
                sensitive: false,
                stage: Stage::Configure,
            }));
        }
        resources.push(Box::new(Overruled { cluster: cluster.clone(), settings: set, include: paths.includes_own }));
        resources.push(Box::new(TopBlock {
            path: logins.clone(),
            name: format!("{}/{}", cx.product(), cx.step()),
            lines: self.logins(&database, cluster.address, paths.before_scram),
        }));
        // With a folder of such files all of it.
        let own = Path::new(&paths.own);
        let read_with = own.parent().filter(|_| paths.includes_own).unwrap_or(own).to_owned();
        resources.push(Box::new(Service {
            reload: true,
            config: vec![logins.into()],
            // All that may come after ours, too: where such a line gets our value, the server has to take it up.
            start_config: vec![main.into(), read_with, format!("{}/postgresql.auto.conf", paths.data).into()],
            next_start: vec![drop_in(&paths).into()],
            package: Some(package),
            ready: Some(ready),
            ports: self.port.into_iter().collect(),
            outside: outside(&bind),
            bind,
            logs: vec![paths.log.into()],
            independent: true,
            ..Service::new(paths.unit)
        }));
        if matches!(layout, Postgresql::Versioned(_)) {
            let package = Some("postgresql-common".to_owned());
            // systemd itself starts it after the clusters. A restart of it would restart all of them.
            resources.push(Box::new(Service { package, group: true, independent: true, ..Service::new(ALL_CLUSTERS) }));
        }
        resources.push(Box::new(Database {
            cluster,
            role: self.user,
            password: self.password,
            createdb: self.createdb,
            name: database,
            extensions: self.extensions,
        }));
        Ok(resources)
    }
}

#[cfg(test)]
mod tests {
    use distro::facts::Family;
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    #[test]
    fn what_a_step_expands_to() {
        let step = Step::new("db");
        let settings = json!({"user": "shop", "password": "hunter2", "memory": "128 MiB", "clients": ["10.1.0.0/16"]});
        let resources = step.expand::<Settings>(settings).unwrap();
        let expected = [
            "packages all",
            "packages client",
            "cluster 15/main",
            "file /etc/postgresql/15/main/conf.d/surefoot.conf",
            "key_value /etc/postgresql/15/main/environment NOTIFY_SOCKET",
            "directory /etc/systemd/system/postgresql@15-main.service.d",
            "file /etc/systemd/system/postgresql@15-main.service.d/surefoot.conf",
            "settings 15/main",
            "lines /etc/postgresql/15/main/pg_hba.conf",
            "service postgresql@15-main.service",
            "service postgresql.service",
            "database 15/main/shop",
        ];
        assert_eq!(names(&resources), expected);
        assert_eq!(
            wants(&resources, expected[3]),
            "file 0644 postgres:postgres\n\
             # Written by surefoot: what is changed here is put back at its next run.\n\
             listen_addresses = '127.0.0.1, ::1'\n\
             password_encryption = 'scram-sha-256'\n\
             shared_buffers = '131072kB'\n"
        );
        let unit = wants(&resources, expected[6]);
        assert!(
            unit.contains("StartLimitIntervalSec=0\n[Service]\nType=notify\n")
                && unit.contains(" --foreground --stdlog %i start\n"),
            "{unit}"
        );
        let environment = "/etc/postgresql/15/main/environment";
        let brings =
            format!("$\" {environment} || echo \"NOTIFY_SOCKET = \\'/run/systemd/notify\\'\" >>{environment}'\n");
        let pre = unit.lines().find(|line| line.starts_with("ExecStartPre=")).unwrap_or_default();
        assert!(pre.contains(" --reuid postgres ") && unit.contains(&brings), "{unit}");
        assert_eq!(wants(&resources, expected[4]), "keys'/run/systemd/notify'");
        assert_eq!(
            wants(&resources, expected[8]),
            "lines# surefoot demo/db: begin\n\
             local \"shop\" \"shop\" scram-sha-256\n\
             host \"shop\" \"shop\" 127.0.0.1/32 scram-sha-256\n\
             host \"shop\" \"shop\" ::1/128 scram-sha-256\n\
             host \"shop\" \"shop\" 10.1.0.0/16 scram-sha-256\n\
             # surefoot demo/db: end\n"
        );
        assert!(!format!("{resources:?}").contains("hunter2"), "the password is not told");
        // It starts while others still come up.
        assert!(resources[2..11].iter().all(|resource| resource.is_independent()));
        let packages = resources.iter().filter_map(|resource| resource.packages());
        let packages: Vec<_> = packages.map(|set| (set.names.join(" "), set.light)).collect();
        let expected = [("postgresql-15", false), ("postgresql-common postgresql-client-15", true)];
        assert_eq!(packages, expected.map(|(names, light)| (names.to_owned(), light)));
    }

    #[test]
    fn we_may_log_in_at_the_address_that_it_listens_on() {
        let step = Step::new("db");
        for (bind, clients, wanted) in [
            (&["10.0.0.5"][..], &[][..], &["127.0.0.1/32", "::1/128", "10.0.0.5/32"][..]),
            (&["fd00::5"], &["fd00::/16"], &["127.0.0.1/32", "::1/128", "fd00::5/128", "fd00::/16"]),
            (&["10.0.0.5"], &["10.0.0.5/32"], &["127.0.0.1/32", "::1/128", "10.0.0.5/32"]),
            (&["10.0.0.5", "127.0.0.1"], &[], &["127.0.0.1/32", "::1/128"]),
            (&["0.0.0.0"], &[], &["127.0.0.1/32", "::1/128"]),
            (&["127.0.0.2"], &[], &["127.0.0.1/32", "::1/128", "127.0.0.2/32"]),
        ] {
            let settings = json!({"user": "shop", "password": "hunter2", "bind": bind, "clients": clients});
            let resources = step.expand::<Settings>(settings).unwrap();
            let logins = wants(&resources, "lines /etc/postgresql/15/main/pg_hba.conf");
            let networks: Vec<&str> = logins
                .lines()
                .filter(|line| line.starts_with("host "))
                .filter_map(|line| line.split(' ').nth(3))
                .collect();
            assert_eq!(networks, wanted, "{bind:?} {clients:?}");
        }
    }

    #[test]
    fn a_server_of_before_scram_keeps_passwords_as_md5() {
        let mut step = Step::new("db");
        (step.facts.base, step.facts.base_version) = ("ubuntu".into(), "16.04".into());
        let resources = step.expand::<Settings>(json!({"user": "shop", "password": "hunter2"})).unwrap();
        let (own, main) = ("/etc/postgresql/9.5/main/surefoot.conf", "/etc/postgresql/9.5/main/postgresql.conf");
        let expected = [
            "packages all".to_owned(),
            "packages client".to_owned(),
            "cluster 9.5/main".to_owned(),
            format!("file {own}"),
            format!("key_value {main} include '{own}'"),
            "settings 9.5/main".to_owned(),
            "lines /etc/postgresql/9.5/main/pg_hba.conf".to_owned(),
            "service postgresql@9.5-main.service".to_owned(),
            "service postgresql.service".to_owned(),
            "database 9.5/main/shop".to_owned(),
        ];
        assert_eq!(names(&resources), expected);
        assert_eq!(resources[0].packages().unwrap().names, ["postgresql-9.5"]);
        assert!(wants(&resources, &expected[3]).ends_with("\npassword_encryption = on\n"));
        let logins = wants(&resources, &expected[6]);
        assert!(logins.contains("host \"shop\" \"shop\" 127.0.0.1/32 md5\n") && !logins.contains("scram"), "{logins}");
        // Whatever the host has, a version that is asked for decides.
        step.facts.base_version = "22.04".into();
        let newer = step.expand::<Settings>(json!({"user": "shop", "password": "hunter2"})).unwrap();
        assert!(
            newer
                .iter()
                .all(|resource| !wants(&newer, &format!("{} {}", resource.sort(), resource.key())).contains("md5"))
        );
    }

    #[test]
    fn where_there_is_one_cluster() {
        let mut step = Step::new("db");
        step.facts.family = Family::RedHat;
        let settings = json!({"user": "shop", "password": "hunter2", "extensions": ["pg_trgm"]});
        let resources = step.expand::<Settings>(settings).unwrap();
        let expected = [
            "packages all",
            "cluster /var/lib/pgsql/data",
            "file /var/lib/pgsql/data/surefoot.conf",
            "key_value /var/lib/pgsql/data/postgresql.conf include '/var/lib/pgsql/data/surefoot.conf'",
            "settings /var/lib/pgsql/data",
            "lines /var/lib/pgsql/data/pg_hba.conf",
            "service postgresql.service",
            "database /var/lib/pgsql/data/shop",
        ];
        assert_eq!(names(&resources), expected);
        assert_eq!(resources[0].packages().unwrap().names, ["postgresql-server", "postgresql-contrib"]);
        for settings in [
            json!({"user": "a", "password": "x", "version": 15}),
            json!({"user": "a", "password": "x", "cluster": "b"}),
        ] {
            let error = step.expand::<Settings>(settings).unwrap_err();
            assert!(error.to_string().ends_with(" has one cluster, without a version and a name"), "{error}");
        }
    }

    #[test]
    fn systemd_is_told_where_there_is_one() {
        let mut step = Step::new("db");
        for (init, wanted) in [(Init::Systemd, 1), (Init::Scripts, 0)] {
            step.facts.init = init;
            let resources = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap();
            let folders = names(&resources).into_iter().filter(|name| name.starts_with("directory /etc/systemd/"));
            assert_eq!(folders.count(), wanted, "{init:?}");
        }
    }

    #[test]
    fn versions_and_ports() {
        let mut step = Step::new("db");
        step.facts.ipv6 = false;
        for (base_version, settings, unit, port) in [
            // A cluster that is not there has no port of its own yet.
            ("12", json!({"user": "a", "password": "x", "cluster": "nobodys"}), "postgresql@15-nobodys.service", None),
            ("13", json!({"user": "a", "password": "x", "port": 5433}), "postgresql@17-main.service", Some(5433)),
            (
                "99",
                json!({"user": "a", "password": "x", "version": 16, "cluster": "b"}),
                "postgresql@16-b.service",
                None,
            ),
        ] {
            step.facts.base_version = base_version.to_owned();
            let resources = step.expand::<Settings>(settings).unwrap();
            let service = resources.iter().find(|resource| resource.sort() == "service").unwrap();
            assert_eq!(service.key(), unit);
            assert_eq!(service.ports().first().map(|port| port.number), port);
        }
        let error = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap_err();
        assert!(error.to_string().starts_with("step 'db': which PostgreSQL "), "{error}");
    }

    #[test]
    fn a_server_that_is_there_already() {
        let mut step = Step::new("db");
        step.facts.family = Family::RedHat;
        let settings = json!({"user": "a", "password": "hunter2", "external": "db.example.com:5432"});
        let resources = step.expand::<Settings>(settings).unwrap();
        assert_eq!(names(&resources), ["login a@db.example.com:5432"]);
        assert!(!format!("{resources:?}").contains("hunter2"));
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        let mut step = Step::new("db");
        for (settings, wanted) in [
            (json!({"user": "a b", "password": "x"}), "'user': 'a b' is not a name that can be taken"),
            (json!({"user": "postgres", "password": "x", "database": "a"}), "'user': 'postgres' is PostgreSQL's own"),
            (
                json!({"user": "a", "password": "x", "database": "template1"}),
                "'database': 'template1' is PostgreSQL's own",
            ),
            (json!({"user": "a", "password": "x", "database": "1"}), "'database': '1' is not a name that can be taken"),
            (json!({"user": "a", "password": ""}), "'password' is empty or has a control character in it"),
            (json!({"user": "a", "password": "x", "cluster": "a-b"}), "'cluster': 'a-b' is not the name of a cluster"),
            (json!({"user": "a", "password": "x", "clients": ["10.0.0.1"]}), "'clients': '10.0.0.1' is not a network"),
            (json!({"user": "a", "password": "x", "bind": []}), "'bind' is an empty list"),
            (json!({"user": "a", "password": "x", "external": "db"}), "'external': 'db' is not a host with a port"),
        ] {
            let error = step.expand::<Settings>(settings).unwrap_err();
            assert_eq!(error.to_string(), format!("step 'db': {wanted}"));
            assert_eq!(distro::Fault::class_of(&error), distro::Class::Blueprint);
        }
        step.facts.family = Family::Arch;
        let error = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap_err();
        assert_eq!(distro::Fault::class_of(&error), distro::Class::Unsupported);
    }
}
