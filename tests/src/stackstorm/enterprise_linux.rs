//! The stand-ins for StackStorm's packages as RPM, and the vendors' repositories for Enterprise Linux.

use super::{PASSWORD, VERSION, packages};
use crate::{Suite, base, host::Host, mongodb, repo::Package, repo::Signature, rpm, rpm::RpmRepo, web::Web};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is offered besides the newest version.
const OLDER: &str = "3.8.1-2";

/// Builds `package`, a Debian one, as RPM into `folder`: the same files, where Enterprise Linux has them.
fn build(package: &Package, folder: &Path) -> Result<()> {
    let (name, version) = package.identity();
    let (number, revision) = version.split_once('-').context("a version has no revision")?;
    let tree = package.unpacked()?;
    let inside = |path: &str| tree.path().join(path);
    if inside("lib").exists() {
        fs::create_dir_all(inside("usr/lib"))?;
        fs::rename(inside("lib/systemd"), inside("usr/lib/systemd"))?;
        fs::remove_dir(inside("lib"))?;
        let mut command = Command::new("sed");
        command.args(["-i", "s|/etc/default/|/etc/sysconfig/|"]);
        for unit in fs::read_dir(inside("usr/lib/systemd/system"))? {
            command.arg(unit?.path());
        }
        crate::tool::output(&mut command)?;
    }
    let macros = [format!("package {name}"), format!("number {number}"), format!("revision {revision}")];
    let macros = macros.iter().map(String::as_str).collect::<Vec<_>>();
    rpm::build(include_str!("../../data/stackstorm/package.spec"), &macros, tree.path(), folder).map(drop)
}

/// The vendors' repositories, and the distribution's own, with a server for all of them.
#[derive(Debug)]
pub struct RpmVendors {
    /// The server.
    pub web: Web,
    suite: Suite,
    distribution: RpmRepo,
    /// Each with the name of the vendor's server.
    vendors: [(&'static str, RpmRepo); 4],
}

impl RpmVendors {
    /// Starts it.
    ///
    /// # Errors
    /// When a package cannot be made.
    pub fn start(suite: Suite) -> Result<Self> {
        let built = tempfile::tempdir()?;
        let (st2, node) = (built.path().join("st2"), built.path().join("node"));
        for folder in [&st2, &node] {
            fs::create_dir(folder)?;
        }
        for version in [OLDER, VERSION] {
            for package in packages(suite, version)? {
                build(&package, &st2)?;
            }
        }
        let program = Package::new("nodejs", "20.19.0-1nodesource").file("/usr/bin/node", "#!/bin/sh\nexit 1\n", 0o755);
        build(&program, &node)?;
        let own = |names: &[&str]| RpmRepo::new(names, Signature::Right, Signature::Right);
        let made = |folder: PathBuf| RpmRepo::of(&[folder], Signature::Right, Signature::Right);
        let vendors = [
            ("packagecloud.io", made(st2)?),
            ("repo.mongodb.org", mongodb::rpm_repository(suite)?),
            ("yum1.rabbitmq.com", own(&["rabbitmq-server"])?),
            ("rpm.nodesource.com", made(node)?),
        ];
        let (web, distribution) = (Web::start()?, own(&base::own_packages(suite))?);
        web.serve("/distribution", distribution.folder());
        // What vendors build for nobody else has to do for the others.
        let release = if suite == Suite::El8 { 8 } else { 9 };
        let of_mongodb = if suite == Suite::Amazon { "amazon/2023".to_owned() } else { format!("redhat/{release}") };
        for (server, path) in [
            ("packagecloud.io", format!("StackStorm/stable/el/{release}/x86_64")),
            ("repo.mongodb.org", format!("yum/{of_mongodb}/mongodb-org/7.0/x86_64")),
            ("yum1.rabbitmq.com", format!("erlang/el/{release}/x86_64")),
            ("yum1.rabbitmq.com", format!("rabbitmq/el/{release}/noarch")),
            ("rpm.nodesource.com", "pub_20.x/nodistro/nodejs/x86_64".to_owned()),
        ] {
            let repo = vendors.iter().find(|vendor| vendor.0 == server).map(|vendor| &vendor.1);
            web.serve(&format!("/{server}/{path}"), repo.context("no such server")?.folder());
        }
        for (server, repo) in &vendors {
            fs::write(repo.folder().join("key"), repo.key())?;
            web.serve(&format!("/keys/{server}"), repo.folder());
        }
        Ok(Self { web, suite, distribution, vendors })
    }

    /// A host with the distribution's repository and what each of its servers has; and in /root, answers with ChatOps, and a mirrors file
    /// that puts this server in the vendors' place, and changes nothing else of their addresses.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn host(&self) -> Result<Host> {
        let (host, url) = (super::fresh(self.suite)?.host().boot()?, self.web.url());
        host.install_binary()?;
        let key = "/etc/pki/rpm-gpg/RPM-GPG-KEY-appstream";
        host.write(key, self.distribution.key(), 0o644)?;
        let definition =
            format!("[appstream]\nname=appstream\nbaseurl={url}/distribution\ngpgcheck=1\ngpgkey=file://{key}\n");
        host.write("/etc/yum.repos.d/appstream.repo", definition, 0o644)?;
        host.sh(&format!("rpm --import {key}; dnf -q makecache"))?;
        let mirrors = self.vendors.iter().map(|(server, repo)| {
            format!(
                "[[mirror]]\nof = 'https://{server}'\nurl = '{url}/{server}'\nkey = '{url}/keys/{server}/key'\nfingerprints = ['{}']\n",
                repo.fingerprint()
            )
        });
        host.write("/root/mirrors.toml", mirrors.collect::<String>(), 0o600)?;
        let answers = format!(
            "st2_fingerprint = '{}'\nworkers = '2'\npassword = '''{PASSWORD}'''\nchatops = 'slack'\nslack_bot_token = 'xoxb-1'\n\
             slack_app_token = 'xapp-1'\n",
            self.vendors[0].1.fingerprint()
        );
        host.write("/root/answers.toml", answers, 0o600)?;
        Ok(host)
    }
}
