//! The lab tried on itself: hosts, power cuts, kills, terminals.

use anyhow::{Result, ensure};
use lab::{Fate, Host, KillPoint, Reach, Suite};
use std::time::{Duration, Instant};

#[test]
fn a_host_boots_within_ten_seconds_and_runs_programs() -> Result<()> {
    lab::base::layers(Suite::Bookworm)?;
    let started = Instant::now();
    let host = Host::boot(Suite::Bookworm)?;
    ensure!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
    ensure!(host.sh("cat /proc/1/comm")? == "systemd");
    ensure!(host.sh("hostname -f")? == "box.lab.test");
    let failed = host.exec(["sh", "-c", "echo out; echo err >&2; exit 7"])?;
    assert_eq!((failed.code(), failed.stdout.as_str(), failed.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(host.exec(["sh", "-c", "kill -TERM $$"])?.code(), 143);
    let env = host.run(["env"]).env("COLOUR", "blue").output()?.ok()?.stdout;
    let mut names: Vec<&str> = env.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["COLOUR", "HOME", "LC_ALL", "PATH", "TERM"]);
    assert_eq!(host.exec_as("nobody", ["id", "-un"])?.ok()?.stdout, "nobody\n");
    host.write("/srv/deep/note", "text", 0o640)?;
    assert_eq!(host.read("/srv/deep/note")?, "text");
    assert_eq!(host.sh("stat -c '%a %U' /srv/deep/note")?, "640 root");
    Ok(())
}

#[test]
fn every_suite_boots_and_reaches_the_mirror() -> Result<()> {
    let wanted = [(Suite::Trixie, "ID=debian", "trixie"), (Suite::Ubuntu, "ID=ubuntu", "jammy")];
    for (suite, id, codename) in wanted {
        let host = Host::boot(suite)?;
        let release = host.read("/etc/os-release")?;
        ensure!(release.contains(id) && release.contains(codename), "{suite}: {release}");
        let update = host.exec(["apt-get", "update"])?.ok()?;
        ensure!(update.stdout.contains(&lab::mirror::url()) && update.stderr.is_empty(), "{update:?}");
        host.exec(["apt-get", "install", "--yes", "--download-only", "hello"])?.ok()?;
    }
    Ok(())
}

#[test]
fn two_hosts_run_side_by_side_and_differ_in_nothing_but_their_address() -> Result<()> {
    let (one, other) = (Host::boot(Suite::Bookworm)?, Host::boot(Suite::Bookworm)?);
    ensure!(one.address() != other.address());
    ensure!(one.read("/etc/machine-id")? != other.read("/etc/machine-id")?);
    let differences = lab::Digest::diff(&lab::Digest::of(&one)?, &lab::Digest::of(&other)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

#[test]
fn a_dropped_host_leaves_nothing() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    let (dir, netns, leader) = (host.record().dir(), host.netns().path(), host.record().leader);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = host;
        std::panic::resume_unwind(Box::new("a test that fails"));
    }));
    ensure!(result.is_err());
    ensure!(!dir.exists() && !std::path::Path::new(&netns).exists());
    ensure!(leader.is_some_and(|pid| !lab::boot::alive(pid)));
    Ok(())
}

#[test]
fn a_power_cut_keeps_the_disk_and_loses_memory() -> Result<()> {
    let mut host = Host::boot(Suite::Bookworm)?;
    host.sh("echo disk >/srv/disk; echo memory >/run/memory")?;
    let id = host.read("/etc/machine-id")?;
    let mut running = host.run(["sh", "-c", "echo ready; sleep 1000"]).spawn()?;
    running.wait_for("ready", Duration::from_secs(5))?;
    host.power_cut()?;
    ensure!(running.wait()?.was_killed());
    assert_eq!(host.read("/srv/disk")?, "disk\n");
    host.boot_again()?;
    ensure!(host.exists("/srv/disk")? && !host.exists("/run/memory")?);
    assert_eq!(host.read("/etc/machine-id")?, id);
    host.stop()?;
    host.boot_again()
}

#[test]
fn hosts_stand_on_snapshots() -> Result<()> {
    let first = Host::boot(Suite::Bookworm)?;
    first.sh("echo ground >/srv/ground; rm /etc/issue; mv /etc/apt/apt.conf.d /etc/apt/moved")?;
    let snapshot = first.snapshot()?;
    let (one, other) = (snapshot.host().boot()?, snapshot.host().boot()?);
    one.sh("echo changed >/srv/ground")?;
    assert_eq!(other.read("/srv/ground")?, "ground\n");
    ensure!(!other.exists("/etc/issue")? && other.exists("/etc/apt/moved")?);
    Ok(())
}

#[test]
fn a_container_has_no_init() -> Result<()> {
    let host = Host::container(Suite::Bookworm)?;
    ensure!(!host.exists("/run/systemd/system")?);
    ensure!(host.sh("ps -e -o comm=")?.lines().any(|line| line == "sleep"));
    ensure!(!host.exec(["systemctl", "is-system-running"])?.success());
    host.exec(["apt-get", "update"])?.ok().map(drop)
}

#[test]
fn a_host_reaches_as_far_as_it_may() -> Result<()> {
    let host = Host::builder(Suite::Bookworm).no_network().boot()?;
    assert_eq!(host.sh("ip -o link | wc -l")?, "1");
    drop(host);
    let reaches = |host: &Host, port: u16| -> Result<bool> {
        let script = format!("exec 3<>/dev/tcp/{}/{port}", lab::network::GATEWAY);
        Ok(host.exec(["timeout", "3", "bash", "-c", &script])?.success())
    };
    let host = Host::builder(Suite::Bookworm).reach(Reach::Proxy(3128)).boot()?;
    ensure!(!reaches(&host, lab::mirror::PORT)?, "the mirror is reached in spite of the wall");
    drop(host);
    let host = Host::builder(Suite::Bookworm).reach(Reach::Proxy(lab::mirror::PORT)).boot()?;
    ensure!(reaches(&host, lab::mirror::PORT)?, "the opening in the wall is shut");
    ensure!(host.sh("ip route show default")?.is_empty());
    host.netns().cable(false)?;
    ensure!(!reaches(&host, lab::mirror::PORT)?, "the mirror is reached without a cable");
    Ok(())
}

#[test]
fn file_systems_can_be_small_or_read_only() -> Result<()> {
    let host = Host::builder(Suite::Bookworm).tmpfs("/srv", "64k").read_only("/etc").boot()?;
    let full = host.exec(["dd", "if=/dev/zero", "of=/srv/fill", "bs=1k", "count=100"])?;
    ensure!(!full.success() && full.stderr.contains("No space left"), "{full:?}");
    let refused = host.exec(["touch", "/etc/new"])?;
    ensure!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    Ok(())
}

#[test]
fn programs_die_at_the_chosen_sync() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    // dd calls fdatasync once, at its end; sync -d FILE… once for each file.
    let script = ["sync", "-d", "/etc/passwd", "/etc/group", "/etc/shadow"];
    let (points, output) = host.run(script).kill_points()?;
    output.ok()?;
    let wanted: Vec<_> = (1..=3).map(|nth| KillPoint { call: "fdatasync", nth }).collect();
    assert_eq!(points, wanted);
    for point in &points {
        ensure!(host.run_killed_at(point, script)?.killed(), "{point:?}");
    }
    let late = host.run_killed_at(&KillPoint { call: "fdatasync", nth: 4 }, script)?;
    ensure!(matches!(late, Fate::Finished(ref output) if output.success()), "{late:?}");
    ensure!(host.run_killed_after(Duration::from_millis(50), ["sleep", "5"])?.killed());
    ensure!(!host.run_killed_after(Duration::from_secs(5), ["true"])?.killed());
    Ok(())
}

#[test]
fn a_kill_takes_the_program_or_its_whole_tree() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    let script = "setsid sh -c 'sleep 1001 & exec sleep 1002' >/dev/null 2>&1 & echo ready; sleep 1003; exit 0";
    let mut one = host.run(["sh", "-c", script]).spawn()?;
    one.wait_for("ready", Duration::from_secs(5))?;
    let sleeps = || -> Result<usize> { Ok(host.sh("pgrep -cx sleep || true")?.parse()?) };
    while sleeps()? < 3 {}
    ensure!(one.kill());
    while one.pid().is_some() {}
    ensure!(sleeps()? == 3 && one.survivors().len() == 3);
    one.kill_tree()?;
    ensure!(sleeps()? == 0);
    ensure!(one.wait()?.was_killed());
    Ok(())
}

#[test]
fn programs_started_are_counted() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    let (programs, output) = host.run(["sh", "-c", "/bin/true; /bin/true & wait; nothing-of-that-name"]).execs()?;
    assert_eq!((programs.len(), output.code()), (3, 127), "{programs:?}");
    assert_eq!(host.count_execs(["sh", "-c", ":"])?, 0);
    Ok(())
}

#[test]
fn a_program_too_long_is_killed_with_what_it_said() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    let hung = host.run(["sh", "-c", "echo so far; sleep 1000"]).patience(Duration::from_millis(300)).output();
    let said = hung.map_or_else(|error| error.to_string(), |output| output.stdout);
    ensure!(said.contains("was killed after") && said.contains("so far"), "{said}");
    Ok(())
}

#[test]
fn somebody_types_into_a_terminal() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    let second = Duration::from_secs(5);
    let terminal = host.run(["sh", "-c", "stty size; read -r line; echo \"got [$line]\"; exit 3"]).in_terminal()?;
    terminal.wait_for("30 100", second)?;
    terminal.text("it's \"typed\"")?;
    terminal.key("Enter")?;
    terminal.wait_for("got [it's \"typed\"]", second)?;
    assert_eq!(terminal.wait_for_end(second)?, 3);
    let terminal =
        host.run(["sh", "-c", "trap 'echo hup >/srv/hup; exit' HUP; echo ready; while :; do sleep 0.1; done"]);
    let terminal = terminal.in_terminal()?;
    terminal.wait_for("ready", second)?;
    terminal.hang_up();
    let deadline = Instant::now() + second;
    while !host.exists("/srv/hup")? {
        ensure!(Instant::now() < deadline, "no SIGHUP when the line dropped");
    }
    Ok(())
}
