//! Inputs of an earlier run: `inputs.json`, and `secrets.json` for what is never shown.

use std::collections::BTreeMap;

use anyhow::Result;
use distro::{Class, Fault};
use serde::{Deserialize, Serialize};

use super::check::Value;
use super::inputs::Input;
use super::model::Blueprint;
use super::spec::Scalar;

/// Version of the two files.
const SCHEMA: u32 = 1;

/// What an earlier run kept. Empty where there was none.
#[derive(Clone, Default)]
pub struct Stored {
    public: Kept,
    secret: Kept,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Kept {
    schema: u32,
    values: BTreeMap<String, Scalar>,
    /// Names of the secrets that were generated, not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    generated: Vec<String>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.public.values.keys().chain(self.secret.values.keys())).finish()
    }
}

impl Stored {
    /// Reads the content of `inputs.json` and of `secrets.json`, where there are such.
    ///
    /// # Errors
    /// Class `state`, where one is damaged or was written by a newer surefoot.
    pub fn parse(public: Option<&[u8]>, secret: Option<&[u8]>) -> Result<Self> {
        Ok(Self { public: kept("inputs.json", public)?, secret: kept("secrets.json", secret)? })
    }

    /// Was nothing kept?
    pub fn is_empty(&self) -> bool {
        self.public.values.is_empty() && self.secret.values.is_empty()
    }

    /// The secrets.
    pub fn secrets(&self) -> Vec<&str> {
        self.secret
            .values
            .values()
            .filter_map(|value| if let Scalar::Text(text) = value { Some(text.as_str()) } else { None })
            .collect()
    }

    /// What was kept of inputs of `blueprint` that are not in `visible`: a condition may let them in again.
    pub(super) fn of_hidden(mut self, blueprint: &Blueprint, visible: &[Input]) -> Self {
        let is_hidden = |name: &String| {
            blueprint.inputs.iter().any(|spec| spec.name == *name) && !visible.iter().any(|input| input.name == *name)
        };
        self.public.values.retain(|name, _| is_hidden(name));
        self.secret.values.retain(|name, _| is_hidden(name));
        self.public.generated.retain(is_hidden);
        self
    }

    /// Forgets the secrets that were generated, so that new ones are; those that were given stay.
    pub fn forget_generated(&mut self, blueprint: &Blueprint) {
        let generates =
            |name: &String| blueprint.inputs.iter().any(|spec| spec.name == *name && spec.input.generate.is_some());
        let forgotten: Vec<String> = self.public.generated.iter().filter(|name| generates(name)).cloned().collect();
        self.secret.values.retain(|name, _| !forgotten.contains(name));
        self.public.generated.retain(|name| !forgotten.contains(name));
    }

    pub(super) fn value(&self, name: &str, is_secret: bool) -> Option<&Scalar> {
        if is_secret { self.secret.values.get(name) } else { self.public.values.get(name) }
    }

    pub(super) fn was_generated(&self, name: &str) -> bool {
        self.public.generated.iter().any(|generated| generated == name)
    }
}

fn kept(name: &str, bytes: Option<&[u8]>) -> Result<Kept, Fault> {
    let Some(bytes) = bytes else { return Ok(Kept::default()) };
    // The error is not told: it may quote a secret.
    let kept: Option<Kept> = serde_json::from_slice(bytes).ok();
    match kept {
        Some(kept) if kept.schema <= SCHEMA => Ok(kept),
        Some(kept) => {
            let message = format!("{name} has format {}, from a newer surefoot; this one reads {SCHEMA}", kept.schema);
            Err(Fault::new(Class::State, message).advice("use the surefoot that wrote it, or a newer one"))
        }
        None => Err(Fault::new(Class::State, format!("{name} of this product is damaged"))
            .advice("put it back from a backup; without one, move it away and give the inputs again")),
    }
}

/// What is kept of `inputs` and of `hidden` ones: the content of `inputs.json` and of `secrets.json`. A secret that was not generated yet
/// is in neither.
pub(super) fn form(inputs: &[Input], hidden: &Stored) -> Result<(Vec<u8>, Vec<u8>)> {
    let Stored { mut public, mut secret } = hidden.clone();
    (public.schema, secret.schema) = (SCHEMA, SCHEMA);
    for input in inputs.iter().filter(|input| input.pending.is_none()) {
        let value = match &input.value {
            Value::Text(text) => Scalar::Text(text.clone()),
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Size(bytes) => Scalar::Integer(i64::try_from(*bytes)?),
        };
        let kept = if input.secret { &mut secret } else { &mut public };
        kept.values.insert(input.name.clone(), value);
        if input.generated {
            public.generated.push(input.name.clone());
        }
    }
    let text = |kept: &Kept| serde_json::to_vec_pretty(kept);
    Ok((text(&public)?, text(&secret)?))
}
