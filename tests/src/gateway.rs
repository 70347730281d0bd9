//! A corporate network: a host with proxies, and a wall around another host that lets it reach nothing else.

use crate::{
    host::Host,
    snapshot::Snapshot,
    suite::Suite,
    tool::{fed, tool},
};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// What the gateway has installed. Names the snapshot: another list, another snapshot.
const PACKAGES: &str = "tinyproxy-bin squid-openssl apache2-utils microsocks mitmproxy openssl";
/// User and password that squid wants.
pub const USER: &str = r"CORP\jo";
/// A password with everything that URLs, shells and configuration files have a meaning for.
pub const PASSWORD: &str = "p@ss:w/rd#?%";
/// The name that the gateway's certificate is made for.
pub const NAME: &str = "proxy.corp.test";

/// The name of the server whose TLS is the gateway's own: the Debian archive over https.
pub const SERVER: &str = "deb.corp.test";
/// Its port.
pub const ORIGIN: u16 = 8443;

/// A proxy that the gateway can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// tinyproxy on 3128: HTTP, asks for nothing.
    Plain,
    /// squid on 3129: Basic authentication as [`USER`] with [`PASSWORD`].
    Basic,
    /// squid on 3130: TLS to the proxy, with a certificate for [`NAME`] from [`Gateway::ca`].
    Tls,
    /// microsocks on 1080: SOCKS5.
    Socks,
    /// mitmproxy on 3131: opens TLS with a CA of its own, [`Gateway::intercepting_ca`].
    Intercepting,
}

impl Kind {
    /// Its port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Plain => 3128,
            Self::Basic => 3129,
            Self::Tls => 3130,
            Self::Socks => 1080,
            Self::Intercepting => 3131,
        }
    }

    /// What `--proxy` is given.
    #[must_use]
    pub fn url(self) -> String {
        let scheme = match self {
            Self::Tls => "https",
            Self::Socks => "socks5h",
            _ => "http",
        };
        format!("{scheme}://{NAME}:{}", self.port())
    }
}

/// The host with the proxies.
#[derive(Debug)]
pub struct Gateway {
    host: Host,
}

impl Gateway {
    /// Boots it. No proxy runs yet.
    ///
    /// # Errors
    /// When its packages cannot be installed, or it does not come up.
    pub fn boot() -> Result<Self> {
        let prepare = || -> Result<Host> {
            let host = Host::boot(Suite::Bookworm)?;
            // Their services are not wanted: the proxies run as the tests say.
            host.sh(&format!(
                "ln -s /dev/null /etc/systemd/system/squid.service; apt-get -qq update;
                 DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends {PACKAGES} >/dev/null"
            ))?;
            Ok(host)
        };
        let host = Snapshot::cached("gateway", PACKAGES, prepare)?.host().hostname("gateway").boot()?;
        Ok(Self { host })
    }

    /// The host itself.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Starts a proxy, and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self, kind: Kind) -> Result<()> {
        let port = kind.port();
        match kind {
            Kind::Plain => {
                let config = format!(
                    "Port {port}\nTimeout 600\nLogFile \"/var/log/tinyproxy.log\"\nMaxClients 50\nConnectPort 443\nConnectPort {ORIGIN}\n"
                );
                self.host.write("/etc/plain.conf", config, 0o644)?;
                self.run("plain", &["tinyproxy", "-d", "-c", "/etc/plain.conf"])?;
            }
            Kind::Basic => {
                self.host.run(["htpasswd", "-i", "-c", "/etc/squid/users", USER]).stdin(PASSWORD).output()?.ok()?;
                let config = format!(
                    "http_port {port}\nauth_param basic program /usr/lib/squid/basic_ncsa_auth /etc/squid/users\n\
                     auth_param basic realm corp\nauth_param basic casesensitive on\nacl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n{SQUID}"
                );
                self.squid("basic", &config)?;
            }
            Kind::Tls => {
                self.ca()?;
                let config = format!(
                    "https_port {port} tls-cert=/etc/gateway/proxy.pem tls-key=/etc/gateway/proxy.key\nhttp_access allow all\n{SQUID}"
                );
                self.squid("tls", &config)?;
            }
            Kind::Socks => self.run("socks", &["microsocks", "-p", &port.to_string()])?,
            Kind::Intercepting => {
                let port = port.to_string();
                // It trusts the test's own CA, which the servers behind it have their certificates from.
                let trust = "ssl_verify_upstream_trusted_ca=/etc/gateway/ca.pem";
                self.ca()?;
                self.run(
                    "intercepting",
                    &["mitmdump", "-q", "-p", &port, "--set", trust, "--set", "confdir=/etc/mitm"],
                )?;
            }
        }
        self.wait_for(port)
    }

    /// Stops a proxy again.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self, unit: &str) -> Result<()> {
        self.host.sh(&format!("systemctl stop lab-{unit}")).map(drop)
    }

    /// The CA that the gateway's own certificate is from, PEM. It makes certificates for servers, too: [`Gateway::certify`].
    ///
    /// # Errors
    /// When openssl fails.
    pub fn ca(&self) -> Result<String> {
        if !self.host.exists("/etc/gateway/ca.pem")? {
            self.host.sh(
                "mkdir -p /etc/gateway; cd /etc/gateway
                 openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 \
                   -subj '/O=Lab/CN=Lab test CA' -addext basicConstraints=critical,CA:TRUE 2>/dev/null",
            )?;
            self.certify("proxy", &[NAME], (-1, 30))?;
        }
        self.host.read("/etc/gateway/ca.pem")
    }

    /// Makes `/etc/gateway/FILE.pem` and `.key` in the gateway: a certificate for `names`, good from `days.0` days from now to `days.1`.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn certify(&self, file: &str, names: &[&str], (from, to): (i32, i32)) -> Result<()> {
        let (first, all) = (names.first().copied().unwrap_or_default(), names.join(",DNS:"));
        let date = |days: i32| format!("$(date -ud '{days} days' +%Y%m%d%H%M%SZ)");
        let dates = format!("-startdate {} -enddate {}", date(from), date(to));
        self.host
            .sh(&format!(
                "cd /etc/gateway; mkdir -p new; : >index.txt; echo unique_subject=no >index.txt.attr
             printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=index.txt\\nnew_certs_dir=new\\nrand_serial=yes\\ndefault_md=sha256\\npolicy=p\\n\
             copy_extensions=copy\\n[p]\\ncommonName=supplied\\n' >ca.cnf
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {file}.key -out {file}.csr -subj '/CN={first}' \
               -addext 'subjectAltName=DNS:{all}' 2>/dev/null
             openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {file}.csr -out {file}.pem {dates} 2>/dev/null
             chmod 644 {file}.key"
            ))
            .map(drop)
    }

    /// Serves the lab's mirror over https, as [`SERVER`] on [`ORIGIN`], with a certificate that is good from `days.0` days from now to
    /// `days.1`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn serve_tls(&self, days: (i32, i32)) -> Result<()> {
        self.front(&[SERVER], ORIGIN, &crate::mirror::url(), days)
    }

    /// Serves what is at `url` over https, as `names` on `port`, with a certificate that is good from `days.0` days from now to `days.1`.
    /// The gateway's proxies find these names here.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn front(&self, names: &[&str], port: u16, url: &str, days: (i32, i32)) -> Result<()> {
        self.ca()?;
        self.certify("server", names, days)?;
        let all = names.join(" ");
        self.host.sh(&format!(
            "cd /etc/gateway; cat server.key server.pem >server-both.pem; grep -q '{all}' /etc/hosts || echo 127.0.0.1 {all} >>/etc/hosts
             systemctl stop lab-server 2>/dev/null || true"
        ))?;
        let (upstream, listens) = (format!("reverse:{url}"), port.to_string());
        self.run(
            "server",
            &[
                "mitmdump",
                "-q",
                "--mode",
                &upstream,
                "-p",
                &listens,
                "--certs",
                "*=/etc/gateway/server-both.pem",
                "--set",
                "confdir=/etc/mitm-server",
                "--set",
                "http2=false",
            ],
        )?;
        self.wait_for(port)
    }

    /// The CA of the intercepting proxy, PEM. It must run.
    ///
    /// # Errors
    /// When there is none.
    pub fn intercepting_ca(&self) -> Result<String> {
        self.host.read("/etc/mitm/mitmproxy-ca-cert.pem")
    }

    /// Starts a program as a service of the gateway.
    ///
    /// # Errors
    /// When systemd refuses.
    pub fn run(&self, unit: &str, program: &[&str]) -> Result<()> {
        let mut args =
            vec!["systemd-run".to_owned(), "--quiet".into(), "--collect".into(), format!("--unit=lab-{unit}")];
        args.extend(program.iter().map(|word| (*word).to_owned()));
        self.host.exec(args)?.ok().map(drop)
    }

    /// Waits until something listens on a port of the gateway.
    ///
    /// # Errors
    /// When nothing does after half a minute.
    pub fn wait_for(&self, port: u16) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(30);
        while self.host.sh(&format!("ss -Hltn sport = :{port}"))?.is_empty() {
            ensure!(
                Instant::now() < until,
                "nothing listens on port {port} of the gateway: {}",
                self.host.sh("journalctl -b -n 30 -u 'lab-*'")?
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn squid(&self, unit: &str, config: &str) -> Result<()> {
        let path = format!("/etc/squid/{unit}.conf");
        let names = format!("pid_filename /run/squid-{unit}.pid\naccess_log stdio:/var/log/squid/{unit}.log\n");
        self.host.write(&path, format!("{config}{names}"), 0o644)?;
        self.run(unit, &["squid", "-N", "-f", &path])
    }

    /// Lets `host` reach nothing but `ports` of this gateway, which it knows by [`NAME`]. What it tries beyond is counted; what it
    /// only answers is not.
    ///
    /// # Errors
    /// When nft refuses.
    pub fn wall(&self, host: &Host, ports: &[u16]) -> Result<Wall> {
        let address = self.host.address();
        host.sh(&format!("sed -i '/{NAME}/d' /etc/hosts; echo '{address} {NAME}' >>/etc/hosts; echo nameserver 10.77.0.254 >/etc/resolv.conf"))?;
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let rules = format!(
            "add table inet wall\nflush table inet wall\ntable inet wall {{\n counter beyond {{}}\n \
             set tried {{ type ipv4_addr . inet_proto . inet_service; flags dynamic; size 64; }}\n chain out {{\n  type filter hook output \
             priority 0;\n  oifname lo accept\n  ct direction reply accept\n  meta l4proto ipv6-icmp accept\n  ip protocol igmp accept\n  ip daddr {address} tcp dport {{ {} }} accept\n  counter name beyond\n  \
             update @tried {{ ip daddr . meta l4proto . th dport }}\n  reject\n }}\n}}\n",
            ports.join(", ")
        );
        let wall = Wall { namespace: host.netns().name };
        fed("ip", ["netns", "exec", &wall.namespace, "nft", "-f", "-"], rules.as_bytes())?;
        Ok(wall)
    }
}

/// What every squid here has.
const SQUID: &str = "cache deny all\ncache_log /dev/null\nshutdown_lifetime 0 seconds\ncoredump_dir none\nvia off\n";

/// The wall around a host.
#[derive(Debug)]
pub struct Wall {
    namespace: String,
}

impl Wall {
    /// Insists that nothing went past it.
    ///
    /// # Errors
    /// Where something did, with what was tried.
    pub fn held(&self) -> Result<()> {
        let listed = self.list("counter", "beyond")?;
        let count = listed.split("packets ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let count: u64 =
            count.and_then(|count| count.parse().ok()).with_context(|| format!("no counter in {listed}"))?;
        ensure!(count == 0, "{count} packets went past the proxy, to {}", self.list("set", "tried")?);
        Ok(())
    }

    fn list(&self, what: &str, name: &str) -> Result<String> {
        tool("ip", ["netns", "exec", &self.namespace, "nft", "list", what, "inet", "wall", name])
    }
}
