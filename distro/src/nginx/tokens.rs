//! What nginx takes for a word (`ngx_conf_read_token`).

/// Words, `{`, `}` and `;`, without comments and quotes, each with where it begins.
pub(super) fn tokens(text: &str) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    let mut word = Word::default();
    let mut comment = false;
    for (at, c) in text.char_indices() {
        if comment {
            comment = c != '\n';
            continue;
        }
        if !word.begun {
            word.at = at;
        }
        match (word.escaped, word.quote) {
            (true, _) => word.escape(c),
            (_, _) if c == '\\' => (word.begun, word.escaped) = (true, true),
            (_, Some(open)) if c == open => word.end(&mut tokens),
            (_, Some(_)) => word.text.push(c),
            // Elsewhere these are letters as any other.
            (_, None) if !word.begun && c == '#' => comment = true,
            (_, None) if !word.begun && ['"', '\''].contains(&c) => (word.begun, word.quote) = (true, Some(c)),
            (_, None) if word.takes_brace(c) => word.text.push(c),
            (_, None) if "{};".contains(c) => {
                word.end(&mut tokens);
                tokens.push((c.to_string(), at));
            }
            (_, None) if c.is_whitespace() => word.end(&mut tokens),
            (_, None) => {
                word.begun = true;
                word.text.push(c);
            }
        }
    }
    tokens
}

/// The word in hand.
#[derive(Default)]
struct Word {
    text: String,
    /// Where it begins.
    at: usize,
    /// Has it begun? What is quoted may be empty.
    begun: bool,
    quote: Option<char>,
    /// Was the last character a backslash, which takes the next one along?
    escaped: bool,
    /// Is it within the braces of `${name}`?
    in_variable: bool,
}

impl Word {
    fn end(&mut self, tokens: &mut Vec<(String, usize)>) {
        let word = std::mem::take(self);
        if word.begun {
            tokens.push((word.text, word.at));
        }
    }

    /// `c` after a backslash, which stays before what is none of nginx's own marks: it may be one of an expression.
    fn escape(&mut self, c: char) {
        self.escaped = false;
        if !['"', '\'', '\\'].contains(&c) {
            self.text.push('\\');
        }
        self.text.push(c);
    }

    /// Is `c` a brace of `${name}`?
    fn takes_brace(&mut self, c: char) -> bool {
        let opens = c == '{' && self.text.ends_with('$');
        let closes = c == '}' && self.in_variable;
        self.in_variable = opens || (self.in_variable && !closes);
        opens || closes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_nginx_reads_them() {
        for (text, wanted) in [
            ("a 'b c' \"d;{\"; # e 'f", &["a", "b c", "d;{", ";"][..]),
            ("a 'it\\'s' \"say \\\"x\"; b;", &["a", "it's", "say \"x", ";", "b", ";"]),
            ("a it's b#c; d;", &["a", "it's", "b#c", ";", "d", ";"]),
            ("a ~^b\\.c$ \\;d \"\"; e{f;}", &["a", "~^b\\.c$", "\\;d", "", ";", "e", "{", "f", ";", "}"]),
            ("a http://${b}/c; d", &["a", "http://${b}/c", ";"]),
            ("a { b = {1,2} }", &["a", "{", "b", "=", "{", "1,2", "}", "}"]),
            ("a 'open; b;", &["a"]),
        ] {
            let found: Vec<String> = tokens(text).into_iter().map(|(word, _)| word).collect();
            assert_eq!(found, wanted, "{text}");
        }
        assert_eq!(tokens("a \"b\" c{").into_iter().map(|(_, at)| at).collect::<Vec<_>>(), [0, 2, 6, 7]);
    }
}
