//! MongoDB, from its vendor's packages.

use crate::Facts;
use crate::facts::Family;

/// Where a distribution has MongoDB.
#[derive(Clone, Copy, Debug)]
pub struct Mongodb {
    /// Folder of its data.
    pub data: &'static str,
}

impl Mongodb {
    /// That of a host; none where it is not known.
    pub fn of(facts: &Facts) -> Option<Self> {
        match facts.family {
            Family::Debian => Some(Self { data: "/var/lib/mongodb" }),
            Family::RedHat | Family::Suse => Some(Self { data: "/var/lib/mongo" }),
            _ => None,
        }
    }
}
