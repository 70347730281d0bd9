//! What was measured against what is required.

use std::time::SystemTime;

use distro::facts::Init;
use distro::packages::Manager;
use distro::{Class, Facts, Fault, os as distributions};
use steps::kinds::units::Size;
use steps::resources::packages::OtherSeries;

use super::seen::{Seen, Space, Taken, WRITTEN};
use super::{Check, Todo, clock, surroundings, warnings};
use crate::blueprint::is_meant;

/// Bytes that any change needs on each file system that it writes to.
const FLOOR: u64 = 32 << 20;
/// Files that any change needs to be able to make on each file system.
const FLOOR_FILES: u64 = 1000;
/// Hundredths of the required memory that have to be seen: the kernel keeps some to itself, and a machine sold as 1 GiB shows less.
const MEMORY_SEEN: u64 = 90;

pub(super) fn judge(seen: &Seen, facts: &Facts, todo: &Todo<'_>) -> Vec<Check> {
    let mut checks = vec![system(facts, &todo.requires.os), root(seen.root, todo.now)];
    checks.push(built_before(seen.now, clock::built()));
    if !todo.changes {
        return checks;
    }
    checks.extend(warnings(todo.requires));
    checks.extend(machine(facts, todo));
    checks.extend(writable(seen));
    if let Some((class, blocked)) = &seen.state_blocked {
        let state = todo.state.display();
        checks.push(
            Check::new("state", *class, blocked, format!("{state} can be made and written to")).error(format!(
                "make {state} a folder that root can write to: surefoot writes down there what it does"
            )),
        );
    }
    checks.extend(disks(seen, todo));
    checks.extend(todo.ports.iter().map(|port| {
        let here: Vec<&Taken> = seen.taken.iter().filter(|taken| taken.listener.port == port.number).collect();
        self::port(port, &here, seen.root)
    }));
    checks.push(name(facts, seen.name_known));
    checks.extend(surroundings::judge(&seen.surroundings, facts, todo));
    checks.extend(package_manager(facts, todo));
    checks.extend(todo.versions.iter().map(of_series));
    checks
}

/// The distribution: one that surefoot supports, and that the blueprint wants.
pub(super) fn system(facts: &Facts, wanted: &[String]) -> Check {
    let supported = distributions::SUPPORTED.map(|row| row.2).join(", ");
    let required = if wanted.is_empty() { supported } else { wanted.join(" or ") };
    let check = |class, measured: &str| Check::new("system", class, measured, required.clone());
    if let Err(error) = distributions::supported(facts) {
        let advice = Fault::find(&error).map(|fault| fault.advice.clone()).unwrap_or_default();
        return check(Class::Unsupported, &error.to_string()).error(advice);
    }
    let check = check(Class::Unsupported, &facts.os_name);
    if wanted.is_empty() || wanted.iter().any(|wanted| is_meant(wanted, facts)) {
        return check;
    }
    check.error(format!("install it on a host that runs {}", wanted.join(" or ")))
}

fn root(root: bool, now: bool) -> Check {
    let check = Check::new("root", Class::Permission, if root { "root" } else { "not root" }, "root");
    match (root, now) {
        (true, _) => check,
        (false, true) => check.error("run it with sudo, or as root"),
        (false, false) => check.warning("what only root can see was left out; an install needs root"),
    }
}

fn built_before(now: SystemTime, built: SystemTime) -> Check {
    let required = format!("after {}, when this surefoot was built", clock::shown(built));
    let check = Check::new("clock", Class::Host, clock::shown(now), required);
    if now >= built {
        return check;
    }
    check.error(
        "set the clock (`timedatectl set-ntp true`, or `date -s`): at a time in the past no certificate and no signed repository \
         is valid",
    )
}

/// Memory and processors.
fn machine(facts: &Facts, todo: &Todo<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(least) = todo.requires.memory {
        let check = Check::new("memory", Class::Preflight, size(facts.memory), size(least));
        let enough = u128::from(facts.memory) * 100 >= u128::from(least) * u128::from(MEMORY_SEEN);
        let advice = format!("give the machine at least {} of memory", size(least));
        checks.push(if enough { check } else { check.error(advice) });
    }
    if let Some(least) = todo.requires.cpus {
        let check = Check::new("processors", Class::Preflight, facts.cpus.to_string(), least.to_string());
        let advice = format!("give the machine at least {least} processors");
        checks.push(if facts.cpus >= least { check } else { check.error(advice) });
    }
    checks
}

/// Folders that every change writes to.
fn writable(seen: &Seen) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for (folder, space) in &seen.spaces {
        let check = Check::new(folder, Class::Disk, "can be written to", "can be written to");
        if space.read_only && !checks.iter().any(|check| check.name == *folder) {
            let mount = space.mount.display();
            checks.push(Check { measured: format!("mounted read-only at {mount}"), ..check }.error(format!(
                "mount it read-write (`mount -o remount,rw {mount}`); where it is read-only since an error, look into \
                 `dmesg` first"
            )));
        } else if folder == WRITTEN[0] {
            checks.push(check);
        }
    }
    checks
}

/// Free space and files, a check for each file system that is written to.
fn disks(seen: &Seen, todo: &Todo<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut done: Vec<u64> = Vec::new();
    for (_, space) in &seen.spaces {
        // A read-only one is told already, and what is not writable needs no space.
        if done.contains(&space.device) || space.read_only {
            continue;
        }
        done.push(space.device);
        let folders: Vec<&str> =
            seen.spaces.iter().filter(|other| other.1.device == space.device).map(|other| other.0.as_str()).collect();
        // Once the packages are there, most of what the blueprint wants free is used.
        let wanted =
            todo.requires.disk.iter().filter(|(folder, _)| todo.packages && folders.contains(&folder.as_str()));
        let wanted: Vec<&(String, u64)> = wanted.collect();
        checks.push(disk(space, &wanted));
        checks.extend(files(space));
    }
    checks
}

fn disk(space: &Space, wanted: &[&(String, u64)]) -> Check {
    let mount = space.mount.display();
    let least = wanted.iter().fold(0, |sum: u64, row| sum.saturating_add(row.1)).max(FLOOR);
    let parts: Vec<String> = wanted.iter().map(|(folder, bytes)| format!("{} for {folder}", size(*bytes))).collect();
    let required = if parts.is_empty() { size(least) } else { parts.join(", ") };
    let check = Check::new(&format!("disk {mount}"), Class::Disk, format!("{} free", size(space.free)), required);
    if space.free >= least {
        return check;
    }
    let missing = size(least - space.free);
    check.error(format!("free at least {missing} on {mount} (`du -xsh {mount}` finds what is large), or enlarge it"))
}

/// Whether files can be made; nothing where the file system has no fixed number of them.
fn files(space: &Space) -> Option<Check> {
    let left = space.inodes?;
    let mount = space.mount.display();
    let name = format!("files {mount}");
    let check = Check::new(&name, Class::Disk, format!("{left} can be made"), format!("{FLOOR_FILES} can be made"));
    let advice = format!("remove files on {mount}: its inodes are used up (`df -i {mount}`)");
    Some(if left < FLOOR_FILES { check.error(advice) } else { check })
}

fn port(port: &steps::Port, here: &[&Taken], root: bool) -> Check {
    let unit = &port.unit;
    let name = format!("port {}", port.number);
    let check = |measured: String| Check::new(&name, Class::Port, measured, format!("free for {unit}"));
    let strangers: Vec<&&Taken> = here.iter().filter(|taken| !taken.ours).collect();
    let Some(first) = strangers.first() else {
        return check(if here.is_empty() { "free".into() } else { format!("held by {unit}, which listens there") });
    };
    let held: Vec<String> = strangers.iter().map(|taken| taken.listener.to_string()).collect();
    let check = check(format!("held by {}", held.join(" and ")));
    let listener = &first.listener;
    match listener.pid {
        None if !root && first.unit_runs => {
            check.warning(format!("that may be {unit} itself, which runs: only root can see it"))
        }
        None => {
            check.error("find out who listens (`ss -ltnp` as root) and stop it, or let the product use another port")
        }
        Some(_) if listener.unit.ends_with(".service") => check.error(format!(
            "stop it (`systemctl disable --now {}`), or let the product use another port",
            listener.unit
        )),
        Some(pid) => {
            check.error(format!("stop {} (process {pid}), or let the product use another port", listener.command))
        }
    }
}

fn name(facts: &Facts, known: bool) -> Check {
    let name = &facts.hostname;
    let required = "in /etc/hosts";
    if known {
        return Check::new("host name", Class::Host, format!("'{name}' resolves on this host"), required);
    }
    Check::new("host name", Class::Host, format!("'{name}' is not in /etc/hosts"), required).warning(format!(
        "add a line '127.0.1.1 {name}' to /etc/hosts: some services wait long for a name that does not resolve"
    ))
}

/// The package manager: there, and neither interrupted nor busy.
fn package_manager(facts: &Facts, todo: &Todo<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    if !todo.packages {
        return checks;
    }
    // Where there is none, the system is not supported, which is told already.
    let manager = Manager::of(facts);
    if let Some(manager) = manager {
        checks.push(Check::new("packages", Class::Package, manager.program(), manager.program()));
    }
    if facts.init == Init::Scripts {
        checks
            .push(Check::new("services", Class::Service, "systemd does not run", "systemd").warning(
                "services are started by their init scripts, and not again after a restart of this container",
            ));
    }
    if let Some(manager) = manager.filter(|_| !todo.unfinished.is_empty()) {
        let measured = format!("interrupted: {}", todo.unfinished.join(", "));
        checks.push(
            Check::new(manager.installer(), Class::Package, measured, "nothing left to be done")
                .warning("it is finished before packages are installed"),
        );
    }
    checks.extend(todo.locks.iter().map(|(path, holder)| {
        Check::new("lock", Class::Locked, format!("{path} is held by {holder}"), "free").warning("it is waited for")
    }));
    checks
}

/// A package that is there in another version than it has to be.
fn of_series(there: &OtherSeries) -> Check {
    let OtherSeries { name, found, wanted, older } = there;
    let (found, wanted) = (format!("{found} is installed"), format!("version {wanted}"));
    let check = Check::new(&format!("package {name}"), Class::Package, found, wanted);
    match older {
        true => {
            check.warning("it is upgraded, as the plan says: read its release notes, and have a backup of its data")
        }
        false => check.error(format!(
            "packages are never downgraded: ask for its series, or remove it (`apt-get remove {name}`)"
        )),
    }
}

fn size(bytes: u64) -> String {
    Size(bytes).to_string()
}

#[cfg(test)]
pub(super) mod tests;
