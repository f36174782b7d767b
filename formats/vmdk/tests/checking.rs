//! The check of a disk's structure, and what qemu-img says of the same files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod builder;
mod esx;

use builder::{Grain, Image, Plan, STREAM, deflate, noise};
use format_core::{CheckReport, DenyAll, FolderGate, LayerContext, MemStorage, Result, Severity};
use format_vmdk::FORMAT;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn check(bytes: &[u8]) -> Result<CheckReport> {
    let storage = Arc::new(MemStorage(bytes.to_vec()));
    (FORMAT.check.unwrap())(storage, &LayerContext::new(Arc::new(DenyAll)))
}

fn check_file(path: &Path) -> CheckReport {
    let storage = Arc::new(MemStorage(std::fs::read(path).unwrap()));
    let gate = Arc::new(FolderGate::new(path.parent().unwrap().to_owned(), Arc::new([])));
    (FORMAT.check.unwrap())(storage, &LayerContext::new(gate)).unwrap()
}

/// Whether qemu-img finds no fault.
fn qemu_is_content(path: &Path) -> bool {
    let mut command = Command::new("timeout");
    command.args(["60", "qemu-img", "check", "-q", "-f", "vmdk"]).arg(path);
    command.output().unwrap().status.success()
}

fn qemu_img(folder: &Path, arguments: &[&str]) {
    let output =
        Command::new("timeout").args(["60", "qemu-img"]).args(arguments).current_dir(folder).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Breaks a good image and expects one more finding that says `words`.
#[track_caller]
fn found(plan: &Plan, break_it: impl FnOnce(&mut Image), severity: Severity, words: &str) {
    let mut image = plan.build();
    let before = check(&image.bytes).unwrap();
    assert!(before.is_clean(), "{:?}", before.findings);
    break_it(&mut image);
    let report = check(&image.bytes).unwrap();
    let said = report.findings.iter().any(|f| f.severity == severity && f.message.contains(words));
    assert!(said, "{words:?} is not in {:?}", report.findings);
    assert_eq!(report.is_clean(), severity == Severity::Note);
}

fn put(at: usize, value: u32) -> impl FnOnce(&mut Image) {
    move |image| image.put(at, &value.to_le_bytes())
}

#[test]
fn good_images_are_clean_and_counted() {
    for plan in [Plan::sample(0), Plan::sample(STREAM), Plan::stream(), Plan { flags: 5, ..Plan::sample(0) }]
    {
        let image = plan.build();
        let report = check(&image.bytes).unwrap();
        assert!(report.is_clean() && report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!((report.total_chunks, report.allocated_chunks), (6, 4));
        let compressed = if plan.flags & STREAM != 0 { 4 } else { 0 };
        assert_eq!((report.compressed_chunks, report.fragmented_chunks), (compressed, 0));
        assert!(report.image_end <= image.bytes.len() as u64 && report.image_end > 4 * 512);
    }
    for bytes in [esx::Cowd::sample().bytes, esx::SeSparse::sample().bytes] {
        let report = check(&bytes).unwrap();
        assert!(report.is_clean() && report.findings.is_empty(), "{:?}", report.findings);
        assert!(report.allocated_chunks > 2 && report.fragmented_chunks > 0);
    }
}

#[test]
fn tables_and_grains_that_share_a_place() {
    let (plan, sample) = (Plan { flags: 5, ..Plan::sample(0) }, Plan { flags: 5, ..Plan::sample(0) }.build());
    let sector = |at: usize| (at / 512) as u32;
    let (first, second) = (sample.tables_at[0], sample.tables_at[1]);
    let error = |at: usize, value: u32, words| found(&plan, put(at, value), Severity::Error, words);
    error(second, sector(sample.grains_at[0]), "grain 0x4 lies over another grain");
    error(second, sector(sample.grains_at[0]) + 1, "grain 0x4 lies over another grain");
    error(second, 0x8000_0000, "the entry of grain 0x4 points to 0x10000000000");
    error(second, 2, "over the header, the descriptor or the directory");
    error(sample.directory_at + 4, sector(first), "grain table 0x1 lies over another structure");
}

#[test]
fn a_grain_over_a_table() {
    // One table of 2 KiB, which is as long as what the last grain holds of the disk.
    let plan = Plan { table_entries: 512, ..Plan::sample(0) };
    let over_table = |image: &mut Image| {
        let table = image.tables_at[0];
        image.put(table + 20, &((table / 512) as u32).to_le_bytes());
    };
    found(&plan, over_table, Severity::Error, "a grain lies over the grain table 0x0");
}

#[test]
fn redundant_tables_that_differ() {
    let plan = Plan::sample(0);
    let redundant = |image: &Image, entry: usize| {
        let at = image.redundant_at + entry * 4;
        u32::from_le_bytes(image.bytes[at..at + 4].try_into().unwrap()) as usize * 512
    };
    let differs = |image: &mut Image| image.put(redundant(image, 1) + 4, &[0; 4]);
    found(&plan, differs, Severity::Error, "redundant grain table 0x1 differs");
    let gone = |image: &mut Image| image.put(image.redundant_at, &[0xff; 4]);
    found(&plan, gone, Severity::Error, "redundant directory entry 0x0");
    let outside = |image: &mut Image| image.put(48, &[0xff; 4]);
    found(&plan, outside, Severity::Error, "the redundant directory is broken");
    let broken = |image: &mut Image| image.put(image.directory_at, &[0xff; 4]);
    found(&plan, broken, Severity::Error, "the redundant one is used");
    found(&plan, |image| image.put(72, &[1]), Severity::Note, "not closed");
}

#[test]
fn room_that_nothing_uses_leaks() {
    let plan =
        Plan { grains: (1..7).map(|seed| Grain::Data(noise(seed, 4096))).collect(), ..Plan::sample(0) };
    let gone = |image: &mut Image| {
        for at in [image.tables_at[0] + 4, image.tables_at[0] + 8] {
            image.put(at, &[0; 4]);
        }
        // The redundant table says the same.
        let at = image.redundant_at;
        let table = u32::from_le_bytes(image.bytes[at..at + 4].try_into().unwrap()) as usize * 512;
        image.put(table + 4, &[0; 8]);
    };
    found(&plan, gone, Severity::Leak, "2 grains of the file belong to no place of the disk");
    let mut image = plan.build();
    gone(&mut image);
    let report = check(&image.bytes).unwrap();
    assert_eq!((report.errors, report.leaks, report.leaked_bytes), (0, 2, 8192));
}

#[test]
fn streams_whose_parts_do_not_agree() {
    let plan = Plan::stream();
    found(&plan, |i| i.put(i.grains_at[3], &[0]), Severity::Error, "is for sector 0x0");
    found(&plan, |i| i.put(i.grains_at[3] + 500, &[0xff; 8]), Severity::Error, "zlib stream");
    let short = |image: &mut Image| image.replace_stream(0, &deflate(&noise(1, 1000)));
    found(&plan, short, Severity::Error, "0x1000 are needed");
    let marker = |image: &mut Image| image.put(image.tables_at[0] - 512 + 12, &[7]);
    found(&plan, marker, Severity::Error, "no marker announces the grain table");
    let marker = |image: &mut Image| image.put(image.directory_at - 512, &[0; 16]);
    found(&plan, marker, Severity::Error, "no marker announces the grain directory");
    let image = plan.build();
    assert!(check(&image.bytes[..image.footer_at]).is_err());
}

#[test]
fn good_files_are_good_for_qemu_too_and_bad_ones_bad() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut raw = vec![0; 5 << 20];
    raw[300_000..900_000].copy_from_slice(&noise(5, 600_000));
    std::fs::write(path("a.raw"), raw).unwrap();
    for options in [
        "subformat=monolithicSparse",
        "subformat=monolithicSparse,zeroed_grain=on",
        "subformat=streamOptimized",
        "subformat=twoGbMaxExtentSparse",
        "subformat=monolithicFlat",
    ] {
        qemu_img(folder.path(), &["convert", "-f", "raw", "-O", "vmdk", "-o", options, "a.raw", "a.vmdk"]);
        let report = check_file(&path("a.vmdk"));
        assert!(report.is_clean(), "{options}: {:?}", report.findings);
        assert!(qemu_is_content(&path("a.vmdk")));
    }
    // A grain behind the end of the file: both see it.
    let file = path("b.vmdk");
    qemu_img(folder.path(), &["convert", "-f", "raw", "-O", "vmdk", "a.raw", "b.vmdk"]);
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, &good[..good.len() - (100 << 10)]).unwrap();
    let report = check_file(&file);
    assert!(report.errors > 0 && !qemu_is_content(&file), "{:?}", report.findings);
    // A flat file that is too short.
    std::fs::write(path("f-flat.vmdk"), [0; 512]).unwrap();
    let text = "# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\ncreateType=monolithicFlat\nRW 2 FLAT \"f-flat.vmdk\" 0\n";
    std::fs::write(path("f.vmdk"), text).unwrap();
    let report = check_file(&path("f.vmdk"));
    assert!(report.findings[0].message.starts_with("f-flat.vmdk: the flat extent"), "{:?}", report.findings);
}

#[test]
fn no_damage_makes_a_check_endless() {
    for plan in [Plan::sample(0), Plan::stream()] {
        let image = plan.build();
        let start = std::time::Instant::now();
        for at in (0..80)
            .chain(image.tables_at[0]..image.tables_at[0] + 16)
            .chain(image.directory_at..image.directory_at + 8)
        {
            for value in [0, 1, 0x7f, 0xff] {
                let mut image = image.clone();
                image.put(at, &[value]);
                if let Err(error) = check(&image.bytes) {
                    assert_ne!(error.kind(), format_core::ErrorKind::Contract, "{error}");
                }
            }
        }
        assert!(start.elapsed().as_secs() < 10);
    }
}
