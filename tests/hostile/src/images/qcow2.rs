//! qcow2: the header, what it names, and what its extensions say.

use super::bytes::Bytes;
use super::sweep::{Order, Sweep};
use super::{foreign, one, qcow2_bitmaps, qcow2_tables};
use crate::Case;
use crate::names::byte;

pub(super) const CLUSTER: usize = 16 << 10;
pub(super) const L1: usize = CLUSTER;
pub(super) const L2: usize = 2 * CLUSTER;
pub(super) const DATA: usize = 3 * CLUSTER;
pub(super) const REFCOUNT_TABLE: usize = 4 * CLUSTER;
pub(super) const REFCOUNT_BLOCK: usize = 5 * CLUSTER;
/// Behind all that is in use.
pub(super) const END: usize = 6 * CLUSTER;
pub(super) const COPIED: u64 = 1 << 63;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const DATA_FILE: u32 = 0x4441_5441;
const FEATURES: u32 = 0x6803_f857;
const BITMAPS: u32 = 0x2385_2875;
const LUKS: u32 = 0x0537_be77;

/// Version 3, 16 KiB clusters, a disk of 128 KiB: header, L1, L2, a cluster of sevens, counts of references.
pub(super) fn image() -> Bytes {
    let image = Bytes::zeros(END)
        .put(0, b"QFI\xfb")
        .be32(4, 3)
        .be32(20, 14)
        .be64(24, 8 * CLUSTER as u64)
        .be32(36, 1)
        .be64(40, L1 as u64)
        .be64(48, REFCOUNT_TABLE as u64)
        .be32(56, 1)
        .be32(96, 4)
        .be32(100, 104)
        .be64(L1, L2 as u64 | COPIED)
        .be64(L2, DATA as u64 | COPIED)
        .put(DATA, &[7; CLUSTER])
        .be64(REFCOUNT_TABLE, REFCOUNT_BLOCK as u64);
    (0..6).fold(image, |image, cluster| image.be16(REFCOUNT_BLOCK + cluster * 2, 1))
}

/// The same as version 2.
pub(super) fn version_2() -> Bytes {
    image().be32(4, 2).be64(96, 0)
}

/// Header extensions behind the header, and the name of a backing file behind them.
pub(super) fn with_extensions(image: Bytes, extensions: &[(u32, &[u8])], backing: &[u8]) -> Bytes {
    let mut at = 104;
    let mut image = image;
    for (kind, data) in extensions {
        image = image.be32(at, *kind).be32(at + 4, data.len() as u32).put(at + 8, data);
        at = (at + 8 + data.len()).next_multiple_of(8);
    }
    if !backing.is_empty() {
        at += 8;
        image = image.put(at, backing).be64(8, at as u64).be32(16, backing.len() as u32);
    }
    image
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sweeps();
    cases.extend(names());
    cases.extend(relatives());
    cases.extend(extensions());
    cases.extend(qcow2_tables::cases());
    cases.extend(qcow2_bitmaps::cases());
    cases
}

fn sweeps() -> Vec<Case> {
    let wrap = |bytes: Vec<u8>| one("a.qcow2", bytes);
    let header = |name, base: Bytes| Sweep {
        name,
        format: "qcow2",
        image: "a.qcow2",
        base: base.0,
        order: Order::Big,
        wrap: &wrap,
    };
    let mut cases = header("qcow2/header", image()).cases(&[
        ("magic", 0, 4, [65, 65, 65, 65]),
        ("version", 4, 4, [69, 69, 69, 69]),
        ("backing-file-offset", 8, 8, [0, 65, 65, 65]),
        ("backing-file-size", 16, 4, [0, 0, 0, 0]),
        ("cluster-bits", 20, 4, [65, 65, 65, 65]),
        ("size", 24, 8, [0, 0, 69, 69]),
        ("crypt-method", 32, 4, [0, 78, 78, 78]),
        ("l1-size", 36, 4, [65, 0, 69, 69]),
        ("l1-table-offset", 40, 8, [65, 65, 65, 65]),
        ("refcount-table-offset", 48, 8, [0, 0, 65, 65]),
        ("refcount-table-clusters", 56, 4, [0, 0, 65, 65]),
        ("nb-snapshots", 60, 4, [0, 0, 0, 0]),
        ("snapshots-offset", 64, 8, [0, 0, 0, 0]),
        ("incompatible-features", 72, 8, [0, 0, 69, 69]),
        ("compatible-features", 80, 8, [0, 0, 0, 0]),
        ("autoclear-features", 88, 8, [0, 0, 0, 0]),
        ("refcount-order", 96, 4, [0, 0, 65, 65]),
        ("header-length", 100, 4, [65, 65, 65, 65]),
        ("l1-entry", L1, 8, [0, 65, 0, 65]),
        ("l2-entry", L2, 8, [0, 0, 0, 65]),
    ]);
    cases.extend(header("qcow2/version-2", version_2()).cases(&[
        ("cluster-bits", 20, 4, [65, 65, 65, 65]),
        ("size", 24, 8, [0, 0, 69, 69]),
        ("l1-size", 36, 4, [65, 0, 69, 69]),
        ("l1-table-offset", 40, 8, [65, 65, 65, 65]),
        ("l2-entry", L2, 8, [0, 65, 0, 65]),
    ]));
    cases
}

/// Backing files and external data files that are none of the image's business.
fn names() -> Vec<Case> {
    let backing = |image: Bytes| {
        move |name: &str| {
            let extensions: [(u32, &[u8]); 2] = [(BACKING_FORMAT, b"raw"), (0, b"")];
            let image = image.clone();
            if image.0[7] == 2 {
                return one(
                    "a.qcow2",
                    image.put(200, name.as_bytes()).be64(8, 200).be32(16, name.len() as u32).0,
                );
            }
            one("a.qcow2", with_extensions(image, &extensions, name.as_bytes()).0)
        }
    };
    let data = |name: &str| {
        let extensions: [(u32, &[u8]); 2] = [(DATA_FILE, name.as_bytes()), (0, b"")];
        one("a.qcow2", with_extensions(image().be64(72, 4), &extensions, b"").0)
    };
    let mut cases = foreign::cases("qcow2", "backing-file", "a.qcow2", &backing(image()), &foreign::usual);
    cases.extend(foreign::cases(
        "qcow2",
        "backing-file-of-version-2",
        "a.qcow2",
        &backing(version_2()),
        &foreign::usual,
    ));
    cases.extend(foreign::cases("qcow2", "data-file", "a.qcow2", &data, &foreign::usual));
    cases
}

/// An image with this backing file, of the format qcow2.
fn child(backing: &str) -> Vec<u8> {
    with_extensions(image().be64(L1, 0), &[(BACKING_FORMAT, b"qcow2"), (0, b"")], backing.as_bytes()).0
}

fn relatives() -> Vec<Case> {
    let mut long = Case::new("qcow2/chain-of-300", "a chain longer than anyone's patience (CVE-2015-5162)");
    for number in 0..300 {
        long = long.file(&format!("{number}.qcow2"), child(&format!("{}.qcow2", number + 1)));
    }
    let all = |case: Case, code, says| {
        case.run_saying(&["inspect", "a.qcow2"], &[code], says)
            .run(&["info", "a.qcow2"], &[0, code])
            .run_saying(&["chain", "a.qcow2"], &[code], says)
            .run_saying(&["convert", "a.qcow2", "out.raw"], &[code], says)
    };
    let itself = Case::new("qcow2/chain-of-itself", "an image that is its own parent: qemu-img hangs");
    let cycle = Case::new("qcow2/chain-cycle", "two images that are each other's parents");
    let linked = Case::new("qcow2/chain-by-link", "an image whose parent is a symbolic link to it");
    vec![
        all(itself.file("a.qcow2", child("a.qcow2")), 65, "its own ancestor"),
        all(
            cycle.file("a.qcow2", child("b.qcow2")).file("b.qcow2", child("a.qcow2")),
            65,
            "its own ancestor",
        ),
        linked
            .file("a.qcow2", child("b.qcow2"))
            .file("b.qcow2", crate::Content::Link("a.qcow2".into()))
            .run(&["inspect", "a.qcow2"], &[65])
            .run(&["convert", "a.qcow2", "out.raw"], &[65]),
        long.run_saying(&["inspect", "0.qcow2"], &[69], "256")
            .run_saying(&["chain", "0.qcow2"], &[69], "256")
            .run_saying(&["convert", "0.qcow2", "out.raw"], &[69], "256"),
    ]
}

fn extensions() -> Vec<Case> {
    let case = |name: &str, about: &str, image: Bytes| {
        Case::new(&format!("qcow2/{name}"), about).file("a.qcow2", image.0)
    };
    let many: Vec<(u32, &[u8])> = (0..1500).map(|kind| (0x1234_0000 + kind, &b""[..])).collect();
    let steering = format!("\u{1b}]0;owned\u{7}\r\n{}[31m\u{202e}", byte(0x9b));
    let mut feature = vec![0_u8, 40];
    feature.extend(steering.bytes().take(46));
    feature.resize(48, 0);
    let bitmaps = |count: u32, size: u64, offset: u64| {
        let data = [&count.to_be_bytes()[..], &[0; 4], &size.to_be_bytes(), &offset.to_be_bytes()].concat();
        with_extensions(image().be64(88, 1), &[(BITMAPS, &data), (0, b"")], b"")
    };
    let luks = |offset: u64, len: u64| {
        let data = [offset.to_be_bytes(), len.to_be_bytes()].concat();
        with_extensions(image().be32(32, 2), &[(LUKS, &data), (0, b"")], b"")
    };
    let mut cases = vec![
        case("extension-endless", "an extension of 4 GiB", image().be32(104, 0x1234).be32(108, u32::MAX))
            .refused("a.qcow2", 65, "header extension"),
        case("extensions-many", "1500 unknown extensions", with_extensions(image(), &many, b""))
            .run(&["info", "a.qcow2"], &[0])
            .run(&["convert", "a.qcow2", "out.raw"], &[0]),
        case(
            "feature-name-steers",
            "the name of an unknown feature steers the terminal",
            with_extensions(image().be64(72, 1 << 40), &[(FEATURES, &feature), (0, b"")], b""),
        )
        .refused("a.qcow2", 69, "bit 40"),
        case(
            "backing-format-unknown",
            "the backing file's format is a text that steers the terminal",
            with_extensions(image(), &[(BACKING_FORMAT, b"\x1b[31mraw\n"), (0, b"")], b"b.raw"),
        )
        .file("b.raw", vec![1; 4096])
        .run(&["inspect", "a.qcow2"], &[69])
        .run(&["convert", "a.qcow2", "out.raw"], &[69]),
        case(
            "backing-format-lies",
            "the backing file is raw, as the image says, and starts like qcow2 (CVE-2013-1922)",
            with_extensions(image().be64(L1, 0), &[(BACKING_FORMAT, b"raw"), (0, b"")], b"b.raw"),
        )
        .file("b.raw", foreign_disk())
        .run(&["convert", "a.qcow2", "out.raw"], &[0]),
        case(
            "backing-format-unsaid",
            "the image does not say the format of its backing file, a raw disk that starts like qcow2 (CVE-2024-40767)",
            with_extensions(image().be64(L1, 0), &[(0, b"")], b"b.raw"),
        )
        .file("b.raw", foreign_disk())
        .run(&["inspect", "a.qcow2"], &[2])
        .run(&["convert", "a.qcow2", "out.raw"], &[2]),
        case("bitmaps-many", "four billion bitmaps", bitmaps(u32::MAX, 64, DATA as u64)).noticed("a.qcow2"),
        case("bitmaps-huge", "a directory of bitmaps of 8 EiB", bitmaps(1, 1 << 63, DATA as u64))
            .noticed("a.qcow2"),
        case("bitmaps-outside", "a directory of bitmaps behind the end", bitmaps(1, 64, u64::MAX - 63))
            .noticed("a.qcow2"),
        case("bitmaps-of-nonsense", "a directory of bitmaps that is guest data", bitmaps(1, 64, DATA as u64))
            .noticed("a.qcow2"),
        case("luks-outside", "a LUKS header behind the end", luks(1 << 40, 592)).unopened("a.qcow2"),
        case("luks-overflow", "a LUKS header that ends behind 2^64", luks(!(CLUSTER as u64 - 1), u64::MAX))
            .unopened("a.qcow2"),
        case("luks-of-zeros", "a LUKS header of zeros", luks(END as u64, CLUSTER as u64).len(END + CLUSTER))
            .unopened("a.qcow2"),
    ];
    cases.extend(hard_to_unlock(&luks));
    cases
}

/// A raw disk into which its guest wrote a qcow2 header that names a file of the host.
fn foreign_disk() -> Vec<u8> {
    with_extensions(image(), &[(BACKING_FORMAT, b"raw"), (0, b"")], crate::names::CANARY.as_bytes()).0
}

/// LUKS headers whose keys take years to derive, or more memory than there is.
fn hard_to_unlock(luks: &dyn Fn(u64, u64) -> Bytes) -> Vec<Case> {
    let header = |iterations: u32, stripes: u32, key_bytes: u32| {
        let at = END;
        let mut image = luks(at as u64, 16 * CLUSTER as u64)
            .len(END + 16 * CLUSTER)
            .put(at, b"LUKS\xba\xbe\0\x01aes")
            .put(at + 40, b"xts-plain64")
            .put(at + 72, b"sha256")
            .be32(at + 104, 8)
            .be32(at + 108, key_bytes)
            .be32(at + 164, iterations)
            .put(at + 168, b"11111111-2222-3333-4444-555555555555");
        for slot in 0..8 {
            let place = at + 208 + slot * 48;
            image = image
                .be32(place, if slot == 0 { 0x00ac_71f3 } else { 0xdead })
                .be32(place + 4, iterations)
                .be32(place + 40, 2)
                .be32(place + 44, stripes);
        }
        image
    };
    [
        ("iterations", header(u32::MAX, 4000, 32), 69),
        ("stripes", header(1000, u32::MAX, 32), 65),
        ("key", header(1000, 4000, u32::MAX), 65),
    ]
    .map(|(what, image, code)| {
        Case::new(
            &format!("qcow2/luks-{what}"),
            "a LUKS key slot whose key cannot be derived before the sun goes out",
        )
        .file("a.qcow2", image.0)
        .file("key", "secret")
        .run(&["inspect", "--key-file", "key", "a.qcow2"], &[code])
        .run(&["convert", "--key-file", "key", "a.qcow2", "out.raw"], &[code])
    })
    .into()
}
