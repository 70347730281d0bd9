//! What a package manager's solver answers.

use crate::{Class, Fault};

/// A package that goes from one version to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Name, with the architecture where it is a foreign one.
    pub name: String,
    /// Version that is there; none for a new one.
    pub from: Option<String>,
    /// Version that will be there, empty where it is removed.
    pub to: String,
}

/// A package's file on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Where it is fetched from.
    pub url: String,
    /// Its name in the package manager's cache.
    pub file: String,
    /// What it has to be, as the signed index says: `SHA256:` and hexadecimal digits.
    pub hash: String,
}

/// The solver's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solution {
    /// Packages that are not there yet.
    pub new: Vec<Move>,
    /// Packages that get a newer version.
    pub upgraded: Vec<Move>,
    /// Packages that get an older version.
    pub downgraded: Vec<Move>,
    /// Packages that go.
    pub removed: Vec<Move>,
    /// What has to be fetched for it and can be by itself: of apt alone.
    pub archives: Vec<Archive>,
    /// What may stand at the end of a name and means the host's own architecture.
    pub native: String,
}

impl Solution {
    /// The version that the package `name` gets; none where it stays as it is.
    pub fn version_of(&self, name: &str) -> Option<&str> {
        let name = name.strip_suffix(self.native.as_str()).unwrap_or(name);
        self.new.iter().chain(&self.upgraded).find(|one| one.name == name).map(|one| one.to.as_str())
    }

    /// What would be lost of what is there is nobody's wish.
    pub(crate) fn refuse_losses(&self, names: &[String]) -> Result<(), Fault> {
        if self.removed.is_empty() && self.downgraded.is_empty() {
            return Ok(());
        }
        let version = |of: &Move| of.from.clone().unwrap_or_default();
        let removed = self.removed.iter().map(|gone| format!("would remove {} {}", gone.name, version(gone)));
        let downgraded =
            self.downgraded.iter().map(|one| format!("would downgrade {} {} to {}", one.name, version(one), one.to));
        let message = format!("installing {} would remove or downgrade other packages", names.join(", "));
        let advice = "decide about these packages yourself: remove or hold them, or change the pins that force this; then go \
                      on with --resume";
        Err(Fault::new(Class::Package, message).evidence(removed.chain(downgraded)).advice(advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_tell_the_own_architecture() {
        let moved = |name: &str| Move { name: name.into(), from: None, to: "2".into() };
        let solution = Solution {
            new: vec![moved("a"), moved("c:i386")],
            upgraded: vec![moved("b")],
            removed: vec![moved("d")],
            native: ":amd64".into(),
            ..Solution::default()
        };
        for (name, moves) in [("a", true), ("a:amd64", true), ("b", true), ("c", false), ("c:i386", true), ("d", false)]
        {
            assert_eq!(solution.version_of(name).is_some(), moves, "{name}");
        }
    }
}
