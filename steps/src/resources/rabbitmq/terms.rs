//! Configuration of RabbitMQ's in the terms of Erlang (`rabbitmq.config`, `advanced.config`): what stands there wins over every `.conf`.

/// What is set: `[{application, [{key, value}, …]}, …].`
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Application.
    pub application: String,
    /// Key.
    pub key: String,
    /// Number of the line that it begins in, from 1.
    pub line: usize,
}

/// How deep in lists and tuples the name of an application stands, and a key of it.
const APPLICATION: usize = 2;
const KEY: usize = 4;

/// The settings of a text. What is not of their form is for the server to complain of.
pub fn settings(text: &str) -> Vec<Setting> {
    let mut found = Vec::new();
    let (mut depth, mut application) = (0_usize, String::new());
    // A name is meant where it comes first in its tuple.
    let mut is_first = false;
    for (at, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let (word, after) = match c {
                '%' => break,
                '\'' | '"' => quoted(rest, c),
                c if c.is_ascii_lowercase() => {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@';
                    rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()))
                }
                c => rest.split_at(c.len_utf8()),
            };
            rest = after;
            match c {
                '{' | '[' => (depth, is_first) = (depth + 1, c == '{'),
                '}' | ']' => (depth, is_first) = (depth.saturating_sub(1), false),
                c if c.is_whitespace() => {}
                _ => {
                    let name = word.trim_matches('\'').to_owned();
                    let is_name = is_first && (c == '\'' || c.is_ascii_lowercase());
                    match depth {
                        APPLICATION if is_name => application = name,
                        KEY if is_name => {
                            found.push(Setting { application: application.clone(), key: name, line: at + 1 });
                        }
                        _ => {}
                    }
                    is_first = false;
                }
            }
        }
    }
    found
}

/// A text in quotes with which a line begins, and what comes after it.
fn quoted(line: &str, quote: char) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    line.split_at(end.map_or(line.len(), |(at, _)| at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_their_applications() {
        let text = "%% -*- erlang -*-\n[\n {rabbit, [ % {ssl_listeners, [1]},\n   {tcp_listeners, [{\"::1}]\", 5672}]},\n   \
                    {default_user, <<\"a\\\"%b\">>}, {'loopback_users', []}\n  ]},\n{kernel,[{inet_dist_listen_min,1}]}].\n";
        let found: Vec<String> =
            settings(text).into_iter().map(|one| format!("{}:{} {}", one.application, one.key, one.line)).collect();
        let wanted = [
            "rabbit:tcp_listeners 4",
            "rabbit:default_user 5",
            "rabbit:loopback_users 5",
            "kernel:inet_dist_listen_min 7",
        ];
        assert_eq!(found, wanted);
        for text in ["", "[].", "}}]] ä", "[{rabbit", "[{rabbit,[{\"tcp", "{rabbit,[tcp_listeners]}"] {
            assert_eq!(settings(text), [], "{text}");
        }
    }
}
