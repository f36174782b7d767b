//! Names of files that an image has no business with, for every format that can name a file.

use super::Files;
use crate::case::{Case, Content};
use crate::names::{CANARY, NEAR};

/// What the name is, and the name.
const NAMES: [(&str, &str); 16] = [
    ("absolute", CANARY),
    ("above", NEAR),
    ("above-by-dot", "./../canary"),
    ("above-by-folder", "folder/../../canary"),
    ("json", "json:{\"driver\":\"file\",\"filename\":\"../canary\"}"),
    ("nbd", "nbd://127.0.0.1:9/x"),
    ("nbd-unix", "nbd+unix:///x?socket=../canary"),
    ("url", "file:../canary"),
    ("http", "http://127.0.0.1:9/x"),
    ("device", "/dev/zero"),
    ("own-memory", "/proc/self/environ"),
    ("descriptor", "/dev/fd/0"),
    ("link", "link"),
    ("pipe", "pipe"),
    ("folder", "folder"),
    ("steering", "../\u{1b}[31m\n\u{202e}\"canary"),
];

/// The code for a name that no room treats in its own way: outside of the folder, or what is there is no file.
pub(super) fn usual(label: &str) -> u8 {
    match label {
        "pipe" | "folder" => 69,
        _ => 77,
    }
}

/// An image for each name, made by `make`; the codes are those of `inspect` and of a copy.
pub(super) fn cases(
    family: &str,
    place: &str,
    image: &str,
    make: &dyn Fn(&str) -> Files,
    codes: &dyn Fn(&str) -> u8,
) -> Vec<Case> {
    let case = |(label, name): &(&str, &str)| {
        let about =
            format!("the {place} is {name:?} (CVE-2024-32498, CVE-2022-47951, CVE-2015-5163, CVE-2024-4467)");
        let mut case = Case::new(&format!("{family}/{place}-{label}"), &about)
            .file("link", Content::Link(NEAR.into()))
            .file("pipe", Content::Pipe)
            .file("folder", Content::Folder);
        case.files.extend(make(name));
        let code = [codes(label)];
        case.run(&["inspect", image], &code)
            .run(&["info", image], &[0, code[0]])
            .run(&["convert", image, "out.raw"], &code)
    };
    NAMES.iter().map(case).collect()
}
