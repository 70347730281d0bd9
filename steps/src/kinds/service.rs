//! `service`: a unit of the host.

use std::path::PathBuf;

use anyhow::Result;
use distro::facts::Init;
use distro::files::Meta;
use distro::{Class, Fault, Network, ca, net, services};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Context, Kind};
use crate::Resource;
use crate::resources::directory::Directory;
use crate::resources::file::File;
use crate::resources::service::{Ready, Service};

/// A service of the host: enabled or not, running or not, with the configuration that is on disk, and answering.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the unit; `.service` may be left out.
    unit: String,
    /// Is it to be started at boot?
    #[serde(default = "yes")]
    enabled: bool,
    /// Is it to run?
    #[serde(default = "yes")]
    running: bool,
    /// Does it take up changed configuration by a reload? Else it is restarted.
    #[serde(default)]
    reload: bool,
    /// Files and folders that are its configuration: when they change, it is reloaded or restarted. What its unit names needs not be
    /// listed.
    #[serde(default)]
    config: Vec<String>,
    /// Package that it comes with.
    package: Option<String>,
    /// A template whose instances it starts, `shop-worker@`: they get what they need to reach others, as the unit itself does.
    instances: Option<String>,
    /// What has to answer before it is ready, at most 1 min after the start. Without it: the first of `ports` accepts connections.
    ready: Option<Answers>,
    /// TCP ports that it listens on.
    #[serde(default)]
    ports: Vec<u16>,
    /// Does it reach other hosts? Then it gets the proxy and the CA that were given.
    #[serde(default = "yes")]
    network: bool,
    /// Are `ports` for other hosts, too? firewalld lets them through then, where it runs.
    #[serde(default)]
    outside: bool,
}

/// What has to answer: one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answers {
    /// Address and port that accept connections: `127.0.0.1:8080`, or the path of a socket.
    tcp: Option<String>,
    /// `http` or `https` URL that is answered.
    http: Option<String>,
    /// Status codes that are an answer of the URL; every one, where none are given.
    #[serde(default)]
    status: Vec<u16>,
    /// What is sent to `tcp`, as it is: a request of the service's own protocol.
    send: Option<String>,
    /// What has to be in the answer to that.
    expect: Option<String>,
}

fn yes() -> bool {
    true
}

impl Kind for Settings {
    const NAME: &'static str = "service";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let refused = |why: &str| Fault::new(Class::Blueprint, format!("step '{}': {why}", cx.step()));
        if let Some(path) = self.config.iter().find(|path| !path.starts_with('/')) {
            return Err(refused(&format!("'config' has a path that is not absolute: '{path}'")).into());
        }
        let unit = services::full_name(&self.unit);
        let ready = match self.ready {
            None => self.ports.first().map(|port| Ready::Tcp { addr: format!("127.0.0.1:{port}") }),
            Some(Answers { tcp: Some(addr), http: None, status, send: None, expect: None }) if status.is_empty() => {
                Some(Ready::Tcp { addr })
            }
            Some(Answers { tcp: Some(addr), http: None, status, send: Some(send), expect: Some(expect) })
                if status.is_empty() && !send.is_empty() && !expect.is_empty() =>
            {
                if cx.has_secret(&send) || cx.has_secret(&expect) {
                    return Err(refused("'ready' has a secret in it, and it is shown and logged").into());
                }
                Some(Ready::Words { addr, send, expect })
            }
            Some(Answers { tcp: None, http: Some(url), status, send: None, expect: None }) => {
                if cx.has_secret(&url) {
                    return Err(refused("'ready.http' has a secret in it, and it is shown and logged").into());
                }
                net::split_url(&url).map_err(|error| refused(&format!("'ready.http': {error}")))?;
                Some(Ready::Http { url, statuses: status })
            }
            Some(_) => {
                let fault = refused(
                    "'ready' takes one of 'tcp' and 'http', 'status' with 'http' only, and both 'send' and 'expect' with 'tcp' only",
                );
                return Err(fault.advice("write it as ready = { tcp = \"127.0.0.1:8080\" }").into());
            }
        };
        let mut config: Vec<PathBuf> = self.config.into_iter().map(Into::into).collect();
        let mut resources = if self.network { network(cx, &unit)? } else { Vec::new() };
        if let Some(template) = &self.instances {
            if !template.ends_with('@') {
                let fault = refused(&format!("'instances' names no template: '{template}'"));
                return Err(fault.advice("write it as instances = \"shop-worker@\"").into());
            }
            let theirs = network(cx, &services::full_name(template))?;
            if !theirs.is_empty() {
                config.push(drop_ins(&services::full_name(template)).into());
            }
            resources.extend(theirs);
        }
        resources.push(Box::new(Service {
            enabled: self.enabled,
            running: self.running,
            reload: self.reload,
            config,
            package: self.package,
            ready,
            ports: self.ports,
            outside: self.outside,
            ..Service::new(unit)
        }));
        Ok(resources)
    }
}

/// What lets the unit reach others as everything else here does: an environment file that only root can read, and the drop-in that names
/// it. Nothing, where there is neither a proxy nor a CA of the user's own.
fn network(cx: &dyn Context, unit: &str) -> Result<Vec<Box<dyn Resource>>> {
    let facts = cx.facts();
    let network = Network::new(cx.network(), &[facts.hostname.clone(), facts.fqdn.clone()])?;
    let variables = network.lasting_environment(ca::store(facts.family).map(|store| store.bundle));
    if variables.is_empty() || facts.init != Init::Systemd || !unit.ends_with(".service") {
        return Ok(Vec::new());
    }
    let folder = drop_ins(unit);
    let file = format!("{folder}/surefoot-network.env");
    // No value has anything in it that quotes do not keep: proxies are percent-encoded, and the rest is names and addresses.
    let content: String = variables.iter().map(|(name, value)| format!("{name}=\"{value}\"\n")).collect();
    let drop_in = format!("# Managed by surefoot.\n[Service]\nEnvironmentFile={file}\n");
    Ok(vec![
        Box::new(Directory::new(&folder)),
        Box::new(File { meta: Meta::root(0o600), sensitive: true, ..File::new(&file, content) }),
        Box::new(File::new(format!("{folder}/surefoot-network.conf"), drop_in)),
    ])
}

/// The folder of a unit's drop-ins that are the administrator's.
pub(super) fn drop_ins(unit: &str) -> String {
    format!("/etc/systemd/system/{unit}.d")
}

#[cfg(test)]
mod tests {
    use distro::network::{Given, Setting};
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    #[test]
    fn settings_and_the_service() {
        for (settings, wanted) in [
            (
                json!({"unit": "cron"}),
                r#"unit: "cron.service", enabled: true, running: true, reload: false, config: [], package: None, ready: None"#,
            ),
            (
                json!({"unit": "x.service", "enabled": false, "running": false, "config": ["/etc/x"], "package": "x"}),
                r#"unit: "x.service", enabled: false, running: false, reload: false, config: ["/etc/x"], package: Some("x"), ready: None"#,
            ),
            (json!({"unit": "x", "ports": [81]}), "ready: Some(a connection to 127.0.0.1:81), ports: [81]"),
            (
                json!({"unit": "x", "ports": [81], "ready": {"http": "http://localhost:81/ok"}}),
                "ready: Some(a request for http://localhost:81/ok), ports: [81]",
            ),
            (
                json!({"unit": "x", "ready": {"tcp": "127.0.0.1:81", "send": "ruok\n", "expect": "imok"}}),
                r"ready: Some(an answer to 'ruok\n' at 127.0.0.1:81)",
            ),
        ] {
            let resources = Step::new("s").expand::<Settings>(settings).unwrap();
            let shown = format!("{:?}", resources[0]);
            assert!(shown.contains(wanted), "{shown}");
        }
    }

    #[test]
    fn the_unit_gets_the_network_settings_in_a_file_of_roots() {
        let given = Given {
            proxy: Some("proxy.corp:3128".into()),
            user: Some("CORP\\jo".into()),
            password: Some("p@ss:w/rd#?%".into()),
            no_proxy: Some("intra.test".into()),
            ..Given::default()
        };
        let mut step = Step::new("s");
        step.network = Setting::settle(&given, None, false, &|_| None).unwrap().0;
        let resources = step.expand::<Settings>(json!({"unit": "x"})).unwrap();
        let folder = "/etc/systemd/system/x.service.d";
        let file = format!("file {folder}/surefoot-network.env");
        let conf = format!("file {folder}/surefoot-network.conf");
        assert_eq!(names(&resources), [&format!("directory {folder}"), &file, &conf, "service x.service"]);
        let both = step.expand::<Settings>(json!({"unit": "x", "instances": "w@"})).unwrap();
        let theirs = "file /etc/systemd/system/w@.service.d/surefoot-network.env";
        assert_eq!((names(&both).len(), names(&both)[4].as_str()), (7, theirs));
        assert!(format!("{:?}", both[6]).contains("config: [\"/etc/systemd/system/w@.service.d\"]"), "{:?}", both[6]);
        assert!(step.expand::<Settings>(json!({"unit": "x", "instances": "w"})).is_err());
        let content = wants(&resources, &file);
        let proxy = "http://CORP%5Cjo:p%40ss%3Aw%2Frd%23%3F%25@proxy.corp:3128";
        for line in [
            &format!("HTTPS_PROXY=\"{proxy}\"\n"),
            &format!("http_proxy=\"{proxy}\"\n"),
            "no_proxy=\"intra.test,localhost,127.0.0.1,::1,[::1],host,host.example\"\n",
        ] {
            assert!(content.contains(line), "{line} in {content}");
        }
        assert!(content.contains("0600") && !wants(&resources, &conf).contains("p%40ss"), "{content}");
        assert_eq!(step.expand::<Settings>(json!({"unit": "x.socket"})).unwrap().len(), 1);
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        let one = "'ready' takes one of 'tcp' and 'http', 'status' with 'http' only, and both 'send' and 'expect' with 'tcp' only";
        for (settings, wanted) in [
            (json!({"unit": "x", "config": ["etc"]}), "'config' has a path that is not absolute: 'etc'"),
            (json!({"unit": "x", "ready": {}}), one),
            (json!({"unit": "x", "ready": {"tcp": "a", "status": [1]}}), one),
            (json!({"unit": "x", "ready": {"tcp": "a", "send": "b"}}), one),
            (json!({"unit": "x", "ready": {"tcp": "a", "send": "b", "expect": ""}}), one),
            (json!({"unit": "x", "ready": {"http": "http://x/", "send": "b", "expect": "c"}}), one),
            (
                json!({"unit": "x", "ready": {"tcp": "a", "send": "hunter2", "expect": "c"}}),
                "'ready' has a secret in it, and it is shown and logged",
            ),
            (
                json!({"unit": "x", "ready": {"http": "ftp://x/"}}),
                "'ready.http': 'ftp://x/' is not an http or https URL",
            ),
            (
                json!({"unit": "x", "ready": {"http": "http://x/hunter2"}}),
                "'ready.http' has a secret in it, and it is shown and logged",
            ),
        ] {
            let error = Step::new("s").expand::<Settings>(settings).unwrap_err();
            assert_eq!(distro::Fault::class_of(&error), distro::Class::Blueprint);
            assert_eq!(error.to_string(), format!("step 's': {wanted}"));
        }
    }
}
