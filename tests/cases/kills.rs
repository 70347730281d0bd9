//! Invariant 2: a kill loses nothing. The unmodified program is killed from outside, at every moment, in three ways.

use anyhow::{Result, bail, ensure};
use lab::{
    Host, Suite,
    sweep::{self, Action, Death, Moment, Phase, Point, Report, SERVICES, SITE, Subject, Sweep, WEB},
};
use std::time::Duration;

/// Every point.
fn all(action: Action) -> Result<Report> {
    let sweep = Sweep::new(&WEB, action)?;
    Report::of_all(&sweep).ok(&sweep, None)
}

#[test]
#[ignore = "every point: make sweep"]
fn sweep_install() -> Result<()> {
    let report = all(Action::Install)?;
    ensure!(report.unpacking > 0 && report.configuring > 0, "{report:?}");
    Ok(())
}

#[test]
#[ignore = "every point: make sweep"]
fn sweep_install_generated() -> Result<()> {
    all(Action::InstallGenerated).map(drop)
}

#[test]
#[ignore = "every point: make sweep"]
fn sweep_uninstall() -> Result<()> {
    let report = all(Action::Uninstall)?;
    ensure!(report.removing > 0, "{report:?}");
    Ok(())
}

#[test]
#[ignore = "every point: make sweep"]
fn sweep_uninstall_purge() -> Result<()> {
    all(Action::Purge).map(drop)
}

/// Some points, anew each time. `SUREFOOT_SWEEP_SEED` repeats them.
fn some(action: Action, count: usize) -> Result<Report> {
    some_of(&WEB, action, count)
}

fn some_of(subject: &'static Subject, action: Action, count: usize) -> Result<Report> {
    let seed = sweep::seed()?;
    let sweep = Sweep::new(subject, action)?;
    let report = Report::of_drawn(&sweep, seed, count).ok(&sweep, Some(seed))?;
    ensure!(report.points >= count, "only {} of {count} were killed in time", report.points);
    Ok(report)
}

#[test]
fn a_killed_install_resumes_to_the_same_host() -> Result<()> {
    let report = some(Action::Install, 12)?;
    ensure!(report.unpacking > 0 && report.configuring > 0, "{report:?}");
    Ok(())
}

#[test]
#[ignore = "one of the longest: make everything"]
fn a_killed_install_never_changes_a_generated_secret() -> Result<()> {
    some(Action::InstallGenerated, 8).map(drop)
}

#[test]
fn a_killed_uninstall_ends_as_an_unkilled_one() -> Result<()> {
    some(Action::Uninstall, 5).map(drop)
}

#[test]
fn a_killed_purge_ends_as_an_unkilled_one() -> Result<()> {
    some(Action::Purge, 5).map(drop)
}

#[test]
fn a_package_that_is_half_removed_is_removed() -> Result<()> {
    let sweep = Sweep::new(&WEB, Action::Purge)?;
    let half = sweep.lines(|phase| matches!(phase, Phase::Removing(what) if what.starts_with("half-installed")));
    ensure!(!half.is_empty(), "no package is ever half removed");
    let mut hits = 0;
    for line in half {
        let phase = sweep.kill(&Point { moment: Moment::Dpkg(line), death: Death::Tree })?;
        hits += usize::from(matches!(phase, Some(Phase::Removing(what)) if what.starts_with("half-installed")));
    }
    // dpkg may be through with one before it is killed.
    ensure!(hits > 0, "dpkg was faster each time");
    Ok(())
}

/// Every package is configured, and dpkg's last triggers are not: nothing is missing, and yet it was interrupted.
#[test]
fn triggers_that_a_kill_left_are_run() -> Result<()> {
    let sweep = Sweep::new(&WEB, Action::Install)?;
    let triggers = sweep.lines(|phase| matches!(phase, Phase::Configuring(what) if what.contains("libc-bin")));
    ensure!(!triggers.is_empty(), "no trigger of libc-bin is ever run");
    // dpkg may be through with one before it is killed.
    for line in triggers.into_iter().rev() {
        let phase = sweep.kill(&Point { moment: Moment::Dpkg(line), death: Death::Tree })?;
        if matches!(phase, Some(Phase::Configuring(what)) if what.contains("libc-bin")) {
            return Ok(());
        }
    }
    bail!("dpkg was faster each time")
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_install_of_a_site_with_tls() -> Result<()> {
    some_of(&SITE, Action::Install, 6).map(drop)
}

/// All of the built-in blueprint: every login works with the passwords that are on disk.
#[test]
fn a_killed_install_of_all_services_resumes_to_the_same_host() -> Result<()> {
    some_of(&SERVICES, Action::Install, 3).map(drop)
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_all_services() -> Result<()> {
    for (action, count) in
        [(Action::Install, 40), (Action::InstallGenerated, 10), (Action::Uninstall, 10), (Action::Purge, 10)]
    {
        some_of(&SERVICES, action, count)?;
    }
    Ok(())
}

#[test]
fn a_kill_before_the_attempt_is_recorded_leaves_nothing_to_resume() -> Result<()> {
    let install = ["surefoot", "install", "/root/web", "--yes"];
    let (points, whole) = WEB.fresh()?.host().boot()?.run(install).kill_points()?;
    whole.ok()?;
    // The wait for blueprint, inputs and secrets to be on disk is the last thing before the journal begins, whose data alone is
    // synced with this call.
    let before = points.iter().take_while(|point| point.call != "fdatasync").last();
    let Some(last) = before else { bail!("nothing is synced before the journal begins: {points:?}") };
    let host = WEB.fresh()?.host().boot()?;
    ensure!(host.run_killed_at(last, install)?.killed());
    let secrets = host.read("/var/lib/surefoot/web/secrets.json")?;
    let refused = host.exec(["surefoot", "install", "--resume", "--yes"])?.code_is(30)?;
    for said in ["FAILED", "there is nothing to resume on this host", "surefoot install BLUEPRINT"] {
        ensure!(refused.stderr.contains(said), "{said:?} is missing in:\n{}", refused.stderr);
    }
    ensure!(!host.exists("/usr/sbin/nginx")?);
    host.exec(install)?.ok()?;
    assert_eq!(host.read("/var/lib/surefoot/web/secrets.json")?, secrets);

    let refused = host.exec(["surefoot", "uninstall", "--resume", "--yes"])?.code_is(30)?;
    ensure!(refused.stderr.contains("there is nothing to resume"), "{}", refused.stderr);
    let looked = host.exec(["surefoot", "install", "--resume", "--yes"])?.ok()?;
    ensure!(looked.stderr.contains(" 0 changed"), "{}", looked.stderr);
    Ok(())
}

/// Whatever a package enables would be started as it comes, since nothing holds it back after a reboot.
#[test]
fn a_power_cut_before_a_service_is_configured_does_not_start_it() -> Result<()> {
    let mut host = WEB.fresh()?.host().boot()?;
    let mut running = host.run(["surefoot", "install", "/root/web", "--yes", "--output", "json"]).spawn()?;
    running.wait_for("Installed redis-server", Duration::from_secs(200))?;
    host.power_cut()?;
    ensure!(running.wait()?.was_killed());
    host.boot_again()?;
    host.sh("test \"$(systemctl is-enabled redis-server)\" = disabled || redis-cli ping | grep -q NOAUTH")?;
    host.surefoot("install --resume --yes")?.ok()?;
    assert_eq!(
        host.sh("systemctl is-enabled redis-server nginx; redis-cli ping")?,
        "enabled\nenabled\nNOAUTH Authentication required."
    );
    Ok(())
}

#[test]
fn every_sync_of_an_install_is_a_kill_point() -> Result<()> {
    let install = |trace: fn(lab::Run<'_>) -> Result<()>| -> Result<()> {
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        let blueprint = host.install_blueprint("web")?;
        trace(host.run(["surefoot", "install", &blueprint, "--yes"]))
    };
    install(|run| {
        let (points, output) = run.kill_points()?;
        output.ok()?;
        ensure!(points.iter().any(|point| point.call == "fdatasync"), "{points:?}");
        Ok(())
    })?;
    // In one run: how often the journal is synced depends on what is ready when.
    install(|run| {
        let (strays, output) = run.stray_syncs()?;
        output.ok()?;
        assert_eq!(strays, Vec::<String>::new());
        Ok(())
    })
}
