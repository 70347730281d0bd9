//! Running a program in a host.

use crate::{boot, cgroup::HostGroup, cgroup::ProgramGroup, host::Host};
use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a program may take unless a test says otherwise.
const PATIENCE: Duration = Duration::from_secs(600);

/// A program to run in a host: no terminal, a session of its own, nothing of the lab's environment.
#[derive(Debug)]
#[must_use]
pub struct Run<'host> {
    host: &'host Host,
    args: Vec<String>,
    before: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Option<Vec<u8>>,
    user: Option<String>,
    patience: Duration,
}

impl<'host> Run<'host> {
    pub(crate) fn new<S: Into<String>>(host: &'host Host, args: impl IntoIterator<Item = S>) -> Self {
        let env = [("PATH", PATH), ("HOME", "/root"), ("LC_ALL", "C.UTF-8"), ("TERM", "dumb")];
        Self {
            host,
            args: args.into_iter().map(Into::into).collect(),
            before: Vec::new(),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            stdin: None,
            user: None,
            patience: PATIENCE,
        }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What the program reads on its standard input. Nothing, unless said.
    pub fn stdin(mut self, content: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(content.as_ref().to_vec());
        self
    }

    /// Runs it as another user of the host.
    pub fn as_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// How long it may take.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Puts another program with its arguments in front, as strace is.
    pub(crate) fn under(mut self, words: &[&str]) -> Self {
        self.before = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    pub(crate) fn has_env(&self, name: &str, value: &str) -> bool {
        self.env.iter().any(|(known, set)| known == name && set == value)
    }

    pub(crate) fn host(&self) -> &'host Host {
        self.host
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, or outlives its time: then it and all it started are killed.
    pub fn output(self) -> Result<Output> {
        let patience = self.patience;
        self.spawn()?.wait_within(patience)
    }

    /// Runs it on this process's own terminal and streams, for people.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn attached(mut self) -> Result<ExitStatus> {
        if let Ok(term) = std::env::var("TERM") {
            self = self.env("TERM", &term);
        }
        let words = self.words()?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.status().with_context(|| format!("cannot start `{}`", self.args.join(" ")))
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(self) -> Result<Running> {
        let number = self.host.next_run();
        let shown = self.args.join(" ");
        let group = HostGroup::make(self.host.name())?.program(&format!("run-{number}"))?;
        let files = self.host.record().dir().join("runs").join(number.to_string());
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ >"$0" || exit 125; exec setsid "$@""#]).arg(group.door());
        command.args(self.words()?);
        command.stdin(self.input(&files)?);
        command.stdout(File::create(files.with_extension("out"))?);
        command.stderr(File::create(files.with_extension("err"))?);
        let child = command.spawn().with_context(|| format!("cannot start `{shown}` in {}", self.host.name()))?;
        Ok(Running { child, group, files, shown })
    }

    /// Everything from the way into the host to the program's last argument.
    pub(crate) fn words(&self) -> Result<Vec<String>> {
        let mut words = self.host.entry();
        if let Some(user) = &self.user {
            let id = |flag: &str| -> Result<String> {
                Ok(self.host.exec(["id", flag, user])?.ok()?.stdout.trim().to_owned())
            };
            words.extend(["setpriv", "--reuid", &id("-u")?, "--regid", &id("-g")?, "--init-groups"].map(str::to_owned));
        }
        words.extend(["env", "-i", "-C", "/"].map(str::to_owned));
        words.extend(self.env.iter().map(|(name, value)| format!("{name}={value}")));
        words.extend(self.before.iter().cloned());
        words.extend(self.args.iter().cloned());
        Ok(words)
    }

    fn input(&self, files: &std::path::Path) -> Result<Stdio> {
        let Some(content) = &self.stdin else { return Ok(Stdio::null()) };
        let path = files.with_extension("in");
        fs::write(&path, content)?;
        Ok(File::open(&path)?.into())
    }
}

/// A program that runs in a host.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: ProgramGroup,
    files: PathBuf,
    shown: String,
}

impl Running {
    /// The program's pid as the machine numbers it. None before it has started and after it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        let entered = i32::try_from(self.child.id()).ok()?;
        boot::children(entered).first().copied()
    }

    /// Sends a signal to the program alone. False when it has ended.
    pub fn signal(&self, signal: Signal) -> bool {
        self.pid().is_some_and(|pid| signal::kill(Pid::from_raw(pid), signal).is_ok())
    }

    /// Kills the program alone: what it started lives on.
    pub fn kill(&self) -> bool {
        self.signal(Signal::SIGKILL)
    }

    /// Kills the program and everything it ever started, reparented or not, at once. Services that it asked systemd to start live on.
    ///
    /// # Errors
    /// When a process survives.
    pub fn kill_tree(&self) -> Result<()> {
        self.group.kill()
    }

    /// Processes that the program started and that live on after it, as the machine numbers them.
    #[must_use]
    pub fn survivors(&self) -> Vec<i32> {
        let ours = [i32::try_from(self.child.id()).ok(), self.pid()];
        self.group.pids().into_iter().filter(|pid| !ours.contains(&Some(*pid))).collect()
    }

    /// True once the program has ended.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        lossy(&self.stdout_file())
    }

    /// Where that is on the machine.
    pub(crate) fn stdout_file(&self) -> PathBuf {
        self.files.with_extension("out")
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        lossy(&self.files.with_extension("err"))
    }

    /// Waits until its output, on either stream, has `text` in it.
    ///
    /// # Errors
    /// When the program ends or `patience` is over before.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.ended()?;
            let (out, err) = (self.stdout(), self.stderr());
            if out.contains(text) || err.contains(text) {
                return Ok(());
            }
            if ended || Instant::now() > deadline {
                bail!("`{}` has not said {text:?}; it said:\n{out}{err}", self.shown);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it outlives the default time limit: then it and all it started are killed.
    pub fn wait(self) -> Result<Output> {
        self.wait_within(PATIENCE)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it outlives `patience`: then it and all it started are killed.
    pub fn wait_within(mut self, patience: Duration) -> Result<Output> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                self.kill_tree()?;
                self.child.wait()?;
                let (out, err) = (self.stdout(), self.stderr());
                bail!("`{}` was killed after {} s; it said:\n{out}{err}", self.shown, patience.as_secs());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let output =
            Output { status, stdout: self.stdout(), stderr: self.stderr(), command: std::mem::take(&mut self.shown) };
        for extension in ["in", "out", "err"] {
            let _ = fs::remove_file(self.files.with_extension(extension));
        }
        Ok(output)
    }
}

/// What became of a program.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// What was run, for messages.
    pub command: String,
}

/// Insists that `words` were said, on either stream; lines are joined, since cards are wrapped at 80 columns.
///
/// # Errors
/// When they were not; with all that was said.
pub fn ensure_said(output: &Output, words: &str) -> Result<()> {
    let lines = output.stdout.lines().chain(output.stderr.lines());
    let said = lines.map(|line| line.trim_start_matches([' ', '|'])).collect::<Vec<_>>().join(" ");
    ensure!(said.contains(words), "'{words}' was not said: {}{}", output.stdout, output.stderr);
    Ok(())
}

impl Output {
    /// True when it exited 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Its exit code, or 128 and the signal that ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    /// True when SIGKILL ended it.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// Insists on exit code 0.
    ///
    /// # Errors
    /// When it ended differently; the error carries both streams.
    pub fn ok(self) -> Result<Self> {
        self.code_is(0)
    }

    /// Insists on an exit code.
    ///
    /// # Errors
    /// When it ended differently; the error carries both streams.
    pub fn code_is(self, wanted: i32) -> Result<Self> {
        if self.code() != wanted {
            bail!("`{}` exited {} instead of {wanted}:\n{}{}", self.command, self.code(), self.stdout, self.stderr);
        }
        Ok(self)
    }
}

fn lossy(path: &std::path::Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
