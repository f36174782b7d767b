//! Good archives with one thing broken.

use crate::builder::{Hand, archive, container, disk, pax, refused, write_sparse};
use crate::golden::tar;
use format_core::{ErrorKind, Score, StorageReader};
use std::io::Read;

fn says(bytes: &[u8], kind: ErrorKind, text: &str) {
    let error = refused(bytes);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

/// Header fields of a sparse map: offset and length.
fn run(offset: u64, len: u64) -> Vec<u8> {
    format!("{offset:011o}\0{len:011o}\0").into_bytes()
}

/// An old GNU member of `size` bytes with these runs.
fn sparse(size: u64, runs: &[(u64, u64)], data: &[u8]) -> Hand {
    let map: Vec<u8> = runs.iter().flat_map(|(offset, len)| run(*offset, *len)).collect();
    Hand::of(b'S', "disk.raw", data)
        .patched(257, b"ustar  \0")
        .patched(386, &map)
        .patched(483, format!("{size:011o}\0").as_bytes())
}

fn sparse_1_0(size: &str, map: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = map.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend_from_slice(data);
    let records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "disk.raw"),
        ("GNU.sparse.realsize", size),
    ];
    archive(&[pax(&records), Hand::file("GNUSparseFile.0/disk.raw", &bytes)])
}

/// The last bytes of a disk are not its padding.
#[test]
fn only_padding_may_be_missing_at_the_end() {
    let bytes = archive(&[Hand::file("disk.raw", &[1; 1000])]);
    for len in 513..512 + 1024 {
        match container(&bytes[..len]) {
            Ok(_) => assert!(len >= 512 + 1000, "{len}"),
            Err(error) => {
                assert!(len < 512 + 1000 && error.to_string().contains("missing"), "{len}: {error}")
            }
        }
    }
}

#[test]
fn headers() {
    let good = || Hand::file("disk.raw", &[1; 1000]);
    assert_eq!(container(&archive(&[good()])).unwrap().disks()[0].virtual_size, Some(1000));
    let mut bytes = archive(&[good()]);
    bytes[0] ^= 1;
    says(&bytes, ErrorKind::Corrupt, "checksum");
    says(
        &archive(&[good().patched(124, b"0000000099x\0")]),
        ErrorKind::Corrupt,
        "size of the header is no number",
    );
    says(&archive(&[good().patched(124, &[0xff; 12])]), ErrorKind::Corrupt, "negative");
    says(&archive(&[good().patched(124, b"77777777777\0")]), ErrorKind::Corrupt, "are missing");
    let huge = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    says(&archive(&[good().patched(124, &huge)]), ErrorKind::Corrupt, "64 bits");
    says(&archive(&[good(), Hand::of(b'M', "disk.raw", &[])]), ErrorKind::Unsupported, "volume");
    says(&archive(&[good(), good()]), ErrorKind::Unsupported, "two members");
    says(&archive(&[Hand::file("a.txt", &[1; 1000])]), ErrorKind::Unsupported, "a.txt");
    says(&archive(&[]), ErrorKind::Unsupported, "none of the 0 members");
    let long = Hand::of(b'L', "././@LongLink", &vec![b'a'; 70_000]);
    says(&archive(&[long, good()]), ErrorKind::Limit, "70000 bytes");
    says(
        &archive(&[good(), Hand::of(b'L', "././@LongLink", b"name")]),
        ErrorKind::Corrupt,
        "no member follows",
    );
}

#[test]
fn pax_records() {
    let with = |records: &[(&str, &str)]| archive(&[pax(records), Hand::file("disk.raw", &[1; 1000])]);
    assert_eq!(container(&with(&[("path", "other.img")])).unwrap().disks()[0].name, "other.img");
    says(&with(&[("size", "-1")]), ErrorKind::Corrupt, "size is no number");
    says(&with(&[("size", "99999999999999999999")]), ErrorKind::Corrupt, "size is no number");
    says(&with(&[("size", "18446744073709551615")]), ErrorKind::Corrupt, "64 bits");
    says(&with(&[("SCHILY.realsize", "5000")]), ErrorKind::Unsupported, "SCHILY");
    says(
        &with(&[("GNU.sparse.major", "2"), ("GNU.sparse.realsize", "5")]),
        ErrorKind::Unsupported,
        "version 2.0",
    );
    says(
        &with(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]),
        ErrorKind::Unsupported,
        "version 1.0",
    );
    says(&with(&[("GNU.sparse.numbytes", "5")]), ErrorKind::Corrupt, "GNU.sparse.numbytes");
    let odd = [("GNU.sparse.size", "5000"), ("GNU.sparse.map", "0,1000,3")];
    says(&with(&odd), ErrorKind::Corrupt, "offset without a length");
    for text in ["9 a=b\n", "x a=b\n", "6 a=b", "0 a=b\n", "6 a:b\n", "99999999999999999999999 a=b\n"] {
        let records = Hand::of(b'x', "x", text.as_bytes());
        says(&archive(&[records, Hand::file("disk.raw", &[1; 1000])]), ErrorKind::Corrupt, "pax record");
    }
    let mut global = pax(&[("size", "5")]);
    global.kind = b'g';
    says(&archive(&[global, Hand::file("disk.raw", &[1; 1000])]), ErrorKind::Unsupported, "global");
    let mut comment = pax(&[("comment", "made by git")]);
    comment.kind = b'g';
    assert!(container(&archive(&[comment, Hand::file("disk.raw", &[1; 1000])])).is_ok());
}

#[test]
fn sparse_maps() {
    assert!(container(&archive(&[sparse(5000, &[(512, 100), (4000, 50)], &[1; 150])])).is_ok());
    let wrong = |runs: &[(u64, u64)], data: &[u8], text| {
        says(&archive(&[sparse(5000, runs, data)]), ErrorKind::Corrupt, text);
    };
    wrong(&[(4000, 50), (512, 100)], &[1; 150], "the run before it ends at");
    wrong(&[(0, 100), (50, 50)], &[1; 150], "the run before it ends at");
    wrong(&[(4990, 50)], &[1; 50], "the member has 0x1388 bytes");
    wrong(&[(0, 50)], &[1; 100], "0x32 bytes together, 0x64 are stored");
    wrong(&[(0, 100)], &[1; 50], "0x64 bytes together, 0x32 are stored");
    let more = sparse(5000, &[(0, 1), (2, 1), (4, 1), (6, 1)], &[]).patched(482, &[1]);
    says(&more.bytes(), ErrorKind::Corrupt, "within a header");

    assert!(container(&sparse_1_0("5000", "1\n512\n100\n", &[1; 100])).is_ok());
    let wrong = |map: &str, kind, text| says(&sparse_1_0("5000", map, &[1; 100]), kind, text);
    wrong("x\n", ErrorKind::Corrupt, "a line is no number");
    wrong("\n", ErrorKind::Corrupt, "a line is no number");
    wrong("99999999999999999999\n", ErrorKind::Corrupt, "64 bits");
    wrong("9999999\n", ErrorKind::Limit, "more than");
    wrong("2\n512\n100\n", ErrorKind::Corrupt, "a line is no number");
    wrong("1\n18446744073709551615\n100\n", ErrorKind::Corrupt, "the member has");
    wrong(&("200\n".to_owned() + &"0\n0\n".repeat(200)), ErrorKind::Corrupt, "together");
}

#[test]
fn every_prefix_is_refused_or_marked() {
    let folder = tempfile::tempdir().unwrap();
    write_sparse(&folder.path().join("disk.raw"), &disk(4 << 20));
    for way in [
        &["-S", "--format=oldgnu"][..],
        &["-S", "--format=posix", "--sparse-version=1.0"],
        &["-S", "--format=posix", "--sparse-version=0.0"],
    ] {
        let bytes = std::fs::read(tar(folder.path(), way, &["disk.raw"])).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(512);
        for len in (0..end).step_by(37).chain([end - 1]) {
            match container(&bytes[..len]) {
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{error}")
                }
                // All the data are there, and only the padding is not.
                Ok(container) => {
                    assert!(container.warnings()[0].code == "tar-no-end" && end - len < 512, "{len}")
                }
            }
        }
    }
}

/// A flipped bit of a header is seen by its checksum, one of pax records or a map is seen or changes nothing that was
/// claimed; one of the data is not seen: SPEC.md says so.
#[test]
fn flipped_bits_of_headers_are_seen() {
    let bytes = archive(&[sparse(5000, &[(512, 100), (4000, 50)], &[1; 150])]);
    for at in 0..512 {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            match container(&bytes) {
                Err(_) => {}
                // The checksum's own field has room to say the same in other ways.
                Ok(container) => {
                    assert!((148..156).contains(&at), "{at} {bit}");
                    assert_eq!(container.disks()[0].virtual_size, Some(5000));
                }
            }
        }
    }
}

#[test]
fn a_map_is_followed_to_the_byte() {
    let data: Vec<u8> = (1..=150).collect();
    let bytes = archive(&[sparse(5000, &[(512, 100), (612, 0), (4000, 50), (5000, 0)], &data)]);
    let mut walker = tar_members::Walker::new(tar_members::StorageInput::new(std::sync::Arc::new(
        format_core::MemStorage(bytes.clone()),
    )));
    let member = walker.next_member().unwrap().unwrap();
    let archive: std::sync::Arc<dyn format_core::Storage> =
        std::sync::Arc::new(format_core::MemStorage(bytes));
    let mut found = Vec::new();
    StorageReader::new(member.storage(&archive).unwrap()).read_to_end(&mut found).unwrap();
    let mut expected = vec![0; 5000];
    expected[512..612].copy_from_slice(&data[..100]);
    expected[4000..4050].copy_from_slice(&data[100..]);
    assert!(found == expected);
}

#[test]
fn blocks_of_xen_are_no_disks() {
    let file = |name: &str| Hand::file(name, &[1; 4096]);
    let folder = || Hand::of(b'5', "./Ref:7/", &[]);
    let probe = |members: &[Hand]| (format_tar::FORMAT.probe)(&archive(members), &[]);
    assert_eq!(probe(&[file("./Ref:7/00000000")]), Score::No);
    assert_eq!(probe(&[folder(), file("./Ref:7/00000000")]), Score::No);
    for other in ["Ref:7/0000000", "Ref:x/00000000", "00000000", "Ref:7/00000000.raw"] {
        assert_eq!(probe(&[folder(), file(other), file("./Ref:7/00000000")]), Score::Magic, "{other}");
    }
}
