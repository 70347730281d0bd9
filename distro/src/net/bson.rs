//! Just enough of BSON, the binary JSON that MongoDB speaks: documents of texts, numbers, truth values, bytes, lists and documents.

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number; whole ones, too, where the server says them as such.
    Double(f64),
    /// A text.
    Text(String),
    /// A document.
    Document(Document),
    /// A list.
    List(Vec<Value>),
    /// Bytes.
    Binary(Vec<u8>),
    /// True or false.
    Bool(bool),
    /// A whole number of 32 bits.
    Int(i32),
    /// A whole number of 64 bits.
    Long(i64),
    /// Anything that nothing here asks for: a date, an object's id, null.
    Other,
}

impl Value {
    fn document(&self) -> Option<&Document> {
        match self {
            Value::Document(document) => Some(document),
            _ => None,
        }
    }
}

/// Fields in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document(pub Vec<(String, Value)>);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Value::Int(number)
    }
}

impl From<Document> for Value {
    fn from(document: Document) -> Self {
        Value::Document(document)
    }
}

impl Document {
    /// The document with one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The text of `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of `name`.
    pub fn binary(&self, name: &str) -> Option<&[u8]> {
        match self.get(name)? {
            Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of `name`, whatever its type.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Double(number) => Some(*number),
            Value::Int(number) => Some(f64::from(*number)),
            #[expect(clippy::cast_precision_loss, reason = "codes and versions are small")]
            Value::Long(number) => Some(*number as f64),
            Value::Bool(value) => Some(f64::from(u8::from(*value))),
            _ => None,
        }
    }

    /// The document of `name`.
    pub fn document(&self, name: &str) -> Option<&Document> {
        self.get(name)?.document()
    }

    /// The documents in the list of `name`.
    pub fn documents(&self, name: &str) -> Vec<&Document> {
        let Some(Value::List(values)) = self.get(name) else { return Vec::new() };
        values.iter().filter_map(Value::document).collect()
    }

    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        framed(self.0.iter().map(|(name, value)| (name.clone(), value)))
    }

    /// Reads a document that fills `bytes`; none where they are not one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let document = rest.document(DEPTH)?;
        rest.0.is_empty().then_some(document)
    }
}

/// Deepest nesting that is read.
const DEPTH: usize = 32;

fn framed<'v>(fields: impl Iterator<Item = (String, &'v Value)>) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let (tag, bytes) = encoded(value);
        body.push(tag);
        body.extend(name.bytes().filter(|byte| *byte != 0));
        body.push(0);
        body.extend(bytes);
    }
    body.push(0);
    [&length(body.len() + 4)[..], &body].concat()
}

fn encoded(value: &Value) -> (u8, Vec<u8>) {
    match value {
        Value::Double(number) => (0x01, number.to_le_bytes().to_vec()),
        Value::Text(text) => (0x02, [&length(text.len() + 1)[..], text.as_bytes(), &[0]].concat()),
        Value::Document(document) => (0x03, document.bytes()),
        Value::List(values) => {
            (0x04, framed(values.iter().enumerate().map(|(number, value)| (number.to_string(), value))))
        }
        Value::Binary(bytes) => (0x05, [&length(bytes.len())[..], &[0], bytes].concat()),
        Value::Bool(value) => (0x08, vec![u8::from(*value)]),
        Value::Other => (0x0a, Vec::new()),
        Value::Int(number) => (0x10, number.to_le_bytes().to_vec()),
        Value::Long(number) => (0x12, number.to_le_bytes().to_vec()),
    }
}

/// Nothing that is sent comes near the largest length.
fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap_or(i32::MAX).to_le_bytes()
}

/// What is left to be read.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(i32::from_le_bytes(self.array()?)).ok()
    }

    /// Everything up to a NUL, which is taken, too.
    fn name(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Some(name)
    }

    fn document(&mut self, depth: usize) -> Option<Document> {
        let depth = depth.checked_sub(1)?;
        let length = self.length()?.checked_sub(4)?;
        let mut body = Reader(self.take(length)?);
        let mut fields = Vec::new();
        loop {
            match body.array::<1>()? {
                [0] => return body.0.is_empty().then_some(Document(fields)),
                [tag] => {
                    let name = body.name()?;
                    fields.push((name, body.value(tag, depth)?));
                }
            }
        }
    }

    fn value(&mut self, tag: u8, depth: usize) -> Option<Value> {
        Some(match tag {
            0x01 => Value::Double(f64::from_le_bytes(self.array()?)),
            0x02 => {
                let length = self.length()?;
                let text = self.take(length)?.strip_suffix(&[0])?;
                Value::Text(String::from_utf8_lossy(text).into_owned())
            }
            0x03 => Value::Document(self.document(depth)?),
            0x04 => Value::List(self.document(depth)?.0.into_iter().map(|(_, value)| value).collect()),
            0x05 => {
                let length = self.length()?;
                self.take(1)?;
                Value::Binary(self.take(length)?.to_vec())
            }
            0x08 => Value::Bool(self.array()? == [1]),
            0x10 => Value::Int(i32::from_le_bytes(self.array()?)),
            0x12 => Value::Long(i64::from_le_bytes(self.array()?)),
            0x06 | 0x0a | 0x7f | 0xff => Value::Other,
            0x07 => self.take(12).map(|_| Value::Other)?,
            0x09 | 0x11 => self.take(8).map(|_| Value::Other)?,
            0x0b => self.name().and_then(|_| self.name()).map(|_| Value::Other)?,
            0x13 => self.take(16).map(|_| Value::Other)?,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let bytes = b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0";
        let document = Document::default().with("hello", "world");
        assert_eq!(document.bytes(), bytes);
        assert_eq!(Document::read(bytes), Some(document));
    }

    #[test]
    fn every_sort_of_value_is_read_back() {
        let document = Document::default()
            .with("double", Value::Double(1.5))
            .with("list", Value::List(vec![Value::Int(1), Document::default().with("a", "ü").into()]))
            .with("bytes", Value::Binary(vec![0, 1, 255]))
            .with("bool", Value::Bool(true))
            .with("long", Value::Long(-1))
            .with("null", Value::Other);
        assert_eq!(Document::read(&document.bytes()), Some(document.clone()));
        assert_eq!(document.number("double"), Some(1.5));
        assert_eq!(document.documents("list")[0].text("a"), Some("ü"));
        // An object's id and a date are stepped over.
        let bytes = [b"\x1f\0\0\0\x07i\0".as_slice(), &[7; 12], b"\x09d\0", &[9; 8], b"\0"].concat();
        let names: Vec<String> = Document::read(&bytes).unwrap().0.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["i", "d"]);
    }

    #[test]
    fn what_is_no_document() {
        let mut deep = Document::default();
        for _ in 0..40 {
            deep = Document::default().with("d", deep);
        }
        let cases: [&[u8]; 9] = [
            b"",
            b"\x05\0\0\0",
            b"\x04\0\0\0\0",
            b"\xff\xff\xff\xff\0",
            b"\x06\0\0\0\0\0",
            b"\x05\0\0\0\0\0",
            b"\x16\0\0\0\x02hello\0\xff\0\0\0world\0\0",
            b"\x08\0\0\0\x42a\0\0",
            &deep.bytes(),
        ];
        for bytes in cases {
            assert_eq!(Document::read(bytes), None, "{bytes:?}");
        }
    }
}
