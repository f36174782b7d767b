//! Macrium Reflect X: metadata blocks, their JSON, indexes.

use super::bases::mrimgx::{Plan, Source, Written};
use super::one;
use super::sweep::{Order, Sweep};
use crate::Case;
use crate::names::{NEAR, find};

const FILE: &str = "D684BA87241263E2-00.mrimgx";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sweeps();
    cases.extend(texts());
    cases
}

fn sweeps() -> Vec<Case> {
    let written = Plan::sample().write();
    let wrap = |bytes: Vec<u8>| one(FILE, bytes);
    let end = written.bytes.len();
    let (json, track, index) = (written.header("$JSON"), written.header("$TRACK0"), written.header("$INDEX"));
    let element = index + 32;
    Sweep {
        name: "mrimgx/header",
        format: "mrimgx",
        image: FILE,
        base: written.bytes,
        order: Order::Little,
        wrap: &wrap,
    }
    .cases(&[
        ("magic", end - 12, 8, [65, 65, 65, 65]),
        ("root", end - 20, 8, [65, 65, 65, 65]),
        ("json-name", json, 8, [65, 65, 65, 65]),
        ("json-length", json + 8, 4, [65, 65, 65, 65]),
        ("json-sum", json + 12, 8, [65, 65, 65, 65]),
        ("json-flags", json + 28, 1, [65, 65, 65, 78]),
        ("track-length", track + 8, 4, [65, 65, 65, 65]),
        ("index-length", index + 8, 4, [65, 65, 65, 65]),
        ("index-reserved", element, 4, [0, 65, 65, 65]),
        ("index-blocks", element + 4, 4, [65, 65, 65, 65]),
    ])
}

/// A backup whose JSON was changed, with its sum right.
fn with_text(from: &str, to: &str) -> Vec<u8> {
    let text = |written: &Written| {
        let at = written.header("$JSON");
        let len = u32::from_le_bytes(written.bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        (
            at,
            String::from_utf8(zstd::stream::decode_all(&written.bytes[at + 32..at + 32 + len]).unwrap())
                .unwrap(),
        )
    };
    let written = Plan::sample().write();
    let (at, before) = text(&written);
    assert!(before.contains(from), "{from} is not in {before}");
    sealed(&written.bytes[..at], before.replace(from, to).as_bytes())
}

/// What comes before the JSON, and the JSON.
fn sealed(before: &[u8], text: &[u8]) -> Vec<u8> {
    use md5::{Digest, Md5};
    let mut bytes = before.to_vec();
    let root = bytes.len() as u64;
    let stored = zstd::bulk::compress(text, 1).unwrap();
    bytes.extend_from_slice(b"$JSON   ");
    bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&Md5::digest(&stored));
    bytes.extend_from_slice(&[3, 0, 0, 0]);
    bytes.extend_from_slice(&stored);
    bytes.extend_from_slice(&root.to_le_bytes());
    bytes.extend_from_slice(b"MACRIUM_FILE");
    bytes
}

fn texts() -> Vec<Case> {
    let case = |name: &str, about: &str, bytes: Vec<u8>| {
        Case::new(&format!("mrimgx/{name}"), about).file(FILE, bytes)
    };
    let read = |case: Case, codes: &[u8]| {
        case.run(&["inspect", FILE], codes)
            .run(&["info", FILE], codes)
            .run(&["convert", FILE, "out.raw"], codes)
    };
    let start = Plan::sample().write();
    let before = &start.bytes[..start.header("$JSON")];
    let foreign = {
        // A block that lies in another file, which the history names.
        let mut plan = Plan::sample();
        let mut element = 4096_u64.to_le_bytes().to_vec();
        element.extend([7; 16]);
        element.extend(4096_u32.to_le_bytes());
        element.extend(0_u16.to_le_bytes());
        plan.number = 1;
        plan.increment = 1;
        plan.disks[0].partitions[0].blocks[0].1 = Source::There(element);
        plan.build()
    };
    assert!(find(&foreign, b"MACRIUM_FILE").is_some());
    vec![
        read(
            case(
                "block-size-zero",
                "blocks of no bytes",
                with_text("\"block_size\":4096", "\"block_size\":0"),
            ),
            &[65],
        ),
        read(
            case(
                "block-size-huge",
                "blocks of 2 GiB",
                with_text("\"block_size\":4096", "\"block_size\":2147483648"),
            ),
            &[65],
        ),
        read(
            case(
                "block-size-negative",
                "blocks of -1 bytes",
                with_text("\"block_size\":4096", "\"block_size\":-1"),
            ),
            &[65],
        ),
        read(
            case(
                "disk-size-huge",
                "a disk of 2^63 bytes",
                with_text("\"disk_size\":4194304", "\"disk_size\":9223372036854775807"),
            ),
            &[0, 73],
        ),
        read(
            case(
                "disk-size-zero",
                "a disk of no bytes",
                with_text("\"disk_size\":4194304", "\"disk_size\":0"),
            ),
            &[65],
        ),
        read(
            case(
                "start-outside",
                "a partition behind the end of the disk",
                with_text("\"start\":1048576", "\"start\":9223372036854775807"),
            ),
            &[65],
        ),
        read(
            case(
                "length-huge",
                "a partition of 2^63 bytes",
                with_text("\"length\":32768", "\"length\":9223372036854775807"),
            ),
            &[0],
        ),
        read(
            case(
                "sector-zero",
                "sectors of no bytes",
                with_text("\"bytes_per_sector\":512", "\"bytes_per_sector\":0"),
            ),
            &[65],
        ),
        read(
            case(
                "deep",
                "lists inside each other",
                sealed(before, format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).as_bytes()),
            ),
            &[65],
        ),
        read(
            case("bomb", "256 MiB of blanks, packed", sealed(before, " ".repeat(256 << 20).as_bytes())),
            &[65],
        ),
        read(case("no-text", "bytes that are no text", sealed(before, &[0xff; 100])), &[65]),
        read(
            case(
                "history-above",
                "a history that names a file of the host",
                with_text("B:\\\\x\\\\D684BA87241263E2-00.mrimgx", "..\\\\canary"),
            ),
            &[0],
        ),
        read(
            case(
                "iterations",
                "a key that takes years to derive",
                with_text(
                    "\"enable\":false,\"key_iterations\":0",
                    "\"enable\":true,\"key_iterations\":4294967295",
                ),
            ),
            &[65],
        ),
        Case::new("mrimgx/set-above", "an increment whose history names a file of the host")
            .file("D684BA87241263E2-01.mrimgx", foreign)
            .file("link", crate::Content::Link(NEAR.into()))
            .run(&["inspect", "D684BA87241263E2-01.mrimgx"], &[1])
            .run(&["convert", "D684BA87241263E2-01.mrimgx", "out.raw"], &[66]),
    ]
}
