//! A Redis that is to have a limit of its memory, and may hold more already.
//!
//! Started with less memory than its data take it drops some of them, or refuses every write, as its policy says.

use anyhow::Result;
use distro::net::{RedisData, RedisQuestion};
use distro::{Class, Fault};
use serde_json::Value;

use super::paths;
use super::redis_data::Server;
use crate::kinds::units::Size;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// What a Redis holds fits below the limit. It changes nothing: where it does not fit, it is a conflict.
#[derive(Clone, Debug)]
pub struct MemoryLimit {
    /// The server.
    pub server: Server,
    /// The limit.
    pub most: Size,
}

impl MemoryLimit {
    /// How many bytes are too many for the limit, and what says so.
    fn beyond(&self, said: RedisData) -> Result<Option<(u64, String)>> {
        // One that has the limit keeps it by itself, and may be above it for a moment.
        let is_limited = match said.most {
            Some(most) => most != 0 && most <= self.most.0,
            None => self.server.configured("maxmemory")?.is_some_and(|most| most == self.most.0.to_string()),
        };
        if is_limited {
            return Ok(None);
        }
        let used = match said.used {
            Some(used) => Some((used, format!("it says used_memory:{used}"))),
            None => self.server.in_snapshot()?,
        };
        Ok(used.filter(|(used, _)| *used > self.most.0))
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let (_, said) = self.server.ask(cx, RedisQuestion::Memory(self.most.0))?;
        let Some((used, why)) = self.beyond(said)? else { return Ok(Probe::InPlace(Value::Null)) };
        let message =
            format!("{} holds {} of data, which 'memory' limits to {}", self.server.unit, Size(used), self.most);
        Err(Fault::new(Class::Conflict, message)
            .evidence([why])
            .advice(
                "a restart would drop some of them or refuse to write: give 'memory' of the step more than that, or the input that it is taken \
                 from (services: `--set redis_memory=\"4 GiB\"`), then run it again",
            )
            .into())
    }
}

impl Resource for MemoryLimit {
    fn sort(&self) -> &'static str {
        "memory_limit"
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
    use super::*;
    use crate::resources::redis_data::tests::server;

    #[test]
    fn what_is_too_much_for_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let limit = MemoryLimit { server: server(folder.path()), most: Size(1000) };
        let said = |used, most| RedisData { used, most, ..RedisData::default() };
        let beyond = |said| limit.beyond(said).unwrap().map(|(used, _)| used);
        for (used, most, wanted) in [
            (Some(1001), Some(0), Some(1001)),
            (Some(1001), Some(2000), Some(1001)),
            (Some(1001), None, Some(1001)),
            (Some(1000), Some(0), None),
            // It has this limit, or a lower one.
            (Some(1001), Some(1000), None),
            (Some(1001), Some(900), None),
            (None, None, None),
        ] {
            assert_eq!(beyond(said(used, most)), wanted, "{used:?} {most:?}");
        }
        std::fs::write(folder.path().join("dump.rdb"), "x".repeat(1002)).unwrap();
        assert_eq!(beyond(said(None, None)), Some(1002), "it is refused or stopped");
        assert_eq!(beyond(said(Some(900), Some(0))), None, "what it says counts more");
        std::fs::write(folder.path().join("dump.rdb"), b"REDIS0009\xfa\x08used-mem\xc1\xff\x07\xfa").unwrap();
        assert_eq!(beyond(said(None, None)), Some(2047));
        std::fs::write(folder.path().join("redis.conf"), "maxmemory 5\nMaxMemory 1000\n").unwrap();
        assert_eq!(beyond(said(None, None)), None);
        assert_eq!(beyond(said(None, Some(0))), Some(2047), "somebody took the limit from the running server");
    }
}
