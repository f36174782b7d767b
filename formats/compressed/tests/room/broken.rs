//! Good files with one thing broken.

use crate::foreign::TOOLS;
use crate::tools::{MIB, at, context, disk, through, unpack, whole};
use format_compressed::{GZIP, LZ4, LZOP, XZ, ZSTD};
use format_core::{ErrorKind, Format, MemStorage};
use std::sync::Arc;

/// The tools whose files are covered by checksums.
fn covered() -> impl Iterator<Item = &'static (&'static Format, &'static str, &'static str, bool)> {
    let bare = ["none", "--no-check", "--no-frame-crc", "-l", "-F", "printf"];
    TOOLS
        .iter()
        .filter(move |tool| !bare.iter().any(|bare| tool.2.split([' ', '=']).any(|word| word == *bare)))
}

#[test]
fn every_cut_is_noticed() {
    let disk = disk(4000);
    for &(format, package, command, _) in covered() {
        let packed = through(package, command, &disk[..4000]);
        for len in 0..packed.len() {
            let error = match unpack(format, &packed[..len]) {
                Err(error) => error,
                Ok(found) => panic!("{command} cut at {len} of {}: {} bytes", packed.len(), found.len()),
            };
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{command} cut at {len}: {error}");
            if let Ok(Some(storage)) = at(format, &packed[..len]) {
                assert!(whole(storage.as_ref()).is_err(), "{command} cut at {len}");
            }
        }
    }
}

#[test]
fn other_bytes_behind_the_end_are_no_end() {
    let disk = disk(100_000);
    for &(format, package, command, _) in TOOLS.iter().filter(|tool| !tool.2.contains("printf")) {
        let packed = through(package, command, &disk);
        for rest in
            [&b"x"[..], b"hello, this is no compressed file", &[0, 0, 0, 0, 0, 0, 0, 1], &[0x55; 5000]]
        {
            let longer = [&packed[..], rest].concat();
            let error = unpack(format, &longer).err().unwrap_or_else(|| panic!("{command} {rest:x?}"));
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{command}: {error}");
            if let Ok(Some(_)) = at(format, &longer) {
                panic!("{command} has an index in spite of {rest:x?}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_means_nothing() {
    let disk = disk(2000);
    // Every third one comes to each place in a byte; `./test.sh full` takes all.
    let step = if std::env::var_os("REHOME_TEST_FULL").is_some() { 1 } else { 3 };
    for &(format, package, command, _) in covered() {
        let packed = through(package, command, &disk[..2000]);
        let mut same = 0;
        for bit in (0..packed.len() * 8).step_by(step) {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match unpack(format, &flipped) {
                Ok(found) => {
                    assert!(found == disk[..2000], "{command}: bit {bit} changes the data unnoticed");
                    same += 1;
                }
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported),
                    "{command}: bit {bit}: {error}"
                ),
            }
            if let Ok(Some(storage)) = at(format, &flipped)
                && let Ok(found) = whole(storage.as_ref())
            {
                assert!(found == disk[..2000], "{command}: bit {bit} changes what is read at any place");
            }
        }
        // Times, names and flags.
        assert!(same * step < 600, "{command}: {same} bits mean nothing");
    }
}

#[test]
fn the_check_tells_what_is_broken() {
    let disk = disk(2 * MIB);
    for &(format, package, command, _) in covered() {
        let mut packed = through(package, command, &disk);
        let middle = packed.len() / 2;
        packed[middle..middle + 3].fill(0x5a);
        let report = format.check.unwrap()(Arc::new(MemStorage(packed)), &context()).unwrap();
        assert!(report.errors > 0, "{command}");
    }
}

#[test]
fn each_sum_is_compared() {
    let disk = disk(3000);
    // Where the last sum of a file lies, from its end.
    for (format, package, command, back) in [
        (&GZIP, "gzip", "gzip -c", 8),
        (&GZIP, "gzip", "gzip -c", 4),
        (&GZIP, "tabix", "bgzip -c", 28 + 8),
        (&ZSTD, "zstd", "zstd -q -c", 4),
        (&LZ4, "lz4", "lz4 -q -c", 4),
        (&LZ4, "lz4", "lz4 -q -c -BX --no-frame-crc", 8),
        (&XZ, "xz-utils", "xz -c", 12),
        (&LZOP, "lzop", "lzop -c", 0),
    ] {
        let mut packed = through(package, command, &disk);
        // Of lzop, the first block's Adler-32 stands before its data; the header ends with its own.
        let at = if back > 0 { packed.len() - back } else { 9 + 25 + 4 + 8 };
        packed[at] ^= 1;
        let error = unpack(format, &packed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{command}: {error}");
    }
}

#[test]
fn a_bgzf_file_without_its_end_marker_was_cut() {
    let packed = through("tabix", "bgzip -c", &disk(300_000));
    let cut = &packed[..packed.len() - 28];
    for error in [unpack(&GZIP, cut).unwrap_err(), at(&GZIP, cut).err().unwrap()] {
        assert!(error.to_string().contains("end marker"), "{error}");
        assert!(error.hint_text().is_some());
    }
}

#[test]
fn a_seek_table_that_does_not_fit_is_none() {
    let disk = disk(3 * MIB);
    let good = crate::writing::write(&ZSTD, &disk, &[]);
    assert!(at(&ZSTD, &good).unwrap().is_some());
    let entries = good.len() - 9 - 12 * 3;
    // A packed length, an unpacked length.
    for place in [entries, entries + 4, entries + 12, entries + 16] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        assert!(unpack(&ZSTD, &bad).unwrap() == disk, "what decoders pass over changes nothing");
        if let Some(storage) = at(&ZSTD, &bad).unwrap() {
            assert!(whole(storage.as_ref()).map_or(true, |found| found == disk));
        }
    }
}
