//! The exports of a server by their names.

use crate::Export;
use crate::wire::MAX_STRING;
use format_core::{Error, Result};
use std::sync::Arc;

/// A served disk.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) export: Arc<dyn Export>,
}

/// What a server has. The first one is also what a client gets that asks for the default export, the one without a name.
#[derive(Default)]
pub struct Exports(Vec<Named>);

impl Exports {
    /// Adds an export; its name may be empty. The description is for people.
    ///
    /// # Errors
    /// `Usage` when the name is there already, longer than 4096 bytes, or has a NUL in it.
    pub fn add(&mut self, name: &str, description: &str, export: Arc<dyn Export>) -> Result<()> {
        if self.0.iter().any(|named| named.name == name) {
            return Err(Error::usage(format!("two exports are called {name:?}")));
        }
        if name.len() > MAX_STRING || name.contains('\0') {
            return Err(Error::usage("the name of an export has at most 4096 bytes and no NUL"));
        }
        let description: String = description.chars().filter(|c| *c != '\0').take(MAX_STRING / 4).collect();
        self.0.push(Named { name: name.to_owned(), description, export });
        Ok(())
    }

    /// The place of the export called `name`.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let found = self.0.iter().position(|named| named.name == name);
        found.or((name.is_empty() && !self.0.is_empty()).then_some(0))
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Named> {
        self.0.get(place)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Named> {
        self.0.iter()
    }
}
