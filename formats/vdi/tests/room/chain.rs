//! Differencing images: the parent is a UUID, the operator says which file that is.

use crate::builder::{FREE, Plan, ZERO};
use format_core::{ErrorKind, Format, OpenOptions, OpenedImage, Result, open_image};
use format_vdi::FORMAT;
use std::path::PathBuf;

static FORMATS: &[&Format] = &[&FORMAT];

struct Chain {
    folder: tempfile::TempDir,
    expected: Vec<u8>,
}

fn child(uuids: [u8; 4], kind: u32) -> Plan {
    Plan { kind, uuids, map: vec![FREE, 0, FREE, ZERO, FREE, 1, FREE, FREE, ZERO, FREE], ..Plan::sample() }
}

/// A base and a difference to it; `uuids` and type of the difference as given.
fn chain(uuids: [u8; 4], kind: u32) -> Chain {
    let folder = tempfile::tempdir().unwrap();
    let (base, child) = (Plan::sample(), child(uuids, kind));
    let (base_image, child_image) = (base.build(), child.build());
    std::fs::write(folder.path().join("base.vdi"), &base_image.bytes).unwrap();
    std::fs::write(folder.path().join("child.vdi"), &child_image.bytes).unwrap();
    let mut expected = base_image.content;
    for (block, entry) in child.map.iter().enumerate().filter(|(_, entry)| **entry != FREE) {
        let range = block * 1024..expected.len().min((block + 1) * 1024);
        assert!(*entry != ZERO || child_image.content[range.clone()].iter().all(|byte| *byte == 0));
        expected[range.clone()].copy_from_slice(&child_image.content[range]);
    }
    Chain { folder, expected }
}

impl Chain {
    fn open(&self, parents: &[&str]) -> Result<OpenedImage> {
        let path = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let parents = parents.iter().map(|name| path(name)).collect();
        open_image(&path("child.vdi"), &OpenOptions { parents, ..OpenOptions::new(FORMATS, None) })
    }

    fn content(&self, image: &OpenedImage) -> Vec<u8> {
        let mut found = vec![0; image.disk.virtual_size() as usize];
        image.disk.read_exact_at(0, &mut found).unwrap();
        found
    }
}

#[test]
fn a_difference_shows_its_parent_where_it_has_nothing() {
    let chain = chain([5, 6, 1, 2], 4);
    let image = chain.open(&["base.vdi"]).unwrap();
    assert!(chain.content(&image) == chain.expected);
    assert!(image.warnings.is_empty(), "{:?}", image.warnings);
    assert_eq!(image.disk.layers()[0].details()["image-type"], "differencing");
}

#[test]
fn a_difference_is_never_read_alone() {
    for kind in [4, 1] {
        let chain = chain([5, 6, 1, 2], kind);
        let error = chain.open(&[]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::SourceMissing);
        assert!(error.to_string().contains("01010101-0101-0101-0101-010101010101"), "{error}");
        assert!(error.hint_text().unwrap().contains("--parent"), "{error}");
        // A type that forgets the parent does not make it go away.
        let image = chain.open(&["base.vdi"]).unwrap();
        assert!(chain.content(&image) == chain.expected);
    }
}

#[test]
fn another_image_is_no_parent() {
    let chain = chain([5, 6, 9, 2], 4);
    assert_eq!(chain.open(&["base.vdi"]).err().unwrap().kind(), ErrorKind::SourceMissing);
}

#[test]
fn a_parent_that_was_written_since_is_remarked() {
    let codes = |uuids| {
        let image = chain(uuids, 4).open(&["base.vdi"]).unwrap();
        image.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>()
    };
    assert_eq!(codes([5, 6, 1, 7]), ["vdi-parent-modified"]);
    assert_eq!(codes([5, 6, 1, 0]), [""; 0], "not said");
}
