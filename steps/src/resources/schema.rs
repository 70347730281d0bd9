//! Tables in a database of PostgreSQL that a command of the product's makes.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use distro::net::{PgAnswer, PgLogin, connect, postgres_ask};
use distro::{Class, Command, Fault, find_program};
use serde_json::{Value, json};

use super::service::endpoint;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// PostgreSQL's word for a table that is not there.
const NO_TABLE: &str = "42P01";
/// There is no such database.
const NO_DATABASE: &str = "3D000";

/// Tables of which one tells whether the command that makes them has run.
pub struct Schema {
    /// The server, as `host:port`.
    pub server: String,
    /// Role that logs in.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Database.
    pub database: String,
    /// Table that has rows once the command has run.
    pub table: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Package whose new version makes the command be run again.
    pub package: Option<String>,
    /// How long the command may take.
    pub limit: Duration,
    /// Was it run just now? The version that is remembered is that of before then.
    pub done: Cell<bool>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("key", &self.key()).field("command", &self.command).finish_non_exhaustive()
    }
}

impl Schema {
    /// Name of its claim.
    fn thing(&self) -> String {
        format!("table:{}/{}/{}", self.server, self.database, self.table)
    }

    fn change(&self, why: &str) -> Probe {
        let what = self.command.join(" ");
        let kept = format!("what '{what}' made in database {} is there as long as that is", self.database);
        let change = Change::new("run", format!("run '{what}' ({why})"), Undo::Kept { why: kept });
        Probe::Changes(vec![change])
    }

    fn version(&self, cx: &Cx<'_>) -> Result<String> {
        let Some(name) = &self.package else { return Ok(String::new()) };
        Ok(cx.look.package(name)?.map(|package| package.version).unwrap_or_default())
    }
}

/// Is an error, by its SQLSTATE, one that a step before, or a moment, takes away: no such login, no such database, too many connections, or a
/// server that comes up?
fn is_passing(code: &str) -> bool {
    code == NO_DATABASE || ["28", "53", "57"].iter().any(|class| code.starts_with(class))
}

impl Resource for Schema {
    fn sort(&self) -> &'static str {
        "schema"
    }

    fn key(&self) -> String {
        format!("{}/{}", self.database, self.table)
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim { thing: self.thing(), wants: b"made".to_vec() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let program = self.command.first().map_or("", String::as_str);
        if find_program(program).is_none() {
            return Ok(Probe::Pending(format!("program {program}")));
        }
        let pending = |why: &str| Ok(Probe::Pending(format!("PostgreSQL at {}, {why}", self.server)));
        let login = PgLogin { user: &self.user, password: Some(&self.password), database: &self.database };
        let sql = format!("SELECT 1 FROM \"{}\" LIMIT 1", self.table);
        let asked = connect(&endpoint(&cx.host.runner, &self.server)?, LIMIT);
        let rows = match asked.and_then(|connection| postgres_ask(connection, login, &sql)) {
            Ok(PgAnswer::Rows(rows)) => rows,
            Ok(PgAnswer::Error { code, .. }) if code == NO_TABLE => {
                return Ok(self.change(&format!("there is no table {}", self.table)));
            }
            // A step before this one makes the login, and the database.
            Ok(PgAnswer::Error { code, message }) if is_passing(&code) => {
                return pending(&format!("which says: {message}"));
            }
            Ok(PgAnswer::Error { code, message }) => {
                let what = format!("PostgreSQL at {} refuses to show table {}: {message}", self.server, self.table);
                return Err(Fault::new(Class::Service, what)
                    .evidence([format!("'{}' asked, and the answer is SQLSTATE {code}", self.user)])
                    .advice(format!(
                        "see that the tables of database '{}' belong to '{}': after a restore, or where they were made by another, they may not",
                        self.database, self.user
                    ))
                    .into());
            }
            Ok(PgAnswer::WantsPassword) => return pending("which wants a password"),
            Ok(PgAnswer::NotYet(said)) => return pending(&said),
            Err(silence) => return pending(&format!("which does not answer: {silence}")),
        };
        if rows.is_empty() {
            return Ok(self.change(&format!("table {} is empty", self.table)));
        }
        // The command may have filled this table and not have come to the next: that is for it to do.
        if cx.memory.intended(&self.thing()) && cx.memory.seen(cx.id).is_none() && !self.done.get() {
            return Ok(self.change("the command did not come to its end"));
        }
        let version = self.version(cx)?;
        let last = cx.memory.seen(cx.id).and_then(|seen| seen["version"].as_str());
        if let Some(old) = last.filter(|old| *old != version && !self.done.get()) {
            return Ok(self.change(&format!("version {version} in place of {old}")));
        }
        let seen: Value = json!({ "version": version });
        Ok(Probe::InPlace(seen))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        if let Some((program, args)) = self.command.split_first() {
            let command = Command::new(program).args(args.iter().cloned()).limit(self.limit);
            command.run(&cx.host.runner, Class::Host, &format!("running '{}'", self.command.join(" ")))?;
        }
        self.done.set(true);
        Ok(())
    }
}
