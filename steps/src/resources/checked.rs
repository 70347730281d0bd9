//! A change that the program whose configuration it is must agree to.

use std::path::Path;

use anyhow::Result;
use distro::Command;
use distro::files::{self, Kind, Seen};

use super::around::Around;
use super::service;
use crate::{Change, Cx, Resource};

/// A file or symlink that is part of the configuration of a service. After it was changed the program is asked whether it would take
/// its configuration; where it refuses, the path is as it was before, and the service is not touched.
#[derive(Debug)]
pub struct Checked {
    /// What is changed.
    pub inner: Box<dyn Resource>,
    /// Its path.
    pub path: String,
    /// Command that refuses bad configuration.
    pub check: Vec<String>,
    /// Whose configuration it is; the path itself, where it is no service's.
    pub unit: String,
}

/// What was at a path.
enum Before {
    Nothing,
    File(Vec<u8>, files::Meta),
    Symlink(String),
}

impl Checked {
    fn before(&self, cx: &Cx<'_>) -> Result<Option<Before>> {
        let path = Path::new(&self.path);
        Ok(match files::stat(cx.look, path)? {
            None => Some(Before::Nothing),
            Some(Seen { kind: Kind::File, meta }) => files::read(path)?.map(|content| Before::File(content, meta)),
            Some(Seen { kind: Kind::Symlink, .. }) => files::read_link(path)?.map(Before::Symlink),
            Some(_) => None,
        })
    }

    fn take_back(&self, cx: &Cx<'_>, before: &Before) -> Result<()> {
        let path = Path::new(&self.path);
        match before {
            Before::Nothing => files::remove(path).map(drop),
            Before::File(content, meta) => files::replace(cx.look, path, content, meta),
            Before::Symlink(target) => files::symlink(path, target),
        }
    }
}

impl Around for Checked {
    fn inner(&self) -> &dyn Resource {
        self.inner.as_ref()
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let before = self.before(cx)?;
        self.inner.apply(cx, changes)?;
        let Some((program, args)) = self.check.split_first() else { return Ok(()) };
        let output = Command::new(program).args(args).output(&cx.host.runner)?;
        if output.ok() {
            return Ok(());
        }
        let mut fault = service::refused(&self.unit, &output);
        if let Some(before) = before {
            self.take_back(cx, &before)?;
            let other = if self.unit == self.path { String::new() } else { format!("; {} was not touched", self.unit) };
            fault = fault.evidence([format!("{} is as it was before{other}", self.path)]);
        }
        Err(fault.into())
    }
}
