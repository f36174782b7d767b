//! One thing is missing or wrong: refused with its name, and found by the cheap look, too.

use crate::builder::{Folder, gpts, mbr, open, sample, sample_with_gpt};
use format_core::ErrorKind::{self, Corrupt, NeedsPerson, SourceMissing, Unsupported};

fn refused(folder: &Folder, kind: ErrorKind, reason: &str) {
    let error = folder.disks().err().unwrap_or_else(|| panic!("{reason}"));
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

/// Refused, and told by `completeness`.
fn told(folder: &Folder, kind: ErrorKind, reason: &str) {
    refused(folder, kind, reason);
    let directory = folder.write();
    let container = open(directory.path()).unwrap();
    let findings = container.completeness().unwrap();
    assert!(findings.iter().any(|finding| finding.message.contains(reason)), "{reason}: {findings:?}");
    let report = container.check(&|_| Ok(())).unwrap();
    assert!(report.errors > 0, "{reason}");
}

#[test]
fn what_is_missing_is_named() {
    told(&sample().without("sda-mbr"), SourceMissing, "sda-mbr, with the table, is missing");
    told(&sample().without("sda1.dd-img.aa"), SourceMissing, "sda1.dd-img.aa is missing");
    told(
        &sample().without("sda2.ext4-ptcl-img.uncomp"),
        SourceMissing,
        "sda2 was saved, and no file with its content",
    );
    told(&sample().with("sda1.dd-img.ad", "x"), SourceMissing, "sda1.dd-img.ac is missing");
    refused(
        &sample().without("sda-pt.sf").without("sda-pt.parted"),
        SourceMissing,
        "sda has no partition table",
    );
    refused(&sample().with("disk", "").with("parts", ""), Corrupt, "neither `disk` nor `parts` names a disk");
    let gpt = sample()
        .with("sda-pt.sf", "label: gpt\n/dev/sda1 : start=1000, size=1000\n")
        .without("sda-pt.parted");
    refused(&gpt, SourceMissing, "sda-gpt-1st is missing");
}

#[test]
fn what_is_not_known_is_refused_with_a_way_out() {
    let packed = |name: &str| sample().without("sda2.ext4-ptcl-img.uncomp").with(name, "x");
    told(&packed("sda2.ext4-ptcl-img.lzma.aa"), Unsupported, "is compressed with xz --format=lzma");
    told(&packed("sda2.ext4-ptcl-img.lrz"), Unsupported, "is compressed with lrzip");
    told(&packed("sda2.000"), Unsupported, "is an image of partimage");
    refused(
        &packed("sda2.ext4-ptcl-img.gz.aa"),
        Corrupt,
        "is no image of partclone, nor compressed in a known way",
    );
    refused(&packed("sda2.ntfs-img.aa"), Corrupt, "is no image of ntfsclone");
    refused(&sample().with("ecryptfs.info", ""), NeedsPerson, "encrypted with eCryptfs");
    let luks = sample()
        .without("sda2.ext4-ptcl-img.uncomp")
        .with("luks-dev.list", "/dev/sda2 /dev/mapper/ocs_luks_x\n");
    told(&luks, NeedsPerson, "sda2 was encrypted with LUKS");
    let error = packed("sda2.ext4-ptcl-img.lzma.aa").disks().err().unwrap();
    assert!(error.hint_text().unwrap().contains("sda2.ext4-ptcl-img.uncomp"), "{:?}", error.hint_text());
}

#[test]
fn what_contradicts_itself_is_corrupt() {
    let large = [&b"partclone-image\0"[..], &vec![1; 2048 * 512 + 1]].concat();
    refused(
        &sample().with("sda2.ext4-ptcl-img.uncomp", large),
        Corrupt,
        "the image of sda2 has 0x100001 bytes, the partition 0x100000",
    );
    told(&sample().with("sda1.dd-img.ac", vec![1; 300_000]), Corrupt, "sda1.dd-img.ab has 0x33c20 bytes");
    for (text, reason) in [
        (
            "/dev/sda1 : start=1, size=10\n/dev/sda2 : start=10, size=10\n",
            "sda1 ends at 0x1600, and sda2 begins at 0x1400",
        ),
        ("/dev/sda1 : start=1, size=99999999999999999999\n", "line 1 is no partition"),
        ("/dev/sda1 : start=9999999999999999999, size=1\n", "more than 2^63"),
    ] {
        refused(&sample().with("sda-pt.sf", text), Corrupt, reason);
    }
    refused(&sample().with("disk", "../etc"), Corrupt, "\"../etc\" is no name");
    refused(&sample().with("swappt-sda3.info", "UUID=\"x\"\n"), Corrupt, "the swap area sda3");
}

const GROUP: &str = r#"contents = "Text Format Volume Group"
version = 1
vg { extent_size = 128
 physical_volumes { pv0 { id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg" device = "/dev/sda2" pe_start = 256 pe_count = 14 } }
 logical_volumes { a { status = ["READ", "WRITE", "VISIBLE"] segment_count = 1
  segment1 { start_extent = 0 extent_count = 2 type = "striped" stripe_count = 1 stripes = [ "pv0", 3 ] } } } }
"#;

fn group(text: &str) -> Folder {
    sample()
        .without("sda2.ext4-ptcl-img.uncomp")
        .with("lvm_vg_dev.list", "vg /dev/sda2 aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg\n")
        .with("lvm_logv.list", "/dev/vg/a Linux rev 1.0 ext4 filesystem data\n")
        .with("lvm_vg.conf", text)
        .with("vg-a.ext4-ptcl-img.uncomp", [&b"partclone-image\0"[..], &[0x66; 70_000]].concat())
}

#[test]
fn a_volume_lies_where_the_group_says() {
    let disk = &group(GROUP).disks().unwrap()[0];
    let start = 2048 * 512 + 256 * 512 + 3 * 65536;
    assert_eq!(&disk[2048 * 512 + 512..2048 * 512 + 520], b"LABELONE");
    assert!(disk[start..start + 70_000].iter().all(|byte| *byte == 0x66) && disk[start + 70_000] == 0);
    assert_eq!(disk[start - 1], 0);
}

#[test]
fn groups_that_cannot_be_put_together_are_refused() {
    refused(&group(GROUP).without("lvm_vg.conf"), SourceMissing, "lvm_vg.conf is missing");
    refused(&group("vg {"), Corrupt, "lvm_vg.conf: a section does not end");
    told(&group(GROUP).without("vg-a.ext4-ptcl-img.uncomp"), SourceMissing, "vg-a was saved");
    told(&group(&GROUP.replace("\"striped\"", "\"raid1\"")), Unsupported, "is of type \"raid1\"");
    let elsewhere = GROUP.replace("pv0 {", "pv1 { id = \"aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggh\" device = \"/dev/md0\" pe_start = 256 }\n pv0 {");
    told(&group(&elsewhere), Unsupported, "md0 belongs to the volume group vg");
    refused(&group(&GROUP.replace("pe_start = 256", "pe_start = 8")), Corrupt, "no room for the metadata");
    refused(
        &group(&GROUP.replace("\"pv0\", 3", "\"pv0\", 300")),
        Corrupt,
        "the extents of its physical volume end before those of a",
    );
    refused(
        &group(&GROUP.replace("pe_count = 14", "pe_count = 15")),
        Corrupt,
        "the partition ends before the extents",
    );
    let second = "b { status = [\"READ\", \"WRITE\", \"VISIBLE\"] segment_count = 1
  segment1 { start_extent = 0 extent_count = 1 type = \"striped\" stripe_count = 1 stripes = [ \"pv0\", 4 ] } }
  a {";
    refused(
        &group(&GROUP.replace("a {", second)),
        Corrupt,
        "the volumes a and b share the extents at byte 0x60000 of pv0",
    );
    refused(&group(&GROUP.replace("extent_count = 2", "extent_count = 1")), Corrupt, "the image of vg-a has");
}

#[test]
fn a_damaged_gpt_is_told_by_its_checksums_and_its_copy() {
    let good = sample_with_gpt();
    let changed = |name: &str, at: usize| {
        let mut bytes = good.0[name].clone();
        bytes[at] ^= 1;
        good.clone().with(name, bytes)
    };
    told(&changed("sda-gpt-1st", 9045), Corrupt, "sda-gpt-1st: the CRC-32 of the GPT's entries is");
    told(&changed("sda-gpt-1st", 512 + 48), Corrupt, "sda-gpt-1st: the CRC-32 of the GPT's header is");
    told(&changed("sda-gpt-1st", 100), Corrupt, "sda-mbr: it and the file of the GPT begin with different");
    told(&changed("sda-gpt-2nd", 9045), Corrupt, "sda-gpt-2nd: its entries are not those of the first");
    told(&changed("sda-gpt-2nd", 32 * 512 + 24), Corrupt, "sda-gpt-2nd: the header is damaged");
    let second = &good.0["sda-gpt-2nd"];
    let with = |bytes: &[u8]| good.clone().with("sda-gpt-2nd", bytes);
    told(&with(&good.0["sda-mbr"]), Corrupt, "sda-gpt-2nd: the last sector is no header");
    told(&with(&[second, &[0; 512][..]].concat()), Corrupt, "sda-gpt-2nd: it has not the length of a GPT");
    told(&with(&[&[7][..], &second[1..]].concat()), Corrupt, "its entries are not those of the first GPT");
    let (_, other) = gpts(&[(1000, 1999), (2048, 4094), (4096, 5119)]);
    told(&with(&other), Corrupt, "the header tells of another table than the first GPT");
    told(&with(&[]), Corrupt, "sda-gpt-2nd: it is cut off");
    // What follows a header in its sector is nothing.
    for (name, header) in [("sda-gpt-1st", 512), ("sda-gpt-2nd", 32 * 512)] {
        for at in (0..good.0[name].len()).step_by(1009).filter(|at| !(header + 92..header + 512).contains(at))
        {
            assert!(changed(name, at).disks().is_err(), "{name} {at}");
        }
    }
}

#[test]
fn tables_that_contradict_each_other_are_refused() {
    let text = |folder: &Folder, name: &str, from: &str, to: &str| {
        let text = String::from_utf8(folder.0[name].clone()).unwrap();
        assert!(text.contains(from), "{from}");
        folder.clone().with(name, text.replace(from, to))
    };
    let (plain, gpt) = (sample(), sample_with_gpt());
    told(
        &text(&plain, "sda-pt.sf", "start= 1000", "start= 1001"),
        Corrupt,
        "sda-mbr and sda-pt.sf contradict each other about the place of sda1: 0x7d000, 0x7d200",
    );
    told(
        &text(&gpt, "sda-pt.sf", "start= 1000", "start= 1001"),
        Corrupt,
        "sda-gpt-1st and sda-pt.sf contradict",
    );
    told(
        &text(&gpt, "sda-pt.parted", "8192s", "8000s"),
        Corrupt,
        "contradict each other about the bytes of sda",
    );
    told(
        &text(&gpt, "sda-pt.sf", "/dev/sda3", "/dev/sda4"),
        Corrupt,
        "about the bytes of sda3: 0x80000, 0x0",
    );
    let parts = " 1 1000s 1999s 1000s primary\n 2 2048s 4095s 2048s primary\n 3 4096s 5119s 1024s primary\n";
    let listed = text(&plain, "sda-pt.parted", "msdos\n", &format!("msdos\n{parts}"));
    assert!(listed.disks().is_ok());
    told(
        &text(&listed, "sda-pt.parted", "2048s primary", "2047s primary"),
        Corrupt,
        "about the bytes of sda2",
    );
    told(&text(&listed, "sda-pt.parted", "2 2048s", "4 2048s"), Corrupt, "about the bytes of sda2");
    told(
        &text(&listed, "sda-pt.sf", "unit: sectors", "sector-size: 4096"),
        Corrupt,
        "sda-pt.sf and sda-pt.parted contradict each other about the bytes of a sector: 0x1000, 0x200",
    );
    told(
        &plain.clone().with("sda-mbr", mbr(&[(0x83, 1000, 1000)])),
        Corrupt,
        "sda-mbr and sda-pt.sf contradict each other about the bytes of sda2: 0x0, 0x100000",
    );
    told(&plain.clone().with("sda-mbr", [1; 512]), Corrupt, "sda-mbr has 0x200 bytes: it is no sector");
    told(&plain.clone().with("sda-mbr", [1; 9999]), Corrupt, "sda-mbr has 0x270f bytes: it is no sector");
    refused(&plain.clone().with("sda-pt.parted", "x"), Corrupt, "it does not tell the disk's size");
    refused(&text(&plain, "sda-pt.parted", "8192s", "9999999999999999s"), Corrupt, "which no disk has");
    let (first, _) = gpts(&[]);
    refused(&plain.with("sda-gpt-1st", first), Corrupt, "about whether there is a GPT: 0x1, 0x0");
}

#[test]
fn the_first_table_of_logical_partitions_has_to_fit() {
    let folder = sample()
        .with("sda-pt.sf", "label: dos\n/dev/sda1 : start= 1000, size= 1000, type=83\n/dev/sda2 : start= 2048, size= 3000, type=5\n\
              /dev/sda5 : start= 2111, size= 2100, type=83\n")
        .with("sda-mbr", mbr(&[(0x83, 1000, 1000), (0x0f, 2048, 3000)]))
        .with("parts", "sda1 sda5")
        .without("sda2.ext4-ptcl-img.uncomp")
        .without("swappt-sda3.info")
        .with("sda5.ext4-ptcl-img.uncomp", [&b"partclone-image\0"[..], &[0x22; 700_000]].concat());
    let with = |parts| folder.clone().with("sda2-ebr", mbr(parts));
    assert!(folder.disks().is_ok() && with(&[(0x83, 63, 2100)]).disks().is_ok());
    told(
        &with(&[(0x83, 64, 2100)]),
        Corrupt,
        "sda2-ebr and sda-pt.sf contradict each other about the place of sda5",
    );
    told(&folder.clone().with("sda2-ebr", [0; 512]), Corrupt, "sda2-ebr has 0x200 bytes");
}

/// Put together with a warning, and told by `completeness`.
fn lacking(folder: &Folder, code: &str, reason: &str) {
    let directory = folder.write();
    let container = open(directory.path()).unwrap();
    let findings = container.completeness().unwrap();
    assert!(findings.iter().any(|finding| finding.message.contains(reason)), "{reason}: {findings:?}");
    let warnings = container.open_disk(0).unwrap().warnings;
    assert!(warnings.iter().any(|one| one.code == code && one.message.contains(reason)), "{warnings:?}");
}

#[test]
fn what_a_disk_is_without_is_told() {
    assert!(sample().open().unwrap().completeness().unwrap().is_empty());
    let hidden = sample().without("sda-hidden-data-after-mbr");
    lacking(&hidden, "clonezilla-no-hidden-data", "sda-hidden-data-after-mbr is missing: a boot loader");
    let size = sample().without("sda-pt.parted");
    lacking(&size, "clonezilla-size-guessed", "sda-pt.parted is missing: the size of sda is a guess");
    let second = sample_with_gpt().without("sda-gpt-2nd");
    lacking(&second, "clonezilla-no-second-gpt", "sda-gpt-2nd is missing");
    let part = sample().without("sda2.ext4-ptcl-img.uncomp").with("parts", "sda1\n");
    lacking(&part, "clonezilla-not-saved", "sda2 was not saved: it reads as zeros");
    let part = part.with("dev-fs.list", "/dev/sda1 ext4 1M\n/dev/sda2 ext4 1M\n");
    lacking(&part, "clonezilla-not-saved", "sda2 (ext4, says dev-fs.list) was not saved");
    lacking(
        &group(GROUP).without("vg-a.ext4-ptcl-img.uncomp").without("lvm_logv.list").with("parts", "sda1"),
        "clonezilla-not-saved",
        "vg-a was not saved",
    );
}

#[test]
fn what_was_saved_and_has_no_place_is_refused() {
    let group = group(GROUP).with("parts", "sda1\n");
    assert!(group.disks().is_ok());
    let lost = group.clone().without("lvm_vg_dev.list");
    told(&lost, SourceMissing, "vg-a.ext4-ptcl-img.uncomp: nothing in the folder tells where vg-a belongs");
    told(
        &lost.clone().without("vg-a.ext4-ptcl-img.uncomp").without("lvm_logv.list"),
        SourceMissing,
        "lvm_vg.conf: nothing in the folder tells where vg belongs",
    );
    let bare = lost.without("vg-a.ext4-ptcl-img.uncomp").without("lvm_logv.list").without("lvm_vg.conf");
    told(
        &bare.with("dev-fs.list", "/dev/sda2 LVM2_member 1M\n"),
        SourceMissing,
        "dev-fs.list says that sda2 is a physical volume of LVM",
    );
    let renamed = group.with("lvm_vg.conf", GROUP.replace("a {", "other {"));
    told(&renamed, SourceMissing, "where vg-a belongs, which was saved");
    told(&renamed.without("vg-a.ext4-ptcl-img.uncomp"), SourceMissing, "lvm_logv.list: nothing");
    told(&sample().with("sda9.dd-img.aa", "x"), SourceMissing, "sda9.dd-img.aa: nothing");
    told(
        &sample().with("parts", "sda1 sda2 sda9"),
        SourceMissing,
        "parts: nothing in the folder tells where sda9",
    );
}
