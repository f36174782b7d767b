//! Images with absurd names, and outputs that are called so.

use super::{qcow2, vmdk};
use crate::Case;
use crate::names::byte;

pub(super) fn cases() -> Vec<Case> {
    let bytes: String = [0xff, 0xfe, 0x80, 0x9b].map(byte).iter().collect();
    let long = "n".repeat(249);
    let names = [
        ("escape", "a\u{1b}[31m".to_owned()),
        ("control", "a\u{9b}31m\u{85}\u{8}".into()),
        ("bell", "a\u{7}\r\u{b}".into()),
        ("newline", "a\nb\n".into()),
        ("backwards", "a\u{202e}\u{2066}b".into()),
        ("quotes", "a\"'`$(touch x);|& b".into()),
        ("no-text", bytes),
        ("option", "-f".into()),
        ("blank", " ".into()),
        ("long", long),
        ("comma", "a,format=raw".into()),
        ("scheme", "json:{}".into()),
        ("percent", "%s%n%x".into()),
        ("backslash", "..\\..\\a".into()),
    ];
    names
        .iter()
        .flat_map(|(label, name)| [good(label, name), broken(label, name), inside(label, name)])
        .collect()
}

fn good(label: &str, name: &str) -> Case {
    let image = format!("{name}.qcow2");
    let shown = format!("./{image}");
    Case::new(&format!("names/{label}"), "an image with an absurd name, and a copy that is called so")
        .file(&image, qcow2::image().0)
        .run(&["inspect", &shown], &[0])
        .run(&["info", &shown], &[0])
        .run(&["check", &shown], &[0])
        .run(&["chain", &shown], &[0])
        .run(&["map", &shown], &[0])
        .run(&["digest", &shown], &[0])
        .run(&["measure", "-O", "vhdx", &shown], &[0])
        .run(&["convert", &shown, "out.raw"], &[0])
        .run(
            &["convert", &shown, &format!("out{name}.vmdk")],
            if label == "long" { &[2, 73] } else { &[0, 2] },
        )
        .run(
            &["convert", &shown, &format!("no-such-folder{name}/x.raw")],
            if label == "long" { &[2] } else { &[73] },
        )
        .run(&["convert", "-O", &format!("{name}x"), &shown, "out"], &[2])
        .run(&["explain", &format!("{name}x")], &[2])
}

fn broken(label: &str, name: &str) -> Case {
    let image = format!("{name}.qcow2");
    let shown = format!("./{image}");
    Case::new(&format!("names/{label}-broken"), "a broken image with an absurd name")
        .file(&image, &qcow2::image().0[..1000])
        .run(&["inspect", &shown], &[65])
        .run(&["check", &shown], &[65])
        .run(&["convert", &shown, "out.raw"], &[65])
        .run(&["inspect", &format!("./missing{name}")], if label == "long" { &[74] } else { &[66] })
        .run(&["verify", &shown], &[2, 65, 66])
}

/// A name in an image: of a parent, and of a file that it is made of.
fn inside(label: &str, name: &str) -> Case {
    let plain: String = name.chars().filter(|letter| !('\u{f780}'..='\u{f7ff}').contains(letter)).collect();
    let parent = qcow2::with_extensions(
        qcow2::image(),
        &[(0xe279_2aca, b"raw"), (0, b"")],
        format!("{plain}x").as_bytes(),
    );
    let quoted = plain.replace(['"', '\n', '\r'], "");
    Case::new(&format!("names/{label}-inside"), "an absurd name in an image, of a file that is not there")
        .file("a.qcow2", parent.0)
        .file("a.vmdk", format!("{}RW 128 FLAT \"{quoted}x\" 0\n", vmdk::HEAD))
        .run(&["inspect", "a.qcow2"], &[66, 77])
        .run(&["chain", "a.qcow2"], &[66, 77])
        .run(&["convert", "a.qcow2", "out.raw"], &[66, 77])
        .run(&["inspect", "a.vmdk"], &[65, 66, 77])
        .run(&["convert", "a.vmdk", "out.raw"], &[65, 66, 77])
}
