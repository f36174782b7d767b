//! Random edits against a model in memory, with fsck.fat at the end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{FileKind, GuestFs, Ownership};
use driver_fs_fat::{FatFs, open};
use images::{Image, KINDS, pattern};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Edit {
    Create(usize, usize),
    Replace(usize, usize),
    Append(usize, usize),
    Folder(usize),
    Rename(usize, usize),
    Remove(usize),
}

/// The content of a file; none for a folder.
type Model = BTreeMap<String, Option<Vec<u8>>>;

/// Paths on three levels, with names that differ in what FAT makes of them.
fn path(number: usize) -> String {
    let (a, b, c) = (number % 3, number / 3 % 3, number / 9 % 4);
    match number % 30 / 10 {
        0 => format!("/DIR{a}{c}"),
        1 => format!("/DIR{a}{c}/a lower.case {b}"),
        _ => format!("/DIR{a}{c}/a lower.case {b}/a rather long name that needs some entries {number}.ext"),
    }
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let (p, l) = (0usize..30, prop_oneof![0usize..200, 0usize..40_000]);
    let edit = prop_oneof![
        3 => (p.clone(), l.clone()).prop_map(|(p, l)| Edit::Create(p, l)),
        2 => (p.clone(), l.clone()).prop_map(|(p, l)| Edit::Replace(p, l)),
        2 => (p.clone(), l).prop_map(|(p, l)| Edit::Append(p, l)),
        4 => p.clone().prop_map(Edit::Folder),
        2 => (p.clone(), p.clone()).prop_map(|(a, b)| Edit::Rename(a, b)),
        2 => p.prop_map(Edit::Remove),
    ];
    prop::collection::vec(edit, 1..120)
}

fn has_room(model: &Model, path: &str) -> bool {
    let parent = path.rsplit_once('/').unwrap().0;
    !model.contains_key(path) && (parent.is_empty() || model.get(parent) == Some(&None))
}

fn below(model: &Model, path: &str) -> Vec<String> {
    model.keys().filter(|key| key.starts_with(&format!("{path}/"))).cloned().collect()
}

fn new(model: &mut Model, path: String, node: Option<Vec<u8>>) -> bool {
    let room = has_room(model, &path);
    if room {
        model.insert(path, node);
    }
    room
}

/// What the model says about an edit; `true` when it must succeed.
fn apply(model: &mut Model, edit: &Edit) -> bool {
    match edit {
        Edit::Create(at, len) => new(model, path(*at), Some(pattern(*len))),
        Edit::Folder(at) => new(model, path(*at), None),
        Edit::Replace(at, len) => match model.get_mut(&path(*at)) {
            Some(Some(old)) => {
                *old = pattern(*len);
                true
            }
            _ => false,
        },
        Edit::Append(at, len) => match model.get_mut(&path(*at)) {
            Some(Some(old)) => {
                old.extend(pattern(*len));
                true
            }
            _ => false,
        },
        Edit::Remove(at) => below(model, &path(*at)).is_empty() && model.remove(&path(*at)).is_some(),
        Edit::Rename(from, to) => {
            let (from, to) = (path(*from), path(*to));
            if !model.contains_key(&from) || !has_room(model, &to) || to.starts_with(&format!("{from}/")) {
                return false;
            }
            for old in below(model, &from).into_iter().chain([from.clone()]) {
                let node = model.remove(&old).unwrap();
                model.insert(format!("{to}{}", &old[from.len()..]), node);
            }
            true
        }
    }
}

fn run(fs: &mut FatFs, edit: &Edit) -> bool {
    let done = match edit {
        Edit::Create(at, len) => fs.create_file(&path(*at), &pattern(*len), Ownership::ROOT_FILE),
        Edit::Replace(at, len) => fs.replace_file(&path(*at), &pattern(*len)),
        Edit::Append(at, len) => fs.append_file(&path(*at), &pattern(*len)),
        Edit::Folder(at) => fs.create_folder(&path(*at), Ownership::ROOT_FOLDER),
        Edit::Rename(from, to) => fs.rename(&path(*from), &path(*to)),
        Edit::Remove(at) => fs.remove(&path(*at)),
    };
    done.is_ok()
}

fn read_back(fs: &FatFs, folder: &str, found: &mut Model) {
    for entry in fs.read_dir(if folder.is_empty() { "/" } else { folder }).unwrap() {
        let path = format!("{folder}/{}", entry.name);
        let node = match entry.kind {
            FileKind::File => Some(fs.read_file(&path, 1 << 26).unwrap()),
            _ => {
                read_back(fs, &path, found);
                None
            }
        };
        found.insert(path, node);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_edits_match_the_model(edits in edits(), kind in 1usize..9, finishes in any::<bool>()) {
        let image = Image::make(KINDS[kind]);
        let mut fs = open(image.volume()).unwrap();
        let mut model = Model::new();
        for edit in &edits {
            let wanted = apply(&mut model, edit);
            prop_assert_eq!(run(&mut fs, edit), wanted, "{:?}", edit);
            if finishes {
                fs.finish().unwrap();
                fs = open(image.volume()).unwrap();
                fs.editable().unwrap();
            }
        }
        fs.finish().unwrap();
        drop(fs);
        image.assert_clean("model");
        let mut found = Model::new();
        read_back(&open(image.volume()).unwrap(), "", &mut found);
        prop_assert!(found == model, "{:?} {:?}", found.keys(), model.keys());
        for (path, content) in model.iter().filter(|_| edits.len() % 4 == 0) {
            if let Some(content) = content {
                prop_assert!(&image.mcopy_out(path) == content, "mtools reads {}", path);
            }
        }
    }
}
