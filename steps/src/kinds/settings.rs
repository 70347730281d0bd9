//! Settings of a step: a tree of values that know where in the blueprint they stand.
//!
//! A kind is deserialised from it with serde; an error knows the place, the value that was found there and what was expected.

use std::fmt::{self, Display};
use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Bytes of the file that it was read from.
    pub span: Range<usize>,
    /// What it is.
    pub data: Data,
    /// The template that it was rendered from, where it was: told in errors in place of the value, which may be secret.
    pub template: Option<String>,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in TOML")]
pub enum Data {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Field>),
}

/// A key of a table with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The key.
    pub key: String,
    /// Bytes of the file that the key stands in.
    pub span: Range<usize>,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// A value that was not rendered.
    pub fn new(span: Range<usize>, data: Data) -> Self {
        Self { span, data, template: None }
    }

    /// The fields, where this is a table.
    pub fn fields(&self) -> &[Field] {
        match &self.data {
            Data::Table(fields) => fields,
            _ => &[],
        }
    }

    /// The field `key`, where this is a table that has it.
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields().iter().find(|field| field.key == key)
    }

    /// The text, where this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What stands here, in words for an error: the template where it was rendered, else the value.
    pub fn describe(&self) -> String {
        if let Some(template) = &self.template {
            return format!("the value of '{template}'");
        }
        match &self.data {
            Data::Bool(value) => value.to_string(),
            Data::Integer(value) => value.to_string(),
            Data::Float(value) => value.to_string(),
            Data::Text(text) => format!("'{text}'"),
            Data::List(_) => "a list".to_owned(),
            Data::Table(_) => "a table".to_owned(),
        }
    }

    /// Makes a `T` of it.
    ///
    /// # Errors
    /// Where it is not one; with the place.
    pub fn read<T: de::DeserializeOwned>(&self) -> Result<T, Misfit> {
        T::deserialize(self).map_err(|misfit| misfit.at(self))
    }
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// A key that nothing has a use for.
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that would do.
        known: Vec<String>,
    },
    /// A key that must be there is not.
    MissingKey {
        /// The key.
        key: String,
    },
    /// A word that is not one of a closed list.
    UnknownWord {
        /// The word.
        word: String,
        /// The words that would do.
        known: Vec<String>,
    },
    /// A value of the wrong sort or out of bounds.
    Value {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Anything else, said by the type itself.
    Other(String),
}

/// Why a [`Node`] is not what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What does not fit.
    pub fit: Fit,
    /// Where it stands, once that is known.
    pub span: Option<Range<usize>>,
    /// The way to it: keys and list positions, outermost first.
    pub path: Vec<String>,
    /// Was the value rendered from a template? Then it may be secret, and only the template may be quoted.
    pub rendered: bool,
}

impl Misfit {
    fn new(fit: Fit) -> Self {
        Self { fit, span: None, path: Vec::new(), rendered: false }
    }

    /// The same, with the place, unless it is known already.
    #[must_use]
    pub fn at(mut self, node: &Node) -> Self {
        if self.span.is_some() {
            return self;
        }
        // Tagged and flattened types lose the way to the key, so that it is looked for below.
        let at = match &self.fit {
            Fit::UnknownKey { key, .. } => find_key(node, key).unwrap_or_else(|| node.span.clone()),
            _ => node.span.clone(),
        };
        self.span = Some(at);
        self.rendered = node.template.is_some();
        if self.rendered {
            match &mut self.fit {
                Fit::Value { found, .. } => *found = node.describe(),
                Fit::UnknownWord { word, .. } => *word = node.template.clone().unwrap_or_default(),
                _ => {}
            }
        }
        self
    }

    fn below(mut self, segment: impl Into<String>) -> Self {
        self.path.insert(0, segment.into());
        self
    }

    /// The way to the value as it is written: `servers[0].name`, empty at the top.
    pub fn place(&self) -> String {
        let mut place = String::new();
        for segment in &self.path {
            if !place.is_empty() && !segment.starts_with('[') {
                place.push('.');
            }
            place.push_str(segment);
        }
        place
    }
}

fn find_key(node: &Node, key: &str) -> Option<Range<usize>> {
    if let Some(field) = node.field(key) {
        return Some(field.span.clone());
    }
    match &node.data {
        Data::Table(fields) => fields.iter().find_map(|field| find_key(&field.node, key)),
        Data::List(nodes) => nodes.iter().find_map(|node| find_key(node, key)),
        _ => None,
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fit {
            Fit::UnknownKey { key, .. } => write!(f, "unknown key '{key}'"),
            Fit::MissingKey { key } => write!(f, "key '{key}' is missing"),
            Fit::UnknownWord { word, known } => write!(f, "'{word}' is not one of {}", known.join(", ")),
            Fit::Value { found, expected } => write!(f, "{found} is not {expected}"),
            Fit::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Misfit {}

/// serde's words for what it expects, in ours.
fn plain(expected: &dyn de::Expected) -> String {
    let text = expected.to_string();
    let range = |low: &dyn Display, high: &dyn Display| format!("a whole number from {low} to {high}");
    match text.as_str() {
        "u8" => range(&u8::MIN, &u8::MAX),
        "u16" => range(&u16::MIN, &u16::MAX),
        "u32" => range(&u32::MIN, &u32::MAX),
        "u64" | "usize" => "a whole number that is not negative".to_owned(),
        "i8" => range(&i8::MIN, &i8::MAX),
        "i16" => range(&i16::MIN, &i16::MAX),
        "i32" => range(&i32::MIN, &i32::MAX),
        "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other if other.starts_with("enum ") => "one of the words that are allowed here".to_owned(),
        other => other.to_owned(),
    }
}

/// serde's words for what it found, in ours.
fn found(unexpected: &de::Unexpected<'_>) -> String {
    match unexpected {
        de::Unexpected::Bool(value) => value.to_string(),
        de::Unexpected::Unsigned(value) => value.to_string(),
        de::Unexpected::Signed(value) => value.to_string(),
        de::Unexpected::Float(value) => value.to_string(),
        de::Unexpected::Str(text) => format!("'{text}'"),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl de::Error for Misfit {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Fit::Other(message.to_string()))
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Fit::Value { found: found(&unexpected), expected: plain(expected) })
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(Fit::Value { found: format!("a list of {length}"), expected: plain(expected) })
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Fit::UnknownWord { word: word.to_owned(), known: owned(known) })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Fit::UnknownKey { key: key.to_owned(), known: owned(known) })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Fit::MissingKey { key: key.to_owned() })
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::new(Fit::Other(format!("key '{key}' is there twice")))
    }
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.data {
            Data::Bool(value) => visitor.visit_bool(*value),
            Data::Integer(value) => visitor.visit_i64(*value),
            Data::Float(value) => visitor.visit_f64(*value),
            Data::Text(text) => visitor.visit_str(text),
            Data::List(nodes) => visitor.visit_seq(List { nodes, next: 0 }),
            Data::Table(fields) => visitor.visit_map(Table { fields, next: 0 }),
        }
        .map_err(|misfit| misfit.at(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.data {
            Data::Text(word) => {
                let word: StrDeserializer<'_, Misfit> = word.as_str().into_deserializer();
                de::Deserializer::deserialize_enum(word, name, words, visitor)
            }
            Data::Table(fields) if fields.len() == 1 => {
                let table = Table { fields, next: 0 };
                visitor.visit_enum(de::value::MapAccessDeserializer::new(table))
            }
            _ => Err(Misfit::new(Fit::Value {
                found: self.describe(),
                expected: format!("one of {}", words.join(", ")),
            })),
        }
        .map_err(|misfit| misfit.at(self))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct List<'de> {
    nodes: &'de [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for List<'de> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let at = self.next;
        self.next += 1;
        seed.deserialize(node).map(Some).map_err(|misfit| misfit.at(node).below(format!("[{at}]")))
    }
}

struct Table<'de> {
    fields: &'de [Field],
    next: usize,
}

impl<'de> de::MapAccess<'de> for Table<'de> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some(field) = self.fields.get(self.next) else { return Ok(None) };
        let key: StrDeserializer<'_, Misfit> = field.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|mut misfit| {
            misfit.span = Some(field.span.clone());
            misfit
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some(field) = self.fields.get(self.next) else { return Err(de::Error::custom("a value without a key")) };
        self.next += 1;
        seed.deserialize(&field.node).map_err(|misfit| misfit.at(&field.node).below(&field.key))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Server {
        name: String,
        port: Option<u16>,
        #[serde(default)]
        mode: Mode,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        #[default]
        Plain,
        Tls,
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "sort", rename_all = "snake_case", deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not looked at")]
    enum Tagged {
        One { size: u8 },
    }

    fn node(at: usize, data: Data) -> Node {
        Node::new(at..at + 1, data)
    }

    fn text(at: usize, text: &str) -> Node {
        node(at, Data::Text(text.to_owned()))
    }

    fn table(fields: Vec<(&str, Node)>) -> Node {
        let fields = fields
            .into_iter()
            .map(|(key, node)| Field { key: key.to_owned(), span: 100 + node.span.start..100 + node.span.end, node })
            .collect();
        node(0, Data::Table(fields))
    }

    #[test]
    fn what_fits_is_read() {
        let good = table(vec![("name", text(1, "a")), ("port", node(2, Data::Integer(80))), ("mode", text(3, "tls"))]);
        assert_eq!(good.read::<Server>(), Ok(Server { name: "a".into(), port: Some(80), mode: Mode::Tls }));
    }

    #[test]
    fn a_misfit_says_where_what_and_what_else() {
        let cases: Vec<(Node, &str, &str, usize)> = vec![
            (table(vec![("nam", text(1, "a"))]), "unknown key 'nam'", "", 101),
            (table(vec![("port", node(1, Data::Integer(1)))]), "key 'name' is missing", "", 0),
            (
                table(vec![("name", text(1, "a")), ("port", node(2, Data::Integer(70000)))]),
                "70000 is not a whole number from 0 to 65535",
                "port",
                2,
            ),
            (table(vec![("name", node(5, Data::Bool(true)))]), "true is not a text", "name", 5),
            (
                table(vec![("name", text(1, "a")), ("mode", text(2, "tsl"))]),
                "'tsl' is not one of plain, tls",
                "mode",
                2,
            ),
        ];
        for (node, message, place, at) in cases {
            let misfit = node.read::<Server>().unwrap_err();
            assert_eq!((misfit.to_string().as_str(), misfit.place().as_str()), (message, place));
            assert_eq!(misfit.span.map(|span| span.start), Some(at), "{message}");
        }
        let nested = table(vec![("servers", node(1, Data::List(vec![table(vec![("x", text(7, ""))])])))]);
        let misfit = nested.read::<std::collections::BTreeMap<String, Vec<Server>>>().unwrap_err();
        assert_eq!(misfit.place(), "servers[0]");
        assert_eq!(misfit.span, Some(107..108));
        let tagged = table(vec![("sort", text(1, "one")), ("size", node(2, Data::Integer(1))), ("sise", text(3, ""))]);
        assert_eq!(tagged.read::<Tagged>().unwrap_err().span, Some(103..104));
    }

    #[test]
    fn a_rendered_value_is_never_quoted() {
        let mut secret = text(1, "hunter2");
        secret.template = Some("{{ inputs.password }}".to_owned());
        for key in ["port", "mode"] {
            let misfit = table(vec![("name", text(3, "a")), (key, secret.clone())]).read::<Server>().unwrap_err();
            assert!(!misfit.to_string().contains("hunter2"), "{misfit}");
            assert!(misfit.to_string().contains("inputs.password"), "{misfit}");
        }
    }
}
