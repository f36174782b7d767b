//! Replay of transaction logs: against hives that Windows recovered, and with logs of our own making.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod judges;
mod maker;

use driver_registry::{Applied, FileTime, Hive, Log, LogFile, Recovered, Value, recover};
use format_core::{Error, ErrorKind, Result};
use judges::{foreign, hivex_export, parse_export};
use maker::{get32, log_entry, log_header, old_log, put32, seal, seal_entry};
use std::collections::BTreeMap;

/// The hive after its n-th edit; the base block does not matter.
fn edited(count: u32) -> Vec<u8> {
    let mut hive = Hive::open(maker::empty(5)).unwrap();
    let mut edit = hive.edit(FileTime(u64::from(count))).unwrap();
    for n in 0..count {
        // The third needs another bin.
        let data = vec![n as u8; if n == 2 { 6000 } else { 20 }];
        edit.set_value("", &format!("edit {n}"), &Value::binary(data)).unwrap();
    }
    hive.into_bytes().unwrap()
}

/// A dirty hive with 20 as its last whole number.
fn dirty() -> Vec<u8> {
    let mut primary = edited(0);
    put32(&mut primary, 4, 21);
    put32(&mut primary, 8, 20);
    seal(&mut primary);
    primary
}

/// A log of the new format with entries `from` to `to`; entry 20 is the first edit.
fn new_log(from: u32, to: u32) -> Vec<u8> {
    let mut log = log_header(&dirty(), 6, from);
    for sequence in from..=to {
        log.extend(log_entry(&edited(sequence - 20), &edited(sequence - 19), sequence));
    }
    log
}

fn replayed(primary: &[u8], log1: &[u8], log2: &[u8]) -> Result<Recovered> {
    let logs = [Log { file: LogFile::Log1, bytes: log1 }, Log { file: LogFile::Log2, bytes: log2 }];
    recover(primary.to_vec(), &logs)
}

/// Says that the hive is what it was after `count` edits, and which numbers it has.
#[track_caller]
fn assert_state(recovered: &Recovered, count: u32, sequence: u32) {
    let mut expected = edited(count);
    put32(&mut expected, 4, sequence);
    put32(&mut expected, 8, sequence);
    expected[12..20].copy_from_slice(&dirty()[12..20]);
    seal(&mut expected);
    assert!(recovered.bytes == expected);
    assert!(recovered.replay.was_dirty);
    hivex_export(&recovered.bytes).unwrap();
}

#[track_caller]
fn assert_refused(result: Result<Recovered>, message: &str) {
    let error: Error = result.map(|recovered| recovered.replay).unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(error.kind(), ErrorKind::NeedsPerson);
    assert!(error.hint_text().unwrap().contains("shut it down properly"));
}

#[test]
fn a_hive_becomes_what_windows_10_made_of_it() {
    let Some(files) = foreign() else { return };
    let file = |name: &str| files[&format!("yarp/NewDirtyHive1/{name}")].as_slice();
    let recovered =
        replayed(file("NewDirtyHive"), file("NewDirtyHive.LOG1"), file("NewDirtyHive.LOG2")).unwrap();
    assert!(recovered.bytes == file("RecoveredHive_Windows10"));
    let applied: Vec<_> = recovered.replay.applied.iter().map(|entry| (entry.log, entry.sequence)).collect();
    let (one, two) = (LogFile::Log1, LogFile::Log2);
    assert_eq!(applied, [(one, 2), (two, 3), (two, 4), (two, 5)]);
    // The same with the logs named the other way round, and again: it is clean by then.
    let turned =
        replayed(file("NewDirtyHive"), file("NewDirtyHive.LOG2"), file("NewDirtyHive.LOG1")).unwrap();
    assert!(turned.bytes == recovered.bytes);
    let again = replayed(&recovered.bytes, file("NewDirtyHive.LOG1"), file("NewDirtyHive.LOG2")).unwrap();
    assert!(again.bytes == recovered.bytes && !again.replay.was_dirty && again.replay.applied.is_empty());
    assert!(again.replay.steps.iter().all(|step| step.empty && !step.is_required));
}

#[test]
fn old_logs_of_the_collection() {
    let Some(files) = foreign() else { return };
    let file = |name: &str| files[&format!("yarp/{name}")].clone();
    let refused = |folder: &str, message: &str| {
        let file = |ending: &str| file(&format!("{folder}/BadLogHive{ending}"));
        assert_refused(replayed(&file(""), &file(".LOG1"), &file(".LOG2")), message);
    };
    refused("BadLogHive1", ".LOG1: its base block is damaged");
    refused("BadLogHive2", ".LOG1: it holds no bitmap of dirty pages");
    refused("BadLogHive3", ".LOG1: its base block is damaged, .LOG2: its base block is damaged");

    // A damaged base block comes back from the log.
    let (primary, log) =
        (file("BadBaseBlockHive/BadBaseBlockHive"), file("BadBaseBlockHive/BadBaseBlockHive.LOG1"));
    let recovered = replayed(&primary, &log, &[]).unwrap();
    assert_eq!(recovered.replay.base_block_from, Some(LogFile::Log1));
    let applied = Applied { log: LogFile::Log1, sequence: 5, bytes: 64 * 512 };
    assert_eq!(recovered.replay.applied, [applied]);
    let hive = Hive::open(recovered.bytes.clone()).unwrap();
    assert_eq!((hive.version(), hive.check().unwrap().keys), ((1, 3), 5003));
    assert_eq!(parse_export(&hivex_export(&recovered.bytes).unwrap()).len(), 5003);

    // The first collection's log was only damaged in its base block, and belongs to the same hive.
    let mut log = file("BadLogHive1/BadLogHive.LOG1");
    seal(&mut log);
    let whole = replayed(&file("BadLogHive1/BadLogHive"), &[], &log).unwrap();
    assert_eq!(whole.replay.applied, [Applied { log: LogFile::Log2, ..applied }]);
    assert!(whole.bytes[4096..] == recovered.bytes[4096..]);
    // A log of another time does not.
    log[12] ^= 1;
    seal(&mut log);
    assert_refused(replayed(&file("BadLogHive1/BadLogHive"), &log, &[]), "its time is not that of the hive");
}

#[test]
fn without_logs_a_dirty_hive_is_read_and_not_edited() {
    let Some(files) = foreign() else { return };
    for name in ["dfwinreg/SYSTEM", "regipy/SECURITY"] {
        assert_refused(recover(files[name].clone(), &[]), "there is none with content");
        assert_refused(replayed(&files[name], &[], &[0; 4096]), "there is none with content");
        let mut hive = Hive::open(files[name].clone()).unwrap();
        assert!(hive.is_dirty() && hive.check().is_ok());
        let error = hive.edit(FileTime(1)).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson);
        assert!(hive.into_bytes().unwrap() == files[name]);
    }
}

#[test]
fn entries_of_both_logs_are_applied_in_order() {
    assert_state(&replayed(&dirty(), &new_log(20, 21), &[]).unwrap(), 2, 22);
    for (first, second) in [(new_log(20, 21), new_log(22, 24)), (new_log(22, 24), new_log(20, 21))] {
        assert_state(&replayed(&dirty(), &first, &second).unwrap(), 5, 25);
    }
    // The log of an earlier round is left alone.
    let mut older = new_log(20, 22);
    put32(&mut older, 4, 15);
    put32(&mut older, 8, 15);
    seal(&mut older);
    let older_entry = log_entry(&edited(0), &edited(1), 15);
    older.splice(512.., older_entry);
    assert_state(&replayed(&dirty(), &older, &new_log(20, 22)).unwrap(), 3, 23);
    // So are entries of an earlier round behind the newest.
    let mut log = new_log(20, 21);
    log.extend(log_entry(&edited(3), &edited(4), 17));
    assert_state(&replayed(&dirty(), &log, &[]).unwrap(), 2, 22);
}

#[test]
fn a_torn_last_entry_is_dropped() {
    let whole = new_log(20, 22);
    let without_last = new_log(20, 21).len();
    for len in [without_last + 40, without_last + 512, whole.len() - 1] {
        assert_state(&replayed(&dirty(), &whole[..len], &[]).unwrap(), 2, 22);
    }
    let mut torn = whole.clone();
    *torn.last_mut().unwrap() ^= 1;
    let recovered = replayed(&dirty(), &torn, &[]).unwrap();
    assert_state(&recovered, 2, 22);
    let dropped = &recovered.replay.dropped[0];
    assert_eq!((dropped.log, dropped.sequence, dropped.why), (LogFile::Log1, 22, "a hash is wrong"));
    // Its number is the one that the hive has now, so that it must not stay.
    assert!(recovered.replay.steps[0].empty && recovered.replay.steps[0].is_required);
}

#[test]
fn a_damaged_entry_before_others_is_refused() {
    let mut log = new_log(20, 22);
    log[512 + 600] ^= 1;
    assert_refused(replayed(&dirty(), &log, &[]), "its first entry is damaged or missing");
    let mut log = new_log(20, 23);
    let second = new_log(20, 20).len();
    log[second + 600] ^= 1;
    assert_refused(replayed(&dirty(), &log, &[]), "holds entry 23");
    // Entries that are not there at all, between the logs and before them.
    assert_refused(replayed(&dirty(), &new_log(20, 21), &new_log(23, 24)), "holds entry 24");
    assert_refused(
        replayed(&dirty(), &new_log(22, 23), &[]),
        "the first log entry is 22, the hive waits for 20",
    );
    let mut log = new_log(22, 23);
    log[100] ^= 1;
    assert_refused(replayed(&dirty(), &new_log(20, 21), &log), "holds entry 23");
}

#[test]
fn a_damaged_base_block_comes_from_the_newest_log() {
    let mut primary = dirty();
    primary[24] = 1;
    let recovered = replayed(&primary, &new_log(20, 21), &new_log(22, 23)).unwrap();
    assert_state(&recovered, 4, 24);
    assert_eq!(recovered.replay.base_block_from, Some(LogFile::Log2));
    // A log that does not lead up to the newest one is older than the hive: here, the hive had its third edit.
    let mut primary = edited(3);
    primary[24] = 1;
    let recovered = replayed(&primary, &new_log(20, 21), &new_log(23, 24)).unwrap();
    assert_state(&recovered, 5, 25);
    assert_eq!(recovered.replay.applied.len(), 2);
    assert_refused(replayed(&primary, &[], &[]), "there is none with content");
}

#[test]
fn pages_outside_and_wrong_sizes_are_no_entries() {
    let change = |at: usize, number: u32| {
        let mut log = new_log(20, 20);
        put32(&mut log, 512 + at, number);
        seal_entry(&mut log[512..]);
        log
    };
    for (at, number) in [
        (16, 0),
        (16, 4095),
        (20, u32::MAX),
        (20, 1000),
        (40, 0x1000),
        (40, u32::MAX),
        (40, 100),
        (44, 0x2000),
        (44, u32::MAX),
        (44, 100),
    ] {
        assert_refused(replayed(&dirty(), &change(at, number), &[]), "its first entry is damaged or missing");
    }
    // A size that no hive may have, and one that the pages do not fill.
    let error = replayed(&dirty(), &change(16, 0xf000_0000), &[]).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_refused(
        replayed(&dirty(), &change(16, 0x10_0000), &[]),
        "the hive has 0x101000 bytes, hive and logs",
    );
    assert_refused(replayed(&dirty(), &change(16, 0x2000), &[]), "after the replay, hive bin at 0x1000");
    for size in [0, 39, 512, 0xffff_fe00] {
        let mut log = new_log(20, 20);
        put32(&mut log, 512 + 4, size);
        assert_refused(replayed(&dirty(), &log, &[]), "its first entry is damaged or missing");
    }
}

#[test]
fn logs_of_the_old_format_finish_a_write() {
    // Windows XP numbers its log one lower than the hive; later ones number both alike.
    for sequence in [20, 21] {
        let log = old_log(&edited(0), &edited(3), sequence);
        let mut log = log;
        log[12..20].copy_from_slice(&dirty()[12..20]);
        seal(&mut log);
        let recovered = replayed(&dirty(), &log, &[]).unwrap();
        assert_eq!(recovered.replay.applied.len(), 1);
        // The first bin has the time of the write.
        assert_state(&recovered, 3, 22);
        // Any part of a write that was under way makes no difference.
        let mut half = dirty();
        half.resize(edited(3).len(), 0);
        half[0x1200..0x1800].copy_from_slice(&edited(3)[0x1200..0x1800]);
        assert!(replayed(&half, &log, &[]).unwrap().bytes == recovered.bytes);
        let cut = replayed(&dirty(), &log[..log.len() - 1], &[]);
        assert_refused(cut, "it ends before its last page");
        put32(&mut log, 8, sequence - 1);
        seal(&mut log);
        assert_refused(replayed(&dirty(), &log, &[]), "it was not written to its end");
    }
}

#[test]
fn stale_logs_are_to_be_emptied() {
    let clean = edited(1);
    let recovered = replayed(&clean, &new_log(20, 21), &[]).unwrap();
    assert!(recovered.bytes == clean && !recovered.replay.was_dirty);
    let steps: BTreeMap<_, _> =
        recovered.replay.steps.iter().map(|step| (step.log, (step.empty, step.is_required))).collect();
    // The hive's number is 8: it will come to 20, and Windows would take up the entries if it crashed then.
    assert_eq!(steps, [(LogFile::Log1, (true, true)), (LogFile::Log2, (false, false))].into());
}

#[test]
fn an_edit_after_the_replay_is_above_the_logs() {
    let recovered = replayed(&dirty(), &new_log(20, 21), &[]).unwrap();
    let mut hive = Hive::open(recovered.bytes).unwrap();
    assert!(hive.edit(FileTime(9)).unwrap().set_value("", "a", &Value::dword(1)).unwrap());
    let bytes = hive.into_bytes().unwrap();
    assert_eq!((get32(&bytes, 4), get32(&bytes, 8)), (23, 23));
}
