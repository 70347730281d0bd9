//! A stand-in for MongoDB, whose server no reachable repository has: PyPI's SecantusDB, which speaks its protocol, behind the names of the
//! vendor's package, program, unit and configuration file. What it shows is said of the stand-in, never of MongoDB.

use crate::{place, repo::Package, repo::Repo, repo::Signature, rpm, rpm::RpmRepo, suite::Suite, tool, web::Web};
use anyhow::{Context, Result};
use std::{fs, path::PathBuf};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mongodb/mongod");
/// The vendor's packaged configuration file, as far as it matters here.
const CONFIG: &str = "\
# mongod.conf

# Where and how to store data.
storage:
  dbPath: /var/lib/mongodb
#  engine:
#  wiredTiger:

# where to write logging data.
systemLog:
  destination: file
  logAppend: true
  path: /var/log/mongodb/mongod.log

# network interfaces
net:
  port: 27017
  bindIp: 127.0.0.1


# how the process runs
processManagement:
  timeZoneInfo: /usr/share/zoneinfo

#security:

#operationProfiling:
";

const UNIT: &str = "\
[Unit]
Description=MongoDB Database Server
After=network-online.target
Wants=network-online.target

[Service]
User=mongodb
Group=mongodb
ExecStart=/usr/bin/mongod --config /etc/mongod.conf
RuntimeDirectory=mongodb

[Install]
WantedBy=multi-user.target
";

/// As the vendor's: it makes the user and the folders, and leaves the service alone.
const POSTINST: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ]; then
    getent passwd mongodb >/dev/null || useradd --system --user-group --home-dir /home/mongodb --no-create-home --shell /usr/sbin/nologin mongodb
    install -d -o mongodb -g mongodb -m 0755 /var/lib/mongodb /var/log/mongodb
    test -e /var/log/mongodb/mongod.log || install -o mongodb -g mongodb -m 0600 /dev/null /var/log/mongodb/mongod.log
    python3 -m compileall -q /usr/lib/mongodb-stand-in || true
    if [ -d /run/systemd/system ]; then systemctl --system daemon-reload; fi
fi
"#;

const PRERM: &str = r#"#!/bin/sh
set -e
if [ -d /run/systemd/system ] && [ "$1" = remove ]; then deb-systemd-invoke stop mongod.service || true; fi
find /usr/lib/mongodb-stand-in -name __pycache__ -prune -exec rm -rf {} +
"#;

/// Series of the server that it says it is.
pub const SERIES: &str = "7.0";

/// The package `mongodb-org-server`.
///
/// # Errors
/// When PyPI does not give its parts.
pub fn package(suite: Suite) -> Result<Package> {
    let program = fs::read(PROGRAM)?;
    Package::new("mongodb-org-server", "7.0.14")
        .field("Depends", "python3, libpython3-stdlib")
        .file("/etc/mongod.conf", CONFIG, 0o644)
        .file("/lib/systemd/system/mongod.service", UNIT, 0o644)
        .file("/usr/bin/mongod", program, 0o755)
        .script("postinst", POSTINST)
        .script("prerm", PRERM)
        .tree("/usr/lib/mongodb-stand-in", &parts(suite)?)
}

/// A repository with its package for Enterprise Linux, whose layout is another.
///
/// # Errors
/// When it cannot be made.
pub fn rpm_repository(suite: Suite) -> Result<RpmRepo> {
    let (tree, built) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let inside = |path: &str| tree.path().join(path);
    for folder in ["etc", "usr/bin", "usr/lib"] {
        fs::create_dir_all(inside(folder))?;
    }
    fs::write(inside("etc/mongod.conf"), CONFIG.replace("/var/lib/mongodb", "/var/lib/mongo"))?;
    tool::tool("cp", ["-a".as_ref(), parts(suite)?.as_os_str(), inside("usr/lib/mongodb-stand-in").as_os_str()])?;
    let program =
        fs::read_to_string(PROGRAM)?.replacen("/usr/bin/python3", &format!("/usr/bin/python{}", python(suite)), 1);
    fs::write(inside("usr/bin/mongod"), program)?;
    rpm::build(include_str!("../data/el9/mongodb-org.spec"), &[], tree.path(), built.path())?;
    RpmRepo::of(&[built.path().to_owned()], Signature::Right, Signature::Right)
}

/// A repository with it, laid out as the vendor's.
///
/// # Errors
/// When it cannot be made.
pub fn repository(suite: Suite) -> Result<Repo> {
    let component = if matches!(suite, Suite::Ubuntu | Suite::Focal) { "multiverse" } else { "main" };
    Repo::laid_out(&format!("{}/mongodb-org/{SERIES}", suite.codename()), component, &[package(suite)?])
}

/// The Python of the suite that it is built for.
fn python(suite: Suite) -> &'static str {
    match suite.debian() {
        "trixie" => "3.13",
        "bullseye" => "3.9",
        _ => "3.11",
    }
}

/// A folder with SecantusDB for that Python, fetched once.
pub(crate) fn parts(suite: Suite) -> Result<PathBuf> {
    let python = python(suite);
    place::cached(&format!("secantusdb-{python}"), |fresh| {
        let target = fresh.display().to_string();
        let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"];
        // SecantusDB itself is not for the oldest of them, on which MongoDB is always another host's.
        let server: &[&str] = if python == "3.9" { &[] } else { &["secantusdb"] };
        let client = ["--python-version", python, "--target", &target, "pymongo", "dnspython", "python-dateutil"];
        let what = client.iter().chain(server).copied();
        tool::tool("python3", pip.into_iter().chain(what))
            .context("SecantusDB, the stand-in for MongoDB, cannot be had")?;
        for part in ["bin", "secantus/admin", "secantus/opsboard", "secantus/sql"] {
            let _ = fs::remove_dir_all(fresh.join(part));
        }
        Ok(())
    })
}

/// The vendor's repository and its key, served as the vendor does, by the lab's address.
pub struct Vendor {
    /// Who serves it: the repository at `/apt`, the key at `/key/server.asc`.
    pub web: Web,
    /// The repository.
    pub repo: Repo,
    key: tempfile::TempDir,
}

impl Vendor {
    /// Makes and serves it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn start(suite: Suite) -> Result<Self> {
        let vendor = Self { web: Web::start()?, repo: repository(suite)?, key: tempfile::tempdir()? };
        fs::write(vendor.key.path().join("server.asc"), vendor.repo.key())?;
        vendor.web.serve("/apt", vendor.repo.folder());
        vendor.web.serve("/key", vendor.key.path());
        Ok(vendor)
    }
}
