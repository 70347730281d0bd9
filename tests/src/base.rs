//! Base root file systems: debootstrapped once, then the lowest layer of every host.

use crate::{lock::Lock, mirror, place, rpm, suite::Suite, tool};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// Part of a base's folder name. A base made by another recipe is never used: raise this when the recipe changes.
const RECIPE: u32 = 2;
const PACKAGES: &str = "systemd,systemd-sysv,dbus,ca-certificates,iproute2,procps,strace";
/// Timers that would take apt's locks at a moment of their own choosing.
const MASKED: &[&str] = &["apt-daily.timer", "apt-daily-upgrade.timer"];

/// The layers under a host of this suite, uppermost first. Made on first use.
///
/// # Errors
/// When debootstrap fails; nothing half-made is left under a base's name.
pub fn layers(suite: Suite) -> Result<Vec<PathBuf>> {
    let debian = made(suite.debian(), |dir| debootstrap(suite.debian(), dir))?;
    Ok(match suite {
        Suite::Ubuntu => vec![made("ubuntu", dress_as_ubuntu)?, debian],
        Suite::El9 => vec![made("el9", |dir| stand_in(&debian, dir))?],
        _ => vec![debian],
    })
}

/// A folder that exists only when `make` succeeded on it.
fn made(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let bases = place::dir("bases")?;
    let ready = bases.join(format!("{name}-{RECIPE}"));
    if ready.exists() {
        return Ok(ready);
    }
    let _lock = Lock::take(&format!("base-{name}"))?;
    if ready.exists() {
        return Ok(ready);
    }
    let unfinished = bases.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    fs::create_dir(&unfinished)?;
    make(&unfinished).with_context(|| format!("cannot make the base {name}"))?;
    fs::rename(&unfinished, &ready)?;
    Ok(ready)
}

fn debootstrap(suite: &str, dir: &Path) -> Result<()> {
    mirror::ensure()?;
    eprintln!("making the {suite} base: about a minute, once");
    let archive = format!("{}/debian", mirror::url());
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &format!("--include={PACKAGES}"), suite]).arg(dir).arg(archive);
    tool::output(&mut command)?;
    settle(suite, dir)
}

/// Everything after debootstrap: apt sources, and nothing that should differ between hosts.
fn settle(suite: &str, dir: &Path) -> Result<()> {
    tool::tool("chroot", [dir.as_os_str(), "apt-get".as_ref(), "clean".as_ref()])?;
    for lists in fs::read_dir(dir.join("var/lib/apt/lists"))? {
        let path = lists?.path();
        if path.is_file() {
            fs::remove_file(path)?;
        }
    }
    fs::write(dir.join("etc/apt/sources.list"), "")?;
    fs::write(dir.join("etc/apt/sources.list.d/debian.sources"), sources(suite))?;
    fs::write(dir.join("etc/machine-id"), "")?;
    fs::write(dir.join("etc/resolv.conf"), "")?;
    // systemd would take the machine id from here: every host gets its own.
    let _ = fs::remove_file(dir.join("var/lib/dbus/machine-id"));
    for unit in MASKED {
        let mask = dir.join("etc/systemd/system").join(unit);
        let _ = fs::remove_file(&mask);
        symlink("/dev/null", mask)?;
    }
    for log in ["var/log/bootstrap.log", "var/log/dpkg.log", "var/log/alternatives.log"] {
        let _ = fs::remove_file(dir.join(log));
    }
    Ok(())
}

/// The archive that the mirror serves may be a frozen copy, so its age is not checked.
fn sources(suite: &str) -> String {
    let mirror = mirror::url();
    let options =
        "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\nCheck-Valid-Until: no\n";
    format!(
        "Types: deb\nURIs: {mirror}/debian\nSuites: {suite} {suite}-updates\n{options}\n\
         Types: deb\nURIs: {mirror}/debian-security\nSuites: {suite}-security\n{options}"
    )
}

/// What the stand-in for Enterprise Linux has from Debian: its package manager, and libraries of the programs that its packages bring.
const STAND_IN: [&str; 10] = [
    "dnf",
    "rpm",
    "curl",
    "libjemalloc2",
    "liblzf1",
    "libatomic1",
    "liblua5.1-0",
    "lua-cjson",
    "lua-bitop",
    "libhiredis0.14",
];
/// Debian packages whose programs are packed once more, as RPM.
const REPACKED: [&str; 2] = ["redis-server", "redis-tools"];
/// Where their files are.
const PROGRAMS: &str = "usr/lib/lab";

/// The files of the programs that RPM packages are made of.
///
/// # Errors
/// As [`layers`].
pub fn programs() -> Result<PathBuf> {
    Ok(layers(Suite::El9)?[0].join(PROGRAMS))
}

/// A copy of a Debian 12 root with dnf and rpm in it that calls itself Rocky Linux 9.
fn stand_in(debian: &Path, dir: &Path) -> Result<()> {
    mirror::ensure()?;
    eprintln!("making the el9 base: about a minute, once");
    tool::tool("cp", ["-a".as_ref(), debian.join(".").as_os_str(), dir.as_os_str()])?;
    let inside = |words: &[&str]| {
        let mut command = Command::new("chroot");
        tool::output(command.arg(dir).args(words).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    inside(&["apt-get", "update", "-q"])?;
    inside(&[&["apt-get", "install", "-y", "-q", "--no-install-recommends"][..], &STAND_IN].concat())?;
    let programs = dir.join(PROGRAMS);
    fs::create_dir_all(&programs)?;
    inside(&[&["sh", "-c", r#"cd /tmp && apt-get download -q "$@""#, "sh"][..], &REPACKED].concat())?;
    for entry in fs::read_dir(dir.join("tmp"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            tool::tool("dpkg-deb", ["-x".as_ref(), path.as_os_str(), programs.as_os_str()])?;
            fs::remove_file(path)?;
        }
    }
    let folders = ["etc/rpm", "etc/yum.repos.d", "etc/pki/rpm-gpg", "var/cache/dnf", "usr/lib/systemd/system-preset"];
    for folder in folders {
        fs::create_dir_all(dir.join(folder))?;
    }
    for (path, content) in [
        ("usr/lib/os-release", include_str!("../data/el9/os-release")),
        ("etc/dnf/dnf.conf", include_str!("../data/el9/dnf.conf")),
        // Debian's rpm keeps its database in the user's home.
        ("etc/rpm/macros", "%_dbpath /var/lib/rpm\n"),
        ("usr/lib/systemd/system-preset/99-default-disable.preset", "disable *\n"),
    ] {
        fs::write(dir.join(path), content)?;
    }
    for package in rpm::build(include_str!("../data/el9/base.spec"), &programs, &dir.join("tmp"))? {
        let name = package.file_name().context("a package has no name")?.to_string_lossy().into_owned();
        // Debian's rpm wants to be asked twice.
        inside(&["rpm", "-i", "--force-debian", &format!("/tmp/{name}")])?;
        fs::remove_file(package)?;
    }
    settle(Suite::El9.debian(), dir)
}

/// A layer that makes a Debian 12 root call itself Ubuntu 22.04.
fn dress_as_ubuntu(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("usr/lib"))?;
    fs::create_dir_all(dir.join("etc"))?;
    fs::write(dir.join("usr/lib/os-release"), include_str!("../data/ubuntu-os-release"))?;
    fs::write(dir.join("etc/lsb-release"), include_str!("../data/ubuntu-lsb-release"))?;
    Ok(())
}
