//! Which packages are missing, and what is said of them.

use distro::packages::Move;

use super::*;

fn known(packages: &[(&str, State)]) -> Known {
    packages.iter().map(|(name, state)| ((*name).to_owned(), Package { version: "1".into(), state: *state })).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_there_of_another_series_is_older_or_newer() {
    let known = known(&[("a", State::Installed), ("b", State::Configuration)]);
    let others = |wanted: Option<&str>| {
        let version = wanted.map(str::to_owned);
        Packages { version, ..Packages::new(owned(&["a", "b", "c"]), Vec::new()) }.of_other_series(&known)
    };
    let told = |wanted: &str| -> Vec<(String, bool)> {
        others(Some(wanted)).into_iter().map(|one| (format!("{} {}", one.name, one.found), one.older)).collect()
    };
    assert_eq!(told("1.2"), [("a 1".to_owned(), true)]);
    assert_eq!(told("0.9"), [("a 1".to_owned(), false)]);
    assert!(told("1").is_empty() && others(None).is_empty());
    assert!(numbers("3.7.0-1") < numbers("3.9") && numbers("3.10") > numbers("3.9"));
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let known = known(&[("a", State::Installed), ("b", State::Unfinished), ("c", State::Configuration)]);
    let one = Packages::new(owned(&["a", "c", "d"]), owned(&["x"]));
    let two = Packages::new(owned(&["b", "d"]), owned(&["x", "y"]));
    assert_eq!(missing(&known, &[&one, &two]), ["b", "c", "d"]);
    assert_eq!(held_back(&[&one, &two]), ["x", "y"]);
}

#[test]
fn what_is_of_another_series_is_asked_for() {
    let known = known(&[("a", State::Installed)]);
    for (wanted, version, is_right) in [
        ("3.9", "3.9", true),
        ("3.9", "3.9.0-1", true),
        ("3.9", "1:3.9~rc1", true),
        ("3.9", "3.90-1", false),
        ("3.9", "3.9a", false),
        ("3.9", "3.8.1-1", false),
        ("1:3.9", "1:3.9-1", true),
        ("3.9.0-1", "3.9.0-1", true),
    ] {
        let set = Packages { version: Some(wanted.into()), ..Packages::new(owned(&["a"]), Vec::new()) };
        assert_eq!(set.is_of_series(version), is_right, "{version} for {wanted}");
    }
    let set = Packages { version: Some("2".into()), ..Packages::new(owned(&["a", "b"]), Vec::new()) };
    assert_eq!(missing(&known, &[&set]), ["a", "b"]);
    let told = |name| set.change(&known, name, false).summary;
    assert_eq!([told("a"), told("b")], ["upgrade a 1 -> version 2", "install b"]);
    let to = |name: &str, to: &str| Move { name: name.into(), from: None, to: to.into() };
    let of = |new: Vec<Move>| Solution { new, ..Solution::default() };
    for (solution, expected) in [
        (of(Vec::new()), Some("a is 1, and no repository has a newer one of 2")),
        // What there is is not what is wanted: nothing is touched.
        (of(vec![to("a", "1.5"), to("b", "2.0-1")]), Some("apt would install a 1.5, and 2 is wanted")),
        (of(vec![to("a", "2.0-1"), to("b", "3")]), Some("apt would install b 3, and 2 is wanted")),
        (of(vec![to("a", "2.0-1"), to("b", "2.1")]), None),
    ] {
        let found = not_brought(&solution, &known, &[&set]);
        let fault = found.map(|(name, set)| not_offered(Manager::Apt, &solution, name, &known, set).message);
        assert_eq!(fault.as_deref(), expected);
    }
}

#[test]
fn what_is_new_is_removed_and_what_is_upgraded_stays() {
    let moved = |name: &str, from: Option<&str>| Move { name: name.into(), from: from.map(Into::into), to: "2".into() };
    let solution = Solution {
        new: vec![moved("a", None), moved("liba", None)],
        upgraded: vec![moved("b", Some("1"))],
        native: ":all".into(),
        ..Solution::default()
    };
    let remaining = ["liba".to_owned()].into();
    let changes = changes(&solution, &owned(&["a:all"]), &remaining);
    let told: Vec<_> = changes.iter().map(|change| (change.item.as_str(), change.summary.as_str())).collect();
    assert_eq!(
        told,
        [("package a", "install a 2"), ("package liba", "install liba 2"), ("package b", "upgrade b 1 -> 2")]
    );
    assert_eq!(changes[0].undo, Undo::RemovePackage { name: "a".into(), dependency: false, remains: false });
    assert_eq!(changes[1].undo, Undo::RemovePackage { name: "liba".into(), dependency: true, remains: true });
    assert!(matches!(&changes[2].undo, Undo::Kept { why } if why.contains("from 1 to 2")));

    let brought = Packages::new(owned(&["a", "b", "a:all"]), Vec::new());
    assert!(not_brought(&solution, &Known::new(), &[&brought]).is_none());
    let provided = Packages::new(owned(&["a", "mail-agent"]), Vec::new());
    let (name, set) = not_brought(&solution, &Known::new(), &[&provided]).unwrap();
    let fault = not_offered(Manager::Apt, &solution, name, &Known::new(), set);
    assert!(fault.message.contains("'mail-agent'"), "{fault}");
}

#[test]
fn packages_go_unless_somebody_needs_them() {
    let known = known(&[
        ("nginx", State::Installed),
        ("nginx-common", State::Installed),
        ("libssl", State::Installed),
        ("redis", State::Configuration),
        ("almost-gone", State::AlmostGone),
        ("libaudit", State::Installed),
        ("jq", State::Installed),
        ("libjq1", State::Installed),
        ("sudo", State::Installed),
    ]);
    let needed = |set: &BTreeSet<String>| {
        let needed = [("libssl", "curl"), ("libaudit", "sudo"), ("libjq1", "jq")]
            .map(|(name, by)| (name.to_owned(), by.to_owned()));
        Ok(needed.into_iter().filter(|(name, by)| set.contains(name) && !set.contains(by)).collect())
    };
    let names = owned(&["nginx", "nginx-common", "libssl", "redis", "never-seen", "libaudit", "sudo", "jq", "libjq1"]);
    let asked = ["jq".to_owned(), "sudo".to_owned()].into();
    let stays = |name: &str| stays(Manager::Apt, name, &asked);
    let foreign = |name: &str| {
        let files = if name == "nginx-common" { vec!["/etc/nginx/sites-available/mine".into()] } else { Vec::new() };
        Ok(purge_takes(Vec::new(), files))
    };
    let (plain, purge) = (Going::default(), Going { purge: true, ..Going::default() });
    let said = |plan: &Removal, name: &str| plan.told.iter().find(|(known, _)| known == name).unwrap().1.clone();

    let plan = Removal::plan(&known, &names, &plain, stays, needed, foreign).unwrap();
    assert_eq!((plan.remove.clone(), plan.purge.clone()), (owned(&["nginx", "nginx-common"]), Vec::new()));
    assert_eq!(said(&plan, "libssl"), Undone::Kept("package curl needs it".into()));
    assert_eq!(said(&plan, "redis"), Undone::Removed("redis was removed already".into()));
    assert_eq!(said(&plan, "never-seen"), Undone::Gone);
    assert!(matches!(said(&plan, "sudo"), Undone::Kept(why) if why.contains("become root")));
    assert_eq!(said(&plan, "libaudit"), Undone::Kept("package sudo needs it".into()));
    assert_eq!(said(&plan, "jq"), Undone::Kept("somebody asked for it since; `apt-mark auto jq` lets it go".into()));
    assert_eq!(said(&plan, "libjq1"), Undone::Kept("package jq needs it".into()));
    assert!(matches!(said(&plan, "nginx-common"), Undone::Removed(_)));

    // Of a package without configuration dpkg was killed on its way from here to nothing.
    let plan = Removal::plan(&known, &owned(&["almost-gone"]), &plain, stays, needed, foreign).unwrap();
    assert_eq!((plan.remove.clone(), plan.purge.clone()), (Vec::new(), owned(&["almost-gone"])));
    assert_eq!(said(&plan, "almost-gone"), Undone::Done("removed almost-gone".into()));

    let plan = Removal::plan(&known, &names, &purge, stays, needed, foreign).unwrap();
    assert_eq!(
        (plan.remove.clone(), plan.purge.clone()),
        (owned(&["nginx", "nginx-common"]), owned(&["nginx", "redis"]))
    );
    assert!(
        matches!(said(&plan, "nginx-common"), Undone::Kept(why) if why.contains("/etc/nginx/sites-available/mine"))
    );
    assert_eq!(said(&plan, "redis"), Undone::Done("purged redis".into()));
    assert_eq!(plan.told.len(), names.len());
}

#[test]
fn what_was_there_before_a_package_is_never_purged() {
    let names = owned(&["a", "removed-since", "ours"]);
    let known =
        known(&[("a", State::Installed), ("removed-since", State::Configuration), ("ours", State::Configuration)]);
    let found: BTreeSet<String> = ["a".to_owned(), "removed-since".to_owned()].into();
    for (purge, purged, told) in [
        (
            false,
            owned(&[]),
            [
                Undone::Done("removed a, its configuration and data, which were there before, stay".into()),
                Undone::Gone,
                Undone::Removed("ours was removed already".into()),
            ],
        ),
        (
            true,
            owned(&["ours"]),
            [
                Undone::Kept("removed, and its configuration and data stay: they were there before".into()),
                Undone::Gone,
                Undone::Done("purged ours".into()),
            ],
        ),
    ] {
        let going = Going { found: found.clone(), purge, ..Going::default() };
        let plan = Removal::plan(&known, &names, &going, |_| None, |_| Ok(BTreeMap::new()), |_| Ok(None)).unwrap();
        assert_eq!((plan.remove, plan.purge), (owned(&["a"]), purged));
        assert_eq!(plan.told.into_iter().map(|(_, undone)| undone).collect::<Vec<_>>(), told);
    }
}

#[test]
fn a_cluster_of_somebody_else_is_in_the_way_of_a_purge() {
    let going = Going { clusters: ["15/main".to_owned(), "15/shop".to_owned()].into(), ..Going::default() };
    // A cluster of ours with another name was made by us, and is gone by then; or it was there.
    let others = |clusters: &[&str]| owned(clusters).into_iter().filter(|name| !going.is_packaged(name)).collect();
    for (clusters, files, wanted) in [
        (&["15/main"][..], &[][..], None),
        (
            &["15/crm", "15/main"],
            &["/etc/x"],
            Some("would drop a cluster of PostgreSQL of somebody else with all data, 15/crm"),
        ),
        (
            &["15/shop", "16/main"],
            &[],
            Some("would drop 2 clusters of PostgreSQL of somebody else with all data, 15/shop"),
        ),
        (&[], &["/etc/x"], Some("may delete a file of somebody else, /etc/x")),
    ] {
        let files = files.iter().map(PathBuf::from).collect();
        assert_eq!(purge_takes(others(clusters), files).as_deref(), wanted);
    }
}
