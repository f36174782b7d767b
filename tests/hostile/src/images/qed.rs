//! QED: header, tables, backing files.

use super::bases::qed::{CLUSTER, L1, Maker};
use super::sweep::{Order, Sweep};
use super::{foreign, one};
use crate::Case;

fn image() -> Maker {
    let mut maker = Maker::new(64 * CLUSTER as u64);
    for cluster in [0, 5, 9] {
        maker.data(cluster, &[cluster as u8 + 1; CLUSTER]);
    }
    maker
}

pub(super) fn cases() -> Vec<Case> {
    let base = image();
    let l2 = base.entry_place(0);
    let wrap = |bytes: Vec<u8>| one("a.qed", bytes);
    let (name, format, image_name, order) = ("qed/header", "qed", "a.qed", Order::Little);
    let mut cases = Sweep { name, format, image: image_name, base: base.bytes, order, wrap: &wrap }.cases(&[
        ("magic", 0, 4, [65, 65, 65, 65]),
        ("cluster-size", 4, 4, [65, 65, 65, 65]),
        ("table-size", 8, 4, [65, 0, 65, 65]),
        ("header-size", 12, 4, [65, 0, 65, 65]),
        ("features", 16, 8, [0, 65, 69, 69]),
        ("compat-features", 24, 8, [0, 0, 0, 0]),
        ("autoclear-features", 32, 8, [0, 0, 0, 0]),
        ("l1-table-offset", 40, 8, [65, 65, 65, 65]),
        ("image-size", 48, 8, [0, 65, 65, 65]),
        ("backing-offset", 56, 4, [0, 0, 0, 0]),
        ("backing-size", 60, 4, [0, 0, 0, 0]),
        ("l1-entry", L1, 8, [0, 65, 65, 65]),
        ("l2-entry", l2, 8, [0, 0, 65, 65]),
    ]);
    let case = |name: &str, about: &str, change: &dyn Fn(&mut Maker)| {
        let mut maker = image();
        change(&mut maker);
        Case::new(&format!("qed/{name}"), about).file("a.qed", maker.bytes)
    };
    cases.extend([
        case("l2-is-l1", "an L2 table that is the L1 table", &|m| {
            m.u64(L1, L1 as u64);
        })
        .run(&["check", "a.qed"], &[1])
        .run(&["convert", "a.qed", "out.raw"], &[0]),
        case("data-is-l2", "a cluster that is its own table", &|m| {
            let table = m.number(L1);
            m.u64(l2, table);
        })
        .run(&["check", "a.qed"], &[1])
        .run(&["convert", "a.qed", "out.raw"], &[0]),
        case("needs-check", "an image that was not closed", &|m| {
            m.u64(16, 2);
        })
        .run(&["convert", "a.qed", "out.raw"], &[0]),
        case("chain-of-itself", "an image that is its own parent", &|m| {
            m.backing(b"a.qed");
        })
        .run_saying(&["inspect", "a.qed"], &[65], "its own ancestor")
        .run_saying(&["convert", "a.qed", "out.raw"], &[65], "its own ancestor"),
    ]);
    let backing = |name: &str| {
        let mut maker = image();
        maker.backing(name.as_bytes());
        one("a.qed", maker.bytes)
    };
    cases.extend(foreign::cases("qed", "backing-file", "a.qed", &backing, &foreign::usual));
    cases
}
