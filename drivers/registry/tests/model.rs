//! Random edits against a map in memory, and every result read again by us and by hivexregedit; and edits by hivexregedit
//! against ours.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod judges;
mod maker;

use driver_registry::{FileTime, Hive, Kind, Value};
use judges::{
    Content, exported_data, exported_name, first_difference, hivex_export, our_content, parse_export,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::process::Command;

#[derive(Clone, Debug)]
enum Edit {
    Create(Vec<usize>),
    Delete(Vec<usize>),
    Set(Vec<usize>, usize, u32, usize, u8),
    Unset(Vec<usize>, usize),
}

/// Names whose order, case and width differ.
const NAMES: [&str; 12] = [
    "a",
    "B",
    "_",
    "Key",
    "kEY 2",
    "ключ",
    "Ключ 2",
    "ä",
    "é",
    "x y",
    "Control",
    "a rather long name of a key that goes on",
];

/// Bytes of data around every border.
const LENGTHS: [usize; 12] = [0, 1, 4, 5, 12, 13, 200, 4068, 16_344, 16_345, 32_689, 50_000];

fn path() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..NAMES.len(), 0..4)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => path().prop_map(Edit::Create),
        1 => path().prop_map(Edit::Delete),
        4 => (path(), 0..NAMES.len() + 1, 0..13u32, 0..LENGTHS.len(), any::<u8>())
            .prop_map(|(path, name, kind, len, seed)| Edit::Set(path, name, kind, len, seed)),
        2 => (path(), 0..NAMES.len() + 1).prop_map(|(path, name)| Edit::Unset(path, name)),
    ]
}

fn text(path: &[usize]) -> String {
    path.iter().map(|name| NAMES[*name]).collect::<Vec<_>>().join("\\")
}

/// The default value comes after the names.
fn value_name(name: usize) -> &'static str {
    NAMES.get(name).copied().unwrap_or_default()
}

type Model = BTreeMap<Vec<usize>, BTreeMap<usize, Value>>;

/// The model's answer to an edit: whether it changes something; `None` where it is refused.
fn expect(model: &mut Model, edit: &Edit, limit: usize) -> Option<bool> {
    match edit {
        Edit::Create(path) => {
            let before = model.len();
            for len in 1..=path.len() {
                model.entry(path[..len].to_vec()).or_default();
            }
            Some(model.len() > before)
        }
        Edit::Delete(path) if path.is_empty() => None,
        Edit::Delete(path) => {
            let before = model.len();
            model.retain(|key, _| !key.starts_with(path));
            Some(model.len() < before)
        }
        Edit::Set(path, name, kind, len, seed) => {
            let value = value(*kind, *len, *seed);
            let values = model.get_mut(path)?;
            (value.data.len() <= limit).then(|| values.insert(*name, value.clone()) != Some(value))
        }
        Edit::Unset(path, name) => {
            Some(model.get_mut(path).is_some_and(|values| values.remove(name).is_some()))
        }
    }
}

fn value(kind: u32, len: usize, seed: u8) -> Value {
    let data = (0..LENGTHS[len]).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed));
    Value::raw(Kind(kind), data.collect::<Vec<_>>())
}

/// The same in the words of hivexregedit.
fn content(model: &Model) -> Content {
    let key = |(path, values): (&Vec<usize>, &BTreeMap<usize, Value>)| {
        let value = |(name, value): (&usize, &Value)| {
            (exported_name(value_name(*name)), exported_data(value.kind, &value.data))
        };
        (format!("\\{}", text(path)), values.iter().map(value).collect())
    };
    model.iter().map(key).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_edits_end_in_what_the_model_says(
        minor in 3..7u32,
        batches in proptest::collection::vec(proptest::collection::vec(edit(), 1..40), 1..4),
    ) {
        let mut bytes = maker::empty(minor);
        let mut model = Model::from([(Vec::new(), BTreeMap::new())]);
        for (time, batch) in batches.into_iter().enumerate() {
            let before = bytes.clone();
            let mut hive = Hive::open(bytes).unwrap();
            let mut editor = hive.edit(FileTime(time as u64)).unwrap();
            let mut has_changed = false;
            for edit in &batch {
                let done = match edit {
                    Edit::Create(path) => editor.create_key(&text(path), None),
                    Edit::Delete(path) => editor.delete_key(&text(path)),
                    Edit::Set(path, name, kind, len, seed) => {
                        editor.set_value(&text(path), value_name(*name), &value(*kind, *len, *seed))
                    }
                    Edit::Unset(path, name) => editor.delete_value(&text(path), value_name(*name)),
                };
                let expected = expect(&mut model, edit, usize::MAX);
                prop_assert_eq!(done.as_ref().ok().copied(), expected, "{:?} {:?}", edit, done);
                has_changed |= expected == Some(true);
            }
            bytes = hive.into_bytes().unwrap();
            prop_assert!(has_changed || bytes == before);
            let hive = Hive::open(bytes.clone()).unwrap();
            let census = hive.check().unwrap();
            prop_assert_eq!((census.keys, census.descriptors), (model.len() as u64, 1));
            prop_assert!(our_content(&hive) == content(&model));
        }
        let theirs = parse_export(&hivex_export(&bytes).unwrap());
        prop_assert!(theirs == content(&model), "{:?}", first_difference(&content(&model), &theirs));
    }
}

/// hivexregedit edits what we made, and we edit what it made: both end in the same.
#[test]
fn edits_by_hivexregedit_and_by_us_agree() {
    let mut hive = Hive::open(maker::empty(5)).unwrap();
    let mut edit = hive.edit(FileTime(1)).unwrap();
    for n in 0..600 {
        edit.create_key(&format!("Services\\service {n}\\Parameters"), None).unwrap();
        edit.set_value(&format!("Services\\service {n}"), "Start", &Value::dword(n)).unwrap();
    }
    let bytes = hive.into_bytes().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, changes) = (folder.path().join("hive"), folder.path().join("changes.reg"));
    std::fs::write(&file, &bytes).unwrap();
    let text = "Windows Registry Editor Version 5.00\n\n[\\Services\\service 77]\n\"Start\"=dword:00000000\n\
                \"Path\"=hex(2):61,00,00,00\n\n[\\Services\\service 78]\n\"Start\"=-\n\n[-\\Services\\service 79]\n\n\
                [\\Services\\new one]\n\"Start\"=dword:00000003\n";
    std::fs::write(&changes, text).unwrap();
    let output = Command::new("timeout")
        .args(["60", "hivexregedit", "--merge"])
        .args([&file, &changes])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = std::fs::read(&file).unwrap();

    let mut hive = Hive::open(bytes).unwrap();
    let mut edit = hive.edit(FileTime(2)).unwrap();
    edit.set_value("Services\\service 77", "Start", &Value::dword(0)).unwrap();
    edit.set_value("Services\\service 77", "Path", &Value::expand_string("a")).unwrap();
    edit.delete_value("Services\\service 78", "Start").unwrap();
    edit.delete_key("Services\\service 79").unwrap();
    edit.create_key("Services\\new one", None).unwrap();
    edit.set_value("Services\\new one", "Start", &Value::dword(3)).unwrap();
    let ours = hive.into_bytes().unwrap();
    let expected = our_content(&Hive::open(ours).unwrap());
    assert!(expected == parse_export(&hivex_export(&theirs).unwrap()));
    // And on with what it wrote.
    let mut hive = Hive::open(theirs).unwrap();
    assert!(our_content(&hive) == expected);
    let mut edit = hive.edit(FileTime(3)).unwrap();
    edit.set_value("Services\\service 77", "Start", &Value::dword(4)).unwrap();
    edit.create_key("Services\\service 79\\Parameters", None).unwrap();
    edit.delete_key("Services\\new one").unwrap();
    let bytes = hive.into_bytes().unwrap();
    assert!(our_content(&Hive::open(bytes.clone()).unwrap()) == parse_export(&hivex_export(&bytes).unwrap()));
}
