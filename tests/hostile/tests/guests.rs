//! Every hostile disk under 512 MiB of memory and 5 seconds of a processor (30 in a debug build) a run: the answer is the documented one, the source is as it was, no file of the
//! host is read, nothing steers the terminal, and what is written is no worse than what was there.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod judge;

use judge::judge;

#[test]
fn master_boot_records() {
    judge("mbr");
}

#[test]
fn guid_partition_tables() {
    judge("gpt");
}

#[test]
fn volume_groups() {
    judge("lvm");
}

#[test]
fn arrays() {
    judge("md");
}

#[test]
fn encrypted_volumes() {
    judge("luks");
}

#[test]
fn ext_file_systems() {
    judge("ext");
}

#[test]
fn journals() {
    judge("ext-journal");
}

#[test]
fn xfs_file_systems() {
    judge("xfs");
}

#[test]
fn ntfs_file_systems() {
    judge("ntfs");
}

#[test]
fn fat_file_systems() {
    judge("fat");
}

#[test]
fn what_is_only_recognised() {
    judge("others");
}

#[test]
fn registry_hives() {
    judge("hive");
}

#[test]
fn initramfs_archives() {
    judge("initramfs");
}

#[test]
fn configuration() {
    judge("config");
}

#[test]
fn every_family_has_its_test() {
    let judged = include_str!("guests.rs");
    for family in hostile::guests::families() {
        assert!(judged.contains(&format!("judge(\"{family}\")")), "{family}");
    }
}
