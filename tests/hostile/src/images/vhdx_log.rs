//! VHDX: logs that are replayed, or look as if.

use super::bases::vhdx::{BAT, Change, HEADERS, LOG_GUID, METADATA, MIB, Maker, log_entry, sealed_entry};
use super::vhdx::image;
use crate::Case;

/// An image with an open log of these entries at these places.
fn logged(entries: &[(usize, Vec<u8>)]) -> Maker {
    let mut image = image();
    image.open_log();
    for (at, entry) in entries {
        image.put_log(*at, entry);
    }
    image
}

pub(super) fn cases() -> Vec<Case> {
    let size = image().bytes.len() as u64;
    let entry = |sequence, tail, changes: &[Change<'_>]| log_entry(sequence, tail, size, size, changes);
    let case = |name: &str, about: &str, image: Maker, code: u8| {
        Case::new(&format!("vhdx/log-{name}"), about)
            .file("a.vhdx", image.bytes)
            .run(&["inspect", "a.vhdx"], &[0, code])
            .run(&["check", "a.vhdx"], &[0, 1, code])
            .run(&["convert", "a.vhdx", "out.raw"], &[code])
    };
    let field = |at: usize, value: &[u8]| {
        let mut bad = entry(1, 0, &[Change::Zero(BAT as u64 + 4096, 4096)]);
        bad[at..at + value.len()].copy_from_slice(value);
        logged(&[(0, sealed_entry(bad))])
    };
    let around: Vec<_> =
        (0..256).map(|n| (n * 4096, entry(n as u64 + 1, (((n + 1) % 256) * 4096) as u32, &[]))).collect();
    let zeros = |at: u64, len: u64| logged(&[(0, entry(1, 0, &[Change::Zero(at, len)]))]);
    let many: Vec<_> = (0..126).map(|_| Change::Zero(0, 1 << 62)).collect();
    let growing = logged(&[(0, log_entry(1, 0, 1 << 62, 1 << 62, &[Change::Zero(BAT as u64 + 4096, 4096)]))]);
    vec![
        case("empty", "a log in use without entries", logged(&[]), 0),
        case("loop", "256 entries, each of which calls the next one the oldest", logged(&around), 0),
        case(
            "tail-outside",
            "the oldest entry lies behind the log",
            logged(&[(0, entry(1, 1 << 30, &[]))]),
            65,
        ),
        case(
            "tail-ahead",
            "the oldest entry is one that is not there",
            logged(&[(0, entry(1, 8192, &[]))]),
            65,
        ),
        case("sequence-zero", "an entry without a number", logged(&[(0, entry(0, 0, &[]))]), 65),
        case("length-huge", "an entry that is longer than the log", field(8, &[0, 0, 0, 0x80]), 65),
        case("length-zero", "an entry of no bytes", field(8, &[0; 4]), 65),
        case("descriptors-many", "an entry with four billion descriptors", field(24, &[0xff; 4]), 65),
        case("zero-header", "a replay that wipes the headers", zeros(0, MIB as u64), 65),
        case("zero-metadata", "a replay that wipes the metadata", zeros(METADATA as u64, MIB as u64), 65),
        case("zero-everything", "a replay that wipes 8 EiB", zeros(0, 1 << 63), 65),
        case("zero-overflow", "a replay that wipes what ends behind 2^64", zeros(!4095, 1 << 20), 65),
        case("zero-many", "126 replays that each wipe 4 EiB", logged(&[(0, entry(1, 0, &many))]), 65),
        case("unaligned", "a replay of a piece of a sector", zeros(BAT as u64 + 1, 4096), 65),
        case(
            "data-behind",
            "a replay that writes at 4 EiB",
            logged(&[(0, entry(1, 0, &[Change::Data(1 << 62, &[7; 4096])]))]),
            0,
        ),
        case("file-cut", "the file was longer by 4 EiB when the log was written", growing, 65),
        case(
            "itself",
            "a replay that changes the log",
            {
                let next = entry(2, 0, &[Change::Zero(BAT as u64 + 8192, 4096)]);
                let first: &[u8; 4096] = next[..4096].try_into().unwrap();
                logged(&[(0, entry(1, 0, &[Change::Data(MIB as u64, first)]))])
            },
            0,
        ),
        case(
            "over-data",
            "the log lies over the data",
            {
                let mut image = image();
                for at in HEADERS {
                    image.put(at + 72, &(4 * MIB as u64).to_le_bytes());
                    image.put(at + 48, &LOG_GUID.to_bytes_le());
                }
                image.seal();
                image
            },
            65,
        ),
    ]
}
