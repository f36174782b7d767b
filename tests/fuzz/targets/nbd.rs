//! An NBD client: any bytes, to a server of two small exports. Nothing it says may end in a panic, change the disk below the overlay, or
//! break the server's own contract; and what the server says is a stream that a client can follow.
#![no_main]

use convert_nbd::{DiskExport, Exports, OverlayExport, converse};
use format_core::{Disk, ErrorKind, Extent, ExtentKind, Layer, Overlay, Result};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const SIZE: u64 = 40_001;

/// Data, holes and zeros in turn, 4 KiB each.
struct Stripes;

impl Layer for Stripes {
    fn format(&self) -> &'static str {
        "stripes"
    }
    fn virtual_size(&self) -> u64 {
        SIZE
    }
    fn chunk_size(&self) -> u64 {
        4096
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let kind =
            [ExtentKind::Data, ExtentKind::Unallocated, ExtentKind::Zero][(offset / 4096 % 3) as usize];
        Ok(Extent { offset, len: (4096 - offset % 4096).min(SIZE - offset), kind })
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        (offset..).zip(buf).for_each(|(at, byte)| *byte = if at / 4096 % 3 == 0 { at as u8 | 1 } else { 0 });
        Ok(())
    }
}

fn option(kind: u32, data: &[u8]) -> Vec<u8> {
    [b"IHAVEOPT", &kind.to_be_bytes()[..], &(data.len() as u32).to_be_bytes(), data].concat()
}

fn request(command: u16, flags: u16, offset: u64, len: u32, data: &[u8]) -> Vec<u8> {
    let head = [0x2560_9513u32.to_be_bytes(), [(flags >> 8) as u8, flags as u8, 0, command as u8]].concat();
    [&head[..], b"cookie!!", &offset.to_be_bytes(), &len.to_be_bytes(), data].concat()
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let flags = 3u32.to_be_bytes().to_vec();
    let context = b"\0\0\0\x01w\0\0\0\x01\0\0\0\x0fbase:allocation";
    let structured =
        [flags.clone(), option(8, b""), option(10, context), option(7, b"\0\0\0\x01w\0\x02\0\x03\0\x01")]
            .concat();
    let requests = [
        request(0, 0, 0, 40_001, b""),
        request(0, 4, 4000, 5000, b""),
        request(1, 1, 4090, 20, &[7; 20]),
        request(6, 0, 0, 9000, b""),
        request(6, 16, 4096, 100, b""),
        request(4, 0, 0, 4096, b""),
        request(7, 0, 0, 40_001, b""),
        request(7, 8, 1, 40_000, b""),
        request(3, 0, 0, 0, b""),
        request(5, 0, 0, 512, b""),
        request(2, 0, 0, 0, b""),
    ]
    .concat();
    let simple = [flags.clone(), option(1, b"")].concat();
    let asking = [
        flags,
        option(3, b""),
        option(9, context),
        option(6, b"\0\0\0\0\0\0"),
        option(5, b""),
        option(2, b""),
    ];
    vec![
        ("structured".into(), [structured, requests.clone()].concat()),
        ("simple".into(), [simple, requests].concat()),
        ("asking".into(), asking.concat()),
    ]
}

/// Walks over what the server said: every message begins with a magic number and is as long as it says. Where simple replies carry
/// data, only the request tells how many, so the walk ends there.
fn follow(said: &[u8]) {
    assert!(said.starts_with(b"NBDMAGICIHAVEOPT\0\x03"), "the greeting comes first");
    let mut rest = &said[18..];
    let number = |bytes: &[u8], at: usize| {
        u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
    };
    while !rest.is_empty() {
        if rest.starts_with(&0x3_e889_0455_65a9u64.to_be_bytes()) {
            rest = &rest[20 + number(rest, 16)..];
        } else if rest.starts_with(&0x668e_33efu32.to_be_bytes()) {
            rest = &rest[20 + number(rest, 16)..];
        } else {
            return;
        }
    }
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let disk = Disk::new(vec![Arc::new(Stripes)]).expect("a layer");
    let overlay = Overlay::new(disk.clone());
    let mut exports = Exports::default();
    exports.add("", "read-only", Arc::new(DiskExport::new(disk.clone()))).expect("the first");
    exports.add("w", "", Arc::new(OverlayExport::new(Arc::clone(&overlay)))).expect("another");
    let mut said = Vec::new();
    let tell = |error: &format_core::Error| panic!("an export in memory failed: {error}");
    let ended = converse(input, &mut said, &exports, &tell, || Ok(()), || false);
    if let Err(error) = ended {
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io), "{error:?}");
    }
    follow(&said);
    let mut below = vec![0; SIZE as usize];
    disk.read_exact_at(0, &mut below).expect("it is in memory");
    assert!((0..).zip(&below).all(|(at, byte)| *byte == if at / 4096 % 3 == 0 { at as u8 | 1 } else { 0 }));
});
