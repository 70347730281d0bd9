//! Being asked to stop, losing the terminal, and package transactions that outlive us.

use anyhow::{Result, ensure};
use lab::{
    Host, Run, Running, Suite,
    repo::{Package, Repo},
    web::Web,
};
use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGTERM};
use std::time::{Duration, Instant};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host on which `slow` can be installed: its package's postinst waits for /srv/go, its command for /srv/go-on.
struct Slow {
    host: Host,
    _web: Web,
    _repo: Repo,
}

impl Slow {
    fn boot() -> Result<Self> {
        let wait = |begun: &str, go: &str| {
            format!("#!/bin/sh\nset -e\ntouch {begun}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n")
        };
        let postinst = wait("/srv/installing", "/srv/go") + "echo let go\necho once >>/srv/installed\n";
        let work = wait("/srv/working", "/srv/go-on") + "touch /srv/worked\n";
        let package =
            Package::new("lab-slow", "1").script("postinst", &postinst).file("/usr/bin/lab-slow", work, 0o755);
        let (repo, web) = (Repo::new(&[package])?, Web::start()?);
        let host = Host::boot(Suite::Bookworm)?;
        repo.offer(&web, &host)?;
        host.install_binary()?;
        host.install_blueprint("slow")?;
        Ok(Self { host, _web: web, _repo: repo })
    }

    fn install(&self) -> Run<'_> {
        self.host.run(["surefoot", "install", "/root/slow", "--yes"])
    }

    fn resume(&self) -> Run<'_> {
        self.host.run(["surefoot", "install", "--resume", "--yes"])
    }

    fn wait_for(&self, path: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.host.exists(path)? {
            ensure!(Instant::now() < deadline, "{path} does not come");
        }
        Ok(())
    }

    fn touch(&self, path: &str) -> Result<()> {
        self.host.exec(["touch", path])?.ok().map(drop)
    }

    /// `status` tells that the last run was or is `how`.
    fn last_run_is(&self, how: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.host.sh("surefoot status slow")?;
            if told.contains(&format!("last run: {how} (")) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "it is not {how}: {told}");
        }
    }

    /// Resumes, with nothing in its way, and everything is there. The postinst ran once in all.
    fn resumes(&self) -> Result<()> {
        self.touch("/srv/go")?;
        self.touch("/srv/go-on")?;
        self.resume().output()?.ok()?;
        ensure!(self.host.exists("/srv/worked")? && self.host.exists("/srv/mark")?);
        assert_eq!(self.host.read("/srv/installed")?, "once\n");
        Ok(())
    }
}

fn send(running: &Running, signal: Signal) -> Result<()> {
    ensure!(running.signal(signal), "it is not there to get {signal}");
    Ok(())
}

#[test]
fn a_package_transaction_outlives_us_and_is_waited_for() -> Result<()> {
    let slow = Slow::boot()?;
    let running = slow.install().spawn()?;
    slow.wait_for("/srv/installing")?;
    slow.last_run_is("install at work")?;
    ensure!(running.kill());
    slow.last_run_is("install cut off")?;
    let mut resumed = slow.resume().spawn()?;
    resumed.wait_for("waiting for the package transaction of an earlier run (pid ", PATIENCE)?;
    ensure!(!running.survivors().is_empty() && !slow.host.exists("/srv/installed")?);
    slow.touch("/srv/go-on")?;
    slow.touch("/srv/go")?;
    resumed.wait()?.ok()?;
    ensure!(running.wait()?.was_killed());
    assert_eq!(slow.host.read("/srv/installed")?, "once\n");
    assert_eq!(slow.host.sh("dpkg-query -W -f '${Status}' lab-slow")?, "install ok installed");
    slow.host.sh("surefoot status slow --exit-code").map(drop)
}

#[test]
fn the_first_signal_lets_the_resource_in_hand_be_finished() -> Result<()> {
    for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
        let slow = Slow::boot()?;
        let running = slow.install().spawn()?;
        slow.wait_for("/srv/installing")?;
        send(&running, signal)?;
        slow.touch("/srv/go")?;
        let output = running.wait()?.code_is(code)?;
        ensure!(output.stderr.contains("surefoot install --resume"), "{}", output.stderr);
        ensure!(slow.host.exists("/srv/installed")? && !slow.host.exists("/srv/working")?);
        ensure!(slow.host.read("/var/lib/surefoot/slow/journal")?.contains(r#""type":"end","result":"interrupted""#));
        slow.resumes()?;
    }
    Ok(())
}

#[test]
fn the_second_signal_ends_the_command_in_hand() -> Result<()> {
    let slow = Slow::boot()?;
    slow.touch("/srv/go")?;
    let mut running = slow.install().spawn()?;
    slow.wait_for("/srv/working")?;
    send(&running, SIGINT)?;
    running.wait_for("stopping as soon as", PATIENCE)?;
    send(&running, SIGINT)?;
    running.wait_within(PATIENCE)?.code_is(130)?;
    ensure!(!slow.host.exists("/srv/worked")?);
    ensure!(slow.host.exec(["pgrep", "-x", "lab-slow"])?.code() == 1, "the command lives on");
    slow.resumes()
}

#[test]
fn no_signal_ends_a_package_transaction() -> Result<()> {
    let slow = Slow::boot()?;
    let mut running = slow.install().spawn()?;
    slow.wait_for("/srv/installing")?;
    send(&running, SIGINT)?;
    running.wait_for("stopping as soon as", PATIENCE)?;
    send(&running, SIGTERM)?;
    running.wait_for("a package transaction is not ended", PATIENCE)?;
    ensure!(!slow.host.exists("/srv/installed")? && running.pid().is_some());
    slow.touch("/srv/go")?;
    running.wait()?.code_is(143)?;
    assert_eq!(slow.host.read("/srv/installed")?, "once\n");
    slow.resumes()
}

#[test]
fn a_lost_terminal_stops_nothing() -> Result<()> {
    let slow = Slow::boot()?;
    let terminal = slow.install().in_terminal()?;
    slow.wait_for("/srv/installing")?;
    terminal.hang_up();
    slow.touch("/srv/go")?;
    slow.wait_for("/srv/working")?;
    slow.touch("/srv/go-on")?;
    slow.wait_for("/srv/mark")?;
    let deadline = Instant::now() + PATIENCE;
    while !slow.host.read("/var/lib/surefoot/slow/journal")?.contains(r#""type":"end","result":"done""#) {
        ensure!(Instant::now() < deadline, "the run does not end");
    }
    slow.host.sh("surefoot status slow --exit-code").map(drop)
}

#[test]
fn a_hangup_of_a_run_without_a_terminal_stops_nothing() -> Result<()> {
    let slow = Slow::boot()?;
    let running = slow.install().spawn()?;
    slow.wait_for("/srv/installing")?;
    send(&running, SIGHUP)?;
    send(&running, SIGHUP)?;
    slow.touch("/srv/go")?;
    slow.touch("/srv/go-on")?;
    running.wait()?.ok()?;
    ensure!(slow.host.exists("/srv/mark")?);
    Ok(())
}
