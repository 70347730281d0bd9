//! Redis.

use crate::Facts;
use crate::facts::Family;

/// Where a distribution has Redis, or Valkey, which took its place there and understands what it does.
#[derive(Clone, Copy, Debug)]
pub struct Redis {
    /// Package.
    pub package: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Its configuration file; none where the package brings a unit for each configuration that somebody makes, and ours is one of them.
    pub main: Option<&'static str>,
    /// Ours, which that one includes. One for all products: two that want it to be different are in conflict.
    pub own: &'static str,
    /// User and group that it works as.
    pub user: &'static str,
    /// Its log.
    pub log: &'static str,
    /// Folder of its data.
    pub data: &'static str,
    /// Do the data go with the package when it is purged?
    pub purged: bool,
    /// Which users it knows.
    pub users: Users,
}

/// What users a Redis knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// None: it is older than 6.
    None,
    /// Users whose rights do not speak of channels: 6.0.
    WithoutChannels,
    /// Users that may use no channel unless it is said: 6.2 and later.
    WithChannels,
}

impl Redis {
    /// That of a host; none where it is not known.
    pub fn of(facts: &Facts) -> Option<Self> {
        if super::too_old(facts, "redis").is_some() {
            return None;
        }
        let debian = Self {
            package: "redis-server",
            unit: "redis-server.service",
            main: Some("/etc/redis/redis.conf"),
            own: "/etc/redis/surefoot.conf",
            user: "redis",
            log: "/var/log/redis/redis-server.log",
            data: "/var/lib/redis",
            purged: true,
            users: users(facts),
        };
        let red_hat =
            Self { package: "redis", unit: "redis.service", log: "/var/log/redis/redis.log", purged: false, ..debian };
        match (facts.family, facts.base.as_str(), major(facts)) {
            (Family::Debian, ..) => Some(debian),
            // The stream of the module that is switched on where nobody chose one.
            (Family::RedHat, "rhel", Some(..=8)) => {
                Some(Self { main: Some("/etc/redis.conf"), own: "/etc/redis-surefoot.conf", ..red_hat })
            }
            (Family::RedHat, "rhel", Some(10..)) | (Family::RedHat, "fedora", _) => Some(Self {
                package: "valkey",
                unit: "valkey.service",
                main: Some("/etc/valkey/valkey.conf"),
                own: "/etc/valkey/surefoot.conf",
                user: "valkey",
                log: "/var/log/valkey/valkey.log",
                data: "/var/lib/valkey",
                ..red_hat
            }),
            (Family::RedHat, "amzn", _) => Some(Self {
                package: "redis6",
                unit: "redis6.service",
                main: Some("/etc/redis6/redis6.conf"),
                own: "/etc/redis6/surefoot.conf",
                user: "redis6",
                log: "/var/log/redis6/redis6.log",
                data: "/var/lib/redis6",
                ..red_hat
            }),
            (Family::RedHat, ..) => Some(red_hat),
            (Family::Suse, ..) => Some(Self {
                unit: "redis@surefoot.service",
                main: None,
                log: "/var/log/redis/surefoot.log",
                data: "/var/lib/redis/surefoot",
                ..red_hat
            }),
            _ => None,
        }
    }
}

fn major(facts: &Facts) -> Option<u32> {
    facts.base_version.split('.').next()?.parse().ok()
}

fn users(facts: &Facts) -> Users {
    let version = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next().flatten().unwrap_or(0)))
    };
    match (facts.base.as_str(), version(&facts.base_version)) {
        ("debian", Some((..11, _))) | ("ubuntu", Some((..21, _))) | ("rhel", Some((..=8, _))) => Users::None,
        ("debian", Some((11, _))) | ("ubuntu", Some((..23, ..))) => Users::WithoutChannels,
        _ => Users::WithChannels,
    }
}
