//! A kernel's module folder in the guest.

use driver_core::GuestTree;
use driver_initramfs::{ModuleIndex, ModuleSource, Result};
use std::io;
use std::rc::Rc;

/// No distribution ships a module anywhere near this size; indexes are a few MiB.
const FILE_LIMIT: u64 = 64 << 20;

/// `/lib/modules/VERSION` of a guest.
pub(crate) struct GuestModules<'a> {
    tree: &'a GuestTree,
    folder: String,
}

impl<'a> GuestModules<'a> {
    pub(crate) fn new(tree: &'a GuestTree, version: &str) -> Self {
        Self { tree, folder: format!("/lib/modules/{version}") }
    }

    /// Bytes of a module's file as it is stored.
    pub(crate) fn size(&self, path: &str) -> io::Result<u64> {
        let full = self.full(path)?;
        let meta = self.tree.metadata(&full).map_err(io::Error::other)?;
        meta.map(|meta| meta.size).ok_or_else(|| missing(&full))
    }

    /// The names come from the guest's own index: they must not lead out of the folder.
    fn full(&self, path: &str) -> io::Result<String> {
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{path} leaves {}", self.folder)));
        }
        Ok(format!("{}/{path}", self.folder))
    }
}

fn missing(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {path}"))
}

impl ModuleSource for GuestModules<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let full = self.full(path)?;
        let content = self.tree.read_file(&full, FILE_LIMIT).map_err(io::Error::other)?;
        content.ok_or_else(|| missing(&full))
    }

    fn index(&self) -> Result<Rc<ModuleIndex>> {
        self.tree.remember(&self.folder, ModuleIndex::bytes, || ModuleIndex::load(self))
    }
}
