//! A cluster where the package of the server makes none.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Command, Fault, files};
use serde_json::Value;

use super::Cluster;
use crate::resources::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// How long it may take on a slow disk.
const LIMIT: Duration = Duration::from_secs(300);

/// A cluster that is made before its server is started for the first time. It is made beside its folder, and takes its place whole: one
/// that a kill left half made is never there.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Which: one that is known by its folder.
    pub cluster: Cluster,
    /// Package of its server.
    pub package: String,
}

impl NewCluster {
    fn folder(&self) -> PathBuf {
        PathBuf::from(self.cluster.paths().folder)
    }

    fn is_there(&self) -> Result<bool> {
        let folder = self.folder();
        let names = match folder.read_dir() {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => Err(error),
        };
        let names = names.map_err(|error| io_fault(&error, "read", &folder))?;
        if names.is_empty() || names.iter().any(|name| name == "PG_VERSION") {
            return Ok(!names.is_empty());
        }
        Err(Fault::new(Class::Conflict, format!("{} is not empty, and no cluster of PostgreSQL", folder.display()))
            .advice("move away what is in it, then run again with --resume")
            .into())
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !cx.look.is_installed(&self.package)? {
            return Ok(Probe::Pending(format!("package {}", self.package)));
        }
        if self.is_there()? {
            return Ok(Probe::InPlace(Value::Null));
        }
        let undo = Undo::RemoveFolder { path: self.cluster.paths().folder };
        Ok(Probe::Changes(vec![Change { data: true, ..Change::new("cluster", "make it, in UTF-8", undo) }]))
    }
}

impl Resource for NewCluster {
    fn sort(&self) -> &'static str {
        "cluster"
    }

    fn key(&self) -> String {
        self.cluster.to_string()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim { thing: format!("data:{}", self.cluster), wants: Vec::new() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &format!("what is in {}", self.cluster), self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        let folder = self.folder();
        let beside = folder.with_extension("surefoot");
        let above = folder.parent().unwrap_or(Path::new("/"));
        // It may outlive us, and holds a lock as long as it lives: who goes on waits for it. That it dies with us is nothing that
        // setpriv of Enterprise Linux 8 can be asked for.
        let locked = |words: &[String]| {
            let command = Command::new("flock").args([above.display().to_string()]).args(words.iter().cloned());
            command.limit(LIMIT).run(&cx.host.runner, Class::Service, &format!("make the cluster {}", self.cluster))
        };
        locked(&["true".to_owned()])?;
        files::remove_tree(&beside)?;
        let user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"].map(str::to_owned);
        let program =
            [format!("{}/initdb", self.cluster.paths().programs), "-D".to_owned(), beside.display().to_string()];
        let how = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth-local=peer", "--auth-host=scram-sha-256"];
        locked(&[&user[..], &program, &how.map(str::to_owned)].concat())?;
        fs::rename(&beside, &folder).map_err(|error| io_fault(&error, "rename to", &folder))?;
        let synced = fs::File::open(above).and_then(|above| above.sync_all());
        synced.map_err(|error| io_fault(&error, "sync", above))?;
        Ok(())
    }

    fn is_independent(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn what_is_there_is_a_cluster_or_in_the_way() {
        let trial = Trial::new();
        let new = NewCluster { cluster: Cluster::at(&trial.at("data"), [127, 0, 0, 1].into()), package: String::new() };
        assert!(!new.is_there().unwrap());
        fs::create_dir(trial.at("data")).unwrap();
        assert!(!new.is_there().unwrap());
        trial.write("data/notes", "");
        assert_eq!(Fault::class_of(&new.is_there().unwrap_err()), Class::Conflict);
        trial.write("data/PG_VERSION", "15\n");
        assert!(new.is_there().unwrap());
    }
}
