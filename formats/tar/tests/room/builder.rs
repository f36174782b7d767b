//! Archives by other programs and by hand, and the formats around and inside of them.

use format_core::{
    Container, DenyAll, Disk, Error, Extent, Format, Layer, LayerContext, MemStorage, OpenOptions,
    OpenedImage, Origin, Result, Score, Storage, open_image, open_images,
};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Raw disks and gzip, as far as these tests need them: rooms do not see each other.
static RAW: Format = Format {
    name: "raw",
    extensions: &["raw", "img", "dd"],
    probe: |_, _| Score::Possible,
    open_layer: Some(|storage, _| Ok(Box::new(Raw(storage)))),
    ..Format::NONE
};
static GZIP: Format = Format {
    name: "gzip",
    extensions: &["gz", "tgz"],
    probe: |head, _| if head.starts_with(&[0x1f, 0x8b]) { Score::Magic } else { Score::No },
    unpack: Some(|reader, _| Ok(Box::new(flate2::read::MultiGzDecoder::new(reader)))),
    ..Format::NONE
};
/// An image that is no raw disk.
static OTHER: Format = Format {
    name: "other",
    extensions: &["other"],
    probe: |head, _| if head.starts_with(b"OTHER") { Score::Magic } else { Score::No },
    open_layer: Some(|storage, _| Ok(Box::new(Raw(storage)))),
    ..Format::NONE
};
pub(crate) static FORMATS: &[&Format] = &[&RAW, &GZIP, &OTHER, &format_tar::FORMAT, &format_tar::GCP];

struct Raw(Arc<dyn Storage>);

impl Layer for Raw {
    fn format(&self) -> &'static str {
        "raw"
    }
    fn virtual_size(&self) -> u64 {
        self.0.size()
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.0.data_at(offset)
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(offset, buf)
    }
}

/// A disk with data at both ends, a long hole, many small ones, and an odd size where it is wanted.
pub(crate) fn disk(size: usize) -> Vec<u8> {
    let mut disk = vec![0; size];
    let mut state = 0x1234_5678_u32;
    let mut fill = |disk: &mut [u8]| {
        for byte in disk {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8 | 1;
        }
    };
    fill(&mut disk[..5000]);
    for at in (1 << 20..3 << 20).step_by(128 << 10) {
        fill(&mut disk[at..at + 4096]);
    }
    fill(&mut disk[size - 700..]);
    disk
}

/// Writes `bytes` with holes, as programs find them.
pub(crate) fn write_sparse(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (number, piece) in bytes.chunks(4096).enumerate() {
        if !format_core::is_zero(piece) {
            file.write_all_at(piece, number as u64 * 4096).unwrap();
        }
    }
}

/// Runs a program, which has to be there and to succeed.
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output =
        output.unwrap_or_else(|e| panic!("{program} is missing ({e}): install it, see tests/packages.sh"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    output.stdout
}

/// Runs a program that reads `input`.
pub(crate) fn feed(folder: &Path, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program} is missing ({e}): install it, see tests/packages.sh"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

pub(crate) fn options(format: Option<&'static Format>) -> OpenOptions {
    OpenOptions::new(FORMATS, format)
}

pub(crate) fn open(path: &Path) -> Result<OpenedImage> {
    open_image(path, &options(None))
}

pub(crate) fn open_all(path: &Path) -> Result<Vec<OpenedImage>> {
    open_images(path, &options(None))
}

pub(crate) fn bytes_of(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![7; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn stored(disk: &Disk) -> u64 {
    let data = disk.extents(0, disk.virtual_size()).map(Result::unwrap);
    data.filter(|extent| extent.kind == format_core::ExtentKind::Data).map(|extent| extent.len).sum()
}

/// Opens an archive in memory as the room sees it.
pub(crate) fn container(bytes: &[u8]) -> Result<Box<dyn Container>> {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage(bytes.to_vec()));
    (format_tar::FORMAT.open_container.unwrap())(Origin::File(storage), &LayerContext::new(Arc::new(DenyAll)))
}

pub(crate) fn refused(bytes: &[u8]) -> Error {
    match container(bytes) {
        Ok(_) => panic!("the archive was opened"),
        Err(error) => error,
    }
}

/// A header and its data, by hand.
pub(crate) struct Hand {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) size: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) patches: Vec<(usize, Vec<u8>)>,
}

impl Hand {
    pub(crate) fn file(name: &str, data: &[u8]) -> Self {
        Self::of(b'0', name, data)
    }

    pub(crate) fn of(kind: u8, name: &str, data: &[u8]) -> Self {
        let size = format!("{:011o}\0", data.len()).into_bytes();
        Self { name: name.as_bytes().to_vec(), kind, size, data: data.to_vec(), patches: Vec::new() }
    }

    pub(crate) fn patched(mut self, at: usize, bytes: &[u8]) -> Self {
        self.patches.push((at, bytes.to_vec()));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0; 512];
        block[..self.name.len()].copy_from_slice(&self.name);
        block[124..124 + self.size.len()].copy_from_slice(&self.size);
        block[156] = self.kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        for (at, bytes) in &self.patches {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.extend_from_slice(&self.data);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    }
}

pub(crate) fn archive(members: &[Hand]) -> Vec<u8> {
    let mut bytes: Vec<u8> = members.iter().flat_map(Hand::bytes).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Pax records.
pub(crate) fn pax(records: &[(&str, &str)]) -> Hand {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let body = key.len() + value.len() + 3;
        let len = (1..).find(|digits| (body + digits).to_string().len() == *digits).unwrap() + body;
        bytes.extend_from_slice(format!("{len} {key}={value}\n").as_bytes());
    }
    Hand::of(b'x', "PaxHeaders/x", &bytes)
}
