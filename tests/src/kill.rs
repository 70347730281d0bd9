//! Killing programs at chosen moments, and counting what they do.

use crate::{
    host::Host,
    run::{Output, Run},
    tool,
};
use anyhow::{Context, Result};
use std::{fs, time::Duration};

/// A system call, and which of that name counted from 1. The program dies before the call takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillPoint {
    /// Its name, one of [`SYNCS`] or [`MOVES`].
    pub call: &'static str,
    /// Which one.
    pub nth: usize,
}

/// Calls that make something durable.
pub const SYNCS: [&str; 2] = ["fdatasync", "fsync"];
/// Calls that change what a name stands for, which nobody sees half done.
pub const MOVES: [&str; 9] =
    ["mkdir", "rename", "renameat", "renameat2", "rmdir", "symlink", "symlinkat", "unlink", "unlinkat"];
/// What makes something durable, too, and is no kill point, since surefoot does without.
const OTHER_SYNCS: &str = "sync,syncfs,sync_file_range,msync";

impl std::fmt::Display for KillPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.call, self.nth)
    }
}

/// What became of a program that was to be killed.
#[derive(Debug)]
pub enum Fate {
    /// It was killed. What it said until then.
    Killed(Output),
    /// It ended before its moment came.
    Finished(Output),
}

impl Fate {
    fn of(output: Output) -> Self {
        if output.was_killed() { Self::Killed(output) } else { Self::Finished(output) }
    }

    /// True when it was killed.
    #[must_use]
    pub fn killed(&self) -> bool {
        matches!(self, Self::Killed(_))
    }
}

impl Run<'_> {
    /// Runs it and kills it, alone, at the given system call of its main thread. What it started lives on.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn killed_at(self, point: &KillPoint) -> Result<Fate> {
        self.to_be_killed_at(point).output().map(Fate::of)
    }

    /// The same program, which will be killed, alone, at the given system call of its main thread.
    pub fn to_be_killed_at(self, point: &KillPoint) -> Self {
        let trace = format!("trace={}", point.call);
        let inject = format!("inject={}:signal=SIGKILL:when={}", point.call, point.nth);
        self.under(&["strace", "-o", "/dev/null", "-e", &trace, "-e", &inject])
    }

    /// Runs it and kills it, alone, after a while.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn killed_after(self, delay: Duration) -> Result<Fate> {
        let mut running = self.spawn()?;
        wait(&mut running, delay)?;
        running.kill();
        running.wait().map(Fate::of)
    }

    /// Runs it and kills it with everything it started after a while.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn tree_killed_after(self, delay: Duration) -> Result<Fate> {
        let mut running = self.spawn()?;
        wait(&mut running, delay)?;
        running.kill_tree()?;
        running.wait().map(Fate::of)
    }

    /// Runs it to its end and lists the syncs of its main thread, in order.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn kill_points(self) -> Result<(Vec<KillPoint>, Output)> {
        self.kill_points_of(&SYNCS)
    }

    /// Runs it to its end and lists the calls of its main thread with one of these names, in order.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn kill_points_of(self, calls: &[&'static str]) -> Result<(Vec<KillPoint>, Output)> {
        let host = self.host();
        let log = format!("/run/lab-strace-{}", host.next_run());
        let trace = format!("trace={}", calls.join(","));
        let output = self.under(&["strace", "-o", &log, "-e", &trace, "-e", "signal=none"]).output()?;
        Ok((points(&taken(host, &log)?, calls), output))
    }

    /// Runs it to its end and lists every call of any of its threads, but not of programs it starts, that makes something durable and
    /// that [`Run::kill_points`] does not find: of another thread, or by another call.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn stray_syncs(self) -> Result<(Vec<String>, Output)> {
        let host = self.host();
        let log = format!("/run/lab-strace-{}", host.next_run());
        let trace = format!("trace=execve,{},{OTHER_SYNCS}", SYNCS.join(","));
        let output = self.under(&["strace", "-f", "-o", &log, "-e", &trace, "-e", "signal=none"]).output()?;
        Ok((strays(&taken(host, &log)?), output))
    }

    /// Runs it to its end and lists the programs that it and its descendants became, itself first.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn execs(self) -> Result<(Vec<String>, Output)> {
        let host = self.host();
        let log = format!("/run/lab-strace-{}", host.next_run());
        let trace = ["strace", "-f", "-o", &log, "-e", "trace=execve,execveat", "-e", "signal=none"];
        let output = self.under(&trace).output()?;
        Ok((programs(&taken(host, &log)?), output))
    }

    /// Runs it to its end and gives every program that it and its descendants started or tried to start, a line each, with all of
    /// its arguments in full.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn arguments(self) -> Result<(String, Output)> {
        let host = self.host();
        let log = format!("/run/lab-strace-{}", host.next_run());
        let trace =
            ["strace", "-f", "-xx", "-s", "65535", "-o", &log, "-e", "trace=execve,execveat", "-e", "signal=none"];
        let output = self.under(&trace).output()?;
        Ok((decoded(&taken(host, &log)?), output))
    }
}

impl Host {
    /// [`Run::killed_at`] with nothing special about the program.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn run_killed_at<S: Into<String>>(&self, point: &KillPoint, args: impl IntoIterator<Item = S>) -> Result<Fate> {
        self.run(args).killed_at(point)
    }

    /// [`Run::killed_after`] with nothing special about the program.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn run_killed_after<S: Into<String>>(
        &self,
        delay: Duration,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Fate> {
        self.run(args).killed_after(delay)
    }

    /// Runs a `command` of the shell until a package manager has put `file` in place, and kills all programs of these names, in this order.
    /// What has none of them goes on. Who put the file in place does nothing more until then: no kill comes too late.
    ///
    /// # Errors
    /// When nothing put the file in place, the host's shell cannot be used, or there is no compiler.
    pub fn kill_once_there(&self, command: &str, file: &str, names: &str) -> Result<()> {
        let library = tempfile::NamedTempFile::new()?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/hold.c");
        tool::tool("cc", ["-O2", "-shared", "-fPIC", "-o", &library.path().display().to_string(), source])?;
        self.write("/run/hold.so", fs::read(library.path())?, 0o755)?;
        self.sh(&format!(
            "printf %s {file} >/run/lab-hold; rm -f /run/lab-held; echo /run/hold.so >/etc/ld.so.preload
             {command} >/dev/null 2>&1 &
             until test -e /run/lab-held; do kill -0 $! || exit 1; sleep 0.01; done
             for name in {names}; do pkill -9 -x $name || true; done
             rm /run/lab-hold /etc/ld.so.preload; wait || true"
        ))
        .map(drop)
        .with_context(|| format!("{file} was not put in place"))
    }

    /// How many programs the descendants of a program became, itself not counted.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn count_execs<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> Result<usize> {
        Ok(self.run(args).execs()?.0.len().saturating_sub(1))
    }
}

fn wait(running: &mut crate::Running, delay: Duration) -> Result<()> {
    let deadline = std::time::Instant::now() + delay;
    while std::time::Instant::now() < deadline && !running.ended()? {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Reads a trace and removes it.
fn taken(host: &Host, log: &str) -> Result<String> {
    let text = host.read(log).context("strace left no log")?;
    host.exec(["rm", "--", log])?.ok()?;
    Ok(text)
}

fn points(trace: &str, calls: &[&'static str]) -> Vec<KillPoint> {
    let mut points: Vec<KillPoint> = Vec::new();
    for line in trace.lines() {
        if let Some(call) = calls.iter().find(|call| line.starts_with(&format!("{call}("))) {
            let nth = 1 + points.iter().filter(|point| point.call == *call).count();
            points.push(KillPoint { call, nth });
        }
    }
    points
}

/// Calls in a trace of all descendants that are of the program itself, but for those of [`SYNCS`] by its first thread: it has the first
/// line, and other threads, unlike other programs, never call execve.
fn strays(trace: &str) -> Vec<String> {
    let calls: Vec<(&str, &str)> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let first = calls.first().map(|(pid, _)| *pid);
    let execs = |pid: &str| calls.iter().any(|(other, call)| *other == pid && call.trim_start().starts_with("execve("));
    let sync = |call: &str| call.split_once('(').is_some_and(|(name, _)| name.contains("sync"));
    let found = |call: &str| call.split_once('(').is_some_and(|(name, _)| SYNCS.contains(&name));
    let strays = calls.iter().filter(|(pid, call)| {
        let (call, is_first) = (call.trim_start(), Some(*pid) == first);
        sync(call) && (if is_first { !found(call) } else { !execs(pid) })
    });
    strays.map(|(pid, call)| format!("{pid} {}", call.trim_start())).collect()
}

/// The paths of successful calls.
fn programs(trace: &str) -> Vec<String> {
    let done = trace.lines().filter(|line| line.trim_end().ends_with("= 0"));
    done.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

/// A trace whose strings are written as `\x41\x42`, as what they stand for.
fn decoded(trace: &str) -> String {
    let mut bytes = Vec::with_capacity(trace.len() / 4);
    let mut rest = trace;
    while let Some((plain, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(plain.as_bytes());
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(b'?'));
        rest = after.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_counted_by_itself() {
        let trace = "fdatasync(3) = 0\nfsync(4) = 0\nfdatasync(3) = 0\n+++ exited with 0 +++\n";
        let found: Vec<_> = points(trace, &SYNCS).into_iter().map(|point| (point.call, point.nth)).collect();
        assert_eq!(found, [("fdatasync", 1), ("fsync", 1), ("fdatasync", 2)]);
    }

    #[test]
    fn syncs_that_no_kill_point_is_made_of() {
        let trace = "10 execve(\"/bin/a\", [\"a\"], 0x1 /* 3 vars */) = 0\n\
                     10 fdatasync(3 <unfinished ...>\n\
                     11 execve(\"/bin/b\", [\"b\"], 0x1 /* 3 vars */) = 0\n\
                     11 fsync(3)                          = 0\n\
                     10 <... fdatasync resumed>)          = 0\n\
                     10 sync()                            = 0\n\
                     12 fsync(3)                          = 0\n\
                     12 +++ exited with 0 +++\n";
        assert_eq!(
            strays(trace),
            ["10 sync()                            = 0", "12 fsync(3)                          = 0"]
        );
    }

    #[test]
    fn failed_lookups_are_no_programs() {
        let trace = "12 execve(\"/bin/sh\", [\"sh\"], 0x1 /* 3 vars */) = 0\n\
                     13 execve(\"/usr/local/bin/true\", [\"true\"], 0x1) = -1 ENOENT (No such file or directory)\n\
                     13 execve(\"/bin/true\", [\"true\"], 0x1) = 0\n";
        assert_eq!(programs(trace), ["/bin/sh", "/bin/true"]);
    }

    #[test]
    fn arguments_are_read_as_they_were() {
        let trace = r#"12 execve("\x61\x62", ["\xc3\xa9\x22"], 0x1 /* 3 vars */) = 0"#;
        assert_eq!(decoded(trace), r#"12 execve("ab", ["é""], 0x1 /* 3 vars */) = 0"#);
    }
}
