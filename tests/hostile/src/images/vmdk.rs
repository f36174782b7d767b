//! VMDK: descriptors, and the files that they name.

use super::bases::builder::Plan;
use super::bases::esx;
use super::{foreign, one, vmdk_sparse};
use crate::case::{Case, Content};
use crate::names::CANARY;

pub(super) const HEAD: &str =
    "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"custom\"\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = named();
    cases.extend(lines());
    cases.extend(parents());
    cases.extend(esx_extents());
    cases.extend(vmdk_sparse::cases());
    cases
}

fn descriptor(lines: &str) -> String {
    format!("{HEAD}{lines}\n")
}

fn both(case: Case, codes: &[u8]) -> Case {
    case.run(&["inspect", "a.vmdk"], codes)
        .run(&["info", "a.vmdk"], codes)
        .run(&["check", "a.vmdk"], &[codes, &[1]].concat())
        .run(&["convert", "a.vmdk", "out.raw"], codes)
}

/// Extents and parents that are none of the disk's business. A quoted name holds no quote and no end of a line, so these
/// are taken out.
fn named() -> Vec<Case> {
    let code = |label: &str| match label {
        "device" | "descriptor" => 69,
        _ => foreign::usual(label),
    };
    let tame = |name: &str| name.replace(['"', '\n'], "");
    let extent = |kind: &'static str| {
        move |name: &str| one("a.vmdk", descriptor(&format!("RW 128 {kind} \"{}\" 0", tame(name))))
    };
    let parent = |name: &str| {
        let text = format!("{HEAD}parentFileNameHint=\"{}\"\nRW 128 ZERO\n", tame(name));
        one("a.vmdk", text.replace("parentCID=ffffffff", "parentCID=87654321"))
    };
    let embedded = |name: &str| {
        let text = format!("{HEAD}RW 44 FLAT \"{}\" 0\n", tame(name));
        one("a.vmdk", Plan { text, ..Plan::sample(0) }.build().bytes)
    };
    let mut cases = foreign::cases("vmdk", "flat", "a.vmdk", &extent("FLAT"), &code);
    cases.extend(foreign::cases("vmdk", "vmfs", "a.vmdk", &extent("VMFS"), &code));
    cases.extend(foreign::cases("vmdk", "sparse", "a.vmdk", &extent("SPARSE"), &code));
    cases.extend(foreign::cases("vmdk", "parent", "a.vmdk", &parent, &foreign::usual));
    cases.extend(foreign::cases("vmdk", "embedded", "a.vmdk", &embedded, &|_| 69));
    cases
}

fn lines() -> Vec<Case> {
    let case = |name: &str, about: &str, lines: &str| {
        Case::new(&format!("vmdk/{name}"), about).file("a.vmdk", descriptor(lines))
    };
    let data = || vec![7; 65536];
    let many = |line: &str, count: usize| format!("{line}\n").repeat(count);
    let devices = ["\\\\.\\PhysicalDrive0", "/dev/sda", "/vmfs/devices/disks/naa.1", "vml.0200"];
    let mut cases = vec![
        both(case("itself", "an extent that is the descriptor", "RW 1 FLAT \"a.vmdk\" 0"), &[65]),
        both(
            case("itself-sparse", "a sparse extent that is the descriptor", "RW 128 SPARSE \"a.vmdk\""),
            &[65],
        ),
        both(
            case("offset-outside", "an extent that begins behind its file", "RW 128 FLAT \"x\" 9999999999")
                .file("x", data()),
            &[65],
        ),
        both(
            case("offset-overflow", "an extent that ends behind 2^64", "RW 128 FLAT \"x\" 36028797018963967")
                .file("x", data()),
            &[65],
        ),
        both(case("sectors-overflow", "a disk of 2^64 sectors", "RW 18446744073709551615 ZERO"), &[65]),
        both(
            case("sectors-sum", "extents whose sum is no number", &many("RW 36028797018963967 ZERO", 600)),
            &[65],
        ),
        both(
            case("sectors-negative", "an extent of -1 sectors", "RW -1 FLAT \"x\" 0").file("x", data()),
            &[65],
        ),
        both(
            case("sectors-more", "an extent that is longer than its file", "RW 4096 FLAT \"x\" 0")
                .file("x", data()),
            &[65],
        ),
        both(case("none", "a disk without extents", ""), &[65]),
        both(
            case("no-access", "an extent that must not be read", "NOACCESS 128 FLAT \"x\" 0")
                .file("x", data()),
            &[69],
        ),
        both(case("extents-too-many", "seventy thousand extents", &many("RW 1 ZERO", 70_000)), &[69]),
        case("extents-many", "three thousand extents of the same file", &many("RW 128 FLAT \"x\" 0", 3000))
            .file("x", data())
            .run(&["info", "a.vmdk"], &[65])
            .run(&["convert", "a.vmdk", "out.raw"], &[65]),
        case("line-endless", "a line of a megabyte", &"x".repeat(1 << 20))
            .run(&["info", "a.vmdk"], &[65])
            .run(&["convert", "a.vmdk", "out.raw"], &[65]),
        case(
            "steers",
            "values that steer the terminal",
            "RW 1 \u{1b}[31m \"\u{1b}]0;x\u{7}\" 0\nddb.\u{1b}[2J = \"\u{1b}[2J\"",
        )
        .run(&["info", "a.vmdk"], &[69])
        .run(&["convert", "a.vmdk", "out.raw"], &[69]),
        case("no-text", "a descriptor that is no text", "RW 128 FLAT \"x\" 0\nencoding=\"GBK\"\n")
            .file("x", data())
            .run(&["info", "a.vmdk"], &[0])
            .run(&["convert", "a.vmdk", "out.raw"], &[0]),
        Case::new(
            "vmdk/descriptor-in-disk",
            "a raw disk into which its guest wrote a descriptor (CVE-2022-47951)",
        )
        .file(
            "a.raw",
            [descriptor(&format!("RW 128 FLAT \"{CANARY}\" 0")).into_bytes(), vec![0; 65536]].concat(),
        )
        .run(&["inspect", "a.raw"], &[2])
        .run(&["convert", "a.raw", "out.qcow2"], &[2])
        .run(&["convert", "-f", "raw", "a.raw", "out.qcow2"], &[0]),
        Case::new("vmdk/descriptor-unnamed", "the same, called by a name that says nothing")
            .file(
                "disk",
                [descriptor(&format!("RW 128 FLAT \"{CANARY}\" 0")).into_bytes(), vec![0; 65536]].concat(),
            )
            .run(&["inspect", "disk"], &[77])
            .run(&["convert", "disk", "out.qcow2"], &[77]),
    ];
    for (number, device) in devices.iter().enumerate() {
        for kind in ["FLAT", "VMFSRDM"] {
            let name = format!("device-{number}-{}", kind.to_ascii_lowercase());
            let case = case(
                &name,
                "an extent that is a device of the host (CVE-2022-47951)",
                &format!("RW 128 {kind} \"{device}\" 0"),
            );
            cases.push(both(case, &[66, 69, 77]));
        }
    }
    cases.push({
        let line = "RW 128 FLAT \"x\" 0";
        both(
            case("extent-is-a-link-to-a-device", "an extent that is a link to a device", line)
                .file("x", Content::Link("/dev/zero".into())),
            &[77],
        )
    });
    cases
}

fn parents() -> Vec<Case> {
    let child = |cid: &str, parent: &str, name: &str| {
        let text = format!("{HEAD}parentFileNameHint=\"{name}\"\nRW 128 ZERO\n");
        text.replace("CID=12345678", &format!("CID={cid}"))
            .replace("parentCID=ffffffff", &format!("parentCID={parent}"))
    };
    let read = |case: Case, codes: &[u8]| {
        case.run(&["inspect", "a.vmdk"], codes)
            .run(&["chain", "a.vmdk"], codes)
            .run(&["convert", "a.vmdk", "out.raw"], codes)
    };
    let case = |name: &str, about: &str, file: String| {
        Case::new(&format!("vmdk/{name}"), about).file("a.vmdk", file)
    };
    let mut long = Case::new("vmdk/chain-of-300", "a chain longer than anyone's patience (CVE-2015-5162)");
    for number in 0..300 {
        long = long.file(&format!("{number}.vmdk"), child("1", "1", &format!("{}.vmdk", number + 1)));
    }
    vec![
        read(case("parent-itself", "a disk that is its own parent", child("1", "1", "a.vmdk")), &[65]),
        read(
            case("parent-cycle", "two disks that are each other's parents", child("1", "2", "b.vmdk"))
                .file("b.vmdk", child("2", "1", "a.vmdk")),
            &[65],
        ),
        read(
            case(
                "parent-other",
                "a parent that is another disk than the child was made of",
                child("1", "2", "b.vmdk"),
            )
            .file("b.vmdk", descriptor("RW 128 ZERO")),
            &[65],
        ),
        long.run(&["inspect", "0.vmdk"], &[69]).run(&["convert", "0.vmdk", "out.raw"], &[69]),
    ]
}

/// The extents of ESX: fields that lie.
fn esx_extents() -> Vec<Case> {
    let swept = |family: &'static str, kind: &'static str, base: Vec<u8>, fields: &[super::sweep::Field]| {
        let wrap = move |bytes: Vec<u8>| {
            let text = format!("{HEAD}RW {} {kind} \"x\"\n", esx::SECTORS);
            vec![("a.vmdk".into(), text.into()), ("x".into(), bytes.into())]
        };
        let order = super::sweep::Order::Little;
        super::sweep::Sweep { name: family, format: "vmdk", image: "a.vmdk", base, order, wrap: &wrap }
            .cases(fields)
    };
    let mut cases = swept(
        "vmdk/cowd",
        "VMFSSPARSE",
        esx::Cowd::sample().bytes,
        &[
            ("magic", 0, 4, [65, 65, 65, 65]),
            ("version", 4, 4, [69, 0, 69, 69]),
            ("flags", 8, 4, [0, 0, 0, 0]),
            ("sectors", 12, 4, [65, 65, 65, 65]),
            ("grain-sectors", 16, 4, [65, 0, 65, 65]),
            ("directory-offset", 20, 4, [65, 0, 65, 65]),
            ("directory-entries", 24, 4, [65, 0, 0, 0]),
            ("directory-entry", 2048, 4, [0, 65, 65, 65]),
            ("table-entry", 2560, 4, [0, 65, 65, 65]),
        ],
    );
    let directory = esx::SeSparse::DIRECTORY * 512;
    let table = esx::SeSparse::TABLES * 512;
    cases.extend(swept(
        "vmdk/sesparse",
        "SESPARSE",
        esx::SeSparse::sample().bytes,
        &[
            ("magic", 0, 8, [65, 65, 65, 65]),
            ("version", 8, 8, [65, 65, 65, 65]),
            ("capacity", 16, 8, [65, 65, 65, 65]),
            ("grain-size", 24, 8, [69, 69, 69, 69]),
            ("table-size", 32, 8, [69, 69, 69, 69]),
            ("volatile-offset", 80, 8, [65, 0, 65, 65]),
            ("directory-offset", 128, 8, [65, 65, 65, 65]),
            ("directory-length", 136, 8, [65, 0, 0, 0]),
            ("tables-offset", 144, 8, [65, 65, 65, 65]),
            ("tables-length", 152, 8, [65, 65, 0, 0]),
            ("grains-offset", 192, 8, [65, 65, 65, 65]),
            ("grains-length", 200, 8, [0, 0, 0, 0]),
            ("directory-entry", directory, 8, [0, 65, 65, 65]),
            ("table-entry", table, 8, [0, 65, 65, 65]),
        ],
    ));
    cases
}
