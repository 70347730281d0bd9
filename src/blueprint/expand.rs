//! Steps to resources: conditions, differences between hosts, templates, kinds.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::Result;
use distro::network::Setting;
use distro::{Class, Facts, Fault};
use minijinja::value::ValueKind;
use steps::Resource;
use steps::kinds::offer::Offer;
use steps::kinds::settings::{Data, Field, Node};
use steps::kinds::value::StepRef;
use steps::kinds::{Context, Entry, Format, Refusal};

use super::inputs::Inputs;
use super::model::{Blueprint, Step};
use super::read::{at, mistake_fault};
use super::spec::Warning;
use super::system::closeness;
use super::template::{Mistake, Scope, is_template};

/// A step with its resources.
#[derive(Debug)]
pub struct ExpandedStep {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The id it had in an earlier version.
    pub was: Option<String>,
    /// Its resources, in order.
    pub resources: Vec<Box<dyn Resource>>,
    /// The condition that does not hold, where the step is not part of the product on this host.
    pub skipped_by: Option<String>,
}

/// Expands all steps, in order, on a host that reaches others as `network` says.
///
/// # Errors
/// Class `blueprint`, with file and line; class `unsupported`, where the blueprint refuses, or a kind does not know this host. What is secret
/// is not quoted.
pub fn expand(blueprint: &Blueprint, inputs: &Inputs, network: &Setting, facts: &Facts) -> Result<Vec<ExpandedStep>> {
    refuse(blueprint, inputs, facts)?;
    let scopes = Scopes::new(blueprint, inputs, network, facts);
    blueprint
        .steps
        .iter()
        .map(|step| {
            let skipped_by = match &step.when {
                Some((when, span)) if !scopes.holds(when, span)? => Some(when.clone()),
                _ => None,
            };
            let resources = if skipped_by.is_some() { Vec::new() } else { scopes.resources(step)? };
            let (id, kind, was) = (step.id.clone(), step.kind.clone(), step.was.clone());
            Ok(ExpandedStep { id, kind, was, resources, skipped_by })
        })
        .collect()
}

/// The lines that end a successful run. In place of a secret stands where it is kept, which `secrets`
/// says.
///
/// # Errors
/// Class `blueprint`, with file and line.
pub fn next_lines(blueprint: &Blueprint, inputs: &Inputs, facts: &Facts, secrets: &str) -> Result<Vec<String>> {
    let mut scope = Scope::new(facts, blueprint.product());
    inputs.put_into(&mut scope);
    for input in inputs.list().iter().filter(|input| input.secret) {
        scope.set(&input.name, minijinja::Value::from(format!("in {secrets}, as {}", input.name)));
    }
    let render = |node: &Node| {
        let mistake = |mistake: Mistake| mistake_fault(&blueprint.source, &node.span, &mistake);
        Ok(inputs.hide(&scope.render(node.text().unwrap_or_default(), Format::Text).map_err(mistake)?))
    };
    let lines: Result<Vec<String>> = blueprint.next.iter().map(render).collect();
    // A line whose condition does not hold.
    lines.map(|lines| lines.into_iter().filter(|line| !line.trim().is_empty()).collect())
}

/// The warnings that hold on this host and stop nothing, in words.
///
/// # Errors
/// Class `blueprint`, with file and line.
pub fn warnings(blueprint: &Blueprint, inputs: &Inputs, facts: &Facts) -> Result<Vec<Warning>, Fault> {
    Ok(told(blueprint, inputs, facts)?.into_iter().filter(|warning| !warning.refuse).collect())
}

/// Ends it where the product cannot be installed with these inputs on this host: all the reasons in one.
fn refuse(blueprint: &Blueprint, inputs: &Inputs, facts: &Facts) -> Result<(), Fault> {
    let reasons: Vec<Warning> = told(blueprint, inputs, facts)?.into_iter().filter(|warning| warning.refuse).collect();
    let all = |what: fn(&Warning) -> &str| reasons.iter().map(what).collect::<Vec<_>>().join("; ");
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Fault::new(Class::Unsupported, all(|reason| &reason.found))
        .evidence(reasons.iter().map(|reason| format!("{}: wanted is {}", reason.name, reason.wanted)))
        .advice(all(|reason| &reason.advice)))
}

/// The warnings that hold on this host, in words.
fn told(blueprint: &Blueprint, inputs: &Inputs, facts: &Facts) -> Result<Vec<Warning>, Fault> {
    let network = Setting::default();
    let scopes = Scopes::new(blueprint, inputs, &network, facts);
    let mut told = Vec::new();
    for (warning, node) in blueprint.requires.warning.iter().zip(&blueprint.warnings) {
        if let Some(when) = &warning.when
            && !scopes.holds(when, &at(node, "when"))?
        {
            continue;
        }
        let [found, wanted, advice] = warning.texts().map(|(key, text)| {
            scopes.scope.render(text, Format::Text).map_err(|mistake| scopes.fault(&at(node, key), &mistake))
        });
        told.push(Warning {
            name: warning.name.clone(),
            when: None,
            refuse: warning.refuse,
            found: found?,
            wanted: wanted?,
            advice: advice?,
        });
    }
    Ok(told)
}

/// What templates and conditions see.
pub(super) struct Scopes<'a> {
    blueprint: &'a Blueprint,
    inputs: &'a Inputs,
    network: &'a Setting,
    facts: &'a Facts,
    scope: Scope,
    /// Settings that a secret was put into, so far.
    secret_settings: RefCell<BTreeSet<String>>,
}

impl<'a> Scopes<'a> {
    pub(super) fn new(blueprint: &'a Blueprint, inputs: &'a Inputs, network: &'a Setting, facts: &'a Facts) -> Self {
        let mut scope = Scope::new(facts, blueprint.product());
        for spec in &blueprint.inputs {
            scope.declare(&spec.name);
        }
        inputs.put_into(&mut scope);
        Self { blueprint, inputs, network, facts, scope, secret_settings: RefCell::default() }
    }

    /// Does the condition at `span` hold?
    pub(super) fn holds(&self, when: &str, span: &Range<usize>) -> Result<bool, Fault> {
        self.scope.holds(when).map_err(|mistake| self.fault(span, &mistake))
    }

    fn fault(&self, span: &Range<usize>, mistake: &Mistake) -> Fault {
        let message = self.inputs.hide(&mistake.message);
        mistake_fault(&self.blueprint.source, span, &Mistake { line: mistake.line, message })
    }

    /// The resources of a step, whatever its condition says.
    pub(super) fn resources(&self, step: &Step) -> Result<Vec<Box<dyn Resource>>> {
        self.ask(step, |kind, settings, context| (kind.expand)(settings, context))
    }

    /// Asks the kind of `step` for what its settings come to.
    fn ask<T>(
        &self,
        step: &Step,
        what: impl FnOnce(&Entry, &Node, &StepContext<'_>) -> Result<T, Refusal>,
    ) -> Result<T> {
        let source = &self.blueprint.source;
        let Some(kind) = self.blueprint.kinds.iter().find(|kind| kind.name == step.kind) else {
            // Reading refuses unknown kinds.
            return Err(anyhow::anyhow!("step '{}' is of unknown kind '{}'", step.id, step.kind));
        };
        let settings = self.render(&settings_on(step, self.facts))?;
        let context = StepContext { scopes: self, step };
        what(kind, &settings, &context).map_err(|refusal| match refusal {
            Refusal::Settings(mut misfit) => {
                misfit.span.get_or_insert(step.settings.span.clone());
                let mut fault = source.misfit(&misfit, &format!("step '{}' (kind {})", step.id, step.kind));
                if misfit.rendered {
                    fault.message = self.inputs.hide(&fault.message);
                }
                self.of_inputs(step, fault).into()
            }
            Refusal::Kind(error) => self.refused(step, error),
        })
    }

    /// Says which step it was that a kind refused.
    fn refused(&self, step: &Step, error: anyhow::Error) -> anyhow::Error {
        let place = format!("step '{}' (kind {})", step.id, step.kind);
        let Some(fault) = Fault::find(&error) else { return error.context(place) };
        if !matches!(fault.class, Class::Blueprint | Class::Unsupported) {
            return error.context(place);
        }
        // Kinds say themselves which step it is, for those who call them without a blueprint.
        let message = fault.message.strip_prefix(&format!("step '{}': ", step.id)).unwrap_or(&fault.message);
        let message = format!("{place}: {}", self.inputs.hide(message));
        let mut placed = self.blueprint.source.fault(step.settings.span.clone(), &message);
        placed.class = fault.class;
        placed.evidence.extend(fault.evidence.iter().map(|line| self.inputs.hide(line)));
        if !fault.advice.is_empty() {
            placed.advice.clone_from(&fault.advice);
        }
        self.of_inputs(step, placed).into()
    }

    /// The fault is one of inputs where the refused step is made of some that were given: defaults alone are what the blueprint's author
    /// has seen.
    fn of_inputs(&self, step: &Step, mut fault: Fault) -> Fault {
        let settings = texts(&step.settings);
        let is_used = |name: &str| settings.iter().any(|text| is_template(text) && names_input(text, name));
        let given = self.inputs.list().iter().filter(|input| input.is_given() && is_used(&input.name));
        let given: Vec<String> = given.map(|input| format!("{} ({})", input.name, input.origin)).collect();
        if fault.class == Class::Blueprint && !given.is_empty() {
            fault.class = Class::Usage;
            fault.evidence.push(format!("inputs that were given for it: {}", given.join(", ")));
        }
        fault
    }

    /// The settings with their templates rendered.
    fn render(&self, node: &Node) -> Result<Node, Fault> {
        let data = match &node.data {
            Data::Text(text) if is_template(text) => {
                let (value, secret) = self.scope.setting(text).map_err(|mistake| self.fault(&node.span, &mistake))?;
                let mut rendered = self.node(&value, &node.span)?;
                if secret {
                    self.secret_settings.borrow_mut().insert(value.to_string());
                    self.secret_settings.borrow_mut().extend(texts(&rendered));
                }
                rendered.template = Some(text.clone());
                return Ok(rendered);
            }
            Data::List(nodes) => Data::List(nodes.iter().map(|node| self.render(node)).collect::<Result<_, _>>()?),
            Data::Table(fields) => {
                let render = |field: &Field| {
                    Ok::<_, Fault>(Field {
                        key: field.key.clone(),
                        span: field.span.clone(),
                        node: self.render(&field.node)?,
                    })
                };
                Data::Table(fields.iter().map(render).collect::<Result<_, _>>()?)
            }
            other => other.clone(),
        };
        Ok(Node::new(node.span.clone(), data))
    }

    fn node(&self, value: &minijinja::Value, span: &Range<usize>) -> Result<Node, Fault> {
        let refuse = |what: &str| self.blueprint.source.fault(span.clone(), &format!("{what} cannot be a setting"));
        let data = match value.kind() {
            ValueKind::Bool => Data::Bool(value.is_true()),
            ValueKind::Number => match i64::try_from(value.clone()) {
                Ok(number) if value.is_integer() => Data::Integer(number),
                _ => Data::Float(f64::try_from(value.clone()).map_err(|_| refuse("such a number"))?),
            },
            ValueKind::String | ValueKind::Plain => Data::Text(value.to_string()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter().map_err(|_| refuse("the value"))?;
                Data::List(items.map(|item| self.node(&item, span)).collect::<Result<_, _>>()?)
            }
            kind => return Err(refuse(&format!("a {kind}"))),
        };
        Ok(Node::new(span.clone(), data))
    }
}

/// The settings of `step` on this host: over the general ones those that mean it, what means it more closely over the rest.
fn settings_on(step: &Step, facts: &Facts) -> Node {
    let mut meant: Vec<_> = step.on.iter().filter_map(|(name, over)| Some((closeness(name, facts)?, over))).collect();
    meant.sort_by_key(|(closeness, _)| *closeness);
    let mut settings = step.settings.clone();
    for (_, over) in meant {
        lay_over(&mut settings, over);
    }
    settings
}

/// Lays a table over a table, key by key; anything else is replaced.
fn lay_over(settings: &mut Node, over: &Node) {
    let Data::Table(fields) = &mut settings.data else {
        *settings = over.clone();
        return;
    };
    for field in over.fields() {
        match fields.iter_mut().find(|known| known.key == field.key) {
            Some(known) if matches!((&known.node.data, &field.node.data), (Data::Table(_), Data::Table(_))) => {
                lay_over(&mut known.node, &field.node);
            }
            Some(known) => *known = field.clone(),
            None => fields.push(field.clone()),
        }
    }
}

struct StepContext<'a> {
    scopes: &'a Scopes<'a>,
    step: &'a Step,
}

impl Context for StepContext<'_> {
    fn facts(&self) -> &Facts {
        self.scopes.facts
    }

    fn network(&self) -> &Setting {
        self.scopes.network
    }

    fn product(&self) -> &str {
        &self.scopes.blueprint.name
    }

    fn step(&self) -> &str {
        &self.step.id
    }

    fn file(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.scopes.blueprint.file(name)?.to_vec())
    }

    fn render(&self, name: &str, format: Format) -> Result<String> {
        let bytes = self.scopes.blueprint.file(name)?.to_vec();
        let shown = format!("files/{name}");
        let template = super::load::text(bytes, &shown)?;
        // All branches, also those that are not taken here.
        let rendered = match self.scopes.scope.unknown_names(&template).into_iter().next() {
            Some(mistake) => Err(mistake),
            None => self.scopes.scope.render(&template, format),
        };
        rendered.map_err(|mistake| {
            let message = format!("{shown}:{}: {}", mistake.line, self.scopes.inputs.hide(&mistake.message));
            let line = template.lines().nth(mistake.line - 1).unwrap_or_default();
            Fault::new(Class::Blueprint, message)
                .evidence([format!("{} | {line}", mistake.line)])
                .advice(format!(
                    "correct the template (format {}); `surefoot blueprint validate` checks it without touching the host",
                    super::quote::name(format)
                ))
                .into()
        })
    }

    fn is_secret(&self, text: &str) -> bool {
        self.scopes.inputs.is_secret(text)
    }

    fn has_secret(&self, setting: &str) -> bool {
        self.scopes.secret_settings.borrow().contains(setting)
    }

    fn offer(&self, StepRef(id): &StepRef) -> Result<Option<Offer>> {
        // Only what comes before is there when it is the turn of this one.
        let steps = &self.scopes.blueprint.steps;
        let earlier: Vec<&Step> = steps.iter().take_while(|step| step.id != self.step.id).collect();
        let refused = |message: String, advice: &str| Fault::new(Class::Blueprint, message).advice(advice);
        let Some(step) = earlier.iter().find(|step| step.id == *id) else {
            let known: Vec<&String> = earlier.iter().map(|step| &step.id).collect();
            let message = super::document::with_known(&format!("no earlier step has the id '{id}'"), id, &known);
            return Err(refused(message, "name a step that stands before this one").into());
        };
        match &step.when {
            Some((when, span)) if !self.scopes.holds(when, span)? => Err(refused(
                format!("step '{id}' is not part of the product here: its condition '{when}' does not hold"),
                "give this step the same condition",
            )
            .into()),
            _ => self.scopes.ask(step, |kind, settings, context| (kind.offer)(settings, context)),
        }
    }
}

/// Does the template `text` use the input `name`?
fn names_input(text: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split("inputs.").skip(1).any(|rest| rest.strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_word)))
}

/// Every text in `node`.
fn texts(node: &Node) -> Vec<String> {
    match &node.data {
        Data::Text(text) => vec![text.clone()],
        Data::List(nodes) => nodes.iter().flat_map(texts).collect(),
        Data::Table(fields) => fields.iter().flat_map(|field| texts(&field.node)).collect(),
        _ => Vec::new(),
    }
}
