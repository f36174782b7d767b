//! VHDX: headers, regions, metadata, BAT, and where it says the parent is.

use super::bases::vhdx::{BAT, HEADERS, METADATA, MIB, Maker, REGION_TABLES, item_at, item_entry_at};
use super::sweep::{Order, Sweep};
use super::{foreign, one, vhdx_log};
use crate::Case;
use crate::names::CANARY;

/// A disk of 4 MiB with data in its first block.
pub(super) fn image() -> Maker {
    let mut image = Maker::new(4 * MIB as u64, MIB as u32, 512);
    let at = image.append(&vec![7; MIB]);
    image.entry(0, 6, at);
    image
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sweeps();
    cases.extend(tables());
    cases.extend(parents());
    cases.extend(vhdx_log::cases());
    cases
}

fn sweeps() -> Vec<Case> {
    // Both copies say the same, and their sums are right.
    let wrap = |mut bytes: Vec<u8>| {
        for ([from, to], count) in [(HEADERS, 0), (REGION_TABLES, 4)] {
            let (first, second) = bytes.split_at_mut(to);
            second[..4].copy_from_slice(&first[from..from + 4]);
            // The headers differ in their sequence numbers.
            second[8..8 + count].copy_from_slice(&first[from + 8..from + 8 + count]);
            second[16..4096].copy_from_slice(&first[from + 16..from + 4096]);
        }
        let mut image = Maker { bytes };
        image.seal();
        one("a.vhdx", image.bytes)
    };
    let header = HEADERS[0];
    let region = REGION_TABLES[0];
    Sweep {
        name: "vhdx/header",
        format: "vhdx",
        image: "a.vhdx",
        base: image().bytes,
        order: Order::Little,
        wrap: &wrap,
    }
    .cases(&[
        ("identifier", 0, 8, [65, 65, 65, 65]),
        ("signature", header, 4, [65, 65, 65, 65]),
        ("log-version", header + 64, 2, [0, 0, 0, 0]),
        ("version", header + 66, 2, [69, 0, 69, 69]),
        ("log-length", header + 68, 4, [0, 0, 0, 0]),
        ("log-offset", header + 72, 8, [0, 0, 0, 0]),
        ("region-signature", region, 4, [65, 65, 65, 65]),
        ("region-count", region + 8, 4, [65, 65, 65, 65]),
        ("bat-offset", region + 32, 8, [65, 65, 65, 65]),
        ("bat-length", region + 40, 4, [65, 65, 65, 65]),
        ("bat-required", region + 44, 4, [0, 0, 0, 0]),
        ("metadata-offset", region + 64, 8, [65, 65, 65, 65]),
        ("metadata-length", region + 72, 4, [65, 65, 65, 65]),
        ("metadata-signature", METADATA, 8, [65, 65, 65, 65]),
        ("metadata-count", METADATA + 10, 2, [65, 65, 65, 65]),
        ("item-offset", item_entry_at(0) + 16, 4, [65, 65, 65, 65]),
        ("item-length", item_entry_at(0) + 20, 4, [65, 65, 65, 65]),
        ("item-flags", item_entry_at(0) + 24, 4, [0, 65, 0, 69]),
        ("block-size", item_at(0), 4, [65, 65, 65, 65]),
        ("block-flags", item_at(0) + 4, 4, [0, 0, 0, 65]),
        ("disk-size", item_at(1), 8, [0, 65, 65, 65]),
        ("logical-sector", item_at(3), 4, [65, 65, 65, 65]),
        ("physical-sector", item_at(4), 4, [65, 65, 65, 65]),
        ("bat-entry", BAT, 8, [0, 0, 0, 65]),
    ])
}

fn tables() -> Vec<Case> {
    let case = |name: &str, about: &str, change: &dyn Fn(&mut Maker)| {
        let mut image = image();
        change(&mut image);
        image.seal();
        Case::new(&format!("vhdx/{name}"), about).file("a.vhdx", image.bytes)
    };
    let region = |image: &mut Maker, entry: usize, offset: u64, length: u32| {
        for table in REGION_TABLES {
            image.put(table + 32 + entry * 32, &offset.to_le_bytes());
            image.put(table + 40 + entry * 32, &length.to_le_bytes());
        }
    };
    vec![
        case("regions-overlap", "the BAT is the metadata", &|image| {
            region(image, 0, METADATA as u64, MIB as u32)
        })
        .run(&["inspect", "a.vhdx"], &[65])
        .run(&["check", "a.vhdx"], &[65])
        .run(&["convert", "a.vhdx", "out.raw"], &[65]),
        case("region-at-header", "the BAT is the headers", &|image| region(image, 0, 0, MIB as u32))
            .run(&["inspect", "a.vhdx"], &[65])
            .run(&["convert", "a.vhdx", "out.raw"], &[65]),
        case("region-unknown", "a region that must be known and is not", &|image| {
            for table in REGION_TABLES {
                image.put(table + 8, &[3]);
                image.put(table + 80, &[0x77; 16]);
                image.put(table + 108, &[1]);
            }
        })
        .run(&["inspect", "a.vhdx"], &[69])
        .run(&["convert", "a.vhdx", "out.raw"], &[69]),
        case("disk-of-64-tib", "64 TiB whose BAT has room for a little of it", &|image| {
            image.put(item_at(1), &(64_u64 << 40).to_le_bytes());
        })
        .run(&["inspect", "a.vhdx"], &[65])
        .run(&["convert", "a.vhdx", "out.raw"], &[65]),
        case("bat-shared", "two blocks share their data", &|image| image.entry(1, 6, 4 * MIB))
            .run(&["check", "a.vhdx"], &[1])
            .run(&["convert", "a.vhdx", "out.raw"], &[0]),
        case("bat-at-metadata", "a block that is the metadata", &|image| image.entry(1, 6, METADATA))
            .run(&["check", "a.vhdx"], &[1])
            .run(&["convert", "a.vhdx", "out.raw"], &[65]),
        case("bat-outside", "a block behind the end", &|image| image.entry(1, 6, 1 << 40))
            .damaged("a.vhdx", ""),
        case("bat-partial", "a block in part that has no parent", &|image| image.entry(0, 7, 4 * MIB))
            .damaged("a.vhdx", ""),
        case("bat-state", "a state that nobody knows", &|image| image.entry(1, 5, 4 * MIB))
            .damaged("a.vhdx", ""),
    ]
}

/// A difference whose locator has these pairs.
fn difference(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut image = image().with_parent(pairs);
    image.entry(0, 0, 0);
    image.seal();
    image.bytes
}

const LINKAGE: &str = "{11111111-2222-3333-4444-555555555555}";

fn parents() -> Vec<Case> {
    let relative =
        |name: &str| one("a.vhdx", difference(&[("parent_linkage", LINKAGE), ("relative_path", name)]));
    let mut cases = foreign::cases("vhdx", "parent", "a.vhdx", &relative, &foreign::usual);
    let case = |name: &str, about: &str, pairs: &[(&str, &str)], codes: &[u8]| {
        Case::new(&format!("vhdx/{name}"), about)
            .file("a.vhdx", difference(pairs))
            .run(&["inspect", "a.vhdx"], codes)
            .run(&["chain", "a.vhdx"], codes)
            .run(&["convert", "a.vhdx", "out.raw"], codes)
    };
    let absolute = |path| [("parent_linkage", LINKAGE), ("absolute_win32_path", path)];
    let volume = [
        ("parent_linkage", LINKAGE),
        ("volume_path", "\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\canary"),
    ];
    let own = [("parent_linkage", "{aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee}"), ("relative_path", ".\\a.vhdx")];
    cases.extend([
        case("parent-win32", "a parent on a drive of Windows", &absolute("\\\\?\\C:\\canary"), &[77]),
        case(
            "parent-unc",
            "a parent on another host",
            &absolute("\\\\?\\UNC\\127.0.0.1\\share\\b.vhdx"),
            &[77],
        ),
        case(
            "parent-unix",
            "a path of this host as one of Windows",
            &absolute(&CANARY.replace('/', "\\")),
            &[77],
        ),
        case("parent-volume", "a parent by its volume", &volume, &[77]),
        case(
            "parent-above-win",
            "a parent above",
            &[("parent_linkage", LINKAGE), ("relative_path", "..\\canary")],
            &[77],
        ),
        case("parent-itself", "a parent that is the image", &own, &[65]),
        case("parent-unnamed", "a locator without names", &[("parent_linkage", LINKAGE)], &[65]),
        case(
            "parent-no-linkage",
            "a locator that does not say which parent",
            &[("relative_path", "b.vhdx")],
            &[65],
        ),
    ]);
    cases
}
