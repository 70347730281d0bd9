//! PostgreSQL.

use crate::Facts;
use crate::facts::Family;

/// How a distribution has clusters of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postgresql {
    /// As Debian: each has a version and a name, and a folder below /etc; packages have the version in their name. The version of the
    /// distribution, where it is known.
    Versioned(Option<&'static str>),
    /// As Enterprise Linux: one, which is not there until somebody makes it, with its configuration among its data.
    Single,
}

impl Postgresql {
    /// That of a host; none where it is not known.
    pub fn of(facts: &Facts) -> Option<Self> {
        match facts.family {
            Family::Debian => Some(Postgresql::Versioned(version(facts))),
            _ => None,
        }
    }
}

/// The version that a release of a distribution has.
fn version(facts: &Facts) -> Option<&'static str> {
    Some(match (facts.base.as_str(), facts.base_version.as_str()) {
        ("debian", "10") => "11",
        ("debian", "11") => "13",
        ("debian", "12") => "15",
        ("debian", "13") => "17",
        ("ubuntu", "20.04") => "12",
        ("ubuntu", "22.04") => "14",
        ("ubuntu", "24.04") => "16",
        ("ubuntu", "25.04" | "25.10") => "17",
        _ => return None,
    })
}
