//! What lies beside an image and is read with it: manifests, lists of block hashes, what an interrupted run left.

use crate::case::{Case, Content};
use crate::names::{CANARY, NEAR};
use serde_json::{Value, json};

const SIZE: u64 = 100_000;

fn manifest(change: impl FnOnce(&mut Value)) -> Content {
    let mut text = json!({
        "version": 1, "tool": "rehome 0.1.0", "created": "2026-11-30T14:21:19Z", "algorithm": "rehome-disk-digest-v1",
        "digest": "69".repeat(32), "virtual_size": SIZE, "leaf_size": 65536, "block_size": 4_194_304,
        "blocks": "a.raw.rehome.blocks", "image": {"name": "a.raw", "format": "raw", "file_size": SIZE},
        "source": {"files": [{"name": "m.raw", "format": "raw", "file_size": SIZE}], "digest": null}, "changed": [],
    });
    change(&mut text);
    text.to_string().into()
}

fn case(name: &str, about: &str, content: Content) -> Case {
    Case::new(&format!("manifests/{name}"), about)
        .file("a.raw", vec![7; SIZE as usize])
        .file("a.raw.rehome.blocks", vec![5; 32])
        .file("link", Content::Link(NEAR.into()))
        .file("a.raw.rehome.json", content)
}

fn verified(case: Case, codes: &[u8]) -> Case {
    case.run(&["verify", "a.raw"], codes)
}

pub(super) fn cases() -> Vec<Case> {
    let blocks = |label: &str, name: &str| {
        let content = manifest(|text| text["blocks"] = name.into());
        verified(
            case(&format!("blocks-{label}"), "a list of hashes that lies elsewhere", content),
            &[2, 65, 66, 77],
        )
    };
    let field = |name: &'static str, value: Value| {
        let about = format!("a manifest whose {name} is {value}");
        let label = format!("field-{}-{}", name.replace('_', "-"), value.to_string().len());
        verified(case(&label, &about, manifest(|text| text[name] = value)), &[1, 65, 69])
    };
    let text = |name: &str, about: &str, text: String| verified(case(name, about, text.into()), &[65, 69]);
    let instead = |name: &str, content: Content| {
        let mut case = case(name, "a manifest that is no file", "".into());
        case.files.pop();
        case.files.push(("a.raw.rehome.json".into(), content));
        verified(case, &[2, 65, 66, 69, 77])
    };
    let mut cases = vec![
        verified(case("digest-other", "a manifest of another disk", manifest(|_| {})), &[65]),
        blocks("above", NEAR),
        blocks("absolute", CANARY),
        blocks("link", "link"),
        blocks("steering", "\u{1b}[31m\u{202e}\n"),
        blocks("empty", ""),
        field("virtual_size", u64::MAX.into()),
        field("virtual_size", 0.into()),
        field("virtual_size", (-1).into()),
        field("block_size", 0.into()),
        field("block_size", u64::MAX.into()),
        field("leaf_size", 0.into()),
        field("version", u32::MAX.into()),
        field("algorithm", "\u{1b}[31mmine".into()),
        field("digest", "\u{1b}[31m".into()),
        field("changed", json!([{"offset": u64::MAX, "len": u64::MAX}])),
        text("deep", "lists inside each other", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        text("no-json", "a manifest of nothing", "{".into()),
        text("no-text", "a manifest that steers the terminal", "\u{1b}[31m".into()),
        instead("is-a-link", Content::Link(NEAR.into())),
        instead("is-a-device", Content::Link("/dev/zero".into())),
        instead("is-a-pipe", Content::Pipe),
        instead("is-a-folder", Content::Folder),
        instead("is-huge", Content::Sparse { len: 1 << 40, parts: vec![] }),
    ];
    cases.extend(left());
    cases
}

/// What an interrupted run left, or somebody who writes into the folder.
fn left() -> Vec<Case> {
    let case = |name: &str, about: &str, files: Vec<(String, Content)>| {
        let mut case =
            Case::new(&format!("manifests/left-{name}"), about).file("a.raw", vec![7; SIZE as usize]);
        case.files.extend(files);
        case.run(&["convert", "a.raw", "b.qcow2"], &[2, 73, 74])
    };
    let partial = |content: Content| vec![("b.qcow2.partial".to_owned(), content)];
    vec![
        case(
            "link",
            "the target's partial file is a link to a file of the host",
            partial(Content::Link(NEAR.into())),
        ),
        case("folder", "the target's partial file is a folder", partial(Content::Folder)),
    ]
}
