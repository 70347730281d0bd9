//! What goes wrong with dnf on hosts that somebody has cared for, and what is said of it. On the stand-in for Enterprise Linux 9.

use anyhow::{Result, ensure};
use lab::{
    Host, Suite,
    repo::Signature,
    rpm::RpmRepo,
    run::ensure_said,
    web::{Answer, Web},
};
use std::fs;

/// Redis of a repository that the host has.
const BLUEPRINT: &str = "schema = 1\nsurefoot = \">= 0.1\"\n\n[product]\nname = \"cache\"\ntitle = \"A cache\"\nversion = \"1.0\"\n\n\
     [[step]]\nid = \"redis\"\nkind = \"redis\"\npassword = \"a password\"\n";
const KEY: &str = "/etc/pki/rpm-gpg/RPM-GPG-KEY-appstream";
/// A module of which a stream without this Redis is switched on, and one with it is not.
fn modules() -> String {
    let stream = |stream: &str, context: &str, redis: &str| {
        format!(
            "---\ndocument: modulemd\nversion: 2\ndata:\n  name: redis\n  stream: \"{stream}\"\n  version: 1\n  context: {context}\n  \
             arch: x86_64\n  summary: Redis\n  description: Redis\n  license:\n    module: [MIT]\n  artifacts:\n    rpms:\n    \
             - redis-0:{redis}.el9.x86_64\n...\n"
        )
    };
    let default = "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: redis\n  stream: \"5\"\n...\n";
    stream("5", "abcdef01", "5.0.3-1") + &stream("7", "abcdef02", "7.0.15-1") + default
}

const PLUGINS: &str = "/usr/lib/python3/dist-packages/dnf-plugins";
/// What subscription-manager's own plugin says on a host that is not registered, by a stand-in for it.
const UNREGISTERED: &str = "import logging, dnf\n\nclass Plugin(dnf.Plugin):\n    name = 'subscription-manager'\n\n    def config(self):\n        \
    logging.getLogger('dnf.plugin.subscription-manager').info(\n            '\\nThis system is not registered with an entitlement server. \
    You can use \"rhc\" or \"subscription-manager\" to register.\\n')\n";

/// A host with `own` in its only repository, and the blueprint.
fn host(own: &str, repo: &RpmRepo) -> Result<Host> {
    let host = Host::boot(Suite::El9)?;
    host.install_binary()?;
    host.write("/root/cache/blueprint.toml", BLUEPRINT, 0o644)?;
    host.write(KEY, repo.key(), 0o644)?;
    host.write("/etc/yum.repos.d/appstream.repo", own, 0o644)?;
    host.sh(&format!("rpm --import {KEY}; dnf -q makecache"))?;
    Ok(host)
}

/// The definition of a repository at `address`.
fn definition(address: &str) -> String {
    format!("[appstream]\nname=appstream\n{address}\ngpgcheck=1\ngpgkey=file://{KEY}\n")
}

/// The card of an install that fails.
fn card(host: &Host) -> Result<String> {
    let args = ["surefoot", "install", "/root/cache", "--yes"];
    let output = host.run(args).env("SUREFOOT_LOCK_TIMEOUT", "1").output()?;
    ensure!(!output.success(), "installed:\n{}", output.stderr);
    Ok(host.surefoot("why")?.stdout.replace(['|', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn what_is_wrong_with_dnf_is_on_the_card() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    web.serve("/own", repo.folder());
    let own = definition(&format!("baseurl={}/own", web.url()));
    let host = host(&own, &repo)?;

    // Each with what it is mended by.
    for (broken, says, mended) in [
        (
            "sleep 600 & echo $! >/var/cache/dnf/metadata_lock.pid",
            &["'sleep' (pid ", "class locked"][..],
            "kill $(cat /var/cache/dnf/metadata_lock.pid)",
        ),
        (
            "echo excludepkgs=redis >>/etc/dnf/dnf.conf",
            &[
                "filtered out by exclude filtering for argument: redis",
                "'excludepkgs' in /etc/dnf/dnf.conf",
                "class package",
            ],
            "sed -i /^excludepkgs/d /etc/dnf/dnf.conf",
        ),
        (
            "cp -a /var/lib/rpm /root/rpm && rpm -e --nodeps rocky-release",
            &[
                "nothing provides shadow-utils needed by redis",
                "`dnf config-manager --set-enabled crb`",
                "class package",
            ],
            "rm -r /var/lib/rpm && mv /root/rpm /var/lib/rpm",
        ),
    ] {
        host.sh(broken)?;
        let card = card(&host)?;
        ensure!(says.iter().all(|words| card.contains(words)), "{says:?} after {broken}:\n{card}");
        host.sh(mended)?;
    }
    host.write(&format!("{PLUGINS}/subscription-manager.py"), UNREGISTERED, 0o644)?;
    host.sh("mv /etc/yum.repos.d/appstream.repo /root")?;
    let unregistered = card(&host)?;
    let says = ["is not registered with an entitlement server", "`subscription-manager register`", "class repository"];
    ensure!(says.iter().all(|words| unregistered.contains(words)), "{unregistered}");
    host.sh(&format!("rm {PLUGINS}/subscription-manager.py; mv /root/appstream.repo /etc/yum.repos.d"))?;

    repo.modules(&modules())?;
    host.sh("dnf -q clean all && dnf -q makecache")?;
    let filtered = card(&host)?;
    ensure!(
        filtered.contains("modular filtering for argument: redis") && filtered.contains("`dnf module list`"),
        "{filtered}"
    );
    fs::write(repo.folder().join("mirrors"), "")?;
    let empty = definition(&format!("mirrorlist={}/own/mirrors", web.url()));
    host.write("/etc/yum.repos.d/appstream.repo", empty, 0o644)?;
    host.sh("dnf -q clean all")?;
    let gone = card(&host)?;
    let says = ["No URLs in mirrorlist", "has no mirrors of this release any more", "class repository"];
    ensure!(says.iter().all(|words| gone.contains(words)), "{gone}");

    // Of a blueprint's own repository nothing is filtered.
    host.write("/etc/yum.repos.d/appstream.repo", own, 0o644)?;
    let url = format!("{}/own", web.url());
    let step = format!(
        "\n[[step]]\nid = \"lab\"\nkind = \"repository\"\nuris = [\"{url}\"]\nkey = \"lab.asc\"\nfingerprints = [\"{}\"]\n",
        repo.fingerprint()
    );
    host.write("/root/cache/files/lab.asc", repo.key(), 0o644)?;
    host.write("/root/cache/blueprint.toml", format!("{BLUEPRINT}{step}"), 0o644)?;
    host.surefoot("install /root/cache --yes")?.ok()?;
    assert_eq!(host.sh("systemctl is-active redis")?, "active");
    Ok(())
}

#[test]
fn a_dead_repository_of_somebody_else_harms_nobody() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    web.serve("/own", repo.folder());
    let host = host(&definition(&format!("baseurl={}/own", web.url())), &repo)?;
    let dead = format!("[panel]\nname=panel\nbaseurl={}/nowhere\nenabled=1\ngpgcheck=1\n", web.url());
    host.write("/etc/yum.repos.d/panel.repo", dead, 0o644)?;
    host.sh("dnf -q clean all")?;
    let done = host.surefoot("install /root/cache --yes")?.ok()?;
    ensure_said(&done, "a repository that is not ours fails: ")?;
    ensure_said(&done, "'panel'")?;
    assert_eq!(host.install("/root/cache")?.changed, 0);

    // Nothing comes from another repository while one of the blueprint's own fails.
    host.surefoot("uninstall cache --purge --yes")?.ok()?;
    web.serve("/lab", repo.folder());
    let step = format!(
        "\n[[step]]\nid = \"lab\"\nkind = \"repository\"\nuris = [\"{}/lab\"]\nkey = \"lab.asc\"\nfingerprints = [\"{}\"]\n",
        web.url(),
        repo.fingerprint()
    );
    host.write("/root/cache/files/lab.asc", repo.key(), 0o644)?;
    host.write("/root/cache/blueprint.toml", format!("{BLUEPRINT}{step}"), 0o644)?;
    host.surefoot("install /root/cache --yes")?.ok()?;
    host.sh("rpm -e --nodeps redis && find /var/cache/dnf -exec touch -d '10 days ago' {} +")?;
    web.answer("/lab", Answer::Status(503));
    let endpoint = format!("endpoint {}", web.url().trim_start_matches("http://"));
    let refused = host.exec(["surefoot", "install", "/root/cache", "--yes", "--ignore", &endpoint])?.code_is(20)?;
    for words in ["for repo 'lab'", "Status code: 503"] {
        ensure_said(&refused, words)?;
    }
    web.behave();
    host.surefoot("install --resume --yes")?.ok()?;

    // One that nothing can be had without is told.
    host.surefoot("uninstall cache --purge --yes")?.ok()?;
    host.write("/root/cache/blueprint.toml", BLUEPRINT, 0o644)?;
    host.sh("dnf -q clean all && rm /etc/yum.repos.d/appstream.repo")?;
    let told = card(&host)?;
    ensure!(told.contains("panel") && told.contains("404"), "{told}");
    Ok(())
}

#[test]
fn a_module_has_the_stream_that_is_asked_for() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    web.serve("/own", repo.folder());
    repo.modules(&modules())?;
    let host = host(&definition(&format!("baseurl={}/own", web.url())), &repo)?;
    let step = "\n[[step]]\nid = \"stream\"\nkind = \"module\"\nname = \"redis\"\nstream = \"7\"\n";
    host.write("/root/cache/blueprint.toml", format!("{BLUEPRINT}{step}"), 0o644)?;
    // What somebody has chosen is not changed under what is installed.
    host.sh("dnf -q -y module enable redis:5")?;
    let chosen = card(&host)?;
    let says = ["has its stream '5' switched on, and '7' is wanted", "`dnf module reset redis`", "class conflict"];
    ensure!(says.iter().all(|words| chosen.contains(words)), "{chosen}");
    host.sh("dnf -q -y module reset redis && dnf -q -y module disable redis")?;

    host.surefoot("install /root/cache --yes")?.ok()?;
    assert_eq!(
        host.sh("systemctl is-active redis; dnf -q module list --enabled | grep -c '^redis *7 \\[e\\]'")?,
        "active\n1"
    );
    ensure_said(&host.surefoot("install /root/cache --yes")?.ok()?, " in place, 0 changed, 0 failed")?;
    host.surefoot("uninstall cache --yes")?.ok()?;
    assert_eq!(host.sh("dnf -q module list --disabled | grep -c '^redis *7 \\[x\\]'")?, "1");
    Ok(())
}
