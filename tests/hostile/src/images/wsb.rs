//! Windows Server Backup: folders of VHDX images.

use super::vhdx;
use crate::case::{Case, Content};
use crate::names::NEAR;

const HOST: &str = "WindowsImageBackup/HOST";
const POINT: &str = "Backup 2026-11-22 020000";
const VOLUME: &str = "06fedb78-0000-0000-0000-100000000000.vhdx";

fn case(name: &str, about: &str, files: Vec<(String, Content)>) -> Case {
    let mut case = Case::new(&format!("wsb/{name}"), about)
        .file(&format!("{HOST}/Catalog/GlobalCatalog"), "catalog")
        .file(&format!("{HOST}/MediaId"), "id")
        .file(&format!("{HOST}/{POINT}/BackupSpecs.xml"), "<BackupSpecs/>");
    case.files.extend(files);
    case
}

fn read(case: Case, codes: &[u8]) -> Case {
    case.run(&["inspect", HOST], codes)
        .run(&["info", "WindowsImageBackup"], codes)
        .run(&["convert", HOST, "out.raw"], codes)
}

fn image() -> Content {
    vhdx::image().bytes.into()
}

pub(super) fn cases() -> Vec<Case> {
    let at = |name: &str| format!("{HOST}/{POINT}/{name}");
    let child = vhdx::image().with_parent(&[
        ("parent_linkage", "{11111111-2222-3333-4444-555555555555}"),
        ("relative_path", "..\\..\\..\\..\\canary"),
    ]);
    let mut child = child;
    child.seal();
    let many = (0..3000).map(|n| (format!("{HOST}/Backup 2026-11-22 {n:06}"), Content::Folder)).collect();
    vec![
        read(case("good", "no attack: the folder that is taken apart", vec![(at(VOLUME), image())]), &[0]),
        read(
            case(
                "volume-is-a-link",
                "a volume that is a link to a file of the host",
                vec![(at(VOLUME), Content::Link(format!("../../../{NEAR}")))],
            ),
            &[69],
        ),
        read(case("volume-is-a-pipe", "a volume that is a pipe", vec![(at(VOLUME), Content::Pipe)]), &[69]),
        read(
            case("volume-is-a-folder", "a volume that is a folder", vec![(at(VOLUME), Content::Folder)]),
            &[69],
        ),
        read(
            case("volume-is-nonsense", "a volume that is no VHDX", vec![(at(VOLUME), "nonsense".into())]),
            &[65],
        ),
        read(
            case(
                "volume-with-parent",
                "a volume that names a file of the host",
                vec![(at(VOLUME), child.bytes.into())],
            ),
            &[77],
        ),
        read(
            case(
                "volumes-steer",
                "names that steer the terminal",
                vec![
                    (at("06fedb78-0000-0000-0000-100000000000\u{1b}[31m.vhdx"), image()),
                    (at(VOLUME), image()),
                ],
            ),
            &[0, 2],
        ),
        read(
            case(
                "point-is-a-link",
                "a point in time that is a link to a folder of the host",
                vec![
                    (format!("{HOST}/Backup 2026-11-23 020000"), Content::Link("/etc".into())),
                    (at(VOLUME), image()),
                ],
            ),
            &[0],
        ),
        read(case("points-many", "three thousand points in time without anything", many), &[69]),
    ]
}
