//! A good image reads as it was built; the same with one thing broken is refused with the reason.

use crate::builder::{
    Plan, adler, check, container, context, descriptor, find, in_folder, open, open_with, read, read_layer,
    seal, section,
};
use format_core::ErrorKind::{self, Corrupt, Limit, NeedsPerson, SourceMissing, Unsupported, Usage};
use format_core::Severity;
use md5::{Digest, Md5};
use sha1::Sha1;

#[test]
fn what_was_built_is_read() {
    let whole = Plan { data: Plan::sample().data[..8 * 1024].to_vec(), ..Plan::sample() };
    for plan in [
        Plan::sample(),
        Plan::short(),
        whole,
        Plan { base: 13, ..Plan::sample() },
        Plan { with_second_table: false, ..Plan::sample() },
    ] {
        let bytes = plan.one();
        assert!(read(&bytes).unwrap() == plan.data, "{plan:?}");
        let report = check(&bytes).unwrap();
        assert!(report.is_clean(), "{report:?}");
        let forms = if plan.is_short { 11 } else { (plan.data.len().div_ceil(1024) as u64).div_ceil(3) };
        assert_eq!(report.compressed_chunks, forms);
        for split in [1, 3, 10] {
            let folder = tempfile::tempdir().unwrap();
            let layer = in_folder(&Plan { split, base: 0, ..plan.clone() }.build(), folder.path()).unwrap();
            assert!(read_layer(layer.as_ref()).unwrap() == plan.data);
        }
    }
}

/// Puts `bytes` at `at` of a section's data, and its checksum right where it has one at `sealed`.
fn patch(image: &mut [u8], kind: &str, at: usize, bytes: &[u8], sealed: Option<usize>) {
    let start = find(image, kind) + 76;
    image[start + at..start + at + bytes.len()].copy_from_slice(bytes);
    if let Some(len) = sealed {
        seal(&mut image[start..start + len]);
    }
}

fn refused(image: &[u8], kind: ErrorKind, text: &str) {
    let error = read(image).err().unwrap_or_else(|| panic!("read, instead of: {text}"));
    assert!(error.kind() == kind && error.to_string().contains(text), "{text}: {error:?}");
}

#[test]
fn headers_and_volumes_that_lie_are_refused() {
    let good = Plan::sample().one();
    let with = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    refused(&good[..12], Corrupt, "has 12 bytes");
    refused(&with(0, b"evf"), Corrupt, "no header of a segment");
    refused(&with(0, b"LVF"), Unsupported, "logical evidence");
    refused(&with(0, b"DVF"), Unsupported, "shadow file");
    refused(&with(0, b"ADCRYPT\0"), NeedsPerson, "is encrypted by FTK Imager");
    refused(&with(9, &[2]), Usage, "is segment 2 of an image");
    refused(&with(13 + 72, &[1]), Corrupt, "the section at 0xd of segment 1 has the checksum");
    let volume = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        patch(&mut image, "volume", at, bytes, Some(1052));
        image
    };
    refused(&volume(0, &[0x0e]), Unsupported, "logical evidence");
    refused(&volume(12, &[0; 4]), Unsupported, "a sector has 0 bytes");
    refused(&volume(12, &[0, 0, 2, 0]), Unsupported, "a sector has 131072 bytes");
    refused(&volume(8, &[0; 4]), Limit, "a chunk has 0 sectors");
    refused(&volume(8, &[1, 0, 1, 0]), Limit, "a chunk has 65537 sectors of 512 bytes");
    refused(&volume(16, &[0xff; 8]), Corrupt, "more than 64 bits count");
    refused(&volume(16, &[0; 8]), Corrupt, "says that the disk has no sectors, the tables hold 11 chunks");
    let mut image = good.clone();
    patch(&mut image, "volume", 200, &[1], None);
    refused(&image, Corrupt, "the volume section has the checksum");
    let mut image = good[..13].to_vec();
    section(&mut image, "volume", &[0; 93]);
    refused(&image, Corrupt, "the volume section has 0x5d bytes");
    let mut image = good[..13].to_vec();
    image.extend(descriptor("done", 13, 0));
    refused(&image, Corrupt, "no volume section");
    let other = Plan { sectors_per_chunk: 4, ..Plan::sample() };
    let plan = Plan { extra: vec![("disk", other.volume())], ..Plan::sample() };
    refused(&plan.one(), Corrupt, "two volume sections differ");
    let plan = Plan { extra: vec![("data", other.volume())], ..Plan::sample() };
    refused(&plan.one(), Corrupt, "segment 1 belongs to another image");
    let plan = Plan { extra: vec![("ltree", vec![])], ..Plan::sample() };
    refused(&plan.one(), Unsupported, "logical evidence");
}

#[test]
fn sections_that_lead_nowhere_are_refused() {
    let good = Plan::sample().one();
    let end = find(&good, "done");
    let with = |kind: &str, next: u64| {
        let mut image = good[..end].to_vec();
        image.extend(descriptor(kind, next, 0));
        image.extend([0; 100]);
        image
    };
    refused(&with("hash", end as u64), Corrupt, "says that the next is at");
    refused(&with("hash", 13), Corrupt, "says that the next is at 0xd");
    refused(&with("hash", u64::MAX), Corrupt, "within or before the section");
    refused(&with("next", 0), SourceMissing, "goes on in segment 2");
    refused(&good[..end], Corrupt, "segment 1 ends at");
    let mut many = good[..end].to_vec();
    for _ in 0..70_000 {
        let at = many.len() as u64 + 76;
        many.extend(descriptor("what", at, 76));
    }
    refused(&many, Limit, "more than 65536 sections");
}

#[test]
fn of_a_damaged_table_the_copy_is_read() {
    let plan = Plan::sample();
    let good = plan.one();
    for (kind, at) in [("table", 0), ("table", 30), ("table", 24 + 4 * 11), ("table2", 1), ("table2", 25)] {
        let mut image = good.clone();
        patch(&mut image, kind, at, &[0x77], None);
        let layer = open(&image).unwrap();
        assert!(read_layer(layer.as_ref()).unwrap() == plan.data, "{kind} {at}");
        assert!(layer.warnings().iter().any(|warning| warning.code == "ewf-damaged"), "{kind} {at}");
        assert!(check(&image).unwrap().errors > 0);
        patch(&mut image, if kind == "table" { "table2" } else { "table" }, at, &[0x78], None);
        refused(&image, Corrupt, "the table at");
    }
    let single = Plan { with_second_table: false, ..Plan::sample() };
    let mut image = single.one();
    patch(&mut image, "table", 30, &[0x77], None);
    refused(&image, Corrupt, "for its entries");
    // Both are whole, and differ: the first chunk is said to be at two places.
    let mut image = good.clone();
    let start = find(&image, "table2") + 76;
    image.copy_within(start + 28..start + 32, start + 24);
    let sum = adler(&image[start + 24..start + 24 + 44]);
    patch(&mut image, "table2", 24 + 44, &sum, None);
    refused(&image, Corrupt, "differs from its copy");
    let mut trusting = context();
    trusting.access.ignore_checksums = true;
    assert!(read_layer(open_with(&image, &trusting).unwrap().as_ref()).unwrap() == plan.data);
}

#[test]
fn tables_that_lie_are_refused() {
    let table = |at: usize, bytes: &[u8]| {
        let mut image = Plan { with_second_table: false, ..Plan::sample() }.one();
        patch(&mut image, "table", at, bytes, Some(24));
        image
    };
    refused(&table(0, &[0xff; 4]), Corrupt, "too few for its 4294967295 entries");
    refused(&table(0, &[13, 0]), Corrupt, "too few for its 13 entries");
    refused(&table(8, &[0xff; 8]), Corrupt, "counts from 0xffffffffffffffff");
    refused(&table(9, &[1]), Corrupt, "chunk 0, 0x40b bytes");
    refused(&table(9, &[0x2d]), Corrupt, "chunk 0 is said to be at");
    let mut image = Plan::sample().one();
    patch(&mut image, "sectors", 3, &[0xaa], None);
    refused(&image, Corrupt, "chunk 0, 0x40b bytes at 0x");
    let mut image = Plan::sample().one();
    patch(&mut image, "sectors", 1035 + 3, &[0xaa], None);
    refused(&image, Corrupt, "is damaged: its bytes do not have the checksum behind them");
    let good = Plan::sample().one();
    let mut image = good[..find(&good, "sectors")].to_vec();
    let start = find(&good, "table");
    section(&mut image, "table", &good[start + 76..find(&good, "table2")]);
    image.extend(descriptor("done", 0, 0));
    refused(&image, Corrupt, "follows no sectors section");
}

#[test]
fn missing_chunks_are_told_and_never_read_as_zeros() {
    let plan = Plan::sample();
    let mut longer = plan.clone();
    longer.data.resize(20 * 1024, 0);
    let mut image = plan.one();
    patch(&mut image, "volume", 0, &longer.volume(), None);
    let layer = open(&image).unwrap();
    assert_eq!(layer.virtual_size(), 20 * 1024);
    assert!(layer.warnings().iter().any(|warning| warning.code == "ewf-chunks-missing"));
    refused(&image, Corrupt, "chunk 10, 0x204 bytes");
    let error = layer.read_exact_at(11 * 1024, &mut [0; 10]).unwrap_err();
    assert!(error.to_string().contains("chunk 11 is in no table"), "{error}");
    let found = container(&image).unwrap().completeness().unwrap();
    assert!(found.len() == 1 && found[0].severity == Severity::Error, "{found:?}");
    assert!(!check(&image).unwrap().is_clean());
}

#[test]
fn hashes_of_the_disk_are_compared() {
    let mut plan = Plan::sample();
    let (md5, sha1) = (Md5::digest(&plan.data).to_vec(), Sha1::digest(&plan.data).to_vec());
    let digest = |md5: &[u8], sha1: &[u8]| {
        let mut bytes = [md5, sha1, &[0; 44]].concat();
        seal(&mut bytes);
        bytes
    };
    plan.extra = vec![("digest", digest(&md5, &sha1))];
    assert!(check(&plan.one()).unwrap().findings.is_empty());
    let prove = |plan: &Plan| container(&plan.one()).unwrap().proof(0).unwrap()(&|_| Ok(()));
    prove(&plan).unwrap();
    for (extra, text) in [
        (digest(&sha1[..16], &sha1), "the disk has the MD5"),
        (digest(&md5, &[&md5[..], &md5[..4]].concat()), "the disk has the SHA-1"),
    ] {
        plan.extra = vec![("digest", extra)];
        let error = prove(&plan).unwrap_err();
        assert!(error.kind() == ErrorKind::Mismatch && error.to_string().contains(text), "{error}");
        let report = check(&plan.one()).unwrap();
        assert!(report.errors == 1 && report.findings[0].message.contains(text), "{report:?}");
    }
    let mut damaged = digest(&md5, &sha1);
    damaged[0] ^= 1;
    plan.extra = vec![("digest", damaged)];
    assert!(container(&plan.one()).unwrap().proof(0).is_none());
    assert!(check(&plan.one()).unwrap().errors == 1);
}

#[test]
fn sectors_that_could_not_be_acquired_are_told() {
    let mut bytes = vec![0; 520];
    bytes[..4].copy_from_slice(&2u32.to_le_bytes());
    seal(&mut bytes);
    for number in [5u32, 1, 9, 2] {
        bytes.extend(number.to_le_bytes());
    }
    let sum = adler(&bytes[520..]);
    bytes.extend(sum);
    let plan = Plan { extra: vec![("error2", bytes)], ..Plan::sample() };
    let layer = open(&plan.one()).unwrap();
    let warning = &layer.warnings()[0];
    assert!(warning.code == "ewf-unreadable-sectors" && warning.message.contains("3 sectors"), "{warning:?}");
    assert!(warning.message.contains("5+1, 9+2"), "{warning:?}");
    assert_eq!(layer.details()["unreadable-ranges"][1]["first-sector"], 9);
    assert!(check(&plan.one()).unwrap().is_clean());
}
