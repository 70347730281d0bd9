//! What kinds of servers have in common: where they listen, and servers of another host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::{Context, refused};
use crate::Resource;
use crate::resources::login::Login;

/// Where to listen: where the setting `bind` says, else on loopback, of IPv6 too where the host has it.
///
/// # Errors
/// Class `blueprint`, where the list is empty.
pub(super) fn listen(cx: &dyn Context, bind: Option<&Vec<IpAddr>>) -> Result<Vec<IpAddr>> {
    match bind {
        Some(addresses) if addresses.is_empty() => {
            Err(refused(cx, "'bind' is an empty list", "leave it out to listen on loopback only"))
        }
        Some(addresses) => Ok(addresses.clone()),
        None if cx.facts().ipv6 => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        None => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
    }
}

/// An address of this host at which a server that listens on `bind` is reached.
pub(super) fn reached_at(bind: &[IpAddr]) -> IpAddr {
    let local = |address: &IpAddr| match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => *other,
    };
    let addresses: Vec<IpAddr> = bind.iter().map(local).collect();
    let loopback = addresses.iter().find(|address| address.is_loopback());
    loopback.or(addresses.first()).copied().unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// Is a server that listens on `bind` reached by other hosts?
pub(super) fn outside(bind: &[IpAddr]) -> bool {
    bind.iter().any(|address| !address.is_loopback())
}

/// The resource of a step whose server somebody else runs (the setting `external`): only that it takes the login.
///
/// # Errors
/// Class `blueprint`, where the server is not a host with a port.
pub(super) fn external(cx: &dyn Context, login: Login) -> Result<Box<dyn Resource>> {
    if !is_host_with_port(&login.server) {
        let advice = "write it as db.example.com:5432, 10.0.0.1:5432 or [fd00::1]:5432";
        return Err(refused(cx, &format!("'external': '{}' is not a host with a port", login.server), advice));
    }
    Ok(Box::new(login))
}

/// Is it `host:port`, with an address or a plain name?
pub fn is_host_with_port(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(plain),
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        for (server, good) in [
            ("db.example.com:5432", true),
            ("10.0.0.1:5432", true),
            ("[fd00::1]:5432", true),
            ("db", false),
            (":5432", false),
            ("db:0", false),
            ("fd00::1:5432", false),
            ("a:27017,b:27017", false),
            ("amqp://mq:5672", false),
            ("user@db:5432", false),
        ] {
            assert_eq!(is_host_with_port(server), good, "{server}");
        }
    }

    #[test]
    fn where_it_is_reached() {
        for (bind, at) in [
            (&["127.0.0.1", "::1"][..], "127.0.0.1"),
            (&["10.0.0.1", "::1"], "::1"),
            (&["0.0.0.0"], "127.0.0.1"),
            (&["::"], "::1"),
            (&["10.0.0.1"], "10.0.0.1"),
        ] {
            let bind: Vec<IpAddr> = bind.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(reached_at(&bind).to_string(), at, "{bind:?}");
        }
    }
}
