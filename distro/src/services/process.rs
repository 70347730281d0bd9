//! Processes as /proc shows them.

use std::path::Path;

/// One line of /proc/PID/stat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: u32,
    /// Name, at most 15 bytes.
    pub comm: String,
    pub parent: u32,
    /// Ticks from boot to its start: with the pid, the identity of a process.
    pub started: u64,
}

/// The process `pid`, unless it is gone or a zombie (where PID 1 does not reap, those stay for ever).
pub(super) fn process(pid: u32) -> Option<Process> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (comm) state ppid …`, the start time being field 22; the name may hold spaces and parentheses (proc(5)).
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (comm, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    if matches!(*fields.first()?, "Z" | "X" | "x") {
        return None;
    }
    Some(Process {
        pid: pid.parse().ok()?,
        comm: comm.to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Every process.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = Path::new("/proc").read_dir() else { return Vec::new() };
    entries.flatten().filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// When `pid` was started, in ticks since boot: tells a process from another that was given the same pid later. None where
/// there is no such process.
pub fn started(pid: u32) -> Option<u64> {
    process(pid).map(|process| process.started)
}

/// Pid and start of each child of `pid`, in order of their pids: a server that takes up configuration by replacing its workers
/// has others afterwards.
pub fn children(pid: u32) -> Vec<(u32, u64)> {
    // Not on every kernel (CONFIG_PROC_CHILDREN); where it is, each thread lists only what it started itself (proc(5)).
    let threads = Path::new("/proc").join(pid.to_string()).join("task").read_dir().into_iter().flatten().flatten();
    let listed: Option<Vec<String>> =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).ok()).collect();
    let mut children: Vec<(u32, u64)> = match listed {
        Some(lists) if !lists.is_empty() => {
            let pids = lists.iter().flat_map(|pids| pids.split_whitespace());
            pids.filter_map(|pid| process(pid.parse().ok()?)).map(identity).collect()
        }
        _ => all().into_iter().filter(|process| process.parent == pid).map(identity).collect(),
    };
    children.sort_unstable();
    children
}

fn identity(process: Process) -> (u32, u64) {
    (process.pid, process.started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_stat() {
        let tail = "S 1 5 5 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 98765 0 0";
        let expected = Process { pid: 5, comm: "a) (b".into(), parent: 1, started: 98765 };
        assert_eq!(parse(&format!("5 (a) (b) {tail}")), Some(expected));
        assert_eq!(parse(&format!("5 (a) {}", tail.replacen('S', "Z", 1))), None);
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn this_process_is_its_parents_child() {
        let me = std::process::id();
        assert!(started(me).is_some());
        assert!(children(process(me).unwrap().parent).contains(&(me, started(me).unwrap())));
    }
}
