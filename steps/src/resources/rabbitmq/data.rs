//! Where RabbitMQ's nodes have their data, and which node it is that counts.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Fault, files};

use super::UNIT;
use crate::Cx;

/// Its data, a folder for each node, where nobody says otherwise.
const DATA: &str = "/var/lib/rabbitmq/mnesia";
/// The name of a new node: it always resolves, and stays right when the host gets another name.
const NAME: &str = "rabbit@localhost";

/// Names of the nodes that have data below `folder`.
fn nodes(folder: &Path) -> Result<Vec<String>> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_fault(&error, "read", folder).into()),
    };
    let is_node = |name: &String| name.contains('@') && !name.ends_with("-plugins-expand");
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut nodes: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(is_node).collect();
    nodes.sort();
    Ok(nodes)
}

/// What the environment file says of a variable, with RabbitMQ's prefix or without: the one with it counts.
fn variable<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str, prefix: &str| -> Option<&'a str> {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let value = line.strip_prefix(prefix)?.strip_prefix(name)?.strip_prefix('=')?;
        let value = value.split(" #").next().unwrap_or_default();
        Some(value.trim().trim_matches(['"', '\'']))
    };
    ["RABBITMQ_", ""].iter().find_map(|prefix| text.lines().rev().find_map(|line| value(line, prefix)))
}

/// Where the environment file says that the data are.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// A folder for each node is in this one.
    Base(&'a Path),
    /// They are in this one.
    Own(&'a Path),
    /// What it says is for a shell to read.
    Unknown(String),
}

impl<'a> Place<'a> {
    fn of(text: &'a str) -> Self {
        let named = |name| variable(text, name).filter(|value| !value.is_empty()).map(|value| (name, value));
        let Some((name, value)) = named("MNESIA_DIR").or_else(|| named("MNESIA_BASE")) else {
            return Self::Base(Path::new(DATA));
        };
        if !value.starts_with('/') || value.contains(['$', '`', '\\', '"', '\'']) {
            return Self::Unknown(format!("{name}={value}"));
        }
        if name == "MNESIA_DIR" { Self::Own(Path::new(value)) } else { Self::Base(Path::new(value)) }
    }
}

/// What is known of the nodes of a host.
#[derive(Debug)]
pub(super) struct Data {
    /// The environment file.
    environment: String,
    /// Where their data are looked for.
    folder: PathBuf,
    /// Names of those that have data.
    nodes: Vec<String>,
    /// The name that somebody gave the node.
    named: Option<String>,
    /// Why there are data, also where no node of them was found.
    used: Option<String>,
}

impl Data {
    /// Looks for them. The environment file need not be there.
    pub(super) fn of(cx: &Cx<'_>, environment: &str) -> Result<Self> {
        let text = files::read(Path::new(environment))?.unwrap_or_default();
        let runs = || match cx.look.unit(UNIT) {
            Ok(unit) => Ok(unit.active),
            Err(_) if !cx.host.root => Ok(false),
            Err(error) => Err(error),
        };
        Self::found(environment, &String::from_utf8_lossy(&text), runs)
    }

    /// By the `text` of the environment file; `runs` says whether there is a node that runs.
    fn found(environment: &str, text: &str, runs: impl FnOnce() -> Result<bool>) -> Result<Self> {
        let place = Place::of(text);
        let (folder, nodes, used) = match &place {
            Place::Base(folder) => (*folder, nodes(folder)?, None),
            // The folder may have any name.
            Place::Own(folder) => {
                let is_empty = match folder.read_dir() {
                    Ok(mut entries) => entries.next().is_none(),
                    Err(error) if error.kind() == ErrorKind::NotFound => true,
                    Err(error) => return Err(io_fault(&error, "read", folder).into()),
                };
                let used = (!is_empty).then(|| format!("{} has data, by MNESIA_DIR", folder.display()));
                (*folder, Vec::new(), used)
            }
            Place::Unknown(line) => (Path::new(DATA), Vec::new(), Some(format!("{environment} says '{line}'"))),
        };
        let used = match used {
            None if nodes.is_empty() && runs()? => {
                Some(format!("{UNIT} runs, and {} has no data of a node", folder.display()))
            }
            used => used,
        };
        let named = variable(text, "NODENAME").filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Self { environment: environment.to_owned(), folder: folder.to_owned(), nodes, named, used })
    }

    /// Has no node data yet?
    pub(super) fn is_new(&self) -> bool {
        self.nodes.is_empty() && self.used.is_none()
    }

    /// The name that the node has to have: that of the data that is there, else the one that somebody gave it, else ours.
    ///
    /// # Errors
    /// Class `conflict`, where there are data of several nodes, or of one whose name cannot be seen, and none is named.
    pub(super) fn name(&self) -> Result<String> {
        let (path, folder) = (&self.environment, self.folder.display());
        let (message, evidence, advice) = match (self.nodes.as_slice(), &self.named, &self.used) {
            ([only], ..) => return Ok(only.clone()),
            ([], Some(named), _) => return Ok(named.clone()),
            ([], None, None) => return Ok(NAME.to_owned()),
            (several, Some(named), _) if several.contains(named) => return Ok(named.clone()),
            ([], None, Some(used)) => (
                "RabbitMQ has its data elsewhere, and its node is not named: with another name it would begin anew"
                    .to_owned(),
                vec![used.clone()],
                format!(
                    "name its node in {path}, as 'NODENAME=rabbit@box' (while it runs, `rabbitmqctl eval 'node().'` says the name), then \
                     run again"
                ),
            ),
            (several, ..) => (
                format!("{folder} has data of several nodes, and none is named"),
                several.to_vec(),
                format!("set NODENAME in {path} to the one that counts, then run again with --resume"),
            ),
        };
        Err(Fault::new(Class::Conflict, message).evidence(evidence).advice(advice).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/etc/rabbitmq/rabbitmq-env.conf";

    fn with_nodes(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        folder
    }

    #[test]
    fn the_name_of_a_node() {
        for (nodes, file, name) in [
            (&[][..], "#NODENAME=rabbit\n", Some("rabbit@localhost")),
            (&[], "NODENAME=one\nRABBITMQ_NODENAME='hare@box'\n", Some("hare@box")),
            (&["rabbit@old"], "#NODENAME=rabbit\n", Some("rabbit@old")),
            (&["rabbit@old"], "NODENAME=rabbit@new\n", Some("rabbit@old")),
            (&["a@b", "c@d"], "NODENAME=c@d\n", Some("c@d")),
            (&["a@b", "c@d"], "", None),
        ] {
            let folder = with_nodes(nodes);
            let text = format!("{file}MNESIA_BASE={}\n", folder.path().display());
            let found = Data::found(FILE, &text, || Ok(false)).unwrap();
            assert_eq!(found.name().ok().as_deref(), name, "{nodes:?} {file}");
            assert_eq!(found.is_new(), nodes.is_empty());
        }
    }

    #[test]
    fn where_the_data_are() {
        let base = |path| Place::Base(Path::new(path));
        for (text, place) in [
            ("", base(DATA)),
            ("#MNESIA_BASE=/srv\nMNESIA_BASE=\n", base(DATA)),
            ("MNESIA_BASE=/srv/rabbitmq # big\n", base("/srv/rabbitmq")),
            ("export RABBITMQ_MNESIA_BASE='/srv/a'\nMNESIA_BASE=/srv/b\n", base("/srv/a")),
            ("MNESIA_BASE=/srv\nMNESIA_DIR=\"/srv/own\"\n", Place::Own(Path::new("/srv/own"))),
            ("MNESIA_BASE=$HOME/mnesia\n", Place::Unknown("MNESIA_BASE=$HOME/mnesia".into())),
            ("MNESIA_DIR=here\n", Place::Unknown("MNESIA_DIR=here".into())),
        ] {
            assert_eq!(Place::of(text), place, "{text}");
        }
    }

    #[test]
    fn data_elsewhere_are_never_taken_for_none() {
        let (empty, full) = (with_nodes(&[]), with_nodes(&["schema"]));
        let dir = |folder: &tempfile::TempDir| format!("MNESIA_DIR={}\n", folder.path().display());
        let base = format!("MNESIA_BASE={}\n", empty.path().display());
        for (text, runs, name, is_new) in [
            (base.clone(), false, Some("rabbit@localhost"), true),
            (base.clone(), true, None, false),
            (format!("{base}NODENAME=hare@box\n"), true, Some("hare@box"), false),
            (dir(&empty), false, Some("rabbit@localhost"), true),
            (dir(&empty), true, None, false),
            (dir(&full), false, None, false),
            (format!("{}NODENAME=hare@box\n", dir(&full)), false, Some("hare@box"), false),
            ("MNESIA_BASE=$HOME\n".to_owned(), false, None, false),
        ] {
            let found = Data::found(FILE, &text, || Ok(runs)).unwrap();
            assert_eq!(found.name().ok().as_deref(), name, "{text}");
            assert_eq!(found.is_new(), is_new, "{text}");
            if let Err(error) = found.name() {
                assert_eq!(Fault::class_of(&error), Class::Conflict);
            }
        }
    }

    #[test]
    fn folders_of_nodes() {
        let folder = with_nodes(&["rabbit@box", "rabbit@box-plugins-expand", "other"]);
        std::fs::write(folder.path().join("rabbit@box.pid"), "").unwrap();
        assert_eq!(nodes(folder.path()).unwrap(), ["rabbit@box"]);
        assert_eq!(nodes(&folder.path().join("gone")).unwrap(), Vec::<String>::new());
    }
}
