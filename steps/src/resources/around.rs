//! A resource around another one.

use std::fmt::Debug;

use anyhow::Result;

use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// What stands around a resource of something on disk, and is that resource to all others: it says only what differs, such as what is a
/// conflict.
pub(super) trait Around: Debug {
    /// What it is around.
    fn inner(&self) -> &dyn Resource;

    fn claims(&self) -> Vec<Claim> {
        self.inner().claims()
    }

    fn units(&self) -> Vec<String> {
        self.inner().units()
    }

    fn recall(&self, marker: &str) -> Result<Option<(String, String)>> {
        self.inner().recall(marker)
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        self.inner().probe(cx)
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.inner().apply(cx, changes)
    }

    fn takes_the_place_of(&self, sort: &str, key: &str) -> bool {
        self.inner().takes_the_place_of(sort, key)
    }
}

impl<T: Around> Resource for T {
    fn sort(&self) -> &'static str {
        self.inner().sort()
    }

    fn key(&self) -> String {
        self.inner().key()
    }

    fn stage(&self) -> Stage {
        self.inner().stage()
    }

    fn claims(&self) -> Vec<Claim> {
        Around::claims(self)
    }

    fn units(&self) -> Vec<String> {
        Around::units(self)
    }

    fn recall(&self, marker: &str) -> Result<Option<(String, String)>> {
        Around::recall(self, marker)
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        Around::probe(self, cx)
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        Around::apply(self, cx, changes)
    }

    fn takes_the_place_of(&self, sort: &str, key: &str) -> bool {
        Around::takes_the_place_of(self, sort, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::beside::Beside;
    use crate::resources::checked::Checked;
    use crate::resources::main_servers::MainServers;
    use crate::resources::private::Private;
    use crate::resources::rabbitmq::{Configuration, FirstDefinitions};
    use crate::resources::trial::Trial;

    fn checked(inner: impl Resource + 'static) -> Box<Checked> {
        Box::new(Checked { path: inner.key(), inner: Box::new(inner), check: Vec::new(), unit: "x".into() })
    }

    fn site(inner: Box<dyn Resource>) -> Box<dyn Resource> {
        let (names, ports) = (vec!["a".to_owned()], vec![80]);
        Box::new(Beside { inner, names, ports, files: Vec::new(), own: Vec::new(), config: None, ipv6: true })
    }

    #[test]
    fn what_a_wrapper_does_not_say_is_said_by_what_it_is_around() {
        let trial = Trial::new();
        let file = || trial.file("f", "key = MARKER", 0o600);
        trial.write("f", "key = abcdef");
        let all: [(Box<dyn Resource>, bool); 5] = [
            (Box::new(Private { inner: Box::new(file()), path: file().path }), true),
            (checked(file()), true),
            (site(checked(file())), true),
            (Box::new(Configuration { file: file(), folder: trial.at("").into() }), true),
            // Digests of passwords are no passwords.
            (Box::new(FirstDefinitions { file: file(), environment: trial.at("environment") }), false),
        ];
        for (wrapper, recalls) in all {
            assert_eq!(wrapper.claims()[0], file().claims()[0]);
            let recalled = recalls.then(|| ("abcdef".to_owned(), file().path));
            assert_eq!(wrapper.recall("MARKER").unwrap(), recalled, "{wrapper:?}");
        }
        let (ports, folders, own) = (Vec::new(), Vec::new(), Vec::new());
        let main = MainServers { path: "/m".into(), unit: "x".into(), ports, folders, own, config: None };
        let site = site(checked(main));
        assert_eq!(site.units(), ["x"]);
        let things = site.claims().into_iter().map(|claim| claim.thing);
        assert_eq!(things.collect::<Vec<_>>(), ["lines:/m#server", "file:/m", "site:80 a"]);
    }
}
