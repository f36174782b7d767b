//! Descriptions and numbers that are meant to harm.

use crate::builder::{Member, Plan, blocks, build, flow, member, open, ova, pack, seal, stream};
use format_core::ErrorKind;
use std::time::{Duration, Instant};

/// Any error is right, fast.
fn survives(file: &[u8]) {
    let start = Instant::now();
    for error in [open(file).err(), flow(file, Some("Ref:7")).err()].into_iter().flatten() {
        assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
    }
    // Some hundred milliseconds; hosts that run other things at once are slower.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn every_byte_of_a_header_at_its_limits() {
    let file = build(&Plan::sample()[1..2]);
    let second = 512 + ova(&Plan::sample()[1..2], 2).len().next_multiple_of(512);
    for start in [0, second] {
        for at in [0, 5, 99, 124, 125, 130, 135, 156, 257, 345] {
            for value in [0, 0x7f, 0x80, 0xff, b'7', b'/'] {
                let mut file = file.clone();
                file[start + at] = value;
                seal(&mut file[start..]);
                survives(&file);
            }
        }
    }
}

#[test]
fn sizes_without_bytes() {
    let plan = &Plan::sample()[1..2];
    for size in
        ["0", "1", "9223372036854775807", "9223372036854775808", "99999999999999999999999", "0x10", "1e9"]
    {
        survives(&pack(&ova(plan, 2).replace("458752", size), &blocks(&plan[0])));
    }
    // Gaps whose sum does not fit into a number.
    let mut members = vec![Member { name: "Ref:7/00000000".into(), bytes: vec![1; 512] }];
    members.push(Member { name: "Ref:7/00000000.xxhash".into(), bytes: b"0".to_vec() });
    members.push(Member { name: "Ref:7/999999999999".into(), bytes: vec![1; 512] });
    survives(&pack(&ova(plan, 2).replace("458752", "9223372036854775807"), &members));
}

#[test]
fn a_stream_says_no_before_the_target_has_a_size() {
    let plan = &Plan::sample()[1..2];
    for size in [64_u64 << 40 | 1, 1 << 48, 1 << 62] {
        let file = pack(&ova(plan, 2).replace("458752", &size.to_string()), &blocks(&plan[0]));
        for error in [stream(&file, Some("Ref:7")).err().unwrap(), open(&file).err().unwrap()] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    }
}

#[test]
fn descriptions_of_many_values() {
    let many = "<value>1</value>".repeat(600_000);
    survives(&member("ova.xml", format!("<value><array><data>{many}</data></array></value>").as_bytes()));
    survives(&member("ova.xml", "<value><struct>".repeat(500_000).as_bytes()));
    survives(&member("ova.xml", "<value>".repeat(500_000).as_bytes()));
    survives(&member("ova.xml", &[0xff; 100_000]));
    survives(&member("ova.xml", b""));
}
