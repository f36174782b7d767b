//! Telling the formats by their first and last bytes.

use crate::layout::{
    BOCHS, CLOOP_END, CLOOP_START, GHO, KOLY, KOLY_LEN, MRIMG, MRIMG_TAIL, TIB, VBK_DIGEST, VBK_VERSION_REST,
    WIM,
};
use crate::layout::{BORG2_FILES, BORG2_README, BORG2_TEXT, BUP_BLOOM, BUP_INDEX, BUP_MIDX, GIT_PACKS};
use format_core::{Score, SourceFolder};

/// Files that are read to the end have so many bytes at most.
const MAX_README: u64 = 64 << 10;

fn magic(found: bool) -> Score {
    if found { Score::Magic } else { Score::No }
}

fn starts_with_any(head: &[u8], wanted: &[&[u8]]) -> Score {
    magic(wanted.iter().any(|wanted| head.starts_with(wanted)))
}

/// The last `len` bytes of the file, fewer where it is shorter.
fn last(tail: &[u8], len: usize) -> &[u8] {
    tail.get(tail.len().saturating_sub(len)..).unwrap_or_default()
}

pub(crate) fn dmg(_: &[u8], tail: &[u8]) -> Score {
    magic(tail.len() >= KOLY_LEN && last(tail, KOLY_LEN).starts_with(KOLY))
}

pub(crate) fn bochs(head: &[u8], _: &[u8]) -> Score {
    magic(head.starts_with(BOCHS))
}

pub(crate) fn cloop(head: &[u8], _: &[u8]) -> Score {
    let found = match head.strip_prefix(CLOOP_START) {
        Some([letter, digit, rest @ ..]) => {
            letter.is_ascii_uppercase() && digit.is_ascii_digit() && rest.starts_with(CLOOP_END)
        }
        _ => false,
    };
    magic(found)
}

pub(crate) fn tib(head: &[u8], _: &[u8]) -> Score {
    starts_with_any(head, &TIB)
}

pub(crate) fn vbk(head: &[u8], _: &[u8]) -> Score {
    let found = match head {
        [version, rest @ ..] if *version > 0 => {
            rest.strip_prefix(VBK_VERSION_REST).is_some_and(|rest| rest.starts_with(VBK_DIGEST))
        }
        _ => false,
    };
    magic(found)
}

pub(crate) fn mrimg(_: &[u8], tail: &[u8]) -> Score {
    magic(last(tail, MRIMG_TAIL).windows(MRIMG.len()).any(|bytes| bytes == MRIMG))
}

pub(crate) fn gho(head: &[u8], _: &[u8]) -> Score {
    starts_with_any(head, &GHO)
}

pub(crate) fn wim(head: &[u8], _: &[u8]) -> Score {
    starts_with_any(head, &WIM)
}

pub(crate) fn bup(folder: &SourceFolder) -> Score {
    if !folder.has_folder(GIT_PACKS) || !folder.has_folder("refs") {
        return Score::No;
    }
    let is_file = |name: &str| matches!(folder.file_size(name), Ok(Some(_)));
    let is_midx = |name: &str| name.starts_with(BUP_MIDX.0) && name.ends_with(BUP_MIDX.1);
    let has_midx = || folder.entries(GIT_PACKS).is_ok_and(|all| all.iter().any(|entry| is_midx(&entry.name)));
    magic(is_file(BUP_BLOOM) || is_file(BUP_INDEX) || has_midx())
}

pub(crate) fn borg2(folder: &SourceFolder) -> Score {
    let is_file = |name: &&str| matches!(folder.file_size(name), Ok(Some(_)));
    if !BORG2_FILES.iter().all(is_file) {
        return Score::No;
    }
    let text = folder.read(BORG2_README, MAX_README).unwrap_or_default();
    magic(text.windows(BORG2_TEXT.len()).any(|part| part == BORG2_TEXT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_byte_is_another_file() {
        let mut koly = vec![0; 700];
        koly[188..200].copy_from_slice(KOLY);
        let mut reflect = vec![0; 100];
        reflect[60..81].copy_from_slice(MRIMG);
        type Probe = fn(&[u8], &[u8]) -> Score;
        let good: [(Probe, Vec<u8>, std::ops::Range<usize>); 8] = [
            (dmg, koly, 188..200),
            (bochs, BOCHS.to_vec(), 0..23),
            (cloop, b"#!/bin/sh\n#V2.0 Format\nmodprobe".to_vec(), 0..23),
            (tib, TIB[1].to_vec(), 0..4),
            (vbk, b"\x0d\0\0\0\x01\0\0\0\x03\0\0\0md5\0".to_vec(), 1..16),
            (mrimg, reflect, 60..81),
            (gho, GHO[0].to_vec(), 0..3),
            (wim, WIM[0].to_vec(), 0..8),
        ];
        for (probe, bytes, places) in good {
            assert_eq!(probe(&bytes, &bytes), Score::Magic, "{bytes:02x?}");
            for place in places {
                let mut broken = bytes.clone();
                // 0x80 makes no digit of a digit and no capital of a capital.
                broken[place] ^= 0x80;
                assert_eq!(probe(&broken, &broken), Score::No, "byte {place} of {bytes:02x?}");
            }
            assert_eq!(probe(&[], &[]), Score::No);
        }
    }
}
