//! `command`: a command that is run once.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Span;
use super::value::{AbsolutePath, Turn, refused};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::command::{Command, Proof};

/// A command that is run once, without a shell. One of `creates` and `unless` tells whether it has been run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Program and arguments.
    #[schemars(length(min = 1))]
    argv: Vec<String>,
    /// Absolute path of something that is there once the command has run. The command has to make it last, so that one that was
    /// interrupted is run again.
    creates: Option<AbsolutePath>,
    /// Program and arguments of a command that exits 0 once this one has run. It must only look: `surefoot plan` runs it, too.
    #[schemars(length(min = 1))]
    unless: Option<Vec<String>>,
    /// Program and arguments that take it back at uninstall. Without it, the command is listed as kept.
    #[schemars(length(min = 1))]
    undo: Option<Vec<String>>,
    /// How long it may take, 2 min where it is not given.
    limit: Option<Span>,
    /// Text on its standard input: the way to give it a secret.
    stdin: Option<String>,
    /// When it is run.
    #[serde(default)]
    stage: Turn,
}

impl Kind for Settings {
    const NAME: &'static str = "command";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        for (setting, argv) in
            [("argv", Some(&self.argv)), ("unless", self.unless.as_ref()), ("undo", self.undo.as_ref())]
        {
            let Some(argv) = argv else { continue };
            if argv.first().is_none_or(String::is_empty) || argv.iter().any(|arg| arg.contains('\0')) {
                return Err(refused(cx, format!("'{setting}' is not a program with its arguments")).into());
            }
            if argv.iter().any(|arg| cx.has_secret(arg)) {
                return Err(refused(cx, format!("'{setting}' has a secret in it, and everybody can see arguments"))
                    .advice("give the secret to the command by 'stdin', or by a file")
                    .into());
            }
        }
        let proof = match (self.creates, self.unless) {
            (Some(path), None) => Proof::Creates(path.0),
            (None, Some(argv)) => Proof::Unless(argv),
            _ => {
                return Err(refused(cx, "give one of 'creates' and 'unless'")
                    .advice("without it nobody can tell whether the command has been run")
                    .into());
            }
        };
        let name = self.argv[0].rsplit('/').next().unwrap_or_default().to_owned();
        Ok(vec![Box::new(Command {
            name,
            argv: self.argv,
            proof,
            undo: self.undo,
            limit: self.limit.map_or(distro::command::LIMIT, |span| span.0),
            stdin: self.stdin.map(String::into_bytes),
            stage: self.stage.into(),
        })])
    }
}
