//! A kernel's module folder in the guest.

use driver_core::GuestTree;
use driver_initramfs::ModuleSource;
use std::io;

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
}

impl ModuleSource for GuestModules<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        // The names come from the guest's own index: they must not lead out of the folder.
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{path} leaves {}", self.folder)));
        }
        let full = format!("{}/{path}", self.folder);
        let content = self.tree.read_file(&full, FILE_LIMIT).map_err(io::Error::other)?;
        content.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no {full}")))
    }
}
