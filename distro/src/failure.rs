//! What went wrong, in words a sysadmin can act on.
//!
//! Everywhere inside, errors are [`anyhow::Error`]. Where the cause is known, the error at the root of the chain is a
//! [`Fault`]: a class from a closed list, evidence, advice. The edge of the program finds it with [`Fault::find`] and makes the
//! failure card and the exit code of it; an error without one is class `internal`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kind of failure: a closed list, each with a fixed exit code (docs/exit-codes.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is explained by `Class::meaning`")]
pub enum Class {
    Usage,
    Blueprint,
    Unsupported,
    Preflight,
    Permission,
    Host,
    Locked,
    Proxy,
    Dns,
    Tls,
    Http,
    Repository,
    Package,
    Disk,
    Memory,
    Port,
    Service,
    Login,
    Timeout,
    Verify,
    State,
    Conflict,
    Interrupted,
    Internal,
}

impl Class {
    /// Every class with its exit code, its name and what it means, in the order of the documentation. Exit codes start at 10:
    /// 0 is success, 1 is left to the shell, 2 says "changes or drift" under `--exit-code`.
    pub const ALL: [(Class, i32, &'static str, &'static str); 24] = [
        (Class::Usage, 10, "usage", "a flag, an argument or an input is missing or wrong"),
        (Class::Blueprint, 11, "blueprint", "the blueprint is not valid"),
        (Class::Unsupported, 12, "unsupported", "this host is not one that the blueprint can be installed on"),
        (
            Class::Preflight,
            13,
            "preflight",
            "the host does not have what the blueprint requires, or checks of different classes failed",
        ),
        (Class::Permission, 14, "permission", "root, or a right to something, is missing"),
        (Class::Host, 15, "host", "something on the host is broken or in the way"),
        (Class::Locked, 16, "locked", "another process holds a lock"),
        (Class::Proxy, 17, "proxy", "the proxy refuses, or cannot be reached"),
        (Class::Dns, 18, "dns", "a name does not resolve"),
        (Class::Tls, 19, "tls", "a certificate is not trusted, or TLS fails"),
        (Class::Http, 20, "http", "a server cannot be reached or answers with an error"),
        (Class::Repository, 21, "repository", "a package repository is not usable or its key is not the pinned one"),
        (Class::Package, 22, "package", "a package cannot be installed or removed"),
        (Class::Disk, 23, "disk", "a file system is full, read-only or broken"),
        (Class::Memory, 24, "memory", "memory ran out"),
        (Class::Port, 25, "port", "a port is taken by another process"),
        (Class::Service, 26, "service", "a service does not start, stop or answer"),
        (Class::Login, 27, "login", "a service refuses the login"),
        (Class::Timeout, 28, "timeout", "a command or an answer took too long"),
        (Class::Verify, 29, "verify", "a change was made and is not seen"),
        (
            Class::State,
            30,
            "state",
            "surefoot's own state on this host is missing, damaged, newer, or from another machine",
        ),
        (Class::Conflict, 31, "conflict", "something is in the way, or somebody wants it otherwise"),
        (Class::Interrupted, 32, "interrupted", "the run was stopped on request"),
        (Class::Internal, 70, "internal", "a bug in surefoot"),
    ];

    fn row(self) -> &'static (Class, i32, &'static str, &'static str) {
        // `ALL` names every variant (tested), so the fallback is never taken.
        Self::ALL.iter().find(|row| row.0 == self).unwrap_or(&Self::ALL[23])
    }

    /// The exit code of a program that ends with this class.
    pub fn exit_code(self) -> i32 {
        self.row().1
    }

    /// The name, as in logs and documentation.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// One line of explanation.
    pub fn meaning(self) -> &'static str {
        self.row().3
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A command that was run, as it is told in failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ran {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Exit status, where it exited.
    pub exit: Option<i32>,
    /// Signal number, where a signal ended it.
    pub signal: Option<i32>,
}

/// A failure whose cause is known.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What kind of failure.
    pub class: Class,
    /// One lowercase sentence that names the thing and quotes the value.
    pub message: String,
    /// Lines that prove it: what a command said, what a file holds.
    pub evidence: Vec<String>,
    /// What to do.
    pub advice: String,
    /// The command that failed, where one did.
    pub command: Option<Ran>,
}

impl Fault {
    /// A fault of `class`; `message` is one lowercase sentence.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), evidence: Vec::new(), advice: String::new(), command: None }
    }

    /// Adds lines of evidence.
    #[must_use]
    pub fn evidence<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        self.evidence.extend(lines.into_iter().map(Into::into));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Says which command failed.
    #[must_use]
    pub fn command(mut self, ran: Ran) -> Self {
        self.command = Some(ran);
        self
    }

    /// The fault in the chain of `error`, if there is one.
    pub fn find(error: &anyhow::Error) -> Option<&Fault> {
        error.chain().find_map(|cause| cause.downcast_ref::<Fault>())
    }

    /// The class of `error`: its fault's; for a bare I/O error what the kernel's code says; else `internal`.
    pub fn class_of(error: &anyhow::Error) -> Class {
        if let Some(fault) = Self::find(error) {
            return fault.class;
        }
        error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map_or(Class::Internal, class_of_io)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The class that an I/O error's kind stands for.
pub fn class_of_io(error: &std::io::Error) -> Class {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::PermissionDenied => Class::Permission,
        Kind::StorageFull | Kind::QuotaExceeded | Kind::ReadOnlyFilesystem | Kind::FileTooLarge => Class::Disk,
        Kind::AlreadyExists | Kind::NotADirectory | Kind::IsADirectory => Class::Conflict,
        Kind::OutOfMemory => Class::Memory,
        Kind::AddrInUse => Class::Port,
        Kind::TimedOut => Class::Timeout,
        // EIO has no kind of its own.
        _ if error.raw_os_error() == Some(5) => Class::Disk,
        _ => Class::Host,
    }
}

/// Turns an I/O error on `path` into a fault that names both.
pub fn io_fault(error: &std::io::Error, doing: &str, path: &std::path::Path) -> Fault {
    let class = class_of_io(error);
    let advice = match class {
        Class::Permission => "run it as root, or check the permissions of the folders above",
        Class::Conflict => "something else is in the way, on that path or above it: move it away, then run again",
        Class::Disk => "make room or mount it writable, then run again with --resume",
        _ => "look at the path, mend it and run again with --resume",
    };
    Fault::new(class, format!("cannot {doing} {}: {error}", path.display())).advice(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_code_and_name() {
        let mut codes: Vec<_> = Class::ALL.iter().map(|row| row.1).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Class::ALL.len());
        for (class, code, name, _) in Class::ALL {
            assert_eq!(class.exit_code(), code);
            assert_eq!(serde_json::to_value(class).ok(), Some(serde_json::Value::from(name)));
        }
    }

    #[test]
    fn what_is_in_the_way_is_a_conflict() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path().to_owned(), file.path().join("a/b")] {
            let error = std::fs::DirBuilder::new().recursive(true).create(&path).unwrap_err();
            let fault = io_fault(&error, "make", &path);
            assert_eq!(fault.class, Class::Conflict, "{error}");
            assert!(fault.advice.contains("move it away"), "{}", fault.advice);
        }
    }

    #[test]
    fn the_fault_is_found_under_its_context() {
        let error = anyhow::Error::from(Fault::new(Class::Port, "port 80 is taken")).context("starting nginx");
        assert_eq!(Fault::class_of(&error), Class::Port);
        assert_eq!(Fault::class_of(&anyhow::anyhow!("x")), Class::Internal);
    }
}
