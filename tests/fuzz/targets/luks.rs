//! LUKS headers: whatever one says, an answer comes soon, no wrong key is taken, and nothing but content is written.
#![no_main]

use driver_core::Volume;
use driver_luks::{Passphrase, probe, unlock};
use fuzz::{Device, write_seeds};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};

/// Version 2, of which the input is the JSON area; version 1, of which it is the header. Made by run.sh with cryptsetup.
static BASES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let corpus = std::env::var("REHOME_FUZZ_CORPUS").expect("run.sh sets it");
    ["luks2", "luks1"].map(|name| std::fs::read(format!("{corpus}/base/luks/{name}")).expect("run.sh makes it"))
});
/// Bytes of a copy of version 2.
const COPY: usize = 16384;
/// Bytes before the content in both bases.
const CONTENT: [usize; 2] = [1 << 20, 2 << 20];
/// Bytes of a header of version 1.
const LUKS1: usize = 592;

/// The first copy of version 2 says what the input says; the second is as it was, or is damaged.
fn second_version(text: &[u8], damages: bool) -> Vec<u8> {
    let mut disk = BASES[0].clone();
    let area = &mut disk[4096..COPY];
    area.fill(0);
    let len = text.len().min(area.len());
    area[..len].copy_from_slice(&text[..len]);
    disk[448..512].fill(0);
    let sum = Sha256::digest(&disk[..COPY]);
    disk[448..480].copy_from_slice(&sum);
    disk[COPY + 5000] ^= u8::from(damages);
    disk
}

/// What takes longer than a fuzzer waits is not computed: numbers of this size are cut.
fn is_quick(text: &[u8]) -> bool {
    ["\"iterations\":", "\"time\":", "\"memory\":"].into_iter().all(|name| {
        let places = text.windows(name.len()).enumerate().filter(|(_, found)| *found == name.as_bytes());
        places.into_iter().all(|(at, _)| {
            let rest = text[at + name.len()..].iter().skip_while(|byte| byte.is_ascii_whitespace());
            rest.take_while(|byte| byte.is_ascii_digit()).count() < 5
        })
    })
}

fuzz_target!(
    init: write_seeds(|| {
        let text = BASES[0][4096..COPY].split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
        vec![
            ("second".into(), [&[0][..], &text].concat()),
            ("damaged".into(), [&[1][..], &text].concat()),
            ("first".into(), [&[2][..], &BASES[1][..LUKS1]].concat()),
        ]
    }),
    |input: &[u8]| {
        let Some((kind, rest)) = input.split_first() else { return };
        let which = usize::from(kind % 3 == 2);
        let disk = if which == 0 {
            if !is_quick(rest) {
                return;
            }
            second_version(rest, kind % 3 == 1)
        } else {
            let mut disk = BASES[1].clone();
            let len = rest.len().min(LUKS1);
            disk[..len].copy_from_slice(&rest[..len]);
            // The high halves of the numbers of iterations.
            disk[164..166].fill(0);
            (0..8).for_each(|slot| disk[212 + slot * 48..214 + slot * 48].fill(0));
            disk
        };
        let metadata = if which == 0 { COPY * 2 } else { LUKS1 };
        let device = Arc::new(Device::new(disk, vec![0..metadata]));
        let Ok(Some(header)) = probe(device.as_ref()) else { return };
        let _ = header.describe();
        let passphrase = Passphrase::from_text(b"fuzz".to_vec()).expect("a short one");
        let volume = Arc::clone(&device) as Arc<dyn Volume>;
        if let Ok(Some(unlocked)) = unlock(&header, volume, &[passphrase]) {
            let mapping = unlocked.mapping("fuzz");
            let content = unlocked.volume();
            assert_eq!(mapping.sectors() * 512, content.size());
            assert!(content.size() <= device.size() - (CONTENT[which].min(metadata) as u64));
            fuzz::walk_volume(content.as_ref(), content.size(), false);
        }
    }
);
