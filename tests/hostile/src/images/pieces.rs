//! Files that were cut into pieces, whose next names the room makes itself.

use crate::case::{Case, Content};
use crate::names::NEAR;

fn piece(byte: u8) -> Vec<u8> {
    vec![byte; 65536]
}

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, about: &str, second: Content| {
        let mut case = Case::new(&format!("pieces/{name}"), about).file("a.001", piece(1));
        case.files.push(("a.002".into(), second));
        case.file("a.003", piece(3))
    };
    let read = |case: Case, codes: &[u8]| {
        case.run(&["inspect", "a.001"], codes).run(&["convert", "a.001", "out.raw"], codes)
    };
    let mut many = Case::new("pieces/many", "two thousand pieces of a sector");
    for number in 1..2000 {
        many = many.file(&format!("a.{number:03}"), vec![7; 512]);
    }
    vec![
        read(case("good", "no attack: three pieces of a disk", piece(2).into()), &[0]),
        read(case("link", "a piece that is a link to a file of the host", Content::Link(NEAR.into())), &[77]),
        read(
            case("link-absolute", "a piece that is a link to a device", Content::Link("/dev/zero".into())),
            &[77],
        ),
        read(case("pipe", "a piece that is a pipe", Content::Pipe), &[69]),
        read(case("folder", "a piece that is a folder", Content::Folder), &[69]),
        read(case("empty", "a piece of no bytes", Content::Sparse { len: 0, parts: vec![] }), &[65]),
        read(
            case("huge", "a piece of 8 TiB that is a hole", Content::Sparse { len: 1 << 43, parts: vec![] }),
            &[65],
        ),
        Case::new(
            "pieces/first-is-a-header",
            "pieces of which the first one begins like qcow2 (CVE-2013-1922)",
        )
        .file("a.001", super::qcow2::image().0)
        .file("a.002", piece(2))
        .run(&["inspect", "a.001"], &[2])
        .run(&["convert", "a.001", "out.raw"], &[2]),
        many.run(&["convert", "a.001", "out.raw"], &[0, 69]),
    ]
}
