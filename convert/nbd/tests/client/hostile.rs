//! Handshakes that lie, never end, or drip.

use crate::kit::{Said, Scripted, facts, short};
use convert_nbd::{NbdDisk, NbdTarget};
use format_core::ErrorKind;
use std::time::{Duration, Instant};

fn connect(script: impl Fn(&mut Said) + Send + Sync + 'static) -> ErrorKind {
    let server = Scripted::new(move |said, _| script(said));
    let start = Instant::now();
    let error = NbdDisk::over(server, "x", &short()).err().expect("an error");
    assert!(start.elapsed() < Duration::from_secs(4), "{error}");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
    error.kind()
}

/// Answers GO in its own way, after structured replies and contexts were refused.
fn go(answer: impl Fn(&mut Said) + Send + Sync + 'static) -> ErrorKind {
    connect(move |said| {
        said.greet();
        while let Some((option, _)) = said.option() {
            if option == 7 {
                answer(said);
                said.hear(1);
                return;
            }
            said.reply(option, 0x8000_0001, b"");
        }
    })
}

#[test]
fn greetings_that_are_none() {
    assert_eq!(connect(|said| _ = said.say(&[b"HTTP/1.1 400 Bad Request\r\n"])), ErrorKind::Corrupt);
    assert_eq!(
        connect(|said| _ = said.say(&[b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53", &[0; 144]])),
        ErrorKind::Unsupported
    );
    assert_eq!(connect(|said| _ = said.say(&[b"NBDMAGICIHAVEOPT\0\0"])), ErrorKind::Unsupported);
    assert_eq!(connect(|_| {}), ErrorKind::Temporary);
    assert_eq!(connect(|said| _ = said.say(&[b"NBDMAG"])), ErrorKind::Temporary);
    assert_eq!(connect(|said| _ = said.hear(1)), ErrorKind::Temporary, "silence");
}

#[test]
fn facts_that_cannot_be() {
    assert_eq!(go(|s| _ = s.reply(7, 1, b"")), ErrorKind::Corrupt, "no size");
    assert_eq!(go(|s| _ = s.reply(7, 3, &facts(1 << 63, 0))), ErrorKind::Corrupt, "above 63 bits");
    assert_eq!(go(|s| _ = s.reply(7, 3, &facts(1 << 63, 0)[..9])), ErrorKind::Corrupt, "cut off");
    assert_eq!(
        go(|s| _ = s.reply(7, 3, &facts(5, 0)) && s.reply(7, 3, &facts(6, 0))),
        ErrorKind::Corrupt,
        "twice"
    );
    assert_eq!(go(|s| _ = s.reply(6, 1, b"")), ErrorKind::Corrupt, "another option");
    assert_eq!(go(|s| _ = s.reply(7, 2, b"\0\0\0\0")), ErrorKind::Corrupt, "another reply");
    assert_eq!(go(|s| _ = s.reply(7, 1, b"x")), ErrorKind::Corrupt, "an acknowledgement with data");
    assert_eq!(go(|s| _ = s.say(&[&[3; 20]])), ErrorKind::Corrupt, "no magic");
    for (min, max) in [(0u32, 512u32), (3, 9), (1 << 17, 1 << 20), (512, 511), (512, 700)] {
        let blocks = [&[0, 3][..], &min.to_be_bytes(), &min.to_be_bytes(), &max.to_be_bytes()].concat();
        assert_eq!(go(move |s| _ = s.reply(7, 3, &blocks)), ErrorKind::Corrupt, "{min} {max}");
    }
    let odd = b"\0\x03\0\0\x02\0\0\0\x02\0\0\0\x10\0";
    let end = |s: &mut Said| _ = s.reply(7, 3, odd) && s.reply(7, 3, &facts(513, 0)) && s.reply(7, 1, b"");
    assert_eq!(go(end), ErrorKind::Unsupported, "an end that cannot be read");
}

#[test]
fn endless_and_oversized_replies_end() {
    assert_eq!(go(|s| while s.reply(7, 3, b"\0\x09x") {}), ErrorKind::Corrupt, "endless");
    assert_eq!(go(|s| _ = s.reply(7, 0x8000_0006, &[b'x'; 5000])), ErrorKind::Corrupt, "a novel");
    let head =
        [&0x3_e889_0455_65a9u64.to_be_bytes()[..], &[0, 0, 0, 7, 0, 0, 0, 3, 255, 255, 255, 255]].concat();
    assert_eq!(go(move |s| _ = s.say(&[&head])), ErrorKind::Corrupt, "4 GiB");
    let context = connect(|said| {
        said.greet();
        while let Some((option, _)) = said.option() {
            match option {
                10 => said.reply(10, 4, b"\0\0\0\x01other:context"),
                _ => said.reply(option, 1, b""),
            };
        }
    });
    assert_eq!(context, ErrorKind::Corrupt, "a context that nobody asked for");
}

#[test]
fn dripping_ends_with_the_handshake() {
    let drip = |bytes: Vec<u8>| {
        move |said: &mut Said| {
            for byte in &bytes {
                std::thread::sleep(Duration::from_millis(300));
                if !said.say(&[&[*byte]]) {
                    return;
                }
            }
        }
    };
    assert_eq!(connect(drip(b"NBDMAGICIHAVEOPT\0\x03".to_vec())), ErrorKind::Temporary);
    let facts = facts(512, 0);
    assert_eq!(go(move |said| drip([facts.clone(), vec![0; 100]].concat())(said)), ErrorKind::Temporary);
}

#[test]
fn refusals_have_the_kind_that_they_mean() {
    assert_eq!(go(|s| _ = s.reply(7, 0x8000_0002, b"\x1b[2Jno")), ErrorKind::Denied);
    assert_eq!(go(|s| _ = s.reply(7, 0x8000_0005, b"")), ErrorKind::Denied);
    assert_eq!(go(|s| _ = s.reply(7, 0x8000_0007, b"")), ErrorKind::Temporary);
    assert_eq!(go(|s| _ = s.reply(7, 0x8000_0008, b"")), ErrorKind::Unsupported);
    let missing = |s: &mut Said| {
        s.reply(7, 0x8000_0006, b"");
        s.option();
        s.reply(3, 2, b"\0\0\0\x04disk");
        s.reply(3, 1, b"");
    };
    assert_eq!(go(missing), ErrorKind::SourceMissing);
}

#[test]
fn a_server_without_go_is_asked_in_the_old_way() {
    let server = Scripted::new(|said, _| {
        said.say(&[b"NBDMAGICIHAVEOPT\0\x01"]);
        said.hear(4);
        while let Some((option, data)) = said.option() {
            if option == 1 {
                assert_eq!(data, b"x");
                said.say(&[&(1u64 << 20).to_be_bytes(), &[0, 1], &[0; 124]]);
                let (_, cookie, ..) = said.request().unwrap();
                said.say(&[b"\x67\x44\x66\x98\0\0\0\0", &cookie, &[5; 100]]);
                return;
            }
            said.reply(option, 0x8000_0001, b"");
        }
    });
    let disk = NbdDisk::over(server, "x", &short()).unwrap();
    let mut buf = [0; 100];
    format_core::Storage::read_exact_at(&disk, 7, &mut buf).unwrap();
    assert_eq!(buf, [5; 100]);
}

#[test]
fn a_read_only_export_is_refused_before_the_first_byte() {
    let server = Scripted::new(|said, _| {
        said.shake(1 << 20, 2);
        let next = said.request().map(|(command, ..)| command);
        assert!(matches!(next, None | Some(2)), "{next:?}");
    });
    assert_eq!(NbdTarget::over(server, "x", &short()).err().unwrap().kind(), ErrorKind::Denied);
}
