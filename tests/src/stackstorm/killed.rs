//! Hosts on which something was killed at a drawn point, and gone on with.

use super::{PASSWORD, python, session};
use crate::{Digest, Host, KillPoint, Snapshot, sweep, sweep::Random};
use anyhow::{Context, Result, ensure};

/// The secrets that would be generated, as answers. The key of ChatOps is always generated.
pub const SECRETS: &str = "mongodb_admin_password = 'one'\nmongodb_password = 't w/o'\nrabbitmq_password = 'three #'\n\
    redis_password = 'four %'\ndatastore_key = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFG'\n\
    datastore_hmac_key = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFG'\n";
/// Data, and what is random wherever it is made, or has times in it.
const RANDOM: &[&str] = &[
    "/var/lib/mongodb/",
    "/var/lib/mongo/",
    "/var/lib/stackstorm-zookeeper/",
    "/etc/st2/htpasswd",
    "/home/stanley/.ssh/",
    "/etc/ssl/certs/java/cacerts",
    "/var/cache/fontconfig/",
    "/var/cache/dnf/",
    "/var/cache/libdnf5/",
    // Python 3.9 writes sets in the order of hashes, which are salted.
    ".cpython-39.pyc ",
];

/// Hosts of `snapshot` on which `args` were killed, each at a point that was drawn, and gone on with; an error, where one cannot be gone on with,
/// or is not like one where nothing was killed. Each is made when it is asked for: many at a time are more than the machine carries.
///
/// # Errors
/// When nothing is installed even without a kill.
pub fn killed_and_resumed<'a>(
    snapshot: &'a Snapshot,
    args: &'a [&'a str],
    count: usize,
) -> Result<impl Iterator<Item = Result<(Host, KillPoint)>> + 'a> {
    let unharmed = snapshot.host().boot()?;
    let (points, output) = unharmed.run(args.iter().copied()).kill_points()?;
    output.ok()?;
    let whole = Digest::but_for(&unharmed, &sweep::generated(&unharmed, "stackstorm")?)?;
    drop(unharmed);
    let mut drawn = Random::new(sweep::seed()?);
    let hosts = (0..count).map(move |_| {
        let (host, point) = (snapshot.host().boot()?, points[drawn.below(points.len())].clone());
        ensure!(host.run(args.iter().copied()).killed_at(&point)?.killed(), "{point:?}");
        let made = sweep::generated(&host, "stackstorm")?;
        // Before the attempt was written down there is nothing of it to go on with.
        let begun = points.iter().take_while(|other| **other != point).any(|other| other.call == "fdatasync");
        let again =
            if begun || point.call == "fdatasync" { &["surefoot", "install", "--resume", "--yes"] } else { args };
        host.exec(again.iter().copied())?.ok().with_context(|| format!("{point:?}"))?;
        let kept = sweep::generated(&host, "stackstorm")?;
        ensure!(made.iter().all(|(name, one)| kept.get(name) == Some(one)), "{point:?}: a secret was generated anew");
        let different = differences(&whole, &host)?;
        ensure!(different.is_empty(), "{point:?}: {different:#?}");
        Ok((host, point))
    });
    Ok(hosts)
}

/// Has a hash of a password that is generated, unless it is given.
const HASHED: &str = "/etc/rabbitmq/definitions.d/surefoot.json";

/// In what a host differs from one that was not killed, but for generated secrets, data and what is random.
pub(super) fn differences(whole: &Digest, host: &Host) -> Result<Vec<String>> {
    let generated = sweep::generated(host, "stackstorm")?;
    let hashed = generated.contains_key("rabbitmq_password").then_some(&HASHED);
    let is_random = |line: &String| RANDOM.iter().chain(hashed).any(|path| line.contains(path));
    let lines = Digest::diff(whole, &Digest::but_for(host, &generated)?).into_iter();
    Ok(lines.filter(|line| !is_random(line)).collect())
}

/// Kills a first install on `snapshot` at as many points: afterwards StackStorm runs actions, a second run changes nothing, and no unit has
/// failed.
///
/// # Errors
/// When one is not so.
pub fn first_install_survives(snapshot: &Snapshot, args: &[&str], kills: usize) -> Result<()> {
    for killed in killed_and_resumed(snapshot, args, kills)? {
        let (host, point) = killed?;
        let code = format!("{}print(run('core.local', cmd='id -un')['result']['stdout'])", session(PASSWORD));
        let user = python(&host, &code)?;
        ensure!(user == "stanley", "{point:?}: {user}");
        let told = host.install("stackstorm")?;
        ensure!(told.changed + told.restarted == 0, "{point:?}: {told:?}");
        let failed = host.sh("systemctl list-units --plain --no-legend --state=failed,activating")?;
        ensure!(failed.is_empty(), "{point:?}: {failed}");
    }
    Ok(())
}
