//! What is on a disk: partition tables, volumes, file systems, registry hives, initramfs archives.
//!
//! Bases come from the programs that know a structure best (mkfs, mkntfs, cryptsetup, hivexregedit), or are written here byte by byte; what is
//! attacked is then changed in them, and checksums are made right again, so that the attack gets past them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: what fails here fails the test that asked"
)]

use crate::{Case, Run};
use disk::Disk;

mod config;
mod disk;
mod ext;
mod ext_inodes;
mod ext_journal;
mod fat;
mod gpt;
mod hive;
mod initramfs;
mod luks;
mod luks_text;
mod lvm;
mod lvm_text;
mod mbr;
mod md;
mod ntfs;
mod ntfs_records;
mod others;
mod tools;
mod xfs;

/// A file of the host that guests have links to. Whoever runs the cases writes [`CANARY`] into it and looks for that afterwards.
pub const CANARY_PATH: &str = "/tmp/rehome-hostile-canary";
/// What must never be in anything that rehome prints or writes.
pub const CANARY: &str = "canary: this file of the host was read\n";

/// A field of a header: its name, its offset and its length in bytes.
type Field = (&'static str, usize, usize);

type Family = (&'static str, fn() -> Vec<Case>);

const FAMILIES: &[Family] = &[
    ("config", config::cases),
    ("ext", ext::cases),
    ("ext-journal", ext_journal::cases),
    ("fat", fat::cases),
    ("gpt", gpt::cases),
    ("hive", hive::cases),
    ("initramfs", initramfs::cases),
    ("luks", luks::cases),
    ("lvm", lvm::cases),
    ("mbr", mbr::cases),
    ("md", md::cases),
    ("ntfs", ntfs::cases),
    ("others", others::cases),
    ("xfs", xfs::cases),
];

/// All cases of disks.
#[must_use]
pub fn all() -> Vec<Case> {
    FAMILIES.iter().flat_map(|(_, cases)| cases()).collect()
}

/// The names of all families of disks, which `tests/guests.rs` judges.
#[must_use]
pub fn families() -> Vec<&'static str> {
    FAMILIES.iter().map(|(name, _)| *name).collect()
}

/// The cases of a family, whose names begin with it and a slash.
///
/// # Panics
/// When there is no such family, or a tool is missing that makes its bases.
#[must_use]
pub fn family(name: &str) -> Vec<Case> {
    let (_, cases) = FAMILIES.iter().find(|(found, _)| *found == name).expect("a family of that name");
    cases()
}

/// The disk of each case.
const IMAGE: &str = "disk.raw";

/// A case of one disk.
fn case(name: &str, about: &str, disk: Disk, runs: Vec<Run>) -> Case {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '/' { c } else { '-' };
    Case {
        name: name.chars().map(plain).collect(),
        about: about.into(),
        files: vec![(IMAGE.into(), disk.content())],
        runs,
    }
}

/// Looks at the disk; nothing starts a micro-VM.
fn inspect(codes: &[u8]) -> Run {
    Run::new(&["inspect", "-f", "raw", IMAGE, "--editor", "native"], codes)
}

/// The same, told as JSON.
fn inspect_json(codes: &[u8]) -> Run {
    Run::new(&["inspect", "-f", "raw", IMAGE, "--editor", "native", "--output", "json"], codes)
}

fn plan(to: &str, codes: &[u8]) -> Run {
    let out = format!("out-{to}-plan");
    let args = ["migrate", "-f", "raw", IMAGE, "--to", to, "--out", &out, "--editor", "native", "--dry-run"];
    Run::new(&args, codes)
}

/// A migration that writes where it may. What it wrote is judged by other people's checkers.
fn migrate(to: &str, codes: &[u8]) -> Run {
    let out = format!("out-{to}");
    Run::new(&["migrate", "-f", "raw", IMAGE, "--to", to, "--out", &out, "--editor", "native"], codes)
}

fn ls(path: &str, codes: &[u8]) -> Run {
    Run::new(&["ls", "-f", "raw", IMAGE, path], codes)
}

fn cat(path: &str, codes: &[u8]) -> Run {
    Run::new(&["cat", "-f", "raw", IMAGE, path], codes)
}

fn copy_out(path: &str, codes: &[u8]) -> Run {
    Run::new(&["cp-out", "-f", "raw", IMAGE, path, "out-copy"], codes)
}

/// What is tried on a disk without a system that could be moved: it is looked at, and nothing can be planned.
fn refused() -> Vec<Run> {
    vec![inspect(&[0]), plan("kvm", &[78])]
}

/// What is tried on a disk whose system may still be found: that it is looked at, and planned or refused.
fn looked() -> Vec<Run> {
    vec![inspect(SEEN), plan("hyperv", SEEN)]
}

/// What is right for a file system that is damaged, which is told, or is the answer.
const SEEN: &[u8] = &[0, 65, 69, 78];
/// What commands that look into a disk may answer: the content, or why there is none.
const LOOKED: &[u8] = &[0, 2, 65, 66, 69, 78];
/// The same where names may be left out.
const COPIED: &[u8] = &[0, 1, 2, 65, 66, 69, 78];

/// All that can be done with a guest, and the copies of it.
fn all_of(codes: &[u8]) -> Vec<Run> {
    vec![
        inspect(SEEN),
        inspect_json(SEEN),
        plan("kvm", codes),
        ls("/etc", LOOKED),
        cat("/etc/fstab", LOOKED),
        copy_out("/etc", COPIED),
        migrate("hyperv", codes),
    ]
}

/// What is tried where the same field gets one value after the other.
fn moved(codes: &[u8]) -> Vec<Run> {
    vec![inspect(SEEN), migrate("hyperv", codes)]
}

/// The same for what is only read.
fn read(path: &str) -> Vec<Run> {
    vec![inspect(SEEN), copy_out(path, COPIED)]
}
