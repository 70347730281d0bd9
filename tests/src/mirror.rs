//! The caching mirror: nginx on the lab bridge, with a configuration and a folder of its own.
//!
//! What it fetched once from the Debian archive it keeps, so that every later install reads from this machine's disk. Packages never change
//! under their name; the rest is asked for anew after ten minutes, behind the back of the host that wanted it, which gets what was there: no
//! host waits for the archive twice.

use crate::{archive::Archive, lock::Lock, network, place, tool};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

/// The port on [`network::GATEWAY`].
pub const PORT: u16 = 3142;

/// The address that hosts' apt sources name.
#[must_use]
pub fn url() -> String {
    format!("http://{}:{PORT}", network::GATEWAY)
}

/// Starts the mirror unless it runs. The lab's network is made first.
///
/// # Errors
/// When the network cannot be made, no archive is known, or nginx does not come up.
pub fn ensure() -> Result<()> {
    network::ensure()?;
    let _lock = Lock::take("mirror")?;
    if answers() {
        return Ok(());
    }
    let dir = place::dir("mirror")?;
    start(&dir, &configuration(&dir, &Archive::find()?))
}

/// Starts the mirror, anew if it runs with another configuration than it would be given now.
///
/// # Errors
/// As [`ensure`].
pub fn refresh() -> Result<()> {
    network::ensure()?;
    let _lock = Lock::take("mirror")?;
    let dir = place::dir("mirror")?;
    let wanted = configuration(&dir, &Archive::find()?);
    let current = fs::read_to_string(dir.join("nginx.conf")).unwrap_or_default();
    if current == wanted && answers() {
        return Ok(());
    }
    start(&dir, &wanted)
}

fn start(dir: &Path, configuration: &str) -> Result<()> {
    for needed in ["mirror/cache", "mirror/tmp", "fixtures"] {
        place::dir(needed)?;
    }
    stop_in(dir)?;
    let config = dir.join("nginx.conf");
    fs::write(&config, configuration).context("cannot write the mirror's configuration")?;
    let error_log = dir.join("error.log");
    tool::tool("nginx", ["-e".as_ref(), error_log.as_os_str(), "-c".as_ref(), config.as_os_str()])?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while !answers() {
        if Instant::now() > deadline {
            bail!("the mirror does not answer on {}: see {}", url(), error_log.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Stops the mirror; what it has cached stays.
///
/// # Errors
/// When its process cannot be signalled.
pub fn stop() -> Result<()> {
    let _lock = Lock::take("mirror")?;
    stop_in(&place::dir("mirror")?)
}

fn stop_in(dir: &Path) -> Result<()> {
    let pid_file = dir.join("nginx.pid");
    let Ok(text) = fs::read_to_string(&pid_file) else { return Ok(()) };
    let pid: i32 = text.trim().parse().context("the mirror's pid file holds no number")?;
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if !command.contains("nginx") {
        fs::remove_file(&pid_file)?;
        return Ok(());
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while pid_file.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn answers() -> bool {
    let Ok(address) = format!("{}:{PORT}", network::GATEWAY).parse() else { return false };
    TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok()
}

fn configuration(dir: &Path, archive: &Archive) -> String {
    let dir = dir.display();
    let fixtures = place::root().join("fixtures");
    let fixtures = fixtures.display();
    let Archive { main, security } = archive;
    let (gateway, port) = (network::GATEWAY, PORT);
    format!(
        r#"# written by the lab
user root;
worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/tmp/body;
    proxy_temp_path {dir}/tmp/proxy;
    fastcgi_temp_path {dir}/tmp/fastcgi;
    uwsgi_temp_path {dir}/tmp/uwsgi;
    scgi_temp_path {dir}/tmp/scgi;
    sendfile on;
    proxy_cache_path {dir}/cache levels=1:2 keys_zone=archive:20m max_size=8g inactive=60d use_temp_path=off;
    proxy_cache archive;
    proxy_cache_lock on;
    proxy_cache_lock_timeout 120s;
    proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
    proxy_cache_background_update on;
    proxy_connect_timeout 5s;
    proxy_read_timeout 20s;
    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
    proxy_http_version 1.1;
    proxy_ssl_server_name on;
    proxy_set_header Connection "";
    server {{
        listen {gateway}:{port};
        location /debian/pool/ {{ proxy_cache_valid 200 60d; proxy_pass {main}/pool/; }}
        location /debian-security/pool/ {{ proxy_cache_valid 200 60d; proxy_pass {security}/pool/; }}
        location /debian/ {{ proxy_cache_valid 200 10m; proxy_cache_valid 404 1m; proxy_pass {main}/; }}
        location /debian-security/ {{ proxy_cache_valid 200 10m; proxy_cache_valid 404 1m; proxy_pass {security}/; }}
        location /fixtures/ {{ alias {fixtures}/; proxy_cache off; autoindex on; }}
    }}
}}
"#
    )
}
