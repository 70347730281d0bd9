//! `redis`: a Redis server with a password, or with a user.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use distro::files::Meta;
use distro::layout::{Redis, Users};
use schemars::JsonSchema;
use serde::Deserialize;

use super::server::{external, listen, outside, reached_at};
use super::units::Size;
use super::{Context, Kind, refused, unsupported};
use crate::resources::append_log::AppendLog;
use crate::resources::data_folder::DataFolder;
use crate::resources::directory::Directory;
use crate::resources::file::File;
use crate::resources::include::Include;
use crate::resources::key_value::KeyValue;
use crate::resources::login::Login;
use crate::resources::memory_limit::MemoryLimit;
use crate::resources::packages::Packages;
use crate::resources::redis_data::Server;
use crate::resources::redis_users::RedisUsers;
use crate::resources::service::{Ready, Service};
use crate::{KeyFormat, Resource, Stage};

/// Longest password that every version of Redis takes.
const PASSWORD_BYTES: usize = 512;
/// Least memory that it can do something with.
const LEAST_MEMORY: u64 = 4 << 20;

/// A Redis server from the distribution, with a password, of which nobody gets in without it. What is in its redis.conf already stays; what
/// is set here comes after it and wins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Password that clients have to give, at most 512 bytes.
    password: String,
    /// Name of the user whose password it is: it may do everything, and the default user, whom clients are without a name, is switched off.
    /// Needs Redis 6. Without it, it is the default user's password.
    user: Option<String>,
    /// TCP port.
    #[serde(default = "port")]
    #[schemars(range(min = 1))]
    port: u16,
    /// Addresses to listen on. Without it: loopback, of IPv6 too where the host has it.
    bind: Option<Vec<IpAddr>>,
    /// Most memory that its data may take, at least "4 MiB". Without it, what redis.conf says.
    memory: Option<Size>,
    /// What to do when that memory is full. Without it, what redis.conf says.
    memory_policy: Option<Policy>,
    /// How data outlives a restart. Without it, what redis.conf says.
    persistence: Option<Persistence>,
    /// A server of another host, as `redis.example.com:6379`: then nothing is installed, and the login has to be good there. Without it, or
    /// empty: this host's.
    #[serde(default)]
    external: String,
}

fn port() -> u16 {
    6379
}

/// What Redis does when its memory is full (`maxmemory-policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Policy {
    /// Refuse to write.
    Noeviction,
    /// Drop what was used least recently.
    AllkeysLru,
    /// Drop what is used least often.
    AllkeysLfu,
    /// Drop anything.
    AllkeysRandom,
    /// As `allkeys_lru`, among what expires.
    VolatileLru,
    /// As `allkeys_lfu`, among what expires.
    VolatileLfu,
    /// As `allkeys_random`, among what expires.
    VolatileRandom,
    /// Drop what expires soonest.
    VolatileTtl,
}

impl Policy {
    fn word(self) -> &'static str {
        match self {
            Policy::Noeviction => "noeviction",
            Policy::AllkeysLru => "allkeys-lru",
            Policy::AllkeysLfu => "allkeys-lfu",
            Policy::AllkeysRandom => "allkeys-random",
            Policy::VolatileLru => "volatile-lru",
            Policy::VolatileLfu => "volatile-lfu",
            Policy::VolatileRandom => "volatile-random",
            Policy::VolatileTtl => "volatile-ttl",
        }
    }
}

/// How data outlives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Persistence {
    /// A snapshot now and then, and at every orderly stop.
    Snapshots,
    /// Every write is logged (`appendonly`).
    AppendOnly,
}

impl Kind for Settings {
    const NAME: &'static str = "redis";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if !self.external.is_empty() {
            let login = Login {
                product: "Redis",
                user: self.user.clone(),
                remedy: match &self.user {
                    Some(user) => format!("`ACL SETUSER {user}`; `ACL LIST` shows who may log in"),
                    None => "the password is what `requirepass` says in its redis.conf".to_owned(),
                },
                ready: Ready::Redis {
                    addr: self.external.clone(),
                    user: self.user,
                    password: Some(self.password),
                    settings: Vec::new(),
                    whole: false,
                },
                server: self.external,
            };
            return Ok(vec![external(cx, login)?]);
        }
        // As long as it holds nothing, it takes more than a mebibyte: it would refuse every write.
        if self.memory.is_some_and(|size| size.0 < LEAST_MEMORY) {
            return Err(refused(cx, "'memory' is less than 4 MiB", "leave it out, or give more: \"256 MiB\""));
        }
        let layout = Redis::of(cx.facts()).ok_or_else(|| unsupported(Self::NAME, cx))?;
        let bind = listen(cx, self.bind.as_ref())?;
        if self.port == 0 {
            return Err(refused(cx, "there is no port 0", "leave 'port' out for 6379"));
        }
        let content = self.config(cx, &layout, &bind)?;
        let keys = content.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next());
        let keys = keys.map(str::to_owned).collect();
        let ready = Ready::Redis {
            addr: SocketAddr::new(reached_at(&bind), self.port).to_string(),
            user: self.user.clone(),
            password: Some(self.password.clone()),
            settings: self.set(),
            whole: true,
        };
        let meta = |mode| Meta::new(mode, layout.user, layout.user);
        let mut resources: Vec<Box<dyn Resource>> = vec![
            Box::new(Packages::new(vec![layout.package.to_owned()], vec![layout.unit.to_owned()])),
            Box::new(Directory { meta: meta(0o750), data: true, ..Directory::new(layout.data) }),
        ];
        if !layout.purged {
            resources.push(Box::new(DataFolder { path: layout.data.to_owned(), package: layout.package.to_owned() }));
        }
        let server = Server {
            unit: layout.unit.to_owned(),
            data: layout.data.to_owned(),
            config: layout.main.into_iter().chain([layout.own]).map(str::to_owned).collect(),
            addr: SocketAddr::new(reached_at(&bind), self.port).to_string(),
            user: self.user.clone(),
            password: self.password.clone(),
        };
        if let Some(persistence) = self.persistence {
            let on = persistence == Persistence::AppendOnly;
            resources.push(Box::new(AppendLog { server: server.clone(), on }));
        }
        resources.extend(layout.main.map(|main| -> Box<dyn Resource> {
            Box::new(RedisUsers {
                unit: layout.unit.to_owned(),
                main: main.to_owned(),
                own: layout.own.to_owned(),
                user: self.user.clone(),
                password: self.password.clone(),
            })
        }));
        resources.extend(self.memory.map(|most| -> Box<dyn Resource> { Box::new(MemoryLimit { server, most }) }));
        resources.extend::<Vec<Box<dyn Resource>>>(vec![Box::new(File {
            meta: meta(0o640),
            sensitive: true,
            ..File::new(layout.own, content)
        })]);
        resources.extend(layout.main.map(|main| -> Box<dyn Resource> {
            let include = KeyValue {
                path: main.to_owned(),
                format: KeyFormat::Space,
                key: "include".to_owned(),
                value: layout.own.to_owned(),
                repeat: true,
                sensitive: false,
                stage: Stage::Configure,
            };
            Box::new(Include { include, keys })
        }));
        resources.push(Box::new(Service {
            config: layout.main.into_iter().chain([layout.own]).map(Into::into).collect(),
            package: Some(layout.package.to_owned()),
            ready: Some(ready),
            ports: vec![self.port],
            outside: outside(&bind),
            bind,
            logs: vec![layout.log.into()],
            independent: true,
            ..Service::new(layout.unit)
        }));
        Ok(resources)
    }
}

impl Settings {
    fn config(&self, cx: &dyn Context, layout: &Redis, bind: &[IpAddr]) -> Result<String> {
        let unfit = |what: &str, advice: &str| {
            let message =
                format!("{what} is empty, longer than {PASSWORD_BYTES} bytes or has a control character in it");
            refused(cx, &message, advice)
        };
        let password = quoted("", &self.password).ok_or_else(|| unfit("'password'", "choose another password"))?;
        let login = match &self.user {
            None => format!("requirepass {password}"),
            Some(user) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
                if user.is_empty() || user == "default" || !user.bytes().all(plain) {
                    let message = format!("'{user}' cannot be the name of a user");
                    return Err(refused(
                        cx,
                        &message,
                        "take letters, digits, '_', '.' and '-', and another name than 'default'",
                    ));
                }
                let channels = match layout.users {
                    Users::None => {
                        let message = format!("'user' needs Redis 6, and {} has an older one", cx.facts().os_name);
                        return Err(refused(cx, &message, "leave 'user' out"));
                    }
                    Users::WithoutChannels => "",
                    Users::WithChannels => " allchannels",
                };
                let password = quoted(">", &self.password).unwrap_or(password);
                format!("user default off\nuser {user} on {password} allkeys{channels} +@all")
            }
        };
        let bind: Vec<String> = bind.iter().map(IpAddr::to_string).collect();
        let mut lines = vec![
            "# Written by surefoot: what is changed here is put back at its next run.".to_owned(),
            format!("bind {}", bind.join(" ")),
            format!("port {}", self.port),
            login,
        ];
        // What else is said by the package's own configuration.
        if layout.main.is_none() {
            let own = ["supervised auto".to_owned(), format!("dir {}", layout.data), format!("logfile {}", layout.log)];
            lines.extend(own);
        }
        lines.extend(self.set().into_iter().map(|(key, value)| format!("{key} {value}")));
        Ok(lines.join("\n") + "\n")
    }

    /// What is set and can be set in the running server, too.
    fn set(&self) -> Vec<(String, String)> {
        let log = |persistence| if persistence == Persistence::AppendOnly { "yes" } else { "no" };
        let set = [
            ("maxmemory", self.memory.map(|size| size.0.to_string())),
            ("maxmemory-policy", self.memory_policy.map(|policy| policy.word().to_owned())),
            ("appendonly", self.persistence.map(|persistence| log(persistence).to_owned())),
        ];
        set.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// `before` and the password as one word: in double quotes Redis takes a backslash off a quote and a backslash. None where it cannot be a
/// password.
fn quoted(before: &str, password: &str) -> Option<String> {
    if password.is_empty() || password.len() > PASSWORD_BYTES || password.chars().any(char::is_control) {
        return None;
    }
    Some(format!("\"{before}{}\"", password.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use distro::facts::Family;
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    const OWN: &str = "file /etc/redis/surefoot.conf";

    #[test]
    fn where_each_configuration_is_a_server_of_its_own() {
        let mut step = Step::new("redis");
        (step.facts.family, step.facts.base) = (Family::Suse, "sles".to_owned());
        let resources = step.expand::<Settings>(json!({"password": "x"})).unwrap();
        let expected = [
            "packages all",
            "directory /var/lib/redis/surefoot",
            "data_folder /var/lib/redis/surefoot",
            OWN,
            "service redis@surefoot.service",
        ];
        assert_eq!(names(&resources), expected);
        let own = wants(&resources, OWN);
        for line in ["supervised auto", "dir /var/lib/redis/surefoot", "logfile /var/log/redis/surefoot.log"] {
            assert!(own.contains(&format!("\n{line}\n")), "{own}");
        }
    }

    #[test]
    fn what_a_step_expands_to() {
        let step = Step::new("redis");
        let settings = json!({
            "password": "a \"b\\ %'", "memory": "256 MiB", "memory_policy": "allkeys_lru", "persistence": "append_only",
        });
        let resources = step.expand::<Settings>(settings).unwrap();
        let expected = [
            "packages all",
            "directory /var/lib/redis",
            "append_log /var/lib/redis",
            "redis_users /etc/redis/redis.conf",
            "memory_limit /var/lib/redis",
            OWN,
            "key_value /etc/redis/redis.conf include /etc/redis/surefoot.conf",
            "service redis-server.service",
        ];
        assert_eq!(names(&resources), expected);
        assert_eq!(
            wants(&resources, OWN),
            "file 0640 redis:redis\n\
             # Written by surefoot: what is changed here is put back at its next run.\n\
             bind 127.0.0.1 ::1\n\
             port 6379\n\
             requirepass \"a \\\"b\\\\ %'\"\n\
             maxmemory 268435456\n\
             maxmemory-policy allkeys-lru\n\
             appendonly yes\n"
        );
        assert_eq!(resources[7].ports()[0].number, 6379);
        assert!(!format!("{resources:?}").contains("%'"), "the password is not told");
    }

    #[test]
    fn a_user_in_place_of_the_default_one() {
        let settings = || json!({"password": "a \"b", "user": "app"});
        let mut step = Step::new("redis");
        for (base, version, wanted) in [
            ("debian", "12", Some("user default off\nuser app on \">a \\\"b\" allkeys allchannels +@all\n")),
            ("debian", "", Some("user default off\nuser app on \">a \\\"b\" allkeys allchannels +@all\n")),
            ("debian", "11", Some("user default off\nuser app on \">a \\\"b\" allkeys +@all\n")),
            ("ubuntu", "22.04", Some("user default off\nuser app on \">a \\\"b\" allkeys +@all\n")),
            ("ubuntu", "24.04", Some("user default off\nuser app on \">a \\\"b\" allkeys allchannels +@all\n")),
            ("ubuntu", "20.04", None),
            ("rhel", "8.10", None),
            ("rhel", "9.4", Some("user default off\nuser app on \">a \\\"b\" allkeys allchannels +@all\n")),
        ] {
            (step.facts.base, step.facts.base_version) = (base.into(), version.into());
            match (step.expand::<Settings>(settings()), wanted) {
                (Ok(resources), Some(wanted)) => assert!(wants(&resources, OWN).contains(wanted), "{base} {version}"),
                (Err(error), None) => assert!(error.to_string().contains("'user' needs Redis 6"), "{error}"),
                (found, _) => panic!("{base} {version}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_server_of_another_host_is_only_asked() {
        let settings = json!({"password": "hunter2", "external": "cache.example:6379"});
        let resources = Step::new("redis").expand::<Settings>(settings).unwrap();
        assert_eq!(names(&resources), ["login cache.example:6379"]);
        assert!(!format!("{resources:?}").contains("hunter2"), "the password is not told");
    }

    #[test]
    fn without_ipv6_only_ipv4() {
        let mut step = Step::new("redis");
        step.facts.ipv6 = false;
        let resources = step.expand::<Settings>(json!({"password": "x", "port": 6380})).unwrap();
        assert!(wants(&resources, OWN).contains("bind 127.0.0.1\nport 6380\n"));
    }

    #[test]
    fn passwords_that_cannot_be() {
        for password in ["", "a\nb", "a\tb", &"x".repeat(513)] {
            assert_eq!(quoted("", password), None, "{password}");
        }
        assert_eq!(quoted("", "x").as_deref(), Some("\"x\""));
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        let mut step = Step::new("redis");
        for (settings, wanted) in [
            (
                json!({"password": "a\nhunter2"}),
                "step 'redis': 'password' is empty, longer than 512 bytes or has a control character in it",
            ),
            (json!({"password": "x", "bind": []}), "step 'redis': 'bind' is an empty list"),
            (json!({"password": "x", "port": 0}), "step 'redis': there is no port 0"),
            (json!({"password": "x", "user": "default"}), "step 'redis': 'default' cannot be the name of a user"),
            (json!({"password": "x", "user": "a b"}), "step 'redis': 'a b' cannot be the name of a user"),
            (
                json!({"password": "x", "external": "cache"}),
                "step 'redis': 'external': 'cache' is not a host with a port",
            ),
        ] {
            let error = step.expand::<Settings>(settings).unwrap_err();
            assert_eq!(
                (distro::Fault::class_of(&error), error.to_string().as_str()),
                (distro::Class::Blueprint, wanted)
            );
        }
        step.facts.family = Family::Arch;
        let error = step.expand::<Settings>(json!({"password": "x"})).unwrap_err();
        assert_eq!(distro::Fault::class_of(&error), distro::Class::Unsupported);
    }
}
