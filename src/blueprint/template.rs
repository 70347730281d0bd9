//! Templates: what is between `{{` and `}}`, in settings of steps and in files.
//!
//! Undefined names are errors. There is no `safe` filter: whatever is printed is quoted for the format that the template
//! declares, or refused. Filters do not take secrets, which nobody could recognise afterwards; but for `urlencode` and `tojson`, since
//! secrets are recognised in these forms, too, and for `sha512`, of which nobody gets a secret back.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use distro::Facts;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Rest, Serde};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, filters};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha512};
use steps::kinds::Format;
use steps::resources::packages::is_older;

use super::document::with_known;
use super::quote;

/// A secret in a template: it prints as itself and can be joined to other text, and nothing else.
#[derive(Debug)]
struct Secret(String);

impl Object for Secret {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.0.is_empty()
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        PRINTED.set(true);
        self.0.fmt(f)
    }
}

thread_local! {
    /// Was a secret put into a text since this was last taken?
    static PRINTED: Cell<bool> = const { Cell::new(false) };
}

/// A secret, as templates see it.
pub fn secret(text: &str) -> Value {
    Value::from_object(Secret(text.to_owned()))
}

/// What went wrong in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line within the template, from 1.
    pub line: usize,
    /// What.
    pub message: String,
}

/// The names that templates see, with their values.
#[derive(Clone, Debug)]
pub struct Scope {
    inputs: BTreeMap<String, Value>,
    declared: BTreeSet<String>,
    withheld: BTreeMap<String, &'static str>,
    host: Value,
    product: Value,
}

/// The filters of templates, for errors and the documentation.
pub const FILTERS: [&str; 14] = [
    "default",
    "first",
    "int",
    "join",
    "last",
    "length",
    "lower",
    "replace",
    "sha512",
    "split",
    "tojson",
    "trim",
    "upper",
    "urlencode",
];

/// What a URL may hold anywhere as it is (RFC 3986, unreserved).
const PLAIN_IN_URLS: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Scope {
    /// No inputs yet. `product` holds name, title and version.
    pub fn new(facts: &Facts, product: Value) -> Self {
        Self {
            inputs: BTreeMap::new(),
            declared: BTreeSet::new(),
            withheld: BTreeMap::new(),
            host: Value::from(Serde(facts)),
            product,
        }
    }

    /// Adds an input.
    pub fn set(&mut self, name: &str, value: Value) {
        self.declare(name);
        self.inputs.insert(name.to_owned(), value);
    }

    /// Adds the name of an input that may have no value: using it is an error, naming it in a branch that is not taken is not.
    pub fn declare(&mut self, name: &str) {
        self.declared.insert(name.to_owned());
    }

    /// Says why an input cannot be used, for errors, until it is [`Scope::set`].
    pub fn withhold(&mut self, name: &str, why: &'static str) {
        self.withheld.insert(name.to_owned(), why);
    }

    fn context(&self) -> Value {
        let inputs = Value::from_pairs(self.inputs.iter().map(|(name, value)| (name.clone(), value.clone())));
        Value::from_pairs([("inputs", inputs), ("host", self.host.clone()), ("product", self.product.clone())])
    }

    /// Renders a template; what it prints is quoted for `format`.
    ///
    /// # Errors
    /// Where it does not parse, a name is undefined or a value cannot be quoted.
    pub fn render(&self, template: &str, format: Format) -> Result<String, Mistake> {
        if let Some(at) = template.find(quote::MARK) {
            let line = template[..at].matches('\n').count() + 1;
            return Err(Mistake { line, message: "a template cannot hold a NUL byte".to_owned() });
        }
        let environment = environment(UndefinedBehavior::Strict, Some(format));
        let text = environment.render_str(template, self.context()).map_err(|error| mistake(&error, template))?;
        quote::finish(&text, format).map_err(|(line, message)| Mistake { line, message })
    }

    /// Renders a setting: a text that is exactly one `{{ … }}` keeps the type of its value, else it is text. Says whether a secret was
    /// put into it.
    ///
    /// # Errors
    /// As [`Scope::render`].
    pub fn setting(&self, template: &str) -> Result<(Value, bool), Mistake> {
        PRINTED.set(false);
        let value = self.value(template)?;
        let is_secret = holds_secret(&value);
        Ok((value, PRINTED.take() || is_secret))
    }

    fn value(&self, template: &str) -> Result<Value, Mistake> {
        let Some(expression) = sole_expression(template) else {
            let environment = environment(UndefinedBehavior::Strict, None);
            let text = environment.render_str(template, self.context()).map_err(|error| mistake(&error, template))?;
            return Ok(Value::from(text));
        };
        let environment = environment(UndefinedBehavior::Strict, None);
        let compiled = environment.compile_expression(expression).map_err(|error| mistake(&error, expression))?;
        let value = compiled.eval(self.context()).map_err(|error| mistake(&error, expression))?;
        let why = if value.is_undefined() {
            "is not defined"
        } else if value.is_none() {
            "has no value on this host"
        } else {
            return Ok(value);
        };
        Err(Mistake { line: 1, message: format!("'{expression}' {why}") })
    }

    /// Is a condition true? An input that is not visible equals nothing.
    ///
    /// # Errors
    /// Where it does not parse, or is neither true nor false.
    pub fn holds(&self, condition: &str) -> Result<bool, Mistake> {
        let environment = environment(UndefinedBehavior::Lenient, None);
        let compiled = environment.compile_expression(condition).map_err(|error| mistake(&error, condition))?;
        let value = compiled.eval(self.context()).map_err(|error| mistake(&error, condition))?;
        if value.is_undefined() {
            return Ok(false);
        }
        bool::try_from(value).map_err(|_| Mistake {
            line: 1,
            message: format!(
                "the condition '{condition}' is neither true nor false; compare it, as in inputs.x == 'y'"
            ),
        })
    }

    fn names(&self, group: &str) -> Vec<String> {
        let keys = |value: &Value| value.try_iter().map(|keys| keys.map(|key| key.to_string()).collect());
        match group {
            "inputs" => self.declared.iter().cloned().collect(),
            "host" => keys(&self.host).unwrap_or_default(),
            _ => keys(&self.product).unwrap_or_default(),
        }
    }

    /// Looks for names that are not there, in all branches of a template.
    pub fn unknown_names(&self, template: &str) -> Vec<Mistake> {
        let environment = environment(UndefinedBehavior::Strict, None);
        match environment.template_from_str(template) {
            Ok(compiled) => self.unknown(template, compiled.undeclared_variables(true)),
            Err(error) => vec![mistake(&error, template)],
        }
    }

    /// As [`Scope::unknown_names`], of a condition.
    pub fn unknown_names_in_condition(&self, condition: &str) -> Vec<Mistake> {
        let environment = environment(UndefinedBehavior::Strict, None);
        match environment.compile_expression(condition) {
            Ok(compiled) => self.unknown(condition, compiled.undeclared_variables(true)),
            Err(error) => vec![mistake(&error, condition)],
        }
    }

    fn unknown(&self, source: &str, names: impl IntoIterator<Item = String>) -> Vec<Mistake> {
        let mut mistakes: Vec<Mistake> = names
            .into_iter()
            .filter_map(|name| {
                let mut parts = name.split('.');
                let (group, key) = (parts.next()?, parts.next());
                let message = match (group, key) {
                    ("inputs" | "host" | "product", None) => return None,
                    ("inputs" | "host" | "product", Some(key)) => {
                        let known = self.names(group);
                        if known.iter().any(|known| known == key) {
                            return None;
                        }
                        match self.withheld.get(key).filter(|_| group == "inputs") {
                            Some(why) => format!("'{group}.{key}' {why}"),
                            None => with_known(&format!("'{group}.{key}' is not defined"), key, &known),
                        }
                    }
                    _ => format!("'{name}' is not defined; known: inputs.NAME, host.NAME, product.NAME"),
                };
                let at = source.find(&name).unwrap_or(0);
                Some(Mistake { line: source[..at].matches('\n').count() + 1, message })
            })
            .collect();
        mistakes.sort_by_key(|mistake| mistake.line);
        mistakes
    }
}

/// The expression of a text that is exactly one `{{ … }}`.
fn sole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    (!inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%")).then(|| inner.trim())
}

/// Is there anything to render in `text`?
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

fn environment(undefined: UndefinedBehavior, format: Option<Format>) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(undefined);
    environment.set_debug(true);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true).trim_blocks(format.is_some()).lstrip_blocks(format.is_some());
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment.set_formatter(move |out, _, value| {
        let written = match format {
            Some(format) => quote::quote(value, format),
            None => match value.kind() {
                minijinja::value::ValueKind::Undefined => Err("it is not defined".to_owned()),
                minijinja::value::ValueKind::None => Err("it has no value on this host".to_owned()),
                _ => Ok(quote::bare(value)),
            },
        };
        match written {
            Ok(text) => Ok(out.write_str(&text)?),
            Err(why) if value.is_undefined() => Err(Error::new(ErrorKind::UndefinedError, why)),
            Err(why) => Err(Error::new(ErrorKind::BadSerialization, why)),
        }
    });
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("undefined", minijinja::tests::is_undefined);
    environment.add_test("none", minijinja::tests::is_none);
    // What has no value is before nothing.
    environment.add_test("before", |value: &Value, version: &str| {
        !value.is_undefined() && !value.is_none() && is_older(&value.to_string(), version)
    });
    environment.add_filter("default", filters::default);
    environment.add_filter("join", filters::join);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    add_text_filter(&mut environment, "lower", |text, _| Ok(Value::from(text.to_lowercase())));
    add_text_filter(&mut environment, "upper", |text, _| Ok(Value::from(text.to_uppercase())));
    add_text_filter(&mut environment, "trim", |text, _| Ok(Value::from(text.trim())));
    add_text_filter(&mut environment, "replace", |text, args| match args {
        [from, to] => Ok(Value::from(text.replace(&from.to_string(), &to.to_string()))),
        _ => Err(Error::new(ErrorKind::MissingArgument, "replace takes two arguments: replace(\"from\", \"to\")")),
    });
    add_text_filter(&mut environment, "split", |text, args| match args {
        [by] => Ok(Value::from_iter(text.split(&by.to_string()))),
        _ => Err(Error::new(ErrorKind::MissingArgument, "split takes one argument: split(\":\")")),
    });
    add_text_filter(&mut environment, "int", |text, _| match text.parse::<i64>() {
        Ok(number) => Ok(Value::from(number)),
        Err(_) => Err(Error::new(ErrorKind::InvalidOperation, format!("'{text}' is not a whole number"))),
    });
    add_encoding(&mut environment, "urlencode", |text| utf8_percent_encode(text, &PLAIN_IN_URLS).to_string());
    add_encoding(&mut environment, "tojson", json);
    add_encoding(&mut environment, "sha512", |text| {
        Sha512::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    });
    environment.add_filter("length", |value: &Value| {
        no_secret("length", value)?;
        filters::length(value)
    });
    environment
}

/// Is `value` a secret, or is one in it?
fn holds_secret(value: &Value) -> bool {
    use minijinja::value::ValueKind::{Iterable, Map, Seq};
    let within = |value: &Value| value.try_iter().into_iter().flatten();
    match value.kind() {
        Seq | Iterable => within(value).any(|item| holds_secret(&item)),
        Map => within(value).any(|key| value.get_item(&key).is_ok_and(|item| holds_secret(&item))),
        _ => value.downcast_object_ref::<Secret>().is_some(),
    }
}

/// `text` as a string of JSON, in which nothing is left that means something to who reads JSON out of a line: a shell, an INI file, HTML.
fn json(text: &str) -> String {
    let plain = serde_json::Value::from(text).to_string();
    let escaped = plain.chars().map(|c| match c {
        '$' | '#' | ';' | '%' | '<' | '>' | '&' | '\'' | '`' => format!("\\u{:04x}", u32::from(c)),
        _ => c.to_string(),
    });
    escaped.collect()
}

/// Adds a filter that writes a text in another form, and that takes secrets: what comes of one is one.
fn add_encoding(environment: &mut Environment<'_>, name: &'static str, encode: fn(&str) -> String) {
    environment.add_filter(name, move |value: &Value| match value.downcast_object_ref::<Secret>() {
        Some(Secret(text)) => Ok(secret(&encode(text))),
        None if value.is_undefined() => Err(Error::from(ErrorKind::UndefinedError)),
        None => Ok(Value::from(encode(&value.to_string()))),
    });
}

fn no_secret(filter: &str, value: &Value) -> Result<(), Error> {
    if value.downcast_object_ref::<Secret>().is_none() {
        return Ok(());
    }
    let why =
        format!("the filter '{filter}' does not take a secret: what it makes of it could not be recognised as one");
    Err(Error::new(ErrorKind::InvalidOperation, why))
}

fn add_text_filter(
    environment: &mut Environment<'_>,
    name: &'static str,
    filter: fn(&str, &[Value]) -> Result<Value, Error>,
) {
    environment.add_filter(name, move |value: &Value, args: Rest<Value>| {
        no_secret(name, value)?;
        args.iter().try_for_each(|arg| no_secret(name, arg))?;
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        filter(&value.to_string(), &args)
    });
}

fn mistake(error: &Error, source: &str) -> Mistake {
    let detail = error.detail().unwrap_or_default();
    let code = error.range().and_then(|range| source.get(range)).unwrap_or_default().trim();
    let code = code.trim_start_matches("{{").trim_end_matches("}}").trim();
    let message = match error.kind() {
        ErrorKind::UndefinedError if code.is_empty() => "a name in it is not defined".to_owned(),
        ErrorKind::UndefinedError => format!("'{code}' is not defined"),
        ErrorKind::SyntaxError => format!("template syntax: {detail}"),
        ErrorKind::UnknownFilter => {
            let name = detail.split_whitespace().nth(1).unwrap_or_default();
            with_known(&format!("unknown filter '{name}'"), name, &FILTERS)
        }
        ErrorKind::BadSerialization if !code.is_empty() => format!("'{code}' cannot be written here: {detail}"),
        kind if detail.is_empty() => kind.to_string(),
        _ => detail.to_owned(),
    };
    Mistake { line: error.line().unwrap_or(1), message }
}
