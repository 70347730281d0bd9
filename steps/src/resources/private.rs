//! A secret in a file of somebody else's.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Seen};
use distro::{Class, Fault};

use super::around::Around;
use super::paths;
use crate::{Cx, Probe, Resource};

/// A key whose value is a secret. It is not put into a file that everybody on the host can read.
#[derive(Debug)]
pub struct Private {
    /// The key.
    pub inner: Box<dyn Resource>,
    /// Absolute path of the file.
    pub path: String,
}

impl Private {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let probe = self.inner.probe(cx)?;
        let path = Path::new(&self.path);
        if matches!(probe, Probe::Changes(_))
            && let Some(Seen { meta, .. }) = files::stat(cx.look, path)?
            && meta.mode & 0o004 != 0
            && files::barred(cx.look, path, NOBODY)?.is_none()
        {
            let message =
                format!("{} has mode {meta}: everybody could read the secret that is to be set in it", self.path);
            return Err(Fault::new(Class::Conflict, message)
                .advice(format!(
                    "close it (`chmod o-r {}`), or let the step say so: attributes = {{ mode = \"0640\", group = … }}",
                    self.path
                ))
                .into());
        }
        Ok(probe)
    }
}

/// Who has no rights but those that everybody has.
const NOBODY: &str = "nobody";

impl Around for Private {
    fn inner(&self) -> &dyn Resource {
        self.inner.as_ref()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;
    use crate::resources::ini::Ini;
    use crate::resources::trial::Trial;

    #[test]
    fn a_secret_is_not_put_where_everybody_can_read_it() {
        let trial = Trial::new();
        let private = |name: &str| {
            let (path, section, key) = (trial.at(name), "db".to_owned(), "password".to_owned());
            let ini = Ini { path, section, key, value: "hunter2".to_owned(), sensitive: true, stage: Stage::Configure };
            Private { inner: Box::new(ini), path: trial.at(name) }
        };
        let file = |name: &str, mode| trial.with(|cx| trial.file(name, "[db]\n", mode).apply(cx, &[])).unwrap();
        let folder =
            |mode| files::set_attributes(&distro::Look::new(&trial.host), Path::new(&trial.at("")), &trial.meta(mode));
        // Nobody gets at what is in a folder of mode 0700.
        file("a", 0o644);
        folder(0o700).unwrap();
        assert_eq!(trial.changes(&private("a")).len(), 1);
        folder(0o755).unwrap();
        let error = trial.probe(&private("a")).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::Conflict);
        let meta = trial.meta(0o644);
        let message = format!("{} has mode {meta}: everybody could read the secret", trial.at("a"));
        assert!(error.to_string().starts_with(&message), "{error}");
        assert_eq!(trial.read("a"), "[db]\n");
        for mode in [0o640, 0o600] {
            file("b", mode);
            trial.bring(&private("b"));
        }
        // Somebody opened it since: that is not for this step to say.
        file("c", 0o600);
        trial.bring(&private("c"));
        trial.with(|cx| files::set_attributes(cx.look, Path::new(&trial.at("c")), &trial.meta(0o644))).unwrap();
        assert!(trial.changes(&private("c")).is_empty());
    }
}
