//! Resources at a path, on folders of our own: brought, brought again, taken back.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use distro::files::{self, Meta};
use distro::{Class, Fault, Look, Runner};

use super::absent::Absent;
use super::command::{Command, Proof};
use super::directory::Directory;
use super::file::File;
use super::group::Group;
use super::ini::Ini;
use super::key_value::KeyValue;
use super::symlink::Symlink;
use super::trial::Trial;
use super::user::User;
use crate::{Change, KeyFormat, Probe, Resource, Stage, Undo, Undone};

fn items(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.item.as_str()).collect()
}

fn is_kept(undone: &[Undone]) -> bool {
    matches!(undone, [Undone::Kept(_)])
}

fn is_done(undone: &[Undone]) -> bool {
    !undone.is_empty() && undone.iter().all(|undone| matches!(undone, Undone::Done(_)))
}

#[test]
fn a_new_file_comes_and_goes() {
    let trial = Trial::new();
    let file = trial.file("a", "one\n", 0o640);
    let changes = trial.bring(&file);
    assert_eq!(items(&changes), ["content"]);
    assert!(changes[0].diff.as_ref().unwrap().contains("+one"));
    assert_eq!((trial.read("a").as_str(), trial.mode("a")), ("one\n", 0o640));
    trial.write("a", "somebody's\n");
    assert!(is_kept(&trial.undo(&changes, false)));
    trial.write("a", "one\n");
    assert!(is_done(&trial.undo(&changes, false)));
    assert!(!trial.exists("a"));
    assert_eq!(trial.undo(&changes, false), [Undone::Gone]);
    // Ours is ours: with --purge it goes, whatever is in it.
    trial.bring(&file);
    trial.write("a", "somebody's\n");
    assert!(is_done(&trial.undo(&changes, true)));
    assert!(!trial.exists("a"));
}

#[test]
fn a_changed_file_gets_its_original_back() {
    let trial = Trial::new();
    trial.write("a", "theirs\n");
    fs::set_permissions(trial.at("a"), fs::Permissions::from_mode(0o604)).unwrap();
    let changes = trial.bring(&trial.file("a", "ours\n", 0o640));
    assert_eq!(items(&changes), ["content", "attributes"]);
    assert_eq!(changes[1].summary, "mode 0604 -> 0640");
    assert!(changes[0].diff.as_ref().unwrap().contains("-theirs\n+ours"));
    trial.undo(&changes, false);
    assert_eq!((trial.read("a").as_str(), trial.mode("a")), ("theirs\n", 0o604));
    assert_eq!(trial.undo(&changes, false), [Undone::Gone, Undone::Gone]);
    // Where content stays, nobody gets to read what could not be read before.
    let changes = trial.bring(&trial.file("a", "ours\n", 0o640));
    let undo = || trial.undo_one(&changes[1], false, |cx| cx.content_stays = true);
    assert!(matches!(undo(), Undone::Kept(_)));
    assert_eq!(trial.mode("a"), 0o640);
    assert!(is_done(&trial.undo(&changes[1..], false)));
    let closing = trial.bring(&trial.file("a", "ours\n", 0o644));
    assert!(matches!(trial.undo_one(&closing[0], false, |cx| cx.content_stays = true), Undone::Done(_)));
    assert_eq!(trial.mode("a"), 0o604);
    trial.undo(&changes, false);
    // Changed since: both stay.
    let changes = trial.bring(&trial.file("a", "ours\n", 0o640));
    trial.write("a", "later\n");
    fs::set_permissions(trial.at("a"), fs::Permissions::from_mode(0o600)).unwrap();
    for purge in [false, true] {
        assert!(matches!(trial.undo(&changes, purge)[..], [Undone::Kept(_), Undone::Kept(_)]));
    }
    assert_eq!((trial.read("a").as_str(), trial.mode("a")), ("later\n", 0o600));
    fs::remove_file(trial.at("a")).unwrap();
    assert_eq!(trial.undo(&changes, false), [Undone::Gone, Undone::Gone]);
}

#[test]
fn single_drifts_of_a_file_are_seen() {
    let trial = Trial::new();
    let file = trial.file("a", "one\n", 0o644);
    trial.bring(&file);
    fs::set_permissions(trial.at("a"), fs::Permissions::from_mode(0o646)).unwrap();
    assert_eq!(items(&trial.bring(&file)), ["attributes"]);
    assert_eq!(trial.mode("a"), 0o644);
    trial.write("a", "onf\n");
    assert_eq!(items(&trial.bring(&file)), ["content"]);
    fs::remove_file(trial.at("a")).unwrap();
    assert_eq!(items(&trial.bring(&file)), ["content"]);
}

#[test]
fn what_may_be_secret_is_not_shown() {
    let trial = Trial::new();
    let secret = File { sensitive: true, ..trial.file("a", "password hunter2\n", 0o600) };
    let changes = trial.bring(&secret);
    assert_eq!(changes[0].diff, None);
    assert!(!format!("{secret:?} {}", changes[0].summary).contains("hunter2"));
    // The old content may be a secret of somebody, where not everybody may read it.
    assert_eq!(trial.changes(&trial.file("a", "public\n", 0o644))[0].diff, None);
    trial.write("b", "k 1\n");
    let setting = KeyValue {
        path: trial.at("b"),
        format: KeyFormat::Space,
        key: "k".to_owned(),
        value: "hunter2".to_owned(),
        repeat: false,
        sensitive: true,
        stage: Stage::Configure,
    };
    let ini = Ini {
        path: trial.at("b"),
        section: "s".to_owned(),
        key: "k".to_owned(),
        value: "hunter2".to_owned(),
        sensitive: true,
        stage: Stage::Configure,
    };
    let resources: [&dyn Resource; 2] = [&setting, &ini];
    for resource in resources {
        let change = &trial.changes(resource)[0];
        assert_eq!(change.diff, None);
        let things: Vec<String> = resource.claims().into_iter().map(|claim| claim.thing).collect();
        let shown = format!("{resource:?} {} {} {things:?} {:?}", resource.key(), change.summary, change.undo);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn what_has_to_come_first_is_named() {
    let trial = Trial::new();
    let stranger = File { meta: Meta::new(0o644, "no-such-user", "root"), ..trial.file("a", "x", 0o644) };
    let ini = Ini {
        path: trial.at("no.conf"),
        section: String::new(),
        key: "k".to_owned(),
        value: "v".to_owned(),
        sensitive: false,
        stage: Stage::Configure,
    };
    let program = command(&trial, &["no-such-program"], Proof::Creates(trial.at("x")), None);
    let cases: [(&dyn Resource, String); 5] = [
        (&trial.file("no/such/a", "x", 0o644), format!("folder {}", trial.at("no"))),
        (&stranger, "user no-such-user".to_owned()),
        (&Directory::new(trial.at("no/b")), format!("folder {}", trial.at("no"))),
        (&ini, format!("file {}", trial.at("no.conf"))),
        (&program, "program no-such-program".to_owned()),
    ];
    for (resource, expected) in cases {
        match trial.probe(resource).unwrap() {
            Probe::Pending(what) => assert_eq!(what, expected),
            other => panic!("{resource:?}: {other:?}"),
        }
        let error = trial.with(|cx| resource.apply(cx, &[])).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::Host, "{error}");
    }
}

#[test]
fn something_else_in_the_way_is_a_conflict() {
    let trial = Trial::new();
    trial.write("file", "x");
    fs::create_dir(trial.at("folder")).unwrap();
    symlink("file", trial.at("link")).unwrap();
    let directory = |name: &str| Directory { meta: trial.meta(0o755), ..Directory::new(trial.at(name)) };
    let link = |name: &str| Symlink { path: trial.at(name), target: "x".to_owned(), stage: Stage::Configure };
    let cases: [&dyn Resource; 6] = [
        &trial.file("folder", "x", 0o644),
        &trial.file("link", "x", 0o644),
        &directory("file"),
        &directory("link"),
        &link("file"),
        &link("folder"),
    ];
    for resource in cases {
        let error = trial.probe(resource).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::Conflict, "{resource:?}: {error}");
    }
}

#[test]
fn folders_come_and_go() {
    let trial = Trial::new();
    let folder = |data| Directory { meta: trial.meta(0o2750), data, ..Directory::new(trial.at("d")) };
    let changes = trial.bring(&folder(false));
    assert_eq!((items(&changes), trial.mode("d")), (vec!["folder"], 0o2750));
    trial.write("d/a", "x");
    for purge in [false, true] {
        assert!(is_kept(&trial.undo(&changes, purge)));
    }
    fs::remove_file(trial.at("d/a")).unwrap();
    assert!(is_done(&trial.undo(&changes, false)));
    assert_eq!(trial.undo(&changes, false), [Undone::Gone]);
    // Data goes with --purge, with all that is in it.
    let changes = trial.bring(&folder(true));
    trial.write("d/a", "x");
    assert!(is_kept(&trial.undo(&changes, false)));
    assert!(is_done(&trial.undo(&changes, true)));
    assert!(!trial.exists("d"));
    // One that was there keeps its folder and gets its mode back.
    fs::create_dir(trial.at("d")).unwrap();
    fs::set_permissions(trial.at("d"), fs::Permissions::from_mode(0o700)).unwrap();
    let changes = trial.bring(&folder(true));
    assert_eq!(items(&changes), ["attributes"]);
    trial.undo(&changes, true);
    assert_eq!(trial.mode("d"), 0o700);
}

#[test]
fn symlinks_come_and_go() {
    let trial = Trial::new();
    let link = |target: &str| Symlink { path: trial.at("l"), target: target.to_owned(), stage: Stage::Configure };
    let target = || fs::read_link(trial.at("l")).unwrap().to_str().unwrap().to_owned();
    let made = trial.bring(&link("one"));
    let moved = trial.bring(&link("two"));
    assert!(is_kept(&trial.undo(&made, false)));
    assert!(is_done(&trial.undo(&moved, false)));
    assert_eq!(target(), "one");
    assert_eq!(trial.undo(&moved, false), [Undone::Gone]);
    assert!(is_done(&trial.undo(&made, false)));
    assert!(!trial.exists("l"));
    symlink("theirs", trial.at("l")).unwrap();
    assert!(is_kept(&trial.undo(&made, false)));
    assert!(is_kept(&trial.undo(&moved, false)));
    assert_eq!(target(), "theirs");
}

#[test]
fn what_must_be_absent_goes_and_comes_back() {
    let trial = Trial::new();
    let absent = Absent { path: trial.at("a"), stage: Stage::Configure };
    assert!(trial.changes(&absent).is_empty());
    trial.write("a", "theirs");
    fs::set_permissions(trial.at("a"), fs::Permissions::from_mode(0o611)).unwrap();
    let changes = trial.bring(&absent);
    assert!(is_done(&trial.undo(&changes, false)));
    assert_eq!((trial.read("a").as_str(), trial.mode("a")), ("theirs", 0o611));
    trial.write("a", "new");
    assert!(is_kept(&trial.undo(&changes, false)));
    fs::remove_file(trial.at("a")).unwrap();
    symlink("x", trial.at("a")).unwrap();
    let changes = trial.bring(&absent);
    assert!(is_done(&trial.undo(&changes, false)));
    assert_eq!(fs::read_link(trial.at("a")).unwrap(), Path::new("x"));
    fs::remove_file(trial.at("a")).unwrap();
    fs::create_dir(trial.at("a")).unwrap();
    trial.bring(&absent);
    fs::create_dir_all(trial.at("a/b")).unwrap();
    let changes = trial.changes(&absent);
    let error = trial.with(|cx| absent.apply(cx, &changes)).unwrap_err();
    assert_eq!(Fault::class_of(&error), Class::Conflict);
    assert!(trial.exists("a/b"));
}

#[test]
fn keys_are_set_and_taken_back() {
    let trial = Trial::new();
    let text = "# ours to keep\n[db]\nhost = a\nhost = b\n";
    trial.write("c", text);
    fs::set_permissions(trial.at("c"), fs::Permissions::from_mode(0o640)).unwrap();
    let ini = |section: &str, key: &str, value: &str| Ini {
        path: trial.at("c"),
        section: section.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
        sensitive: false,
        stage: Stage::Configure,
    };
    let host = trial.bring(&ini("db", "host", "c"));
    assert_eq!(host[0].summary, "set [db] host to 'c' (the last of 2 lines, which is the one that counts)");
    assert_eq!(host[0].diff, None, "not everybody may read it");
    trial.write("open", text);
    let open = trial.bring(&Ini { path: trial.at("open"), ..ini("db", "host", "c") });
    assert!(open[0].diff.as_ref().unwrap().contains("-host = b\n+host = c\n"));
    let level = trial.bring(&ini("log", "level", "info"));
    let color = trial.bring(&ini("log", "color", "no"));
    assert_eq!((trial.read("c").lines().count(), trial.mode("c")), (8, 0o640));
    for changes in [&color, &level, &host] {
        assert!(is_done(&trial.undo(changes, false)));
        assert_eq!(trial.undo(changes, false), [Undone::Gone]);
    }
    assert_eq!((trial.read("c").as_str(), trial.mode("c")), (text, 0o640));
    // Changed since.
    trial.bring(&ini("db", "host", "c"));
    trial.bring(&ini("db", "host", "d"));
    for purge in [false, true] {
        assert!(is_kept(&trial.undo(&host, purge)));
    }
    fs::remove_file(trial.at("c")).unwrap();
    assert_eq!(trial.undo(&host, false), [Undone::Gone]);
}

#[test]
fn lines_are_added_beside_others() {
    let trial = Trial::new();
    trial.write("redis.conf", "include /a\nport 1");
    let include = |value: &str| KeyValue {
        path: trial.at("redis.conf"),
        format: KeyFormat::Space,
        key: "include".to_owned(),
        value: value.to_owned(),
        repeat: true,
        sensitive: false,
        stage: Stage::Configure,
    };
    assert!(trial.changes(&include("/a")).is_empty());
    let b = trial.bring(&include("/b"));
    let c = trial.bring(&include("/c"));
    assert_eq!(trial.read("redis.conf"), "include /a\nport 1\ninclude /b\ninclude /c");
    assert!(is_done(&trial.undo(&b, false)));
    assert_eq!(trial.undo(&b, false), [Undone::Gone]);
    assert!(is_done(&trial.undo(&c, false)));
    assert_eq!(trial.read("redis.conf"), "include /a\nport 1");
}

fn command(trial: &Trial, argv: &[&str], proof: Proof, undo: Option<&[&str]>) -> Command {
    let owned = |argv: &[&str]| argv.iter().map(|arg| (*arg).to_owned()).collect();
    Command {
        name: "test".to_owned(),
        argv: owned(argv),
        proof,
        undo: undo.map(owned),
        limit: Duration::from_secs(10),
        stdin: Some(trial.at("from-stdin").into_bytes()),
        stage: Stage::Configure,
    }
}

#[test]
fn commands_run_until_their_proof_is_there() {
    let trial = Trial::new();
    let made = trial.at("from-stdin");
    let creates = Proof::Creates(made.clone());
    let touch = command(&trial, &["sh", "-c", "touch $(cat)"], creates, Some(&["rm", "-f", &made]));
    let changes = trial.bring(&touch);
    assert_eq!((items(&changes), changes[0].summary.as_str()), (vec!["run"], "run 'sh -c touch $(cat)'"));
    assert!(is_done(&trial.undo(&changes, false)));
    assert!(!trial.exists("from-stdin"));
    if trial.host.root {
        let unless = Proof::Unless(vec!["test".to_owned(), "-e".to_owned(), made]);
        let changes = trial.bring(&command(&trial, &["sh", "-c", "touch $(cat)"], unless, None));
        assert!(is_kept(&trial.undo(&changes, false)));
    }
    let never = command(&trial, &["false"], Proof::Creates(trial.at("never")), None);
    let error = trial.with(|cx| never.apply(cx, &[])).unwrap_err();
    assert_eq!(
        (Fault::class_of(&error), error.to_string()),
        (Class::Host, "running test failed: false exit 1".to_owned())
    );
    let killed = Proof::Unless(vec!["sh".to_owned(), "-c".to_owned(), "kill -9 $$".to_owned()]);
    assert_eq!(Fault::class_of(&trial.probe(&command(&trial, &["true"], killed, None)).unwrap_err()), Class::Host);
}

#[test]
fn only_for_root_is_hidden_from_others() {
    let trial = Trial::new();
    if trial.host.root {
        return;
    }
    fs::create_dir(trial.at("d")).unwrap();
    trial.write("d/a", "x");
    fs::set_permissions(trial.at("d"), fs::Permissions::from_mode(0o0)).unwrap();
    assert!(matches!(trial.probe(&trial.file("d/a", "x", 0o644)).unwrap(), Probe::Hidden(_)));
    fs::set_permissions(trial.at("d"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Runs the test `in_a_copy_of_etc` where its changes to accounts are seen by nobody else.
#[test]
fn accounts() {
    if !Trial::new().host.root {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = distro::Command::new("unshare")
        .args(["--mount", "--propagation", "private", program.to_str().unwrap()])
        .args(["--ignored", "--exact", "resources::tests::in_a_copy_of_etc"])
        .env("SUREFOOT_OWN_MOUNTS", "yes")
        .output(&Runner::quiet())
        .unwrap();
    assert!(output.ok() && output.stdout.contains("1 passed"), "{output:#?}");
}

#[test]
#[ignore = "makes accounts: run by the test `accounts` with an /etc of its own"]
fn in_a_copy_of_etc() {
    if std::env::var_os("SUREFOOT_OWN_MOUNTS").is_none() {
        return;
    }
    let trial = Trial::new();
    let run = |argv: &[&str]| {
        let command = distro::Command::new(argv[0]).args(argv[1..].iter().copied());
        command.run(&trial.host.runner, Class::Host, "preparing").unwrap();
    };
    fs::create_dir(trial.at("etc")).unwrap();
    run(&["cp", "-a", "/etc/.", &trial.at("etc")]);
    run(&["mount", "--bind", &trial.at("etc"), "/etc"]);
    for folder in ["/var/log", "/var/mail"] {
        run(&["mount", "-t", "tmpfs", "none", folder]);
    }
    let before = (fs::read("/etc/passwd").unwrap(), fs::read("/etc/group").unwrap());

    let group = Group { name: "t-ops".to_owned(), system: true, stage: Stage::Configure };
    let user = User {
        home: Some(trial.at("home")),
        groups: vec!["t-ops".to_owned()],
        create_home: true,
        ..User::system("t-app")
    };
    assert!(matches!(trial.probe(&user).unwrap(), Probe::Pending(what) if what == "group t-ops"));
    let made_group = trial.bring(&group);
    let made_user = trial.bring(&user);
    assert_eq!(items(&made_user), ["own group", "user", "group t-ops", "home folder"]);
    let found = trial.with(|cx| cx.look.user("t-app").unwrap().unwrap());
    assert_eq!((found.shell.as_str(), found.home), ("/usr/sbin/nologin", trial.at("home")));
    assert_eq!(
        files::stat(&Look::new(&trial.host), Path::new(&trial.at("home"))).unwrap().unwrap().meta.owner,
        "t-app"
    );

    // What is asked of one that is there is changed, and nothing else.
    let other = User { home: None, create_home: false, shell: Some("/bin/sh".to_owned()), ..user.clone() };
    let shell = trial.bring(&other);
    assert_eq!((items(&shell), shell[0].summary.as_str()), (vec!["shell"], "shell /usr/sbin/nologin -> /bin/sh"));
    assert!(is_done(&trial.undo(&shell, false)));
    assert_eq!(trial.undo(&shell, false), [Undone::Gone]);
    run(&["usermod", "-s", "/bin/bash", "t-app"]);
    assert!(is_kept(&trial.undo(&shell, false)));

    // A group that somebody else joined stays; a membership that is gone is gone.
    run(&["gpasswd", "-d", "t-app", "t-ops"]);
    assert_eq!(items(&trial.changes(&user)), ["group t-ops"]);
    run(&["usermod", "-a", "-G", "t-ops", "nobody"]);
    let undone = trial.undo(&made_user, false);
    assert!(matches!(undone[..], [Undone::Done(_), Undone::Gone, Undone::Done(_), _]), "{undone:?}");
    assert!(is_kept(&trial.undo(&made_group, false)));
    run(&["gpasswd", "-d", "nobody", "t-ops"]);
    assert!(is_done(&trial.undo(&made_group, false)));
    assert!(trial.undo(&made_user, true).iter().all(|undone| *undone == Undone::Gone));
    assert_eq!((fs::read("/etc/passwd").unwrap(), fs::read("/etc/group").unwrap()), before);
    assert!(!trial.exists("home"));

    // A group that was there before goes with no user of its name, also where a kill came in between.
    run(&["groupadd", "-g", "7707", "t-app"]);
    let before = (fs::read("/etc/passwd").unwrap(), fs::read("/etc/group").unwrap());
    let made_user = trial.bring(&User::system("t-app"));
    assert_eq!(items(&made_user), ["user"]);
    assert!(is_done(&trial.undo(&made_user, false)));
    assert_eq!((fs::read("/etc/passwd").unwrap(), fs::read("/etc/group").unwrap()), before);
    trial.bring(&User::system("t-app"));
    run(&["userdel", "t-app"]);
    assert!(!trial.with(|cx| cx.look.group("t-app").unwrap().is_some()), "userdel leaves it");
    // Somebody else may have removed both.
    assert_eq!(trial.undo(&made_user, false), [Undone::Gone]);
    assert!(!trial.with(|cx| cx.look.group("t-app").unwrap().is_some()));
    assert_eq!(trial.undo_one(&made_user[0], false, |cx| cx.going = true), Undone::Gone);
    assert_eq!(fs::read("/etc/group").unwrap(), before.1);
    run(&["groupdel", "t-app"]);

    // A home that was made has its user again, where that one was removed meanwhile; one that was found is let alone.
    run(&["chown", "root:root", &trial.at("")]);
    fs::create_dir(trial.at("home")).unwrap();
    run(&["chown", "4711:4711", &trial.at("home")]);
    let user = User { groups: Vec::new(), ..user };
    assert_eq!(items(&trial.changes(&user)), ["own group", "user"]);
    let mut trial = trial;
    trial.made = true;
    let made = trial.bring(&user);
    assert_eq!(items(&made), ["own group", "user", "owner of home"]);
    assert_eq!(made.iter().map(|change| change.data).collect::<Vec<_>>(), [true, true, false]);
    let home = files::stat(&Look::new(&trial.host), Path::new(&trial.at("home"))).unwrap().unwrap().meta;
    assert_eq!((home.owner.as_str(), home.group.as_str()), ("t-app", "t-app"));
    trial.undo(&made, true);
}

#[test]
fn old_journals_are_read() {
    let old = r#"{"undo":"restore_key","path":"/a","format":"ini","section":"s","key":"k"}"#;
    let undo: Undo = serde_json::from_str(old).unwrap();
    assert!(matches!(undo, Undo::RestoreKey { original: None, made_section: false, repeat: false, .. }));
}
