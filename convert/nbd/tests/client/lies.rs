//! Replies in transmission that are wrong: each one is an error, in bounded time, and nothing of it becomes data.

use crate::kit::{Said, Scripted, short};
use convert_nbd::NbdDisk;
use format_core::{ErrorKind, Storage};
use std::time::{Duration, Instant};

const SIZE: u64 = 1 << 20;

/// What a read of 4096 bytes at 8192 ends in when the server answers so.
fn read(answer: impl Fn(&mut Said, [u8; 8]) + Send + Sync + 'static) -> ErrorKind {
    let server = Scripted::new(move |said, _| {
        said.shake(SIZE, 0);
        if let Some((0, cookie, 8192, 4096)) = said.request() {
            answer(said, cookie);
            // Not the end of the connection is what has to be noticed.
            said.hear(1);
        }
    });
    let disk = NbdDisk::over(server, "", &short()).unwrap();
    let start = Instant::now();
    let error = disk.read_exact_at(8192, &mut [0; 4096]).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(4), "{error}");
    error.kind()
}

fn data(said: &mut Said, flags: u16, cookie: [u8; 8], offset: u64, len: usize) {
    said.chunk(flags, 1, cookie, &[&offset.to_be_bytes(), &vec![7; len]]);
}

fn hole(said: &mut Said, flags: u16, cookie: [u8; 8], offset: u64, len: u32) {
    said.chunk(flags, 2, cookie, &[&offset.to_be_bytes(), &len.to_be_bytes()]);
}

#[test]
fn chunks_that_do_not_fit_what_was_asked_are_refused() {
    type Answer = Box<dyn Fn(&mut Said, [u8; 8]) + Send + Sync>;
    let lies: Vec<(&str, Answer)> = vec![
        ("before", Box::new(|s, c| data(s, 1, c, 8191, 4096))),
        ("behind", Box::new(|s, c| data(s, 1, c, 8193, 4096))),
        ("longer", Box::new(|s, c| data(s, 1, c, 8192, 4097))),
        ("wrapping", Box::new(|s, c| data(s, 1, c, u64::MAX - 1, 4096))),
        ("nothing", Box::new(|s, c| data(s, 1, c, 8192, 0))),
        ("too little", Box::new(|s, c| data(s, 1, c, 8192, 4095))),
        (
            "twice",
            Box::new(|s, c| {
                data(s, 0, c, 8192, 4096);
                data(s, 1, c, 9000, 10);
            }),
        ),
        (
            "hole over data",
            Box::new(|s, c| {
                data(s, 0, c, 8192, 2048);
                hole(s, 1, c, 8192, 4096);
            }),
        ),
        ("hole outside", Box::new(|s, c| hole(s, 1, c, 0, 4096))),
        ("huge hole", Box::new(|s, c| hole(s, 1, c, 8192, u32::MAX))),
        ("empty hole", Box::new(|s, c| hole(s, 1, c, 8192, 0))),
        ("done at once", Box::new(|s, c| _ = s.chunk(1, 0, c, &[]))),
        ("none with data", Box::new(|s, c| _ = s.chunk(1, 0, c, &[b"x"]))),
        ("none that is not last", Box::new(|s, c| _ = s.chunk(0, 0, c, &[]))),
        ("block status", Box::new(|s, c| _ = s.chunk(1, 5, c, &[b"\0\0\0\x09\0\0\x10\0\0\0\0\0"]))),
        ("unknown chunk", Box::new(|s, c| _ = s.chunk(1, 77, c, &[b"x"]))),
        ("unsolicited", Box::new(|s, _| data(s, 1, *b"whatever", 8192, 4096))),
        ("simple", Box::new(|s, c| _ = s.say(&[b"\x67\x44\x66\x98\0\0\0\0", &c, &[7; 4096]]))),
        ("no reply", Box::new(|s, _| _ = s.say(&[&[9; 32]]))),
        ("error 0", Box::new(|s, c| _ = s.chunk(1, 0x8001, c, &[&[0; 6]]))),
        ("error cut off", Box::new(|s, c| _ = s.chunk(1, 0x8001, c, &[&[0, 0, 0, 5]]))),
        (
            "error longer than its chunk",
            Box::new(|s, c| _ = s.chunk(1, 0x8001, c, &[b"\0\0\0\x05\x00\x09abc"])),
        ),
        (
            "error with a novel",
            Box::new(|s, c| _ = s.chunk(1, 0x8001, c, &[b"\0\0\0\x05\x20\0", &[b'x'; 0x2000]])),
        ),
        ("error elsewhere", Box::new(|s, c| _ = s.chunk(1, 0x8002, c, &[b"\0\0\0\x05\0\0", &[0; 8]]))),
        ("endless errors", Box::new(|s, c| while s.chunk(0, 0x8001, c, &[b"\0\0\0\x05\0\0"]) {})),
        (
            "a chunk of 4 GiB",
            Box::new(|s, c| _ = s.say(&[b"\x66\x8e\x33\xef\0\x01\0\x01", &c, &[255; 4], &[0; 64]])),
        ),
    ];
    for (what, answer) in lies {
        assert_eq!(read(answer), ErrorKind::Corrupt, "{what}");
    }
}

#[test]
fn an_error_of_the_server_is_told_and_the_connection_goes_on() {
    let server = Scripted::new(|said, _| {
        said.shake(SIZE, 0);
        let mut count = 0;
        while let Some((_, cookie, offset, len)) = said.request() {
            count += 1;
            if count == 1 {
                data(said, 0, cookie, offset, 512);
                let at = (offset + 512).to_be_bytes();
                said.chunk(1, 0x8002, cookie, &[b"\0\0\0\x05\0\x03bad", &at]);
            } else {
                data(said, 0, cookie, offset + 512, len as usize - 512);
                data(said, 1, cookie, offset, 512);
            }
        }
    });
    let disk = NbdDisk::over(server.clone(), "", &short()).unwrap();
    let mut buf = [0; 4096];
    let error = disk.read_exact_at(8192, &mut buf).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Io, Some(8704)), "{error}");
    // What rescue looks for.
    let cause = std::error::Error::source(&error).unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(cause.raw_os_error(), Some(5));
    disk.read_exact_at(8192, &mut buf).unwrap();
    assert_eq!((buf, server.connections()), ([7; 4096], 1));
}

/// What `data_at(0)` says when the server's block status is so.
fn status(kind: u16, descriptors: &'static [u8]) -> Result<(u64, bool), ErrorKind> {
    let server = Scripted::new(move |said, _| {
        said.shake(SIZE, 0);
        while let Some((7, cookie, ..)) = said.request() {
            said.chunk(1, kind, cookie, &[descriptors]);
        }
    });
    let disk = NbdDisk::over(server, "", &short()).unwrap();
    disk.data_at(0)
        .map(|extent| (extent.len, extent.kind == format_core::ExtentKind::Data))
        .map_err(|error| error.kind())
}

#[test]
fn a_block_status_is_believed_only_where_it_is_whole() {
    const K: u64 = 1024;
    assert_eq!(status(5, b"\0\0\0\x09\0\x01\0\0\0\0\0\x03"), Ok((64 * K, false)));
    assert_eq!(status(5, b"\0\0\0\x09\0\x01\0\0\0\0\0\x03\0\x0f\0\0\0\0\0\0"), Ok((64 * K, false)));
    // A hole that is not said to read as zeros is read.
    assert_eq!(status(5, b"\0\0\0\x09\0\x10\0\0\0\0\0\x01"), Ok((1024 * K, true)));
    // Hardly any progress: data.
    assert_eq!(status(5, b"\0\0\0\x09\0\0\0\x01\0\0\0\x03"), Ok((64 * K, true)));
    // The server cannot tell.
    assert_eq!(status(0x8001, b"\0\0\0\x05\0\0"), Ok((1024 * K, true)));
    for wrong in [
        &b"\0\0\0\x09"[..],
        b"\0\0\0\x09\0\0\0\0\0\0\0\x03",
        b"\0\0\0\x08\0\x01\0\0\0\0\0\x03",
        b"\0\0\0\x09\0\x01\0\0\0\0\0",
        b"\0\0\0\x09\0\x10\0\0\0\0\0\x03\0\0\x02\0\0\0\0\0",
    ] {
        assert_eq!(status(5, wrong), Err(ErrorKind::Corrupt), "{wrong:?}");
    }
    assert_eq!(status(0, b""), Err(ErrorKind::Corrupt));
}
