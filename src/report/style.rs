//! What a stream can show: width, colour, characters; and text made to fit it.

use std::borrow::Cow;

use console::Term;

/// How to write for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns.
    pub width: usize,
    /// Are colours wanted?
    pub colour: bool,
    /// Does the locale have more than ASCII?
    pub unicode: bool,
}

/// Colours, by what they say.
#[derive(Clone, Copy, Debug)]
pub enum Ink {
    /// It went well, or is new.
    Good,
    /// It is changed, or somebody should look.
    Care,
    /// It failed, or goes away.
    Bad,
    /// What the eye should find first.
    Strong,
    /// What the eye may skip.
    Faint,
}

/// A variable of the environment.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Columns where a stream has no width of its own.
const WIDTH: usize = 80;

impl Style {
    /// For stderr.
    pub fn stderr() -> Self {
        Self::of_term(&Term::stderr())
    }

    /// For stdout.
    pub fn stdout() -> Self {
        Self::of_term(&Term::stdout())
    }

    fn of_term(term: &Term) -> Self {
        let width = if term.is_term() { term.size_checked().map(|(_, columns)| usize::from(columns)) } else { None };
        Self::detect(width, &|name| std::env::var(name).ok())
    }

    /// `width` is that of the terminal, none where there is none. `NO_COLOR` (not empty), `CLICOLOR=0` and `TERM=dumb` switch
    /// colours off; `LC_ALL`, `LC_CTYPE` and `LANG`, in this order, decide on the characters.
    fn detect(width: Option<usize>, env: Env<'_>) -> Self {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        Self {
            // A width of 0 is that of a serial console that does not know it.
            width: width.filter(|width| *width > 0).unwrap_or(WIDTH),
            colour: width.is_some()
                && set("NO_COLOR").is_none()
                && set("CLICOLOR").as_deref() != Some("0")
                && !is_dumb(env),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// `text` in a colour.
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        let style = console::Style::new().force_styling(self.colour);
        let style = match ink {
            Ink::Good => style.green(),
            Ink::Care => style.yellow(),
            Ink::Bad => style.red().bold(),
            Ink::Strong => style.bold(),
            Ink::Faint => style.dim(),
        };
        style.apply_to(text).to_string()
    }

    /// The one that the locale can show.
    pub fn either<'a>(&self, unicode: &'a str, ascii: &'a str) -> &'a str {
        if self.unicode { unicode } else { ascii }
    }

    /// The mark of something left out.
    pub fn ellipsis(&self) -> &'static str {
        self.either("…", "...")
    }

    /// `text` cut to `width` columns, the cut marked.
    pub fn cut<'a>(&self, text: &'a str, width: usize) -> Cow<'a, str> {
        console::truncate_str(text, width, self.ellipsis())
    }

    /// `text` in lines of at most `width` columns, broken at blanks where there are any.
    pub fn wrap(&self, text: &str, width: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        for word in text.split_whitespace() {
            let used = columns(&line);
            let mut rest = word;
            if used > 0 && used + 1 + columns(word) <= width {
                line.push(' ');
            } else if used > 0 {
                lines.push(std::mem::take(&mut line));
            }
            while columns(rest) > width {
                let end = fitting(rest, width);
                lines.push(rest[..end].to_owned());
                rest = &rest[end..];
            }
            line.push_str(rest);
        }
        lines.push(line);
        lines
    }
}

/// Is this a terminal that cannot move its cursor?
pub fn is_dumb(env: Env<'_>) -> bool {
    env("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// How many bytes of `text` fit into `width` columns; at least one character, so that there is an end.
fn fitting(text: &str, width: usize) -> usize {
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    let mut best = text.chars().next().map_or(0, char::len_utf8);
    for end in ends.take_while(|end| columns(&text[..*end]) <= width) {
        best = best.max(end);
    }
    best
}

/// How many columns `text` takes.
pub fn columns(text: &str) -> usize {
    console::measure_text_width(text)
}

/// `text` padded with blanks to `width` columns.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// `text` without anything that moves a cursor or rings a bell: what a command prints reaches a terminal only like this.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let text = console::strip_ansi_codes(text);
    let text: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    Cow::Owned(text.trim_end().to_owned())
}

/// A duration for people: `0.3 s`, `41.2 s`, `2 min 05 s`.
pub fn seconds(milliseconds: u64) -> String {
    if milliseconds < 59_950 {
        let tenths = (milliseconds + 50) / 100;
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let whole = (milliseconds + 500) / 1000;
    format!("{} min {:02} s", whole / 60, whole % 60)
}

/// `argv` as somebody would type it into a shell.
pub fn shell(argv: &[String]) -> String {
    let plain = |character: char| character.is_alphanumeric() || "%+,-./:=@_[]".contains(character);
    let words = argv.iter().map(|word| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { width: 80, colour: false, unicode: true };

    #[test]
    fn the_environment_decides() {
        let style = |width, colour, unicode| Style { width, colour, unicode };
        type Row<'a> = (Option<usize>, &'a [(&'a str, &'a str)], Style);
        let table: &[Row<'_>] = &[
            (None, &[("TERM", "xterm"), ("LANG", "en_US.UTF-8")], style(80, false, true)),
            (Some(100), &[("TERM", "xterm"), ("LANG", "en_US.UTF-8")], style(100, true, true)),
            (Some(0), &[("TERM", "xterm"), ("LC_ALL", "C"), ("LANG", "en_US.UTF-8")], style(80, true, false)),
            (Some(60), &[("TERM", "xterm"), ("LC_ALL", ""), ("LC_CTYPE", "C.utf8")], style(60, true, true)),
            (Some(80), &[("TERM", "xterm"), ("NO_COLOR", "1")], style(80, false, false)),
            (Some(80), &[("TERM", "xterm"), ("NO_COLOR", "")], style(80, true, false)),
            (Some(80), &[("TERM", "xterm"), ("CLICOLOR", "0")], style(80, false, false)),
            (Some(80), &[("TERM", "dumb")], style(80, false, false)),
            (Some(80), &[], style(80, false, false)),
        ];
        for (width, vars, expected) in table {
            let env = |name: &str| vars.iter().find(|var| var.0 == name).map(|var| var.1.to_owned());
            assert_eq!(Style::detect(*width, &env), *expected, "{width:?} {vars:?}");
        }
    }

    #[test]
    fn text_is_broken_at_blanks_and_words_where_they_are_too_long() {
        let table = [
            ("", 10, vec![""]),
            ("one two", 10, vec!["one two"]),
            ("one two three", 7, vec!["one two", "three"]),
            ("a /very/long/path b", 6, vec!["a", "/very/", "long/p", "ath b"]),
            ("日本語", 4, vec!["日本", "語"]),
        ];
        for (text, width, expected) in table {
            assert_eq!(PLAIN.wrap(text, width), expected, "{text:?} at {width}");
        }
    }

    #[test]
    fn what_a_command_prints_moves_no_cursor() {
        assert_eq!(clean("plain é"), "plain é");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\ta\u{7}\r"), "red a");
        assert_eq!(clean("a\u{9b}2Jb"), "ab");
    }

    #[test]
    fn durations() {
        let table = [(0, "0.0 s"), (49, "0.0 s"), (4151, "4.2 s"), (59_949, "59.9 s"), (59_950, "1 min 00 s")];
        for (milliseconds, expected) in table.into_iter().chain([(125_400, "2 min 05 s")]) {
            assert_eq!(seconds(milliseconds), expected);
        }
    }

    #[test]
    fn a_command_can_be_typed_again() {
        let argv = ["sh", "-c", "echo it's", "", "a=b"].map(str::to_owned);
        assert_eq!(shell(&argv), r"sh -c 'echo it'\''s' '' a=b");
    }
}
