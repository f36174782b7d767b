//! Archives by someone who means harm: every answer comes soon, without panic and without much memory.

use crate::builder::{Hand, archive, container};
use crate::streaming::whole;
use proptest::prelude::*;
use std::time::{Duration, Instant};

#[test]
fn many_members_and_runs_are_bounded() {
    let start = Instant::now();
    let one = Hand::file("a.txt", &[]).bytes();
    let mut bytes = one.repeat(100_001);
    bytes.extend_from_slice(&[0; 1024]);
    let error = container(&bytes).err().unwrap();
    assert_eq!(error.kind(), format_core::ErrorKind::Limit, "{error}");
    // Extension blocks without an end, each with 21 empty runs.
    let mut block = vec![0; 512];
    for run in block[..504].chunks_exact_mut(24) {
        run[..12].copy_from_slice(b"00000000000\0");
        run[12..].copy_from_slice(b"00000000000\0");
    }
    block[504] = 1;
    let mut bytes = Hand::of(b'S', "disk.raw", &[]).patched(386, &block[..96]).patched(482, &[1]).bytes();
    bytes.extend(block.repeat(110_000));
    let error = container(&bytes).err().unwrap();
    assert_eq!(error.kind(), format_core::ErrorKind::Limit, "{error}");
    // Far less where the machine has nothing else to do.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn names_never_lead_anywhere() {
    for name in ["../../etc/passwd.raw", "/etc/shadow.raw", "a\u{1b}[31m.raw"] {
        let opened = container(&archive(&[Hand::file(name, &[1; 600])])).unwrap();
        assert_eq!(opened.disks().len(), 1, "a name is a name, and no file is made of it");
    }
}

#[test]
fn huge_sizes_allocate_nothing() {
    for size in ["77777777777\0", "00000000000\0", "37777777777\0"] {
        let hand = || Hand::file("disk.raw", &[1; 600]).patched(124, size.as_bytes());
        let _ = container(&archive(&[hand()]));
        let _ = whole(&archive(&[hand()]), None);
        for kind in [b'L', b'x', b'g', b'K', b'V', b'S', b'M'] {
            let mut hand = hand();
            hand.kind = kind;
            assert!(container(&archive(&[hand])).is_err(), "{size} {kind}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_field_of_a_header(at in 0usize..512, bytes in prop::collection::vec(any::<u8>(), 1..24), kind in any::<u8>()) {
        let at = at.min(512 - bytes.len());
        let mut hand = Hand::file("disk.raw", &[1; 3000]).patched(at, &bytes);
        hand.kind = kind;
        let made = archive(&[hand, Hand::file("b.raw", &[2; 600])]);
        let _ = container(&made);
        let _ = (format_tar::FORMAT.probe)(&made, &made);
        let _ = (format_tar::FORMAT.flows)(&made, None);
        if !matches!(kind, b'S') {
            let _ = whole(&made, Some("0"));
        }
    }
}
