//! VMDK: hosted sparse extents and streams, whose tables, markers and grains lie.

use super::bases::builder::{Image, Plan, STREAM, deflate};
use super::one;
use super::sweep::{Field, Order, Sweep};
use crate::case::{Case, Content};

const HEADER: [Field; 13] = [
    ("magic", 0, 4, [65, 65, 65, 65]),
    ("version", 4, 4, [69, 0, 69, 69]),
    ("flags", 8, 4, [65, 65, 69, 69]),
    ("capacity", 12, 8, [65, 65, 65, 65]),
    ("grain-size", 20, 8, [65, 0, 65, 65]),
    ("descriptor-offset", 28, 8, [69, 0, 65, 65]),
    ("descriptor-size", 36, 8, [69, 0, 65, 65]),
    ("table-entries", 44, 4, [65, 0, 65, 65]),
    ("redundant-offset", 48, 8, [0, 0, 0, 0]),
    ("directory-offset", 56, 8, [0, 0, 65, 65]),
    ("overhead", 64, 8, [0, 0, 0, 0]),
    ("unclean", 72, 1, [0, 0, 0, 0]),
    ("compression", 77, 2, [0, 69, 69, 69]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sweeps();
    cases.extend(tables());
    cases.extend(streams());
    cases
}

fn sweeps() -> Vec<Case> {
    let wrap = |bytes: Vec<u8>| one("a.vmdk", bytes);
    let sweep =
        |name, base| Sweep { name, format: "vmdk", image: "a.vmdk", base, order: Order::Little, wrap: &wrap };
    let sparse = Plan::sample(0).build();
    let stream = Plan::stream().build();
    let mut cases = sweep("vmdk/header", sparse.bytes.clone()).cases(&HEADER);
    cases.extend(sweep("vmdk/tables", sparse.bytes.clone()).cases(&[
        ("directory-entry", sparse.directory_at, 4, [0, 0, 0, 0]),
        ("redundant-entry", sparse.redundant_at, 4, [0, 0, 0, 0]),
        ("table-entry", sparse.tables_at[0], 4, [0, 0, 65, 65]),
    ]));
    let footer = stream.footer_at;
    cases.extend(sweep("vmdk/stream", stream.bytes.clone()).cases(&[
        ("footer-magic", footer, 4, [65, 65, 65, 65]),
        ("footer-capacity", footer + 12, 8, [65, 65, 65, 65]),
        ("footer-grain-size", footer + 20, 8, [65, 65, 65, 65]),
        ("footer-table-entries", footer + 44, 4, [65, 65, 65, 65]),
        ("footer-directory-offset", footer + 56, 8, [65, 65, 65, 65]),
        ("marker-value", footer - 512, 8, [0, 0, 0, 0]),
        ("marker-size", footer - 504, 4, [0, 65, 65, 65]),
        ("marker-type", footer - 500, 4, [65, 65, 65, 65]),
        ("grain-lba", stream.grains_at[0], 8, [0, 65, 65, 65]),
        ("grain-size", stream.grains_at[0] + 8, 4, [65, 65, 65, 65]),
        ("table-entry", stream.tables_at[0], 4, [0, 0, 65, 65]),
        ("directory-entry", stream.directory_at, 4, [0, 65, 65, 65]),
    ]));
    cases
}

fn case(name: &str, about: &str, image: &Image) -> Case {
    Case::new(&format!("vmdk/{name}"), about).file("a.vmdk", image.bytes.clone())
}

fn sector(at: usize) -> [u8; 4] {
    ((at / 512) as u32).to_le_bytes()
}

fn tables() -> Vec<Case> {
    let changed = |change: &dyn Fn(&mut Image)| {
        let mut image = Plan { flags: 5, ..Plan::sample(0) }.build();
        change(&mut image);
        image
    };
    let crossed = |case: Case| {
        case.run(&["check", "a.vmdk"], &[1, 65]).run(&["convert", "a.vmdk", "out.raw"], &[0, 65])
    };
    let huge = {
        let mut head = Plan { flags: 5, ..Plan::sample(0) }.build();
        head.put(12, &(1_u64 << 50).to_le_bytes());
        head.put(20, &1_u64.to_le_bytes());
        head.put(44, &1_u32.to_le_bytes());
        Content::Sparse { len: 1 << 43, parts: vec![(0, head.bytes)] }
    };
    vec![
        crossed(case(
            "table-is-directory",
            "a grain table that is the grain directory",
            &changed(&|image| {
                let own = sector(image.directory_at);
                image.put(image.directory_at, &own);
            }),
        )),
        crossed(case(
            "grain-is-table",
            "a grain that is its own table",
            &changed(&|image| {
                let own = sector(image.tables_at[0]);
                image.put(image.tables_at[0], &own);
            }),
        )),
        crossed(case(
            "grain-is-shared",
            "two grains that are one",
            &changed(&|image| {
                let first = sector(image.grains_at[0]);
                let second = image.tables_at[0] + 12;
                image.put(second, &first);
            }),
        )),
        Case::new(
            "vmdk/huge-directory",
            "a disk of 512 PiB in grains of a sector, whose directory is a hole (CVE-2014-0142)",
        )
        .file("a.vmdk", huge)
        .refused("a.vmdk", 65, ""),
    ]
}

/// Streams: grains that bomb, lie or go round in circles; also as a pipe reads them, from the start to the end.
fn streams() -> Vec<Case> {
    let both = |case: Case, codes: &[u8]| {
        case.run(&["convert", "a.vmdk", "out.raw"], codes).run(&["check", "a.vmdk"], &[1, 65])
    };
    let packed = |bytes: &[u8]| {
        let mut image = Plan::sample(STREAM).build();
        image.replace_stream(0, bytes);
        image
    };
    let changed = |change: &dyn Fn(&mut Image)| {
        let mut image = Plan::stream().build();
        change(&mut image);
        image
    };
    vec![
        both(
            case(
                "grain-bomb",
                "a grain that gives 4 MiB instead of 4 KiB",
                &packed(&deflate(&vec![0; 4 << 20])[..4000]),
            ),
            &[65],
        ),
        both(case("grain-short", "a grain that gives 2 KiB", &packed(&deflate(&[7; 2048]))), &[65]),
        both(case("grain-nonsense", "a grain that is no deflate", &packed(&[0xff; 600])), &[65]),
        both(
            case(
                "grain-other",
                "a marker that names another place of the disk",
                &changed(&|image| {
                    let first = image.grains_at[0];
                    image.put(first, &8_u64.to_le_bytes());
                }),
            ),
            &[65],
        ),
        both(
            case(
                "grain-entries-swapped",
                "table entries that name each other's grains",
                &changed(&|image| {
                    let (first, second) = (sector(image.grains_at[0]), sector(image.grains_at[3]));
                    image.put(image.tables_at[0], &second);
                    let place = image.tables_at[0] + 12;
                    image.put(place, &first);
                }),
            ),
            &[65],
        ),
        both(
            case(
                "footer-missing",
                "a stream whose header says that its directory comes at the end, where none is",
                &changed(&|image| {
                    let end = image.footer_at;
                    image.bytes.truncate(end - 512);
                }),
            ),
            &[65],
        ),
        both(
            case(
                "footer-of-footer",
                "a footer that says that the directory comes at the end",
                &changed(&|image| {
                    let place = image.footer_at + 56;
                    image.put(place, &[0xff; 8]);
                }),
            ),
            &[65],
        ),
        both(
            case(
                "directory-is-footer",
                "a directory that is the footer",
                &changed(&|image| {
                    let place = image.footer_at + 56;
                    let own = (image.footer_at / 512) as u64;
                    image.put(place, &own.to_le_bytes());
                }),
            ),
            &[65],
        ),
        Case::new("vmdk/stream-endless", "a stream of markers that say nothing, a hundred thousand of them")
            .file("a.vmdk", {
                let mut image = Plan::stream().build();
                let mut progress = vec![0; 512];
                progress[12] = 4;
                let at = image.footer_at - 512;
                image.bytes.splice(at..at, progress.repeat(100_000));
                image.bytes
            })
            .run(&["convert", "a.vmdk", "out.raw"], &[0]),
    ]
}
