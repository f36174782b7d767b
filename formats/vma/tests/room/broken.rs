//! A good backup with one thing broken is refused with the reason.

use crate::builder::{CLUSTER, Plan, flow, header_end, open, read, refused, reseal};
use format_core::ErrorKind::{Corrupt, Limit, Unsupported};

/// A sample with `bytes` at `at` of the header, sealed again.
fn header(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = Plan::sample().build();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    reseal(&mut file);
    file
}

/// The same for the head of the first extent.
fn extent(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = Plan::sample().build();
    let start = header_end(&file) + at;
    file[start..start + bytes.len()].copy_from_slice(bytes);
    reseal(&mut file);
    file
}

#[test]
fn headers() {
    refused(&header(0, b"VMX"), Corrupt, "the magic is");
    refused(&header(4, &2_u32.to_be_bytes()), Unsupported, "the version is 2");
    let mut file = Plan::sample().build();
    file[2000] = 1;
    refused(&file, Corrupt, "the MD5 of the header is");
    for (len, kind, part) in [
        (0, Corrupt, "says that it has 0x0 bytes"),
        (12287, Corrupt, "says that it has 0x2fff bytes"),
        (12289, Corrupt, "says that it has 0x3001 bytes"),
        (!511_u32, Limit, "says that it has 0xfffffe00 bytes"),
    ] {
        let mut file = Plan::sample().build();
        file[56..60].copy_from_slice(&len.to_be_bytes());
        refused(&file, kind, part);
    }
    let mut file = Plan::sample().build();
    file[56..60].copy_from_slice(&(15_u32 << 20).to_be_bytes());
    assert!(open(&file).err().unwrap().to_string().contains("the header has 0xf00000 bytes"));
    assert!(flow(&file, None).unwrap_err().to_string().contains("truncated: the header needs"));
    refused(&header(48, &100_u32.to_be_bytes()), Corrupt, "the blobs are at 0x64");
    refused(&header(52, &u32::MAX.to_be_bytes()), Corrupt, "+0xffffffff of a header");
}

#[test]
fn names_and_devices() {
    let second = 4096 + 2 * 32;
    let name = |at: usize| Plan::sample().build()[at..at + 4].to_vec();
    refused(&header(2044, &[0; 4]), Corrupt, "configuration file 0 has a name or a content");
    refused(&header(3068, &[0; 4]), Corrupt, "configuration file 0 has a name or a content");
    refused(
        &header(2044, &0xffff_u32.to_be_bytes()),
        Corrupt,
        "the name of configuration file 0 is a blob at 0xffff",
    );
    refused(&header(3068, &u32::MAX.to_be_bytes()), Corrupt, "configuration file 0 is a blob at 0xffffffff");
    refused(&header(4096, &[0, 0, 0, 1]), Corrupt, "device 0 is described");
    refused(&header(second, &[0; 4]), Corrupt, "device 2 has 0x75600 bytes and no name");
    refused(&header(second, &name(4096 + 32)), Corrupt, "two devices are called \"drive-scsi0\"");
    refused(&header(second, &name(3068)), Corrupt, "not a name");
    refused(&header(second + 8, &[1, 1]), Corrupt, "more than a device can have");
    // Without a size it is no device, but the extents have clusters of it.
    refused(&header(second + 8, &[0; 8]), Corrupt, "belongs to device 2, which the header has not");
    refused(&header(second + 8, &(8_u64 << 40).to_be_bytes()), Corrupt, "truncated:");
    refused(&header(second + 8, &(4 * CLUSTER as u64).to_be_bytes()), Corrupt, "which has 4 clusters");
    let short = 7 * CLUSTER as u64 + 100;
    refused(&header(second + 8, &short.to_be_bytes()), Corrupt, "the device ends in block 0 of it");
}

#[test]
fn extents() {
    refused(&extent(0, b"VMAX"), Corrupt, "the extent begins with");
    refused(&extent(8, &[0]), Corrupt, "the extent belongs to the backup");
    refused(&extent(4, &[0, 1]), Corrupt, "reserved bits of the extent's head are set: 0x1");
    refused(&extent(6, &[1]), Corrupt, "the extent says that it has");
    refused(&extent(40 + 2, &[7]), Corrupt, "reserved bits");
    refused(&extent(40 + 3, &[0]), Corrupt, "reserved bits");
    refused(&extent(40 + 3, &[9]), Corrupt, "belongs to device 9");
    refused(&extent(40 + 4, &[0x80]), Corrupt, "cluster 2147483648 of drive-scsi0, which has 9 clusters");
    // Its first cluster twice.
    refused(&extent(48 + 4, &[0; 4]), Corrupt, "cluster 0 of drive-scsi0 is there twice");
    let mut file = Plan::sample().build();
    let head = header_end(&file);
    file[head + 100] ^= 4;
    refused(&file, Corrupt, "the MD5 of the extent's head is");
}

#[test]
fn a_cluster_that_is_missing_or_waits_twice() {
    let plan = Plan::sample();
    let mut order = plan.in_order();
    order.remove(4);
    let file = Plan { order: order.clone(), ..plan.clone() }.build();
    refused(&file, Corrupt, "1 of 9 clusters of drive-scsi0 are missing");
    order.push((1, 7));
    refused(&Plan { order, ..plan.clone() }.build(), Corrupt, "cluster 7 of drive-scsi0 is there twice");
    let mut order = plan.in_order();
    order.pop();
    refused(&Plan { order, ..plan }.build(), Corrupt, "1 of 8 clusters of drive-scsi1 are missing");
}

#[test]
fn every_cut_is_noticed() {
    let file = Plan::sample().build();
    let ends = (0..file.len()).step_by(997).chain(header_end(&file) - 3..header_end(&file) + 600);
    for end in ends {
        let cut = &file[..end];
        assert_eq!(open(cut).err().map(|e| e.kind()), Some(Corrupt), "{end:#x}");
        assert_eq!(flow(cut, Some("drive-scsi0")).err().map(|e| e.kind()), Some(Corrupt), "{end:#x}");
    }
    let mut longer = file;
    longer.extend([0; 512]);
    refused(&longer, Corrupt, "the extent begins with [00, 00, 00, 00]");
}

#[test]
fn flipped_bits_of_headers_are_noticed() {
    let plan = Plan::sample();
    let file = plan.build();
    let head = header_end(&file);
    for at in (0..head).step_by(61).chain(head..head + 512) {
        let mut file = file.clone();
        file[at] ^= 1 << (at % 8);
        // All of a header is under its checksum.
        assert!(open(&file).is_err(), "{at:#x}");
        assert!(flow(&file, Some("drive-scsi0")).is_err(), "{at:#x}");
    }
    // The data are not: what is there is what is read.
    let mut file = file;
    file[head + 512] ^= 1;
    assert!(read(open(&file).unwrap().as_ref(), 1).unwrap() != plan.devices[0].1);
}
