//! Init scripts, where systemd does not run: containers, mostly.
//!
//! Scripts are called by us, not by `invoke-rc.d`, so a `policy-rc.d` that denies starts is not asked. What they say of
//! themselves is worth little (redis-server's exits 0 after it failed to start): whether a service runs is decided by its pid
//! file and the process table.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::process::{self, Process};
use super::{Act, Unit};
use crate::command::Output;
use crate::{Command, Host};

/// Scripts stop with patience: redis-server's waits as long as it takes to write its data.
const LIMIT: Duration = Duration::from_secs(100);

fn stem(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

pub(super) fn script_of(unit: &str) -> PathBuf {
    Path::new("/etc/init.d").join(stem(unit))
}

pub(super) fn look(host: &Host, name: &str) -> Result<Unit> {
    let path = script_of(name);
    let mut unit = Unit { state: "stopped".to_owned(), ..Unit::default() };
    // The script of a removed package stays, as a configuration file; some packages take its execute bits away.
    let runnable = path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    let script = if runnable { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
    let variables = variables(&script);
    let daemon = variables.get("DAEMON").map(Path::new).filter(|path| path.is_absolute());
    if !runnable || daemon.is_some_and(|daemon| !daemon.exists()) {
        return Ok(unit);
    }
    unit.exists = true;
    unit.enabled = is_enabled_in(Path::new("/"), name);
    unit.files = vec![path.display().to_string(), format!("/etc/default/{}", stem(name))];
    let found = match daemon.and_then(Path::file_name).and_then(|name| name.to_str()) {
        Some(program) => main_process(&pid_files(name, program, &variables), program),
        None if is_running_by_its_word(host, name)? => {
            unit.active = true;
            pid_files(name, stem(name), &variables).iter().find_map(|path| read_pid(path))
        }
        None => None,
    };
    if let Some(process) = found {
        unit.active = true;
        unit.main_pid = process.pid;
        unit.invocation = format!("{}-{}", process.pid, process.started);
    }
    if unit.active {
        "running".clone_into(&mut unit.state);
    }
    Ok(unit)
}

/// Asks the script; only of those that do not say which program they start.
fn is_running_by_its_word(host: &Host, name: &str) -> Result<bool> {
    Ok(Command::new("service").args([stem(name), "status"]).limit(Duration::from_secs(20)).output(&host.runner)?.ok())
}

/// Is there a start link in a runlevel that people work in?
pub(super) fn is_enabled_in(root: &Path, unit: &str) -> bool {
    links(root, unit).iter().any(|(level, link)| "2345".contains(*level) && link.starts_with('S'))
}

/// Was the script of `unit` enabled once, and is no more?
pub(super) fn is_disabled_in(root: &Path, unit: &str) -> bool {
    !links(root, unit).is_empty() && !is_enabled_in(root, unit)
}

/// Runlevel and name of each link to the script of `unit`.
fn links(root: &Path, unit: &str) -> Vec<(char, String)> {
    let mut links = Vec::new();
    for level in "0123456S".chars() {
        let Ok(entries) = root.join(format!("etc/rc{level}.d")).read_dir() else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(['S', 'K']) && name.get(3..) == Some(stem(unit)) {
                links.push((level, name));
            }
        }
    }
    links
}

/// The plain assignments at the beginnings of lines, with the variables in them replaced.
fn variables(script: &str) -> HashMap<String, String> {
    let mut variables: HashMap<String, String> = HashMap::new();
    for line in script.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            continue;
        }
        let value = value.trim().trim_matches(['"', '\'']);
        if let Some(value) = expand(value, &variables) {
            variables.insert(name.to_owned(), value);
        }
    }
    variables
}

/// None where it takes a shell.
fn expand(value: &str, variables: &HashMap<String, String>) -> Option<String> {
    if value.contains(['`', '(', ' ', ';', '\\']) {
        return None;
    }
    let mut parts = value.split('$');
    let mut expanded = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => part.split_at(part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len())),
        };
        expanded.push_str(variables.get(name)?);
        expanded.push_str(rest);
    }
    Some(expanded)
}

/// Where the pid may be written: where the script says, and where it is customary.
fn pid_files(unit: &str, program: &str, variables: &HashMap<String, String>) -> Vec<PathBuf> {
    let stem = stem(unit);
    let said = ["PIDFILE", "PID", "PID_FILE"].iter().filter_map(|name| variables.get(*name));
    let mut files: Vec<PathBuf> = said.map(PathBuf::from).filter(|path| path.is_absolute()).collect();
    for name in [format!("{stem}.pid"), format!("{stem}/{stem}.pid"), format!("{program}.pid")] {
        files.push(Path::new("/run").join(name));
    }
    files
}

fn read_pid(path: &Path) -> Option<Process> {
    process::process(std::fs::read_to_string(path).ok()?.trim().parse().ok()?)
}

/// The process in one of `pid_files`, where it is one of `program` (pids are used again); else the oldest of the program's
/// processes that none of its own has started.
fn main_process(pid_files: &[PathBuf], program: &str) -> Option<Process> {
    let comm: String = program.chars().take(15).collect();
    let written = pid_files.iter().filter_map(|path| read_pid(path)).find(|process| process.comm == comm);
    written.or_else(|| {
        let ours: Vec<Process> = process::all().into_iter().filter(|process| process.comm == comm).collect();
        let pids: Vec<u32> = ours.iter().map(|process| process.pid).collect();
        ours.into_iter().filter(|process| !pids.contains(&process.parent)).min_by_key(|process| process.started)
    })
}

pub(super) fn act(host: &Host, act: Act, unit: &str) -> Result<Output> {
    let stem = stem(unit);
    let update = |what: &str| Command::new("update-rc.d").args([stem, what]).output(&host.runner);
    match act {
        Act::Enable => {
            // `enable` turns links around; where there are none it does nothing.
            if links(Path::new("/"), unit).is_empty() {
                let made = update("defaults")?;
                if !made.ok() || is_enabled_in(Path::new("/"), unit) {
                    return Ok(made);
                }
            }
            update("enable")
        }
        Act::Disable => update("disable"),
        // `service` gives the daemon an empty environment: ours may hold a proxy's password.
        Act::Start | Act::Stop | Act::Restart | Act::Reload => {
            Command::new("service").args([stem.to_owned(), act.to_string()]).limit(LIMIT).output(&host.runner)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_of_scripts() {
        let script = "#! /bin/sh\nDAEMON=/usr/bin/redis-server\nNAME=redis-server\nRUNDIR=/run/redis\n\
            PIDFILE=$RUNDIR/${NAME}.pid\nPID=$(cat /etc/nginx/nginx.conf | awk x)\n\tINDENTED=1\nlower=1\nQUOTED=\"a$NAME\"\n\
            UNKNOWN=$nowhere\nDAEMON_ARGS=-c x\n";
        let variables = variables(script);
        for (name, value) in [
            ("PIDFILE", Some("/run/redis/redis-server.pid")),
            ("PID", None),
            ("QUOTED", Some("aredis-server")),
            ("UNKNOWN", None),
            ("DAEMON_ARGS", None),
            ("INDENTED", None),
            ("lower", None),
        ] {
            assert_eq!(variables.get(name).map(String::as_str), value, "{name}");
        }
    }

    #[test]
    fn pid_files_of_debian_packages() {
        let paths = |unit, program, script| pid_files(unit, program, &variables(script));
        assert!(paths("nginx.service", "nginx", "PID=$(x)").contains(&PathBuf::from("/run/nginx.pid")));
        let redis = paths("redis-server.service", "redis-server", "PIDFILE=/run/redis/redis-server.pid");
        assert_eq!(redis[0], Path::new("/run/redis/redis-server.pid"));
    }

    #[test]
    fn enabled_by_links() {
        let root = tempfile::tempdir().unwrap();
        for (links, enabled) in [
            (&["rc3.d/S01redis-server"][..], true),
            (&["rc2.d/K01redis-server", "rc0.d/K01redis-server"], false),
            (&["rc6.d/S01redis-server"], false),
            (&["rc3.d/S01redis"], false),
            (&[], false),
        ] {
            let root =
                root.path().join(links.len().to_string()).join(links.first().unwrap_or(&"none").replace('/', "-"));
            for link in links {
                let path = root.join("etc").join(link);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink("../init.d/x", path).unwrap();
            }
            assert_eq!(is_enabled_in(&root, "redis-server.service"), enabled, "{links:?}");
        }
    }

    #[test]
    fn a_pid_that_another_program_has_is_not_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pid");
        let me = process::process(std::process::id()).unwrap();
        std::fs::write(&file, format!("{}\n", me.pid)).unwrap();
        assert_eq!(main_process(std::slice::from_ref(&file), "no-such-daemon"), None);
        assert_eq!(main_process(&[file], &me.comm).map(|found| found.pid), Some(me.pid));
    }
}
