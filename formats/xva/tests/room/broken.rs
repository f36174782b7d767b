//! A good export with one thing broken is refused with the reason.

use crate::builder::{Member, Plan, Sums, blocks, build, flow, member, open, ova, pack, read, refused, seal};
use format_core::ErrorKind::{Corrupt, Limit, Unsupported};

fn plans() -> Vec<Plan> {
    Plan::sample().into_iter().take(2).collect()
}

/// The sample after a change of its description or its members.
fn changed(change: impl FnOnce(&mut String, &mut Vec<Member>)) -> Vec<u8> {
    let plans = plans();
    let (mut ova, mut members) = (ova(&plans, 2), plans.iter().flat_map(blocks).collect());
    change(&mut ova, &mut members);
    pack(&ova, &members)
}

/// Where the member is.
fn find(members: &[Member], name: &str) -> usize {
    members.iter().position(|member| member.name == name).unwrap()
}

#[test]
fn headers() {
    let header = |at: usize, bytes: &[u8]| {
        let mut file = build(&plans());
        file[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut file);
        file
    };
    let mut file = build(&plans());
    file[200] = 1;
    refused(&file, Corrupt, "the checksum of a tar header is");
    refused(&header(124, b"0000x"), Corrupt, "the size of a tar header is");
    refused(&header(124, &[0xff; 12]), Corrupt, "the size of a tar header is");
    refused(&header(124, b"77777777777"), Limit, "ova.xml has 0x1ffffffff bytes");
    refused(&header(156, b"2"), Unsupported, "is of type '2'");
    refused(&header(156, b"x"), Corrupt, "the first member is \"Ref:10/00000000\"");
    refused(&header(0, b"bva"), Corrupt, "the first member is \"bva.xml\"");
    refused(&[0; 2048], Corrupt, "the first member is \"\"");
    refused(&[], Corrupt, "the first member is \"\"");
}

#[test]
fn a_description_behind_the_blocks_is_no_archive_of_disks() {
    let plans = plans();
    let members: Vec<_> =
        plans.iter().flat_map(blocks).map(|part| member(&format!("./{}", part.name), &part.bytes)).collect();
    let mut folder = member("./Ref:10/", b"");
    folder[156] = b'5';
    seal(&mut folder);
    for start in [Vec::new(), folder] {
        let mut file = [start, members.concat()].concat();
        for end in [Vec::new(), member("ova.xml", ova(&plans, 2).as_bytes())] {
            file.extend(end);
            assert_eq!((format_xva::FORMAT.probe)(&file[..65536], &[]), format_core::Score::Magic);
            refused(&file, Corrupt, "the first member is \"Ref:10/00000000\"");
        }
    }
    for other in ["Ref:10/0000000", "Ref:/00000000", "ref/00000000", "Ref:10/disk.raw"] {
        let file = member(other, &[1; 4096]);
        assert_eq!((format_xva::FORMAT.probe)(&file, &[]), format_core::Score::No, "{other}");
    }
}

#[test]
fn descriptions() {
    let change = |from: &str, to: &str| changed(|ova, _| *ova = ova.replace(from, to));
    refused(&change("<?xml version=\"1.0\"?>", "<appliance version=\"0.1\">"), Unsupported, "XenServer 3");
    refused(&change("</struct>", ""), Corrupt, "ova.xml cannot be read");
    refused(&change("guest &amp;", "&guest;"), Corrupt, "an unknown entity");
    refused(&change("<?xml version=\"1.0\"?>", "<!DOCTYPE a>"), Corrupt, "a document type");
    refused(&change(">458752<", ">-1<"), Corrupt, "the disk Ref:7 has the virtual size \"-1\"");
    refused(&change(">458752<", ">18446744073709551615<"), Corrupt, "the virtual size");
    refused(&change("Ref:90", "../../etc"), Corrupt, "\"../../etc\" cannot be the name of a disk");
    refused(&change("Ref:90", "Ref:7"), Corrupt, "the disk Ref:7 is described twice");
    refused(&change("Ref:10<", "Ref:11<"), Corrupt, "\"Ref:10\" belongs to no disk");
    refused(&change(">458752<", ">458751<"), Corrupt, "block 6 of Ref:7 has 0x10000 bytes at 0x60000");
    refused(&change(">458752<", ">458753<"), Corrupt, "truncated: Ref:7 ends at 0x70000 of 0x70001 bytes");
    let many = "<value><struct><member><name>class</name><value>VDI</value></member><member><name>id</name><value>a</value>\
                </member><member><name>snapshot</name><value/></member></struct></value>";
    let file = changed(|ova, _| *ova = ova.replace("<data>", &format!("<data>{}", many.repeat(2000))));
    refused(&file, Limit, "ova.xml describes 2003 disks or uses of them");
    let deep = format!("<data>{}", "<value><array><data>".repeat(60));
    refused(&change("<data>", &deep), Corrupt, "too many values, or too deep");
}

#[test]
fn blocks_and_their_order() {
    let without = |names: &[&str]| {
        changed(|_, members| members.retain(|m| !names.iter().any(|name| m.name.starts_with(name))))
    };
    refused(&without(&["Ref:7/00000006"]), Corrupt, "truncated: Ref:7 ends at 0x50000");
    refused(&without(&["Ref:7/00000000"]), Corrupt, "block 1 of Ref:7 is the first one, not 0");
    refused(&without(&["Ref:10"]), Corrupt, "truncated: Ref:10 ends at 0x0");
    refused(&without(&["Ref:"]), Unsupported, "holds none of its disks");
    refused(&without(&["Ref:7/00000001.xxhash"]), Corrupt, "block 1 of Ref:7 has no checksum behind it");
    refused(&without(&["Ref:7/00000006.xxhash"]), Corrupt, "block 6 of Ref:7 has no checksum behind it");
    let swapped = changed(|_, members| {
        let (one, other) = (find(members, "Ref:7/00000001"), find(members, "Ref:7/00000004"));
        members.swap(one, other);
        members.swap(one + 1, other + 1);
    });
    refused(&swapped, Corrupt, "block 1 of Ref:7 comes after block 4");
    let stray = changed(|_, members| {
        let at = find(members, "Ref:7/00000001.xxhash");
        members[at].name = "Ref:7/00000002.xxhash".into();
    });
    refused(&stray, Corrupt, "a checksum is for block 2 of Ref:7, which is not the one before it");
    let far = changed(|_, members| {
        let at = find(members, "Ref:7/00000006");
        members[at].name = "Ref:7/999999999999".into();
    });
    refused(&far, Corrupt, "block 999999999999 of Ref:7 has 0x10000 bytes at");
}

#[test]
fn checksums() {
    let sum = |text: &str| {
        changed(|_, members| {
            let at = find(members, "Ref:7/00000001.xxhash");
            members[at].bytes = text.into();
        })
    };
    for (text, part) in [
        ("0123456789ABCDEF", "block 1 of Ref:7 has the checksum"),
        ("0123456789ABCDE", "which is none"),
        ("0123456789ABCDEG", "which is none"),
        ("", "which is none"),
    ] {
        let file = sum(text);
        let error = flow(&file, Some("Ref:7")).unwrap_err();
        assert!(error.kind() == Corrupt && error.to_string().contains(part), "{error}");
        let report = open(&file).unwrap().check(&|_| Ok(())).unwrap();
        assert!(report.errors == 1 && report.findings[0].message.contains(part), "{report:?}");
    }
    let mixed = Plan { sums: Sums::Sha1, ..plans().remove(1) };
    let file = changed(|_, members| {
        let (from, name) = (find(members, "Ref:7/00000001"), "Ref:7/00000001");
        let other = blocks(&mixed);
        members[from + 1] = other[find(&other, name) + 1].clone();
    });
    assert!(flow(&file, Some("Ref:7")).unwrap_err().to_string().contains("checksums of two kinds"));
}

#[test]
fn every_cut_is_noticed() {
    let file = build(&plans());
    // Without the mark of an end nothing is missing.
    let end = file.len() - 1024;
    for cut in (0..end).step_by(3_011).chain([511, 512, 513, end - 1, end - 512, end - 1024, end - 1025]) {
        let kind = open(&file[..cut]).err().map(|e| e.kind());
        assert!(matches!(kind, Some(Corrupt | Unsupported)), "{cut:#x}: {kind:?}");
        let kind = flow(&file[..cut], Some("Ref:7")).err().map(|e| e.kind());
        assert!(matches!(kind, Some(Corrupt | Unsupported)), "{cut:#x}: {kind:?}");
    }
}

#[test]
fn flipped_bits_are_noticed_or_change_nothing() {
    let plans = plans();
    let file = build(&plans);
    for at in (0..file.len()).step_by(8_021).chain((0..4096).step_by(13)) {
        let mut file = file.clone();
        file[at] ^= 1 << (at % 8);
        if let Ok(bytes) = flow(&file, Some("Ref:7")) {
            assert!(bytes == plans[1].bytes, "{at:#x}");
        }
        let Ok(container) = open(&file) else { continue };
        if container.check(&|_| Ok(())).unwrap().is_clean() {
            // A flip in ova.xml can change which disk comes first.
            let found: Vec<_> =
                (0..container.disks().len()).map(|n| read(container.as_ref(), n).unwrap()).collect();
            assert!(found.iter().all(|bytes| plans.iter().any(|plan| plan.bytes == *bytes)), "{at:#x}");
        }
    }
}

#[test]
fn a_block_too_long() {
    let plans = plans();
    let mut file = member("ova.xml", ova(&plans, 2).replace("458752", "45875200000").as_bytes());
    let mut header = member("Ref:7/00000000", b"");
    header[124..136].copy_from_slice(format!("{:011o}\0", (1_u64 << 30) + 1).as_bytes());
    seal(&mut header);
    file.extend(header);
    refused(&file, Limit, "a block has 0x40000001 bytes");
}
