//! A package transaction that outlived the run that started it.

use std::time::Duration;

use anyhow::Result;

use crate::{Class, Fault, Host, Runner, patience};

const INTERVAL: Duration = Duration::from_millis(200);
const TELL_EVERY: Duration = Duration::from_secs(5);
/// No transaction takes a week: a wait without an end is a bug somewhere.
const LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// When process `pid` began, in clock ticks since boot (proc(5), field 22 of stat): with the pid it tells whether a process is
/// still the same. None where it is gone, or dead and only not collected.
pub fn process_start_time(pid: u32) -> Option<u64> {
    start_time(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, in parentheses, may hold anything, so fields are counted from its end.
fn start_time(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Waits until process `pid` that began at `start` is gone, telling so. A package transaction is never killed.
///
/// # Errors
/// Class `interrupted` where we were asked to stop meanwhile.
pub fn wait(host: &Host, pid: u32, start: u64) -> Result<()> {
    wait_for(&host.runner, pid, start)
}

fn wait_for(runner: &Runner, pid: u32, start: u64) -> Result<()> {
    let mut told = None;
    let gone = patience::wait_until(LIMIT, INTERVAL, |waited| {
        if process_start_time(pid) != Some(start) {
            return Ok(Some(()));
        }
        if runner.stops() > 0 {
            let message = format!("stopped while waiting for the package transaction of an earlier run (pid {pid})");
            return Err(Fault::new(Class::Interrupted, message).advice("go on with --resume").into());
        }
        if told.is_none_or(|at| waited.saturating_sub(at) >= TELL_EVERY) {
            let seconds = waited.as_secs();
            runner.note(&format!(
                "waiting for the package transaction of an earlier run (pid {pid}) to end, {seconds} s"
            ));
            told = Some(waited);
        }
        Ok(None)
    })?;
    gone.ok_or_else(|| {
        Fault::new(Class::Timeout, format!("the package transaction of an earlier run (pid {pid}) does not end"))
            .advice("find out what it waits for, then go on with --resume")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn the_start_time_is_the_22nd_field() {
        let stat = |state: &str| format!("7 (a) b (c) {state} 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 99 98");
        assert_eq!(start_time(&stat("S")), Some(4711));
        assert_eq!(start_time(&stat("Z")), None);
        assert_eq!(start_time("7 (a) S 1"), None);
        assert!(process_start_time(std::process::id()).is_some_and(|start| start > 0));
    }

    #[test]
    fn only_the_same_process_is_waited_for() {
        let own = std::process::id();
        let start = process_start_time(own).unwrap();
        wait_for(&Runner::quiet(), own, start + 1).unwrap();
        let stopped = Runner::new(Arc::new(crate::command::Deaf), Arc::new(AtomicUsize::new(1)));
        let error = wait_for(&stopped, own, start).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::Interrupted);
    }
}
