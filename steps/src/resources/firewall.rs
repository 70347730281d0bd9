//! Ports that other hosts reach through firewalld.

use anyhow::Result;
use distro::firewall::{Ports, firewalld};
use serde_json::{Value, json};

use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// What is changed until firewalld is reloaded, and what from then on.
const NOW: &str = "now";
const KEPT: &str = "kept";

/// TCP ports that firewalld lets through in a zone, now and after a reload. Nothing is wanted of one that does not run.
#[derive(Clone, Debug)]
pub struct Firewall {
    /// The zone.
    pub zone: String,
    /// The ports.
    pub ports: Vec<u16>,
}

impl Firewall {
    /// The ports of `resources` that are for other hosts, where the host has firewalld; none where there are none.
    pub fn of(facts: &distro::Facts, resources: &[Box<dyn Resource>]) -> Option<Self> {
        let zone = facts.firewalld_zone.clone()?;
        let outside = resources.iter().flat_map(|resource| resource.ports()).filter(|port| port.outside);
        let mut ports: Vec<u16> = outside.map(|port| port.number).collect();
        ports.sort_unstable();
        ports.dedup();
        (!ports.is_empty()).then_some(Self { zone, ports })
    }

    fn changes(&self, item: &str, let_through: &Ports) -> Vec<Change> {
        let shut = self.ports.iter().filter(|port| !let_through.have(**port));
        let change = |port: &u16| {
            let when = if item == NOW { "" } else { " for good" };
            let undo = Undo::ClosePort { zone: self.zone.clone(), port: *port, kept: item == KEPT };
            Change::new(format!("{item} {port}"), format!("let port {port} through{when}"), undo)
        };
        shut.map(change).collect()
    }
}

impl Resource for Firewall {
    fn sort(&self) -> &'static str {
        "firewalld"
    }

    fn key(&self) -> String {
        self.zone.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let claim = |port: &u16| Claim { thing: format!("firewalld:{}:{port}", self.zone), wants: b"open".to_vec() };
        self.ports.iter().map(claim).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !firewalld::runs() {
            return Ok(Probe::InPlace(json!({ "runs": false })));
        }
        if !cx.host.root {
            return Ok(Probe::Hidden("what firewalld lets through".into()));
        }
        let (now, kept) = firewalld::now_and_kept(cx.host, &self.zone)?;
        let changes = [self.changes(NOW, &now), self.changes(KEPT, &kept)].concat();
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        for item in [NOW, KEPT] {
            let of_item = changes.iter().filter_map(|change| change.item.strip_prefix(item)?.trim().parse().ok());
            let ports: Vec<u16> = of_item.collect();
            if !ports.is_empty() {
                firewalld::open(cx.host, &self.zone, &ports, item == KEPT)?;
            }
        }
        Ok(())
    }

    fn is_independent(&self) -> bool {
        true
    }
}

/// A port was opened: it is shut, unless somebody did so.
pub(crate) fn undo_close(cx: &UndoCx<'_>, zone: &str, port: u16, kept: bool) -> Result<Undone> {
    if !firewalld::close(cx.host, zone, port, kept)? {
        return Ok(Undone::Gone);
    }
    let when = if kept { " for good" } else { "" };
    Ok(Undone::Done(format!("firewalld does not let port {port} through any more{when}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::nginx_site;
    use crate::kinds::testing::{Step, names};

    #[test]
    fn only_what_is_for_others_is_opened_and_only_where_there_is_firewalld() {
        let mut step = Step::new("site");
        let site = serde_json::json!({ "names": ["www.example.org"], "certificate": "step:certificate" });
        let resources = step.expand::<nginx_site::Settings>(site).unwrap();
        assert!(Firewall::of(&step.facts, &resources).is_none());
        step.facts.firewalld_zone = Some("public".into());
        let firewall = Firewall::of(&step.facts, &resources).unwrap();
        assert_eq!((firewall.zone.as_str(), &firewall.ports[..]), ("public", &[80, 443][..]));
        let local = step.expand::<crate::kinds::redis::Settings>(serde_json::json!({ "password": "hunter2" })).unwrap();
        assert!(Firewall::of(&step.facts, &local).is_none(), "{:?}", names(&local));
    }

    #[test]
    fn what_is_shut_is_opened_now_and_for_good() {
        let firewall = Firewall { zone: "public".into(), ports: vec![80, 443] };
        let open = Ports::Some([(443, 443)].into());
        let changes = [firewall.changes(NOW, &open), firewall.changes(KEPT, &Ports::All)].concat();
        assert_eq!(changes.iter().map(|change| change.item.as_str()).collect::<Vec<_>>(), ["now 80"]);
    }
}
