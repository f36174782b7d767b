//! Option haggling.

use crate::peer::{Memory, OPTION, Peer, about, contexts};
use convert_nbd::Exports;
use std::sync::Arc;

fn two() -> Exports {
    let mut exports = Exports::default();
    exports.add("boot", "the boot disk", Arc::new(Memory::new(vec![1; 1000], false))).unwrap();
    exports.add("data", "", Arc::new(Memory::new(vec![2; 3000], true))).unwrap();
    exports
}

fn named(kind: u16, rest: &[u8]) -> (u32, Vec<u8>) {
    (3, [&kind.to_be_bytes()[..], rest].concat())
}

#[test]
fn a_client_learns_what_there_is() {
    let mut peer = Peer::connect(two()).greet(3);
    let list = [(2, b"\0\0\0\x04bootthe boot disk".to_vec()), (2, b"\0\0\0\x04data".to_vec()), (1, vec![])];
    assert_eq!(peer.ask(3, b""), list);
    assert_eq!(peer.ask(3, b"x")[0].0, 0x8000_0003, "LIST has no data");
    let size = |n: u64, flags: u16| named(0, &[&n.to_be_bytes()[..], &flags.to_be_bytes()].concat());
    // HAS_FLAGS READ_ONLY FLUSH FUA CACHE
    assert_eq!(peer.ask(6, &about("boot", &[])), [size(1000, 0b100_0000_1111), (1, vec![])]);
    peer.ask(8, b"");
    // With structured replies there is DF; what can be written has TRIM, WRITE_ZEROES and FAST_ZERO, too.
    assert_eq!(peer.ask(6, &about("data", &[]))[0], size(3000, 0b1100_1110_1101));
    let blocks = [1u32, 4096, 32 << 20].map(u32::to_be_bytes).concat();
    let all = peer.ask(6, &about("", &[3, 1, 2, 0, 77]));
    let expected = [
        size(1000, 0b100_1000_1111),
        named(1, b"boot"),
        named(2, b"the boot disk"),
        named(3, &blocks),
        (1, vec![]),
    ];
    assert_eq!(all, expected, "the default export is the first");
    assert_eq!(peer.ask(6, &about("none", &[]))[0].0, 0x8000_0006);
    assert_eq!(peer.ask(7, &about("none", &[]))[0].0, 0x8000_0006);
    assert_eq!(peer.ask(6, b"\0\0\0\x09abc")[0].0, 0x8000_0003);
    assert_eq!(peer.ask(5, b"")[0].0, 0x8000_0002, "no TLS");
    assert_eq!(peer.ask(11, b"")[0].0, 0x8000_0001, "no extended headers");
    assert_eq!(peer.ask(0xffff_ffff, b"12345")[0].0, 0x8000_0001);
    assert_eq!(peer.ask(8, b"1")[0].0, 0x8000_0003);
    peer.go().end().unwrap();
}

#[test]
fn contexts_belong_to_an_export_and_to_structured_replies() {
    let mut peer = Peer::connect(two()).greet(3);
    assert_eq!(peer.ask(9, &contexts("boot", &[]))[0].0, 0x8000_0003, "structured replies come first");
    peer.ask(8, b"");
    let allocation = |id: u32| (4, [&id.to_be_bytes()[..], b"base:allocation"].concat());
    assert_eq!(peer.ask(9, &contexts("boot", &[])), [allocation(0), (1, vec![])]);
    assert_eq!(peer.ask(9, &contexts("boot", &["base:"])), [allocation(0), (1, vec![])]);
    assert_eq!(peer.ask(9, &contexts("boot", &["qemu:"])), [(1, vec![])]);
    assert_eq!(peer.ask(9, &contexts("none", &[]))[0].0, 0x8000_0006);
    assert_eq!(peer.ask(10, &contexts("boot", &[])), [(1, vec![])], "nothing wanted, nothing chosen");
    assert_eq!(peer.ask(10, &contexts("data", &["base:allocation"])), [allocation(1), (1, vec![])]);
    // Chosen for another export.
    let mut peer = peer.go();
    assert_eq!(peer.do_it(7, 0, 0, 512).errno, 22);
    peer.end().unwrap();
    // A later choice replaces the one before, also when it fails.
    let mut peer = Peer::connect(two()).greet(3);
    peer.ask(8, b"");
    peer.ask(10, &contexts("boot", &["base:allocation"]));
    assert_eq!(peer.ask(10, b"\0")[0].0, 0x8000_0003);
    let mut peer = peer.go();
    assert_eq!(peer.do_it(7, 0, 0, 512).errno, 22);
    peer.end().unwrap();
}

#[test]
fn the_old_way_in_works_with_and_without_its_zeroes() {
    for (flags, zeroes) in [(0, 124), (1, 124), (3, 0)] {
        let mut peer = Peer::connect(two()).greet(flags);
        peer.option(1, b"data");
        assert_eq!((peer.number(8), peer.number(2)), (3000, 0b1100_0110_1101));
        assert_eq!(peer.hear(zeroes), vec![0; zeroes]);
        peer.request(0, 0, 10, 4);
        assert_eq!(peer.simple(0), 0);
        assert_eq!(peer.hear(4), [2; 4]);
        peer.request(2, 0, 0, 0);
        peer.hung_up().unwrap();
    }
}

#[test]
fn clients_may_leave_at_any_point() {
    Peer::connect(two()).end().unwrap();
    Peer::connect(two()).greet(3).end().unwrap();
    let mut peer = Peer::connect(two()).greet(3);
    assert_eq!(peer.ask(2, b""), [(1, vec![])]);
    peer.hung_up().unwrap();
    for half in [
        &[0u8, 0][..],
        &[0, 0, 0, 3, b'I', b'H'],
        &[0, 0, 0, 3, b'I', b'H', b'A', b'V', b'E', b'O', b'P', b'T', 0],
    ] {
        let mut peer = Peer::connect(two());
        peer.hear(18);
        peer.say(half);
        assert!(peer.end().is_err());
    }
}

#[test]
fn what_is_no_client_is_sent_away() {
    for flags in [4, 0x8000_0003, u32::MAX] {
        Peer::connect(two()).greet(flags).must_be_sent_away();
    }
    let wrong: [&dyn Fn(&mut Peer); 6] = [
        &|peer| peer.say(b"GET / HTTP/1.1\r\n\r\n"),
        &|peer| peer.option(1, b"none"),
        &|peer| peer.option(1, &[0xff, 0xfe]),
        // Lengths that nobody can mean; nothing follows.
        &|peer| peer.say(&[&OPTION.to_be_bytes()[..], &3u32.to_be_bytes(), &u32::MAX.to_be_bytes()].concat()),
        &|peer| {
            peer.say(&[&OPTION.to_be_bytes()[..], &1u32.to_be_bytes(), &70_000u32.to_be_bytes()].concat())
        },
        &|peer| {
            (0..4096).for_each(|_| {
                peer.ask(99, b"");
            });
        },
    ];
    for wrong in wrong {
        let mut peer = Peer::connect(two()).greet(3);
        wrong(&mut peer);
        peer.must_be_sent_away();
    }
    let mut plain = Peer::connect(two()).greet(0);
    plain.option(3, b"");
    plain.must_be_sent_away();
}

#[test]
fn an_option_that_is_too_long_is_passed_over() {
    let mut peer = Peer::connect(two()).greet(3);
    assert_eq!(peer.ask(7, &vec![0; 100_000])[0].0, 0x8000_0009);
    assert_eq!(peer.ask(6, &about("data", &[])).last().unwrap().0, 1, "the next one is understood");
    peer.end().unwrap();
}
