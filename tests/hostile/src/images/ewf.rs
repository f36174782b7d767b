//! EWF (E01): sections, tables, segments.

use super::bases::ewf::{Plan, adler, descriptor, find, name, seal, section};
use super::one;
use super::sweep::{Field, Order, Sweep};
use crate::case::{Case, Content};
use crate::names::NEAR;

fn case(label: &str, about: &str, bytes: Vec<u8>) -> Case {
    Case::new(&format!("ewf/{label}"), about).file("a.E01", bytes)
}

fn read(case: Case, codes: &[u8]) -> Case {
    case.run(&["inspect", "a.E01"], codes).run(&["convert", "a.E01", "out.raw"], codes)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sweeps();
    cases.extend(sections());
    cases.extend(segments());
    cases
}

fn sweeps() -> Vec<Case> {
    let base = Plan::sample().one();
    let (volume, table, sectors) = (find(&base, "volume"), find(&base, "table"), find(&base, "sectors"));
    let (second, done) = (find(&base, "table2"), find(&base, "done"));
    let entries = table + 76 + 24;
    // All sums are made right again.
    let wrap = |mut bytes: Vec<u8>| {
        for at in [volume, table, sectors, second, done] {
            seal(&mut bytes[at..at + 76]);
        }
        seal(&mut bytes[volume + 76..volume + 76 + 1052]);
        seal(&mut bytes[table + 76..entries]);
        let sum = adler(&bytes[entries..entries + 44]);
        bytes[entries + 44..entries + 48].copy_from_slice(&sum);
        one("a.E01", bytes)
    };
    let fields: [Field; 17] = [
        ("magic", 0, 8, [65, 65, 65, 65]),
        ("segment", 9, 2, [2, 0, 2, 2]),
        ("section-next", volume + 16, 8, [65, 65, 65, 65]),
        ("section-size", volume + 24, 8, [0, 0, 0, 0]),
        ("sectors-next", sectors + 16, 8, [65, 65, 65, 65]),
        ("sectors-size", sectors + 24, 8, [0, 0, 0, 0]),
        ("table-next", table + 16, 8, [65, 65, 65, 65]),
        ("table-size", table + 24, 8, [0, 0, 0, 0]),
        ("media", volume + 76, 1, [0, 0, 0, 0]),
        ("chunks", volume + 80, 4, [0, 0, 0, 0]),
        ("sectors-per-chunk", volume + 84, 4, [69, 65, 69, 69]),
        ("bytes-per-sector", volume + 88, 4, [69, 65, 69, 69]),
        ("disk-sectors", volume + 92, 8, [65, 0, 65, 65]),
        ("table-entries", table + 76, 4, [0, 0, 0, 0]),
        ("table-base", table + 84, 8, [0, 65, 0, 0]),
        ("table-entry", entries, 4, [65, 65, 65, 65]),
        ("table-last-entry", entries + 40, 4, [65, 65, 65, 65]),
    ];
    Sweep {
        name: "ewf/header",
        format: "ewf",
        image: "a.E01",
        base: base.clone(),
        order: Order::Little,
        wrap: &wrap,
    }
    .cases(&fields)
}

fn sections() -> Vec<Case> {
    let good = Plan::sample().one();
    let end = find(&good, "done");
    let leading = |kind: &str, next: u64| {
        let mut image = good[..end].to_vec();
        image.extend(descriptor(kind, next, 0));
        image.extend([0; 100]);
        image
    };
    let mut many = good[..end].to_vec();
    (0..200_000).for_each(|_| section(&mut many, "header", &[]));
    let mut bomb = b"EVF\t\r\n\xff\0\x01\x01\0\0\0".to_vec();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut zlib, &vec![b'x'; 64 << 20]).unwrap();
    section(&mut bomb, "header", &zlib.finish().unwrap());
    bomb.extend_from_slice(&good[13..]);
    let steering = |text: &str| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut zlib, text.as_bytes()).unwrap();
        let mut image = b"EVF\t\r\n\xff\0\x01\x01\0\0\0".to_vec();
        section(&mut image, "header", &zlib.finish().unwrap());
        image
    };
    vec![
        read(case("section-first", "a section whose next one is the first", leading("hash", 13)), &[65]),
        read(
            case("section-itself", "a section that is its own next one", leading("hash", end as u64)),
            &[65],
        ),
        read(
            case(
                "section-backwards",
                "a section whose next one is the one before",
                leading("hash", find(&good, "table") as u64),
            ),
            &[65],
        ),
        read(
            case("section-outside", "a section whose next one lies at 2^64 - 1", leading("hash", u64::MAX)),
            &[65],
        ),
        read(case("section-missing", "a file that ends without a last section", good[..end].to_vec()), &[65]),
        read(case("sections-many", "two hundred thousand sections of nothing", many), &[69]),
        read(
            case(
                "no-volume",
                "nothing but a last section",
                [&good[..13], &descriptor("done", 13, 0)].concat(),
            ),
            &[65],
        ),
        case("header-bomb", "a text of 64 MiB, packed; its offsets are wrong, too", bomb)
            .run(&["info", "a.E01"], &[65])
            .run(&["convert", "a.E01", "out.raw"], &[65]),
        case(
            "header-steers",
            "a text that steers the terminal",
            steering(
                "1\nmain\nc\tn\ta\te\tt\tav\tov\tm\tu\tp\n\u{1b}[31m\t\u{7}\t\u{202e}\tx\tx\tx\tx\tx\tx\tx\n",
            ),
        )
        .run(&["info", "a.E01"], &[65])
        .run(&["convert", "a.E01", "out.raw"], &[65]),
    ]
}

fn segments() -> Vec<Case> {
    let split = Plan { split: 3, ..Plan::sample() }.build();
    let case = |label: &str, about: &str, without: usize, instead: Option<Content>| {
        let mut case = Case::new(&format!("ewf/{label}"), about);
        for (number, bytes) in (1..).zip(&split) {
            if number != without {
                case = case.file(&name(number as u32), bytes.clone());
            }
        }
        if let Some(content) = instead {
            case.files.push((name(without as u32), content));
        }
        case
    };
    let other = Plan { split: 3, set: [8; 16], ..Plan::sample() }.build();
    vec![
        read(case("segments-good", "no attack: a set of segments", 99, None), &[0]),
        read(case("segment-missing", "a segment that is not there", 2, None), &[66]),
        read(
            case(
                "segment-is-a-link",
                "a segment that is a link to a file of the host",
                2,
                Some(Content::Link(NEAR.into())),
            ),
            &[77],
        ),
        read(case("segment-is-a-pipe", "a segment that is a pipe", 2, Some(Content::Pipe)), &[66]),
        read(
            case("segment-of-another", "a segment of another image", 2, Some(other[1].clone().into())),
            &[65],
        ),
        read(
            case(
                "segment-twice",
                "the third segment instead of the second",
                2,
                Some(split[2].clone().into()),
            ),
            &[65],
        ),
    ]
}
