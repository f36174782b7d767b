//! A base image with patches, as a storage.

use format_core::{Error, Extent, ExtentKind, Result, Storage, is_zero};
use std::path::PathBuf;
use std::sync::Arc;

/// Patches go to chunks of this many bytes that are not all zeros.
const CHUNK: usize = 64;

/// The base images of one target, read once.
pub struct Bases(Vec<Base>);

#[derive(Clone)]
struct Base {
    bytes: Arc<[u8]>,
    /// Chunks that hold something, by number.
    filled: Arc<[u32]>,
}

impl Bases {
    /// The images in the folder `base/NAME` below `REHOME_FUZZ_CORPUS`, or below `corpus` of this package.
    ///
    /// # Panics
    /// When there are none: run.sh makes them.
    #[must_use]
    pub fn load(name: &str) -> Self {
        let corpus = std::env::var_os("REHOME_FUZZ_CORPUS")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")), PathBuf::from);
        let folder = corpus.join("base").join(name);
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("no base images in {}, run.sh makes them: {e}", folder.display()));
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "no base images in {}, run.sh makes them", folder.display());
        Self(paths.iter().map(|path| Base::new(std::fs::read(path).expect("readable"))).collect())
    }
}

impl Base {
    fn new(bytes: Vec<u8>) -> Self {
        let filled = bytes
            .chunks(CHUNK)
            .enumerate()
            .filter(|(_, chunk)| !is_zero(chunk))
            .map(|(number, _)| number as u32)
            .collect();
        Self { bytes: bytes.into(), filled }
    }
}

/// A base image with patches.
#[derive(Clone)]
pub struct Patched {
    base: Base,
    len: u64,
    patches: Vec<(u64, Vec<u8>)>,
}

impl Patched {
    /// Reads an input: byte 0 chooses the base, byte 1 whether checksums are put right; then records of an operation,
    /// a place (chunk number, byte in the chunk), a length, and as many bytes.
    #[must_use]
    pub fn from_input(bases: &Bases, input: &[u8], seal: impl Fn(&mut Self)) -> Self {
        let (&[number, sealed], mut rest) = input.split_first_chunk().unwrap_or((&[0, 0], &[]));
        let base = bases.0[usize::from(number) % bases.0.len()].clone();
        let mut image = Self { len: base.bytes.len() as u64, base, patches: Vec::new() };
        while let Some((&[operation, low, high, inside, len], more)) = rest.split_first_chunk() {
            let chunk = usize::from(u16::from_le_bytes([low, high]));
            let filled = &image.base.filled;
            let Some(&chunk) = filled.get(chunk % filled.len().max(1)) else { break };
            let place = u64::from(chunk) * CHUNK as u64 + u64::from(inside) % CHUNK as u64;
            let (bytes, more) = more.split_at(more.len().min(usize::from(len) % 32));
            match operation % 16 {
                0 => image.len = image.len.min(place),
                // A whole chunk of the image, somewhere else: tables that name each other.
                1 => {
                    let mut copied = [0; CHUNK];
                    let from = bytes.first_chunk().map_or(0, |place| u16::from_le_bytes(*place));
                    let from = filled[usize::from(from) % filled.len()];
                    image.read_raw(u64::from(from) * CHUNK as u64, &mut copied);
                    image.patches.push((place, copied.to_vec()));
                }
                _ => image.patches.push((place, bytes.to_vec())),
            }
            rest = more;
        }
        if sealed % 4 != 0 {
            seal(&mut image);
        }
        image
    }

    /// Where the patches are.
    #[must_use]
    pub fn places(&self) -> Vec<u64> {
        self.patches.iter().map(|(place, _)| *place).collect()
    }

    /// Puts `bytes` at `offset`.
    pub fn patch(&mut self, offset: u64, bytes: &[u8]) {
        self.patches.push((offset, bytes.to_vec()));
    }

    /// The bytes at `offset`; zeros beyond the end.
    #[must_use]
    pub fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.read_raw(offset, &mut bytes);
        bytes
    }

    fn read_raw(&self, offset: u64, buf: &mut [u8]) {
        buf.fill(0);
        let base = &self.base.bytes;
        let from = (offset as usize).min(base.len());
        let part = &base[from..base.len().min(from + buf.len())];
        buf[..part.len()].copy_from_slice(part);
        let end = offset + buf.len() as u64;
        for (place, bytes) in &self.patches {
            let (from, to) = ((*place).max(offset), (place + bytes.len() as u64).min(end));
            if from < to {
                let source = &bytes[(from - place) as usize..(to - place) as usize];
                buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
            }
        }
    }
}

impl Storage for Patched {
    fn size(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            return Err(Error::corrupt("the file ends before that"));
        }
        self.read_raw(offset, buf);
        Ok(())
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        match self.len.checked_sub(offset) {
            None | Some(0) => Err(Error::usage("outside")),
            Some(len) => Ok(Extent { offset, len, kind: ExtentKind::Data }),
        }
    }
}
