//! The file of a site of nginx, beside those of somebody else's sites.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::nginx::{self, Config, Obstacle, Server};
use distro::{Class, Fault};

use super::around::Around;
use super::paths;
use crate::{Claim, Cx, Probe, Resource};

/// A site's file. Where it has to be written, the other sites on the same ports are named, and one that answers in its place is a conflict: of two of the same
/// name nginx would leave out one without a word.
#[derive(Debug)]
pub struct Beside {
    /// The file.
    pub inner: Box<dyn Resource>,
    /// The site's names.
    pub names: Vec<String>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// nginx's main file, and folders whose files it reads.
    pub files: Vec<PathBuf>,
    /// Files below them that are none of somebody else's: the site's own, and what makes way for it.
    pub own: Vec<PathBuf>,
    /// What nginx's main file says, where it is there.
    pub config: Option<Config>,
    /// Does it listen on addresses of IPv6, too?
    pub ipv6: bool,
}

impl Beside {
    /// The other sites on the same ports, with the files that they stand in.
    fn neighbours(&self) -> Result<Vec<(PathBuf, Server)>> {
        let mut found = Vec::new();
        for (path, servers) in others(&self.files, &self.own, self.config.as_ref())? {
            let near = servers.into_iter().filter(|server| server.ports.iter().any(|port| self.ports.contains(port)));
            found.extend(near.map(|server| (path.clone(), server)));
        }
        Ok(found)
    }

    /// Insists that nobody else's site answers for a name of this one; `is_first`, where nginx reads it before.
    fn refuse_namesakes(&self, neighbours: &[(PathBuf, Server)], is_first: impl Fn(&Path) -> bool) -> Result<()> {
        for (path, server) in neighbours {
            for other in &server.names {
                if let Some(name) = self.names.iter().find(|name| nginx::answers_for(other, name, is_first(path))) {
                    return Err(self.conflict(path, other, name).into());
                }
            }
        }
        Ok(())
    }

    /// Insists that nginx can listen on the site's ports.
    fn refuse_obstacles(&self) -> Result<()> {
        let mut neighbours = self.neighbours()?;
        // Ports that nginx has already are no obstacle: by this site, or by the one that makes way for it.
        for own in self.own.iter().chain([&PathBuf::from(self.inner.key())]) {
            let servers = Config::of_file(own)?.unwrap_or_default().servers;
            neighbours.extend(servers.into_iter().map(|server| (own.clone(), server)));
        }
        let servers: Vec<&Server> = neighbours.iter().map(|(_, server)| server).collect();
        let Some((n, said, obstacle)) = nginx::obstacle(&servers, &self.ports, self.ipv6) else { return Ok(()) };
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let ports = ports.join(" or ");
        let (why, advice) = match obstacle {
            Obstacle::Stream => {
                ("connections there are passed on (stream, mail)", "give this site or that server other ports")
            }
            Obstacle::Both => (
                "it takes the addresses of IPv4, too, and two cannot",
                "write `listen PORT;` and `listen [::]:PORT;` there in its place",
            ),
            Obstacle::Single => (
                "nginx cannot take all addresses while it has a single one, and requests there are for that site alone",
                "write `listen PORT;` there in its place, or give this site or that one other ports",
            ),
        };
        Err(Fault::new(
            Class::Conflict,
            format!("nginx cannot listen on port {ports} of all addresses: another server is in the way"),
        )
        .evidence([format!("{}: {said}", neighbours[n].0.display()), why.to_owned()])
        .advice(format!("{advice}, restart nginx, then run it again"))
        .into())
    }

    /// What to say of the neighbours.
    fn told(&self) -> Result<String> {
        let neighbours = self.neighbours()?;
        self.refuse_namesakes(&neighbours, |_| true)?;
        // In a line of the plan there is no room for whole paths.
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files: Vec<String> = neighbours.iter().map(|(path, _)| name(path)).collect();
        files.dedup();
        Ok(if files.is_empty() { String::new() } else { format!(", beside {}", files.join(", ")) })
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let mut probe = self.inner.probe(cx)?;
        match &mut probe {
            Probe::Changes(changes) => {
                if let Some(content) = changes.iter_mut().find(|change| change.item == "content") {
                    self.refuse_obstacles()?;
                    content.summary.push_str(&self.told()?);
                }
            }
            // One that came later and is read earlier answers in place of this one.
            Probe::InPlace(_) => {
                self.refuse_namesakes(&self.neighbours()?, |path| self.own.iter().max().is_some_and(|own| path < own))?;
            }
            _ => {}
        }
        Ok(probe)
    }

    /// The site in `path` that says `other` answers for our `name`.
    fn conflict(&self, path: &Path, other: &str, name: &str) -> Fault {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let message = format!("nginx has a site '{other}' on port {} already", ports.join(" or "));
        let why =
            format!("it answers for {name}, too: nginx takes names of more than {} letters last", nginx::IN_TABLE);
        let said = format!("{}: server_name {other}", path.display());
        Fault::new(Class::Conflict, message)
            .evidence([said].into_iter().chain((!other.eq_ignore_ascii_case(name)).then_some(why)))
            .advice("give this site another name or other ports, or take that one out of nginx, then run it again")
    }
}

/// The servers of somebody else's in what nginx reads, by the files that they stand in: in `files`, and in what `config` includes. Where there is none yet, all of
/// the files in folders among them are read. Those of `own` are nobody else's.
pub(super) fn others(
    files: &[PathBuf],
    own: &[PathBuf],
    config: Option<&Config>,
) -> Result<BTreeMap<PathBuf, Vec<Server>>> {
    let mut found = config.map_or(Ok(BTreeMap::new()), |config| config.included(own))?;
    let mut read = Vec::new();
    for path in files {
        if !path.is_dir() {
            read.push(path.clone());
            continue;
        }
        if config.is_some() {
            continue;
        }
        for entry in path.read_dir().map_err(|error| io_fault(&error, "read", path))? {
            read.push(entry.map_err(|error| io_fault(&error, "read", path))?.path());
        }
    }
    // nginx's patterns pass over hidden files, of which one may be a draft of ours that a kill left.
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    read.retain(|path| path.is_file() && !is_hidden(path) && !own.contains(path));
    for path in read {
        if let Some(config) = Config::of_file(&path)? {
            found.insert(path, config.servers);
        }
    }
    Ok(found)
}

impl Around for Beside {
    fn inner(&self) -> &dyn Resource {
        self.inner.as_ref()
    }

    fn claims(&self) -> Vec<Claim> {
        let site = |port: &u16, name: &String| Claim {
            thing: format!("site:{port} {name}"),
            wants: self.inner.key().into_bytes(),
        };
        let sites = self.ports.iter().flat_map(|port| self.names.iter().map(move |name| site(port, name)));
        self.inner.claims().into_iter().chain(sites).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        // Somebody else's site may be for root's eyes only.
        paths::unless_hidden(cx, &self.key(), self.look(cx))
    }

    fn takes_the_place_of(&self, sort: &str, key: &str) -> bool {
        sort == "file" && key != self.inner.key() && self.own.iter().any(|own| own == Path::new(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn neighbours_are_named_and_namesakes_are_a_conflict() {
        let trial = Trial::new();
        std::fs::create_dir(trial.at("sites")).unwrap();
        let beside = |name: &str, port: u16| Beside {
            inner: Box::new(trial.file("sites/own", "own", 0o644)),
            names: vec![name.to_owned()],
            ports: vec![port],
            files: vec![trial.at("nginx.conf").into(), trial.at("sites").into(), trial.at("none").into()],
            own: vec![trial.at("sites/own").into()],
            config: None,
            ipv6: true,
        };
        let summary = |name, port| trial.changes(&beside(name, port))[0].summary.clone();
        assert!(!summary("a", 80).contains("beside"));
        trial.write("sites/own", "server { listen 80; server_name a; }");
        trial.write("sites/wiki", "server { listen 80; server_name wiki; }");
        trial.write("nginx.conf", "http { server { listen 81; server_name b; } }");
        trial.write("sites/.surefoot-1a00.tmp", "server { listen 80; server_name a; }");
        let wiki = trial.at("sites/wiki");
        assert!(summary("a", 80).ends_with(", beside wiki"), "{}", summary("a", 80));
        assert!(summary("a", 81).ends_with(", beside nginx.conf"), "{}", summary("a", 81));
        assert!(!summary("a", 443).contains("beside"));
        assert!(!summary("wiki", 443).contains("beside"));
        let error = trial.probe(&beside("wiki", 80)).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert_eq!(fault.class, Class::Conflict);
        assert_eq!(fault.evidence, [format!("{wiki}: server_name wiki")]);
    }

    #[test]
    fn a_file_of_its_own_elsewhere_makes_way() {
        let trial = Trial::new();
        let (file, before) = (trial.at("own"), trial.at("before"));
        let beside = Beside {
            inner: Box::new(trial.file("own", "own", 0o644)),
            names: vec!["a".to_owned()],
            ports: vec![80],
            files: vec![trial.at("").into()],
            own: vec![trial.at("link").into(), before.clone().into()],
            config: None,
            ipv6: true,
        };
        trial.write("before", "server { listen 80; server_name a; }");
        assert!(!trial.changes(&beside)[0].summary.contains("beside"));
        for (sort, key, wanted) in [
            ("file", &before, true),
            ("symlink", &before, false),
            ("file", &file, false),
            ("file", &trial.at("x"), false),
        ] {
            assert_eq!(Resource::takes_the_place_of(&beside, sort, key), wanted, "{sort} {key}");
        }
    }

    #[test]
    fn what_nginx_does_not_read_is_no_site() {
        let trial = Trial::new();
        let config =
            Config::read(&format!("http {{ include {}; include {}; }}", trial.at("a/*.conf"), trial.at("b/*")));
        for folder in ["a", "b"] {
            std::fs::create_dir(trial.at(folder)).unwrap();
        }
        let beside = || Beside {
            inner: Box::new(trial.file("a/own.conf", "own", 0o644)),
            names: vec!["x".to_owned()],
            ports: vec![80],
            files: vec![trial.at("a").into(), trial.at("b").into()],
            own: vec![trial.at("a/own.conf").into()],
            config: Some(config.clone()),
            ipv6: true,
        };
        trial.write("a/own.conf", "");
        for name in ["x.conf.disabled", "x.conf.bak", "x.conf.rpmsave", "x"] {
            trial.write(&format!("a/{name}"), "server { listen 80; server_name x; }");
        }
        let summary = trial.changes(&beside())[0].summary.clone();
        assert!(!summary.contains("beside"), "{summary}");
        for (file, text) in
            [("b/y", "server { listen 80; server_name x; }"), ("c", "server { listen 80; server_name x; }")]
        {
            trial.write(file, text);
            trial.write("b/z", &format!("include {};", trial.at("c")));
            let error = trial.probe(&beside()).unwrap_err();
            assert_eq!(error.to_string(), "nginx has a site 'x' on port 80 already");
            assert_eq!(Fault::find(&error).unwrap().evidence, [format!("{}: server_name x", trial.at(file))]);
            std::fs::remove_file(trial.at(file)).unwrap();
        }
    }

    #[test]
    fn what_keeps_nginx_from_the_ports_is_a_conflict() {
        let trial = Trial::new();
        let beside = || Beside {
            inner: Box::new(trial.file("m", "own", 0o644)),
            names: vec!["a".to_owned()],
            ports: vec![80],
            files: vec![trial.at("").into()],
            own: vec![trial.at("m").into()],
            config: None,
            ipv6: true,
        };
        trial.write("m", "");
        for (said, why) in [
            (
                "listen 10.0.0.5:80",
                "nginx cannot take all addresses while it has a single one, and requests there are for that site alone",
            ),
            ("listen [::]:80 ipv6only=off", "it takes the addresses of IPv4, too, and two cannot"),
        ] {
            trial.write("b", &format!("server {{ {said}; server_name b; }}"));
            let error = trial.probe(&beside()).unwrap_err();
            let fault = Fault::find(&error).unwrap();
            assert_eq!(fault.class, Class::Conflict);
            assert_eq!(fault.evidence, [format!("{}: {said}", trial.at("b")), why.to_owned()]);
        }
        // It listens there already, or what makes way for it does.
        trial.write("b", "server { listen 10.0.0.5:80; server_name b; }");
        trial.write("m", "server { listen 80; }");
        assert_eq!(trial.changes(&beside()).len(), 1);
        trial.write("m", "");
        trial.write("d", "server { listen 80 default_server; }");
        let link: PathBuf = trial.at("default").into();
        std::os::unix::fs::symlink(trial.at("d"), &link).unwrap();
        let with_default = Beside { own: vec![trial.at("m").into(), trial.at("d").into(), link], ..beside() };
        assert_eq!(trial.changes(&with_default).len(), 1);
    }

    #[test]
    fn a_wildcard_answers_for_a_name_that_is_too_long_for_nginx() {
        let trial = Trial::new();
        let long = format!("{}.lab.test", "a".repeat(60));
        let beside = |name: &str| Beside {
            inner: Box::new(trial.file("m", "server { listen 80; server_name a; }", 0o644)),
            names: vec![name.to_owned()],
            ports: vec![80],
            files: vec![trial.at("").into()],
            own: vec![trial.at("m").into()],
            config: None,
            ipv6: true,
        };
        // nginx prefers it wherever it stands: also where ours is in place, and read earlier.
        let conflict = |file: &str, name: &str| {
            trial.write(file, &format!("server {{ listen 80; server_name {name}; }}"));
            let error = trial.probe(&beside(&long)).unwrap_err();
            assert_eq!(error.to_string(), format!("nginx has a site '{name}' on port 80 already"));
            std::fs::remove_file(trial.at(file)).unwrap();
            Fault::find(&error).unwrap().evidence.clone()
        };
        for is_there in [false, true] {
            if is_there {
                trial.bring(&beside(&long));
            }
            let evidence = conflict("z", "*.lab.test");
            let why = format!("it answers for {long}, too: nginx takes names of more than 46 letters last");
            assert_eq!(evidence, [format!("{}: server_name *.lab.test", trial.at("z")), why]);
            conflict("z", &long);
            conflict("b", &nginx::server_name(&long));
        }
        trial.write("z", &format!("server {{ listen 80; server_name {} *.other.test; }}", nginx::server_name(&long)));
        assert!(trial.changes(&beside(&long)).is_empty());
        // One that is in nginx's table comes before all wildcards.
        trial.write("b", "server { listen 80; server_name *.lab.test; }");
        assert!(trial.probe(&beside("wiki.lab.test")).is_ok());
    }

    #[test]
    fn a_namesake_that_came_later_and_is_read_earlier_is_a_conflict() {
        let trial = Trial::new();
        let beside = Beside {
            inner: Box::new(trial.file("m", "server { listen 80; server_name a; }", 0o644)),
            names: vec!["a".to_owned()],
            ports: vec![80],
            files: vec![trial.at("").into()],
            own: vec![trial.at("m").into()],
            config: None,
            ipv6: true,
        };
        trial.bring(&beside);
        trial.write("z", "server { listen 80; server_name a; }");
        assert!(trial.changes(&beside).is_empty());
        trial.write("b", "server { listen 80; server_name a; }");
        let error = trial.probe(&beside).unwrap_err();
        assert_eq!(error.to_string(), "nginx has a site 'a' on port 80 already");
    }
}
