//! What is in a cluster: a role, its database, extensions.
//!
//! Looked at by the role's own login, over the wire. What a refused login does not tell, and every change, goes through `psql`. The server never
//! sees the password: it is given what it would keep of it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use distro::net::{PgAnswer, PgLogin, Row, connect, md5_verifier, postgres_ask, scram_verifier};
use distro::services::{self, Act};
use distro::{Class, Fault, Host, files};
use serde_json::Value;

use super::{Cluster, PORT};
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// What the role itself can see: may it log in, may it make databases, what else it may; the database's owner; its extensions.
fn seen_by_role() -> String {
    format!(
        "SELECT rolcanlogin::text, rolcreatedb::text, {EXTRA}, \
         (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()), \
         (SELECT string_agg(extname, ' ') FROM pg_extension) \
         FROM pg_roles WHERE rolname = current_user"
    )
}

/// A role that logs in with a password, and a database that it owns.
#[derive(Clone)]
pub struct Database {
    /// Where.
    pub cluster: Cluster,
    /// The role.
    pub role: String,
    /// Its password.
    pub password: String,
    /// May it make databases? Without: no, and as it is where the role was there before.
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

/// What was made here.
#[derive(Clone, Copy, Debug, Default)]
struct Ours {
    role: bool,
    database: bool,
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
    /// What the role may besides, as the words of `ALTER ROLE` that end it.
    extra: Option<String>,
    /// What keeps the role from logging in, as such words.
    role_barred: Option<String>,
    /// The same of the database, for `ALTER DATABASE`.
    database_barred: Option<String>,
    /// Was the right to log in to the database taken from whom it belongs to?
    is_denied: bool,
    /// Is the cluster's locale one of another encoding than UTF-8? A database in UTF-8 needs its own then.
    is_of_other_locale: bool,
}

/// The words that end what a role may that no blueprint can ask for. That of row security is not in every version.
const EXTRA: &str = "concat_ws(' ', CASE WHEN rolsuper THEN 'NOSUPERUSER' END, CASE WHEN rolcreaterole THEN 'NOCREATEROLE' END, \
     CASE WHEN rolreplication THEN 'NOREPLICATION' END, \
     CASE WHEN row_to_json(pg_roles)::text LIKE '%\"rolbypassrls\":true%' THEN 'NOBYPASSRLS' END)";
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
                ["role", login, createdb, extra, barred] => {
                    state.role = Some((login == "true", createdb == "true"));
                    (state.extra, state.role_barred) = (words(extra), words(barred));
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

    /// From the answer to [`seen_by_role`].
    fn of_row(row: &Row) -> Self {
        let is = |column: usize| row.get(column).and_then(Option::as_deref) == Some("true");
        let text = |column: usize| row.get(column).cloned().flatten();
        let extra = text(2).filter(|words| !words.is_empty());
        let extensions = text(4).unwrap_or_default().split(' ').map(str::to_owned).collect();
        Self { role: Some((is(0), is(1))), extra, owner: text(3), extensions, ..Self::default() }
    }

    /// What has to be said about the role's rights, where something has.
    fn rights(&self, createdb: Option<bool>, is_ours: bool) -> Option<String> {
        let (login, found) = self.role?;
        // One that was made here is as it was made; one that was there before is its owner's, but for what is asked for.
        let wanted = createdb.unwrap_or(found && !is_ours);
        let extra = self.extra.clone().filter(|_| is_ours);
        let given = (!login || found != wanted).then(|| rights(wanted).to_owned());
        let words: Vec<String> = given.into_iter().chain(extra).chain(self.role_barred.clone()).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

impl Database {
    /// The item of the role itself.
    fn role_item(&self) -> String {
        format!("role {}", self.role)
    }

    /// The item of the database itself.
    fn database_item(&self) -> String {
        format!("database {}", self.name)
    }

    fn ours(&self, cx: &Cx<'_>) -> Ours {
        let has_made = |item: &str| cx.memory.has_made(cx.id, item);
        Ours { role: has_made(&self.role_item()), database: has_made(&self.database_item()) }
    }

    /// The changes from `state` to what is wanted; `refused`: how the login was refused, where it was.
    fn changes(&self, state: &State, ours: Ours, refused: Option<&str>) -> Vec<Change> {
        let (version, cluster) = (self.cluster.version.clone(), self.cluster.name.clone());
        let kept = |why: String| Undo::Kept { why };
        // Of what was made here nobody had anything before.
        let of_role = |why: String| if ours.role { Undo::Nothing } else { kept(why) };
        let of_database = |undo: Undo| if ours.database { Undo::Nothing } else { undo };
        let (role, name) = (&self.role, &self.name);
        let mut changes = Vec::new();
        match state.role {
            None => {
                let undo = Undo::RemoveRole { version: version.clone(), cluster: cluster.clone(), name: role.clone() };
                let made = Change::new(self.role_item(), format!("create role {role}"), undo);
                changes.push(Change { data: true, ..made });
            }
            Some(_) => {
                if let Some(said) = refused {
                    let undo = of_role(format!("the password of role {role} was set, and nobody knows the one before"));
                    let summary = format!("set the password of role {role}: its login is refused ({said})");
                    changes.push(Change::new("password", summary, undo));
                }
                if let Some(words) = state.rights(self.createdb, ours.role) {
                    let undo = of_role(format!("role {role} was given other rights"));
                    let summary = format!("role {role}: {}", words.to_ascii_lowercase());
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
                changes.push(Change { data: true, ..Change::new(self.database_item(), summary, undo) });
            }
            Some(owner) => {
                if owner != role {
                    let summary = format!("owner of database {name}: {owner} -> {role}");
                    let (name, role, owner) = (name.clone(), role.clone(), owner.clone());
                    let undo = of_database(Undo::RestoreDatabaseOwner { version, cluster, name, role, owner });
                    changes.push(Change::new("owner", summary, undo));
                }
                if let Some(words) = &state.database_barred {
                    let undo = of_database(kept(format!("database {name} was opened to logins")));
                    let summary = format!("database {name}: {}", words.to_ascii_lowercase());
                    changes.push(Change::new("logins", summary, undo));
                }
                if state.is_denied {
                    let undo = of_database(kept(format!("role {role} may log in to database {name} again")));
                    changes.push(Change::new("connect", format!("database {name}: grant connect to {role}"), undo));
                }
                for extension in self.extensions.iter().filter(|name| !state.extensions.contains(name)) {
                    let undo = of_database(kept(format!("extension {extension} stays in database {name}")));
                    let summary = format!("create extension {extension} in database {name}");
                    changes.push(Change::new(format!("extension {extension}"), summary, undo));
                }
            }
        }
        changes
    }

    /// The statements that make them, in the database `postgres` and then in our own.
    fn statements(&self, state: &State, ours: Ours, set_password: bool) -> (String, String) {
        let (role, name) = (identifier(&self.role), identifier(&self.name));
        let mut first = String::new();
        let password = if state.role.is_none() || set_password {
            let verifier = match self.cluster.paths().before_scram {
                true => md5_verifier(&self.role, &self.password),
                false => scram_verifier(&self.password),
            };
            format!(" PASSWORD {}", literal(&verifier))
        } else {
            String::new()
        };
        let made = || ("CREATE", Some(rights(self.createdb.unwrap_or_default()).to_owned()));
        let (verb, words) = state.role.map_or_else(made, |_| ("ALTER", state.rights(self.createdb, ours.role)));
        let words = words.map(|words| format!(" {words}")).unwrap_or_default();
        if !(words.is_empty() && password.is_empty()) {
            first.push_str(&format!("{verb} ROLE {role}{words}{password};\n"));
        }
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
            "SELECT 'role', rolcanlogin::text, rolcreatedb::text, {EXTRA}, {ROLE_BARRED} FROM pg_roles WHERE rolname = {role};\n\
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
        let ours = self.ours(cx);
        let login = PgLogin { user: &self.role, password: Some(&self.password), database: &self.name };
        let hidden = || Ok(Probe::Hidden(format!("database {} of {}", self.name, self.cluster)));
        let endpoint = match self.cluster.endpoint() {
            // Where the configuration is among the data, it tells its port to nobody else.
            Err(error) if !cx.host.root && Fault::class_of(&error) == Class::Permission => return hidden(),
            endpoint => endpoint?,
        };
        let answer = match connect(&endpoint, LIMIT) {
            Ok(connection) => postgres_ask(connection, login, &seen_by_role()),
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
                if let Some(why) = barred.filter(|_| self.changes(&state, ours, None).is_empty()) {
                    return pending(&format!("{why}: {message}"));
                }
                // A database that is not there, or not the role's to use, is told only after the login was taken.
                let denied = code == "42501" && !self.changes(&state, ours, None).is_empty();
                (state, (code != "3D000" && barred.is_none() && !denied).then_some(message))
            }
            Ok(PgAnswer::WantsPassword) => (self.state(cx.host)?, Some("it wants a password".to_owned())),
        };
        let changes = self.changes(&state, ours, refused.as_deref());
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let set_password = changes.iter().any(|change| change.item == "password");
        let ours = self.ours(cx);
        let (general, inside) = self.statements(&self.state(cx.host)?, ours, set_password);
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
    let cluster = cluster_of(version, cluster);
    let whole = format!("{what} {name} of PostgreSQL {cluster}");
    let output = match ask(cx, &cluster, &drop_statements(what, name))? {
        Asked::Answered(output) => output,
        Asked::Gone => return Ok(Undone::Gone),
        // After an uninstall that kept data the server is gone, and can drop nothing.
        Asked::NoServer => return Ok(Undone::Kept(format!("{whole}: it goes with the data of its server"))),
        Asked::Down => return Ok(Undone::Kept(format!("{whole} stays: {} does not start", cluster.paths().unit))),
    };
    Ok(if output.ok() {
        Undone::Done(format!("dropped {whole}"))
    } else {
        Undone::Kept(format!("{whole} cannot be dropped: {}", complaint(&output)))
    })
}

/// The database `name` was given to `role`: it goes back to `owner`, unless it has another one by now.
pub(crate) fn undo_owner(
    cx: &UndoCx<'_>,
    version: &str,
    cluster: &str,
    name: &str,
    (role, owner): (&str, &str),
) -> Result<Undone> {
    let cluster = cluster_of(version, cluster);
    let whole = format!("database {name} of PostgreSQL {cluster}");
    let kept = |why: String| Ok(Undone::Kept(format!("{whole} stays {role}'s, and was {owner}'s: {why}")));
    match ask(cx, &cluster, &owner_statements(name, role, owner))? {
        Asked::Answered(output) if !output.ok() => kept(complaint(&output)),
        Asked::Answered(output) if output.stdout.trim() == owner => {
            Ok(Undone::Done(format!("gave {whole} back to {owner}")))
        }
        Asked::Answered(output) if output.stdout.trim().is_empty() => Ok(Undone::Gone),
        Asked::Answered(output) => Ok(Undone::Kept(format!("{whole} is {}'s by now", output.stdout.trim()))),
        Asked::Gone => Ok(Undone::Gone),
        Asked::NoServer => kept("its server is gone".into()),
        Asked::Down => kept(format!("{} does not start", cluster.paths().unit)),
    }
}

fn cluster_of(version: &str, cluster: &str) -> Cluster {
    Cluster { version: version.to_owned(), name: cluster.to_owned(), address: std::net::Ipv4Addr::LOCALHOST.into() }
}

/// What became of statements.
enum Asked {
    Answered(distro::command::Output),
    /// There is no such cluster.
    Gone,
    /// There is no program for its data.
    NoServer,
    /// Its server does not start.
    Down,
}

/// Lets the server of `cluster` do `sql`; one that rests is started for it.
fn ask(cx: &UndoCx<'_>, cluster: &Cluster, sql: &str) -> Result<Asked> {
    let paths = cluster.paths();
    if files::stat(cx.look, Path::new(&paths.folder))?.is_none() {
        return Ok(Asked::Gone);
    }
    if files::stat(cx.look, Path::new(&format!("{}/postgres", paths.programs)))?.is_none() {
        return Ok(Asked::NoServer);
    }
    // It may have been stopped a moment ago, when its service was taken back.
    let rests = !cx.look.unit(&paths.unit)?.active;
    if rests && !services::act(cx.host, Act::Start, &paths.unit)?.ok() {
        return Ok(Asked::Down);
    }
    let output = cluster.psql(cx.host, "postgres", sql)?;
    if rests {
        services::act(cx.host, Act::Stop, &paths.unit)?;
    }
    Ok(Asked::Answered(output))
}

/// The server's words of what it refuses.
fn complaint(output: &distro::command::Output) -> String {
    output.tail.iter().find(|line| line.contains("ERROR")).cloned().unwrap_or_default()
}

/// Gives the database back where it is still the role's, and tells whose it is then. psql of before 10 knows no conditions.
fn owner_statements(name: &str, role: &str, owner: &str) -> String {
    let alter = literal(&format!("ALTER DATABASE {} OWNER TO {}", identifier(name), identifier(owner)));
    let (name, role) = (literal(name), literal(role));
    format!(
        "DO $surefoot$ BEGIN IF (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {name}) = {role} THEN EXECUTE {alter}; END IF; END \
         $surefoot$;\n\
         SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {name};\n"
    )
}

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
mod tests;
