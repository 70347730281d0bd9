use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};

use super::*;
use crate::{Command, Facts, Host, Runner};

/// This machine, with nobody listening.
pub(crate) fn host() -> Host {
    Host { facts: Facts::gather(Path::new("/")).unwrap(), runner: Runner::quiet(), root: is_root() }
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// Mode, with ourselves as owner.
fn ours(look: &Look<'_>, mode: u32) -> Meta {
    let (uid, gid) = (nix::unistd::Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
    Meta::new(mode, look.user_name(uid).unwrap(), look.group_name(gid).unwrap())
}

fn class_of<T: std::fmt::Debug>(result: Result<T>) -> Class {
    Fault::class_of(&result.unwrap_err())
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_made_replaced_and_removed() {
    let host = host();
    let look = Look::new(&host);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.conf");
    assert_eq!(read(&path).unwrap(), None);
    assert_eq!(stat(&look, &path).unwrap(), None);
    for (bytes, mode) in [("one", 0o640), ("two", 0o666), ("", 0o4755)] {
        replace(&look, &path, bytes.as_bytes(), &ours(&look, mode)).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), bytes.as_bytes());
        assert_eq!(stat(&look, &path).unwrap().unwrap(), Seen { kind: Kind::File, meta: ours(&look, mode) });
        assert_eq!(names_in(folder.path()), ["a.conf"]);
    }
    assert!(remove(&path).unwrap());
    assert!(!remove(&path).unwrap());
    assert!(!remove(&folder.path().join("no/such")).unwrap());
}

#[test]
fn leftovers_of_a_killed_run_go() {
    let host = host();
    let look = Look::new(&host);
    let folder = tempfile::tempdir().unwrap();
    let own = format!(".surefoot-{:x}00.tmp", std::process::id());
    for name in [own.as_str(), ".surefoot-1a00.tmp", ".surefoot-x", "other.tmp"] {
        std::fs::write(folder.path().join(name), "left").unwrap();
    }
    std::fs::create_dir(folder.path().join(".surefoot-1b00.tmp")).unwrap();
    std::fs::create_dir_all(folder.path().join(".surefoot-folder.tmp/not-ours")).unwrap();
    replace(&look, &folder.path().join("a"), b"x", &ours(&look, 0o600)).unwrap();
    assert_eq!(names_in(folder.path()), [".surefoot-folder.tmp", ".surefoot-x", "a", "other.tmp"]);
}

#[test]
fn another_thing_in_the_way_is_a_conflict() {
    let host = host();
    let look = Look::new(&host);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "x").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let meta = ours(&look, 0o644);
    for name in ["folder", "link", "pipe"] {
        assert_eq!(class_of(replace(&look, &at(name), b"x", &meta)), Class::Conflict, "{name}");
        assert_eq!(class_of(read(&at(name))), Class::Conflict, "{name}");
    }
    for name in ["file", "link", "pipe"] {
        assert_eq!(class_of(make_dir(&look, &at(name), &meta)), Class::Conflict, "{name}");
        assert_eq!(class_of(remove_dir_if_empty(&at(name))), Class::Conflict, "{name}");
        assert_eq!(class_of(remove_tree(&at(name))), Class::Conflict, "{name}");
        assert_eq!(class_of(read(&at(name).join("below"))), Class::Conflict, "{name}");
    }
    for name in ["file", "folder"] {
        assert_eq!(class_of(symlink(&at(name), "x")), Class::Conflict, "{name}");
    }
    assert_eq!(class_of(remove(&at("folder"))), Class::Conflict);
    let error = replace(&look, &at("link"), b"x", &meta).unwrap_err().to_string();
    assert!(error.contains("is a symlink to file; somebody decided that"), "{error}");
    assert_eq!(std::fs::read(at("file")).unwrap(), b"x");
}

#[test]
fn a_symlink_on_the_way_is_followed_only_where_root_controls_it() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    std::fs::create_dir_all(at("real/deep")).unwrap();
    std::fs::write(at("real/deep/file"), "x").unwrap();
    std::os::unix::fs::symlink("real/deep/../deep", at("relative")).unwrap();
    std::os::unix::fs::symlink(at("real"), at("absolute")).unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    if !is_root() {
        assert_eq!(class_of(read(&at("relative/file"))), Class::Conflict);
        return;
    }
    assert_eq!(read(&at("relative/file")).unwrap().unwrap(), b"x");
    assert_eq!(read(&at("absolute/deep/file")).unwrap().unwrap(), b"x");
    assert_eq!(read(&at("dangling/file")).unwrap(), None);
    assert_eq!(missing_folder(&at("dangling/file")).unwrap(), Some(at("nowhere")));
    assert_eq!(class_of(read(&at("loop/file"))), Class::Host);

    // Somebody's folder is gone through; somebody's symlink, or one in somebody's folder, is not followed.
    lchown(at("real/deep"), Some(65534), Some(65534)).unwrap();
    assert_eq!(read(&at("real/deep/file")).unwrap().unwrap(), b"x");
    lchown(at("relative"), Some(65534), Some(65534)).unwrap();
    let error = read(&at("relative/file")).unwrap_err();
    assert_eq!(Fault::class_of(&error), Class::Conflict);
    assert!(error.to_string().contains("belongs to user id 65534"), "{error}");
    for (mode, followed) in [(0o775, true), (0o777, false), (0o1777, true), (0o755, true)] {
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&at("absolute/deep/file")).is_ok(), followed, "{mode:o}");
    }
    lchown(base.path(), None, Some(65534)).unwrap();
    std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o775)).unwrap();
    assert_eq!(class_of(read(&at("absolute/deep/file"))), Class::Conflict);
    lchown(base.path(), Some(65534), None).unwrap();
    std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(class_of(read(&at("absolute/deep/file"))), Class::Conflict);
}

#[test]
fn a_hard_link_in_somebodys_folder_is_not_given_away() {
    if !is_root() {
        return;
    }
    let host = host();
    let look = Look::new(&host);
    let base = tempfile::tempdir().unwrap();
    let (secret, planted) = (base.path().join("secret"), base.path().join("eve/planted"));
    std::fs::create_dir(base.path().join("eve")).unwrap();
    std::fs::write(&secret, "x").unwrap();
    std::fs::hard_link(&secret, &planted).unwrap();
    set_attributes(&look, &planted, &Meta::root(0o644)).unwrap();
    lchown(base.path().join("eve"), Some(65534), Some(65534)).unwrap();
    assert_eq!(class_of(set_attributes(&look, &planted, &Meta::new(0o666, "65534", "65534"))), Class::Conflict);
    assert_eq!(class_of(read(&planted)), Class::Conflict);
    let meta = std::fs::metadata(&secret).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (0, 0o644));
    // A replacement is a new file, so the other one is left alone.
    replace(&look, &planted, b"new", &Meta::new(0o600, "65534", "65534")).unwrap();
    assert_eq!((std::fs::read(&secret).unwrap(), std::fs::metadata(&planted).unwrap().uid()), (b"x".to_vec(), 65534));
}

#[test]
fn label_lists_and_flags_are_kept() {
    let host = host();
    let look = Look::new(&host);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    replace(&look, &path, b"one", &ours(&look, 0o600)).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&path, "user.origin", b"admin", flags).is_err() {
        return;
    }
    let noted = std::fs::File::open(&path).unwrap();
    let nodump = rustix::fs::ioctl_getflags(&noted).map(|flags| flags | rustix::fs::IFlags::NODUMP);
    let flagged = nodump.and_then(|flags| rustix::fs::ioctl_setflags(&noted, flags)).is_ok();
    replace(&look, &path, b"two", &ours(&look, 0o640)).unwrap();
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(&path, "user.origin", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"admin");
    if flagged {
        let flags = rustix::fs::ioctl_getflags(std::fs::File::open(&path).unwrap()).unwrap();
        assert!(flags.contains(rustix::fs::IFlags::NODUMP));
    }
}

#[test]
fn a_locked_file_is_a_conflict() {
    let host = host();
    let look = Look::new(&host);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    replace(&look, &path, b"one", &ours(&look, 0o600)).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let Ok(flags) = rustix::fs::ioctl_getflags(&file) else { return };
    if rustix::fs::ioctl_setflags(&file, flags | rustix::fs::IFlags::IMMUTABLE).is_err() {
        return;
    }
    let results = [
        class_of(replace(&look, &path, b"two", &ours(&look, 0o600))),
        class_of(set_attributes(&look, &path, &ours(&look, 0o644))),
        class_of(remove(&path)),
    ];
    rustix::fs::ioctl_setflags(&file, flags).unwrap();
    assert_eq!(results, [Class::Conflict; 3]);
    assert_eq!(names_in(folder.path()), ["a"]);
}

#[test]
fn folders_and_their_attributes() {
    let host = host();
    let look = Look::new(&host);
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("etc");
    make_dir(&look, &path, &ours(&look, 0o2775)).unwrap();
    make_dir(&look, &path, &ours(&look, 0o777)).unwrap();
    assert_eq!(stat(&look, &path).unwrap().unwrap(), Seen { kind: Kind::Folder, meta: ours(&look, 0o777) });
    assert_eq!(names_in(base.path()), ["etc"]);
    assert_eq!(class_of(make_dir(&look, &path.join("a/b"), &ours(&look, 0o755))), Class::Host);
    assert_eq!(missing_folder(&path.join("a/b")).unwrap(), Some(path.join("a")));
    let stranger = Meta::new(0o755, "no-such-user", "root");
    assert_eq!(class_of(make_dir(&look, &path.join("a"), &stranger)), Class::Host);
    assert_eq!(stat(&look, &path.join("a")).unwrap(), None);
    std::fs::write(path.join("file"), "").unwrap();
    assert_eq!(remove_dir_if_empty(&path).unwrap(), Removal::NotEmpty);
    assert!(remove(&path.join("file")).unwrap());
    assert_eq!(remove_dir_if_empty(&path).unwrap(), Removal::Done);
    assert_eq!(remove_dir_if_empty(&path).unwrap(), Removal::Gone);
}

#[test]
fn symlinks_are_made_and_moved() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("link");
    assert_eq!(read_link(&path).unwrap(), None);
    for target in ["/etc/a", "b"] {
        symlink(&path, target).unwrap();
        assert_eq!(read_link(&path).unwrap().as_deref(), Some(target));
        assert_eq!(names_in(base.path()), ["link"]);
    }
    assert!(remove(&path).unwrap());
}

#[test]
fn a_tree_goes_and_what_its_symlinks_point_to_stays() {
    let base = tempfile::tempdir().unwrap();
    let tree = base.path().join("tree");
    std::fs::create_dir_all(tree.join("a/b/c")).unwrap();
    std::fs::create_dir(base.path().join("kept")).unwrap();
    std::fs::write(base.path().join("kept/file"), "x").unwrap();
    std::fs::write(tree.join("a/file"), "x").unwrap();
    std::os::unix::fs::symlink("../kept", tree.join("link")).unwrap();
    assert_eq!(remove_tree(&tree).unwrap(), Removal::Done);
    assert_eq!(remove_tree(&tree).unwrap(), Removal::Gone);
    assert_eq!(names_in(base.path()), ["kept"]);
    assert_eq!(names_in(&base.path().join("kept")), ["file"]);
}

#[test]
fn a_path_that_is_not_plain_is_refused() {
    for path in ["etc/a", "/etc/../a", "/", ""] {
        assert_eq!(class_of(read(Path::new(path))), Class::Internal, "{path}");
    }
}

#[test]
fn in_place_keeps_the_inode_and_cuts_the_rest() {
    let host = host();
    let look = Look::new(&host);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, "a long old content").unwrap();
    let inode = std::fs::metadata(&path).unwrap().ino();
    let meta = ours(&look, 0o640);
    replace::write_in_place(&Place::need(&path).unwrap(), b"new", &Ids::of(&look, &meta).unwrap(), meta.mode).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(stat(&look, &path).unwrap().unwrap().meta, meta);
}

/// Runs the test `in_a_mount_namespace` where its mounts are seen by nobody else.
#[test]
fn mounts() {
    if !is_root() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", program.to_str().unwrap()])
        .args(["--ignored", "--exact", "files::tests::in_a_mount_namespace"])
        .env("SUREFOOT_OWN_MOUNTS", "yes")
        .output(&Runner::quiet())
        .unwrap();
    assert!(output.ok() && output.stdout.contains("1 passed"), "{output:#?}");
}

#[test]
#[ignore = "mounts things: run by the test `mounts` in a namespace of its own"]
fn in_a_mount_namespace() {
    if std::env::var_os("SUREFOOT_OWN_MOUNTS").is_none() {
        return;
    }
    let host = host();
    let look = Look::new(&host);
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    let mount = |args: &[&str]| {
        Command::new("mount").args(args.iter().copied()).run(&host.runner, Class::Host, "mounting").unwrap();
    };
    let text = |path: &Path| path.to_str().unwrap().to_owned();

    // A mounted file is written in place, also in a folder that is read-only.
    std::fs::create_dir(at("etc")).unwrap();
    std::fs::write(at("outer"), "old").unwrap();
    std::fs::write(at("etc/hosts"), "").unwrap();
    mount(&["--bind", &text(&at("etc")), &text(&at("etc"))]);
    mount(&["-o", "remount,bind,ro", &text(&at("etc"))]);
    assert_eq!(class_of(replace(&look, &at("etc/hosts"), b"one", &Meta::root(0o644))), Class::Disk);
    mount(&["--bind", &text(&at("outer")), &text(&at("etc/hosts"))]);
    replace(&look, &at("etc/hosts"), b"one", &Meta::root(0o644)).unwrap();
    assert_eq!(std::fs::read(at("outer")).unwrap(), b"one");
    assert!(remove(&at("etc/hosts")).is_err());

    // Nothing of a tree with a mount in it is removed: neither another file system nor a bind mount of the same one.
    for (case, args) in [("tmpfs", vec!["-t", "tmpfs", "none"]), ("bind", vec!["--bind"])] {
        let tree = at(case);
        std::fs::create_dir_all(tree.join("a/mounted")).unwrap();
        std::fs::create_dir(at(&format!("{case}-source"))).unwrap();
        std::fs::write(tree.join("file"), "x").unwrap();
        let (source, target) = (text(&at(&format!("{case}-source"))), text(&tree.join("a/mounted")));
        let mut args = args;
        if case == "bind" {
            args.push(&source);
        }
        args.push(&target);
        mount(&args);
        std::fs::write(tree.join("a/mounted/kept"), "x").unwrap();
        assert_eq!(remove_tree(&tree).unwrap(), Removal::Mounted(tree.join("a/mounted")), "{case}");
        assert!(tree.join("file").exists() && tree.join("a/mounted/kept").exists());
        assert_eq!(remove_tree(&tree.join("a/mounted")).unwrap(), Removal::Mounted(tree.join("a/mounted")));
    }

    // Full and read-only file systems are class `disk`, and what was there stays.
    std::fs::create_dir(at("small")).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=64k", "none", &text(&at("small"))]);
    std::fs::write(at("small/a"), "old").unwrap();
    let big = vec![b'x'; 1 << 20];
    assert_eq!(class_of(replace(&look, &at("small/a"), &big, &Meta::root(0o644))), Class::Disk);
    let ids = Ids::of(&look, &Meta::root(0o644)).unwrap();
    let place = Place::need(&at("small/a")).unwrap();
    assert_eq!(class_of(replace::write_in_place(&place, &big, &ids, 0o644)), Class::Disk);
    assert_eq!(
        (std::fs::read(at("small/a")).unwrap(), names_in(&at("small"))),
        (b"old".to_vec(), vec!["a".to_owned()])
    );
    mount(&["-o", "remount,ro", &text(&at("small"))]);
    assert_eq!(class_of(replace(&look, &at("small/a"), b"new", &Meta::root(0o644))), Class::Disk);
    assert_eq!(class_of(make_dir(&look, &at("small/b"), &Meta::root(0o755))), Class::Disk);
}
