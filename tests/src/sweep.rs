//! The kill sweep: surefoot is killed at a chosen moment, gone on with, and the host compared with one on which it was not.
//!
//! A [`Subject`] says what is installed, an [`Action`] what is killed. [`Sweep::new`] does it once unharmed and lists where it
//! could have been killed; [`Sweep::kill`] takes a fresh host, kills it at one [`Point`] and judges what `--resume` makes of it.

mod judge;
mod point;
mod report;

use crate::{
    Digest, Host, KillPoint, Snapshot, Suite,
    kill::{MOVES, SYNCS},
    place, product, snapshot,
};
use anyhow::{Context, Result, ensure};
use std::{fmt, time::Duration, time::Instant};

pub use judge::generated;
pub use point::{Death, Moment, Phase, Point, Random, seed};
pub use report::Report;

/// A blueprint to be swept.
#[derive(Debug)]
pub struct Subject {
    /// A folder of `tests/data/blueprints`, or a built-in blueprint; the product's name, too.
    pub product: &'static str,
    /// Is it a folder of ours?
    pub own: bool,
    /// Answers that give every secret, as TOML. The sweep of generated secrets leaves them out.
    pub answers: &'static str,
    /// Shell scripts that must succeed on an installed host; the secrets on its disk are in their environment, by name.
    pub logins: &'static [&'static str],
    /// A shell script that makes data which an uninstall without `--purge` must leave.
    pub data: &'static str,
    /// A shell script that finds those data.
    pub data_there: &'static str,
}

/// Redis and nginx alone.
pub static WEB: Subject = Subject {
    product: "web",
    own: true,
    answers: "redis_password = 'It is 100% \"secret\"'\n",
    logins: &[
        "REDISCLI_AUTH=$redis_password redis-cli ping | grep -qx PONG",
        "! redis-cli ping | grep -qx PONG",
        r"exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\r\nHost: box.lab.test\r\n\r\n' >&3; grep -q 'is up' <&3",
    ],
    data: "REDISCLI_AUTH=$redis_password redis-cli set some thing | grep -qx OK",
    data_there: "REDISCLI_AUTH=$redis_password redis-cli get some | grep -qx thing",
};

/// nginx alone, with a certificate and a password. The program looks itself that its certificate is shown and its password asked for.
pub static SITE: Subject = Subject {
    product: "site",
    own: true,
    answers: "password = 'It is 100% \"secret\"'\n",
    logins: &[
        "surefoot status site --exit-code",
        r"exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET /a HTTP/1.0\r\nHost: box.lab.test\r\n\r\n' >&3; grep -q 'https://box.lab.test/a' <&3",
    ],
    data: "true",
    data_there: "true",
};

/// A shell function: asks RabbitMQ's management API with METHOD PATH USER:PASSWORD [BODY].
macro_rules! api {
    () => {
        r#"api() {
            exec 3<>/dev/tcp/127.0.0.1/15672
            printf '%s /api/%s HTTP/1.0\r\nAuthorization: Basic %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
                "$1" "$2" "$(printf %s "$3" | base64 -w0)" "$(printf %s "${4-}" | wc -c)" "${4-}" >&3
            cat <&3
        }
        "#
    };
}

/// The whole of the built-in blueprint.
pub static SERVICES: Subject = Subject {
    product: "services",
    own: false,
    answers: "web_password = 'It is 100% \"secret\"'\nredis_password = 'another one: $1'\nrabbitmq_password = 'the third %'\n\
              postgresql_password = 'and a fourth'\n",
    logins: &[
        "REDISCLI_AUTH=$redis_password redis-cli ping | grep -qx PONG",
        "! redis-cli ping | grep -qx PONG",
        "PGPASSWORD=$postgresql_password psql -h 127.0.0.1 -U app -XAtc 'select 1' app | grep -qx 1",
        "! PGPASSWORD=wrong psql -h 127.0.0.1 -U app -XAtc 'select 1' app",
        concat!(
            api!(),
            r#"api GET whoami "admin:$rabbitmq_password" | grep -q administrator; api GET whoami guest:guest | grep -q '^HTTP/1.. 401'"#
        ),
        r#"site() { printf 'GET / HTTP/1.0\r\nHost: box.lab.test\r\nAuthorization: Basic %s\r\n\r\n' "$(printf %s "$1" | base64 -w0)" |
                    openssl s_client -quiet -connect 127.0.0.1:443 -servername box.lab.test 2>/dev/null; }
           site "admin:$web_password" | grep -q '^HTTP/1.. 200'; site admin:wrong | grep -q '^HTTP/1.. 401'"#,
        "surefoot status services --exit-code",
    ],
    data: concat!(
        api!(),
        r#"
        REDISCLI_AUTH=$redis_password redis-cli set some thing | grep -qx OK
        PGPASSWORD=$postgresql_password psql -h 127.0.0.1 -U app -Xc "create table kept as select 'thing' as value" app
        api PUT queues/%2F/some "admin:$rabbitmq_password" '{"durable": true}' | grep -q '^HTTP/1.. 201'
        api POST exchanges/%2F/amq.default/publish "admin:$rabbitmq_password" \
            '{"routing_key": "some", "payload": "thing", "payload_encoding": "string", "properties": {"delivery_mode": 2}}' | grep -q '"routed":true'
    "#
    ),
    data_there: concat!(
        api!(),
        r#"
        REDISCLI_AUTH=$redis_password redis-cli get some | grep -qx thing
        PGPASSWORD=$postgresql_password psql -h 127.0.0.1 -U app -XAtc 'select value from kept' app | grep -qx thing
        api POST queues/%2F/some/get "admin:$rabbitmq_password" '{"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}' | grep -q '"payload":"thing"'
    "#
    ),
};

impl Subject {
    /// A fresh host with the program, the blueprint and the answers in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn fresh(&'static self) -> Result<Snapshot> {
        ground(self, true)
    }

    /// A host on which it is installed and holds data.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn installed(&'static self) -> Result<Snapshot> {
        ground(self, false)
    }

    /// Runs a script with the secrets on the host's disk in its environment.
    ///
    /// # Errors
    /// When it does not exit 0.
    pub fn login(&self, host: &Host, script: &str) -> Result<()> {
        judge::login(host, self, script)
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `install` on a fresh host, secrets given.
    Install,
    /// `install` on a fresh host, secrets generated.
    InstallGenerated,
    /// `uninstall` of what was installed.
    Uninstall,
    /// `uninstall --purge`.
    Purge,
}

impl Action {
    fn installs(self) -> bool {
        matches!(self, Self::Install | Self::InstallGenerated)
    }

    /// What the journal calls it.
    fn name(self) -> &'static str {
        if self.installs() { "install" } else { "uninstall" }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Install => "install",
            Self::InstallGenerated => "install with generated secrets",
            Self::Uninstall => "uninstall",
            Self::Purge => "uninstall --purge",
        })
    }
}

/// What it is like when nothing is killed.
#[derive(Debug)]
struct Whole {
    digest: Digest,
    /// What is left in the folders of surefoot's own.
    remains: String,
    changed: usize,
    points: Vec<KillPoint>,
    /// What dpkg was at after each line that it logged.
    lines: Vec<Phase>,
    took: Duration,
}

/// One action on one subject, ready to be killed.
#[derive(Debug)]
pub struct Sweep {
    subject: &'static Subject,
    action: Action,
    ground: Snapshot,
    whole: Whole,
}

/// Where the answers are in a host.
pub const ANSWERS: &str = "/root/answers.toml";

impl Sweep {
    /// Prepares the ground, and does the action once without a kill.
    ///
    /// # Errors
    /// When that does not succeed.
    pub fn new(subject: &'static Subject, action: Action) -> Result<Self> {
        let ground = ground(subject, action.installs())?;
        let host = ground.host().boot()?;
        let (before, started) = (point::dpkg_log(&host).len(), Instant::now());
        let calls = [&SYNCS[..], &MOVES].concat();
        let (points, output) = host.run(command(subject, action)).kill_points_of(&calls)?;
        let took = started.elapsed();
        ensure!(output.success(), "it fails unharmed:\n{}", judge::told(&output));
        let changed = judge::changed(&output.stdout);
        ensure!(changed > 0 && points.len() > changed, "{changed} changes and {} syncs", points.len());
        let lines = point::dpkg_log(&host).split_off(before);
        let whole = Whole {
            digest: Digest::but_for(&host, &judge::generated(&host, subject.product)?)?,
            remains: judge::remains(&host)?,
            changed,
            points,
            lines: (1..=lines.len()).map(|line| Phase::of(&lines[..line])).collect(),
            took,
        };
        judge::logins(&host, subject, action)?;
        Ok(Self { subject, action, ground, whole })
    }

    /// Every sync with each of the three deaths; every other call that counts, and every line that dpkg logs, with one of them.
    #[must_use]
    pub fn all(&self) -> Vec<Point> {
        let (syncs, moves): (Vec<_>, Vec<_>) =
            self.whole.points.iter().cloned().partition(|point| SYNCS.contains(&point.call));
        let thrice = syncs
            .into_iter()
            .flat_map(|point| Death::ALL.map(|death| Point { moment: Moment::Call(point.clone()), death }));
        let once = moves.into_iter().map(Moment::Call).chain((1..=self.whole.lines.len()).map(Moment::Dpkg));
        thrice.chain(once.zip(Death::ALL.into_iter().cycle()).map(|(moment, death)| Point { moment, death })).collect()
    }

    /// A point anywhere: a call, a line of dpkg's log or a moment by the clock.
    pub fn draw(&self, random: &mut Random) -> Point {
        let whole = &self.whole;
        let moment = match random.below(4) {
            0 | 1 => Moment::Call(whole.points[random.below(whole.points.len())].clone()),
            2 if !whole.lines.is_empty() => Moment::Dpkg(1 + random.below(whole.lines.len())),
            _ => Moment::After(Duration::from_micros(
                random.below(usize::try_from(whole.took.as_micros()).unwrap_or(1)) as u64,
            )),
        };
        Point { moment, death: random.death() }
    }

    /// Numbers of the lines after which dpkg is at something.
    #[must_use]
    pub fn lines(&self, at: impl Fn(&Phase) -> bool) -> Vec<usize> {
        (1..=self.whole.lines.len()).filter(|line| at(&self.whole.lines[line - 1])).collect()
    }

    /// Kills it there, goes on, and compares. None where it had ended before its moment came.
    ///
    /// # Errors
    /// What is not as it has to be.
    pub fn kill(&self, point: &Point) -> Result<Option<Phase>> {
        let mut host = self.ground.host().boot()?;
        let args = command(self.subject, self.action);
        let Some((killed, phase)) = point.strike(&mut host, args)? else { return Ok(None) };
        let judged = judge::Judge { subject: self.subject, action: self.action, whole: &self.whole, host: &host };
        judged
            .go_on(&killed)
            .with_context(|| format!("killed {phase}; it had said:\n{}{}", killed.stdout, killed.stderr))?;
        Ok(Some(phase))
    }
}

/// The words that do it, with JSON on standard output.
fn command(subject: &Subject, action: Action) -> Vec<String> {
    let blueprint = if subject.own { format!("/root/{}", subject.product) } else { subject.product.to_owned() };
    let words: Vec<&str> = match action {
        Action::Install => vec!["install", &blueprint, "--answers", ANSWERS],
        Action::InstallGenerated => vec!["install", &blueprint],
        Action::Uninstall => vec!["uninstall", subject.product],
        Action::Purge => vec!["uninstall", subject.product, "--purge"],
    };
    ["surefoot"].iter().chain(&words).chain(&["--yes", "--output", "json"]).map(|word| (*word).to_owned()).collect()
}

/// A fresh host with the program and the blueprint in it, or one where it is installed and holds data.
fn ground(subject: &'static Subject, fresh: bool) -> Result<Snapshot> {
    let key = if subject.own { product::key_of(subject.product)? } else { snapshot::key_of(&place::surefoot()?)? };
    let name = format!("sweep-{}-{}", subject.product, if fresh { "fresh" } else { "installed" });
    Snapshot::cached(&name, &format!("{key}{subject:?}"), || {
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        if subject.own {
            host.install_blueprint(subject.product)?;
        }
        host.write(ANSWERS, subject.answers, 0o600)?;
        if !fresh {
            judge::succeed(&host, command(subject, Action::Install))?;
            judge::login(&host, subject, subject.data)?;
        }
        Ok(host)
    })
}
