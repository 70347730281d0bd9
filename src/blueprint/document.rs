//! A TOML file, its tree of values with their places, and errors that show them.

use std::ops::Range;

use distro::{Class, Fault};
use steps::kinds::settings::{Data, Field, Fit, Misfit, Node};

/// A file that people wrote.
#[derive(Clone, Debug)]
pub struct Source {
    /// How it is called in errors.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Class of its errors. Of a file of answers (`usage`) no line is shown: it may hold a secret.
    pub class: Class,
}

impl Source {
    /// Parses it. The root is a table.
    ///
    /// # Errors
    /// Where it is not TOML, or holds a date, which nothing here has a use for.
    pub fn parse(&self) -> Result<Node, Fault> {
        let document = toml_edit::Document::parse(self.text.as_str()).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            self.fault(error.span().unwrap_or(0..0), &format!("not valid TOML: {message}"))
        })?;
        let fields = self.fields(document.as_table())?;
        Ok(Node::new(0..self.text.len(), Data::Table(fields)))
    }

    fn fields(&self, table: &dyn toml_edit::TableLike) -> Result<Vec<Field>, Fault> {
        let mut fields = Vec::new();
        for (key, item) in table.iter() {
            let key_span = table.get_key_value(key).and_then(|(key, _)| key.span());
            let span = key_span.or_else(|| item.span()).unwrap_or(0..0);
            let node = self.item(item, &span)?;
            fields.push(Field { key: key.to_owned(), span, node });
        }
        Ok(fields)
    }

    fn item(&self, item: &toml_edit::Item, fallback: &Range<usize>) -> Result<Node, Fault> {
        let span = item.span().unwrap_or_else(|| fallback.clone());
        let data = match item {
            toml_edit::Item::Value(value) => self.value(value, &span)?,
            toml_edit::Item::Table(table) => Data::Table(self.fields(table)?),
            toml_edit::Item::ArrayOfTables(tables) => {
                let mut nodes = Vec::new();
                for table in tables {
                    let at = table.span().unwrap_or_else(|| span.clone());
                    nodes.push(Node::new(at, Data::Table(self.fields(table)?)));
                }
                Data::List(nodes)
            }
            toml_edit::Item::None => Data::Table(Vec::new()),
        };
        Ok(Node::new(span, data))
    }

    fn value(&self, value: &toml_edit::Value, span: &Range<usize>) -> Result<Data, Fault> {
        Ok(match value {
            toml_edit::Value::String(text) => Data::Text(text.value().clone()),
            toml_edit::Value::Integer(number) => Data::Integer(*number.value()),
            toml_edit::Value::Float(number) => Data::Float(*number.value()),
            toml_edit::Value::Boolean(value) => Data::Bool(*value.value()),
            toml_edit::Value::Datetime(date) => {
                let shown = if self.class == Class::Usage { String::new() } else { format!(" ({})", date.value()) };
                return Err(self.fault(span.clone(), &format!("a date{shown} is of no use here; put it in quotes")));
            }
            toml_edit::Value::Array(values) => {
                let mut nodes = Vec::new();
                for value in values {
                    let at = value.span().unwrap_or_else(|| span.clone());
                    let data = self.value(value, &at)?;
                    nodes.push(Node::new(at, data));
                }
                Data::List(nodes)
            }
            toml_edit::Value::InlineTable(table) => Data::Table(self.fields(table)?),
        })
    }

    /// Line of a byte, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
    }

    /// A fault that names file and line and shows the line.
    pub fn fault(&self, span: Range<usize>, message: &str) -> Fault {
        let start = self.text.floor_char_boundary(span.start);
        let line = self.line(start);
        let begin = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let number = line.to_string();
        let indent = self.text[begin..start].chars().count();
        let width = self.text[start..self.text.floor_char_boundary(span.end).clamp(start, end)].chars().count().max(1);
        let advice = match self.class {
            Class::Usage => "correct the file and run again".to_owned(),
            _ => "correct the blueprint; `surefoot blueprint validate` checks it without touching the host".to_owned(),
        };
        let fault = Fault::new(self.class, format!("{}:{line}: {message}", self.name));
        if self.class == Class::Usage {
            return fault.advice(advice);
        }
        fault
            .evidence([
                format!("{number} | {}", &self.text[begin..end]),
                format!("{} | {}{}", " ".repeat(number.len()), " ".repeat(indent), "^".repeat(width)),
            ])
            .advice(advice)
    }

    /// The fault of a value that does not fit; `place` says whose it is, such as `step 'redis' (kind redis)`.
    pub fn misfit(&self, misfit: &Misfit, place: &str) -> Fault {
        let way = misfit.place();
        let what = match &misfit.fit {
            Fit::UnknownKey { key, known } => {
                let within = if way.is_empty() { String::new() } else { format!("{way} of ") };
                let message = format!("unknown key '{key}' in {within}{place}");
                with_known(&message, key, known)
            }
            Fit::MissingKey { key } if way.is_empty() => format!("key '{key}' is missing in {place}"),
            Fit::MissingKey { key } => format!("key '{key}' is missing in {way} of {place}"),
            Fit::UnknownWord { word, known } => {
                with_known(&format!("{way} of {place} cannot be '{word}'"), word, known)
            }
            Fit::Value { found, expected } => format!("{way} of {place} is {found}; expected {expected}"),
            Fit::Other(message) if way.is_empty() => format!("{place}: {message}"),
            Fit::Other(message) => format!("{way} of {place}: {message}"),
        };
        self.fault(misfit.span.clone().unwrap_or(0..0), &what)
    }
}

/// `message` with the nearest of `known`, or with all of them where they are few.
pub fn with_known<S: AsRef<str>>(message: &str, word: &str, known: &[S]) -> String {
    if let Some(near) = nearest(word, known) {
        return format!("{message}; did you mean '{near}'?");
    }
    if known.is_empty() {
        return format!("{message}; none is known here");
    }
    let list: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    format!("{message}; known: {}", list.join(", "))
}

/// The one of `known` that `word` was probably meant to be.
pub fn nearest<'k, S: AsRef<str>>(word: &str, known: &'k [S]) -> Option<&'k str> {
    let allowed = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(word, known.as_ref()), known.as_ref()))
        .filter(|(distance, known)| *distance <= allowed && *distance < known.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Everything that is wrong with a file, so that it is told at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<Fault>);

impl Problems {
    /// Notes a fault.
    pub fn add(&mut self, fault: Fault) {
        // One mistake is often met twice, by way of two variants of a step.
        if !self.0.iter().any(|known| known.message == fault.message) {
            self.0.push(fault);
        }
    }

    /// The value where `result` has one; its fault is noted.
    pub fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.add(fault)).ok()
    }

    /// Was nothing noted?
    pub fn none(&self) -> bool {
        self.0.is_empty()
    }

    /// One fault of all: the first, with the others as evidence.
    ///
    /// # Errors
    /// Where any was noted.
    pub fn into_result(self) -> Result<(), Fault> {
        let mut faults = self.0.into_iter();
        let Some(mut first) = faults.next() else { return Ok(()) };
        for other in faults {
            first.evidence.push(other.message);
        }
        Err(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "blueprint.toml".to_owned(), text: text.to_owned(), class: Class::Blueprint }
    }

    #[test]
    fn values_know_their_lines() {
        let source = source("a = 1\n[b]\nc = [\n  'x',\n  { d = true },\n]\n[[e]]\nf = 1.5\n[[e]]\ng.h = 2\n");
        let root = source.parse().unwrap();
        let lines: Vec<(String, usize)> =
            root.fields().iter().map(|field| (field.key.clone(), source.line(field.span.start))).collect();
        assert_eq!(lines, [("a".into(), 1), ("b".into(), 2), ("e".into(), 7)]);
        let list = &root.field("b").unwrap().node.field("c").unwrap().node;
        let Data::List(nodes) = &list.data else { panic!("{list:?}") };
        assert_eq!(source.line(nodes[1].span.start), 5);
        let Data::List(tables) = &root.field("e").unwrap().node.data else { panic!() };
        assert_eq!(source.line(tables[1].field("g").unwrap().node.field("h").unwrap().span.start), 10);
    }

    #[test]
    fn bad_toml_names_its_line() {
        for (text, line) in
            [("a = 1\nb = \n", 2), ("a = 1\na = 2", 2), ("[x\n", 1), ("a = 1979-05-27\n", 1), ("é = x", 1)]
        {
            let fault = source(text).parse().unwrap_err();
            assert!(fault.message.starts_with(&format!("blueprint.toml:{line}: ")), "{text:?}: {}", fault.message);
            assert_eq!(fault.evidence.len(), 2);
        }
    }

    #[test]
    fn the_nearest_word() {
        let known = ["password", "memory", "listen"];
        for (word, near) in
            [("pasword", Some("password")), ("memroy", Some("memory")), ("x", None), ("certificate", None)]
        {
            assert_eq!(nearest(word, &known), near, "{word}");
        }
    }
}
