//! What other programs packed.

use crate::tools::{MIB, at, context, disk, through, unpack, unpack_in, whole};
use format_compressed::{BZIP2, FORMATS, GZIP, LZ4, LZOP, XZ, ZSTD};
use format_core::{Format, MemStorage, Score};
use std::sync::Arc;

/// The format, the package, the command, and whether the result can be read at any place.
pub const TOOLS: &[(&Format, &str, &str, bool)] = &[
    (&GZIP, "gzip", "gzip -c", false),
    (&GZIP, "gzip", "gzip -1 -c; printf '\\0\\0\\0\\0\\0\\0\\0'", false),
    (&GZIP, "pigz", "pigz -c", false),
    (&GZIP, "pigz", "pigz -c -0", false),
    (&GZIP, "tabix", "bgzip -c", true),
    (&GZIP, "tabix", "bgzip -c -l 0", true),
    (&XZ, "xz-utils", "xz -c -1", true),
    (&XZ, "xz-utils", "xz -c -1 --block-size=100KiB", true),
    (&XZ, "xz-utils", "xz -c -1 --block-size=300KiB --check=crc32", true),
    (&XZ, "xz-utils", "xz -c -1 --block-size=200000 --check=sha256 --x86 --lzma2=preset=1", true),
    (&XZ, "xz-utils", "xz -c -1 --check=none", true),
    (&XZ, "xz-utils", "xz -c -1 --delta=dist=4 --lzma2=preset=0; printf '\\0\\0\\0\\0'", true),
    (&XZ, "pixz", "pixz -t -1", true),
    (&ZSTD, "zstd", "zstd -q -c", false),
    (&ZSTD, "zstd", "zstd -q -c --no-check --long=27", false),
    (&ZSTD, "zstd", "f=$(mktemp); cat >$f; zstd -q -c $f; rm $f", true),
    (&LZ4, "lz4", "lz4 -q -c", false),
    (&LZ4, "lz4", "lz4 -q -c -B4 -BD", false),
    (&LZ4, "lz4", "lz4 -q -c -B5 -BD -BX --no-frame-crc", false),
    (&LZ4, "lz4", "f=$(mktemp); cat >$f; lz4 -q -c -9 --content-size $f; rm $f", false),
    (&LZ4, "lz4", "lz4 -q -c -l", false),
    (&BZIP2, "bzip2", "bzip2 -c", false),
    (&BZIP2, "pbzip2", "pbzip2 -c -b2", false),
    (&LZOP, "lzop", "lzop -c", false),
    (&LZOP, "lzop", "lzop -c -1 --crc32", false),
    (&LZOP, "lzop", "lzop -c -9 -C", false),
    (&LZOP, "lzop", "lzop -c -F", false),
];

#[test]
fn what_other_programs_packed_is_unpacked() {
    let disk = disk(3 * MIB + 77);
    for &(format, package, command, random) in TOOLS {
        let packed = through(package, command, &disk);
        let claims: Vec<_> =
            FORMATS.iter().filter(|f| (f.probe)(&packed, &[]) == Score::Magic).map(|f| f.name).collect();
        assert_eq!(claims, [format.name], "{command}");
        for piece in [MIB, 16 * MIB, 1000, 65_537] {
            let found =
                unpack_in(format, &packed, piece, &context()).unwrap_or_else(|e| panic!("{command}: {e}"));
            assert!(found == disk, "{command}, in pieces of {piece}");
        }
        let found = at(format, &packed).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert_eq!(found.is_some(), random, "{command}");
        if let Some(storage) = found {
            assert!(whole(storage.as_ref()).unwrap() == disk, "{command}");
        }
        let size = (format.unpacked_size)(&MemStorage(packed.clone()));
        assert!(size.is_none_or(|size| size == disk.len() as u64), "{command}: {size:?}");
        let report = format.check.unwrap()(Arc::new(MemStorage(packed)), &context()).unwrap();
        assert!(report.is_clean(), "{command}: {:?}", report.findings);
    }
}

#[test]
fn files_that_follow_each_other_are_one() {
    let (first, second) = (disk(400_000), disk(300_000));
    for &(format, package, command, _) in TOOLS.iter().filter(|tool| !tool.2.contains("printf")) {
        let pack = |disk: &[u8]| through(package, command, disk);
        let packed = [pack(&first), pack(&second), pack(&[])].concat();
        let found = unpack(format, &packed).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(found == [&first[..], &second].concat(), "{command}");
        if let Some(storage) = at(format, &packed).unwrap_or_else(|e| panic!("{command}: {e}")) {
            assert!(whole(storage.as_ref()).unwrap() == found, "{command}");
        }
    }
}

#[test]
fn nothing_packed_is_nothing_unpacked() {
    for &(format, package, command, _) in TOOLS {
        let packed = through(package, command, &[]);
        let found = unpack(format, &packed).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(found.is_empty(), "{command}");
        if let Some(storage) = at(format, &packed).unwrap() {
            assert_eq!(storage.size(), 0, "{command}");
        }
    }
}

#[test]
fn sizes_are_known_before() {
    let disk = disk(MIB);
    for (format, package, command) in [
        (&ZSTD, "zstd", "f=$(mktemp); cat >$f; zstd -q -c $f; rm $f"),
        (&LZ4, "lz4", "f=$(mktemp); cat >$f; lz4 -q -c --content-size $f; rm $f"),
        (&XZ, "xz-utils", "xz -c -0"),
    ] {
        let packed = through(package, command, &disk);
        assert_eq!((format.unpacked_size)(&MemStorage(packed)), Some(MIB as u64), "{command}");
    }
}

#[test]
fn a_long_window_is_for_the_operator_to_allow() {
    // 160 MiB, so that the window is as long as was asked for.
    let packed = through("zstd", "head -c 167772160 /dev/zero | zstd -q -c -1 --long=28", &[]);
    let error = unpack(&ZSTD, &packed).unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::Unsupported, "{error}");
    assert!(error.hint_text().unwrap().contains("--long-window"));
    let mut allowed = context();
    allowed.access.long_window = true;
    assert_eq!(unpack_in(&ZSTD, &packed, MIB, &allowed).unwrap().len(), 160 * MIB);
}
