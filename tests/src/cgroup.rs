//! Control groups made by hand: one for each host, and below it one for each program that the lab starts in it.
//!
//! systemd-nspawn with `--keep-unit` puts a container's processes into `payload` below the group it was started in, so every host needs a
//! group of its own in the unified hierarchy, and in systemd's own where the machine still has one.

use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The groups of one host, one in each hierarchy.
#[derive(Clone, Debug)]
pub struct HostGroup {
    unified: PathBuf,
    others: Vec<PathBuf>,
}

impl HostGroup {
    /// The groups of the host called `name`, made if they are missing.
    ///
    /// # Errors
    /// When the machine has no unified hierarchy, or the groups cannot be made.
    pub fn make(name: &str) -> Result<Self> {
        let group = Self::of(name)?;
        for dir in group.all() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make the control group {}", dir.display()))?;
        }
        Ok(group)
    }

    /// The groups of the host called `name`, whether they exist or not.
    ///
    /// # Errors
    /// When the machine has no unified hierarchy.
    pub fn of(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
        let (unified, others) = hierarchies(&mounts);
        let Some(unified) = unified else { bail!("no cgroup v2 hierarchy is mounted on this machine") };
        let below = |root: PathBuf| root.join("surefoot-lab").join(name);
        Ok(Self { unified: below(unified), others: others.into_iter().map(below).collect() })
    }

    /// The files that a process writes its pid to in order to join.
    #[must_use]
    pub fn doors(&self) -> Vec<PathBuf> {
        self.all().map(|dir| dir.join("cgroup.procs")).collect()
    }

    /// A new group for one program inside the host.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn program(&self, name: &str) -> Result<ProgramGroup> {
        let payload = self.unified.join("payload");
        let dir = if payload.is_dir() { payload } else { self.unified.clone() }.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make the control group {}", dir.display()))?;
        Ok(ProgramGroup(dir))
    }

    /// Seconds of processor time that everything in the host has used.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn cpu(&self) -> Result<f64> {
        let text = fs::read_to_string(self.unified.join("cpu.stat")).context("cannot read the host's cpu.stat")?;
        let used =
            text.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("no usage_usec in cpu.stat")?;
        Ok(used.parse::<f64>()? / 1e6)
    }

    /// Everything in the host, as the machine numbers it.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        walk(&self.unified).iter().flat_map(|dir| pids(dir)).collect()
    }

    /// Kills everything in the host at once, systemd-nspawn too, and waits until it is gone.
    ///
    /// # Errors
    /// When a process survives for ten seconds.
    pub fn kill(&self) -> Result<()> {
        kill(&self.unified)
    }

    /// Waits until no process is left; false when some is after `patience`.
    #[must_use]
    pub fn empty_within(&self, patience: Duration) -> bool {
        empty_within(&self.unified, patience)
    }

    /// Removes the groups, which must be empty.
    pub fn remove(&self) {
        for dir in self.all() {
            remove_tree(dir);
        }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.unified).chain(&self.others)
    }
}

/// The group of one program and everything it started, whatever became of its parents.
#[derive(Debug)]
pub struct ProgramGroup(PathBuf);

impl ProgramGroup {
    /// The file that a process writes its pid to in order to join.
    #[must_use]
    pub fn door(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// The pids in it, as the machine numbers them.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        pids(&self.0)
    }

    /// Kills all of it at once and waits until it is gone.
    ///
    /// # Errors
    /// When a process survives for ten seconds.
    pub fn kill(&self) -> Result<()> {
        kill(&self.0)
    }
}

impl Drop for ProgramGroup {
    /// Stays while something runs in it.
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn kill(dir: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let at_once = dir.join("cgroup.kill");
    while !empty_within(dir, Duration::ZERO) {
        if at_once.exists() {
            let _ = fs::write(&at_once, "1");
        } else {
            for pid in walk(dir).iter().flat_map(|sub| pids(sub)) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
        if Instant::now() > deadline {
            bail!("processes survive in {}", dir.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn empty_within(dir: &Path, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let events = fs::read_to_string(dir.join("cgroup.events")).unwrap_or_default();
        if !events.contains("populated 1") {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pids(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The group and all below it, parents first.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut at = 0;
    while let Some(here) = found.get(at).cloned() {
        let entries = fs::read_dir(&here).into_iter().flatten().flatten();
        found.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
        at += 1;
    }
    found
}

fn remove_tree(dir: &Path) {
    for sub in walk(dir).iter().rev() {
        let _ = fs::remove_dir(sub);
    }
}

/// Where the unified hierarchy is mounted, and where systemd's own v1 hierarchy.
fn hierarchies(mounts: &str) -> (Option<PathBuf>, Vec<PathBuf>) {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let (mut unified, mut named) = (None, Vec::new());
    for field in fields.filter(|field| field.len() >= 4) {
        match field[2] {
            "cgroup2" if unified.is_none() => unified = Some(PathBuf::from(field[1])),
            "cgroup" if field[3].split(',').any(|option| option == "name=systemd") => {
                named.push(PathBuf::from(field[1]))
            }
            _ => {}
        }
    }
    (unified, named)
}

#[cfg(test)]
mod tests {
    use super::hierarchies;
    use std::path::PathBuf;

    #[test]
    fn a_hybrid_machine_has_two_of_interest() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let (unified, named) = hierarchies(mounts);
        assert_eq!(unified, Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(named, [PathBuf::from("/sys/fs/cgroup/systemd")]);
    }

    #[test]
    fn a_unified_machine_has_one() {
        let (unified, named) = hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n");
        assert_eq!(unified, Some(PathBuf::from("/sys/fs/cgroup")));
        assert!(named.is_empty());
    }
}
