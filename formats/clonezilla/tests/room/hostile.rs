//! Texts that are cut or changed anywhere, and tables with all numbers: an error or a disk, at once.

use crate::builder::{Folder, gpts, open, sample, seal};
use std::time::{Duration, Instant};

fn open_all(folder: &Folder) {
    let directory = folder.write();
    if let Ok(container) = open(directory.path()) {
        let _ = container.completeness();
        for index in 0..container.disks().len() {
            if let Ok(opened) = container.open_disk(index) {
                let last = opened.disk.virtual_size().saturating_sub(1);
                let _ = opened.disk.extent_at(last);
                let _ = opened.disk.read_exact_at(0, &mut [0; 512]);
            }
        }
    }
}

fn small() -> Folder {
    let text = "vg { extent_size = 128 physical_volumes { pv0 { id = \"aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg\" device = \"/dev/sda2\" \
                pe_start = 256 } } logical_volumes { a { segment1 { start_extent = 0 extent_count = 2 type = \"striped\" \
                stripe_count = 2 stripe_size = 8 stripes = [ \"pv0\", 3, \"pv0\", 4 ] } } } }";
    sample()
        .with("sda-hidden-data-after-mbr", "x")
        .with("parts", "sda1\n")
        .without("sda2.ext4-ptcl-img.uncomp")
        .with("sda1.dd-img.aa", "xy")
        .with("sda1.dd-img.ab", "x")
        .with("lvm_vg_dev.list", "vg /dev/sda2 aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg\n")
        .with("lvm_vg.conf", text)
        .with("vg-a.dd-img.aa", "volume")
}

#[test]
fn texts_may_end_or_change_anywhere() {
    let started = Instant::now();
    let good = small();
    assert!(good.disks().is_ok());
    for name in
        ["disk", "parts", "sda-pt.sf", "sda-pt.parted", "lvm_vg_dev.list", "lvm_vg.conf", "swappt-sda3.info"]
    {
        let bytes = good.0[name].clone();
        for at in (0..bytes.len()).step_by(3) {
            open_all(&good.clone().with(name, &bytes[..at]));
            let mut changed = bytes.clone();
            changed[at] = *b"0 9/\"\xff\0{".get(at % 8).unwrap();
            open_all(&good.clone().with(name, changed));
        }
    }
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn no_number_of_a_table_makes_it_slow_or_large() {
    let (gpt, _) = gpts(&[(1000, 1999), (2048, 4095)]);
    let folder = small().without("sda-pt.sf").without("sda-pt.parted").with("sda-gpt-1st", &gpt);
    let folder = folder.with("sda-mbr", &gpt[..512]);
    assert!(folder.disks().is_ok());
    let started = Instant::now();
    for at in [544, 552, 584, 592, 596, 1056, 1064, 1184, 1192] {
        for value in
            [0u64, 1, 33, 127, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX / 512, u64::MAX / 2, u64::MAX]
        {
            let mut changed = gpt.clone();
            let len = if at == 592 || at == 596 { 4 } else { 8 };
            changed[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
            open_all(&folder.clone().with("sda-gpt-1st", &changed));
            // With checksums that are right again, the numbers are looked at.
            seal(&mut changed, 512, 1024..34 * 512);
            open_all(&folder.clone().with("sda-gpt-1st", changed));
        }
    }
    for number in [
        "0",
        "1",
        "4294967295",
        "9223372036854775807",
        "18014398509481984",
        "18446744073709551615",
        "99999999999999999999999",
    ] {
        for wanted in ["start=", "size="] {
            let text = String::from_utf8(small().0["sda-pt.sf"].clone()).unwrap().replacen(
                &format!("{wanted} "),
                &format!("{wanted}{number}0 #"),
                1,
            );
            open_all(&small().with("sda-pt.sf", text.replace("0 #", ", x=")));
        }
        for (from, to) in [
            ("= 128", ""),
            ("= 256", ""),
            ("count = 2 t", " type"),
            ("stripe_count = 2", ""),
            ("= 8 ", " "),
            (", 3", ""),
        ] {
            let separator = if from == ", 3" { "," } else { "=" };
            let text = String::from_utf8(small().0["lvm_vg.conf"].clone()).unwrap();
            open_all(&small().with("lvm_vg.conf", text.replace(from, &format!("{separator} {number} {to}"))));
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn names_lead_nowhere_else() {
    for name in ["../x", "/etc", "a/b", ".", "..", "a\u{e4}", &"x".repeat(300)] {
        assert!(small().with("disk", name).open().is_err(), "{name}");
        let list = format!("{name} /dev/sda2 aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg\n");
        assert!(small().with("lvm_vg_dev.list", list).open().is_err(), "{name}");
    }
}

#[test]
fn long_lists_are_refused_at_once() {
    let started = Instant::now();
    let numbered = |name: &str| (0..100_000).map(|n| format!("{name}{n} ")).collect::<String>();
    for (file, text) in [("parts", numbered("sda")), ("disk", numbered("sd"))] {
        let error = small().with(file, text).open().err().expect("a list without an end");
        assert_eq!(error.kind(), format_core::ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("has 100000"), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
