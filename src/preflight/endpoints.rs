//! What on the network has to be reached: which hosts these are, and whether they are reached by the way that everything will go.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use distro::net::outside::{self, Answer, Unreached};
use distro::net::split_url;
use distro::{Class, Fault, Host, packages};
use serde::Serialize;
use steps::Endpoint;

use super::{Check, clock};

/// How long one address may take.
const LIMIT: Duration = Duration::from_secs(8);
/// How long is waited before an address that failed in a passing way is asked once more.
const AGAIN: Duration = Duration::from_millis(500);
/// The protocol of what is connected to without a proxy.
const TCP: &str = "tcp";
/// By how much the clock may be wrong: a certificate or an index that was made this moment is not valid yet for a slow clock.
const CLOCK: Duration = Duration::from_secs(300);

/// Something that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What, and why.
    pub endpoint: Endpoint,
    /// Does the blueprint name it, rather than the host's own configuration of its package manager?
    pub ours: bool,
    /// Does that ask for it in a way of its own, so that it cannot be tried here?
    pub own_way: bool,
}

impl Wanted {
    /// What the blueprint names.
    pub fn ours(endpoint: Endpoint) -> Self {
        Self { endpoint, ours: true, own_way: false }
    }
}

/// What came of asking.
type Asked<'a> = (&'a Wanted, Result<Answer, Unreached>);

/// A host that is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Reached {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `http` or `https`; `tcp` for what no proxy is asked for.
    pub protocol: String,
    /// What for.
    pub purposes: Vec<String>,
    /// `direct`, or the proxy that it goes by.
    pub by: String,
}

/// What the host's own package manager asks for besides the repositories of the blueprint, as soon as packages are needed:
/// everything that its sources name.
///
/// # Errors
/// Where they cannot be read.
pub fn of_package_manager(host: &Host, ours: &[Endpoint]) -> Result<Vec<Wanted>> {
    let entries = host.packages().repositories(host)?.into_iter().map(|entry| {
        let purpose = if entry.is_list {
            "list of mirrors: it leads to hosts that are not known before; name one mirror instead".to_owned()
        } else {
            format!("packages of this host ({})", entry.file.display())
        };
        Wanted { endpoint: Endpoint { url: entry.url, purpose }, ours: false, own_way: entry.own_way }
    });
    Ok(entries.filter(|one| !ours.iter().any(|our| our.url == one.endpoint.url)).collect())
}

/// What of that is not known, in words; none where all of it is.
pub fn unseen(host: &Host) -> Option<String> {
    let files: Vec<String> =
        host.packages().hidden_definitions().iter().map(|file| file.display().to_string()).collect();
    (!files.is_empty()).then(|| format!("only root may read {}", files.join(", ")))
}

/// The hosts of `wanted`, each once for a port.
pub fn hosts(host: &Host, wanted: &[Wanted]) -> Vec<Reached> {
    let network = host.runner.network();
    let mut reached: Vec<Reached> = Vec::new();
    for Wanted { endpoint, .. } in wanted {
        let Some((protocol, name, port)) = place(&endpoint.url) else { continue };
        if is_here(&name) || [&host.facts.hostname, &host.facts.fqdn].contains(&&name) {
            continue;
        }
        match reached.iter_mut().find(|known| known.host == name && known.port == port && known.protocol == protocol) {
            Some(known) if known.purposes.contains(&endpoint.purpose) => {}
            Some(known) => known.purposes.push(endpoint.purpose.clone()),
            None => {
                let proxy = if protocol == TCP { None } else { network.proxy_for(&protocol, &name) };
                let by = proxy.map_or("direct".to_owned(), ToString::to_string);
                reached.push(Reached { host: name, port, protocol, purposes: vec![endpoint.purpose.clone()], by });
            }
        }
    }
    reached
}

/// Protocol, host and port of a URL; none for one of another kind (`file:`, `cdrom:`), which is not on the network.
fn place(url: &str) -> Option<(String, String, u16)> {
    let (protocol, rest) = url.split_once("://")?;
    let (name, port) = split_url(&if protocol == TCP { format!("http://{rest}") } else { url.to_owned() }).ok()?;
    Some((protocol.to_owned(), name.trim_matches(['[', ']']).to_owned(), port))
}

/// Is that this host?
fn is_here(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// Asks for everything that is `wanted`, side by side, and says of each host how it went.
///
/// # Errors
/// None that a network could cause.
pub(super) fn checks(host: &Host, wanted: &[Wanted], now: SystemTime) -> Result<Vec<Check>> {
    let wanted: Vec<&Wanted> = wanted.iter().filter(|one| split_url(&one.endpoint.url).is_ok()).collect();
    let manager = host.packages();
    if !host.runner.network().has_proxy()
        && let Some(file) = manager.own_proxy()
    {
        let measured = format!("not tried: {} has a proxy of its own in {}", manager.name(), file.display());
        let advice = "give that proxy with --proxy, so that it is checked and used by everything";
        return Ok(vec![Check::new("endpoints", Class::Proxy, measured, "reachable").warning(advice)]);
    }
    let (own_way, wanted): (Vec<&Wanted>, Vec<&Wanted>) = wanted.into_iter().partition(|one| one.own_way);
    let roots = outside::roots(&host.runner.network());
    let ask = |one: &Wanted| -> Result<Answer, Unreached> {
        let url = &one.endpoint.url;
        let get = || readable(outside::get(&host.runner, &roots, url, LIMIT));
        let first = match get() {
            Err(unreached) if unreached.passing => {
                distro::patience::pause(AGAIN);
                get()
            }
            other => other,
        };
        match (first, url.strip_suffix("InRelease")) {
            // Old repositories have their signature apart.
            (Err(unreached), Some(folder)) if unreached.fault.class == Class::Repository => {
                let other = readable(outside::get(&host.runner, &roots, &format!("{folder}Release"), LIMIT));
                other.map_err(|_| unreached)
            }
            (first, _) => first,
        }
    };
    let answers: Vec<Result<Answer, Unreached>> = std::thread::scope(|scope| {
        let asking: Vec<_> = wanted.iter().map(|one| scope.spawn(|| ask(one))).collect();
        let died = || Unreached::lasting(Fault::new(Class::Internal, "a check died"));
        asking.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(died()))).collect()
    });
    let asked: Vec<Asked<'_>> = wanted.into_iter().zip(answers).collect();
    Ok(judge(&asked, &own_way, now))
}

/// A check for each host, and one for the clock. What is asked for in a way of its own was not tried.
fn judge(asked: &[Asked<'_>], own_way: &[&Wanted], now: SystemTime) -> Vec<Check> {
    let mut by_host: BTreeMap<String, Vec<&Asked<'_>>> = BTreeMap::new();
    for one in asked {
        by_host.entry(name(&one.0.endpoint.url)).or_default().push(one);
    }
    // The host's own repositories are many, and one of somebody else's that fails harms nobody.
    let own = |one: &&Asked<'_>| !one.0.ours;
    let some_work = !own_way.is_empty() || asked.iter().filter(own).any(|one| one.1.is_ok());
    let mut checks = Vec::new();
    for (name, asked) in by_host {
        let failed = asked.iter().filter(|one| one.1.is_err());
        let worst = failed.max_by_key(|one| one.0.ours);
        checks.push(match worst {
            None => {
                let mut sent: Vec<String> = asked
                    .iter()
                    .filter_map(|one| one.1.as_ref().ok())
                    .flat_map(|answer| &answer.sent_to)
                    .map(|url| self::name(url))
                    .collect();
                sent.sort();
                sent.dedup();
                let sent = if sent.is_empty() { String::new() } else { format!(", sent on to {}", sent.join(", ")) };
                Check::new(&name, Class::Http, format!("answers{sent}"), "reachable")
            }
            Some((of, Err(unreached))) => {
                let Unreached { fault, passing } = unreached;
                let required = format!("reachable: {}", of.endpoint.purpose);
                let gone = packages::gone(&of.endpoint.url);
                let class = if gone.is_some() { Class::Repository } else { fault.class };
                let check = Check::new(&name, class, &fault.message, required);
                let advice = gone.unwrap_or(&fault.advice);
                let check = Check { evidence: fault.evidence.clone(), ..check };
                let login = fault.class != Class::Login && fault.evidence.iter().any(|line| line.contains(" 401 "));
                // apt has logins of its own (apt_auth.conf(5)).
                if !login && (of.ours || !some_work) {
                    let again = if *passing { "; asked twice" } else { "" };
                    Check { measured: format!("{}{again}", fault.message), ..check }.error(advice)
                } else {
                    check.warning(advice)
                }
            }
            Some((_, Ok(_))) => continue,
        });
    }
    let mut untried: Vec<String> = own_way.iter().map(|one| name(&one.endpoint.url)).collect();
    untried.retain(|name| !checks.iter().any(|check| check.name == *name));
    untried.sort();
    untried.dedup();
    let measured = "not tried: it is asked with a certificate, a proxy or a login of its own";
    checks.extend(untried.iter().map(|name| Check::new(name, Class::Http, measured, "reachable")));
    checks.extend(names_check(asked));
    checks.extend(clock_check(asked, now));
    checks
}

/// Whether the names are known that this host looks up itself: the proxy's, and those of what is reached directly. Each that is not
/// makes its endpoint an error, so that this one only says what they have in common.
fn names_check(asked: &[Asked<'_>]) -> Option<Check> {
    let unknown = |fault: &Fault| fault.class == Class::Dns || fault.message.starts_with("the name of proxy");
    // A name that is nobody's any more tells nothing of this host.
    let asked: Vec<&Asked<'_>> = asked.iter().filter(|one| packages::gone(&one.0.endpoint.url).is_none()).collect();
    let failed: Vec<&Fault> = asked
        .iter()
        .filter_map(|one| Some(one.1.as_ref().err()?.fault.as_ref()))
        .filter(|fault| unknown(fault))
        .collect();
    let check = |measured: &str| {
        Check::new("DNS", Class::Dns, measured, "every name that this host looks up itself has an address")
    };
    match failed.first() {
        None if asked.is_empty() => None,
        None => Some(check("every name that was looked up has one")),
        Some(first) => {
            let check = check(&first.message).warning(first.advice.clone());
            Some(Check { evidence: first.evidence.clone(), ..check })
        }
    }
}

/// Name of the check of a URL's host.
fn name(url: &str) -> String {
    let Ok((host, port)) = split_url(url) else { return "endpoint".into() };
    let usual = if url.starts_with("https:") { 443 } else { 80 };
    if port == usual { format!("endpoint {host}") } else { format!("endpoint {host}:{port}") }
}

/// The index of a repository, not a page that somebody put in its place.
fn readable(answer: Result<Answer, Unreached>) -> Result<Answer, Unreached> {
    let answer = answer?;
    let text = String::from_utf8_lossy(&answer.body);
    let index = ["-----BEGIN PGP SIGNED MESSAGE-----", "\nSuite: ", "\nCodename: ", "\nDate: "];
    if !answer.url.ends_with("Release") || index.iter().any(|mark| text.contains(mark)) {
        return Ok(answer);
    }
    let message = format!("{} answers with a page that is no index of a repository", answer.url);
    let fault = Fault::new(Class::Repository, message)
        .evidence([format!("it says: {}", outside::page(&answer.body))])
        .advice("a sign-in page or a proxy answers in its place: sign in, or have that address allowed");
    Err(Unreached::lasting(fault))
}

/// This host's clock against those of the servers.
fn clock_check(asked: &[Asked<'_>], now: SystemTime) -> Option<Check> {
    let dates = asked.iter().filter_map(|(_, answer)| {
        let date = answer.as_ref().ok()?.headers.iter().find(|header| header.0 == "date")?;
        clock::of_header(&date.1)
    });
    let mut dates: Vec<SystemTime> = dates.collect();
    dates.sort();
    let there = *dates.get(dates.len() / 2)?;
    let off = now.duration_since(there).or_else(|_| there.duration_since(now)).unwrap_or_default();
    let measured = format!("{}, {} s from that of the servers", clock::shown(now), off.as_secs());
    let check = Check::new("clock of the network", Class::Host, measured, format!("at most {} s", CLOCK.as_secs()));
    if off <= CLOCK {
        return Some(check);
    }
    Some(check.warning(format!(
        "set the clock: the servers say {} (`timedatectl set-ntp true`, or `date -s`)",
        clock::shown(there)
    )))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn wanted(url: &str, ours: bool) -> Wanted {
        Wanted { endpoint: Endpoint { url: url.into(), purpose: "p".into() }, ours, own_way: false }
    }

    fn answer(url: &str, body: &str) -> Result<Answer, Unreached> {
        let headers = vec![("date".to_owned(), "Fri, 01 May 2026 00:00:00 GMT".to_owned())];
        Ok(Answer { url: url.into(), sent_to: Vec::new(), headers, body: body.into() })
    }

    fn failure(class: Class, passing: bool) -> Result<Answer, Unreached> {
        let fault = Box::new(Fault::new(class, "bad").evidence(["line"]).advice("mend"));
        Err(Unreached { fault, passing })
    }

    #[test]
    fn somebody_elses_repository_is_a_warning_as_long_as_another_works() {
        let (a, b, c) = (wanted("http://a/x", false), wanted("https://b:8443/x", false), wanted("http://c/x", true));
        let levels = |asked: &[Asked<'_>]| -> Vec<(String, Level, Class)> {
            judge(asked, &[], clock::built()).into_iter().map(|check| (check.name, check.level, check.class)).collect()
        };
        let ok = || answer("http://a/x", "");
        let bad = || failure(Class::Tls, true);
        let row = |name: &str, level, class| (name.to_owned(), level, class);
        let clock = row("clock of the network", Level::Ok, Class::Host);
        let names = || row("DNS", Level::Ok, Class::Dns);
        assert_eq!(
            levels(&[(&a, ok()), (&b, bad()), (&c, bad())]),
            [
                row("endpoint a", Level::Ok, Class::Http),
                row("endpoint b:8443", Level::Warning, Class::Tls),
                row("endpoint c", Level::Error, Class::Tls),
                names(),
                clock
            ]
        );
        assert_eq!(
            levels(&[(&a, bad()), (&b, bad())]),
            [row("endpoint a", Level::Error, Class::Tls), row("endpoint b:8443", Level::Error, Class::Tls), names()]
        );
        let unknown = levels(&[(&a, failure(Class::Dns, false)), (&c, ok())]);
        assert!(unknown.contains(&row("DNS", Level::Warning, Class::Dns)), "{unknown:?}");
        let checks = judge(&[(&c, bad())], &[], clock::built());
        assert_eq!((checks[0].measured.as_str(), checks[0].evidence.len()), ("bad; asked twice", 1));
    }

    #[test]
    fn what_is_asked_in_a_way_of_its_own_may_work() {
        let (cdn, epel) = (wanted("https://cdn/x", false), wanted("https://epel/x", false));
        let cdn = Wanted { own_way: true, ..cdn };
        let checks = judge(&[(&epel, failure(Class::Http, false))], &[&cdn, &cdn], clock::built());
        let told: Vec<(&str, Level)> = checks.iter().map(|check| (check.name.as_str(), check.level)).collect();
        assert_eq!(told, [("endpoint epel", Level::Warning), ("endpoint cdn", Level::Ok), ("DNS", Level::Ok)]);
        assert!(checks[1].measured.starts_with("not tried"), "{checks:?}");
        assert_eq!(judge(&[], &[&cdn], clock::built()).len(), 1);
    }

    #[test]
    fn mirrors_that_are_gone_are_no_fault_of_the_network() {
        let gone = wanted("http://mirrorlist.centos.org/?release=7&arch=x86_64&repo=os", false);
        let checks = judge(&[(&gone, failure(Class::Dns, false))], &[], clock::built());
        assert_eq!((checks[0].class, checks[0].level), (Class::Repository, Level::Error));
        assert!(checks[0].advice.contains("vault.centos.org"), "{checks:?}");
        assert_eq!(checks.len(), 1, "{checks:?}");
    }

    #[test]
    fn what_is_connected_to_without_a_proxy_has_a_place_and_what_is_here_is_none() {
        let found = |url: &str| place(url).map(|(protocol, name, port)| format!("{protocol} {name} {port}"));
        assert_eq!(found("tcp://db.corp.test:5432").unwrap(), "tcp db.corp.test 5432");
        assert_eq!(found("tcp://[fd00::1]:80").unwrap(), "tcp fd00::1 80");
        assert_eq!(found("https://a/b").unwrap(), "https a 443");
        assert!(found("file:///srv/debian").is_none() && found("cdrom:[x]/").is_none());
        assert!(is_here("127.0.0.1") && is_here("::1") && is_here("localhost") && !is_here("10.0.0.1"));
    }

    #[test]
    fn a_page_in_place_of_an_index_is_seen() {
        let url = "http://a/dists/x/InRelease";
        assert!(readable(answer(url, "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n")).is_ok());
        assert!(readable(answer("http://a/dists/x/Release", "Origin: x\nSuite: y\n")).is_ok());
        let page = readable(answer(url, "<html><title>Sign in</title>")).unwrap_err();
        assert_eq!(page.fault.class, Class::Repository);
        assert_eq!(page.fault.evidence, ["it says: Sign in"]);
        assert!(readable(answer("http://a/mirrors.txt", "http://b/")).is_ok());
    }

    #[test]
    fn the_clock_is_compared_with_that_of_the_servers() {
        let a = wanted("http://a/x", false);
        let at = clock::built();
        for (now, level) in [
            (at, Level::Ok),
            (at + Duration::from_secs(290), Level::Ok),
            (at + Duration::from_secs(310), Level::Warning),
            (at - Duration::from_secs(310), Level::Warning),
        ] {
            let date = (&a, answer("http://a/x", ""));
            assert_eq!(clock_check(&[date], now).unwrap().level, level);
        }
        assert!(clock_check(&[(&a, failure(Class::Http, false))], at).is_none());
    }
}
