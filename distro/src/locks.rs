//! Locks of package managers: who holds them, and waiting until they are free.
//!
//! Those of dnf are files with a pid in them. The others are POSIX record locks (fcntl(2)), so the kernel tells the holder.
//! `DPkg::Lock::Timeout` makes apt wait for dpkg's lock only, and silently: this waits for all of them, telling who is waited for.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::command::Output;
use crate::{Class, Command, Fault, Host, Runner, patience};

/// What a package transaction of apt takes.
pub const TRANSACTION: [&str; 3] =
    ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/cache/apt/archives/lock"];
/// What fetching the index takes there.
pub const INDEX: [&str; 1] = ["/var/lib/apt/lists/lock"];
/// Environment variable: seconds to wait for locks.
pub const TIMEOUT_VARIABLE: &str = "SUREFOOT_LOCK_TIMEOUT";
/// How long locks are waited for where [`TIMEOUT_VARIABLE`] says nothing.
const LIMIT: Duration = Duration::from_secs(600);
const INTERVAL: Duration = Duration::from_millis(200);
/// At most so often it is told that we still wait.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id; 0 where it is in another PID namespace.
    pub pid: i32,
    /// Its short name.
    pub name: String,
    /// Its command line, at most 200 characters.
    pub command: String,
}

impl Holder {
    fn of(pid: i32) -> Self {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let words = read("cmdline");
        let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let name = String::from_utf8_lossy(&read("comm")).trim().to_owned();
        Self { pid, name, command: words.join(" ").trim().chars().take(200).collect() }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pid > 0 {
            write!(f, "'{}' (pid {})", self.name, self.pid)
        } else {
            f.write_str("a process outside of this container")
        }
    }
}

/// Who holds the lock on `path`, if somebody does. A file that is not there is free.
///
/// # Errors
/// Where the file cannot be opened or asked about.
pub fn holder(path: &Path) -> Result<Option<Holder>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        result => result.with_context(|| format!("opening the lock {}", path.display()))?,
    };
    if path.extension().is_some_and(|end| end == "pid") {
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("reading the lock {}", path.display()))?;
        // One that is left over is taken by whoever comes next.
        let pid = text.trim().parse().ok().filter(|pid: &i32| Path::new(&format!("/proc/{pid}")).exists());
        return Ok(pid.map(Holder::of));
    }
    let kind = |value: i32| i16::try_from(value).unwrap_or_default();
    let mut lock =
        libc::flock { l_type: kind(libc::F_WRLCK), l_whence: kind(libc::SEEK_SET), l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&file, FcntlArg::F_GETLK(&mut lock)).with_context(|| format!("asking who holds {}", path.display()))?;
    if lock.l_type == kind(libc::F_UNLCK) {
        return Ok(None);
    }
    Ok(Some(Holder::of(lock.l_pid)))
}

/// How long locks are waited for.
pub fn limit() -> Duration {
    let seconds = std::env::var(TIMEOUT_VARIABLE).ok().and_then(|text| text.trim().parse().ok());
    seconds.map_or(LIMIT, Duration::from_secs)
}

/// Waits until all of `paths` are free, telling who holds the first that is not.
///
/// # Errors
/// Class `locked` where one is not free within `limit`; class `interrupted` where we were asked to stop.
pub fn wait_free(runner: &Runner, paths: &[&str], limit: Duration) -> Result<()> {
    let mut last = None;
    let mut told = None;
    let free = patience::wait_until(limit, INTERVAL, |waited| {
        let mut held = None;
        for path in paths {
            held = holder(Path::new(path))?.map(|holder| (*path, holder));
            if held.is_some() {
                break;
            }
        }
        let Some((path, holder)) = held else { return Ok(Some(())) };
        if runner.stops() > 0 {
            return Err(Fault::new(Class::Interrupted, format!("stopped while waiting for {path}, held by {holder}"))
                .advice("go on with --resume")
                .into());
        }
        if told.is_none_or(|at| waited.saturating_sub(at) >= TELL_EVERY) {
            runner.note(&format!("waiting for {path}, held by {holder}, {} s", waited.as_secs()));
            told = Some(waited);
        }
        last = Some((path, holder));
        Ok(None)
    })?;
    match (free, last) {
        (None, Some((path, holder))) => Err(locked(path, &holder, limit).into()),
        _ => Ok(()),
    }
}

/// Runs what `command` makes when `paths` are free; again, where its output tells `lost`: that somebody took a lock in between. `command`
/// is told how long may still be waited for locks.
///
/// # Errors
/// As [`wait_free`], and where the command cannot be made or run.
pub fn when_free<'a>(
    host: &Host,
    paths: &[&str],
    mut lost: impl FnMut(&Output) -> bool,
    command: impl Fn(Duration) -> Result<Command<'a>>,
) -> Result<Output> {
    let (limit, began) = (limit(), Instant::now());
    loop {
        let left = limit.saturating_sub(began.elapsed());
        wait_free(&host.runner, paths, left)?;
        let output = command(left)?.output(&host.runner)?;
        if !lost(&output) || began.elapsed() >= limit {
            return Ok(output);
        }
        host.runner.note("another process was faster to take a lock: waiting again");
    }
}

fn locked(path: &str, holder: &Holder, limit: Duration) -> Fault {
    let advice = format!(
        "wait until it is done (or end it, if it hangs) and go on with --resume; {TIMEOUT_VARIABLE}=SECONDS changes how long \
         is waited"
    );
    Fault::new(Class::Locked, format!("{path} is held by {holder}, still after {} s", limit.as_secs_f32().ceil()))
        .evidence([format!("{path}: pid {}: {}", holder.pid, holder.command)])
        .advice(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Listen, Told};
    use crate::{Command, Runner};
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Listen for Notes {
        fn told(&self, told: Told<'_>) {
            if let Told::Line { text, .. } = told {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }

    /// Runs `check` while another process holds a record lock on a file. A lock of our own process would not be seen.
    fn while_held(check: impl FnOnce(&str)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let ready = folder.path().join("ready");
        std::fs::write(&path, "").unwrap();
        let script = "import fcntl,sys,time\nf=open(sys.argv[1],'w')\nfcntl.lockf(f,fcntl.LOCK_EX)\n\
                      open(sys.argv[2],'w')\nwhile True: time.sleep(0.05)";
        let (path, ready) = (path.to_str().unwrap().to_owned(), ready.to_str().unwrap().to_owned());
        let args = ["-c".to_owned(), script.to_owned(), path.clone(), ready.clone()];
        let holding = std::thread::spawn(move || {
            Command::new("python3").args(args).limit(Duration::from_secs(3)).output(&Runner::quiet())
        });
        let there = || Ok(Path::new(&ready).exists().then_some(()));
        patience::wait_until(Duration::from_secs(2), Duration::from_millis(10), |_| there()).unwrap().unwrap();
        check(&path);
        assert_eq!(Fault::class_of(&holding.join().unwrap().unwrap_err()), Class::Timeout);
    }

    #[test]
    fn the_holder_is_named_and_waited_for() {
        while_held(|path| {
            let holder = holder(Path::new(path)).unwrap().unwrap();
            assert!(holder.command.contains("python3 -c"), "{holder:?}");
            assert!(Path::new(&format!("/proc/{}", holder.pid)).exists());

            let error = wait_free(&Runner::quiet(), &[path], Duration::from_millis(100)).unwrap_err();
            let fault = Fault::find(&error).unwrap();
            assert_eq!(fault.class, Class::Locked);
            assert!(fault.message.contains(&format!("(pid {})", holder.pid)), "{}", fault.message);
            assert!(fault.evidence[0].contains("python3 -c"), "{:?}", fault.evidence);

            let stopped = Runner::new(Arc::new(Notes::default()), Arc::new(AtomicUsize::new(1)));
            let error = wait_free(&stopped, &[path], Duration::from_secs(60)).unwrap_err();
            assert_eq!(Fault::class_of(&error), Class::Interrupted);

            let notes = Arc::new(Notes::default());
            let runner = Runner::new(notes.clone(), Arc::default());
            // The holder ends by itself.
            wait_free(&runner, &[path], Duration::from_secs(60)).unwrap();
            let notes = notes.0.lock().unwrap();
            assert_eq!(notes.len(), 1, "{notes:?}");
            assert!(notes[0].starts_with(&format!("waiting for {path}, held by '")), "{notes:?}");
        });
    }

    #[test]
    fn a_pid_in_a_file_holds_it_as_long_as_there_is_such_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rpmdb_lock.pid");
        std::fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        let found = holder(&path).unwrap().unwrap();
        assert_eq!(u32::try_from(found.pid).unwrap(), std::process::id());
        // No pid is as high as that.
        std::fs::write(&path, "99999999").unwrap();
        assert_eq!(holder(&path).unwrap(), None);
    }

    #[test]
    fn what_is_not_there_or_not_locked_is_free() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(holder(file.path()).unwrap(), None);
        assert_eq!(holder(Path::new("/nonexistent/lock")).unwrap(), None);
    }
}
