//! Requests and replies.

use crate::peer::{Memory, Peer};
use format_core::ErrorKind;
use std::sync::Arc;

const MIB: usize = 1 << 20;

/// 4 KiB of data, 4 KiB of zeros, and so on; an odd end.
fn striped(len: usize) -> Vec<u8> {
    (0..len).map(|at| if at / 4096 % 2 == 0 { (at % 251) as u8 | 1 } else { 0 }).collect()
}

fn writable(len: usize) -> (Arc<Memory>, Peer) {
    let memory = Arc::new(Memory::new(striped(len), true));
    let peer = Peer::of(Arc::clone(&memory) as _).greet(3).structured();
    (memory, peer)
}

#[test]
fn holes_travel_as_holes_and_nothing_is_said_twice() {
    let (_, mut peer) = writable(40_001);
    let reply = peer.do_it(0, 0, 100, 12_000);
    let (data, holes): (Vec<_>, _) =
        (reply.data.iter().map(|(at, data)| (*at, data.len())).collect(), reply.holes);
    assert_eq!((data, holes), (vec![(100, 3996), (8192, 3908)], vec![(4096, 4096)]));
    for (offset, len) in [(0, 40_001), (40_000, 1), (4095, 3), (8191, 5000), (5000, 100), (40_001, 0), (0, 0)]
    {
        assert_eq!(peer.read(offset, len), striped(40_001)[offset as usize..][..len as usize], "{offset}");
    }
    peer.end().unwrap();
}

#[test]
fn a_read_that_must_not_be_divided_is_one_chunk() {
    let (memory, mut peer) = writable(5 * MIB);
    for len in [1, 10_000, 5 * MIB] {
        let reply = peer.do_it(0, 1 << 2, 0, len as u32);
        assert_eq!(reply.holes, []);
        assert_eq!(reply.data.len(), 1);
        assert!(reply.data[0].1 == memory.bytes.lock().unwrap()[..len]);
    }
    peer.end().unwrap();
}

#[test]
fn simple_replies_carry_all_bytes() {
    let memory = Arc::new(Memory::new(striped(5 * MIB), false));
    let mut peer = Peer::of(memory).greet(3).go();
    for (offset, len) in [(0u64, 5 * MIB), (5000, 10_000), (7, 0)] {
        peer.request(0, 0, offset, len as u32);
        assert_eq!(peer.simple(0), 0);
        assert!(peer.hear(len) == striped(5 * MIB)[offset as usize..][..len]);
    }
    // DF and the state of blocks need structured replies.
    for (command, flags) in [(0, 1 << 2), (7, 0)] {
        peer.request(command, flags, 0, 512);
        assert_eq!(peer.simple(command), 22);
    }
    peer.end().unwrap();
}

#[test]
fn what_cannot_be_is_refused_and_the_connection_goes_on() {
    let (memory, mut peer) = writable(40_001);
    let [fua, no_hole, df, one, fast, payload] = [0, 1, 2, 3, 4, 5].map(|bit| 1u16 << bit);
    let max = u64::MAX;
    for (command, flags, offset, len, errno) in [
        (0, 0, 40_000, 2, 22),
        (0, 0, max, 1, 22),
        (0, 0, max - 1, u32::MAX, 22),
        (0, 0, 40_002, 0, 22),
        (0, 0, 0, u32::MAX, 22),
        (0, fast, 0, 1, 22),
        (0, one, 0, 1, 22),
        (0, payload, 0, 1, 22),
        (0, 1 << 15, 0, 1, 22),
        (0, fua, 0, 1, 0),
        (3, 0, 1, 0, 22),
        (3, 0, 0, 1, 22),
        (3, df, 0, 0, 22),
        (3, fua, 0, 0, 0),
        (4, 0, 40_000, 2, 22),
        (4, no_hole, 0, 2, 22),
        (4, fua, 0, 2, 0),
        (5, 0, 40_000, 2, 22),
        (5, 0, 0, 40_001, 0),
        (6, 0, 40_000, 2, 28),
        (6, 0, max, u32::MAX, 28),
        (6, fast, 0, 2, 95),
        (6, no_hole | fua, 4096, 2, 0),
        (7, 0, 0, 0, 22),
        (7, 0, 40_000, 2, 22),
        (7, df, 0, 2, 22),
        (8, 0, 0, 0, 22),
        (0xffff, 0xffff, max, u32::MAX, 22),
    ] {
        let reply = peer.do_it(command, flags, offset, len);
        assert_eq!(reply.errno, errno, "command {command} {flags:#x} {offset:#x}+{len:#x}: {reply:?}");
    }
    // What is refused is taken off the wire all the same.
    for (flags, offset, len, errno) in
        [(0, 40_000, 2, 28), (0, max, 5000, 28), (df, 0, 3 * MIB, 22), (0, 0, 0, 0)]
    {
        assert_eq!(peer.write(flags, offset, &vec![7; len]).errno, errno, "{offset:#x}+{len:#x}");
    }
    assert_eq!(peer.read(0, 40_001), striped(40_001), "nothing was written");
    assert_eq!(*memory.flushed.lock().unwrap(), 3);
    assert_eq!(peer.told.lock().unwrap().len(), 0);
    peer.end().unwrap();
}

#[test]
fn nobody_writes_what_is_read_only() {
    let memory = Arc::new(Memory::new(striped(9000), false));
    let mut peer = Peer::of(Arc::clone(&memory) as _).greet(3).structured();
    assert_eq!(peer.write(0, 0, &[9; 5000]).errno, 1);
    assert_eq!(peer.write(0, u64::MAX, &[9; 5000]).errno, 1);
    for command in [4, 6] {
        assert_eq!(peer.do_it(command, 0, 0, 100).errno, 1);
    }
    assert_eq!(peer.do_it(3, 0, 0, 0).errno, 0, "a flush is no write");
    assert_eq!(peer.read(0, 9000), striped(9000));
    peer.end().unwrap();
}

#[test]
fn unknown_requests_and_endless_writes_end_the_connection() {
    for request in [
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 20]].concat(),
        [&0x6744_6698u32.to_be_bytes()[..], &[0; 24]].concat(),
        // A write of 4 GiB.
        [&0x2560_9513u32.to_be_bytes()[..], &[0, 0, 0, 1], &[0; 16], &[0xff; 4]].concat(),
    ] {
        let (_, mut peer) = writable(40_001);
        peer.say(&request);
        peer.must_be_sent_away();
    }
}

#[test]
fn a_client_that_goes_in_the_middle_changes_nothing_more() {
    for (said, then) in [(27, 0), (28, 0), (28, 4999)] {
        let (memory, mut peer) = writable(40_001);
        let request =
            [&0x2560_9513u32.to_be_bytes()[..], &[0, 0, 0, 1], &[0; 16], &5000u32.to_be_bytes()].concat();
        peer.say(&request[..said]);
        peer.say(&vec![7; then]);
        assert_eq!(peer.end().unwrap_err().kind(), ErrorKind::Io);
        assert!(*memory.bytes.lock().unwrap() == striped(40_001));
    }
}

#[test]
fn blocks_have_a_state() {
    let (_, mut peer) = writable(20_000);
    let all = [(4096, 0), (4096, 3), (4096, 0), (4096, 3), (3616, 0)];
    assert_eq!(peer.do_it(7, 0, 0, 20_000).status, all);
    assert_eq!(peer.do_it(7, 1 << 3, 0, 20_000).status, all[..1]);
    assert_eq!(peer.do_it(7, 0, 4100, 100).status, [(100, 3)]);
    assert_eq!(peer.do_it(7, 0, 4000, 100).status, [(96, 0), (4, 3)]);
    peer.end().unwrap();
    // More runs than one reply has room for: the client asks again.
    let (_, mut peer) = writable(64 * MIB);
    let first = peer.do_it(7, 0, 0, 64 << 20).status;
    assert_eq!((first.len(), &first[..2]), (4096, &[(4096, 0), (4096, 3)][..]));
    peer.end().unwrap();
}

fn failing(bad: u64) -> Peer {
    let memory = Memory { bad: Some(bad), ..Memory::new(vec![5; 6 * MIB], true) };
    Peer::of(Arc::new(memory)).greet(3)
}

#[test]
fn a_read_that_fails_says_where_and_lies_about_nothing() {
    let bad = 5 * MIB as u64;
    let mut peer = failing(bad).structured();
    let reply = peer.do_it(0, 0, 0, 6 << 20);
    assert_eq!((reply.errno, reply.failed_at), (5, Some(4 << 20)));
    assert_eq!(reply.message, "a bad sector", "and no path of this host");
    assert_eq!(reply.data.iter().map(|(_, data)| data.len()).sum::<usize>(), 4 * MIB);
    // One chunk was begun: it is completed, and the error tells which part of it is worth nothing.
    let whole = peer.do_it(0, 1 << 2, 0, 6 << 20);
    assert_eq!((whole.errno, whole.failed_at, whole.data.len()), (5, Some(4 << 20), 1));
    assert!(whole.data[0].1[..4 * MIB].iter().all(|byte| *byte == 5));
    assert!(whole.data[0].1[4 * MIB..].iter().all(|byte| *byte == 0));
    let early = peer.do_it(0, 1 << 2, bad, 100);
    assert_eq!((early.errno, early.data.len()), (5, 0));
    assert_eq!(peer.write(0, bad - 10, &[1; 100]).errno, 5);
    assert_eq!(peer.read(0, 100), [5; 100], "the connection goes on");
    assert_eq!(peer.told.lock().unwrap().len(), 4);
    peer.end().unwrap();
}

#[test]
fn a_simple_read_that_fails_has_no_data_or_no_end() {
    let mut peer = failing(100).go();
    peer.request(0, 0, 0, 5000);
    assert_eq!(peer.simple(0), 5);
    peer.request(0, 0, 4096, 4);
    assert_eq!(peer.simple(0), 0);
    assert_eq!(peer.hear(4), [5; 4]);
    peer.end().unwrap();
    let mut peer = failing(5 << 20).go();
    peer.request(0, 0, 0, 6 << 20);
    assert_eq!(peer.simple(0), 0);
    assert_eq!(peer.hear(4 * MIB).len(), 4 * MIB);
    assert_eq!(peer.hung_up().unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn requests_that_are_sent_ahead_are_all_answered() {
    let (_, mut peer) = writable(40_001);
    for at in 0..100u64 {
        peer.request(0, 0, at, 1);
    }
    peer.request(2, 0, 0, 0);
    for at in 0..100u64 {
        assert_eq!(peer.reply(0).data, [(at, vec![striped(100)[at as usize]])]);
    }
    peer.hung_up().unwrap();
}
