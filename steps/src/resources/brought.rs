//! What a server gets that came with the product.

use anyhow::Result;
use distro::{Look, services};
use serde_json::Value;

use super::around::Around;
use crate::{Change, Cx, Probe, Resource};

/// Something beside a server, such as a part of its unit, where this product brought the server's package. A server that was there before is started
/// the way its administrator knows.
#[derive(Debug)]
pub struct Brought {
    /// What it gets.
    pub inner: Box<dyn Resource>,
    /// The server's package.
    pub package: String,
    /// The server's unit.
    pub unit: String,
}

impl Around for Brought {
    fn inner(&self) -> &dyn Resource {
        self.inner.as_ref()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        if cx.look.is_installed(&self.package)? && !cx.memory.installed(&self.package) {
            return Ok(Probe::InPlace(Value::Null));
        }
        self.inner.probe(cx)
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.inner.apply(cx, changes)?;
        let unit = Look::new(cx.host).unit(&self.unit)?;
        // One that is to be started has it read before.
        if unit.active && unit.needs_reload { services::daemon_reload(cx.host) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn what_came_with_the_product_gets_it() {
        let mut trial = Trial::new();
        let of = |trial: &Trial, package: &str| {
            let inner = Box::new(trial.file("unit", "x", 0o644));
            trial.probe(&Brought { inner, package: package.into(), unit: "x.service".into() }).unwrap()
        };
        // One that is not there will have been brought.
        assert!(matches!(of(&trial, "no-such-package"), Probe::Changes(_)));
        assert!(matches!(of(&trial, "dpkg"), Probe::InPlace(_)));
        trial.made = true;
        assert!(matches!(of(&trial, "dpkg"), Probe::Changes(_)));
    }
}
