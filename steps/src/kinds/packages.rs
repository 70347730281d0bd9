//! `packages`: packages of the distribution or of a repository that an earlier step adds.

use anyhow::Result;
use distro::packages::Manager;
use distro::{Class, Fault};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Context, Kind};
use crate::Resource;
use crate::resources::packages::Packages;

/// Installs packages, with what they need and without what they only recommend.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Names of the packages.
    #[schemars(length(min = 1))]
    names: Vec<String>,
    /// Services that come with them and are configured by later steps: they are neither started nor enabled before that, and stopped while
    /// the packages are upgraded to another series.
    #[serde(default)]
    services: Vec<String>,
    /// Version or series that all of them have to be of: `3.9` takes 3.9.0-1, and not 3.10. An older one is upgraded.
    version: Option<String>,
    /// That the host's distribution has none of them, said as what to do in their place: such a host is refused before anything is touched.
    unavailable: Option<String>,
}

impl Kind for Settings {
    const NAME: &'static str = "packages";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let refused = |why: String| Fault::new(Class::Blueprint, format!("step '{}': {why}", cx.step()));
        if let Some(instead) = self.unavailable {
            let (system, names) = (&cx.facts().os_name, self.names.join(", "));
            let message = format!("step '{}': {system} has no package of {names}", cx.step());
            return Err(Fault::new(Class::Unsupported, message).advice(instead).into());
        }
        if self.names.is_empty() {
            return Err(refused("'names' is empty".to_owned()).advice("name a package, or leave the step out").into());
        }
        // What has none of these managers is refused as a host.
        let manager = Manager::of(cx.facts()).unwrap_or(Manager::Apt);
        if let Some(name) = self.names.iter().find(|name| !manager.is_package_name(name)) {
            let advice = format!("{}; versions are pinned by a repository's 'pins'", manager.package_names());
            return Err(refused(format!("'{name}' is not the name of a package")).advice(advice).into());
        }
        if let Some(unit) =
            self.services.iter().find(|unit| unit.is_empty() || unit.contains(|c: char| c.is_whitespace() || c == '/'))
        {
            return Err(refused(format!("'{unit}' is not the name of a service")).into());
        }
        if let Some(version) = self.version.as_ref().filter(|version| !manager.is_package_version(version)) {
            return Err(refused(format!("'{version}' is not a version"))
                .advice("write it as version = \"3.9\", without an epoch where it does not matter")
                .into());
        }
        Ok(vec![Box::new(Packages { version: self.version, ..Packages::new(self.names, self.services) })])
    }
}

#[cfg(test)]
mod tests {
    use distro::facts::PackageManager;
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::Step;

    #[test]
    fn a_host_that_has_none_of_them_is_refused() {
        let settings = json!({"names": ["zookeeper"], "unavailable": "name servers of other hosts"});
        let error = Step::new("s").expand::<Settings>(settings).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert_eq!((fault.class, fault.advice.as_str()), (Class::Unsupported, "name servers of other hosts"));
        assert_eq!(fault.message, "step 's': Debian GNU/Linux 12 (bookworm) has no package of zookeeper");
    }

    #[test]
    fn names_and_versions_are_those_of_the_hosts_package_manager() {
        let names = "'mod_ssl' is not the name of a package";
        for (manager, settings, wanted) in [
            (PackageManager::Apt, json!({"names": ["mod_ssl"]}), Some(names)),
            (PackageManager::Dnf, json!({"names": ["mod_ssl", "NetworkManager"]}), None),
            (PackageManager::Zypper, json!({"names": ["perl-DBI"], "version": "1.643^1"}), None),
            (PackageManager::Apt, json!({"names": ["perl"], "version": "1.643^1"}), Some("'1.643^1' is not a version")),
            (PackageManager::Yum, json!({"names": ["@core"]}), Some("'@core' is not the name of a package")),
        ] {
            let mut step = Step::new("s");
            step.facts.package_manager = Some(manager);
            let error = step.expand::<Settings>(settings).err().map(|error| error.to_string());
            assert_eq!(error, wanted.map(|why| format!("step 's': {why}")));
        }
    }
}
