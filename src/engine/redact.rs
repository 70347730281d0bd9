//! Takes secrets out of what is told. What contains a secret is a secret, also percent-encoded, quoted or in base64.
//!
//! A text is searched as it stands and in the *views* that somebody who decodes it would have ([`view`]): whatever mix of
//! escapes was used, the secret is the same in one of them. Base64 is searched for what the secret looks like at each of the
//! three alignments, and words of it that decode to text are searched as that text.
//!
//! A secret of four or more characters is taken out wherever it is. A shorter one would tear holes into every line, so it is
//! taken out only where it is no part of a longer word, and one made of nothing but punctuation only where it stands alone:
//! as a whole value, between blanks, after `=` or `:`, before `@`, or as a quoted literal.

mod view;

use std::ops::Range;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use self::view::View;
use super::event::{ChangeTold, Place, What};
use super::failure::Failure;

/// What stands where a secret was.
pub const SECRET: &str = "[secret]";

/// From this many characters on, a secret is taken out wherever it is.
const LONG: usize = 4;
/// Lines of a secret of several lines (a private key) are secrets themselves from this many characters on.
const LINE: usize = 8;
/// How [`distro::command`] marks a line that it cut.
const CUT: &str = " […cut]";

/// Knows the secrets of this run.
#[derive(Default)]
pub struct Redactor {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    secrets: Vec<String>,
    /// Made at the first search after something was learned.
    search: OnceLock<Option<Search>>,
}

/// All forms of all secrets, to be looked for in one pass.
struct Search {
    automaton: AhoCorasick,
    rules: Vec<Rule>,
}

/// Where a form counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Anywhere,
    /// Not inside a longer word.
    Word,
    /// As a whole value only.
    Alone,
    /// In the view without quotes and backslashes only, and only with some of them inside.
    Bare,
    /// The part of a base64 text that depends on the secret alone; characters next to it may hold a few more of its bits.
    Base64 {
        before: bool,
        after: bool,
    },
}

impl Redactor {
    /// Learns a secret; from now on it is taken out. Blank ones are none.
    pub fn learn(&self, secret: &str) {
        let trimmed = secret.trim_end_matches(['\n', '\r']);
        let lines = trimmed.lines().map(str::trim).filter(|line| {
            // The armour of a PEM file is no secret, and the same in every certificate.
            trimmed.contains('\n') && line.chars().count() >= LINE && !line.starts_with("-----")
        });
        let new: Vec<&str> = std::iter::once(trimmed).chain(lines).filter(|text| !text.trim().is_empty()).collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for text in new {
            if !known.secrets.iter().any(|secret| secret == text) {
                known.secrets.push(text.to_owned());
                known.search = OnceLock::new();
            }
        }
    }

    /// `text` without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.scrub(&mut text);
        text
    }

    /// Does `text` contain a secret?
    pub fn holds(&self, text: &str) -> bool {
        !self.known().find(text).is_empty()
    }

    /// `place` without secrets: a resource's key may hold a value. Ids of steps are the blueprint's and stay.
    pub fn place(&self, mut place: Place) -> Place {
        if let Some(resource) = &mut place.resource {
            self.scrub(resource);
        }
        place
    }

    /// `failure` without secrets.
    pub fn failure(&self, mut failure: Failure) -> Failure {
        let Failure { class: _, exit_code: _, message, place, position: _, command, .. } = &mut failure;
        self.scrub(message);
        *place = self.place(std::mem::take(place));
        if let Some(ran) = command {
            self.all(&mut ran.argv);
        }
        self.all(&mut failure.while_doing);
        self.all(&mut failure.evidence);
        self.scrub(&mut failure.advice);
        for text in [&mut failure.go_on, &mut failure.log].into_iter().flatten() {
            self.scrub(text);
        }
        failure
    }

    /// `what` without secrets.
    pub fn event(&self, mut what: What) -> What {
        // Every field is named, so that one that is added has to be decided on.
        match &mut what {
            What::RunStarted { action: _, version: _, title, log, steps: _, resources: _ } => {
                self.scrub(title);
                self.scrub(log);
            }
            What::StageStarted | What::ResourceInPlace => {}
            What::StepStarted { n: _, of: _ } | What::StepEnded { changed: _, took_ms: _ } => {}
            What::ResourceChanging { n: _, of: _, changes } => self.changes(changes),
            What::ResourceChanged { took_ms: _ } | What::CommandEnded { exit: _, took_ms: _ } => {}
            What::ResourceUndone { summary: text }
            | What::ResourceKept { why: text }
            | What::CommandLine { stream: _, text }
            | What::Progress { percent: _, text }
            | What::Warning { text } => self.scrub(text),
            What::CommandStarted { argv } => self.all(argv),
            What::Failed { failure } => **failure = self.failure((**failure).clone()),
            What::RunEnded {
                result: _,
                in_place: _,
                changed: _,
                failed: _,
                restarted: _,
                taken_back: _,
                kept: _,
                forgotten: _,
                took_ms: _,
                next,
            } => self.all(next),
        }
        what
    }

    /// Takes secrets out of `changes`.
    pub fn changes(&self, changes: &mut [ChangeTold]) {
        for ChangeTold { item, summary, diff } in changes {
            self.scrub(item);
            self.scrub(summary);
            if let Some(diff) = diff {
                self.scrub(diff);
            }
        }
    }

    fn all(&self, texts: &mut [String]) {
        for text in texts {
            self.scrub(text);
        }
    }

    fn scrub(&self, text: &mut String) {
        let known = self.known();
        let mut found = known.find(text);
        found.extend(known.half_cut(text));
        for range in merged(found, text).into_iter().rev() {
            text.replace_range(range, SECRET);
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Where in `text` secrets are; unordered, may overlap.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let Some(search) = self.search.get_or_init(|| Search::of(&self.secrets)) else { return Vec::new() };
        let mut found = Vec::new();
        for view in view::of(text) {
            search.in_view(&view, &mut found);
            if !view.bare {
                search.in_base64(&view, &mut found);
            }
        }
        found
    }

    /// The beginning of a secret at the end of a line that was cut there.
    fn half_cut(&self, text: &str) -> Option<Range<usize>> {
        let kept = text.strip_suffix(CUT)?;
        let longest = self.secrets.iter().filter_map(|secret| {
            let ends = secret.char_indices().map(|(at, _)| at).skip(LONG);
            ends.filter(|end| kept.ends_with(&secret[..*end])).max()
        });
        longest.max().map(|length| kept.len() - length..kept.len())
    }
}

impl Search {
    /// None where there is nothing to look for.
    fn of(secrets: &[String]) -> Option<Self> {
        let mut forms: Vec<(Vec<u8>, Rule)> = Vec::new();
        for secret in secrets {
            for form in forms_of(secret) {
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        if forms.is_empty() {
            return None;
        }
        let automaton = AhoCorasick::new(forms.iter().map(|form| &form.0)).ok()?;
        Some(Self { automaton, rules: forms.into_iter().map(|form| form.1).collect() })
    }

    fn in_view(&self, view: &View<'_>, found: &mut Vec<Range<usize>>) {
        for hit in self.automaton.find_overlapping_iter(view.bytes()) {
            let rule = self.rules[hit.pattern().as_usize()];
            if let Some(range) = rule.counts(view, hit.range()) {
                found.push(view.origin(range));
            }
        }
    }

    /// Words of base64 that decode to text with a secret in it, as in `Authorization: Basic …`. Catches the secrets that are
    /// too short to be recognised in base64.
    fn in_base64(&self, view: &View<'_>, found: &mut Vec<Range<usize>>) {
        let bytes = view.bytes();
        let mut at = 0;
        while at < bytes.len() {
            let end = at + bytes[at..].iter().take_while(|byte| view::is_base64(**byte)).count();
            if let Some(text) = view::decoded(&bytes[at..end]) {
                let inner = View::plain(&text);
                let mut inside = Vec::new();
                self.in_view(&inner, &mut inside);
                if !inside.is_empty() {
                    found.push(view.origin(at..end + padding(&bytes[end..])));
                }
            }
            at = end + 1;
        }
    }
}

impl Rule {
    /// Does a hit count, and how far does it reach?
    fn counts(self, view: &View<'_>, hit: Range<usize>) -> Option<Range<usize>> {
        let bytes = view.bytes();
        let (before, after) = (hit.start.checked_sub(1).map(|at| bytes[at]), bytes.get(hit.end).copied());
        match self {
            Rule::Anywhere => Some(hit),
            // Longer where it came from: something was dropped inside, as in the secret itself.
            Rule::Bare => (view.bare && view.origin(hit.clone()).len() > hit.len()).then_some(hit),
            Rule::Word => {
                let inside = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
                (!inside(before) && !inside(after)).then_some(hit)
            }
            Rule::Alone => {
                let opens = before.is_none_or(|byte| byte.is_ascii_whitespace() || b"=:,([{".contains(&byte));
                let closes = after.is_none_or(|byte| byte.is_ascii_whitespace() || b"@,;)]}".contains(&byte));
                (opens && closes).then_some(hit)
            }
            Rule::Base64 { before: mixed_before, after: mixed_after } => {
                let is = |byte: Option<u8>| usize::from(byte.is_some_and(view::is_base64));
                let start = hit.start - usize::from(mixed_before) * is(before);
                let end = hit.end + usize::from(mixed_after) * is(after);
                Some(start..end + padding(&bytes[end..]))
            }
        }
    }
}

/// Every form of `secret` that the views do not lead back to the secret itself, and where each counts.
fn forms_of(secret: &str) -> Vec<(Vec<u8>, Rule)> {
    let rule = match secret.chars().count() {
        LONG.. => Rule::Anywhere,
        _ if secret.chars().any(char::is_alphanumeric) => Rule::Word,
        _ => Rule::Alone,
    };
    let mut texts = vec![secret.to_owned()];
    if secret.contains(' ') {
        // As in a form: a view turns %2B into + but cannot know what a + stands for.
        texts.push(secret.replace(' ', "+"));
    }
    let quoted = secret.contains(view::QUOTES);
    if quoted || rule == Rule::Alone {
        let literal = serde_json::to_string(secret).unwrap_or_default();
        let mut inner = vec![secret.to_owned(), literal[1..literal.len() - 1].to_owned()];
        inner.extend([r#"'"'"'"#, r"'\''"].map(|quote| secret.replace('\'', quote)));
        if rule == Rule::Alone {
            // With the quotes around it, it is a whole value wherever it stands.
            texts.extend(inner.iter().flat_map(|text| [format!("'{text}'"), format!("\"{text}\"")]));
        }
        texts.extend(inner);
    }
    let mut forms: Vec<_> = texts.into_iter().map(|text| (text.into_bytes(), rule)).collect();
    let inside = secret.trim_matches(view::QUOTES);
    let bare = inside.replace(view::QUOTES, "");
    if bare.len() < inside.len() && bare.chars().count() >= LONG {
        forms.push((bare.into_bytes(), Rule::Bare));
    }
    forms.extend(base64_of(secret.as_bytes()));
    forms
}

/// What of a base64 text depends on `secret` alone, when 0, 1 or 2 bytes stand before it in its group of three.
fn base64_of(secret: &[u8]) -> Vec<(Vec<u8>, Rule)> {
    let mut forms = Vec::new();
    for shift in 0..3 {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(secret);
        // 6 bits a character: the first that holds no bit of what stands before, the last that holds none of what follows.
        let (first, end) = ((shift * 8).div_ceil(6), bytes.len() * 8 / 6);
        if end < first + LONG {
            continue;
        }
        let rule = Rule::Base64 { before: shift > 0, after: bytes.len() % 3 != 0 };
        for text in [STANDARD.encode(&bytes), URL_SAFE.encode(&bytes)] {
            let form = (text.as_bytes()[first..end].to_vec(), rule);
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

/// How many bytes of base64 padding `bytes` begins with.
fn padding(bytes: &[u8]) -> usize {
    bytes.iter().take(2).take_while(|byte| **byte == b'=').count()
}

/// `ranges` in order, overlapping ones made one, at borders of characters of `text`.
fn merged(mut ranges: Vec<Range<usize>>, text: &str) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut whole: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
        match whole.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => whole.push(range),
        }
    }
    whole
}

#[cfg(test)]
mod tests;
