//! Edits of hives of the collection: exactly what was asked for, by the word of hivexregedit and of libregf, and not a
//! byte more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod judges;
mod maker;

use driver_registry::{Editor, FileTime, Hive, Kind, Value};
use format_core::ErrorKind;
use judges::{
    Content, editable, exported_data, exported_name, first_difference, hivex_export, libregf, like_libregf,
    parse_export,
};
use maker::get32;
use std::collections::{BTreeMap, BTreeSet};

const NOW: FileTime = FileTime(0x01dc_1234_5678_9abc);

/// Values of every type and length class.
fn values() -> Vec<(&'static str, Value)> {
    let long = |len: usize| (0..len).map(|at| (at * 7 + at / 251) as u8).collect::<Vec<_>>();
    vec![
        ("", Value::string("default")),
        ("none", Value::raw(Kind::NONE, [])),
        ("one", Value::binary([0x5a])),
        ("four", Value::binary([1, 2, 3, 4])),
        ("five", Value::binary([1, 2, 3, 4, 5])),
        ("Start", Value::dword(0)),
        ("wide", Value::qword(u64::MAX - 1)),
        ("big endian", Value::raw(Kind::DWORD_BIG_ENDIAN, [0, 0, 0, 9])),
        ("path\\with\\backslashes", Value::expand_string("%SystemRoot%\\x")),
        ("list", Value::multi_string(&["a", "bc", "ünï"])),
        ("значение", Value::string("данные")),
        ("page", Value::binary(long(5000))),
        ("a segment", Value::binary(long(16_344))),
        ("more than a segment", Value::binary(long(16_345))),
        ("four segments", Value::raw(Kind(0xffff_0012), long(60_000))),
    ]
}

/// What `edits` planned, done to the words of hivexregedit.
struct Plan<'a> {
    editor: Editor<'a>,
    content: Content,
}

impl Plan<'_> {
    /// The spelling of a key that is there.
    fn key(&self, path: &str) -> Option<String> {
        let found = self.content.keys().find(|key| key.to_lowercase() == path.to_lowercase());
        found.cloned()
    }

    fn create(&mut self, path: &str) {
        let is_new = self.key(&format!("\\{path}")).is_none();
        assert_eq!(self.editor.create_key(path, None).unwrap(), is_new, "{path}");
        let mut parent = String::new();
        for name in path.split('\\') {
            let key = self.key(&format!("{parent}\\{name}")).unwrap_or_else(|| format!("{parent}\\{name}"));
            self.content.entry(key.clone()).or_default();
            parent = key;
        }
    }

    fn set(&mut self, path: &str, name: &str, value: &Value) {
        let key = self.key(&format!("\\{path}")).unwrap();
        let values = self.content.get_mut(&key).unwrap();
        let wanted = exported_name(name).to_lowercase();
        let name_there = values.keys().find(|there| there.to_lowercase() == wanted).cloned();
        let data = exported_data(value.kind, &value.data);
        let old = values.insert(name_there.unwrap_or_else(|| exported_name(name)), data.clone());
        assert_eq!(self.editor.set_value(path, name, value).unwrap(), old != Some(data), "{path} {name}");
    }

    fn delete(&mut self, path: &str) {
        let key = self.key(&format!("\\{path}")).unwrap();
        let below = format!("{key}\\");
        self.content.retain(|path, _| *path != key && !path.starts_with(&below));
        assert!(self.editor.delete_key(path).unwrap());
    }

    fn delete_value(&mut self, path: &str, name: &str) {
        let key = self.key(&format!("\\{path}")).unwrap();
        let values = self.content.get_mut(&key).unwrap();
        let wanted = exported_name(name).to_lowercase();
        let there = values.keys().find(|there| there.to_lowercase() == wanted).cloned();
        let was_there = there.is_some_and(|there| values.remove(&there).is_some());
        assert_eq!(self.editor.delete_value(path, name).unwrap(), was_there);
    }
}

/// What a Windows fixup does, and what none does.
fn edit_everything(plan: &mut Plan<'_>, victims: &[String], is_old: bool) {
    plan.create("Rehome Test\\Services\\vmbus\\Parameters");
    plan.create("rehome test\\services\\StorVsc");
    plan.create("Rehome Test\\ключ");
    for (name, value) in values() {
        if !is_old || value.data.len() < 1 << 14 {
            plan.set("Rehome Test\\Services\\vmbus", name, &value);
            plan.set("", name, &value);
        }
    }
    for (name, value) in values().into_iter().rev().take(6) {
        let value = Value::raw(value.kind, value.data.into_iter().rev().take(3000).collect::<Vec<_>>());
        plan.set("Rehome Test\\Services\\vmbus", name, &value);
    }
    for name in ["one", "page", "START", "no such value", "four segments"] {
        plan.delete_value("Rehome Test\\Services\\vmbus", name);
    }
    for victim in victims {
        if plan.key(&format!("\\{victim}")).is_some() {
            plan.set(victim, "added", &Value::string("by rehome"));
            plan.delete(victim);
        }
    }
    plan.delete("Rehome Test\\ключ");
    for (name, _) in values().iter().take(4) {
        plan.delete_value("", name);
    }
}

/// Some keys of the hive: the first, the largest by values and one in the middle of each level.
fn victims(hive: &Hive) -> Vec<String> {
    let mut victims = BTreeSet::new();
    let mut key = hive.root().unwrap();
    let mut path = String::new();
    for _ in 0..4 {
        let subkeys = key.subkeys().unwrap();
        let Some(first) = subkeys.first() else { break };
        let name = first.name().to_string();
        if !name.contains('\0') && !name.contains('/') {
            victims.insert(format!("{path}{name}"));
        }
        let Some(middle) = subkeys.get(subkeys.len() / 2) else { break };
        path = format!("{path}{}\\", middle.name());
        key = *middle;
    }
    victims.into_iter().collect()
}

#[test]
fn exactly_the_planned_change_in_every_hive() {
    let Some(hives) = editable() else { return };
    let mut done = 0;
    for (name, bytes) in hives {
        // Paths that say nothing there: keys of the same name, wrong parents, and lists out of order, which see below.
        if ["yarp/DuplicateSubkeysHive", "yarp/InvalidParentHive", "yarp/WrongOrderHive"]
            .contains(&name.as_str())
        {
            continue;
        }
        let before = parse_export(&hivex_export(&bytes).unwrap());
        let mut hive = Hive::open(bytes.clone()).unwrap();
        let is_old = hive.version().1 < 4;
        let victims = victims(&hive);
        let mut plan = Plan { editor: hive.edit(NOW).unwrap(), content: before };
        edit_everything(&mut plan, &victims, is_old);
        let expected = plan.content;
        let edited = hive.into_bytes().unwrap();
        let after = parse_export(&hivex_export(&edited).unwrap_or_else(|error| panic!("{name}: {error}")));
        assert!(after == expected, "{name}: {:?}", first_difference(&expected, &after));
        let hive = Hive::open(edited.clone()).unwrap();
        assert!(!hive.is_dirty() && hive.check().is_ok(), "{name}");
        if name != "hivex/special" && edited.len() < 10 << 20 {
            assert!(libregf(&edited).unwrap() == like_libregf(&hive), "{name}");
        }
        done += 1;
    }
    assert_eq!(done, 29);
}

#[test]
fn the_same_edits_twice_change_nothing() {
    let Some(hives) = editable() else { return };
    for (name, bytes) in hives.into_iter().filter(|(_, bytes)| bytes.len() < 10 << 20) {
        let edit = |bytes: Vec<u8>, now: u64| {
            let mut hive = Hive::open(bytes).unwrap();
            let mut edit = hive.edit(FileTime(now)).unwrap();
            let mut changed = 0;
            for (value_name, value) in values() {
                changed += usize::from(edit.set_value("", value_name, &value).unwrap());
            }
            for path in ["a new key\\below", "a new key", "another key"] {
                // A list out of order takes no key.
                changed += usize::from(edit.create_key(path, Some("class")).unwrap_or(false));
            }
            changed += usize::from(edit.delete_key("another key").unwrap());
            changed += usize::from(edit.delete_value("a new key", "nothing").unwrap());
            (hive.into_bytes().unwrap(), changed)
        };
        let (once, changed) = edit(bytes, 1);
        assert!(changed >= values().len(), "{name}");
        let hive = Hive::open(once.clone()).unwrap();
        assert!(hive.key("another key").unwrap().is_none());
        // All but the key that came and went again.
        let (twice, changed) = edit_without_coming_and_going(once.clone());
        assert!(twice == once && changed == 0, "{name}: {changed}");
    }
}

fn edit_without_coming_and_going(bytes: Vec<u8>) -> (Vec<u8>, usize) {
    let mut hive = Hive::open(bytes).unwrap();
    let has_key = hive.key("a new key").unwrap().is_some();
    let mut edit = hive.edit(FileTime(2)).unwrap();
    let mut changed = 0;
    for (name, value) in values() {
        changed += usize::from(edit.set_value("", name, &value).unwrap());
    }
    if has_key {
        changed += usize::from(edit.create_key("A NEW KEY\\BELOW", Some("another class")).unwrap());
    }
    changed += usize::from(edit.delete_key("another key").unwrap());
    changed += usize::from(edit.delete_value("", "nothing").unwrap());
    (hive.into_bytes().unwrap(), changed)
}

/// Every allocated cell with its bytes.
fn cells(bytes: &[u8]) -> BTreeMap<u32, &[u8]> {
    let bins = &bytes[4096..4096 + get32(bytes, 40) as usize];
    let (mut cells, mut bin) = (BTreeMap::new(), 0);
    while bin < bins.len() {
        let end = bin + get32(bins, bin + 8) as usize;
        let mut at = bin + 32;
        while at < end {
            let size = get32(bins, at).cast_signed();
            if size < 0 {
                cells.insert(at as u32, &bins[at..at + size.unsigned_abs() as usize]);
            }
            at += size.unsigned_abs() as usize;
        }
        bin = end;
    }
    cells
}

/// Signatures of the cells that are not as they were, those that went, and those that came.
fn touched(before: &[u8], after: &[u8]) -> [Vec<String>; 3] {
    let (old, new) = (cells(before), cells(after));
    let kind = |cell: &[u8]| match &cell[4..6] {
        known @ (b"nk" | b"vk" | b"sk" | b"lf" | b"lh" | b"li" | b"ri" | b"db") => {
            String::from_utf8_lossy(known).into_owned()
        }
        _ => "data".to_owned(),
    };
    let mut changed: Vec<_> = old
        .iter()
        .filter(|(at, cell)| new.get(at).is_some_and(|new| new != *cell))
        .map(|(_, cell)| kind(cell))
        .collect();
    let mut gone: Vec<_> =
        old.iter().filter(|(at, _)| !new.contains_key(at)).map(|(_, cell)| kind(cell)).collect();
    let mut came: Vec<_> =
        new.iter().filter(|(at, _)| !old.contains_key(at)).map(|(_, cell)| kind(cell)).collect();
    [&mut changed, &mut gone, &mut came].into_iter().for_each(|list| list.sort());
    [changed, gone, came]
}

#[test]
fn only_cells_of_the_edit_are_written() {
    let Some(hives) = editable() else { return };
    let (_, bytes) = hives.into_iter().find(|(name, _)| name == "regipy/SYSTEM").unwrap();
    type Edit = fn(&mut Editor<'_>) -> format_core::Result<bool>;
    let disk = "ControlSet001\\Services\\Disk";
    let edits: [(Edit, [&[&str]; 3]); 7] = [
        (
            |edit| edit.set_value("ControlSet001\\Services\\Disk", "Start", &Value::dword(3)),
            [&["nk", "vk"], &[], &[]],
        ),
        (
            |edit| {
                edit.set_value("ControlSet001\\Services\\Disk", "ImagePath", &Value::string(&"x".repeat(400)))
            },
            [&["nk", "vk"], &["data"], &["data"]],
        ),
        (
            |edit| edit.set_value("ControlSet001\\Services\\Disk", "ImagePath", &Value::string("x")),
            [&["nk", "vk"], &["data"], &[]],
        ),
        (|edit| edit.delete_value("ControlSet001\\Services\\Disk", "Start"), [&["data", "nk"], &["vk"], &[]]),
        (
            |edit| edit.set_value("ControlSet001\\Services\\Disk", "new", &Value::dword(3)),
            [&["nk"], &["data"], &["data", "vk"]],
        ),
        (
            |edit| edit.create_key("ControlSet001\\Services\\Disk\\zzz", None),
            [&["nk", "sk"], &[], &["lh", "nk"]],
        ),
        (
            |edit| edit.delete_key("Select"),
            [&["lh", "nk", "sk"], &["data", "nk", "vk", "vk", "vk", "vk"], &[]],
        ),
    ];
    let hive = Hive::open(bytes.clone()).unwrap();
    assert!(hive.key(disk).unwrap().unwrap().subkeys().unwrap().is_empty());
    for (index, (edit, expected)) in edits.into_iter().enumerate() {
        let mut hive = Hive::open(bytes.clone()).unwrap();
        assert!(edit(&mut hive.edit(NOW).unwrap()).unwrap());
        let after = hive.into_bytes().unwrap();
        assert_eq!(
            touched(&bytes, &after),
            expected.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "{index}"
        );
        // The base block: numbers, time and checksum; behind it, the time of the first bin.
        let differing: Vec<_> = (0..4096 + 32).filter(|at| bytes[*at] != after[*at]).collect();
        let may = |at: &usize| matches!(at, 4..20 | 508..512 | 4116..4124);
        assert!(differing.iter().all(may), "{differing:?}");
        assert_eq!(get32(&after, 4), get32(&bytes, 4) + 1);
        assert_eq!(get32(&after, 8), get32(&after, 4));
        assert_eq!(
            (&after[12..20], &after[4116..4124]),
            (&NOW.0.to_le_bytes()[..], &NOW.0.to_le_bytes()[..])
        );
    }
}

#[test]
fn times_and_largest_lengths_follow() {
    let mut hive = Hive::open(maker::empty(5)).unwrap();
    let mut edit = hive.edit(NOW).unwrap();
    edit.create_key("a long name\\b", Some("cls")).unwrap();
    edit.set_value("", "value", &Value::binary([0; 100])).unwrap();
    let bytes = hive.into_bytes().unwrap();
    let root = |bytes: &[u8], at: usize| get32(bytes, 0x1024 + at);
    assert_eq!([52, 56, 60, 64].map(|at| root(&bytes, at)), [22, 0, 10, 100]);
    let hive = Hive::open(bytes.clone()).unwrap();
    assert_eq!(hive.last_written(), NOW);
    let key = hive.key("a long name").unwrap().unwrap();
    let below = key.subkey("b").unwrap().unwrap();
    assert_eq!(below.class().unwrap().unwrap(), b"c\0l\0s\0");
    assert!(hive.walk().all(|visit| visit.unwrap().key.last_written() == NOW));
    assert_eq!(hive.check().unwrap().descriptors, 1);

    let mut hive = Hive::open(bytes).unwrap();
    let mut edit = hive.edit(FileTime(5)).unwrap();
    edit.delete_key("A LONG NAME").unwrap();
    edit.delete_value("", "VALUE").unwrap();
    let bytes = hive.into_bytes().unwrap();
    assert_eq!([52, 56, 60, 64].map(|at| root(&bytes, at)), [0; 4]);
    // What came and went left nothing but one free cell.
    assert_eq!(cells(&bytes).len(), 2);
    assert_eq!(Hive::open(bytes).unwrap().root().unwrap().last_written(), FileTime(5));
}

#[test]
fn flags_beside_the_largest_name_stay_and_are_handed_on() {
    let mut bytes = maker::empty(5);
    maker::put32(&mut bytes, 0x1024 + 52, 0xab9a_0004);
    let mut hive = Hive::open(bytes).unwrap();
    hive.edit(NOW).unwrap().create_key("key", None).unwrap();
    let bytes = hive.into_bytes().unwrap();
    assert_eq!(get32(&bytes, 0x1024 + 52), 0xab9a_0006);
    let at = bytes.windows(3).position(|bytes| bytes == b"key").unwrap() - 76;
    assert_eq!(get32(&bytes, at + 52), 0x000a_0000);
}

#[test]
fn security_descriptors_are_counted_and_leave_with_their_last_key() {
    let Some(hives) = editable() else { return };
    let (_, bytes) = hives.into_iter().find(|(name, _)| name == "notatin/win7_ntuser.dat").unwrap();
    let mut hive = Hive::open(bytes).unwrap();
    let before = hive.check().unwrap();
    let root_descriptor = hive.root().unwrap().security().unwrap().to_vec();
    let keys: Vec<_> =
        hive.root().unwrap().subkeys().unwrap().iter().map(|key| key.name().to_string()).collect();
    let mut edit = hive.edit(NOW).unwrap();
    edit.create_key("new\\key", None).unwrap();
    assert_eq!(edit.hive().key("new\\key").unwrap().unwrap().security().unwrap(), root_descriptor);
    assert_eq!(edit.hive().check().unwrap().descriptors, before.descriptors);
    for key in keys {
        assert!(edit.delete_key(&key).unwrap());
    }
    // All that is left.
    let census = edit.hive().check().unwrap();
    assert_eq!((census.keys, census.descriptors), (3, 1));
    let bytes = hive.into_bytes().unwrap();
    assert_eq!(parse_export(&hivex_export(&bytes).unwrap()).len(), 3);
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let bytes = maker::empty(3);
    let mut hive = Hive::open(bytes.clone()).unwrap();
    let mut edit = hive.edit(NOW).unwrap();
    let long = "x".repeat(256);
    let deep = "a\\".repeat(513);
    let refused = |kind: ErrorKind, message: &str, result: format_core::Result<bool>| {
        let error = result.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(message), "{error:?}");
    };
    refused(ErrorKind::Usage, "the root key cannot be deleted", edit.delete_key("\\"));
    refused(ErrorKind::Usage, "there is no key", edit.set_value("nothing", "a", &Value::dword(1)));
    refused(ErrorKind::Usage, "256 characters", edit.create_key(&long, None));
    refused(ErrorKind::Usage, "zero character", edit.create_key("a\\b\0c", None));
    refused(ErrorKind::Usage, "513 deep", edit.create_key(&deep, None));
    refused(ErrorKind::Usage, "32767", edit.create_key("a", Some(&"x".repeat(32768))));
    refused(ErrorKind::Usage, "16384 characters", edit.set_value("", &"x".repeat(16384), &Value::dword(1)));
    refused(ErrorKind::Limit, "1048572", edit.set_value("", "a", &Value::binary(vec![0; 1 << 20])));
    assert!(!edit.delete_key("nothing\\at all").unwrap());
    assert!(!edit.delete_value("nothing", "a").unwrap() && !edit.create_key("", None).unwrap());
    assert!(hive.into_bytes().unwrap() == bytes);
    // As much as a cell of an old hive can hold.
    let mut hive = Hive::open(bytes).unwrap();
    let most = Value::binary(vec![0x5a; (1 << 20) - 4]);
    assert!(hive.edit(NOW).unwrap().set_value("", "a", &most).unwrap());
    let bytes = hive.into_bytes().unwrap();
    assert!(Hive::open(bytes).unwrap().root().unwrap().value("a").unwrap().unwrap() == most);
}

#[test]
fn a_list_out_of_order_takes_no_key() {
    let Some(hives) = editable() else { return };
    let (_, bytes) = hives.into_iter().find(|(name, _)| name == "yarp/WrongOrderHive").unwrap();
    let mut hive = Hive::open(bytes.clone()).unwrap();
    let mut edit = hive.edit(NOW).unwrap();
    let refused: Vec<_> =
        ["1\\new", "2\\new"].into_iter().filter(|path| edit.create_key(path, None).is_err()).collect();
    assert!(!refused.is_empty());
    let error = edit.create_key(refused[0], None).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("not in order"), "{error}");
}

#[test]
fn a_hive_that_is_full_says_so_and_is_not_written() {
    let mut hive = Hive::open(maker::empty(5)).unwrap();
    let mut edit = hive.edit(NOW).unwrap();
    let value = Value::binary(vec![1; 100 << 20]);
    assert!(edit.set_value("", "a", &value).unwrap() && edit.set_value("", "b", &value).unwrap());
    let error = edit.set_value("", "c", &value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(hive.edit(NOW).unwrap_err().to_string().contains("half-way"));
    assert!(hive.into_bytes().unwrap_err().to_string().contains("half-way"));
}
