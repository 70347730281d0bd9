//! What the host brings along, whatever the plan is: its programs' versions, umask, locale, SELinux, firewall, and services that were there
//! before.

use std::path::Path;

use anyhow::Result;
use distro::firewall::firewalld::{self, Entrance};
use distro::firewall::{self, Firewall, Known};
use distro::locale::{self, Locale};
use distro::{Class, Facts, Look, os};
use steps::Port;

use super::{Check, Todo};

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    /// Versions of what [`os::oldest`] names, as they are written; empty where there is none.
    pub versions: Vec<(&'static str, String)>,
    /// The umask that we were started with, in octal.
    pub umask: String,
    pub locale: Option<Locale>,
    pub firewall: Known,
    /// Interfaces by which others may come in, where firewalld has another zone for them than the one in which ports are opened.
    pub entrances: Vec<Entrance>,
    /// Units of the plan that are there although this product was never begun: name, and what they do.
    pub existing: Vec<(String, String)>,
}

pub(super) fn measure(look: &Look<'_>, todo: &Todo<'_>) -> Result<Surroundings> {
    let version = |package: &str| -> Result<String> {
        let installed = look.package(package)?.filter(|found| found.is_installed());
        Ok(installed.map(|found| found.version).unwrap_or_default())
    };
    let (mut versions, mut existing) = (vec![("kernel", look.host.facts.kernel.clone())], Vec::new());
    for package in ["systemd", look.host.packages().name()] {
        versions.push((package, version(package)?));
    }
    look.units(todo.units)?;
    for unit in todo.units {
        let found = look.unit(unit)?;
        if found.exists {
            existing.push((unit.clone(), found.state));
        }
    }
    let outside = todo.ports.iter().any(|port| port.outside);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap_or_default();
    Ok(Surroundings {
        versions,
        umask: umask.trim().to_owned(),
        locale: locale::set(Path::new("/")),
        firewall: if outside { firewall::active(look.host)? } else { Known::None },
        entrances: if outside { firewalld::entrances(look.host)? } else { Vec::new() },
        existing,
    })
}

pub(super) fn judge(seen: &Surroundings, facts: &Facts, todo: &Todo<'_>) -> Vec<Check> {
    let oldest = os::oldest(facts);
    let mut checks: Vec<Check> =
        seen.versions.iter().filter_map(|(name, found)| version(oldest, name, found)).collect();
    checks.extend(avx(facts, todo));
    let umask = &seen.umask;
    // What is asked for with a mode gets it; what packages' scripts make would be hidden from the services that need it.
    let measured = match umask.as_str() {
        "0022" => umask.clone(),
        // Kernels before 4.7 do not tell it.
        "" => "what is run gets 0022".to_owned(),
        _ => format!("{umask}; what is run gets 0022"),
    };
    checks.push(Check::new("umask", Class::Host, measured, "any"));
    checks.push(locale_check(seen.locale.as_ref()));
    checks.extend(selinux(facts));
    checks.extend(firewall_check(&seen.firewall, todo.ports));
    checks.extend(seen.entrances.iter().filter_map(|entrance| entrance_check(entrance, todo.ports)));
    checks.extend(seen.existing.iter().map(|(unit, state)| {
        Check::new(&format!("existing {unit}"), Class::Conflict, format!("was here before, {state}"), "none, or one to be changed")
            .warning(
                "look at the plan: its configuration is changed as shown there, and put back by uninstall; its data stay. Where others use \
                 it, install on another host",
            )
    }));
    checks
}

fn version(oldest: &[(&str, [u32; 2])], name: &'static str, found: &str) -> Option<Check> {
    let oldest = oldest.iter().find(|row| row.0 == name)?.1;
    let mut numbers = found.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    // What is not there is another check's matter.
    let there = [numbers.next()?, numbers.next().unwrap_or(0)];
    let required = format!("{}.{}", oldest[0], oldest[1]);
    let check = Check::new(name, Class::Unsupported, found, format!("{} or later", required.trim_end_matches(".0")));
    let old = there < oldest;
    Some(if old {
        check.error(format!("upgrade the host: its {name} is older than that of every supported system"))
    } else {
        check
    })
}

fn avx(facts: &Facts, todo: &Todo<'_>) -> Option<Check> {
    let wanted = todo.requires.avx && facts.arch == "x86_64";
    let check = |measured: &str| Check::new("AVX", Class::Preflight, measured, "a processor with AVX");
    wanted.then(|| match facts.avx {
        true => check("a processor with AVX"),
        false => check("/proc/cpuinfo: no 'avx' among the flags")
            .error("let the hypervisor show the host's own processor, or move to another machine"),
    })
}

fn locale_check(locale: Option<&Locale>) -> Check {
    let check = |measured: String| Check::new("locale", Class::Host, measured, "one that is there, in UTF-8");
    let Some(locale) = locale else { return check("none is set: C".into()) };
    let Locale { name, file, there } = locale;
    if !there {
        return check(format!("{name}, set in {file}, is not on this host")).warning(format!(
            "make it (`locale-gen {name}`), or set one that is there (`localectl set-locale C.UTF-8`): databases take over the one that is \
             set"
        ));
    }
    if !locale.is_utf8() {
        return check(format!("{name}, set in {file}, is not in UTF-8"))
            .warning("set one in UTF-8 (`localectl set-locale C.UTF-8`): texts of databases and logs get it");
    }
    check(name.clone())
}

/// Only where the kernel has it.
fn selinux(facts: &Facts) -> Option<Check> {
    let state = facts.selinux.as_ref()?;
    Some(Check::new("SELinux", Class::Host, state, "any: labels, ports and booleans are brought"))
}

/// The ports that are for other hosts, too.
fn outside(ports: &[Port]) -> Vec<u16> {
    let mut outside: Vec<u16> = ports.iter().filter(|port| port.outside).map(|port| port.number).collect();
    outside.sort_unstable();
    outside.dedup();
    outside
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Only where something that is for other hosts is shut there: ports are opened in the default zone alone.
fn entrance_check(entrance: &Entrance, ports: &[Port]) -> Option<Check> {
    let wanted = outside(ports);
    let shut: Vec<u16> = wanted.iter().copied().filter(|port| !entrance.has(*port)).collect();
    if shut.is_empty() {
        return None;
    }
    let zone = &entrance.zone;
    let measured = format!("in firewalld's zone '{zone}', which does not let port {} through", list(&shut));
    let required = format!("lets others reach port {}", list(&wanted));
    let added: String = shut.iter().map(|port| format!(" --add-port={port}/tcp")).collect();
    let advice = format!(
        "open what others are to reach there, too: `firewall-cmd --permanent --zone={zone}{added}`, then `firewall-cmd --reload`"
    );
    let check = Check::new(&format!("interface {}", entrance.interface), Class::Port, measured, required);
    Some(check.warning(advice))
}

/// Only where something is for other hosts, too.
fn firewall_check(firewall: &Known, ports: &[Port]) -> Option<Check> {
    let wanted = outside(ports);
    if wanted.is_empty() {
        return None;
    }
    let check = |measured: String| {
        Check::new("firewall", Class::Port, measured, format!("lets others reach port {}", list(&wanted)))
    };
    let Firewall { name, open, remedy } = match firewall {
        Known::None => return Some(check("none is active".into())),
        Known::Nothing(why) => {
            let advice = "look as root whether these ports are open: `iptables -S`, `nft list ruleset`";
            return Some(check(format!("not known: {why}")).warning(advice));
        }
        Known::Ruled(firewall) => firewall,
    };
    let Some(open) = open else {
        let advice = "only root can read its rules: look there whether these ports are open";
        return Some(check(format!("{name} is active")).warning(advice));
    };
    let shut: Vec<u16> = wanted.iter().copied().filter(|port| !open.have(*port)).collect();
    if shut.is_empty() {
        return Some(check(format!("{name} is active and lets them through")));
    }
    let Some(remedy) = remedy else {
        return Some(check(format!("{name} is active, and will be told to let port {} through", list(&shut))));
    };
    let remedies: Vec<String> =
        shut.iter().map(|port| format!("`{}`", remedy.replace("PORT", &port.to_string()))).collect();
    Some(
        check(format!("{name} is active and does not let port {} through", list(&shut)))
            .warning(format!("open what others are to reach: {}", remedies.join(", "))),
    )
}

#[cfg(test)]
mod tests {
    use distro::firewall::Ports;

    use super::*;
    use crate::preflight::judge::tests::{bad, debian, todo};
    use crate::preflight::{Level, Requires};

    fn port(number: u16, outside: bool) -> Port {
        Port { number, unit: "x.service".into(), outside }
    }

    fn entrance(zone: &str, now: &[(u16, u16)], kept: &[(u16, u16)]) -> Entrance {
        let ports = |ports: &[(u16, u16)]| Ports::Some(ports.iter().copied().collect());
        Entrance { interface: "eth0".into(), zone: zone.into(), now: ports(now), kept: ports(kept) }
    }

    #[test]
    fn versions_of_what_everything_rests_on() {
        for (name, found, fine) in [
            ("kernel", "6.1.0-18-amd64", Some(true)),
            ("kernel", "4.14.336", Some(false)),
            ("kernel", "4.15", Some(true)),
            ("systemd", "252.22-1~deb12u1", Some(true)),
            ("systemd", "237-3ubuntu10", Some(false)),
            ("apt", "2.0.10", Some(true)),
            ("apt", "1.8.2.3", Some(false)),
            ("apt", "", None),
        ] {
            assert_eq!(
                version(os::oldest(&debian()), name, found).map(|check| check.level == Level::Ok),
                fine,
                "{name} {found}"
            );
        }
    }

    #[test]
    fn what_is_old_is_well_where_old_products_are() {
        let xenial = Facts { base: "ubuntu".into(), base_version: "16.04".into(), ..debian() };
        let versions = [("kernel", "4.4.0-210-generic"), ("systemd", "229-4ubuntu21.31"), ("apt", "1.2.35")];
        let seen = Surroundings {
            versions: versions.map(|(name, found)| (name, found.to_owned())).to_vec(),
            umask: "0022".into(),
            ..Surroundings::default()
        };
        let told = |facts: &Facts| bad(&judge(&seen, facts, &todo(&Requires::default(), &[])));
        assert_eq!(told(&xenial), Vec::<String>::new());
        assert_eq!(told(&debian()).len(), versions.len());
    }

    #[test]
    fn what_is_odd_is_told_and_stops_nothing_but_for_what_is_required() {
        let requires = Requires { avx: true, ..Requires::default() };
        let facts = Facts { arch: "x86_64".into(), avx: false, selinux: Some("enforcing".into()), ..debian() };
        let ports = [port(443, true), port(80, true), port(6379, false)];
        let locale = |name: &str, there| Some(Locale { name: name.into(), file: "/etc/default/locale".into(), there });
        let open = Some(Ports::Some([(22, 22), (80, 80)].into()));
        let seen = Surroundings {
            umask: "0077".into(),
            locale: locale("de_DE.UTF-8", false),
            firewall: Known::Ruled(Firewall { name: "ufw", open, remedy: Some("ufw allow PORT/tcp") }),
            existing: vec![("redis-server.service".into(), "active/running".into())],
            entrances: vec![entrance("internal", &[(22, 22), (80, 80)], &[(22, 22), (80, 80)])],
            ..Surroundings::default()
        };
        let checks = judge(&seen, &facts, &todo(&requires, &ports));
        assert_eq!(
            bad(&checks),
            [
                "AVX: Error preflight, /proc/cpuinfo: no 'avx' among the flags",
                "locale: Warning host, de_DE.UTF-8, set in /etc/default/locale, is not on this host",
                "firewall: Warning port, ufw is active and does not let port 443 through",
                "interface eth0: Warning port, in firewalld's zone 'internal', which does not let port 443 through",
                "existing redis-server.service: Warning conflict, was here before, active/running",
            ]
        );
        let firewall = checks.iter().find(|check| check.name == "firewall").unwrap();
        assert_eq!(firewall.advice, "open what others are to reach: `ufw allow 443/tcp`");
        assert!(checks.iter().any(|check| check.name == "umask" && check.measured == "0077; what is run gets 0022"));

        let other = Surroundings { locale: locale("de_AT.ISO-8859-1", true), ..Surroundings::default() };
        let bare = Facts { selinux: Some("permissive".into()), avx: false, arch: "aarch64".into(), ..debian() };
        assert_eq!(
            bad(&judge(&other, &bare, &todo(&requires, &ports[2..]))),
            ["locale: Warning host, de_AT.ISO-8859-1, set in /etc/default/locale, is not in UTF-8"]
        );
        assert!(judge(&other, &bare, &todo(&requires, &ports[2..])).iter().all(|check| check.name != "firewall"));
    }

    #[test]
    fn what_is_shut_in_another_zone_is_named() {
        let ports = [port(443, true), port(80, true), port(6379, false)];
        let (both, one) = ([(80, 80), (400, 500)], [(80, 80)]);
        for (now, kept, shut) in [
            (&both[..], &both[..], None),
            (&both, &one, Some("443")),
            (&one, &both, Some("443")),
            (&[], &both, Some("80, 443")),
        ] {
            let check = entrance_check(&entrance("work", now, kept), &ports);
            let wanted = shut.map(|shut| format!("in firewalld's zone 'work', which does not let port {shut} through"));
            assert_eq!(check.map(|check| check.measured), wanted, "{now:?} {kept:?}");
        }
        let closed = entrance_check(&entrance("work", &[], &[]), &ports).unwrap();
        let advice = "`firewall-cmd --permanent --zone=work --add-port=80/tcp --add-port=443/tcp`, then";
        assert!(closed.advice.contains(advice), "{}", closed.advice);
        let trusted = Entrance { now: Ports::All, kept: Ports::All, ..entrance("trusted", &[], &[]) };
        assert!(entrance_check(&trusted, &ports).is_none());
    }

    #[test]
    fn a_firewall_that_cannot_be_read() {
        let ports = [port(443, true)];
        let ufw = |open| Known::Ruled(Firewall { name: "ufw", open, remedy: Some("") });
        let check = |firewall: Known| firewall_check(&firewall, &ports).unwrap();
        assert_eq!(check(ufw(None)).level, Level::Warning);
        assert_eq!(check(ufw(Some(Ports::All))).level, Level::Ok);
        assert_eq!((check(Known::None).measured, check(Known::None).level), ("none is active".into(), Level::Ok));
        let unknown = check(Known::Nothing("only root may".into()));
        assert_eq!((unknown.measured.as_str(), unknown.level), ("not known: only root may", Level::Warning));
    }
}
