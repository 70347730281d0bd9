//! `lab demo`: surefoot on a fresh host, for somebody who wants to see it work.

use crate::{Host, Suite, registry, setup, tool};
use anyhow::{Result, bail};
use std::{process::ExitCode, time::Instant};

const NAME: &str = "demo";

/// Boots a host that stays, installs the services blueprint in it, asks the services whether they are there.
///
/// # Errors
/// When the host cannot be made or asked. That surefoot fails is an exit code.
pub fn demo() -> Result<ExitCode> {
    setup::setup()?;
    if registry::all()?.iter().any(|host| host.name == NAME) {
        bail!("there is a demo host already: `lab shell {NAME}` looks around in it, `lab down {NAME}` removes it");
    }
    let started = Instant::now();
    let mut host = Host::builder(Suite::Bookworm).name(NAME).hostname(NAME).boot()?;
    host.install_binary()?;
    host.keep()?;
    println!("-- a fresh Debian 12 host, up after {:.1} s, at {}", started.elapsed().as_secs_f32(), host.address());
    println!("-- in it: surefoot install services --yes\n");
    let started = Instant::now();
    let status = host.run(["surefoot", "install", "services", "--yes"]).attached()?;
    println!("\n-- {status} after {:.1} s", started.elapsed().as_secs_f32());
    let answers = [redis(&host)?, web(&host, "http")?, web(&host, "https")?];
    for answer in &answers {
        println!("   {answer}");
    }
    let lab = std::env::current_exe()?;
    let lab = lab.display();
    println!(
        "\nlook around:    {lab} shell {NAME}\n\
         run it again:   {lab} shell {NAME} surefoot install services --yes\n\
         pull the plug:  {lab} reboot {NAME}\n\
         remove it:      {lab} down {NAME}"
    );
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What redis says to somebody without a password.
fn redis(host: &Host) -> Result<String> {
    let script =
        r"exec 3<>/dev/tcp/127.0.0.1/6379 && printf 'PING\r\n' >&3 && IFS= read -r -t 5 line <&3 && echo $line";
    let output = host.exec(["bash", "-c", script])?;
    let said = output.stdout.trim();
    Ok(if said.is_empty() {
        "redis does not answer".to_owned()
    } else {
        format!("redis, asked PING without a login: {said}")
    })
}

/// What the web server says to somebody on another machine.
fn web(host: &Host, scheme: &str) -> Result<String> {
    let url = format!("{scheme}://{}/", host.address());
    let args = ["--silent", "--insecure", "--noproxy", "*", "--max-time", "5", "--output", "/dev/null", "--write-out"];
    let mut words = args.to_vec();
    words.extend(["%{http_code} %{redirect_url}", &url]);
    Ok(match tool::tool("curl", words) {
        Ok(code) => format!("{url} from this machine: {}", code.trim()),
        Err(_) => format!("{url} does not answer"),
    })
}
