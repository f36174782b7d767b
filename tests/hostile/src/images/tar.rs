//! Tar archives: what members are called, and headers that say two things.

use super::bases::tar::{Hand, archive, pax};
use super::tar_sparse;
use crate::case::{Case, Content};
use crate::names::NEAR;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = names();
    cases.extend(kinds());
    cases.extend(headers());
    cases.extend(inside());
    cases.extend(tar_sparse::cases());
    cases
}

fn disk() -> Vec<u8> {
    vec![7; 8192]
}

fn case(name: &str, about: &str, members: &[Hand]) -> Case {
    Case::new(&format!("tar/{name}"), about).file("a.tar", archive(members))
}

pub(super) fn read(case: Case, codes: &[u8]) -> Case {
    case.run(&["inspect", "a.tar"], codes)
        .run(&["info", "a.tar"], codes)
        .run(&["convert", "a.tar", "out.raw"], codes)
}

/// Members whose names lead out of a folder: they are names and no more, whatever is written.
fn names() -> Vec<Case> {
    let long = "n".repeat(255);
    let names = [
        ("absolute", "/etc/evil.raw"),
        ("above", "../../evil.raw"),
        ("above-inside", "a/../../evil.raw"),
        ("backslash", "..\\..\\evil.raw"),
        ("drive", "C:\\evil.raw"),
        ("steers", "\u{1b}[31m\u{202e}\nevil\r.raw"),
        ("quotes", "a\"'`$(touch x)`;|&.raw"),
        ("device", "/dev/sda"),
        ("option", "--force"),
        ("dot", "."),
        ("empty", ""),
        ("long", long.as_str()),
    ];
    let several = |(label, name): (&str, &str)| {
        // Long names come in a record of their own.
        let named = |content: &[u8]| vec![pax(&[("path", name)]), Hand::file("x.raw", content)];
        let members = [named(&disk()), vec![Hand::file("good.raw", &[9; 4096])]]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        case(&format!("name-{label}"), &format!("a member that is called {name:.40?}"), &members)
            .run(&["inspect", "a.tar"], &[0, 65, 69])
            .run(&["info", "a.tar"], &[0, 2, 65, 69])
            .run(&["convert", "--pick", "0", "a.tar", "out.raw"], &[0, 65, 69])
            .run(&["convert", "-O", "qcow2", "--out", "out", "a.tar"], &[0, 2, 65, 69, 73])
    };
    names.into_iter().map(several).collect()
}

/// Members that are no regular files.
fn kinds() -> Vec<Case> {
    let link = |kind, target: &str| Hand::of(kind, "disk.raw", &[]).patched(157, target.as_bytes());
    let good = || Hand::file("other.raw", &disk());
    vec![
        read(
            case(
                "link-symbolic",
                "a disk that is a symbolic link to a file of the host",
                &[link(b'2', NEAR)],
            ),
            &[69],
        ),
        read(
            case("link-hard", "a disk that is a hard link to a file of the host", &[link(b'1', NEAR)]),
            &[69],
        ),
        read(case("link-beside", "a link beside a disk", &[link(b'2', NEAR), good()]), &[0]),
        read(
            case("device", "a disk that is a device", &[Hand::of(b'3', "disk.raw", &[]), good()]),
            &[0, 65, 69],
        ),
        read(case("pipe", "a disk that is a pipe", &[Hand::of(b'6', "disk.raw", &[])]), &[69]),
        read(case("kind-unknown", "a kind that nobody knows", &[Hand::of(b'Q', "disk.raw", &disk())]), &[69]),
        read(
            case("volume", "the second volume of an archive", &[Hand::of(b'M', "disk.raw", &disk())]),
            &[69],
        ),
        read(
            case(
                "duplicate",
                "two members of the same name",
                &[Hand::file("disk.raw", &disk()), Hand::file("disk.raw", &[9; 4096])],
            ),
            &[69],
        ),
        read(
            case(
                "duplicate-spelled",
                "the same name, spelled otherwise",
                &[Hand::file("disk.raw", &disk()), Hand::file("./disk.raw", &[9; 4096])],
            ),
            &[69],
        ),
    ]
}

/// Headers of which two readers could read two things (CVE-2025-62518).
fn headers() -> Vec<Case> {
    let file = || Hand::file("disk.raw", &disk());
    // What is between the two sizes is a member of its own to a reader that believes the header.
    let smuggled = archive(&[Hand::file("evil.raw", &[6; 4096])]);
    let outer = |size: &str| {
        vec![
            pax(&[("size", size)]),
            Hand { size: b"00000000000\0".to_vec(), ..Hand::file("disk.raw", &smuggled) },
        ]
    };
    let mut global = pax(&[("size", "4096")]);
    global.kind = b'g';
    let mut sum = archive(&[file()]);
    sum[0] ^= 1;
    let bare = |name: &str, about: &str, bytes: Vec<u8>| {
        Case::new(&format!("tar/{name}"), about).file("a.tar", bytes)
    };
    let records = |text: &str| vec![Hand::of(b'x', "x", text.as_bytes()), file()];
    vec![
        case(
            "pax-size",
            "a size of a pax record and another in the header",
            &outer(&smuggled.len().to_string()),
        )
        .run(&["inspect", "a.tar"], &[2])
        .run(&["convert", "a.tar", "out.raw"], &[2]),
        read(
            case(
                "pax-size-zero",
                "a size of 0 in the record, data behind the header",
                &[pax(&[("size", "0")]), file()],
            ),
            &[65],
        ),
        read(case("pax-size-negative", "a negative size", &[pax(&[("size", "-1")]), file()]), &[65]),
        read(
            case("pax-size-huge", "a size of 2^64 - 1", &[pax(&[("size", "18446744073709551615")]), file()]),
            &[65],
        ),
        read(case("pax-size-twice", "two sizes", &records("13 size=4096\n13 size=8192\n")), &[0]),
        read(case("pax-global", "a size for all members", &[global, file()]), &[69]),
        read(case("pax-length-zero", "a record of no length", &records("0 size=1\n")), &[65]),
        read(
            case(
                "pax-length-huge",
                "a record that is longer than the rest",
                &records("99999999999999999999999 size=1\n"),
            ),
            &[65],
        ),
        read(
            case("pax-huge", "a megabyte of records", &records(&"20 comment=aaaaaaaa\n".repeat(60_000))),
            &[0],
        ),
        read(case("pax-last", "records and no member", &[file(), pax(&[("size", "1")])]), &[65]),
        read(
            case(
                "long-name-huge",
                "a name of a megabyte",
                &[Hand::of(b'L', "././@LongLink", &vec![b'a'; 1 << 20]), file()],
            ),
            &[69],
        ),
        read(
            case(
                "size-base256",
                "a size of 2^95",
                &[file()
                    .patched(124, &[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
            ),
            &[65],
        ),
        read(case("size-negative", "a negative size", &[file().patched(124, &[0xff; 12])]), &[65]),
        read(
            case("size-huge", "a size of 8 GiB in a file of 9 KiB", &[file().patched(124, b"77777777777\0")]),
            &[65],
        ),
        read(case("size-words", "a size that is no number", &[file().patched(124, b"0000000099x\0")]), &[65]),
        read(bare("sum-wrong", "a header whose sum is wrong", sum), &[65]),
        read(
            bare("cut", "an archive that ends inside of a disk", archive(&[file()])[..4096].to_vec()),
            &[65],
        ),
        read(
            bare(
                "members-many",
                "fifty thousand members of nothing",
                archive(&(0..50_000).map(|n| Hand::file(&format!("{n}"), &[])).collect::<Vec<_>>()),
            ),
            &[69],
        ),
        read(
            bare(
                "disks-many",
                "five thousand disks",
                archive(&(0..5000).map(|n| Hand::file(&format!("{n}.raw"), &[7; 512])).collect::<Vec<_>>()),
            ),
            &[0, 2],
        ),
    ]
}

/// Images in the archive that name files.
fn inside() -> Vec<Case> {
    let child = |name: &str| {
        super::qcow2::with_extensions(
            super::qcow2::image(),
            &[(0xe279_2aca, b"raw"), (0, b"")],
            name.as_bytes(),
        )
        .0
    };
    let descriptor = |name: &str| format!("{}RW 128 FLAT \"{name}\" 0\n", super::vmdk::HEAD).into_bytes();
    let file = |name: &str, bytes: Vec<u8>| Hand::file(name, &bytes);
    vec![
        read(
            case(
                "parent-outside",
                "a qcow2 in an archive that names a file of the host",
                &[file("a.qcow2", child(NEAR))],
            ),
            &[66],
        ),
        read(
            case(
                "parent-beside",
                "a qcow2 in an archive that names a file beside the archive",
                &[file("a.qcow2", child("b.raw"))],
            )
            .file("b.raw", vec![1; 65536]),
            &[66],
        ),
        read(
            case(
                "extent-outside",
                "a VMDK in an archive that names a file of the host",
                &[file("a.vmdk", descriptor(NEAR))],
            ),
            &[69],
        ),
        read(
            case("hidden", "a raw disk in an archive that begins like qcow2", &[file("a.raw", child(NEAR))]),
            &[2],
        ),
        read(
            case(
                "tar-in-tar",
                "an archive in an archive, eight times",
                &[file("a.tar", (0..8).fold(disk(), |bytes, _| archive(&[Hand::file("a.tar", &bytes)])))],
            ),
            &[69],
        ),
        Case::new("tar/endless", "an archive that is a hole of a terabyte")
            .file(
                "a.tar",
                Content::Sparse {
                    len: 1 << 40,
                    parts: vec![(0, archive(&[Hand::file("disk.raw", &disk())]))],
                },
            )
            .run(&["info", "a.tar"], &[0])
            .run(&["convert", "a.tar", "out.raw"], &[0]),
    ]
}
