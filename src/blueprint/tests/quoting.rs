//! A value is read back as it was written, or refused.

use super::super::template::{Scope, secret};
use super::*;

fn render(format: Format, template: &str, value: &str) -> Result<String, String> {
    let mut scope = Scope::new(&debian(), minijinja::Value::UNDEFINED);
    scope.set("x", secret(value));
    scope.render(template, format).map_err(|mistake| mistake.message)
}

#[test]
fn each_format_quotes_in_its_way() {
    use Format::*;
    let cases: &[(Format, &str, &str)] = &[
        (Nginx, "box.example.com", "k box.example.com;"),
        (Nginx, "", "k \"\";"),
        (Nginx, "a b", "k \"a b\";"),
        (Nginx, "a\"b\\c;{}#", "k \"a\\\"b\\\\c;{}#\";"),
        (Redis, "plain", "k plain;"),
        (Redis, "a\"b\\c\n\u{1}'", "k \"a\\\"b\\\\c\\n\\x01'\";"),
        (Redis, "ü #", "k \"ü #\";"),
        (Yaml, "yes", "k \"yes\";"),
        (Yaml, "a\"\\\n\u{85}\u{2028}\u{7f}", "k \"a\\\"\\\\\\n\\u0085\\u2028\\u007f\";"),
        (Json, "a\"b/🦶", "k \"a\\\"b/🦶\";"),
        (Env, "plain", "k plain;"),
        (Env, "a$b`c\"d\\e f'", "k \"a\\$b\\`c\\\"d\\\\e f'\";"),
        (Ini, "a % $ ' b;c#d", "k a % $ ' b;c#d;"),
        (Text, "a $ \" ' \\", "k a $ \" ' \\;"),
    ];
    for (format, value, expected) in cases {
        // JSON and YAML want something else after a value than the others.
        let end = if matches!(format, Yaml | Json | Redis) { " ;" } else { ";" };
        let text = render(*format, &format!("k {{{{ inputs.x }}}}{end}"), value).unwrap();
        assert_eq!(text.replace(" ;", ";"), *expected, "{format:?} {value:?}");
    }
}

#[test]
fn what_cannot_be_written_is_refused_without_being_told() {
    use Format::*;
    let cases: &[(Format, &str)] = &[
        (Nginx, "hunter$2"),
        (Nginx, "hunter\n2"),
        (Nginx, "hunter\u{0}2"),
        (Redis, "hunter\u{0}2"),
        (Json, "hunter\u{0}2"),
        (Env, "hunter\n2"),
        (Ini, "hunter\n2"),
        (Ini, " hunter2"),
        (Ini, "hunter2 "),
        (Ini, "hunter #2"),
        (Ini, "#hunter"),
        (Ini, "'hunter'"),
        (Ini, "hunter\\"),
        (Text, "hunter\n2"),
        (Text, "hunter\t2"),
    ];
    for (format, value) in cases {
        let why = render(*format, "k = {{ inputs.x }}", value).expect_err(value);
        assert!(why.starts_with("'inputs.x' cannot be written here: ") && !why.contains("hunter"), "{format:?}: {why}");
    }
}

#[test]
fn a_quoted_value_is_a_whole_word() {
    use Format::*;
    for (format, template, value, fits) in [
        (Nginx, "server_name {{ inputs.x }};", "a b", true),
        (Nginx, "return http://{{ inputs.x }}/;", "a", true),
        (Nginx, "return http://{{ inputs.x }}/;", "a b", false),
        (Nginx, "return {{ \"http://\" ~ inputs.x ~ \"/\" }};", "a b", true),
        (Nginx, "k \"{{ inputs.x }}\";", "a", true),
        (Nginx, "k \"{{ inputs.x }}\";", "a b", false),
        (Redis, "requirepass {{ inputs.x }}\n", "a b", true),
        (Redis, "requirepass \"{{ inputs.x }}\"\n", "a b", false),
        (Env, "A={{ inputs.x }}\n", "a b", true),
        (Env, "A=x{{ inputs.x }}\n", "a b", false),
        (Yaml, "a: {{ inputs.x }}\n", "a", true),
        (Yaml, "a: \"{{ inputs.x }}\"\n", "a", false),
        (Yaml, "a: [{{ inputs.x }}, {{ inputs.x }}]\n", "a", true),
        (Yaml, "a: {{ inputs.x }}{{ inputs.x }}\n", "a", false),
        (Json, "{\"a\":{{ inputs.x }}}", "a", true),
        (Json, "{\"a\":\"{{ inputs.x }}\"}", "a", false),
    ] {
        assert_eq!(render(format, template, value).is_ok(), fits, "{format:?} {template} {value}");
    }
}

#[test]
fn templates_are_plain_text_around_values() {
    let mut scope = Scope::new(&debian(), minijinja::Value::UNDEFINED);
    scope.set("list", minijinja::Value::from(vec!["a", "b c"]));
    scope.set("on", minijinja::Value::from(true));
    let text = "# $host {{ host.os }}\n{% for item in inputs.list %}\n  k {{ item }};\n{% endfor %}\nn {{ host.cpus }}; {{ inputs.on }};\n";
    let rendered = scope.render(text, Format::Nginx).unwrap();
    assert_eq!(rendered, "# $host debian\n  k a;\n  k \"b c\";\nn 4; true;\n");
    assert_eq!(scope.render("a: {{ inputs.list }}\n", Format::Yaml).unwrap(), "a: [\"a\", \"b c\"]\n");
    assert!(scope.render("a {{ inputs.list }}\n", Format::Nginx).is_err());
    for (template, fits) in [
        ("{{ inputs.nope | default('x') }}", true),
        ("{{ host.vm | default('none', true) }}", true),
        ("{{ host.vm }}", false),
        ("{{ inputs.nope }}", false),
        ("{{ nope }}", false),
    ] {
        assert_eq!(scope.render(template, Format::Text).is_ok(), fits, "{template}");
    }
    assert!(scope.render("a \0 b", Format::Text).is_err());
}

proptest::proptest! {
    /// JSON's own reader gives back what was written, whatever it was.
    #[test]
    fn json_round_trips(value in "[^\0]*") {
        let text = render(Format::Json, "{{ inputs.x }}", &value).unwrap();
        proptest::prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
    }

    /// What stands between the quotes of redis.conf, read as redis reads it.
    #[test]
    fn redis_round_trips(value in "[^\0]*") {
        let text = render(Format::Redis, "{{ inputs.x }}", &value).unwrap();
        proptest::prop_assert_eq!(redis_reads(&text), value);
        proptest::prop_assert!(!text.contains('\n'));
    }
}

fn redis_reads(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let mut chars = inner.chars();
    let mut read = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next().unwrap() {
                'n' => read.push('\n'),
                'r' => read.push('\r'),
                't' => read.push('\t'),
                'x' => {
                    let hex: String = chars.by_ref().take(2).collect();
                    read.push(char::from(u8::from_str_radix(&hex, 16).unwrap()));
                }
                other => read.push(other),
            },
            other => read.push(other),
        }
    }
    assert_eq!(chars.next(), None);
    read
}
