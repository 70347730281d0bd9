//! Processes. The only place that starts one.
//!
//! Every child has its own process group, stdin from `/dev/null` (or from given bytes), `LC_ALL=C.UTF-8`, a known `PATH`, the
//! network settings and a time limit. Its output is read line by line, bounded, and told to a [`Listen`]er as it comes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::failure::{Class, Fault, Ran};
use crate::network::Network;

/// The `PATH` of every child: a sysadmin's shell often lacks the sbin folders.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a child may run where nobody said otherwise.
pub const LIMIT: Duration = Duration::from_secs(120);
/// Longest line that is kept; the rest of it is cut and marked.
const LINE_BYTES: usize = 4096;
/// Most bytes of either stream that are kept for the caller; more is read, told and dropped.
const KEPT_BYTES: usize = 4 << 20;
/// Becomes a program once it is told to, and ends where whoever would tell it is gone.
const HOLD: &str = r#"read -r go && exec "$@" </dev/null"#;
/// How long output may still come after the child is gone (a daemon it left behind may hold the pipe open for ever).
const LINGER: Duration = Duration::from_millis(300);

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Something that surefoot reports in the course of a command, such as who holds a lock.
    Note,
}

/// What is told about a command while it runs.
#[derive(Debug)]
pub enum Told<'a> {
    /// It was started. `argv` never holds a secret.
    Started {
        /// Number of the command in this process.
        id: u64,
        /// Program and arguments.
        argv: &'a [String],
    },
    /// A line of its output, without the line end.
    Line {
        /// Number of the command.
        id: u64,
        /// Where from.
        stream: Stream,
        /// The line.
        text: &'a str,
    },
    /// How far it is, where the command says so.
    Progress {
        /// Number of the command.
        id: u64,
        /// 0 to 100.
        percent: f32,
        /// What it is doing.
        text: &'a str,
    },
    /// It ended.
    Ended {
        /// Number of the command.
        id: u64,
        /// Exit status, or 128 + signal.
        exit: i32,
        /// How long it ran.
        took: Duration,
    },
}

/// Somebody who wants to know what commands do.
pub trait Listen: Send + Sync {
    /// Called for each thing told, in order, on the thread that runs the command.
    fn told(&self, told: Told<'_>);
}

/// Nobody listens.
#[derive(Debug, Default)]
pub struct Deaf;

impl Listen for Deaf {
    fn told(&self, _: Told<'_>) {}
}

/// Starts commands: holds who listens, how this host reaches others, and how often we were asked to stop.
#[derive(Clone)]
pub struct Runner {
    listener: Arc<dyn Listen>,
    network: Arc<Mutex<Arc<Network>>>,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// `stop` counts SIGINT and SIGTERM: the second ends the child.
    pub fn new(listener: Arc<dyn Listen>, stop: Arc<AtomicUsize>) -> Self {
        Self { listener, network: Arc::default(), next: Arc::new(AtomicU64::new(1)), stop }
    }

    /// A runner that nobody listens to and nobody stops.
    pub fn quiet() -> Self {
        Self::new(Arc::new(Deaf), Arc::default())
    }

    /// How this host reaches others.
    pub fn network(&self) -> Arc<Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on every child, apt and our own client reach others in this way.
    pub fn use_network(&self, network: Network) {
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(network);
    }

    /// How often we were asked to stop.
    pub fn stops(&self) -> usize {
        self.stop.load(Ordering::SeqCst)
    }

    /// Tells a line that belongs to no command, such as who holds a lock that is waited for.
    pub fn note(&self, text: &str) {
        self.listener.told(Told::Line { id: 0, stream: Stream::Note, text });
    }

    /// Tells how far the command in hand is.
    pub fn progress(&self, percent: f32, text: &str) {
        self.listener.told(Told::Progress { id: 0, percent, text });
    }
}

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

#[derive(Clone, Copy)]
enum From {
    Child(Stream),
    Status,
}

enum Heard {
    Line(From, String),
    Exit(std::io::Result<std::process::ExitStatus>),
}

#[derive(Default)]
struct Collected {
    out: String,
    err: String,
    tail: VecDeque<String>,
}

impl Collected {
    fn add(&mut self, stream: Stream, text: String) {
        let kept = if stream == Stream::Out { &mut self.out } else { &mut self.err };
        if kept.len() + text.len() < KEPT_BYTES {
            kept.push_str(&text);
            kept.push('\n');
        }
        if !text.trim().is_empty() {
            if self.tail.len() == 40 {
                self.tail.pop_front();
            }
            self.tail.push_back(text);
        }
    }
}

/// Sends the lines of `pipe`; a line ends at `\n` or, for programs that draw progress bars, at `\r`.
fn read_lines(pipe: impl Read + Send + 'static, from: From, send: mpsc::Sender<Heard>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line: Vec<u8> = Vec::new();
        let mut cut = false;
        while let Ok(buffer) = reader.fill_buf() {
            if buffer.is_empty() {
                break;
            }
            let used = buffer.len();
            for &byte in buffer {
                if byte == b'\n' || byte == b'\r' {
                    if (byte == b'\n' || !line.is_empty()) && send.send(Heard::Line(from, text(&line, cut))).is_err() {
                        return;
                    }
                    line.clear();
                    cut = false;
                } else if line.len() < LINE_BYTES {
                    line.push(byte);
                } else {
                    cut = true;
                }
            }
            reader.consume(used);
        }
        if !line.is_empty() {
            drop(send.send(Heard::Line(from, text(&line, cut))));
        }
    });
}

/// A line as text: bytes that are not UTF-8 and control characters replaced, cuts marked.
fn text(line: &[u8], cut: bool) -> String {
    let mut text: String = String::from_utf8_lossy(line)
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect();
    if cut {
        text.push_str(" […cut]");
    }
    text
}

/// `C.UTF-8` where the C library has it (in locale-archive, as a folder, or built in since glibc 2.35), else `C`.
fn locale() -> &'static str {
    let known = ["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"];
    if known.iter().any(|path| std::path::Path::new(path).exists()) { "C.UTF-8" } else { "C" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_exit_and_input() {
        let runner = Runner::quiet();
        let output = Command::new("sh").args(["-c", "cat; echo e >&2; exit 3"]).stdin("in").output(&runner).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.ran.exit), ("in\n", "e\n", Some(3)));
    }

    #[test]
    fn what_is_hopeless_is_ended() {
        let hopeless = |line: &str| line == "never";
        let command = Command::new("sh").args(["-c", "echo so far; echo never; exec sleep 600"]).never_killed();
        let output = command.give_up_when(&hopeless).output(&Runner::quiet()).unwrap();
        assert_eq!((output.stdout.as_str(), output.ran.signal), ("so far\nnever\n", Some(15)));
    }

    #[test]
    fn data_is_not_told() {
        #[derive(Default)]
        struct Lines(Mutex<Vec<String>>);
        impl Listen for Lines {
            fn told(&self, told: Told<'_>) {
                if let Told::Line { text, .. } = told {
                    self.0.lock().unwrap().push(text.to_owned());
                }
            }
        }
        let lines = Arc::new(Lines::default());
        let runner = Runner::new(lines.clone(), Arc::default());
        let command = || Command::new("sh").args(["-c", "echo out; sleep 0.1; echo err >&2"]);
        assert_eq!(command().data().output(&runner).unwrap().stdout, "out\n");
        assert_eq!(*lines.0.lock().unwrap(), ["err"]);
        command().output(&runner).unwrap();
        assert_eq!(*lines.0.lock().unwrap(), ["err", "out", "err"]);
    }

    #[test]
    fn a_limit_ends_the_whole_group() {
        let runner = Runner::quiet();
        let began = Instant::now();
        let command = Command::new("sh").args(["-c", "sleep 30 & sleep 30"]).limit(Duration::from_millis(200));
        let error = command.output(&runner).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::Timeout);
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_is_not_waited_for() {
        let began = Instant::now();
        let output = Command::new("sh").args(["-c", "sleep 20 & echo x"]).output(&Runner::quiet()).unwrap();
        assert_eq!(output.stdout, "x\n");
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn status_lines_come_by_their_own_pipe() {
        let lines = Mutex::new(Vec::new());
        let hook = |line: &str| lines.lock().unwrap().push(line.to_owned());
        Command::new("sh").args(["-c", "echo hello >&$0", "{}"]).on_status(&hook).output(&Runner::quiet()).unwrap();
        assert_eq!(*lines.lock().unwrap(), ["hello"]);
    }

    #[test]
    fn a_program_begins_only_after_its_pid_was_taken_down() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("began").display().to_string();
        let touch = || Command::new("sh").args(["-c", "echo $$ >\"$1\"; cat", "sh", &file]);
        let refused = |_| anyhow::bail!("the disk is full");
        let error = touch().on_start(&refused).output(&Runner::quiet()).unwrap_err();
        assert_eq!(error.to_string(), "the disk is full");
        assert!(!std::path::Path::new(&file).exists());

        let pid = std::cell::Cell::new(0);
        let taken = |began| {
            assert!(!std::path::Path::new(&file).exists());
            pid.set(began);
            Ok(())
        };
        assert!(touch().on_start(&taken).output(&Runner::quiet()).unwrap().ok());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{}\n", pid.get()));
    }

    #[test]
    fn control_characters_and_long_lines_are_made_harmless() {
        assert_eq!(text(b"a\x1b[31mb", false), "a\u{fffd}[31mb");
        assert_eq!(text(b"a", true), "a […cut]");
    }

    #[test]
    fn who_writes_its_status_does_not_wait_for_itself_to_read_it() {
        let script = r#"pipe=$(readlink /proc/$$/fd/{}); readlink /proc/$$/fd/* | grep -cxF "$pipe""#;
        let command = Command::new("sh").args(["-c", script]).on_status(&|_| ());
        assert_eq!(command.output(&Runner::quiet()).unwrap().stdout.trim(), "1");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Command::new("no-such-program").output(&Runner::quiet()).unwrap_err();
        assert!(error.to_string().contains("'no-such-program'"), "{error}");
    }
}
