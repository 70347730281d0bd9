//! A service that is enabled, runs with the configuration on disk, and answers.
//!
//! A running service says nothing of the configuration that it has. What can be known: it runs, it answers, and the pair of the
//! digest of its configuration on disk and of this start of it is the one that was recorded when it was last seen right. Any other
//! pair means a restart or a reload ([`config::judge`]).

mod bring;
mod cause;
mod config;
mod ready;
mod undo;

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::listeners;
use distro::services::{self, Unit};
use distro::{Class, Fault, Look};
use serde_json::{Value, json};

use self::config::{Judgement, Seen, Touched};
use crate::{Change, Claim, Cx, Port, Probe, Resource, Stage, Undo};

pub(crate) use bring::{refused, renewed, stop};
pub(crate) use cause::{of_full_disk, tells_of_full_disk};
pub(crate) use config::read as read_config;
pub(crate) use ready::endpoint;
pub use ready::{Answer, Ready};
pub use undo::{take_up, undo_enabled, undo_running};

/// A service.
#[derive(Debug)]
pub struct Service {
    /// Unit, with its suffix.
    pub unit: String,
    /// Is it to be enabled at boot?
    pub enabled: bool,
    /// Is it to run?
    pub running: bool,
    /// Does it take up changed configuration by a reload? Its definition and its package always take a restart.
    pub reload: bool,
    /// Files and folders that are its configuration, besides what its unit names.
    pub config: Vec<PathBuf>,
    /// Package that it comes with, whose version belongs to its configuration.
    pub package: Option<String>,
    /// What it must answer to be ready; where nothing is said, it is enough that it runs.
    pub ready: Option<Ready>,
    /// TCP ports that it will listen on.
    pub ports: Vec<u16>,
    /// Addresses at which it has the first of its ports open, and no others; where there are none, that is nobody's business.
    pub bind: Vec<IpAddr>,
    /// Further ports, each with the addresses at which it has it open, and no others.
    pub more: Vec<(u16, Vec<IpAddr>)>,
    /// Are they for other hosts, too?
    pub outside: bool,
    /// Command that refuses bad configuration before a start or a reload; empty where there is none.
    pub check: Vec<String>,
    /// Files that it reads at its start only, whatever else it takes up by a reload.
    pub start_config: Vec<PathBuf>,
    /// Files of its definition that only say how it is started: one that runs goes on without them.
    pub next_start: Vec<PathBuf>,
    /// Files of `config` that its answer shows that it has, whoever changes them: none of them has to be as it was.
    pub proven: Vec<PathBuf>,
    /// Its own log files, for evidence.
    pub logs: Vec<PathBuf>,
    /// Is it but a name for other units, which a restart of it would restart, too? Then it has nothing that could be stale: what counts is
    /// that it is enabled and runs.
    pub group: bool,
    /// When it is its turn.
    pub stage: Stage,
    /// Does it come up whatever else runs on the host?
    pub independent: bool,
    /// Does it take seconds to come up, so that it is better begun early?
    pub slow: bool,
    /// What it was brought up with by this very value, until the journal has it.
    pub(crate) brought: RefCell<Option<Value>>,
    /// What was to be done when it was launched, until it is waited for.
    pub(crate) launched: RefCell<Option<bring::Turn>>,
}

impl Service {
    /// The service `unit`, enabled and running.
    pub fn new(unit: impl Into<String>) -> Self {
        Self {
            unit: unit.into(),
            enabled: true,
            running: true,
            reload: false,
            config: Vec::new(),
            next_start: Vec::new(),
            proven: Vec::new(),
            package: None,
            ready: None,
            ports: Vec::new(),
            bind: Vec::new(),
            more: Vec::new(),
            outside: false,
            check: Vec::new(),
            start_config: Vec::new(),
            logs: Vec::new(),
            group: false,
            stage: Stage::Configure,
            independent: false,
            slow: false,
            brought: RefCell::default(),
            launched: RefCell::default(),
        }
    }

    /// What is there now, and the names of all files that it was read from: configuration, definition.
    fn now(&self, cx: &Cx<'_>, unit: &Unit) -> Result<(Seen, Vec<String>, Vec<String>)> {
        let version = match &self.package {
            Some(name) => cx.look.package(name)?.map(|package| package.version).unwrap_or_default(),
            None => String::new(),
        };
        let own: Vec<PathBuf> = self.config.iter().filter(|path| !self.proven.contains(path)).cloned().collect();
        let config = config::read(cx.key, &own, "")?;
        let files: Vec<PathBuf> = self.definition(unit).map(Path::to_owned).collect();
        let definition = config::read(cx.key, &files, &version)?;
        let seen = Seen {
            config: config.digest,
            definition: definition.digest,
            invocation: unit.invocation.clone(),
            generation: self.generation(unit),
            stamps: [config.stamps, definition.stamps].concat(),
        };
        Ok((seen, config.paths, definition.paths))
    }

    /// What it has to be started anew for.
    fn definition<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = &'a Path> {
        let of_unit = unit.files.iter().map(Path::new).filter(|path| !self.next_start.iter().any(|next| next == path));
        of_unit.chain(self.start_config.iter().map(PathBuf::as_path))
    }

    /// Identifies what a reload changes: the last one that the service manager did, and the workers, which a server replaces
    /// that takes up its configuration.
    fn generation(&self, unit: &Unit) -> String {
        if !self.reload || unit.main_pid == 0 {
            return unit.invocation.clone();
        }
        let workers: Vec<String> =
            services::children(unit.main_pid).iter().map(|(pid, started)| format!("{pid}-{started}")).collect();
        format!("{} {} {}", unit.invocation, unit.reloaded, workers.join(" "))
    }

    /// What was seen when it was last right: by this resource, and by others of this product that share the unit, whose files may
    /// have changed since this one was brought. Any that still holds is proof.
    fn records(&self, cx: &Cx<'_>) -> Vec<Seen> {
        let brought = self.brought.borrow();
        let own = brought.iter().chain(cx.memory.seen(cx.id));
        let shared = cx.memory.seen_of_all(&format!("/service:{}", self.unit));
        // What another version wrote down otherwise, or of a service that was not to run, is no record.
        own.chain(shared).filter_map(|value| serde_json::from_value(value.clone()).ok()).collect()
    }

    /// Does it run with what is on disk?
    fn judge(&self, cx: &Cx<'_>, unit: &Unit) -> Result<(Judgement, Seen)> {
        if self.group {
            return Ok((Judgement::Right, Seen::default()));
        }
        let (now, config, definition) = self.now(cx, unit)?;
        // Who changes these lets systemd read them.
        let next = |thing: &String| {
            let changed = thing.strip_prefix("file:");
            changed.is_some_and(|changed| self.next_start.iter().any(|next| next.starts_with(changed)))
        };
        if unit.needs_reload && !cx.changing.iter().any(next) {
            return Ok((Judgement::Restart, now));
        }
        let touched = |paths: &[String]| paths.iter().any(|path| cx.memory.intended(&format!("file:{path}")));
        let package = self.package.as_ref().is_some_and(|name| cx.memory.intended(&format!("package:{name}")));
        let touched = Touched { config: touched(&config), definition: package || touched(&definition) };
        let records = self.records(cx);
        let judge = |record| config::judge(record, &now, touched, self.reload);
        let proven = records.iter().any(|record| judge(Some(record)) == Judgement::Right);
        let judgement = if proven { Judgement::Right } else { judge(records.first()) };
        Ok((judgement, now))
    }

    /// What it takes to take up a change of one of `things`.
    fn taking_up(&self, unit: &Unit, things: &[String]) -> Judgement {
        if self.group {
            return Judgement::Right;
        }
        let is_of = |own: &mut dyn Iterator<Item = &Path>| {
            let own: Vec<&Path> = own.collect();
            let mut files = things.iter().filter_map(|thing| thing.strip_prefix("file:")).map(Path::new);
            files.any(|path| own.iter().any(|own| path.starts_with(own)))
        };
        let package = self.package.as_ref().map(|name| format!("package:{name}"));
        if is_of(&mut self.definition(unit)) || package.is_some_and(|package| things.contains(&package)) {
            return Judgement::Restart;
        }
        match is_of(&mut self.config.iter().map(PathBuf::as_path)) {
            true if self.reload => Judgement::Reload,
            true => Judgement::Restart,
            false => Judgement::Right,
        }
    }

    /// What there is to say of a unit that is not there.
    fn missing(&self, cx: &Cx<'_>, unit: &Unit) -> Result<Option<Probe>> {
        let installed = match &self.package {
            Some(name) => Some(cx.look.is_installed(name)?),
            None => None,
        };
        // The init script of a removed package stays on the host, and systemd makes a unit of it.
        if unit.exists && installed != Some(false) {
            return Ok(None);
        }
        if !self.enabled && !self.running && !unit.exists {
            return Ok(Some(Probe::InPlace(Value::Null)));
        }
        // Before its package is brought, which nobody could use.
        self.refuse_mask(unit)?;
        let name = &self.unit;
        match (&self.package, installed) {
            (Some(package), Some(true)) => {
                let fault = if services::is_foreign(cx.host, name) {
                    Fault::new(
                        Class::Service,
                        format!(
                            "{name} cannot be started here: package '{package}' has a systemd unit and no init script"
                        ),
                    )
                    .evidence(["systemd does not run on this host".to_owned()])
                    .advice("install on a host where systemd runs")
                } else {
                    Fault::new(Class::Service, format!("package '{package}' is installed and {name} is not there"))
                        .advice(format!(
                            "run `{}`, then run again with --resume",
                            cx.host.packages().reinstall(package)
                        ))
                };
                Err(fault.into())
            }
            (Some(package), _) => Ok(Some(Probe::Pending(format!("unit {name}, which comes with package {package}")))),
            (None, _) => Ok(Some(Probe::Pending(format!("unit {name}")))),
        }
    }

    /// What an administrator masked stays so.
    fn refuse_mask(&self, unit: &Unit) -> Result<()> {
        if !unit.masked_for_good || !(self.enabled || self.running) {
            return Ok(());
        }
        Err(Fault::new(Class::Conflict, format!("{} is masked", self.unit))
            .evidence([format!("/etc/systemd/system/{} is a link to /dev/null", self.unit)])
            .advice(format!("if it may run here: `systemctl unmask {}`, then run again", self.unit))
            .into())
    }

    /// Changes of what the service manager knows: `enabled` and `running`. What a package of `ours` would have enabled itself is taken
    /// away with it, or stays where it stays.
    fn managed(&self, unit: &Unit, ours: bool) -> Result<Vec<Change>> {
        let wanted = self.enabled || self.running;
        self.refuse_mask(unit)?;
        let mut changes = Vec::new();
        let unmask = unit.masked && wanted;
        if (unit.enabled != self.enabled && !unit.is_static) || unmask {
            let summary = match (self.enabled, unmask) {
                (true, true) if unit.enabled => "unmask",
                (true, _) => "enable",
                (false, true) if !unit.enabled => "unmask",
                (false, _) => "disable",
            };
            let undo =
                if ours { Undo::Nothing } else { Undo::UnitEnabled { unit: self.unit.clone(), enabled: unit.enabled } };
            changes.push(Change::new("enabled", summary, undo));
        }
        let summary = match (self.running, unit.active, unit.starting) {
            (true, true, _) | (false, false, false) => return Ok(changes),
            (true, false, true) => format!("restart: it is {}", unit.state),
            (true, false, false) => "start".to_owned(),
            (false, _, _) => "stop".to_owned(),
        };
        changes.push(self.running_change(unit, summary));
        Ok(changes)
    }

    /// Where it listens otherwise than it should: a server may answer at one address and have another one open, or none.
    fn misplaced(&self, look: &Look<'_>) -> Option<String> {
        let port = if self.bind.is_empty() { None } else { self.port() };
        let first = port.map(|port| (port, &self.bind));
        let mut all = first.into_iter().chain(self.more.iter().map(|(port, addresses)| (*port, addresses)));
        all.find_map(|(port, addresses)| look.misplaced(&self.unit, addresses, port))
    }

    /// Is it the one that listens on its port?
    fn has_its_port(&self) -> bool {
        let port = self.port();
        listeners::listeners(Path::new("/")).iter().any(|held| Some(held.port) == port && held.unit == self.unit)
    }

    fn port(&self) -> Option<u16> {
        match (self.ports.first(), &self.ready) {
            (Some(port), _) => Some(*port),
            (None, Some(Ready::Cluster { cluster, .. })) => cluster.port().ok(),
            (None, _) => None,
        }
    }

    fn running_change(&self, unit: &Unit, summary: impl Into<String>) -> Change {
        let running = unit.active || unit.starting;
        Change::new("running", summary, Undo::UnitRunning { unit: self.unit.clone(), running })
    }

    fn configuration_change(&self, summary: impl Into<String>) -> Change {
        let restart = !self.start_config.is_empty();
        Change::new("configuration", summary, Undo::UnitReload { unit: self.unit.clone(), restart })
    }

    /// What is to be changed of a service that runs; or what was seen, where it is right.
    fn of_running(&self, cx: &Cx<'_>, unit: &Unit) -> Result<std::result::Result<Seen, Change>> {
        let (judgement, now) = self.judge(cx, unit)?;
        // It answers as it does until then.
        match judgement.max(self.taking_up(unit, cx.changing)) {
            Judgement::Right => {}
            Judgement::Reload => return Ok(Err(self.configuration_change("reload"))),
            Judgement::Restart => return Ok(Err(self.configuration_change("restart"))),
        }
        Ok(match self.ready.as_ref().map_or(Ok(Answer::Ready), |ready| ready.ask_again(&cx.host.runner))? {
            Answer::Ready => match self.misplaced(cx.look) {
                None => Ok(now),
                Some(said) => Err(self.running_change(unit, format!("restart: {said}"))),
            },
            Answer::Stale(said) if self.reload => Err(self.configuration_change(format!("reload: {said}"))),
            Answer::Stale(said) => Err(self.running_change(unit, format!("restart: {said}"))),
            Answer::NotYet(said) => Err(self.running_change(unit, format!("restart: it does not answer: {said}"))),
            // Without root we may not have the password that was made.
            Answer::Refused(said) if !cx.host.root => {
                return Err(Fault::new(Class::Permission, format!("{} refuses the login: {said}", self.unit)).into());
            }
            // It runs with another password than the one that is on disk.
            Answer::Refused(said) => Err(self.configuration_change(format!("restart: it refuses the login: {said}"))),
        })
    }
}

impl Resource for Service {
    fn sort(&self) -> &'static str {
        "service"
    }

    fn key(&self) -> String {
        self.unit.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        let wants = json!({ "enabled": self.enabled, "running": self.running });
        vec![Claim { thing: format!("unit:{}", self.unit), wants: wants.to_string().into_bytes() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let unit = match cx.look.unit(&self.unit) {
            Ok(unit) => unit,
            Err(_) if !cx.host.root => return Ok(Probe::Hidden(format!("the state of {}", self.unit))),
            Err(error) => return Err(error),
        };
        if let Some(probe) = self.missing(cx, &unit)? {
            return Ok(probe);
        }
        let ours = self.package.as_ref().is_some_and(|name| cx.memory.installed(name))
            && services::is_enabled_by_its_package(&self.unit);
        let mut changes = self.managed(&unit, ours)?;
        if self.running && self.recovers(cx.host, &unit)? {
            let running = changes.iter_mut().filter(|change| change.item == "running");
            running.for_each(|change| change.summary = format!("wait: it is {}", unit.state));
        }
        if !self.running || !unit.active {
            return Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) });
        }
        let seen = match self.of_running(cx, &unit) {
            // Without root neither files with secrets can be read nor logins tried.
            Err(error) if !cx.host.root && Fault::class_of(&error) == Class::Permission && changes.is_empty() => {
                return Ok(Probe::Hidden(format!("the configuration of {}", self.unit)));
            }
            Err(error) if !cx.host.root && Fault::class_of(&error) == Class::Permission => None,
            Err(error) => return Err(error),
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(change)) => {
                changes.push(change);
                None
            }
        };
        match seen {
            Some(seen) if changes.is_empty() => Ok(Probe::InPlace(serde_json::to_value(seen)?)),
            _ => Ok(Probe::Changes(changes)),
        }
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.bring(cx, changes)
    }

    fn launch(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<bool> {
        self.begin(cx, changes)
    }

    fn answers(&self, cx: &Cx<'_>) -> Result<bool> {
        self.answers_early(cx.host)
    }

    fn is_independent(&self) -> bool {
        self.independent
    }

    fn is_slow(&self) -> bool {
        self.slow
    }

    fn units(&self) -> Vec<String> {
        vec![self.unit.clone()]
    }

    fn follows(&self, cx: &Cx<'_>, things: &[String]) -> Result<bool> {
        Ok(self.taking_up(&cx.look.unit(&self.unit)?, things) != Judgement::Right)
    }

    fn ports(&self) -> Vec<Port> {
        let of = |number: &u16| Port { number: *number, unit: self.unit.clone(), outside: self.outside };
        // A cluster has its port by its own configuration.
        let of_cluster = match &self.ready {
            Some(Ready::Cluster { cluster, .. }) if self.ports.is_empty() => cluster.port_in_place(),
            _ => None,
        };
        self.ports.iter().chain(&of_cluster).map(of).collect()
    }
}

/// The unit as it is now, whatever was asked before.
fn fresh(host: &distro::Host, unit: &str) -> Result<Unit> {
    Look::new(host).unit(unit)
}

#[cfg(test)]
mod tests {
    use distro::services::Act;

    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn what_the_service_manager_has_to_change() {
        let fixed = Unit { exists: true, enabled: true, is_static: true, active: true, ..Unit::default() };
        let unit = |enabled, active, starting, masked| Unit {
            exists: true,
            enabled,
            active,
            starting,
            masked,
            state: "activating (auto-restart)".into(),
            ..Unit::default()
        };
        for (wanted, found, changes) in [
            (true, unit(true, true, false, false), ""),
            (true, unit(false, true, false, false), "enabled: enable"),
            (true, unit(true, false, false, false), "running: start"),
            (true, unit(false, false, false, false), "enabled: enable, running: start"),
            (true, unit(true, false, true, false), "running: restart: it is activating (auto-restart)"),
            (true, unit(true, true, false, true), "enabled: unmask"),
            (true, unit(false, false, false, true), "enabled: enable, running: start"),
            (false, unit(false, false, false, true), ""),
            (false, unit(true, true, false, false), "enabled: disable, running: stop"),
            (false, unit(false, false, true, false), "running: stop"),
            (false, fixed, "running: stop"),
        ] {
            let service = Service { enabled: wanted, running: wanted, ..Service::new("x.service") };
            let found = service.managed(&found, false).unwrap();
            let told: Vec<String> = found.iter().map(|change| format!("{}: {}", change.item, change.summary)).collect();
            assert_eq!(told.join(", "), changes);
        }
    }

    #[test]
    fn undo_puts_back_what_was_found() {
        let (service, found) = (Service::new("x.service"), Unit { exists: true, ..Unit::default() });
        let changes = service.managed(&found, false).unwrap();
        let unit = "x.service".to_owned();
        assert_eq!(changes[0].undo, Undo::UnitEnabled { unit: unit.clone(), enabled: false });
        assert_eq!(changes[1].undo, Undo::UnitRunning { unit, running: false });
        assert_eq!(service.managed(&found, true).unwrap()[0].undo, Undo::Nothing);
    }

    #[test]
    fn what_is_read_at_a_start_only_is_taken_back_by_a_restart() {
        for (start_config, wanted) in [(vec!["/x".into()], true), (Vec::new(), false)] {
            let service = Service { reload: true, start_config, ..Service::new("x.service") };
            let undo = service.configuration_change("restart").undo;
            assert_eq!(undo, Undo::UnitReload { unit: "x.service".into(), restart: wanted });
        }
        let before: Undo = serde_json::from_value(json!({"undo": "unit_reload", "unit": "x.service"})).unwrap();
        assert_eq!(before, Undo::UnitReload { unit: "x.service".into(), restart: false });
    }

    #[test]
    fn what_is_but_a_name_for_other_units_is_never_stale() {
        let trial = Trial::new();
        trial.write("x.conf", "new\n");
        let running = Unit { exists: true, enabled: true, active: true, ..Unit::default() };
        let redefined = Unit { needs_reload: true, ..running.clone() };
        for (group, unit, wanted) in [
            (false, &running, Judgement::Restart),
            (false, &redefined, Judgement::Restart),
            (true, &running, Judgement::Right),
            (true, &redefined, Judgement::Right),
        ] {
            let service = Service { group, start_config: vec![trial.at("x.conf").into()], ..Service::new("x.service") };
            // It was last right with another definition, as before an upgrade of its package.
            let before = Seen { definition: "before".into(), ..Seen::default() };
            *service.brought.borrow_mut() = Some(serde_json::to_value(before).unwrap());
            assert_eq!(trial.with(|cx| service.judge(cx, unit)).unwrap().0, wanted, "{group} {unit:?}");
        }
        let starting = Unit { exists: true, starting: true, ..Unit::default() };
        for (group, unit, wanted) in [
            (false, &Unit::default(), Act::Start),
            (false, &starting, Act::Restart),
            (true, &starting, Act::Start),
            (true, &Unit::default(), Act::Start),
        ] {
            let service = Service { group, ..Service::new("x.service") };
            assert_eq!(service.act_for(unit, Judgement::Right, false, true), wanted, "{group} {unit:?}");
        }
    }

    #[test]
    fn what_is_changed_before_its_turn_is_taken_up() {
        let unit = Unit { files: vec!["/etc/x.service".into()], ..Unit::default() };
        for (thing, with_reload, without) in [
            ("file:/etc/x/conf.d/a.conf", Judgement::Reload, Judgement::Restart),
            ("file:/etc/x/start.conf", Judgement::Restart, Judgement::Restart),
            ("file:/etc/x.service", Judgement::Restart, Judgement::Restart),
            ("package:x", Judgement::Restart, Judgement::Restart),
            ("file:/etc/y", Judgement::Right, Judgement::Right),
            ("package:y", Judgement::Right, Judgement::Right),
        ] {
            for (reload, wanted) in [(true, with_reload), (false, without)] {
                let service = Service {
                    reload,
                    package: Some("x".into()),
                    config: vec!["/etc/x/conf.d".into()],
                    start_config: vec!["/etc/x/start.conf".into()],
                    ..Service::new("x.service")
                };
                assert_eq!(service.taking_up(&unit, &[thing.to_owned()]), wanted, "{thing} {reload}");
                let group = Service { group: true, ..service };
                assert_eq!(group.taking_up(&unit, &[thing.to_owned()]), Judgement::Right);
            }
        }
    }

    #[test]
    fn what_only_its_next_start_reads_starts_nothing() {
        let trial = Trial::new();
        let (unit_file, drop_in) = (trial.at("x.service"), trial.at("next.conf"));
        trial.write("x.service", "[Service]\n");
        let unit = |files: &[&String], needs_reload| Unit {
            exists: true,
            enabled: true,
            active: true,
            needs_reload,
            files: files.iter().map(ToString::to_string).collect(),
            ..Unit::default()
        };
        let service = Service { next_start: vec![drop_in.clone().into()], ..Service::new("x.service") };
        let seen = trial.with(|cx| service.judge(cx, &unit(&[&unit_file], false))).unwrap().1;
        *service.brought.borrow_mut() = Some(serde_json::to_value(seen).unwrap());
        trial.write("next.conf", "[Service]\nType=notify\n");
        let judge =
            |unit: &Unit, changing: &[String]| trial.with(|cx| service.judge(&Cx { changing, ..*cx }, unit)).unwrap().0;
        let with_it = [&unit_file, &drop_in];
        assert_eq!(judge(&unit(&with_it, false), &[]), Judgement::Right);
        let changes = [format!("file:{drop_in}")];
        assert_eq!(judge(&unit(&with_it, true), &changes), Judgement::Right);
        // A folder that is made for it comes first.
        assert_eq!(judge(&unit(&with_it, true), &[format!("file:{}", trial.at(""))]), Judgement::Right);
        assert_eq!(service.taking_up(&unit(&with_it, false), &changes), Judgement::Right);
        // systemd may have something else not read yet.
        assert_eq!(judge(&unit(&with_it, true), &[]), Judgement::Restart);
        trial.write("x.service", "[Service]\nNice=1\n");
        assert_eq!(judge(&unit(&with_it, false), &[]), Judgement::Restart);
    }

    #[test]
    fn what_an_admin_masked_stays_masked() {
        let masked = Unit { exists: true, masked: true, masked_for_good: true, ..Unit::default() };
        let error = Service::new("x.service").managed(&masked, false).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::Conflict);
        let off = Service { enabled: false, running: false, ..Service::new("x.service") };
        assert!(off.managed(&masked, false).unwrap().is_empty());
    }
}
