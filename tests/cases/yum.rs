//! A vendor's product on the stand-in for Enterprise Linux 7, by a stand-in for yum; and what goes wrong there.

use anyhow::{Context, Result, ensure};
use lab::{
    Digest, Host, KillPoint, Suite,
    kill::{MOVES, SYNCS},
    repo::Signature,
    rpm::{self, RpmRepo},
    run::ensure_said,
    sweep::{self, Death, Moment, Point, Random},
    web::{Answer, Web},
};
use std::time::{Duration, Instant};

const INSTALL: [&str; 4] = ["surefoot", "install", "/root/shop", "--yes"];
const SECOND: &str = " in place, 0 changed, 0 failed";

/// What a vendor has: a repository, packages, a file, a service of theirs, and a site.
struct Vendor {
    web: Web,
    repo: RpmRepo,
}

impl Vendor {
    fn start() -> Result<Self> {
        let (web, repo) = (Web::start()?, RpmRepo::new(&["redis", "nginx"], Signature::Right, Signature::Right)?);
        web.serve("/el7", repo.folder());
        Ok(Self { web, repo })
    }

    fn blueprint(&self) -> String {
        format!(
            "[inputs.password]\ntype = \"secret\"\ngenerate = 24\n\n\
             [[step]]\nid = \"vendor\"\nkind = \"repository\"\nuris = [\"{}/el7\"]\nkey = \"vendor.asc\"\nfingerprints = [\"{}\"]\n\n\
             [[step]]\nid = \"packages\"\nkind = \"packages\"\nnames = [\"redis\"]\n\n\
             [[step]]\nid = \"settings\"\nkind = \"file\"\npath = \"/etc/shop.env\"\ncontent = \"PASSWORD={{{{ inputs.password }}}}\\n\"\n\n\
             [[step]]\nid = \"server\"\nkind = \"service\"\nunit = \"redis\"\npackage = \"redis\"\nports = [6379]\nconfig = [\"/etc/shop.env\"]\n\n\
             [[step]]\nid = \"certificate\"\nkind = \"tls_certificate\"\nnames = [\"box.lab.test\"]\n\n\
             [[step]]\nid = \"site\"\nkind = \"nginx_site\"\nnames = [\"box.lab.test\"]\ncertificate = \"step:certificate\"\nindex = \"index.html\"\n",
            self.web.url(),
            self.repo.fingerprint()
        )
    }

    fn host(&self) -> Result<Host> {
        let host = Host::boot(Suite::El7)?;
        host.install_binary()?;
        host.write_blueprint("shop", &self.blueprint())?;
        host.write("/root/shop/files/vendor.asc", self.repo.key(), 0o644)?;
        host.write("/root/shop/files/index.html", "the shop is open\n", 0o644)?;
        host.write("/root/answers.toml", "password = 'a password'\n", 0o600)?;
        Ok(host)
    }

    /// It answers, and a second run changes nothing.
    fn works(&self, host: &Host) -> Result<()> {
        let page = host.sh("curl -sk --resolve box.lab.test:443:127.0.0.1 https://box.lab.test/")?;
        ensure!(page.contains("the shop is open"), "the site does not answer: {page}");
        assert_eq!(host.sh("systemctl is-active redis nginx; redis-cli ping")?, "active\nactive\nPONG");
        ensure_said(&install(host)?.ok()?, SECOND)
    }

    /// Killed at `point` and gone on with, an install comes to the same as the one that `whole` is of. False where it had ended
    /// before.
    fn survives(&self, point: &Point, whole: &Digest) -> Result<bool> {
        let mut host = self.host()?;
        let args = INSTALL.iter().chain(&["--answers", "/root/answers.toml"]).map(|word| (*word).to_owned()).collect();
        if point.strike(&mut host, args)?.is_none() {
            return Ok(false);
        }
        let resumed = host.surefoot("install --resume --yes")?;
        if resumed.stderr.contains("nothing to resume") {
            install(&host)?.ok()?;
        } else {
            resumed.ok()?;
        }
        let differences = Digest::diff(whole, &Digest::of(&host)?);
        ensure!(differences.is_empty(), "the host differs: {differences:#?}");
        assert_eq!(host.sh("find /var/lib/yum -name 'transaction-*'")?, "", "yum speaks of it for good");
        self.works(&host).map(|()| true)
    }
}

fn install(host: &Host) -> Result<lab::run::Output> {
    host.run(INSTALL.iter().chain(&["--answers", "/root/answers.toml"]).copied()).output()
}

#[test]
fn a_vendors_product_comes_and_goes_by_yum() -> Result<()> {
    let vendor = Vendor::start()?;
    let host = vendor.host()?;
    let before = Digest::of(&host)?;
    let plan = host.surefoot("plan /root/shop")?.ok()?;
    ensure!(plan.stdout.contains("redis"), "{}", plan.stdout);
    install(&host)?.ok()?;
    vendor.works(&host)?;
    let definition = host.read("/etc/yum.repos.d/vendor.repo")?;
    ensure!(definition.contains("\ngpgcheck=1\nrepo_gpgcheck=1\n"), "{definition}");
    let took = host.quickest(&["surefoot", "install", "/root/shop", "--yes"])?;
    ensure!(took < Duration::from_millis(250), "a second run took {took:?}");
    assert_eq!(host.surefoot("status --exit-code")?.code(), 0);

    // Somebody restarts a service with another configuration and puts the file back: what runs is not what is on disk.
    host.sh("cp /etc/shop.env /root && echo PASSWORD=other >/etc/shop.env && systemctl restart redis && mv /root/shop.env /etc/shop.env")?;
    let again = install(&host)?.ok()?;
    ensure!(!again.stdout.contains("0 changed"), "the restart was not seen:\n{}", again.stdout);
    vendor.works(&host)?;

    // Also where the memory of it is gone.
    host.sh("mv /var/lib/surefoot /root/state")?;
    ensure_said(&install(&host)?.ok()?, SECOND)?;
    host.sh("rm -r /var/lib/surefoot && mv /root/state /var/lib/surefoot")?;

    host.surefoot("uninstall --purge --yes")?.ok()?;
    // What the server wrote is nobody's that surefoot knows of.
    rpm::nothing_is_left(&before, &host, &["file /var/lib/redis"])?;
    assert_eq!(
        host.sh("find /var/lib/yum /var/cache/yum -name 'vendor*'; rpm -q gpg-pubkey || true")?,
        "package gpg-pubkey is not installed"
    );
    Ok(())
}

/// The same host, which calls itself otherwise.
#[test]
fn a_vendors_product_comes_and_goes_on_amazon_linux_2() -> Result<()> {
    let vendor = Vendor::start()?;
    let host = vendor.host()?;
    host.write("/usr/lib/os-release", include_str!("../../distro/data/os-release/amzn-2"), 0o644)?;
    let before = Digest::of(&host)?;
    install(&host)?.ok()?;
    vendor.works(&host)?;
    host.write("/root/answers.toml", "", 0o600)?;
    let refused = host.surefoot("install services --yes --answers /root/answers.toml")?.code_is(12)?;
    ensure!(squeezed(&refused.stderr).contains("its servers are among its extras"), "{}", refused.stderr);
    host.write("/root/answers.toml", "password = 'a password'\n", 0o600)?;
    host.surefoot("uninstall shop --purge --yes")?.ok()?;
    rpm::nothing_is_left(&before, &host, &["file /var/lib/redis"])
}

#[test]
fn an_install_by_yum_survives_a_kill() -> Result<()> {
    let (vendor, seed) = (Vendor::start()?, sweep::seed()?);
    let host = vendor.host()?;
    let (points, output) =
        host.run(INSTALL.iter().chain(&["--answers", "/root/answers.toml"]).copied()).kill_points()?;
    output.ok()?;
    let whole = Digest::of(&host)?;
    drop(host);
    let point = &points[Random::new(seed).below(points.len())];
    let point = Point { moment: Moment::Call(KillPoint::clone(point)), death: Death::Process };
    ensure!(
        vendor.survives(&point, &whole).with_context(|| format!("killed {point}, seed {seed}"))?,
        "{point} was not reached"
    );
    Ok(())
}

/// As a kill leaves it where the old version is gone already: what is written down is all that tells of it.
#[test]
fn an_upgrade_by_yum_that_was_cut_off_is_made_once_more() -> Result<()> {
    let vendor = Vendor::start()?;
    let host = vendor.host()?;
    install(&host)?.ok()?;
    let version = host.sh("rpm -q --qf '%{VERSION}-%{RELEASE}' redis")?;
    host.sh(&format!(
        "echo 'redis {version} 6.0-1' >/var/lib/surefoot/.rpm; echo x >/var/lib/yum/transaction-all.2026-11-29.20:01.07; \
         rm /usr/bin/redis-cli; \
         rpm -e nginx"
    ))?;
    let again = install(&host)?.ok()?;
    ensure!(again.stderr.contains("doing an upgrade once more that was cut off: redis"), "{}", again.stderr);
    assert_eq!(
        host.sh("rpm -V redis; find /var/lib/yum -name 'transaction-*'; find /var/lib/surefoot -name .rpm")?,
        ""
    );
    vendor.works(&host)
}

/// A script of a package is a file of rpm's while it runs, and nobody's after a kill.
#[test]
fn an_uninstall_by_yum_that_is_killed_while_a_script_runs_leaves_nothing() -> Result<()> {
    let vendor = Vendor::start()?;
    let host = vendor.host()?;
    let before = Digest::of(&host)?;
    install(&host)?.ok()?;
    // A script is soon done: the kill is in time at one of a few attempts.
    let is_caught = || -> Result<bool> {
        let left = host.sh(
            "surefoot uninstall --purge --yes >/dev/null 2>&1 & until set -- /var/tmp/rpm-tmp.* && [ -e $1 ] || [ ! -e /proc/$!/exe ]; do :; done; \
             pkill -9 -x 'surefoot|yum|bash' || true; wait || true; ls /var/tmp/rpm-tmp.* 2>/dev/null || true",
        )?;
        Ok(!left.is_empty())
    };
    let mut attempts = 0;
    while !is_caught()? {
        attempts += 1;
        ensure!(attempts < 10, "no script was killed");
        host.exec(["surefoot", "uninstall", "--resume", "--yes"])?;
        install(&host)?.ok()?;
    }
    host.surefoot("uninstall --resume --yes")?.ok()?;
    rpm::nothing_is_left(&before, &host, &["file /var/lib/redis"])?;
    assert_eq!(host.sh("find /var/lib/yum -name 'transaction-*'")?, "", "yum speaks of it for good");
    Ok(())
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_a_vendors_product_on_enterprise_linux_7() -> Result<()> {
    let (vendor, seed, count) = (Vendor::start()?, sweep::seed()?, 20);
    let host = vendor.host()?;
    let started = Instant::now();
    let run = host.run(INSTALL.iter().chain(&["--answers", "/root/answers.toml"]).copied());
    let (points, output) = run.kill_points_of(&[&SYNCS[..], &MOVES].concat())?;
    output.ok()?;
    let took = usize::try_from(started.elapsed().as_micros())?;
    let whole = Digest::of(&host)?;
    drop(host);
    let (mut random, mut killed, mut failures) = (Random::new(seed), 0, Vec::new());
    for _ in 0..2 * count {
        let moment = match random.below(2) {
            0 => Moment::Call(points[random.below(points.len())].clone()),
            _ => Moment::After(Duration::from_micros(random.below(took) as u64)),
        };
        let point = Point { moment, death: random.death() };
        match vendor.survives(&point, &whole) {
            Ok(in_time) => killed += usize::from(in_time),
            Err(error) => failures.push(format!("killed {point}: {error:#}")),
        }
        if killed + failures.len() == count {
            break;
        }
    }
    ensure!(failures.is_empty(), "SUREFOOT_SWEEP_SEED={seed} repeats them:\n\n{}", failures.join("\n\n"));
    ensure!(killed == count, "only {killed} of {count} were killed in time");
    Ok(())
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_an_uninstall_on_enterprise_linux_7() -> Result<()> {
    const UNINSTALL: [&str; 4] = ["surefoot", "uninstall", "--purge", "--yes"];
    let (vendor, seed, count) = (Vendor::start()?, sweep::seed()?, 10);
    let mut random = Random::new(seed);
    let host = vendor.host()?;
    let before = Digest::of(&host)?;
    install(&host)?.ok()?;
    let started = Instant::now();
    host.exec(UNINSTALL)?.ok()?;
    let took = usize::try_from(started.elapsed().as_micros())?;
    drop(host);
    let (mut killed, mut failures) = (0, Vec::new());
    for _ in 0..2 * count {
        let mut host = vendor.host()?;
        install(&host)?.ok()?;
        let moment = Moment::After(Duration::from_micros(random.below(took) as u64));
        let point = Point { moment, death: random.death() };
        if point.strike(&mut host, UNINSTALL.map(str::to_owned).to_vec())?.is_none() {
            continue;
        }
        let gone = || -> Result<()> {
            let resumed = host.exec(["surefoot", "uninstall", "--resume", "--yes"])?;
            if resumed.stderr.contains("nothing to resume") {
                // It was killed before anything was written down.
                host.exec(["surefoot", "uninstall", "shop", "--purge", "--yes"])?.ok()?;
            } else {
                resumed.ok()?;
            }
            rpm::nothing_is_left(&before, &host, &["file /var/lib/redis"])?;
            ensure!(host.sh("find /var/lib/yum -name 'transaction-*'")?.is_empty(), "yum speaks of it for good");
            Ok(())
        };
        match gone() {
            Ok(()) => killed += 1,
            Err(error) => failures.push(format!("killed {point}: {error:#}")),
        }
        if killed + failures.len() == count {
            break;
        }
    }
    ensure!(failures.is_empty(), "SUREFOOT_SWEEP_SEED={seed} repeats them:\n\n{}", failures.join("\n\n"));
    ensure!(killed == count, "only {killed} of {count} were killed in time");
    Ok(())
}

/// The card of an install that fails.
fn card(host: &Host) -> Result<String> {
    card_of(host, &[])
}

fn card_of(host: &Host, more: &[&str]) -> Result<String> {
    let output = host.run([&INSTALL[..], more].concat()).env("SUREFOOT_LOCK_TIMEOUT", "1").output()?;
    ensure!(!output.success(), "installed:\n{}", output.stderr);
    Ok(squeezed(&host.surefoot("why")?.stdout))
}

/// A card without its lines.
fn squeezed(card: &str) -> String {
    card.replace(['|', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Repositories as CentOS 7 has had them.
const BASE: &str = "[base]\nname=CentOS-$releasever - Base\n\
     mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo=os&infra=$infra\n\
     #baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/\ngpgcheck=1\n";

#[test]
fn what_is_wrong_with_yum_is_on_the_card() -> Result<()> {
    let vendor = Vendor::start()?;
    let host = vendor.host()?;
    // Each with what it is mended by.
    for (broken, says, mended) in [
        (
            "sleep 600 & echo -n $! >/run/yum.pid",
            &["/var/run/yum.pid is held by 'sleep' (pid ", "class locked"][..],
            "kill $(cat /run/yum.pid)",
        ),
        (
            "echo exclude=redis* >>/etc/yum.conf",
            &["No package redis available.", "'exclude' in /etc/yum.conf", "class package"],
            "sed -i /^exclude/d /etc/yum.conf",
        ),
        (
            "cp -a /var/lib/rpm /root/rpm && rpm -e --nodeps rocky-release",
            &["Requires: shadow-utils", "maybe EPEL (package 'epel-release')", "class package"],
            "rm -r /var/lib/rpm && mv /root/rpm /var/lib/rpm",
        ),
        (
            "cp /root/base.repo /etc/yum.repos.d/CentOS-Base.repo",
            &["mirrorlist.centos.org", "their mirrors are gone", "vault.centos.org", "class repository"],
            "rm /etc/yum.repos.d/CentOS-Base.repo",
        ),
    ] {
        host.write("/root/base.repo", BASE, 0o644)?;
        host.sh(broken)?;
        let card = card(&host)?;
        ensure!(says.iter().all(|words| card.contains(words)), "{says:?} after {broken}:\n{card}");
        host.sh(mended)?;
    }
    // The lock is waited for, and what holds it named.
    host.sh("(sleep 8; rm /run/yum.pid) & echo -n $! >/run/yum.pid")?;
    let waited = install(&host)?.ok()?;
    ensure!(waited.stderr.contains("waiting for /var/run/yum.pid, held by "), "{}", waited.stderr);
    vendor.works(&host)
}

/// The index of a repository of ours that names a file which is not there is none, also when it is gone on.
#[test]
fn an_index_of_which_half_is_there_is_fetched_again() -> Result<()> {
    let vendor = Vendor::start()?;
    let host = vendor.host()?;
    let primary = std::fs::read_dir(vendor.repo.folder().join("repodata"))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .find(|name| name.contains("primary.xml"))
        .context("the index names no packages")?;
    vendor.web.answer(&format!("/el7/repodata/{primary}"), Answer::Status(404));
    let card = card(&host)?;
    let says = ["the index of repository 'vendor' cannot be fetched", "stage repositories", "class repository", "404"];
    ensure!(says.iter().all(|words| card.contains(words)), "{card}");
    assert_eq!(host.sh("find /var/cache/yum -path '*/vendor/repomd.xml'")?, "");
    vendor.web.behave();
    host.surefoot("install --resume --yes")?.ok()?;
    ensure_said(&host.exec(INSTALL)?.ok()?, SECOND)
}

#[test]
fn a_dead_repository_of_somebody_else_harms_nobody_by_yum() -> Result<()> {
    let vendor = Vendor::start()?;
    let host = vendor.host()?;
    let url = vendor.web.url();
    let endpoint = format!("endpoint {}", url.trim_start_matches("http://"));
    let gone = ["--ignore", "endpoint mirrorlist.centos.org", "--ignore", &endpoint];
    host.write("/etc/yum.repos.d/CentOS-Base.repo", BASE, 0o644)?;
    host.write(
        "/etc/yum.repos.d/panel.repo",
        format!("[panel]\nname=panel\nbaseurl={url}/nowhere\nenabled=1\n"),
        0o644,
    )?;
    // Where a package is missing, that may be why.
    let blueprint = vendor.blueprint();
    host.write_blueprint("shop", &blueprint.replace("[\"redis\"]", "[\"redis\", \"nobodys\"]"))?;
    let card = card_of(&host, &gone)?;
    let says = ["No package nobodys available.", "mirrorlist.centos.org", "vault.centos.org", "class repository"];
    ensure!(says.iter().all(|words| card.contains(words)), "{card}");

    host.write_blueprint("shop", &blueprint)?;
    host.sh("yum -q clean all")?;
    let done = host.run([&INSTALL[..], &["--answers", "/root/answers.toml"], &gone].concat()).output()?.ok()?;
    ensure_said(&done, "a repository that is not ours fails: 'base', 'panel': ")?;
    vendor.works(&host)?;

    // One of the blueprint's own is needed.
    host.sh("systemctl stop redis && rpm -e --nodeps redis && find /var/cache/yum -exec touch -d '10 days ago' {} +")?;
    vendor.web.answer("/el7", Answer::Status(503));
    let card = card_of(&host, &gone)?;
    ensure!(["repomd.xml from vendor", "503"].iter().all(|words| card.contains(words)), "{card}");
    vendor.web.behave();
    Ok(())
}

/// What the distribution has is too old for its kind, and that is said before anything is touched.
#[test]
fn servers_that_are_too_old_are_refused_by_name() -> Result<()> {
    let host = Host::boot(Suite::El7)?;
    host.install_binary()?;
    let before = Digest::of(&host)?;
    for (answers, says) in [
        ("", "Redis 3.2, which EPEL has there"),
        ("redis_server = 'redis.lab.test:6379'\n", "RabbitMQ 3.3, which EPEL has there, reads no rabbitmq.conf"),
        (
            "redis_server = 'redis.lab.test:6379'\nrabbitmq = false\n",
            "PostgreSQL 9.2, which it has, knows no SCRAM-SHA-256",
        ),
    ] {
        host.write("/root/answers.toml", answers, 0o600)?;
        let refused = host.surefoot("install services --yes --answers /root/answers.toml")?.code_is(12)?;
        let card = squeezed(&refused.stderr);
        ensure!(card.contains(says) && card.contains("class unsupported"), "{says}:\n{card}");
    }
    let refused = host.surefoot(&format!("install stackstorm --yes --set st2_fingerprint={}", "0".repeat(40)))?;
    ensure!(!refused.success() && squeezed(&refused.stderr).contains("class unsupported"), "{}", refused.stderr);
    host.sh("rm /root/answers.toml")?;
    let after = Digest::diff(&before, &Digest::of(&host)?);
    ensure!(after.is_empty(), "it leaves {after:#?}");
    Ok(())
}
