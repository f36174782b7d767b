//! Cut, bent and contradictory superblocks: an answer in no time, and no place outside of the members' data.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod maker;

use driver_core::Volume;
use driver_md::{assemble, probe};
use maker::{Memory, Spec, old_device, pattern, seal};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// Opens what is there, reads it and writes it back: no superblock may change. `true` when there was an array.
fn survive(devices: &[Vec<u8>]) -> bool {
    let begun = Instant::now();
    let devices: Vec<_> = devices.iter().map(|bytes| Memory::new(bytes.clone())).collect();
    let before: Vec<_> = devices.iter().map(|device| device.bytes()).collect();
    let found = devices
        .iter()
        .filter_map(|device| Some((probe(device.as_ref()).ok()??, Arc::clone(device) as Arc<dyn Volume>)));
    let found: Vec<_> = found.collect();
    let mut used = false;
    for array in assemble(&found) {
        let Ok(content) = &array.content else { continue };
        used = true;
        assert_eq!(content.size(), array.size);
        for at in [0, content.size() / 2, content.size().saturating_sub(700)] {
            let mut buf = vec![0; 700.min((content.size() - at) as usize)];
            content.read_exact_at(at, &mut buf).unwrap();
            assert_eq!(content.write_all_at(at, &buf).is_err(), array.read_only.is_some());
        }
        assert!(content.read_exact_at(content.size(), &mut [0]).is_err());
        assert!(content.write_all_at(u64::MAX, &[0]).is_err());
    }
    for ((superblock, _), (device, before)) in found.iter().zip(devices.iter().zip(&before)) {
        let at = superblock.offset() as usize;
        if let (Some(now), Some(was)) = (device.bytes().get(at..at + 4096), before.get(at..at + 4096)) {
            assert!(now == was, "a superblock changed");
        }
    }
    assert!(begun.elapsed().as_secs() < 5, "it took {:?}", begun.elapsed());
    used
}

fn pair(version: &'static str, level: i32) -> [(Spec, Vec<u8>); 2] {
    [0, 1].map(|number| {
        let mut spec = Spec::new(version, level, 2, 512, number);
        spec.layout = if level == 10 { 0x102 } else { 0 };
        let bytes = spec.device(&pattern(512 * 512, 9)).bytes();
        (spec, bytes)
    })
}

#[test]
fn every_prefix_is_survived() {
    for version in ["1.0", "1.1", "1.2"] {
        let [(_, first), (_, second)] = pair(version, 1);
        assert!(survive(&[first.clone(), second.clone()]));
        for len in (0..first.len()).step_by(509).chain([4096, 8192]) {
            survive(&[first[..len].to_vec(), second.clone()]);
        }
    }
    let old = old_device(1, 0, &pattern(128 << 10, 1)).bytes();
    assert!(survive(std::slice::from_ref(&old)));
    for len in (0..old.len()).step_by(4001) {
        survive(&[old[..len].to_vec()]);
    }
}

#[test]
fn flipped_bits_are_noticed_by_the_checksum() {
    let [(spec, first), (_, second)] = pair("1.2", 1);
    let at = spec.place() as usize * 512;
    for byte in 0..256 + 4 {
        let mut bent = first.clone();
        bent[at + byte] ^= 1 << (byte % 8);
        // The magic, the version and its place decide whether it is a superblock at all.
        let is_other = byte < 8 || (144..152).contains(&byte);
        let found = probe(Memory::new(bent.clone()).as_ref());
        assert!(if is_other { matches!(found, Ok(None)) } else { found.is_err() }, "{byte}: {found:?}");
        survive(&[bent, second.clone()]);
    }
    let old = old_device(1, 0, &pattern(128 << 10, 1)).bytes();
    for byte in (8..4096).step_by(7) {
        let mut bent = old.clone();
        bent[(128 << 10) + byte] ^= 1;
        assert!(probe(Memory::new(bent).as_ref()).is_err(), "{byte}");
    }
}

#[test]
fn data_never_reaches_what_is_mds_own() {
    for (version, data_offset) in [("1.1", 0), ("1.1", 7), ("1.2", 0), ("1.2", 15)] {
        let spec = Spec { data_offset, ..Spec::new(version, 1, 1, 256, 0) };
        let device = Spec::new(version, 1, 1, 256, 0).device(&[]);
        let at = spec.place() * 512;
        device.write_all_at(at, &spec.superblock()).unwrap();
        assert!(!survive(&[device.bytes()]), "{version} {data_offset}");
    }
    // At the end: the data would go on into the superblock.
    let mut spec = Spec::new("1.0", 1, 1, 256, 0);
    let mut bytes = spec.device(&[]).bytes();
    (spec.size, spec.data_size) = (320, 320);
    let at = spec.place() as usize * 512;
    bytes[at..at + 4096].copy_from_slice(&spec.superblock());
    assert!(!survive(&[bytes]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Numbers of any size in any field, with a right checksum.
    #[test]
    fn resealed_superblocks_lead_nowhere_else(
        level in prop::sample::select(vec![-1, 0, 1, 10]),
        version in prop::sample::select(vec!["1.0", "1.1", "1.2"]),
        both in any::<bool>(),
        changes in prop::collection::vec(
            (
                prop_oneof![
                    prop::sample::select(vec![8usize, 72, 76, 80, 84, 88, 92, 96, 128, 132, 136, 160, 184, 186, 188, 200, 208, 220, 256]),
                    8usize..300,
                ],
                prop_oneof![0u32..20, Just(u32::MAX), Just(1 << 31), any::<u32>()],
            ),
            1..4,
        ),
    ) {
        let [(spec, mut first), (_, mut second)] = pair(version, level);
        let at = spec.place() as usize * 512;
        for device in [&mut first, &mut second].into_iter().take(if both { 2 } else { 1 }) {
            let superblock = &mut device[at..at + 4096];
            for (field, value) in &changes {
                if !(144..152).contains(field) {
                    superblock[*field..field + 4].copy_from_slice(&value.to_le_bytes());
                }
            }
            if u32::from_le_bytes(superblock[220..224].try_into().unwrap()) <= 1920 {
                seal(superblock);
            }
        }
        survive(&[first, second]);
    }
}
