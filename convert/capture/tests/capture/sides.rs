//! A source's side that is honest, and sides that are not.

use convert_capture::{FarSide, Hello, Side, serve_session};
use format_core::{
    DenyAll, Disk, Error, ErrorKind, Extent, ExtentKind, HashLevel, Layer, RangeSet, Remote, Result,
    UNREADABLE,
};
use std::io::{BufReader, Cursor};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// A disk of noise; one leaf of it cannot be read.
struct Noise {
    size: u64,
    bad: Option<u64>,
}

const LEAF: u64 = 64 << 10;

fn byte(at: u64) -> u8 {
    (at / 512 % 251) as u8 ^ (at % 7) as u8
}

impl Layer for Noise {
    fn format(&self) -> &'static str {
        "noise"
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        LEAF
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent { offset, len: self.size - offset, kind: ExtentKind::Data })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if self.bad.is_some_and(|leaf| offset < (leaf + 1) * LEAF && offset + buf.len() as u64 > leaf * LEAF)
        {
            return Err(Error::io("read", std::io::Error::from_raw_os_error(5)));
        }
        (offset..).zip(buf).for_each(|(at, place)| *place = byte(at));
        Ok(())
    }
}

fn disk(size: u64, bad: Option<u64>) -> Disk {
    let _ = DenyAll;
    Disk::new(vec![Arc::new(Noise { size, bad })]).unwrap()
}

fn hello(size: u64) -> Hello {
    Hello {
        rehome_session: 1,
        program: "test".into(),
        size,
        identity: "it".into(),
        notes: vec!["a note".into()],
        compresses: true,
    }
}

/// A real session in a thread.
fn session(disk: Disk, free: RangeSet) -> FarSide {
    let (near, far) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let look = |_: &Disk| Ok(free.clone());
        let input = BufReader::new(far.try_clone().unwrap());
        let _ = serve_session(&disk, &look, &hello(disk.virtual_size()), input, far);
    });
    FarSide::over(Box::new(near.try_clone().unwrap()), Box::new(near), true).unwrap()
}

fn all(side: &FarSide, level: HashLevel, pieces: std::ops::Range<u64>) -> Result<Vec<[u8; 32]>> {
    let mut found = Vec::new();
    side.hashes(level, std::slice::from_ref(&pieces), &mut |_, hash| {
        found.push(hash);
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn hashes_are_those_of_the_digest_and_free_is_zeros() {
    let size = 9 * (1 << 20) + 4096;
    let side = session(disk(size, None), RangeSet::default());
    assert_eq!((side.hello().notes.len(), side.identity().as_deref()), (1, Some("it")));
    let bytes: Vec<u8> = (0..size).map(byte).collect();
    let blocks = all(&side, HashLevel::Block, 0..3).unwrap();
    let wanted: Vec<_> =
        bytes.chunks(4 << 20).map(|block| *convert_engine::block_hash(block).as_bytes()).collect();
    assert_eq!(blocks, wanted);
    let leaves = all(&side, HashLevel::Leaf, 143..145).unwrap();
    let wanted: Vec<_> =
        bytes.chunks(LEAF as usize).skip(143).map(|leaf| *blake3::hash(leaf).as_bytes()).collect();
    assert_eq!(leaves, wanted);
    assert_eq!(all(&side, HashLevel::Block, 2..4).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(
        all(&side, HashLevel::Block, 0..1).unwrap().len(),
        1,
        "an error of the other side does not end it"
    );
    let mut free = RangeSet::default();
    free.add(LEAF, 2 * LEAF);
    let side = session(disk(size, Some(100)), free.clone());
    assert_eq!(side.free().unwrap(), free);
    let leaves = all(&side, HashLevel::Leaf, 0..4).unwrap();
    let zeros = *blake3::hash(&[0; LEAF as usize]).as_bytes();
    assert!(leaves[0] != zeros && leaves[1] == zeros && leaves[2] == zeros && leaves[3] != zeros);
    assert_eq!(all(&side, HashLevel::Leaf, 100..101).unwrap(), [UNREADABLE]);
    assert_eq!(all(&side, HashLevel::Block, 1..2).unwrap(), [UNREADABLE]);
}

/// What a side says after its greeting, and what comes of it.
fn says(answer: &[u8]) -> FarSide {
    let mut bytes = serde_json::to_vec(&hello(1 << 30)).unwrap();
    bytes.push(b'\n');
    bytes.extend(answer);
    FarSide::over(Box::new(Cursor::new(bytes)), Box::new(std::io::sink()), true).unwrap()
}

fn frame(kind: u8, numbers: &[u64], rest: &[u8]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    std::iter::once(kind).chain(numbers).chain(rest.iter().copied()).collect()
}

#[test]
fn sides_that_lie_are_caught() {
    let hash = |number: u64| frame(b'h', &[number], &[7; 32]);
    for (what, answer) in [
        ("another number", [hash(1), vec![b'.']].concat()),
        ("too few", vec![b'.']),
        ("too many", [hash(0), hash(1), vec![b'.']].concat()),
        ("nothing", vec![]),
        ("half a frame", hash(0)[..20].to_vec()),
        ("an unknown frame", vec![b'?']),
        ("free ranges", frame(b'r', &[0, LEAF], &[])),
        ("a failure without a text", [&[b'e', 255, 255][..], &[b'x'; 65_535]].concat()),
        ("half a failure", vec![b'e', 200, 0, b'{']),
    ] {
        assert!(all(&says(&answer), HashLevel::Block, 0..1).is_err(), "{what}");
    }
    for (what, ranges) in [
        ("outside", vec![((1 << 30) - 10, 20)]),
        ("empty", vec![(0, 0)]),
        ("overlapping", vec![(0, 20), (10, 20)]),
        ("backwards", vec![(100, 20), (10, 20)]),
        ("beyond 64 bits", vec![(u64::MAX, 2)]),
    ] {
        let frames: Vec<u8> = ranges.iter().flat_map(|(at, len)| frame(b'r', &[*at, *len], &[])).collect();
        let error = says(&[frames, vec![b'.']].concat()).free().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}");
    }
    let error = br#"{"kind":"denied","text":"no \u001b[31m"}"#;
    let answer = [&[b'e', error.len() as u8, 0][..], error].concat();
    let error = all(&says(&answer), HashLevel::Leaf, 0..1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
}

#[test]
fn greetings_that_are_none_end_at_once() {
    let begin =
        |bytes: Vec<u8>| FarSide::over(Box::new(Cursor::new(bytes)), Box::new(std::io::sink()), false);
    for greeting in ["", "bash: rehome: command not found\n", "{}\n", "[[[[[[[[\n"] {
        assert_eq!(begin(greeting.into()).unwrap_err().kind(), ErrorKind::Temporary, "{greeting}");
    }
    let endless = std::io::Read::take(std::io::repeat(b'x'), u64::MAX);
    assert!(FarSide::over(Box::new(endless), Box::new(std::io::sink()), false).is_err());
    let mut other = serde_json::to_vec(&Hello { rehome_session: 2, ..hello(1) }).unwrap();
    other.push(b'\n');
    assert_eq!(begin(other).unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(FarSide::start(&["/no/such/program".into()], false).is_err());
    let words = ["sh", "-c", "echo no; exit 1"].map(std::ffi::OsString::from);
    assert_eq!(FarSide::start(&words, false).unwrap_err().kind(), ErrorKind::Temporary);
}
