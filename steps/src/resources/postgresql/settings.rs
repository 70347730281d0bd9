//! What a cluster's configuration comes to, and settings of ours that somebody else's win over.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Fault, files};
use serde_json::Value;

use super::Cluster;
use crate::resources::paths;
use crate::resources::setting::{Setting, Spot};
use crate::{Change, Claim, Cx, KeyFormat, Probe, Resource, Stage};

/// How deep files may include each other, as the server has it.
const DEPTH: usize = 10;

/// One line that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// As it is written: the server does not tell capitals from others.
    key: String,
    value: String,
    /// Is there an equals sign between them?
    assigned: bool,
}

impl Line {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"_.$".contains(c)).unwrap_or(text.len());
        let (key, rest) = text.split_at(end);
        let rest = rest.trim_start();
        let (assigned, rest) = rest.strip_prefix('=').map_or((false, rest), |rest| (true, rest.trim_start()));
        let value = match rest.strip_prefix('\'') {
            Some(quoted) => unquoted(quoted)?,
            None => rest.split(|c: char| c.is_whitespace() || c == '#').next().unwrap_or_default().to_owned(),
        };
        (!key.is_empty() && !rest.is_empty()).then(|| Self { key: key.to_owned(), value, assigned })
    }

    fn is(&self, key: &str) -> bool {
        self.key.eq_ignore_ascii_case(key)
    }
}

/// A value after its opening quote, up to the closing one. None, where there is none.
fn unquoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut rest = text.chars().peekable();
    loop {
        match rest.next()? {
            '\'' if rest.peek() == Some(&'\'') => value.extend(rest.next()),
            '\'' => return Some(value),
            '\\' => value.extend(rest.next()),
            other => value.push(other),
        }
    }
}

/// Every line that sets something, in the order in which the server reads them: of several for one key the last counts.
#[derive(Debug, Default)]
pub(super) struct Settings {
    lines: Vec<(PathBuf, Line)>,
    /// How many there are before those of our own file.
    before_own: Option<usize>,
}

impl Settings {
    /// Reads the configuration of a cluster. Without root what only its server may read is left out.
    ///
    /// # Errors
    /// Where a file of it cannot be read.
    pub(super) fn of(cluster: &Cluster) -> Result<Self> {
        let paths = cluster.paths();
        let mut settings = Self::default();
        settings.read(Path::new(&format!("{}/postgresql.conf", paths.folder)), Path::new(&paths.own), DEPTH)?;
        let data = settings.last("data_directory", |_| true).map_or(paths.data, |(_, line)| line.value.clone());
        // What `ALTER SYSTEM` sets comes after everything else.
        match settings.read(&Path::new(&data).join("postgresql.auto.conf"), Path::new(&paths.own), DEPTH) {
            Err(error) if Fault::class_of(&error) == Class::Permission => {}
            read => read?,
        }
        Ok(settings)
    }

    fn read(&mut self, path: &Path, own: &Path, depth: usize) -> Result<()> {
        if path == own {
            self.before_own = Some(self.lines.len());
        }
        // As the server does, which follows links.
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_fault(&error, "read", path).into()),
        };
        let folder = path.parent().unwrap_or(path);
        for line in String::from_utf8_lossy(&text).lines().filter_map(Line::read) {
            let named = folder.join(&line.value);
            let included = if line.is("include") || line.is("include_if_exists") {
                vec![named]
            } else if line.is("include_dir") {
                files_of(&named, own)
            } else {
                self.lines.push((path.to_owned(), line));
                continue;
            };
            for path in included.iter().filter(|_| depth > 0) {
                self.read(path, own, depth - 1)?;
            }
        }
        Ok(())
    }

    /// The line that counts, of those in files that are wanted.
    fn last(&self, key: &str, wanted: impl Fn(&Path) -> bool) -> Option<&(PathBuf, Line)> {
        self.lines.iter().rev().find(|(path, line)| line.is(key) && wanted(path))
    }

    /// The port, of those in files that are wanted.
    pub(super) fn port(&self, wanted: impl Fn(&Path) -> bool) -> Option<u16> {
        self.last("port", wanted)?.1.value.parse().ok()
    }

    /// The line that wins over ours, where there is one.
    fn over(&self, key: &str, own: &Path) -> Option<&(PathBuf, Line)> {
        let is_auto = |path: &Path| path.file_name().is_some_and(|name| name == "postgresql.auto.conf");
        let (at, found) = self.lines.iter().enumerate().rev().find(|(_, (_, line))| line.is(key))?;
        // As long as our file is not included, it will come after everything but that.
        let is_later = self.before_own.map_or_else(|| is_auto(&found.0), |before| at >= before);
        (is_later && found.0 != own).then_some(found)
    }
}

/// The files of a folder that is included, with our own where it will be one of them.
fn files_of(folder: &Path, own: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.chain((own.parent() == Some(folder)).then(|| own.to_owned())).collect();
    let is_read = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".conf") && !name.starts_with('.') && !path.is_dir()
    };
    files.retain(is_read);
    files.sort();
    files.dedup();
    files
}

/// Settings of ours, where another line of the cluster's configuration comes after them: `ALTER SYSTEM`, what somebody put at the end of
/// postgresql.conf, a file with a later name. That line gets our value, since it is the one that counts.
#[derive(Clone, Debug)]
pub struct Overruled {
    /// Where.
    pub cluster: Cluster,
    /// Keys with their values, without quotes.
    pub settings: Vec<(String, String)>,
    /// Is our own file to be included here where nothing includes it? Somebody may have written a postgresql.conf without the folder of such files.
    pub include: bool,
}

impl Overruled {
    /// The lines that win over ours with another value, with ours.
    fn found(&self) -> Result<Vec<(PathBuf, Line, &str)>> {
        let (all, own) = (Settings::of(&self.cluster)?, self.cluster.paths().own);
        let over = |(key, value): &'_ (String, String)| -> Option<(PathBuf, Line)> {
            all.over(key, Path::new(&own)).filter(|(_, line)| line.value != *value).cloned()
        };
        Ok(self
            .settings
            .iter()
            .filter_map(|ours| over(ours).map(|(path, line)| (path, line, ours.1.as_str())))
            .collect())
    }

    fn with_each<T>(&self, mut act: impl FnMut(&Line, &str, &Setting<'_>) -> Result<T>) -> Result<Vec<T>> {
        let each = |(path, line, value): (PathBuf, Line, &str)| {
            let (format, sign) = if line.assigned { (KeyFormat::Ini, "") } else { (KeyFormat::Space, "= ") };
            let spot = Spot { format, section: "", key: &line.key, repeat: false };
            let quoted = format!("{sign}'{}'", value.replace('\'', "''"));
            let path = path.to_string_lossy();
            act(&line, value, &Setting { path: &path, spot, value: &quoted, sensitive: false })
        };
        self.found()?.into_iter().map(each).collect()
    }

    /// The line that includes our own file, where one is to be made.
    fn with_include<T>(&self, act: impl FnOnce(&Setting<'_>) -> Result<T>) -> Result<Option<T>> {
        if !self.include || Settings::of(&self.cluster)?.before_own.is_some() {
            return Ok(None);
        }
        let paths = self.cluster.paths();
        let spot = Spot { format: KeyFormat::Space, section: "", key: "include", repeat: true };
        let (path, value) = (format!("{}/postgresql.conf", paths.folder), format!("'{}'", paths.own));
        act(&Setting { path: &path, spot, value: &value, sensitive: false }).map(Some)
    }

    /// Insists that the server reads who may log in where we write it.
    fn refuse_other_logins(&self) -> Result<()> {
        let (all, own) = (Settings::of(&self.cluster)?, format!("{}/pg_hba.conf", self.cluster.paths().folder));
        let Some((path, line)) = all.last("hba_file", |_| true).filter(|(_, line)| line.value != own) else {
            return Ok(());
        };
        let message = format!("PostgreSQL {} reads who may log in from another file than {own}", self.cluster);
        Err(Fault::new(Class::Conflict, message)
            .evidence([format!("{}: hba_file = '{}'", path.display(), line.value)])
            .advice(format!("move its lines to {own}, and take hba_file out, then run it again"))
            .into())
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let main = format!("{}/postgresql.conf", self.cluster.paths().folder);
        if files::stat(cx.look, Path::new(&main))?.is_none() {
            return paths::missing(cx, &main);
        }
        self.refuse_other_logins()?;
        let changes = self.with_each(|line, value, setting| {
            let Probe::Changes(changes) = setting.probe(cx)? else { return Ok(Vec::new()) };
            let summary = format!("{}: {} -> {value} in {}", line.key, line.value, setting.path);
            let told =
                |change: Change| Change { item: line.key.to_ascii_lowercase(), summary: summary.clone(), ..change };
            Ok(changes.into_iter().map(told).collect())
        })?;
        let included = self.with_include(|setting| {
            let Probe::Changes(changes) = setting.probe(cx)? else { return Ok(Vec::new()) };
            let summary = format!("include {} in {}, which reads it nowhere", self.cluster.paths().own, setting.path);
            let told = |change: Change| Change { item: "include".to_owned(), summary: summary.clone(), ..change };
            Ok(changes.into_iter().map(told).collect::<Vec<_>>())
        })?;
        let changes = [changes.concat(), included.unwrap_or_default()].concat();
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }
}

impl Resource for Overruled {
    fn sort(&self) -> &'static str {
        "settings"
    }

    fn key(&self) -> String {
        self.cluster.to_string()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        // As a key of a file is named: its undo is one.
        let thing = |key: &str| format!("key:postgresql:{}#{key}", self.cluster);
        self.settings
            .iter()
            .map(|(key, value)| Claim { thing: thing(key), wants: value.clone().into_bytes() })
            .collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &format!("the settings of {}", self.cluster), self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        self.with_each(|_, _, setting| setting.apply(cx))?;
        self.with_include(|setting| setting.apply(cx)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn lines() {
        for (text, wanted) in [
            ("port = 5433 # (change requires restart)", Some(("port", "5433", true))),
            ("  Listen_Addresses='*'", Some(("Listen_Addresses", "*", true))),
            ("search_path 'it''s, \\'x\\'' # y", Some(("search_path", "it's, 'x'", false))),
            ("include_dir 'conf.d'", Some(("include_dir", "conf.d", false))),
            ("# port = 3", None),
            ("port", None),
            ("port = 'open", None),
            ("", None),
        ] {
            let found = Line::read(text);
            let found = found.as_ref().map(|line| (line.key.as_str(), line.value.as_str(), line.assigned));
            assert_eq!(found, wanted, "{text}");
        }
    }

    /// A cluster in a folder, whose configuration includes `conf.d` and our own file by its name.
    fn cluster(trial: &Trial, main: &str) -> Overruled {
        trial.write("postgresql.conf", main);
        let cluster = Cluster::at(trial.at("").trim_end_matches('/'), [127, 0, 0, 1].into());
        std::fs::create_dir_all(trial.at("conf.d")).unwrap();
        std::fs::write(cluster.paths().own, "listen_addresses = '127.0.0.1'\nport = 5432\n").unwrap();
        Overruled { cluster, settings: vec![("listen_addresses".into(), "127.0.0.1".into())], include: false }
    }

    #[test]
    fn our_own_file_is_included_where_nothing_includes_it() {
        for (main, after) in [
            ("listen_addresses = '*'\n", Some("listen_addresses = '*'\ninclude 'OWN'\n")),
            ("#include_dir = 'conf.d'\n", Some("#include_dir = 'conf.d'\ninclude 'OWN'\n")),
            ("include_dir = '.'\n", None),
            ("include_if_exists 'surefoot.conf'\nport = 5432\n", None),
        ] {
            let trial = Trial::new();
            let overruled = Overruled { include: true, ..cluster(&trial, main) };
            let after = after.map(|after| after.replace("OWN", &overruled.cluster.paths().own));
            let Some(after) = after else {
                assert!(trial.changes(&overruled).is_empty(), "{main}");
                continue;
            };
            let changes = trial.bring(&overruled);
            assert_eq!(trial.read("postgresql.conf"), after);
            trial.undo(&changes, false);
            assert_eq!(trial.read("postgresql.conf"), main);
        }
    }

    #[test]
    fn what_comes_after_ours_gets_our_value() {
        for (main, file, text, after) in [
            (
                "include 'surefoot.conf'\nlisten_addresses = '*'\t# all\n",
                "postgresql.conf",
                None,
                "include 'surefoot.conf'\nlisten_addresses = '127.0.0.1'\n",
            ),
            (
                "include 'surefoot.conf'\nLISTEN_ADDRESSES '*'\n",
                "postgresql.conf",
                None,
                "include 'surefoot.conf'\nLISTEN_ADDRESSES = '127.0.0.1'\n",
            ),
            (
                "include 'surefoot.conf'\n",
                "postgresql.auto.conf",
                Some("listen_addresses = '*'\n"),
                "listen_addresses = '127.0.0.1'\n",
            ),
            (
                "include 'surefoot.conf'\ninclude_dir = 'conf.d'\n",
                "conf.d/z.conf",
                Some("listen_addresses=''\n"),
                "listen_addresses='127.0.0.1'\n",
            ),
            // Not included yet.
            ("", "postgresql.auto.conf", Some("listen_addresses = '*'\n"), "listen_addresses = '127.0.0.1'\n"),
        ] {
            let trial = Trial::new();
            let overruled = cluster(&trial, main);
            if let Some(text) = text {
                trial.write(file, text);
            }
            let before = trial.read(file);
            let changes = trial.bring(&overruled);
            assert_eq!(trial.read(file), after, "{main}");
            assert_eq!(changes[0].item, "listen_addresses");
            trial.undo(&changes, false);
            assert_eq!(trial.read(file), before, "{main}");
        }
    }

    #[test]
    fn links_are_followed_and_folders_are_none_of_it() {
        let trial = Trial::new();
        let overruled = cluster(&trial, "include 'surefoot.conf'\ninclude_dir 'conf.d'\n");
        trial.write("elsewhere", "port = 5499\n");
        std::os::unix::fs::symlink(trial.at("elsewhere"), trial.at("conf.d/z.conf")).unwrap();
        std::fs::create_dir(trial.at("conf.d/zz.conf")).unwrap();
        assert_eq!(Settings::of(&overruled.cluster).unwrap().port(|_| true), Some(5499));
    }

    #[test]
    fn what_comes_before_ours_stays() {
        for main in [
            "listen_addresses = '*'\ninclude 'surefoot.conf'\n",
            "listen_addresses = '*'\n",
            "include 'surefoot.conf'\nlisten_addresses = '127.0.0.1'\n",
            "include 'surefoot.conf'\n#listen_addresses = '*'\nwork_mem = 1MB\n",
        ] {
            let trial = Trial::new();
            assert!(trial.changes(&cluster(&trial, main)).is_empty(), "{main}");
        }
    }

    #[test]
    fn logins_that_are_read_from_elsewhere_are_a_conflict() {
        let trial = Trial::new();
        let own = trial.at("pg_hba.conf");
        for (main, wanted) in [
            (format!("hba_file = '{own}'\n"), None),
            ("hba_file = '/srv/hba'\n".to_owned(), Some("hba_file = '/srv/hba'")),
        ] {
            let found = trial.probe(&cluster(&trial, &main)).err();
            let said = found.as_ref().and_then(Fault::find).map(|fault| fault.evidence.join(""));
            assert_eq!(said.is_some(), wanted.is_some(), "{main}");
            assert!(said.unwrap_or_default().ends_with(wanted.unwrap_or_default()), "{main}");
        }
    }

    #[test]
    fn the_port_is_the_one_that_counts() {
        for (main, auto, port, foreign) in [
            ("port = 5433\ninclude 'surefoot.conf'\n", "", Some(5432), Some(5433)),
            ("include 'surefoot.conf'\nport = 5434\n", "", Some(5434), Some(5434)),
            ("include 'surefoot.conf'\nport = 5434\n", "port = '5435'\n", Some(5435), Some(5435)),
            ("", "", None, None),
        ] {
            let trial = Trial::new();
            let overruled = cluster(&trial, main);
            trial.write("postgresql.auto.conf", auto);
            let (settings, own) = (Settings::of(&overruled.cluster).unwrap(), overruled.cluster.paths().own);
            assert_eq!(settings.port(|_| true), port, "{main}");
            assert_eq!(settings.port(|path| path != Path::new(&own)), foreign, "{main}");
        }
    }
}
