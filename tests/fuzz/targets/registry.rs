//! Registry hives: read, walked, edited, and read again: everything but the edits is as it was.
#![no_main]

#[path = "../../../drivers/registry/tests/maker/mod.rs"]
mod maker;

use driver_registry::{FileTime, Hive, Value};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

const NEW: &str = "added by the fuzzer";

type Values = BTreeMap<Vec<u16>, Value>;
/// Class, security descriptor and values of a key.
type Content = BTreeMap<Vec<Vec<u16>>, (Vec<u8>, Vec<u8>, Values)>;

/// All there is. `None`: keys or values of the same name.
fn content(hive: &Hive) -> Option<Content> {
    let (mut content, mut path) = (Content::new(), Vec::new());
    for visit in hive.walk() {
        let visit = visit.expect("it was checked");
        let key = visit.key;
        path.truncate(visit.depth.saturating_sub(1));
        if visit.depth > 0 {
            path.push(key.name().units().to_vec());
        }
        let entries = key.values().expect("it was checked");
        let count = entries.len();
        let read = entries
            .iter()
            .map(|value| (value.name().units().to_vec(), value.read().expect("it was checked")));
        let values: Values = read.collect();
        let class = key.class().expect("it was checked").unwrap_or_default().to_vec();
        let security = key.security().expect("it was checked").to_vec();
        if values.len() != count || content.insert(path.clone(), (class, security, values)).is_some() {
            return None;
        }
    }
    Some(content)
}

/// Hives of each kind of list, with data of each kind.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let seed = |minor: u32, keys: u32| {
        let mut hive = Hive::open(maker::empty(minor)).expect("the recipe is right");
        let mut edit = hive.edit(FileTime(1)).expect("it is whole");
        for n in 0..keys {
            let path = format!("Key {}\\ключ {n}", n % 3);
            edit.create_key(&path, Some("class")).expect("there is room");
            edit.set_value(&path, "value", &Value::binary(vec![n as u8; n as usize * 3]))
                .expect("there is room");
        }
        edit.set_value("", "big", &Value::binary(vec![5; 16_500])).expect("there is room");
        (format!("{minor}-{keys}"), hive.into_bytes().expect("no edit failed"))
    };
    vec![("empty".into(), maker::empty(5)), seed(3, 7), seed(5, 9), seed(6, 30)]
}

/// Edits a whole hive; says what it should be now.
fn edit(hive: &mut Hive, content: Option<Content>) -> Option<Content> {
    let security = hive.root().and_then(|root| root.security().map(<[u8]>::to_vec)).expect("it was checked");
    let first =
        hive.root().and_then(|root| root.subkeys()).expect("it was checked").first().map(|key| key.name());
    let has_new = hive.key(NEW).is_ok_and(|key| key.is_some());
    let mut edit = hive.edit(FileTime(2)).expect("it was checked");
    let big = Value::binary(vec![7; 20_000]);
    let made = edit.create_key(NEW, None).is_ok();
    let set = made && edit.set_value(NEW, "value", &big).is_ok();
    let root = edit.set_value("", NEW, &Value::dword(3)).is_ok();
    let victim = first.filter(|name| !has_new && !name.to_string().contains(['\\', '\u{fffd}']));
    let gone = victim.clone().is_some_and(|name| edit.delete_key(&name.to_string()).is_ok_and(|gone| gone));
    let mut content = content.filter(|_| !has_new)?;
    let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
    if made {
        let values = if set { Values::from([(units("value"), big)]) } else { Values::new() };
        content.insert(vec![units(NEW)], (Vec::new(), security, values));
    }
    if root {
        // A value of that name in another spelling would keep it.
        let values = &mut content.get_mut(&Vec::new())?.2;
        values.insert(units(NEW), Value::dword(3));
    }
    if let Some(name) = victim.filter(|_| gone) {
        content.retain(|path, _| path.first().is_none_or(|first| first != name.units()));
    }
    Some(content)
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let mut bytes = input.to_vec();
    if bytes.len() >= 512 {
        maker::seal(&mut bytes);
    }
    let _ = driver_registry::recover(bytes.clone(), &[]);
    let Ok(mut hive) = Hive::open(bytes.clone()) else { return };
    for visit in hive.walk().map_while(Result::ok) {
        let _ = (visit.key.class(), visit.key.security(), visit.key.link_target(), visit.key.value("value"));
    }
    if hive.is_dirty() || hive.check().is_err() {
        return;
    }
    let before = content(&hive);
    let expected = edit(&mut hive, before);
    let Ok(edited) = hive.into_bytes() else { return };
    let hive = Hive::open(edited.clone()).expect("what we wrote opens");
    hive.check().expect("what was whole is whole");
    if let Some(expected) = expected {
        assert!(content(&hive) == Some(expected), "something else changed");
    }
    assert!(hive.into_bytes().is_ok_and(|same| same == edited));
});
