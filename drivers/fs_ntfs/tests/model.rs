//! Random edits against a model in memory, with ntfs-3g, ntfsfix, ntfsresize and ntfssecaudit at the end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{FileKind, GuestFs, Ownership};
use driver_fs_ntfs::open;
use images::{Image, noise};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
enum Node {
    File(Vec<u8>),
    Folder,
}

#[derive(Clone, Debug)]
enum Edit {
    Create(usize, usize),
    Replace(usize, usize),
    Append(usize, usize),
    Folder(usize),
    Rename(usize, usize),
    Remove(usize),
}

/// Thirty paths on three levels, so that edits meet.
fn path(number: usize) -> String {
    let (a, b, c) = (number % 3, number / 3 % 3, number / 9 % 4);
    match number % 30 / 10 {
        0 => format!("/A-{a}-{c}"),
        1 => format!("/A-{a}-{c}/b-{b}"),
        _ => format!("/A-{a}-{c}/b-{b}/a rather long name that needs room {number}"),
    }
}

fn content(len: usize) -> Vec<u8> {
    noise(len, len as u64)
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let (p, l) = (0usize..30, prop_oneof![0usize..900, 0usize..60_000]);
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
    let owner = Ownership::ROOT_FILE;
    // Spelled in another case wherever something exists.
    let lower = |at: usize| path(at).to_lowercase();
    let done = match edit {
        Edit::Create(at, len) => fs.create_file(&path(*at), &content(*len), owner),
        Edit::Replace(at, len) => fs.replace_file(&lower(*at), &content(*len)),
        Edit::Append(at, len) => fs.append_file(&lower(*at), &content(*len)),
        Edit::Folder(at) => fs.create_folder(&path(*at), owner),
        Edit::Rename(from, to) => fs.rename(&lower(*from), &path(*to)),
        Edit::Remove(at) => fs.remove(&lower(*at)),
    };
    done.is_ok()
}

fn walk(fs: &impl GuestFs, folder: &str, out: &mut Model) {
    for entry in fs.read_dir(if folder.is_empty() { "/" } else { folder }).unwrap() {
        let path = format!("{folder}/{}", entry.name);
        if entry.kind == FileKind::Folder {
            out.insert(path.clone(), Node::Folder);
            walk(fs, &path, out);
        } else {
            out.insert(path.clone(), Node::File(fs.read_file(&path, 1 << 30).unwrap()));
        }
    }
}

fn walk_mounted(root: &std::path::Path, folder: &str, out: &mut Model) {
    for entry in std::fs::read_dir(root.join(folder.trim_start_matches('/'))).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            out.insert(path.clone(), Node::Folder);
            walk_mounted(root, &path, out);
        } else {
            out.insert(path, Node::File(std::fs::read(entry.path()).unwrap()));
        }
    }
}

fn check(options: &[&str], edits: &[Edit]) {
    let image = Image::empty(options, 24 << 20);
    let mut fs = open(image.volume()).unwrap();
    let mut model = Model::new();
    for edit in edits {
        let expected = apply(&mut model, edit);
        assert_eq!(run(&mut fs, edit), expected, "{edit:?}");
    }
    fs.finish().unwrap();
    let mut found = Model::new();
    walk(&fs, "", &mut found);
    assert!(found == model, "our reader sees something else than was written");
    drop(fs);
    image.assert_clean("random edits");
    let mounted = image.mount("ro");
    let mut found = Model::new();
    walk_mounted(&mounted.root, "", &mut found);
    drop(mounted);
    image.settle();
    assert!(found == model, "ntfs-3g sees something else than was written");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn random_edits(edits in edits(), small in any::<bool>()) {
        let options: &[&str] = if small { &["-c", "512"] } else { &[] };
        check(options, &edits);
    }
}
