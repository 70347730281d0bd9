//! The network settings of a command line: read, put together with what was stored and with the environment, and used.

use std::io::Read;

use anyhow::{Context as _, Result};
use distro::files::Meta;
use distro::network::{self, Given, Network, Proxy, Scheme, Setting};
use distro::packages::{Manager, ProxyPlace};
use distro::{Class, Facts, Fault, Host};
use steps::resources::ca::Ca;
use steps::resources::file::File;
use steps::resources::ini::Ini;
use steps::resources::key_value::KeyValue;
use steps::resources::packages::Packages;
use steps::{KeyFormat, Resource, Stage};

use super::NetworkArgs;
use super::context::Context;
use crate::blueprint::{ExpandedStep, read_given};
use crate::engine::store::Store;

/// Name of what is stored, in the product's folder.
pub const STORED: &str = "network.json";

/// Works out how this host reaches others, and lets every child and our own client do so. `set_file` are the inputs that come from
/// files; `resume` says that a run is gone on with.
///
/// # Errors
/// Class `usage`, where a value is wrong or a password stands on the command line; class `state`, where what was stored is damaged.
pub fn settle(
    context: &Context,
    host: &Host,
    args: &NetworkArgs,
    set_file: &[String],
    store: &Store,
    resume: bool,
) -> Result<Setting> {
    let stored = if host.root { stored(store)? } else { None };
    let given = given(args, set_file)?;
    let env = |name: &str| std::env::var(name).ok();
    let (setting, notes) = Setting::settle(&given, stored.as_ref(), resume, &env)?;
    let network = Network::new(&setting, &network::own_names(&host.facts)?)?;
    for secret in network.secrets() {
        context.redactor.learn(&secret);
    }
    for note in notes {
        context.bus.warn(note);
    }
    host.runner.use_network(network);
    Ok(setting)
}

/// What the host itself is brought to for the sake of the network: the step before all others, where there is anything.
///
/// # Errors
/// Class `unsupported`, where it is not known how this distribution does that.
pub fn step(setting: &Setting, product: &str, facts: &Facts) -> Result<Vec<ExpandedStep>> {
    let network = Network::new(setting, &[facts.hostname.clone(), facts.fqdn.clone()])?;
    refuse_tls_to_old(&network, facts)?;
    let mut resources: Vec<Box<dyn Resource>> = Vec::new();
    let certificates = network.ca_certificates();
    if !certificates.is_empty() {
        let ca = Ca::new(format!("surefoot-{product}"), certificates, facts.family)?;
        resources.push(Box::new(Packages::new(vec![ca.package().to_owned()], Vec::new())));
        resources.push(Box::new(ca));
    }
    if setting.is_kept() {
        resources.extend(kept(&network, facts)?);
    }
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    let id = "network".to_owned();
    Ok(vec![ExpandedStep { kind: id.clone(), id, was: None, resources, skipped_by: None }])
}

/// What fetches on an old host speaks no TLS to a proxy.
fn refuse_tls_to_old(network: &Network, facts: &Facts) -> Result<()> {
    let tls = [&network.http, &network.https].into_iter().flatten().find(|proxy| proxy.scheme == Scheme::Https);
    let Some(proxy) = tls.filter(|_| !network::speaks_tls_to_proxies(facts)) else { return Ok(()) };
    let message = format!("the proxy {proxy} is spoken to by TLS, which curl 7.29 of {} cannot", facts.os_name);
    Err(Fault::new(Class::Unsupported, message)
        .advice("give an address of it that is spoken to by HTTP: `--proxy http://HOST:PORT`")
        .into())
}

/// What lets the host itself use the proxy. It is one for the whole host, so that two products that want different ones are a conflict.
fn kept(network: &Network, facts: &Facts) -> Result<Vec<Box<dyn Resource>>> {
    let (settings, logins) = network.lasting_apt_settings();
    // Where there is none, the system is not supported, which is told in its place.
    let manager = Manager::of(facts).unwrap_or(Manager::Apt);
    let (name, has_login) = (manager.name(), !logins.is_empty());
    let mut resources: Vec<Box<dyn Resource>> = Vec::new();
    let setting: Box<dyn Resource> = match manager.proxy_place() {
        ProxyPlace::Administrators(file) => {
            let message = format!("--keep-proxy is not for {name}: {file} is the administrator's");
            let advice = "leave it out, and write the proxy into that file (`yast proxy`)";
            return Err(Fault::new(Class::Unsupported, message).advice(advice).into());
        }
        ProxyPlace::Setting(file) if has_login => {
            let message = format!("{name} keeps the login to a proxy in {file}, which everybody reads");
            let advice = "leave --keep-proxy out: a run takes any login";
            return Err(Fault::new(Class::Usage, message).advice(advice).into());
        }
        ProxyPlace::Setting(file) => {
            // It has one for everything.
            let proxy = network.proxy_for("https", "").or_else(|| network.proxy_for("http", ""));
            let (path, section, key) = (file.to_owned(), "main".to_owned(), "proxy".to_owned());
            let value = proxy.map_or(String::new(), Proxy::url);
            // A login that is there is for another one.
            for login in manager.proxy_login_options() {
                let (path, section, key) = (path.clone(), section.clone(), login.to_owned());
                let (value, stage) = (String::new(), Stage::Configure);
                resources.push(Box::new(Ini { path, section, key, value, sensitive: true, stage }));
            }
            Box::new(Ini { path, section, key, value, sensitive: false, stage: Stage::Configure })
        }
        ProxyPlace::Files(file, of_logins) => {
            if has_login {
                let meta = Meta::root(0o600);
                resources.push(Box::new(File { meta, sensitive: true, ..File::new(of_logins, logins) }));
            }
            Box::new(File::new(file, settings))
        }
    };
    if !has_login {
        // Everybody may read that file, so that it is no place for a password.
        let variables = network.lasting_environment(None).into_iter().map(|(key, value)| KeyValue {
            path: "/etc/environment".to_owned(),
            format: KeyFormat::Env,
            key,
            value,
            repeat: false,
            sensitive: false,
            stage: Stage::Configure,
        });
        resources.extend(variables.map(|variable| Box::new(variable) as Box<dyn Resource>));
    }
    resources.push(setting);
    Ok(resources)
}

/// What an earlier run stored.
///
/// # Errors
/// Class `state`, where it is damaged.
pub fn stored(store: &Store) -> Result<Option<Setting>> {
    Ok(store.kept(STORED)?.map(|bytes| Setting::parse(&bytes)).transpose()?)
}

fn given(args: &NetworkArgs, set_file: &[String]) -> Result<Given> {
    if let Some(proxy) = &args.proxy {
        refuse_password(proxy, std::env::var("SUREFOOT_PROXY").ok().as_deref())?;
    }
    let ca = args
        .ca_file
        .as_ref()
        .map(|path| -> Result<_> { Ok((path.display().to_string(), read_given(path, "--ca-file")?)) });
    Ok(Given {
        proxy: args.proxy.clone(),
        user: args.proxy_user.clone(),
        password: password(args, set_file)?,
        no_proxy: args.no_proxy.clone(),
        ca: ca.transpose()?,
        mirrors: args.mirrors.as_deref().map(super::mirrors::load).transpose()?,
        keep: args.keep_proxy,
    })
}

/// Everybody on this host can read a command line.
fn refuse_password(proxy: &str, in_environment: Option<&str>) -> Result<(), Fault> {
    let password =
        Proxy::parse(proxy).ok().and_then(|proxy| proxy.login).is_some_and(|login| !login.password.is_empty());
    if !password || in_environment == Some(proxy) {
        return Ok(());
    }
    Err(Fault::new(Class::Usage, "--proxy has a password in it, which others could see in the process list").advice(
        "change that password; give --proxy-user, and the password by --proxy-password-file or SUREFOOT_PROXY_PASSWORD",
    ))
}

fn password(args: &NetworkArgs, set_file: &[String]) -> Result<Option<String>> {
    let Some(path) = &args.proxy_password_file else { return Ok(std::env::var("SUREFOOT_PROXY_PASSWORD").ok()) };
    let bytes = if path.as_os_str() == "-" {
        if set_file.iter().any(|given| given.ends_with("=-")) {
            let message = "both --proxy-password-file and --set-file want to read standard input";
            return Err(Fault::new(Class::Usage, message).advice("give one of the two in a file").into());
        }
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("reading standard input")?;
        bytes
    } else {
        read_given(path, "--proxy-password-file")?
    };
    Ok(Some(line_of(bytes)?))
}

/// The password that is the line of a file.
pub(super) fn line_of(bytes: Vec<u8>) -> Result<String, Fault> {
    let text = String::from_utf8(bytes)
        .map_err(|_| Fault::new(Class::Usage, "a password is no text").advice("give it in UTF-8, on one line"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_stand_in_the_environment_and_not_on_the_command_line() {
        let with = "http://jo:hunter2@proxy:3128";
        assert!(refuse_password(with, Some(with)).is_ok());
        assert!(refuse_password("http://jo@proxy:3128", None).is_ok());
        for env in [None, Some("http://other:1")] {
            let fault = refuse_password(with, env).unwrap_err();
            assert_eq!(fault.class, Class::Usage);
            assert!(!format!("{fault:?}").contains("hunter2"));
        }
    }

    #[test]
    fn the_password_is_the_line_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        for (content, expected) in [("p@ss:w/rd#?%\n", "p@ss:w/rd#?%"), (" a b \r\n", " a b "), ("x", "x"), ("", "")] {
            let path = folder.path().join("password");
            std::fs::write(&path, content).unwrap();
            let args = NetworkArgs { proxy_password_file: Some(path), ..NetworkArgs::default() };
            assert_eq!(password(&args, &[]).unwrap().as_deref(), Some(expected));
        }
        // As everything in /etc/ssl/certs is.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("password", &link).unwrap();
        let args = |ca: &str| NetworkArgs { ca_file: Some(folder.path().join(ca)), ..NetworkArgs::default() };
        assert_eq!(given(&args("link"), &[]).unwrap().ca, Some((link.display().to_string(), Vec::new())));
        assert_eq!(Fault::class_of(&given(&args("gone"), &[]).err().unwrap()), Class::Usage);
        // A relative one is one in the folder that the user is in.
        assert!(read_given("Cargo.toml".as_ref(), "--ca-file").is_ok());
        let args = NetworkArgs { proxy_password_file: Some("-".into()), ..NetworkArgs::default() };
        assert_eq!(Fault::class_of(&password(&args, &["a=-".into()]).unwrap_err()), Class::Usage);
    }
}
