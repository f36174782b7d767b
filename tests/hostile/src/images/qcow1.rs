//! qcow version 1: header, tables, packed clusters, backing files.

use super::bases::qcow1::{CLUSTER, COMPRESSED, L1, Maker};
use super::sweep::{Order, Sweep};
use super::{foreign, one};
use crate::Case;

/// A disk of 64 clusters with data in four of them, one packed.
fn image() -> Maker {
    let mut maker = Maker::new(64 * CLUSTER as u64);
    for cluster in [0, 5, 9] {
        maker.data(cluster, &[cluster as u8 + 1; CLUSTER]);
    }
    maker.compressed(20, &[3; CLUSTER]);
    maker
}

pub(super) fn cases() -> Vec<Case> {
    let base = image();
    let l2 = base.number(L1) as usize;
    let wrap = |bytes: Vec<u8>| one("a.qcow", bytes);
    let (name, format, image_name, order) = ("qcow1/header", "qcow1", "a.qcow", Order::Big);
    let mut cases = Sweep { name, format, image: image_name, base: base.bytes.clone(), order, wrap: &wrap }
        .cases(&[
            ("magic", 0, 4, [65, 65, 65, 65]),
            ("version", 4, 4, [69, 0, 69, 69]),
            ("backing-offset", 8, 8, [0, 65, 65, 65]),
            ("backing-size", 16, 4, [0, 0, 0, 0]),
            ("mtime", 20, 4, [0, 0, 0, 0]),
            ("size", 24, 8, [0, 0, 69, 69]),
            ("cluster-bits", 32, 1, [65, 65, 65, 65]),
            ("l2-bits", 33, 1, [65, 65, 65, 65]),
            ("crypt-method", 36, 4, [0, 78, 69, 69]),
            ("l1-table-offset", 40, 8, [65, 65, 65, 65]),
            ("l1-entry", L1, 8, [0, 65, 65, 65]),
            ("l2-entry", l2, 8, [0, 65, 65, 65]),
        ]);
    cases.extend(tables(l2));
    let backing = |name: &str| {
        let mut maker = image();
        maker.backing(name.as_bytes());
        one("a.qcow", maker.bytes)
    };
    cases.extend(foreign::cases("qcow1", "backing-file", "a.qcow", &backing, &foreign::usual));
    cases
}

fn tables(l2: usize) -> Vec<Case> {
    let case = |name: &str, about: &str, change: &dyn Fn(&mut Maker)| {
        let mut maker = image();
        change(&mut maker);
        Case::new(&format!("qcow1/{name}"), about).file("a.qcow", maker.bytes)
    };
    let itself = |name: &str| {
        let mut maker = image();
        maker.backing(name.as_bytes());
        maker.bytes
    };
    vec![
        case("tiny-clusters", "8 EiB in clusters of 512 bytes (CVE-2014-0222)", &|m| {
            m.u64(24, (1 << 63) - 512);
        })
        .refused("a.qcow", 69, ""),
        case("l2-is-l1", "an L2 table that is the L1 table", &|m| {
            m.u64(L1, L1 as u64);
        })
        .run(&["check", "a.qcow"], &[1])
        .run(&["convert", "a.qcow", "out.raw"], &[0]),
        case("packed-outside", "a packed cluster behind the end", &|m| {
            m.u64(l2, COMPRESSED | 1 << 40);
        })
        .damaged("a.qcow", "the file ends at"),
        case("packed-nonsense", "a packed cluster that is the header", &|m| {
            m.u64(l2, COMPRESSED | 100 << (63 - 9));
        })
        .damaged("a.qcow", ""),
        Case::new("qcow1/chain-of-itself", "an image that is its own parent")
            .file("a.qcow", itself("a.qcow"))
            .run_saying(&["inspect", "a.qcow"], &[65], "its own ancestor")
            .run_saying(&["convert", "a.qcow", "out.raw"], &[65], "its own ancestor"),
    ]
}
