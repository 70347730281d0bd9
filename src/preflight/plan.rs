//! What a plan still has to do, as far as the host has to be fit for it.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use distro::packages::Manager;
use distro::{Class, Host, Look};
use steps::resources::packages::OtherSeries;
use steps::{Endpoint, Port, Probe, Resource};

use super::endpoints::{self, Wanted};
use super::{Check, Requires, Todo, checks};

impl From<&crate::blueprint::Requires> for Requires {
    fn from(requires: &crate::blueprint::Requires) -> Self {
        Self {
            memory: requires.memory.map(|size| size.0),
            cpus: requires.cpus.map(|cpus| usize::try_from(cpus).unwrap_or(usize::MAX)),
            disk: requires.disk.iter().map(|(folder, size)| (folder.clone(), size.0)).collect(),
            os: requires.os.clone(),
            avx: requires.avx,
            warnings: Vec::new(),
        }
    }
}

/// Looks at everything that the resources of a plan need that are not in place. `state` is the folder where surefoot keeps what it
/// did; `now` says that the changes are made right away, for which root is needed; `fresh`, that this product was never begun here.
///
/// # Errors
/// Where something could not be looked at; a host that is not fit is told by the checks.
pub fn for_plan<'r>(
    host: &Host,
    requires: &Requires,
    resources: impl IntoIterator<Item = (&'r dyn Resource, &'r Probe)>,
    state: &Path,
    now: bool,
    fresh: bool,
) -> Result<Vec<Check>> {
    let look = Look::new(host);
    let manager = Manager::of(&host.facts);
    // What a host is told that is not supported is not all that is wrong with it.
    let mut changes = distro::os::supported(&host.facts).is_err();
    let (mut ports, mut packages, mut versions): (Vec<Port>, bool, Vec<OtherSeries>) = (Vec::new(), false, Vec::new());
    let (mut named, mut units): (Vec<Endpoint>, Vec<String>) = (Vec::new(), Vec::new());
    for (resource, probe) in resources {
        named.extend(resource.endpoints());
        // A service that runs as wanted holds its ports.
        if matches!(probe, Probe::InPlace(_)) {
            continue;
        }
        changes = true;
        if fresh {
            units.extend(resource.units());
        }
        if let Some(set) = resource.packages() {
            packages = true;
            versions.extend(if manager.is_some() {
                set.of_other_series(&look.packages(&set.names)?)
            } else {
                Vec::new()
            });
        }
        for port in resource.ports() {
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
    }
    units.sort();
    units.dedup();
    let (mut unfinished, mut held) = (Vec::new(), Vec::new());
    let packages_change = packages && manager.is_some();
    if packages_change {
        unfinished = look.unfinished_packages()?;
        // Only root may ask.
        let locks = if host.root { host.packages().held_locks()? } else { Vec::new() };
        held.extend(locks.into_iter().map(|(path, holder)| (path, holder.to_string())));
    }
    let todo = Todo {
        requires,
        ports: &ports,
        units: &units,
        changes,
        packages,
        now,
        state,
        unfinished: &unfinished,
        locks: &held,
        versions: &versions,
    };
    let mut checks = checks(&look, &todo)?;
    if packages_change {
        // Its whole index is fetched, whichever repository a package comes from.
        let mut wanted = endpoints::of_package_manager(host, &named)?;
        if let Some(why) = endpoints::unseen(host) {
            let required = "the addresses in it are reachable";
            let check = Check::new("repositories", Class::Permission, format!("not known: {why}"), required);
            checks.push(check.warning("run `surefoot preflight` as root"));
        }
        let by_https = named.iter().any(|endpoint| endpoint.url.starts_with("https://"));
        if let Some((path, package)) = manager.filter(|_| by_https).and_then(Manager::lacks_https) {
            let check = Check::new("https", Class::Package, format!("there is no {path}"), "what fetches by https");
            checks.push(check.error(format!("install it first: `apt-get install {package}`")));
        }
        wanted.extend(named.into_iter().map(Wanted::ours));
        checks.extend(endpoints::checks(host, &wanted, SystemTime::now())?);
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use distro::{Facts, Runner};
    use steps::Stage;
    use steps::resources::wait::{Wait, What};

    use super::*;

    #[test]
    fn what_is_in_place_asks_nothing_of_the_host() {
        let facts = Facts::gather(Path::new("/")).unwrap();
        let host = Host { facts, runner: Runner::quiet(), root: false };
        let what = What::Socket { path: "/nonexistent/socket".into() };
        let wait = Wait { what, limit: Duration::ZERO, stage: Stage::Configure };
        let requires = Requires { memory: Some(u64::MAX), ..Requires::default() };
        let state = Path::new("/var/lib/surefoot/demo");
        let names = |probe: &Probe| -> Vec<String> {
            let resources = [(&wait as &dyn Resource, probe)];
            let checks = for_plan(&host, &requires, resources, state, false, true).unwrap();
            checks.into_iter().map(|check| check.name).collect()
        };
        assert_eq!(names(&Probe::InPlace(serde_json::Value::Null)), ["system", "root", "clock"]);
        let open = names(&Probe::Pending("later".into()));
        assert!(open.contains(&"memory".into()) && !open.contains(&"packages".into()), "{open:?}");
    }
}
