//! Images of single partitions: partclone and ntfsclone.

use super::bases::{ntfsclone, partclone};
use super::bytes::Bytes;
use super::one;
use super::sweep::{Order, Sweep};
use crate::Case;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = partclone_images();
    cases.extend(ntfsclone_images());
    cases
}

fn partclone_images() -> Vec<Case> {
    let sealed = |mut bytes: Vec<u8>| {
        let sum = partclone::crc(u32::MAX, &bytes[..106]);
        bytes[106..110].copy_from_slice(&sum.to_le_bytes());
        one("a.partclone", bytes)
    };
    let sweep = |name, plan: partclone::Plan| Sweep {
        name,
        format: "partclone",
        image: "a.partclone",
        base: plan.build().bytes,
        order: Order::Little,
        wrap: &sealed,
    };
    let mut cases = sweep("partitions/partclone", partclone::Plan::sample()).cases(&[
        ("magic", 0, 8, [65, 65, 65, 65]),
        ("version", 30, 4, [69, 69, 69, 69]),
        ("endian", 34, 2, [65, 65, 65, 65]),
        ("device-size", 52, 8, [0, 0, 65, 65]),
        ("total-blocks", 60, 8, [65, 65, 65, 65]),
        ("used-blocks", 68, 8, [0, 0, 0, 0]),
        ("used-bitmap", 76, 8, [0, 0, 0, 0]),
        ("block-size", 84, 4, [69, 69, 69, 69]),
        ("feature-size", 88, 4, [0, 0, 0, 0]),
        ("image-version", 92, 2, [69, 69, 69, 69]),
        ("cpu-bits", 94, 2, [0, 0, 0, 0]),
        ("sum-mode", 96, 2, [65, 69, 69, 69]),
        ("sum-size", 98, 2, [65, 65, 65, 65]),
        ("blocks-per-sum", 100, 4, [65, 65, 65, 65]),
        ("reseed", 104, 1, [65, 0, 0, 0]),
        ("bitmap-mode", 105, 1, [65, 0, 69, 69]),
        ("bitmap", 110, 1, [65, 65, 65, 65]),
        ("first-block", 116, 4, [65, 65, 65, 65]),
    ]);
    cases.extend(
        sweep("partitions/partclone-bytes", partclone::Plan { bitmap: 8, ..partclone::Plan::sample() })
            .cases(&[
                ("total-blocks", 60, 8, [65, 65, 65, 65]),
                ("bitmap", 110, 1, [65, 0, 65, 65]),
                ("bitmap-end", 123, 4, [65, 65, 65, 65]),
            ]),
    );
    let mut cut = partclone::Plan::sample().build().bytes;
    cut.truncate(cut.len() - 300);
    cases.push(
        Case::new("partitions/partclone-cut", "an image that ends inside of a block")
            .file("a.img", cut)
            .run(&["convert", "-f", "partclone", "a.img", "out.raw"], &[65]),
    );
    cases
}

fn ntfsclone_images() -> Vec<Case> {
    let wrap = |bytes: Vec<u8>| one("a.ntfsclone", bytes);
    let base = ntfsclone::Plan::sample().build().bytes;
    let (format, image, order) = ("ntfsclone", "a.ntfsclone", Order::Little);
    let first = ntfsclone::DATA;
    let gap = first + 2 * 1025;
    let mut cases =
        Sweep { name: "partitions/ntfsclone", format, image, base: base.clone(), order, wrap: &wrap }.cases(
            &[
                ("magic", 0, 8, [65, 65, 65, 65]),
                ("major", 16, 1, [69, 69, 69, 69]),
                ("minor", 17, 1, [0, 0, 69, 69]),
                ("cluster-size", 18, 4, [69, 69, 69, 69]),
                ("device-size", 22, 8, [65, 65, 65, 65]),
                ("clusters", 30, 8, [0, 0, 65, 65]),
                ("used", 38, 8, [0, 0, 0, 0]),
                ("data-offset", 46, 4, [65, 65, 65, 65]),
                ("command", first, 1, [65, 0, 65, 65]),
                ("gap", gap + 1, 8, [65, 0, 65, 65]),
            ],
        );
    let loops = Bytes(base).put(first, &[0].repeat(9)).0;
    // Commands that each go on by nothing.
    let mut nothing = loops[..first].to_vec();
    nothing.extend([0; 9].repeat(1_000_000));
    cases.push(
        Case::new("partitions/ntfsclone-nothing", "a million commands that go on by nothing")
            .file("a.img", nothing)
            .run(&["info", "-f", "ntfsclone", "a.img"], &[65])
            .run(&["convert", "-f", "ntfsclone", "a.img", "out.raw"], &[65]),
    );
    cases
}
