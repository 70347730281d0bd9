//! What is taken away again, and what is not.

use anyhow::{Context, Result, ensure};
use lab::{Digest, Host, Suite, installed};
use std::collections::BTreeSet;

const LEFTOVERS: &str = include_str!("../data/purge-leftovers.txt");

/// A host with the program on it, and nothing installed.
fn fresh(suite: Suite) -> Result<Host> {
    let host = Host::boot(suite)?;
    host.install_binary()?;
    Ok(host)
}

/// Facts that differ, `file /var/www`, each with its line of the difference.
fn differences(before: &Digest, host: &Host) -> Result<Vec<(String, String)>> {
    let lines = Digest::diff(before, &Digest::of(host)?);
    let fact = |line: &str| line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ");
    Ok(lines.into_iter().map(|line| (fact(&line), line)).collect())
}

#[test]
fn a_purge_leaves_what_debian_leaves() -> Result<()> {
    let lines: Vec<Vec<&str>> = LEFTOVERS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let known: BTreeSet<String> = lines.iter().map(|words| words[..2].join(" ")).collect();
    ensure!(lines.iter().all(|words| words.len() > 2), "a line has no reason");
    let mut met = BTreeSet::new();
    for (suite, blueprint) in [(Suite::Bookworm, "web"), (Suite::Trixie, "web"), (Suite::Bookworm, "parts")] {
        let mut host = fresh(suite)?;
        // As often booted as the other: some units run at the first boot only.
        host.stop()?;
        host.boot_again()?;
        let before = Digest::of(&host)?;
        let host = installed(suite, blueprint)?.host().boot()?;
        host.sh(&format!("rm -r /root/{blueprint}"))?;
        // What a plain uninstall keeps is still there to be purged.
        if suite == Suite::Trixie {
            host.surefoot("uninstall --yes")?.ok()?;
            ensure!(host.exists("/var/lib/redis/dump.rdb")? && host.exists("/etc/redis/redis.conf")?);
        }
        host.surefoot("uninstall --purge --yes")?.ok()?;
        for (fact, line) in differences(&before, &host)? {
            ensure!(known.contains(&fact), "{blueprint} on {suite} leaves {line}");
            met.insert(fact);
        }
        ensure!(!host.exists("/var/lib/surefoot")? && !host.exists("/var/log/surefoot")?);
    }
    let unmet: Vec<&String> = known.difference(&met).collect();
    ensure!(unmet.is_empty(), "these lines match nothing: {unmet:?}");
    Ok(())
}

#[test]
fn plain_uninstall_keeps_data_that_the_next_install_finds() -> Result<()> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    let cli = "REDISCLI_AUTH=$(sed -n 's/^requirepass \"\\(.*\\)\"/\\1/p' /etc/redis/surefoot.conf) redis-cli";
    let password = host.read("/etc/redis/surefoot.conf")?;
    host.sh(&format!("{cli} set visits 42"))?;
    host.surefoot("uninstall --yes")?.ok()?;
    for package in ["redis-server", "nginx"] {
        ensure!(!host.sh(&format!("dpkg-query -W -f '${{db:Status-Status}}' {package}"))?.starts_with("installed"));
    }
    ensure!(!host.exists("/etc/nginx/sites-enabled/zz-web-site.conf")? && !host.exists("/etc/redis/surefoot.conf")?);
    host.surefoot("uninstall --yes")?.ok()?;

    host.install("/root/web")?;
    assert_eq!(host.sh(&format!("{cli} get visits"))?, "42");
    assert_eq!(host.read("/etc/redis/surefoot.conf")?, password);
    host.surefoot("status --exit-code")?.ok()?;
    Ok(())
}

#[test]
fn what_was_there_before_stays_byte_for_byte() -> Result<()> {
    let host = fresh(Suite::Bookworm)?;
    let web = host.install_blueprint("web")?;
    host.sh("apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes redis-server nginx-light hello")?;
    host.sh("echo 'maxmemory 77mb' >>/etc/redis/redis.conf && systemctl restart redis-server")?;
    host.write("/var/www/mine/index.html", "mine\n", 0o644)?;
    let site = "server { listen 80; server_name mine; root /var/www/mine; }\n";
    host.write("/etc/nginx/sites-available/mine", site, 0o640)?;
    // A reload returns while the old workers still answer; a restart does not.
    host.sh("ln -s ../sites-available/mine /etc/nginx/sites-enabled/mine && systemctl restart nginx")?;
    host.sh("redis-cli set theirs 1")?;
    let is_theirs = |host: &Host| -> Result<()> {
        assert_eq!(host.sh("redis-cli config get maxmemory && redis-cli get theirs")?, "maxmemory\n80740352\n1");
        assert_eq!(http(host, "mine")?, "mine");
        Ok(())
    };
    is_theirs(&host)?;
    let before = Digest::of(&host)?;

    host.install(&web)?;
    assert_eq!(http(&host, "mine")?, "mine", "the user's site answers beside ours");
    ensure!(http(&host, "box.lab.test")?.contains("box.lab.test is up"));
    ensure!(host.sh("redis-cli get theirs")?.contains("NOAUTH"), "ours has a password");

    host.surefoot("uninstall --purge --yes")?.ok()?;
    let different = differences(&before, &host)?;
    let kept = ["file /var/lib/dpkg/statoverride-old"];
    let wrong: Vec<&String> =
        different.iter().filter(|(fact, _)| !kept.contains(&fact.as_str())).map(|(_, line)| line).collect();
    ensure!(wrong.is_empty(), "{wrong:#?}");
    is_theirs(&host)
}

#[test]
fn what_somebody_made_or_changed_since_stays() -> Result<()> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    let ours = "/etc/nginx/sites-available/web-site.conf";
    let theirs = "/etc/nginx/sites-available/mine";
    host.sh(&format!("echo '# mine' >>{ours}"))?;
    host.write(theirs, "# mine\n", 0o600)?;
    let changed = host.read(ours)?;
    let said = host.surefoot("uninstall --yes")?.ok()?;
    let said = said.stdout + &said.stderr;
    ensure!(said.contains(&format!("kept: site/file:{ours} (content): {ours} was changed since")), "{said}");
    ensure!(said.contains(" taken back, ") && said.contains("\nlog "), "{said}");
    assert_eq!(host.read(ours)?, changed);

    // A path is no name of a product.
    host.sh("mkdir /root/vendor && touch /root/vendor/x")?;
    for path in ["/root/vendor", "../../../root/vendor"] {
        host.surefoot(&format!("uninstall {path} --purge --yes"))?;
        host.sh("test -f /root/vendor/x")?;
    }

    let said = host.surefoot("uninstall --purge --yes")?.ok()?;
    let said = said.stdout + &said.stderr;
    ensure!(said.contains(theirs), "{said}");
    ensure!(!said.contains("\nlog "), "its log went with it: {said}");
    assert_eq!(host.read(theirs)?, "# mine\n");
    assert_eq!(host.sh(&format!("stat -c %a {theirs}"))?, "600");
    secrets_and_homes_stay_whose_they_are(&host)
}

const KEEPER: &str = r#"
[inputs.token]
type = "secret"
generate = 16
[[step]]
id = "whole"
kind = "file"
path = "/etc/keeper.conf"
content = "token {{ inputs.token }}"
[[step]]
id = "part"
kind = "ini"
path = "/etc/keeper.ini"
attributes = { mode = "0640" }
set = { a = { token = "{{ inputs.token }}" } }
[[step]]
id = "account"
kind = "user"
name = "keeper"
home = "/var/lib/keeper"
create_home = true
[[step]]
id = "other"
kind = "user"
name = "keeper-found"
"#;

/// What stays of a secret is not opened to others, what stays of a home belongs to its user, and a group that was found is not taken along.
fn secrets_and_homes_stay_whose_they_are(host: &Host) -> Result<()> {
    let keeper = host.write_blueprint("keeper", KEEPER)?;
    let (conf, ini) = ("/etc/keeper.conf", "/etc/keeper.ini");
    let theirs = || -> Result<()> {
        host.write(conf, "theirs\n", 0o644)?;
        host.write(ini, "[a]\nb = 1\n", 0o644)
    };
    let modes = format!("stat -c '%a' {conf} {ini}");
    theirs()?;
    host.sh("groupadd -g 7707 keeper-found")?;
    host.install(&keeper)?;
    assert_eq!(host.sh(&modes)?, "600\n640");
    host.sh(&format!("echo '# mine' >>{conf} && sed -i 's/^token.*/&x/' {ini} && touch /var/lib/keeper/data"))?;
    let number = host.sh("id -u keeper")?;
    let said = host.surefoot("uninstall keeper --yes")?.ok()?;
    let said = said.stdout + &said.stderr;
    for path in [conf, ini] {
        ensure!(said.contains(&format!("mode and owner of {path} stay: ")), "{said}");
    }
    ensure!(said.contains("kept: account/user:keeper (user): data that stays is theirs; --purge removes it"), "{said}");
    assert_eq!(host.sh(&modes)?, "600\n640");
    assert_eq!(host.sh("getent group keeper-found && ! id keeper-found 2>/dev/null")?, "keeper-found:x:7707:");
    assert_eq!(host.sh("stat -c '%u %U %G' /var/lib/keeper")?, format!("{number} keeper keeper"));

    // What an uninstall left is found, and left again.
    host.install(&keeper)?;
    host.surefoot("uninstall keeper --yes")?.ok()?;
    assert_eq!(host.sh(&modes)?, "600\n640");
    ensure!(host.read(conf)?.contains("# mine"));

    // Nothing is in the way of the next install, and a purge takes all of it.
    theirs()?;
    host.install(&keeper)?;
    host.sh("test -e /var/lib/keeper/data")?;
    host.surefoot("uninstall keeper --yes --purge")?.ok()?;
    assert_eq!(host.sh(&modes)?, "644\n644");
    assert_eq!((host.read(conf)?.as_str(), host.read(ini)?.as_str()), ("theirs\n", "[a]\nb = 1\n"));
    host.sh("! id keeper 2>/dev/null && ! getent group keeper && ! test -e /var/lib/keeper")?;

    // Without `attributes` no secret is put where everybody can read it.
    host.write_blueprint("keeper", &KEEPER.replace("attributes = { mode = \"0640\" }\n", ""))?;
    let refused = host.surefoot(&format!("install {keeper} --yes"))?;
    let said = refused.stdout.clone() + &refused.stderr;
    ensure!(
        !refused.success() && said.contains(&format!("{ini} has mode 0644 root:root: everybody could read")),
        "{said}"
    );
    assert_eq!(host.read(conf)?, "theirs\n", "nothing was touched");
    host.sh(&format!("chmod 600 {ini}"))?;
    host.install(&keeper)?;
    Ok(())
}

/// What the web server of `host` answers for `name`.
fn http(host: &Host, name: &str) -> Result<String> {
    let request = format!("GET / HTTP/1.0\\r\\nHost: {name}\\r\\n\\r\\n");
    let answer =
        host.exec(["bash", "-c", &format!("exec 3<>/dev/tcp/127.0.0.1/80 && printf '{request}' >&3 && cat <&3")])?;
    let answer = answer.ok()?.stdout;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.contains(" 200 "), "{head}");
    Ok(body.trim_end().to_owned())
}
