//! Two images, one disk or not.

use crate::bench::{Bench, MIB};

#[test]
fn the_first_difference_is_found_where_it_is() {
    let bench = Bench::new();
    bench.disk("a.raw", 13 * MIB + 512, &[(0, MIB), (7 * MIB, 100)]);
    for at in [0, 4 * MIB - 1, 4 * MIB, 9 * MIB + 77, 13 * MIB + 511] {
        std::fs::copy(bench.path("a.raw"), bench.path("b.raw")).unwrap();
        bench.flip("b.raw", at);
        bench.flip("b.raw", 13 * MIB + 500);
        bench.rehome(&["convert", "--force", "b.raw", "b.qcow2"]).ends(0);
        let run = bench.rehome(&["compare", "--output", "json", "a.raw", "b.qcow2"]).ends(1);
        let first = at.min(13 * MIB + 500);
        assert_eq!(run.json()["first_difference"], first);
        assert_eq!(run.json()["same"], false);
        let text = bench.rehome(&["compare", "a.raw", "b.qcow2"]).ends(1).stdout;
        assert_eq!(text, format!("the disks differ, first at offset {first} ({first:#x})\n"));
        let qemu = bench.try_tool("qemu-utils", "qemu-img", &["compare", "-f", "raw", "a.raw", "b.qcow2"]);
        assert_eq!(qemu.code, Some(1));
    }
}

#[test]
fn a_longer_disk_is_the_same_while_the_rest_is_zeros() {
    let bench = Bench::new();
    bench.disk("a.raw", 5 * MIB, &[(0, MIB)]);
    bench.disk("longer.raw", 9 * MIB, &[(0, MIB)]);
    for (x, y) in [("a.raw", "longer.raw"), ("longer.raw", "a.raw")] {
        bench.rehome(&["compare", x, y]).ends(0);
        bench.rehome(&["compare", "--strict", x, y]).ends(1);
        for (extra, code) in [(None, 0), (Some("-s"), 1)] {
            let args: Vec<_> =
                ["compare", "-f", "raw", "-F", "raw"].into_iter().chain(extra).chain([x, y]).collect();
            assert_eq!(bench.try_tool("qemu-utils", "qemu-img", &args).code, Some(code));
        }
    }
    bench.flip("longer.raw", 8 * MIB);
    let run = bench.rehome(&["compare", "a.raw", "longer.raw", "--output=json"]).ends(1);
    assert_eq!(run.json()["first_difference"], 8 * MIB);
    let qemu = bench.try_tool("qemu-utils", "qemu-img", &["compare", "-f", "raw", "a.raw", "longer.raw"]);
    assert_eq!(qemu.code, Some(1));
}
