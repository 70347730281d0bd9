//! `mongodb`: a MongoDB server of the vendor's, with users.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;
use distro::files::Meta;
use distro::layout::Mongodb;
use distro::net::SERIES;
use distro::{Class, Fault};
use schemars::JsonSchema;
use serde::Deserialize;

use super::server::{external, outside, reached_at};
use super::units::Size;
use super::{Context, Kind, refused, unsupported};
use crate::resources::data_folder::DataFolder;
use crate::resources::directory::Directory;
use crate::resources::file::File;
use crate::resources::key_value::KeyValue;
use crate::resources::login::Login;
use crate::resources::mongod_key::MongodKey;
use crate::resources::mongodb_user::{ADMIN_DATABASE, Account, MongodbUser, OLDEST, Role};
use crate::resources::packages::Packages;
use crate::resources::service::{Ready, Service};
use crate::{KeyFormat, Resource, Stage};

const UNIT: &str = "mongod.service";
const SERVER: &str = "mongodb-org-server";
const CONFIG: &str = "/etc/mongod.conf";
const LOG: &str = "/var/log/mongodb/mongod.log";
/// Folder for a file for each user, with the URL that it logs in with.
const LOGINS: &str = "/etc/mongodb";
/// Least cache that WiredTiger takes, and the steps in which it is given: a few bytes more or less of memory are no change.
const CACHE_STEP: u64 = 256 << 20;

/// A MongoDB server, which a `repository` step before this one has to offer: its vendor's. Authorization is on from its first start, and it
/// has an administrator and users. What is in its mongod.conf already stays, but for the keys that are set here. For each user a file in
/// /etc/mongodb, for root only, holds the URL that it logs in with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Series of the server that the repository brings, 4.2 or later: `7.0`.
    version: String,
    /// The administrator of its users.
    admin: Admin,
    /// Users that have to be there besides others. Roles that they have besides these stay.
    #[serde(default)]
    users: Vec<User>,
    /// TCP port.
    #[serde(default = "port")]
    #[schemars(range(min = 1))]
    port: u16,
    /// Addresses to listen on. Without it: 127.0.0.1.
    bind: Option<Vec<IpAddr>>,
    /// Memory for its cache, at least "256 MiB". Without it: a quarter of what the host has above 1 GiB.
    cache: Option<Size>,
    /// A server of another host, as `db.example.com:27017`: then nothing is installed, and `users` have to be able to log in there. Without
    /// it, or empty: this host's.
    #[serde(default)]
    external: String,
    /// Oldest series that such a server may be of: 3.4, 3.6, 4.0 or 4.2.
    #[serde(default = "oldest")]
    oldest: String,
    /// Install its shell, mongosh, too?
    #[serde(default)]
    shell: bool,
    /// Install its tools for dumps and imports, too?
    #[serde(default)]
    tools: bool,
}

/// Who looks after users.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Admin {
    /// Name.
    #[serde(default = "admin")]
    name: String,
    /// Password, ASCII.
    password: String,
    /// Roles in the database `admin`, or `role@database`.
    #[serde(default = "admin_roles")]
    roles: Vec<String>,
}

/// A user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct User {
    /// Name.
    name: String,
    /// Password, ASCII, and none that another user has.
    password: String,
    /// Database that it is of.
    database: String,
    /// Roles in that database, or `role@database`.
    #[serde(default = "roles")]
    roles: Vec<String>,
}

fn oldest() -> String {
    OLDEST.to_owned()
}

fn port() -> u16 {
    27017
}

fn admin() -> String {
    "admin".to_owned()
}

fn admin_roles() -> Vec<String> {
    vec!["userAdminAnyDatabase".to_owned()]
}

fn roles() -> Vec<String> {
    vec!["readWrite".to_owned()]
}

impl Kind for Settings {
    const NAME: &'static str = "mongodb";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if !self.external.is_empty() {
            let users = self.users(cx, &self.external)?;
            let Some((oldest, _)) = SERIES.into_iter().find(|(series, _)| *series == self.oldest) else {
                let message = format!("'oldest' is '{}', which is no series that is told apart", self.oldest);
                return Err(refused(cx, &message, "write 3.4, 3.6, 4.0 or 4.2"));
            };
            return users.into_iter().skip(1).map(|user| external(cx, self.login(user, oldest))).collect();
        }
        let layout = Mongodb::of(cx.facts()).ok_or_else(|| unsupported(Self::NAME, cx))?;
        self.check_version(cx)?;
        if self.port == 0 {
            return Err(refused(cx, "there is no port 0", "leave 'port' out for 27017"));
        }
        let bind = self.bind.clone().unwrap_or_else(|| vec![Ipv4Addr::LOCALHOST.into()]);
        if bind.is_empty() {
            return Err(refused(cx, "'bind' is an empty list", "leave it out to listen on loopback only"));
        }
        let addr = SocketAddr::new(reached_at(&bind), self.port).to_string();
        let users = self.users(cx, &addr)?;

        let mut names = vec![SERVER.to_owned()];
        names.extend(self.shell.then(|| "mongodb-mongosh".to_owned()));
        names.extend(self.tools.then(|| "mongodb-database-tools".to_owned()));
        let mut resources: Vec<Box<dyn Resource>> = vec![
            Box::new(Packages::new(names, vec![UNIT.to_owned()])),
            Box::new(DataFolder { path: layout.data.to_owned(), package: SERVER.to_owned() }),
        ];
        for (key, value) in self.keys(cx, &bind) {
            let inner = KeyValue {
                path: CONFIG.to_owned(),
                format: KeyFormat::Yaml,
                key: key.to_owned(),
                value,
                repeat: false,
                sensitive: false,
                stage: Stage::Configure,
            };
            resources.push(Box::new(MongodKey { inner }));
        }
        resources.push(Box::new(Service {
            config: vec![CONFIG.into()],
            package: Some(SERVER.to_owned()),
            ready: Some(Ready::Mongodb { addr: addr.clone(), login: None, oldest: OLDEST }),
            ports: vec![self.port],
            outside: outside(&bind),
            bind,
            logs: vec![LOG.into()],
            independent: true,
            ..Service::new(UNIT)
        }));
        resources.push(Box::new(Directory { meta: Meta::root(0o700), ..Directory::new(LOGINS) }));
        for user in users {
            let path = file_of(&user.account);
            let content = user.account.url(&addr) + "\n";
            resources.push(Box::new(user));
            resources.push(Box::new(File { meta: Meta::root(0o600), sensitive: true, ..File::new(path, content) }));
        }
        Ok(resources)
    }
}

fn file_of(account: &Account) -> String {
    format!("{LOGINS}/{}.{}", account.database, account.name)
}

impl Settings {
    fn check_version(&self, cx: &dyn Context) -> Result<()> {
        let parts: Option<Vec<u32>> = self.version.split('.').map(|part| part.parse().ok()).collect();
        let Some([major, minor]) = parts.as_deref() else {
            return Err(refused(
                cx,
                &format!("'version' is '{}', which is no series of MongoDB", self.version),
                "write it as \"7.0\"",
            ));
        };
        let series = (*major, *minor);
        if series < (4, 2) {
            let message =
                format!("step '{}': MongoDB {} is not supported: 4.2 is the oldest that is", cx.step(), self.version);
            return Err(Fault::new(Class::Unsupported, message).advice("take the repository of a later series").into());
        }
        if series >= (5, 0) && cx.facts().arch == "x86_64" && !cx.facts().avx {
            return Err(Fault::new(
                Class::Preflight,
                format!("step '{}': the processor has no AVX, which MongoDB {} needs: it would die of SIGILL", cx.step(), self.version),
            )
            .evidence(["/proc/cpuinfo: no 'avx' among the flags".to_owned()])
            .advice("let the hypervisor show the host's own processor, move to another machine, or take the repository of MongoDB 4.4")
            .into());
        }
        Ok(())
    }

    /// What a user of a server of another host has to be able to do.
    fn login(&self, user: MongodbUser, oldest: &'static str) -> Login {
        let Account { database, name, .. } = &user.account;
        let roles: Vec<String> =
            user.roles.iter().map(|role| format!("{{ role: '{}', db: '{}' }}", role.name, role.database)).collect();
        Login {
            product: "MongoDB",
            server: self.external.clone(),
            user: Some(name.clone()),
            remedy: format!(
                "`db.getSiblingDB('{database}').createUser({{ user: '{name}', pwd: passwordPrompt(), roles: [{}] }})`, or `updateUser`",
                roles.join(", ")
            ),
            ready: Ready::Mongodb { addr: self.external.clone(), login: Some((user.account, user.roles)), oldest },
        }
    }

    /// Keys of mongod.conf.
    fn keys(&self, cx: &dyn Context, bind: &[IpAddr]) -> Vec<(&'static str, String)> {
        let memory = cx.facts().memory.saturating_sub(1 << 30) / 4;
        let cache = self.cache.map_or(memory / CACHE_STEP * CACHE_STEP, |size| size.0).max(CACHE_STEP);
        // Whole MiB have at most ten digits behind the point in GiB, of which six say enough.
        #[expect(clippy::cast_precision_loss, reason = "a size of memory in MiB is small")]
        let gibibytes = format!("{:.6}", (cache >> 20) as f64 / 1024.0);
        let bound: Vec<String> = bind.iter().map(IpAddr::to_string).collect();
        let mut keys = vec![
            ("security.authorization", "enabled".to_owned()),
            ("net.bindIp", bound.join(",")),
            ("net.port", self.port.to_string()),
            (
                "storage.wiredTiger.engineConfig.cacheSizeGB",
                gibibytes.trim_end_matches('0').trim_end_matches('.').to_owned(),
            ),
        ];
        if bind.iter().any(IpAddr::is_ipv6) {
            keys.push(("net.ipv6", "true".to_owned()));
        }
        keys
    }

    /// The administrator first: it makes the others.
    fn users(&self, cx: &dyn Context, addr: &str) -> Result<Vec<MongodbUser>> {
        let admin = Account {
            database: ADMIN_DATABASE.to_owned(),
            name: self.admin.name.clone(),
            password: self.admin.password.clone(),
        };
        let user = |account: Account, roles: &[String], admin: Option<&Account>| -> Result<MongodbUser> {
            check_account(cx, &account)?;
            let roles = roles.iter().map(|role| self.role(cx, role, &account)).collect::<Result<Vec<_>>>()?;
            Ok(MongodbUser {
                addr: addr.to_owned(),
                unit: UNIT.to_owned(),
                roles,
                admin: admin.cloned(),
                admin_file: format!("{LOGINS}/{ADMIN_DATABASE}.{}", self.admin.name),
                account,
            })
        };
        let mut users = vec![user(admin.clone(), &self.admin.roles, None)?];
        for User { name, password, database, roles } in &self.users {
            let account = Account { database: database.clone(), name: name.clone(), password: password.clone() };
            if let Some(other) = users.iter().find(|user| user.account.password == account.password) {
                let message = format!("users '{}' and '{name}' have the same password", other.account.name);
                return Err(refused(cx, &message, "give each a password of its own"));
            }
            users.push(user(account, roles, Some(&admin))?);
        }
        Ok(users)
    }

    fn role(&self, cx: &dyn Context, role: &str, account: &Account) -> Result<Role> {
        let (name, database) = role.split_once('@').unwrap_or((role, &account.database));
        if !is_name(name) || !is_name(database) {
            let message = format!("'{role}' of user '{}' is not a role", account.name);
            return Err(refused(cx, &message, "write it as \"readWrite\" or \"read@database\""));
        }
        Ok(Role { name: name.to_owned(), database: database.to_owned() })
    }
}

/// Can it be the name of a user, a role or a database, and of a file?
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    !text.is_empty() && text.len() <= 63 && text.bytes().all(plain)
}

fn check_account(cx: &dyn Context, account: &Account) -> Result<()> {
    for name in [&account.name, &account.database] {
        if !is_name(name) {
            let message = format!("'{name}' cannot be the name of a user or a database");
            return Err(refused(cx, &message, "take letters, digits, '_' and '-', at most 63 of them"));
        }
    }
    if account.password.is_empty() || !account.password.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        let message =
            format!("the password of '{}' is empty or has other characters than those of ASCII", account.name);
        return Err(refused(cx, &message, "choose another password"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    fn with(changes: Value) -> Value {
        let mut settings = json!({
            "version": "7.0", "admin": {"password": "hunter2"},
            "users": [{"name": "app", "password": "hunter3", "database": "shop", "roles": ["readWrite", "read@other"]}],
        });
        settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        settings
    }

    #[test]
    fn what_a_step_expands_to() {
        let mut step = Step::new("mongodb");
        step.facts.memory = 4 << 30;
        let resources = step.expand::<Settings>(with(json!({"shell": true}))).unwrap();
        let key = |key: &str| format!("key_value /etc/mongod.conf {key}");
        let expected = [
            "packages all".to_owned(),
            "data_folder /var/lib/mongodb".to_owned(),
            key("security.authorization"),
            key("net.bindIp"),
            key("net.port"),
            key("storage.wiredTiger.engineConfig.cacheSizeGB"),
            "service mongod.service".to_owned(),
            "directory /etc/mongodb".to_owned(),
            "mongodb_user 127.0.0.1:27017/admin.admin".to_owned(),
            "file /etc/mongodb/admin.admin".to_owned(),
            "mongodb_user 127.0.0.1:27017/shop.app".to_owned(),
            "file /etc/mongodb/shop.app".to_owned(),
        ];
        assert_eq!(names(&resources), expected);
        assert_eq!(resources[0].packages().unwrap().names, ["mongodb-org-server", "mongodb-mongosh"]);
        assert_eq!(wants(&resources, &expected[5]), "keys0.75");
        assert_eq!(wants(&resources, &expected[10]), "hunter3 readWrite@shop read@other");
        assert_eq!(
            wants(&resources, "file /etc/mongodb/shop.app"),
            "file 0600 root:root\nmongodb://app:hunter3@127.0.0.1:27017/shop?authSource=shop\n"
        );
        assert!(!format!("{resources:?}").contains("hunter"), "no password is told");
    }

    #[test]
    fn a_server_of_another_host_is_only_asked() {
        let resources = Step::new("mongodb").expand::<Settings>(with(json!({"external": "db.example:27017"}))).unwrap();
        assert_eq!(names(&resources), ["login app@db.example:27017"]);
        assert!(!format!("{resources:?}").contains("hunter"), "no password is told");
    }

    #[test]
    fn the_cache_fits_the_host() {
        for (memory, cache, wanted) in [
            (512 << 20, None, "0.25"),
            (2 << 30, None, "0.25"),
            ((16 << 30) + 12345, None, "3.75"),
            (16u64 << 30, Some("1 GiB"), "1"),
            (16 << 30, Some("300 MiB"), "0.292969"),
        ] {
            let mut step = Step::new("mongodb");
            step.facts.memory = memory;
            let resources = step.expand::<Settings>(with(json!({"cache": cache}))).unwrap();
            let name = "key_value /etc/mongod.conf storage.wiredTiger.engineConfig.cacheSizeGB";
            assert_eq!(wants(&resources, name), format!("keys{wanted}"), "{memory} {cache:?}");
        }
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        let user = |name: &str, password: &str, role: &str| json!({"users": [{"name": name, "password": password, "database": "shop", "roles": [role]}]});
        for (changes, class, wanted) in [
            (json!({"version": "4.0"}), Class::Unsupported, "MongoDB 4.0 is not supported: 4.2 is the oldest that is"),
            (json!({"version": "seven"}), Class::Blueprint, "'version' is 'seven', which is no series of MongoDB"),
            (json!({"port": 0}), Class::Blueprint, "there is no port 0"),
            (json!({"bind": []}), Class::Blueprint, "'bind' is an empty list"),
            (user("app", "hunter2", "read"), Class::Blueprint, "users 'admin' and 'app' have the same password"),
            (user("a/b", "x", "read"), Class::Blueprint, "'a/b' cannot be the name of a user or a database"),
            (user("app", "x", "read@"), Class::Blueprint, "'read@' of user 'app' is not a role"),
            (
                user("app", "pässword", "read"),
                Class::Blueprint,
                "the password of 'app' is empty or has other characters than those of ASCII",
            ),
        ] {
            let error = Step::new("mongodb").expand::<Settings>(with(changes)).unwrap_err();
            assert_eq!((Fault::class_of(&error), error.to_string()), (class, format!("step 'mongodb': {wanted}")));
        }
    }

    #[test]
    fn processors_without_avx() {
        let mut step = Step::new("mongodb");
        step.facts.avx = false;
        for (version, arch, refused) in
            [("4.4", "x86_64", false), ("5.0", "x86_64", true), ("8.0", "x86_64", true), ("8.0", "aarch64", false)]
        {
            step.facts.arch = arch.into();
            let error = step.expand::<Settings>(with(json!({"version": version}))).err();
            assert_eq!(
                error.map(|error| Fault::class_of(&error)),
                refused.then_some(Class::Preflight),
                "{version} {arch}"
            );
        }
    }
}
