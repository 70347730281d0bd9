//! What the lab needs on the machine it runs on: Debian packages.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// A program, and the Debian package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("debootstrap", "debootstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nginx", "nginx-light"),
    ("strace", "strace"),
    ("gpg", "gnupg"),
    ("apt-ftparchive", "apt-utils"),
    ("dpkg-deb", "dpkg"),
    ("tmux", "tmux"),
    ("openssl", "openssl"),
    ("nsenter", "util-linux"),
    ("curl", "curl"),
    ("cc", "gcc"),
    ("minisign", "minisign"),
    ("shellcheck", "shellcheck"),
    ("checkbashisms", "devscripts"),
    ("pip3", "python3-pip"),
    ("rpmbuild", "rpm"),
    ("createrepo_c", "createrepo-c"),
];

/// Installs what is missing. Looks first, so that it costs nothing when all is there.
///
/// # Errors
/// When the caller is not root, or apt-get fails.
pub fn setup() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the lab boots hosts: run it as root");
    let mut missing: Vec<&str> =
        NEEDED.iter().filter(|(program, _)| !present(program)).map(|(_, package)| *package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(" "));
    apt_get(&["update"])?;
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(&missing);
    apt_get(&args)?;
    for (program, package) in NEEDED {
        ensure!(present(program), "{program} is still missing after installing {package}");
    }
    Ok(())
}

fn present(program: &str) -> bool {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| std::path::Path::new(dir).join(program).exists())
}

fn apt_get(args: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("cannot run apt-get")?;
    ensure!(status.success(), "apt-get {}: {status}", args.join(" "));
    Ok(())
}
