//! restic: keys, indexes, trees and packs. All but the key files is sealed with the repository's key, so most attacks need
//! somebody who has it: another user of the repository.

use super::bases::restic::Repo;
use super::files_in;
use crate::case::{Case, Content};
use crate::names::NEAR;
use serde_json::{Value, json};
use std::path::Path;

const TIME: &str = "2024-01-01T00:00:00Z";

/// A repository that `make` fills.
fn case(name: &str, about: &str, make: impl FnOnce(&mut Repo, &Path)) -> Case {
    let root = tempfile::tempdir().unwrap();
    let mut repo = Repo::new(root.path(), 2);
    make(&mut repo, root.path());
    let mut case = Case::new(&format!("restic/{name}"), about);
    case.files.push(("repo".into(), Content::Folder));
    case.files.extend(files_in(root.path(), "repo/"));
    case.file("pw", "pw")
}

fn read(case: Case, codes: &[u8]) -> Case {
    case.run(&["inspect", "--key-file", "pw", "repo"], codes)
        .run(&["info", "--key-file", "pw", "repo"], &[0, 65, 66, 69, 78])
        .run(&["convert", "--key-file", "pw", "repo", "out.raw"], codes)
}

fn filled(repo: &mut Repo) {
    repo.files(&[("a.raw", &[&[7; 70_000]])], TIME);
}

/// A snapshot whose root folder has these nodes.
fn rooted(repo: &mut Repo, nodes: Value) {
    let tree = repo.tree(nodes);
    repo.index(|_| {});
    repo.snapshot(&tree, TIME);
}

fn node(repo: &mut Repo, name: &str) -> Value {
    let id = repo.pack("data", &[&[7; 70_000]]).remove(0);
    json!({"name": name, "type": "file", "size": 70_000, "content": [id]})
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = keys();
    cases.extend(trees());
    cases.extend(indexes());
    cases
}

/// The key derivation is what a stranger may set.
fn keys() -> Vec<Case> {
    let keyed = |name: &str, numbers: Value, codes: &[u8]| {
        let about = format!("a key file that wants {numbers}");
        let case = case(&format!("key-{name}"), &about, |repo, root| {
            filled(repo);
            std::fs::remove_dir_all(root.join("keys")).unwrap();
            std::fs::create_dir(root.join("keys")).unwrap();
            repo.key("pw", numbers.clone());
        });
        read(case, codes)
    };
    let scrypt = |n: u64, r: u64, p: u64| json!({"kdf": "scrypt", "N": n, "r": r, "p": p});
    let mut cases = vec![
        read(case("good", "no attack: the repository that is taken apart", |repo, _| filled(repo)), &[0]),
        keyed("memory", scrypt(1 << 40, 8, 1), &[65, 69]),
        keyed("memory-4-gib", scrypt(1 << 22, 8, 1), &[65, 69]),
        keyed("time", scrypt(2, 1, 1 << 30), &[65, 69]),
        keyed("overflow", scrypt(u64::MAX, u64::MAX, u64::MAX), &[65, 69]),
        keyed("zero", scrypt(0, 0, 0), &[65, 69]),
        keyed("odd", scrypt(3, 1, 1), &[65, 69]),
        keyed("unknown", json!({"kdf": "\u{1b}[31mmine", "N": 2, "r": 1, "p": 1}), &[65, 69]),
    ];
    let many = case("keys-many", "a thousand keys, each of which has to be tried", |repo, _| {
        filled(repo);
        for number in 0..1000 {
            repo.key(&format!("other {number}"), scrypt(2, 1, 1));
        }
    });
    cases.push(many.run(&["convert", "--key-file", "pw", "repo", "out.raw"], &[69]));
    let slow = case("keys-slow", "a thousand keys, each of which takes a second", |repo, root| {
        filled(repo);
        let mut number = 0;
        for entry in std::fs::read_dir(root.join("keys")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path())
                .unwrap()
                .replace("\"N\":2,", "\"N\":32768,")
                .replace("\"r\":1,", "\"r\":8,");
            for _ in 0..1000 {
                number += 1;
                std::fs::write(root.join("keys").join(format!("{number:064x}")), &text).unwrap();
            }
        }
    });
    cases.push(
        slow.run(&["info", "--key-file", "pw", "repo"], &[69])
            .run(&["convert", "--key-file", "pw", "repo", "out.raw"], &[69]),
    );
    let mut linked = case("key-is-a-link", "a key that is a link out of the repository", |repo, root| {
        filled(repo);
        std::fs::remove_dir_all(root.join("keys")).unwrap();
        std::fs::create_dir(root.join("keys")).unwrap();
    });
    linked.files.push((format!("repo/keys/{}", "a".repeat(64)), Content::Link(format!("../../{NEAR}"))));
    cases.push(read(linked, &[65, 66, 69, 77, 78]));
    cases
}

fn trees() -> Vec<Case> {
    let tree = |name: &str, about: &str, make: &dyn Fn(&mut Repo) -> Value| {
        case(name, about, |repo, _| {
            let nodes = make(repo);
            rooted(repo, nodes);
        })
    };
    let named = |label: &str, name: &str| {
        let name = name.to_owned();
        tree(&format!("name-{label}"), "a file whose name leads out of a folder", &move |repo| {
            json!([node(repo, &name)])
        })
        .run(&["inspect", "--key-file", "pw", "repo"], &[0, 65, 69])
        .run(&["convert", "--key-file", "pw", "repo", "out.raw"], &[0, 65, 69])
        .run(&["convert", "--key-file", "pw", "-O", "qcow2", "--out", "out", "repo"], &[0, 2, 65, 69, 73])
    };
    let size = |name: &str, size: u64| {
        let case = tree(name, "a file that is larger than its pieces", &move |repo| {
            let mut node = node(repo, "a.raw");
            node["size"] = size.into();
            json!([node])
        });
        read(case, &[65, 69])
    };
    let folders = |repo: &mut Repo, depth: usize, width: usize| {
        let mut tree = repo.tree(json!([]));
        for _ in 0..depth {
            let nodes = (0..width).map(|n| json!({"name": n.to_string(), "type": "dir", "subtree": tree}));
            tree = repo.tree(nodes.collect());
        }
        json!([{"name": "d", "type": "dir", "subtree": tree}])
    };
    vec![
        named("above", "../../evil.raw"),
        named("absolute", "/etc/evil.raw"),
        named("steers", "\u{1b}[31m\u{202e}\n.raw"),
        named("empty", ""),
        size("size-more", 1 << 40),
        size("size-most", u64::MAX),
        size("size-less", 3),
        read(
            tree("folders-wide", "a hundred folders in each of a hundred folders, ten deep", &|repo| {
                folders(repo, 10, 100)
            }),
            &[69],
        ),
        read(
            tree("folders-deep", "a thousand folders inside each other", &|repo| folders(repo, 1100, 1)),
            &[69],
        ),
        read(
            tree(
                "piece-unknown",
                "a piece that is nowhere",
                &|_| json!([{"name": "a.raw", "type": "file", "size": 70_000, "content": ["ab".repeat(32)]}]),
            ),
            &[65],
        ),
        read(
            tree(
                "piece-no-id",
                "a piece whose name leads out",
                &|_| json!([{"name": "a.raw", "type": "file", "size": 70_000, "content": [NEAR]}]),
            ),
            &[65],
        ),
        read(
            tree(
                "tree-unknown",
                "a folder that is nowhere",
                &|_| json!([{"name": "d", "type": "dir", "subtree": "ab".repeat(32)}]),
            ),
            &[65],
        ),
        read(
            tree(
                "link",
                "a disk that is a symbolic link",
                &|_| json!([{"name": "a.raw", "type": "symlink", "linktarget": "/etc/passwd"}]),
            ),
            &[69],
        ),
        read(
            tree("foreign-parent", "a qcow2 in a backup that names a file of the host", &|repo| {
                let mut image = super::qcow2::with_extensions(
                    super::qcow2::image(),
                    &[(0xe279_2aca, b"raw"), (0, b"")],
                    NEAR.as_bytes(),
                );
                image.0.truncate(super::qcow2::END);
                let id = repo.pack("data", &[&image.0]).remove(0);
                json!([{"name": "a.qcow2", "type": "file", "size": image.0.len(), "content": [id]}])
            }),
            &[69],
        ),
    ]
}

fn indexes() -> Vec<Case> {
    let index = |name: &str, about: &str, change: &dyn Fn(&mut Value)| {
        let case = case(&format!("index-{name}"), about, |repo, _| {
            let nodes = json!([node(repo, "a.raw")]);
            let tree = repo.tree(nodes);
            repo.index(change);
            repo.snapshot(&tree, TIME);
        });
        read(case, &[65, 66, 69])
    };
    let text = |name: &str, about: &str, text: String| {
        let case = case(name, about, |repo, _| {
            repo.json("index", &text);
            repo.json("snapshots", &text);
        });
        read(case, &[65, 69])
    };
    vec![
        index("offset", "a blob behind the end of its pack", &|index| {
            index["packs"][0]["blobs"][0]["offset"] = (1_u64 << 62).into()
        }),
        index("length", "a blob of 4 GiB", &|index| {
            index["packs"][0]["blobs"][0]["length"] = u32::MAX.into()
        }),
        index("overflow", "a blob that ends behind 2^64", &|index| {
            index["packs"][0]["blobs"][0]["offset"] = u64::MAX.into();
            index["packs"][0]["blobs"][0]["length"] = u64::MAX.into();
        }),
        index("unpacked", "a blob that says it unpacks to an EiB", &|index| {
            index["packs"][0]["blobs"][0]["uncompressed_length"] = (1_u64 << 60).into()
        }),
        index("pack-above", "a pack whose name leads out", &|index| {
            index["packs"][0]["id"] = "../../../canary".into()
        }),
        index("pack-unknown", "a pack that is not there", &|index| {
            index["packs"][0]["id"] = "cd".repeat(32).into()
        }),
        index("negative", "a blob at -1", &|index| index["packs"][0]["blobs"][0]["offset"] = (-1).into()),
        text(
            "json-deep",
            "lists inside each other",
            format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        ),
        text("json-bomb", "64 MiB of blanks, packed", " ".repeat(64 << 20)),
    ]
}
