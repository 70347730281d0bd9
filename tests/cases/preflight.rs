//! `surefoot preflight` on a host where nothing is as it should be, and on one where all is.

use anyhow::{Context, Result, ensure};
use lab::{Host, Suite};
use serde_json::Value;
use std::time::Instant;

/// What every problem here is made with, and the check that has to tell it.
const PROBLEMS: [(&str, &str, &str); 17] = [
    ("system", "error", "sed -i 's/^disk.*/&\\nos = [\"ubuntu\"]/' /root/web/blueprint.toml"),
    (
        "memory",
        "error",
        "sed -i 's/^memory = \"512 MiB\"/memory = \"900 TiB\"\\ncpus = 5000/' /root/web/blueprint.toml",
    ),
    ("processors", "error", ""),
    (
        "disk /srv",
        "error",
        "sed -i 's/^disk = {/disk = { \"\\/srv\" = \"1 GiB\", \"\\/opt\" = \"1 KiB\",/' /root/web/blueprint.toml",
    ),
    ("files /opt", "error", "mount -t tmpfs -o nr_inodes=10 tmpfs /opt"),
    ("port 80", "error", "/root/hold.pl port 4 80"),
    ("port 6379", "error", "/root/hold.pl port 6 6379"),
    (
        "host name",
        "warning",
        "echo 127.0.0.1 localhost >/etc/hosts; sed -i 's/^hosts:.*/hosts: files dns/' /etc/nsswitch.conf",
    ),
    (
        "dpkg",
        "warning",
        "sed -i '/^Package: perl-base$/,/^$/s/^Status: .*/Status: install ok half-configured/' /var/lib/dpkg/status",
    ),
    ("lock", "warning", "/root/hold.pl lock /var/lib/dpkg/lock-frontend"),
    ("locale", "warning", "echo LANG=de_DE.UTF-8 >/etc/default/locale"),
    (
        "firewall",
        "warning",
        "mkdir /etc/ufw; echo ENABLED=yes >/etc/ufw/ufw.conf; echo '### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in' >/etc/ufw/user.rules",
    ),
    (
        "existing nginx.service",
        "warning",
        "printf '[Service]\\nExecStart=/bin/sleep 9999\\n' >/etc/systemd/system/nginx.service; systemctl daemon-reload",
    ),
    (
        "package procps",
        "warning",
        "printf '[[step]]\nid = \"tools\"\nkind = \"packages\"\nnames = [\"procps\"]\nversion = \"9\"\n' >>/root/web/blueprint.toml",
    ),
    ("conflict", "error", ""),
    ("endpoint 10.77.0.1:3142", "error", ""),
    ("DNS", "warning", ""),
];

fn checks(host: &Host, args: &[&str], code: i32) -> Result<Vec<Value>> {
    let words = ["surefoot", "preflight", "/root/web", "--output", "json"];
    let output = host.exec(words.iter().chain(args).copied())?.code_is(code)?;
    // The card is for people, beside them.
    ensure!(output.stderr.contains("FAILED") == (code != 0), "{}", output.stderr);
    serde_json::from_str(&output.stdout).with_context(|| output.stdout.clone())
}

#[test]
fn all_problems_are_told_in_one_pass() -> Result<()> {
    let host = Host::builder(Suite::Bookworm).tmpfs("/srv", "1m").boot()?;
    host.install_binary()?;
    host.install_blueprint("web")?;
    host.write("/root/hold.pl", include_str!("../data/faults/hold.pl"), 0o755)?;
    // Another product wants the cache in its own way.
    host.install_blueprint("rival")?;
    host.surefoot("install /root/rival --yes")?.ok()?;
    for (_, _, how) in PROBLEMS {
        host.sh(&format!(":; {how}"))?;
    }
    let told = checks(&host, &["--proxy", "http://nosuch.corp.test:3128"], 13)?;
    for (name, level, _) in PROBLEMS {
        let check =
            told.iter().find(|check| check["name"] == name).with_context(|| format!("no '{name}': {told:#?}"))?;
        ensure!(check["level"] == level, "{check:#}");
        for key in ["measured", "required", "advice"] {
            ensure!(check[key].as_str().is_some_and(|text| !text.is_empty()), "'{key}' of {check:#}");
        }
    }
    // What cannot be installed on is told among the rest, and refused before anything is asked.
    host.sh("cp /usr/lib/os-release /root/os-release")?;
    for (system, wanted) in [
        ("ID=debian\nVERSION_ID=10\nVERSION_CODENAME=buster", 8),
        ("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\nVERSION_ID=15.6", 5),
    ] {
        host.write("/usr/lib/os-release", format!("NAME=x\nPRETTY_NAME=x\n{system}\n"), 0o644)?;
        let told = checks(&host, &["--proxy", "http://nosuch.corp.test:3128"], 13)?;
        let errors: Vec<&Value> = told.iter().filter(|check| check["level"] == "error").collect();
        ensure!(errors[0]["name"] == "system" && errors.len() >= wanted, "{errors:#?}");
        ensure!(errors[0]["measured"].as_str().is_some_and(|why| why.contains("not supported")), "{errors:#?}");
        host.surefoot("install /root/web --yes")?.code_is(12)?;
    }
    host.sh("cp /root/os-release /usr/lib/os-release")?;

    // Nobody has to answer for a system that the blueprint is not for.
    host.sh(
        "cp -r /root/web /root/asking && printf '[inputs.token]\ntype = \"text\"\n' >>/root/asking/blueprint.toml",
    )?;
    for (words, code, said) in [("", 12, "install it on a host that runs ubuntu"), ("--ignore system", 10, "token")] {
        let refused = host.surefoot(&format!("install /root/asking --yes {words}"))?.code_is(code)?;
        ensure!(refused.stderr.contains(said), "{said} is not in {}", refused.stderr);
    }

    // One error is let through and still told; the others are not.
    let ignored = checks(&host, &["--proxy", "http://nosuch.corp.test:3128", "--ignore", "port 80"], 13)?;
    let level = |name: &str| ignored.iter().find(|check| check["name"] == name).map(|check| check["level"].clone());
    assert_eq!((level("port 80"), level("port 6379")), (Some("warning".into()), Some("error".into())));
    Ok(())
}

/// Nothing is called well that was not looked at.
#[test]
fn what_only_root_can_see_is_not_known_to_others() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    host.install_blueprint("web")?;
    host.sh("apt-get -qq update && apt-get -qq install nftables >/dev/null; cp -r /root/web /srv/web")?;
    let firewall = |user: &str| -> Result<Value> {
        let output = host.exec_as(user, ["surefoot", "preflight", "/srv/web", "--output", "json"])?.ok()?;
        let told: Vec<Value> = serde_json::from_str(&output.stdout)?;
        told.into_iter().find(|check| check["name"] == "firewall").context("no check of the firewall")
    };
    let (others, root) = (firewall("nobody")?, firewall("root")?);
    ensure!(others["level"] == "warning", "{others:#}");
    ensure!(others["measured"] == "not known: only root may read the kernel's rules", "{others:#}");
    ensure!(root["level"] == "ok" && root["measured"] == "none is active", "{root:#}");
    host.sh("nft add table inet x; nft add chain inet x in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet x in ct state established,related accept")?;
    assert_eq!(firewall("root")?["level"], "warning");
    Ok(())
}

#[test]
fn a_healthy_host_passes_within_five_seconds() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    host.install_blueprint("web")?;
    let begin = Instant::now();
    let told = checks(&host, &[], 0)?;
    ensure!(begin.elapsed().as_secs() < 5, "it took {:?}", begin.elapsed());
    ensure!(told.iter().all(|check| check["level"] == "ok"), "{told:#?}");
    Ok(())
}
