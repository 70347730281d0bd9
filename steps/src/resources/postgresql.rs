//! A cluster of PostgreSQL, and what is in it: a role, its database, extensions.
//!
//! Looked at by the role's own login, over the wire. What a refused login does not tell, and every change, goes through `psql` as the
//! user `postgres`, with SQL on its standard input. The server never sees the password: it is given what it would keep of it.

mod new_cluster;
mod settings;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use distro::net::{Endpoint, PgAnswer, PgLogin, Row, connect, md5_verifier, postgres_ask, scram_verifier};
use distro::services::{self, Act};
use distro::{Class, Command, Fault, Host, files, layout};
use serde_json::Value;

use self::settings::Settings;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

pub use new_cluster::NewCluster;
pub use settings::Overruled;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The port that a cluster has where nothing is said.
const PORT: u16 = 5432;

/// What the role itself can see: may it log in, may it make databases; the database's owner; its extensions.
const SEEN_BY_ROLE: &str = "SELECT rolcanlogin::text, rolcreatedb::text, \
     (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()), \
     (SELECT string_agg(extname, ' ') FROM pg_extension) \
     FROM pg_roles WHERE rolname = current_user";

/// A cluster: a server process with its data, one of several on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Major version; empty where there is only one cluster.
    pub version: String,
    /// Name; its folder, where there is only one.
    pub name: String,
    /// Address of this host at which it is reached.
    pub address: IpAddr,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.version.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.version, self.name) }
    }
}

impl Cluster {
    /// The only one of a host, in `folder`.
    pub fn at(folder: &str, address: IpAddr) -> Self {
        Self { version: String::new(), name: folder.to_owned(), address }
    }

    /// Where it has what.
    pub fn paths(&self) -> layout::Cluster {
        layout::Cluster::of(&self.version, &self.name)
    }

    /// Where it listens, by its configuration: several clusters of a host have a port each.
    ///
    /// # Errors
    /// Where its configuration cannot be read.
    pub fn endpoint(&self) -> Result<Endpoint> {
        Ok(Endpoint::Tcp(SocketAddr::new(self.address, self.port()?)))
    }

    /// Its port, by its configuration.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn port(&self) -> Result<u16> {
        Ok(Settings::of(self)?.port(|_| true).unwrap_or(PORT))
    }

    /// The port of a cluster that is there, as far as it can be read, and whatever our own file says of it: that is written anew.
    pub fn port_in_place(&self) -> Option<u16> {
        let own = self.paths().own;
        Settings::of(self).ok()?.port(|path| path != Path::new(&own))
    }

    /// Asks the server that runs what it thinks of its pg_hba.conf as it is on disk: it would stay with the old one without a word, and
    /// not start with it the next time. One of before 10 cannot be asked.
    ///
    /// # Errors
    /// Class `service`, with the server's own words.
    pub fn check_logins(&self, host: &Host) -> Result<()> {
        if self.paths().before_scram {
            return Ok(());
        }
        let wrong = "SELECT 'line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL;\n";
        let output = self.psql(host, "postgres", wrong)?;
        let path = format!("{}/pg_hba.conf", self.paths().folder);
        let Some(first) = output.stdout.lines().next() else {
            let failed = || output.fault(Class::Service, format!("PostgreSQL {self} cannot be asked about {path}"));
            return if output.ok() { Ok(()) } else { Err(failed().advice(self.advice(&output)).into()) };
        };
        Err(Fault::new(Class::Service, format!("PostgreSQL {self} refuses {path}: {first}"))
            .evidence(output.stdout.lines().map(|line| format!("{path}: {line}")))
            .advice(format!("mend {path}, then run again with --resume"))
            .into())
    }

    /// What to do where `output` of its psql is a failure.
    fn advice(&self, output: &distro::command::Output) -> String {
        if !output.tail.iter().any(|line| tells_of_logins(line)) {
            return self.where_to_look();
        }
        let (folder, unit) = (self.paths().folder, self.paths().unit);
        format!(
            "let the user postgres in without a password by a line `local all postgres peer` at the top of {folder}/pg_hba.conf, \
             `systemctl reload {unit}`, then run again with --resume"
        )
    }

    fn where_to_look(&self) -> String {
        format!("see what it says, and its log ({}), then run again with --resume", self.paths().log)
    }

    /// Runs `sql` in `database` as the user `postgres`; the columns of what it answers are parted by tabs.
    fn psql(&self, host: &Host, database: &str, sql: &str) -> Result<distro::command::Output> {
        let port = self.port()?.to_string();
        let program = format!("{}/psql", self.paths().programs);
        let args = [
            "-u",
            "postgres",
            "--",
            &program,
            "-XAtqw",
            "-F",
            "\t",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            "-",
            "-d",
            database,
        ];
        Command::new("runuser")
            .args(args)
            .args(["-p", &port])
            .stdin(format!("{QUIETLY}{sql}"))
            .limit(Duration::from_secs(120))
            .output(&host.runner)
    }
}

/// Does psql say that pg_hba.conf does not let it in?
fn tells_of_logins(line: &str) -> bool {
    ["no password supplied", "authentication failed", "pg_hba.conf"].iter().any(|words| line.contains(words))
}

/// Statements are not written into the server's log, whatever its configuration says: what it keeps of passwords is in some.
const QUIETLY: &str = "SET client_min_messages = warning; SET log_statement = 'none'; SET log_min_error_statement = 'panic';\n\
     SET log_min_duration_statement = -1;\n";

/// A role that logs in with a password, and a database that it owns.
#[derive(Clone)]
pub struct Database {
    /// Where.
    pub cluster: Cluster,
    /// The role.
    pub role: String,
    /// Its password.
    pub password: String,
    /// May it make databases? Without: as it is.
    pub createdb: Option<bool>,
    /// The database.
    pub name: String,
    /// Extensions in it.
    pub extensions: Vec<String>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({} in {}, of {})", self.name, self.cluster, self.role)
    }
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// Of the role: may it log in, may it make databases? None, where it is not there.
    role: Option<(bool, bool)>,
    /// Owner of the database; none, where it is not there.
    owner: Option<String>,
    /// Extensions in it.
    extensions: Vec<String>,
    /// What keeps the role from logging in, as the words of `ALTER ROLE` that end it.
    role_barred: Option<String>,
    /// The same of the database, for `ALTER DATABASE`.
    database_barred: Option<String>,
    /// Was the right to log in to the database taken from whom it belongs to?
    is_denied: bool,
    /// Is the cluster's locale one of another encoding than UTF-8? A database in UTF-8 needs its own then.
    is_of_other_locale: bool,
}

/// The words that end what keeps a role from being logged in to, where it is so.
const ROLE_BARRED: &str = "concat_ws(' ', CASE WHEN rolvaliduntil < now() THEN 'VALID UNTIL ''infinity''' END, \
     CASE WHEN rolconnlimit = 0 THEN 'CONNECTION LIMIT -1' END)";
/// The same of a database.
const DATABASE_BARRED: &str = "concat_ws(' ', CASE WHEN NOT datallowconn THEN 'ALLOW_CONNECTIONS true' END, \
     CASE WHEN datconnlimit = 0 THEN 'CONNECTION LIMIT -1' END)";

impl State {
    /// From rows that begin with what they are about: `role`, `database`, `extension`.
    fn read(text: &str) -> Self {
        let mut state = Self::default();
        let words = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["role", login, createdb, barred] => {
                    state.role = Some((login == "true", createdb == "true"));
                    state.role_barred = words(barred);
                }
                ["database", owner, granted, barred] => {
                    state.owner = Some(owner.to_owned());
                    state.is_denied = granted == "false";
                    state.database_barred = words(barred);
                }
                ["encoding", name] => state.is_of_other_locale = !["UTF8", "SQL_ASCII"].contains(&name),
                ["extension", name] => state.extensions.push(name.to_owned()),
                _ => {}
            }
        }
        state
    }

    /// From the answer to [`SEEN_BY_ROLE`].
    fn of_row(row: &Row) -> Self {
        let is = |column: usize| row.get(column).and_then(Option::as_deref) == Some("true");
        let text = |column: usize| row.get(column).cloned().flatten();
        let extensions = text(3).unwrap_or_default().split(' ').map(str::to_owned).collect();
        Self { role: Some((is(0), is(1))), owner: text(2), extensions, ..Self::default() }
    }
}

impl Database {
    /// The changes from `state` to what is wanted; `refused`: how the login was refused, where it was.
    fn changes(&self, state: &State, refused: Option<&str>) -> Vec<Change> {
        let (version, cluster) = (self.cluster.version.clone(), self.cluster.name.clone());
        let kept = |why: String| Undo::Kept { why };
        let (role, name) = (&self.role, &self.name);
        let mut changes = Vec::new();
        match state.role {
            None => {
                let undo = Undo::RemoveRole { version: version.clone(), cluster: cluster.clone(), name: role.clone() };
                let made = Change::new(format!("role {role}"), format!("create role {role}"), undo);
                changes.push(Change { data: true, ..made });
            }
            Some((login, createdb)) => {
                if let Some(said) = refused {
                    let undo = kept(format!("the password of role {role} was set, and nobody knows the one before"));
                    let summary = format!("set the password of role {role}: its login is refused ({said})");
                    changes.push(Change::new("password", summary, undo));
                }
                let wanted = self.createdb.unwrap_or(createdb);
                let rights = (!login || createdb != wanted).then(|| rights(wanted).to_owned());
                let given: Vec<String> = rights.into_iter().chain(state.role_barred.clone()).collect();
                if !given.is_empty() {
                    let undo = kept(format!("role {role} was given other rights"));
                    let summary = format!("role {role}: {}", given.join(" ").to_ascii_lowercase());
                    changes.push(Change::new("attributes", summary, undo));
                }
            }
        }
        match &state.owner {
            None => {
                let undo = Undo::RemoveDatabase { version, cluster, name: name.clone() };
                // Nothing else tells of a port that nobody expects.
                let port = self.cluster.port().ok().filter(|port| *port != PORT);
                let port = port.map_or(String::new(), |port| format!(", on port {port}"));
                let summary = format!("create database {name}, owned by {role}{port}");
                changes.push(Change { data: true, ..Change::new(format!("database {name}"), summary, undo) });
            }
            Some(owner) => {
                if owner != role {
                    let undo = kept(format!("database {name} was given to {role}; it was {owner}'s"));
                    changes.push(Change::new("owner", format!("owner of database {name}: {owner} -> {role}"), undo));
                }
                if let Some(words) = &state.database_barred {
                    let undo = kept(format!("database {name} was opened to logins"));
                    let summary = format!("database {name}: {}", words.to_ascii_lowercase());
                    changes.push(Change::new("logins", summary, undo));
                }
                if state.is_denied {
                    let undo = kept(format!("role {role} may log in to database {name} again"));
                    changes.push(Change::new("connect", format!("database {name}: grant connect to {role}"), undo));
                }
                for extension in self.extensions.iter().filter(|name| !state.extensions.contains(name)) {
                    let undo = kept(format!("extension {extension} stays in database {name}"));
                    let summary = format!("create extension {extension} in database {name}");
                    changes.push(Change::new(format!("extension {extension}"), summary, undo));
                }
            }
        }
        changes
    }

    /// The statements that make them, in the database `postgres` and then in our own.
    fn statements(&self, state: &State, set_password: bool) -> (String, String) {
        let (role, name) = (identifier(&self.role), identifier(&self.name));
        let mut first = String::new();
        let rights = rights(self.createdb.or(state.role.map(|role| role.1)).unwrap_or_default());
        let password = if state.role.is_none() || set_password {
            let verifier = match self.cluster.paths().before_scram {
                true => md5_verifier(&self.role, &self.password),
                false => scram_verifier(&self.password),
            };
            format!(" PASSWORD {}", literal(&verifier))
        } else {
            String::new()
        };
        let verb = if state.role.is_none() { "CREATE" } else { "ALTER" };
        let unbarred = state.role_barred.as_ref().map(|words| format!(" {words}")).unwrap_or_default();
        first.push_str(&format!("{verb} ROLE {role} {rights}{unbarred}{password};\n"));
        if let Some(words) = &state.database_barred {
            first.push_str(&format!("ALTER DATABASE {name} {words};\n"));
        }
        let changes_hands = state.owner.as_ref().is_some_and(|owner| *owner != self.role);
        match &state.owner {
            None => {
                let locale = if state.is_of_other_locale { " LC_COLLATE 'C' LC_CTYPE 'C'" } else { "" };
                let made = format!("CREATE DATABASE {name} OWNER {role} TEMPLATE template0 ENCODING 'UTF8'{locale};\n");
                first.push_str(&made);
            }
            Some(_) if changes_hands => first.push_str(&format!("ALTER DATABASE {name} OWNER TO {role};\n")),
            Some(_) => {}
        }
        // With a database come the rights that its owner before was given; one that is a superuser needs none to log in.
        if state.is_denied || changes_hands {
            first.push_str(&format!("GRANT CONNECT ON DATABASE {name} TO {role};\n"));
        }
        let missing = self.extensions.iter().filter(|name| !state.extensions.contains(name));
        let extension = |name: &String| format!("CREATE EXTENSION IF NOT EXISTS {};\n", identifier(name));
        (first, missing.map(extension).collect())
    }

    /// What is there, as the superuser sees it.
    fn state(&self, host: &Host) -> Result<State> {
        let (role, name) = (literal(&self.role), literal(&self.name));
        let look = |database: &str, sql: &str| -> Result<String> {
            let output = self.cluster.psql(host, database, sql)?;
            if output.ok() { Ok(output.stdout) } else { Err(self.failed(&output, "cannot be looked into").into()) }
        };
        let general = format!(
            "SELECT 'role', rolcanlogin::text, rolcreatedb::text, {ROLE_BARRED} FROM pg_roles WHERE rolname = {role};\n\
             SELECT 'database', pg_get_userbyid(datdba), has_database_privilege(datdba, oid, 'CONNECT')::text, {DATABASE_BARRED} \
             FROM pg_database WHERE datname = {name};\n\
             SELECT 'encoding', pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template0';\n"
        );
        let general = look("postgres", &general)?;
        // psql of before 10 knows no conditions. What nobody may log in to cannot be looked into.
        let seen = State::read(&general);
        if seen.owner.is_none() || seen.database_barred.as_ref().is_some_and(|words| words.starts_with("ALLOW")) {
            return Ok(seen);
        }
        Ok(State::read(&(general + &look(&self.name, "SELECT 'extension', extname FROM pg_extension;\n")?)))
    }

    fn run(&self, host: &Host, database: &str, sql: &str) -> Result<()> {
        let output = self.cluster.psql(host, database, sql)?;
        if output.ok() {
            return Ok(());
        }
        Err(self.failed(&output, "refuses the change").into())
    }

    fn failed(&self, output: &distro::command::Output, what: &str) -> Fault {
        output.fault(Class::Service, format!("PostgreSQL {} {what}", self.cluster)).advice(self.cluster.advice(output))
    }
}

fn rights(createdb: bool) -> &'static str {
    if createdb { "LOGIN CREATEDB" } else { "LOGIN NOCREATEDB" }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Resource for Database {
    fn sort(&self) -> &'static str {
        "database"
    }

    fn key(&self) -> String {
        format!("{}/{}", self.cluster, self.name)
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let thing = |sort: &str, name: &str| format!("postgresql:{}/{sort} {name}", self.cluster);
        let role = format!("{:?} {}", self.createdb, self.password);
        vec![
            Claim { thing: thing("role", &self.role), wants: role.into_bytes() },
            Claim { thing: thing("database", &self.name), wants: self.role.clone().into_bytes() },
        ]
    }

    fn units(&self) -> Vec<String> {
        vec![self.cluster.paths().unit]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let pending = |why: &str| Ok(Probe::Pending(format!("PostgreSQL {}, {why}", self.cluster)));
        let unit = cx.look.unit(&self.cluster.paths().unit)?;
        // While it starts, its answer counts: its wrapper says late that it is up.
        if !unit.active && !unit.starting {
            return pending("which does not run");
        }
        let login = PgLogin { user: &self.role, password: Some(&self.password), database: &self.name };
        let hidden = || Ok(Probe::Hidden(format!("database {} of {}", self.name, self.cluster)));
        let endpoint = match self.cluster.endpoint() {
            // Where the configuration is among the data, it tells its port to nobody else.
            Err(error) if !cx.host.root && Fault::class_of(&error) == Class::Permission => return hidden(),
            endpoint => endpoint?,
        };
        let answer = match connect(&endpoint, LIMIT) {
            Ok(connection) => postgres_ask(connection, login, SEEN_BY_ROLE),
            Err(silence) => Err(silence),
        };
        let (state, refused) = match answer {
            Ok(PgAnswer::Rows(rows)) => (State::of_row(rows.first().unwrap_or(&Row::new())), None),
            Ok(PgAnswer::NotYet(said)) => return pending(&said),
            Err(silence) => return pending(&format!("which does not answer: {silence}")),
            _ if !cx.host.root => return hidden(),
            Ok(PgAnswer::Error { code, message }) => {
                let state = self.state(cx.host)?;
                let barred = barred(&code, &message);
                if let Some(why) = barred.filter(|_| self.changes(&state, None).is_empty()) {
                    return pending(&format!("{why}: {message}"));
                }
                // A database that is not there, or not the role's to use, is told only after the login was taken.
                let denied = code == "42501" && !self.changes(&state, None).is_empty();
                (state, (code != "3D000" && barred.is_none() && !denied).then_some(message))
            }
            Ok(PgAnswer::WantsPassword) => (self.state(cx.host)?, Some("it wants a password".to_owned())),
        };
        let changes = self.changes(&state, refused.as_deref());
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let set_password = changes.iter().any(|change| change.item == "password");
        let (general, inside) = self.statements(&self.state(cx.host)?, set_password);
        self.run(cx.host, "postgres", &general)?;
        if inside.is_empty() { Ok(()) } else { self.run(cx.host, &self.name, &inside) }
    }
}

/// Why a login was refused whatever its password, where it was: there is no room, none may be, or pg_hba.conf says so.
fn barred(code: &str, message: &str) -> Option<&'static str> {
    match code {
        "55000" => Some("which takes no more logins"),
        // The same code is that of a role that may not log in. The name of the file is in each translation.
        "28000" if message.contains("pg_hba.conf") => Some("which lets nobody in so"),
        _ => code.starts_with("53").then_some("which takes no more logins"),
    }
}

/// Something was made in a cluster: it is dropped. What others need of it stays.
pub(crate) fn undo_drop(cx: &UndoCx<'_>, version: &str, cluster: &str, what: &str, name: &str) -> Result<Undone> {
    let cluster = Cluster {
        version: version.to_owned(),
        name: cluster.to_owned(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    let (whole, paths) = (format!("{what} {name} of PostgreSQL {cluster}"), cluster.paths());
    if files::stat(cx.look, Path::new(&paths.folder))?.is_none() {
        return Ok(Undone::Gone);
    }
    // After an uninstall that kept data the server is gone, and can drop nothing.
    if files::stat(cx.look, Path::new(&format!("{}/postgres", paths.programs)))?.is_none() {
        return Ok(Undone::Kept(format!("{whole}: it goes with the data of its server")));
    }
    // It may have been stopped a moment ago, when its service was taken back.
    let rests = !cx.look.unit(&paths.unit)?.active;
    if rests && !services::act(cx.host, Act::Start, &paths.unit)?.ok() {
        return Ok(Undone::Kept(format!("{whole} stays: {} does not start", paths.unit)));
    }
    let output = cluster.psql(cx.host, "postgres", &drop_statements(what, name))?;
    if rests {
        services::act(cx.host, Act::Stop, &paths.unit)?;
    }
    Ok(if output.ok() {
        Undone::Done(format!("dropped {whole}"))
    } else {
        let said = output.tail.iter().find(|line| line.contains("ERROR")).cloned().unwrap_or_default();
        Undone::Kept(format!("{whole} cannot be dropped: {said}"))
    })
}

/// Who is connected to a database is sent away: `WITH (FORCE)` is PostgreSQL 13.
fn drop_statements(what: &str, name: &str) -> String {
    let dropped = format!("DROP {what} IF EXISTS {};\n", identifier(name));
    if what != "database" {
        return dropped;
    }
    let name = literal(name);
    format!(
        "UPDATE pg_database SET datallowconn = false WHERE datname = {name};\n\
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name};\n{dropped}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn psql_that_is_not_let_in() {
        for (line, wanted) in [
            ("psql: error: connection to server on socket failed: fe_sendauth: no password supplied", true),
            ("psql: error: FATAL:  Peer authentication failed for user \"postgres\"", true),
            ("psql: error: FATAL:  no pg_hba.conf entry for host \"[local]\"", true),
            ("psql: error: connection to server on socket failed: No such file or directory", false),
            ("ERROR:  role \"shop\" does not exist", false),
        ] {
            assert_eq!(tells_of_logins(line), wanted, "{line}");
        }
    }

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
        assert!(
            lines[0].contains("datallowconn = false") && lines[1].ends_with("WHERE datname = 'shop';"),
            "{lines:?}"
        );
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
            let changes = database().changes(&state, refused);
            let items: Vec<&str> = changes.iter().map(|change| change.item.as_str()).collect();
            assert_eq!(items.join(", "), wanted, "{state:?}");
        }
        let asked = Database { createdb: Some(true), ..database() };
        let there = state(Some((true, false)), Some("shop"), &["pg_trgm"]);
        assert_eq!(asked.changes(&there, None)[0].summary, "role shop: login createdb");
    }

    #[test]
    fn what_keeps_the_role_from_logging_in_is_ended() {
        let rows = "role\ttrue\tfalse\tVALID UNTIL 'infinity'\ndatabase\tshop\tfalse\tCONNECTION LIMIT -1\nextension\tpg_trgm\n";
        let barred = State::read(rows);
        let changes = database().changes(&barred, None);
        let told: Vec<&str> = changes.iter().map(|change| change.summary.as_str()).collect();
        let wanted = [
            "role shop: valid until 'infinity'",
            "database shop: connection limit -1",
            "database shop: grant connect to shop",
        ];
        assert_eq!(told, wanted);
        assert_eq!(
            database().statements(&barred, false).0,
            "ALTER ROLE \"shop\" LOGIN NOCREATEDB VALID UNTIL 'infinity';\n\
             ALTER DATABASE \"shop\" CONNECTION LIMIT -1;\n\
             GRANT CONNECT ON DATABASE \"shop\" TO \"shop\";\n"
        );
    }

    #[test]
    fn who_is_given_a_database_may_log_in_to_it() {
        for is_denied in [false, true] {
            let others = State { is_denied, ..state(Some((true, false)), Some("postgres"), &["pg_trgm"]) };
            assert_eq!(
                database().statements(&others, false).0,
                "ALTER ROLE \"shop\" LOGIN NOCREATEDB;\n\
                 ALTER DATABASE \"shop\" OWNER TO \"shop\";\n\
                 GRANT CONNECT ON DATABASE \"shop\" TO \"shop\";\n"
            );
        }
    }

    #[test]
    fn what_is_made_is_data_and_the_rest_is_told() {
        let made = database().changes(&State::default(), None);
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
            let made = Database { cluster: cluster.clone(), ..database() }.changes(&State::default(), None);
            assert_eq!(made[1].summary, format!("create database shop, owned by shop{told}"));
        }
    }

    #[test]
    fn no_statement_holds_the_password() {
        let (general, inside) = database().statements(&State::default(), false);
        assert!(
            general.starts_with("CREATE ROLE \"shop\" LOGIN NOCREATEDB PASSWORD 'SCRAM-SHA-256$4096:"),
            "{general}"
        );
        assert!(general.contains("\nCREATE DATABASE \"shop\" OWNER \"shop\" TEMPLATE template0 ENCODING 'UTF8';\n"));
        assert_eq!(inside, "CREATE EXTENSION IF NOT EXISTS \"pg_trgm\";\n");
        assert!(!general.contains("hunter2") && !format!("{:?}", database()).contains("hunter2"));
        let there = state(Some((true, true)), Some("shop"), &["pg_trgm"]);
        assert_eq!(database().statements(&there, false), ("ALTER ROLE \"shop\" LOGIN CREATEDB;\n".into(), "".into()));
        assert!(database().statements(&there, true).0.contains(" PASSWORD 'SCRAM-SHA-256$"));
    }

    #[test]
    fn a_database_is_in_utf8_whatever_the_locale_of_the_cluster() {
        for (encoding, locale) in [("UTF8", ""), ("SQL_ASCII", ""), ("LATIN1", " LC_COLLATE 'C' LC_CTYPE 'C'")] {
            let state = State::read(&format!("encoding\t{encoding}\n"));
            let (general, _) = database().statements(&state, false);
            assert!(general.ends_with(&format!("TEMPLATE template0 ENCODING 'UTF8'{locale};\n")), "{general}");
        }
    }

    #[test]
    fn a_server_of_before_scram_is_given_what_it_keeps() {
        let cluster = Cluster { version: "9.5".into(), ..database().cluster };
        let (general, _) = Database { cluster, ..database() }.statements(&State::default(), false);
        // md5 of password and role, as PostgreSQL's documentation of pg_authid has it.
        assert!(general.contains(" PASSWORD 'md5c3129178c547296abec043d3f0ba0ef7';"), "{general}");
    }

    #[test]
    fn what_the_superuser_and_the_role_see() {
        let rows = "role\ttrue\tfalse\t\ndatabase\tshop\ttrue\t\nextension\tplpgsql\nextension\tpg_trgm\n";
        let seen = state(Some((true, false)), Some("shop"), &["plpgsql", "pg_trgm"]);
        assert_eq!(State::read(rows), seen);
        assert_eq!(State::read(""), State::default());
        let row = ["true", "false", "shop", "plpgsql pg_trgm"].map(|text| Some(text.to_owned())).to_vec();
        assert_eq!(State::of_row(&row), seen);
    }
}
