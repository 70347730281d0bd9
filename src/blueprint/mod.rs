//! Blueprints: TOML to steps; inputs; templates.
//!
//! 1. [`Blueprint::load`] finds the files (a built-in blueprint, a folder), parses the TOML into a tree whose values know their
//!    places, and refuses whatever can be known to be wrong without a host. A setting of a step is looked at later, by its kind.
//! 2. [`resolve`] finds a value for every input and remembers where it came from.
//! 3. [`expand`] renders the settings of each step, lets its kind read them, and gives the resources. An error is traced back
//!    to the line of the file.
//!
//! [`Blueprint::validate`] does 3 with sample values, so that an author needs no host.

mod builtin;
mod check;
mod document;
mod expand;
mod given;
mod inputs;
mod load;
mod model;
mod quote;
mod read;
mod resolve;
mod sample;
mod schema;
mod secret;
mod spec;
mod stored;
mod system;
mod template;
mod validate;

pub use builtin::names as builtin_names;
pub use document::Source;
pub use expand::{ExpandedStep, expand, next_lines, warnings};
pub use given::{Given, read_given};
pub use inputs::Inputs;
pub use model::{Blueprint, Step};
pub use read::is_product;
pub use resolve::{Ask, Question, resolve};
pub use sample::MadeUp;
pub use schema::schema;
pub use spec::{InputSpec, Requires, Sort, Warning};
pub use stored::Stored;
pub use system::is_meant;

#[cfg(test)]
mod tests;
