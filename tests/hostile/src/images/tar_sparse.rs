//! Sparse members of tar archives: maps that lie.

use super::bases::tar::{Hand, archive, pax};
use super::tar::read;
use crate::Case;

/// An old GNU member with these runs, which is `size` bytes long.
fn old(size: &str, runs: &[(&str, &str)], data: &[u8]) -> Hand {
    let map: String = runs.iter().map(|(offset, len)| format!("{offset:0>11}\0{len:0>11}\0")).collect();
    Hand::of(b'S', "disk.raw", data)
        .patched(257, b"ustar  \0")
        .patched(386, map.as_bytes())
        .patched(483, format!("{size:0>11}\0").as_bytes())
}

/// A member with its map at the start of its data.
fn newest(size: &str, map: &str, data: &[u8]) -> Vec<Hand> {
    let mut bytes = map.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend_from_slice(data);
    let records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "disk.raw"),
        ("GNU.sparse.realsize", size),
    ];
    vec![pax(&records), Hand::file("GNUSparseFile.0/disk.raw", &bytes)]
}

/// A member with its map in a record.
fn middle(size: &str, map: &str, data: &[u8]) -> Vec<Hand> {
    vec![pax(&[("GNU.sparse.size", size), ("GNU.sparse.map", map)]), Hand::file("disk.raw", data)]
}

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, about: &str, members: Vec<Hand>| {
        Case::new(&format!("tar/sparse-{name}"), about).file("a.tar", archive(&members))
    };
    // Numbers of the old form are octal.
    let one = |size: &str, runs: &[(&str, &str)]| vec![old(size, runs, &[7; 1024])];
    let many: String = (0..200_000).map(|n| format!("{}\n1\n", n * 2)).collect();
    let in_record: Vec<String> = (0..3000).map(|n| format!("{},1", n * 2)).collect();
    let mut extended = old("7777777777", &[("0", "1000")], &[]).patched(482, &[1]).bytes();
    // Blocks of the map that each say that one more comes.
    let mut block = vec![0; 512];
    block[504] = 1;
    extended.extend(block.repeat(20_000));
    let endless =
        Case::new("tar/sparse-old-endless", "an old map that goes on and on").file("a.tar", extended);
    vec![
        read(
            case("old-overlap", "runs that overlap", one("10000", &[("0", "1000"), ("400", "1000")])),
            &[65],
        ),
        read(
            case("old-backwards", "runs that go backwards", one("10000", &[("4000", "1000"), ("0", "1000")])),
            &[65],
        ),
        read(
            case("old-outside", "a run behind the end of the disk", one("1000", &[("7000", "2000")])),
            &[65],
        ),
        read(
            case("old-more", "runs of more than there is", one("77777777777", &[("0", "77777777777")])),
            &[65],
        ),
        read(case("old-less", "runs of less than there is", one("10000", &[("0", "10")])), &[65]),
        read(case("old-words", "runs that are no numbers", one("10000", &[("x", "1000")])), &[65]),
        read(endless, &[65, 69]),
        read(
            case(
                "new-count",
                "a map of four billion entries",
                newest("8192", "4294967295\n0\n4096\n", &[7; 4096]),
            ),
            &[69],
        ),
        read(
            case(
                "new-count-huge",
                "a map of 2^64 entries",
                newest("8192", "18446744073709551616\n0\n4096\n", &[7; 4096]),
            ),
            &[65],
        ),
        read(case("new-negative", "a negative offset", newest("8192", "1\n-1\n4096\n", &[7; 4096])), &[65]),
        read(
            case("new-overlap", "runs that overlap", newest("8192", "2\n0\n2048\n1024\n2048\n", &[7; 4096])),
            &[65],
        ),
        read(
            case(
                "new-overflow",
                "a run that ends behind 2^64",
                newest("8192", "1\n18446744073709551615\n4096\n", &[7; 4096]),
            ),
            &[65],
        ),
        read(
            case("new-no-end", "a map without an end of its line", newest("8192", &"9".repeat(5000), &[])),
            &[65],
        ),
        case(
            "new-many",
            "two hundred thousand runs of a byte: honest",
            newest("400000", &format!("200000\n{many}"), &[7; 200_000]),
        )
        .run(&["info", "a.tar"], &[0])
        .run(&["convert", "a.tar", "out.raw"], &[0]),
        case("new-8-eib", "a disk of almost 8 EiB of nothing", newest("9223372036854775296", "0\n", &[]))
            .run(&["info", "a.tar"], &[0])
            .run(&["digest", "a.tar"], &[69])
            .run(&["convert", "a.tar", "out.qcow2"], &[69]),
        read(
            case("record-odd", "an offset without a length", middle("8192", "0,4096,5000", &[7; 4096])),
            &[65],
        ),
        read(
            case("record-overlap", "runs that overlap", middle("8192", "0,2048,1024,2048", &[7; 4096])),
            &[65],
        ),
        case(
            "record-many",
            "three thousand runs in a record",
            middle("6000", &in_record.join(","), &[7; 3000]),
        )
        .run(&["convert", "a.tar", "out.raw"], &[0]),
        read(
            case("version", "a version that nobody knows", {
                vec![
                    pax(&[
                        ("GNU.sparse.major", "9"),
                        ("GNU.sparse.minor", "9"),
                        ("GNU.sparse.realsize", "5"),
                    ]),
                    Hand::file("disk.raw", &[7; 512]),
                ]
            }),
            &[69],
        ),
    ]
}
