//! Every error names file, line, key, value and what was expected.

use distro::Class;

use super::*;

const STEP: &str = "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n";

/// What is wrong with `text` after [`HEAD`] (5 lines), when it is read or validated.
fn wrong(rest: &str) -> Fault {
    let read = with_files(&format!("{HEAD}{rest}"), &[]);
    let error = match read {
        Err(fault) => return fault,
        Ok(blueprint) => blueprint.validate().expect_err(rest),
    };
    Fault::find(&error).unwrap().clone()
}

#[test]
fn mistakes_are_told_with_their_line() {
    let cases: &[(&str, &str)] = &[
        // The top and the parts that every blueprint has.
        ("", "1: there is no [[step]]"),
        ("[[steps]]\n", "6: unknown key 'steps' at the top; did you mean 'step'?"),
        ("[step]\nid = \"a\"\n", "6: step is not a list; write [[step]] with two pairs of brackets"),
        (
            "[requires]\nmemory = \"lots\"\n",
            "7: memory of [requires] is 'lots'; expected a size such as \"256 MiB\" or \"1.5 GiB\"",
        ),
        ("[requires]\ndisk = { var = \"1 GiB\" }\n", "7: disk of [requires] names 'var'; expected an absolute path"),
        (
            "[requires]\nos = [\"debian\", \"ubunto-22.04\"]\n",
            "7: 'ubunto-22.04' is not a family (debian), a system (ubuntu) or a version of one (ubuntu-22.04); did you mean \
             'ubuntu-22.04'?",
        ),
        ("[requires]\ncpu = 2\n", "7: unknown key 'cpu' in [requires]; did you mean 'cpus'?"),
        // Inputs.
        ("[inputs.x]\nask = \"?\"\n", "6: key 'type' is missing in input 'x'"),
        ("[inputs.x]\ntype = \"sekret\"\n", "7: type of input 'x' cannot be 'sekret'; did you mean 'secret'?"),
        (
            "[inputs.x]\ntype = \"secret\"\ngenerate = 8\npattern = \"[a-z0-9]+\"\n",
            "9: pattern of input 'x' does not match whatever may be generated: letters and digits",
        ),
        (
            "[inputs.x]\ntype = \"text\"\ngenerate = 8\n",
            "8: key 'generate' of input 'x' is for type secret, not for text",
        ),
        (
            "[inputs.x]\ntype = \"secret\"\ndefault = \"a\"\n",
            "8: key 'default' of input 'x' is for type text, bool, choice, hostname, port, server, path, size, not for secret",
        ),
        ("[inputs.x]\ntype = \"choice\"\n", "6: input 'x' has no choices; write choices = [\"…\", \"…\"]"),
        (
            "[inputs.x]\ntype = \"choice\"\nchoices = [\"aa\", \"bb\"]\ndefault = \"cc\"\n",
            "9: default of input 'x': 'cc' is not one of aa, bb",
        ),
        ("[inputs.x]\ntype = \"bool\"\ndefault = \"maybe\"\n", "8: default of input 'x': 'maybe' is not true or false"),
        (
            "[inputs.x]\ntype = \"size\"\ndefault = 10\nmin = \"1 KiB\"\n",
            "8: default of input 'x': 10 B is less than 1 KiB",
        ),
        ("[inputs.x]\ntype = \"text\"\npattern = \"(\"\n", "8: pattern of input 'x' is not a regular expression: "),
        (
            "[inputs.x]\ntype = \"text\"\nfound = [{ file = \"/f\", pattern = \"a\" }]\n",
            "8: found of input 'x': the pattern a has to have one group: the value",
        ),
        (
            "[inputs.X]\ntype = \"text\"\n",
            "6: input 'X': expected at most 64 of a-z, 0-9 and '_', beginning with a letter",
        ),
        (
            "[inputs.x]\ntype = \"text\"\ndefault = \"{{ host.fqnd }}\"\n",
            "8: 'host.fqnd' is not defined; did you mean 'fqdn'?",
        ),
        (
            "[inputs.x]\ntype = \"text\"\ndefault = \"{{ inputs.y }}\"\n[inputs.y]\ntype = \"text\"\n",
            "8: 'inputs.y' is declared after this",
        ),
        ("[inputs.x]\ntype = \"text\"\nwhen = \"inputs.\"\n", "8: template syntax: "),
        ("[inputs.x]\ntype = \"text\"\nwhen = \"host.os\"\n", "8: the condition 'host.os' is neither true nor false"),
        (
            "[inputs.x]\ntype = \"hostname\"\ndefault = \"{{ host.fqdn }}_\"\n",
            "8: default of input 'x': 'host.example.com_' is not a host name",
        ),
        (
            "[inputs.s]\ntype = \"secret\"\n[inputs.x]\ntype = \"text\"\ndefault = \"{{ inputs.s }}\"\n",
            "10: 'inputs.s' is a secret, which has no place in conditions, defaults and warnings",
        ),
        // Warnings.
        (
            "[[requires.warning]]\nname = \"a\"\nfound = \"x\"\nwanted = \"y\"\n",
            "6: key 'advice' is missing in warning[0] of [requires]",
        ),
        (
            "[[requires.warning]]\nname = \"a\"\nfuond = \"x\"\n",
            "8: unknown key 'fuond' in warning[0] of [requires]; did you mean 'found'?",
        ),
        (
            "[[requires.warning]]\nname = \"A b\"\nfound = \"x\"\nwanted = \"y\"\nadvice = \"z\"\n",
            "7: name of a [[requires.warning]] is 'A b'; expected ",
        ),
        (
            "[requires]\nwarning = [{ name = \"a\", found = \"x\", wanted = \"y\", advice = \"z\" },\n\
             { name = \"a\", found = \"x\", wanted = \"y\", advice = \"z\" }]\n",
            "8: name = 'a' is the name of another [[requires.warning]] already",
        ),
        (
            "[[requires.warning]]\nname = \"a\"\nfound = \"{{ host.nmae }}\"\nwanted = \"y\"\nadvice = \"z\"\n",
            "8: 'host.nmae' is not defined",
        ),
        (
            "[[requires.warning]]\nname = \"a\"\nwhen = \"host.os\"\nfound = \"x\"\nwanted = \"y\"\nadvice = \"z\"\n",
            "8: the condition 'host.os' is neither true nor false",
        ),
        (
            "[inputs.s]\ntype = \"secret\"\n[[requires.warning]]\nname = \"a\"\nfound = \"x\"\nwanted = \"y\"\nadvice = \"{{ inputs.s }}\"\n",
            "12: 'inputs.s' is a secret, which has no place in conditions, defaults and warnings",
        ),
        // Steps.
        ("[[step]]\nid = \"a\"\n", "6: key 'kind' is missing in a [[step]]"),
        ("[[step]]\nid = \"A b\"\nkind = \"note\"\ntext = \"\"\n", "7: id of a step is 'A b'; expected "),
        ("[[step]]\nid = \"a\"\nkind = \"noet\"\n", "8: step 'a' is of unknown kind 'noet'; did you mean 'note'?"),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntxt = \"x\"\n",
            "9: unknown key 'txt' in step 'a' (kind note); did you mean 'text'?",
        ),
        ("[[step]]\nid = \"a\"\nkind = \"note\"\n", "6: key 'text' is missing in step 'a' (kind note)"),
        ("[[step]]\nid = \"a\"\nkind = \"note\"\ntext = 1\n", "9: text of step 'a' (kind note) is 1; expected a text"),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\nservers = [{ name = \"y\" },\n  { nam = \"z\" }]\n",
            "11: unknown key 'nam' in servers[1] of step 'a' (kind note); did you mean 'name'?",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\nport = 70000\n",
            "10: port of step 'a' (kind note) is 70000; expected a whole number from 0 to 65535",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\nport = \"{{ host.os }}\"\n",
            "10: port of step 'a' (kind note) is the value of '{{ host.os }}'; expected a whole number from 0 to 65535",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\nmode = \"encripted\"\n",
            "10: mode of step 'a' (kind note) cannot be 'encripted'; did you mean 'encrypted'?",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"refuse\"\n",
            "6: step 'a' (kind note): text 'refuse' is refused",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"\"\"\none\n{{ inputs.nope }}\n\"\"\"\n",
            "11: 'inputs.nope' is not defined; none is known here",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"{{ host.os | uper }}\"\n",
            "9: unknown filter 'uper'; did you mean 'upper'?",
        ),
        ("[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"{{ host.os \"\n", "9: template syntax: "),
        ("[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"{{ host.vm }}\"\n", "9: 'host.vm' has no value on this host"),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x {{ host.vm }}\"\n",
            "9: 'host.vm' cannot be written here: it has no value on this host",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\nwhen = \"inputs.tsl\"\n",
            "10: 'inputs.tsl' is not defined; none is known here",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"step:b\"\n",
            "9: step 'a' refers to unknown step 'b'; known: a",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\ntemplate = \"t\"\n",
            "6: step 'a' (kind note): no file 'files/t'; none is known here",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n[step.on.debain]\ntext = \"y\"\n",
            "10: 'debain' is not a family (debian)",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n[step.on.ubuntu]\ntxet = \"y\"\n",
            "11: unknown key 'txet' in step 'a'",
        ),
        (
            "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n[step.on.ubuntu]\nid = \"y\"\n",
            "11: key 'id' of step 'a' cannot differ between hosts",
        ),
    ];
    for (rest, expected) in cases {
        let needs_step = !rest.is_empty() && !rest.contains("[[step]]") && !rest.contains("[step]");
        let whole = if needs_step { format!("{rest}{STEP}") } else { (*rest).to_owned() };
        let fault = wrong(&whole);
        let expected = format!("blueprint.toml:{expected}");
        assert!(fault.message.starts_with(&expected), "{rest}\nexpected {expected}\n     got {}", fault.message);
        assert_eq!(fault.class, Class::Blueprint);
        assert!(!fault.advice.is_empty());
    }
}

#[test]
fn names_of_steps_are_unique() {
    let twice = format!("{STEP}{STEP}");
    assert!(
        wrong(&twice)
            .message
            .starts_with("blueprint.toml:11: id = 'a' is the name of another step already, see line 6")
    );
    let was = format!("{STEP}[[step]]\nid = \"b\"\nwas = \"a\"\nkind = \"note\"\ntext = \"x\"\n");
    assert!(wrong(&was).message.starts_with("blueprint.toml:12: was = 'a' is the name of another step already"));
    let site = format!("{HEAD}[[step]]\nid = \"b\"\nwas = \"a\"\nkind = \"nginx_site\"\ntext = \"x\"\n");
    let site = with_kinds(&site, &[], steps::kinds::ALL).unwrap_err();
    let said = [[site.message].as_slice(), &site.evidence].concat().join("\n");
    assert!(said.contains("blueprint.toml:8: was = 'a' does not carry a step of kind nginx_site"), "{said}");
}

#[test]
fn versions_come_first() {
    for (text, expected) in [
        ("", "blueprint.toml:1: key 'schema' is missing"),
        ("schema = 2\nwhatever = 1\n", "blueprint.toml:1: the blueprint has format 2; this surefoot reads 1"),
        ("schema = \"1\"\n", "blueprint.toml:1: schema is '1'; expected 1"),
        ("schema = 1\nsurefoot = \">= 99\"\n", "blueprint.toml:2: the blueprint needs surefoot >= 99; this is "),
        ("schema = 1\nsurefoot = \"new\"\n", "blueprint.toml:2: surefoot is 'new'; expected versions"),
        (
            "schema = 1\n[product]\nname = \"Demo\"\ntitle = \"\"\nversion = \"\"\n",
            "blueprint.toml:3: name of [product] is 'Demo'",
        ),
        (
            "schema = 1\n[product]\nname = \"demo\"\ntitle = 1\n",
            "blueprint.toml:4: title of [product] is 1; expected a text",
        ),
    ] {
        let fault = with_files(text, &[]).unwrap_err();
        assert!(fault.message.starts_with(expected), "{text}: {}", fault.message);
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_each_once() {
    let fault = wrong(&format!(
        "[requires]\ncpu = 2\n[inputs.x]\ntype = \"bad\"\n{STEP}[step.on.ubuntu]\nport = 1\n[[step]]\n"
    ));
    let others: Vec<&String> = fault.evidence.iter().filter(|line| line.starts_with("blueprint.toml:")).collect();
    assert_eq!(others.len(), 2, "{fault:?}");
    // A step with two variants makes the same mistake in both.
    let fault = wrong(&format!("{STEP}port = 70000\n[step.on.ubuntu]\non_disk = true\n"));
    assert!(!fault.evidence.iter().any(|line| line.starts_with("blueprint.toml:")), "{fault:?}");
}

#[test]
fn the_line_is_shown() {
    let fault = wrong("[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\npasword = \"x\"\n");
    assert_eq!(fault.evidence, ["10 | pasword = \"x\"", "   | ^^^^^^^"]);
}

#[test]
fn mistakes_in_files_are_told_with_their_line() {
    let step = "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\ntemplate = \"t\"\nformat = \"nginx\"\n";
    for (template, expected) in [
        ("a\n{{ inputs.nope }}\n", "files/t:2: 'inputs.nope' is not defined"),
        ("a\n{% if host.os == 'x' %}\n{{ host.nope }}\n{% endif %}\n", "files/t:3: 'host.nope' is not defined"),
        ("a\n\n{% if %}", "files/t:3: template syntax: "),
        ("{{ host }}", "files/t:1: 'host' cannot be written here: a map cannot be written in the format nginx"),
        ("a {{ host.os | safe }}", "files/t:1: unknown filter 'safe'"),
        ("x \"http://{{ host.os ~ ' ' }}/\";\n", "files/t:1: a value that needs quotes stands inside a word"),
    ] {
        let blueprint = with_files(&format!("{HEAD}{step}"), &[("t", template)]).unwrap();
        let text = message(&blueprint.validate().unwrap_err());
        assert!(text.contains(expected), "{template}: {text}");
    }
}
