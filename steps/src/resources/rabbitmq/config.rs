//! Our file of RabbitMQ's configuration, and those that count more.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Fault};

use crate::resources::file::File;
use crate::resources::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// What the management page is behind, where somebody says so.
const PREFIX: &str = "management.path_prefix";

/// Our file in `conf.d`. RabbitMQ takes the last of several lines for one key, of `rabbitmq.conf` and then of the files of that folder in the
/// order of their names: a line that comes after ours with another value is a conflict.
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
        for ours in lines(Path::new(path), &text) {
            let Some((true, line)) = last(&ours.key) else { continue };
            if line.value != ours.value {
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

impl Resource for Configuration {
    fn sort(&self) -> &'static str {
        self.file.sort()
    }

    fn key(&self) -> String {
        self.file.key()
    }

    fn stage(&self) -> Stage {
        self.file.stage()
    }

    fn claims(&self) -> Vec<Claim> {
        self.file.claims()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(
            cx,
            "the configuration of RabbitMQ",
            self.refuse_others().and_then(|()| self.file.probe(cx)),
        )
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.file.apply(cx, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    fn configuration(trial: &Trial) -> Configuration {
        std::fs::create_dir_all(trial.at("conf.d")).unwrap();
        let content = "# ours\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 15672\n";
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
            ("rabbitmq.conf", "management.path_prefix = /mq\n", "rabbitmq.conf:1: management.path_prefix = /mq"),
            ("conf.d/10-a.conf", "management.path_prefix = /mq\n", "10-a.conf:1: management.path_prefix = /mq"),
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
                trial.with(|cx| configuration.apply(cx, &[])).unwrap();
            }
        }
    }

    #[test]
    fn what_does_not_is_left_alone() {
        for (file, text) in [
            ("rabbitmq.conf", "management.tcp.ip = 0.0.0.0\nmanagement.path_prefix = /mq\nmanagement.path_prefix =\n"),
            ("conf.d/10-site.conf", "management.tcp.ip = 0.0.0.0\n"),
            ("conf.d/99-site.conf", "#management.tcp.ip = 0.0.0.0\nheartbeat = 30\nmanagement.tcp.ip = 127.0.0.1\n"),
            ("conf.d/99-site.conf", "management.tcp.ip = 0.0.0.0\nmanagement.tcp.ip = 127.0.0.1\n"),
            ("conf.d/99-site.conf.bak", "management.tcp.ip = 0.0.0.0\n"),
            ("advanced.config", "[].\n"),
            ("rabbitmq.config", "[].\n"),
        ] {
            let trial = Trial::new();
            let configuration = configuration(&trial);
            trial.write(file, text);
            trial.bring(&configuration);
        }
    }
}
