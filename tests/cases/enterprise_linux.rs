//! A stand-in for Enterprise Linux 9: real dnf, rpm and systemd on a Debian root, with signed repositories of its own.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab::{
    Digest, Host, Reach, Suite, Watch,
    gateway::{Gateway, Kind, ORIGIN, PASSWORD, SERVER, USER},
    repo::Signature,
    rpm::RpmRepo,
    run::ensure_said,
    sweep::{self, SERVICES},
    web::Web,
};
use std::fs;

const INSTALL: [&str; 6] = ["surefoot", "install", "services", "--yes", "--answers", "/root/answers.toml"];
/// What rpm leaves, as on every host that had the packages, with what is below: accounts, logs, and folders that a server wrote into.
const LEFT: [&str; 20] = [
    "file /var/cache/dnf/.gpgkeyschecked.yum",
    "file /var/log/dnf.librepo.log",
    "file /var/log/dnf.log",
    "file /var/log/dnf.rpm.log",
    "file /var/log/hawkey.log",
    "file /var/lib/nginx",
    "file /var/log/mongodb",
    "file /var/log/nginx",
    "file /var/log/rabbitmq",
    "file /var/log/redis",
    "group mongod",
    "group nginx",
    "group postgres",
    "group rabbitmq",
    "group redis",
    "user mongod",
    "user nginx",
    "user postgres",
    "user rabbitmq",
    "user redis",
];

/// Redis from the repository at `url`.
fn blueprint(url: &str, key: &str, fingerprint: &str) -> String {
    format!(
        "schema = 1\nsurefoot = \">= 0.1\"\n\n[product]\nname = \"cache\"\ntitle = \"A cache\"\nversion = \"1.0\"\n\n\
         [inputs.password]\ntype = \"secret\"\ngenerate = 24\n\n\
         [[step]]\nid = \"lab\"\nkind = \"repository\"\nuris = [\"{url}\"]\n{key}\nfingerprints = [\"{fingerprint}\"]\n\n\
         [[step]]\nid = \"redis\"\nkind = \"redis\"\nuser = \"app\"\npassword = \"{{{{ inputs.password }}}}\"\n"
    )
}

/// A host with a blueprint in /root/cache that takes Redis from `repo`, which `web` serves.
fn host_with(web: &Web, repo: &RpmRepo) -> Result<Host> {
    web.serve("/el9", repo.folder());
    let host = Host::boot(Suite::El9)?;
    host.install_binary()?;
    let url = format!("{}/el9", web.url());
    let blueprint = blueprint(&url, "key = \"lab.asc\"", repo.fingerprint());
    host.write("/root/cache/blueprint.toml", blueprint, 0o644)?;
    host.write("/root/cache/files/lab.asc", repo.key(), 0o644)?;
    Ok(host)
}

/// The repositories of a host before surefoot comes: the distribution's own, and the vendor's of RabbitMQ, which no distribution has. And
/// that of MongoDB, which surefoot brings.
struct Served {
    web: Web,
    repos: [(&'static str, RpmRepo); 2],
    mongodb: RpmRepo,
}

impl Served {
    fn start() -> Result<Self> {
        let signed = |names: &[&str]| RpmRepo::new(names, Signature::Right, Signature::Right);
        let distribution = signed(&["redis", "nginx", "postgresql"])?;
        let (web, repos) = (Web::start()?, [("appstream", distribution), ("rabbitmq", signed(&["rabbitmq-server"])?)]);
        for (name, repo) in &repos {
            web.serve(&format!("/{name}"), repo.folder());
        }
        let mongodb = signed(&["mongodb-org"])?;
        fs::write(mongodb.folder().join("server.asc"), mongodb.key())?;
        web.serve("/mongodb", mongodb.folder());
        Ok(Self { web, repos, mongodb })
    }

    fn host(&self) -> Result<Host> {
        let host = Host::boot(Suite::El9)?;
        host.install_binary()?;
        let (url, fingerprint) = (self.web.url(), self.mongodb.fingerprint());
        let mongodb = format!(
            "mongodb = true\nmongodb_repository = '{url}/mongodb'\nmongodb_key = '{url}/mongodb/server.asc'\n\
             mongodb_fingerprint = '{fingerprint}'\nmongodb_admin_password = 'a fifth'\nmongodb_password = 'and a sixth'\n"
        );
        host.write("/root/answers.toml", [SERVICES.answers, &mongodb].concat(), 0o600)?;
        for (name, repo) in &self.repos {
            let (key, url) = (format!("/etc/pki/rpm-gpg/RPM-GPG-KEY-{name}"), self.web.url());
            let definition = format!("[{name}]\nname={name}\nbaseurl={url}/{name}\ngpgcheck=1\ngpgkey=file://{key}\n");
            host.write(&key, repo.key(), 0o644)?;
            host.write(&format!("/etc/yum.repos.d/{name}.repo"), definition, 0o644)?;
            host.sh(&format!("rpm --import {key}"))?;
        }
        host.sh("dnf -q makecache")?;
        Ok(host)
    }
}

/// Nothing but what rpm leaves is there that was not there before.
fn nothing_is_left(before: &Digest, host: &Host) -> Result<()> {
    let is_left = |line: &String| {
        let fact = line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ");
        LEFT.iter().any(|left| fact.strip_prefix(left).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    let more: Vec<String> =
        Digest::diff(before, &Digest::of(host)?).into_iter().filter(|line| !is_left(line)).collect();
    ensure!(more.is_empty(), "it leaves {more:#?}");
    Ok(())
}

#[test]
fn the_services_come_and_go() -> Result<()> {
    let served = Served::start()?;
    let host = served.host()?;
    let before = Digest::of(&host)?;
    let watch = Watch::start(&host)?;
    let (points, output) = host.run(INSTALL).kill_points()?;
    output.ok()?;
    watch.end(&host)?.never_open(&[80, 5432, 5672, 6379, 15672, 27017], &[80, 443])?;
    for unit in ["nginx", "postgresql", "rabbitmq-server", "redis", "mongod"] {
        let started = format!("journalctl -b -o cat -u {unit} | grep -c '^Started'; systemctl is-enabled {unit}");
        assert_eq!(host.sh(&started)?, "1\nenabled", "{unit}: one start, with the final configuration");
    }
    for login in SERVICES.logins {
        SERVICES.login(&host, login).with_context(|| (*login).to_owned())?;
    }
    let script = "import sys; sys.path.insert(0, '/usr/lib/mongodb-stand-in'); import pymongo\n\
        db = pymongo.MongoClient(open('/etc/mongodb/app.app').read().strip()).get_default_database()\n\
        print(db.things.count_documents({}))";
    assert_eq!(host.run(["python3", "-B", "-"]).stdin(script).output()?.ok()?.stdout.trim(), "0");
    // The server that nginx.conf has by itself makes way, and nothing else of it changes.
    assert_eq!(host.sh("rpm -V nginx nginx-core || true")?, "S.5....T.  c /etc/nginx/nginx.conf");
    assert_eq!(host.sh("sed -n 's/^#surefoot# //p' /etc/nginx/nginx.conf | grep -c .")?, "14");
    let again = || ensure_said(&host.run(INSTALL).output()?.ok()?, " in place, 0 changed, 0 failed");
    again()?;
    // Also where the memory of it is gone.
    host.sh("mv /var/lib/surefoot /root/state")?;
    again()?;
    host.sh("rm -r /var/lib/surefoot && mv /root/state /var/lib/surefoot")?;

    // Killed anywhere on the way, it comes to the same.
    let whole = Digest::of(&host)?;
    let seed = sweep::seed()?;
    let point = &points[sweep::Random::new(seed).below(points.len())];
    let killed = served.host()?;
    ensure!(killed.run_killed_at(point, INSTALL)?.killed(), "{point:?} was not reached");
    let resumed = killed.surefoot("install --resume --yes")?;
    if resumed.stderr.contains("nothing to resume") {
        killed.run(INSTALL).output()?.ok()?;
    } else {
        resumed.ok()?;
    }
    let differences = Digest::diff(&whole, &Digest::of(&killed)?);
    ensure!(differences.is_empty(), "killed at {point:?}, seed {seed}, the host differs: {differences:#?}");

    host.surefoot("uninstall --purge --yes")?.ok()?;
    nothing_is_left(&before, &host)
}

#[test]
fn redis_comes_by_dnf_and_a_second_run_changes_nothing() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    let host = host_with(&web, &repo)?;
    host.surefoot("install /root/cache --yes")?.ok()?;
    let password = r#"sed -n 's/^user app on ">\([^"]*\)".*/\1/p' /etc/redis/surefoot.conf"#;
    let login = format!("REDISCLI_AUTH=$({password}) redis-cli --no-auth-warning --user app");
    assert_eq!(host.sh(&format!("{login} set a b"))?, "OK");
    ensure!(host.sh("redis-cli ping 2>&1 || true")?.contains("NOAUTH"), "somebody gets in without a password");
    let definition = host.read("/etc/yum.repos.d/lab.repo")?;
    ensure!(definition.contains("\ngpgcheck=1\nrepo_gpgcheck=1\n"), "{definition}");

    // Also where the memory of it is gone.
    for forget in ["true", "rm -r /var/lib/surefoot"] {
        host.sh(forget)?;
        ensure_said(&host.surefoot("install /root/cache --yes")?.ok()?, " in place, 0 changed, 0 failed")?;
    }
    Ok(())
}

#[test]
fn an_uninstall_leaves_what_rpm_leaves() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    let host = host_with(&web, &repo)?;
    let before = Digest::of(&host)?;
    host.surefoot("install /root/cache --yes")?.ok()?;
    host.surefoot("uninstall --purge --yes")?.ok()?;
    nothing_is_left(&before, &host)
}

#[test]
fn what_is_not_signed_by_the_pinned_key_is_refused() -> Result<()> {
    for (packages, index, says) in [
        (Signature::None, Signature::Right, "is not signed"),
        (Signature::Wrong, Signature::Right, "GPG check FAILED"),
        (Signature::Right, Signature::None, "the index of repository 'lab' cannot be fetched"),
        (Signature::Right, Signature::Wrong, "the index of repository 'lab' cannot be fetched"),
    ] {
        let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], packages, index)?);
        let host = host_with(&web, &repo)?;
        // What the host thinks of signatures in general is of no account.
        host.sh("sed -i 's/^gpgcheck=1/gpgcheck=0/' /etc/dnf/dnf.conf")?;
        let output = host.surefoot("install /root/cache --yes")?;
        let why = host.surefoot("why")?;
        ensure!(!output.success(), "installed with {packages:?} packages and {index:?} index");
        ensure!(why.stdout.contains(says) && why.stdout.contains("repository"), "{says}:\n{}", why.stdout);
        ensure!(!host.exists("/usr/bin/redis-server")?, "installed with {packages:?} packages and {index:?} index");
    }
    Ok(())
}

#[test]
fn a_killed_transaction_is_waited_for_or_done_once_more() -> Result<()> {
    for (killed, goes_on) in [("surefoot", true), ("surefoot dnf bash", false)] {
        let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
        let host = host_with(&web, &repo)?;
        host.sh(&format!(
            "surefoot install /root/cache --yes >/dev/null 2>&1 & until test -e /usr/bin/redis-server; do :; done; \
             for name in {killed}; do pkill -9 -x $name || true; done"
        ))?;
        let resumed = host.surefoot("install --resume --yes")?.ok()?;
        ensure!(resumed.stderr.contains("taking back a transaction") != goes_on, "{killed}:\n{}", resumed.stderr);
        assert_eq!(host.sh("systemctl is-active redis; rpm -V --noconfig redis; find / -xdev -name '*;*'")?, "active");
        ensure_said(&host.surefoot("install /root/cache --yes")?.ok()?, " in place, 0 changed, 0 failed")?;
    }
    Ok(())
}

/// What is kept for good lets dnf go on by itself, and goes with the product.
#[test]
fn dnf_keeps_the_proxy_where_asked() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    let (host, gateway) = (host_with(&web, &repo)?, Gateway::boot()?);
    for kind in [Kind::Plain, Kind::Basic] {
        gateway.start(kind)?;
    }
    let wall = gateway.wall(&host, &[Kind::Plain.port(), Kind::Basic.port()])?;
    let before = Digest::of(&host)?;
    // Everybody reads dnf.conf.
    let login = ["--proxy", &Kind::Basic.url(), "--proxy-user", USER, "--proxy-password-file", "-", "--keep-proxy"];
    let refused = host.run(["surefoot", "plan", "/root/cache"].iter().chain(&login).copied()).stdin(PASSWORD);
    ensure_said(&refused.output()?.code_is(10)?, "dnf keeps the login")?;
    let url = Kind::Plain.url();
    host.surefoot(&format!("install /root/cache --yes --keep-proxy --proxy {url}"))?.ok()?;
    assert_eq!(host.sh("grep ^proxy /etc/dnf/dnf.conf")?.replace(' ', ""), format!("proxy={url}"));
    host.sh(
        "env -i PATH=$PATH dnf -q clean all && env -i PATH=$PATH dnf -q -y reinstall --downloadonly redis >/dev/null",
    )?;
    ensure_said(&host.surefoot("install /root/cache --yes")?.ok()?, " in place, 0 changed, 0 failed")?;
    host.surefoot("uninstall --purge --yes")?.ok()?;
    wall.held()?;
    nothing_is_left(&before, &host)
}

/// A way out by squid alone, a repository with a login of its own behind it, and certificates of a CA that nobody knows.
#[test]
fn a_proxy_and_a_mirror_with_logins_and_a_ca_of_the_users_own() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    fs::write(repo.folder().join("key.asc"), repo.key())?;
    web.serve("/el9", repo.folder());
    web.guard("/el9/", &format!("Basic {}", STANDARD.encode(format!("jo:{PASSWORD}"))));
    let gateway = Gateway::boot()?;
    // Before the proxy, which reads its names when it starts.
    gateway.front(&[SERVER], ORIGIN, &web.url(), (-1, 30))?;
    gateway.start(Kind::Basic)?;
    let host = Host::builder(Suite::El9).reach(Reach::Bridge).boot()?;
    host.install_binary()?;
    let wall = gateway.wall(&host, &[Kind::Basic.port()])?;
    let vendor = "https://packages.vendor.test/el9";
    let key = format!("key_url = \"{vendor}/key.asc\"");
    host.write("/root/cache/blueprint.toml", blueprint(vendor, &key, repo.fingerprint()), 0o644)?;
    host.write("/root/ca.pem", gateway.ca()?, 0o644)?;
    host.write("/root/password", PASSWORD, 0o600)?;
    let mirror = format!(
        "of = \"{vendor}\"\nurl = \"https://{SERVER}:{ORIGIN}/el9\"\nuser = \"jo\"\npassword_file = \"password\"\n"
    );
    host.write("/root/mirrors.toml", format!("[[mirror]]\n{mirror}"), 0o600)?;
    let before = Digest::of(&host)?;

    let url = Kind::Basic.url();
    let way = ["--proxy", &url, "--proxy-user", USER, "--proxy-password-file", "/root/password"];
    let flags = [&way[..], &["--ca-file", "/root/ca.pem", "--mirrors", "/root/mirrors.toml"]].concat();
    let install = ["surefoot", "install", "/root/cache", "--yes"];
    host.exec([&install[..], &flags].concat())?.ok()?;
    wall.held()?;
    ensure_said(&host.exec(install)?.ok()?, " in place, 0 changed, 0 failed")?;
    assert_eq!(host.sh("stat -c '%a %U' /etc/yum.repos.d/lab.repo")?, "600 root");
    // The run log has every command line.
    let told = host.sh(
        "cat /var/lib/surefoot/cache/journal /var/log/surefoot/cache/*.jsonl /var/log/dnf* /var/log/hawkey.log; ls /run/surefoot",
    )?;
    ensure!(told.contains("sslcacert=/run/surefoot/ca-bundle.pem") && !told.contains(PASSWORD), "{told}");

    host.exec(["surefoot", "uninstall", "--purge", "--yes"])?.ok()?;
    nothing_is_left(&before, &host)
}
