//! Containers: image formats, packages, compressed files, backups. A file for each family of formats.
// What stands here is fixed: a slip is a test that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bases;
mod bytes;
mod clonezilla;
mod compressed;
mod ewf;
mod foreign;
mod manifests;
mod mrimgx;
mod named;
mod ova;
mod parallels;
mod partitions;
mod pbs;
mod pieces;
mod qcow1;
mod qcow2;
mod qcow2_bitmaps;
mod qcow2_tables;
mod qed;
mod raw;
mod restic;
mod sweep;
mod tar;
mod tar_sparse;
mod vdi;
mod vhd;
mod vhdx;
mod vhdx_log;
mod vma;
mod vmdk;
mod vmdk_sparse;
mod wsb;
mod xva;

use crate::{Case, Content};

/// The files of an image by their names.
type Files = Vec<(String, Content)>;

/// What the cases' names begin with, and what makes them.
type Family = (&'static str, fn() -> Vec<Case>);

const FAMILIES: [Family; 24] = [
    ("clonezilla", clonezilla::cases),
    ("compressed", compressed::cases),
    ("ewf", ewf::cases),
    ("manifests", manifests::cases),
    ("mrimgx", mrimgx::cases),
    ("names", named::cases),
    ("ova", ova::cases),
    ("parallels", parallels::cases),
    ("partitions", partitions::cases),
    ("pbs", pbs::cases),
    ("pieces", pieces::cases),
    ("qcow1", qcow1::cases),
    ("qcow2", qcow2::cases),
    ("qed", qed::cases),
    ("raw", raw::cases),
    ("restic", restic::cases),
    ("tar", tar::cases),
    ("vdi", vdi::cases),
    ("vhd", vhd::cases),
    ("vhdx", vhdx::cases),
    ("vma", vma::cases),
    ("vmdk", vmdk::cases),
    ("wsb", wsb::cases),
    ("xva", xva::cases),
];

/// All cases of containers.
#[must_use]
pub fn all() -> Vec<Case> {
    FAMILIES.iter().flat_map(|(_, cases)| cases()).collect()
}

/// The cases of a family of containers, if there is one of that name.
#[must_use]
pub fn family(name: &str) -> Option<Vec<Case>> {
    FAMILIES.iter().find(|(family, _)| *family == name).map(|(_, cases)| cases())
}

/// An image of one file.
fn one(name: &str, content: impl Into<Content>) -> Files {
    vec![(name.to_owned(), content.into())]
}

/// What a folder holds, with everything below it.
fn files_in(folder: &std::path::Path, below: &str) -> Files {
    let mut files = Vec::new();
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            files.push((name.clone(), Content::Folder));
            files.extend(files_in(&path, &format!("{name}/")));
        } else {
            files.push((name, std::fs::read(&path).unwrap().into()));
        }
    }
    files
}
