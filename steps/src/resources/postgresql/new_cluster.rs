//! A cluster where the package of the server made none.

use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Command, Fault, files, layout};
use serde_json::Value;

use super::Cluster;
use crate::resources::paths;
use crate::resources::service::{of_full_disk, tells_of_full_disk};
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// How long it may take on a slow disk.
const LIMIT: Duration = Duration::from_secs(300);
/// In UTF-8, whatever the language of the host.
const LOCALE: [&str; 2] = ["--encoding=UTF8", "--locale=C.UTF-8"];

/// A cluster that is made before its server is started for the first time. One that a kill left half made is never there: it is made beside
/// its folder and takes its place whole, or made once more where Debian's own program made it.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Which.
    cluster: Cluster,
    /// Package of its server.
    package: String,
    /// Was it made by this very value? Then it is whole.
    made: Cell<bool>,
}

impl NewCluster {
    /// The cluster `cluster` of a server that comes with `package`.
    pub fn new(cluster: Cluster, package: String) -> Self {
        Self { cluster, package, made: Cell::new(false) }
    }

    /// Is it one of several, known by version and name?
    fn is_versioned(&self) -> bool {
        !self.cluster.version.is_empty()
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(self.cluster.paths().folder)
    }

    fn is_there(&self) -> Result<bool> {
        let folder = self.folder();
        if self.is_versioned() {
            return Ok(folder.join("postgresql.conf").exists());
        }
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

    /// Was a run of ours killed while it was made, or did it fail? Its folders are no proof that it is whole; that its server runs, or ever did, is one:
    /// somebody may have made it by hand since, and what is in it is theirs.
    fn is_half_made(&self, cx: &Cx<'_>) -> Result<bool> {
        let begun = self.is_versioned() && cx.memory.begun(cx.id) && !self.made.get();
        let paths = self.cluster.paths();
        Ok(begun && !was_started(Path::new(&paths.data)) && !cx.look.unit(&paths.unit)?.active)
    }

    /// Insists that the only server of a host has its data where its package has them.
    fn refuse_other_folder(&self, cx: &Cx<'_>) -> Result<()> {
        if self.is_versioned() {
            return Ok(());
        }
        let unit = self.cluster.paths().unit;
        // Somebody may have been here before the package.
        let drop_ins = Path::new("/etc/systemd/system").join(format!("{unit}.d"));
        let mut drop_ins: Vec<PathBuf> =
            drop_ins.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        drop_ins.sort();
        let found = match cx.look.unit(&unit) {
            Ok(found) => found.files,
            // The service tells that it is hidden.
            Err(_) if !cx.host.root => return Ok(()),
            Err(error) => return Err(error),
        };
        let paths: Vec<PathBuf> =
            if found.is_empty() { drop_ins } else { found.into_iter().map(PathBuf::from).collect() };
        let mut text = String::new();
        for path in paths {
            match fs::read(&path) {
                Ok(bytes) => text.push_str(&(String::from_utf8_lossy(&bytes) + "\n")),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(io_fault(&error, "read", &path).into()),
            }
        }
        other_folder(&self.folder(), &unit, layout::data_folder(&text))
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        self.refuse_other_folder(cx)?;
        if !cx.look.is_installed(&self.package)? {
            return Ok(Probe::Pending(format!("package {}", self.package)));
        }
        let half_made = self.is_half_made(cx)?;
        if self.is_there()? && !half_made {
            return Ok(Probe::InPlace(Value::Null));
        }
        let paths = self.cluster.paths();
        let part = |item: &str, summary: &str, path: String| Change {
            data: true,
            ..Change::new(item, summary, Undo::RemoveFolder { path })
        };
        if !self.is_versioned() {
            return Ok(Probe::Changes(vec![part("cluster", "make it, in UTF-8", paths.folder)]));
        }
        // Data of a cluster whose configuration is gone are somebody's.
        if !half_made && Path::new(&paths.data).exists() {
            let message = format!("PostgreSQL {} has data and no configuration", self.cluster);
            return Err(Fault::new(Class::Conflict, message)
                .evidence([format!("{} is there, and {} is not", paths.data, paths.folder)])
                .advice("put its configuration back, or move the data away, then run again with --resume")
                .into());
        }
        Ok(Probe::Changes(vec![
            part("cluster", "make it, in UTF-8", paths.data),
            part("configuration", "with its configuration", paths.folder),
        ]))
    }

    /// Runs a command that may outlive us, and holds a lock as long as it lives: who goes on waits for it. That it dies with us is nothing
    /// that setpriv of Enterprise Linux 8 can be asked for.
    fn locked(&self, cx: &Cx<'_>, words: &[String]) -> Result<()> {
        let lock = if self.is_versioned() { PathBuf::from("/var/lib/postgresql") } else { self.above() };
        let command = Command::new("flock").args([lock.display().to_string()]).args(words.iter().cloned());
        let output = command.limit(LIMIT).output(&cx.host.runner)?;
        if output.ok() {
            return Ok(());
        }
        let fault = output
            .fault(Class::Service, format!("the cluster {} cannot be made", self.cluster))
            .advice("mend what it names, then run again with --resume");
        let is_full = output.tail.iter().any(|line| tells_of_full_disk(line));
        Err(if is_full { of_full_disk(fault) } else { fault }.into())
    }

    fn above(&self) -> PathBuf {
        self.folder().parent().unwrap_or(Path::new("/")).to_owned()
    }

    /// Debian's own program makes it and takes back what it did not come to an end with, unless it was killed.
    fn make_by_version(&self, cx: &Cx<'_>) -> Result<()> {
        let Cluster { version, name, .. } = &self.cluster;
        // The intent of this very attempt is written down, too: only what is there by now was left by another one.
        let paths = self.cluster.paths();
        if Path::new(&paths.data).exists() {
            for left in [&paths.folder, &paths.data] {
                files::remove_tree(Path::new(left))?;
            }
        }
        let words = ["pg_createcluster", "--quiet", LOCALE[0], LOCALE[1], version, name];
        self.locked(cx, &words.map(str::to_owned))
    }

    fn make_by_folder(&self, cx: &Cx<'_>) -> Result<()> {
        let (folder, above) = (self.folder(), self.above());
        let beside = folder.with_extension("surefoot");
        files::remove_tree(&beside)?;
        let user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"].map(str::to_owned);
        let program =
            [format!("{}/initdb", self.cluster.paths().programs), "-D".to_owned(), beside.display().to_string()];
        let how = [LOCALE[0], LOCALE[1], "--auth-local=peer", "--auth-host=scram-sha-256"];
        self.locked(cx, &[&user[..], &program, &how.map(str::to_owned)].concat())?;
        fs::rename(&beside, &folder).map_err(|error| io_fault(&error, "rename to", &folder))?;
        let synced = fs::File::open(&above).and_then(|above| above.sync_all());
        synced.map_err(|error| io_fault(&error, "sync", &above))?;
        Ok(())
    }
}

/// Did a server ever start with the data in this folder? It writes down there how it was called, and no program that makes a cluster does.
fn was_started(data: &Path) -> bool {
    data.join("postmaster.opts").exists()
}

/// Refuses that `unit` has its data in another folder than `packaged`.
fn other_folder(packaged: &Path, unit: &str, named: Option<String>) -> Result<()> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(named) = named.filter(|named| real(Path::new(named)) != real(packaged)) else { return Ok(()) };
    let packaged = packaged.display();
    let message = format!("the data of {unit} are in {named}, and not in {packaged}, where its package has them");
    Err(Fault::new(Class::Conflict, message)
        .evidence([format!("`systemctl cat {unit}`, with the files that it names, says {named}")])
        .advice(format!(
            "move them to {packaged} and take the setting out, or let {unit} be a server that is there already (`external`), then run it again"
        ))
        .into())
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
        self.locked(cx, &["true".to_owned()])?;
        if self.is_versioned() {
            self.make_by_version(cx)?;
        } else {
            self.make_by_folder(cx)?;
        }
        self.made.set(true);
        Ok(())
    }

    fn units(&self) -> Vec<String> {
        vec![self.cluster.paths().unit]
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
    fn data_elsewhere_are_a_conflict() {
        let trial = Trial::new();
        fs::create_dir(trial.at("data")).unwrap();
        std::os::unix::fs::symlink(trial.at("data"), trial.at("link")).unwrap();
        let packaged = PathBuf::from(trial.at("data"));
        for (named, wanted) in [
            (None, true),
            (Some(trial.at("data")), true),
            (Some(trial.at("data/")), true),
            (Some(trial.at("link")), true),
            (Some(trial.at("elsewhere")), false),
        ] {
            let found = other_folder(&packaged, "postgresql.service", named.clone());
            assert_eq!(found.is_ok(), wanted, "{named:?}");
            let Err(error) = found else { continue };
            assert_eq!(Fault::class_of(&error), Class::Conflict);
            let said = error.to_string();
            let wanted = format!("are in {}, and not in {},", trial.at("elsewhere"), trial.at("data"));
            assert!(said.contains(&wanted), "{said}");
        }
    }

    #[test]
    fn a_server_that_ran_left_its_mark() {
        let trial = Trial::new();
        trial.write("PG_VERSION", "15\n");
        assert!(!was_started(Path::new(&trial.at(""))));
        trial.write("postmaster.opts", "/usr/lib/postgresql/15/bin/postgres \"-D\" \"/x\"\n");
        assert!(was_started(Path::new(&trial.at(""))));
    }

    #[test]
    fn what_is_there_is_a_cluster_or_in_the_way() {
        let trial = Trial::new();
        let new = NewCluster::new(Cluster::at(&trial.at("data"), [127, 0, 0, 1].into()), String::new());
        assert!(!new.is_there().unwrap());
        fs::create_dir(trial.at("data")).unwrap();
        assert!(!new.is_there().unwrap());
        trial.write("data/notes", "");
        assert_eq!(Fault::class_of(&new.is_there().unwrap_err()), Class::Conflict);
        trial.write("data/PG_VERSION", "15\n");
        assert!(new.is_there().unwrap());
    }
}
