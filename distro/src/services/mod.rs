//! Service managers: systemd, and the init scripts where systemd does not run.
//!
//! [`Look::unit`] says how a unit is, [`act`] changes it, [`evidence`] finds its last words. A unit is named as systemd names it
//! (`redis-server.service`); its init script has that name without the suffix.

mod log;
mod process;
mod scripts;
mod systemd;

use std::fmt;
use std::path::Path;

use anyhow::Result;

pub use log::{Logs, evidence, tells_of_taken_address};
pub use process::{children, started};

use crate::command::Output;
use crate::facts::Init;
use crate::{Class, Fault, Host, Look};

/// What `deb-systemd-helper` knows of the units that packages enable.
const HELPER_STATE: &str = "/var/lib/systemd/deb-systemd-helper-enabled";

/// What the service manager says of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Is there such a unit?
    pub exists: bool,
    /// Is it enabled at boot? Also true where there is nothing to enable (systemd's `static`, `generated` and the like).
    pub enabled: bool,
    /// Has it nothing that could be enabled or disabled (systemd's `static`)? Others start it.
    pub is_static: bool,
    /// Is it masked (in /run or for good)?
    pub masked: bool,
    /// Is it masked for good, which only an administrator does?
    pub masked_for_good: bool,
    /// Does it run?
    pub active: bool,
    /// Is it on its way: starting, reloading, or waiting for a restart after it failed?
    pub starting: bool,
    /// Was it asked to end, and has not yet?
    pub stopping: bool,
    /// Has the service manager a job of it that is not done, such as a start that waits for other units?
    pub has_job: bool,
    /// `ActiveState`/`SubState` as the service manager says it, for people.
    pub state: String,
    /// How its last run ended, where that was not well: `exit-code, status 1`.
    pub result: String,
    /// How often the service manager has restarted it by itself since somebody last started it.
    pub restarts: u32,
    /// Identifies this start of the unit (systemd's InvocationID, or when it began where there is none; elsewhere pid and start time).
    pub invocation: String,
    /// Identifies the last reload that the service manager was asked for; empty where there was none or it cannot be told.
    pub reloaded: String,
    /// Main process, 0 where there is none.
    pub main_pid: u32,
    /// Is its definition on disk newer than the loaded one?
    pub needs_reload: bool,
    /// Files that define it: the unit file and its drop-ins, or the init script, and the environment files that they name.
    pub files: Vec<String>,
}

/// Something to be done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the service managers name them")]
pub enum Act {
    Enable,
    Disable,
    Start,
    Stop,
    Restart,
    Reload,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Act::Enable => "enable",
            Act::Disable => "disable",
            Act::Start => "start",
            Act::Stop => "stop",
            Act::Restart => "restart",
            Act::Reload => "reload",
        })
    }
}

impl Look<'_> {
    /// Asks the service manager about `names`, all at once; those that were asked about are not asked again.
    ///
    /// # Errors
    /// Where the service manager does not answer (class `service`), or a name is none (class `blueprint`).
    pub fn units(&self, names: &[String]) -> Result<()> {
        let mut unknown: Vec<String> = Vec::new();
        for name in names {
            check_name(name)?;
            let name = &full_name(name);
            if !self.units.borrow().contains_key(name) && !unknown.contains(name) {
                unknown.push(name.clone());
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let found = match self.host.facts.init {
            Init::Systemd => systemd::show(self.host, &unknown)?,
            Init::OpenRc | Init::Scripts => {
                unknown.iter().map(|name| scripts::look(self.host, name)).collect::<Result<_>>()?
            }
        };
        self.units.borrow_mut().extend(unknown.into_iter().zip(found));
        Ok(())
    }

    /// The unit `name`.
    ///
    /// # Errors
    /// As [`Look::units`].
    pub fn unit(&self, name: &str) -> Result<Unit> {
        self.units(&[name.to_owned()])?;
        Ok(self.units.borrow().get(&full_name(name)).cloned().unwrap_or_default())
    }
}

/// Does `act` to `unit` and waits until the service manager is done with it; starts are never too many for it. How the command ended is for the caller to judge:
/// of an init script it tells little, so look at the unit afterwards.
///
/// # Errors
/// Where the service manager cannot be asked (class `host`), or takes longer than 100 s (class `timeout`).
pub fn act(host: &Host, act: Act, unit: &str) -> Result<Output> {
    check_name(unit)?;
    match host.facts.init {
        Init::Systemd => systemd::act(host, act, unit),
        Init::OpenRc | Init::Scripts => scripts::act(host, act, unit),
    }
}

/// Does Debian's `deb-systemd-helper` know `unit` as one that its package enables, and whose links its package takes away?
pub fn is_enabled_by_its_package(unit: &str) -> bool {
    Path::new(HELPER_STATE).join(format!("{}.dsh-also", full_name(unit))).exists()
}

/// Lets systemd begin to start `unit`, and does not wait for it; says whether it will.
///
/// # Errors
/// Where systemd cannot be asked.
pub fn launch(host: &Host, unit: &str) -> Result<bool> {
    check_name(unit)?;
    systemd::launch(host, unit)
}

/// Asks the main process of `unit` once more to end: one that would not, since it could not write its data, goes on running, and to systemd it is stopping.
///
/// # Errors
/// Where systemd cannot be asked.
pub fn end_again(host: &Host, unit: &str) -> Result<()> {
    check_name(unit)?;
    if host.facts.init == Init::Systemd { systemd::end_again(host, unit) } else { Ok(()) }
}

/// Lets the service manager read the definitions of units again.
///
/// # Errors
/// Class `service`, where it does not.
pub fn daemon_reload(host: &Host) -> Result<()> {
    if host.facts.init == Init::Systemd { systemd::daemon_reload(host) } else { Ok(()) }
}

/// Takes the masks in /run off `units`, which keep packages from starting them.
///
/// # Errors
/// Where one cannot be taken off, or systemd does not take it up (class `service`).
pub fn unmask_runtime(host: &Host, units: &[String]) -> Result<()> {
    units.iter().try_for_each(|unit| check_name(unit))?;
    crate::guard::unmask_now(host, units)
}

/// Has `unit` an init script, of which systemd makes a unit where there is none?
pub(crate) fn has_script(unit: &str) -> bool {
    scripts::script_of(unit).exists()
}

/// Lets the service manager forget that `unit` failed, where it is no longer there: one whose program was removed before its unit, with
/// a boot in between, is told as failed until somebody says so.
///
/// # Errors
/// Where the service manager cannot be asked.
pub fn forget_gone(host: &Host, unit: &str) -> Result<()> {
    if host.facts.init != Init::Systemd {
        return Ok(());
    }
    let found = Look::new(host).unit(unit)?;
    if found.exists || !found.state.starts_with("failed") {
        return Ok(());
    }
    systemd::forget_starts(host, unit)
}

/// The command with which people look at `unit`.
pub fn status_command(host: &Host, unit: &str) -> String {
    match host.facts.init {
        Init::Systemd => format!("systemctl status {unit}"),
        Init::OpenRc | Init::Scripts => format!("service {} status", unit.trim_end_matches(".service")),
    }
}

/// Has `unit` a definition for another service manager than the one that runs, and none for that?
pub fn is_foreign(host: &Host, unit: &str) -> bool {
    host.facts.init != Init::Systemd && systemd::is_installed(unit) && !scripts::script_of(unit).exists()
}

/// `name` with its suffix: a service, where it has none.
pub fn full_name(name: &str) -> String {
    let types = [".service", ".socket", ".timer", ".target", ".path", ".mount"];
    if types.iter().any(|end| name.ends_with(end)) { name.to_owned() } else { format!("{name}.service") }
}

/// A unit's name goes into commands and paths.
fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || "@:._-\\".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good) {
        return Ok(());
    }
    Err(Fault::new(Class::Blueprint, format!("'{name}' is not the name of a unit"))
        .advice("name it as `systemctl` does, such as 'nginx.service'")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units() {
        for (name, good) in [
            ("nginx.service", true),
            ("postgresql@15-main.service", true),
            ("nginx", true),
            ("redis.socket", true),
            (".service", false),
            ("", false),
            ("-x.service", false),
            ("../x.service", false),
            ("a b.service", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
        assert_eq!(full_name("nginx"), "nginx.service");
        assert_eq!(full_name("redis.socket"), "redis.socket");
    }
}
