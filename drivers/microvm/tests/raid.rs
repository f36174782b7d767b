//! A RAID 5 array that is written through the kernel's driver. Needs root, qemu and a kernel.
//!
//! This machine has no md driver: the members are made here, and mdadm and e2fsck judge what comes of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use driver_core::{GuestFs, Ownership};
use driver_microvm::{Host, Wanted};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use support::{image, run, serve, start, text};

const MEMBERS: usize = 3;
const CHUNK: usize = 64 << 10;
const STRIPES: usize = 400;
/// Where data begins in a member, in bytes.
const DATA: u64 = 1 << 20;

/// Where the chunk `number` of the array is: left-symmetric, the default (`raid5_compute_sector`).
fn place(number: usize) -> (usize, u64) {
    let (stripe, within) = (number / (MEMBERS - 1), number % (MEMBERS - 1));
    let parity = MEMBERS - 1 - stripe % MEMBERS;
    ((parity + 1 + within) % MEMBERS, DATA + (stripe * CHUNK) as u64)
}

/// `struct mdp_superblock_1` (`linux/raid/md_p.h`) of a member whose array was not synchronised when it was stopped.
fn superblock(member: usize) -> Vec<u8> {
    let mut sb = vec![0; 256 + 2 * MEMBERS];
    let mut put = |at: usize, bytes: &[u8]| sb[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &0xa92b_4efc_u32.to_le_bytes());
    put(4, &1_u32.to_le_bytes());
    put(16, &[0x5a; 16]);
    put(32, b"guest:data");
    put(64, &1_700_000_000_u64.to_le_bytes());
    put(72, &5_u32.to_le_bytes());
    put(76, &2_u32.to_le_bytes());
    put(80, &((STRIPES * CHUNK / 512) as u64).to_le_bytes());
    put(88, &((CHUNK / 512) as u32).to_le_bytes());
    put(92, &(MEMBERS as u32).to_le_bytes());
    put(128, &(DATA / 512).to_le_bytes());
    put(136, &((STRIPES * CHUNK / 512) as u64).to_le_bytes());
    put(144, &8_u64.to_le_bytes());
    put(160, &(member as u32).to_le_bytes());
    put(168, &[member as u8 + 1; 16]);
    put(192, &1_700_000_000_u64.to_le_bytes());
    put(200, &10_u64.to_le_bytes());
    put(208, &0_u64.to_le_bytes());
    put(220, &(MEMBERS as u32).to_le_bytes());
    for role in 0..MEMBERS {
        put(256 + 2 * role, &(role as u16).to_le_bytes());
    }
    let mut sum: u64 =
        sb.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap()))).sum();
    sum += sb.chunks_exact(4).remainder().iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let sum = (sum as u32).wrapping_add((sum >> 32) as u32);
    sb[216..220].copy_from_slice(&sum.to_le_bytes());
    sb
}

fn make_members(folder: &Path, content: &[u8]) -> Vec<PathBuf> {
    let size = (DATA as usize + STRIPES * CHUNK) as u64;
    let members: Vec<_> =
        (0..MEMBERS).map(|number| image(folder, &format!("m{number}"), size.div_ceil(1 << 20))).collect();
    let files: Vec<_> = members.iter().map(|path| File::options().write(true).open(path).unwrap()).collect();
    for (number, chunk) in content.chunks(CHUNK).enumerate() {
        let (member, at) = place(number);
        files[member].write_all_at(chunk, at).unwrap();
    }
    for (stripe, chunks) in content.chunks(CHUNK * (MEMBERS - 1)).enumerate() {
        let (a, b) = chunks.split_at(CHUNK);
        let parity: Vec<u8> = a.iter().zip(b).map(|(a, b)| a ^ b).collect();
        let at = DATA + (stripe * CHUNK) as u64;
        files[MEMBERS - 1 - stripe % MEMBERS].write_all_at(&parity, at).unwrap();
    }
    for (number, file) in files.iter().enumerate() {
        file.write_all_at(&superblock(number), 4096).unwrap();
    }
    members
}

#[test]
fn an_array_with_parity_is_written_and_not_synchronised() {
    let folder = tempfile::tempdir().unwrap();
    let plain = image(folder.path(), "plain", (((MEMBERS - 1) * STRIPES * CHUNK) as u64) >> 20);
    run("mkfs.ext4", &["-q", text(&plain)]);
    let content = fs::read(&plain).unwrap();
    let members = make_members(folder.path(), &content);
    // Nobody will write to the last stripe: what a synchronisation would put right there stays wrong.
    let last = DATA + ((STRIPES - 1) * CHUNK) as u64;
    let wrong = vec![0x77; CHUNK];
    let parity = MEMBERS - 1 - (STRIPES - 1) % MEMBERS;
    File::options().write(true).open(&members[parity]).unwrap().write_all_at(&wrong, last).unwrap();
    let examined = run("mdadm", &["--examine", text(&members[1])]);
    assert!(examined.contains("correct") && examined.contains("raid5"), "{examined}");

    let paths: Vec<&Path> = members.iter().map(PathBuf::as_path).collect();
    let served = serve(folder.path(), "s", &paths);
    // Here it is found out whether KVM works.
    let vm = start(&Host::find(&Wanted::default()).unwrap(), &served);
    let size = members[0].metadata().unwrap().len();
    let devices: Vec<_> = (0..MEMBERS).map(|number| vm.part(number, 0, size).unwrap()).collect();
    let array = vm.assemble("data", &devices).unwrap();
    assert_eq!(array.size, content.len() as u64);
    let mut fs = vm.mount(&array, "ext4", "").unwrap();
    let file: Vec<u8> = (0..3_000_000_u32).map(|n| ((n * 7) >> 3) as u8).collect();
    fs.create_file("/new", &file, Ownership::ROOT_FILE).unwrap();
    vm.stop().unwrap();
    drop(served);

    let mut after = vec![0; content.len()];
    let files: Vec<_> = members.iter().map(|path| File::open(path).unwrap()).collect();
    for (number, chunk) in after.chunks_mut(CHUNK).enumerate() {
        let (member, at) = place(number);
        files[member].read_exact_at(chunk, at).unwrap();
    }
    fs::write(&plain, &after).unwrap();
    run("e2fsck", &["-fn", text(&plain)]);
    support::mounted(&plain, "ro", |root| assert!(fs::read(root.join("new")).unwrap() == file));
    let mut found = vec![0; CHUNK];
    files[parity].read_exact_at(&mut found, last).unwrap();
    assert!(found == wrong, "the last stripe was synchronised");
    parities(&files);
    for member in &members {
        let examined = run("mdadm", &["--examine", text(member)]);
        assert!(examined.contains("State : ") && examined.contains("- correct"), "{examined}");
        assert!(examined.contains("Array State : AAA"), "{examined}");
    }
}

/// Parity is right wherever it was right before.
fn parities(files: &[File]) {
    for stripe in 0..STRIPES - 1 {
        let mut sum = vec![0_u8; CHUNK];
        for file in files {
            let mut chunk = vec![0; CHUNK];
            file.read_exact_at(&mut chunk, DATA + (stripe * CHUNK) as u64).unwrap();
            sum.iter_mut().zip(chunk).for_each(|(sum, byte)| *sum ^= byte);
        }
        assert!(sum.iter().all(|byte| *byte == 0), "parity of stripe {stripe}");
    }
}
