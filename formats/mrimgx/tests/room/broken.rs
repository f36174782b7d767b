//! Good backups with one thing broken.

use crate::builder::*;
use crate::golden::reseal;
use format_core::ErrorKind::{self, Corrupt, Unsupported};

/// Opening or reading fails like this, and the check tells it, too.
fn fails(bytes: &[u8], kind: ErrorKind, reason: &str) {
    let error = match open_bytes(bytes) {
        Err(error) => error,
        Ok(container) => {
            let report = container.check(&|_| Ok(())).unwrap();
            assert!(report.errors > 0, "{reason}: checked");
            read(&container).err().unwrap_or_else(|| panic!("{reason}: read"))
        }
    };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn broken_metadata() {
    let written = Plan::sample().write();
    let change = |at: usize, value: u8| {
        let mut bytes = written.bytes.clone();
        bytes[at] ^= value;
        bytes
    };
    let end = written.bytes.len();
    fails(&change(end - 1, 1), Corrupt, "does not end with MACRIUM_FILE");
    fails(&written.bytes[..19], Corrupt, "the file has 0x13 bytes");
    fails(&change(end - 13, 0x40), Corrupt, "leaves the file");
    let header = |name: &str| written.header(name);
    fails(&change(header("$JSON"), 1), Corrupt, "the metadata block $JSON is missing");
    fails(&change(header("$JSON") + 40, 1), Corrupt, "the metadata block $JSON has another MD5");
    fails(&change(header("$TRACK0"), 1), Corrupt, "the metadata block $TRACK0 is missing");
    fails(&change(header("$TRACK0") + 12, 1), Corrupt, "the metadata block $TRACK0 has another MD5");
    fails(&change(header("$EPT") + 33, 1), Corrupt, "the metadata block $EPT has another MD5");
    fails(&change(header("$EPT"), 1), Corrupt, "the metadata block $EPT is missing");
    fails(&change(header("$TRACK0") + 28, 2), Corrupt, "is no boot record with whole sectors");
    fails(&change(header("$EPT") + 28, 2), Corrupt, "the extended partition table has");
    fails(&change(header("$INDEX") + 50, 1), Corrupt, "the metadata block $INDEX has another MD5");
    fails(&change(header("$INDEX"), 1), Corrupt, "the metadata block $INDEX is missing");
    fails(&change(header("$INDEX") + 28, 2), Unsupported, "the metadata block $INDEX is compressed");
    fails(&change(header("$INDEX") + 28, 4), Unsupported, "the metadata block $INDEX is encrypted");
    fails(&change(header("$INDEX") + 36, 1), Corrupt, "its counts need");
    fails(&change(header("$INDEX") + 32, 0xff), Corrupt, "its counts need");
    fails(&change(header("$TRACK0") + 11, 0x40), Corrupt, "leaves the file");
}

#[test]
fn broken_elements_and_blocks() {
    for (is_packed, packed_reason) in [(true, "cannot be unpacked"), (false, "has another MD5")] {
        let written = Plan { is_packed, ..Plan::sample() }.write();
        let index = written.header("$INDEX");
        let element = index + 32 + 8;
        let change = |at: usize, value: u8| {
            let mut bytes = written.bytes.clone();
            bytes[at] ^= value;
            reseal(&mut bytes, index);
            bytes
        };
        fails(&change(element + 8, 1), Corrupt, "block 0 of partition 1 has another MD5 than its index says");
        fails(&change(element + 7, 0x80), Corrupt, "block 0 of partition 1 is at 0x8000000000000000+");
        fails(&change(element + 5, 1), Corrupt, "of file 0, which has");
        fails(&change(element + 28, 1), Unsupported, "it was opened without a folder");
        fails(&change(element + 27, 0x40), Corrupt, "of file 0, which has");
        fails(&change(0, 0xff), Corrupt, packed_reason);
        if is_packed {
            continue;
        }
        // A shorter block in the middle, with the right sum.
        let mut plan = Plan { is_packed, ..Plan::sample() };
        plan.disks[0].partitions[0].blocks[1].1 = Source::Here(sample(512, 3));
        fails(&plan.build(), Corrupt, "block 1 of partition 1 has 0x200 bytes, 0x1000 are expected");
        plan.disks[0].partitions[0].blocks[1].1 = Source::Here(sample(4608, 3));
        fails(&plan.build(), Corrupt, "block 1 of partition 1 has 0x1200 bytes, 0x1000 are expected");
        // A last block that is longer than the partition, by zeros and by data.
        let mut plan = Plan { is_packed, ..Plan::sample() };
        let mut last = sample(1024, 9);
        last.resize(BLOCK, 0);
        let wanted = plan.content(0);
        plan.disks[0].partitions[1].blocks[2].1 = Source::Here(last.clone());
        assert!(read_bytes(&plan.build()).unwrap() == wanted);
        last[1024] = 1;
        plan.disks[0].partitions[1].blocks[2].1 = Source::Here(last);
        fails(&plan.build(), Corrupt, "block 2 of partition 2 has 0x1000 bytes, 0x400 are expected");
    }
}

#[test]
fn places_that_cannot_be() {
    type Change = fn(&mut Plan);
    let changes: [(Change, &str); 7] = [
        (|plan| plan.disks[0].partitions[1].start = (1 << 20) + 512, "overlaps with"),
        (|plan| plan.disks[0].size = (2 << 20) + 66 * 512, "cut"),
        (|plan| plan.disks[0].partitions[0].start = 5 << 20, "leaves the disk of 0x400000 bytes"),
        (|plan| plan.disks[0].partitions[0].length = 7 * BLOCK as u64, "block 7 of partition 1 changed"),
        (|plan| plan.disks[0].extended[0].0 = 4 << 20, "entry 0 of the extended partition table"),
        (|plan| plan.disks[0].extended[0].1[511] = 0, "entry 0 of the extended partition table"),
        (|plan| plan.disks[0].size = 0, "the size of a disk"),
    ];
    for (change, reason) in changes {
        let mut plan = Plan::sample();
        change(&mut plan);
        if reason == "cut" {
            // The last block is cut by the disk's end: a block of data behind it is none of the disk's.
            assert!(read_bytes(&plan.build()).is_err());
            continue;
        }
        fails(&plan.build(), Corrupt, reason);
    }
}

#[test]
fn descriptions_that_cannot_be() {
    let good = Plan::sample().write();
    let text = |from: &str, to: &str| {
        let header = good.header("$JSON");
        let len = u32::from_le_bytes(good.bytes[header + 8..header + 12].try_into().unwrap()) as usize;
        let json = zstd::decode_all(&good.bytes[header + 32..header + 32 + len]).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(json.contains(from), "{from} in {json}");
        let json = json.replacen(from, to, 1);
        let mut bytes = good.bytes[..header].to_vec();
        bytes.extend_from_slice(b"$JSON   ");
        bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(json.as_bytes());
        reseal(&mut bytes, header);
        bytes.extend_from_slice(&(header as u64).to_le_bytes());
        bytes.extend_from_slice(b"MACRIUM_FILE");
        bytes
    };
    assert!(read_bytes(&text("\"PC\"", "\"PC2\"")).unwrap() == Plan::sample().content(0));
    for (from, to, reason) in [
        ("\"D684BA87241263E2\"", "\"D684\"", "the image id"),
        ("\"medium\"", "\"extreme\"", "the compression"),
        ("\"zstd\"", "\"lz4\"", "the compression"),
        ("\"enable\":false", "\"enable\":true", "the encryption"),
        ("\"bytes_per_sector\":512", "\"bytes_per_sector\":500", "the size of a sector"),
        ("\"block_size\":4096", "\"block_size\":0", "the size of a block"),
        ("\"block_size\":4096", "\"block_size\":33554432", "the size of a block"),
        ("\"disk_size\":4194304", "\"disk_size\":18446744073709551615", "the size of a disk"),
        ("\"file_number\":0", "\"file_number\":-1", "cannot be read"),
        ("\"delta_index\":false", "\"delta\":false", "cannot be read"),
        ("\"index_file_position\":", "\"index_file_position\":9", "leaves the file"),
        ("{", "[", "cannot be read"),
    ] {
        fails(&text(from, to), Corrupt, reason);
    }
}
