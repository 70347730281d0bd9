//! From what is there to what is wanted, and the statements that do it.

use super::*;
use crate::resources::trial::Trial;

#[test]
fn what_is_no_matter_of_the_password() {
    for (code, message, wanted) in [
        ("28P01", "password authentication failed for user \"shop\"", None),
        ("28000", "role \"shop\" is not permitted to log in", None),
        ("28000", "no pg_hba.conf entry for host \"10.0.0.5\", user \"shop\"", Some("which lets nobody in so")),
        ("28000", "pg_hba.conf rejects connection for host \"10.0.0.5\"", Some("which lets nobody in so")),
        ("53300", "sorry, too many clients already", Some("which takes no more logins")),
        ("55000", "database \"shop\" is not currently accepting connections", Some("which takes no more logins")),
        ("3D000", "database \"shop\" does not exist", None),
    ] {
        assert_eq!(barred(code, message), wanted, "{code}");
    }
}

#[test]
fn a_database_is_dropped_whoever_uses_it() {
    assert_eq!(drop_statements("role", "a\"b"), "DROP role IF EXISTS \"a\"\"b\";\n");
    let lines = drop_statements("database", "shop");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains("datallowconn = false") && lines[1].ends_with("WHERE datname = 'shop';"), "{lines:?}");
    assert_eq!(lines[2], "DROP database IF EXISTS \"shop\";");
}

fn database() -> Database {
    Database {
        cluster: Cluster { version: "15".into(), name: "main".into(), address: [127, 0, 0, 1].into() },
        role: "shop".into(),
        password: "hunter2".into(),
        createdb: None,
        name: "shop".into(),
        extensions: vec!["pg_trgm".into()],
    }
}

fn state(role: Option<(bool, bool)>, owner: Option<&str>, extensions: &[&str]) -> State {
    let extensions = extensions.iter().map(|name| (*name).to_owned()).collect();
    State { role, owner: owner.map(str::to_owned), extensions, ..State::default() }
}

#[test]
fn from_what_is_there_to_what_is_wanted() {
    for (state, refused, wanted) in [
        (state(Some((true, false)), Some("shop"), &["plpgsql", "pg_trgm"]), None, ""),
        (state(None, None, &[]), Some("no"), "role shop, database shop"),
        (state(Some((true, true)), Some("shop"), &["pg_trgm"]), Some("no"), "password"),
        (state(Some((false, false)), None, &[]), None, "attributes, database shop"),
        (state(Some((true, false)), Some("postgres"), &[]), None, "owner, extension pg_trgm"),
    ] {
        let changes = database().changes(&state, Ours::default(), refused);
        let items: Vec<&str> = changes.iter().map(|change| change.item.as_str()).collect();
        assert_eq!(items.join(", "), wanted, "{state:?}");
    }
    let asked = Database { createdb: Some(true), ..database() };
    let there = state(Some((true, false)), Some("shop"), &["pg_trgm"]);
    assert_eq!(asked.changes(&there, Ours::default(), None)[0].summary, "role shop: login createdb");
}

#[test]
fn what_was_made_is_as_it_was_made_and_what_was_there_is_its_owners() {
    let rows = "role\ttrue\ttrue\tNOSUPERUSER NOBYPASSRLS\t\ndatabase\tshop\ttrue\t\nextension\tpg_trgm\n";
    let given = State::read(rows);
    let row = ["true", "true", "NOSUPERUSER NOBYPASSRLS", "shop", "pg_trgm"].map(|text| Some(text.to_owned()));
    assert_eq!(State::of_row(&row.to_vec()), given);
    assert!(database().changes(&given, Ours::default(), None).is_empty());
    let put_right = database().changes(&given, Ours { role: true, database: true }, None);
    assert_eq!(put_right.len(), 1);
    assert_eq!(put_right[0].summary, "role shop: login nocreatedb nosuperuser nobypassrls");
    assert_eq!(put_right[0].undo, Undo::Nothing);
    let (general, _) = database().statements(&given, Ours { role: true, database: true }, false);
    assert_eq!(general, "ALTER ROLE \"shop\" LOGIN NOCREATEDB NOSUPERUSER NOBYPASSRLS;\n");
    // What is asked for holds of both.
    for (is_ours, wanted) in [(false, "login nocreatedb"), (true, "login nocreatedb nosuperuser nobypassrls")] {
        let asked = Database { createdb: Some(false), ..database() };
        assert_eq!(
            asked.changes(&given, Ours { role: is_ours, ..Ours::default() }, None)[0].summary,
            format!("role shop: {wanted}")
        );
    }
}

#[test]
fn what_keeps_the_role_from_logging_in_is_ended() {
    let rows =
        "role\ttrue\tfalse\t\tVALID UNTIL 'infinity'\ndatabase\tshop\tfalse\tCONNECTION LIMIT -1\nextension\tpg_trgm\n";
    let barred = State::read(rows);
    let changes = database().changes(&barred, Ours::default(), None);
    let told: Vec<&str> = changes.iter().map(|change| change.summary.as_str()).collect();
    let wanted = [
        "role shop: valid until 'infinity'",
        "database shop: connection limit -1",
        "database shop: grant connect to shop",
    ];
    assert_eq!(told, wanted);
    assert_eq!(
        database().statements(&barred, Ours::default(), false).0,
        "ALTER ROLE \"shop\" VALID UNTIL 'infinity';\n\
         ALTER DATABASE \"shop\" CONNECTION LIMIT -1;\n\
         GRANT CONNECT ON DATABASE \"shop\" TO \"shop\";\n"
    );
}

#[test]
fn who_is_given_a_database_may_log_in_to_it() {
    for is_denied in [false, true] {
        let others = State { is_denied, ..state(Some((true, false)), Some("postgres"), &["pg_trgm"]) };
        assert_eq!(
            database().statements(&others, Ours::default(), false).0,
            "ALTER DATABASE \"shop\" OWNER TO \"shop\";\n\
             GRANT CONNECT ON DATABASE \"shop\" TO \"shop\";\n"
        );
    }
}

#[test]
fn a_database_of_somebody_else_goes_back_to_its_owner() {
    let theirs = state(Some((true, false)), Some("m'e"), &["pg_trgm"]);
    let given = |ours| database().changes(&theirs, ours, None)[0].undo.clone();
    let Undo::RestoreDatabaseOwner { name, role, owner, .. } = given(Ours::default()) else { panic!("it stays") };
    assert_eq!((name.as_str(), role.as_str(), owner.as_str()), ("shop", "shop", "m'e"));
    assert_eq!(
        owner_statements("shop", "shop", "m'e"),
        "DO $surefoot$ BEGIN IF (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop') = 'shop' THEN EXECUTE \
         'ALTER DATABASE \"shop\" OWNER TO \"m''e\"'; END IF; END $surefoot$;\n\
         SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop';\n"
    );
    // One that was made here was nobody's before.
    assert_eq!(given(Ours { database: true, ..Ours::default() }), Undo::Nothing);
}

#[test]
fn what_is_made_is_data_and_the_rest_is_told() {
    let made = database().changes(&State::default(), Ours::default(), None);
    assert!(made.iter().all(|change| change.data));
    assert!(matches!(&made[0].undo, Undo::RemoveRole { name, .. } if name == "shop"));
    assert!(matches!(&made[1].undo, Undo::RemoveDatabase { name, .. } if name == "shop"));
}

#[test]
fn a_port_that_nobody_expects_is_told() {
    let trial = Trial::new();
    let cluster = Cluster::at(trial.at("").trim_end_matches('/'), [127, 0, 0, 1].into());
    for (port, told) in [("5432", ""), ("5433", ", on port 5433")] {
        trial.write("postgresql.conf", &format!("port = {port}\n"));
        let made =
            Database { cluster: cluster.clone(), ..database() }.changes(&State::default(), Ours::default(), None);
        assert_eq!(made[1].summary, format!("create database shop, owned by shop{told}"));
    }
}

#[test]
fn no_statement_holds_the_password() {
    let (general, inside) = database().statements(&State::default(), Ours::default(), false);
    assert!(general.starts_with("CREATE ROLE \"shop\" LOGIN NOCREATEDB PASSWORD 'SCRAM-SHA-256$4096:"), "{general}");
    assert!(general.contains("\nCREATE DATABASE \"shop\" OWNER \"shop\" TEMPLATE template0 ENCODING 'UTF8';\n"));
    assert_eq!(inside, "CREATE EXTENSION IF NOT EXISTS \"pg_trgm\";\n");
    assert!(!general.contains("hunter2") && !format!("{:?}", database()).contains("hunter2"));
    let there = state(Some((true, true)), Some("shop"), &["pg_trgm"]);
    assert_eq!(database().statements(&there, Ours::default(), false), (String::new(), String::new()));
    assert!(database().statements(&there, Ours::default(), true).0.contains(" PASSWORD 'SCRAM-SHA-256$"));
}

#[test]
fn a_database_is_in_utf8_whatever_the_locale_of_the_cluster() {
    for (encoding, locale) in [("UTF8", ""), ("SQL_ASCII", ""), ("LATIN1", " LC_COLLATE 'C' LC_CTYPE 'C'")] {
        let state = State::read(&format!("encoding\t{encoding}\n"));
        let (general, _) = database().statements(&state, Ours::default(), false);
        assert!(general.ends_with(&format!("TEMPLATE template0 ENCODING 'UTF8'{locale};\n")), "{general}");
    }
}

#[test]
fn a_server_of_before_scram_is_given_what_it_keeps() {
    let cluster = Cluster { version: "9.5".into(), ..database().cluster };
    let (general, _) = Database { cluster, ..database() }.statements(&State::default(), Ours::default(), false);
    // md5 of password and role, as PostgreSQL's documentation of pg_authid has it.
    assert!(general.contains(" PASSWORD 'md5c3129178c547296abec043d3f0ba0ef7';"), "{general}");
}

#[test]
fn what_the_superuser_and_the_role_see() {
    let rows = "role\ttrue\tfalse\t\t\ndatabase\tshop\ttrue\t\nextension\tplpgsql\nextension\tpg_trgm\n";
    let seen = state(Some((true, false)), Some("shop"), &["plpgsql", "pg_trgm"]);
    assert_eq!(State::read(rows), seen);
    assert_eq!(State::read(""), State::default());
    let row = ["true", "false", "", "shop", "plpgsql pg_trgm"].map(|text| Some(text.to_owned())).to_vec();
    assert_eq!(State::of_row(&row), seen);
}
