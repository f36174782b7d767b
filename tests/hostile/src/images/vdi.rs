//! VDI: header and block map. It names no file.

use super::bases::vdi::{Plan, at};
use super::one;
use super::sweep::{Order, Sweep};
use crate::{Case, Content};

pub(super) fn cases() -> Vec<Case> {
    let wrap = |bytes: Vec<u8>| one("a.vdi", bytes);
    let sweep =
        |name, base| Sweep { name, format: "vdi", image: "a.vdi", base, order: Order::Little, wrap: &wrap };
    let map = Plan::sample().off_blocks as usize;
    let mut cases = sweep("vdi/header", Plan::sample().build().bytes).cases(&[
        ("signature", at::SIGNATURE, 4, [65, 65, 65, 65]),
        ("version", at::VERSION, 4, [69, 69, 69, 69]),
        ("header-size", at::HEADER_SIZE, 4, [65, 65, 65, 65]),
        ("type", at::TYPE, 4, [69, 0, 69, 69]),
        ("off-blocks", at::OFF_BLOCKS, 4, [65, 65, 65, 65]),
        ("off-data", at::OFF_DATA, 4, [65, 65, 65, 65]),
        ("sector-size", at::SECTOR_SIZE, 4, [69, 69, 69, 69]),
        ("disk-size", at::DISK_SIZE, 8, [0, 0, 65, 65]),
        ("block-size", at::BLOCK_SIZE, 4, [65, 65, 65, 65]),
        ("block-extra", at::BLOCK_EXTRA, 4, [0, 0, 65, 65]),
        ("blocks", at::BLOCKS, 4, [65, 65, 65, 65]),
        ("allocated", at::ALLOCATED, 4, [0, 0, 65, 65]),
        ("map-entry", map, 4, [0, 0, 65, 0]),
    ]);
    cases.extend(
        sweep("vdi/extra", Plan::extra().build().bytes).cases(&[
            ("block-extra", at::BLOCK_EXTRA, 4, [0, 0, 65, 65]),
            ("map-entry", map, 4, [0, 0, 65, 0]),
        ]),
    );
    let case = |name: &str, about: &str, plan: Plan| {
        Case::new(&format!("vdi/{name}"), about).file("a.vdi", plan.build().bytes)
    };
    let twice = Plan { map: vec![0, 0, 1, 2, 3, 4, 4, 4, 4, 4], ..Plan::sample() };
    cases.extend([
        case("blocks-shared", "blocks that share their data", twice)
            .run(&["check", "a.vdi"], &[1])
            .run(&["convert", "a.vdi", "out.raw"], &[0]),
        case(
            "difference-alone",
            "a difference whose parent nobody knows",
            Plan { kind: 4, uuids: [1, 2, 3, 4], ..Plan::sample() },
        )
        .run(&["inspect", "a.vdi"], &[66])
        .run(&["convert", "a.vdi", "out.raw"], &[66]),
    ]);
    // 2^32 blocks of a megabyte, whose map is a hole of 16 GiB.
    let mut head = Plan::sample().build().bytes;
    head.truncate(0x200);
    for (place, value) in [(at::BLOCK_SIZE, 1 << 20), (at::BLOCKS, u32::MAX), (at::OFF_DATA, u32::MAX - 511)]
    {
        head[place..place + 4].copy_from_slice(&value.to_le_bytes());
    }
    head[at::DISK_SIZE..at::DISK_SIZE + 8].copy_from_slice(&(u64::from(u32::MAX) << 20).to_le_bytes());
    let hole = Content::Sparse { len: 32 << 30, parts: vec![(0, head)] };
    cases.push(
        Case::new("vdi/huge-map", "a map of 16 GiB that is a hole of the file")
            .file("a.vdi", hole)
            .run(&["inspect", "a.vdi"], &[65])
            .run(&["check", "a.vdi"], &[65])
            .run(&["convert", "a.vdi", "out.raw"], &[65]),
    );
    cases
}
