//! A Redis that is to log every write and does not yet, or one that does and is to write snapshots alone.
//!
//! A Redis that starts with `appendonly yes` and finds no log starts empty, whatever its snapshot holds, and then writes the snapshot anew; with a log that
//! was left behind it has what that one says. Switching it on is safe on a running server only (`CONFIG SET appendonly yes`), which is for its owner to decide.
//! One that starts with `appendonly no` has what its snapshot says, whatever the log has.

use anyhow::Result;
use distro::net::{RedisData, RedisQuestion};
use distro::{Class, Fault};
use serde_json::Value;

use super::paths;
use super::redis_data::Server;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// Nothing that a Redis holds is lost when its log is switched on or off. It changes nothing: where something would be lost, it is a conflict.
#[derive(Clone, Debug)]
pub struct AppendLog {
    /// The server.
    pub server: Server,
    /// Is it to log?
    pub on: bool,
}

impl AppendLog {
    /// What would be lost, in words.
    fn endangered(&self, is_running: bool, said: RedisData) -> Result<Option<String>> {
        if self.on { self.without_log(is_running, said) } else { self.without_snapshot(is_running, said) }
    }

    fn logs(&self) -> Result<bool> {
        Ok(self.server.configured("appendonly")?.is_some_and(|value| value.eq_ignore_ascii_case("yes")))
    }

    /// Is there anything that the log does not have?
    fn without_log(&self, is_running: bool, said: RedisData) -> Result<Option<String>> {
        let unit = &self.server.unit;
        if said.logs == Some(true) {
            return Ok(None);
        }
        let (data, snapshot) = (self.server.folder()?, self.server.snapshot()?);
        let (data, snapshot) = (data.display(), snapshot.display());
        Ok(match (self.server.logged()?, self.server.saved()?) {
            (None, Some(_)) => Some(format!("there is a snapshot, {snapshot}, and no log")),
            (None, None) => is_running.then(|| format!("{unit} runs without a log")),
            (Some(_), _) if said.logs == Some(false) => {
                Some(format!("{unit} runs without a log (appendonly no): the one in {data} is an old one"))
            }
            // Where it logs, it writes a snapshot last of all when it stops.
            (Some(logged), Some(saved)) if saved > logged && !self.logs()? => Some(format!(
                "its snapshot, {snapshot}, is newer than its log, and its configuration says appendonly no"
            )),
            (Some(_), _) => None,
        })
    }

    /// Is there anything that no snapshot will have?
    fn without_snapshot(&self, is_running: bool, said: RedisData) -> Result<Option<String>> {
        let (unit, data) = (&self.server.unit, self.server.folder()?);
        let logged = self.server.logged()?;
        Ok(match said.logs {
            Some(false) => None,
            Some(true) => (said.saves == Some(false)).then(|| {
                format!("{unit} runs with a log (appendonly yes) and writes no snapshot when it stops (save \"\")")
            }),
            None if logged.is_none() || !self.logs()? => None,
            None if is_running => (self.server.configured("save")?.as_deref() == Some("\"\""))
                .then(|| format!("the configuration of {unit} says appendonly yes and save \"\"")),
            None => (self.server.saved()? < logged)
                .then(|| format!("its log in {} is newer than its snapshot, or there is none", data.display())),
        })
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let (is_running, said) =
            self.server.ask(cx, if self.on { RedisQuestion::Log } else { RedisQuestion::Snapshots })?;
        let Some(why) = self.endangered(is_running, said)? else { return Ok(Probe::InPlace(Value::Null)) };
        let (what, advice) = if self.on {
            (
                "with a log of writes",
                "let the running server begin its log: `redis-cli config set appendonly yes`; or leave 'persistence' as it is; then run \
                 again with --resume",
            )
        } else {
            (
                "without its log of writes",
                "let the running server write snapshots: `redis-cli config set save '3600 1'`, and a line `save 3600 1` in its redis.conf; or \
                 leave 'persistence' as it is; then run again with --resume",
            )
        };
        Err(Fault::new(Class::Conflict, format!("{} would lose its data by a restart {what}", self.server.unit))
            .evidence([why])
            .advice(advice)
            .into())
    }
}

impl Resource for AppendLog {
    fn sort(&self) -> &'static str {
        "append_log"
    }

    fn key(&self) -> String {
        self.server.data.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn units(&self) -> Vec<String> {
        vec![self.server.unit.clone()]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &format!("what is in {}", self.server.data), self.look(cx))
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::resources::redis_data::tests::server;

    /// What would be lost where a server with `files`, each an hour younger than the one before, and `config` says `said`.
    fn endangered(on: bool, files: &[&str], config: &str, is_running: bool, said: RedisData) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("redis.conf"), config).unwrap();
        for (age, file) in files.iter().rev().enumerate() {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let written = SystemTime::now() - Duration::from_secs(3600 * (age as u64 + 1));
            File::create(&path).unwrap().set_modified(written).unwrap();
            if path.parent() != Some(folder.path()) {
                File::open(path.parent().unwrap()).unwrap().set_modified(written).unwrap();
            }
        }
        AppendLog { server: server(folder.path()), on }.endangered(is_running, said).unwrap()
    }

    #[test]
    fn what_a_log_would_lose() {
        const LOG: &str = "appendonlydir/appendonly.aof.1.incr.aof";
        let (yes, no) = (Some(true), Some(false));
        for (files, config, is_running, logs, lost) in [
            (&[][..], "", false, None, false),
            (&[], "", true, None, true),
            (&["dump.rdb"], "", false, None, true),
            (&["dump.rdb", "appendonly.aof"], "", true, None, false),
            (&["dump.rdb", LOG], "", true, None, false),
            // It says so itself.
            (&["appendonly.aof", "dump.rdb"], "appendonly no", true, yes, false),
            (&["dump.rdb", LOG], "appendonly yes", true, no, true),
            (&[LOG], "", true, no, true),
            (&[], "", true, no, true),
            // It was left behind long ago, or a stop of one that logs wrote the snapshot.
            (&[LOG, "dump.rdb"], "appendonly no", false, None, true),
            (&["appendonly.aof", "dump.rdb"], "", false, None, true),
            (&["appendonly.aof", "dump.rdb"], "", true, None, true),
            (&[LOG, "dump.rdb"], "appendonly no\nappendonly yes", false, None, false),
        ] {
            let said = RedisData { logs, ..RedisData::default() };
            let found = endangered(true, files, config, is_running, said);
            assert_eq!(found.is_some(), lost, "{files:?} '{config}', running: {is_running}, logs: {logs:?}: {found:?}");
        }
    }

    #[test]
    fn what_snapshots_alone_would_lose() {
        let (yes, no) = (Some(true), Some(false));
        for (files, config, is_running, (logs, saves), lost) in [
            (&[][..], "", false, (None, None), false),
            (&["dump.rdb", "appendonly.aof"], "", true, (yes, no), true),
            (&["dump.rdb", "appendonly.aof"], "", true, (yes, yes), false),
            (&["dump.rdb", "appendonly.aof"], "appendonly yes", true, (no, no), false),
            (&["appendonly.aof"], "appendonly yes\nsave \"\"", true, (None, None), true),
            (&["appendonly.aof"], "appendonly yes\nsave \"\"\nsave 60 1", true, (None, None), false),
            (&["dump.rdb", "appendonly.aof"], "appendonly yes", false, (None, None), true),
            (&["appendonly.aof"], "appendonly yes", false, (None, None), true),
            (&["appendonly.aof", "dump.rdb"], "appendonly yes", false, (None, None), false),
            (&["dump.rdb", "appendonly.aof"], "appendonly no", false, (None, None), false),
        ] {
            let said = RedisData { logs, saves, ..RedisData::default() };
            let found = endangered(false, files, config, is_running, said);
            assert_eq!(found.is_some(), lost, "{files:?} '{config}', running: {is_running}, {said:?}: {found:?}");
        }
    }
}
