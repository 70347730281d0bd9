//! firewalld(1): what its zones let through, now and after a reload, and how a port is opened.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use roxmltree::{Document, Node};

use super::{Firewall, Ports, ranges, read};
use crate::{Class, Command, Fault, Host};

/// Folders of its settings: the administrator's count more than the package's.
const FOLDERS: [&str; 2] = ["etc/firewalld", "usr/lib/firewalld"];
/// Its control group, which the kernel removes with its last process.
const GROUPS: [&str; 2] = ["sys/fs/cgroup/system.slice", "sys/fs/cgroup/systemd/system.slice"];

/// The zone of connections that no other one is for; none where firewalld is not installed. Where only root may read its settings, others
/// get the zone that it has by itself.
pub(crate) fn default_zone(root: &Path) -> Option<String> {
    if !root.join(FOLDERS[1]).join("zones").is_dir() {
        return None;
    }
    let text = find(root, "firewalld.conf").unwrap_or_default();
    let zone = text.lines().find_map(|line| line.strip_prefix("DefaultZone=").map(|zone| zone.trim().to_owned()));
    Some(zone.unwrap_or_else(|| "public".into()))
}

/// Does it run?
pub fn runs() -> bool {
    runs_below(Path::new("/"))
}

fn runs_below(root: &Path) -> bool {
    GROUPS.iter().any(|group| root.join(group).join("firewalld.service/cgroup.procs").exists())
}

/// It, where it runs, with what the default zone lets through after a reload.
pub(super) fn ruling(root: &Path) -> Option<Firewall> {
    let zone = runs_below(root).then(|| default_zone(root).unwrap_or_else(|| "public".into()))?;
    Some(Firewall { name: "firewalld", open: kept_below(root, &zone), remedy: None })
}

/// What a zone lets through after a reload, as its files say.
///
/// # Errors
/// Class `host`, where it has no file.
fn kept(zone: &str) -> Result<Ports> {
    kept_below(Path::new("/"), zone).ok_or_else(|| {
        Fault::new(Class::Host, format!("firewalld's default zone '{zone}' has no file zones/{zone}.xml"))
            .evidence(FOLDERS.map(|folder| format!("looked in /{folder}")))
            .advice("choose a zone that is there: `firewall-cmd --get-zones`, `firewall-cmd --set-default-zone=public`")
            .into()
    })
}

fn kept_below(root: &Path, zone: &str) -> Option<Ports> {
    let settings = Settings::of(&find(root, &format!("zones/{zone}.xml"))?);
    if settings.accepts {
        return Some(Ports::All);
    }
    let mut open = settings.ports;
    for service in &settings.services {
        open.extend(of_service(root, service));
    }
    Some(Ports::Some(open))
}

/// What a zone lets through now, and after a reload.
///
/// # Errors
/// As [`kept`]; class `host`, where firewalld does not answer.
pub fn now_and_kept(host: &Host, zone: &str) -> Result<(Ports, Ports)> {
    let kept = kept(zone)?;
    // One that accepts whatever comes names no ports, and on the bus not every firewalld tells of which sort it is.
    let now = if kept == Ports::All { Ports::All } else { now(host, zone)? };
    Ok((now, kept))
}

/// What a zone lets through now. Asked on the bus: `firewall-cmd` takes most of a second.
fn now(host: &Host, zone: &str) -> Result<Ports> {
    let mut open = own_now(host, zone)?;
    for service in ask(host, "getServices", zone)? {
        open.extend(of_service(Path::new("/"), &service));
    }
    Ok(Ports::Some(open))
}

/// An interface by which others may come in, whose zone is not the default one: what is opened there is not open here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// The interface.
    pub interface: String,
    /// Its zone.
    pub zone: String,
    /// What the zone lets through now.
    pub now: Ports,
    /// What it lets through after a reload.
    pub kept: Ports,
}

impl Entrance {
    /// Do others reach `port` by it, now and after a reload?
    pub fn has(&self, port: u16) -> bool {
        self.now.have(port) && self.kept.have(port)
    }
}

/// The interfaces of the default routes that have another zone than the default one. None where firewalld does not run, or we may not ask; one
/// that it tells nothing of is left out, since nothing but a warning depends on it.
///
/// # Errors
/// Class `interrupted`, where we were asked to stop.
pub fn entrances(host: &Host) -> Result<Vec<Entrance>> {
    let mut found = Vec::new();
    if !host.root || !runs() {
        return Ok(found);
    }
    let table = read(Path::new("/"), "proc/net/route").unwrap_or_default();
    for interface in ways_out(&table) {
        match entrance(host, interface) {
            Err(error) if Fault::class_of(&error) == Class::Interrupted => return Err(error),
            entrance => found.extend(entrance.ok().flatten()),
        }
    }
    Ok(found)
}

/// `interface`, where its zone is not the default one.
fn entrance(host: &Host, interface: &str) -> Result<Option<Entrance>> {
    let zone = ask(host, "getZoneOfInterface", interface)?.into_iter().next().unwrap_or_default();
    if zone.is_empty() || Some(&zone) == default_zone(Path::new("/")).as_ref() {
        return Ok(None);
    }
    let (now, kept) = now_and_kept(host, &zone)?;
    Ok(Some(Entrance { interface: interface.to_owned(), zone, now, kept }))
}

/// What a route of the kernel's is marked by that refuses what would go by it, and so has no interface (`RTF_REJECT`).
const REJECTS: u32 = 0x200;

/// The interfaces of the default routes in the kernel's table.
fn ways_out(table: &str) -> BTreeSet<&str> {
    let interface = |line| -> Option<&str> {
        let mut row = str::split_whitespace(line);
        let (interface, destination, flags) = (row.next()?, row.next()?, row.nth(1)?);
        let rejects = u32::from_str_radix(flags, 16).ok()? & REJECTS != 0;
        (destination == "00000000" && !rejects).then_some(interface)
    };
    table.lines().filter_map(interface).collect()
}

/// The TCP ports that a zone names itself now.
fn own_now(host: &Host, zone: &str) -> Result<BTreeSet<(u16, u16)>> {
    let told = ask(host, "getPorts", zone)?;
    let pairs = told.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
    Ok(pairs.filter(|(_, protocol)| *protocol == "tcp").flat_map(|(port, _)| ranges(port, '-')).collect())
}

/// What `method` of firewalld's for zones says of `what`, a zone or an interface: the words of its lists, one after another.
fn ask(host: &Host, method: &str, what: &str) -> Result<Vec<String>> {
    let (name, path) = ("org.fedoraproject.FirewallD1", "/org/fedoraproject/FirewallD1");
    let output = Command::new("busctl")
        .args(["--system", "call", name, path, &format!("{name}.zone"), method, "s", what])
        .data()
        .run(&host.runner, Class::Host, "asking firewalld")?;
    Ok(words(&output.stdout))
}

/// `aas 2 2 "80" "tcp" 2 "53" "udp"`: ports, protocols and names of services have nothing in them that would be quoted otherwise. (As JSON the
/// busctl of Enterprise Linux 7 says nothing.)
fn words(reply: &str) -> Vec<String> {
    reply.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Lets others reach `ports` in a zone: from now on until the next reload, or (`kept`) from the next reload on.
///
/// # Errors
/// Class `host`, where firewalld refuses.
pub fn open(host: &Host, zone: &str, ports: &[u16], kept: bool) -> Result<()> {
    change(host, zone, "add", ports, kept)
}

/// Lets nobody reach `port` any more, as far as it is a port of its own of the zone; says whether it was.
///
/// # Errors
/// As [`open`].
pub fn close(host: &Host, zone: &str, port: u16, kept: bool) -> Result<bool> {
    let own = match (kept, runs()) {
        (true, _) => {
            find(Path::new("/"), &format!("zones/{zone}.xml")).map(|text| Settings::of(&text).ports).unwrap_or_default()
        }
        (false, true) => own_now(host, zone)?,
        (false, false) => BTreeSet::new(),
    };
    if !own.contains(&(port, port)) {
        return Ok(false);
    }
    change(host, zone, "remove", &[port], kept)?;
    Ok(true)
}

fn change(host: &Host, zone: &str, how: &str, ports: &[u16], kept: bool) -> Result<()> {
    // Its settings can be changed while it does not run, by another program.
    let mut command = match (kept, runs()) {
        (true, false) => Command::new("firewall-offline-cmd"),
        (true, true) => Command::new("firewall-cmd").arg("--permanent"),
        (false, _) => Command::new("firewall-cmd"),
    };
    command = command.arg(format!("--zone={zone}")).args(ports.iter().map(|port| format!("--{how}-port={port}/tcp")));
    command.run(&host.runner, Class::Host, "changing what firewalld lets through").map(drop)
}

/// A file of its settings.
fn find(root: &Path, path: &str) -> Option<String> {
    FOLDERS.iter().find_map(|folder| read(root, &format!("{folder}/{path}")))
}

/// The TCP ports of a service that it knows.
fn of_service(root: &Path, name: &str) -> BTreeSet<(u16, u16)> {
    find(root, &format!("services/{name}.xml")).map(|text| Settings::of(&text).ports).unwrap_or_default()
}

/// What the file of a zone or a service says for whoever comes. What a rule in it says (`<rule>`) is for some only, or refuses.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    /// Does it let everything through?
    accepts: bool,
    /// Its TCP ports.
    ports: BTreeSet<(u16, u16)>,
    /// Names of the services that it lets through.
    services: Vec<String>,
}

impl Settings {
    /// Nothing, where it is no such file: firewalld does not take it, either.
    fn of(text: &str) -> Self {
        let Ok(document) = Document::parse(text) else { return Self::default() };
        let root = document.root_element();
        let all = |tag: &'static str| root.children().filter(move |node: &Node<'_, '_>| node.has_tag_name(tag));
        let tcp = all("port").filter(|port| port.attribute("protocol") == Some("tcp"));
        Self {
            accepts: root.attribute("target") == Some("ACCEPT"),
            ports: tcp.filter_map(|port| port.attribute("port")).flat_map(|port| ranges(port, '-')).collect(),
            services: all("service").filter_map(|service| service.attribute("name")).map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{host, open};
    use super::*;

    #[test]
    fn what_it_says_on_the_bus() {
        assert_eq!(words("aas 2 2 \"80\" \"tcp\" 2 \"53\" \"udp\"\n"), ["80", "tcp", "53", "udp"]);
        assert_eq!(words("as 1 \"dhcpv6-client\"\n"), ["dhcpv6-client"]);
        assert_eq!(words("as 0\n"), Vec::<String>::new());
    }

    #[test]
    fn interfaces_of_default_routes() {
        let table = "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0100000A\t0003\neth0\t0000000A\t00000000\t0001\n\
                     docker0\t000011AC\t00000000\t0001\n*\t00000000\t00000000\t0200\nlo\t00000000\t00000000\t0201\n";
        assert_eq!(ways_out(table), ["eth0"].into());
        assert!(ways_out("").is_empty());
    }

    #[test]
    fn what_is_for_whoever_comes() {
        let port = |number| "<port port=\"NUMBER\" protocol=\"tcp\"/>".replace("NUMBER", number);
        let (source, verdict) = ("<source address=\"10.0.0.0/8\"/>", "<accept/>");
        let of = |ports: &[u16], services: &[&str]| Settings {
            ports: ports.iter().map(|port| (*port, *port)).collect(),
            services: services.iter().map(|service| (*service).to_owned()).collect(),
            ..Settings::default()
        };
        for (inside, wanted) in [
            (port("80"), of(&[80], &[])),
            (format!("<rule family=\"ipv4\">{source}{}{verdict}</rule>{}", port("80"), port("81")), of(&[81], &[])),
            (format!("<rule>{}<reject/></rule>", port("80")), of(&[], &[])),
            (format!("<service name='ssh'/><rule>{source}<service name=\"http\"/>{verdict}</rule>"), of(&[], &["ssh"])),
            (format!("<!-- {} -->", port("80")), of(&[], &[])),
            ("<port protocol=\"udp\" port=\"53\"/><source-port port=\"80\" protocol=\"tcp\"/>".into(), of(&[], &[])),
            ("<description>target=\"ACCEPT\"</description>".into(), of(&[], &[])),
            ("<port".into(), of(&[], &[])),
        ] {
            let text = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<zone>\n  {inside}\n</zone>\n");
            assert_eq!(Settings::of(&text), wanted, "{text}");
        }
    }

    #[test]
    fn zones_and_services() {
        let zone = "<?xml version=\"1.0\"?>\n<zone>\n  <service name=\"ssh\"/>\n  <port protocol=\"tcp\" port=\"8000-8080\"/>\n\
                    <port port=\"53\" protocol=\"udp\"/></zone>\n";
        let public = ("usr/lib/firewalld/zones/public.xml", "<zone/>");
        let ssh = "<service>\n  <port protocol=\"tcp\" port=\"22\"/>\n</service>\n";
        let files = [
            ("sys/fs/cgroup/system.slice/firewalld.service/cgroup.procs", "7\n"),
            ("etc/firewalld/firewalld.conf", "DefaultZone=work\n"),
            ("etc/firewalld/zones/work.xml", zone),
            ("usr/lib/firewalld/services/ssh.xml", ssh),
            public,
        ];
        let all = host(&files);
        assert_eq!(ruling(all.path()).unwrap().open, open(&[(22, 22), (8000, 8080)]));
        assert_eq!(default_zone(host(&[files[1], public]).path()).as_deref(), Some("work"));
        assert_eq!(default_zone(host(&[public]).path()).as_deref(), Some("public"));
        assert_eq!(default_zone(host(&files[1..2]).path()), None);
        assert_eq!(ruling(host(&files[..1]).path()).unwrap().open, None);
        assert_eq!(ruling(host(&files[1..]).path()), None);
        let all = [("etc/firewalld/zones/work.xml", "<zone target=\"ACCEPT\"/>"), files[0], files[1], public];
        assert_eq!(ruling(host(&all).path()).unwrap().open, Some(Ports::All));
    }
}
