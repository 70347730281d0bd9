//! `repository`: a package repository that is not the distribution's own.

use std::path::PathBuf;

use anyhow::Result;
use distro::files::Meta;
use distro::network::{KeyFrom, Mirror, Setting};
use distro::packages::Manager;
use distro::packages::definition::{Definition, Pin};
use distro::{Class, Fault, net};
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::AbsolutePath;
use super::{Context, Kind, refused, unsupported};
use crate::resources::absent::Absent;
use crate::resources::fetched_keyring::FetchedKeyring;
use crate::resources::file::File;
use crate::resources::repository::Repository;
use crate::resources::trusted_keys::TrustedKeys;
use crate::{Resource, Stage};

/// Adds a package repository for apt, dnf, yum or zypper, trusted by its own keyring only. Packages and the index have to be signed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of its files in /etc/apt, /etc/yum.repos.d or /etc/zypp/repos.d; the step's id, where it is not given.
    name: Option<String>,
    /// Where it is: `https://packages.example.com/deb`. Several are mirrors of each other.
    #[schemars(length(min = 1))]
    uris: Vec<String>,
    /// Suites, often the distribution's codename; or paths that end in `/`, for a repository without `dists`. None for dnf, yum and zypper: there 'uris'
    /// say it all.
    #[serde(default)]
    suites: Vec<String>,
    /// Components; none, where suites are paths.
    #[serde(default)]
    components: Vec<String>,
    /// Architectures, such as `amd64`, where the repository does not have all that the host knows.
    #[serde(default)]
    architectures: Vec<String>,
    /// File below `files/` with its keys, ASCII-armored or binary.
    key: Option<String>,
    /// URL of such a file, which is fetched at run time, in place of `key`.
    key_url: Option<String>,
    /// Full fingerprints of all primary keys in that file. A file with another key in it is refused.
    #[schemars(length(min = 1))]
    fingerprints: Vec<String>,
    /// Which versions apt prefers. dnf and yum see nothing of the repository but these, and know `version …` alone; zypper has none.
    #[serde(default)]
    pins: Vec<PinSettings>,
    /// Files in which another installer may have put the same repository, with a keyring of its own, which package managers do not take
    /// beside this one. They are removed, and put back at uninstall.
    #[serde(default)]
    replaces: Vec<AbsolutePath>,
}

/// A preference, see apt_preferences(5).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PinSettings {
    /// Names of packages, or patterns.
    #[schemars(length(min = 1))]
    packages: Vec<String>,
    /// What is preferred: `version 5:7.*`, `origin packages.example.com`, `release a=stable`.
    pin: String,
    /// Priority: 990 is that of a target release, over 1000 wins over what is installed.
    priority: i32,
}

impl Kind for Settings {
    const NAME: &'static str = "repository";

    fn expand(mut self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let manager = Manager::of(cx.facts()).ok_or_else(|| unsupported(Self::NAME, cx))?;
        let name = self.name.clone().unwrap_or_else(|| cx.step().to_owned());
        self.check(&name, manager).map_err(|why| {
            Fault::new(Class::Blueprint, format!("step '{}': {why}", cx.step())).advice(manager.manual())
        })?;
        if let Some(uri) = self.uris.iter().find(|uri| cx.has_secret(uri)) {
            let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
            return Err(Fault::new(
                Class::Blueprint,
                format!("step '{}': a {scheme} URI has a secret in it", cx.step()),
            )
            .advice("apt's sources are readable by everybody: logins belong into a file in /etc/apt/auth.conf.d")
            .into());
        }
        let mut key = match (&self.key, &self.key_url) {
            (Some(name), None) => Some(cx.file(name)?),
            (None, Some(url)) => {
                if cx.has_secret(url) {
                    return Err(refused(
                        cx,
                        "'key_url' has a secret in it, and it is shown and logged",
                        "leave the login out",
                    ));
                }
                net::split_url(url)
                    .map_err(|error| refused(cx, &format!("'key_url': {error}"), "write it as https://…"))?;
                None
            }
            _ => return Err(refused(cx, "one of 'key' and 'key_url' is needed", "say where its key is")),
        };
        let mut mirrors = mirrored(cx.network(), &mut self.uris, manager.has_one_login());
        let logged_in = mirrors.iter().find_map(|mirror| Some((mirror, mirror.login.as_ref()?)));
        if let (Some((mirror, login)), Some(words)) = (logged_in, manager.unwritable())
            && [&login.user, &login.password].iter().any(|text| text.contains(words))
        {
            let message = format!(
                "step '{}': {} cannot be told the login of '{}' to the mirror '{}': there is '{words}' in it",
                cx.step(),
                manager.name(),
                login.user,
                mirror.url
            );
            let advice = "let that mirror have another login: this one would be read as the name of a setting";
            return Err(Fault::new(Class::Usage, message).advice(advice).into());
        }
        let login = logged_in.map(|(_, login)| login.clone());
        mirrors.extend(self.key_url.as_mut().and_then(|url| stood_for(cx.network(), url)));
        let own = mirrors.iter().find_map(|mirror| mirror.key.clone());
        self.uris.dedup();
        if let Some(own) = own {
            self.fingerprints = own.fingerprints;
            (key, self.key_url) = match own.from {
                KeyFrom::Text(text) => (Some(text.into_bytes()), None),
                KeyFrom::Url(url) => (None, Some(url)),
            };
        }
        let pins = self.pins.into_iter();
        let fetched =
            self.key_url.map(|url| FetchedKeyring::new(manager, &name, url, &self.fingerprints)).transpose()?;
        let logins = manager.logins(&mirrors);
        let login_file = manager.login_path(&name).filter(|_| !logins.is_empty()).map(|path| File {
            meta: Meta::root(0o600),
            sensitive: true,
            stage: Stage::Repositories,
            ..File::new(path.display().to_string(), logins)
        });
        let definition = Definition {
            name,
            uris: self.uris,
            suites: self.suites,
            components: self.components,
            architectures: self.architectures,
            login,
            replaces: self.replaces.iter().map(|path| PathBuf::from(&path.0)).collect(),
            pins: pins.map(|pin| Pin { packages: pin.packages, pin: pin.pin, priority: pin.priority }).collect(),
        };
        let trusted = (!manager.trusted_keys(&self.fingerprints).is_empty()).then(|| TrustedKeys {
            manager,
            repository: definition.name.clone(),
            fingerprints: self.fingerprints.clone(),
        });
        let repository = Repository::new(manager, definition, key.as_deref(), &self.fingerprints)?;
        let mut resources: Vec<Box<dyn Resource>> = Vec::new();
        let replaced = self.replaces.into_iter().map(|path| Absent { path: path.0, stage: Stage::Prepare });
        resources.extend(replaced.map(|absent| Box::new(absent) as Box<dyn Resource>));
        resources.extend(login_file.map(|file| Box::new(file) as Box<dyn Resource>));
        resources.push(Box::new(repository));
        resources.extend(fetched.map(|keyring| Box::new(keyring) as Box<dyn Resource>));
        resources.extend(trusted.map(|keys| Box::new(keys) as Box<dyn Resource>));
        Ok(resources)
    }
}

/// Lets a mirror stand for `url`, and gives it, where one does.
fn stood_for(network: &Setting, url: &mut String) -> Option<Mirror> {
    let (mirror, asked) = network.mirror_of(url)?;
    *url = asked;
    Some(mirror.clone())
}

/// Lets mirrors stand for `urls`, and gives those that do. Where all of `urls` get `one_login`, those stay alone that the first login is for: the
/// others are alternatives, and would be told a password that is none of theirs.
fn mirrored(network: &Setting, urls: &mut Vec<String>, one_login: bool) -> Vec<Mirror> {
    let mut stood: Vec<(String, Option<Mirror>)> = Vec::new();
    for mut url in urls.drain(..) {
        let mirror = stood_for(network, &mut url);
        stood.push((url, mirror));
    }
    let login_of = |mirror: &Option<Mirror>| mirror.as_ref().and_then(|mirror| mirror.login.clone());
    let first = stood.iter().find_map(|(_, mirror)| login_of(mirror)).filter(|_| one_login);
    if first.is_some() {
        stood.retain(|(_, mirror)| login_of(mirror) == first);
    }
    let (left, mirrors): (Vec<String>, Vec<Option<Mirror>>) = stood.into_iter().unzip();
    *urls = left;
    mirrors.into_iter().flatten().collect()
}

impl Settings {
    fn check(&self, name: &str, manager: Manager) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // apt reads no file whose name has other characters.
        if name.is_empty() || !name.chars().all(plain) || name.starts_with('.') {
            return Err(format!("'{name}' cannot be the name of a repository: letters, digits and - _ . only"));
        }
        if manager.reserved_name() == Some(name) {
            let manager = manager.name();
            return Err(format!(
                "'{name}' cannot be the name of a repository: {manager} takes it for its own settings"
            ));
        }
        for (key, values) in [("uris", &self.uris), ("fingerprints", &self.fingerprints)] {
            if values.is_empty() {
                return Err(format!("'{key}' is empty"));
            }
        }
        let schemes = ["http://", "https://", "file:/"];
        if let Some(uri) = self.uris.iter().find(|uri| !schemes.iter().any(|scheme| uri.starts_with(scheme))) {
            return Err(format!("'{uri}' is not an http, https or file URI"));
        }
        if self.uris.iter().any(|uri| {
            uri.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().unwrap_or("").contains('@'))
        }) {
            return Err("a URI has a login in it, and apt's sources are readable by everybody".to_owned());
        }
        self.check_suites(manager)?;
        let pins = self.pins.iter().flat_map(|pin| &pin.packages);
        let words = [&self.uris, &self.suites, &self.components, &self.architectures].into_iter().flatten().chain(pins);
        if let Some(word) = words
            .into_iter()
            .find(|word| word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()))
        {
            return Err(format!("'{}' has white space in it or is empty", word.escape_debug()));
        }
        let kinds = ["version ", "origin ", "release "];
        if let Some(pin) = self
            .pins
            .iter()
            .find(|pin| !kinds.iter().any(|kind| pin.pin.starts_with(kind)) || pin.pin.contains(char::is_control))
        {
            return Err(format!("pin '{}' does not begin with version, origin or release", pin.pin.escape_debug()));
        }
        Ok(())
    }

    /// What a repository has besides its address.
    fn check_suites(&self, manager: Manager) -> Result<(), String> {
        if !manager.has_pins() && !self.pins.is_empty() {
            return Err(format!("'pins' are nothing that {} has", manager.name()));
        }
        if !manager.has_suites() {
            let more = [&self.suites, &self.components, &self.architectures].iter().any(|list| !list.is_empty());
            let other = self.pins.iter().any(|pin| !pin.pin.starts_with("version "));
            return match (more || other, self.uris.iter().find(|uri| uri.contains('$'))) {
                (true, _) => Err(format!(
                    "'suites', 'components', 'architectures' and pins by origin or release are nothing that {} has",
                    manager.name()
                )),
                (_, Some(uri)) => {
                    Err(format!("'{uri}' has a variable in it: write what it stands for, as by '{{{{ host.arch }}}}'"))
                }
                _ => Ok(()),
            };
        }
        if self.suites.is_empty() {
            return Err("'suites' is empty".to_owned());
        }
        let paths = self.suites.iter().filter(|suite| suite.ends_with('/')).count();
        match (paths, self.components.is_empty()) {
            (0, true) => return Err("'components' is empty, and 'suites' are not paths that end in '/'".to_owned()),
            (0, false) => {}
            (some, empty) if some < self.suites.len() || !empty => {
                return Err(
                    "'suites' that end in '/' are paths: they have no components and no other suites beside them"
                        .to_owned(),
                );
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use distro::facts::PackageManager;
    use distro::network::{Given, Login, Mirror};
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    fn with(changes: serde_json::Value) -> Settings {
        let mut settings = json!({
            "uris": ["https://packages.example.net/deb"], "suites": ["bookworm"], "components": ["main"],
            "key": "redis.asc", "fingerprints": ["00"],
        });
        settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(settings).unwrap()
    }

    #[test]
    fn a_key_is_a_file_or_is_fetched() {
        let url = "https://www.example.net/key.asc";
        let fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
        let step = |key: serde_json::Value| {
            let settings =
                json!({"uris": ["https://p.example.net/deb"], "suites": ["bookworm"], "components": ["main"]});
            let mut settings = settings.as_object().unwrap().clone();
            settings.extend(key.as_object().unwrap().clone());
            Step::new("vendor").expand::<Settings>(settings.into())
        };
        let resources = step(json!({"key_url": url, "fingerprints": [fingerprint]})).unwrap();
        assert_eq!(names(&resources), ["repository vendor", "keyring /etc/apt/keyrings/vendor.gpg"]);
        for (key, wanted) in [
            (json!({"fingerprints": [fingerprint]}), "one of 'key' and 'key_url' is needed"),
            (
                json!({"key": "a", "key_url": url, "fingerprints": [fingerprint]}),
                "one of 'key' and 'key_url' is needed",
            ),
            (json!({"key_url": "ftp://x/", "fingerprints": [fingerprint]}), "'ftp://x/' is not an http or https URL"),
            (json!({"key_url": "https://x/hunter2", "fingerprints": [fingerprint]}), "'key_url' has a secret in it"),
            (json!({"key_url": url, "fingerprints": ["0EBFCD88"]}), "'0EBFCD88' is not a full fingerprint"),
        ] {
            let error = step(key).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn mirrors_stand_for_what_the_blueprint_names() {
        let login = Login { user: "jo".into(), password: "hunter2".into() };
        let mirror =
            |of: &str, url: &str, key| Mirror { of: of.into(), url: url.into(), key, login: Some(login.clone()) };
        let fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
        let other = "89ABCDEF0123456789ABCDEF0123456789ABCDEF";
        let own = distro::network::Key {
            fingerprints: vec![other.into()],
            from: KeyFrom::Url("https://mirror.corp/own.asc".into()),
        };
        let settings = json!({
            "uris": ["https://p.example.net/deb", "https://q.example.net/deb"], "suites": ["bookworm"], "components": ["main"],
            "key_url": "https://p.example.net/key.asc", "fingerprints": [fingerprint],
        });
        let asked = |mirrors: Vec<Mirror>| {
            let mut step = Step::new("vendor");
            let given = Given { mirrors: Some(mirrors), ..Given::default() };
            step.network = Setting::settle(&given, None, false, &|_| None).unwrap().0;
            let resources = step.expand::<Settings>(settings.clone()).unwrap();
            let endpoints: Vec<String> =
                resources.iter().flat_map(|resource| resource.endpoints()).map(|endpoint| endpoint.url).collect();
            (names(&resources), endpoints, wants(&resources, "keyring /etc/apt/keyrings/vendor.gpg"))
        };
        let resources =
            ["file /etc/apt/auth.conf.d/vendor.conf", "repository vendor", "keyring /etc/apt/keyrings/vendor.gpg"];
        let both = vec![
            mirror("https://p.example.net", "https://mirror.corp/p", None),
            mirror("https://q.example.net/deb", "https://mirror.corp/p/deb", None),
        ];
        let (named, endpoints, keys) = asked(both);
        assert_eq!(named, resources);
        assert_eq!(endpoints, ["https://mirror.corp/p/deb/dists/bookworm/InRelease", "https://mirror.corp/p/key.asc"]);
        assert_eq!(keys, fingerprint);
        let (_, endpoints, keys) = asked(vec![mirror("https://p.example.net/deb", "https://mirror.corp/p", Some(own))]);
        let wanted = [
            "https://mirror.corp/p/dists/bookworm/InRelease",
            "https://q.example.net/deb/dists/bookworm/InRelease",
            "https://mirror.corp/own.asc",
        ];
        assert_eq!((endpoints, keys.as_str()), (wanted.map(str::to_owned).to_vec(), other));
        assert_eq!(asked(Vec::new()).0, resources[1..]);
    }

    /// Where a login is sent to all addresses of a repository, none is left that it is not for.
    #[test]
    fn a_login_is_for_the_mirrors_that_have_it() {
        let fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
        let other = "89ABCDEF0123456789ABCDEF0123456789ABCDEF";
        let mirror = |name: &str, user: Option<&str>, key| Mirror {
            of: format!("https://{name}.example.net"),
            url: format!("https://{name}.corp"),
            key,
            login: user.map(|user| Login { user: user.into(), password: "hunter2".into() }),
        };
        let own = || {
            let from = KeyFrom::Url("https://q.corp/own.asc".into());
            Some(distro::network::Key { fingerprints: vec![other.into()], from })
        };
        let with_p = "https://p.corp/r";
        for (case, (mirrors, with_rpm, with_apt, key)) in [
            (
                vec![mirror("p", Some("jo"), None)],
                &[with_p][..],
                &[with_p, "https://q.example.net/r"][..],
                [fingerprint; 2],
            ),
            (
                vec![mirror("q", Some("jo"), None)],
                &["https://q.corp/r"],
                &["https://p.example.net/r", "https://q.corp/r"],
                [fingerprint; 2],
            ),
            (
                vec![mirror("p", None, None), mirror("q", Some("jo"), own())],
                &["https://q.corp/r"],
                &[with_p, "https://q.corp/r"],
                [other; 2],
            ),
            (
                vec![mirror("p", Some("jo"), None), mirror("q", Some("jo"), None)],
                &[with_p, "https://q.corp/r"],
                &[with_p, "https://q.corp/r"],
                [fingerprint; 2],
            ),
            (
                vec![mirror("p", Some("jo"), None), mirror("q", Some("ju"), own())],
                &[with_p],
                &[with_p, "https://q.corp/r"],
                [fingerprint, other],
            ),
            (
                vec![mirror("p", None, None)],
                &[with_p, "https://q.example.net/r"],
                &[with_p, "https://q.example.net/r"],
                [fingerprint; 2],
            ),
        ]
        .into_iter()
        .enumerate()
        {
            for manager in [PackageManager::Dnf, PackageManager::Yum, PackageManager::Zypper, PackageManager::Apt] {
                let is_apt = manager == PackageManager::Apt;
                let mut step = Step::new("vendor");
                step.facts.package_manager = Some(manager);
                let given = Given { mirrors: Some(mirrors.clone()), ..Given::default() };
                step.network = Setting::settle(&given, None, false, &|_| None).unwrap().0;
                let suites: &[&str] = if is_apt { &["./"] } else { &[] };
                let resources = step
                    .expand::<Settings>(json!({
                        "uris": ["https://p.example.net/r", "https://q.example.net/r"], "suites": suites,
                        "key_url": "https://k.example.net/key.asc", "fingerprints": [fingerprint],
                    }))
                    .unwrap();
                let of_sort = |sort: &str| resources.iter().find(|resource| resource.sort() == sort).unwrap();
                let asked: Vec<String> = of_sort("repository").endpoints().into_iter().map(|one| one.url).collect();
                let (wanted, index) =
                    if is_apt { (with_apt, "/InRelease") } else { (with_rpm, "/repodata/repomd.xml") };
                let wanted: Vec<String> = wanted.iter().map(|uri| format!("{uri}{index}")).collect();
                assert_eq!(asked, wanted, "{manager:?}, case {case}");
                let pinned = String::from_utf8(of_sort("keyring").claims()[0].wants.clone()).unwrap();
                assert_eq!(pinned, key[usize::from(is_apt)], "{manager:?}, case {case}");
            }
        }
    }

    #[test]
    fn a_login_that_cannot_be_written_down_is_refused() {
        for (manager, password, fits) in [
            (PackageManager::Yum, "hunter2%(", false),
            (PackageManager::Yum, "$hunter%2", true),
            (PackageManager::Dnf, "hunter2%(", true),
        ] {
            let mut step = Step::new("vendor");
            step.facts.package_manager = Some(manager);
            let login = Some(Login { user: "jo".into(), password: password.into() });
            let (of, url) = ("https://p.example.net".into(), "https://mirror.corp".into());
            let given = Given { mirrors: Some(vec![Mirror { of, url, key: None, login }]), ..Given::default() };
            step.network = Setting::settle(&given, None, false, &|_| None).unwrap().0;
            let fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
            let settings = json!({
                "uris": ["https://p.example.net/el7"], "key_url": "https://p.example.net/key.asc", "fingerprints": [fingerprint],
            });
            let error = step.expand::<Settings>(settings).err().map(|error| error.to_string());
            let wanted = "step 'vendor': yum cannot be told the login of 'jo' to the mirror 'https://mirror.corp': there is '%(' in it";
            assert_eq!(error.as_deref(), (!fits).then_some(wanted), "{password}");
        }
    }

    #[test]
    fn settings_that_apt_would_misread_are_refused() {
        let good = [
            json!({}),
            json!({"suites": ["./"], "components": []}),
            json!({"uris": ["file:/srv/r"]}),
            json!({"pins": [{"packages": ["*"], "pin": "origin a", "priority": -1}]}),
        ];
        for changes in good {
            assert_eq!(with(changes.clone()).check("redis", Manager::Apt), Ok(()), "{changes}");
        }
        let bad = [
            (json!({"uris": []}), "'uris' is empty"),
            (json!({"uris": ["packages.example.net"]}), "'packages.example.net' is not an http"),
            (json!({"uris": ["https://u:p@h/deb"]}), "a URI has a login in it"),
            (json!({"suites": ["a\nb"]}), "'a\\nb' has white space"),
            (json!({"components": ["main x"]}), "'main x' has white space"),
            (json!({"components": []}), "'components' is empty"),
            (json!({"suites": ["./"]}), "'suites' that end in '/' are paths"),
            (json!({"pins": [{"packages": ["*"], "pin": "7.*", "priority": 1}]}), "pin '7.*'"),
            (json!({"fingerprints": []}), "'fingerprints' is empty"),
        ];
        for (changes, expected) in bad {
            let why = with(changes.clone()).check("redis", Manager::Apt).unwrap_err();
            assert!(why.starts_with(expected), "{changes}: {why}");
        }
        let with_nothing_else = json!({"suites": [], "components": []});
        let pinned = json!({
            "suites": [], "components": [], "pins": [{"packages": ["st2"], "pin": "version 3.9.*", "priority": 1001}],
        });
        for changes in [with_nothing_else, pinned] {
            assert_eq!(with(changes).check("redis", Manager::Dnf), Ok(()));
        }
        for (changes, expected) in [
            (
                json!({}),
                "'suites', 'components', 'architectures' and pins by origin or release are nothing that dnf has",
            ),
            (
                json!({"suites": [], "components": [], "pins": [{"packages": ["*"], "pin": "origin a", "priority": 1}]}),
                "'suites', 'components', 'architectures' and pins by origin or release",
            ),
            (
                json!({"suites": [], "components": [], "uris": ["https://x/$basearch"]}),
                "'https://x/$basearch' has a variable in it",
            ),
        ] {
            let why = with(changes).check("redis", Manager::Dnf).unwrap_err();
            assert!(why.starts_with(expected), "{why}");
        }
        for name in ["", "a b", "../x", ".x", "a/b", "ä"] {
            assert!(with(json!({})).check(name, Manager::Apt).is_err(), "{name}");
        }
        let bare = || with(json!({"suites": [], "components": []}));
        for manager in [Manager::Dnf, Manager::Yum, Manager::Zypper] {
            let why = bare().check("main", manager).unwrap_err();
            assert!(why.starts_with("'main' cannot be the name of a repository"), "{why}");
            assert_eq!(bare().check("main2", manager), Ok(()));
        }
        assert_eq!(with(json!({})).check("main", Manager::Apt), Ok(()));
    }
}
