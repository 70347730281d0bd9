//! `lab bench`: how long the backing services take to install, by surefoot, by a careful bash script, by Ansible, and what a bare apt-get costs.
//!
//! The contestants take turns on fresh hosts, on the local mirror and over an emulated long line, so that what else the machine does meets them all
//! alike. What counts are the ratios within a round; the medians of several rounds are reported.

use crate::{
    cgroup::HostGroup, host::Host, line::Line, place, run::Run, setup, snapshot, snapshot::Snapshot, suite::Suite, tool,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long one contestant may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
const ANSIBLE: &str = "2.19";
/// What everybody is given beforehand: what images of servers have (perl, locales and man-db are much of what a bare root would fetch), and
/// Ansible.
const IMAGE: &str = "rm -f /etc/apt/apt.conf.d/docker-clean; apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends \
                     python3 python3-apt perl man-db locales openssh-server cron rsyslog curl openssl gnupg sudo initramfs-tools netbase lsb-release \
                     && apt-get clean && rm -rf /var/lib/apt/lists/*";
/// Passwords, as the script and the playbook expect them.
const PASSWORDS: [(&str, &str); 4] = [
    ("REDIS_PASSWORD", "benchredis"),
    ("RABBITMQ_PASSWORD", "benchrabbit"),
    ("POSTGRESQL_PASSWORD", "benchpostgres"),
    ("WEB_PASSWORD", "benchweb"),
];
/// All that the contestants have to bring: component, package, and questions that only a service answers in this way that is configured as
/// surefoot's are.
const COMPONENTS: [(&str, &str, &[&str]); 4] = [
    (
        "redis",
        "redis-server",
        &["redis-cli ping 2>&1 | grep -q NOAUTH", "REDISCLI_AUTH=benchredis redis-cli -h ::1 ping | grep -q PONG"],
    ),
    (
        "rabbitmq",
        "rabbitmq-server",
        &[
            "curl -sf -u admin:benchrabbit http://127.0.0.1:15672/api/whoami | grep -q administrator",
            "test \"$(curl -s -o /dev/null -w '%{http_code}' -u guest:guest http://127.0.0.1:15672/api/whoami)\" = 401",
            "grep -q ':1628 ' /proc/net/tcp6",
        ],
    ),
    (
        "postgresql",
        "postgresql",
        &[
            "PGPASSWORD=wrong psql -h 127.0.0.1 -U app -d app -c 'select 1' 2>&1 | grep -q 'authentication failed'",
            "PGPASSWORD=benchpostgres psql -h ::1 -U app -d app -c 'select 1'",
            "PGPASSWORD=benchpostgres psql -U app -d app -c 'select 1'",
        ],
    ),
    (
        "nginx",
        "nginx",
        &[
            "test \"$(curl -sk -o /dev/null -w '%{http_code} %{http_version}' https://localhost/)\" = '401 2'",
            "test \"$(curl -sk -o /dev/null -w '%{http_code} %{http_version}' -u admin:benchweb 'https://[::1]/')\" = '200 2'",
            "curl -sk -I https://localhost/ | grep -qi strict-transport-security",
            "curl -s -o /dev/null -w '%{redirect_url}' http://localhost/ | grep -q https://localhost/",
            "! openssl s_client -connect localhost:443 -tls1_1 < /dev/null",
        ],
    ),
];
/// Nothing but nginx is reached from elsewhere.
const LOOPBACK: &str = "! ss -Hltn | awk '{ print $4 }' | grep -vE '^(127[.]0[.]0[.]1|\\[::1\\]):|:(22|80|443)$'";

/// Who installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contestant {
    Surefoot,
    Bash,
    Ansible,
    /// apt-get alone, with the services' starts as the packages do them: nothing is configured.
    Bare,
}

const ALL: [Contestant; 4] = [Contestant::Surefoot, Contestant::Bash, Contestant::Bare, Contestant::Ansible];

/// What it took.
#[derive(Clone, Copy, Debug)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// Runs everything `rounds` times and prints what it took as Markdown.
///
/// # Errors
/// When a contestant does not bring what it should.
pub fn bench(rounds: usize) -> Result<()> {
    setup::setup()?;
    let snapshot = image()?;
    for (line, name) in [(false, "local mirror"), (true, "50 ms, 50 Mbit/s")] {
        // The mirror fetches what it does not have yet.
        let mut taken: Vec<Vec<Took>> = vec![Vec::new(); ALL.len()];
        if !line {
            run(&snapshot, Contestant::Bare, false)?;
        }
        for round in 0..rounds {
            for (at, contestant) in ALL.into_iter().enumerate() {
                let took = run(&snapshot, contestant, line).with_context(|| format!("{contestant:?}, {name}"))?;
                eprintln!("round {}, {name}: {contestant:?} {:.1} s, {:.1} s of CPU", round + 1, took.wall, took.cpu);
                taken[at].push(took);
            }
        }
        report(name, &taken);
    }
    Ok(())
}

fn report(name: &str, taken: &[Vec<Took>]) {
    println!(
        "\n| {name} | wall, s | CPU, s | surefoot's wall to its | surefoot's CPU to its |\n| --- | --- | --- | --- | --- |"
    );
    for (contestant, of) in ALL.iter().zip(taken) {
        let ratio =
            |value: fn(&Took) -> f64| median(taken[0].iter().zip(of).map(|(ours, its)| value(ours) / value(its)));
        println!(
            "| {contestant:?} | {:.1} | {:.1} | {:.2} | {:.2} |",
            median(of.iter().map(|took| took.wall)),
            median(of.iter().map(|took| took.cpu)),
            ratio(|took| took.wall),
            ratio(|took| took.cpu),
        );
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// A host for everybody, with surefoot and Ansible on it.
fn image() -> Result<Snapshot> {
    let key = format!("{} {ANSIBLE} {IMAGE}", snapshot::key_of(&place::surefoot()?)?);
    Snapshot::cached("bench", &key, || {
        let host = Host::boot(Suite::Bookworm)?;
        host.run(["sh", "-euc", IMAGE]).patience(PATIENCE).output()?.ok()?;
        host.install_binary()?;
        let tar = tool::tool_bytes("tar", ["c", "-C", &ansible()?.display().to_string(), "."])?;
        host.sh("mkdir -p /opt/ansible /root/bench")?;
        host.run(["tar", "x", "-C", "/opt/ansible"]).stdin(tar).output()?.ok()?;
        Ok(host)
    })
}

/// Ansible from PyPI for the host's Python, fetched once.
fn ansible() -> Result<PathBuf> {
    place::cached(&format!("ansible-core-{ANSIBLE}"), |fresh| {
        let (target, version) = (fresh.display().to_string(), format!("ansible-core~={ANSIBLE}.0"));
        let pip = ["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--python-version", "3.11"];
        tool::tool("python3", pip.into_iter().chain(["--target", &target, &version])).map(drop)
    })
}

fn run(snapshot: &Snapshot, contestant: Contestant, line: bool) -> Result<Took> {
    let host = Host::builder(Suite::Bookworm).from(snapshot).boot()?;
    for file in ["install.sh", "playbook.yml"] {
        let path = format!("{}/data/bench/{file}", env!("CARGO_MANIFEST_DIR"));
        host.write(&format!("/root/bench/{file}"), fs::read(path)?, 0o755)?;
    }
    let answers = "site = 'localhost'\nredis_password = 'benchredis'\nrabbitmq_password = 'benchrabbit'\n\
                   postgresql_password = 'benchpostgres'\nweb_password = 'benchweb'\n";
    host.write("/root/bench/answers.toml", answers, 0o600)?;
    let _line = line.then(|| Line::lay(&host)).transpose()?;
    let shown = host.exec(["surefoot", "blueprint", "show", "services"])?.ok()?.stdout;
    let components: Vec<_> = COMPONENTS.into_iter().filter(|(name, ..)| shown.contains(name)).collect();
    let script = match contestant {
        Contestant::Surefoot => "surefoot install services --yes --quiet --answers /root/bench/answers.toml".to_owned(),
        Contestant::Bash => {
            let names: Vec<&str> = components.iter().map(|(name, ..)| *name).collect();
            format!("/root/bench/install.sh {}", names.join(" "))
        }
        Contestant::Ansible => {
            let names: Vec<&str> = components.iter().map(|(name, ..)| *name).collect();
            format!(
                "PYTHONPATH=/opt/ansible PATH=/opt/ansible/bin:$PATH python3 -m ansible playbook --tags {} -i localhost, /root/bench/playbook.yml",
                names.join(",")
            )
        }
        Contestant::Bare => {
            let packages: Vec<&str> = components.iter().map(|(_, package, _)| *package).collect();
            format!(
                "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends {}",
                packages.join(" ")
            )
        }
    };
    let group = HostGroup::of(host.name())?;
    let (cpu, began) = (group.cpu()?, Instant::now());
    let mut run: Run = host.run(["sh", "-euc", &script]).patience(PATIENCE);
    for (name, value) in PASSWORDS {
        run = run.env(name, value);
    }
    run.output()?.ok()?;
    let took = Took { wall: began.elapsed().as_secs_f64(), cpu: group.cpu()? - cpu };
    if contestant != Contestant::Bare {
        let of_components =
            components.iter().flat_map(|(name, _, questions)| questions.iter().map(move |one| (*name, *one)));
        for (name, question) in of_components.chain([("a service", LOOPBACK)]) {
            ensure!(host.exec(["sh", "-c", question])?.success(), "{name} does not answer as it should: {question}");
        }
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!((median([3.0, 1.0, 2.0].into_iter()), median([4.0, 1.0].into_iter())), (2.0, 2.5));
    }
}
