//! SELinux: labels of what is written, booleans, ports and rules of the policy, and what it refused.
//!
//! Read from files, since `semanage` takes a second to start; changed by `setsebool` and `semanage`, as an administrator would. The mode is never
//! changed.

use std::ffi::CString;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::facts::PackageManager;
use crate::{Class, Command, Facts, Host, find_program};

/// The extended attribute that a label is kept in.
pub(crate) const LABEL: &std::ffi::CStr = c"security.selinux";
/// Package of `semanage`, in Red Hat's family and in Debian's.
pub fn tools(facts: &Facts) -> &'static str {
    let is_old = facts.package_manager == Some(PackageManager::Yum);
    if is_old { "policycoreutils-python" } else { "policycoreutils-python-utils" }
}

/// How far back the audit log is read.
const TAIL_BYTES: u64 = 256 << 10;
/// Refusals that are shown.
const SHOWN: usize = 5;
/// How long labelling a folder may take: a site may have millions of files.
const RELABELLING: Duration = Duration::from_secs(60 * 60);

/// What the policy lets a server listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Type of its ports.
    pub sort: &'static str,
    /// TCP ports that the policy itself gives that type, by first and last.
    known: &'static [(u16, u16)],
    /// Ports that it listens on besides those of its clients.
    pub besides: &'static [u16],
}

/// By unit, as `semanage port -l` has them on Enterprise Linux 8 and 9.
const LISTENING: [(&[&str], Listening); 5] = [
    (
        &["nginx.service"],
        Listening {
            sort: "http_port_t",
            known: &[(80, 81), (443, 443), (488, 488), (8008, 8009), (8443, 8443), (9000, 9000)],
            besides: &[],
        },
    ),
    (
        &["redis.service", "redis6.service", "valkey.service", "redis-server.service"],
        Listening { sort: "redis_port_t", known: &[(6379, 6379), (16379, 16379), (26379, 26379)], besides: &[] },
    ),
    (
        &["postgresql.service"],
        Listening { sort: "postgresql_port_t", known: &[(5432, 5432), (9898, 9898)], besides: &[] },
    ),
    (&["mongod.service"], Listening { sort: "mongod_port_t", known: &[(27017, 27019), (28017, 28019)], besides: &[] }),
    (
        &["rabbitmq-server.service"],
        Listening { sort: "amqp_port_t", known: &[(5671, 5672), (15672, 15672)], besides: &[25672] },
    ),
];

impl Listening {
    /// What is known of the server of `unit`; none where its ports are of no sort of their own.
    pub fn of(unit: &str) -> Option<Self> {
        LISTENING.iter().find(|(units, _)| units.contains(&unit)).map(|(_, listening)| *listening)
    }

    /// Does the policy itself let it listen on `port`?
    pub fn knows(&self, port: u16) -> bool {
        self.known.iter().any(|(from, to)| (*from..=*to).contains(&port))
    }
}

/// Is it at work, be it only to tell what it would refuse?
pub fn is_on(facts: &Facts) -> bool {
    matches!(facts.selinux.as_deref(), Some("enforcing" | "permissive"))
}

/// Folder of the policy and what was changed of it.
fn store(root: &Path) -> std::path::PathBuf {
    let config = std::fs::read_to_string(root.join("etc/selinux/config")).unwrap_or_default();
    let sort =
        config.lines().find_map(|line| line.strip_prefix("SELINUXTYPE=")).unwrap_or("targeted").trim().to_owned();
    let usual = root.join("var/lib/selinux").join(&sort).join("active");
    // That of Enterprise Linux 7 is beside the policy: since 7.3, and before.
    let old = ["active", "modules/active"].map(|folder| root.join("etc/selinux").join(&sort).join(folder));
    if usual.exists() { usual } else { old.into_iter().find(|folder| folder.exists()).unwrap_or(usual) }
}

/// A file of the store; empty where there is none, as nothing was changed then.
fn stored(name: &str) -> Result<String> {
    let path = store(Path::new("/")).join(name);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        answer => answer.with_context(|| format!("reading {}", path.display())),
    }
}

/// A boolean of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boolean {
    /// What holds now.
    pub now: bool,
    /// What was set for after the next boot; none where that is what the policy has.
    pub kept: Option<bool>,
}

/// The boolean `name`; none where the policy has no such.
///
/// # Errors
/// Where it cannot be read: what is kept only root may.
pub fn boolean(name: &str) -> Result<Option<Boolean>> {
    let path = Path::new("/sys/fs/selinux/booleans").join(name);
    // The value and the one that waits to be committed.
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    Ok(Some(Boolean { now: text.starts_with('1'), kept: kept(&stored("booleans.local")?, name) }))
}

/// `httpd_can_network_connect=1`
fn kept(text: &str, name: &str) -> Option<bool> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(|value| value.trim() == "1")
}

/// Sets a boolean, now and for good.
///
/// # Errors
/// Class `host`, where the policy refuses.
pub fn set_boolean(host: &Host, name: &str, on: bool) -> Result<()> {
    let value = if on { "1" } else { "0" };
    Command::new("setsebool")
        .args(["-P", name, value])
        .run(&host.runner, Class::Host, "setting a boolean of SELinux")
        .map(drop)
}

/// The type that somebody gave a TCP port; none where it has that of the policy.
///
/// # Errors
/// Where it cannot be read, which only root may.
pub fn port_sort(port: u16) -> Result<Option<String>> {
    Ok(sort_of(&stored("ports.local")?, port))
}

/// `portcon tcp 8999 system_u:object_r:http_port_t:s0`, also with `8000-8100`.
fn sort_of(text: &str, port: u16) -> Option<String> {
    text.lines().find_map(|line| {
        let ["portcon", "tcp", ports, label] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
        let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        (from..=to).contains(&port).then(|| sort_in(label)).flatten()
    })
}

/// `system_u:object_r:http_port_t:s0`
fn sort_in(label: &str) -> Option<String> {
    label.split(':').nth(2).map(str::to_owned)
}

/// Gives a TCP port the type `sort`, or back that of the policy where there is none.
///
/// # Errors
/// Class `host`, where the policy refuses.
pub fn set_port_sort(host: &Host, port: u16, sort: Option<&str>) -> Result<()> {
    let semanage = |how: &str, sort: &[&str]| {
        Command::new("semanage")
            .args(["port", how])
            .args(sort.iter().copied())
            .args(["-p", "tcp"])
            .arg(port.to_string())
    };
    let doing = "changing a port of SELinux's policy";
    let Some(sort) = sort else { return semanage("-d", &[]).run(&host.runner, Class::Host, doing).map(drop) };
    let added = semanage("-a", &["-t", sort]).output(&host.runner)?;
    // A port that the policy has under another type is modified.
    if added.ok() {
        return Ok(());
    }
    if !added.stderr.contains("already defined") {
        return Err(added.fault(Class::Host, format!("{doing} failed: port {port}")).into());
    }
    semanage("-m", &["-t", sort]).run(&host.runner, Class::Host, doing).map(drop)
}

/// The label that the policy has for a file at `path`, for the time before it is there; none where it has none, or nobody tells it: then the
/// kernel gives it that of its folder.
///
/// # Errors
/// Where the program that tells it cannot be run.
pub(crate) fn label(host: &Host, path: &Path, is_folder: bool) -> Result<Option<CString>> {
    if !is_on(&host.facts) || find_program("matchpathcon").is_none() {
        return Ok(None);
    }
    let sort = if is_folder { "dir" } else { "file" };
    let told = Command::new("matchpathcon")
        .args(["-n", "-m", sort])
        .arg(path.display().to_string())
        .data()
        .output(&host.runner)?;
    let label = told.stdout.trim();
    Ok((told.ok() && label.split(':').count() > 2).then(|| CString::new(label).ok()).flatten())
}

/// The type that the policy, or somebody's rule, has for a folder at `path`; none where nobody tells it.
///
/// # Errors
/// Where the program that tells it cannot be run.
pub fn folder_sort(host: &Host, path: &Path) -> Result<Option<String>> {
    let label = label(host, path, true)?.and_then(|label| label.into_string().ok());
    Ok(label.and_then(|label| sort_in(&label)))
}

/// The type that somebody's own rule has for everything below `folder`; none where there is no such rule.
///
/// # Errors
/// Where it cannot be read, which only root may.
pub fn rule(folder: &str) -> Result<Option<String>> {
    Ok(rule_of(&stored("file_contexts.local")?, folder))
}

/// `/data/www(/.*)?    system_u:object_r:httpd_sys_content_t:s0`
fn rule_of(text: &str, folder: &str) -> Option<String> {
    let pattern = pattern(folder);
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    sort_in(lines.find(|words| words.first() == Some(&pattern.as_str()))?.last()?)
}

/// Everything below `folder` and itself, as a rule has it.
fn pattern(folder: &str) -> String {
    format!("{}(/.*)?", escaped(folder))
}

/// `path` as a regular expression.
fn escaped(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_".contains(c) || !c.is_ascii();
    path.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
}

/// Folders below `folder` that have a rule which is not the policy's own, and files.
///
/// # Errors
/// Where it cannot be read, which only root may.
pub fn rules_below(folder: &str) -> Result<Vec<String>> {
    let (below, all) = (format!("{}/", escaped(folder)), pattern(folder));
    let text = stored("file_contexts.local")?;
    let rules = text.lines().filter_map(|line| line.split_whitespace().next());
    let rules = rules.filter(|rule| rule.starts_with(&below) && *rule != all);
    Ok(rules.map(|rule| rule.trim_end_matches("(/.*)?").replace('\\', "")).collect())
}

/// The type of the label that the folder at `path` has now; none where it is not there, or has none.
pub fn label_of(path: &Path) -> Option<String> {
    let mut label = [0; 256];
    let length = rustix::fs::getxattr(path, LABEL, &mut label[..]).ok()?;
    sort_in(std::str::from_utf8(&label[..length]).ok()?.trim_end_matches('\0'))
}

/// Gives everything below `folder` the type `sort`, or back that of the policy where there is none, and labels what is there.
///
/// # Errors
/// Class `host`, where the policy refuses.
pub fn set_rule(host: &Host, folder: &str, sort: Option<&str>) -> Result<()> {
    let semanage =
        |how: &[&str]| Command::new("semanage").arg("fcontext").args(how.iter().copied()).arg(pattern(folder));
    let doing = "changing a rule of SELinux's policy";
    let had = rule(folder)?;
    let command = match (sort, had.as_deref()) {
        (Some(sort), Some(had)) if sort == had => None,
        (Some(sort), None) => Some(semanage(&["-a", "-t", sort])),
        (Some(sort), Some(_)) => Some(semanage(&["-m", "-t", sort])),
        (None, _) => Some(semanage(&["-d"])),
    };
    if let Some(command) = command {
        command.run(&host.runner, Class::Host, doing)?;
    }
    relabel(host, folder)
}

/// Gives everything below `folder` the labels that the policy and the rules have for it.
///
/// # Errors
/// Class `host`, where that fails.
pub fn relabel(host: &Host, folder: &str) -> Result<()> {
    if !Path::new(folder).exists() {
        return Ok(());
    }
    let command = Command::new("restorecon").args(["-R", folder]).limit(RELABELLING);
    command.run(&host.runner, Class::Host, "labelling what is there").map(drop)
}

/// What SELinux refused since, as the audit log has it, the newest last.
pub fn refusals(since: SystemTime) -> Vec<String> {
    let since = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Ok(mut file) = std::fs::File::open("/var/log/audit/audit.log") else { return Vec::new() };
    let length = file.metadata().map_or(0, |meta| meta.len());
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).is_err() || file.read_to_end(&mut bytes).is_err() {
        return Vec::new();
    }
    refused(&String::from_utf8_lossy(&bytes), since)
}

/// `type=AVC msg=audit(1700000000.123:45): avc:  denied  { name_bind } for …`: each kind of refusal once.
fn refused(log: &str, since: u64) -> Vec<String> {
    let mut shown: Vec<(String, String)> = Vec::new();
    for line in log.lines().filter(|line| line.contains("type=AVC") && line.contains(" denied ")) {
        let Some((when, what)) = line.split_once("audit(").and_then(|(_, rest)| rest.split_once("): ")) else {
            continue;
        };
        if when.split('.').next().and_then(|seconds| seconds.parse::<u64>().ok()).is_none_or(|seconds| seconds < since)
        {
            continue;
        }
        // Who asks again and again has another process id each time.
        let words = what.split_whitespace().filter(|word| !word.starts_with("pid=") && !word.starts_with("ino="));
        let kind = words.collect::<Vec<_>>().join(" ");
        shown.retain(|(known, _)| *known != kind);
        shown.push((kind, what.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    let from = shown.len().saturating_sub(SHOWN);
    shown.split_off(from).into_iter().map(|(_, line)| line).collect()
}

/// What refusals add to a failure that came with them: lines of evidence, and what to do. None where there are none.
pub fn explain(refusals: &[String]) -> Option<(Vec<String>, String)> {
    let first = refusals.first()?;
    let by = first.split_once("comm=\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or("a program");
    let evidence = std::iter::once("SELinux refused meanwhile:".to_owned()).chain(refusals.iter().cloned()).collect();
    let advice = format!(
        "see whether what SELinux refused to {by} is the cause: `ausearch -m avc -ts recent | audit2why` names the boolean, the port or the label \
         that lets it; SELinux can stay on"
    );
    Some((evidence, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_store_is() {
        let root = tempfile::tempdir().unwrap();
        let new = "var/lib/selinux/targeted/active";
        assert_eq!(store(root.path()), root.path().join(new));
        for folder in ["etc/selinux/targeted/modules/active", "etc/selinux/targeted/active", new] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
            assert_eq!(store(root.path()), root.path().join(folder));
        }
    }

    #[test]
    fn booleans_and_ports_of_the_store() {
        let booleans =
            "# This file is auto-generated by libsemanage\n\nhttpd_can_network_connect=1\nhttpd_can_network_relay=0\n";
        assert_eq!(kept(booleans, "httpd_can_network_connect"), Some(true));
        assert_eq!(kept(booleans, "httpd_can_network_relay"), Some(false));
        assert_eq!(kept(booleans, "httpd_can_network"), None);
        let ports = "portcon tcp 8999 system_u:object_r:http_port_t:s0\nportcon udp 53 system_u:object_r:x_t:s0\n\
                     portcon tcp 7000-7010 system_u:object_r:other_port_t:s0\n";
        for (port, sort) in [(8999, Some("http_port_t")), (7000, Some("other_port_t")), (7011, None), (53, None)] {
            assert_eq!(sort_of(ports, port).as_deref(), sort, "{port}");
        }
    }

    #[test]
    fn rules_of_the_store() {
        assert_eq!(pattern("/data/www.example"), r"/data/www\.example(/.*)?");
        let text = "# This file is auto-generated by libsemanage\n\n\
                    /data/www\\.example(/.*)?    system_u:object_r:httpd_sys_content_t:s0\n\
                    /data/a(/.*)?  --  system_u:object_r:x_t:s0\n";
        for (folder, sort) in
            [("/data/www.example", Some("httpd_sys_content_t")), ("/data/a", Some("x_t")), ("/data", None)]
        {
            assert_eq!(rule_of(text, folder).as_deref(), sort, "{folder}");
        }
    }

    #[test]
    fn what_the_policy_knows_by_itself() {
        let nginx = Listening::of("nginx.service").unwrap();
        assert!(nginx.knows(443) && nginx.knows(8009) && !nginx.knows(8080) && !nginx.knows(5432));
        assert!(Listening::of("st2api.service").is_none());
    }

    #[test]
    fn each_refusal_since_is_told_once() {
        let line = |at: u64, pid: u32, port: u16| {
            format!(
                "type=AVC msg=audit({at}.123:45): avc:  denied  {{ name_connect }} for  pid={pid} comm=\"nginx\" dest={port} \
                 scontext=system_u:system_r:httpd_t:s0 tclass=tcp_socket permissive=0\n"
            )
        };
        let log =
            [line(99, 1, 1), line(100, 2, 9101), line(101, 3, 9101), "type=SYSCALL msg=audit(101.1:45): x\n".into()]
                .concat();
        let told = refused(&log, 100);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("avc: denied { name_connect } for pid=3 comm=\"nginx\" dest=9101"), "{told:?}");
        let (evidence, advice) = explain(&told).unwrap();
        assert!(evidence.len() == 2 && advice.contains("refused to nginx"), "{advice}");
        assert_eq!(explain(&[]), None);
        assert!(refused(&log, 102).is_empty());
    }
}
