//! What names and versions of packages may look like. They stand on command lines, where package managers take other words for more than a name.

use super::Manager;

impl Manager {
    /// Is `name` that of a package, and nothing that is read as a pattern, an option, a group, a file or a version?
    pub fn is_package_name(self, name: &str) -> bool {
        match self {
            Manager::Apt => is_debian_name(name),
            Manager::Dnf | Manager::Yum | Manager::Zypper => is_rpm_name(name),
        }
    }

    /// What such a name consists of, in words.
    pub fn package_names(self) -> &'static str {
        match self {
            Manager::Apt => "lower-case letters, digits and + - . only, at least two of them",
            Manager::Dnf | Manager::Yum | Manager::Zypper => {
                "letters, digits and + - . _ only, the first of them no + - or ."
            }
        }
    }

    /// Is `version` a version, or the beginning of some?
    pub fn is_package_version(self, version: &str) -> bool {
        let marks = match self {
            Manager::Apt => ".+-~:",
            Manager::Dnf | Manager::Yum | Manager::Zypper => ".+-~:^_",
        };
        let good = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
        version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(good)
    }
}

/// As Debian's policy has it (5.6.7), with `:arch` where it is a foreign one.
fn is_debian_name(name: &str) -> bool {
    let lower = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
    };
    let (name, architecture) = name.split_once(':').unwrap_or((name, "any"));
    let starts_well = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    // apt takes `name-` as "remove it" and `name+` as "install it" where there is no package of that name.
    name.len() >= 2
        && lower(name)
        && starts_well(name)
        && !name.ends_with('-')
        && lower(architecture)
        && starts_well(architecture)
}

/// rpm itself forbids little; these are the characters that distributions allow. A foreign architecture is `.arch`.
fn is_rpm_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // What ends so is looked for in the folder in which surefoot was called.
    let is_file = name.ends_with(".rpm");
    name.starts_with(plain) && name.chars().all(|c| plain(c) || "+-.".contains(c)) && !is_file
}

#[cfg(test)]
mod tests {
    use super::*;

    const RPM: [Manager; 3] = [Manager::Dnf, Manager::Yum, Manager::Zypper];

    #[test]
    fn names_of_packages() {
        for name in ["redis-server", "g++", "libc6:i386", "0ad", "python3.11"] {
            assert!(Manager::Apt.is_package_name(name), "{name}");
        }
        for name in ["", "a", "Redis", "-y", "a b", "a=1", "a/b", "a_b", "nginx-", "libc6:", "a\n", "ä1", "redis*"] {
            assert!(!Manager::Apt.is_package_name(name), "{name}");
        }
        for manager in RPM {
            for name in [
                "mod_ssl",
                "NetworkManager",
                "perl-DBI",
                "MariaDB-server",
                "R",
                "389-ds-base",
                "gtk+",
                "libstdc++.i686",
                "python3.11",
            ] {
                assert!(manager.is_package_name(name), "{name}");
            }
            for name in [
                "",
                "-y",
                "--nogpgcheck",
                "+a",
                ".a",
                "~a",
                "@core",
                "@^minimal",
                "redis*",
                "redi?",
                "redi[st]",
                "a b",
                "a=1",
                "a>1",
                "/usr/bin/redis",
                "a/b",
                "glibc:i686",
                "perl(DBI)",
                "a\n",
                "ä1",
                "redis.rpm",
                "a,b",
                "$a",
            ] {
                assert!(!manager.is_package_name(name), "{name}");
            }
        }
    }

    #[test]
    fn versions_of_packages() {
        for (version, with_apt, with_rpm) in [
            ("3.9", true, true),
            ("5:7.0.15-1~deb12u5", true, true),
            ("1.0~rc1^20240101git_abc-1.el9", false, true),
            ("7.2_1", false, true),
            ("", false, false),
            ("v1", false, false),
            ("1 2", false, false),
            ("1*", false, false),
            ("-1", false, false),
        ] {
            assert_eq!(Manager::Apt.is_package_version(version), with_apt, "{version}");
            assert!(RPM.iter().all(|manager| manager.is_package_version(version) == with_rpm), "{version}");
        }
    }
}
