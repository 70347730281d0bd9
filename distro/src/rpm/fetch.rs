//! Fetching a single file, by the program that rpm itself uses for it.

use anyhow::Result;

use super::repos::{self, OwnProxy};
use super::said::Words;
use crate::network::{Login, speaks_tls_to_proxies};
use crate::{Class, Command, Host};

const SAID: Words = Words {
    program: "curl",
    classes: &[
        ("Could not resolve proxy", Class::Proxy),
        ("from proxy after CONNECT", Class::Proxy),
        ("returned error: 407", Class::Proxy),
        ("Could not resolve host", Class::Dns),
        ("SSL certificate problem", Class::Tls),
        ("SSL peer certificate", Class::Tls),
        ("SSL connect error", Class::Tls),
        ("Peer's Certificate", Class::Tls),
        ("Peer's certificate", Class::Tls),
        ("error: 404", Class::Repository),
    ],
    heads: &["curl:"],
    advice: &[],
};

/// The proxy of dnf's or yum's own, by which packages are fetched, where nobody gave one.
fn own_proxy(host: &Host) -> Option<OwnProxy> {
    if host.runner.network().has_proxy() { None } else { repos::own_proxy(&host.packages().settings()) }
}

fn of(login: &Login) -> String {
    format!("{}:{}", login.user, login.password)
}

/// A line of curl's configuration.
fn option(name: &str, value: &str) -> String {
    format!("{name} = \"{}\"\n", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What stands at `url`.
///
/// # Errors
/// Where it cannot be fetched: of the class that curl's words tell (`dns`, `http`, `proxy`, `tls`).
pub fn fetch(host: &Host, url: &str) -> Result<Vec<u8>> {
    let words = ["--fail", "--silent", "--show-error", "--location", "--connect-timeout", "20", "--retry", "2"];
    let network = host.runner.network();
    // Not by the command line, which everybody can read; what follows a redirect is not told it.
    let login = network.login_for(url).map(|login| option("user", &of(login)));
    let proxy = own_proxy(host).map(|proxy| {
        let login = proxy.login.map(|login| option("proxy-user", &of(&login)));
        option("proxy", &proxy.url) + &login.unwrap_or_default()
    });
    // The environment tells it whom to trust of servers, and of proxies nothing does. One that speaks no TLS to these does not know the word.
    let trusted = network.bundle().filter(|_| speaks_tls_to_proxies(&host.facts));
    let trusted = trusted.map(|bundle| option("proxy-cacert", bundle));
    let config = [login, proxy, trusted].into_iter().flatten().collect::<String>();
    let command = Command::new("curl").args(words).args(["--config", "-", url]).stdin(config);
    let output = command.limit(super::FETCH_LIMIT).data().output(&host.runner)?;
    if output.ok() {
        return Ok(output.stdout.into_bytes());
    }
    Err(SAID.fault(&output, Class::Http, &format!("{url} cannot be fetched")).into())
}
