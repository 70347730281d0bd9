use std::path::Path;
use std::time::Duration;

use distro::listeners::Listener;
use steps::Port;
use steps::resources::packages::OtherSeries;

use super::*;
use crate::blueprint::Warning;
use crate::preflight::surroundings::Surroundings;
use crate::preflight::{Level, Requires};

const GIB: u64 = 1 << 30;

/// Facts of a host with this os-release; the rest is the same on every machine.
pub(in crate::preflight) fn facts(os_release: &str) -> Facts {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/os-release"), os_release).unwrap();
    Facts {
        package_manager: Some(distro::facts::PackageManager::Apt),
        init: Init::Systemd,
        hostname: "box".into(),
        memory: 2 * GIB,
        cpus: 2,
        ..Facts::gather(root.path()).unwrap()
    }
}

pub(in crate::preflight) fn debian() -> Facts {
    facts("ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")
}

fn space(mount: &str, free: u64) -> Space {
    Space { mount: mount.into(), device: mount.len() as u64, free, inodes: Some(100_000), read_only: false }
}

/// A host on which everything is well.
fn fit() -> Seen {
    let folders = ["/etc", "/usr", "/var", "/var/lib/surefoot/demo"];
    Seen {
        root: true,
        now: clock::built() + Duration::from_secs(86400),
        spaces: folders.map(|folder| (folder.to_owned(), space("/", 10 * GIB))).to_vec(),
        state_blocked: None,
        taken: Vec::new(),
        name_known: true,
        surroundings: Surroundings::default(),
    }
}

pub(in crate::preflight) fn todo<'a>(requires: &'a Requires, ports: &'a [Port]) -> Todo<'a> {
    let state = Path::new("/var/lib/surefoot/demo");
    Todo {
        requires,
        ports,
        units: &[],
        changes: true,
        packages: true,
        now: true,
        state,
        unfinished: &[],
        locks: &[],
        versions: &[],
    }
}

fn nginx() -> Port {
    Port { number: 80, unit: "nginx.service".into(), outside: true }
}

fn taken(addr: &str, pid: Option<u32>, command: &str, unit: &str) -> Taken {
    let addr = addr.parse().unwrap();
    let listener = Listener { addr, port: 80, uid: 33, pid, command: command.into(), unit: unit.into() };
    Taken { listener, ours: unit == "nginx.service", unit_runs: true }
}

/// What is not well, as `name: level class, measured`.
pub(in crate::preflight) fn bad(checks: &[Check]) -> Vec<String> {
    checks
        .iter()
        .filter(|check| check.level != Level::Ok)
        .inspect(|check| assert!(!check.advice.is_empty() && !check.required.is_empty(), "{check:?}"))
        .map(|check| format!("{}: {:?} {}, {}", check.name, check.level, check.class, check.measured))
        .collect()
}

fn judged(seen: &Seen, requires: &Requires) -> Vec<String> {
    bad(&judge(seen, &debian(), &todo(requires, &[nginx()])))
}

#[test]
fn a_fit_host_has_nothing_to_mend() {
    let requires = Requires {
        memory: Some(2 * GIB),
        cpus: Some(2),
        disk: vec![("/var".into(), 4 * GIB)],
        os: vec!["ubuntu".into(), "debian-12".into()],
        avx: false,
        warnings: Vec::new(),
    };
    assert_eq!(judged(&fit(), &requires), Vec::<String>::new());
    let checks = judge(&fit(), &debian(), &todo(&requires, &[nginx()]));
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    let wanted = [
        "system",
        "root",
        "clock",
        "memory",
        "processors",
        "/etc",
        "disk /",
        "files /",
        "port 80",
        "host name",
        "umask",
        "locale",
        "firewall",
        "packages",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn memory_and_processors() {
    let requires = |memory, cpus| Requires { memory: Some(memory), cpus: Some(cpus), ..Requires::default() };
    assert!(judged(&fit(), &requires(2 * GIB + GIB / 10, 1)).is_empty());
    assert_eq!(
        judged(&fit(), &requires(4 * GIB, 4)),
        ["memory: Error preflight, 2 GiB", "processors: Error preflight, 2"]
    );
}

#[test]
fn systems() {
    let seen = fit();
    let requires = |os: &str| Requires { os: vec![os.into()], ..Requires::default() };
    assert_eq!(judged(&seen, &requires("ubuntu")), ["system: Error unsupported, Debian GNU/Linux 12 (bookworm)"]);
    let old = facts("ID=ubuntu\nVERSION_ID=14.04\nPRETTY_NAME=Trusty\n");
    let none = Requires::default();
    let checks = bad(&judge(&seen, &old, &todo(&none, &[])));
    assert!(
        checks[0].starts_with("system: Error unsupported, this host runs Trusty, which is not supported"),
        "{checks:?}"
    );
}

#[test]
fn what_the_blueprint_has_to_say_stops_nothing_and_is_told_where_something_is_to_be_done() {
    let text = |text: &str| text.to_owned();
    let warning = Warning {
        name: text("vendor"),
        when: None,
        refuse: false,
        found: text("packages for 9 are taken"),
        wanted: text("10"),
        advice: text("take another host"),
    };
    let requires = Requires { warnings: vec![warning], ..Requires::default() };
    assert_eq!(judged(&fit(), &requires), ["vendor: Warning preflight, packages for 9 are taken"]);
    let done = Todo { changes: false, ..todo(&requires, &[]) };
    assert!(bad(&judge(&fit(), &debian(), &done)).is_empty());
}

#[test]
fn space_adds_up_on_a_file_system_and_is_wanted_for_packages_only() {
    let requires = Requires { disk: vec![("/var".into(), 6 * GIB), ("/opt".into(), 5 * GIB)], ..Requires::default() };
    let mut seen = fit();
    seen.spaces.push(("/opt".into(), space("/opt", 10 * GIB)));
    assert!(judged(&seen, &requires).is_empty());
    seen.spaces[4].1 = space("/", 10 * GIB);
    assert_eq!(judged(&seen, &requires), ["disk /: Error disk, 10 GiB free"]);
    let checks = judge(&seen, &debian(), &todo(&requires, &[]));
    let disk = checks.iter().find(|check| check.name == "disk /").unwrap();
    assert_eq!(disk.required, "6 GiB for /var, 5 GiB for /opt");
    assert!(disk.advice.starts_with("free at least 1 GiB on /"), "{}", disk.advice);
    let rest = Todo { packages: false, ..todo(&requires, &[]) };
    assert!(bad(&judge(&seen, &debian(), &rest)).is_empty());
}

#[test]
fn full_and_read_only_file_systems() {
    let none = Requires::default();
    let mut seen = fit();
    seen.spaces[3].1 = Space { inodes: Some(3), ..space("/var/lib", 1 << 20) };
    seen.spaces[0].1 = Space { read_only: true, ..space("/etc", 0) };
    assert_eq!(
        judged(&seen, &none),
        [
            "/etc: Error disk, mounted read-only at /etc",
            "disk /var/lib: Error disk, 1 MiB free",
            "files /var/lib: Error disk, 3 can be made",
        ]
    );
    seen = fit();
    seen.state_blocked = Some((Class::Disk, "/var/lib/surefoot: Permission denied".into()));
    assert_eq!(judged(&seen, &none), ["state: Error disk, /var/lib/surefoot: Permission denied"]);
}

#[test]
fn ports_and_their_holders() {
    let apache = taken("0.0.0.0", Some(812), "apache2", "apache2.service");
    let apache6 = taken("::", Some(812), "apache2", "apache2.service");
    let python = taken("::", Some(7), "python3", "session-3.scope");
    let ours = taken("0.0.0.0", Some(300), "nginx", "nginx.service");
    let hidden = taken("::", None, "", "");
    let held = "port 80: Error port, held by";
    for (taken, root, wanted, advice) in [
        (vec![ours.clone()], true, None, ""),
        (
            vec![apache.clone()],
            true,
            Some(format!("{held} apache2 (pid 812, apache2.service) on 0.0.0.0:80")),
            "disable --now",
        ),
        (
            vec![apache6.clone()],
            true,
            Some(format!("{held} apache2 (pid 812, apache2.service) on [::]:80")),
            "disable --now",
        ),
        (
            vec![ours, apache, apache6],
            true,
            Some(format!(
                "{held} apache2 (pid 812, apache2.service) on 0.0.0.0:80 and apache2 (pid 812, apache2.service) on [::]:80"
            )),
            "`systemctl disable --now apache2.service`",
        ),
        (
            vec![python],
            true,
            Some(format!("{held} python3 (pid 7, session-3.scope) on [::]:80")),
            "stop python3 (process 7)",
        ),
        (
            vec![hidden.clone()],
            true,
            Some(format!("{held} a process of user id 33 that only root can see on [::]:80")),
            "ss -ltnp",
        ),
        (
            vec![hidden.clone()],
            false,
            Some("port 80: Warning port, held by a process of user id 33 that only root can see on [::]:80".into()),
            "that may be nginx.service itself",
        ),
        (
            vec![Taken { unit_runs: false, ..hidden }],
            false,
            Some(format!("{held} a process of user id 33 that only root can see on [::]:80")),
            "ss -ltnp",
        ),
    ] {
        let here: Vec<&Taken> = taken.iter().collect();
        let check = port(&nginx(), &here, root);
        assert_eq!(bad(std::slice::from_ref(&check)).pop(), wanted);
        assert!(check.advice.contains(advice), "{}", check.advice);
    }
}

#[test]
fn root_is_needed_now_or_later() {
    let none = Requires::default();
    let seen = Seen { root: false, ..fit() };
    assert_eq!(judged(&seen, &none), ["root: Error permission, not root"]);
    let later = Todo { now: false, ..todo(&none, &[]) };
    assert_eq!(bad(&judge(&seen, &debian(), &later)), ["root: Warning permission, not root"]);
}

#[test]
fn a_clock_before_the_build() {
    let seen = Seen { now: SystemTime::UNIX_EPOCH + Duration::from_secs(86400), ..fit() };
    assert_eq!(judged(&seen, &Requires::default()), ["clock: Error host, 1970-01-02 00:00 UTC"]);
}

#[test]
fn what_is_mended_or_waited_for_is_a_warning() {
    let none = Requires::default();
    let unfinished = ["redis-server: half-configured".to_owned()];
    let locks = [("/var/lib/dpkg/lock".to_owned(), "'unattended-upgr' (pid 99)".to_owned())];
    let todo = Todo { unfinished: &unfinished, locks: &locks, ..todo(&none, &[]) };
    let seen = Seen { name_known: false, ..fit() };
    let host = Facts { init: Init::Scripts, ..debian() };
    assert_eq!(
        bad(&judge(&seen, &host, &todo)),
        [
            "host name: Warning host, 'box' is not in /etc/hosts",
            "services: Warning service, systemd does not run",
            "dpkg: Warning package, interrupted: redis-server: half-configured",
            "lock: Warning locked, /var/lib/dpkg/lock is held by 'unattended-upgr' (pid 99)",
        ]
    );
}

#[test]
fn packages_of_another_series_are_upgraded_and_never_downgraded() {
    let none = Requires::default();
    let there = |name: &str, found: &str, older| {
        let wanted = "3.9".to_owned();
        OtherSeries { name: name.into(), found: found.into(), wanted, older }
    };
    let versions = [there("st2", "3.7.0-1", true), there("st2web", "4.0-1", false)];
    assert_eq!(
        bad(&judge(&fit(), &debian(), &Todo { versions: &versions, ..todo(&none, &[]) })),
        ["package st2: Warning package, 3.7.0-1 is installed", "package st2web: Error package, 4.0-1 is installed",]
    );
}

#[test]
fn with_nothing_to_do_only_the_host_itself_is_judged() {
    let requires = Requires { memory: Some(1 << 50), ..Requires::default() };
    let mut seen = fit();
    seen.taken.push(taken("::", Some(7), "python3", ""));
    let done = Todo { changes: false, packages: false, ..todo(&requires, &[]) };
    assert!(bad(&judge(&seen, &debian(), &done)).is_empty());
}
