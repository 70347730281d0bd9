//! Tries a blueprint without host and inputs: every template and every kind's settings, with sample values, on each host that
//! the blueprint speaks of.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use distro::network::Setting;
use distro::{Class, Fault};

use super::check::Value;
use super::document::Problems;
use super::expand::{Scopes, next_lines, warnings};
use super::given::Origin;
use super::inputs::{Input, Inputs, as_template_value};
use super::model::Blueprint;
use super::read::mistake_fault;
use super::resolve;
use super::sample;
use super::stored::Stored;
use super::template::Scope;

impl Blueprint {
    /// Tries everything in it.
    ///
    /// # Errors
    /// Class `blueprint`, with everything that is wrong.
    pub fn validate(&self) -> Result<()> {
        let mut problems = Problems::default();
        let mut hosts: BTreeSet<&str> = self.requires.os.iter().map(String::as_str).collect();
        if hosts.is_empty() {
            hosts.insert("debian");
        }
        for host in &hosts {
            self.try_defaults(host, &mut problems);
        }
        let network = Setting::default();
        let variants: Vec<Inputs> = sample::inputs(self).into_iter().map(|values| self.sample(&values)).collect();
        for step in &self.steps {
            let own = step.on.iter().map(|(name, _)| name.as_str());
            let facts: Vec<_> = hosts.iter().copied().chain(own).map(sample::facts).collect();
            let mut tried = false;
            for facts in &facts {
                for inputs in &variants {
                    let scopes = Scopes::new(self, inputs, &network, facts);
                    let part = match &step.when {
                        Some((when, span)) => problems.take(scopes.holds(when, span)).unwrap_or(false),
                        None => true,
                    };
                    if part {
                        tried = true;
                        note(scopes.resources(step), &mut problems);
                    }
                }
            }
            // Its condition holds nowhere.
            if let (false, Some(inputs)) = (tried, variants.first()) {
                for facts in &facts {
                    note(Scopes::new(self, inputs, &network, facts).resources(step), &mut problems);
                }
            }
        }
        for host in &hosts {
            for inputs in &variants {
                let facts = sample::facts(host);
                note(next_lines(self, inputs, &facts, "secrets.json"), &mut problems);
                problems.take(warnings(self, inputs, &facts));
            }
        }
        Ok(problems.into_result()?)
    }

    fn sample(&self, values: &BTreeMap<String, Value>) -> Inputs {
        let input = |(name, value): (&String, &Value)| Input {
            name: name.clone(),
            value: value.clone(),
            origin: Origin::Default,
            secret: self.inputs.iter().any(|spec| spec.name == *name && spec.is_secret()),
            pending: None,
            generated: false,
        };
        Inputs::new(values.iter().map(input).collect(), Stored::default())
    }

    /// Defaults and conditions of inputs.
    fn try_defaults(&self, host: &str, problems: &mut Problems) {
        let mut scope = Scope::new(&sample::facts(host), self.product());
        let values = sample::inputs(self).into_iter().next().unwrap_or_default();
        for spec in &self.inputs {
            if let Some(when) = &spec.input.when {
                let holds = scope.holds(when);
                problems.take(holds.map_err(|mistake| mistake_fault(&self.source, &spec.at("when"), &mistake)));
            }
            note(resolve::default(self, spec, &scope), problems);
            if let Some(value) = values.get(&spec.name).filter(|_| !spec.is_secret()) {
                scope.set(&spec.name, as_template_value(value, false));
            }
        }
    }
}

fn note<T>(result: Result<T>, problems: &mut Problems) {
    let Err(error) = result else { return };
    match Fault::find(&error) {
        // A kind need not know every host that a setting is given for.
        Some(fault) if fault.class == Class::Unsupported => {}
        Some(fault) => problems.add(fault.clone()),
        None => problems.add(Fault::new(Class::Blueprint, format!("{error:#}")).advice("correct the blueprint")),
    }
}
