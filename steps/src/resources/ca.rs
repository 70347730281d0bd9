//! Certificates of a CA of the user's own, trusted by everything on the host.

use anyhow::Result;
use distro::ca::{self, Store};
use distro::facts::Family;
use distro::{Class, Fault};
use serde_json::Value;

use super::file::File;
use crate::undo::{Undo, UndoCx, Undone};
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// The certificates, each in a file of the distribution's store.
#[derive(Clone, Debug)]
pub struct Ca {
    /// Name of the files, without number and ending.
    name: String,
    /// PEM, one certificate each.
    certificates: Vec<String>,
    store: Store,
}

impl Ca {
    /// `certificates` for hosts of `family`.
    ///
    /// # Errors
    /// Class `unsupported`, where it is not known how that family keeps them.
    pub fn new(name: impl Into<String>, certificates: Vec<String>, family: Family) -> Result<Self, Fault> {
        let store = ca::store(family).ok_or_else(|| {
            Fault::new(Class::Unsupported, "it is not known where this distribution keeps CA certificates")
                .advice("add the CA to the host's trust store by hand, and leave --ca-file out")
        })?;
        Ok(Self { name: name.into(), certificates, store })
    }

    /// Package that brings the store.
    pub fn package(&self) -> &'static str {
        self.store.package
    }

    /// Each certificate's file, under the name of its item.
    fn files(&self) -> Vec<(String, File)> {
        let file = |(number, pem): (usize, &String)| {
            let path = self.store.path(&format!("{}-{}", self.name, number + 1));
            (format!("certificate {}", number + 1), File::new(path.display().to_string(), pem.as_bytes()))
        };
        self.certificates.iter().enumerate().map(file).collect()
    }
}

impl Resource for Ca {
    fn sort(&self) -> &'static str {
        "ca"
    }

    fn key(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        if self.store.is_its_managers { Stage::Prepare } else { Stage::Configure }
    }

    fn claims(&self) -> Vec<Claim> {
        self.files().iter().flat_map(|(_, file)| file.claims()).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let mut changes = Vec::new();
        for pem in &self.certificates {
            if !self.store.trusts(pem)? {
                // Undo goes backwards: the files are gone by then.
                changes.push(Change::new("store", "let everything on this host trust it", Undo::RefreshCaStore));
                break;
            }
        }
        for (item, file) in self.files() {
            match file.probe(cx)? {
                Probe::InPlace(_) => {}
                Probe::Changes(parts) => changes.extend(parts.into_iter().map(|change| Change {
                    item: format!("{item} {}", change.item),
                    summary: format!("{item}: {}", change.summary),
                    ..change
                })),
                other => return Ok(other),
            }
        }
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        for (item, file) in self.files() {
            let of_file = |change: &Change| {
                let item = change.item.strip_prefix(&item)?.strip_prefix(' ')?.to_owned();
                Some(Change { item, ..change.clone() })
            };
            let parts: Vec<Change> = changes.iter().filter_map(of_file).collect();
            if !parts.is_empty() {
                file.apply(cx, &parts)?;
            }
        }
        if self.store.refresh(cx.host)? {
            return Ok(());
        }
        Err(Fault::new(
            Class::Host,
            format!("there is no store of CA certificates: package {} is missing", self.package()),
        )
        .advice("install that package, then go on with --resume")
        .into())
    }
}

/// Lets the store forget what is not in its folder any more.
pub(crate) fn undo_store(cx: &UndoCx<'_>) -> Result<Undone> {
    let Some(store) = ca::store(cx.host.facts.family) else { return Ok(Undone::Gone) };
    Ok(if store.forget(cx.host)? { Undone::Done("updated the store of CA certificates".into()) } else { Undone::Gone })
}
