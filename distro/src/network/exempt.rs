//! What is reached without the proxy: `no_proxy`.
//!
//! Every program reads it in its own way. What all of them understand is a list with commas and no blanks of host names, each
//! standing for its sub-domains too, and of addresses; this is what they are given. What only some understand is passed on and
//! told, with the names of those that do not.

use std::net::{IpAddr, Ipv6Addr};

use super::proxy::is_host;

/// Hosts that are reached directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exempt {
    /// The entries, in the form in which they are given to others.
    pub entries: Vec<String>,
    /// What has to be said about them.
    pub notes: Vec<String>,
}

impl Exempt {
    /// Reads a list as the user wrote it.
    ///
    /// # Errors
    /// Says which entry is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut exempt = Self::default();
        for entry in text.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty()) {
            exempt.take(entry)?;
        }
        Ok(exempt)
    }

    fn take(&mut self, entry: &str) -> Result<(), String> {
        let ignored = |by: &str| Some(format!("no_proxy entry '{entry}' is ignored by {by}"));
        let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
        let (name, port) = entry.rsplit_once(':').unwrap_or((entry, ""));
        let note = if bare.parse::<Ipv6Addr>().is_ok() {
            // Half of the programs want brackets, the others none.
            self.add(bare);
            self.add(&format!("[{bare}]"));
            return Ok(());
        } else if entry == "*" {
            ignored("wget, apt and npm: they go through the proxy; unset the proxy instead (--proxy none)")
        } else if let Some(domain) = entry.strip_prefix("*.").or(entry.strip_prefix('.')).filter(|rest| is_host(rest)) {
            // With the dot, some leave out the domain itself; with the star, all but one take it for nothing.
            self.add(domain);
            return Ok(());
        } else if network(entry).is_some() {
            ignored("wget, apt, pip and npm, and by curl before 7.86: list the addresses, too")
        } else if entry.strip_suffix(['*', '.']).is_some_and(starts_address) {
            ignored("every program: write a network such as 10.0.0.0/8, or list the addresses")
        } else if is_host(entry) {
            None
        } else if is_host(name) && port.parse::<u16>().is_ok() {
            ignored("curl, git, wget, apt, pip and npm: write it without the port")
        } else {
            return Err(format!("'{entry}' in no_proxy is no host name, domain, address or network"));
        };
        self.add(entry);
        self.notes.extend(note);
        Ok(())
    }

    /// Adds an entry, unless it is there.
    pub fn add(&mut self, entry: &str) {
        if !self.entries.iter().any(|known| known.eq_ignore_ascii_case(entry)) {
            self.entries.push(entry.to_owned());
        }
    }

    /// The list as programs get it.
    pub fn text(&self) -> String {
        self.entries.join(",")
    }

    /// Is `host` (a name or an address, without brackets) reached directly?
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.entries.iter().any(|entry| {
            let entry = entry.trim_end_matches('.').to_ascii_lowercase();
            match address {
                _ if entry == "*" || entry == host => true,
                Some(address) => network(&entry).is_some_and(|network| is_in(address, network)),
                None => host.strip_suffix(&entry).is_some_and(|rest| rest.ends_with('.')),
            }
        })
    }
}

/// Address and length of its prefix in `10.0.0.0/8`.
fn network(entry: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = entry.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits = bits.parse().ok()?;
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

fn is_in(address: IpAddr, (network, bits): (IpAddr, u32)) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

/// Is it the beginning of an IPv4 address: `10.`, `192.168`?
fn starts_address(text: &str) -> bool {
    let parts: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    parts.len() < 4 && parts.iter().all(|part| part.parse::<u8>().is_ok())
}
