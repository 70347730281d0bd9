//! How files are kept.

use super::*;

fn store(folder: &Path) -> Store {
    Store { folder: folder.to_owned(), product: "x".into() }
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect()
}

/// What is there of the blueprint, and whatever is beside it.
fn there(store: &Store) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let mut names = BTreeSet::new();
    names_below(&store.blueprint(), "", &mut names).unwrap();
    let read = |name: String| (name.clone(), std::fs::read(store.blueprint().join(name)).unwrap());
    let beside = std::fs::read_dir(&store.folder).unwrap().map(|entry| entry.unwrap().file_name());
    (names.into_iter().map(read).collect(), beside.map(|name| name.into_string().unwrap()).collect())
}

#[test]
fn a_blueprint_is_kept_without_what_an_earlier_one_had() {
    let versions = [
        files(&[("blueprint.toml", "1"), ("files/nginx", "a"), ("files/old", "o")]),
        // A file is a folder now, and the reverse.
        files(&[("blueprint.toml", "2"), ("files/nginx/site.conf", "b"), ("files/old", "o")]),
        files(&[("blueprint.toml", "2"), ("files/nginx", "b")]),
        files(&[("blueprint.toml", "3"), ("files/nginx", "b")]),
        // Names that a temporary file could have.
        files(&[("blueprint.toml", "3"), ("files/schema.new", "n"), ("files/schema.sql", "s"), ("files/schema", "x")]),
        files(&[("blueprint.toml", "3"), ("files/schema.sql", "s"), ("files/schema.sql.new", "n")]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for version in &versions {
        for _ in 0..2 {
            store.keep_blueprint(version).unwrap();
            assert_eq!(there(&store), (version.clone(), vec!["blueprint".to_owned()]));
        }
    }
}

#[test]
fn what_is_kept_already_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;

    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let version = files(&[("blueprint.toml", "1"), ("files/a", "a")]);
    let inode = || std::fs::metadata(store.blueprint().join("files/a")).unwrap().ino();
    store.keep_blueprint(&version).unwrap();
    let before = inode();
    store.keep_blueprint(&version).unwrap();
    assert_eq!(inode(), before);
}

#[test]
fn a_kill_leaves_one_blueprint_or_the_other() {
    let (one, two) = (files(&[("blueprint.toml", "1"), ("files/a", "a")]), files(&[("blueprint.toml", "2")]));
    let torn = files(&[("files/a", "")]);
    // What is there at each moment of a replacement, and which of the two counts.
    let moments = [
        (vec![("blueprint.next", &torn)], &files(&[])),
        (vec![("blueprint", &one), ("blueprint.next", &torn)], &one),
        (vec![("blueprint.old", &one), ("blueprint.next", &two)], &one),
        (vec![("blueprint.old", &one), ("blueprint", &two)], &two),
        (vec![("blueprint.old", &torn), ("blueprint", &two)], &two),
    ];
    for (found, counts) in moments {
        for then in [&one, &two] {
            let folder = tempfile::tempdir().unwrap();
            let store = store(folder.path());
            for (name, version) in &found {
                for (file, content) in *version {
                    let path = folder.path().join(name).join(file);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, content).unwrap();
                }
            }
            assert_eq!(there(&store).0, *counts, "{found:?}");
            store.keep_blueprint(then).unwrap();
            assert_eq!(there(&store), (then.clone(), vec!["blueprint".to_owned()]), "{found:?}");
        }
    }
}

#[test]
fn a_temporary_file_is_no_other_one() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["schema.new", "schema.sql", "schema.sql.txt"] {
        keep(&folder.path().join(name), name.as_bytes()).unwrap();
    }
    for name in ["schema.new", "schema.sql", "schema.sql.txt"] {
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), name.as_bytes());
    }
}
