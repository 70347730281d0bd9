//! The lab's network: a bridge, a namespace for each host, and a way out.

use crate::{lock::Lock, tool};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The machine's address on the lab bridge. Test servers and the mirror listen here.
pub const GATEWAY: &str = "10.77.0.1";
/// Where to read what the machine asks for names.
const RESOLVER: &str = "/etc/resolv.conf";
const BRIDGE: &str = "sflab0";

/// How far a host can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// The lab bridge, and everything behind it through masquerading.
    #[default]
    Open,
    /// The lab bridge only: no default route, no name server.
    Bridge,
    /// One TCP port of the machine's lab address, as behind a corporate proxy: no default route, no name server.
    Proxy(u16),
    /// Loopback only.
    Nothing,
}

/// Makes the bridge, forwarding and masquerading unless they are there.
///
/// # Errors
/// When `ip`, `nft` or procfs refuse.
pub fn ensure() -> Result<()> {
    let _lock = Lock::take("network")?;
    if !tool::succeeds("ip", ["link", "show", "dev", BRIDGE]) {
        tool::tool("ip", ["link", "add", BRIDGE, "type", "bridge"])?;
    }
    tool::tool("ip", ["link", "set", BRIDGE, "address", &hardware_address(1)])?;
    let addresses = tool::tool("ip", ["-4", "addr", "show", "dev", BRIDGE])?;
    if !addresses.contains(GATEWAY) {
        tool::tool("ip", ["addr", "add", &format!("{GATEWAY}/24"), "dev", BRIDGE])?;
    }
    tool::tool("ip", ["link", "set", BRIDGE, "up"])?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch on IPv4 forwarding")?;
    if !tool::succeeds("nft", ["list", "table", "ip", "surefoot_lab"]) {
        tool::fed("nft", ["-f", "-"], RULES.as_bytes())?;
    }
    Ok(())
}

/// Two chains: hosts' way out, and the wall around hosts that may reach one port only.
const RULES: &str = r#"
table ip surefoot_lab {
    set walled_hosts { type ipv4_addr; }
    set openings { type ipv4_addr . inet_service; }
    chain out {
        type nat hook postrouting priority 100;
        ip saddr 10.77.0.0/24 oifname != "sflab0" masquerade
    }
    chain wall {
        type filter hook input priority -5;
        ip saddr @walled_hosts ip saddr . tcp dport @openings accept
        ip saddr @walled_hosts ct state established accept
        ip saddr @walled_hosts reject
    }
    chain through {
        type filter hook forward priority -5;
        ip saddr @walled_hosts reject
    }
}
"#;

/// A host's network namespace.
#[derive(Clone, Debug)]
pub struct Netns {
    /// Its name below `/run/netns`.
    pub name: String,
    slot: u8,
    reach: Reach,
}

impl Netns {
    /// The namespace of the host in `slot`, whether it exists or not.
    #[must_use]
    pub fn of(slot: u8, reach: Reach) -> Self {
        Self { name: format!("sflab{slot}"), slot, reach }
    }

    /// Makes the namespace of the host in `slot`; what an earlier host left there goes first.
    ///
    /// # Errors
    /// When `ip` or `nft` refuse.
    pub fn make(slot: u8, reach: Reach) -> Result<Self> {
        let netns = Self::of(slot, reach);
        netns.remove();
        tool::tool("ip", ["netns", "add", &netns.name])?;
        netns.inside(&["link", "set", "lo", "up"])?;
        if reach == Reach::Nothing {
            return Ok(netns);
        }
        let link = netns.link();
        tool::tool("ip", ["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &netns.name])?;
        tool::tool("ip", ["link", "set", &link, "master", BRIDGE, "up"])?;
        netns.inside(&["link", "set", "eth0", "address", &hardware_address(slot)])?;
        netns.inside(&["addr", "add", &format!("{}/24", netns.address()), "dev", "eth0"])?;
        netns.inside(&["link", "set", "eth0", "up"])?;
        match reach {
            Reach::Open => netns.inside(&["route", "add", "default", "via", GATEWAY])?,
            Reach::Proxy(port) => {
                element("add", "walled_hosts", &netns.address())?;
                element("add", "openings", &format!("{} . {port}", netns.address()))?;
            }
            Reach::Bridge | Reach::Nothing => {}
        }
        Ok(netns)
    }

    /// The host's address on the lab bridge.
    #[must_use]
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.slot)
    }

    /// Path to hand to programs that join the namespace.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// What belongs into the host's /etc/resolv.conf.
    ///
    /// # Errors
    /// When the machine's own cannot be read.
    pub fn resolver(&self) -> Result<String> {
        if self.reach != Reach::Open {
            return Ok(String::new());
        }
        let text = std::fs::read_to_string(RESOLVER).with_context(|| format!("cannot read {RESOLVER}"))?;
        let usable = |line: &&str| line.starts_with("nameserver") && !line.contains(" 127.") && !line.contains("::1");
        Ok(text.lines().filter(usable).map(|line| format!("{line}\n")).collect())
    }

    /// Takes the cable out (`false`) or puts it back in.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn cable(&self, plugged: bool) -> Result<()> {
        tool::tool("ip", ["link", "set", &self.link(), if plugged { "up" } else { "down" }]).map(drop)
    }

    /// Removes the namespace and its cable, as far as they exist.
    pub fn remove(&self) {
        tool::succeeds("ip", ["link", "del", &self.link()]);
        tool::succeeds("ip", ["netns", "del", &self.name]);
        let listed = tool::tool("nft", ["list", "set", "ip", "surefoot_lab", "openings"]).unwrap_or_default();
        for port in ports_of(&listed, &self.address()) {
            let _ = element("delete", "openings", &format!("{} . {port}", self.address()));
        }
        let address = format!("{{ {} }}", self.address());
        tool::succeeds("nft", ["delete", "element", "ip", "surefoot_lab", "walled_hosts", &address]);
    }

    fn link(&self) -> String {
        format!("sflab-v{}", self.slot)
    }

    fn inside(&self, args: &[&str]) -> Result<()> {
        let mut all = vec!["-n", &self.name];
        all.extend(args);
        tool::tool("ip", all).map(drop)
    }
}

/// The hardware address that goes with 10.77.0.`last`. A bridge left alone takes the lowest one of its ports, so it would change whenever a
/// host comes or goes, and the others would talk to the old one until their neighbour tables age.
fn hardware_address(last: u8) -> String {
    format!("02:53:46:00:00:{last:02x}")
}

/// Removes the bridge and the rules.
pub fn remove() {
    tool::succeeds("nft", ["delete", "table", "ip", "surefoot_lab"]);
    tool::succeeds("ip", ["link", "del", BRIDGE]);
}

fn element(verb: &str, set: &str, element: &str) -> Result<()> {
    tool::tool("nft", [verb, "element", "ip", "surefoot_lab", set, &format!("{{ {element} }}")]).map(drop)
}

/// Ports next to `address` in what `nft list set` prints.
fn ports_of(listed: &str, address: &str) -> Vec<String> {
    let wanted = format!("{address} . ");
    let items = listed.split(['{', '}', ',']).map(str::trim);
    items.filter_map(|item| item.strip_prefix(&wanted)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::ports_of;

    #[test]
    fn openings_are_found_by_address() {
        let listed =
            "set openings {\n type ipv4_addr . inet_service\n elements = { 10.77.0.1 . 80,\n 10.77.0.12 . 3128 }\n}";
        assert_eq!(ports_of(listed, "10.77.0.12"), ["3128"]);
        assert_eq!(ports_of(listed, "10.77.0.2"), Vec::<String>::new());
    }
}
