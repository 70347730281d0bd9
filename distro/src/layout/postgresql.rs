//! PostgreSQL.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;

use crate::Facts;
use crate::facts::Family;
use crate::failure::io_fault;

/// How a distribution has clusters of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postgresql {
    /// As Debian: each has a version and a name, and its package makes it. The version of the distribution, where it is known.
    Versioned(Option<&'static str>),
    /// As Enterprise Linux: one, known by its folder, and there when somebody made it.
    Single {
        /// Package of its server.
        package: &'static str,
        /// Its folder.
        folder: &'static str,
        /// Package of its extensions.
        extensions: &'static str,
    },
}

impl Postgresql {
    /// That of a host; none where it is not known.
    pub fn of(facts: &Facts) -> Option<Self> {
        if super::too_old(facts, "postgresql").is_some() {
            return None;
        }
        match facts.family {
            Family::Debian => Some(Postgresql::Versioned(version(facts))),
            Family::RedHat => {
                // Amazon has several versions side by side in its repositories, and this one in all of them.
                let (package, extensions) = match facts.base.as_str() {
                    "amzn" => ("postgresql15-server", "postgresql15-contrib"),
                    _ => ("postgresql-server", "postgresql-contrib"),
                };
                Some(Postgresql::Single { package, folder: "/var/lib/pgsql/data", extensions })
            }
            Family::Suse => Some(Postgresql::Single {
                package: "postgresql-server",
                folder: "/var/lib/pgsql/data",
                extensions: "postgresql-contrib",
            }),
            _ => None,
        }
    }

    /// Package of the server of a cluster of that version.
    pub fn package(&self, version: &str) -> String {
        match self {
            Postgresql::Versioned(_) => format!("postgresql-{version}"),
            Postgresql::Single { package, .. } => (*package).to_owned(),
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
        ("debian", "14") => "18",
        ("ubuntu", "16.04") => "9.5",
        ("ubuntu", "20.04") => "12",
        ("ubuntu", "22.04") => "14",
        ("ubuntu", "24.04" | "24.10") => "16",
        ("ubuntu", "25.04" | "25.10") => "17",
        ("ubuntu", "26.04") => "18",
        _ => return None,
    })
}

/// Where a cluster has what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its unit.
    pub unit: String,
    /// Folder of its configuration.
    pub folder: String,
    /// File of ours that its configuration includes.
    pub own: String,
    /// Does its configuration include that by itself?
    pub includes_own: bool,
    /// Is it older than 10? Such a one keeps passwords as MD5, knows no SCRAM, and cannot be asked what it thinks of its pg_hba.conf.
    pub before_scram: bool,
    /// Folder of its programs.
    pub programs: String,
    /// Where its log is: a file, or a folder.
    pub log: String,
    /// Folder of its data, where its configuration names no other.
    pub data: String,
}

impl Cluster {
    /// The cluster `name` of a version; where there is none, `name` is its folder.
    pub fn of(version: &str, name: &str) -> Self {
        if version.is_empty() {
            return Self {
                unit: "postgresql.service".to_owned(),
                folder: name.to_owned(),
                own: format!("{name}/surefoot.conf"),
                includes_own: false,
                before_scram: false,
                programs: "/usr/bin".to_owned(),
                log: format!("{name}/log"),
                data: name.to_owned(),
            };
        }
        let folder = format!("/etc/postgresql/{version}/{name}");
        // Of these the second number is part of the major version.
        let before_scram = version.starts_with("9.");
        Self {
            unit: format!("postgresql@{version}-{name}.service"),
            own: format!("{folder}{}/surefoot.conf", if before_scram { "" } else { "/conf.d" }),
            includes_own: !before_scram,
            before_scram,
            folder,
            programs: format!("/usr/lib/postgresql/{version}/bin"),
            log: format!("/var/log/postgresql/postgresql-{version}-{name}.log"),
            data: format!("/var/lib/postgresql/{version}/{name}"),
        }
    }
}

/// Clusters of the version that Debian's `package` is the server of, as `15/main`: its purge drops them all, whoever made them. `root` is
/// where /etc is, normally `/`.
///
/// # Errors
/// Where their folder cannot be read.
pub(crate) fn clusters_of_package(root: &Path, package: &str) -> Result<Vec<String>> {
    let plain = package.split_once(':').map_or(package, |(plain, _)| plain);
    let version = plain.strip_prefix("postgresql-").unwrap_or_default();
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Ok(Vec::new());
    }
    let folder = root.join("etc/postgresql").join(version);
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_fault(&error, "list", &folder).into()),
    };
    let mut clusters = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_fault(&error, "list", &folder))?;
        clusters.push(format!("{version}/{}", entry.file_name().to_string_lossy()));
    }
    clusters.sort();
    Ok(clusters)
}

/// The folder of the data of the only cluster, where `text` names one: the lines of its unit, of drop-ins and of the files of its environment,
/// one after the other. SUSE's script takes `POSTGRES_DATADIR`, others `PGDATA`.
pub fn data_folder(text: &str) -> Option<String> {
    let (mut general, mut of_suse) = (None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let line = line.strip_prefix("Environment=").unwrap_or(line);
        for word in line.split_whitespace().map(|word| word.trim_matches(['"', '\''])) {
            let Some((name, value)) = word.split_once('=') else { continue };
            let value = value.trim_matches(['"', '\'']).replace("~postgres/", "/var/lib/pgsql/");
            match name {
                "PGDATA" => general = Some(value),
                "POSTGRES_DATADIR" => of_suse = Some(value),
                _ => {}
            }
        }
    }
    of_suse.or(general).filter(|folder| folder.starts_with('/'))
}
