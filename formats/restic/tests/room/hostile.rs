//! Repositories that want time or memory.

use crate::builder::Repo;
use crate::open;
use format_core::ErrorKind::{self, Corrupt, Limit};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

fn ends(folder: &Path, kind: ErrorKind, text: &str) {
    let start = Instant::now();
    let opened = open(folder, "pw", None, None);
    let read = opened.and_then(|opened| {
        let mut some = vec![0; opened.disk.virtual_size().min(1 << 20) as usize];
        opened.disk.read_exact_at(0, &mut some)
    });
    let error = read.expect_err(text);
    assert!(
        error.kind() == kind && error.to_string().contains(text),
        "{:?} {error}, not {text}",
        error.kind()
    );
    assert!(start.elapsed() < Duration::from_secs(10), "{text}: {:?}", start.elapsed());
}

/// A repository whose root folder has this list.
fn root_of(nodes: impl FnOnce(&mut Repo) -> Value) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut repo = Repo::new(root.path(), 2);
    let nodes = nodes(&mut repo);
    let tree = repo.tree(nodes);
    repo.index(|_| {});
    repo.snapshot(&tree, "2024-01-01T00:00:00Z");
    root
}

#[test]
fn folders_in_folders_end() {
    // Each folder holds the one below it a hundred times: 10²⁰ folders, in none of which is anything.
    let bomb = root_of(|repo| {
        let mut tree = repo.tree(json!([]));
        for _ in 0..10 {
            let nodes = (0..100).map(|n| json!({"name": n.to_string(), "type": "dir", "subtree": tree}));
            tree = repo.tree(nodes.collect());
        }
        json!([{"name": "d", "type": "dir", "subtree": tree}])
    });
    ends(bomb.path(), ErrorKind::Unsupported, "holds no disk");
    // The same with a disk at the bottom.
    let disks = root_of(|repo| {
        let id = repo.pack("data", &[&[1; 70_000]]).remove(0);
        let mut tree = repo.tree(json!([{"name": "a.raw", "type": "file", "size": 70_000, "content": [id]}]));
        for _ in 0..10 {
            let nodes = (0..10).map(|n| json!({"name": n.to_string(), "type": "dir", "subtree": tree}));
            tree = repo.tree(nodes.collect());
        }
        json!([{"name": "d", "type": "dir", "subtree": tree}])
    });
    ends(disks.path(), Limit, "more than 4096 disks");
    let deep = root_of(|repo| {
        let mut tree = repo.tree(json!([]));
        for _ in 0..1100 {
            tree = repo.tree(json!([{"name": "d", "type": "dir", "subtree": tree}]));
        }
        json!([{"name": "d", "type": "dir", "subtree": tree}])
    });
    ends(deep.path(), Limit, "folders in each other");
}

#[test]
fn sizes_that_are_not_there() {
    for size in [0x10000, 1 << 40, u64::MAX] {
        let file = root_of(|repo| {
            let id = repo.pack("data", &[&[1; 70_000]]).remove(0);
            json!([{"name": "a.raw", "type": "file", "size": size, "content": [id]}])
        });
        ends(file.path(), Corrupt, "together, the file");
    }
    let unknown =
        root_of(|_| json!([{"name": "a.raw", "type": "file", "size": 70_000, "content": ["ab".repeat(32)]}]));
    ends(unknown.path(), Corrupt, "is in no index");
    let nothing = root_of(|_| json!([{"name": "a.raw", "type": "file", "size": 70_000, "content": null}]));
    ends(nothing.path(), Corrupt, "have 0 bytes together");
    let lost = root_of(|_| json!([{"name": "d", "type": "dir"}]));
    ends(lost.path(), Corrupt, "says nowhere");
    let elsewhere = root_of(|_| json!([{"name": "d", "type": "dir", "subtree": "cd".repeat(32)}]));
    ends(elsewhere.path(), Corrupt, "is in no index");
}

#[test]
fn numbers_that_do_not_fit_are_errors() {
    for (key, value) in
        [("offset", json!(-1)), ("length", json!(1u64 << 32)), ("uncompressed_length", json!("x"))]
    {
        let root = tempfile::tempdir().unwrap();
        let mut repo = Repo::new(root.path(), 2);
        repo.pack("data", &[b"x"]);
        repo.index(|index| index["packs"][0]["blobs"][0][key] = value.clone());
        repo.snapshot(&"ab".repeat(32), "2024-01-01T00:00:00Z");
        ends(root.path(), Corrupt, "cannot be understood");
    }
}

#[test]
fn bombs_of_zstd_are_cut() {
    let root = tempfile::tempdir().unwrap();
    let mut repo = Repo::new(root.path(), 2);
    repo.json("index", &format!("{{\"packs\":[{}]}}", " ".repeat(129 << 20)));
    repo.snapshot(&"ab".repeat(32), "2024-01-01T00:00:00Z");
    ends(root.path(), Limit, "at most are read");
    // A piece of a gigabyte of zeros.
    let blob = root_of(|repo| {
        let id = repo.pack("data", &[&vec![0; 65 << 20]]).remove(0);
        json!([{"name": "a.raw", "type": "file", "size": 65 << 20, "content": [id]}])
    });
    ends(blob.path(), Limit, "at most are read");
}

#[test]
fn many_small_pieces_of_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut repo = Repo::new(root.path(), 1);
    let ids = repo.pack("data", &[b"", &[1; 70_000], &[0; 1000]]);
    let tree = {
        let mut content = vec![ids[0].clone(); 10_000];
        content.extend([ids[1].clone()]);
        content.extend(vec![ids[0].clone(); 10_000]);
        content.extend(vec![ids[2].clone(); 20]);
        repo.tree(json!([{"name": "a.raw", "type": "file", "size": 90_000, "content": content}]))
    };
    repo.index(|_| {});
    repo.snapshot(&tree, "2024-01-01T00:00:00Z");
    let opened = open(root.path(), "pw", None, None).unwrap();
    assert!(crate::bytes(&opened.disk) == [vec![1; 70_000], vec![0; 20_000]].concat());
    let extents: Vec<_> = opened.disk.extents(0, 90_000).map(Result::unwrap).collect();
    assert_eq!(extents.iter().map(|extent| extent.len).sum::<u64>(), 90_000);
}
