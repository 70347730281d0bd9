//! Services that are stopped while their packages are upgraded: no program runs on while its files are replaced.

use anyhow::Result;
use distro::Look;
use distro::packages::Known;
use distro::services::{self, Act};

use super::Packages;
use crate::resources::service;
use crate::undo::Undo;
use crate::{Change, Cx, Resource};

/// Services of `set` that run, where one of its packages comes in another series.
fn running(look: &Look<'_>, set: &Packages, known: &Known) -> Result<Vec<String>> {
    if set.of_other_series(known).is_empty() { Ok(Vec::new()) } else { services_running(look, set) }
}

fn services_running(look: &Look<'_>, set: &Packages) -> Result<Vec<String>> {
    look.units(&set.services)?;
    let runs = |unit: &String| look.unit(unit).map(|unit| unit.active || unit.starting);
    let running = set.services.iter().map(|unit| Ok(runs(unit)?.then(|| services::full_name(unit))));
    Ok(running.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// What is written down of those of `set` that others brought: they ran, and do so again after an uninstall, which leaves their packages.
pub(super) fn changes(cx: &Cx<'_>, set: &Packages, known: &Known) -> Result<Vec<Change>> {
    if set.names.iter().all(|name| cx.memory.installed(name)) {
        return Ok(Vec::new());
    }
    let change = |unit: String| {
        let undo = Undo::UnitRunning { unit: unit.clone(), running: true };
        Change::new(format!("service {unit}"), format!("stop {unit} for the upgrade"), undo)
    };
    Ok(running(cx.look, set, known)?.into_iter().map(change).collect())
}

/// Stops the services of those of `sets` that are kept at a version and whose packages an interrupted transaction left unfinished: they run again
/// where the host has booted since.
///
/// # Errors
/// Class `service`, where one does not stop.
pub(super) fn stop_unfinished(cx: &Cx<'_>, sets: &[&dyn Resource]) -> Result<()> {
    let look = Look::new(cx.host);
    let unfinished = look.unfinished_packages()?;
    // What there is to do may be told behind the name.
    let is_unfinished = |name: &String| unfinished.iter().any(|told| told.split(':').next() == Some(name.as_str()));
    let concerned = |set: &&Packages| set.version.is_some() && set.names.iter().any(is_unfinished);
    for set in sets.iter().filter_map(|set| set.packages()).filter(concerned) {
        for unit in services_running(&look, set)? {
            cx.host.runner.note(&format!("stopping {unit} for an upgrade that was cut off"));
            service::stop(cx.host, &unit)?;
        }
    }
    Ok(())
}

/// Those that were stopped.
pub(super) struct Stopped(Vec<String>);

impl Stopped {
    /// Fetches `names`, and stops the services of `sets` when everything is there; does nothing where none of them runs.
    ///
    /// # Errors
    /// Those of [`distro::packages::Manager::download`]; class `service`, where one does not stop.
    pub fn of(cx: &Cx<'_>, names: &[String], sets: &[&dyn Resource], known: &Known) -> Result<Self> {
        let look = Look::new(cx.host);
        let mut stopped = Vec::new();
        for set in sets.iter().filter_map(|set| set.packages()) {
            stopped.extend(running(&look, set, known)?);
        }
        if !stopped.is_empty() {
            cx.host.packages().download(cx.host, names, cx.survivor)?;
            cx.host.runner.note(&format!("stopping {} for the upgrade", stopped.join(", ")));
            for (at, unit) in stopped.iter().enumerate() {
                if let Err(error) = service::stop(cx.host, unit) {
                    Self(stopped[..at].to_vec()).after_failure(cx, false);
                    return Err(error);
                }
            }
        }
        Ok(Self(stopped))
    }

    /// After a transaction that failed: starts them again where it was refused before it changed anything, and else says that they stay as
    /// they are, since what is half upgraded may do harm. What does not start is told, and the failure stays what it is.
    pub fn after_failure(&self, cx: &Cx<'_>, is_changed: bool) {
        let names = self.0.join(", ");
        if names.is_empty() {
            return;
        }
        if is_changed {
            return cx.host.runner.note(&format!("{names} stay stopped until the upgrade is done"));
        }
        cx.host.runner.note(&format!("nothing was upgraded: starting {names} again"));
        for unit in &self.0 {
            if !services::act(cx.host, Act::Start, unit).is_ok_and(|output| output.ok()) {
                cx.host
                    .runner
                    .note(&format!("{unit} does not start: see `{}`", services::status_command(cx.host, unit)));
            }
        }
    }
}
