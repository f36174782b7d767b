//! Random edits against a model in memory, with e2fsck at the end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{FileKind, GuestFs, Ownership};
use driver_fs_ext::open;
use images::Image;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
enum Node {
    File(Vec<u8>),
    Folder,
    Link(String),
}

#[derive(Clone, Debug)]
enum Edit {
    Create(usize, usize),
    Replace(usize, usize),
    Append(usize, usize),
    Folder(usize),
    Link(usize, usize),
    Rename(usize, usize),
    Remove(usize),
}

/// Thirty paths on three levels, so that edits meet.
fn path(number: usize) -> String {
    let (a, b, c) = (number % 3, number / 3 % 3, number / 9 % 4);
    match number % 30 / 10 {
        0 => format!("/a-{a}-{c}"),
        1 => format!("/a-{a}-{c}/b-{b}"),
        _ => format!("/a-{a}-{c}/b-{b}/a rather long name that needs room {number}"),
    }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7) as u8 ^ len as u8).collect()
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let (p, l) = (0usize..30, prop_oneof![0usize..200, 0usize..40_000]);
    let edit = prop_oneof![
        3 => (p.clone(), l.clone()).prop_map(|(p, l)| Edit::Create(p, l)),
        2 => (p.clone(), l.clone()).prop_map(|(p, l)| Edit::Replace(p, l)),
        2 => (p.clone(), l).prop_map(|(p, l)| Edit::Append(p, l)),
        4 => p.clone().prop_map(Edit::Folder),
        1 => (p.clone(), 1usize..150).prop_map(|(p, l)| Edit::Link(p, l)),
        2 => (p.clone(), p.clone()).prop_map(|(a, b)| Edit::Rename(a, b)),
        2 => p.prop_map(Edit::Remove),
    ];
    prop::collection::vec(edit, 1..120)
}

type Model = BTreeMap<String, Node>;

fn has_room(model: &Model, path: &str) -> bool {
    let parent = path.rsplit_once('/').unwrap().0;
    !model.contains_key(path) && (parent.is_empty() || model.get(parent) == Some(&Node::Folder))
}

fn below(model: &Model, path: &str) -> Vec<String> {
    model.keys().filter(|key| key.starts_with(&format!("{path}/"))).cloned().collect()
}

/// What the model says about an edit; `true` when it must succeed.
fn apply(model: &mut Model, edit: &Edit) -> bool {
    match edit {
        Edit::Create(at, len) => new(model, path(*at), Node::File(content(*len))),
        Edit::Folder(at) => new(model, path(*at), Node::Folder),
        Edit::Link(at, len) => new(model, path(*at), Node::Link("t".repeat(*len))),
        Edit::Replace(at, len) => match model.get_mut(&path(*at)) {
            Some(Node::File(old)) => {
                *old = content(*len);
                true
            }
            _ => false,
        },
        Edit::Append(at, len) => match model.get_mut(&path(*at)) {
            Some(Node::File(old)) => {
                old.extend(content(*len));
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

fn new(model: &mut Model, path: String, node: Node) -> bool {
    let room = has_room(model, &path);
    if room {
        model.insert(path, node);
    }
    room
}

fn run(fs: &mut impl GuestFs, edit: &Edit) -> bool {
    let done = match edit {
        Edit::Create(at, len) => fs.create_file(&path(*at), &content(*len), Ownership::ROOT_FILE),
        Edit::Replace(at, len) => fs.replace_file(&path(*at), &content(*len)),
        Edit::Append(at, len) => fs.append_file(&path(*at), &content(*len)),
        Edit::Folder(at) => fs.create_folder(&path(*at), Ownership::ROOT_FOLDER),
        Edit::Link(at, len) => fs.create_link(&path(*at), &"t".repeat(*len)),
        Edit::Rename(from, to) => fs.rename(&path(*from), &path(*to)),
        Edit::Remove(at) => fs.remove(&path(*at)),
    };
    done.is_ok()
}

fn read_back(fs: &impl GuestFs, folder: &str, found: &mut Model) {
    for entry in fs.read_dir(if folder.is_empty() { "/" } else { folder }).unwrap() {
        let path = format!("{folder}/{}", entry.name);
        if path == "/lost+found" {
            continue;
        }
        let node = match entry.kind {
            FileKind::File => Node::File(fs.read_file(&path, 1 << 26).unwrap()),
            FileKind::Link => Node::Link(fs.read_link(&path).unwrap()),
            _ => {
                read_back(fs, &path, found);
                Node::Folder
            }
        };
        found.insert(path, node);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_edits_match_the_model(edits in edits(), kind in 0usize..4) {
        let options: &[&str] = match kind {
            0 => &["-t", "ext4", "-b", "1024"],
            1 => &["-t", "ext4", "-O", "inline_data"],
            2 => &["-t", "ext3", "-b", "1024"],
            _ => &["-t", "ext2", "-b", "4096"],
        };
        let image = Image::make(options, "32M", |_| ());
        let mut fs = open(image.volume()).unwrap();
        let mut model = Model::new();
        for edit in &edits {
            let wanted = apply(&mut model, edit);
            prop_assert_eq!(run(&mut fs, edit), wanted, "{:?}", edit);
        }
        fs.finish().unwrap();
        drop(fs);
        image.assert_clean(options[1]);
        let mut found = Model::new();
        read_back(&open(image.volume()).unwrap(), "", &mut found);
        prop_assert!(found == model, "{:?} {:?}", found.keys(), model.keys());
    }
}
