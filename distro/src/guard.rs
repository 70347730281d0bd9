//! Keeps packages from starting services that are not configured yet, for the time of one package transaction.
//!
//! Only units that are named are held back: those that surefoot configures and then starts itself. Every other start goes
//! through, also of services that come along as dependencies and of those that a transaction restarts: nobody else would start
//! them. Stops go through as well. Restarts and reloads of a held unit that runs are dropped; it goes on running until it is
//! restarted with its final configuration, since its package's version belongs to that. Nor are they enabled by their packages: on a
//! host that loses power in the middle they would be started as they come at the next boot.
//!
//! That systemd reads all of its units anew, for which each package asks, once or twice, is put off until the transaction ends or something is started that is
//! not held back, as rpm's packages have it.
//!
//! Two means, both gone when the transaction ends, or when the service is brought while it goes on:
//! - shims for the programs that maintainer scripts use, in a folder put first on the `PATH` that dpkg gets (`DPkg::Path`, see
//!   apt.conf(5)). Nobody else has that folder on a `PATH`: left behind by a kill it does nothing, unlike a `policy-rc.d`, which
//!   may moreover be somebody else's. It is not in /run, which is mounted `noexec` on some hosts; dpkg executes maintainer
//!   scripts from /var/lib anyway;
//! - a runtime mask (`/run/systemd/system/UNIT` to `/dev/null`, as `systemctl mask --runtime` makes it) for named units that are
//!   not installed yet: it holds for starts by any other way, and a reboot ends it.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::facts::Init;
use crate::services::{self, full_name};
use crate::{Host, Look, command};

const FOLDER: &str = "/var/lib/surefoot/.guard";
const MASKS: &str = "/run/systemd/system";
const SHIM: &str = include_str!("guard/shim.sh");
const SHIMMED: [&str; 5] = ["invoke-rc.d", "deb-systemd-helper", "deb-systemd-invoke", "systemctl", "service"];
/// File in [`FOLDER`] that is there while packages want systemd to read its units anew.
const PUT_OFF: &str = "reload";
/// Its name while that is done, so that a kill forgets nothing.
const CATCHING_UP: &str = "reloading";
/// Where unit files are, see systemd.unit(5).
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Starts are held back until it is lifted. Dropped without, it is lifted as well, and what fails then is done by [`clean`] at
/// the start of the next run.
#[derive(Debug)]
pub struct Guard<'h> {
    host: &'h Host,
    lifted: bool,
}

impl<'h> Guard<'h> {
    /// Holds back `units` (`nginx` is `nginx.service`; of a template every instance): they are neither started nor enabled.
    ///
    /// # Errors
    /// Where a file of it cannot be written.
    pub fn set(host: &'h Host, units: &[String]) -> Result<Self> {
        clean(host)?;
        let guard = Self { host, lifted: false };
        let units: Vec<String> = units.iter().map(|unit| full_name(unit)).collect();
        let folder = Path::new(FOLDER);
        write_shims(folder, Path::new("/"), &units)?;
        if host.facts.init == Init::Systemd {
            let absent = |unit: &&String| {
                !UNIT_FOLDERS.iter().any(|folder| fs::symlink_metadata(Path::new(folder).join(unit)).is_ok())
            };
            let masks: Vec<&String> = units.iter().filter(absent).collect();
            // Before they are made, so that a kill in between leaves none that is not known.
            write(&folder.join("masks"), &lines(&masks))?;
            fs::create_dir_all(MASKS).with_context(|| format!("making {MASKS}"))?;
            for unit in masks {
                let path = Path::new(MASKS).join(unit);
                symlink("/dev/null", &path).with_context(|| format!("masking {unit}"))?;
            }
        }
        Ok(guard)
    }

    /// The `PATH` for dpkg.
    pub fn path(&self) -> String {
        format!("{FOLDER}:{}", command::PATH)
    }

    /// Lets services start again.
    ///
    /// # Errors
    /// As [`clean`].
    pub fn lift(mut self) -> Result<()> {
        self.lifted = true;
        clean(self.host)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.lifted && clean(self.host).is_err() {
            self.host.runner.note("could not let packages start services again; the next run does");
        }
    }
}

/// Takes away what a guard made, also one of a killed run. Does nothing, and starts no process, where there is nothing. Only to
/// be called when no transaction runs.
///
/// # Errors
/// Where a file of it cannot be removed, or systemd does not take up the change (class `service`).
pub fn clean(host: &Host) -> Result<()> {
    let folder = Path::new(FOLDER);
    if fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    let masks = fs::read_to_string(folder.join("masks")).unwrap_or_default();
    let masks: Vec<String> = masks.lines().map(str::to_owned).collect();
    unmask(Path::new(MASKS), &masks)?;
    // All of them: a killed run may have taken some off and told nobody.
    let told = if is_put_off() { services::daemon_reload(host) } else { take_up(host, &masks) };
    match told {
        // Packages go on without it.
        Err(error) if is_put_off() && !is_stale(host, &masks) => {
            let said =
                format!("systemd did not read the units of all packages, see `systemctl daemon-reload`: {error:#}");
            host.runner.note(&said);
        }
        told => told?,
    }
    fs::remove_dir_all(folder).with_context(|| format!("removing {FOLDER}"))
}

/// Lets `units` start while the transaction goes on with others: takes their masks off, and lets systemd know where it has to.
///
/// # Errors
/// As [`clean`].
pub(crate) fn unmask_now(host: &Host, units: &[String]) -> Result<()> {
    take_up(host, &unmask(Path::new(MASKS), units)?)
}

/// What others of the transaction want of `units` from now on, such as a reload, reaches them.
///
/// # Errors
/// Where the list of what is held back cannot be written.
pub fn let_go(units: &[String]) -> Result<()> {
    let_go_in(Path::new(FOLDER), units)
}

fn let_go_in(folder: &Path, units: &[String]) -> Result<()> {
    let (path, fresh) = (folder.join("units"), folder.join("units.new"));
    let Ok(held) = fs::read_to_string(&path) else { return Ok(()) };
    let units: Vec<String> = units.iter().map(|unit| full_name(unit)).collect();
    let left: Vec<&str> = held.lines().filter(|held| !units.iter().any(|unit| unit == held)).collect();
    write(&fresh, &lines(&left))?;
    fs::rename(&fresh, &path).with_context(|| format!("writing {}", path.display()))
}

/// systemd reads a unit when somebody names it; what it has read before, or made of an init script behind a mask, it reads anew when told. That takes a
/// tenth of a second, and looking whether it has to a tenth of that.
fn take_up(host: &Host, units: &[String]) -> Result<()> {
    if units.is_empty() || host.facts.init != Init::Systemd {
        return Ok(());
    }
    // Instances are enabled by generators, which run when systemd reads its units.
    let is_instance = |unit: &String| unit.contains('@');
    if is_put_off() && units.iter().any(is_instance) || is_stale(host, units) { reload(host) } else { Ok(()) }
}

/// Does systemd not know one of `units` as it is on disk?
fn is_stale(host: &Host, units: &[String]) -> bool {
    let look = Look::new(host);
    let is_stale = |unit: &String| {
        let found = look.unit(unit)?;
        Ok(found.masked || found.needs_reload || !found.exists && services::has_script(unit))
    };
    // Of some names, such as templates, it tells nothing.
    let stale = look.units(units).and_then(|()| units.iter().map(is_stale).collect::<Result<Vec<bool>>>());
    stale.map_or(true, |stale| stale.contains(&true))
}

fn is_put_off() -> bool {
    [PUT_OFF, CATCHING_UP].iter().any(|name| Path::new(FOLDER).join(name).exists())
}

/// Lets systemd read its units, whoever asked for it. Who asks from now on is heard again, and a kill forgets nothing.
fn reload(host: &Host) -> Result<()> {
    let [put_off, catching_up] = [PUT_OFF, CATCHING_UP].map(|name| Path::new(FOLDER).join(name));
    if_there(fs::rename(&put_off, &catching_up)).with_context(|| format!("moving {}", put_off.display()))?;
    services::daemon_reload(host)?;
    if_there(fs::remove_file(&catching_up)).with_context(|| format!("removing {}", catching_up.display()))
}

fn if_there(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Removes those of `units` in `masks` that are masks; says which.
fn unmask(masks: &Path, units: &[String]) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for unit in units {
        let unit = full_name(unit);
        let path = masks.join(&unit);
        if fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null")) {
            fs::remove_file(&path).with_context(|| format!("removing the mask {}", path.display()))?;
            removed.push(unit);
        }
    }
    Ok(removed)
}

/// `root` is where the links of enabled units are below, and what `deb-systemd-helper` knows of them.
fn write_shims(folder: &Path, root: &Path, units: &[String]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    write(&folder.join("units"), &lines(units))?;
    let root = root.to_string_lossy();
    let shim = SHIM.replace("@FOLDER@", &folder.to_string_lossy()).replace("@ROOT@", root.trim_end_matches('/'));
    for program in SHIMMED {
        let path: PathBuf = folder.join(program);
        write(&path, &shim)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("setting the mode of {}", path.display()))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn lines<S: AsRef<str>>(items: &[S]) -> String {
    items.iter().flat_map(|item| [item.as_ref(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, Runner};
    use std::time::Duration;

    /// What reaches the real program, or none.
    fn reaches(program: &str, args: &[&str]) -> Option<String> {
        let temp = tempfile::tempdir().unwrap();
        let (guard, real) = (temp.path().join("guard"), temp.path().join("real"));
        let units = ["nginx", "postgresql", "epmd.socket"].map(full_name);
        let wanted = temp.path().join("etc/systemd/system/sockets.target.wants");
        fs::create_dir_all(&wanted).unwrap();
        symlink("/lib/systemd/system/epmd.socket", wanted.join("epmd.socket")).unwrap();
        write_shims(&guard, temp.path(), &units).unwrap();
        fs::create_dir(&real).unwrap();
        let script = real.join(program);
        write(&script, "#!/bin/sh\necho \"${PATH%%:*} $*\"\nexit 5\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}:/usr/bin:/bin", guard.display(), real.display());
        let shim = guard.join(program);
        let output = Command::new(shim.to_str().unwrap()).args(args.iter().copied()).env("PATH", path);
        let output = output.output(&Runner::quiet()).unwrap();
        if output.ran.exit == Some(0) {
            assert_eq!(output.tail, Vec::<String>::new());
            return None;
        }
        assert_eq!(output.ran.exit, Some(5), "{:?}", output.tail);
        // The real program must not find the shims of what it calls itself.
        let (first, said) = output.stdout.split_once(' ').unwrap();
        assert_eq!(first, real.to_str().unwrap());
        Some(said.trim_end().to_owned())
    }

    #[test]
    fn starts_of_held_units_are_dropped_and_the_rest_goes_through() {
        let dropped: [(&str, &[&str]); 14] = [
            ("invoke-rc.d", &["nginx", "start"]),
            ("invoke-rc.d", &["--skip-systemd-native", "--quiet", "nginx", "restart"]),
            ("invoke-rc.d", &["nginx", "force-reload"]),
            ("invoke-rc.d", &["postgresql", "start", "15"]),
            ("service", &["nginx", "start"]),
            ("service", &["nginx", "--full-restart"]),
            ("deb-systemd-invoke", &["start", "nginx.service"]),
            ("deb-systemd-invoke", &["restart", "epmd.socket", "nginx"]),
            ("systemctl", &["start", "nginx"]),
            ("systemctl", &["--no-block", "try-restart", "nginx.service"]),
            ("systemctl", &["--system", "reload-or-restart", "postgresql@15-main.service"]),
            ("systemctl", &["enable", "--now", "nginx"]),
            ("systemctl", &["start", "epmd.socket"]),
            ("systemctl", &["reload", "nginx"]),
        ];
        for (program, args) in dropped {
            assert_eq!(reaches(program, args), None, "{program} {args:?}");
        }
        let through: [(&str, &[&str]); 16] = [
            ("invoke-rc.d", &["nginx", "stop"]),
            ("invoke-rc.d", &["--query", "nginx", "start"]),
            ("invoke-rc.d", &["redis-server", "start"]),
            ("invoke-rc.d", &["start", "start"]),
            ("service", &["--status-all"]),
            ("service", &["nginx", "status"]),
            ("deb-systemd-invoke", &["stop", "nginx.service"]),
            ("deb-systemd-invoke", &["start", "nginx.timer"]),
            ("deb-systemd-invoke", &["--user", "start", "nginx"]),
            ("systemctl", &["daemon-reload"]),
            ("systemctl", &["is-active", "nginx"]),
            ("systemctl", &["start", "nginx-debug.service"]),
            ("systemctl", &["start", "ginx"]),
            ("systemctl", &["stop", "nginx"]),
            ("systemctl", &[]),
            ("systemctl", &["start", "epmd.service"]),
        ];
        for (program, args) in through {
            assert_eq!(reaches(program, args).unwrap(), args.join(" "), "{program} {args:?}");
        }
        let args = ["--quiet", "restart", "nginx", "a b", "epmd.socket"];
        assert_eq!(reaches("deb-systemd-invoke", &args).unwrap(), "--quiet restart a b");
    }

    #[test]
    fn what_is_held_is_enabled_by_nobody_before_it_is_configured() {
        for (program, args, expected) in [
            ("systemctl", &["--root=/", "preset", "nginx.service"][..], None),
            ("systemctl", &["preset", "nginx.service", "other.service"], Some("preset other.service")),
            ("deb-systemd-helper", &["enable", "other.service"], Some("enable other.service")),
            ("deb-systemd-helper", &["--user", "enable", "nginx.service"], Some("--user enable nginx.service")),
            (
                "deb-systemd-helper",
                &["--quiet", "was-enabled", "nginx.service"],
                Some("--quiet was-enabled nginx.service"),
            ),
            // It was enabled before.
            ("deb-systemd-helper", &["enable", "epmd.socket"], Some("enable epmd.socket")),
        ] {
            assert_eq!(reaches(program, args).as_deref(), expected, "{program} {args:?}");
        }
    }

    #[test]
    fn debians_helper_only_writes_down_what_it_enables() {
        let temp = tempfile::tempdir().unwrap();
        let (guard, real) = (temp.path().join("guard"), temp.path().join("real"));
        write_shims(&guard, temp.path(), &["a.service".to_owned(), "b.service".to_owned()]).unwrap();
        fs::create_dir(&real).unwrap();
        let state = "var/lib/systemd/deb-systemd-helper-enabled";
        for folder in [state, "etc/systemd/system/multi-user.target.wants"] {
            fs::create_dir_all(temp.path().join(folder)).unwrap();
        }
        // A new one lets systemctl make the links, an old one makes them itself. Both know which they are.
        let root = temp.path().display();
        let link = |unit: &str| format!("{root}/etc/systemd/system/multi-user.target.wants/{unit}.service");
        let helper = format!(
            "#!/bin/sh\necho {root}/etc/systemd/system/multi-user.target.wants/$2 >{root}/{state}/$2.dsh-also\n\
             case $2 in a.service) systemctl --root=/ preset $2 ;; *) ln -s /x {} ;; esac\nexit 7\n",
            link("b")
        );
        let systemctl = format!("#!/bin/sh\nln -s /x {}\n", link("a"));
        for (program, text) in [("deb-systemd-helper", helper), ("systemctl", systemctl)] {
            write(&real.join(program), &text).unwrap();
            fs::set_permissions(real.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}:/usr/bin:/bin", guard.display(), real.display());
        for unit in ["a", "b"] {
            let shim = guard.join("deb-systemd-helper");
            let name = format!("{unit}.service");
            let command = Command::new(shim.to_str().unwrap()).args(["enable", &name]).env("PATH", &path);
            assert_eq!(command.output(&Runner::quiet()).unwrap().ran.exit, Some(7));
            assert!(temp.path().join(state).join(format!("{name}.dsh-also")).exists());
            assert!(fs::symlink_metadata(link(unit)).is_err(), "{unit} is enabled");
        }
    }

    #[test]
    fn units_are_read_anew_before_something_else_starts() {
        let temp = tempfile::tempdir().unwrap();
        let (guard, real, log) = (temp.path().join("guard"), temp.path().join("real"), temp.path().join("log"));
        write_shims(&guard, temp.path(), &["nginx.service".to_owned()]).unwrap();
        for folder in [&real, &temp.path().join("run/systemd/system"), &temp.path().join("etc/systemd/system")] {
            fs::create_dir_all(folder).unwrap();
        }
        for program in SHIMMED {
            let (path, log) = (real.join(program), log.display());
            // As the real one does where it has enabled something.
            let then = if program == "deb-systemd-helper" { "systemctl daemon-reload" } else { "" };
            write(&path, &format!("#!/bin/sh\necho {program} \"$@\" >>{log}\n{then}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}:/usr/bin:/bin", guard.display(), real.display());
        let say = |words: &str| {
            let (program, args) = words.split_once(' ').unwrap_or((words, ""));
            let shim = guard.join(program);
            let command = Command::new(shim.to_str().unwrap()).args(args.split_whitespace()).env("PATH", &path);
            assert_eq!(command.output(&Runner::quiet()).unwrap().ran.exit, Some(0), "{words}");
            let said = fs::read_to_string(&log).unwrap_or_default();
            let _ = fs::remove_file(&log);
            said
        };
        let put_off = || guard.join(PUT_OFF).exists() || guard.join(CATCHING_UP).exists();
        for asked in ["systemctl daemon-reload", "deb-systemd-helper enable nginx.service"] {
            say(asked);
            assert!(put_off(), "{asked}");
            // As after a kill while it was done.
            fs::rename(guard.join(PUT_OFF), guard.join(CATCHING_UP)).unwrap();
            // What starts nothing, and what is held back, needs nothing.
            for words in [
                "systemctl",
                "systemctl --system daemon-reload",
                "systemctl --quiet is-active other.service",
                "systemctl stop other.service",
                "systemctl --root=/ preset other.service",
                "systemctl list-unit-files *.service",
                "invoke-rc.d nginx status",
                "invoke-rc.d --query other start",
                "deb-systemd-invoke start nginx.service",
                "deb-systemd-helper unmask nginx.service",
            ] {
                assert!(!say(words).contains("daemon-reload") && put_off(), "{words}");
            }
            assert_eq!(
                say("deb-systemd-invoke start other.service"),
                "systemctl daemon-reload\ndeb-systemd-invoke start other.service\n"
            );
            assert!(!put_off());
            assert_eq!(say("invoke-rc.d other restart"), "invoke-rc.d other restart\n");
        }
        for words in ["systemctl try-restart other.service", "service other reload", "invoke-rc.d other start"] {
            say("systemctl daemon-reload");
            assert_eq!(say(words), format!("systemctl daemon-reload\n{words}\n"));
        }
        symlink("/dev/null", temp.path().join("etc/systemd/system/other.service")).unwrap();
        let words = "deb-systemd-helper --quiet unmask other.service";
        assert!(say(words).starts_with(words), "a mask is taken off by who made it");
        for words in ["systemctl --user daemon-reload", "systemctl --machine=box daemon-reload"] {
            assert_eq!(say(words), format!("{words}\n"));
        }
    }

    #[test]
    fn a_folder_of_a_script_before_ours_is_no_loop() {
        let temp = tempfile::tempdir().unwrap();
        let (guard, real) = (temp.path().join("guard"), temp.path().join("real"));
        write_shims(&guard, temp.path(), &["nginx.service".to_owned()]).unwrap();
        fs::create_dir(&real).unwrap();
        write(&real.join("systemctl"), "#!/bin/sh\necho \"$PATH\"\n").unwrap();
        fs::set_permissions(real.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        let (guard, real) = (guard.display(), real.display());
        for (path, left) in [
            (format!("/x:{guard}:{real}:/bin"), format!("/x:{real}:/bin")),
            (format!("{guard}:{real}:/bin"), format!("{real}:/bin")),
            (format!("{real}:/bin:{guard}"), format!("{real}:/bin")),
            (format!("{real}:/bin"), format!("{real}:/bin")),
        ] {
            let command = Command::new(format!("{guard}/systemctl")).args(["start", "other"]).env("PATH", &path);
            let output = command.limit(Duration::from_secs(10)).output(&Runner::quiet()).unwrap();
            assert_eq!(output.stdout.trim_end(), left, "{path}");
        }
    }

    #[test]
    fn only_masks_are_unmasked() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/dev/null", folder.path().join("a.service")).unwrap();
        symlink("/dev/zero", folder.path().join("b.service")).unwrap();
        symlink("/dev/null", folder.path().join("not-ours.service")).unwrap();
        let units = ["a", "b.service", "gone.service"].map(str::to_owned);
        assert_eq!(unmask(folder.path(), &units).unwrap(), ["a.service"]);
        assert!(fs::symlink_metadata(folder.path().join("a.service")).is_err());
        assert!(fs::symlink_metadata(folder.path().join("b.service")).is_ok());
        assert!(fs::symlink_metadata(folder.path().join("not-ours.service")).is_ok());
    }

    #[test]
    fn what_is_let_go_is_held_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let held = || fs::read_to_string(folder.path().join("units")).ok();
        let_go_in(folder.path(), &["nginx".to_owned()]).unwrap();
        assert_eq!(held(), None, "no transaction holds anything");
        write_shims(folder.path(), Path::new("/"), &["nginx", "epmd.socket"].map(full_name)).unwrap();
        let_go_in(folder.path(), &["nginx".to_owned(), "other".to_owned()]).unwrap();
        assert_eq!(held().as_deref(), Some("epmd.socket\n"));
    }

    #[test]
    fn units_have_types() {
        for (name, expected) in [("a", "a.service"), ("a.socket", "a.socket"), ("a@1.2", "a@1.2.service")] {
            assert_eq!(full_name(name), expected);
        }
    }
}
