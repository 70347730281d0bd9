//! Processes. The only place that starts one.
//!
//! Every child has its own process group, stdin from `/dev/null` (or from given bytes), `LC_ALL=C.UTF-8`, a known `PATH`, the
//! network settings and a time limit. Its output is read line by line, bounded, and told to a [`Listen`]er as it comes.

mod runner;
mod said;

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use self::said::{Collected, From, Heard, read_lines};
use crate::failure::{Class, Fault, Ran};

pub use runner::{Deaf, Listen, Runner, Stream, Told};

/// The `PATH` of every child: a sysadmin's shell often lacks the sbin folders.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a child may run where nobody said otherwise.
pub const LIMIT: Duration = Duration::from_secs(120);
/// Becomes a program once it is told to, and ends where whoever would tell it is gone.
const HOLD: &str = r#"read -r go && exec "$@" </dev/null"#;
/// How long output may still come after the child is gone (a daemon it left behind may hold the pipe open for ever).
const LINGER: Duration = Duration::from_millis(300);

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it was called and how it ended.
    pub ran: Ran,
    /// Standard output, at most 4 MiB.
    pub stdout: String,
    /// Standard error, at most 4 MiB.
    pub stderr: String,
    /// The last lines of both streams, in the order they came.
    pub tail: Vec<String>,
}

impl Output {
    /// Exit 0?
    pub fn ok(&self) -> bool {
        self.ran.exit == Some(0)
    }

    /// A fault of `class` with the command, its exit and its last lines as evidence.
    pub fn fault(&self, class: Class, message: impl Into<String>) -> Fault {
        let tail = self.tail.iter().rev().take(12).rev().cloned();
        Fault::new(class, message).evidence(tail).command(self.ran.clone())
    }
}

type PidHook<'a> = dyn Fn(u32) -> Result<()> + 'a;
type LineHook<'a> = dyn Fn(&str) + 'a;
type LineTest<'a> = dyn Fn(&str) -> bool + 'a;

/// A command to be run.
pub struct Command<'a> {
    argv: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Option<Vec<u8>>,
    limit: Option<Duration>,
    stoppable: bool,
    is_data: bool,
    on_start: Option<&'a PidHook<'a>>,
    on_status: Option<&'a LineHook<'a>>,
    give_up: Option<&'a LineTest<'a>>,
}

impl<'a> Command<'a> {
    /// `program` is looked up on the known [`PATH`].
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            argv: vec![program.into()],
            env: Vec::new(),
            stdin: None,
            limit: Some(LIMIT),
            stoppable: true,
            is_data: false,
            on_start: None,
            on_status: None,
            give_up: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.argv.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the child's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives bytes on standard input: the way for a secret to reach a child.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Another time limit than [`LIMIT`].
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// What it prints on standard output is an answer to a question of ours, which nobody wants to see go by: it is not told.
    #[must_use]
    pub fn data(mut self) -> Self {
        self.is_data = true;
        self
    }

    /// For package transactions: no time limit, and never ended by us, however often we are asked to stop.
    #[must_use]
    pub fn never_killed(mut self) -> Self {
        self.limit = None;
        self.stoppable = false;
        self
    }

    /// Called with the child's pid before the program begins: it is held until the hook returns, and never begins where the hook
    /// fails, or we die before it returns. Its standard input is `/dev/null`.
    #[must_use]
    pub fn on_start(mut self, hook: &'a PidHook<'a>) -> Self {
        self.on_start = Some(hook);
        self
    }

    /// Opens a pipe whose number is put in place of `{}` in the arguments; each line that the child writes there goes to `hook`
    /// (apt's `APT::Status-Fd`).
    #[must_use]
    pub fn on_status(mut self, hook: &'a LineHook<'a>) -> Self {
        self.on_status = Some(hook);
        self
    }

    /// Ends it when `test` says of a line on its standard output that nothing good can come any more; what it said until then is there as of
    /// any other command. For package transactions too, so only for lines after which none begins.
    #[must_use]
    pub fn give_up_when(mut self, test: &'a LineTest<'a>) -> Self {
        self.give_up = Some(test);
        self
    }

    /// Runs it; anything but exit 0 is a fault of `class` that says "`doing` failed".
    ///
    /// # Errors
    /// As [`Command::output`], and where it does not exit 0.
    pub fn run(self, runner: &Runner, class: Class, doing: &str) -> Result<Output> {
        let output = self.output(runner)?;
        if output.ok() {
            return Ok(output);
        }
        let how = match (output.ran.exit, output.ran.signal) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("ended by signal {}", signal.unwrap_or(0)),
        };
        let said = output.tail.last().map_or(String::new(), |line| format!(": {line}"));
        Err(output.fault(class, format!("{doing} failed: {} {how}{said}", output.ran.argv[0])).into())
    }

    /// Runs it and gives whatever came of it.
    ///
    /// # Errors
    /// Where it cannot be started (class `host`), takes longer than its limit (`timeout`) or was stopped on request
    /// (`interrupted`).
    #[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
    pub fn output(mut self, runner: &Runner) -> Result<Output> {
        let status_pipe = if self.on_status.is_some() { Some(nix::unistd::pipe()?) } else { None };
        if let Some((read, _)) = &status_pipe {
            // One that outlives us would wait for itself to read, once the pipe is full.
            fcntl(read, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        if let Some((_, write)) = &status_pipe {
            let number = std::os::fd::AsRawFd::as_raw_fd(write).to_string();
            for arg in &mut self.argv {
                *arg = arg.replace("{}", &number);
            }
        }
        let id = runner.next.fetch_add(1, Ordering::SeqCst);
        let program = crate::find_program(&self.argv[0]).ok_or_else(|| {
            Fault::new(Class::Host, format!("program '{}' is not on this host", self.argv[0]))
                .evidence([format!("looked in {PATH}")])
                .advice("install it and run again with --resume")
        })?;
        let held = self.on_start.is_some();
        let mut command = std::process::Command::new(if held { "/bin/sh".into() } else { program.clone() });
        if held {
            command.args(["-c", HOLD, "sh"]).arg(program);
        }
        command
            .args(&self.argv[1..])
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", locale())
            .env("HOME", "/root")
            .envs(runner.network().environment())
            .envs(self.env.iter().cloned())
            .current_dir("/")
            .process_group(0)
            .stdin(if held || self.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        runner.listener.told(Told::Started { id, argv: &self.argv });
        let began = Instant::now();
        let mut child = command.spawn().map_err(|error| {
            Fault::new(Class::Host, format!("cannot start '{}': {error}", self.argv[0]))
                .advice("check that the program can be run on this host")
        })?;
        let pid = child.id();
        if let Some(hook) = self.on_start
            && let (result, Some(mut gate)) = (hook(pid), child.stdin.take())
        {
            match result {
                Ok(()) => gate.write_all(b"go\n")?,
                Err(error) => {
                    drop(gate);
                    child.wait()?;
                    return Err(error);
                }
            }
        }

        let (send, receive) = mpsc::channel();
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.stdin.take()) {
            // A child that closes its input early is not our failure: its exit status tells.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        if let Some(pipe) = child.stdout.take() {
            read_lines(pipe, From::Child(Stream::Out), send.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            read_lines(pipe, From::Child(Stream::Err), send.clone());
        }
        if let Some((read, write)) = status_pipe {
            drop(write);
            read_lines(std::fs::File::from(read), From::Status, send.clone());
        }
        std::thread::spawn(move || drop(send.send(Heard::Exit(child.wait()))));

        let mut collected = Collected::default();
        let ended = self.follow(&receive, runner, id, pid, began, &mut collected);
        let status = ended?;
        let exit = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        runner.listener.told(Told::Ended { id, exit, took: began.elapsed() });
        Ok(Output {
            ran: Ran { argv: self.argv, exit: status.code(), signal: status.signal() },
            stdout: collected.out,
            stderr: collected.err,
            tail: collected.tail.into(),
        })
    }

    /// Reads what the child says until it is gone.
    fn follow(
        &self,
        receive: &mpsc::Receiver<Heard>,
        runner: &Runner,
        id: u64,
        pid: u32,
        began: Instant,
        collected: &mut Collected,
    ) -> Result<std::process::ExitStatus> {
        let group = Pid::from_raw(pid.cast_signed());
        let mut status: Option<(std::process::ExitStatus, Instant)> = None;
        let mut ending: Option<(Fault, Instant)> = None;
        let mut refused = false;
        loop {
            match receive.recv_timeout(Duration::from_millis(50)) {
                Ok(Heard::Line(From::Status, text)) => {
                    if let Some(hook) = self.on_status {
                        hook(&text);
                        // What was said meanwhile is still to be heard.
                        status = status.map(|(exit, _)| (exit, Instant::now()));
                    }
                }
                Ok(Heard::Line(From::Child(stream), text)) => {
                    if !(self.is_data && stream == Stream::Out) {
                        runner.listener.told(Told::Line { id, stream, text: &text });
                    }
                    if stream == Stream::Out && status.is_none() && self.give_up.is_some_and(|test| test(&text)) {
                        killpg(group, Signal::SIGTERM).ok();
                    }
                    collected.add(stream, text);
                }
                Ok(Heard::Exit(result)) => status = Some((result?, Instant::now())),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if status.is_some_and(|(_, at)| at.elapsed() > LINGER) {
                break;
            }
            if !self.stoppable && !refused && status.is_none() && runner.stops() >= 2 {
                refused = true;
                runner.note(
                    "a package transaction is not ended, since that leaves packages half installed: waiting for it",
                );
            }
            if ending.is_none() && status.is_none() && self.stoppable {
                if self.limit.is_some_and(|limit| began.elapsed() > limit) {
                    let limit = self.limit.unwrap_or_default().as_secs();
                    let fault =
                        Fault::new(Class::Timeout, format!("'{}' took longer than {limit} s", self.argv.join(" ")))
                            .evidence(collected.tail.iter().cloned())
                            .command(Ran { argv: self.argv.clone(), exit: None, signal: None })
                            .advice("find out what it waits for, then run again with --resume");
                    ending = Some((fault, Instant::now()));
                } else if runner.stops() >= 2 {
                    let fault = Fault::new(Class::Interrupted, format!("stopped while '{}' ran", self.argv[0]))
                        .advice("go on with --resume");
                    ending = Some((fault, Instant::now()));
                }
                if ending.is_some() {
                    // Gone already is as good as ended.
                    killpg(group, Signal::SIGTERM).ok();
                }
            }
            if ending.as_ref().is_some_and(|(_, at)| at.elapsed() > Duration::from_secs(5)) && status.is_none() {
                killpg(group, Signal::SIGKILL).ok();
            }
        }
        if let Some((fault, _)) = ending {
            return Err(fault.into());
        }
        status.map(|(status, _)| status).ok_or_else(|| anyhow::anyhow!("no exit status of '{}'", self.argv[0]))
    }
}

/// `C.UTF-8` where the C library has it (in locale-archive, as a folder, or built in since glibc 2.35), else `C`.
fn locale() -> &'static str {
    let known = ["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"];
    if known.iter().any(|path| std::path::Path::new(path).exists()) { "C.UTF-8" } else { "C" }
}

#[cfg(test)]
mod tests;
