//! A cluster of PostgreSQL. What its superuser does in it goes through `psql` as the user `postgres`, with SQL on its standard input.

mod database;
mod new_cluster;
mod settings;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use distro::net::Endpoint;
use distro::{Class, Command, Fault, Host, layout};

use self::settings::Settings;

pub use database::Database;
pub(crate) use database::{undo_drop, undo_owner};
pub use new_cluster::NewCluster;
pub use settings::Overruled;

/// The port that a cluster has where nothing is said.
const PORT: u16 = 5432;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
