//! Parallels: expanding images, and folders with a descriptor that names files.

use super::bases::parallels::{Descriptor, NIL, Plan, at, guid};
use super::sweep::{Order, Sweep};
use super::{Files, foreign, one};
use crate::{Case, Content};

pub(super) fn cases() -> Vec<Case> {
    let wrap = |bytes: Vec<u8>| one("a.hds", bytes);
    let sweep = |name, ext| Sweep {
        name,
        format: "parallels",
        image: "a.hds",
        base: Plan::sample(ext).build().bytes,
        order: Order::Little,
        wrap: &wrap,
    };
    let mut cases = sweep("parallels/header", true).cases(&[
        ("magic", 0, 4, [65, 65, 65, 65]),
        ("version", at::VERSION, 4, [69, 69, 69, 69]),
        ("tracks", at::TRACKS, 4, [65, 65, 65, 65]),
        ("bat-entries", at::BAT_ENTRIES, 4, [65, 65, 65, 65]),
        ("sectors", at::SECTORS, 8, [0, 0, 65, 65]),
        ("in-use", at::IN_USE, 4, [0, 0, 0, 0]),
        ("data-off", at::DATA_OFF, 4, [0, 0, 0, 0]),
        ("ext-off", at::EXT_OFF, 8, [0, 0, 0, 0]),
        ("bat-entry", at::BAT, 4, [0, 0, 65, 65]),
    ]);
    cases.extend(sweep("parallels/old", false).cases(&[
        ("tracks", at::TRACKS, 4, [65, 65, 65, 65]),
        ("bat-entries", at::BAT_ENTRIES, 4, [65, 65, 65, 65]),
        ("sectors", at::SECTORS, 4, [0, 0, 65, 65]),
        ("bat-entry", at::BAT, 4, [0, 0, 65, 65]),
    ]));
    cases.extend(foreign::cases(
        "parallels",
        "file",
        "a.hdd",
        &|name| folder(&plain(&escaped(name))),
        &foreign::usual,
    ));
    cases.extend(descriptors());
    cases
}

/// A folder with this descriptor and an image.
fn folder(text: &str) -> Files {
    vec![
        ("a.hdd".into(), Content::Folder),
        ("a.hdd/DiskDescriptor.xml".into(), text.into()),
        ("a.hdd/a.hds".into(), Plan::sample(true).build().bytes.into()),
        ("a.hdd/link".into(), Content::Link("../../canary".into())),
        ("a.hdd/pipe".into(), Content::Pipe),
        ("a.hdd/folder".into(), Content::Folder),
    ]
}

fn escaped(name: &str) -> String {
    // XML holds no escape character, but its text may name one.
    name.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\u{1b}', "?")
}

fn plain(file: &str) -> String {
    let image = (guid(0), "Compressed", file.to_owned());
    Descriptor {
        sectors: 28,
        storages: vec![(0, 28, 3, vec![image])],
        top: Some(guid(0)),
        shots: vec![(guid(0), NIL.into())],
        ..Descriptor::default()
    }
    .text()
}

fn descriptors() -> Vec<Case> {
    let case = |name: &str, about: &str, text: &str| {
        let mut case = Case::new(&format!("parallels/{name}"), about);
        case.files = folder(text);
        case
    };
    let good = plain("a.hds");
    let image = |number: usize| (guid(number), "Compressed", "a.hds".to_owned());
    let shots = |shots: Vec<(String, String)>| {
        Descriptor {
            sectors: 28,
            storages: vec![(0, 28, 3, vec![image(0), image(1)])],
            top: Some(guid(0)),
            shots,
            ..Descriptor::default()
        }
        .text()
    };
    let storages = |storages| {
        Descriptor {
            sectors: 28,
            storages,
            top: Some(guid(0)),
            shots: vec![(guid(0), NIL.into())],
            ..Descriptor::default()
        }
        .text()
    };
    let head = "<?xml version='1.0'?>\n";
    let laughs: String = (1..10)
        .map(|level| format!("<!ENTITY l{level} \"{}\">", format!("&l{};", level - 1).repeat(10)))
        .collect();
    let deep = format!("{head}{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let many = (0..70_000).map(|number| (number, number + 1, 1, vec![image(0)])).collect();
    let line: Vec<_> = (0..50_000).map(|n| (guid(n), guid(n + 1))).collect();
    let apart: Vec<_> = (0..50_000).map(|n| (guid(n), NIL.into())).collect();
    let refused = |case: Case, codes: &[u8]| {
        case.run(&["inspect", "a.hdd"], codes)
            .run(&["check", "a.hdd"], codes)
            .run(&["convert", "a.hdd", "out.raw"], codes)
    };
    vec![
        case("descriptor-good", "no attack: the folder that is taken apart", &good)
            .run(&["convert", "a.hdd", "out.raw"], &[0]),
        refused(
            case(
                "xxe",
                "an external entity",
                &good
                    .replacen(
                        "?>",
                        &format!("?><!DOCTYPE a [<!ENTITY x SYSTEM \"{}\">]>", crate::names::CANARY),
                        1,
                    )
                    .replace("a.hds", "&x;"),
            ),
            &[65],
        ),
        refused(
            case(
                "entity-bomb",
                "a billion laughs",
                &good
                    .replacen("?>", &format!("?><!DOCTYPE a [<!ENTITY l0 \"ha\">{laughs}]>"), 1)
                    .replace("a.hds", "&l9;"),
            ),
            &[65],
        ),
        refused(case("deep", "a hundred thousand elements inside each other", &deep), &[65]),
        refused(
            case(
                "cycle",
                "a snapshot that is its own ancestor",
                &shots(vec![(guid(0), guid(1)), (guid(1), guid(0))]),
            ),
            &[65],
        ),
        refused(case("list-chain", "a chain of fifty thousand snapshots", &shots(line)), &[69]),
        case("list-shots", "fifty thousand snapshots of nothing", &shots(apart))
            .run(&["inspect", "a.hdd"], &[69])
            .run(&["convert", "a.hdd", "out.raw"], &[69]),
        refused(
            case("own-parent", "a snapshot that is its own parent", &shots(vec![(guid(0), guid(0))])),
            &[65],
        ),
        refused(
            case(
                "overlap",
                "parts of the disk that overlap",
                &storages(vec![(0, 28, 3, vec![image(0)]), (10, 28, 3, vec![image(0)])]),
            ),
            &[65],
        ),
        refused(
            case(
                "backwards",
                "a part that ends before it begins",
                &storages(vec![(28, 0, 3, vec![image(0)])]),
            ),
            &[65],
        ),
        refused(case("parts", "seventy thousand parts", &storages(many)), &[69]),
        refused(
            case(
                "sectors",
                "a disk of 2^64 sectors",
                &good
                    .replace("<Disk_size>28<", "<Disk_size>18446744073709551615<")
                    .replace("<End>28<", "<End>18446744073709551615<"),
            ),
            &[65, 69],
        ),
    ]
}
