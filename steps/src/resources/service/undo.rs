//! Takes back what was done to a unit. Each tolerates that the unit is gone.

use std::time::Duration;

use anyhow::Result;
use distro::patience::wait_until;
use distro::services::{self, Act, Logs};
use distro::{Class, Fault, Host};

use super::{bring, fresh};
use crate::{UndoCx, Undone};

/// Puts back whether `unit` is enabled at boot.
///
/// # Errors
/// Class `service`, where it cannot be.
pub fn undo_enabled(cx: &UndoCx<'_>, unit: &str, enabled: bool) -> Result<Undone> {
    let now = fresh(cx.host, unit)?;
    if !now.exists || now.enabled == enabled {
        return Ok(Undone::Gone);
    }
    bring::enable(cx.host, unit, enabled)?;
    Ok(Undone::Done(format!("{unit} {}", if enabled { "enabled" } else { "disabled" })))
}

/// Puts back whether `unit` runs.
///
/// # Errors
/// Class `service`, where it does not stop or start.
pub fn undo_running(cx: &UndoCx<'_>, unit: &str, running: bool) -> Result<Undone> {
    let now = fresh(cx.host, unit)?;
    if !now.exists || (now.active || now.starting) == running {
        return Ok(Undone::Gone);
    }
    if !running {
        bring::stop(cx.host, unit)?;
        return Ok(Undone::Done(format!("{unit} stopped")));
    }
    up(cx.host, unit, Act::Start)?;
    Ok(Undone::Done(format!("{unit} started")))
}

/// Lets the running `unit` take up its configuration: by a reload where it has one, its definition is as loaded and nothing asks for a
/// `restart`, else by one.
///
/// # Errors
/// Class `service`, where it does not come up with it.
pub fn take_up(host: &Host, unit: &str, restart: bool) -> Result<()> {
    let now = fresh(host, unit)?;
    if now.needs_reload {
        services::daemon_reload(host)?;
        return up(host, unit, Act::Restart);
    }
    let workers = services::children(now.main_pid);
    if !restart && services::act(host, Act::Reload, unit)?.ok() {
        return bring::renewed(now.main_pid, &workers);
    }
    up(host, unit, Act::Restart)
}

/// Starts or restarts it and sees that it runs.
fn up(host: &Host, name: &str, act: Act) -> Result<()> {
    let output = services::act(host, act, name)?;
    let running = wait_until(Duration::from_secs(10), Duration::from_millis(100), |_| {
        let unit = fresh(host, name)?;
        Ok((unit.active && !unit.starting).then_some(()))
    })?;
    if output.ok() && running.is_some() {
        return Ok(());
    }
    let unit = fresh(host, name)?;
    let fault = Fault::new(Class::Service, format!("{name} does not {act} with its configuration of before"));
    Err(fault
        .evidence(services::evidence(host, name, &unit, &Logs::default()))
        .command(output.ran)
        .advice(format!("see `{}`, mend its configuration and {act} it", services::status_command(host, name)))
        .into())
}
