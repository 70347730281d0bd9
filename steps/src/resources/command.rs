//! A command that is run once.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use distro::{Class, files, find_program};
use serde_json::Value;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// How it can be told that a command has done its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// There is something at this absolute path. The command makes it last, so that a killed one is run again.
    Creates(String),
    /// This command exits 0. It only looks: it is run by `plan`, too, and by people who are not root.
    Unless(Vec<String>),
}

/// A command that is run where its proof is missing.
#[derive(Clone)]
pub struct Command {
    /// Names it among the commands of its step.
    pub name: String,
    /// Program and arguments. No secrets: everybody can read them.
    pub argv: Vec<String>,
    /// Tells that it has been run.
    pub proof: Proof,
    /// Program and arguments that take it back.
    pub undo: Option<Vec<String>>,
    /// How long it may take.
    pub limit: Duration,
    /// Bytes on its standard input: the way to give it a secret.
    pub stdin: Option<Vec<u8>>,
    /// When it is its turn.
    pub stage: Stage,
}

impl Command {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        match &self.proof {
            Proof::Creates(path) => {
                if files::stat(cx.look, Path::new(path))?.is_some() {
                    return Ok(Probe::InPlace(Value::Null));
                }
            }
            Proof::Unless(argv) => {
                if find_program(&argv[0]).is_none() {
                    return Ok(Probe::Pending(format!("program {}", argv[0])));
                }
                let output =
                    distro::Command::new(&argv[0]).args(&argv[1..]).limit(self.limit).output(&cx.host.runner)?;
                match output.ran.exit {
                    Some(0) => return Ok(Probe::InPlace(Value::Null)),
                    Some(_) if !cx.host.root => return Ok(Probe::Hidden(format!("what '{}' says", argv.join(" ")))),
                    Some(_) => {}
                    None => {
                        let message = format!("'{}' was killed and gave no answer", argv.join(" "));
                        return Err(output.fault(Class::Host, message).advice("run it by hand to see why").into());
                    }
                }
            }
        }
        let (program, _) = split(&self.argv);
        if find_program(program).is_none() {
            return Ok(Probe::Pending(format!("program {program}")));
        }
        let what = self.argv.join(" ");
        let undo = match &self.undo {
            Some(argv) => Undo::Command { argv: argv.clone() },
            None => Undo::Kept { why: format!("'{what}' was run, and nothing is known that takes it back") },
        };
        Ok(Probe::Changes(vec![Change::new("run", format!("run '{what}'"), undo)]))
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("argv", &self.argv).field("proof", &self.proof).finish_non_exhaustive()
    }
}

impl Resource for Command {
    fn sort(&self) -> &'static str {
        "command"
    }

    fn key(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        match &self.proof {
            Proof::Creates(path) => vec![paths::claim(path, format!("made by {:?}", self.argv))],
            Proof::Unless(_) => Vec::new(),
        }
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.argv.join(" "), self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        let (program, args) = split(&self.argv);
        let mut command = distro::Command::new(program).args(args.iter().cloned()).limit(self.limit);
        if let Some(bytes) = &self.stdin {
            command = command.stdin(bytes.clone());
        }
        command.run(&cx.host.runner, Class::Host, &format!("running {}", self.name)).map(drop)
    }
}

/// Program and arguments; an empty list has a program that nobody has.
fn split(argv: &[String]) -> (&str, &[String]) {
    argv.split_first().map_or(("", &[]), |(program, args)| (program.as_str(), args))
}

/// A command was run: another one takes it back, where its program is still there.
pub(crate) fn undo_run(cx: &UndoCx<'_>, argv: &[String]) -> Result<Undone> {
    let what = argv.join(" ");
    let (program, args) = split(argv);
    if find_program(program).is_none() {
        return Ok(Undone::Kept(format!("'{what}' was not run: there is no '{program}' any more")));
    }
    distro::Command::new(program).args(args.iter().cloned()).run(
        &cx.host.runner,
        Class::Host,
        &format!("running '{what}'"),
    )?;
    Ok(Undone::Done(format!("ran '{what}'")))
}
