//! qcow2: tables that lie, and compressed clusters.

use super::bytes::Bytes;
use super::qcow2::{CLUSTER, COPIED, DATA, END, L1, L2, REFCOUNT_BLOCK, REFCOUNT_TABLE, image, version_2};
use crate::{Case, Content};
use flate2::{Compress, Compression, FlushCompress};

const COMPRESSED: u64 = 1 << 62;

fn case(name: &str, about: &str, image: Bytes) -> Case {
    Case::new(&format!("qcow2/{name}"), about).file("a.qcow2", image.0)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = places();
    cases.extend(sizes());
    cases.extend(snapshots());
    cases.extend(compressed());
    cases.extend(counts());
    cases
}

fn places() -> Vec<Case> {
    let l1 = |offset: u64| image().be64(40, offset);
    let first = |entry: u64| image().be64(L1, entry);
    let second = |entry: u64| image().be64(L2, entry);
    // What two tables claim at once reads as both say; only a check tells that one of them is wrong.
    let crossed =
        |case: Case| case.run(&["check", "a.qcow2"], &[1]).run(&["convert", "a.qcow2", "out.raw"], &[0]);
    vec![
        case("l1-outside", "the L1 table lies behind the end", l1(1 << 40))
            .refused("a.qcow2", 65, "L1 table"),
        case("l1-at-header", "the L1 table is the header", l1(0)).refused(
            "a.qcow2",
            65,
            "overlaps the header",
        ),
        case("l1-overflow", "the L1 table ends behind 2^64", l1(!(CLUSTER as u64 - 1)))
            .refused("a.qcow2", 65, "L1 table"),
        case("l1-unaligned", "the L1 table begins inside of a cluster", l1(L1 as u64 + 8))
            .refused("a.qcow2", 65, ""),
        crossed(case("l1-is-l2", "the L1 table is an L2 table", l1(L2 as u64).be64(L2, L2 as u64 | COPIED))),
        case("l2-outside", "an L2 table behind the end", first(1 << 40 | COPIED))
            .damaged("a.qcow2", "the file ends at"),
        crossed(case("l2-is-l1", "an L2 table that is the L1 table", first(L1 as u64 | COPIED))),
        case("l2-shared", "two L1 entries share an L2 table", {
            let small = image().be64(24, 16 * CLUSTER as u64 * 2048).be32(36, 16);
            (0..16).fold(small, |image, entry| image.be64(L1 + entry * 8, L2 as u64 | COPIED))
        })
        .run(&["check", "a.qcow2"], &[1])
        .run(&["info", "a.qcow2"], &[0])
        .run(&["convert", "a.qcow2", "out.raw"], &[0]),
        case("data-outside", "a cluster behind the end", second(1 << 40 | COPIED))
            .damaged("a.qcow2", "the file ends at"),
        case(
            "data-far",
            "a cluster at the last place of 2^56",
            second(((1 << 56) - CLUSTER as u64) | COPIED),
        )
        .damaged("a.qcow2", "the file ends at"),
        crossed(case("data-is-l2", "a cluster that is its own L2 table", second(L2 as u64 | COPIED))),
        crossed(case("data-is-header", "a cluster that is the L1 table", second(L1 as u64 | COPIED))),
        case("data-reserved-bits", "an L2 entry with reserved bits", second(DATA as u64 | COPIED | 0x1fe))
            .damaged("a.qcow2", "reserved bits"),
    ]
}

/// Disks and tables that are larger than anything that could be there.
fn sizes() -> Vec<Case> {
    const TIB: u64 = 1 << 40;
    let tiny = image().be32(20, 9).be64(24, 64 * TIB).be32(36, 1 << 31);
    // 2^28 entries that exist only as a hole.
    let hole = Content::Sparse {
        len: (1 << 31) + END as u64,
        parts: vec![(0, image().be32(20, 9).be64(24, 8 * TIB).be32(36, 1 << 28).0)],
    };
    let holes =
        image().be32(20, 21).be64(24, 64 * TIB).be32(36, 128).be64(40, 1 << 21).be64(48, 0).be32(56, 0);
    vec![
        case("tiny-clusters", "64 TiB in clusters of 512 bytes: an L1 table of 16 GiB (CVE-2014-0143)", tiny)
            .refused("a.qcow2", 69, "L1 table"),
        Case::new("qcow2/huge-l1", "an L1 table of 2 GiB that is a hole of the file")
            .file("a.qcow2", hole)
            .refused("a.qcow2", 69, "L1 table"),
        case("l1-entries", "four billion L1 entries (CVE-2014-0147)", image().be32(36, u32::MAX))
            .refused("a.qcow2", 69, "L1 table"),
        case("all-holes", "64 TiB of nothing: honest", holes.len(3 << 21))
            .run(&["info", "a.qcow2"], &[0])
            .run(&["map", "a.qcow2"], &[0])
            .run(&["measure", "-O", "vhdx", "a.qcow2"], &[0]),
    ]
}

fn snapshots() -> Vec<Case> {
    let table = |count: u32, offset: u64| image().be32(60, count).be64(64, offset);
    let entry = |l1_at: u64, l1_size: u32, id: u16, name: u16, extra: u32| {
        table(1, END as u64)
            .be64(END, l1_at)
            .be32(END + 8, l1_size)
            .put(END + 12, &id.to_be_bytes())
            .put(END + 14, &name.to_be_bytes())
            .be32(END + 36, extra)
            .put(END + 40, &[0; 16])
            .put(END + 56, b"1\x1b[31m\n\r\x07evil")
            .len(END + CLUSTER)
    };
    let pick = ["--snapshot", "1"];
    let asked = |case: Case, codes: &[u8]| {
        case.run(&[&["convert"], &pick[..], &["a.qcow2", "out.raw"]].concat(), codes)
    };
    vec![
        case("snapshots-many", "four billion snapshots (CVE-2014-0147)", table(u32::MAX, END as u64))
            .noticed("a.qcow2"),
        case("snapshots-outside", "snapshots behind the end", table(3, 1 << 40)).noticed("a.qcow2"),
        case("snapshots-cut", "65536 snapshots in a table of one cluster", table(65536, DATA as u64))
            .noticed("a.qcow2"),
        case("snapshot-extra", "a snapshot with 4 GiB of extra data", entry(L1 as u64, 1, 1, 10, u32::MAX))
            .noticed("a.qcow2"),
        case(
            "snapshot-names",
            "names of a snapshot that are longer than the table",
            entry(L1 as u64, 1, u16::MAX, u16::MAX, 16),
        )
        .noticed("a.qcow2"),
        case("snapshot-steers", "a snapshot whose name steers the terminal", entry(L1 as u64, 1, 1, 12, 16))
            .run(&["info", "a.qcow2"], &[0])
            .run(&["convert", "--snapshot", "x", "a.qcow2", "out.raw"], &[2]),
        asked(
            case(
                "snapshot-l1-huge",
                "a snapshot's L1 table of four billion entries",
                entry(L1 as u64, u32::MAX, 1, 4, 16),
            ),
            &[69],
        ),
        asked(
            case("snapshot-l1-outside", "a snapshot's L1 table behind the end", entry(1 << 40, 1, 1, 4, 16)),
            &[65],
        ),
        asked(
            case("snapshot-l1-at-header", "a snapshot's L1 table is the header", entry(0, 1, 1, 4, 16)),
            &[65],
        ),
    ]
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len() + 4096);
    Compress::new(Compression::best(), false)
        .compress_vec(bytes, &mut packed, FlushCompress::Finish)
        .unwrap();
    packed
}

/// Packed clusters that give too much, too little, nothing, or themselves.
fn compressed() -> Vec<Case> {
    let packed = |packed: &[u8]| {
        let sectors = (packed.len() as u64).div_ceil(512);
        // 16 KiB clusters: the count of more sectors begins at bit 56.
        image()
            .put(DATA, &[0; CLUSTER])
            .put(DATA, packed)
            .be64(L2, COMPRESSED | (sectors - 1) << 56 | DATA as u64)
    };
    let bomb = deflate(&vec![0; 8 << 20]);
    let zstd = |bytes: &[u8]| packed(bytes).be64(72, 8).be32(100, 112).put(104, &[1]);
    let zstd_bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    let mut window = zstd::bulk::compress(&[1; CLUSTER], 1).unwrap();
    // No single segment, and a window of almost 2 TiB.
    window.splice(4..6, [0, 0xff]);
    vec![
        case(
            "compressed-bomb",
            "a packed cluster that gives 8 MiB: only the cluster's 16 KiB are taken",
            packed(&bomb),
        )
        .run(&["convert", "a.qcow2", "out.raw"], &[65]),
        case(
            "compressed-short",
            "a packed cluster that gives half a cluster",
            packed(&deflate(&[7; CLUSTER / 2])),
        )
        .unreadable("a.qcow2", "does not give"),
        case("compressed-nonsense", "a packed cluster of ones", packed(&[0xff; 500]))
            .unreadable("a.qcow2", "does not give"),
        case("compressed-outside", "a packed cluster behind the end", image().be64(L2, COMPRESSED | 1 << 40))
            .damaged("a.qcow2", "the file ends at"),
        case("compressed-in-version-2", "the same in version 2", version_2().be64(L2, COMPRESSED | 1 << 40))
            .damaged("a.qcow2", "the file ends at"),
        case("zstd-bomb", "a cluster packed by zstd that gives 64 MiB", zstd(&zstd_bomb))
            .run(&["convert", "a.qcow2", "out.raw"], &[65]),
        case("zstd-window", "a cluster packed by zstd that wants a window of 2 TiB", zstd(&window))
            .unreadable("a.qcow2", "does not give"),
        case("zstd-unsaid", "packed by zstd, and the header says deflate", packed(&zstd_bomb))
            .unreadable("a.qcow2", ""),
    ]
}

/// Counts of references: no reader needs them, a check does, and an update.
fn counts() -> Vec<Case> {
    let checked = |case: Case, code| {
        case.run(&["check", "a.qcow2"], &[code]).run(&["convert", "a.qcow2", "out.raw"], &[0])
    };
    vec![
        case("refcount-table-outside", "the refcount table behind the end", image().be64(48, 1 << 40))
            .refused("a.qcow2", 65, "refcount table"),
        case("refcount-table-huge", "a refcount table of 4 billion clusters", image().be32(56, u32::MAX))
            .run(&["check", "a.qcow2"], &[65])
            .run(&["convert", "a.qcow2", "out.raw"], &[65]),
        checked(
            case(
                "refcount-block-is-table",
                "a refcount block that is the refcount table",
                image().be64(REFCOUNT_TABLE, REFCOUNT_TABLE as u64),
            ),
            1,
        ),
        checked(
            case(
                "refcount-block-at-header",
                "a refcount block at the L1 table",
                image().be64(REFCOUNT_TABLE, L1 as u64),
            ),
            1,
        ),
        checked(
            case(
                "refcount-block-outside",
                "a refcount block behind the end",
                image().be64(REFCOUNT_TABLE, 1 << 40),
            ),
            1,
        ),
        checked(
            case("refcounts-large", "every cluster is used 65535 times", {
                (0..6).fold(image(), |image, cluster| image.be16(REFCOUNT_BLOCK + cluster * 2, u16::MAX))
            }),
            1,
        ),
        checked(case("dirty", "the image was not closed", image().be64(72, 1)), 0),
        case("marked-corrupt", "an image that its last user marked as corrupt", image().be64(72, 2))
            .run(&["check", "a.qcow2"], &[0])
            .run(&["convert", "a.qcow2", "out.raw"], &[0]),
    ]
}
