//! Conditions, differences between hosts, types of settings, secrets.

use distro::Class;

use super::super::expand::{ExpandedStep, expand, next_lines, warnings};
use super::*;

fn direct() -> distro::network::Setting {
    distro::network::Setting::default()
}

fn shown(step: &ExpandedStep) -> String {
    format!("{:?}", step.resources)
}

#[test]
fn settings_are_rendered_and_keep_their_types() {
    let blueprint = blueprint(
        "[inputs.site]\ntype = \"hostname\"\ndefault = \"{{ host.fqdn }}\"\n[inputs.disk]\ntype = \"bool\"\ndefault = true\n\
         [inputs.room]\ntype = \"size\"\ndefault = \"1 MiB\"\n[inputs.port]\ntype = \"text\"\ndefault = \"8080\"\npattern = \"[0-9]+\"\n\
         [[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"http://{{ inputs.site }}/{{ product.name | split('-') | first }}\"\n\
         port = \"{{ ('a:' ~ inputs.port) | split(':') | last | int }}\"\nmemory = \"{{ inputs.room }}\"\non_disk = \"{{ inputs.disk }}\"\nmode = \"encrypted\"\n\
         servers = [{ name = \"{{ host.hostname }}\" }]\n",
    );
    blueprint.validate().unwrap();
    let inputs = inputs(&blueprint, &[], &[]).unwrap();
    let steps = expand(&blueprint, &inputs, &direct(), &debian()).unwrap();
    let text = shown(&steps[0]);
    for part in [
        "text: \"http://host.example.com/demo\"",
        "port: Some(8080)",
        "memory: Some(Size(1048576))",
        "on_disk: true",
        "mode: Encrypted",
        "servers: [Server { name: \"host\" }]",
        "secret: false",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(blueprint.steps[0].line, 19);
}

#[test]
fn hosts_differ() {
    let blueprint = blueprint(
        "[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"general\"\nport = 1\n[step.on.ubuntu]\ntext = \"ubuntu\"\n\
         [step.on.debian]\ntext = \"debian\"\nport = 2\n[step.on.\"ubuntu-22.04\"]\ntext = \"jammy\"\n",
    );
    blueprint.validate().unwrap();
    let none = Inputs::default();
    for (host, text, port) in [
        ("rocky-9", "general", 1),
        ("debian-12", "debian", 2),
        ("ubuntu-24.04", "ubuntu", 2),
        ("ubuntu-22.04", "jammy", 2),
        ("linuxmint-21", "debian", 2),
    ] {
        let steps = expand(&blueprint, &none, &direct(), &sample::facts(host)).unwrap();
        let shown = shown(&steps[0]);
        assert!(
            shown.contains(&format!("text: \"{text}\"")) && shown.contains(&format!("port: Some({port})")),
            "{host}: {shown}"
        );
    }
}

#[test]
fn a_step_whose_condition_does_not_hold_is_skipped() {
    let blueprint = blueprint(
        "[inputs.tls]\ntype = \"choice\"\nchoices = [\"none\", \"own\"]\ndefault = \"none\"\n\
         [inputs.file]\ntype = \"path\"\nwhen = \"inputs.tls == 'own'\"\n\
         [[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"{{ inputs.file }}\"\nwhen = \"inputs.tls == 'own'\"\n\
         [[step]]\nid = \"b\"\nkind = \"note\"\ntext = \"x\"\nwhen = \"host.family == 'debian' and inputs.file == '/x'\"\n",
    );
    blueprint.validate().unwrap();
    let off = inputs(&blueprint, &[], &[]).unwrap();
    let steps = expand(&blueprint, &off, &direct(), &debian()).unwrap();
    assert_eq!(steps[0].skipped_by.as_deref(), Some("inputs.tls == 'own'"));
    assert!(steps[0].resources.is_empty() && steps[1].resources.is_empty());
    let on = inputs(&blueprint, &[("tls", "own"), ("file", "/x")], &[]).unwrap();
    let steps = expand(&blueprint, &on, &direct(), &debian()).unwrap();
    assert!(steps.iter().all(|step| step.skipped_by.is_none() && step.resources.len() == 1));
}

#[test]
fn what_a_given_input_makes_wrong_is_no_fault_of_the_blueprint() {
    let blueprint = blueprint(
        "[inputs.port]\ntype = \"text\"\ndefault = \"high\"\n[inputs.port_b]\ntype = \"text\"\ndefault = \"80\"\n\
         [[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\nport = \"{{ inputs.port }}\"\n",
    );
    for (given, class, told) in [
        (&[][..], Class::Blueprint, None),
        (&[("port_b", "81")], Class::Blueprint, None),
        (&[("port", "low"), ("port_b", "81")], Class::Usage, Some("inputs that were given for it: port (--set)")),
    ] {
        let given = inputs(&blueprint, given, &[]).unwrap();
        let error = expand(&blueprint, &given, &direct(), &debian()).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert_eq!(fault.class, class, "{fault:?}");
        assert_eq!(
            fault.evidence.iter().map(String::as_str).find(|line| line.starts_with("inputs")),
            told,
            "{fault:?}"
        );
    }
}

const SECRET: &str = "[inputs.password]\ntype = \"secret\"\ngenerate = 24\n";

#[test]
fn secrets_are_known_and_never_told() {
    let text = format!(
        "{HEAD}{SECRET}[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"p {{{{ inputs.password }}}}\"\ntemplate = \"t\"\nformat = \"redis\"\n"
    );
    let made = with_files(&text, &[("t", "requirepass {{ inputs.password }}\n")]).unwrap();
    made.validate().unwrap();
    let given = inputs(&made, &[], &[("SUREFOOT_INPUT_PASSWORD", "h\"u'n%t er$2")]).unwrap();
    let steps = expand(&made, &given, &direct(), &debian()).unwrap();
    assert!(shown(&steps[0]).contains("secret: true"));
    assert!(given.is_secret(r#"requirepass "h\"u'n%t er$2""#));
    // In a URL it is still one.
    let made = blueprint(&format!(
        "{SECRET}[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"u://a:{{{{ inputs.password | urlencode }}}}@b/{{{{ 'ü /' | urlencode }}}}\"\n"
    ));
    let steps = expand(&made, &given, &direct(), &debian()).unwrap();
    assert!(shown(&steps[0]).contains("secret: true"), "{}", shown(&steps[0]));
    assert!(given.is_secret("u://a:h%22u%27n%25t%20er%242@b/"));
    // And in a string of JSON, which is plain text to an INI file.
    let made = blueprint(&format!(
        "{SECRET}[[step]]\nid = \"a\"\nkind = \"note\"\ntext = '{{\"p\": {{{{ inputs.password | tojson }}}}}}'\n"
    ));
    let steps = expand(&made, &given, &direct(), &debian()).unwrap();
    assert!(shown(&steps[0]).contains("secret: true"), "{}", shown(&steps[0]));
    assert!(given.is_secret(r#"{"p": "h\"u\u0027n\u0025t er\u00242"}"#));
    assert!(!format!("{given:?}").contains("er$2"));

    // Where a setting does not take it, or a filter makes something else of it, it is not quoted.
    for setting in [
        "port = \"{{ inputs.password }}\"",
        "mode = \"{{ inputs.password }}\"",
        "servers = [{ name = \"{{ inputs.password | upper }}\" }]",
    ] {
        let made = blueprint(&format!("{SECRET}[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n{setting}\n"));
        let given = inputs(&made, &[], &[("SUREFOOT_INPUT_PASSWORD", "hunter2hunter2")]).unwrap();
        let error = expand(&made, &given, &direct(), &debian()).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert!(!format!("{fault:?} {error:#}").to_lowercase().contains("hunter2"), "{fault:?}");
    }
    // Nor does a list hide it.
    for argv in ["['prog', inputs.password]", "('prog ' ~ inputs.password) | split(' ')"] {
        let made = blueprint(&format!(
            "{SECRET}[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\nargv = \"{{{{ {argv} }}}}\"\n"
        ));
        let given = inputs(&made, &[], &[("SUREFOOT_INPUT_PASSWORD", "hunter2hunter2")]).unwrap();
        let steps = expand(&made, &given, &direct(), &debian()).unwrap();
        assert!(shown(&steps[0]).contains("secret: true"), "{argv}: {}", shown(&steps[0]));
    }
    let made = blueprint(&format!(
        "{SECRET}[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"{{{{ inputs.password[:3] }}}}\"\n"
    ));
    assert!(made.validate().is_err());
}

#[test]
fn a_secret_that_is_a_common_word_is_in_no_bodys_way() {
    let wait = |url: &str| {
        let text = format!("{HEAD}{SECRET}[[step]]\nid = \"a\"\nkind = \"wait\"\nurl = \"{url}\"\n");
        let made = with_kinds(&text, &[], steps::kinds::ALL).unwrap();
        let given = inputs(&made, &[], &[("SUREFOOT_INPUT_PASSWORD", "admin")]).unwrap();
        expand(&made, &given, &direct(), &debian()).map(drop)
    };
    wait("http://127.0.0.1/admin").unwrap();
    for url in ["http://127.0.0.1/{{ inputs.password }}", "http://127.0.0.1/{{ inputs.password | urlencode }}"] {
        assert!(wait(url).unwrap_err().to_string().contains("secret"), "{url}");
    }
}

#[test]
fn what_to_do_next_shows_no_secret() {
    let text = format!(
        "{}next = [\"Open http://{{{{ host.fqdn }}}}/\", \"Password: {{{{ inputs.password }}}}\"]\n{SECRET}[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n",
        HEAD
    );
    let blueprint = with_files(&text, &[]).unwrap();
    let mut given = inputs(&blueprint, &[], &[]).unwrap();
    assert!(given.generate().unwrap());
    let lines = next_lines(&blueprint, &given, &debian(), "/s.json").unwrap();
    assert_eq!(lines[0], "Open http://host.example.com/");
    assert_eq!(lines[1], "Password: in /s.json, as password");
}

#[test]
fn a_warning_is_told_where_it_holds() {
    let text = format!(
        "{HEAD}[inputs.release]\ntype = \"text\"\ndefault = \"9\"\n[[requires.warning]]\nname = \"vendor\"\n\
         when = \"host.family == 'red_hat' and host.base != 'rhel'\"\n\
         found = \"packages for {{{{ inputs.release }}}} are taken on {{{{ host.os }}}}\"\nwanted = \"one of its own\"\nadvice = \"take another\"\n\
         [[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n"
    );
    let blueprint = with_files(&text, &[]).unwrap();
    blueprint.validate().unwrap();
    let given = inputs(&blueprint, &[("release", "10")], &[]).unwrap();
    assert_eq!(warnings(&blueprint, &given, &debian()).unwrap(), []);
    let told = warnings(&blueprint, &given, &sample::facts("fedora")).unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].name.as_str(), told[0].found.as_str()), ("vendor", "packages for 10 are taken on fedora"));
}

#[test]
fn a_warning_that_refuses_ends_it_with_all_the_reasons() {
    let warning = |name: &str, when: &str| {
        format!(
            "[[requires.warning]]\nname = \"{name}\"\nrefuse = true\nwhen = \"{when}\"\nfound = \"{name} of {{{{ inputs.version }}}}\"\n\
             wanted = \"none\"\nadvice = \"leave {name} out\"\n"
        )
    };
    let text = format!(
        "{HEAD}[inputs.version]\ntype = \"text\"\ndefault = \"3.10\"\n{}{}[[step]]\nid = \"a\"\nkind = \"note\"\ntext = \"x\"\n",
        warning("tea", "inputs.version is before('3.9')"),
        warning("milk", "inputs.version is not before('3.3') and inputs.version is before('3.8.1')")
    );
    let blueprint = with_files(&text, &[]).unwrap();
    blueprint.validate().unwrap();
    let expanded = |version: &str| {
        let given = inputs(&blueprint, &[("version", version)], &[]).unwrap();
        assert_eq!(warnings(&blueprint, &given, &debian()).unwrap(), []);
        expand(&blueprint, &given, &direct(), &debian())
    };
    // Of numbers, and not of letters.
    assert!(expanded("3.10").is_ok() && expanded("3.9.0").is_ok());
    let error = expanded("3.8").unwrap_err();
    let fault = Fault::find(&error).unwrap();
    assert_eq!((fault.class, fault.message.as_str()), (distro::Class::Unsupported, "tea of 3.8; milk of 3.8"));
    assert_eq!(fault.advice, "leave tea out; leave milk out");
    assert_eq!(Fault::find(&expanded("3.2").unwrap_err()).unwrap().message, "tea of 3.2");
}

const TLS: &str = "[[step]]\nid = \"tls\"\nkind = \"tls_certificate\"\nnames = [\"a.example\"]\n";

#[test]
fn a_step_uses_what_an_earlier_one_makes() {
    let site = |certificate: &str| {
        format!(
            "[[step]]\nid = \"site\"\nkind = \"nginx_site\"\nnames = [\"a.example\"]\ncertificate = \"step:{certificate}\"\n"
        )
    };
    let group = "[[step]]\nid = \"group\"\nkind = \"group\"\nname = \"g\"\n";
    let never = TLS.replace("names", "when = \"host.os == 'none'\"\nnames");
    for (steps, wanted) in [
        (format!("{TLS}{}", site("tls")), "/etc/surefoot/demo-tls.crt"),
        (format!("{}{TLS}", site("tls")), "no earlier step has the id 'tls'"),
        (format!("{TLS}{group}{}", site("group")), "step 'group' has no certificate"),
        (
            format!("{never}{}", site("tls")),
            "step 'tls' is not part of the product here: its condition 'host.os == 'none''",
        ),
    ] {
        let made = with_kinds(&format!("{HEAD}{steps}"), &[], steps::kinds::ALL).unwrap();
        let told = match expand(&made, &Inputs::default(), &direct(), &debian()) {
            Ok(expanded) => expanded.iter().map(shown).collect(),
            Err(error) => message(&error),
        };
        assert!(told.contains(wanted), "{wanted} in {told}");
    }
}
