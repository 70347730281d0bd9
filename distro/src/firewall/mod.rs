//! What filters the connections that others make to this host, as far as it can be read.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Command, Host, find_program};

pub mod firewalld;

/// A firewall that is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// Its name, as administrators know it.
    pub name: &'static str,
    /// TCP ports that it lets others reach; none where that cannot be read.
    pub open: Option<Ports>,
    /// How a port is opened by hand, with `PORT` in its place; none where a plan opens it.
    pub remedy: Option<&'static str>,
}

/// TCP ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every one.
    All,
    /// These: single ones, and ranges from one to another.
    Some(BTreeSet<(u16, u16)>),
}

impl Ports {
    /// Is `port` one of them?
    pub fn have(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Some(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&port)),
        }
    }
}

/// What is known of a host's firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// That there is none.
    #[default]
    None,
    /// Nothing, and why.
    Nothing(String),
    /// The one that rules.
    Ruled(Firewall),
}

/// The firewall of this host: ufw or firewalld where one of them rules, else what the kernel was told, which only root may read.
///
/// # Errors
/// Where the kernel's rules cannot be asked for.
pub fn active(host: &Host) -> anyhow::Result<Known> {
    if let Some(managed) = ufw(Path::new("/")).or_else(|| firewalld::ruling(Path::new("/"))) {
        return Ok(Known::Ruled(managed));
    }
    let unknown = |why: &str| Ok(Known::Nothing(why.to_owned()));
    match (find_program("nft").or_else(|| find_program("iptables")), host.root) {
        // Who has neither has no rules.
        (None, _) => return Ok(Known::None),
        (Some(_), false) => return unknown("only root may read the kernel's rules"),
        (Some(program), true) if !program.ends_with("nft") => {
            return unknown("the kernel's rules are read by nft, which is not on this host");
        }
        (Some(_), true) => {}
    }
    let listed = Command::new("nft").args(["list", "ruleset"]).data().output(&host.runner)?;
    if !listed.ok() {
        return unknown(&format!("nft list ruleset: {}", listed.tail.last().map_or("no answer", String::as_str)));
    }
    Ok(nftables(&listed.stdout).map_or(Known::None, Known::Ruled))
}

fn read(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok()
}

/// ufw(8): its own files say what it lets through.
fn ufw(root: &Path) -> Option<Firewall> {
    let enabled = read(root, "etc/ufw/ufw.conf")?.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"));
    if !enabled {
        return None;
    }
    let lenient = read(root, "etc/default/ufw")
        .is_some_and(|text| text.lines().any(|line| line.trim() == "DEFAULT_INPUT_POLICY=\"ACCEPT\""));
    let rules = ["etc/ufw/user.rules", "lib/ufw/user.rules"].iter().find_map(|path| read(root, path));
    let open = if lenient { Some(Ports::All) } else { rules.map(|rules| Ports::Some(ufw_rules(&rules))) };
    Some(Firewall { name: "ufw", open, remedy: Some("ufw allow PORT/tcp") })
}

/// `### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in`
fn ufw_rules(rules: &str) -> BTreeSet<(u16, u16)> {
    let mut open = BTreeSet::new();
    for line in rules.lines().filter_map(|line| line.strip_prefix("### tuple ### ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [action, protocol, ports, ..] = words.as_slice() else { continue };
        if (action.starts_with("allow") || action.starts_with("limit")) && matches!(*protocol, "tcp" | "any") {
            open.extend(ranges(ports, ':'));
        }
    }
    open
}

/// What `nft list ruleset` says: a chain of what comes in that drops what no rule accepts.
fn nftables(ruleset: &str) -> Option<Firewall> {
    let lines: Vec<&str> = ruleset.lines().map(str::trim).collect();
    let hook = lines.iter().position(|line| line.contains("hook input"))?;
    let end = lines[hook..].iter().position(|line| *line == "}").map_or(lines.len(), |at| hook + at);
    // Either the policy drops, or the last word of the chain does.
    let last = lines[..end].last().copied().unwrap_or_default();
    let closing = |line: &str| {
        line == "drop" || line.starts_with("reject") || line.ends_with(" drop") || line.ends_with(" reject")
    };
    let closed = lines[hook].contains("policy drop") || last != lines[hook] && closing(last);
    if !closed {
        return None;
    }
    let mut open = BTreeSet::new();
    for line in lines.iter().filter(|line| line.ends_with("accept")) {
        let Some((_, rest)) = line.split_once("tcp dport ") else { continue };
        let ports = match rest.strip_prefix('{') {
            Some(set) => set.split('}').next().unwrap_or_default(),
            None => rest.split_whitespace().next().unwrap_or_default(),
        };
        open.extend(ranges(ports, '-'));
    }
    let remedy = Some("nft add rule inet filter input tcp dport PORT accept");
    Some(Firewall { name: "nftables", open: Some(Ports::Some(open)), remedy })
}

/// `80,443,8000-8080`, `any`.
fn ranges(text: &str, between: char) -> Vec<(u16, u16)> {
    let named = |word: &str| match word {
        "http" => Some(80),
        "https" => Some(443),
        "ssh" => Some(22),
        number => number.parse().ok(),
    };
    if text == "any" {
        return vec![(0, u16::MAX)];
    }
    let range = |word: &str| match word.trim().split_once(between) {
        Some((from, to)) => Some((named(from)?, named(to)?)),
        None => named(word.trim()).map(|port| (port, port)),
    };
    text.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    pub(super) fn open(ports: &[(u16, u16)]) -> Option<Ports> {
        Some(Ports::Some(ports.iter().copied().collect()))
    }

    #[test]
    fn ufw_says_what_it_lets_through() {
        let rules = "*filter\n### RULES ###\n\n### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p tcp\n\
                     ### tuple ### limit any 22 0.0.0.0/0 any 0.0.0.0/0 in\n### tuple ### deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 in\n\
                     ### tuple ### allow udp 53 0.0.0.0/0 any 0.0.0.0/0 in\n### tuple ### allow tcp 6000:6007 ::/0 any ::/0 in\n";
        let conf = ("etc/ufw/ufw.conf", "# ufw\nENABLED=yes\n");
        let found = |files: &[(&str, &str)]| ufw(host(files).path());
        let with = found(&[conf, ("etc/ufw/user.rules", rules)]).unwrap();
        assert_eq!(with.open, open(&[(22, 22), (80, 80), (443, 443), (6000, 6007)]));
        assert!(with.open.as_ref().unwrap().have(6003) && !with.open.unwrap().have(25));
        assert_eq!(found(&[conf]).unwrap().open, None);
        let lenient = ("etc/default/ufw", "DEFAULT_INPUT_POLICY=\"ACCEPT\"\n");
        assert_eq!(found(&[conf, lenient]).unwrap().open, Some(Ports::All));
        assert_eq!(found(&[("etc/ufw/ufw.conf", "ENABLED=no\n")]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn rules_of_the_kernel() {
        let table = |policy: &str, rules: &str| {
            format!(
                "table inet filter {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy {policy};\n{rules}\t}}\n}}\n"
            )
        };
        let rules =
            "\t\tiif \"lo\" accept\n\t\ttcp dport { 22, 8000-8080 } accept\n\t\ttcp dport 443 ct state new accept\n";
        let some = open(&[(22, 22), (443, 443), (8000, 8080)]);
        for (ruleset, wanted) in [
            (table("drop", rules), Some(some.clone())),
            (table("accept", &format!("{rules}\t\tcounter packets 0 bytes 0 drop\n")), Some(some)),
            (table("accept", rules), None),
            (table("accept", ""), None),
            (String::new(), None),
        ] {
            assert_eq!(nftables(&ruleset).map(|firewall| firewall.open), wanted, "{ruleset}");
        }
    }
}
