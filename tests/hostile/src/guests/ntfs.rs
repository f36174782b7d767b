//! NTFS: boot sector, records, runs and indexes, on a plain volume and on that of a small Windows.

use super::disk::{Disk, MIB, START, few, get_le, put_le};
use super::ntfs_records::{
    DATA, HEADER, INDEX, INDEX_ROOT, MAPPED, NAME, RESIDENT, RUNS, Record, STANDARD, Volume,
};
use super::tools::Workshop;
use super::{SEEN, case, migrate, read};
use crate::{Case, Run};
use std::path::Path;

/// A volume that ntfscp filled without mounting it.
fn plain() -> Volume {
    let shop = Workshop::new();
    shop.blank("volume", 6 * MIB);
    shop.run("ntfs-3g", "mkntfs", &["-F", "-q", "-Q", "-L", "guest", "-c", "4096", "volume"]);
    shop.write("small", b"content\n");
    shop.write("large", &[b'l'; 20_000]);
    for name in (0..40).map(|number| format!("a rather long name {number}")).chain(["small".into()]) {
        shop.run("ntfs-3g", "ntfscp", &["-q", "volume", "small", &name]);
    }
    shop.run("ntfs-3g", "ntfscp", &["-q", "volume", "large", "large"]);
    shop.run("ntfs-3g", "ntfscp", &["-q", "-N", "stream", "volume", "small", "large"]);
    // An empty log is all ones, which nobody looks at who only reads.
    let bytes = shop.read("volume");
    let blank = bytes
        .chunks(4096)
        .map(|piece| if piece.iter().all(|byte| *byte == 0xff) { vec![0; 4096] } else { piece.to_vec() });
    Volume::new(Disk::of(&blank.collect::<Vec<_>>().concat()).in_partition(7), START)
}

/// Looks at the volume and everything on it.
fn looked() -> Vec<Run> {
    read("/")
}

pub(super) fn cases() -> Vec<Case> {
    let base = plain();
    let mut cases = boot(&base);
    for (number, name) in [(0, "mft"), (5, "root")] {
        cases.extend(record(&base, name, &base.records()[number], looked));
    }
    cases.extend(record(&base, "file", &base.named("large"), looked));
    cases.extend(indexes(&base, &base.records()[5], "root", looked));
    cases.extend(windows());
    cases
}

fn boot(base: &Volume) -> Vec<Case> {
    let fields = [
        ("sector", 11, 2),
        ("cluster", 13, 1),
        ("sectors", 40, 8),
        ("table", 48, 8),
        ("mirror", 56, 8),
        ("record", 64, 1),
        ("index", 68, 1),
        ("serial", 72, 8),
    ];
    let mut found = Vec::new();
    for (name, at, width) in fields {
        for (what, value) in few(width) {
            let disk = base.disk.clone().change(base.start, 512, |bytes| put_le(bytes, at, width, value));
            found.push(case(
                &format!("ntfs/boot-{name}-{what}"),
                "a field of the boot sector",
                disk,
                looked(),
            ));
        }
    }
    for len in [512, 4096, 20_000, 1 << 20] {
        let disk = base.disk.clone().resized(START + len);
        found.push(case(&format!("ntfs/cut-{len}"), "a volume that ends early", disk, looked()));
    }
    found
}

/// Every field of a record and of its attributes, and its runs.
fn record(base: &Volume, name: &str, record: &Record, runs: impl Fn() -> Vec<Run>) -> Vec<Case> {
    let mut found = Vec::new();
    let mut add = |what: String, disk: Disk| {
        found.push(case(&format!("ntfs/{name}-{what}"), "a field of a record", disk, runs()));
    };
    let set = |at: u64, width: usize, value: u64| {
        base.disk.clone().change(at, width, |bytes| put_le(bytes, 0, width, value))
    };
    for (field, place, width) in HEADER {
        for (what, value) in few(*width) {
            add(format!("{field}-{what}"), set(record.at + *place as u64, *width, value));
        }
    }
    for (number, attribute) in record.attributes.iter().enumerate() {
        let kind = attribute.kind;
        let is_worth_it = attribute.is_resident || kind == DATA || kind == INDEX;
        let fields = if attribute.is_resident { RESIDENT } else { MAPPED };
        for (field, place, width) in fields.iter().filter(|_| is_worth_it) {
            for (what, value) in few(*width) {
                add(
                    format!("{number}-{kind:x}-{field}-{what}"),
                    set(attribute.at + *place as u64, *width, value),
                );
            }
        }
        if !attribute.is_resident {
            let runs_at = attribute.at + get_le(&base.disk.read(attribute.at + 32, 2), 0, 2);
            for (what, list) in RUNS {
                add(format!("{number}-{kind:x}-runs-{what}"), base.disk.clone().put(runs_at, list));
            }
        }
    }
    found
}

/// Fields of a folder's index, in its record and in its blocks.
fn indexes(base: &Volume, folder: &Record, name: &str, runs: impl Fn() -> Vec<Run>) -> Vec<Case> {
    let root = folder.of(INDEX_ROOT).at + 32;
    let block = folder.attributes.iter().find(|attribute| attribute.kind == INDEX).map(|attribute| {
        let runs = base.disk.read(attribute.at + 72, 16);
        let (len, width) = (usize::from(runs[0] & 15), usize::from(runs[0] >> 4));
        base.start + get_le(&runs, 1 + len, width) * base.cluster
    });
    let mut places = vec![
        ("root-kind", root, 4),
        ("root-block-size", root + 8, 4),
        ("root-entries", root + 16, 4),
        ("root-used", root + 20, 4),
        ("root-flags", root + 28, 1),
        ("root-entry-length", root + 40, 2),
        ("root-entry-flags", root + 44, 2),
        ("root-child", root + 48, 8),
    ];
    if let Some(block) = block {
        places.extend([
            ("block-fixups", block + 4, 2),
            ("block-fixup-count", block + 6, 2),
            ("block-number", block + 16, 8),
            ("block-entries", block + 24, 4),
            ("block-used", block + 28, 4),
            ("block-allocated", block + 32, 4),
            ("block-flags", block + 36, 1),
            ("entry-file", block + 64, 8),
            ("entry-length", block + 72, 2),
            ("entry-key", block + 74, 2),
            ("entry-flags", block + 76, 2),
            ("entry-parent", block + 80, 8),
            ("entry-size", block + 128, 8),
            ("entry-name-length", block + 144, 1),
            ("entry-name", block + 146, 4),
        ]);
    }
    let mut found = Vec::new();
    for (field, at, width) in places {
        for (what, value) in few(width) {
            let disk = base.disk.clone().change(at, width, |bytes| put_le(bytes, 0, width, value));
            found.push(case(&format!("ntfs/{name}-{field}-{what}"), "a field of an index", disk, runs()));
        }
    }
    found
}

/// The disk of a small Windows that has been built for all tests.
pub(super) fn windows_disk(name: &str) -> Disk {
    let built = test_windows_guests::shared(test_windows_guests::recipe(name));
    sparse(built.disk())
}

/// A file without its holes, of which it has many.
fn sparse(path: &Path) -> Disk {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(path).expect("the guest's disk");
    let len = file.metadata().expect("its length").len();
    let mut piece = vec![0; MIB as usize];
    let mut disk = Disk::empty(len);
    for at in (0..len).step_by(piece.len()) {
        let part = &mut piece[..(len - at).min(MIB) as usize];
        file.read_exact_at(part, at).expect("the guest's disk");
        disk = disk.with(Disk::of(part), at);
    }
    disk
}

/// Its system volume.
pub(super) fn system_volume(disk: Disk) -> Volume {
    let table = disk.read(446, 64);
    let starts = (0..4).map(|entry| get_le(&table, 16 * entry + 8, 4) * 512);
    let last = starts.filter(|start| *start > 0).max().expect("a partition");
    Volume::new(disk, last)
}

/// What is tried on a Windows.
pub(super) fn windows_runs() -> Vec<Run> {
    vec![migrate("hyperv", SEEN)]
}

/// Records that a migration of Windows reads and changes.
fn windows() -> Vec<Case> {
    let base = system_volume(windows_disk("2016-xen-bios"));
    let mut found =
        vec![case("ntfs/windows", "a Windows of which nothing is wrong", base.disk.clone(), windows_runs())];
    let hive = base.named("SYSTEM");
    let (standard, name, data) = (hive.of(STANDARD), hive.of(NAME), hive.of(DATA));
    for (what, bits) in [
        ("reparse", 0x400u64),
        ("encrypted", 0x4000),
        ("compressed", 0x800),
        ("sparse", 0x200),
        ("folder", 0x1000_0000),
        ("all", 0xffff_ffff),
    ] {
        let disk = base.disk.clone().change(standard.at + 24 + 32, 4, |bytes| put_le(bytes, 0, 4, bits));
        let disk = disk.change(name.at + 24 + 56, 4, |bytes| put_le(bytes, 0, 4, bits));
        found.push(case(
            &format!("ntfs/windows-system-{what}"),
            "the hive SYSTEM as another kind of file",
            disk,
            windows_runs(),
        ));
    }
    for (what, flags) in [("sparse", 0x8000u64), ("encrypted", 0x4000), ("compressed", 1), ("all", 0xffff)] {
        let disk = base.disk.clone().change(data.at + 12, 2, |bytes| put_le(bytes, 0, 2, flags));
        found.push(case(
            &format!("ntfs/windows-system-data-{what}"),
            "the content of the hive SYSTEM in another form",
            disk,
            windows_runs(),
        ));
    }
    for (what, list) in RUNS {
        let disk = base.disk.clone().put(data.at + 64, list);
        found.push(case(
            &format!("ntfs/windows-system-runs-{what}"),
            "where the hive SYSTEM lies",
            disk,
            windows_runs(),
        ));
    }
    for (number, name) in [(0usize, "mft"), (6, "bitmap"), (2, "log")] {
        let record = &base.records()[number];
        let data = record.of(DATA);
        for (what, list) in RUNS {
            let disk = base.disk.clone().put(data.at + 64, list);
            found.push(case(
                &format!("ntfs/windows-{name}-runs-{what}"),
                "where a file of the file system lies",
                disk,
                windows_runs(),
            ));
        }
    }
    found.extend(indexes(&base, &base.named("config"), "windows-config", windows_runs));
    found
}
