//! Why a service does not run, where it or systemd says so.

use distro::services;
use distro::{Class, Fault};

/// `fault` of `unit`, with the class and the advice of the cause that its evidence tells.
pub(super) fn explained(mut fault: Fault, unit: &str) -> Fault {
    let place = |tells: fn(&str) -> bool| fault.evidence.iter().position(|line| tells(line));
    let because = |mut fault: Fault, class, cause: &str, advice: &str| {
        fault.class = class;
        fault.message = format!("{}: {cause}", fault.message);
        fault.advice(advice)
    };
    if place(services::tells_of_taken_address).is_some() {
        let advice = "see with `ss -ltnp` who listens there, stop it, then run again with --resume";
        return because(fault, Class::Port, "its address is taken", advice);
    }
    if place(tells_of_memory).is_some() {
        let advice = format!(
            "give the host, or the unit (`systemctl show -p MemoryMax,LimitAS {unit}`), more memory, then run again with --resume"
        );
        return because(fault, Class::Memory, "it got no memory", &advice);
    }
    if place(tells_of_shared_memory).is_some() {
        let advice = "see that /dev/shm has room (`df -h /dev/shm`) and everybody may write there (`chmod 1777 /dev/shm`), then run again with --resume";
        return because(fault, Class::Memory, "it got no shared memory", advice);
    }
    let full = place(tells_of_full_disk);
    if let Some(at) = full.or_else(|| place(tells_of_read_only)) {
        // There is always room for the last line, and a server says much after this one.
        let line = fault.evidence.remove(at);
        fault.evidence.push(line);
        if full.is_some() {
            return of_full_disk(fault);
        }
        let advice = format!(
            "mount it read-write (`findmnt` shows how it is), or let the unit write there (`systemctl show -p ProtectSystem,ReadWritePaths {unit}`), then run again with --resume"
        );
        return because(fault, Class::Disk, "the file system is read-only", &advice);
    }
    if place(tells_of_no_cluster).is_some() {
        return fault.advice(
            "Debian's wrapper says so, too, where it may not read the cluster's postgresql.conf: give that the owner and mode of its neighbours (`ls -l /etc/postgresql/*/*`), then run again with --resume",
        );
    }
    fault
}

/// Does PostgreSQL's wrapper find no folder of data? It reads in postgresql.conf where that is, as the cluster's owner.
fn tells_of_no_cluster(line: &str) -> bool {
    line.contains("Invalid data directory for cluster")
}

/// Does a line of a service's own, or of systemd's, say that memory ran out?
fn tells_of_memory(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let words = ["out of memory", "cannot allocate memory", "oom-kill", "oom killer", "failed to create super carrier"];
    words.iter().any(|words| line.contains(words)) || (line.contains("cannot allocate") && line.contains("of memory"))
}

/// Does PostgreSQL say that it gets none in /dev/shm? (What it says of a shared memory segment without a name is about the kernel's limits.)
fn tells_of_shared_memory(line: &str) -> bool {
    line.contains("shared memory segment \"/")
        && ["No space left on device", "Permission denied", "No such file"].iter().any(|words| line.contains(words))
}

/// Does a line of a program's own say that a disk is full? The kernel has the same words for its limits of semaphores, shared memory and of watches.
pub(crate) fn tells_of_full_disk(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let limits = ["semaphore", "shared memory", "inotify", "failed to watch"];
    // The last two are Erlang's.
    let words = ["no space left on device", "disk quota exceeded", ",enospc}", ",edquot}"];
    words.iter().any(|words| line.contains(words)) && !limits.iter().any(|limit| line.contains(limit))
}

/// `fault`, as one that a full disk has brought about.
pub(crate) fn of_full_disk(mut fault: Fault) -> Fault {
    fault.class = Class::Disk;
    fault.message.push_str(": there is no room on the disk");
    fault.advice("make room (`df -h` shows where there is none), then run again with --resume")
}

/// Does a line say that a file system is read-only?
fn tells_of_read_only(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.contains("read-only file system") || line.contains(",erofs}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_lack_of_memory() {
        for (line, tells) in [
            ("# Out Of Memory allocating 41943040 bytes!", true),
            ("fork: Cannot allocate memory", true),
            ("x.service: Failed with result 'oom-kill'.", true),
            ("eheap_alloc: Cannot allocate 3573856 bytes of memory (of type \"heap\").", true),
            ("erts_mmap: Failed to create super carrier of size 1024 MB", true),
            ("WARNING Memory overcommit must be enabled! It may fail under low memory condition", false),
        ] {
            assert_eq!(tells_of_memory(line), tells, "{line}");
        }
    }

    #[test]
    fn words_for_a_full_disk() {
        for (line, tells) in [
            ("FATAL:  could not write lock file \"postmaster.pid\": No space left on device", true),
            ("Write error saving DB on disk: Disk quota exceeded", true),
            ("FATAL:  could not create semaphores: No space left on device", false),
            ("could not resize shared memory segment \"/PostgreSQL.1\" to 8 bytes: No space left on device", false),
            ("x.service: Failed to add inotify watch descriptor for control group: No space left on device", false),
            ("Failed to watch /run/x: No space left on device", false),
            ("there is space left", false),
        ] {
            assert_eq!(tells_of_full_disk(line), tells, "{line}");
        }
    }

    #[test]
    fn a_cause_has_its_class_and_its_advice() {
        for (line, class, advice) in [
            (
                "FATAL: could not create lock file \"postmaster.pid\": Read-only file system",
                Class::Disk,
                "ReadWritePaths x.service",
            ),
            ("Failed to write PID file \"/x.pid\": read-only file system", Class::Disk, "ReadWritePaths x.service"),
            ("Failed to start: {error,{{shutdown,{badmatch,{error,enospc}}}},", Class::Disk, "df -h"),
            (
                "FATAL: could not resize shared memory segment \"/PostgreSQL.1\" to 8 bytes: No space left on device",
                Class::Memory,
                "/dev/shm",
            ),
            ("FATAL: could not create shared memory segment: No space left on device", Class::Service, "look"),
            ("bind: Address already in use", Class::Port, "ss -ltnp"),
            ("names.dets\",erofs}}},", Class::Disk, "ReadWritePaths x.service"),
            ("Error: Invalid data directory for cluster 17 main", Class::Service, "postgresql.conf"),
        ] {
            let evidence = [line.to_owned(), "database system is shut down".to_owned()];
            let fault = Fault::new(Class::Service, "x does not start").evidence(evidence).advice("look");
            let fault = explained(fault, "x.service");
            assert_eq!(fault.class, class, "{line}");
            assert!(fault.advice.contains(advice), "{line}: {}", fault.advice);
        }
    }
}
