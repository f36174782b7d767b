//! Disks whose descriptor is a file of its own: text of all sorts, extents of all sorts, and who may open them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::err_expect,
    reason = "a test fails by a panic"
)]

mod builder;
mod esx;

use builder::{Grain, Plan, noise};
use esx::{Cowd, SeSparse};
use format_core::ErrorKind::{self, Corrupt, Denied, NeedsPerson, SourceMissing, Unsupported};
use format_core::{ExtentKind, Format, OpenOptions, OpenedImage, Result, open_image};
use format_vmdk::FORMAT;
use std::path::Path;
use tempfile::TempDir;

static FORMATS: &[&Format] = &[&FORMAT];
const HEAD: &str =
    "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"custom\"\n";

fn open(path: &Path) -> Result<OpenedImage> {
    open_image(path, &OpenOptions::new(FORMATS, Some(&FORMAT)))
}

fn content(image: &OpenedImage) -> Vec<u8> {
    let mut bytes = vec![0xaa; image.disk.virtual_size() as usize];
    image.disk.read_exact_at(0, &mut bytes).unwrap();
    // The same again in pieces that end everywhere.
    let mut again = vec![0x55; bytes.len()];
    for (number, part) in again.chunks_mut(4099).enumerate() {
        image.disk.read_exact_at(number as u64 * 4099, part).unwrap();
    }
    assert!(bytes == again);
    bytes
}

/// A folder with these files and a descriptor `d.vmdk`.
fn folder(files: &[(&str, &[u8])], descriptor: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    std::fs::write(folder.path().join("d.vmdk"), descriptor).unwrap();
    folder
}

fn opened(files: &[(&str, &[u8])], descriptor: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    let folder = folder(files, descriptor);
    open(&folder.path().join("d.vmdk")).map(|image| content(&image))
}

#[track_caller]
fn refused(files: &[(&str, &[u8])], lines: &str, kind: ErrorKind, words: &str) {
    let error = opened(files, format!("{HEAD}{lines}")).err().expect(words);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error} does not say {words:?}");
}

#[test]
fn a_mix_of_extents_is_one_disk() {
    let flat = noise(1, 40 * 512);
    let sparse = Plan::sample(0).build();
    let stream = Plan::stream().build();
    let cowd = Cowd::sample();
    let files: &[(&str, &[u8])] = &[
        ("a b-flat.vmdk", &flat),
        ("s.vmdk", &sparse.bytes),
        ("z.vmdk", &stream.bytes),
        ("c.vmdk", &cowd.bytes),
    ];
    let lines = "RW 10 FLAT \"a b-flat.vmdk\" 30\nRW 44 SPARSE \"s.vmdk\"\nRW 7 ZERO\nRDONLY 44 SPARSE \"z.vmdk\"\n\
                 RW 0 FLAT \"never-opened\" 0\nRW 20 VMFS \"a b-flat.vmdk\" 0\nRW 64 VMFSSPARSE \"c.vmdk\"\n\
                 RW 3 FLAT \"a b-flat.vmdk\" 21\n";
    let folder = folder(files, format!("{HEAD}{lines}"));
    let image = open(&folder.path().join("d.vmdk")).unwrap();
    let expected = [
        &flat[30 * 512..],
        &sparse.content,
        &[0; 7 * 512],
        &stream.content,
        &flat[..20 * 512],
        &cowd.content,
        &flat[21 * 512..24 * 512],
    ]
    .concat();
    assert!(content(&image) == expected);
    // Each file is opened once, however many extents it holds.
    assert_eq!(image.chain[0].parts.len(), 4);
    let range = image.disk.host_range(512).unwrap().unwrap();
    assert_eq!((range.offset, range.len), (31 * 512, 9 * 512));
}

#[test]
fn no_two_extents_are_the_same_bytes() {
    let (flat, sparse) = (noise(1, 40 * 512), Plan::sample(0).build().bytes);
    let files: &[(&str, &[u8])] = &[("f", &flat), ("s", &sparse)];
    for lines in [
        "RW 9 FLAT \"f\" 8\nRW 9 ZERO\nRW 9 FLAT \"f\" 0\n",
        "RW 9 FLAT \"f\" 0\nRW 9 VMFS \"f\"\n",
        "RW 44 SPARSE \"s\"\nRW 44 SPARSE \"s\"\n",
        "RW 44 SPARSE \"C:\\one\\s\"\nRW 44 SPARSE \"D:\\two\\s\"\n",
        "RW 9 FLAT \"s\" 2\nRW 44 SPARSE \"s\"\n",
    ] {
        refused(files, lines, Corrupt, "two extents are the same bytes of");
    }
    let lines = "RW 9 FLAT \"f\" 9\nRW 0 FLAT \"f\" 3\nRW 9 FLAT \"f\" 0\nRW 9 FLAT \"f\" 18\n";
    let found = opened(files, format!("{HEAD}{lines}")).unwrap();
    assert!(found == [&flat[9 * 512..18 * 512], &flat[..9 * 512], &flat[18 * 512..27 * 512]].concat());
}

#[test]
fn line_ends_case_blanks_and_bare_vmfs_lines() {
    let flat = noise(3, 8 * 512);
    for text in [
        "# disk descriptorfile\r\nCREATETYPE = \"vmfs\"\r\n  rw 8 vmfs \"f.vmdk\"\r\n",
        "\u{feff}# Disk DescriptorFile\rcid=1\r\tcreateType=\"vmfs\"\r\r RW\t8\tVMFS \"f.vmdk\" 0\r",
        "# Disk DescriptorFile\ncreatetype=monolithicFlat\nRW 8 FLAT f.vmdk 0\n\0RW 8 FLAT \"gone\" 0",
        "# Disk DescriptorFile\ncreatetype=vmfs\nRW 8 VMFS \"/vmfs/volumes/5f-2/vm/f.vmdk\"\n",
        "# Disk DescriptorFile\ncreatetype=custom\nRW 8 FLAT \"C:\\VMs\\f.vmdk\" 0\n",
    ] {
        assert!(opened(&[("f.vmdk", &flat)], text).unwrap() == flat, "{text}");
    }
}

#[test]
fn names_are_decoded_by_the_encoding() {
    let flat = noise(4, 512);
    for (encoding, bytes, name) in [
        ("windows-1252", &b"B\xfcro-flat.vmdk"[..], "Büro-flat.vmdk"),
        ("GBK", b"\xd6\xd0\xce\xc4.vmdk", "中文.vmdk"),
        ("Shift_JIS", b"\x83\x5c\x83\x74\x83\x67.vmdk", "ソフト.vmdk"),
        ("UTF-8", "ü中ソ.vmdk".as_bytes(), "ü中ソ.vmdk"),
    ] {
        let lines = format!("{HEAD}encoding=\"{encoding}\"\nRW 1 FLAT \"");
        let text = [lines.as_bytes(), bytes, b"\" 0\n"].concat();
        assert!(opened(&[(name, &flat)], text).unwrap() == flat, "{encoding}");
    }
    let undecodable = [HEAD.as_bytes(), b"encoding=\"UTF-8\"\nRW 1 FLAT \"B\xfcro.vmdk\" 0\n"].concat();
    let error = opened(&[], undecodable).unwrap_err();
    assert!(error.kind() == Unsupported && error.message().contains("cannot be decoded"), "{error}");
}

#[test]
fn flat_files_may_be_longer_but_not_shorter() {
    let flat = noise(5, 8 * 512 + 1);
    let files: &[(&str, &[u8])] = &[("f.vmdk", &flat)];
    assert!(opened(files, format!("{HEAD}RW 7 FLAT \"f.vmdk\" 1")).unwrap() == flat[512..8 * 512]);
    refused(files, "RW 9 FLAT \"f.vmdk\" 0", Corrupt, "needs 0x1200 bytes of its file, which has 0x1001");
    refused(files, "RW 8 FLAT \"f.vmdk\" 1", Corrupt, "needs 0x1200 bytes");
    refused(files, &format!("RW 8 FLAT \"f.vmdk\" {}", u64::MAX), Corrupt, "needs 0xffffffffffffffff bytes");
    refused(files, "RW 4 FLAT \"f.vmdk\" 0\nRW 4 FLAT \"gone.vmdk\" 0", SourceMissing, "gone.vmdk");
}

#[test]
fn holes_of_flat_files_are_zeros_that_hide_a_parent() {
    let folder = folder(&[], format!("{HEAD}RW 4096 FLAT \"f.vmdk\" 0"));
    let file = std::fs::File::create(folder.path().join("f.vmdk")).unwrap();
    file.set_len(2 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], 1 << 20).unwrap();
    let image = open(&folder.path().join("d.vmdk")).unwrap();
    let kinds: Vec<_> =
        image.disk.extents(0, u64::MAX).map(|e| e.unwrap()).map(|e| (e.offset, e.len, e.kind)).collect();
    let (mib, page) = (1 << 20, 4096);
    let expected = [
        (0, mib, ExtentKind::Zero),
        (mib, page, ExtentKind::Data),
        (mib + page, mib - page, ExtentKind::Zero),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn nobody_reaches_outside_the_folder() {
    let files: &[(&str, &[u8])] = &[("f.vmdk", &[1; 512])];
    for name in ["../f.vmdk", "/etc/passwd", "sub/f.vmdk", "..\\\\f.vmdk", "./f.vmdk", "nbd://x/y", "json:{}"]
    {
        for kind in ["FLAT", "SPARSE", "VMFSSPARSE", "SESPARSE", "VMFS"] {
            refused(files, &format!("RW 1 {kind} \"{name}\" 0"), Denied, "outside its own folder");
        }
    }
    for name in ["/dev/sda", "\\\\.\\PhysicalDrive0", "/vmfs/devices/disks/naa.6"] {
        refused(files, &format!("RW 1 FLAT \"{name}\" 0"), Unsupported, "is a device");
    }
    // A device beside an existing file: nothing is opened before all lines were judged.
    refused(files, "RW 1 FLAT \"gone\" 0\nRW 1 FLAT \"/dev/sda\" 0", Unsupported, "is a device");
    // The format was guessed from bytes alone: nothing at all is opened.
    let folder = folder(files, format!("{HEAD}RW 1 FLAT \"f.vmdk\" 0"));
    std::fs::rename(folder.path().join("d.vmdk"), folder.path().join("d.bin")).unwrap();
    let error = open_image(&folder.path().join("d.bin"), &OpenOptions::new(FORMATS, None)).err().unwrap();
    assert_eq!(error.kind(), Denied, "{error}");
}

#[test]
fn a_descriptor_is_no_extent_of_itself() {
    for kind in ["FLAT", "SPARSE", "SESPARSE"] {
        refused(&[], &format!("RW 1 {kind} \"d.vmdk\""), Corrupt, "lists itself");
    }
    let text = format!("{HEAD}RW 1 SPARSE \"e.vmdk\"");
    refused(&[("e.vmdk", text.as_bytes())], "RW 1 SPARSE \"e.vmdk\"", Corrupt, "not the start of a hosted");
}

#[test]
fn sizes_must_agree_with_the_extents_headers() {
    let sparse = Plan { capacity: Some(48), ..Plan::sample(0) }.build();
    let files: &[(&str, &[u8])] = &[("s.vmdk", &sparse.bytes)];
    // VirtualBox rounds the header up to a grain.
    assert!(opened(files, format!("{HEAD}RW 44 SPARSE \"s.vmdk\"")).unwrap() == sparse.content);
    for wrong in [40, 49, 1u64 << 32] {
        refused(files, &format!("RW {wrong} SPARSE \"s.vmdk\""), Corrupt, "the extent's header 0x30");
    }
    refused(files, "RW 44 SPARSE \"s.vmdk\" 8", Unsupported, "0x8 sectors into its file");
    refused(files, "RW 44 VMFSSPARSE \"s.vmdk\"", Corrupt, "not the start of a vmfsSparse extent");
    refused(files, "RW 44 SESPARSE \"s.vmdk\"", Corrupt, "not the start of a seSparse extent");
    refused(&[("s.vmdk", b"KDMV")], "RW 44 SPARSE \"s.vmdk\"", Corrupt, "not the start of a hosted");
}

#[test]
fn hundreds_of_extents_share_their_memory() {
    let sparse = Plan::stream().build();
    let names: Vec<_> = (0..500).map(|number| format!("s{number:03}.vmdk")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), sparse.bytes.as_slice())).collect();
    let lines: String = names.iter().map(|name| format!("RW 44 SPARSE \"{name}\"\n")).collect();
    assert!(opened(&files, format!("{HEAD}{lines}")).unwrap() == sparse.content.repeat(500));
}

#[test]
fn esx_snapshots_show_their_parent_and_hide_it() {
    let base = noise(9, 64 * 512);
    let (cowd, se) = (Cowd::sample(), SeSparse::sample());
    let parent = format!("{HEAD}RW 64 VMFS \"base-flat.vmdk\"\n");
    let files: &[(&str, &[u8])] = &[
        ("base-flat.vmdk", &base),
        ("base.vmdk", parent.as_bytes()),
        ("c.vmdk", &cowd.bytes),
        ("se.vmdk", &se.bytes),
    ];
    let child = |create_type: &str, line: &str| {
        let text = HEAD
            .replace("parentCID=ffffffff", "parentCID=12345678\nparentFileNameHint=\"base.vmdk\"")
            .replace("custom", create_type);
        opened(files, format!("{text}{line}")).unwrap()
    };
    assert!(child("vmfsSparse", "RW 64 VMFSSPARSE \"c.vmdk\"") == cowd.over(&base));
    assert!(child("seSparse", "RW 64 SESPARSE \"se.vmdk\"") == se.over(&base));
    // Alone, what they do not hold is zeros.
    assert!(opened(files, format!("{HEAD}RW 64 VMFSSPARSE \"c.vmdk\"")).unwrap() == cowd.content);
    assert!(opened(files, format!("{HEAD}RW 64 SESPARSE \"se.vmdk\"")).unwrap() == se.content);
    let other = HEAD.replace("parentCID=ffffffff", "parentCID=1\nparentFileNameHint=\"base.vmdk\"");
    let error = opened(files, format!("{other}RW 64 SESPARSE \"se.vmdk\"")).unwrap_err();
    assert!(error.kind() == Corrupt && error.message().contains("wants the parent 00000001"), "{error}");
}

#[test]
fn an_esx_extent_alone_is_refused_with_the_way() {
    for (bytes, line) in
        [(Cowd::sample().bytes, "RW 64 VMFSSPARSE"), (SeSparse::sample().bytes, "RW 64 SESPARSE")]
    {
        let error = opened(&[], bytes).unwrap_err();
        assert_eq!(error.kind(), Unsupported, "{error}");
        assert!(error.hint_text().unwrap().contains(line), "{error}");
    }
}

#[test]
fn broken_cowd_extents() {
    let broken = |at: usize, value: &[u8], kind, words| {
        let mut image = Cowd::sample();
        image.bytes[at..at + value.len()].copy_from_slice(value);
        refused(&[("c.vmdk", &image.bytes)], "RW 64 VMFSSPARSE \"c.vmdk\"", kind, words);
    };
    broken(4, &[2], Unsupported, "version 2");
    broken(12, &[0; 4], Corrupt, "capacity is 0");
    broken(12, &[99], Corrupt, "says 0x40 sectors");
    broken(16, &[3], Corrupt, "grainSize is 0x3");
    broken(20, &[0xff; 4], Corrupt, "grain directory at");
    broken(24, &[0], Corrupt, "has 0x0 entries, the capacity needs 0x1");
    broken(2048, &[0xff; 4], Corrupt, "grain directory entry 0x0 puts a grain table");
    broken(2048, &[1, 0, 0, 0], Corrupt, "over the header");
    refused(&[("c.vmdk", &Cowd::sample().bytes[..1000])], "RW 64 VMFSSPARSE \"c.vmdk\"", Corrupt, "cut off");
}

#[test]
fn broken_sesparse_extents() {
    let broken = |at: usize, value: &[u8], kind, words| {
        let mut image = SeSparse::sample();
        image.bytes[at..at + value.len()].copy_from_slice(value);
        refused(&[("s.vmdk", &image.bytes)], "RW 64 SESPARSE \"s.vmdk\"", kind, words);
    };
    broken(8, &[2], Corrupt, "not the start of a seSparse");
    broken(16, &[0; 8], Corrupt, "capacity is 0");
    broken(16, &[99], Corrupt, "says 0x40 sectors");
    broken(24, &[16], Unsupported, "grain size is 0x10");
    broken(32, &[1], Unsupported, "grain table size is 0x1");
    broken(40, &[1], Unsupported, "flags is 0x1");
    broken(48, &[1], Unsupported, "reserved field is 0x1");
    broken(512, &[1], Corrupt, "volatile header");
    broken(512 + 24, &[1], NeedsPerson, "journal of changes");
    broken(128, &[0xff; 8], Corrupt, "lies at sector");
    broken(136, &[0; 8], Corrupt, "has 0x0 entries, the capacity needs 0x1");
    let directory = SeSparse::DIRECTORY * 512;
    broken(directory + 7, &[0x20], Corrupt, "which no seSparse directory has");
    broken(directory, &[9], Corrupt, "which no seSparse directory has");
}

#[test]
fn broken_entries_are_found_when_they_are_read() {
    let entry = |value: u64, words: &str| {
        let mut image = SeSparse::sample();
        let at = SeSparse::TABLES * 512;
        image.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let folder = folder(&[("s.vmdk", &image.bytes)], format!("{HEAD}RW 64 SESPARSE \"s.vmdk\""));
        let error =
            open(&folder.path().join("d.vmdk")).unwrap().disk.read_exact_at(0, &mut [0; 512]).unwrap_err();
        assert!(error.kind() == Corrupt && error.message().contains(words), "{error}");
    };
    entry(1, "is 0x1, which no seSparse table has");
    entry(0x4000_0000_0000_0000, "which no seSparse table has");
    entry(0x3fff_ffff_ffff_ffff, "which no seSparse table has");
    entry(0x3000_0000_0000_0001, "points to 0x10");
}

#[test]
fn zeroed_grains_hide_the_parent() {
    let base = noise(11, 44 * 512);
    let parent = format!("{HEAD}RW 44 FLAT \"base-flat.vmdk\" 0\n");
    let text = "# Disk DescriptorFile\nCID=5\nparentCID=12345678\nparentFileNameHint=base.vmdk\n\
                createType=monolithicSparse\nRW 44 SPARSE \"d.vmdk\"\n";
    // Version 3 without a redundant directory, and version 1 with one.
    for (flags, version) in [(5, 3), (7, 1)] {
        let mut image = Plan { flags, text: text.into(), ..Plan::sample(0) }.build();
        image.put(4, &[version]);
        let found =
            opened(&[("base-flat.vmdk", &base), ("base.vmdk", parent.as_bytes())], &image.bytes).unwrap();
        let mut expected = image.content.clone();
        let absent = Plan::sample(0).grains.iter().position(|grain| matches!(grain, Grain::Absent)).unwrap();
        expected[absent * 4096..][..4096].copy_from_slice(&base[absent * 4096..][..4096]);
        assert!(found == expected, "version {version}");
    }
}
