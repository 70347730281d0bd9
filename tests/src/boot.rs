//! Starting a host: its disk mounted, systemd-nspawn in its control groups and network namespace, and waiting until it is up.

use crate::{cgroup::HostGroup, cleanup, network::Netns, registry::Record, tool};
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a host may take from its start until systemd says that it is up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Mounts the host's disk unless it is mounted.
///
/// # Errors
/// When the overlay cannot be mounted.
pub fn mount(record: &Record) -> Result<()> {
    let (dir, disk) = (record.dir(), record.disk());
    if cleanup::mounted(&disk)? {
        return Ok(());
    }
    for name in ["upper", "work", "root", "runs"] {
        fs::create_dir_all(dir.join(name))?;
    }
    let lower = record.layers.iter().map(|layer| layer.display().to_string()).collect::<Vec<_>>().join(":");
    let dir = dir.display();
    let options =
        format!("redirect_dir=on,index=off,metacopy=off,lowerdir={lower},upperdir={dir}/upper,workdir={dir}/work");
    tool::tool("mount", ["-t", "overlay", "overlay", "-o", &options, &disk.display().to_string()]).map(drop)
}

/// Starts the host and waits until it is up. Returns systemd-nspawn and the host's first process.
///
/// # Errors
/// When it does not come up in time; the error carries the end of its console.
pub fn start(record: &Record, netns: &Netns) -> Result<(Child, i32)> {
    mount(record)?;
    let group = HostGroup::make(&record.name)?;
    let console = File::create(record.dir().join("console.log"))?;
    let mut child = nspawn(record, netns, &group)
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        .spawn()
        .context("cannot start systemd-nspawn")?;
    match wait_until_up(record, &mut child) {
        Ok(leader) => Ok((child, leader)),
        Err(error) => {
            group.kill()?;
            child.wait()?;
            let console = fs::read_to_string(record.dir().join("console.log")).unwrap_or_default();
            let tail = console.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
            Err(error.context(format!("the host's console ends with:\n{}", tail.join("\n"))))
        }
    }
}

/// A shell joins the control groups, then becomes systemd-nspawn.
fn nspawn(record: &Record, netns: &Netns, group: &HostGroup) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"for door in $DOORS; do echo $$ >"$door" || exit 1; done; unset DOORS; exec "$@""#, "sh"]);
    let doors = group.doors().iter().map(|door| door.display().to_string()).collect::<Vec<_>>().join(" ");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DOORS", doors);
    command.env("UNIFIED_CGROUP_HIERARCHY", "1").env("SYSTEMD_NSPAWN_TMPFS_TMP", "0");
    command.arg("systemd-nspawn").arg("-D").arg(record.disk());
    command.args(["--quiet", "--settings=no", "--register=no", "--keep-unit", "--link-journal=no", "--console=pipe"]);
    command.args(["--resolv-conf=off", "--timezone=off"]);
    command.arg(format!("--machine={}", record.name)).arg(format!("--hostname={}", record.hostname));
    command.arg(format!("--network-namespace-path={}", netns.path()));
    if record.filters {
        command.arg("--capability=CAP_NET_ADMIN");
    }
    for path in &record.read_only {
        command.arg(format!("--bind-ro={}{path}:{path}", record.disk().display()));
    }
    for (path, size) in &record.tmpfs {
        command.arg(format!("--tmpfs={path}:size={size}"));
    }
    if record.init {
        command.arg("--boot")
    } else {
        command.args(["--as-pid2", "sleep", "infinity"])
    };
    command
}

fn wait_until_up(record: &Record, child: &mut Child) -> Result<i32> {
    let deadline = Instant::now() + PATIENCE;
    let nspawn = i32::try_from(child.id())?;
    let mut last = "not started".to_owned();
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("systemd-nspawn ended: {status}");
        }
        if let Some(leader) = leader_of(nspawn, record.init) {
            if !record.init {
                return Ok(leader);
            }
            last = state(leader);
            if last == "running" || last == "degraded" {
                return Ok(leader);
            }
        }
        if Instant::now() > deadline {
            bail!("the host is not up after {} s: {last}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// The first process of the container, once it has become what it is to be.
fn leader_of(nspawn: i32, init: bool) -> Option<i32> {
    let first = children(nspawn).into_iter().find(|pid| inner_pid(*pid) == Some(1))?;
    if init {
        (comm(first) == "systemd").then_some(first)
    } else {
        children(first).into_iter().any(|pid| comm(pid) == "sleep").then_some(first)
    }
}

fn state(leader: i32) -> String {
    let mut command = Command::new("nsenter");
    command.args([
        "-t",
        &leader.to_string(),
        "-m",
        "-u",
        "-i",
        "-n",
        "-p",
        "-C",
        "--",
        "systemctl",
        "is-system-running",
    ]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A process's children.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// True while a process runs; one that is dead and not yet waited for does not.
#[must_use]
pub fn alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains(['Z', 'X']))
}

fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// A process's number in its own pid namespace, when that is not the machine's.
fn inner_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    let numbers: Vec<i32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if numbers.len() > 1 { numbers.last().copied() } else { None }
}
