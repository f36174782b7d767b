//! Proxmox Backup Server: indexes, chunks, manifests; every name in them is one of the room's own making.

use super::bases::pbs::{CHUNK, Store, TIME, Wrap, index, sample, sha256, wrap};
use super::sweep::{Order, Sweep};
use super::{Files, files_in};
use crate::case::{Case, Content};
use crate::names::{CANARY, NEAR};
use serde_json::json;

const FOLDER: &str = "vm/100/2026-11-22T02:00:00Z";
const INDEX: &str = "drive-scsi0.img.fidx";

/// A datastore whose snapshot was changed by `change`.
fn store(change: impl FnOnce(&Store)) -> Files {
    let store = Store::simple(Wrap::Plain, &sample(8 * CHUNK, 1));
    change(&store);
    files_in(store.root(), "")
}

/// The same with another manifest.
fn manifest(name: &str, size: u64) -> Files {
    store(|store| {
        let bytes = std::fs::read(store.simple_path().join(INDEX)).unwrap();
        let manifest = json!({
            "backup-id": "100", "backup-time": 1_795_312_800, "backup-type": "vm", "unprotected": {},
            "files": [{"crypt-mode": "none", "csum": super::bases::pbs::hex(&sha256(&[&bytes[4096..]])), "filename": name, "size": size}],
        });
        let bytes = wrap(manifest.to_string().as_bytes(), Wrap::Plain, &store.key);
        std::fs::write(store.simple_path().join("index.json.blob"), bytes).unwrap();
    })
}

/// The same with another index, which the manifest believes.
fn indexed(bytes: Vec<u8>, size: usize) -> Files {
    store(|store| {
        let mut snapshot = store.snapshot(FOLDER);
        let list = bytes.get(4096..).unwrap_or_default();
        snapshot.list(INDEX, size, sha256(&[list]), Wrap::Plain);
        snapshot.write();
        std::fs::write(store.simple_path().join(INDEX), &bytes).unwrap();
    })
}

pub(super) fn cases() -> Vec<Case> {
    assert!(FOLDER.ends_with(TIME));
    let base = store(|_| {});
    let Some((_, Content::Sparse { parts, .. })) = base.iter().find(|(name, _)| name.ends_with(INDEX)) else {
        panic!("the index is there")
    };
    let header = parts[0].1.clone();
    let wrap = |bytes: Vec<u8>| indexed(bytes, 8 * CHUNK);
    let (format, image, order) = ("pbs", FOLDER, Order::Little);
    let mut cases = Sweep { name: "pbs/index", format, image, base: header, order, wrap: &wrap }.cases(&[
        ("magic", 0, 8, [65, 65, 65, 65]),
        ("time", 24, 8, [0, 0, 0, 0]),
        ("sum", 32, 8, [65, 65, 65, 65]),
        ("size", 64, 8, [65, 65, 65, 65]),
        ("chunk-size", 72, 8, [65, 65, 65, 65]),
        ("digest", 4096, 8, [65, 65, 65, 65]),
    ]);
    cases.extend(files());
    cases.extend(chunks());
    cases.push(listed());
    cases
}

fn case(name: &str, about: &str, files: Files) -> Case {
    let mut case = Case::new(&format!("pbs/{name}"), about);
    case.files = files;
    case
}

fn read(case: Case, codes: &[u8]) -> Case {
    case.run(&["inspect", FOLDER], codes)
        .run(&["info", FOLDER], &[0, 65, 66, 69, 77])
        .run(&["convert", FOLDER, "out.raw"], codes)
}

fn files() -> Vec<Case> {
    let names = [
        ("absolute", format!("{CANARY}.img.fidx")),
        ("above", "../../../../canary.img.fidx".into()),
        ("near", format!("{NEAR}.fidx")),
        ("steers", "\u{1b}[31m\u{202e}\n.img.fidx".into()),
        ("empty", String::new()),
        ("dots", "..".into()),
    ];
    let mut cases: Vec<Case> = names
        .iter()
        .map(|(label, name)| {
            read(
                case(&format!("name-{label}"), "a manifest whose file lies elsewhere", manifest(name, 32768)),
                &[65, 69, 77],
            )
        })
        .collect();
    let replaced = |name: &'static str, content: Content| {
        let mut files = store(|_| {});
        let path = format!("{FOLDER}/{name}");
        files.retain(|(found, _)| *found != path);
        files.push((path, content));
        files
    };
    let key = [0; 32];
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    cases.extend([
        read(
            case("size-lies", "a manifest with another size than the index", manifest(INDEX, 1 << 40)),
            &[65],
        ),
        read(case("size-huge", "a manifest with a size of 2^64 - 1", manifest(INDEX, u64::MAX)), &[65]),
        read(
            case(
                "index-is-a-link",
                "an index that is a link out of the datastore",
                replaced(INDEX, Content::Link("../../../../canary".into())),
            ),
            &[77],
        ),
        read(case("index-is-a-pipe", "an index that is a pipe", replaced(INDEX, Content::Pipe)), &[66]),
        read(
            case(
                "manifest-is-a-link",
                "a manifest that is a link out of the datastore",
                replaced("index.json.blob", Content::Link("../../../../canary".into())),
            ),
            &[77],
        ),
        read(
            case(
                "manifest-bomb",
                "a manifest of a GiB of zeros, packed",
                replaced("index.json.blob", packed_bomb().into()),
            ),
            &[65],
        ),
        read(
            case(
                "manifest-deep",
                "a manifest of lists inside each other",
                replaced("index.json.blob", wrap(deep.as_bytes(), Wrap::Packed, &key).into()),
            ),
            &[65],
        ),
        read(
            case(
                "manifest-no-text",
                "a manifest of bytes",
                replaced("index.json.blob", wrap(&[0xff; 100], Wrap::Plain, &key).into()),
            ),
            &[65],
        ),
    ]);
    cases
}

/// A manifest of very many files, which are not there.
fn listed() -> Case {
    let files = store(|store| {
        let files: Vec<_> = (0..60_000)
            .map(|n| json!({"crypt-mode": "none", "csum": "00".repeat(32), "filename": format!("f{n}.img.fidx"), "size": 4096}))
            .collect();
        let manifest = json!({"backup-id": "100", "backup-time": 1_795_312_800, "backup-type": "vm", "unprotected": {}, "files": files});
        let bytes = wrap(manifest.to_string().as_bytes(), Wrap::Plain, &store.key);
        std::fs::write(store.simple_path().join("index.json.blob"), bytes).unwrap();
    });
    read(case("list-files", "a manifest of sixty thousand disks", files), &[65])
}

/// A blob that unpacks to a gigabyte.
fn packed_bomb() -> Vec<u8> {
    let data = zstd::bulk::compress(&vec![b' '; 64 << 20], 1).unwrap().repeat(16);
    let mut bytes = vec![49, 185, 88, 66, 111, 182, 163, 127];
    bytes.extend(crc32fast::hash(&data).to_le_bytes());
    bytes.extend(data);
    bytes
}

fn chunks() -> Vec<Case> {
    let content = sample(8 * CHUNK, 1);
    let first = &content[..CHUNK];
    // Reading finds it, not opening.
    let found = |case: Case, codes: &[u8]| {
        case.run(&["convert", FOLDER, "out.raw"], codes).run(&["check", FOLDER], &[1, 77])
    };
    let chunk = |change: &dyn Fn(&Store, &std::path::Path)| {
        store(|store| {
            let path = store.chunk_path(&sha256(&[first]));
            change(store, &path);
        })
    };
    let linked = || {
        let mut files = chunk(&|_, path| std::fs::remove_file(path).unwrap());
        let name = super::bases::pbs::hex(&sha256(&[first]));
        files.push((format!(".chunks/{}/{name}", &name[..4]), Content::Link("../../../canary".into())));
        files
    };
    let digests = vec![sha256(&[first]); 4];
    vec![
        found(
            case(
                "chunk-missing",
                "a chunk that is not there",
                chunk(&|_, path| std::fs::remove_file(path).unwrap()),
            ),
            &[66],
        ),
        found(case("chunk-is-a-link", "a chunk that is a link out of the datastore", linked()), &[77]),
        found(
            case(
                "chunk-other",
                "a chunk with another content",
                chunk(&|store, path| {
                    std::fs::write(path, wrap(&[3; CHUNK], Wrap::Plain, &store.key)).unwrap()
                }),
            ),
            &[65],
        ),
        found(
            case(
                "chunk-bomb",
                "a chunk that unpacks to a gigabyte",
                chunk(&|_, path| std::fs::write(path, packed_bomb()).unwrap()),
            ),
            &[65],
        ),
        found(
            case(
                "chunk-short",
                "a chunk that is too short",
                chunk(&|store, path| {
                    std::fs::write(path, wrap(&[3; 100], Wrap::Packed, &store.key)).unwrap()
                }),
            ),
            &[65],
        ),
        found(
            case(
                "chunk-nonsense",
                "a chunk that is none",
                chunk(&|_, path| std::fs::write(path, [0xff; 5000]).unwrap()),
            ),
            &[65],
        ),
        found(
            case("chunk-empty", "a chunk of no bytes", chunk(&|_, path| std::fs::write(path, []).unwrap())),
            &[65],
        ),
        found(
            case(
                "index-of-zeros",
                "an index whose digests are zeros",
                indexed(index(&[[0; 32]; 8], 8 * CHUNK as u64, CHUNK as u64), 8 * CHUNK),
            ),
            &[65, 66],
        ),
        read(
            case(
                "index-cut",
                "an index of fewer chunks than the disk has",
                indexed(index(&digests, 8 * CHUNK as u64, CHUNK as u64), 8 * CHUNK),
            ),
            &[65],
        ),
        read(
            case(
                "index-huge",
                "an index of 16 EiB in four chunks",
                indexed(index(&digests, u64::MAX, 1 << 62), 8 * CHUNK),
            ),
            &[65, 69],
        ),
    ]
}
