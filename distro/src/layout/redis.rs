//! Redis.

use crate::Facts;
use crate::facts::Family;

/// Where a distribution has Redis.
#[derive(Clone, Copy, Debug)]
pub struct Redis {
    /// Package.
    pub package: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Its configuration file.
    pub main: &'static str,
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
        let debian = Self {
            package: "redis-server",
            unit: "redis-server.service",
            main: "/etc/redis/redis.conf",
            own: "/etc/redis/surefoot.conf",
            user: "redis",
            log: "/var/log/redis/redis-server.log",
            data: "/var/lib/redis",
            purged: true,
            users: users(facts),
        };
        match facts.family {
            Family::Debian => Some(debian),
            Family::RedHat => Some(Self {
                package: "redis",
                unit: "redis.service",
                log: "/var/log/redis/redis.log",
                purged: false,
                ..debian
            }),
            _ => None,
        }
    }
}

fn users(facts: &Facts) -> Users {
    let version = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next().flatten().unwrap_or(0)))
    };
    match (facts.base.as_str(), version(&facts.base_version)) {
        ("debian", Some((..11, _))) | ("ubuntu", Some((..21, _))) => Users::None,
        ("debian", Some((11, _))) | ("ubuntu", Some((..23, ..))) => Users::WithoutChannels,
        _ => Users::WithChannels,
    }
}
