//! Our file of RabbitMQ's configuration, and those that count more.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Fault, files};

use super::terms::{Setting, settings};
use crate::resources::around::Around;
use crate::resources::file::File;
use crate::resources::paths;
use crate::{Cx, Probe, Resource};

/// What the management page is behind, where somebody says so.
const PREFIX: &str = "management.path_prefix";

/// What the keys begin with that say where definitions are imported from.
const DEFINITIONS: [&str; 2] = ["load_definitions", "definitions."];

/// Files in the terms of Erlang, which count more than ours wherever that is.
const TERMS: [&str; 2] = ["rabbitmq.config", "advanced.config"];

/// What of these decides as ours does: where the server and its page listen, and where definitions come from.
const DECISIVE: [(&str, &str); 6] = [
    ("rabbit", "tcp_listeners"),
    ("rabbit", "load_definitions"),
    ("rabbit", "definitions"),
    ("rabbitmq_management", "listener"),
    ("rabbitmq_management", "tcp_config"),
    ("rabbitmq_management", "path_prefix"),
];

/// Our file in `conf.d`. RabbitMQ takes the last of several lines for one key, of `rabbitmq.conf` and then of the files of that folder in the
/// order of their names: a line that comes after ours with another value is a conflict. So is one, wherever it stands, that has it import definitions from another
/// place: somebody's would be imported no more.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file.
    pub file: File,
    /// Folder that `conf.d` is in.
    pub folder: PathBuf,
}

/// A line of a configuration file that sets something.
#[derive(Debug)]
struct Line {
    path: PathBuf,
    number: usize,
    key: String,
    value: String,
}

impl Line {
    /// A listener of ours takes a port that `other` takes, too, under another name, or `other` wants none at all: the server would not start, or not
    /// listen as it should.
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        let Some((all, _)) = self.key.rsplit_once('.').filter(|(all, _)| all.ends_with("listeners.tcp")) else {
            return false;
        };
        let port = |value: &str| value.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        let is_listener = other.key.rsplit_once('.').is_some_and(|(of, _)| of == all);
        let is_none = other.key == all && other.value == "none";
        is_none || (is_listener && port(&other.value) == port(&self.value))
    }
}

/// The lines of a file. What is in it that is none is for the server to complain of.
fn lines<'a>(path: &'a Path, text: &'a str) -> impl Iterator<Item = Line> + 'a {
    text.lines().enumerate().filter_map(move |(at, line)| {
        let (key, value) = line.split('#').next()?.split_once('=')?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        Some(Line { path: path.to_owned(), number: at + 1, key, value })
    })
}

impl Configuration {
    /// The files that the server reads, the last one last, with ours among them.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let own = Path::new(&self.file.path);
        let folder = own.parent().unwrap_or(own);
        let entries = match folder.read_dir() {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io_fault(&error, "read", folder).into()),
        };
        let is_read = |path: &PathBuf| path.extension().is_some_and(|end| end == "conf") && path.is_file();
        let mut files: Vec<PathBuf> = entries.into_iter().filter(is_read).chain([own.to_owned()]).collect();
        files.sort();
        files.dedup();
        files.insert(0, self.folder.join("rabbitmq.conf"));
        Ok(files)
    }

    /// What somebody's files set, and whether that comes after ours.
    fn others(&self) -> Result<Vec<(bool, Line)>> {
        let own = Path::new(&self.file.path);
        let mut found = Vec::new();
        let mut is_later = false;
        for path in self.files()? {
            if path == own {
                is_later = true;
                continue;
            }
            match std::fs::read(&path) {
                Ok(text) => {
                    found.extend(lines(&path, &String::from_utf8_lossy(&text)).map(|line| (is_later, line)));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io_fault(&error, "read", &path).into()),
            }
        }
        Ok(found)
    }

    /// Insists that the server takes what is in our file, and answers where it is asked.
    fn refuse_others(&self) -> Result<()> {
        let conflict = |message: String, line: String, advice: String| {
            Err(Fault::new(Class::Conflict, message).evidence([line]).advice(advice).into())
        };
        let path = &self.file.path;
        for name in TERMS {
            let terms = self.folder.join(name);
            let text = files::read(&terms)?.unwrap_or_default();
            let decides = |one: &Setting| DECISIVE.contains(&(&one.application, &one.key));
            if let Some(Setting { application, key, line }) =
                settings(&String::from_utf8_lossy(&text)).into_iter().find(decides)
            {
                return conflict(
                    format!("RabbitMQ takes '{key}' of {} over {path}", terms.display()),
                    format!("{}:{line}: {key} of {application}", terms.display()),
                    "take that setting out of the file, then run again: it is set by us".to_owned(),
                );
            }
        }
        let others = self.others()?;
        let last = |key: &str| others.iter().rev().find(|(_, line)| line.key == key);
        let shown = |line: &Line| format!("{}:{}: {} = {}", line.path.display(), line.number, line.key, line.value);
        if let Some((_, line)) = last(PREFIX).filter(|(_, line)| !matches!(line.value.as_str(), "" | "/")) {
            return conflict(
                format!("RabbitMQ's management API is behind '{}', and is asked without that", line.value),
                shown(line),
                format!("take {PREFIX} out of {}, then run again", line.path.display()),
            );
        }
        let text = String::from_utf8_lossy(&self.file.content).into_owned();
        let ours: Vec<Line> = lines(Path::new(path), &text).collect();
        let is_ours = |key: &str| ours.iter().any(|line| line.key == key);
        for line in others.iter().map(|(_, line)| line).filter(|line| !is_ours(&line.key)) {
            let is_it = |ours: &&Line| {
                ours.is_in_the_way_of(line) && last(&line.key).is_some_and(|(_, at)| at.value == line.value)
            };
            if let Some(ours) = ours.iter().find(is_it) {
                return conflict(
                    format!("RabbitMQ cannot do as '{} = {}' of {path} says", ours.key, ours.value),
                    shown(line),
                    format!(
                        "take the line out of {}, and name the addresses that are meant as 'bind' of the step, then run again",
                        line.path.display()
                    ),
                );
            }
        }
        for ours in &ours {
            let Some((is_later, line)) = last(&ours.key).filter(|(_, line)| line.value != ours.value) else { continue };
            if DEFINITIONS.iter().any(|begin| ours.key.starts_with(begin)) {
                return conflict(
                    format!("RabbitMQ imports definitions from one place, which is '{}' for somebody", line.value),
                    shown(line),
                    format!(
                        "put what is to be imported into {0}/definitions.d, where all files are read, take the line out of {1}, then run again",
                        self.folder.display(),
                        line.path.display()
                    ),
                );
            }
            if *is_later {
                return conflict(
                    format!("RabbitMQ takes '{} = {}' over '{}' of {path}", line.key, line.value, ours.value),
                    shown(line),
                    format!(
                        "take the line out of {}, or give that file a name that comes before {}, then run again",
                        line.path.display(),
                        Path::new(path).file_name().unwrap_or_default().to_string_lossy()
                    ),
                );
            }
        }
        Ok(())
    }
}

impl Around for Configuration {
    fn inner(&self) -> &dyn Resource {
        &self.file
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(
            cx,
            "the configuration of RabbitMQ",
            self.refuse_others().and_then(|()| self.file.probe(cx)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    fn configuration(trial: &Trial) -> Configuration {
        std::fs::create_dir_all(trial.at("conf.d")).unwrap();
        let content = "# ours\nlisteners.tcp.default = 127.0.0.1:5672\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 15672\n\
                       load_definitions = /mq/definitions.d\n";
        Configuration { file: trial.file("conf.d/90-surefoot.conf", content, 0o640), folder: trial.at("").into() }
    }

    #[test]
    fn what_wins_over_ours_is_a_conflict() {
        for (file, text, said) in [
            (
                "conf.d/99-site.conf",
                "# site\n management.tcp.ip=0.0.0.0 # all\n",
                "conf.d/99-site.conf:2: management.tcp.ip = 0.0.0.0",
            ),
            (
                "conf.d/99-site.conf",
                "management.tcp.port = 15672\nmanagement.tcp.port = 8080\n",
                "conf.d/99-site.conf:2: management.tcp.port = 8080",
            ),
            // Two listeners of one port, and none.
            ("rabbitmq.conf", "listeners.tcp.1 = 0.0.0.0:5672\n", "rabbitmq.conf:1: listeners.tcp.1 = 0.0.0.0:5672"),
            ("conf.d/99-site.conf", "listeners.tcp.own = 5672\n", "99-site.conf:1: listeners.tcp.own = 5672"),
            ("rabbitmq.conf", "listeners.tcp = none\n", "rabbitmq.conf:1: listeners.tcp = none"),
            ("rabbitmq.conf", "management.path_prefix = /mq\n", "rabbitmq.conf:1: management.path_prefix = /mq"),
            ("conf.d/10-a.conf", "management.path_prefix = /mq\n", "10-a.conf:1: management.path_prefix = /mq"),
            ("rabbitmq.conf", "load_definitions = /srv/mq.json\n", "rabbitmq.conf:1: load_definitions = /srv/mq.json"),
            ("conf.d/99-b.conf", "load_definitions = /srv/mq\n", "99-b.conf:1: load_definitions = /srv/mq"),
            (
                "rabbitmq.config",
                "[{rabbit, [\n {tcp_listeners, [5672]}]}].\n",
                "rabbitmq.config:2: tcp_listeners of rabbit",
            ),
            (
                "advanced.config",
                "[{rabbitmq_management, [{listener, [{port, 15672}]}]}].\n",
                "advanced.config:1: listener of rabbitmq_management",
            ),
        ] {
            let trial = Trial::new();
            let configuration = configuration(&trial);
            trial.write(file, text);
            for _ in 0..2 {
                let error = trial.probe(&configuration).unwrap_err();
                let fault = Fault::find(&error).unwrap();
                assert_eq!(fault.class, Class::Conflict, "{text}");
                assert!(fault.evidence[0].contains(said), "{:?}", fault.evidence);
                // Whether ours is there already or not.
                trial.with(|cx| configuration.file.apply(cx, &[])).unwrap();
            }
        }
    }

    #[test]
    fn what_does_not_is_left_alone() {
        for (file, text) in [
            ("rabbitmq.conf", "management.tcp.ip = 0.0.0.0\nmanagement.path_prefix = /mq\nmanagement.path_prefix =\n"),
            ("conf.d/10-site.conf", "management.tcp.ip = 0.0.0.0\n"),
            (
                "rabbitmq.conf",
                "listeners.tcp.default = 5672\nlisteners.tcp.more = 10.0.0.5:5673\nlisteners.ssl.default = 5671\n",
            ),
            ("rabbitmq.conf", "listeners.tcp.1 = 5672\nlisteners.tcp.1 = 5673\nmqtt.listeners.tcp.1 = 5672\n"),
            ("conf.d/99-site.conf", "#management.tcp.ip = 0.0.0.0\nheartbeat = 30\nmanagement.tcp.ip = 127.0.0.1\n"),
            ("conf.d/99-site.conf", "management.tcp.ip = 0.0.0.0\nmanagement.tcp.ip = 127.0.0.1\n"),
            ("rabbitmq.conf", "load_definitions = /mq/definitions.d\nmanagement.load_definitions = /srv/mq.json\n"),
            ("rabbitmq.conf", "load_definitions = /srv/mq\nload_definitions = /mq/definitions.d\n"),
            ("conf.d/99-site.conf.bak", "management.tcp.ip = 0.0.0.0\n"),
            ("advanced.config", "[].\n"),
            ("rabbitmq.config", "[].\n"),
            ("rabbitmq.config", "[{rabbit, [{heartbeat, 30}]}, {rabbitmq_mqtt, [{tcp_listeners, [1883]}]}].\n"),
        ] {
            let trial = Trial::new();
            let configuration = configuration(&trial);
            trial.write(file, text);
            trial.bring(&configuration);
        }
    }
}
