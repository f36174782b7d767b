//! Clonezilla: folders whose texts say where partitions lie.

use super::bases::clonezilla::{Folder, mbr, sample, sample_with_gpt};
use crate::case::{Case, Content};
use crate::names::{CANARY, NEAR};

fn whole() -> Folder {
    // A partclone image in earnest, instead of the pretended one of the room's tests.
    sample().without("sda2.ext4-ptcl-img.uncomp").with("sda2.dd-img.aa", vec![0x22; 2048 * 512])
}

fn case(name: &str, about: &str, folder: &Folder) -> Case {
    let mut case = Case::new(&format!("clonezilla/{name}"), about);
    case.files.push(("img".into(), Content::Folder));
    case.files.extend(folder.0.iter().map(|(name, bytes)| (format!("img/{name}"), bytes.clone().into())));
    case
}

fn read(case: Case, codes: &[u8]) -> Case {
    case.run(&["inspect", "img"], codes)
        .run(&["info", "img"], codes)
        .run(&["convert", "img", "out.raw"], codes)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = texts();
    cases.extend(lists());
    cases.extend(tables());
    cases.extend(files());
    cases
}

fn texts() -> Vec<Case> {
    let disks = |text: &str| whole().with("disk", text);
    let sf = |text: &str| whole().with("sda-pt.sf", text);
    let head = "label: dos\nunit: sectors\n\n";
    let long = "sda ".repeat(100_000);
    vec![
        read(case("good", "no attack: the folder that is taken apart", &whole()), &[0]),
        read(case("disk-above", "a disk that is called like a file of the host", &disks(NEAR)), &[65]),
        read(case("disk-absolute", "a disk with an absolute name", &disks(CANARY)), &[65]),
        read(case("disk-steers", "a disk whose name steers the terminal", &disks("\u{1b}[31m\u{202e}sda")), &[65]),
        read(case("disk-many", "a hundred thousand disks of the same name", &disks(&long)), &[69]),
        read(case("parts-above", "a partition that is called like a file of the host", &whole().with("parts", format!("sda1 {NEAR}"))), &[65]),
        read(case("parts-unknown", "a partition that is not in the table", &whole().with("parts", "sda1 sda2 sda99")), &[66]),
        read(case("sf-negative", "a partition that begins before the disk", &sf(&format!("{head}/dev/sda1 : start= -1, size= 1000, type=83\n"))), &[65]),
        read(case("sf-huge", "a partition that ends behind 2^64", &sf(&format!("{head}/dev/sda1 : start= 18446744073709551615, size= 18446744073709551615, type=83\n"))), &[65]),
        read(case("sf-many", "a hundred thousand partitions", &sf(&format!("{head}{}", "/dev/sda1 : start= 1000, size= 1000, type=83\n".repeat(100_000)))), &[69]),
        read(case("parted-huge", "a disk of 2^64 sectors", &whole().with("sda-pt.parted", "Disk /dev/sda: 18446744073709551615s\nSector size (logical/physical): 512B/512B\nPartition Table: msdos\n")), &[0]),
        read(case("parted-sector", "sectors of no bytes", &whole().with("sda-pt.parted", "Disk /dev/sda: 8192s\nSector size (logical/physical): 0B/0B\nPartition Table: msdos\n")), &[65]),
        read(case("swap-steers", "a swap area whose label steers the terminal", &whole().with("swappt-sda3.info", "UUID=\"\u{1b}[31m\"\nLABEL=\"\u{7}\"\n")), &[65]),
    ]
}

/// Lists that are honest but long.
fn lists() -> Vec<Case> {
    let numbered = |name: &str| (0..100_000).map(|n| format!("{name}{n} ")).collect::<String>();
    let rows: String =
        (1..40_000).map(|n| format!("/dev/sda{n} : start= {}, size= 1, type=83\n", n * 2)).collect();
    vec![
        read(case("list-disks", "a hundred thousand disks", &whole().with("disk", numbered("sd"))), &[69]),
        read(
            case("list-parts", "a hundred thousand partitions", &whole().with("parts", numbered("sda"))),
            &[69],
        ),
        read(
            case(
                "list-table",
                "a table of forty thousand partitions",
                &whole().with("sda-pt.sf", format!("label: gpt\nunit: sectors\n\n{rows}")),
            ),
            &[65],
        ),
    ]
}

fn tables() -> Vec<Case> {
    let with = |parts: &[(u8, u32, u32)]| whole().with("sda-mbr", mbr(parts));
    let mut gpt =
        sample_with_gpt().without("sda2.ext4-ptcl-img.uncomp").with("sda2.dd-img.aa", vec![0x22; 2048 * 512]);
    let first = gpt.0["sda-gpt-1st"].clone();
    let mut entries = first.clone();
    entries[512 + 80..512 + 84].fill(0xff);
    gpt = gpt.with("sda-gpt-1st", entries);
    vec![
        read(
            case(
                "mbr-overlap",
                "partitions that overlap",
                &with(&[(0x83, 1000, 5000), (7, 2048, 2048), (0x82, 4096, 1024)]),
            ),
            &[65],
        ),
        read(
            case(
                "mbr-outside",
                "a partition behind the end of the disk",
                &with(&[(0x83, u32::MAX, u32::MAX), (7, 2048, 2048)]),
            ),
            &[65],
        ),
        read(case("mbr-short", "a first sector of 3 bytes", &whole().with("sda-mbr", [1u8, 2, 3])), &[65]),
        read(case("gpt-entries", "four billion entries of a GPT", &gpt), &[65]),
    ]
}

fn files() -> Vec<Case> {
    let replaced = |name: &str, about: &str, file: &str, content: Content| {
        let mut case = case(name, about, &whole().without(file));
        case.files.push((format!("img/{file}"), content));
        case
    };
    let larger = whole().with("sda1.dd-img.aa", vec![0x11; 5_000_000]);
    vec![
        read(
            replaced(
                "image-is-a-link",
                "a partition that is a link to a file of the host",
                "sda1.dd-img.aa",
                Content::Link(format!("../{NEAR}")),
            ),
            &[66],
        ),
        read(
            replaced("image-is-a-pipe", "a partition that is a pipe", "sda1.dd-img.aa", Content::Pipe),
            &[66],
        ),
        read(
            replaced("image-is-a-folder", "a partition that is a folder", "sda1.dd-img.aa", Content::Folder),
            &[66],
        ),
        read(
            replaced(
                "table-is-a-link",
                "a table that is a link to a file of the host",
                "sda-pt.sf",
                Content::Link(format!("../{NEAR}")),
            ),
            &[66],
        ),
        read(
            replaced(
                "table-is-a-device",
                "a table that is a link to an endless device",
                "sda-pt.sf",
                Content::Link("/dev/zero".into()),
            ),
            &[66],
        ),
        read(case("image-larger", "a partition that is larger than the table says", &larger), &[65]),
        read(
            case(
                "piece-missing",
                "a piece that is missing in the middle",
                &whole().with("sda1.dd-img.ad", vec![0; 1000]),
            ),
            &[66],
        ),
    ]
}
