//! What a journal comes to.

use super::*;
use steps::Undo;

/// The beginning of a run that does `action`.
pub fn attempt(action: &str) -> Record {
    Record::Attempt {
        run: action.into(),
        attempt: 1,
        action: action.into(),
        surefoot: "0".into(),
        boot_id: "b".into(),
        blueprint: String::new(),
        purge: false,
    }
}

/// The end of one that did it.
pub fn end() -> Record {
    Record::End { result: "done".into(), in_place: 0, changed: 1 }
}

fn intent(resource: &str, item: &str, undo: Undo, wrote: &str) -> Record {
    Record::Intent {
        resource: resource.into(),
        claims: vec![ClaimTold { thing: "file:/x".into(), wants: wrote.into() }],
        items: vec![ItemTold {
            item: item.into(),
            summary: String::new(),
            undo,
            data: false,
            wrote: Some(wrote.into()),
            left: false,
        }],
    }
}

fn made() -> Undo {
    Undo::RemoveFile { path: "/x".into() }
}

fn changed() -> Undo {
    Undo::RestoreSymlink { path: "/x".into(), target: "/y".into() }
}

fn outcome(resource: &str) -> Record {
    Record::Outcome { resource: resource.into(), result: Outcome::Changed }
}

#[test]
fn ownership_is_decided_by_the_first_intent() {
    // The first attempt was killed after its intent, the second found the file half made and took it for somebody's.
    let records = [intent("s/file:/x", "content", made(), "1"), intent("s/file:/x", "content", changed(), "2")];
    let state = State::replay(&records).unwrap();
    let entry = &state.resources["s/file:/x"];
    assert_eq!(entry.ownership(), Ownership::Created);
    assert_eq!(entry.items[0].undo, made());
    assert_eq!(entry.items[0].wrote, ["1", "2"]);
}

#[test]
fn what_another_product_intended_came_first() {
    let inherited = Record::Inherited {
        from: "a".into(),
        resource: "s/file:/x".into(),
        items: vec![ItemTold {
            item: "content".into(),
            summary: String::new(),
            undo: made(),
            data: false,
            wrote: None,
            left: false,
        }],
    };
    let state = State::replay(&[intent("s/file:/x", "content", changed(), "1"), inherited]).unwrap();
    assert_eq!(state.resources["s/file:/x"].items[0].undo, made());
}

#[test]
fn what_left_nothing_behind_is_nothing_to_take_back() {
    let records = [
        intent("s/login:x", "login", Undo::Nothing, "1"),
        intent("s/file:/a", "content", made(), "1"),
        Record::Found { resource: "s/file:/b".into(), claims: Vec::new() },
    ];
    let state = State::replay(&records).unwrap();
    for (resource, expected) in [("s/login:x", false), ("s/file:/a", true), ("s/file:/b", false), ("gone", false)] {
        assert_eq!(state.has_to_undo(resource), expected, "{resource}");
    }
}

#[test]
fn undo_goes_backwards_and_forgets_what_is_gone() {
    let records = [
        intent("s/file:/a", "content", made(), "1"),
        outcome("s/file:/a"),
        intent("s/file:/b", "content", made(), "1"),
        outcome("s/file:/b"),
    ];
    let mut state = State::replay(&records).unwrap();
    let order: Vec<String> = state.to_undo().into_iter().map(|(resource, _)| resource).collect();
    assert_eq!(order, ["s/file:/b", "s/file:/a"]);
    let undone = |result| Record::Undone { resource: "s/file:/b".into(), item: "content".into(), result };
    state.take(&undone(UndoOutcome::Kept)).unwrap();
    assert_eq!(state.to_undo().len(), 2);
    state.take(&undone(UndoOutcome::Done)).unwrap();
    assert_eq!(state.to_undo().len(), 1);
}

#[test]
fn a_removed_package_is_there_for_a_purge_until_it_is_installed_again() {
    let package = || Undo::RemovePackage { name: "x".into(), dependency: false, remains: false };
    let id = "s/packages:all";
    let undone = Record::Undone { resource: id.into(), item: "package x".into(), result: UndoOutcome::Removed };
    let end = end();
    let mut state = State::replay(&[
        attempt("install"),
        intent(id, "package x", package(), "1"),
        outcome(id),
        end.clone(),
        attempt("uninstall"),
        undone,
    ])
    .unwrap();
    assert!(state.wants("file:/x").is_some());
    state.take(&end).unwrap();
    assert_eq!(state.wants("file:/x"), None, "what is uninstalled is in nobody's way");
    assert!(!steps::Memory::intended(&state, "file:/x"), "nor is it begun");
    assert_eq!(state.resources[id].claims[0].thing, "file:/x", "what stays is still about that");
    assert_eq!(state.resources[id].items[0].undo, Undo::PurgePackage { name: "x".into() });
    assert_eq!(state.resources[id].ownership(), Ownership::Found);
    state.take(&intent(id, "package x", package(), "1")).unwrap();
    assert_eq!(state.resources[id].items[0].undo, package());
    assert_eq!(state.resources[id].ownership(), Ownership::Created);
    assert!(state.wants("file:/x").is_some(), "it is wanted again");
}

#[test]
fn what_was_left_to_somebody_is_theirs_when_it_is_changed_again() {
    let id = "s/file:/x";
    let undone = |result| Record::Undone { resource: id.into(), item: "content".into(), result };
    let original = |original: &str| Undo::RestoreFile {
        path: "/x".into(),
        original: original.into(),
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
    };
    // One of before it was told keeps the first undo: its own has no original.
    for (left, first, undo, wrote) in [
        (true, made(), original("theirs"), vec!["2"]),
        (true, original("years ago"), original("theirs"), vec!["2"]),
        (false, made(), made(), vec!["1", "2"]),
    ] {
        let installed = [intent(id, "content", first.clone(), "1"), outcome(id)];
        let mut state = State::replay(&installed).unwrap();
        assert!(!state.resources[id].items[0].left);
        state.take(&undone(UndoOutcome::Kept)).unwrap();
        let item = &state.resources[id].items[0];
        assert!(item.left && item.undo == first, "a purge has to know it");
        let mut again = intent(id, "content", if left { original("theirs") } else { original("") }, "2");
        if let Record::Intent { items, .. } = &mut again {
            items[0].left = left;
        }
        state.take(&again).unwrap();
        let item = &state.resources[id].items[0];
        assert_eq!((&item.undo, item.wrote.iter().map(String::as_str).collect()), (&undo, wrote));
        assert!(!item.left, "it is ours until it is left again");
    }
}

/// A folder goes after the file in it, whoever made them.
#[test]
fn what_is_inherited_keeps_its_order() {
    let file = |name: &str| Undo::RemoveFile { path: name.into() };
    let ours = |name: &str| intent(name, "content", file(name), "1");
    let inherited = |name: &str, was: &str| {
        let Record::Intent { items, .. } = ours(was) else { unreachable!() };
        Record::Inherited { from: "a".into(), resource: name.into(), items }
    };
    let undone =
        |name: &str| Record::Undone { resource: name.into(), item: "content".into(), result: UndoOutcome::Handed };
    for (records, expected) in [
        // Another product hands its parts over last made first, and made all of them before ours.
        (vec![ours("ours"), inherited("file", "file"), inherited("folder", "folder")], "ours file folder"),
        // What was given twice, since a kill came in between.
        (vec![inherited("file", "file"), inherited("folder", "folder"), inherited("file", "file")], "file folder"),
        // Another step has it by now.
        (vec![ours("a"), ours("b"), ours("c"), inherited("new", "b"), undone("b")], "c new a"),
    ] {
        let order: Vec<String> = State::replay(&records).unwrap().to_undo().into_iter().map(|(id, _)| id).collect();
        assert_eq!(order.join(" "), expected);
    }
}

#[test]
fn what_was_left_to_somebody_is_inherited_as_theirs() {
    let id = "s/file:/x";
    let mut inherited = Record::Inherited { from: "a".into(), resource: id.into(), items: Vec::new() };
    if let (Record::Inherited { items, .. }, Record::Intent { items: made, .. }) =
        (&mut inherited, intent(id, "content", made(), "1"))
    {
        *items = made;
        items[0].left = true;
    }
    let found = Record::Found { resource: id.into(), claims: Vec::new() };
    let state = State::replay(&[found, inherited.clone()]).unwrap();
    assert!(state.resources[id].items[0].left);
    // Where we changed it before, we have what was theirs.
    let state = State::replay(&[intent(id, "content", changed(), "2"), inherited]).unwrap();
    let item = &state.resources[id].items[0];
    assert!(!item.left && item.undo == changed());
}

#[test]
fn data_and_packages_that_stay_are_still_ours() {
    let id = "s/x:x";
    let file = || Undo::RemoveFile { path: "/x".into() };
    let package = Undo::RemovePackage { name: "x".into(), dependency: false, remains: false };
    for (undo, data, left) in [(file(), false, true), (file(), true, false), (package, false, false)] {
        let mut first = intent(id, "it", undo.clone(), "1");
        if let Record::Intent { items, .. } = &mut first {
            items[0].data = data;
        }
        let undone = Record::Undone { resource: id.into(), item: "it".into(), result: UndoOutcome::Kept };
        let state = State::replay(&[first, outcome(id), undone]).unwrap();
        assert_eq!(state.resources[id].items[0].left, left, "{undo:?} {data}");
    }
}

#[test]
fn what_was_there_before_a_package_is_known_by_its_first_transaction() {
    let package = |remains| Undo::RemovePackage { name: "x".into(), dependency: false, remains };
    let id = "s/packages:all";
    let bring = |remains| intent(id, "package x", package(remains), "1");
    let undone = |result| Record::Undone { resource: id.into(), item: "package x".into(), result };
    for (records, remains) in [
        (vec![bring(true)], true),
        (vec![bring(false)], false),
        // Cut off in the middle, dpkg knows no longer what was left before.
        (vec![bring(true), bring(false)], true),
        (vec![bring(false), bring(true)], false),
        // What an uninstall of ours left is ours.
        (vec![bring(false), undone(UndoOutcome::Removed), bring(true)], false),
        (vec![bring(true), undone(UndoOutcome::Done), bring(true)], true),
    ] {
        let state = State::replay(&records).unwrap();
        assert_eq!(state.resources[id].items[0].undo, package(remains), "{records:?}");
        assert_eq!(state.remaining().contains("x"), remains);
    }
    let before: Undo = serde_json::from_value(serde_json::json!({"undo": "remove_package", "name": "x"})).unwrap();
    assert_eq!(before, package(false));
}

#[test]
fn clusters_of_a_product_are_known_until_their_data_are_gone() {
    let claims = vec![ClaimTold { thing: "data:15/main".into(), wants: String::new() }];
    let mut state = State::replay(&[Record::Found { resource: "db/cluster:15/main".into(), claims }]).unwrap();
    assert!(state.clusters().contains("15/main"));
    state.take(&Record::Forgotten { resource: "db/cluster:15/main".into() }).unwrap();
    assert!(state.clusters().is_empty());
    let role = Undo::RemoveRole { version: "15".into(), cluster: "main".into(), name: "shop".into() };
    state.take(&intent("db/database:15/main/shop", "role shop", role, "1")).unwrap();
    assert!(state.clusters().contains("15/main"));
}

/// The intent of a set of packages `names` of the step `s`, whose transaction brings these besides.
fn packages(step: &str, names: &[&str], besides: &[&str]) -> Record {
    let claim = |name: &&str| ClaimTold { thing: format!("package:{name}"), wants: "1".into() };
    let item = |name: &&str, dependency| ItemTold {
        item: format!("package {name}"),
        summary: "install".into(),
        undo: Undo::RemovePackage { name: (*name).into(), dependency, remains: false },
        data: false,
        wrote: None,
        left: false,
    };
    let asked = names.iter().map(|name| item(name, false));
    Record::Intent {
        resource: format!("{step}/packages:all"),
        claims: names.iter().map(claim).collect(),
        items: asked.chain(besides.iter().map(|name| item(name, true))).collect(),
    }
}

#[test]
fn a_dependency_is_one_until_it_is_asked_for_here() {
    let id = "s/packages:all";
    let dependencies = |records: &[Record]| {
        let mut names = State::replay(records).unwrap().dependencies(&|_| true);
        names.sort();
        names
    };
    let installed = [packages("s", &["a"], &["liba", "libb"]), outcome(id)];
    assert_eq!(dependencies(&installed), ["liba", "libb"]);
    let state = State::replay(&installed).unwrap();
    assert!(state.dependencies(&|id| id == "t/packages:all").is_empty());
    let after = |more: &[Record]| dependencies(&[&installed[..], more].concat());

    // By a step that finds it there, by one that brings it again, or by a product that leaves it here.
    let Record::Intent { claims, .. } = packages("t", &["liba"], &[]) else { unreachable!() };
    let found = Record::Found { resource: "t/packages:all".into(), claims };
    assert_eq!(after(std::slice::from_ref(&found)), ["libb"]);
    assert_eq!(after(&[packages("t", &["liba"], &[]), outcome("t/packages:all")]), ["libb"]);
    let Record::Intent { items, .. } = packages("s", &[], &["liba", "libc"]) else { unreachable!() };
    let inherited = Record::Inherited { from: "other".into(), resource: id.into(), items };
    assert_eq!(after(&[found, inherited]), ["libb", "libc"]);

    // A later transaction may bring it as a dependency again.
    let later = [packages("s", &["a", "liba"], &[]), outcome(id), packages("s", &["a"], &["liba"]), outcome(id)];
    assert_eq!(after(&later[..2]), ["libb"]);
    assert_eq!(after(&later), ["liba", "libb"]);
}

#[test]
fn after_a_transaction_that_was_cut_off_no_dependency_is_told() {
    let attempt = |attempt| Record::Attempt {
        run: "r".into(),
        attempt,
        action: "install".into(),
        surefoot: "0".into(),
        boot_id: "b".into(),
        blueprint: String::new(),
        purge: false,
    };
    let id = "s/packages:all";
    let mut records = vec![attempt(1), packages("s", &["a"], &["liba", "libb"])];
    let dependencies = |records: &[Record]| State::replay(records).unwrap().dependencies(&|_| true);
    assert!(dependencies(&records).is_empty());
    // Also when it was mended; but for what had to be brought once more.
    records.extend([attempt(2), packages("s", &["a"], &["libb"]), outcome(id)]);
    assert_eq!(dependencies(&records), ["libb"]);
    // What else failed says nothing of packages.
    records.extend([intent("s/trusted_keys:s", "package gpg-pubkey-1", made(), "1"), attempt(3)]);
    assert_eq!(dependencies(&records), ["libb"]);
}

#[test]
fn what_was_about_to_go_is_no_dependency_until_it_is_said_to_stay() {
    let id = "s/packages:all";
    let mut state = State::replay(&[packages("s", &["a"], &["liba", "libb"]), outcome(id)]).unwrap();
    let item = || "package liba".to_owned();
    state.take(&Record::Undo { resource: id.into(), item: item() }).unwrap();
    assert_eq!(state.dependencies(&|_| true), ["libb"]);
    state.take(&Record::Undone { resource: id.into(), item: item(), result: UndoOutcome::Kept }).unwrap();
    assert_eq!(state.dependencies(&|_| true), ["liba", "libb"]);
}

#[test]
fn a_package_of_an_older_journal_was_asked_for() {
    let undo: Undo = serde_json::from_str(r#"{"undo":"remove_package","name":"liba"}"#).unwrap();
    assert_eq!(undo, Undo::RemovePackage { name: "liba".into(), dependency: false, remains: false });
    assert_eq!(serde_json::to_string(&undo).unwrap(), r#"{"undo":"remove_package","name":"liba"}"#);
}

#[test]
fn contradictions_are_damage() {
    for records in [
        vec![outcome("s/file:/a")],
        vec![intent("s/file:/a", "content", made(), "1"), outcome("s/file:/a"), outcome("s/file:/a")],
        vec![Record::Undo { resource: "s/file:/a".into(), item: "content".into() }],
        vec![Record::End { result: "done".into(), in_place: 0, changed: 0 }],
    ] {
        let error = State::replay(&records).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::State, "{records:?}");
    }
}

#[test]
fn a_survivor_is_of_this_boot_only() {
    let attempt = |attempt, boot: &str| Record::Attempt {
        run: "r".into(),
        attempt,
        action: "install".into(),
        surefoot: "0".into(),
        boot_id: boot.into(),
        blueprint: String::new(),
        purge: false,
    };
    let child = Record::Child { pid: 7, start: 1 };
    let state = State::replay(&[attempt(1, "b"), child.clone(), attempt(2, "b")]).unwrap();
    assert_eq!(state.child, Some((7, 1)));
    let state = State::replay(&[attempt(1, "b"), child, attempt(2, "c")]).unwrap();
    assert_eq!(state.child, None);
}

/// Services come up while a transaction goes on, which may survive a kill all the same.
#[test]
fn a_transaction_survives_what_is_done_beside_it() {
    let child = Record::Child { pid: 7, start: 1 };
    let outcome = |resource: &str| Record::Outcome { resource: resource.into(), result: Outcome::Changed };
    let packages = intent("redis/packages:all", "package redis-server", Undo::Nothing, "");
    let service = intent("redis/service:redis-server.service", "running", Undo::Nothing, "");
    let beside = [packages, child, service, outcome("redis/service:redis-server.service")];
    assert_eq!(State::replay(&beside).unwrap().child, Some((7, 1)));
    let over = [beside.to_vec(), vec![outcome("redis/packages:all")]].concat();
    assert_eq!(State::replay(&over).unwrap().child, None);
}
