//! OVA and OVF: what the envelope names, what the archive holds, and XML that attacks; and machines in other dialects.

use super::bases::ova::{envelope, items};
use super::bases::tar::{Hand, archive, pax};
use super::{Files, foreign};
use crate::case::{Case, Content};
use crate::names::{CANARY, NEAR};

/// One disk, which the envelope calls so.
fn text(href: &str) -> String {
    let href = href.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\u{1b}', "?");
    let files = format!(r#"<File ovf:id="f1" ovf:href="{href}" ovf:size="65536"/>"#);
    envelope(&files, r#"<Disk ovf:diskId="d1" ovf:capacity="65536" ovf:fileRef="f1"/>"#, &items("d1", "d1"))
}

fn disk() -> Vec<u8> {
    vec![7; 65536]
}

pub(super) fn cases() -> Vec<Case> {
    let code = |label: &str| match label {
        "nbd" | "nbd-unix" | "http" => 69,
        _ => foreign::usual(label),
    };
    let loose = |name: &str| -> Files { vec![("vm.ovf".into(), text(name).into())] };
    let mut cases = foreign::cases("ova", "href", "vm.ovf", &loose, &code);
    cases.extend(xml());
    cases.extend(lists());
    cases.extend(members());
    cases.extend(machines());
    cases
}

fn read(case: Case, image: &str, codes: &[u8]) -> Case {
    case.run(&["inspect", image], codes)
        .run(&["info", image], codes)
        .run(&["convert", image, "out.raw"], codes)
}

fn xml() -> Vec<Case> {
    let case = |name: &str, about: &str, text: String| {
        let archived = archive(&[Hand::file("vm.ovf", text.as_bytes()), Hand::file("a.img", &disk())]);
        Case::new(&format!("ova/{name}"), about)
            .file("vm.ovf", text)
            .file("a.img", disk())
            .file("vm.ova", archived)
    };
    let both = |case: Case, codes: &[u8]| read(read(case, "vm.ovf", codes), "vm.ova", codes);
    let good = text("a.img");
    let typed = |declarations: &str, href: &str| {
        good.replacen("?>", &format!("?><!DOCTYPE Envelope [{declarations}]>"), 1).replace("a.img", href)
    };
    let laughs: String = (1..10)
        .map(|level| format!("<!ENTITY l{level} \"{}\">", format!("&l{};", level - 1).repeat(10)))
        .collect();
    let many: String =
        (0..20_000).map(|n| format!(r#"<File ovf:id="f{n}" ovf:href="a.img" ovf:size="65536"/>"#)).collect();
    vec![
        both(case("good", "no attack: the package that is taken apart", good.clone()), &[0]),
        both(case("xxe", "an external entity", typed(&format!("<!ENTITY x SYSTEM \"file://{CANARY}\">"), "&x;")), &[69]),
        both(case("xxe-parameter", "an external entity of the document type", typed(&format!("<!ENTITY % x SYSTEM \"{NEAR}\"> %x;"), "a.img")), &[69]),
        both(case("entity-bomb", "a billion laughs", typed(&format!("<!ENTITY l0 \"ha\">{laughs}"), "&l9;")), &[69]),
        both(case("entity-square", "an entity of 100 KiB, ten thousand times", {
            typed(&format!("<!ENTITY x \"{}\">", "x".repeat(100_000)), &"&x;".repeat(10_000))
        }), &[65, 69]),
        both(case("include", "an inclusion", good.replace("<Info>x</Info>", &format!("<xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"{NEAR}\" parse=\"text\"/>"))), &[0]),
        both(case("deep", "a hundred thousand elements inside each other", good.replace("<Info>x</Info>", &format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000)))), &[69]),
        both(case("files-many", "twenty thousand files", good.replace("<References>", &format!("<References>{many}"))), &[69]),
        both(case("capacity-huge", "a capacity that is no number of bytes", good.replace("ovf:capacity=\"65536\"", "ovf:capacity=\"65536\" ovf:capacityAllocationUnits=\"byte * 2^200\"")), &[65]),
        both(case("capacity-more", "a capacity of more than the disk", good.replace("ovf:capacity=\"65536\"", "ovf:capacity=\"99999999\"")), &[0]),
        both(case("cut", "an envelope that ends in the middle", good[..good.len() / 2].to_owned()), &[65]),
        both(case("no-text", "an envelope of bytes that are no text", good.replace("made by a test", "\u{0}\u{1}\u{1b}[31m")), &[0]),
    ]
}

/// Lists that are honest but long: what is looked up in them must not be looked for from the start each time.
fn lists() -> Vec<Case> {
    let digits = |number: u32| format!("{number:040x}");
    let manifest: String = (0..90_000).map(|n| format!("SHA1(file{n})= {}\n", digits(n))).collect();
    let files: String = (0..60_000).map(|n| format!(r#"<File ovf:id="f{n}" ovf:href="a.img"/>"#)).collect();
    let disks: String = (0..60_000)
        .map(|n| format!(r#"<Disk ovf:diskId="d{n}" ovf:capacity="65536" ovf:fileRef="f59999"/>"#))
        .collect();
    let loose = |name: &str, about: &str, text: String| {
        Case::new(&format!("ova/{name}"), about).file("vm.ovf", text).file("a.img", disk())
    };
    let all = |case: Case, codes: &[u8]| {
        case.run(&["info", "vm.ovf"], codes).run(&["convert", "vm.ovf", "out.raw"], codes)
    };
    vec![
        all(
            loose("list-manifest", "a manifest of ninety thousand files", text("a.img"))
                .file("vm.mf", manifest),
            &[0, 65, 69],
        ),
        all(
            loose(
                "list-disks",
                "sixty thousand disks, all of the last of sixty thousand files",
                envelope(&files, &disks, ""),
            ),
            &[69],
        ),
        all(
            loose("list-items", "sixty thousand devices", {
                let item = "<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType></Item>";
                text("a.img").replace(
                    "</VirtualHardwareSection>",
                    &format!("{}</VirtualHardwareSection>", item.repeat(60_000)),
                )
            }),
            &[0, 65, 69],
        ),
    ]
}

/// What an archive holds besides what it should.
fn members() -> Vec<Case> {
    let ovf = |name: &str| Hand::file("vm.ovf", text(name).as_bytes());
    let case = |name: &str, about: &str, members: &[Hand], codes: &[u8]| {
        read(
            Case::new(&format!("ova/{name}"), about).file("vm.ova", archive(members)).file("b.img", disk()),
            "vm.ova",
            codes,
        )
    };
    let file = || Hand::file("a.img", &disk());
    let link = |kind, target: &str| Hand::of(kind, "a.img", &[]).patched(157, target.as_bytes());
    let sized = |size: &str| [ovf("a.img"), pax(&[("size", size)]), file()];
    let manifest = |text: &str| [ovf("a.img"), Hand::file("vm.mf", text.as_bytes()), file()];
    vec![
        case("member-outside", "a disk that lies beside the archive", &[ovf("b.img")], &[66]),
        case(
            "member-above",
            "an href that leads out, and a member of that name",
            &[ovf("../canary"), Hand::file("../canary", &disk())],
            &[77],
        ),
        case(
            "member-absolute",
            "an absolute href, and a member of that name",
            &[ovf("/etc/passwd"), Hand::file("/etc/passwd", &disk())],
            &[77],
        ),
        case("member-link", "a disk that is a symbolic link", &[ovf("a.img"), link(b'2', NEAR)], &[69]),
        case("member-hard-link", "a disk that is a hard link", &[ovf("a.img"), link(b'1', "vm.ovf")], &[69]),
        case(
            "member-twice",
            "two disks of the same name",
            &[ovf("a.img"), file(), Hand::file("a.img", &[9; 65536])],
            &[65],
        ),
        case(
            "member-twice-spelled",
            "the same name, spelled otherwise",
            &[ovf("a.img"), file(), Hand::file("./a.img", &[9; 65536])],
            &[65],
        ),
        case("envelope-twice", "two envelopes", &[ovf("a.img"), ovf("b.img"), file()], &[65]),
        case(
            "size-desync",
            "a size of a pax record and another in the header (CVE-2025-62518)",
            &sized("1024"),
            &[65],
        ),
        case("size-huge", "a disk of 2^63 bytes", &sized("9223372036854775807"), &[65]),
        case(
            "manifest-wrong",
            "a manifest with another digest",
            &manifest(&format!("SHA256(a.img)= {}\n", "0".repeat(64))),
            &[0, 65],
        ),
        case(
            "manifest-foreign",
            "a manifest of a file of the host",
            &manifest(&format!("SHA256({NEAR})= {}\n", "0".repeat(64))),
            &[0],
        ),
        case(
            "manifest-nonsense",
            "a manifest that steers the terminal",
            &manifest("SHA256(\u{1b}[31m)= \u{7}\n"),
            &[65],
        ),
        case(
            "manifest-huge",
            "a manifest of two million lines",
            &manifest(&"SHA1(a)= 00\n".repeat(2_000_000)),
            &[69],
        ),
    ]
}

/// Machines of other dialects, which name disks of the host: they are told and never opened.
fn machines() -> Vec<Case> {
    let migrate = |name: &str, machine: &str, content: String, codes: &[u8]| {
        Case::new(&format!("ova/machine-{name}"), "a description of a machine that names files of the host")
            .file("a.raw", disk())
            .file(machine, Content::from(content))
            .run(
                &["migrate", "a.raw", "--machine", machine, "--to", "kvm", "--out", "out", "--dry-run"],
                codes,
            )
    };
    let vmx = |disk: &str| {
        format!(
            ".encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \"13\"\ndisplayName = \"\u{1b}[31mx\"\nguestOS = \"other\"\nscsi0.present = \"TRUE\"\nscsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"{disk}\"\nmemsize = \"99999999999999999999\"\n"
        )
    };
    let domain = |disk: &str| {
        format!(
            "<domain type='kvm'><name>x</name><memory>1024</memory><devices><disk type='file' device='disk'><source file='{disk}'/><target dev='sda' bus='scsi'/></disk></devices></domain>"
        )
    };
    let libvirt = domain(CANARY);
    let entity = format!("<!DOCTYPE domain [<!ENTITY x SYSTEM \"{CANARY}\">]>{}", domain("&x;"));
    vec![
        migrate("vmx-above", "a.vmx", vmx("../canary"), &[65, 78]),
        migrate("vmx-absolute", "a.vmx", vmx(CANARY), &[65, 78]),
        migrate("vmx-lines", "a.vmx", "a = \"b\"\n".repeat(1_000_000), &[2, 65, 69, 78]),
        migrate("libvirt", "a.xml", libvirt, &[65, 78]),
        migrate("libvirt-xxe", "a.xml", entity, &[65, 66]),
        migrate(
            "proxmox",
            "a.conf",
            format!("scsi0: {CANARY},size=1G\nargs: -drive file={CANARY}\n"),
            &[2, 65, 66, 78],
        ),
    ]
}
