//! Where blueprints come from, and what is kept of them.

use distro::Class;

use super::super::{builtin, load, schema};
use super::*;

const TEXT: &str = "schema = 1\n[product]\nname = \"demo\"\ntitle = \"Demo\"\nversion = \"1\"\n[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n";

#[test]
fn a_folder_or_its_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("blueprint.toml"), TEXT).unwrap();
    std::fs::create_dir_all(folder.path().join("files/sub")).unwrap();
    std::fs::write(folder.path().join("files/sub/t"), "content").unwrap();
    let path = folder.path().to_str().unwrap();
    for source in [path.to_owned(), format!("{path}/"), format!("{path}/blueprint.toml")] {
        let files = load::read(&source).unwrap();
        assert_eq!(files.files.keys().collect::<Vec<_>>(), ["sub/t"]);
    }
    let made = super::super::read::read(load::read(path).unwrap(), KINDS).unwrap();
    let digest = made.digest();
    // What is stored is read back as the same.
    let copy = tempfile::tempdir().unwrap();
    for (name, content) in made.files() {
        let to = copy.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, content).unwrap();
    }
    let again = super::super::read::read(load::folder(copy.path()).unwrap(), KINDS).unwrap();
    assert_eq!(again.digest(), digest);
    std::fs::write(copy.path().join("files/sub/t"), "Content").unwrap();
    let other = super::super::read::read(load::folder(copy.path()).unwrap(), KINDS).unwrap();
    assert_ne!(other.digest(), digest);

    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("files/link")).unwrap();
    assert!(message(&load::read(path).unwrap_err()).ends_with("files/link: not a regular file"));
}

#[test]
fn what_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(&file, "").unwrap();
    std::fs::write(folder.path().join("blueprint.toml"), b"a = 1\nb = '\xff'\n").unwrap();
    for (source, class, expected) in [
        ("no-such-blueprint", Class::Usage, "there is no blueprint 'no-such-blueprint'"),
        (file.to_str().unwrap(), Class::Usage, "is a file that is not called blueprint.toml"),
        ("/etc", Class::Usage, "the folder '/etc' holds no blueprint.toml"),
        (folder.path().to_str().unwrap(), Class::Blueprint, "blueprint.toml:2: not UTF-8"),
    ] {
        let error = load::read(source).unwrap_err();
        assert_eq!(Fault::class_of(&error), class);
        assert!(message(&error).contains(expected), "{}", message(&error));
    }
}

#[test]
fn the_built_in_ones_are_valid() {
    for name in builtin::names() {
        Blueprint::load(name).unwrap_or_else(|error| panic!("{name}: {error:#}")).validate().unwrap();
    }
}

/// Keys of `table` that `schema` does not know, with the way to them.
fn unknown_to(schema: &serde_json::Value, table: &toml::Table, way: &str) -> Vec<String> {
    let properties = schema["properties"].as_object().unwrap();
    table.keys().filter(|key| !properties.contains_key(*key)).map(|key| format!("{way}{key}")).collect()
}

#[test]
fn the_schema_knows_what_the_reader_knows() {
    let schema = schema::schema(KINDS);
    let top: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(top, super::super::read::TOP_KEYS.iter().collect::<Vec<_>>());
    let step = &schema["properties"]["step"]["items"]["oneOf"][0];
    assert_eq!(step["properties"]["kind"]["const"], "note");
    for key in super::super::spec::STEP_KEYS.iter().chain(&["text", "port", "servers"]) {
        assert!(step["properties"].get(key).is_some(), "{key}");
    }
    let full: toml::Table = toml::from_str(
        "schema = 1\nsurefoot = \">= 0.1\"\n[product]\nname = \"x\"\ntitle = \"\"\nversion = \"\"\nnext = []\n\
         [requires]\nmemory = 1\ncpus = 1\ndisk = {}\nos = []\n[[step]]\n",
    )
    .unwrap();
    let mut unknown = unknown_to(&schema, &full, "");
    for part in ["product", "requires"] {
        unknown.extend(unknown_to(&schema["properties"][part], full[part].as_table().unwrap(), part));
    }
    assert!(unknown.is_empty(), "{unknown:?}");
    // Every reference leads somewhere.
    let text = schema.to_string();
    for reference in text.split("\"#/$defs/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(schema["$defs"].get(reference).is_some(), "{reference}");
    }
}
