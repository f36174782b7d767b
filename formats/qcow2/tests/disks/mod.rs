//! Disks for the tests: content that shows mistakes, and the ways in and out of an image.
#![allow(dead_code, reason = "every test binary uses its own part")]

use format_core::{
    CreateRequest, DenyAll, Details, Disk, Layer, LayerContext, MemStorage, MemTarget, Order, Packed,
    ParentImage, Result, Sink, is_zero,
};
use format_qcow2::FORMAT;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Numbers that look random and are the same in every run.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
    }
}

/// A disk of runs of zeros, text that compresses, and noise that does not, in runs of about `run` bytes.
pub fn mixed(size: usize, run: usize, seed: u64) -> Vec<u8> {
    let (mut disk, mut noise, mut at) = (vec![0; size], Noise(seed), 0);
    while at < size {
        let end = size.min(at + 1 + noise.next() as usize % (2 * run));
        match noise.next() % 3 {
            0 => {}
            1 => noise.fill(&mut disk[at..end]),
            _ => disk[at..end].iter_mut().enumerate().for_each(|(i, byte)| *byte = b'a' + (i / 7 % 20) as u8),
        }
        at = end;
    }
    disk
}

pub fn open_layer(bytes: Vec<u8>) -> Result<Box<dyn Layer>> {
    let open = FORMAT.open_layer.unwrap();
    open(Arc::new(MemStorage(bytes)), &LayerContext::new(Arc::new(DenyAll)))
}

pub fn open(bytes: Vec<u8>) -> Result<Disk> {
    Disk::new(vec![open_layer(bytes)?.into()])
}

pub fn read_all(disk: &Disk) -> Result<Vec<u8>> {
    // Not zeros: a reader that leaves a part alone must be noticed.
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

pub fn request(virtual_size: u64, options: &[(&str, &str)]) -> CreateRequest {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    CreateRequest { virtual_size, options, parent: None }
}

/// Puts `disk` into `sink` in blocks of `block` bytes as the pipeline does, from two threads where it may.
pub fn copy(disk: &[u8], block: usize, sink: &dyn Sink) -> Result<()> {
    copy_difference(None, disk, block, sink)
}

/// As [`copy`], but only the chunks that differ from the parent, which reads as zeros beyond its end.
pub fn copy_difference(parent: Option<&[u8]>, disk: &[u8], block: usize, sink: &dyn Sink) -> Result<()> {
    let needs = sink.needs();
    let chunk = needs.chunk_size as usize;
    let block = if needs.packed { chunk } else { block.next_multiple_of(chunk) };
    // Whether the chunk is the parent's, and whether it is zeros.
    let kind_of = |at: usize, part: &[u8]| {
        let same = parent.is_some_and(|parent| {
            let below = &parent[at.min(parent.len())..parent.len().min(at + part.len())];
            let (covered, beyond) = part.split_at(below.len());
            covered == below && is_zero(beyond)
        });
        (same, is_zero(part))
    };
    let copy_every = |step: usize, first: usize| -> Result<()> {
        for (index, data) in disk.chunks(block).enumerate().skip(first).step_by(step) {
            let (start, mut at) = (index * block, 0);
            while at < data.len() {
                let kind = kind_of(start + at, &data[at..data.len().min(at + chunk)]);
                let parts = data[at..].chunks(chunk).enumerate();
                let alike = |(i, part): &(usize, &[u8])| kind_of(start + at + i * chunk, part) == kind;
                let len: usize = parts.take_while(alike).map(|(_, part)| part.len()).sum();
                let (offset, part) = ((start + at) as u64, &data[at..at + len]);
                match (kind, needs.packed) {
                    ((true, _), _) => {}
                    ((_, true), _) => sink.zero_at(offset, len as u64)?,
                    (_, true) => sink.write_at(offset, sink.pack(part)?)?,
                    _ => sink.write_at(offset, Packed::Plain(part))?,
                }
                at += len;
            }
        }
        Ok(())
    };
    if needs.order == Order::Ascending {
        return copy_every(1, 0);
    }
    std::thread::scope(|scope| {
        let other = scope.spawn(|| copy_every(2, 1));
        copy_every(2, 0)?;
        other.join().unwrap()
    })
}

/// A disk of `size` bytes that is `parent` with some ranges of zeros, noise and text written over it.
pub fn edited(parent: &[u8], size: usize, edits: usize, seed: u64) -> Vec<u8> {
    let (mut disk, mut noise) = (parent.to_vec(), Noise(seed));
    disk.resize(size, 0);
    for _ in 0..edits {
        let start = noise.next() as usize % size / 512 * 512;
        let end = size.min(start + (1 + noise.next() as usize % 100) * 512);
        match noise.next() % 3 {
            0 => disk[start..end].fill(0),
            1 => noise.fill(&mut disk[start..end]),
            _ => disk[start..end].fill(b'x'),
        }
    }
    disk
}

/// A parent beside the child.
pub fn parent_image(name: &str, format: &'static str, virtual_size: u64) -> ParentImage {
    ParentImage {
        name: name.to_owned(),
        path: Path::new("/").join(name),
        format,
        virtual_size,
        identity: None,
        chunk_size: 1,
        modified: None,
        details: Details::new(),
    }
}

/// `disk` as a qcow2 image in memory.
pub fn image_of(disk: &[u8], block: usize, options: &[(&str, &str)]) -> Result<Vec<u8>> {
    let target = MemTarget::default();
    let create = FORMAT.create.unwrap();
    let sink = create(Box::new(target.clone()), &request(disk.len() as u64, options))?;
    copy(disk, block, sink.as_ref())?;
    sink.finish()?;
    Ok(target.committed_bytes().unwrap())
}

/// Runs `program` in `folder` for at most a minute; its standard output.
pub fn run(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new("timeout")
        .args(["60", program])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|e| panic!("cannot run timeout (package coreutils): {e}"));
    assert_ne!(output.status.code(), Some(127), "{program} is missing (package qemu-utils)");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}
