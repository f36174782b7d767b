//! One thing is missing or wrong: refused with its name, and found by the cheap look, too.

use crate::builder::{Folder, open, sample};
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
