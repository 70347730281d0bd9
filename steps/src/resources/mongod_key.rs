//! A key of mongod.conf, where the server would still start with what else stands there.

use std::path::Path;

use anyhow::Result;
use distro::{Class, Fault, files};

use super::around::Around;
use super::edit;
use super::key_value::KeyValue;
use super::paths;
use super::setting::Spot;
use crate::{Cx, KeyFormat, Probe, Resource};

/// A key of mongod.conf. That the server would not start any more with the keys of ours, for what somebody set besides, is told before the
/// first of them is written.
#[derive(Debug)]
pub struct MongodKey {
    /// The key.
    pub inner: KeyValue,
}

/// What is in the way, as `key: value`, with the reason and what to do.
fn bar(text: &[u8]) -> Option<(String, &'static str, &'static str)> {
    let value = |key| {
        let spot = Spot { format: KeyFormat::Yaml, section: "", key, repeat: false };
        edit::value(text, spot).map(|value| String::from_utf8_lossy(&value).into_owned())
    };
    let is_on = value("security.authorization").as_deref() == Some("enabled");
    let is_trusted = value("security.keyFile").is_some() || value("security.clusterAuthMode").is_some();
    if let Some(name) = value("replication.replSetName").filter(|_| !is_on && !is_trusted) {
        return Some((
            format!("replication.replSetName: {name}"),
            "a replica set does not start with authorization and without a key file",
            "make a key file, the same on all members, and name it as security.keyFile first (`openssl rand -base64 756`; mode 0400, the \
             server's user as owner), restart mongod, and run again",
        ));
    }
    value("net.bindIpAll").filter(|all| all == "true").map(|all| {
        (
            format!("net.bindIpAll: {all}"),
            "the server does not start with both net.bindIpAll and net.bindIp",
            "take it out, name the addresses in the blueprint where others than loopback are meant, and run again",
        )
    })
}

impl MongodKey {
    fn look(&self) -> Result<()> {
        let path = &self.inner.path;
        let text = files::read(Path::new(path))?.unwrap_or_default();
        let Some((line, why, advice)) = bar(&text) else { return Ok(()) };
        Err(Fault::new(Class::Conflict, format!("{path} has '{line}', and {why}")).advice(advice).into())
    }
}

impl Around for MongodKey {
    fn inner(&self) -> &dyn Resource {
        &self.inner
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.inner.path, self.look().and_then(|()| self.inner.probe(cx)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;
    use crate::resources::trial::Trial;

    fn key(trial: &Trial) -> MongodKey {
        let inner = KeyValue {
            path: trial.at("mongod.conf"),
            format: KeyFormat::Yaml,
            key: "security.authorization".into(),
            value: "enabled".into(),
            repeat: false,
            sensitive: false,
            stage: Stage::Configure,
        };
        MongodKey { inner }
    }

    #[test]
    fn what_would_keep_the_server_from_starting_is_a_conflict() {
        for (text, said) in [
            ("replication:\n  replSetName: rs0\n", "'replication.replSetName: rs0', and a replica set does not start"),
            ("replication: {replSetName: rs0}\n", "'replication.replSetName: rs0'"),
            (
                "replication.replSetName: \"rs0\"\nsecurity:\n  authorization: disabled\n",
                "'replication.replSetName: rs0'",
            ),
            ("net:\n  bindIpAll: true\n", "'net.bindIpAll: true', and the server does not start with both"),
        ] {
            let trial = Trial::new();
            trial.write("mongod.conf", text);
            let error = trial.probe(&key(&trial)).unwrap_err();
            assert_eq!(Fault::class_of(&error), Class::Conflict, "{text}");
            assert!(error.to_string().contains(&format!("{} has {said}", trial.at("mongod.conf"))), "{error}");
        }
    }

    #[test]
    fn others_are_set() {
        for text in [
            "net:\n  bindIpAll: false\n",
            "replication:\n  oplogSizeMB: 512\n#  replSetName: rs0\n",
            "replication:\n  replSetName: rs0\nsecurity:\n  keyFile: /etc/mongod.key\n",
            "replication:\n  replSetName: rs0\nsecurity:\n  clusterAuthMode: x509\n",
        ] {
            let trial = Trial::new();
            trial.write("mongod.conf", text);
            let changes = trial.bring(&key(&trial));
            trial.undo(&changes, false);
            assert_eq!(trial.read("mongod.conf"), text);
        }
        // It was so before: what its server does with it is none of ours.
        let trial = Trial::new();
        trial.write("mongod.conf", "replication:\n  replSetName: rs0\nsecurity:\n  authorization: enabled\n");
        assert!(trial.changes(&key(&trial)).is_empty());
    }
}
