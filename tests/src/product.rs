//! surefoot driven on a host: what its runs say, and hosts that it installed.

use crate::{host::Host, place, run::Output, snapshot, snapshot::Snapshot, suite::Suite};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fs, path::Path};

/// What an install said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Resources that were changed, those that were only restarted too, in order: `site/file:/etc/x`.
    pub touched: Vec<String>,
    /// How many were found in place.
    pub in_place: u64,
    /// How many were changed.
    pub changed: u64,
    /// How many took up what was changed elsewhere.
    pub restarted: u64,
}

impl Told {
    /// Reads the events of an install that ended well.
    ///
    /// # Errors
    /// When they have no end.
    pub fn of(output: &Output) -> Result<Self> {
        let events: Vec<Value> = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
        let touched =
            of("resource_changed").into_iter().filter_map(|event| event["resource"].as_str()).map(str::to_owned);
        let ended = of("run_ended");
        let end = ended.last().with_context(|| format!("`{}` did not end:\n{}", output.command, output.stdout))?;
        let count = |name: &str| end[name].as_u64().with_context(|| format!("no {name} in {end}"));
        Ok(Self {
            touched: touched.collect(),
            in_place: count("in_place")?,
            changed: count("changed")?,
            restarted: count("restarted")?,
        })
    }
}

impl Host {
    /// Runs surefoot with these arguments, which stand between blanks.
    ///
    /// # Errors
    /// As [`Host::exec`].
    pub fn surefoot(&self, args: &str) -> Result<Output> {
        self.exec(std::iter::once("surefoot").chain(args.split_whitespace()))
    }

    /// Installs a blueprint, with these arguments of `surefoot install`, and says what that changed.
    ///
    /// # Errors
    /// When it does not exit 0.
    pub fn install(&self, args: &str) -> Result<Told> {
        Told::of(&self.surefoot(&format!("install --yes --output json {args}"))?.ok()?)
    }
}

/// A key for what this program makes of a blueprint of `tests/data/blueprints`.
pub(crate) fn key_of(name: &str) -> Result<String> {
    let mut key = snapshot::key_of(&place::surefoot()?)?;
    for (path, bytes) in blueprint(name)? {
        key.push_str(&format!(" {path} {}", String::from_utf8_lossy(&bytes)));
    }
    Ok(key)
}

/// A blueprint of `tests/data/blueprints` installed by this program on a host of `suite`, whose disk is kept for all tests. It is at
/// `/root/NAME` there, and its secrets are generated.
///
/// # Errors
/// When it cannot be installed.
pub fn installed(suite: Suite, name: &str) -> Result<Snapshot> {
    Snapshot::cached(&format!("{name}-{suite}"), &key_of(name)?, || {
        let host = Host::boot(suite)?;
        host.install_binary()?;
        let at = host.install_blueprint(name)?;
        let told = host.install(&at)?;
        ensure!(told.changed > 0, "{told:?}");
        Ok(host)
    })
}

/// Files of a blueprint of `tests/data/blueprints`, by their paths below its folder.
pub(crate) fn blueprint(name: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/blueprints").join(name);
    let mut files = Vec::new();
    for folder in ["", "files/"] {
        let Ok(entries) = fs::read_dir(from.join(folder)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if let Some(file) = path.file_name().filter(|_| path.is_file()) {
                files.push((format!("{folder}{}", file.to_string_lossy()), fs::read(&path)?));
            }
        }
    }
    ensure!(!files.is_empty(), "no blueprint {}", from.display());
    files.sort();
    Ok(files)
}
