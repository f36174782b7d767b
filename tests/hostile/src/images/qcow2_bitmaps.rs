//! qcow2: what persistent bitmaps tell `convert --sync --bitmap`, which trusts them with what it does not read.

use super::bytes::Bytes;
use super::qcow2::{CLUSTER, END, image, with_extensions};
use crate::Case;

const BITMAPS: u32 = 0x2385_2875;
/// Directory, table and bits, each in a cluster of its own behind the image.
const DIRECTORY: usize = END;
const TABLE: usize = END + CLUSTER;
const BITS: usize = END + 2 * CLUSTER;
/// Bytes of the disk.
const SIZE: usize = 8 * CLUSTER;

/// The image with a bitmap "one" that calls the first 512 bytes dirty.
fn with_bitmap() -> Bytes {
    let place =
        [&1u32.to_be_bytes()[..], &[0; 4], &32u64.to_be_bytes(), &(DIRECTORY as u64).to_be_bytes()].concat();
    with_extensions(image().be64(88, 1), &[(BITMAPS, &place), (0, b"")], b"")
        .len(BITS + CLUSTER)
        .be64(DIRECTORY, TABLE as u64)
        .be32(DIRECTORY + 8, 1)
        .be32(DIRECTORY + 12, 2)
        .put(DIRECTORY + 16, &[1, 9])
        .be16(DIRECTORY + 18, 3)
        .put(DIRECTORY + 24, b"one")
        .be64(TABLE, BITS as u64)
        .put(BITS, &[1])
}

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, about: &str, image: Bytes, code: u8, says: &'static str| {
        Case::new(&format!("qcow2/{name}"), about)
            .file("a.qcow2", image.0)
            .file("old.raw", vec![0; SIZE])
            .run(&["inspect", "a.qcow2"], &[0])
            .run_saying(&["convert", "--sync", "--bitmap", "one", "a.qcow2", "old.raw"], &[code], says)
    };
    vec![
        case(
            "bitmap-in-use",
            "a bitmap that was not closed",
            with_bitmap().be32(DIRECTORY + 12, 3),
            69,
            "in use",
        ),
        case(
            "bitmap-disabled",
            "a bitmap that records nothing",
            with_bitmap().be32(DIRECTORY + 12, 0),
            69,
            "disabled",
        ),
        case("bitmap-stale", "bitmaps that a writer did not know", with_bitmap().be64(88, 0), 69, "stale"),
        case(
            "bitmap-flags",
            "a bitmap with a flag of the future",
            with_bitmap().be32(DIRECTORY + 12, 2 | 1 << 31),
            65,
            "reserved flags",
        ),
        case(
            "bitmap-type",
            "a bitmap of an unknown type",
            with_bitmap().put(DIRECTORY + 16, &[7]),
            69,
            "type",
        ),
        case(
            "bitmap-granularity",
            "a bit for 2^255 bytes",
            with_bitmap().put(DIRECTORY + 17, &[255]),
            65,
            "granularity",
        ),
        case(
            "bitmap-table-short",
            "a table of no entries",
            with_bitmap().be32(DIRECTORY + 8, 0),
            65,
            "length",
        ),
        case(
            "bitmap-table-long",
            "a table of four billion entries",
            with_bitmap().be32(DIRECTORY + 8, u32::MAX),
            65,
            "length",
        ),
        case(
            "bitmap-table-outside",
            "a table behind the end of the file",
            with_bitmap().be64(DIRECTORY, 1 << 62),
            65,
            "leaves the file",
        ),
        case(
            "bitmap-table-overflow",
            "a table that ends behind 2^64",
            with_bitmap().be64(DIRECTORY, !(CLUSTER as u64 - 1)),
            65,
            "leaves the file",
        ),
        case(
            "bitmap-entry-flags",
            "an entry with reserved bits",
            with_bitmap().be64(TABLE, BITS as u64 | 2),
            65,
            "reserved",
        ),
        case(
            "bitmap-entry-outside",
            "bits behind the end of the file",
            with_bitmap().be64(TABLE, 1 << 50),
            65,
            "leaves",
        ),
        case(
            "bitmap-entry-unaligned",
            "bits at no cluster",
            with_bitmap().be64(TABLE, 512),
            65,
            "no cluster",
        ),
    ]
}
