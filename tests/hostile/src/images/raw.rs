//! Raw disks into which a guest wrote the header of another format (CVE-2013-1922, CVE-2008-2004, CVE-2024-40767).

use super::bases::builder::Plan;
use super::bases::{ewf, parallels, partclone, qcow1, qed, tar, vdi, vhd, vhdx, vma, xva};
use super::{bases, qcow2};
use crate::case::{Case, Content};

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = headers().into_iter().map(|(format, head)| written(format, head)).collect();
    cases.extend(doubtful());
    cases.extend(others());
    cases
}

/// How each format begins.
fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let mut vhd_end = vec![0; 60000];
    vhd_end.extend(vhd::Maker::fixed(&[5; 4096]).file());
    vec![
        ("qcow2", qcow2::image().0),
        ("qcow1", qcow1::Maker::new(1 << 20).bytes),
        ("qed", qed::Maker::new(1 << 20).bytes),
        ("vmdk", Plan::sample(0).build().bytes),
        ("vmdk-descriptor", super::vmdk::HEAD.into()),
        ("vhdx", vhdx::Maker::new(4 << 20, 1 << 20, 512).bytes),
        ("vhd", vhd_end),
        ("vdi", vdi::Plan::sample().build().bytes),
        ("parallels", parallels::Plan::sample(true).build().bytes),
        ("ewf", ewf::Plan::sample().one()),
        ("partclone", partclone::Plan::sample().build().bytes),
        ("ntfsclone", bases::ntfsclone::Plan::sample().build().bytes),
        ("vma", vma::Plan::sample().build()),
        ("xva", xva::build(&xva::Plan::sample())),
        ("tar", tar::archive(&[tar::Hand::file("disk.raw", &[1; 4096])])),
        ("gzip", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
        ("xz", b"\xfd7zXZ\0\0\x04".to_vec()),
        ("zstd", vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 0]),
        ("lz4", vec![0x04, 0x22, 0x4d, 0x18, 0x64, 0x40]),
        ("bzip2", b"BZh91AY&SY".to_vec()),
        ("lzop", b"\x89LZO\0\r\n\x1a\n".to_vec()),
    ]
}

/// A file that is called raw and begins otherwise: nobody guesses.
fn written(format: &str, mut head: Vec<u8>) -> Case {
    if format != "vhd" {
        head.resize(head.len().max(1 << 20), 0);
    }
    Case::new(
        &format!("raw/{format}"),
        &format!("a raw disk into which its guest wrote what begins like {format}"),
    )
    .file("a.raw", head.clone())
    .file("a.img", head)
    .run_saying(&["inspect", "a.raw"], &[2], "-f raw")
    .run_saying(&["info", "a.img"], &[2], "-f raw")
    .run_saying(&["check", "a.raw"], &[2], "-f raw")
    .run_saying(&["convert", "a.raw", "out.qcow2"], &[2], "-f raw")
    .run_saying(&["migrate", "a.img", "--to", "kvm", "--out", "out"], &[2], "-f raw")
    .run(&["convert", "-f", "raw", "a.raw", "out.qcow2"], &[0])
}

/// Files that look like two formats at once, and none says which it is.
fn doubtful() -> Vec<Case> {
    let start = |format: &str| headers().into_iter().find(|(name, _)| *name == format).unwrap().1;
    let footer = vhd::Maker::fixed(&[]).file();
    ["qcow2", "vmdk", "vdi", "qed", "gzip"]
        .map(|format| {
            let file = [start(format), vec![0; 1 << 20], footer.clone()].concat();
            Case::new(
                &format!("raw/{format}-and-vhd"),
                &format!("a file that begins like {format} and ends like VHD"),
            )
            .file("disk", file.clone())
            .file("disk.bin", file)
            .run_saying(&["inspect", "disk"], &[2], "-f")
            .run_saying(&["convert", "disk", "out.raw"], &[2], "-f")
            .run_saying(&["convert", "disk.bin", "out.raw"], &[2], "-f")
        })
        .into()
}

/// What is no disk at all, and sizes that no disk has.
fn others() -> Vec<Case> {
    let all = |case: Case, name: &str, codes: &[u8]| {
        case.run(&["inspect", name], codes)
            .run(&["info", name], codes)
            .run(&["convert", name, "out.qcow2"], codes)
    };
    vec![
        all(Case::new("raw/empty", "a file of no bytes").file("a.raw", vec![]), "a.raw", &[0]),
        all(Case::new("raw/one-byte", "a file of one byte").file("a.raw", vec![1]), "a.raw", &[0]),
        all(
            Case::new("raw/folder", "a folder that is called like an image").file("a.qcow2", Content::Folder),
            "a.qcow2",
            &[69],
        ),
        all(
            Case::new("raw/link-to-nowhere", "a link to what is not there")
                .file("a.raw", Content::Link("b.raw".into())),
            "a.raw",
            &[66],
        ),
        all(
            Case::new("raw/link-to-itself", "a link to itself").file("a.raw", Content::Link("a.raw".into())),
            "a.raw",
            &[74],
        ),
        all(
            Case::new("raw/pipe", "a named pipe that nobody writes into").file("a.raw", Content::Pipe),
            "a.raw",
            &[69],
        ),
        Case::new("raw/sparse-8-eib", "a hole of almost 8 EiB, as far as the file system has it")
            .file("a.raw", Content::Sparse { len: (1 << 43) - 4096, parts: vec![] })
            .run(&["info", "a.raw"], &[0])
            .run(&["digest", "a.raw"], &[0])
            .run(&["convert", "a.raw", "out.qcow2"], &[0]),
    ]
}
