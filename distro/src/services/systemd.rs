//! systemd, by `systemctl`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::{Act, Unit};
use crate::command::Output;
use crate::{Class, Command, Host};

/// Longer than systemd's own limit for a start (90 s), so that its words come first.
const JOB_LIMIT: Duration = Duration::from_secs(100);

/// What is asked of every unit.
const PROPERTIES: &str = "LoadState,UnitFileState,ActiveState,SubState,Job,InvocationID,InactiveExitTimestampMonotonic,MainPID,NeedDaemonReload,FragmentPath,\
    SourcePath,DropInPaths,EnvironmentFiles,ExecReload,Result,ExecMainCode,ExecMainStatus,NRestarts";

/// Where unit files are, the strongest first (systemd.unit(5)); generated and runtime ones come and go by themselves.
const FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// All `names` in one question; the answers in the same order.
pub(super) fn show(host: &Host, names: &[String]) -> Result<Vec<Unit>> {
    let output = Command::new("systemctl")
        .args(["show", "--no-pager", "-p", PROPERTIES, "--"])
        .args(names)
        .limit(Duration::from_secs(30))
        .data()
        .run(&host.runner, Class::Service, "asking systemd about units")?;
    let blocks: Vec<&str> = output.stdout.trim_matches('\n').split("\n\n").collect();
    if blocks.len() != names.len() {
        return Err(output
            .fault(
                Class::Service,
                format!("systemd was asked about {} units and told of {}", names.len(), blocks.len()),
            )
            .advice("see whether `systemctl show` works on this host")
            .into());
    }
    Ok(names.iter().zip(blocks).map(|(name, block)| unit(name, block, Path::new("/"))).collect())
}

/// A unit as `systemctl show` prints it; `root` is where its files are looked up.
fn unit(name: &str, block: &str, root: &Path) -> Unit {
    let mut unit = Unit::default();
    let (mut load, mut file_state, mut active, mut sub) = ("", "", "", "");
    let (mut result, mut code, mut status) = ("", "", "");
    let (mut source, mut began) = ("", "0");
    for line in block.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        match key {
            "LoadState" => load = value,
            "UnitFileState" => file_state = value,
            "ActiveState" => active = value,
            "SubState" => sub = value,
            "Job" => unit.has_job = !value.is_empty(),
            "InvocationID" => value.clone_into(&mut unit.invocation),
            "InactiveExitTimestampMonotonic" => began = value,
            "MainPID" => unit.main_pid = value.parse().unwrap_or(0),
            "NeedDaemonReload" => unit.needs_reload = value == "yes",
            "FragmentPath" if !value.is_empty() => unit.files.push(value.to_owned()),
            "SourcePath" => source = value,
            "DropInPaths" => unit.files.extend(value.split_whitespace().map(str::to_owned)),
            // The second before systemd 239 or so.
            "EnvironmentFiles" | "EnvironmentFile" => {
                let path = value.rsplit_once(" (").map_or(value, |(path, _)| path);
                if path.starts_with('/') {
                    unit.files.push(path.to_owned());
                }
            }
            "ExecReload" => unit.reloaded = last_run(value),
            "Result" => result = value,
            "ExecMainCode" => code = value,
            "ExecMainStatus" => status = value,
            "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    // systemd before 232 has no ids of starts: what tells one from another is its microsecond, also after a boot.
    if unit.invocation.is_empty() && began != "0" {
        unit.invocation = format!("at {began}");
    }
    if !source.is_empty() {
        unit.files.push(source.to_owned());
    }
    let news = not_loaded(root, name, &unit.files);
    unit.needs_reload |= !news.is_empty();
    unit.files.extend(news);
    unit.masked = load == "masked";
    // What systemd has read may be gone, as a mask of ours after a kill.
    unit.masked_for_good = unit.masked && file_state != "masked-runtime" && is_masked_in(root, name);
    // Behind a mask systemd sees nothing of the unit, and before it has read a file nothing of that.
    unit.exists = !matches!(load, "masked" | "not-found" | "") || is_installed_in(root, name);
    unit.is_static = matches!(file_state, "static" | "transient");
    unit.enabled = match file_state {
        "enabled" | "static" | "alias" | "indirect" | "transient" => true,
        // It may be what systemd remembers from before somebody enabled it on disk alone.
        "masked" | "masked-runtime" | "disabled" | "linked" => wanted_in(&root.join("etc/systemd/system"), name),
        // Enabled until the next boot, or by a generator, which does it at every boot.
        "enabled-runtime" => wanted_in(&root.join("run/systemd/generator"), name),
        // Made from an init script: enabled as that is.
        "generated" => super::scripts::is_enabled_in(root, name),
        _ => false,
    };
    // A unit of type oneshot that stays counts as active too.
    unit.active = matches!(active, "active" | "reloading" | "refreshing");
    unit.starting = matches!(active, "activating" | "reloading" | "refreshing");
    unit.stopping = active == "deactivating";
    unit.state = if sub.is_empty() { active.to_owned() } else { format!("{active} ({sub})") };
    if !matches!(result, "" | "success") {
        unit.result = match code {
            "1" => format!("{result}, code=exited, status={status}"),
            "2" => format!("{result}, code=killed, signal={status}"),
            "3" => format!("{result}, code=dumped, signal={status}"),
            _ => result.to_owned(),
        };
    }
    unit
}

/// When and as which process the command of an `ExecReload` property last ran; empty where it never did.
fn last_run(property: &str) -> String {
    let field = |name: &str| {
        property.split(" ; ").find_map(|part| part.trim_matches([' ', '{', '}']).strip_prefix(name)).unwrap_or_default()
    };
    match field("pid=") {
        "" | "0" => String::new(),
        pid => format!("{pid} {}", field("start_time=")),
    }
}

pub(super) fn is_installed(name: &str) -> bool {
    is_installed_in(Path::new("/"), name)
}

/// Files on disk that define `name` and are not among the `loaded` ones. Of files that are new systemd itself knows nothing:
/// `NeedDaemonReload` looks at those that it has loaded, and in folders that were there when it did.
fn not_loaded(root: &Path, name: &str, loaded: &[String]) -> Vec<String> {
    let below = |path: String| (root.join(&path[1..]), path);
    let mut news = Vec::new();
    let strongest = FOLDERS.iter().map(|folder| below(format!("{folder}/{name}"))).find(|(path, _)| is_unit(path));
    if let Some((path, shown)) = strongest {
        let is_loaded = |other: &String| is_same(&path, &root.join(other.trim_start_matches('/')));
        // Those in /run were put there by programs, and are stronger than all but those in /etc.
        if !loaded.iter().any(|other| is_loaded(other) || other.starts_with("/run/")) {
            news.push(shown);
        }
    }
    let mut folders = vec![format!("{name}.d")];
    folders.extend(template_of(name).map(|template| format!("{template}.d")));
    for folder in FOLDERS.iter().flat_map(|parent| folders.iter().map(move |folder| format!("{parent}/{folder}"))) {
        let Ok(entries) = root.join(&folder[1..]).read_dir() else { continue };
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            // One of the same name in a stronger folder takes its place.
            let is_known = loaded.iter().chain(&news).any(|known| known.ends_with(&format!(".d/{file}")));
            if file.ends_with(".conf") && !is_known && entry.path().metadata().is_ok_and(|meta| meta.is_file()) {
                news.push(format!("{folder}/{file}"));
            }
        }
    }
    news
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    id(one).is_some() && id(one) == id(other)
}

/// The template of an instance: `db@.service` of `db@main.service`.
fn template_of(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once('@')?;
    Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1))
}

/// A mask is a link to /dev/null, or an empty file: neither is a unit.
fn is_unit(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0)
}

fn is_installed_in(root: &Path, name: &str) -> bool {
    files_of(root, name).iter().any(|path| is_unit(path))
}

fn is_masked_in(root: &Path, name: &str) -> bool {
    files_of(root, name).iter().any(|path| path.symlink_metadata().is_ok() && !is_unit(path))
}

/// Where files of `name` may be. An instance comes from the file of its template.
fn files_of(root: &Path, name: &str) -> Vec<PathBuf> {
    let names = [Some(name.to_owned()), template_of(name)].into_iter().flatten();
    names.flat_map(|name| FOLDERS.map(|folder| root.join(&folder[1..]).join(&name))).collect()
}

/// Does a unit want `name`, as the links in `folder` have it?
fn wanted_in(folder: &Path, name: &str) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().any(|entry| {
        let folder = entry.path();
        folder.extension().is_some_and(|end| end == "wants" || end == "requires")
            && folder.join(name).symlink_metadata().is_ok()
    })
}

pub(super) fn act(host: &Host, act: Act, unit: &str) -> Result<Output> {
    if matches!(act, Act::Start | Act::Restart) {
        forget_starts(host, unit)?;
    }
    let mut command = Command::new("systemctl").args(["--no-ask-password", &act.to_string()]);
    if act == Act::Enable && is_installed(unit) && !super::scripts::is_disabled_in(Path::new("/"), unit) {
        // Links for the next boot are all there is to make. Told of them, systemd would read all of its units anew; and looking after an
        // init script that the package has besides takes ten times as long.
        command = command.arg("--root=/").env("SYSTEMCTL_SKIP_SYSV", "1");
    }
    command.args(["--", unit]).limit(JOB_LIMIT).output(&host.runner)
}

pub(super) fn launch(host: &Host, unit: &str) -> Result<bool> {
    forget_starts(host, unit)?;
    let output = Command::new("systemctl")
        .args(["--no-ask-password", "--no-block", "start", "--", unit])
        .output(&host.runner)?;
    Ok(output.ok())
}

pub(super) fn end_again(host: &Host, unit: &str) -> Result<()> {
    // The word for whom is another since systemd 252; the old one is still taken.
    Command::new("systemctl").args(["kill", "--kill-who=main", "--", unit]).output(&host.runner).map(drop)
}

pub(super) fn daemon_reload(host: &Host) -> Result<()> {
    Command::new("systemctl")
        .arg("daemon-reload")
        .run(&host.runner, Class::Service, "letting systemd read its units again")
        .map(drop)
}

/// Forgets that `unit` failed, and lets it be started however often it was in the last seconds: systemd counts the starts that somebody asks for with those of
/// its own, and refuses the sixth within 10 s (systemd.unit(5), StartLimitBurst=).
pub(super) fn forget_starts(host: &Host, unit: &str) -> Result<()> {
    // Fails where it does not know the unit yet.
    Command::new("systemctl").args(["reset-failed", "--", unit]).output(&host.runner).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "MainPID=412\nResult=success\nNRestarts=0\nExecMainCode=0\nExecMainStatus=0\n\
        ExecReload={ path=/usr/sbin/nginx ; argv[]=/usr/sbin/nginx -s reload ; ignore_errors=no ; start_time=[n/a] ; \
        stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }\n\
        EnvironmentFiles=/etc/default/nginx (ignore_errors=yes)\nEnvironmentFiles=/etc/nginx env (ignore_errors=no)\n\
        LoadState=loaded\nActiveState=active\nSubState=running\nFragmentPath=/lib/systemd/system/nginx.service\nSourcePath=\n\
        DropInPaths=/etc/systemd/system/nginx.service.d/a.conf /etc/systemd/system/nginx.service.d/b.conf\n\
        UnitFileState=enabled\nNeedDaemonReload=no\nInvocationID=0a1b2c";

    #[test]
    fn a_running_unit() {
        let unit = unit("nginx.service", RUNNING, Path::new("/nowhere"));
        let expected = Unit {
            exists: true,
            enabled: true,
            active: true,
            state: "active (running)".into(),
            invocation: "0a1b2c".into(),
            main_pid: 412,
            files: [
                "/etc/default/nginx",
                "/etc/nginx env",
                "/lib/systemd/system/nginx.service",
                "/etc/systemd/system/nginx.service.d/a.conf",
                "/etc/systemd/system/nginx.service.d/b.conf",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Unit::default()
        };
        assert_eq!(unit, expected);
    }

    #[test]
    fn a_start_of_an_old_systemd() {
        let block = "LoadState=loaded\nInactiveExitTimestampMonotonic=5120741\nEnvironmentFile=/etc/sysconfig/x (ignore_errors=yes)";
        let old = unit("x.service", block, Path::new("/nowhere"));
        assert_eq!((old.invocation.as_str(), old.files), ("at 5120741", vec!["/etc/sysconfig/x".to_owned()]));
        let new = format!("{RUNNING}\nInactiveExitTimestampMonotonic=5120741");
        assert_eq!(unit("x.service", &new, Path::new("/nowhere")).invocation, "0a1b2c");
        let never = "LoadState=loaded\nInactiveExitTimestampMonotonic=0";
        assert_eq!(unit("x.service", never, Path::new("/nowhere")).invocation, "");
    }

    #[test]
    fn a_start_that_has_not_begun() {
        for (block, has_job) in
            [("ActiveState=inactive\nJob=1184", true), ("ActiveState=inactive\nJob=", false), ("", false)]
        {
            let unit = unit("x.service", block, Path::new("/nowhere"));
            assert_eq!((unit.has_job, unit.starting, unit.active), (has_job, false, false), "{block}");
        }
    }

    #[test]
    fn other_states() {
        let root = tempfile::tempdir().unwrap();
        for (block, exists, enabled, active, starting, result) in [
            (
                "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=",
                false,
                false,
                false,
                false,
                "",
            ),
            (
                "LoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled",
                true,
                false,
                false,
                false,
                "",
            ),
            ("LoadState=loaded\nActiveState=active\nUnitFileState=enabled-runtime", true, false, true, false, ""),
            ("LoadState=loaded\nActiveState=active\nUnitFileState=static", true, true, true, false, ""),
            ("LoadState=loaded\nActiveState=reloading\nUnitFileState=enabled", true, true, true, true, ""),
            (
                "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\nResult=exit-code\n\
                 ExecMainCode=1\nExecMainStatus=1",
                true,
                true,
                false,
                true,
                "exit-code, code=exited, status=1",
            ),
            (
                "LoadState=loaded\nActiveState=failed\nUnitFileState=enabled\nResult=signal\nExecMainCode=2\nExecMainStatus=9",
                true,
                true,
                false,
                false,
                "signal, code=killed, signal=9",
            ),
        ] {
            let unit = unit("x.service", block, root.path());
            assert_eq!(
                (unit.exists, unit.enabled, unit.active, unit.starting, unit.result.as_str()),
                (exists, enabled, active, starting, result),
                "{block}"
            );
        }
    }

    #[test]
    fn what_a_generator_enables_is_enabled() {
        let root = tempfile::tempdir().unwrap();
        let block = "LoadState=loaded\nActiveState=inactive\nUnitFileState=enabled-runtime";
        assert!(!unit("db@1-main.service", block, root.path()).enabled);
        let wants = root.path().join("run/systemd/generator/db.service.wants");
        std::fs::create_dir_all(&wants).unwrap();
        std::os::unix::fs::symlink("/lib/systemd/system/db@.service", wants.join("db@1-main.service")).unwrap();
        assert!(unit("db@1-main.service", block, root.path()).enabled);
    }

    #[test]
    fn what_is_enabled_on_disk_is_enabled() {
        let root = tempfile::tempdir().unwrap();
        let of = |state: &str| {
            let block = format!("LoadState=loaded\nActiveState=inactive\nUnitFileState={state}");
            unit("x.service", &block, root.path()).enabled
        };
        assert!(!of("disabled") && !of("linked"));
        let wants = root.path().join("etc/systemd/system/multi-user.target.wants");
        std::fs::create_dir_all(&wants).unwrap();
        std::os::unix::fs::symlink("/lib/systemd/system/x.service", wants.join("x.service")).unwrap();
        assert!(of("disabled") && of("linked"));
    }

    #[test]
    fn what_a_mask_hides_is_looked_up() {
        let root = tempfile::tempdir().unwrap();
        let block = "LoadState=masked\nActiveState=inactive\nUnitFileState=masked-runtime";
        let etc = root.path().join("etc/systemd/system");
        std::fs::create_dir_all(etc.join("multi-user.target.wants")).unwrap();
        std::os::unix::fs::symlink("/dev/null", etc.join("x.service")).unwrap();
        let hidden = unit("x.service", block, root.path());
        assert_eq!((hidden.exists, hidden.masked, hidden.masked_for_good, hidden.enabled), (false, true, false, false));

        let lib = root.path().join("usr/lib/systemd/system");
        std::fs::create_dir_all(&lib).unwrap();
        std::fs::write(lib.join("x.service"), "[Service]\n").unwrap();
        std::os::unix::fs::symlink(lib.join("x.service"), etc.join("multi-user.target.wants/x.service")).unwrap();
        let seen = unit("x.service", &block.replace("masked-runtime", "masked"), root.path());
        assert_eq!((seen.exists, seen.masked_for_good, seen.enabled), (true, true, true));
        // One that systemd has read and that is there no more.
        std::fs::remove_file(etc.join("x.service")).unwrap();
        let stale = unit("x.service", &block.replace("masked-runtime", ""), root.path());
        assert_eq!((stale.masked, stale.masked_for_good), (true, false));
        let unread = unit("x.service", "LoadState=not-found\nActiveState=inactive", root.path());
        assert_eq!((unread.exists, unread.needs_reload), (true, true));
    }

    #[test]
    fn what_systemd_has_not_loaded() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let find = |loaded: &[&str]| {
            not_loaded(root.path(), "x.service", &loaded.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
        };
        write("usr/lib/systemd/system/x.service", "[Service]");
        let lib = "/usr/lib/systemd/system/x.service";
        assert_eq!(find(&[lib]), Vec::<String>::new());
        write("etc/systemd/system/x.service.d/a.conf", "");
        write("etc/systemd/system/x.service.d/notes.txt", "");
        let a = "/etc/systemd/system/x.service.d/a.conf";
        assert_eq!(find(&[lib]), [a]);
        assert_eq!(find(&[lib, a]), Vec::<String>::new());
        write("usr/lib/systemd/system/x.service.d/a.conf", "");
        assert_eq!(find(&[lib, a]), Vec::<String>::new());
        write("etc/systemd/system/x.service", "[Service]");
        assert_eq!(find(&[lib, a]), ["/etc/systemd/system/x.service"]);
        assert_eq!(find(&["/run/systemd/system/x.service", a]), Vec::<String>::new());
    }

    #[test]
    fn instances_come_from_templates() {
        let root = tempfile::tempdir().unwrap();
        let lib = root.path().join("lib/systemd/system");
        std::fs::create_dir_all(&lib).unwrap();
        std::fs::write(lib.join("db@.service"), "[Service]\n").unwrap();
        assert!(is_installed_in(root.path(), "db@15-main.service"));
        assert!(!is_installed_in(root.path(), "db.service"));
    }

    #[test]
    fn the_last_reload() {
        assert_eq!(last_run("{ path=/x ; start_time=[n/a] ; pid=0 ; status=0/0 }"), "");
        let ran = "{ path=/x ; argv[]=/x -s reload ; start_time=[Sun 2026-11-22 11:00:01 UTC] ; stop_time=[n/a] ; pid=77 ; code=exited }";
        assert_eq!(last_run(ran), "77 [Sun 2026-11-22 11:00:01 UTC]");
    }
}
