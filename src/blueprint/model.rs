//! What a blueprint says, once it is read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use distro::Fault;
use sha2::{Digest, Sha256};
use steps::kinds::Entry;
use steps::kinds::settings::Node;

use super::document::Source;
use super::spec::{InputSpec, Requires};

/// A product as data.
#[derive(Clone, Debug)]
pub struct Blueprint {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) version: String,
    pub(super) inputs: Vec<InputSpec>,
    pub(super) requires: Requires,
    /// Tables of its warnings.
    pub(super) warnings: Vec<Node>,
    pub(super) steps: Vec<Step>,
    /// Templates of the lines that end a successful run.
    pub(super) next: Vec<Node>,
    pub(super) source: Source,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) kinds: &'static [Entry],
}

/// An entry of a blueprint.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The id it had in an earlier version.
    pub was: Option<String>,
    /// The condition under which it is part of the product, and where it stands.
    pub when: Option<(String, Range<usize>)>,
    /// Settings of its kind.
    pub(super) settings: Node,
    /// Settings that differ on some hosts: family, OS, or OS and version.
    pub(super) on: Vec<(String, Node)>,
    /// Line of the blueprint where it begins.
    pub line: usize,
}

impl Blueprint {
    /// Reads a blueprint: the name of a built-in one, a folder, or a `blueprint.toml`. A name that is both is the built-in one:
    /// write `./NAME` for the folder.
    ///
    /// # Errors
    /// Class `usage`, where there is none; class `blueprint` with everything that is wrong in it, each with file and line.
    pub fn load(source: &str) -> Result<Self> {
        let files = super::load::read(source)?;
        Ok(super::read::read(files, steps::kinds::ALL)?)
    }

    /// Reads a blueprint back that was stored in `folder` by an earlier run.
    ///
    /// # Errors
    /// As [`Blueprint::load`].
    pub fn from_stored(folder: &Path) -> Result<Self> {
        let files = super::load::folder(folder)?;
        Ok(super::read::read(files, steps::kinds::ALL)?)
    }

    /// Name of the product: also the name of its state folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What people call it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What is asked, in order.
    pub fn inputs(&self) -> &[InputSpec] {
        &self.inputs
    }

    /// What is done, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What the host must have.
    pub fn requires(&self) -> &Requires {
        &self.requires
    }

    /// All its files by their path in its folder, to be stored: [`Blueprint::from_stored`] reads them back.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let below = self.files.iter().map(|(name, content)| (format!("files/{name}"), content.clone()));
        below.chain([(super::load::MAIN.to_owned(), self.source.text.clone().into_bytes())]).collect()
    }

    /// SHA-256 of all its files, in hexadecimal: two blueprints with the same digest ask for the same.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, content) in self.files() {
            for bytes in [name.as_bytes(), &content] {
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A file below `files/`.
    ///
    /// # Errors
    /// Class `blueprint`, where there is none of that name.
    pub fn file(&self, name: &str) -> Result<&[u8], Fault> {
        self.files.get(name).map(Vec::as_slice).ok_or_else(|| {
            let known: Vec<&String> = self.files.keys().collect();
            let message = super::document::with_known(&format!("no file 'files/{name}'"), name, &known);
            Fault::new(distro::Class::Blueprint, message).advice("add the file to the blueprint, or correct its name")
        })
    }

    /// Name, title and version, as templates see them.
    pub(super) fn product(&self) -> minijinja::Value {
        minijinja::context! { name => self.name.as_str(), title => self.title.as_str(), version => self.version.as_str() }
    }
}
