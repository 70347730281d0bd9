//! Which distribution a host runs.

use serde::{Deserialize, Serialize};

/// A distribution release that the lab can boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Debian 11.
    Bullseye,
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
    /// A stand-in: Debian 12 whose os-release says Ubuntu 22.04. Its packages, and its apt sources, are Debian's.
    Ubuntu,
    /// The same, saying Ubuntu 20.04.
    Focal,
    /// A stand-in: Debian 11 whose os-release says Ubuntu 16.04, and whose `systemctl` gives starts no names, as that one's.
    Xenial,
    /// A stand-in: Debian 12 with dnf and rpm, whose os-release says Rocky Linux 9. What rpm installs is Debian's, laid out as there.
    El9,
    /// The same, saying Rocky Linux 8.
    El8,
    /// A stand-in: the same with a stand-in for yum 3.4 in the place of dnf, saying CentOS 7.
    El7,
    /// A stand-in: Debian 13 with dnf and rpm, whose os-release says AlmaLinux 10.
    El10,
    /// The same, saying Amazon Linux 2023.
    Amazon,
    /// A stand-in: Debian 13 with dnf 5 and rpm 6 of the Debian after it, whose os-release says Fedora 43.
    Fedora,
    /// A stand-in: Debian 12 with zypper and rpm, whose os-release says openSUSE Leap 15.6.
    Leap,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Bullseye,
        Self::Bookworm,
        Self::Trixie,
        Self::Ubuntu,
        Self::Focal,
        Self::Xenial,
        Self::El9,
        Self::El8,
        Self::El7,
        Self::El10,
        Self::Amazon,
        Self::Fedora,
        Self::Leap,
    ];

    /// The name used on the command line and in file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Ubuntu => "ubuntu",
            Self::Focal => "focal",
            Self::Xenial => "xenial",
            Self::El9 => "el9",
            Self::El8 => "el8",
            Self::El7 => "el7",
            Self::El10 => "el10",
            Self::Amazon => "amazon",
            Self::Fedora => "fedora",
            Self::Leap => "leap",
        }
    }

    /// The codename that it says it has.
    #[must_use]
    pub fn codename(self) -> &'static str {
        match self {
            Self::Ubuntu => "jammy",
            other if other.has_rpm() => "",
            other => other.name(),
        }
    }

    /// Are its packages RPM?
    #[must_use]
    pub fn has_rpm(self) -> bool {
        matches!(self, Self::El7 | Self::El8 | Self::El9 | Self::El10 | Self::Amazon | Self::Fedora | Self::Leap)
    }

    /// The Debian suite whose packages it is made of.
    #[must_use]
    pub fn debian(self) -> &'static str {
        match self {
            Self::Ubuntu | Self::Focal => Self::Bookworm.name(),
            Self::Xenial => Self::Bullseye.name(),
            Self::El10 | Self::Fedora => Self::Trixie.name(),
            other if other.has_rpm() => Self::Bookworm.name(),
            other => other.name(),
        }
    }
}

impl std::str::FromStr for Suite {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|suite| suite.name() == text)
            .ok_or_else(|| anyhow::anyhow!("unknown suite {text:?}: known are {}", known()))
    }
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
