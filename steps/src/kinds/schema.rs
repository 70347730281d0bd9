//! `schema`: tables in a database of PostgreSQL that a command of the product's makes.

use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Span;
use super::{Context, Kind, is_host_with_port, refused};
use crate::Resource;
use crate::resources::schema::Schema;

/// How long the command may take, where the step does not say.
const LIMIT: Duration = Duration::from_secs(600);

/// Tables in a database of PostgreSQL, and what is in them at first: made by a command of the product's own, which is run where `table` is not
/// there or has no rows, and after an upgrade of `package`. In place is looked at over the wire, by the login that the product itself has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server, as `host:port`.
    server: String,
    /// Role that logs in.
    user: String,
    /// Its password.
    password: String,
    /// Database.
    database: String,
    /// Table that has rows once the command has run. A command that did not come to its end is run again, whatever is in it.
    table: String,
    /// Program and arguments. Run once more, it has to come to the same.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// Package that the command comes with: after an upgrade of it the command is run again.
    package: Option<String>,
    /// How long the command may take, 10 min where it is not given.
    limit: Option<Span>,
}

impl Kind for Settings {
    const NAME: &'static str = "schema";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.table.is_empty() || !self.table.chars().all(plain) {
            let message = format!("'table': '{}' is not a name that can be taken", self.table);
            return Err(refused(cx, &message, "lower-case letters, digits and _ only"));
        }
        if self.command.first().is_none_or(String::is_empty) || self.command.iter().any(|word| word.contains('\0')) {
            let advice = "write it as command = [\"/opt/shop/bin/migrate\", \"--all\"]";
            return Err(refused(cx, "'command' is not a program with its arguments", advice));
        }
        if self.command.iter().any(|word| cx.has_secret(word)) {
            let advice = "let it read the secret from a file";
            return Err(refused(cx, "'command' has a secret in it, and everybody can see arguments", advice));
        }
        if !is_host_with_port(&self.server) {
            let message = format!("'server': '{}' is not a host with a port", self.server);
            return Err(refused(cx, &message, "write it as db.example.com:5432"));
        }
        Ok(vec![Box::new(Schema {
            server: self.server,
            user: self.user,
            password: self.password,
            database: self.database,
            table: self.table,
            command: self.command,
            package: self.package,
            limit: self.limit.map_or(LIMIT, |span| span.0),
            done: std::cell::Cell::new(false),
        })])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::testing::{Step, names};

    fn expand(more: Value) -> Result<Vec<Box<dyn Resource>>> {
        let mut settings = json!({
            "server": "127.0.0.1:5432", "user": "shop", "password": "hunter2", "database": "shop", "table": "version",
            "command": ["/opt/shop/migrate", "--all"],
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Step::new("tables").expand::<Settings>(settings)
    }

    #[test]
    fn what_a_step_expands_to() {
        let resources = expand(json!({})).unwrap();
        assert_eq!(names(&resources), ["schema shop/version"]);
        assert!(!format!("{resources:?}").contains("hunter2"));
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        for (settings, wanted) in [
            (json!({"table": "a b"}), "'table': 'a b' is not a name that can be taken"),
            (json!({"command": []}), "'command' is not a program with its arguments"),
            (
                json!({"command": ["/m", "--password=hunter2"]}),
                "'command' has a secret in it, and everybody can see arguments",
            ),
            (json!({"server": "db"}), "'server': 'db' is not a host with a port"),
        ] {
            let error = expand(settings).unwrap_err().to_string();
            assert_eq!(error, format!("step 'tables': {wanted}"));
        }
    }
}
