//! What kinds of servers have in common: where they listen, and servers of another host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::{Context, refused};
use crate::Resource;
use crate::resources::login::Login;
use crate::resources::service::Ready;

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

/// The resources of a step whose server somebody else runs, at `server` (the setting `external`): only that it takes the login.
///
/// # Errors
/// Class `blueprint`, where `server` is not a host with a port.
pub(super) fn external(
    cx: &dyn Context,
    server: &str,
    ready: impl FnOnce(String) -> Ready,
) -> Result<Vec<Box<dyn Resource>>> {
    let has_port = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    if !server.rsplit_once(':').is_some_and(has_port) {
        let advice = "write it as db.example.com:5432, 10.0.0.1:5432 or [fd00::1]:5432";
        return Err(refused(cx, &format!("'external': '{server}' is not a host with a port"), advice));
    }
    Ok(vec![Box::new(Login { server: server.to_owned(), ready: ready(server.to_owned()) })])
}

#[cfg(test)]
mod tests {
    use super::*;

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
