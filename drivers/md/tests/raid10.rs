//! Level 10 as a Linux kernel lays it out: `judged/layouts.txt` was read off arrays that the kernel's own driver filled.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod maker;

use driver_core::Volume;
use driver_md::{Array, assemble, probe};
use maker::{Memory, Spec, pattern};
use std::sync::Arc;

const CHUNK: usize = 16 << 10;

/// One array: what each chunk of each member holds.
struct Judged {
    name: &'static str,
    layout: u32,
    chunks: usize,
    members: Vec<Vec<Option<usize>>>,
}

fn judged() -> Vec<Judged> {
    let mut found: Vec<Judged> = Vec::new();
    for line in include_str!("judged/layouts.txt").lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["array", name, layout, _, chunks] = words[..] {
            let layout = u32::from_str_radix(layout.trim_start_matches("0x"), 16).unwrap();
            found.push(Judged { name, layout, chunks: chunks.parse().unwrap(), members: Vec::new() });
        } else {
            let row = words.iter().map(|word| (*word != "-").then(|| word.parse().unwrap()));
            found.last_mut().unwrap().members.push(row.collect());
        }
    }
    assert!(found.len() > 50);
    found
}

impl Judged {
    /// The members with `content` where the kernel put it.
    fn devices(&self, content: &[u8]) -> Vec<Arc<Memory>> {
        let count = self.members.len() as u32;
        let device = |(number, row): (u32, &Vec<Option<usize>>)| {
            let mut data = vec![0x5a; row.len() * CHUNK];
            for (place, chunk) in data.chunks_mut(CHUNK).zip(row) {
                if let Some(chunk) = chunk {
                    place.copy_from_slice(&content[chunk * CHUNK..][..CHUNK]);
                }
            }
            let mut spec = Spec::new("1.2", 10, count, (data.len() / 512) as u64, number);
            (spec.layout, spec.chunk) = (self.layout, (CHUNK / 512) as u32);
            // Some sectors more than whole chunks.
            (spec.size, spec.data_size, spec.device) = (spec.size + 8, spec.data_size + 8, spec.device + 8);
            spec.device(&data)
        };
        (0..count).zip(&self.members).map(device).collect()
    }

    /// Whether every chunk is on one of the members that are left.
    fn lives_without(&self, gone: &[usize]) -> bool {
        let has = |chunk: usize| {
            let left = self.members.iter().enumerate().filter(|(number, _)| !gone.contains(number));
            left.flat_map(|(_, row)| row).any(|held| *held == Some(chunk))
        };
        (0..self.chunks).all(has)
    }
}

fn assembled(devices: &[Arc<Memory>]) -> Array {
    let members: Vec<_> = devices
        .iter()
        .map(|device| (probe(device.as_ref()).unwrap().unwrap(), Arc::clone(device) as Arc<dyn Volume>))
        .collect();
    assemble(&members).remove(0)
}

fn read(array: &Array) -> Vec<u8> {
    let content = array.content.as_ref().unwrap();
    let mut bytes = vec![0; content.size() as usize];
    content.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn chunks_are_read_where_the_kernel_put_them() {
    for judged in judged() {
        let content = pattern(judged.chunks * CHUNK, u64::from(judged.layout));
        let array = assembled(&judged.devices(&content));
        assert!(read(&array) == content, "{}", judged.name);
        assert!(array.warnings.is_empty(), "{}: {:?}", judged.name, array.warnings);
    }
}

#[test]
fn a_write_reaches_every_copy_that_the_kernel_would_write() {
    for judged in judged() {
        let mut content = pattern(judged.chunks * CHUNK, 7);
        let devices = judged.devices(&content);
        let array = assembled(&devices);
        let volume = array.content.as_ref().unwrap();
        for (at, len) in [(3, 9), (CHUNK - 5, 3 * CHUNK), (content.len() - CHUNK - 1, CHUNK + 1)] {
            let bytes = pattern(len, at as u64);
            volume.write_all_at(at as u64, &bytes).unwrap();
            content[at..at + len].copy_from_slice(&bytes);
        }
        for (number, (found, wanted)) in devices.iter().zip(judged.devices(&content)).enumerate() {
            assert!(found.bytes() == wanted.bytes(), "{}, member {number}", judged.name);
        }
    }
}

#[test]
fn it_lives_as_long_as_every_chunk_has_a_copy() {
    for judged in judged() {
        let content = pattern(judged.chunks * CHUNK, 8);
        let devices = judged.devices(&content);
        let count = devices.len();
        for (a, b) in (0..count).flat_map(|a| (a..count).map(move |b| (a, b))) {
            let left: Vec<_> =
                (0..count).filter(|i| *i != a && *i != b).map(|i| Arc::clone(&devices[i])).collect();
            if left.is_empty() {
                continue;
            }
            let (array, lives) = (assembled(&left), judged.lives_without(&[a, b]));
            assert_eq!(array.content.is_ok(), lives, "{} without {a}, {b}", judged.name);
            assert!(!lives || read(&array) == content, "{} without {a}, {b}", judged.name);
        }
    }
}
