//! Whose a part is that is about to be taken back.

use super::super::journal::{ClaimTold, ItemTold, Outcome};
use super::super::state::tests::{attempt, end};
use super::*;

fn claims(thing: &str) -> Vec<ClaimTold> {
    vec![ClaimTold { thing: thing.into(), wants: "1".into() }]
}

/// The state of a product that made data which `thing` names, and was uninstalled: they stay.
fn uninstalled(resource: &str, thing: &str, undo: Undo) -> State {
    let item = ItemTold { item: "data".into(), summary: String::new(), undo, data: true, wrote: None, left: false };
    let (resource, item_name) = (resource.to_owned(), item.item.clone());
    let records = [
        attempt("install"),
        Record::Intent { resource: resource.clone(), claims: claims(thing), items: vec![item] },
        Record::Outcome { resource: resource.clone(), result: Outcome::Changed },
        end(),
        attempt("uninstall"),
        Record::Undo { resource: resource.clone(), item: item_name.clone() },
        Record::Undone { resource, item: item_name, result: UndoOutcome::Kept },
        end(),
    ];
    State::replay(&records).unwrap()
}

/// The state of a product that found what `thing` names.
fn user(resource: &str, thing: &str) -> State {
    let found = Record::Found { resource: resource.into(), claims: claims(thing) };
    State::replay(&[attempt("install"), found, end()]).unwrap()
}

#[test]
fn what_an_uninstall_left_is_whose_it_is_by_now() {
    let (version, cluster) = ("15".to_owned(), "main".to_owned());
    let cases = [
        ("s/directory:/srv/shared", "file:/srv/shared", Undo::RemoveFolder { path: "/srv/shared".into() }),
        ("s/data_folder:/var/lib/redis", "data:/var/lib/redis", Undo::RemoveFolder { path: "/var/lib/redis".into() }),
        ("s/file:/etc/x.conf", "file:/etc/x.conf", Undo::RemoveFile { path: "/etc/x.conf".into() }),
        ("s/database:x", "database:x", Undo::RemoveDatabase { version, cluster, name: "x".into() }),
    ];
    for (resource, thing, undo) in cases {
        let a = uninstalled(resource, thing, undo);
        let item = &a.resources[resource].items[0];
        let claimant = |of: &dyn Fn(&str) -> bool, b: State| {
            claimant(("a", &a), of, resource, item, &HashMap::from([("b".to_owned(), b)]))
        };
        let owner = Some(("b".to_owned(), "t/user:of-it".to_owned()));
        assert_eq!(claimant(&|_| true, user("t/user:of-it", thing)), owner, "{thing}");
        assert_eq!(claimant(&|_| true, user("t/user:of-it", "file:/other")), None, "{thing}");
        assert_eq!(claimant(&|_| true, user("t/user:of-it", "site:443 x")), None, "{thing}");
        // Two that were uninstalled are in nobody's way, nor is what stays of the same product.
        assert_eq!(claimant(&|_| true, uninstalled(resource, thing, Undo::Nothing)), None, "{thing}");
        assert_eq!(claimant(&|_| false, State::default()), None, "{thing}");
    }
}

#[test]
fn a_folder_that_another_uses_something_in_does_not_go_with_everything() {
    let undo = Undo::RemoveFolder { path: "/srv/shared".into() };
    let a = uninstalled("s/directory:/srv/shared", "file:/srv/shared", undo);
    let item = &a.resources["s/directory:/srv/shared"].items[0];
    for (thing, purge, used) in [
        ("file:/srv/shared/b/x.conf", true, true),
        ("key:/srv/shared/x.ini#[a] b", true, true),
        ("data:/srv/shared/b", true, true),
        ("file:/srv/shared/b/x.conf", false, false),
        ("file:/srv/shared-too/x.conf", true, false),
        ("site:80 /srv", true, false),
    ] {
        let others = HashMap::from([("b".to_owned(), user("t/file:x", thing))]);
        let found = user_within(("a", &a), &|_| true, item, purge, &others);
        assert_eq!(found.is_some(), used, "{thing} {purge}");
    }
}

#[test]
fn each_user_of_a_file_of_users_is_for_itself() {
    let key = |key: &str| Undo::RestoreKey {
        path: "/etc/users".into(),
        format: KeyFormat::Colon,
        section: String::new(),
        key: key.into(),
        original: None,
        made_section: false,
        repeat: false,
    };
    for (name, kept) in [("adam", true), ("eve", false)] {
        // Both were named once by a, and adam is still by both.
        let a = uninstalled("s/htpasswd:/etc/users", "key:/etc/users#adam", key(name));
        let item = &a.resources["s/htpasswd:/etc/users"].items[0];
        let others = HashMap::from([("b".to_owned(), user("t/htpasswd:/etc/users", "key:/etc/users#adam"))]);
        assert_eq!(claimant(("a", &a), &|_| true, "s/htpasswd:/etc/users", item, &others).is_some(), kept, "{name}");
    }
}
