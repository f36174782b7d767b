//! What is recognised and not opened here, and what only looks like something.

use super::disk::{Disk, MIB, crc32c, put_le};
use super::{case, inspect, inspect_json, ls, plan};
use crate::{Case, Run};

/// A volume of 8 MiB with these bytes at a place.
fn volume(parts: &[(u64, &[u8])]) -> Disk {
    parts.iter().fold(Disk::empty(8 * MIB), |disk, (at, bytes)| disk.put(*at, bytes)).in_partition(0x83)
}

fn runs() -> Vec<Run> {
    vec![inspect(&[0]), inspect_json(&[0]), plan("kvm", &[78]), ls("/", &[2, 65, 69, 78])]
}

/// The superblock of a btrfs, with everything else at its extremes.
fn btrfs(fill: u8) -> Vec<u8> {
    let mut bytes = vec![fill; 4096];
    put_le(&mut bytes, 48, 8, 0x1_0000);
    bytes[64..72].copy_from_slice(b"_BHRfS_M");
    bytes[0x12b..0x12b + 14].copy_from_slice(b"\x1b[2J\x1b]0;x\x07\n\r\xff\x00");
    let sum = !crc32c(!0, &bytes[32..]);
    put_le(&mut bytes, 0, 4, u64::from(sum));
    bytes
}

pub(super) fn cases() -> Vec<Case> {
    let (zeros, ones) = (btrfs(0), btrfs(0xff));
    let swap = [&[1, 0, 0, 0][..], &[0xff; 24], b"\x1b[2J\x1b]0;x\x07\xff"].concat();
    let bitlocker = [&b"\xeb\x58\x90-FVE-FS-"[..], &[0xff; 501]].concat();
    let iso = [&b"\x01CD001\x01\x00"[..], &[0x1b; 2000]].concat();
    let signatures: [(&str, &str, Disk); 12] = [
        ("btrfs-zeros", "a btrfs of zeros", volume(&[(0x1_0000, &zeros)])),
        ("btrfs-ones", "a btrfs whose fields are all at their end", volume(&[(0x1_0000, &ones)])),
        (
            "swap",
            "swap space with a label that steers the terminal",
            volume(&[(1024, &swap), (4086, b"SWAPSPACE2")]),
        ),
        ("suspended", "a suspended machine in the swap space", volume(&[(4086, b"S1SUSPEND\0")])),
        ("bitlocker", "a BitLocker volume of noise", volume(&[(0, &bitlocker)])),
        ("f2fs", "an f2fs", volume(&[(1024, &[0x10, 0x20, 0xf5, 0xf2, 0xff, 0xff, 0xff])])),
        ("reiserfs", "a ReiserFS", volume(&[(0x1_0034, b"ReIsEr2Fs\xff\xff")])),
        ("jfs", "a JFS", volume(&[(0x8000, b"JFS1\xff\xff\xff\xff")])),
        ("zfs", "a ZFS", volume(&[(0x2_0000, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0])])),
        ("squashfs", "a squashfs", volume(&[(0, b"hsqs\xff\xff\xff\xff\xff\xff\xff\xff")])),
        ("iso", "a disc", volume(&[(0x8000, &iso)])),
        ("vmfs", "a VMFS", volume(&[(0x10_0000, &[0x0d, 0xd0, 0x01, 0xc0, 0xff])])),
    ];
    let mut cases: Vec<Case> = signatures
        .into_iter()
        .map(|(name, about, disk)| case(&format!("others/{name}"), about, disk, runs()))
        .collect();
    let all = volume(&[
        (0, b"hsqs"),
        (1024 + 56, b"\x53\xef"),
        (0x8000, b"JFS1"),
        (0x1_0034, b"ReIsEr2Fs"),
        (0x1_0000, &zeros),
        (4086, b"SWAPSPACE2"),
    ]);
    cases.push(case("others/all-signatures", "everything at once", all, runs()));
    for (name, byte) in [("ones", 0xff), ("escapes", 0x1b), ("text", b'A')] {
        let noise = Disk::empty(2 * MIB).put(0, &vec![byte; 1 << 20]);
        cases.push(case(&format!("others/noise-{name}"), "a disk of one byte", noise.clone(), runs()));
        cases.push(case(
            &format!("others/volume-{name}"),
            "a volume of one byte",
            noise.in_partition(7),
            runs(),
        ));
    }
    cases
}
