//! LUKS headers of both versions, made by cryptsetup and changed. Nobody has to be asked for a passphrase: it is given.

use super::disk::{Disk, extremes, put_be};
use super::luks_text;
use super::tools::Workshop;
use super::{IMAGE, case};
use crate::{Case, Content, Run};
use sha2::{Digest, Sha256};

/// Bytes of a copy of version 2's header.
const COPY: usize = 16_384;
const KEY: &str = "key";
const PASSPHRASE: &[u8] = b"open sesame";

fn made(kind: &[&str], size: u64) -> Vec<u8> {
    let shop = Workshop::new();
    shop.write(KEY, PASSPHRASE);
    shop.blank("volume", size);
    let options = [
        "-q",
        "--key-file",
        KEY,
        "--uuid",
        "11111111-2222-3333-4444-555555555555",
        "--pbkdf-force-iterations",
    ];
    shop.run("cryptsetup-bin", "cryptsetup", &[&["luksFormat"], &options[..], kind, &["volume"]].concat());
    shop.read("volume")
}

pub(super) fn version_2() -> Vec<u8> {
    let options =
        ["4", "--type", "luks2", "--pbkdf", "argon2id", "--pbkdf-memory", "64", "--sector-size", "512"];
    let areas = ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "512k", "--offset", "2048"];
    made(&[&options[..], &areas].concat(), 1 << 21)
}

fn version_1() -> Vec<u8> {
    made(&["1000", "--type", "luks1"], 3 << 20)
}

/// Puts the checksum of the copy at `at` right.
fn seal(bytes: &mut [u8], at: usize) {
    bytes[at + 448..at + 512].fill(0);
    let sum = Sha256::digest(&bytes[at..at + COPY]);
    bytes[at + 448..at + 480].copy_from_slice(&sum);
}

/// The text of the first copy.
pub(super) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[4096..COPY]).trim_end_matches('\0').to_owned()
}

/// With this text in both copies, as far as it fits.
fn with_text(good: &[u8], text: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let text = &text[..text.len().min(COPY - 4096)];
    for at in [0, COPY] {
        let area = &mut bytes[at + 4096..at + COPY];
        area.fill(0);
        area[..text.len()].copy_from_slice(text);
        seal(&mut bytes, at);
    }
    bytes
}

/// A text that needs a larger area, in the largest.
fn large(good: &[u8], text: &[u8]) -> Vec<u8> {
    let size = 4 << 20;
    let mut bytes = vec![0; 12 << 20];
    for (at, from) in [(0, 0), (size, COPY)] {
        bytes[at..at + 4096].copy_from_slice(&good[from..from + 4096]);
        put_be(&mut bytes, at + 8, 8, size as u64);
        put_be(&mut bytes, at + 256, 8, at as u64);
        let len = text.len().min(size - 4096);
        bytes[at + 4096..at + 4096 + len].copy_from_slice(&text[..len]);
        bytes[at + 448..at + 512].fill(0);
        let sum = Sha256::digest(&bytes[at..at + size]);
        bytes[at + 448..at + 480].copy_from_slice(&sum);
    }
    bytes
}

/// Looks and plans with the passphrase.
fn runs() -> Vec<Run> {
    vec![
        Run::new(&["inspect", "-f", "raw", IMAGE, "--editor", "native", "--key-file", KEY], &[0]),
        Run::new(
            &[
                "migrate",
                "-f",
                "raw",
                IMAGE,
                "--to",
                "kvm",
                "--out",
                "out",
                "--editor",
                "native",
                "--dry-run",
                "--key-file",
                KEY,
            ],
            &[78],
        ),
    ]
}

fn one(name: &str, about: &str, volume: &[u8]) -> Case {
    let disk = Disk::of(volume).in_partition(0x83);
    let mut case = case(&format!("luks/{name}"), about, disk, runs());
    case.files.push((KEY.into(), Content::from(PASSPHRASE.to_vec())));
    case
}

pub(super) fn cases() -> Vec<Case> {
    let (second, first) = (version_2(), version_1());
    let mut cases = fields_1(&first);
    cases.extend(fields_2(&second));
    cases.extend(luks_text::texts(&text_of(&second)).into_iter().map(|(name, about, text)| {
        let bytes = if text.len() > COPY - 4096 { large(&second, &text) } else { with_text(&second, &text) };
        one(&format!("2-{name}"), about, &bytes)
    }));
    cases
}

fn fields_1(good: &[u8]) -> Vec<Case> {
    let fields = [
        ("version", 6, 2),
        ("payload", 104, 4),
        ("key-bytes", 108, 4),
        ("iterations", 164, 4),
        ("slot-active", 208, 4),
        ("slot-iterations", 212, 4),
        ("slot-offset", 248, 4),
        ("slot-stripes", 252, 4),
        ("slot-1-active", 256, 4),
    ];
    let mut found = Vec::new();
    for (name, at, width) in fields {
        for (what, value) in extremes(width) {
            let mut bytes = good.to_vec();
            put_be(&mut bytes, at, width, value);
            found.push(one(&format!("1-{name}-{what}"), "a field of version 1", &bytes));
        }
    }
    let mut all = good.to_vec();
    for slot in 0..8 {
        let at = 208 + 48 * slot;
        put_be(&mut all, at, 4, 0x00ac_71f3);
        put_be(&mut all, at + 4, 4, 1_000_000_000);
        put_be(&mut all, at + 40, 4, 8);
        put_be(&mut all, at + 44, 4, 4000);
    }
    found.push(one("1-all-slots", "eight slots that take minutes each", &all));
    for (name, at, text) in [
        ("cipher", 8, &b"\x1b[2J\x1b]0;x\x07"[..]),
        ("mode", 40, b"xts-plain64:\xff\n\r"),
        ("hash", 72, b"../sha256\x1b"),
        ("uuid", 168, b"\x1b[2Jnone"),
    ] {
        let mut bytes = good.to_vec();
        bytes[at..at + text.len()].copy_from_slice(text);
        found.push(one(&format!("1-{name}"), "a name in the header", &bytes));
    }
    found
}

fn fields_2(good: &[u8]) -> Vec<Case> {
    let mut found = Vec::new();
    for (name, at, width) in [("version", 6, 2), ("size", 8, 8), ("seqid", 16, 8), ("offset", 256, 8)] {
        for (what, value) in extremes(width) {
            let mut bytes = good.to_vec();
            for copy in [0, COPY] {
                put_be(&mut bytes, copy + at, width, value);
                seal(&mut bytes, copy);
            }
            found.push(one(&format!("2-{name}-{what}"), "a field of version 2", &bytes));
        }
    }
    for (name, at, text) in [
        ("label", 24, &b"\x1b[2J\n\r\xff"[..]),
        ("algorithm", 72, b"\x1b[2J"),
        ("uuid", 168, b"\x1b[2Jnone"),
        ("subsystem", 208, b"\x1b\n"),
    ] {
        let mut bytes = good.to_vec();
        for copy in [0, COPY] {
            bytes[copy + at..copy + at + text.len()].copy_from_slice(text);
            seal(&mut bytes, copy);
        }
        found.push(one(&format!("2-{name}"), "a text in the header", &bytes));
    }
    // A whole second copy at each place that it may have, behind zeros.
    let mut bytes = vec![0; 12 << 20];
    for at in [0x4000usize, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000] {
        bytes[at..at + 4096].copy_from_slice(&good[COPY..COPY + 4096]);
        put_be(&mut bytes, at + 8, 8, at as u64);
        put_be(&mut bytes, at + 256, 8, at as u64);
    }
    found.push(one("2-second-copies", "nine second copies without a first one", &bytes));
    found
}
