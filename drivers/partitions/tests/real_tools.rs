//! Tables made by sfdisk and signatures made by the real mkfs tools.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use driver_core::{DiskFacts, PartitionRole, TableKind};
use driver_partitions::{Window, identify, needed_size, read_table};
use format_core::{DenyAll, Disk, LayerContext, MemStorage, Overlay};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

fn overlay(bytes: Vec<u8>) -> Arc<Overlay> {
    let context = LayerContext::new(Arc::new(DenyAll));
    let layer = format_raw::FORMAT.open_layer.unwrap()(Arc::new(MemStorage(bytes)), &context).unwrap();
    Overlay::new(Disk::new(vec![layer.into()]).unwrap())
}

fn sfdisk(path: &Path, script: &str) {
    let mut child = Command::new("timeout")
        .args(["20", "sfdisk", "-q"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sfdisk is in the package fdisk");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn disk_with(script: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(24 << 20).unwrap();
    sfdisk(file.path(), script);
    std::fs::read(file.path()).unwrap()
}

fn table(bytes: Vec<u8>) -> (DiskFacts, Vec<String>) {
    read_table(&overlay(bytes)).unwrap()
}

const GPT: &str = "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n\
    start=2048, size=8192, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE, name=\"esp\"\n\
    start=10240, size=2048, type=21686148-6449-6E6F-744E-656564454649\n\
    start=12288, size=20480, name=\"rööt\"\n";

#[test]
fn gpt_by_sfdisk() {
    let (facts, obstacles) = table(disk_with(GPT));
    assert_eq!(facts.table, TableKind::Gpt);
    assert_eq!(facts.id.as_deref(), Some("11111111-2222-3333-4444-555555555555"));
    assert!(obstacles.is_empty());
    let found: Vec<_> =
        facts.partitions.iter().map(|p| (p.number, p.start / 512, p.size / 512, p.role)).collect();
    use PartitionRole::{BiosBoot, Data, Esp};
    assert_eq!(found, [(1, 2048, 8192, Esp), (2, 10240, 2048, BiosBoot), (3, 12288, 20480, Data)]);
    assert_eq!(facts.partitions[0].part_uuid.as_deref(), Some("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"));
    assert_eq!(facts.partitions[2].name.as_deref(), Some("rööt"));
}

#[test]
fn a_damaged_primary_gpt_falls_back_to_the_backup_and_says_so() {
    let mut bytes = disk_with(GPT);
    bytes[512 + 60] ^= 1;
    let (facts, obstacles) = table(bytes.clone());
    assert_eq!(facts.partitions.len(), 3);
    assert!(obstacles[0].contains("backup is used"), "{obstacles:?}");
    let end = bytes.len();
    bytes[end - 512 + 60] ^= 1;
    let (facts, obstacles) = table(bytes);
    assert_eq!(facts.table, TableKind::Mbr);
    assert!(obstacles[0].contains("cannot be used"), "{obstacles:?}");
}

/// The 24 MiB disk of `script` cut to `sectors`: what is lost, and what is told only.
fn cut_to(script: &str, sectors: usize, fill: u8) -> (usize, Vec<String>, Vec<String>) {
    cut(disk_with(script), sectors, fill)
}

fn cut(mut bytes: Vec<u8>, sectors: usize, fill: u8) -> (usize, Vec<String>, Vec<String>) {
    bytes[MIB + 65536] = fill;
    bytes.truncate(sectors * 512);
    let (facts, obstacles) = table(bytes);
    (facts.partitions.len(), facts.cut_off, obstacles)
}

const MIB: usize = 1 << 20;

#[test]
fn a_disk_that_was_cut_off_lacks_what_its_mbr_says() {
    let disk = disk_with("label: dos\n2048,,83\n");
    assert_eq!(cut(disk.clone(), 24 * 2048, 1), (1, vec![], vec![]));
    let (count, cut_off, told) = cut(disk.clone(), 12 * 2048, 1);
    assert_eq!((count, told.len()), (1, 0), "{told:?}");
    assert!(cut_off[0].contains("partition 1 ends at 0x1800000, 0xc00000 bytes beyond"), "{cut_off:?}");
    // The last cylinder is missing, or a few sectors.
    for sectors in [24 * 2048 - 16064, 24 * 2048 - 1] {
        let (count, cut_off, told) = cut(disk.clone(), sectors, 1);
        assert!(count == 1 && cut_off.is_empty() && told[0].contains("rounded"), "{cut_off:?} {told:?}");
    }
    assert_eq!(cut(disk.clone(), 24 * 2048 - 16065, 1).1.len(), 1, "a whole cylinder");
    // Nothing is in it.
    let (_, cut_off, told) = cut(disk.clone(), 12 * 2048, 0);
    assert!(cut_off.is_empty() && told[0].contains("zeros"), "{cut_off:?} {told:?}");
    // What begins beyond the end, whatever it held; the container of logical partitions may end there.
    let (count, cut_off, _) = cut_to("label: dos\n2048,4096,83\n6144,,5\n8192,4096,83\n", 12 * 2048, 1);
    assert_eq!((count, cut_off.len()), (2, 0), "{cut_off:?}");
    let logical = "label: dos\n2048,4096,83\n6144,,5\n8192,4096,83\n30720,,83\n";
    let (count, cut_off, _) = cut_to(logical, 12 * 2048, 1);
    assert_eq!((count, cut_off.len()), (2, 1), "{cut_off:?}");
    assert!(cut_off[0].contains("table of logical partition 6"), "{cut_off:?}");
    let two = "label: dos\n2048,4096,83\n30720,,83\n";
    assert!(cut_to(two, 12 * 2048, 1).1[0].contains("partition 2 begins at 0xf00000"));
}

#[test]
fn a_disk_that_was_cut_off_lacks_partitions_of_its_gpt() {
    let (count, cut_off, told) = cut_to(GPT, 10 * 2048, 1);
    assert_eq!((count, told.len(), cut_off.len()), (2, 0, 1), "{told:?}");
    assert!(cut_off[0].contains("partition 3 is 0x3000 to 0x7fff"), "{cut_off:?}");
}

#[test]
fn file_systems_say_how_much_room_they_need() {
    for (package, program, args) in
        [("ntfs-3g", "mkfs.ntfs", &["-q", "-F"][..]), ("btrfs-progs", "mkfs.btrfs", &["-q"])]
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(128 << 20).unwrap();
        let made = Command::new("timeout").args(["20", program]).args(args).arg(file.path()).output();
        let made = made.unwrap_or_else(|_| panic!("{program} is in the package {package}"));
        assert!(made.status.success(), "{made:?}");
        let overlay = overlay(std::fs::read(file.path()).unwrap());
        let (facts, _) = read_table(&overlay).unwrap();
        let window = Window::of_partition(&overlay, &facts.partitions[0]).unwrap();
        let kind = identify(&window).unwrap().unwrap().kind;
        let needed = needed_size(&window, &kind).unwrap().unwrap();
        assert!(((128 << 20) - 4096..=128 << 20).contains(&needed), "{kind}: {needed}");
    }
}

/// A GPT whose partitions 3 and 1 are in the MBR, too, and the file.
fn hybrid_by_sgdisk(order: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(24 << 20).unwrap();
    sfdisk(file.path(), GPT);
    let made = Command::new("timeout").args(["20", "sgdisk", "-h", order]).arg(file.path()).output();
    let made = made.expect("sgdisk is in the package gdisk");
    assert!(made.status.success(), "{made:?}");
    file
}

#[test]
fn a_hybrid_mbr_is_told_and_the_gpt_decides() {
    for (order, guard) in [("3:1", 0), ("3:1:EE", 2)] {
        let file = hybrid_by_sgdisk(order);
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(bytes[446 + 16 * guard + 4], 0xee, "{order}");
        let (plain, _) = table(disk_with(GPT));
        let (facts, obstacles) = table(bytes);
        assert_eq!(facts.table, TableKind::Gpt);
        assert!(plain.hybrid.is_empty() && obstacles.is_empty(), "{obstacles:?}");
        let entries: Vec<_> =
            facts.hybrid.iter().map(|e| (e.partition, e.type_id.as_str(), e.start)).collect();
        assert_eq!(entries, [(Some(3), "0x83", 12288 * 512), (Some(1), "0xef", 2048 * 512)], "{order}");
        // libblkid sees the same partitions, with the same identities.
        let args = ["20", "partx", "-g", "-b", "-o", "NR,START,SIZE,UUID"];
        let listed = Command::new("timeout").args(args).arg(file.path()).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let own = |p: &driver_core::PartitionFacts| {
            format!("{} {} {} {}", p.number, p.start / 512, p.size, p.part_uuid.as_deref().unwrap())
        };
        let listed: Vec<_> =
            listed.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(listed, facts.partitions.iter().map(own).collect::<Vec<_>>());
    }
}

#[test]
fn a_hybrid_mbr_that_contradicts_the_gpt_is_noticed() {
    let mut bytes = std::fs::read(hybrid_by_sgdisk("3:1").path()).unwrap();
    // The first entry behind the guard is one sector short, and active.
    assert_eq!(bytes[446 + 16 + 12..446 + 32], 20480u32.to_le_bytes());
    bytes[446 + 16] = 0x80;
    bytes[446 + 16 + 12..446 + 32].copy_from_slice(&20479u32.to_le_bytes());
    let (facts, obstacles) = table(bytes.clone());
    assert_eq!((facts.hybrid[0].partition, facts.hybrid[0].bootable), (None, true));
    assert!(
        obstacles[0].starts_with("entry 2 of the hybrid MBR (type 0x83) is 0x600000+0x9ffe00"),
        "{obstacles:?}"
    );
    assert_eq!((facts.table, facts.partitions.len()), (TableKind::Gpt, 3));
    bytes[446 + 8] = 2;
    assert!(table(bytes).1[1].contains("sector 1"));
}

#[test]
fn mbr_with_logical_partitions_by_sfdisk() {
    let script = "label: dos\nlabel-id: 0x12345678\nstart=2048, size=2048, type=83, bootable\n\
        start=4096, size=36864, type=5\nstart=6144, size=2048, type=82\nstart=10240, size=4096, type=8e\n";
    let (facts, _) = table(disk_with(script));
    let found: Vec<_> =
        facts.partitions.iter().map(|p| (p.number, p.start / 512, p.size / 512, p.role)).collect();
    use PartitionRole::{Data, Lvm, Swap};
    assert_eq!(found, [(1, 2048, 2048, Data), (5, 6144, 2048, Swap), (6, 10240, 4096, Lvm)]);
    assert_eq!(facts.partitions[1].part_uuid.as_deref(), Some("12345678-05"));
    assert_eq!(facts.id.as_deref(), Some("0x12345678"));
}

#[test]
fn every_flipped_bit_of_the_tables_gives_an_answer() {
    let good = disk_with(GPT);
    let end = good.len();
    let overlay = overlay(good.clone());
    for at in (446..1024 + 256).chain(end - 600..end) {
        for bit in [0, 7] {
            overlay.write_all_at(at as u64, &[good[at] ^ (1 << bit)]).unwrap();
            let (facts, _) = read_table(&overlay).unwrap();
            assert!(facts.partitions.iter().all(|p| p.start + p.size <= facts.size));
            overlay.write_all_at(at as u64, &[good[at]]).unwrap();
        }
    }
}

#[test]
fn swap_is_known_by_its_signature_and_uuid() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    let made =
        Command::new("timeout").args(["20", "mkswap", "-q", "-U", uuid]).arg(file.path()).status().unwrap();
    assert!(made.success());
    let overlay = overlay(std::fs::read(file.path()).unwrap());
    let (facts, _) = read_table(&overlay).unwrap();
    assert_eq!((facts.table, facts.partitions[0].number), (TableKind::None, 0));
    let found = identify(&Window::of_partition(&overlay, &facts.partitions[0]).unwrap()).unwrap().unwrap();
    assert_eq!((found.kind.as_str(), found.uuid.as_deref()), ("swap", Some(uuid)));
}

fn sgdisk_verify(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let output = Command::new("timeout")
        .args(["20", "sgdisk", "-v"])
        .arg(file.path())
        .output()
        .expect("sgdisk is in the package gdisk");
    String::from_utf8(output.stdout).unwrap()
}

fn resized(mut bytes: Vec<u8>, size: usize) -> format_core::Result<Vec<u8>> {
    bytes.resize(size, 0);
    let overlay = overlay(bytes);
    assert!(driver_partitions::move_gpt_backup(&overlay)?);
    let mut merged = vec![0; size];
    overlay.read_merged_at(0, &mut merged)?;
    Ok(merged)
}

#[test]
fn a_gpt_fits_the_disk_again_after_growing_and_shrinking() {
    let before = disk_with(GPT);
    let (wanted, _) = table(before.clone());
    for size in [(24 << 20) + 512, 40 << 20, 18 << 20] {
        let after = resized(before.clone(), size).unwrap();
        let verdict = sgdisk_verify(&after);
        assert!(verdict.contains("No problems found"), "{size}: {verdict}");
        let (facts, obstacles) = table(after.clone());
        assert_eq!(format!("{:?}", facts.partitions), format!("{:?}", wanted.partitions));
        assert!(obstacles.is_empty(), "{obstacles:?}");
        let headers = after.chunks(512).filter(|sector| sector.starts_with(b"EFI PART")).count();
        assert_eq!(headers, 2, "{size}: the old backup is gone");
    }
    // Partition 3 ends at sector 32768, and behind it are 33 sectors of the table.
    assert!(resized(before.clone(), (32768 + 33) * 512).is_ok());
    let error = resized(before, (32768 + 32) * 512).unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::Usage);
}

/// Changes the primary header and makes its checksum right again.
fn patched(mut bytes: Vec<u8>, at: usize, value: u64) -> Vec<u8> {
    let header = &mut bytes[512..512 + 92];
    header[at..at + 8].copy_from_slice(&value.to_le_bytes());
    header[16..20].fill(0);
    let crc = crc32fast::hash(header);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn only_a_backup_outside_partitions_is_wiped() {
    let before = disk_with(GPT);
    let after = resized(patched(before.clone(), 32, 1), 40 << 20).unwrap();
    assert!(sgdisk_verify(&after).contains("No problems found"), "the primary is still there");
    // A header within the third partition, which says that it lies there.
    let mut inside = patched(before, 32, 20_000);
    inside.copy_within(512..1024, 20_000 * 512);
    inside[20_000 * 512 + 24..][..8].copy_from_slice(&20_000u64.to_le_bytes());
    let content = inside[12_288 * 512..32_768 * 512].to_vec();
    let after = resized(inside, 40 << 20).unwrap();
    assert!(after[12_288 * 512..32_768 * 512] == content, "a partition was changed");
}

#[test]
fn a_gpt_that_an_mbr_took_over_is_left_alone() {
    let mut bytes = disk_with(GPT);
    let mbr = disk_with("label: dos\nstart=2048, size=38912, type=83\n");
    bytes[..512].copy_from_slice(&mbr[..512]);
    bytes[40_960 * 512 - 1] = 7;
    bytes.truncate(40_960 * 512);
    let overlay = overlay(bytes);
    assert!(!driver_partitions::move_gpt_backup(&overlay).unwrap());
    assert!(overlay.changed_ranges().is_empty());
}
