//! A Redis that is to log every write, and does not yet.
//!
//! A Redis that starts with `appendonly yes` and finds no log starts empty, whatever its snapshot holds, and then writes the snapshot anew.
//! Switching it on is safe on a running server only (`CONFIG SET appendonly yes`), which is for its owner to decide.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Fault};
use serde_json::Value;

use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// Nothing that a Redis holds is lost when its log is switched on. It changes nothing: where something would be lost, it is a conflict.
#[derive(Clone, Debug)]
pub struct AppendLog {
    /// Its data folder.
    pub data: String,
    /// Its unit.
    pub unit: String,
}

impl AppendLog {
    fn has(&self, name: &str) -> Result<bool> {
        let path = Path::new(&self.data).join(name);
        match path.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_fault(&error, "look at", &path).into()),
        }
    }

    /// What would be lost, in words. The log is a file up to Redis 6, a folder since.
    fn endangered(&self, is_running: bool) -> Result<Option<String>> {
        if self.has("appendonly.aof")? || self.has("appendonlydir")? {
            return Ok(None);
        }
        if self.has("dump.rdb")? {
            return Ok(Some(format!("there is a snapshot, {}/dump.rdb, and no log", self.data)));
        }
        Ok(is_running.then(|| format!("{} runs without a log", self.unit)))
    }
}

impl Resource for AppendLog {
    fn sort(&self) -> &'static str {
        "append_log"
    }

    fn key(&self) -> String {
        self.data.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn units(&self) -> Vec<String> {
        vec![self.unit.clone()]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let endangered = match self.endangered(cx.look.unit(&self.unit)?.active) {
            Err(error) if !cx.host.root && Fault::class_of(&error) == Class::Permission => {
                return Ok(Probe::Hidden(format!("what is in {}", self.data)));
            }
            result => result?,
        };
        let Some(why) = endangered else { return Ok(Probe::InPlace(Value::Null)) };
        Err(Fault::new(Class::Conflict, format!("{} would lose its data by a restart with a log of writes", self.unit))
            .evidence([why])
            .advice(
                "let the running server begin its log: `redis-cli config set appendonly yes`; or leave 'persistence' as it is; then run \
                 again with --resume",
            )
            .into())
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_lost() {
        for (files, is_running, lost) in [
            (&[][..], false, false),
            (&[], true, true),
            (&["dump.rdb"], false, true),
            (&["dump.rdb", "appendonly.aof"], true, false),
            (&["dump.rdb", "appendonlydir"], true, false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                std::fs::write(folder.path().join(file), "").unwrap();
            }
            let log = AppendLog { data: folder.path().display().to_string(), unit: "redis-server.service".into() };
            assert_eq!(log.endangered(is_running).unwrap().is_some(), lost, "{files:?}, running: {is_running}");
        }
    }
}
