//! `module`: which stream of a module dnf takes packages from.

use anyhow::Result;
use distro::layout::has_modules;
use distro::{Class, Fault};
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::refused;
use super::{Context, Kind};
use crate::Resource;
use crate::resources::module::{Module, Stream};

/// A module of dnf (Enterprise Linux 8 and 9): the stream that its packages come from. Uninstall puts back what was chosen before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the module.
    name: String,
    /// Are packages of its streams offered at all?
    #[serde(default = "yes")]
    enabled: bool,
    /// The stream that is switched on; needed where `enabled` is true. Another one that is switched on already is not changed: the run ends before
    /// anything is touched.
    stream: Option<String>,
}

fn yes() -> bool {
    true
}

impl Kind for Settings {
    const NAME: &'static str = "module";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if !has_modules(cx.facts()) {
            let message = format!("step '{}': {} has no modules", cx.step(), cx.facts().os_name);
            let advice = "give the step a condition: when = \"host.base == 'rhel' and host.major < 10\"";
            return Err(Fault::new(Class::Unsupported, message).advice(advice).into());
        }
        let is_name = |text: &str| {
            let good = |c: char| c.is_ascii_alphanumeric() || "+._-".contains(c);
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(good)
        };
        for (key, text) in [("name", Some(&self.name)), ("stream", self.stream.as_ref())] {
            if let Some(text) = text.filter(|text| !is_name(text)) {
                let fault = refused(cx, format!("'{key}' is not one of a module: '{}'", text.escape_debug()));
                return Err(fault.advice("`dnf module list` shows them").into());
            }
        }
        let stream = match (self.enabled, self.stream) {
            (true, Some(stream)) => Stream::Enabled(stream),
            (true, None) => {
                return Err(refused(cx, "'stream' is missing").advice("write it as stream = \"15\"").into());
            }
            (false, None) => Stream::Disabled,
            (false, Some(_)) => return Err(refused(cx, "'stream' does not go with enabled = false").into()),
        };
        Ok(vec![Box::new(Module { name: self.name, stream })])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    #[test]
    fn a_module_and_what_cannot_be_meant() {
        let mut step = Step::new("one");
        let one = json!({"name": "redis", "stream": "7"});
        assert!(step.expand::<Settings>(one.clone()).unwrap_err().to_string().contains("has no modules"));
        for (base, major, has_modules) in [("rhel", 10, false), ("fedora", 43, false), ("rhel", 8, true)] {
            (step.facts.base, step.facts.major) = (base.to_owned(), Some(major));
            assert_eq!(step.expand::<Settings>(one.clone()).is_ok(), has_modules, "{base} {major}");
        }
        let resources = step.expand::<Settings>(one).unwrap();
        assert_eq!(names(&resources), ["module redis"]);
        let text = "file 0644 root:root\n[redis]\nname=redis\nstream=7\nprofiles=\nstate=enabled\n";
        assert_eq!(wants(&resources, "module redis"), text);
        for (settings, why) in [
            (json!({"name": "redis"}), "'stream' is missing"),
            (json!({"name": "redis", "enabled": false, "stream": "7"}), "'stream' does not go with"),
            (json!({"name": "../redis", "stream": "7"}), "'name' is not one of a module: '../redis'"),
            (json!({"name": "redis", "stream": "7\nstate"}), "'stream' is not one"),
        ] {
            let error = step.expand::<Settings>(settings).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
