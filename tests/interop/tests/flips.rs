//! Prefixes and flipped bits of small images: an error, or a disk whose reads end. Soon, and in little memory.
//!
//! The first 4 KiB are flipped bit by bit, and so are the tables behind them, but for the middles of long runs of zeros,
//! which are all alike. An image is cut at every byte of its first and last 4 KiB, and at every 256th between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use cap::Cap;
use conformance::{Content, qemu_name};
use format_core::{DenyAll, Disk, ExtentKind, Format, Layer, LayerContext, Result, Storage};
use interop::{format_named, qemu_img};
use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Counts all that this test's process allocates, and refuses more than its limit.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const MEMORY_LIMIT: usize = 256 << 20;
const TIME_LIMIT: Duration = Duration::from_secs(1);
const HEAD: usize = 4096;
/// Zeros this far inside a run of them are not flipped.
const EDGE: usize = 16;
/// More extents than a small disk can have.
const EXTENTS: usize = 20_000;

/// An image with one bit flipped or its end cut off, without a copy of it.
struct Changed {
    image: Arc<[u8]>,
    len: usize,
    flipped: Option<(usize, u8)>,
}

impl Storage for Changed {
    fn size(&self) -> u64 {
        self.len as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let place =
            usize::try_from(offset).ok().and_then(|start| Some((start, start.checked_add(buf.len())?)));
        let Some((start, end)) = place.filter(|(_, end)| *end <= self.len) else {
            return Err(format_core::Error::corrupt(format!("{:#x} bytes wanted at {offset:#x}", buf.len())));
        };
        buf.copy_from_slice(&self.image[start..end]);
        if let Some((at, mask)) = self.flipped.filter(|(at, _)| (start..end).contains(at)) {
            buf[at - start] ^= mask;
        }
        Ok(())
    }
}

fn open(format: &Format, changed: Changed) -> Result<Arc<dyn Layer>> {
    let context = LayerContext::new(Arc::new(DenyAll));
    format.open_layer.unwrap()(Arc::new(changed), &context).map(Arc::from)
}

/// Opens and reads as long as there is no error.
fn read_all(format: &Format, changed: Changed, buf: &mut [u8]) {
    let Ok(layer) = open(format, changed) else { return };
    let disk = Disk::new(vec![layer]).unwrap();
    for extent in disk.extents(0, disk.virtual_size()).take(EXTENTS) {
        let Ok(extent) = extent else { return };
        if extent.kind == ExtentKind::Data {
            let len = extent.len.min(buf.len() as u64) as usize;
            // An error in the data does not keep anyone from the rest.
            let _ = disk.read_exact_at(extent.offset, &mut buf[..len]);
        }
    }
    let size = disk.virtual_size();
    let last = size.min(4096);
    let _ = disk.read_exact_at(size - last, &mut buf[..last as usize]);
}

/// The places of the file that hold no plain data of the disk.
fn is_table(format: &Format, image: &Arc<[u8]>) -> Vec<bool> {
    let whole = Changed { image: Arc::clone(image), len: image.len(), flipped: None };
    let disk = Disk::new(vec![open(format, whole).unwrap()]).unwrap();
    let mut table = vec![true; image.len()];
    let mut at = 0;
    while at < disk.virtual_size() {
        let found = disk.map_at(at).unwrap();
        if let Some(host) = found.host_offset {
            let end = (host + found.len).min(image.len() as u64) as usize;
            table[host as usize..end].fill(false);
        }
        at += found.len;
    }
    for run in zero_runs(image) {
        if run.len() > 2 * EDGE {
            table[run.start + EDGE..run.end - EDGE].fill(false);
        }
    }
    table[..HEAD.min(image.len())].fill(true);
    table
}

fn zero_runs(image: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in image.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// Tries all changes of one image on two threads.
fn try_all(format: &'static Format, name: &str, image: Vec<u8>) {
    let image: Arc<[u8]> = image.into();
    let places: Vec<usize> =
        is_table(format, &image).iter().enumerate().filter(|(_, table)| **table).map(|(at, _)| at).collect();
    let flips = places.len() * 8;
    let cuts: Vec<usize> =
        (0..image.len()).filter(|at| *at < HEAD || at + HEAD > image.len() || at % 256 == 0).collect();
    let total = flips + cuts.len();
    let next = AtomicUsize::new(0);
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + MEMORY_LIMIT).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut buf = vec![0; 64 << 10];
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    let changed = || {
                        let image = Arc::clone(&image);
                        match number.checked_sub(flips) {
                            None => {
                                let flipped = Some((places[number / 8], 1 << (number % 8)));
                                Changed { len: image.len(), image, flipped }
                            }
                            Some(cut) => Changed { image, len: cuts[cut], flipped: None },
                        }
                    };
                    let what = || match number.checked_sub(flips) {
                        None => format!("bit {} of byte {:#x} flipped", number % 8, places[number / 8]),
                        Some(cut) => format!("cut at {:#x}", cuts[cut]),
                    };
                    let mut took = Duration::MAX;
                    // A busy machine is slow once, a loop always.
                    for _ in 0..2 {
                        let started = Instant::now();
                        read_all(format, changed(), &mut buf);
                        took = took.min(started.elapsed());
                        if took < TIME_LIMIT {
                            break;
                        }
                    }
                    assert!(took < TIME_LIMIT, "{name}, {}: {took:?}", what());
                }
            });
        }
    });
    println!("{name}: {flips} flipped bits, {} prefixes", cuts.len());
}

/// Images of qemu-img with these options.
fn check(format: &str, options: &[&str]) {
    let format = format_named(format).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    for option in options {
        // Compressed data count as tables: every bit of them can send the decoder anywhere.
        let is_packed = option.starts_with("-c") || option.contains("streamOptimized");
        let (size, run) = if is_packed { (40 << 10, 300) } else { (192 << 10, 9_000) };
        std::fs::write(&raw, Content::mixed(size, run, 61).bytes).unwrap();
        let made = folder.path().join("made");
        let (from, to) = (raw.to_str().unwrap(), made.to_str().unwrap());
        let mut args = vec!["convert", "-f", "raw", "-O", qemu_name(format)];
        match option.strip_prefix("-c ") {
            Some(option) => args.extend(["-c", "-o", option]),
            None => args.extend(["-o", *option]),
        }
        args.retain(|arg| !arg.is_empty());
        if args.last() == Some(&"-o") {
            args.pop();
        }
        args.extend([from, to]);
        qemu_img(&args);
        try_all(format, &format!("{} {option}", format.name), std::fs::read(&made).unwrap());
    }
}

#[test]
fn qcow2() {
    check(
        "qcow2",
        &[
            "cluster_size=512",
            "compat=0.10,cluster_size=1k",
            "extended_l2=on,cluster_size=16k",
            "-c cluster_size=4k",
        ],
    );
    check("qcow2", &["-c compression_type=zstd,cluster_size=4k", "refcount_bits=1,cluster_size=512"]);
}

#[test]
fn vmdk() {
    check("vmdk", &["subformat=monolithicSparse,zeroed_grain=on", "subformat=streamOptimized"]);
}

#[test]
fn vhdx() {
    check("vhdx", &["block_size=1M"]);
}

#[test]
fn vhd() {
    check("vhd", &["subformat=dynamic,force_size=on", "subformat=fixed,force_size=on"]);
}

#[test]
fn vdi() {
    check("vdi", &["", "static=on"]);
}

#[test]
fn qed_qcow1_and_parallels() {
    check("qed", &["cluster_size=4k,table_size=2"]);
    check("qcow1", &[""]);
    check("parallels", &["cluster_size=64k"]);
}
