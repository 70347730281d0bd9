//! Installs in a host that has no way out but a proxy.

use anyhow::{Result, ensure};
use lab::gateway::{Gateway, Kind, PASSWORD, USER};
use lab::{Host, Reach, Suite};
use std::time::Duration;

/// What of the built-in blueprint has to run.
const SERVICES: &str = "redis-server nginx rabbitmq-server postgresql";

/// A host that can reach nothing but a proxy of a gateway.
struct Walled {
    gateway: Gateway,
    host: Host,
    wall: lab::Wall,
}

fn walled(kind: Kind) -> Result<Walled> {
    let gateway = Gateway::boot()?;
    gateway.start(kind)?;
    let host = Host::builder(Suite::Bookworm).reach(Reach::Bridge).boot()?;
    host.install_binary()?;
    let wall = gateway.wall(&host, &[kind.port()])?;
    Ok(Walled { gateway, host, wall })
}

impl Walled {
    /// Installs with `flags`, sees the services answer, and a second run that changes nothing without the flags.
    fn installs(&self, flags: &[&str], env: &[(&str, &str)], stdin: &str) -> Result<()> {
        let mut args = vec!["surefoot", "install", "services", "--yes"];
        args.extend(flags);
        let run = env.iter().fold(self.host.run(args), |run, (name, value)| run.env(name, value));
        run.stdin(stdin).output()?.ok()?;
        self.wall.held()?;
        self.host.sh(&format!("systemctl is-active {SERVICES}"))?;
        let again = self.host.exec(["surefoot", "install", "services", "--yes"])?.ok()?;
        ensure!(again.stderr.contains("0 changed"), "{}", again.stderr);
        ensure!(!self.host.exists("/run/surefoot/apt.conf")?, "apt's settings outlived the run");
        Ok(())
    }
}

#[test]
fn a_plain_proxy_from_the_environment() -> Result<()> {
    let walled = walled(Kind::Plain)?;
    let url = Kind::Plain.url();
    walled.installs(&[], &[("HTTP_PROXY", &url), ("https_proxy", &url)], "")?;
    let log = walled.gateway.host().read("/var/log/tinyproxy.log")?;
    ensure!(log.contains("/debian/dists/"), "{log}");
    // The wall counts what goes past the proxy.
    let direct = walled.host.exec(["bash", "-c", "</dev/tcp/10.77.0.1/3142"])?;
    let told = walled.wall.held().err().map(|why| why.to_string()).unwrap_or_default();
    ensure!(!direct.success() && told.contains("10.77.0.1 . tcp . "), "'{told}' of {direct:?}");
    Ok(())
}

#[test]
fn basic_authentication_with_a_password_of_any_characters() -> Result<()> {
    let walled = walled(Kind::Basic)?;
    let url = Kind::Basic.url();
    // A wrong password is a failure of the proxy; corrected, the run goes on with everything else that it was given.
    let flags = ["--proxy", &url, "--proxy-user", USER, "--no-proxy", "intra.test"];
    let args = ["surefoot", "install", "services", "--yes"].into_iter().chain(flags);
    let wrong = walled.host.run(args).env("SUREFOOT_PROXY_PASSWORD", "stale").output()?.code_is(17)?;
    ensure!(wrong.stderr.contains("407"), "{}", wrong.stderr);
    let resume = ["surefoot", "install", "--resume", "--yes", "--proxy-password-file", "-"];
    walled.host.run(resume).stdin(PASSWORD).output()?.ok()?;
    let kept = walled.host.read("/var/lib/surefoot/services/network.json")?;
    ensure!(kept.contains("intra.test") && kept.contains("CORP%5Cjo"), "{kept}");
    ensure!(walled.host.sh("stat -c %a /var/lib/surefoot/services/network.json")? == "600");
    walled.installs(&[], &[], "")
}

#[test]
fn tls_to_the_proxy() -> Result<()> {
    let walled = walled(Kind::Tls)?;
    walled.host.write("/root/ca.pem", walled.gateway.ca()?, 0o644)?;
    walled.installs(&["--proxy", &Kind::Tls.url(), "--ca-file", "/root/ca.pem"], &[], "")
}

#[test]
fn socks5_looks_names_up_at_the_proxy() -> Result<()> {
    let walled = walled(Kind::Socks)?;
    walled.installs(&["--proxy", "socks5://proxy.corp.test:1080"], &[], "")
}

/// Looks, until `/run/done` is there, at what everybody may see of every process, and at what systemd says of every unit. What is
/// looked for comes by standard input.
const WATCHER: &str = r#"$| = 1; chomp(@forms = <STDIN>); print "watching\n"; my $rounds = 0;
    until (-e "/run/done" && $rounds) {
        for my $file (glob("/proc/[0-9]*/cmdline /proc/[0-9]*/environ")) {
            open(my $in, "<", $file) or next; local $/; my $text = <$in> // next;
            for (@forms) { print "$file: $text\n" if index($text, $_) >= 0 }
        }
        my $units = $rounds++ % 20 ? "" : `systemctl show '*' 2>&1; systemctl show-environment 2>&1`;
        for (@forms) { print "systemctl show\n" if index($units, $_) >= 0 }
        select(undef, undef, undef, 0.2);
    } print "rounds: $rounds\n""#;

/// Nothing of the proxy's password is told, in any form that it could have.
#[test]
fn the_password_is_nowhere_but_in_the_state_folder() -> Result<()> {
    let walled = walled(Kind::Basic)?;
    let blueprint = walled.host.install_blueprint("web")?;
    let url = Kind::Basic.url();
    let flags = ["--proxy", &url, "--proxy-user", USER, "--proxy-password-file", "-", "-v"];
    let forms = [
        PASSWORD,
        "p%40ss%3Aw%2Frd%23%3F%25",
        "p%40ss%3aw%2frd%23%3f%25",
        "cEBzczp3L3JkIz8l",
        "qbzpwQHNzOncvcmQjPyU",
        "OnBAc3M6dy9yZCM/JQ",
    ];
    let mut watcher = walled.host.run(["perl", "-e", WATCHER]).as_user("nobody").stdin(forms.join("\n")).spawn()?;
    watcher.wait_for("watching", Duration::from_secs(60))?;
    let strace = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=execve", "-o", "/root/execs"];
    let args = strace.into_iter().chain(["surefoot", "install", &blueprint, "--yes"]);
    let install = walled.host.run(args.chain(flags)).stdin(PASSWORD).output()?.ok()?;
    let execs = walled.host.read("/root/execs")?;
    ensure!(execs.contains("apt-get") && execs.contains("/run/surefoot/apt.conf"), "{execs}");
    let elsewhere = walled.host.sh(
        "cat /var/lib/surefoot/web/journal /var/log/surefoot/web/*.jsonl /var/log/apt/*; cat /etc/apt/apt.conf.d/*; ls -R /run/surefoot",
    )?;
    let plan = walled.host.exec(["surefoot", "plan", &blueprint, "-v", "--output", "json"])?.ok()?;
    walled.host.sh("touch /run/done")?;
    let watched = watcher.wait()?.ok()?.stdout;
    ensure!(watched.starts_with("watching\nrounds: "), "everybody could see the password: {watched}");
    // Servers that were started by the run keep its environment for as long as they run.
    let running = walled.host.sh("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'; systemctl show '*'; systemctl show-environment")?;
    let told = [&install.stdout, &install.stderr, &execs, &elsewhere, &running, &plan.stdout, &plan.stderr];
    for form in forms {
        ensure!(!told.iter().any(|text| text.contains(form)), "'{form}' is told");
    }
    Ok(())
}

/// What is kept for good lets apt go on by itself, tells nobody the password, and goes with the product.
#[test]
fn the_host_keeps_the_proxy_where_asked() -> Result<()> {
    for kind in [Kind::Basic, Kind::Plain] {
        let Walled { gateway: _gateway, host, wall } = walled(kind)?;
        let blueprint = host.install_blueprint("hello")?;
        let state = "cd /etc; ls -lR apt/apt.conf.d apt/auth.conf.d; cat apt/apt.conf.d/* environment | sha256sum";
        let before = host.sh(state)?;
        let (url, user) = (kind.url(), format!("--proxy-user={USER}"));
        let login = if kind == Kind::Basic { vec![&*user, "--proxy-password-file", "-"] } else { Vec::new() };
        let flags = [&["--proxy", &url, "--keep-proxy"], &*login].concat();
        let with = |words: &[&str]| host.run([words, &flags].concat()).stdin(PASSWORD).output()?.ok();
        let plan = with(&["surefoot", "plan", &blueprint])?.stdout;
        ensure!(plan.contains("/etc/apt/apt.conf.d/95surefoot-proxy"), "{plan}");
        with(&["surefoot", "install", &blueprint, "--yes"])?;
        host.sh("apt-get -qq update 2>&1; apt-get -qq install --reinstall hello 2>&1 >/dev/null")?;
        wall.held()?;
        let told =
            host.run(["sh", "-c", "apt-config dump; apt-cache policy hello; cat /etc/environment"]).as_user("nobody");
        let told = told.output()?.ok()?;
        ensure!(told.stderr.is_empty() && told.stdout.contains(&url) && !told.stdout.contains("p@ss"), "{told:?}");
        let in_environment =
            host.sh("grep -c -i -e '^http_proxy=' -e '^https_proxy=' -e '^no_proxy=' /etc/environment || true")?;
        assert_eq!(in_environment, if kind == Kind::Basic { "0" } else { "6" });
        if kind == Kind::Basic {
            assert_eq!(host.sh("stat -c '%a %U' /etc/apt/auth.conf.d/95surefoot-proxy.conf")?, "600 root");
        }
        // It is remembered.
        ensure!(host.surefoot("install /root/hello --yes")?.stderr.contains("0 changed"));
        host.surefoot("uninstall hello --yes --purge")?.ok()?;
        assert_eq!(host.sh(state)?, before);
    }
    Ok(())
}

/// The product's own units get the settings too, in a file that root alone reads, and lose them with it.
#[test]
fn a_unit_of_the_product_reaches_others_as_the_run_does() -> Result<()> {
    let walled = walled(Kind::Basic)?;
    let (host, url) = (&walled.host, Kind::Basic.url());
    let blueprint = host.install_blueprint("parts")?;
    let install = ["surefoot", "install", &blueprint, "--yes", "--proxy", &url, "--proxy-user", USER];
    let flags = ["--proxy-password-file", "-"];
    host.run(install.iter().chain(&flags).copied()).stdin(PASSWORD).output()?.ok()?;
    let file = "/etc/systemd/system/parts.service.d/surefoot-network.env";
    assert_eq!(host.sh(&format!("stat -c '%a %U' {file}"))?, "600 root");
    let seen = host.sh("tr '\\0' '\\n' </proc/$(systemctl show -P MainPID parts)/environ")?;
    ensure!(seen.contains("HTTPS_PROXY=http://CORP%5Cjo:p%40ss%3Aw%2Frd%23%3F%25@proxy.corp.test:3129"), "{seen}");
    ensure!(host.surefoot("install /root/parts --yes")?.stderr.contains("0 changed"));
    host.surefoot("uninstall parts --yes --purge")?.ok()?;
    ensure!(!host.exists("/etc/systemd/system/parts.service.d")?);
    Ok(())
}
