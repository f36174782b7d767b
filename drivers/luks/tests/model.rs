//! Reads and writes of any place and length against an array of bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod tools;

use driver_core::Volume;
use driver_luks::{Unlocked, probe, unlock};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use tools::{Made, Memory};

const MIB: usize = 1 << 20;
/// Longer than what is encrypted at once.
const CONTENT: usize = 700 << 10;

fn made(sector: usize, cipher: &str) -> Made {
    let options =
        format!("--luks2-metadata-size 16k --luks2-keyslots-size 512k --offset 2048 --cipher {cipher}");
    Made::new(MIB + CONTENT, &format!("--type luks2 --sector-size {sector} --key-size 256 {options}"))
}

static VOLUMES: LazyLock<[Made; 3]> = LazyLock::new(|| {
    [made(512, "aes-xts-plain64"), made(4096, "aes-xts-plain64"), made(2048, "aes-cbc-essiv:sha256")]
});

#[derive(Clone, Debug)]
enum Step {
    Read(usize, usize),
    Write(usize, usize, u8),
}

/// Mostly a few sectors, sometimes most of the volume.
fn place() -> impl Strategy<Value = (usize, usize)> {
    let len = prop_oneof![8 => 0..9000usize, 1 => 0..CONTENT];
    (0..CONTENT, len).prop_map(|(at, len)| (at, len.min(CONTENT - at)))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        place().prop_map(|(at, len)| Step::Read(at, len)),
        (place(), any::<u8>()).prop_map(|((at, len), byte)| Step::Write(at, len, byte)),
    ];
    prop::collection::vec(step, 1..40)
}

fn open(made: &Made, bytes: Vec<u8>) -> (Arc<Memory>, Unlocked) {
    let device = Memory::new(bytes);
    let header = probe(device.as_ref()).unwrap().unwrap();
    let opened = unlock(&header, Arc::clone(&device) as Arc<dyn Volume>, &[made.passphrase(0)]);
    (device, opened.unwrap().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_is_an_array_of_bytes(which in 0..3usize, steps in steps()) {
        let made = &VOLUMES[which];
        let (device, unlocked) = open(made, made.bytes());
        let volume = unlocked.volume();
        prop_assert_eq!(volume.size() as usize, CONTENT);
        let mut model = vec![0; CONTENT];
        volume.read_exact_at(0, &mut model).unwrap();
        for step in steps {
            match step {
                Step::Read(at, len) => {
                    let mut found = vec![0; len];
                    volume.read_exact_at(at as u64, &mut found).unwrap();
                    prop_assert!(found == model[at..at + len], "{len} bytes at {at}");
                }
                Step::Write(at, len, byte) => {
                    let new: Vec<u8> = (0..len).map(|i| byte.wrapping_add((i / 3) as u8)).collect();
                    volume.write_all_at(at as u64, &new).unwrap();
                    model[at..at + len].copy_from_slice(&new);
                }
            }
        }
        // What was written is there when it is opened anew.
        let (_, again) = open(made, device.bytes());
        let mut found = vec![0; CONTENT];
        again.volume().read_exact_at(0, &mut found).unwrap();
        prop_assert!(found == model);
    }
}

#[test]
fn parts_of_a_sector_written_at_once_do_not_lose_each_other() {
    let made = &VOLUMES[1];
    let (_, unlocked) = open(made, made.bytes());
    let volume = unlocked.volume();
    std::thread::scope(|scope| {
        for part in 0..8u8 {
            let volume = &volume;
            scope.spawn(move || {
                for round in 0..200u8 {
                    let at = u64::from(part) * 512;
                    volume.write_all_at(at, &[round ^ part; 512]).unwrap();
                    let mut found = [0; 512];
                    volume.read_exact_at(at, &mut found).unwrap();
                    assert_eq!(found, [round ^ part; 512]);
                }
            });
        }
    });
}
