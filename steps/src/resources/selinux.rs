//! What SELinux's policy has to let servers do.

use std::cell::Cell;
use std::path::Path;

use anyhow::Result;
use distro::selinux::{self, Listening};
use distro::{Facts, find_program};
use serde_json::Value;

use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// A boolean of the policy that is on.
#[derive(Clone, Debug)]
pub struct Boolean {
    /// Name.
    pub name: &'static str,
}

impl Resource for Boolean {
    fn sort(&self) -> &'static str {
        "selinux_boolean"
    }

    fn key(&self) -> String {
        self.name.to_owned()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim { thing: format!("selinux boolean:{}", self.name), wants: b"on".to_vec() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !cx.host.root {
            return Ok(Probe::Hidden(format!("whether SELinux keeps {} on", self.name)));
        }
        let Some(found) = selinux::boolean(self.name)? else { return Ok(Probe::InPlace(Value::Null)) };
        if found.now && found.kept == Some(true) {
            return Ok(Probe::InPlace(Value::Null));
        }
        let was = found.kept.unwrap_or(found.now);
        let undo = Undo::SelinuxBoolean { name: self.name.to_owned(), on: was };
        let summary = if found.now { "keep it on after a boot".to_owned() } else { "off -> on".to_owned() };
        Ok(Probe::Changes(vec![Change::new("value", summary, undo)]))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        selinux::set_boolean(cx.host, self.name, true)
    }

    fn is_independent(&self) -> bool {
        true
    }
}

/// A boolean was set: it gets the value back that it had.
pub(crate) fn undo_boolean(cx: &UndoCx<'_>, name: &str, on: bool) -> Result<Undone> {
    match selinux::boolean(name)? {
        Some(found) if found.now != on || found.kept != Some(on) => {
            selinux::set_boolean(cx.host, name, on)?;
            Ok(Undone::Done(format!("SELinux's {name} is {} again", if on { "on" } else { "off" })))
        }
        _ => Ok(Undone::Gone),
    }
}

/// TCP ports of a type of the policy, besides those that it has by itself.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The type.
    pub sort: &'static str,
    /// The ports.
    pub ports: Vec<u16>,
}

impl Ports {
    /// Puts before `resources`, where the host has SELinux, what the servers among them need, and among their packages the one whose program
    /// brings it, and the rules of folders, too.
    pub fn put_before(resources: &mut Vec<Box<dyn Resource>>, facts: &Facts) {
        if !selinux::is_on(facts) {
            return;
        }
        let mut wanted: Vec<Self> = Vec::new();
        for port in resources.iter().flat_map(|resource| resource.ports()) {
            let Some(listening) = Listening::of(&port.unit) else { continue };
            for number in [port.number].iter().chain(listening.besides).filter(|number| !listening.knows(**number)) {
                match wanted.iter_mut().find(|ports| ports.sort == listening.sort) {
                    Some(ports) if ports.ports.contains(number) => {}
                    Some(ports) => ports.ports.push(*number),
                    None => wanted.push(Self { sort: listening.sort, ports: vec![*number] }),
                }
            }
        }
        if wanted.is_empty() && !resources.iter().any(|resource| resource.sort() == RULE) {
            return;
        }
        let set = resources.iter().position(|resource| resource.packages().is_some());
        let mut packages = set.and_then(|at| resources.remove(at).packages().cloned()).unwrap_or_default();
        packages.names.push(selinux::tools(facts).to_owned());
        let wanted = wanted.into_iter().map(|ports| Box::new(ports) as Box<dyn Resource>);
        resources.splice(..0, std::iter::once(Box::new(packages) as Box<dyn Resource>).chain(wanted));
    }
}

impl Resource for Ports {
    fn sort(&self) -> &'static str {
        "selinux_port"
    }

    fn key(&self) -> String {
        self.sort.to_owned()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let claim = |port: &u16| Claim { thing: format!("selinux port:{port}"), wants: self.sort.as_bytes().to_vec() };
        self.ports.iter().map(claim).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !cx.host.root {
            return Ok(Probe::Hidden("types of ports in SELinux's policy".into()));
        }
        if find_program("semanage").is_none() {
            return Ok(Probe::Pending("program semanage".into()));
        }
        let mut changes = Vec::new();
        for port in &self.ports {
            let found = selinux::port_sort(*port)?;
            if found.as_deref() != Some(self.sort) {
                let summary = match &found {
                    Some(other) => format!("port {port}: {other} -> {}", self.sort),
                    None => format!("port {port}: {}", self.sort),
                };
                let undo = Undo::SelinuxPort { port: *port, sort: found };
                changes.push(Change { wrote: Some(self.sort.into()), ..Change::new(port.to_string(), summary, undo) });
            }
        }
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        for port in changes.iter().filter_map(|change| change.item.parse().ok()) {
            selinux::set_port_sort(cx.host, port, Some(self.sort))?;
        }
        Ok(())
    }

    fn is_independent(&self) -> bool {
        true
    }
}

/// A port was given a type: it gets back what it had, unless somebody gave it another one since.
pub(crate) fn undo_port(cx: &UndoCx<'_>, port: u16, sort: Option<&str>) -> Result<Undone> {
    let found = selinux::port_sort(port)?;
    if found.as_deref() == sort {
        return Ok(Undone::Gone);
    }
    if !found.is_some_and(|found| cx.is_ours(found.as_bytes())) {
        return Ok(super::paths::changed(format!("the type of port {port}")));
    }
    if find_program("semanage").is_none() {
        return Ok(Undone::Kept(format!("the type of port {port}: there is no program semanage any more")));
    }
    selinux::set_port_sort(cx.host, port, sort)?;
    Ok(Undone::Done(format!("port {port} has the type again that it had")))
}

/// Sort of the resource of a folder's rule.
const RULE: &str = "selinux_rule";
/// What a site of static files has to be labelled with.
const CONTENT: &str = "httpd_sys_content_t";
/// Types of folders that nobody thought of as a site's, which the policy does not let web servers read.
const UNREADABLE: [&str; 6] = ["default_t", "mnt_t", "root_t", "unlabeled_t", "var_lib_t", "var_t"];
/// Below these, the policy has types that web servers may read.
const READABLE: [&str; 4] = ["/usr/", "/opt/", "/var/www/", "/srv/www/"];

/// A folder of a site's that web servers may read.
#[derive(Clone, Debug)]
pub struct Content {
    /// Absolute path.
    pub folder: String,
    /// Was it labelled to the end by this process?
    labelled: Cell<bool>,
}

impl Content {
    /// What `folder` needs on this host; none where the policy has a type for it by itself.
    pub fn of(folder: &str, facts: &Facts) -> Option<Self> {
        let folder = folder.trim_end_matches('/');
        let known = folder.is_empty() || READABLE.iter().any(|top| folder.starts_with(top));
        (selinux::is_on(facts) && !known).then(|| Self { folder: folder.to_owned(), labelled: Cell::new(false) })
    }
}

/// Name of the claim of a folder's rule.
fn thing(folder: &str) -> String {
    format!("selinux rule:{folder}")
}

/// Where `folder` is: rules and labels are of that place, and not of links to it.
fn real(folder: &str) -> String {
    Path::new(folder).canonicalize().map_or_else(|_| folder.to_owned(), |real| real.display().to_string())
}

impl Resource for Content {
    fn sort(&self) -> &'static str {
        RULE
    }

    fn key(&self) -> String {
        self.folder.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim { thing: thing(&self.folder), wants: CONTENT.into() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !cx.host.root {
            return Ok(Probe::Hidden("rules of SELinux's policy".into()));
        }
        if find_program("semanage").is_none() {
            return Ok(Probe::Pending("program semanage".into()));
        }
        let folder = real(&self.folder);
        let rule_change = |found: &str| {
            let undo = Undo::SelinuxRule { folder: folder.clone() };
            let summary = format!("{folder}: {found} -> {CONTENT}");
            Ok(Probe::Changes(vec![Change { wrote: Some(CONTENT.into()), ..Change::new("rule", summary, undo) }]))
        };
        let label = selinux::label_of(Path::new(&folder));
        let is_unreadable = |sort: &str| UNREADABLE.contains(&sort);
        match selinux::rule(&folder)? {
            // A kill may have left the files as they were. Whose the rule is does not change by that.
            Some(rule) if rule == CONTENT => {
                let is_cut_off = cx.memory.begun(cx.id) && !self.labelled.get();
                if is_cut_off || label.is_some_and(|label| is_unreadable(&label)) {
                    let summary = format!("{folder}: label what is there");
                    return Ok(Probe::Changes(vec![Change::new("labels", summary, Undo::Nothing)]));
                }
            }
            Some(rule) if cx.memory.intended(&thing(&self.folder)) => return rule_change(&rule),
            // Somebody has decided about it, or about a part, which a newer rule of ours would overrule.
            Some(_) => {}
            None if selinux::rules_below(&folder)?.iter().any(|below| !cx.memory.intended(&thing(below))) => {}
            None if label.is_some_and(|label| !is_unreadable(&label)) => {}
            None => {
                let found = selinux::folder_sort(cx.host, Path::new(&folder))?.unwrap_or_default();
                if is_unreadable(&found) {
                    return rule_change(&found);
                }
            }
        }
        Ok(Probe::InPlace(Value::Null))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        selinux::set_rule(cx.host, &real(&self.folder), Some(CONTENT))?;
        self.labelled.set(true);
        Ok(())
    }

    fn is_independent(&self) -> bool {
        true
    }
}

/// A rule was made for a folder: it goes, unless somebody changed it since.
pub(crate) fn undo_rule(cx: &UndoCx<'_>, folder: &str) -> Result<Undone> {
    let Some(found) = selinux::rule(folder)? else {
        // A kill may have left the files as they were.
        let is_ours = selinux::label_of(Path::new(folder)).is_some_and(|label| label == CONTENT);
        let is_left = is_ours && selinux::folder_sort(cx.host, Path::new(folder))?.is_some_and(|sort| sort != CONTENT);
        return if is_left { selinux::relabel(cx.host, folder).map(|()| Undone::Gone) } else { Ok(Undone::Gone) };
    };
    if !cx.is_ours(found.as_bytes()) {
        return Ok(super::paths::changed(format!("SELinux's rule for {folder}")));
    }
    if find_program("semanage").is_none() {
        return Ok(Undone::Kept(format!("SELinux's rule for {folder}: there is no program semanage any more")));
    }
    selinux::set_rule(cx.host, folder, None)?;
    Ok(Undone::Done(format!("{folder} has the label again that SELinux's policy has for it")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names};
    use crate::kinds::{nginx_site, rabbitmq};

    #[test]
    fn only_ports_that_the_policy_does_not_have() {
        let mut step = Step::new("s");
        let site = |port: u16| json!({ "names": ["www.example.org"], "port": port });
        let broker = json!({ "user": "a", "password": "hunter2" });
        let ports = |step: &Step, mut resources: Vec<Box<dyn Resource>>| {
            Ports::put_before(&mut resources, &step.facts);
            let tools = resources.iter().filter_map(|resource| resource.packages()).flat_map(|set| set.names.clone());
            let tools: Vec<String> = tools.filter(|name| name == selinux::tools(&step.facts)).collect();
            let sorts = names(&resources).into_iter().filter(|name| name.starts_with("selinux_port"));
            tools.into_iter().chain(sorts).collect::<Vec<_>>()
        };
        let site = |step: &Step, port| step.expand::<nginx_site::Settings>(site(port)).unwrap();
        let none: [&str; 0] = [];
        assert_eq!(ports(&step, site(&step, 8080)), none, "no SELinux, no ports");
        step.facts.selinux = Some("enforcing".into());
        assert_eq!(ports(&step, site(&step, 80)), none);
        assert_eq!(ports(&step, site(&step, 8080)), [selinux::tools(&step.facts), "selinux_port http_port_t"]);
        let rabbitmq = step.expand::<rabbitmq::Settings>(broker).unwrap();
        assert_eq!(ports(&step, rabbitmq), [selinux::tools(&step.facts), "selinux_port amqp_port_t"]);
    }
}
