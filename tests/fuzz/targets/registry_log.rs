//! Transaction logs of registry hives: what a replay gives is clean, whole, and needs no second one.
#![no_main]

#[path = "../../../drivers/registry/tests/maker/mod.rs"]
mod maker;

use driver_registry::{FileTime, Hive, Log, LogFile, Value, recover};
use libfuzzer_sys::fuzz_target;

/// In front of the files: lengths of the primary file and of the first log in sectors, and whether hashes are put right.
const HEADER: usize = 3;

/// A hive after so many edits.
fn edited(count: u32) -> Vec<u8> {
    let mut hive = Hive::open(maker::empty(5)).expect("the recipe is right");
    let mut edit = hive.edit(FileTime(maker::MADE)).expect("it is whole");
    for n in 0..count {
        let value = Value::binary(vec![n as u8; if n == 2 { 5000 } else { 20 }]);
        edit.set_value("", &format!("edit {n}"), &value).expect("there is room");
    }
    hive.into_bytes().expect("no edit failed")
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut primary = edited(0);
    maker::put32(&mut primary, 4, 21);
    maker::put32(&mut primary, 8, 20);
    maker::seal(&mut primary);
    let new_log = |from: u32, to: u32| {
        let mut log = maker::log_header(&primary, 6, from);
        for sequence in from..=to {
            log.extend(maker::log_entry(&edited(sequence - 20), &edited(sequence - 19), sequence));
        }
        log
    };
    let mut damaged = primary.clone();
    damaged[24] = 1;
    let seed = |name: &str, primary: &[u8], logs: [Vec<u8>; 2]| {
        let sectors = |bytes: &[u8]| (bytes.len() / 512) as u8;
        let mut seed = vec![sectors(primary), sectors(&logs[0]), 1];
        seed.extend(primary);
        logs.iter().for_each(|log| seed.extend(log));
        (name.to_owned(), seed)
    };
    vec![
        seed("new", &primary, [new_log(20, 21), new_log(22, 23)]),
        seed("damaged", &damaged, [new_log(22, 23), new_log(20, 21)]),
        seed("old", &primary, [maker::old_log(&edited(0), &edited(3), 21), Vec::new()]),
        seed("old-damaged", &damaged, [Vec::new(), maker::old_log(&edited(0), &edited(3), 21)]),
    ]
}

/// Makes checksum and hashes of a log right, as far as its sizes lead.
fn seal_log(log: &mut [u8]) {
    if log.len() < 512 {
        return;
    }
    maker::seal(log);
    let mut at = 512;
    while log.len() >= at + 512 && log[at..].starts_with(b"HvLE") {
        let size = maker::get32(log, at + 4) as usize;
        let Some(entry) = at.checked_add(size).and_then(|end| log.get_mut(at..end)) else { return };
        if entry.len() < 512 {
            return;
        }
        maker::seal_entry(entry);
        at += size;
    }
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let Some((&[primary_len, log_len, seal], rest)) = input.split_first_chunk::<HEADER>() else { return };
    let (primary, rest) = rest.split_at(rest.len().min(usize::from(primary_len) * 512));
    let (log1, log2) = rest.split_at(rest.len().min(usize::from(log_len) * 512));
    let (mut primary, mut log1, mut log2) = (primary.to_vec(), log1.to_vec(), log2.to_vec());
    if seal % 4 != 0 {
        seal_log(&mut log1);
        seal_log(&mut log2);
    }
    if seal % 4 > 1 && primary.len() >= 512 {
        maker::seal(&mut primary);
    }
    let logs = [Log { file: LogFile::Log1, bytes: &log1 }, Log { file: LogFile::Log2, bytes: &log2 }];
    let Ok(recovered) = recover(primary.clone(), &logs) else { return };
    let replay = recovered.replay;
    assert_eq!(replay.was_dirty, !replay.applied.is_empty());
    if !replay.was_dirty {
        assert!(recovered.bytes == primary);
        return;
    }
    let mut hive = Hive::open(recovered.bytes.clone()).expect("what came out opens");
    assert!(!hive.is_dirty());
    hive.check().expect("what came out is whole");
    let again = recover(recovered.bytes.clone(), &logs).expect("it is clean");
    assert!(!again.replay.was_dirty && again.bytes == recovered.bytes);
    hive.edit(FileTime(1)).expect("it can be edited").set_value("", "a", &Value::dword(1)).ok();
    hive.into_bytes().map(|bytes| Hive::open(bytes).and_then(|hive| hive.check()).expect("it is whole")).ok();
});
