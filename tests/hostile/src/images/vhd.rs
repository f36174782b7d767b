//! VHD: footer, header, BAT, and where it says the parent is.

use super::bases::vhd::{self as maker, BAT, HEADER, Maker, sealed, utf16_le};
use super::sweep::{Order, Sweep};
use super::{foreign, one};
use crate::Case;
use crate::names::{CANARY, NEAR};

const BLOCK: u32 = 2 << 20;
const SIZE: u64 = 8 << 20;

fn dynamic() -> Maker {
    let mut image = Maker::dynamic(SIZE, BLOCK);
    image.block(0, |_| true, &vec![7; BLOCK as usize]);
    image.block(2, |sector| sector % 3 == 0, &vec![9; BLOCK as usize]);
    image
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sweeps();
    cases.extend(tables());
    cases.extend(parents());
    cases
}

fn sweeps() -> Vec<Case> {
    let footer = |bytes: Vec<u8>| {
        let mut image = dynamic();
        image.footer = bytes;
        one("a.vhd", image.file())
    };
    let fixed = |bytes: Vec<u8>| one("a.vhd", [vec![5; 65536], sealed(&bytes, 64..68)].concat());
    let body = |bytes: Vec<u8>| {
        let mut image = dynamic();
        image.bytes = bytes;
        one("a.vhd", image.file())
    };
    let (format, image, order) = ("vhd", "a.vhd", Order::Big);
    let mut cases = Sweep { name: "vhd/footer", format, image, base: dynamic().footer, order, wrap: &footer }
        .cases(&[
            ("cookie", 0, 8, [65, 65, 65, 65]),
            ("features", 8, 4, [0, 0, 0, 0]),
            ("version", maker::VERSION, 4, [69, 69, 69, 69]),
            ("data-offset", maker::DATA_OFFSET, 8, [65, 65, 65, 65]),
            ("original-size", 40, 8, [0, 0, 0, 0]),
            ("current-size", maker::CURRENT_SIZE, 8, [0, 0, 65, 65]),
            ("geometry", maker::GEOMETRY, 4, [0, 0, 0, 0]),
            ("type", maker::TYPE, 4, [69, 69, 69, 69]),
            ("saved", maker::SAVED, 1, [0, 0, 0, 0]),
        ]);
    let plain = Maker::fixed(&[5; 65536]).footer;
    cases.extend(Sweep { name: "vhd/fixed", format, image, base: plain, order, wrap: &fixed }.cases(&[
        ("data-offset", maker::DATA_OFFSET, 8, [0, 0, 0, 0]),
        ("current-size", maker::CURRENT_SIZE, 8, [0, 0, 65, 65]),
        ("geometry", maker::GEOMETRY, 4, [0, 0, 0, 0]),
        ("type", maker::TYPE, 4, [69, 69, 69, 69]),
    ]));
    cases.extend(
        Sweep { name: "vhd/header", format, image, base: dynamic().bytes, order, wrap: &body }.cases(&[
            ("cookie", HEADER, 8, [65, 65, 65, 65]),
            ("data-offset", HEADER + 8, 8, [0, 0, 0, 0]),
            ("table-offset", HEADER + maker::TABLE_OFFSET, 8, [65, 65, 65, 65]),
            ("version", HEADER + maker::HEADER_VERSION, 4, [69, 69, 69, 69]),
            ("entries", HEADER + maker::ENTRIES, 4, [65, 65, 0, 0]),
            ("block-size", HEADER + maker::BLOCK_SIZE, 4, [65, 65, 65, 65]),
            ("bat-entry", BAT, 4, [65, 65, 65, 0]),
        ]),
    );
    cases
}

fn tables() -> Vec<Case> {
    let case = |name: &str, about: &str, change: &dyn Fn(&mut Maker)| {
        let mut image = dynamic();
        change(&mut image);
        Case::new(&format!("vhd/{name}"), about).file("a.vhd", image.file())
    };
    vec![
        case("bat-shared", "two blocks share their data", &|image| {
            let first: [u8; 4] = image.bytes[BAT..BAT + 4].try_into().unwrap();
            image.put(BAT + 4, &first);
        })
        .run(&["check", "a.vhd"], &[1])
        .run(&["convert", "a.vhd", "out.raw"], &[0]),
        case("bat-at-header", "a block that is the header", &|image| image.entry(0, 1)).damaged("a.vhd", ""),
        case("bat-huge", "four billion blocks of 512 bytes (CVE-2014-0142)", &|image| {
            image.put(HEADER + maker::ENTRIES, &[0xff; 4]);
            image.put(HEADER + maker::BLOCK_SIZE, &512u32.to_be_bytes());
        })
        .run(&["inspect", "a.vhd"], &[65])
        .run(&["check", "a.vhd"], &[1])
        .run(&["convert", "a.vhd", "out.raw"], &[65]),
        Case::new(
            "vhd/footer-in-disk",
            "a raw disk whose guest wrote a footer at its end: the name says raw",
        )
        .file("a.raw", Maker::fixed(&[5; 65536]).file())
        .run(&["inspect", "a.raw"], &[2])
        .run(&["convert", "a.raw", "out.qcow2"], &[2])
        .run(&["convert", "-f", "raw", "a.raw", "out.qcow2"], &[0]),
    ]
}

/// A difference whose locators are these.
fn difference(code: &[u8; 4], name: &str) -> Vec<u8> {
    let bytes = if code == b"MacX" { name.as_bytes().to_vec() } else { utf16_le(name) };
    let mut image = Maker::differencing(SIZE, BLOCK, &[(code, bytes)]);
    // The sum of the header would be another with the canary's path in it.
    let unicode: Vec<u8> =
        name.replace(CANARY, NEAR).encode_utf16().take(255).flat_map(u16::to_be_bytes).collect();
    image.put(HEADER + maker::NAME, &unicode);
    image.file()
}

fn parents() -> Vec<Case> {
    let relative = |name: &str| one("a.vhd", difference(b"W2ru", name));
    let mut cases = foreign::cases("vhd", "parent", "a.vhd", &relative, &foreign::usual);
    let case =
        |name: &str, about: &str, file: Vec<u8>| Case::new(&format!("vhd/{name}"), about).file("a.vhd", file);
    let locator = |field: usize, value: &[u8]| {
        let mut image = Maker::differencing(SIZE, BLOCK, &[(b"W2ru", utf16_le(".\\b.vhd"))]);
        image.put(HEADER + maker::LOCATORS + field, value);
        image.file()
    };
    let both = |case: Case, codes: &[u8]| {
        case.run(&["inspect", "a.vhd"], codes).run(&["convert", "a.vhd", "out.raw"], codes)
    };
    cases.extend([
        both(
            case(
                "parent-unc",
                "a parent on another host",
                difference(b"W2ku", "\\\\127.0.0.1\\share\\b.vhd"),
            ),
            &[77],
        ),
        both(
            case("parent-drive", "a parent on a drive of Windows", difference(b"W2ku", "C:\\canary")),
            &[77],
        ),
        both(
            case(
                "parent-mac-url",
                "a parent as macOS writes it",
                difference(b"MacX", &format!("file://localhost{CANARY}")),
            ),
            &[66, 77],
        ),
        both(case("parent-above-win", "a parent above", difference(b"W2ru", "..\\canary")), &[77]),
        both(case("parent-itself", "a parent that is the image", difference(b"W2ru", ".\\a.vhd")), &[65]),
        both(case("locator-outside", "a locator behind the end", locator(16, &[0x7f; 8])), &[65]),
        both(case("locator-huge", "a locator of 4 GiB", locator(8, &[0xff; 4])), &[65]),
    ]);
    cases
}
