//! From what was given to a value for every input: given, asked, default, generated.

use std::path::Path;

use anyhow::Result;
use distro::{Class, Facts, Fault, files};

use super::check::{self, Value};
use super::document::Problems;
use super::given::{ENVIRONMENT, Given, Offer, Origin, offers};
use super::inputs::{Input, Inputs, as_template_value};
use super::model::Blueprint;
use super::read::mistake_fault;
use super::secret;
use super::spec::{InputSpec, Scalar};
use super::template::{Scope, is_template};

/// A question of the wizard.
pub struct Question<'q> {
    /// The input.
    pub spec: &'q InputSpec,
    /// What it is when the answer is empty, as it would be typed.
    pub default: Option<String>,
    /// Is an answer one that the input takes? Else says why not.
    pub check: &'q dyn Fn(&str) -> Result<(), String>,
}

/// Somebody who can be asked.
pub trait Ask {
    /// Asks until the answer is one that the input takes. None: the default, or a generated secret.
    ///
    /// # Errors
    /// Where nobody answers; class `interrupted`, where the user stops it.
    fn ask(&self, question: &Question<'_>) -> Result<Option<String>>;
}

/// Finds the value of every visible input.
///
/// # Errors
/// Class `usage`, with everything that is wrong: names that no input has, values that it does not take, a secret on the command
/// line, inputs that nobody gave.
pub fn resolve(blueprint: &Blueprint, given: Given, facts: &Facts, asker: Option<&dyn Ask>) -> Result<Inputs> {
    let mut problems = Problems::default();
    let offers = offers(blueprint, &given, &mut problems)?;
    let mut scope = Scope::new(facts, blueprint.product());
    let mut list = Vec::new();
    let mut missing = Vec::new();
    for spec in &blueprint.inputs {
        if let Some(when) = &spec.input.when
            && !scope.holds(when).map_err(|mistake| mistake_fault(&blueprint.source, &spec.at("when"), &mistake))?
        {
            continue;
        }
        let Some(input) = one(blueprint, spec, offers.get(spec.name.as_str()), &scope, asker, &mut problems)? else {
            missing.push(spec);
            continue;
        };
        if !input.secret {
            scope.set(&spec.name, as_template_value(&input.value, false));
        }
        list.push(input);
    }
    // What follows from a wrong value is not worth telling beside it.
    missing.retain(|spec| !offers.contains_key(spec.name.as_str()));
    if problems.none() && !missing.is_empty() {
        return Err(missing_fault(&missing).into());
    }
    problems.into_result()?;
    let hidden = given.stored.of_hidden(blueprint, &list);
    Ok(Inputs::new(list, hidden))
}

/// The value of one input; none where nobody gave it, or where it is wrong and noted.
fn one(
    blueprint: &Blueprint,
    spec: &InputSpec,
    offer: Option<&Offer>,
    scope: &Scope,
    asker: Option<&dyn Ask>,
    problems: &mut Problems,
) -> Result<Option<Input>> {
    let input = |value, origin| Input {
        name: spec.name.clone(),
        value,
        origin,
        secret: spec.is_secret(),
        pending: None,
        generated: false,
    };
    if let Some(offer) = offer {
        return Ok(match check::scalar(spec, &offer.value) {
            Ok(value) => Some(Input { generated: offer.generated, ..input(value, offer.origin.clone()) }),
            Err(why) => {
                let message = format!("input '{}': {why} (from {})", spec.name, offer.origin);
                problems.add(Fault::new(Class::Usage, message).advice("give a value that it takes"));
                None
            }
        });
    }
    if let Some((value, path)) = found(spec) {
        return Ok(Some(input(value, Origin::Recalled(path))));
    }
    let default = default(blueprint, spec, scope)?;
    if let Some(asker) = asker.filter(|_| spec.input.ask.is_some()) {
        let check = |text: &str| check::typed(spec, text).map(drop);
        let question = Question { spec, default: default.as_ref().map(Value::text), check: &check };
        if let Some(text) = asker.ask(&question)? {
            let value = check::typed(spec, &text)
                .map_err(|why| Fault::new(Class::Usage, format!("input '{}': {why}", spec.name)))?;
            return Ok(Some(input(value, Origin::Asked)));
        }
    }
    if let Some(value) = default {
        return Ok(Some(input(value, Origin::Default)));
    }
    Ok(spec.input.generate.map(|length| Input {
        pending: Some(length),
        generated: true,
        ..input(Value::Text(secret::marker(&spec.name, length)), Origin::Generated)
    }))
}

/// What this host tells for an input, and the file that does. What cannot be read, or is nothing that the input takes, tells nothing.
fn found(spec: &InputSpec) -> Option<(Value, String)> {
    spec.found.iter().find_map(|(path, pattern)| {
        let text = String::from_utf8(files::read(Path::new(path)).ok()??).ok()?;
        let value = pattern.captures(&text)?.get(1)?.as_str();
        Some((check::typed(spec, value).ok()?, path.clone()))
    })
}

/// The default of an input; none where it has none.
pub(super) fn default(blueprint: &Blueprint, spec: &InputSpec, scope: &Scope) -> Result<Option<Value>> {
    let Some(default) = &spec.input.default else { return Ok(None) };
    let fault = |why: &str| {
        let message = format!("default of input '{}': {why}", spec.name);
        blueprint.source.fault(spec.at("default"), &message)
    };
    let rendered = match default {
        Scalar::Text(text) if is_template(text) => {
            let (value, _) = scope.setting(text).map_err(|mistake| fault(&mistake.message))?;
            if let Ok(value) = bool::try_from(value.clone()) {
                Scalar::Bool(value)
            } else if let Ok(number) = i64::try_from(value.clone()) {
                Scalar::Integer(number)
            } else {
                Scalar::Text(value.to_string())
            }
        }
        other => other.clone(),
    };
    check::scalar(spec, &rendered).map(Some).map_err(|why| fault(&why).into())
}

/// How an input can be given.
pub(super) fn ways(spec: &InputSpec) -> String {
    let variable = format!("{ENVIRONMENT}{}", spec.name.to_uppercase());
    let flag = if spec.is_secret() { "--set-file" } else { "--set" };
    let value = if spec.is_secret() { "PATH" } else { "VALUE" };
    let mut ways = format!("{flag} {}={value}, {variable} in the environment, or the answers file", spec.name);
    if spec.input.ask.is_some() {
        ways.push_str(", or run it in a terminal to be asked");
    }
    ways
}

fn missing_fault(missing: &[&InputSpec]) -> Fault {
    let names: Vec<String> = missing.iter().map(|spec| format!("'{}'", spec.name)).collect();
    let message = match names.as_slice() {
        [name] => format!("input {name} is missing"),
        names => format!("{} inputs are missing: {}", names.len(), names.join(", ")),
    };
    let lines = missing.iter().map(|spec| {
        let what = spec.input.ask.as_deref().or(spec.input.help.as_deref()).unwrap_or("no description");
        format!("{} ({}): {what}; give it with {}", spec.name, spec.input.sort.name(), ways(spec))
    });
    Fault::new(Class::Usage, message).evidence(lines).advice(match missing {
        [spec] => format!("give it with {}", ways(spec)),
        _ => "give each as shown, or all of them in one file with --answers FILE".to_owned(),
    })
}
