//! Connections that break, stall or change: what is tried again, and for how long.

use crate::kit::{Said, Scripted, limits, short};
use convert_nbd::{NbdDisk, NbdTarget};
use format_core::{ErrorKind, Storage, TargetStorage};
use std::time::{Duration, Instant};

const SIZE: u64 = 8 << 20;
const MULTI: u16 = 1 << 8;

/// Serves reads of a byte until the script's connection ends.
fn serve(said: &mut Said, mut requests: usize) {
    while let Some((command, cookie, offset, len)) = said.request() {
        if command != 0 || requests == 0 {
            return;
        }
        requests -= 1;
        said.chunk(1, 1, cookie, &[&offset.to_be_bytes(), &vec![3; len as usize]]);
    }
}

#[test]
fn a_lost_connection_is_replaced_for_a_read() {
    let server = Scripted::new(|said, number| {
        said.shake(SIZE, MULTI);
        match number {
            0 => serve(said, 1),
            1 => {
                // In the middle of a reply.
                let (_, cookie, ..) = said.request().unwrap();
                said.say(&[b"\x66\x8e\x33\xef\0\x01\0\x01", &cookie, b"\0\0\x10\x08\0\0"]);
            }
            2 => {
                // It is being shut down.
                let (_, cookie, ..) = said.request().unwrap();
                said.chunk(1, 0x8001, cookie, &[b"\0\0\0\x6c\0\0"]);
                said.hear(1);
            }
            _ => serve(said, 100),
        }
    });
    let disk = NbdDisk::over(server.clone(), "", &limits()).unwrap();
    for _ in 0..3 {
        let mut buf = vec![0; 4096];
        disk.read_exact_at(4096, &mut buf).unwrap();
        assert!(buf.iter().all(|byte| *byte == 3));
    }
    assert_eq!(server.connections(), 4);
}

#[test]
fn it_is_given_up_after_the_tries() {
    let server = Scripted::new(|said, _| said.shake(SIZE, 0));
    let disk = NbdDisk::over(server.clone(), "", &limits()).unwrap();
    let error = disk.read_exact_at(0, &mut [0; 512]).unwrap_err();
    assert_eq!((error.kind(), server.connections()), (ErrorKind::Temporary, 4), "{error}");
    assert!(error.hint_text().is_some());
}

#[test]
fn another_export_is_not_read_on() {
    let server = Scripted::new(|said, number| {
        said.shake(SIZE + 4096 * number as u64, 0);
        serve(said, 1 - number.min(1));
    });
    let disk = NbdDisk::over(server, "", &limits()).unwrap();
    disk.read_exact_at(0, &mut [0; 512]).unwrap();
    let error = disk.read_exact_at(0, &mut [0; 512]).unwrap_err();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Temporary, "RH-SOURCE-CHANGED"), "{error}");
}

#[test]
fn dripping_data_end_in_bounded_time() {
    let server = Scripted::new(|said, _| {
        said.shake(SIZE, 0);
        let Some((_, cookie, offset, len)) = said.request() else { return };
        said.say(&[
            b"\x66\x8e\x33\xef\0\x01\0\x01",
            &cookie,
            &(len + 8).to_be_bytes(),
            &offset.to_be_bytes(),
        ]);
        while said.say(&[b"x"]) {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let disk = NbdDisk::over(server, "", &short()).unwrap();
    let start = Instant::now();
    let error = disk.read_exact_at(0, &mut vec![0; 1 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

/// Some servers promise more connections than they let in.
#[test]
fn one_connection_does_when_the_others_are_kept_waiting() {
    let server = Scripted::new(|said, number| {
        if number > 0 {
            said.hear(1);
            std::thread::sleep(Duration::from_secs(9));
            return;
        }
        said.shake(SIZE, MULTI);
        serve(said, 1000);
    });
    let mut limits = short();
    limits.connections = 4;
    let disk = NbdDisk::over(server.clone(), "", &limits).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let disk = &disk;
            scope.spawn(move || {
                (0..50).for_each(|n| disk.read_exact_at((worker * 50 + n) * 4096, &mut [0; 4096]).unwrap())
            });
        }
    });
    assert!(server.connections() <= 2);
}

#[test]
fn a_lost_write_is_never_tried_again_nor_forgotten() {
    let server = Scripted::new(|said, number| {
        said.shake(SIZE, MULTI | 4);
        assert_eq!(number, 0, "no second connection");
        let (_, cookie, _, len) = said.request().unwrap();
        said.hear(len as usize);
        said.chunk(1, 0, cookie, &[]);
        said.request();
    });
    let target = NbdTarget::over(server, "", &limits()).unwrap();
    target.write_all_at(0, &[1; 4096]).unwrap();
    let lost = target.write_all_at(4096, &[2; 4096]).unwrap_err();
    assert_eq!((lost.kind(), lost.code().id), (ErrorKind::Temporary, "RH-DESTINATION-GONE"), "{lost}");
    assert!(lost.hint_text().is_some());
    assert_eq!(target.write_all_at(0, &[1; 4096]).unwrap_err().kind(), ErrorKind::Temporary);
    assert_eq!(target.sync().unwrap_err().kind(), ErrorKind::Temporary);
    assert_eq!(Box::new(target).commit().unwrap_err().kind(), ErrorKind::Temporary);
}

/// How many connections four threads make.
fn connections(flags: u16) -> usize {
    let server = Scripted::new(move |said, _| {
        said.shake(SIZE, flags);
        while let Some((0, cookie, offset, len)) = said.request() {
            std::thread::sleep(Duration::from_millis(10));
            said.chunk(1, 1, cookie, &[&offset.to_be_bytes(), &vec![3; len as usize]]);
        }
    });
    let limits = convert_nbd::ClientLimits { connections: 4, ..limits() };
    let disk = NbdDisk::over(server.clone(), "", &limits).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let disk = &disk;
            scope.spawn(move || {
                (0..20).for_each(|n| disk.read_exact_at((worker * 20 + n) * 512, &mut [0; 512]).unwrap())
            });
        }
    });
    server.connections()
}

#[test]
fn several_connections_are_made_where_the_server_allows_them() {
    assert_eq!((connections(MULTI), connections(0)), (4, 1));
}
