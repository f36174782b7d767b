//! An NBD server: any bytes, to our client that reads, asks for zeros and a bitmap, or writes. Nothing may end in a panic, a hang or an error
//! that says the fault is ours; extents begin where they were asked for and end in the export; and what the client says is a stream
//! that a server can follow, with every request inside of the export.
//!
//! The input is a byte that says what is done, the length of what the first connection says (two bytes), that, and what the second one says.
#![no_main]

use convert_nbd::{ClientLimits, Connector, NbdDisk, NbdTarget, Transport};
use format_core::{Error, ErrorKind, RangeSet, Result, Storage, TargetStorage};
use libfuzzer_sys::fuzz_target;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What each connection says, and what it heard.
struct Server {
    says: Mutex<Vec<Vec<u8>>>,
    heard: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
}

struct Line {
    says: io::Cursor<Vec<u8>>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Transport for Line {
    fn read_within(&mut self, buf: &mut [u8], _: Duration) -> io::Result<usize> {
        io::Read::read(&mut self.says, buf)
    }
    fn write_within(&mut self, buf: &[u8], _: Duration) -> io::Result<usize> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).extend(buf);
        Ok(buf.len())
    }
}

impl Connector for Server {
    fn connect(&self, _: Duration) -> Result<Box<dyn Transport>> {
        let mut says = self.says.lock().unwrap_or_else(PoisonError::into_inner);
        let says = if says.is_empty() { Vec::new() } else { says.remove(0) };
        let heard = Arc::new(Mutex::new(Vec::new()));
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&heard));
        Ok(Box::new(Line { says: io::Cursor::new(says), heard }))
    }
    fn name(&self) -> String {
        "the input".into()
    }
}

const LIMITS: ClientLimits = ClientLimits {
    connections: 1,
    connect: Duration::from_secs(1),
    handshake: Duration::from_secs(4),
    silence: Duration::from_secs(4),
    rate: 1 << 20,
    flush: Duration::from_secs(4),
    retries: 0,
    backoff: Duration::ZERO,
};

fn is_the_servers(error: &Error) {
    use ErrorKind as Kind;
    let ours = matches!(error.kind(), Kind::Contract | Kind::Usage | Kind::Mismatch | Kind::NeedsPerson);
    assert!(!ours, "{error:?}");
}

/// Reads 2 MiB whose pieces are shown: none of them twice, none left out.
fn in_pieces(disk: &NbdDisk, size: u64) -> Result<()> {
    let mut buf = vec![0; size.min(2 << 20) as usize];
    let mut shown = RangeSet::default();
    disk.read_pieces_at(0, &mut buf, &mut |from, bytes| {
        let (from, len) = (from as u64, bytes.len() as u64);
        assert!(shown.within(from, from + len).next().is_none(), "{from:#x} twice");
        shown.add(from, len);
        Ok(())
    })?;
    assert_eq!(shown.total(), buf.len() as u64);
    Ok(())
}

/// Does things to a source until one fails, and gives the export's size.
fn read(server: &Arc<Server>) -> Result<u64> {
    let disk = NbdDisk::over(Arc::clone(server) as Arc<dyn Connector>, "x", &LIMITS)?;
    let size = disk.size();
    assert!(i64::try_from(size).is_ok());
    let steps = || -> Result<()> {
        for (offset, len) in [(0, 4096), (5000, 300), (65_536, 70_000), (size.saturating_sub(9), 9)] {
            if offset >= size {
                continue;
            }
            let extent = disk.data_at(offset)?;
            assert!(
                extent.offset == offset && extent.len > 0 && extent.end() <= size,
                "{extent:?} of {size}"
            );
            let len = (len as u64).min(size - offset) as usize;
            disk.read_exact_at(offset, &mut vec![0; len])?;
        }
        in_pieces(&disk, size)?;
        Ok(())
    };
    if let Err(error) = steps() {
        is_the_servers(&error);
    }
    // A bitmap of the largest exports takes as many questions as they have GiB.
    if size < 1 << 32 {
        match disk.bitmap("b") {
            Ok(ranges) => assert!(ranges.iter().all(|(offset, len)| offset + len <= size)),
            Err(error) => is_the_servers(&error),
        }
    }
    Ok(size)
}

fn write(server: &Arc<Server>) -> Result<u64> {
    let target = NbdTarget::over(Arc::clone(server) as Arc<dyn Connector>, "x", &LIMITS)?;
    let size = target.size();
    let steps = || -> Result<()> {
        for (offset, len) in [(0u64, 4096u64), (700, 1000), (8192, 9000)] {
            let len = len.min(size.saturating_sub(offset));
            if len > 0 {
                target.write_all_at(offset, &vec![7; len as usize])?;
                target.zero_range(offset, len)?;
            }
        }
        target.sync()
    };
    if let Err(error) = steps() {
        is_the_servers(&error);
    }
    Ok(size)
}

/// Walks over what a connection heard: options, then requests with their data.
fn follow(heard: &[u8], size: Option<u64>) {
    let Some(mut rest) = heard.get(4..) else { return };
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    while rest.starts_with(b"IHAVEOPT") {
        rest = &rest[16 + number(&rest[12..16]) as usize..];
    }
    while !rest.is_empty() {
        assert_eq!(rest[..4], [0x25, 0x60, 0x95, 0x13]);
        let (command, offset, len) = (number(&rest[6..8]), number(&rest[16..24]), number(&rest[24..28]));
        let data = if command == 1 { len } else { 0 };
        // Who does not like the export says goodbye, and nothing else.
        let size = size.unwrap_or(0);
        assert!(offset + len <= size, "command {command} {offset:#x} {len:#x} of {size:#x}");
        rest = &rest[28 + data as usize..];
    }
}

fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let magic = 0x3_e889_0455_65a9u64.to_be_bytes();
    [&magic[..], &option.to_be_bytes(), &kind.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data]
        .concat()
}

fn handshake(context: Option<&str>, flags: u16, blocks: &[u8]) -> Vec<u8> {
    let facts = [&[0, 0][..], &100_352u64.to_be_bytes(), &flags.to_be_bytes()].concat();
    let chosen = context.map_or_else(Vec::new, |name| {
        [reply(10, 4, &[b"\0\0\0\x09", name.as_bytes()].concat()), reply(10, 1, b"")].concat()
    });
    let go = [reply(7, 3, &facts), reply(7, 3, blocks), reply(7, 1, b"")].concat();
    let refused = reply(8, 0x8000_0001, b"no");
    let structure = if context.is_some() { reply(8, 1, b"") } else { refused };
    [&b"NBDMAGICIHAVEOPT\0\x03"[..], &structure, &chosen, &go].concat()
}

fn chunk(flags: u8, kind: u16, cookie: u64, data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u32).to_be_bytes();
    [&[0x66, 0x8e, 0x33, 0xef, 0, flags][..], &kind.to_be_bytes(), &cookie.to_be_bytes(), &len, data].concat()
}

fn simple(cookie: u64, data: &[u8]) -> Vec<u8> {
    [&b"\x67\x44\x66\x98\0\0\0\0"[..], &cookie.to_be_bytes(), data].concat()
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let whole = |mode: u8, first: Vec<u8>, second: Vec<u8>| {
        [&[mode][..], &(first.len() as u16).to_be_bytes(), &first, &second].concat()
    };
    let at = |offset: u64, data: &[u8]| [&offset.to_be_bytes()[..], data].concat();
    let blocks = b"\0\x03\0\0\x02\0\0\0\x10\0\x02\0\0\0";
    let structured = [
        handshake(Some("base:allocation"), 0b1, blocks),
        chunk(1, 5, 1, b"\0\0\0\x09\0\0\x10\0\0\0\0\0\0\x01\x78\0\0\0\0\x03"),
        chunk(0, 1, 2, &at(0, &[5; 3000])),
        chunk(1, 2, 2, &at(3000, &1096u32.to_be_bytes())),
        chunk(1, 0x8002, 3, b"\0\0\0\x05\0\x03bad\0\0\0\0\0\0\x12\0"),
    ]
    .concat();
    let bitmap = [
        handshake(Some("qemu:dirty-bitmap:b"), 0b1, blocks),
        chunk(1, 5, 1, b"\0\0\0\x09\0\x01\0\0\0\0\0\x01\0\0\x88\0\0\0\0\0"),
    ]
    .concat();
    let plain = [
        handshake(None, 0b1, b"\0\x03\0\0\0\x01\0\0\x10\0\x02\0\0\0"),
        simple(1, &[1; 4096]),
        simple(2, &[2; 300]),
    ]
    .concat();
    let written: Vec<u8> = (1..12).flat_map(|cookie| simple(cookie, b"")).collect();
    let target = [handshake(None, 0b0100_0101, b"\0\x03\0\0\0\x01\0\0\x10\0\x02\0\0\0"), written].concat();
    let unknown = [
        &b"NBDMAGICIHAVEOPT\0\x03"[..],
        &reply(8, 1, b""),
        &reply(10, 1, b""),
        &reply(7, 0x8000_0006, b""),
        &reply(3, 2, b"\0\0\0\x01dmore"),
        &reply(3, 1, b""),
    ]
    .concat();
    vec![
        ("structured".into(), whole(0, structured, bitmap)),
        ("simple".into(), whole(0, plain, Vec::new())),
        ("target".into(), whole(1, target, Vec::new())),
        ("unknown".into(), whole(0, unknown, Vec::new())),
    ]
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let Some(([mode, high, low], said)) = input.split_first_chunk() else { return };
    let (first, second) = said.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(said.len()));
    let server = Arc::new(Server { says: Mutex::new(vec![first.into(), second.into()]), heard: Mutex::default() });
    let done = if mode & 1 == 0 { read(&server) } else { write(&server) };
    if let Err(error) = &done {
        is_the_servers(error);
    }
    let heard = server.heard.lock().unwrap_or_else(PoisonError::into_inner);
    for (number, heard) in heard.iter().enumerate() {
        // The bitmap's connection may be one to another export; what it says is walked over all the same.
        let size = if number == 0 { done.as_ref().ok().copied() } else { Some(u64::MAX) };
        follow(&heard.lock().unwrap_or_else(PoisonError::into_inner), size);
    }
});
