//! Files that were made to hurt.

use crate::tools::{MIB, at, disk, through, unpack, whole};
use format_compressed::{BZIP2, FORMATS, GZIP, LZ4, LZOP, XZ, ZSTD};
use format_core::ErrorKind;
use std::time::{Duration, Instant};

/// Ends within a second, whatever the result.
fn soon<T>(what: &str, run: impl Fn() -> T) -> T {
    let start = Instant::now();
    let mut result = run();
    let mut took = start.elapsed();
    if took > Duration::from_secs(1) {
        // A busy machine is slow once, a loop always.
        let again = Instant::now();
        result = run();
        took = took.min(again.elapsed());
    }
    assert!(took < Duration::from_secs(1), "{what} takes {took:?}");
    result
}

#[test]
fn no_file_is_nothing() {
    for format in FORMATS {
        assert!(unpack(format, &[]).is_err(), "{}", format.name);
        assert!(!matches!(at(format, &[]), Ok(Some(_))), "{}", format.name);
        assert_eq!((format.unpacked_size)(&format_core::MemStorage(vec![])).unwrap_or(0), 0);
    }
}

#[test]
fn headers_of_every_kind_end_soon() {
    let heads: [&[u8]; 9] = [
        &[0x1f, 0x8b, 8, 0x1c, 0, 0, 0, 0, 0, 3, 0xff, 0xff],
        &[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0, 0, 0],
        &[0xfd, b'7', b'z', b'X', b'Z', 0, 0, 4],
        &[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x5e, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff],
        &[0x04, 0x22, 0x4d, 0x18, 0x7c, 0x70],
        &[0x02, 0x21, 0x4c, 0x18, 0xff, 0xff, 0x7f, 0],
        b"BZh91AY&SY",
        &[
            0x89, b'L', b'Z', b'O', 0, b'\r', b'\n', 0x1a, b'\n', 0x10, 0x40, 0x20, 0xa0, 9, 0x40, 1, 5, 0,
            0, 0x0d,
        ],
    ];
    for head in heads {
        for fill in [0u8, 0xff, 0x80, 1, 0x1f] {
            for len in [0, 1, 7, 100, 100_000] {
                let file = [head, &vec![fill; len]].concat();
                for format in FORMATS {
                    let what = format!("{} {head:x?} {fill:#x} × {len}", format.name);
                    soon(&what, || {
                        let _ = unpack(format, &file);
                        let _ = at(format, &file);
                        let _ = (format.unpacked_size)(&format_core::MemStorage(file.clone()));
                    });
                }
            }
        }
    }
}

#[test]
fn tables_that_promise_the_world_end_soon() {
    let table = |frames: u32, flags: u8, len: u32| {
        let mut bytes = vec![0; 64];
        bytes.extend(0x184d_2a5eu32.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(frames.to_le_bytes());
        bytes.push(flags);
        bytes.extend(0x8f92_eab1u32.to_le_bytes());
        bytes
    };
    for frames in [0, 1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        for flags in [0, 0x80, 0x7c, 0xff] {
            for len in [9, 0, u32::MAX] {
                let file = table(frames, flags, len);
                soon("a table", || assert!(!matches!(at(&ZSTD, &file), Ok(Some(_)))));
            }
        }
    }
    // An index of xz that says anything about its number of records.
    let packed = through("xz-utils", "xz -c --block-size=64KiB", &disk(300_000));
    for number in [0u8, 1, 0x7f, 0x80, 0xff] {
        for place in packed.len() - 64..packed.len() {
            let mut file = packed.clone();
            file[place] = number;
            let _ = soon("an index", || at(&XZ, &file).map(|found| found.is_some()));
        }
    }
}

#[test]
fn an_index_that_says_nothing_is_none() {
    let frame = through("zstd", "zstd -qc --stream-size=500000", &disk(500_000));
    let mut table = 0x184d_2a5eu32.to_le_bytes().to_vec();
    for number in [17, frame.len() as u32, 0, 1] {
        table.extend(number.to_le_bytes());
    }
    table.push(0);
    table.extend(0x8f92_eab1u32.to_le_bytes());
    let said = [&frame[..], &table].concat();
    assert!(unpack(&ZSTD, &said).unwrap() == disk(500_000));
    // What is in the frames counts, as for every table that contradicts them.
    assert!(whole(at(&ZSTD, &said).unwrap().unwrap().as_ref()).unwrap() == disk(500_000));

    // A frame whose header says that it holds nothing, and a block of 100 bytes.
    let lying = [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 0x21, 3, 0][..], &[b'A'; 100]].concat();
    assert!(at(&ZSTD, &lying).unwrap().is_none());
    assert_eq!(unpack(&ZSTD, &lying).unwrap_err().kind(), ErrorKind::Corrupt);

    // BGZF whose only block with data says that it has none.
    let mut blocks = through("tabix", "bgzip -c", &disk(50_000));
    let end = blocks.len() - 28;
    blocks[end - 4..end].fill(0);
    assert!(at(&GZIP, &blocks).unwrap().is_none());
    assert_eq!(unpack(&GZIP, &blocks).unwrap_err().kind(), ErrorKind::Corrupt);
    // Nothing is nothing for true.
    for (format, nothing) in
        [(&ZSTD, through("zstd", "zstd -qc", &[])), (&GZIP, through("tabix", "bgzip -c", &[]))]
    {
        assert_eq!(at(format, &nothing).unwrap().unwrap().size(), 0, "{}", format.name);
        assert!(unpack(format, &nothing).unwrap().is_empty());
    }
}

#[test]
fn streams_of_nothing_cost_nothing() {
    let (disk, small) = (disk(10_000), &through("bzip2", "bzip2 -c", &[]));
    let data = through("bzip2", "bzip2 -c", &disk);
    let many = [&small.repeat(200_000)[..], &data, &small.repeat(1000)].concat();
    soon("bzip2", || assert!(unpack(&BZIP2, &many).unwrap() == disk));
    for cut in 1..small.len() {
        let cut = &many[..many.len() - cut];
        assert!(unpack(&BZIP2, cut).is_err());
    }
    let mut sum = small.clone();
    sum[13] = 1;
    assert!(unpack(&BZIP2, &sum).is_err());
    assert!(unpack(&BZIP2, small).unwrap().is_empty());
    let (small, data) = (through("xz-utils", "xz -c", &[]), through("xz-utils", "xz -c", &disk));
    let many = [small.repeat(20_000), data].concat();
    soon("xz", || assert!(unpack(&XZ, &many).unwrap() == disk));
    soon("the index of xz", || assert!(whole(at(&XZ, &many).unwrap().unwrap().as_ref()).unwrap() == disk));
}

#[test]
fn bombs_are_unpacked_in_pieces_and_have_no_index() {
    // A hundred thousand frames of nothing, one of which would be a unit with all its neighbours.
    let empty = through("zstd", "f=$(mktemp); zstd -q -c --no-check $f; rm $f", &[]);
    let many = empty.repeat(100_000);
    soon("frames of nothing", || {
        assert!(unpack(&ZSTD, &many).unwrap().is_empty());
        assert!(at(&ZSTD, &many).is_ok());
    });
    let zeros = through("gzip", "head -c 300000000 /dev/zero | gzip -c -9", &[]);
    let mut reader =
        GZIP.unpack.unwrap()(Box::new(std::io::Cursor::new(zeros)), &crate::tools::context()).unwrap();
    let mut part = vec![0; MIB];
    let mut size = 0;
    loop {
        match std::io::Read::read(&mut reader, &mut part).unwrap() {
            0 => break,
            len => size += len,
        }
    }
    assert_eq!(size, 300_000_000);
    // Blocks whose headers promise more than is there.
    for (format, head) in [
        (&LZ4, &[0x02u8, 0x21, 0x4c, 0x18, 0, 0, 0x80, 0][..]),
        (&LZOP, &[0x89, b'L', b'Z', b'O', 0, b'\r', b'\n', 0x1a, b'\n'][..]),
    ] {
        assert!(unpack(format, head).is_err());
    }
}
