//! Reads whose pieces are looked at while the others are on their way.

use crate::kit::{Said, Scripted, at, limits, nbdkit, striped, write_sparse};
use convert_nbd::NbdDisk;
use format_core::{Error, ErrorKind, PIECE_STEP, Result, Storage};

const SIZE: u64 = 8 << 20;
/// What the client asks for at once.
const PIECE: usize = 512 << 10;

/// The pieces that a read of `len` bytes at `offset` shows, each after a comparison with what is in the buffer in the end.
fn pieces(disk: &NbdDisk, offset: u64, len: usize) -> Result<Vec<usize>> {
    let (mut buf, mut seen) = (vec![0; len], Vec::new());
    disk.read_pieces_at(offset, &mut buf, &mut |from, bytes| {
        seen.push((from, bytes.to_vec()));
        Ok(())
    })?;
    for (from, bytes) in &seen {
        assert!(buf[*from..*from + bytes.len()] == bytes[..], "the piece at {from:#x}");
        assert!((*from as u64).is_multiple_of(PIECE_STEP));
        assert!(from + bytes.len() == len || (bytes.len() as u64).is_multiple_of(PIECE_STEP));
    }
    assert_eq!(seen.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), len);
    Ok(seen.into_iter().map(|(from, _)| from).collect())
}

/// Answers a read: each 64 KiB have their number as bytes.
fn answer(said: &mut Said, (cookie, offset, len): ([u8; 8], u64, u32)) {
    let bytes: Vec<u8> = (offset..offset + u64::from(len)).map(|at| (at >> 16) as u8).collect();
    said.chunk(1, 1, cookie, &[&offset.to_be_bytes(), &bytes]);
}

fn asked(said: &mut Said, count: usize) -> Vec<([u8; 8], u64, u32)> {
    let requests = (0..count).map_while(|_| said.request());
    requests.map(|(_, cookie, offset, len)| (cookie, offset, len)).collect()
}

#[test]
fn they_are_shown_in_the_order_of_the_replies() {
    let server = Scripted::new(|said, _| {
        said.shake(SIZE, 0);
        let mut requests = asked(said, 4);
        requests.reverse();
        requests.into_iter().for_each(|request| answer(said, request));
        said.hear(1);
    });
    let disk = NbdDisk::over(server, "", &limits()).unwrap();
    assert_eq!(pieces(&disk, 1 << 20, 4 * PIECE).unwrap(), [3 * PIECE, 2 * PIECE, PIECE, 0]);
}

#[test]
fn a_lost_connection_shows_nothing_twice() {
    let server = Scripted::new(|said, number| {
        said.shake(SIZE, 0);
        let requests = asked(said, if number == 0 { 4 } else { 3 });
        let places: Vec<u64> = requests.iter().map(|request| request.1 / PIECE as u64).collect();
        assert_eq!(places, if number == 0 { vec![0, 1, 2, 3] } else { vec![0, 1, 3] });
        let answered = if number == 0 { 2..3 } else { 0..3 };
        requests[answered].iter().for_each(|&request| answer(said, request));
        if number > 0 {
            said.hear(1);
        }
    });
    let disk = NbdDisk::over(server.clone(), "", &limits()).unwrap();
    assert_eq!(pieces(&disk, 0, 4 * PIECE).unwrap(), [2 * PIECE, 0, PIECE, 3 * PIECE]);
    assert_eq!(server.connections(), 2);
}

#[test]
fn who_looks_can_end_it_and_is_heard() {
    let server = Scripted::new(|said, _| {
        said.shake(SIZE, 0);
        asked(said, 2).into_iter().for_each(|request| answer(said, request));
        said.hear(1);
    });
    let disk = NbdDisk::over(server.clone(), "", &limits()).unwrap();
    let mut looks = 0;
    let error = disk
        .read_pieces_at(0, &mut vec![0; 2 * PIECE], &mut |_, _| {
            looks += 1;
            Err(Error::new(ErrorKind::Destination, "the volume is full"))
        })
        .unwrap_err();
    assert_eq!(
        (looks, error.kind(), error.to_string()),
        (1, ErrorKind::Destination, "the volume is full".into())
    );
    // The reply that nobody took is not the next one's.
    assert!(pieces(&disk, 0, 2 * PIECE).is_ok());
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_refused_piece_is_an_error_and_no_piece() {
    let server = Scripted::new(|said, _| {
        said.shake(SIZE, 0);
        let requests = asked(said, 2);
        said.chunk(1, 0x8001, requests[0].0, &[b"\0\0\0\x05\0\0"]);
        answer(said, requests[1]);
        asked(said, 1).into_iter().for_each(|request| answer(said, request));
        said.hear(1);
    });
    let disk = NbdDisk::over(server.clone(), "", &limits()).unwrap();
    let mut shown = Vec::new();
    let error = disk
        .read_pieces_at(0, &mut vec![0; 2 * PIECE], &mut |from, _| {
            shown.push(from);
            Ok(())
        })
        .unwrap_err();
    assert_eq!((error.kind(), shown), (ErrorKind::Io, vec![PIECE]), "{error}");
    assert_eq!(pieces(&disk, 0, 4096).unwrap(), [0], "the connection goes on");
    assert_eq!(server.connections(), 1);
}

#[test]
fn servers_with_small_or_odd_requests_show_it_whole_or_in_small_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = striped(6 << 20);
    let file = folder.path().join("disk.raw");
    write_sparse(&file, &bytes);
    for (most, shown) in [("128k", 8), ("96k", 1), ("32k", 1), ("4M", 2)] {
        let socket = folder.path().join(most);
        let most = format!("blocksize-maximum={most}");
        let filter = ["--filter=blocksize-policy", "-r", "file", file.to_str().unwrap()];
        let sizes =
            ["blocksize-minimum=4096", "blocksize-preferred=4096", &most, "blocksize-error-policy=error"];
        let _server = nbdkit(&socket, &[&filter[..], &sizes[..]].concat());
        let disk = NbdDisk::connect(&at(&socket, ""), &limits()).unwrap();
        assert_eq!(pieces(&disk, 1 << 20, 1 << 20).unwrap().len(), shown, "{most}");
        assert_eq!(pieces(&disk, (1 << 20) + 512, 1 << 20).unwrap(), [0], "inside of a block");
        let mut buf = vec![0; 1 << 20];
        disk.read_pieces_at(1 << 20, &mut buf, &mut |_, _| Ok(())).unwrap();
        assert!(buf == bytes[1 << 20..2 << 20]);
        assert!(pieces(&disk, (6 << 20) - 4096, 8192).is_err(), "behind the end");
    }
}
