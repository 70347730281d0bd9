//! Inputs: the answers, each with where it came from.

use std::fmt;

use anyhow::Result;

use super::check::Value;
use super::given::Origin;
use super::secret;
use super::stored::{self, Stored};
use super::template::{self, Scope};
use crate::engine::redact::Redactor;

/// An input with its value.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its value; a marker of the right length, while a secret still has to be generated.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
    /// Is it never shown?
    pub secret: bool,
    /// Length of the secret that still has to be generated.
    pub pending: Option<usize>,
    /// Was it generated, now or in an earlier run?
    pub generated: bool,
}

impl Input {
    /// Did somebody choose its value, now or in an earlier run?
    pub fn is_given(&self) -> bool {
        !self.generated && !matches!(self.origin, Origin::Default | Origin::Generated)
    }

    /// Its value for people; of a secret only that it is one.
    pub fn shown(&self) -> String {
        match (self.secret, self.pending) {
            (_, Some(_)) => "(will be generated)".to_owned(),
            (true, None) => "(secret)".to_owned(),
            (false, None) => self.value.text(),
        }
    }
}

/// All inputs that are visible, in the order of the blueprint.
#[derive(Default)]
pub struct Inputs {
    list: Vec<Input>,
    /// What an earlier run kept of inputs that are not visible now.
    hidden: Stored,
    redactor: Redactor,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|input| (&input.name, input.shown()))).finish()
    }
}

impl Inputs {
    pub(super) fn new(list: Vec<Input>, hidden: Stored) -> Self {
        let mut inputs = Self { list, hidden, redactor: Redactor::default() };
        inputs.learn();
        inputs
    }

    fn learn(&mut self) {
        let redactor = Redactor::default();
        for secret in self.secrets() {
            redactor.learn(secret);
        }
        self.redactor = redactor;
    }

    /// Name, value and source of every input, in the order of the blueprint, for people; of a secret only that it is one.
    pub fn told(&self) -> Vec<(String, String, String)> {
        self.list.iter().map(|input| (input.name.clone(), input.shown(), input.origin.to_string())).collect()
    }

    /// Every input with its value, in the order of the blueprint.
    pub fn list(&self) -> &[Input] {
        &self.list
    }

    /// The secrets, with the markers of those that still have to be generated.
    pub fn secrets(&self) -> Vec<&str> {
        let secret = self.list.iter().filter(|input| input.secret);
        secret
            .filter_map(|input| if let Value::Text(text) = &input.value { Some(text.as_str()) } else { None })
            .collect()
    }

    /// Does `text` contain a secret, as it is or in one of the forms that [`Redactor`] knows?
    pub fn is_secret(&self, text: &str) -> bool {
        self.redactor.holds(text)
    }

    /// `text` without secrets.
    pub fn hide(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    /// Generates the secrets that still have to be; says whether there were any. They must be stored and fsynced before they
    /// are used.
    ///
    /// # Errors
    /// Where the kernel gives no random numbers.
    pub fn generate(&mut self) -> Result<bool> {
        let mut any = false;
        for input in &mut self.list {
            if let Some(length) = input.pending.take() {
                input.value = Value::Text(secret::generate(length)?);
                any = true;
            }
        }
        self.learn();
        Ok(any)
    }

    /// Secrets that still have to be generated: name and marker.
    pub fn pending(&self) -> Vec<(String, String)> {
        let pending = self.list.iter().filter(|input| input.pending.is_some());
        pending.map(|input| (input.name.clone(), input.value.text())).collect()
    }

    /// The secret `name` was found on the host, in the file `path`: it needs not be generated.
    pub fn recall(&mut self, name: &str, secret: String, path: String) {
        if let Some(input) = self.list.iter_mut().find(|input| input.name == name) {
            input.value = Value::Text(secret);
            input.origin = Origin::Recalled(path);
            input.pending = None;
        }
        self.learn();
    }

    /// What is kept for later runs: the content of `inputs.json` and of `secrets.json`. A secret that was not generated yet is
    /// in neither.
    ///
    /// # Errors
    /// Where a value cannot be written.
    pub fn stored_form(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        stored::form(&self.list, &self.hidden)
    }

    pub(super) fn put_into(&self, scope: &mut Scope) {
        for input in &self.list {
            scope.set(&input.name, as_template_value(&input.value, input.secret));
        }
    }
}

pub(super) fn as_template_value(value: &Value, is_secret: bool) -> minijinja::Value {
    match value {
        Value::Text(text) if is_secret => template::secret(text),
        Value::Text(text) => minijinja::Value::from(text.as_str()),
        Value::Bool(value) => minijinja::Value::from(*value),
        Value::Size(bytes) => minijinja::Value::from(*bytes),
    }
}
