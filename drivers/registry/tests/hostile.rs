//! Hives that lie: an error in under a second, whatever is broken, and no edit of what is not whole.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod judges;
mod maker;

use driver_registry::{FileTime, Hive, Log, LogFile, Value, recover};
use judges::foreign;
use maker::{get32, put32, seal};
use std::time::{Duration, Instant};

/// Reads all there is to read, and edits what can be edited; what comes out must be whole.
fn try_everything(bytes: &[u8]) -> bool {
    let Ok(mut hive) = Hive::open(bytes.to_vec()) else { return false };
    for visit in hive.walk() {
        let Ok(visit) = visit else { break };
        let _ = (visit.key.class(), visit.key.security(), visit.key.link_target());
        for value in visit.key.values().unwrap_or_default() {
            let _ = value.read();
        }
    }
    let _ = hive.key("a\\b").map(|key| key.map(|key| key.value("c")));
    let Ok(mut edit) = hive.edit(FileTime(1)) else { return false };
    let victim = edit.hive().root().unwrap().subkeys().unwrap().first().map(|key| key.name().to_string());
    let _ = edit.create_key("a new key", Some("class"));
    let _ = edit.set_value("a new key", "value", &Value::binary(vec![1; 20_000]));
    let _ = edit.set_value("", "", &Value::dword(1));
    if let Some(victim) = victim {
        let _ = edit.delete_key(&victim);
    }
    if let Ok(bytes) = hive.into_bytes() {
        Hive::open(bytes).unwrap().check().unwrap();
    }
    true
}

#[track_caller]
fn quickly<T>(what: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = what();
    // Tests run unoptimised and beside each other.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    result
}

/// A hive with some of everything.
fn sample() -> Vec<u8> {
    let mut hive = Hive::open(maker::empty(5)).unwrap();
    let mut edit = hive.edit(FileTime(1)).unwrap();
    for n in 0..9 {
        edit.create_key(&format!("a\\b{n}\\c"), Some("class")).unwrap();
        edit.set_value(&format!("a\\b{n}"), "value", &Value::binary(vec![1; n * n * 3])).unwrap();
    }
    edit.set_value("a", "big", &Value::binary(vec![2; 17_000])).unwrap();
    hive.into_bytes().unwrap()
}

#[test]
fn every_prefix_ends_in_an_error() {
    let bytes = sample();
    for len in (0..bytes.len()).step_by(37).chain([0, 1, 511, 512, 4095, 4096, bytes.len() - 1]) {
        assert!(Hive::open(bytes[..len].to_vec()).is_err(), "{len:#x}");
        assert!(recover(bytes[..len].to_vec(), &[]).is_err() || len >= 4096, "{len:#x}");
    }
    let Some(files) = foreign() else { return };
    let bytes = &files["yarp/HealedHive"];
    for len in (0..0x2000).step_by(61) {
        assert!(Hive::open(bytes[..len].to_vec()).is_err(), "{len:#x}");
    }
}

#[test]
fn every_byte_with_other_bits() {
    let bytes = sample();
    let mut accepted = 0;
    for at in (0..bytes.len()).filter(|at| !(0x3000..0x7000).contains(at) || at % 64 == 0) {
        for bits in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= bits;
            if at < 508 {
                seal(&mut bytes);
            }
            accepted += usize::from(try_everything(&bytes));
        }
    }
    // Data, times and names may be anything.
    assert!(accepted > 1000, "{accepted}");
}

#[test]
fn numbers_at_their_limits() {
    let bytes = sample();
    for at in (0x1020..bytes.len() - 4).step_by(4).filter(|at| !(0x3000..0x7000).contains(at)) {
        for number in
            [0, 1, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, u32::MAX, 0x20, get32(&bytes, 40), 0x1000]
        {
            let mut bytes = bytes.clone();
            put32(&mut bytes, at, number);
            try_everything(&bytes);
        }
    }
}

#[test]
fn broken_bits_in_hives_of_the_collection() {
    let Some(files) = foreign() else { return };
    let mut random = 0x2545_f491_4f6c_dd1du64;
    for name in [
        "yarp/BigDataHive",
        "regipy/SAM",
        "hivex/special",
        "plaso/regf/100_sub_keys.hiv",
        "yarp/WrongOrderHive",
    ] {
        let bytes = &files[name];
        let size = get32(bytes, 40) as usize;
        for _ in 0..400 {
            let mut bytes = bytes.clone();
            for _ in 0..3 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                bytes[4096 + random as usize % size] ^= 1 << (random >> 60 & 7);
            }
            quickly(|| try_everything(&bytes));
        }
    }
}

/// Where the list of subkeys of the root is, in the file.
fn root_list(bytes: &[u8]) -> usize {
    0x1000 + get32(bytes, 0x1024 + 28) as usize + 4
}

fn message(bytes: Vec<u8>) -> String {
    quickly(|| Hive::open(bytes).and_then(|hive| hive.check()).unwrap_err().to_string())
}

#[test]
fn loops_and_shared_cells_are_found() {
    let bytes = sample();
    let list = root_list(&bytes);
    let key = 0x1000 + get32(&bytes, list + 4) as usize + 4;
    // The key is its own parent's list; it lists the root; its values are the root's list.
    let mut own_list = bytes.clone();
    put32(&mut own_list, key + 20, 1);
    put32(&mut own_list, key + 28, get32(&bytes, 0x1024 + 28));
    assert!(message(own_list.clone()).contains("is used twice"));
    let met = quickly(|| Hive::open(own_list).unwrap().walk().take(1000).count());
    assert!(met < 1000);
    let mut root_again = bytes.clone();
    put32(&mut root_again, list + 4, 0x20);
    assert!(message(root_again).contains("is used twice"));
    let below = 0x1000 + get32(&bytes, 0x1000 + get32(&bytes, key + 28) as usize + 4 + 4) as usize + 4;
    let mut same_values = bytes.clone();
    for at in [36, 40] {
        put32(&mut same_values, below + at, get32(&bytes, key + at));
    }
    assert!(message(same_values).contains("is used twice"));
    // Descriptors: too few owners, a ring that is none.
    let mut few = bytes.clone();
    put32(&mut few, 0x1078 + 4 + 12, 3);
    assert!(message(few).contains("counts 3 keys"));
    let mut ring = bytes.clone();
    put32(&mut ring, 0x1078 + 4 + 8, 0x20);
    assert!(message(ring).contains("the ring of descriptors ends here"));
    // A list of lists in a list of lists.
    let mut roots = bytes;
    roots[list..list + 2].copy_from_slice(b"ri");
    let own = get32(&roots, 0x1024 + 28);
    put32(&mut roots, list + 4, own);
    assert!(message(roots).contains("starts with ri, expected is lf, lh or li"));
}

/// A hive of the largest size that is one list, and one value that says it is as large.
#[test]
fn huge_counts_cost_no_more_than_the_file() {
    let mut bytes = maker::empty(5);
    let bins = 64 << 20;
    bytes.resize(0x1000 + bins, 0);
    put32(&mut bytes, 40, bins as u32);
    seal(&mut bytes);
    let at = 0x2000;
    bytes[at..at + 4].copy_from_slice(b"hbin");
    put32(&mut bytes, at + 4, 0x1000);
    put32(&mut bytes, at + 8, bins as u32 - 0x1000);
    let cell = at + 32;
    put32(&mut bytes, cell, (bins as u32 - 0x1020).wrapping_neg());
    // All entries of the list of values are the root's own cell.
    let count = (bins as u32 - 0x1024) / 4;
    (0..count as usize).for_each(|n| put32(&mut bytes, cell + 4 + n * 4, 0x20));
    put32(&mut bytes, 0x1024 + 36, count);
    put32(&mut bytes, 0x1024 + 40, 0x1020);
    let read = || Hive::open(bytes.clone()).unwrap().root().unwrap().value("a").unwrap_err().to_string();
    assert!(quickly(read).contains("expected is vk"));
    // The same cell as a list of subkeys with all entries a leaf of 65535 times one key.
    let mut lists = bytes.clone();
    put32(&mut lists, 0x1024 + 36, 0);
    put32(&mut lists, 0x1024 + 20, u32::MAX);
    put32(&mut lists, 0x1024 + 28, 0x1020);
    lists[cell + 4..cell + 8].copy_from_slice(b"ri\xff\xff");
    (0..65535).for_each(|n| put32(&mut lists, cell + 8 + n * 4, 0x1020));
    assert!(message(lists).contains("starts with ri"));
}

#[test]
fn broken_logs() {
    let mut primary = sample();
    put32(&mut primary, 4, 9);
    put32(&mut primary, 8, 8);
    seal(&mut primary);
    // A log of headers that all say to be large.
    let mut log = primary[..512].to_vec();
    put32(&mut log, 4, 8);
    put32(&mut log, 28, 6);
    seal(&mut log);
    log.resize(32 << 20, 0);
    for at in (512..log.len()).step_by(512) {
        log[at..at + 4].copy_from_slice(b"HvLE");
        put32(&mut log, at + 4, (32 << 20) - 512);
        put32(&mut log, at + 12, 8);
    }
    let replay = |log: &[u8]| recover(primary.clone(), &[Log { file: LogFile::Log1, bytes: log }]);
    assert!(quickly(|| replay(&log).is_err()));
    let Some(files) = foreign() else { return };
    let (primary, log) =
        (&files["yarp/NewDirtyHive1/NewDirtyHive"], &files["yarp/NewDirtyHive1/NewDirtyHive.LOG1"]);
    let (old_primary, old_log) = (
        &files["yarp/BadBaseBlockHive/BadBaseBlockHive"],
        &files["yarp/BadBaseBlockHive/BadBaseBlockHive.LOG1"],
    );
    for (primary, log) in [(primary, log), (old_primary, old_log)] {
        let replay = |log: &[u8]| recover(primary.clone(), &[Log { file: LogFile::Log1, bytes: log }]);
        let whole = replay(log).unwrap().bytes;
        for len in (0..log.len()).step_by(509) {
            if let Ok(recovered) = replay(&log[..len]) {
                Hive::open(recovered.bytes).unwrap().check().unwrap();
            }
        }
        for at in (0..1200).chain((1200..log.len()).step_by(997)) {
            let mut log = log.clone();
            log[at] ^= 0x40;
            if let Ok(recovered) = replay(&log) {
                assert!(recovered.bytes.len() <= whole.len() + 0x100_0000);
                Hive::open(recovered.bytes).unwrap().check().unwrap();
            }
        }
    }
}
