//! Inputs: which value wins, and what is wrong with one.

use std::cell::RefCell;
use std::path::PathBuf;

use distro::Class;

use super::super::check::Value;
use super::super::resolve::{Ask, Question};
use super::super::stored::Stored;
use super::*;

const STEP: &str = "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n";

fn of(inputs: &str) -> Blueprint {
    blueprint(&format!("{inputs}{STEP}"))
}

/// Answers every question with the same text.
struct Says(&'static str, RefCell<Vec<String>>);

impl Ask for Says {
    fn ask(&self, question: &Question<'_>) -> Result<Option<String>> {
        self.1.borrow_mut().push(question.spec.name.clone());
        assert_eq!((question.check)(self.0), Ok(()));
        Ok(Some(self.0.to_owned()))
    }
}

#[test]
fn the_highest_source_wins() {
    let blueprint = of("[inputs.name]\ntype = \"text\"\nask = \"Name?\"\ndefault = \"default\"\n");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let stored = || Stored::parse(Some(br#"{"schema":1,"values":{"name":"stored","gone":"x"}}"#), None).unwrap();
    let mut given = Given {
        set: vec![("name".into(), "first".into()), ("name".into(), "set".into())],
        set_file: vec![("name".into(), write("value", "file\n\n"))],
        env: [("SUREFOOT_INPUT_NAME".to_owned(), "env".to_owned())].into(),
        answers: Some(write("answers.toml", "# mine\nname = \"answers\"\n")),
        stored: stored(),
    };
    let says = Says("asked", RefCell::default());
    let mut look = |change: fn(&mut Given), ask: Option<&dyn Ask>| {
        change(&mut given);
        let inputs = resolve(&blueprint, given.clone(), &debian(), ask).unwrap();
        let (_, value, source) = inputs.told().remove(0);
        (value, source.replace(&folder.path().display().to_string(), "T"))
    };
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(look(|_| {}, Some(&says)), pair("set", "--set"));
    assert_eq!(look(|given| given.set.clear(), Some(&says)), pair("file\n", "--set-file T/value"));
    assert_eq!(
        look(|given| given.set_file.clear(), Some(&says)),
        pair("env", "environment variable SUREFOOT_INPUT_NAME")
    );
    assert_eq!(look(|given| given.env.clear(), Some(&says)), pair("answers", "T/answers.toml:2"));
    assert_eq!(look(|given| given.answers = None, Some(&says)), pair("stored", "an earlier run"));
    assert!(says.1.borrow().is_empty());
    assert_eq!(look(|given| given.stored = Stored::default(), Some(&says)), pair("asked", "the prompt"));
    assert_eq!(look(|_| {}, None), pair("default", "default"));
}

#[test]
fn what_another_installer_left_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let blueprint = of(&format!(
        "[inputs.s]\ntype = \"secret\"\nask = \"Secret?\"\ngenerate = 24\nmin = 3\n\
         found = [{{ file = '{}', pattern = '://app:([^@]*)@' }}, {{ file = '{}', pattern = 'app\\s+password: (.*)' }}]\n",
        at("a.conf"),
        at("credentials"),
    ));
    let look = || {
        let inputs = inputs(&blueprint, &[], &[]).unwrap();
        let input = &inputs.list()[0];
        let value = if input.pending.is_none() { input.value.text() } else { String::new() };
        (value, inputs.told()[0].2.replace(&folder.path().display().to_string(), "T"))
    };
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(look(), pair("", "generated"));
    std::fs::write(at("credentials"), "app\n  password: hunter2\n").unwrap();
    assert_eq!(look(), pair("hunter2", "found in T/credentials"));
    std::fs::write(at("a.conf"), "# mine\nurl = x://app:hunter3@h\n").unwrap();
    assert_eq!(look(), pair("hunter3", "found in T/a.conf"));
    // What the input does not take is not it.
    std::fs::write(at("a.conf"), "url = x://app:p@h\n").unwrap();
    assert_eq!(look(), pair("hunter2", "found in T/credentials"));
    let says = Says("asked", RefCell::default());
    resolve(&blueprint, Given::default(), &debian(), Some(&says)).unwrap();
    assert!(says.1.borrow().is_empty());
}

#[test]
fn values_keep_every_character() {
    let blueprint = of("[inputs.s]\ntype = \"secret\"\n[inputs.t]\ntype = \"text\"\n");
    for text in ["%", "a'b\"c", "$HOME `x` \\", "# no comment", " spaces ", "p%20q", "ü🦶", "x=y=z"] {
        let inputs = inputs(&blueprint, &[("t", text)], &[("SUREFOOT_INPUT_S", text)]).unwrap();
        assert_eq!(inputs.list().iter().map(|input| input.value.text()).collect::<Vec<_>>(), [text, text]);
    }
    let given = Given::new(&["t=x=y".to_owned()], &[], None, Stored::default()).unwrap();
    assert_eq!(given.set, [("t".to_owned(), "x=y".to_owned())]);
    let error = Given::new(&["hunter2".to_owned()], &[], None, Stored::default()).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn a_secret_on_the_command_line_is_refused() {
    let blueprint = of("[inputs.s]\ntype = \"secret\"\nask = \"Secret?\"\n");
    let error = inputs(&blueprint, &[("s", "hunter2")], &[]).unwrap_err();
    let fault = Fault::find(&error).unwrap();
    assert_eq!(fault.class, Class::Usage);
    assert!(fault.message.starts_with("--set s: the input is a secret"), "{}", fault.message);
    assert!(
        fault.advice.contains("--set-file s=PATH") && fault.advice.contains("SUREFOOT_INPUT_S"),
        "{}",
        fault.advice
    );
    assert!(!format!("{fault:?}").contains("hunter2"));
}

#[test]
fn wrong_values_are_told_and_secrets_are_not_quoted() {
    let cases: &[(&str, &str, &str)] = &[
        ("type = \"bool\"", "1", "input 'x': '1' is not true or false (from --set)"),
        ("type = \"size\"", "big", "input 'x': 'big' is not a size such as"),
        ("type = \"size\"\nmax = \"1 GiB\"", "2 GiB", "input 'x': 2 GiB is more than 1 GiB"),
        ("type = \"hostname\"", "http://x", "input 'x': 'http://x' is not a host name"),
        ("type = \"hostname\"", "-a", "input 'x': '-a' is not a host name"),
        ("type = \"hostname\"", "a..b", "input 'x': 'a..b' is not a host name"),
        ("type = \"port\"", "65536", "input 'x': '65536' is not a port: a whole number from 1 to 65535"),
        ("type = \"port\"", "0", "input 'x': '0' is not a port"),
        ("type = \"port\"", "080", "input 'x': '080' is not a port"),
        ("type = \"path\"", "etc", "input 'x': 'etc' is not an absolute path"),
        ("type = \"path\"", "/a/../b", "input 'x': '/a/../b' is not an absolute path without '..'"),
        (
            "type = \"choice\"\nchoices = [\"one\", \"two\"]",
            "ones",
            "input 'x': 'ones' is not one of one, two; did you mean 'one'?",
        ),
        ("type = \"text\"\nmin = 3", "ab", "input 'x': 'ab' has 2 characters; expected at least 3"),
        ("type = \"text\"\nmax = 3", "abcd", "input 'x': 'abcd' has 4 characters; expected at most 3"),
        ("type = \"text\"\npattern = \"[a-z]+\"", "a1", "input 'x': 'a1' is not of the pattern [a-z]+"),
        ("type = \"text\"\npattern = \"a|b\"", "ax", "input 'x': 'ax' is not of the pattern a|b"),
    ];
    for (spec, value, expected) in cases {
        let blueprint = of(&format!("[inputs.x]\n{spec}\n"));
        let text = message(&inputs(&blueprint, &[("x", value)], &[]).unwrap_err());
        assert!(text.starts_with(expected), "{text}");
    }
    let services = Blueprint::load("services").unwrap();
    let stackstorm = Blueprint::load("stackstorm").unwrap();
    let on_all = |blueprint: &Blueprint, name: &'static str, value: &'static str| {
        let services: [(&str, &str); 1] = [("mongodb", "true")];
        let stackstorm = [("mistral", "true"), ("st2_fingerprint", "0123456789012345678901234567890123456789")];
        let whole = if blueprint.name() == "services" { &services[..] } else { &stackstorm };
        inputs(blueprint, &[whole, &[(name, value)]].concat(), &[])
    };
    for blueprint in [&services, &stackstorm] {
        let error = on_all(blueprint, "https_port", "99999").unwrap_err();
        assert!(message(&error).starts_with("input 'https_port': '99999' is not a port"), "{error}");
        for name in ["mongodb_server", "redis_server", "rabbitmq_server", "postgresql_server"] {
            for value in ["10.0.0.1", "db:", "db:0", "db:99999", "user@db:5432", "amqp://mq:5672", "[::::]:1", "::1:1"]
            {
                let error = on_all(blueprint, name, value).unwrap_err();
                assert_eq!(distro::Fault::class_of(&error), Class::Usage);
                let wanted = format!("input '{name}': '{value}' is not a server with its port");
                assert!(message(&error).starts_with(&wanted), "{error}");
            }
            for value in ["", "db.example.com:5432", "10.0.0.1:65535", "[fd00::1]:1"] {
                on_all(blueprint, name, value).unwrap();
            }
        }
        for (name, variable) in [
            ("mongodb_password", "SUREFOOT_INPUT_MONGODB_PASSWORD"),
            ("mongodb_admin_password", "SUREFOOT_INPUT_MONGODB_ADMIN_PASSWORD"),
        ] {
            let whole: &[(&str, &str)] = if blueprint.name() == "services" { &[("mongodb", "true")] } else { &[] };
            let error = inputs(blueprint, whole, &[(variable, "für")]).unwrap_err();
            let wanted = format!("input '{name}': the value is not of the pattern [ -~]+");
            assert!(message(&error).starts_with(&wanted), "{error}");
        }
    }
    let needed = of("[inputs.x]\ntype = \"server\"\n");
    let error = inputs(&needed, &[("x", "")], &[]).unwrap_err();
    assert!(message(&error).starts_with("input 'x': '' is not a server"), "{error}");
    let secret = of("[inputs.x]\ntype = \"secret\"\nmin = 20\n");
    let error = inputs(&secret, &[], &[("SUREFOOT_INPUT_X", "hunter2")]).unwrap_err();
    assert_eq!(
        message(&error),
        "input 'x': the value has 7 characters; expected at least 20 (from environment variable SUREFOOT_INPUT_X)"
    );
    assert!(inputs(&of("[inputs.x]\ntype = \"secret\"\n"), &[], &[("SUREFOOT_INPUT_X", "")]).is_err());
    for (spec, value, read) in [
        ("type = \"bool\"", "yes", Value::Bool(true)),
        ("type = \"size\"", "64 KiB", Value::Size(65536)),
        ("type = \"hostname\"", "10.1.2.3", Value::Text("10.1.2.3".into())),
        ("type = \"port\"", "65535", Value::Text("65535".into())),
        ("type = \"text\"", "", Value::Text(String::new())),
    ] {
        let inputs = inputs(&of(&format!("[inputs.x]\n{spec}\n")), &[("x", value)], &[]).unwrap();
        assert_eq!(inputs.list()[0].value, read);
    }
}

#[test]
fn a_port_is_written_with_quotes_or_without() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let given = Given { answers: Some(file.path().to_owned()), ..Given::default() };
    for default in ["8443", "\"8443\"", "\"{{ 8443 }}\""] {
        let blueprint = of(&format!("[inputs.x]\ntype = \"port\"\ndefault = {default}\n"));
        for (answer, read) in [("", "8443"), ("x = 8080", "8080"), ("x = '8080'", "8080")] {
            std::fs::write(file.path(), answer).unwrap();
            let inputs = resolve(&blueprint, given.clone(), &debian(), None).unwrap();
            assert_eq!(inputs.list()[0].value, Value::Text(read.into()), "{default} {answer}");
        }
        for wrong in ["0", "65536", "-1"] {
            std::fs::write(file.path(), format!("x = {wrong}")).unwrap();
            let error = resolve(&blueprint, given.clone(), &debian(), None).unwrap_err();
            assert!(message(&error).starts_with(&format!("input 'x': '{wrong}' is not a port")), "{error}");
        }
    }
}

#[test]
fn names_that_no_input_has_are_refused() {
    let blueprint = of("[inputs.site]\ntype = \"text\"\ndefault = \"\"\n");
    let text = message(&inputs(&blueprint, &[("sitte", "x")], &[]).unwrap_err());
    assert_eq!(text, "--set sitte: 'demo' has no such input; did you mean 'site'?");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "\nsitee = 1\n").unwrap();
    let given = Given { answers: Some(file.path().to_owned()), ..Given::default() };
    let error = resolve(&blueprint, given, &debian(), None).unwrap_err();
    assert_eq!(Fault::class_of(&error), Class::Usage);
    assert!(message(&error).ends_with(":2: 'demo' has no input 'sitee'; did you mean 'site'?"), "{}", message(&error));
    let gone = |name: &str| vec![(name.to_owned(), PathBuf::from("/nonexistent"))];
    for (given, wanted) in [
        (Given { set_file: gone("nope"), ..Given::default() }, "has no such input"),
        (Given { set_file: gone("site"), ..Given::default() }, "there is no file /nonexistent"),
        (Given { answers: Some("/nonexistent".into()), ..Given::default() }, "there is no file /nonexistent"),
    ] {
        let error = resolve(&blueprint, given, &debian(), None).unwrap_err();
        assert!(message(&error).contains(wanted) && Fault::class_of(&error) == Class::Usage, "{}", message(&error));
    }
}

#[test]
fn a_file_of_answers_is_not_quoted() {
    let blueprint = of("[inputs.password]\ntype = \"secret\"\n");
    for text in [
        "pasword = \"4.2\"",
        "password = 4.2",
        "password = 42",
        "password = [\"4.2\"]",
        "password = 2042-02-04",
        "password = \"4.2",
        "password = 4.2.4",
        "password = x42",
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("# mine\n{text}\n")).unwrap();
        let given = Given { answers: Some(file.path().to_owned()), ..Given::default() };
        let error = resolve(&blueprint, given, &debian(), None).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert_eq!(fault.class, Class::Usage);
        let name = file.path().display().to_string();
        let shown = format!("{fault:?}").replace(&name, "answers").replace(":2", "");
        assert!(shown.contains("answers") && !shown.contains("42") && !shown.contains("4.2"), "{text}: {shown}");
    }
}

#[test]
fn all_that_is_missing_is_told_at_once() {
    let blueprint = of(
        "[inputs.site]\ntype = \"hostname\"\nask = \"Site?\"\n[inputs.key]\ntype = \"secret\"\n[inputs.made]\ntype = \"secret\"\ngenerate = 8\n",
    );
    let error = inputs(&blueprint, &[], &[]).unwrap_err();
    let fault = Fault::find(&error).unwrap();
    assert_eq!((fault.class, fault.message.as_str()), (Class::Usage, "2 inputs are missing: 'site', 'key'"));
    assert!(fault.evidence[0].contains("--set site=VALUE") && fault.evidence[1].contains("--set-file key=PATH"));
}

#[test]
fn an_input_that_is_not_visible_is_not_there() {
    let blueprint =
        of("[inputs.tls]\ntype = \"bool\"\ndefault = false\n[inputs.file]\ntype = \"path\"\nwhen = \"inputs.tls\"\n\
         [inputs.deep]\ntype = \"text\"\nwhen = \"inputs.file == '/x'\"\n");
    let names = |set: &[(&str, &str)]| -> Vec<String> {
        inputs(&blueprint, set, &[]).unwrap().list().iter().map(|input| input.name.clone()).collect()
    };
    assert_eq!(names(&[]), ["tls"]);
    assert_eq!(names(&[("tls", "true"), ("file", "/y")]), ["tls", "file"]);
    assert!(inputs(&blueprint, &[("tls", "true")], &[]).is_err());
}

#[test]
fn what_is_not_visible_for_a_while_is_kept() {
    let blueprint = of(
        "[inputs.own]\ntype = \"bool\"\ndefault = true\n[inputs.server]\ntype = \"text\"\ndefault = \"\"\nwhen = \"inputs.own\"\n\
         [inputs.a]\ntype = \"secret\"\ngenerate = 24\nwhen = \"inputs.own\"\n",
    );
    let mut first = inputs(&blueprint, &[("server", "one")], &[]).unwrap();
    first.generate().unwrap();
    let secret = first.secrets()[0].to_owned();
    let mut stored = first.stored_form().unwrap();
    for own in ["false", "true"] {
        let kept = Stored::parse(Some(&stored.0), Some(&stored.1)).unwrap();
        let given = Given { set: vec![("own".to_owned(), own.to_owned())], stored: kept, ..Given::default() };
        let next = resolve(&blueprint, given, &debian(), None).unwrap();
        assert_eq!(next.list().len(), if own == "true" { 3 } else { 1 });
        stored = next.stored_form().unwrap();
    }
    assert_eq!(stored, first.stored_form().unwrap());
    assert!(String::from_utf8(stored.1).unwrap().contains(&secret));
}

#[test]
fn a_secret_is_generated_once() {
    let blueprint = of(
        "[inputs.a]\ntype = \"secret\"\ngenerate = 24\n[inputs.b]\ntype = \"secret\"\ngenerate = 24\n[inputs.c]\ntype = \"text\"\ndefault = \"x\"\n",
    );
    let mut first = inputs(&blueprint, &[], &[("SUREFOOT_INPUT_B", "given")]).unwrap();
    // Until it is generated, a marker stands for it, which is treated as the secret is.
    assert_eq!(first.told()[0].1, "(will be generated)");
    let marker = first.secrets()[0].to_owned();
    assert!(marker.len() == 24 && first.is_secret(&format!("requirepass {marker}")));
    assert!(!String::from_utf8(first.stored_form().unwrap().1).unwrap().contains(&marker));
    assert!(first.generate().unwrap());
    assert!(!first.generate().unwrap());
    let secret = first.secrets()[0].to_owned();
    assert!(secret.len() == 24 && secret != marker && first.is_secret(&secret));

    let (public, kept) = first.stored_form().unwrap();
    assert!(!String::from_utf8(public.clone()).unwrap().contains(&secret));
    let mut stored = Stored::parse(Some(&public), Some(&kept)).unwrap();
    assert_eq!(stored.secrets(), [secret.as_str(), "given"]);
    let given = |stored: &Stored| Given { stored: stored.clone(), ..Given::default() };
    let second = resolve(&blueprint, given(&stored), &debian(), None).unwrap();
    assert_eq!(second.secrets(), [secret.as_str(), "given"]);
    // It stays known that it was generated, however often it is written down.
    assert_eq!(second.stored_form().unwrap(), (public, kept));

    stored.forget_generated(&blueprint);
    let renewed = resolve(&blueprint, given(&stored), &debian(), None).unwrap();
    assert_eq!(renewed.list().iter().map(|input| input.pending.is_some()).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn kept_inputs_have_a_version() {
    for (text, expected) in [
        (r#"{"schema":2,"values":{}}"#, "has format 2"),
        ("{", "is damaged"),
        (r#"{"values":{"a":"hunter2"}"#, "is damaged"),
    ] {
        let error = Stored::parse(None, Some(text.as_bytes())).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::State);
        assert!(message(&error).contains(expected) && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn what_names_no_host_is_made_up() {
    let blueprint = of("[inputs.token]\ntype = \"secret\"\nask = \"Token?\"\n\n\
         [inputs.key]\ntype = \"text\"\nask = \"Key?\"\npattern = \"[0-9A-F]{40}\"\n\n\
         [inputs.password]\ntype = \"secret\"\nask = \"Password?\"\ngenerate = 20\n");
    let made_up = super::super::MadeUp::default();
    resolve(&blueprint, Given::default(), &debian(), Some(&made_up)).unwrap();
    assert_eq!(made_up.names(), ["token", "key"]);
    for host in ["type = \"hostname\"", "type = \"text\"\npattern = \"https?://.+\""] {
        let blueprint = of(&format!("[inputs.mirror]\n{host}\nask = \"Mirror?\"\n"));
        let error = resolve(&blueprint, Given::default(), &debian(), Some(&made_up)).unwrap_err();
        assert_eq!(message(&error), "input 'mirror' is missing");
    }
}
