//! What is measured on the host.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use distro::listeners::{self, Listener};
use distro::{Class, Look};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::Todo;
use super::surroundings::{self, Surroundings};

/// Folders that are written to by every change, besides those that the blueprint names.
pub(super) const WRITTEN: [&str; 2] = ["/etc", "/var"];
/// The one that packages are written to besides. Some hosts have it read-only.
const OF_PACKAGES: &str = "/usr";

/// What was measured.
#[derive(Debug)]
pub(super) struct Seen {
    pub root: bool,
    pub now: SystemTime,
    /// For each folder that is written to: the file system that it is on.
    pub spaces: Vec<(String, Space)>,
    /// What keeps the state folder from being written to, with the class of that.
    pub state_blocked: Option<(Class, String)>,
    /// Listening sockets on the ports of the plan.
    pub taken: Vec<Taken>,
    /// Is the host's own name known without asking the network?
    pub name_known: bool,
    pub surroundings: Surroundings,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// Where it is mounted.
    pub mount: PathBuf,
    pub device: u64,
    /// Bytes that can still be used, without those reserved for root.
    pub free: u64,
    /// Files that can still be made; none where the file system makes room as needed.
    pub inodes: Option<u64>,
    pub read_only: bool,
}

/// A listening socket on a port of the plan.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub listener: Listener,
    /// Is it held by the unit that will listen there?
    pub ours: bool,
    /// Does that unit run?
    pub unit_runs: bool,
}

pub(super) fn measure(look: &Look<'_>, todo: &Todo<'_>) -> Result<Seen> {
    let state = todo.state.display().to_string();
    let packages = todo.packages.then_some(OF_PACKAGES);
    let mut folders: Vec<String> = WRITTEN.into_iter().chain(packages).map(str::to_owned).chain([state]).collect();
    folders.extend(todo.requires.disk.iter().map(|(folder, _)| folder.clone()));
    folders.dedup();
    let spaces =
        folders.into_iter().map(|folder| Ok((folder.clone(), space(Path::new(&folder))?))).collect::<Result<_>>()?;
    Ok(Seen {
        root: look.host.root,
        now: SystemTime::now(),
        spaces,
        state_blocked: blocked(todo.state, look.host.root),
        taken: taken(look, todo)?,
        surroundings: if todo.changes { surroundings::measure(look, todo)? } else { Surroundings::default() },
        name_known: name_known(
            &look.host.facts.hostname,
            &std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            &std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default(),
        ),
    })
}

/// The file system that `folder` is on, or will be.
fn space(folder: &Path) -> Result<Space> {
    let doing = || format!("looking at the file system of {}", folder.display());
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let here = there.canonicalize().with_context(doing)?;
    let device = here.metadata().with_context(doing)?.dev();
    let mount = mount_of(&here, &std::fs::read_to_string("/proc/self/mountinfo").with_context(doing)?);
    let stat = statvfs(&here).with_context(doing)?;
    Ok(Space {
        mount,
        device,
        free: stat.blocks_available().saturating_mul(stat.fragment_size()),
        inodes: (stat.files() > 0).then(|| stat.files_available()),
        read_only: stat.flags().contains(FsFlags::ST_RDONLY),
    })
}

/// Where the file system is mounted that `path` is on, by the kernel's list (proc_pid_mountinfo(5)). A bind mount of one file system
/// has its own options.
fn mount_of(path: &Path, mountinfo: &str) -> PathBuf {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| {
        let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
        PathBuf::from(plain.iter().fold(point.to_owned(), |point, (code, sign)| point.replace(code, sign)))
    });
    // Of several on one point, the last one is on top.
    let above = points.filter(|point| path.starts_with(point));
    above.max_by_key(|point| point.components().count()).unwrap_or_else(|| PathBuf::from("/"))
}

/// What keeps `folder` from being made or written to, apart from a read-only file system. Without root it is not known.
fn blocked(folder: &Path, root: bool) -> Option<(Class, String)> {
    let here = folder.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
    match here.metadata() {
        Err(error) => return Some((Class::Disk, format!("{}: {error}", here.display()))),
        Ok(meta) if !meta.is_dir() => return Some((Class::Conflict, format!("{} is not a folder", here.display()))),
        Ok(_) => {}
    }
    let denied = access(here, AccessFlags::W_OK).err().filter(|_| root)?;
    Some((Class::Disk, format!("{}: {}", here.display(), denied.desc())))
}

/// Who listens where the plan's services will.
fn taken(look: &Look<'_>, todo: &Todo<'_>) -> Result<Vec<Taken>> {
    let mut taken = Vec::new();
    if todo.ports.is_empty() {
        return Ok(taken);
    }
    for listener in listeners::listeners(Path::new("/")) {
        let Some(port) = todo.ports.iter().find(|port| port.number == listener.port) else { continue };
        let unit = look.unit(&port.unit)?;
        // Without systemd a process has no unit to be told by; it belongs to the one whose main process is above it.
        let family = || distro::services::children(unit.main_pid).into_iter().map(|(pid, _)| pid);
        let below = listener
            .pid
            .is_some_and(|pid| unit.main_pid > 0 && (pid == unit.main_pid || family().any(|child| child == pid)));
        taken.push(Taken { ours: listener.unit == port.unit || below, unit_runs: unit.active, listener });
    }
    Ok(taken)
}

/// Is `name` in /etc/hosts, or does the name service know the host's own name by itself?
fn name_known(name: &str, hosts: &str, nsswitch: &str) -> bool {
    let words = |line: &str| -> Vec<String> {
        line.split('#').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let listed = hosts.lines().any(|line| words(line).iter().skip(1).any(|word| word.eq_ignore_ascii_case(name)));
    let by_itself = nsswitch
        .lines()
        .filter(|line| line.trim_start().starts_with("hosts:"))
        .any(|line| words(line).iter().any(|word| word == "myhostname"));
    listed || by_itself
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_measured() {
        let facts = distro::Facts::gather(Path::new("/")).unwrap();
        let host = distro::Host { facts, runner: distro::Runner::quiet(), root: false };
        let requires = crate::preflight::Requires { disk: vec![("/opt/x".into(), 1)], ..Default::default() };
        let state = Path::new("/var/lib/surefoot/demo");
        let todo = Todo {
            requires: &requires,
            ports: &[],
            units: &[],
            changes: true,
            packages: true,
            now: false,
            state,
            unfinished: &[],
            locks: &[],
            versions: &[],
        };
        let folders = |todo: &Todo<'_>| -> Vec<String> {
            measure(&Look::new(&host), todo).unwrap().spaces.into_iter().map(|(folder, _)| folder).collect()
        };
        assert_eq!(folders(&todo), ["/etc", "/var", "/usr", "/var/lib/surefoot/demo", "/opt/x"]);
        assert_eq!(folders(&Todo { packages: false, ..todo }), ["/etc", "/var", "/var/lib/surefoot/demo", "/opt/x"]);
        assert!(crate::preflight::checks(&Look::new(&host), &todo).unwrap().len() >= 6);
    }

    #[test]
    fn the_file_system_of_what_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let there = space(folder.path()).unwrap();
        let later = space(&folder.path().join("a/b/c")).unwrap();
        assert_eq!((later.device, &later.mount), (there.device, &there.mount));
        assert!(folder.path().canonicalize().unwrap().starts_with(&there.mount));
        assert!(there.free > 0 && !there.read_only);
    }

    #[test]
    fn a_bind_mount_is_a_mount_of_its_own() {
        let list = "22 1 8:1 / / rw - ext4 /dev/a rw\n30 22 8:1 /etc /etc ro - ext4 /dev/a rw\n\
                    31 22 8:2 / /srv/a\\040b rw - ext4 /dev/b rw\n";
        for (path, mount) in [("/etc/apt", "/etc"), ("/etcetera", "/"), ("/srv/a b/c", "/srv/a b"), ("/srv", "/")] {
            assert_eq!(mount_of(Path::new(path), list), Path::new(mount), "{path}");
        }
    }

    #[test]
    fn what_is_in_the_way_of_the_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(blocked(&folder.path().join("a/b"), true), None);
        let in_the_way = (Class::Conflict, format!("{} is not a folder", file.display()));
        assert_eq!(blocked(&file.join("surefoot"), true), Some(in_the_way));
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(blocked(&folder.path().join("link/a"), true).unwrap().1.contains("No such file"));
        assert_eq!(space(&folder.path().join("link/a")).unwrap().mount, space(folder.path()).unwrap().mount);
    }

    #[test]
    fn names_that_need_no_network() {
        for (hosts, nsswitch, known) in [
            ("127.0.1.1 box.corp.test box\n", "hosts: files dns\n", true),
            ("127.0.1.1 Box\n", "", true),
            ("127.0.0.1 localhost\n", "hosts: files dns # myhostname\n", false),
            ("127.0.0.1 localhost\n", "hosts: files myhostname dns\n", true),
            ("#127.0.1.1 box\nbox x\n", "", false),
        ] {
            assert_eq!(name_known("box", hosts, nsswitch), known, "{hosts}{nsswitch}");
        }
    }
}
