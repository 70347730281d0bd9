//! The backing services on the stand-ins for Enterprise Linux, Fedora, Amazon Linux and openSUSE Leap: real dnf, zypper, rpm and systemd on a Debian root, with signed
//! repositories of its own.

use anyhow::{Context, Result, ensure};
use lab::{
    Digest, Host, KillPoint, Suite, Watch, base,
    kill::{MOVES, SYNCS},
    mongodb,
    repo::Signature,
    rpm::{self, RpmRepo},
    run::ensure_said,
    sweep::{self, Death, Moment, Point, Random, SERVICES},
    web::Web,
};
use std::fs;
use std::time::{Duration, Instant};

const INSTALL: [&str; 6] = ["surefoot", "install", "services", "--yes", "--answers", "/root/answers.toml"];

/// Unit of the server that others call Redis.
fn redis(suite: Suite) -> &'static str {
    match suite {
        Suite::El10 | Suite::Fedora => "valkey",
        Suite::Amazon => "redis6",
        Suite::Leap => "redis@surefoot",
        _ => "redis",
    }
}

/// The repositories of a host before surefoot comes: the distribution's own, and the vendor's of RabbitMQ, which no distribution has. And
/// that of MongoDB, which surefoot brings.
struct Served {
    suite: Suite,
    web: Web,
    repos: [(&'static str, RpmRepo); 2],
    mongodb: RpmRepo,
}

impl Served {
    fn start(suite: Suite) -> Result<Self> {
        let signed = |names: &[&str]| RpmRepo::new(names, Signature::Right, Signature::Right);
        let distribution = signed(&base::own_packages(suite))?;
        let rabbitmq = if suite == Suite::Leap { "leap-rabbitmq" } else { "rabbitmq-server" };
        let (web, repos) = (Web::start()?, [("appstream", distribution), ("rabbitmq", signed(&[rabbitmq])?)]);
        for (name, repo) in &repos {
            web.serve(&format!("/{name}"), repo.folder());
        }
        let mongodb = mongodb::rpm_repository(suite)?;
        fs::write(mongodb.folder().join("server.asc"), mongodb.key())?;
        web.serve("/mongodb", mongodb.folder());
        Ok(Self { suite, web, repos, mongodb })
    }

    /// Answers that have MongoDB, too.
    fn answers(&self) -> String {
        let (url, fingerprint) = (self.web.url(), self.mongodb.fingerprint());
        format!(
            "{}mongodb = true\nmongodb_repository = '{url}/mongodb'\nmongodb_key = '{url}/mongodb/server.asc'\n\
             mongodb_fingerprint = '{fingerprint}'\nmongodb_admin_password = 'a fifth'\nmongodb_password = 'and a sixth'\n",
            SERVICES.answers
        )
    }

    fn host(&self, answers: &str) -> Result<Host> {
        let host = Host::boot(self.suite)?;
        host.install_binary()?;
        host.write("/root/answers.toml", answers, 0o600)?;
        let (folder, fetch) = match self.suite {
            Suite::Leap => ("/etc/zypp/repos.d", "zypper -q refresh"),
            _ => ("/etc/yum.repos.d", "dnf -q makecache"),
        };
        for (name, repo) in &self.repos {
            let (key, url) = (format!("/etc/pki/RPM-GPG-KEY-{name}"), self.web.url());
            let definition = format!("[{name}]\nname={name}\nbaseurl={url}/{name}\ngpgcheck=1\ngpgkey=file://{key}\n");
            host.write(&key, repo.key(), 0o644)?;
            host.write(&format!("{folder}/{name}.repo"), definition, 0o644)?;
            host.sh(&format!("rpm --import {key}"))?;
        }
        host.sh(fetch)?;
        Ok(host)
    }

    /// Every login works, and a second run changes nothing.
    fn works(&self, host: &Host) -> Result<()> {
        for login in SERVICES.logins {
            let login = login.replace("redis-cli", &format!("{}-cli", redis(self.suite).trim_end_matches("@surefoot")));
            SERVICES.login(host, &login).context(login)?;
        }
        ensure_said(&host.run(INSTALL).output()?.ok()?, " in place, 0 changed, 0 failed")
    }

    /// Killed at `point` and gone on with, an install comes to the same as the one that `whole` is of. False where it had ended
    /// before.
    fn survives(&self, answers: &str, point: &Point, whole: &Digest) -> Result<bool> {
        let mut host = self.host(answers)?;
        if point.strike(&mut host, INSTALL.map(str::to_owned).to_vec())?.is_none() {
            return Ok(false);
        }
        let resumed = host.surefoot("install --resume --yes")?;
        if resumed.stderr.contains("nothing to resume") {
            host.run(INSTALL).output()?.ok()?;
        } else {
            resumed.ok()?;
        }
        let differences = Digest::diff(whole, &Digest::of(&host)?);
        ensure!(differences.is_empty(), "the host differs: {differences:#?}");
        self.works(&host).map(|()| true)
    }

    /// Killed at one of `points`, which is drawn.
    fn a_kill_loses_nothing(&self, answers: &str, points: &[KillPoint], whole: &Host) -> Result<()> {
        let seed = sweep::seed()?;
        let point = &points[Random::new(seed).below(points.len())];
        let point = Point { moment: Moment::Call(point.clone()), death: Death::Process };
        let survives = self.survives(answers, &point, &Digest::of(whole)?);
        ensure!(survives.with_context(|| format!("killed {point}, seed {seed}"))?, "{point} was not reached");
        Ok(())
    }
}

#[test]
fn the_services_come_and_go() -> Result<()> {
    let served = Served::start(Suite::El9)?;
    let answers = served.answers();
    let host = served.host(&answers)?;
    let before = Digest::of(&host)?;
    let watch = Watch::start(&host)?;
    let (points, output) = host.run(INSTALL).kill_points()?;
    output.ok()?;
    watch.end(&host)?.never_open(&[80, 5432, 5672, 6379, 15672, 27017], &[80, 443])?;
    for unit in ["nginx", "postgresql", "rabbitmq-server", "redis", "mongod"] {
        let started = format!("journalctl -b -o cat -u {unit} | grep -c '^Started'; systemctl is-enabled {unit}");
        assert_eq!(host.sh(&started)?, "1\nenabled", "{unit}: one start, with the final configuration");
    }
    served.works(&host)?;
    // Who is not root is told what is hidden.
    for command in ["plan", "preflight"] {
        let looked = host.run(["surefoot", command, "services"]).as_user("nobody").output()?.ok()?;
        ensure!(command == "preflight" || looked.stdout.contains("hidden: database app of "), "{}", looked.stdout);
    }
    let script = "import sys; sys.path.insert(0, '/usr/lib/mongodb-stand-in'); import pymongo\n\
        db = pymongo.MongoClient(open('/etc/mongodb/app.app').read().strip()).get_default_database()\n\
        print(db.things.count_documents({}))";
    assert_eq!(host.run(["python3", "-B", "-"]).stdin(script).output()?.ok()?.stdout.trim(), "0");
    let took = host.quickest(&INSTALL)?;
    ensure!(took < Duration::from_millis(250), "a second run took {took:?}");
    // The server that nginx.conf has by itself makes way, and nothing else of it changes.
    assert_eq!(host.sh("rpm -V nginx nginx-core || true")?, "S.5....T.  c /etc/nginx/nginx.conf");
    assert_eq!(host.sh("sed -n 's/^#surefoot# //p' /etc/nginx/nginx.conf | grep -c .")?, "14");
    // Also where the memory of it is gone.
    host.sh("mv /var/lib/surefoot /root/state")?;
    ensure_said(&host.run(INSTALL).output()?.ok()?, " in place, 0 changed, 0 failed")?;
    host.sh("rm -r /var/lib/surefoot && mv /root/state /var/lib/surefoot")?;

    served.a_kill_loses_nothing(&answers, &points, &host)?;

    host.surefoot("uninstall --purge --yes")?.ok()?;
    rpm::nothing_is_left(&before, &host, &[])
}

/// Where names and paths are others. One of them is killed besides, which is drawn.
fn the_services_of(suite: Suite) -> Result<()> {
    let served = Served::start(suite)?;
    let host = served.host(SERVICES.answers)?;
    let before = Digest::of(&host)?;
    // Of those that run without being asked for.
    let killed = [Suite::El8, Suite::El10, Suite::Leap][sweep::Random::new(sweep::seed()?).below(3)];
    let is_killed = killed == suite;
    let points = if is_killed {
        let (points, output) = host.run(INSTALL).kill_points()?;
        output.ok().map(|_| points)?
    } else {
        host.run(INSTALL).output()?.ok().map(|_| Vec::new())?
    };
    for unit in ["nginx", "postgresql", "rabbitmq-server", redis(suite)] {
        let started = format!("journalctl -b -o cat -u {unit} | grep -c '^Started'; systemctl is-enabled {unit}");
        assert_eq!(host.sh(&started)?, "1\nenabled", "{unit}: one start, with the final configuration");
    }
    served.works(&host)?;
    if is_killed {
        served.a_kill_loses_nothing(SERVICES.answers, &points, &host)?;
    }
    // One whose data somebody moved is not configured where they were.
    let moved = "/etc/systemd/system/postgresql.service.d";
    host.write(&format!("{moved}/moved.conf"), "[Service]\nEnvironment=PGDATA=/srv/pgdata\n", 0o644)?;
    let refused = host.run(INSTALL).output()?.code_is(31)?;
    let said = refused.stdout + &refused.stderr;
    ensure!(said.contains("/srv/pgdata") && said.contains("/var/lib/pgsql/data"), "{said}");
    host.sh(&format!("rm -r {moved}"))?;
    host.surefoot("uninstall --purge --yes")?.ok()?;
    rpm::nothing_is_left(&before, &host, &[])
}

#[test]
fn the_services_of_enterprise_linux_8() -> Result<()> {
    the_services_of(Suite::El8)
}

#[test]
fn the_services_of_enterprise_linux_10() -> Result<()> {
    the_services_of(Suite::El10)
}

#[test]
fn the_services_of_leap() -> Result<()> {
    the_services_of(Suite::Leap)
}

#[test]
#[ignore = "its stand-in is made from a Debian that is not released, which changes: make everything"]
fn the_services_of_fedora() -> Result<()> {
    the_services_of(Suite::Fedora)
}

#[test]
#[ignore = "a twin on another release: make everything"]
fn the_services_of_amazon_linux() -> Result<()> {
    the_services_of(Suite::Amazon)
}

/// `count` points, drawn: calls and moments by the clock.
fn sweep(suite: Suite, count: usize) -> Result<()> {
    let (served, seed) = (Served::start(suite)?, sweep::seed()?);
    let host = served.host(SERVICES.answers)?;
    let started = Instant::now();
    let (points, output) = host.run(INSTALL).kill_points_of(&[&SYNCS[..], &MOVES].concat())?;
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
        match served.survives(SERVICES.answers, &point, &whole) {
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
fn sweep_the_services_of_enterprise_linux_9() -> Result<()> {
    sweep(Suite::El9, 20)
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_the_services_of_enterprise_linux_8() -> Result<()> {
    sweep(Suite::El8, 10)
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_the_services_of_enterprise_linux_10() -> Result<()> {
    sweep(Suite::El10, 10)
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_the_services_of_amazon_linux() -> Result<()> {
    sweep(Suite::Amazon, 10)
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_the_services_of_leap() -> Result<()> {
    sweep(Suite::Leap, 10)
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_the_services_of_fedora() -> Result<()> {
    sweep(Suite::Fedora, 10)
}
