//! A text as somebody would read it who decodes it, with the way back to where each byte of it came from.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// What shells and string literals put around and into a value.
pub(super) const QUOTES: [char; 3] = ['\'', '"', '\\'];

/// A text, or what is left of it once something was decoded.
pub(super) struct View<'a> {
    bytes: Cow<'a, [u8]>,
    /// Where in the text each byte came from; none where the view is the text.
    origins: Option<Vec<Range<usize>>>,
    /// Were all quotes and backslashes dropped?
    pub(super) bare: bool,
}

/// The views of `text`, the text itself first. Only those that differ from it.
pub(super) fn of(text: &str) -> Vec<View<'_>> {
    let plain = View::plain(text);
    let mut views = Vec::new();
    if text.contains('\\') {
        views.push(plain.unescaped());
    }
    if text.contains(QUOTES) {
        views.push(plain.without_quotes());
    }
    views.insert(0, plain);
    let decoded: Vec<_> = views.iter().filter(|view| view.bytes.contains(&b'%')).map(View::percent_decoded).collect();
    views.extend(decoded);
    views
}

impl<'a> View<'a> {
    /// The text itself.
    pub(super) fn plain(text: &'a str) -> Self {
        Self { bytes: Cow::Borrowed(text.as_bytes()), origins: None, bare: false }
    }

    /// What is seen.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in the text a range of the view came from.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        match &self.origins {
            Some(origins) if !range.is_empty() => origins[range.start].start..origins[range.end - 1].end,
            _ => range,
        }
    }

    /// `%41` read as `A`, in upper and lower case.
    fn percent_decoded(&self) -> View<'static> {
        self.rewritten(self.bare, |rest, out| match *rest {
            [b'%', high, low, ..] => {
                out.push(byte(hex(&[high, low])?)?);
                Some(3)
            }
            _ => None,
        })
    }

    /// Backslash escapes of JSON, C, Python and Rust read as what they stand for.
    fn unescaped(&self) -> View<'static> {
        self.rewritten(false, |rest, out| {
            let [b'\\', sort, after @ ..] = rest else { return None };
            let (used, simple) = match sort {
                b'n' => (0, b'\n'),
                b't' => (0, b'\t'),
                b'r' => (0, b'\r'),
                b'b' => (0, 8),
                b'f' => (0, 12),
                b'x' => (2, byte(hex(after.get(..2)?)?)?),
                b'u' => {
                    let (used, character) = unicode(after)?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    return Some(2 + used);
                }
                other => (0, *other),
            };
            out.push(simple);
            Some(2 + used)
        })
    }

    /// Without quotes and backslashes: however a shell word was put together, its letters stand next to each other.
    fn without_quotes(&self) -> View<'static> {
        self.rewritten(true, |rest, _| b"'\"\\".contains(&rest[0]).then_some(1))
    }

    /// Another view: at each byte, `decode` gets the rest, adds what the next bytes stand for and says how many they are; where
    /// it says nothing, the byte stays.
    fn rewritten(&self, bare: bool, decode: impl Fn(&[u8], &mut Vec<u8>) -> Option<usize>) -> View<'static> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut origins = Vec::with_capacity(self.bytes.len());
        let mut at = 0;
        while at < self.bytes.len() {
            let used = decode(&self.bytes[at..], &mut bytes).unwrap_or_else(|| {
                bytes.push(self.bytes[at]);
                1
            });
            origins.resize(bytes.len(), self.origin(at..at + used));
            at += used;
        }
        View { bytes: Cow::Owned(bytes), origins: Some(origins), bare }
    }
}

fn byte(code: u32) -> Option<u8> {
    u8::try_from(code).ok()
}

fn hex(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// The character after `\u`: `00e9`, a pair of surrogates as in JSON, or `{e9}` as in Rust; and how many bytes that took.
fn unicode(after: &[u8]) -> Option<(usize, char)> {
    if let Some(inner) = after.strip_prefix(b"{") {
        let length = inner.iter().take(7).position(|byte| *byte == b'}')?;
        return Some((length + 2, char::from_u32(hex(&inner[..length])?)?));
    }
    let unit = hex(after.get(..4)?)?;
    if let Some(character) = char::from_u32(unit) {
        return Some((4, character));
    }
    let low = hex(after.get(4..10)?.strip_prefix(b"\\u")?)?;
    let code = 0x1_0000 + (unit.checked_sub(0xd800)? << 10) + low.checked_sub(0xdc00)?;
    Some((10, char::from_u32(code)?))
}

/// Does `byte` belong to base64, standard or URL-safe?
pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// The text that a word of base64 without its padding decodes to; none where it does not, as with most words that are none.
pub(super) fn decoded(word: &[u8]) -> Option<String> {
    if word.len() < 2 {
        return None;
    }
    let standard = word.iter().map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    });
    let text = String::from_utf8(STANDARD_NO_PAD.decode(standard.collect::<Vec<u8>>()).ok()?).ok()?;
    let readable = |character: char| !character.is_control() || character.is_whitespace();
    text.chars().all(readable).then_some(text)
}
