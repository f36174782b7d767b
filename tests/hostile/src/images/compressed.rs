//! Compressed files: bombs, and headers that promise what does not come, for each codec.

use super::bytes::Bytes;
use crate::case::{Case, Content};
use flate2::write::GzEncoder;
use liblzma::write::XzEncoder;
use std::io::Write;

const TIB: u64 = 1 << 40;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (extension, pack) in codecs() {
        cases.extend(attacks(extension, pack));
    }
    cases.extend(promises());
    cases
}

type Pack = fn(&[u8]) -> Vec<u8>;

fn codecs() -> [(&'static str, Pack); 6] {
    [("gz", gz), ("xz", xz), ("zst", zst), ("lz4", lz4), ("bz2", bz2), ("lzo", lzo)]
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = XzEncoder::new(Vec::new(), 1);
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut packer = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    packer.include_checksum(true).unwrap();
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut packer = lz4_flex::frame::FrameEncoder::new(Vec::new());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A file of lzop whose blocks are stored as they are, which the format allows.
fn lzo(bytes: &[u8]) -> Vec<u8> {
    let adler = |bytes: &[u8]| {
        let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        b << 16 | a
    };
    // Versions, method 1, level 5, no flags but an Adler-32 of what goes in, mode, two times, no name.
    let mut head = vec![0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5];
    head.extend(1_u32.to_be_bytes());
    head.extend([0; 12]);
    head.push(0);
    let sum = adler(&head);
    let mut file = b"\x89LZO\0\r\n\x1a\n".to_vec();
    file.extend(head);
    file.extend(sum.to_be_bytes());
    for block in bytes.chunks(256 << 10) {
        for number in [block.len() as u32, block.len() as u32, adler(block)] {
            file.extend(number.to_be_bytes());
        }
        file.extend(block);
    }
    file.extend([0; 4]);
    file
}

/// What is tried on every codec.
fn attacks(extension: &str, pack: Pack) -> Vec<Case> {
    let name = format!("a.raw.{extension}");
    let name = name.as_str();
    let case = |what: &str, about: &str| Case::new(&format!("compressed/{extension}-{what}"), about);
    let good = pack(&(0..300_000_u32).map(|at| (at / 7) as u8).collect::<Vec<_>>());
    let read = |case: Case, codes: &[u8]| {
        case.run(&["info", name], &[0, 65]).run(&["convert", name, "out.raw"], codes)
    };
    let zeros =
        if extension == "lzo" { pack(&vec![0; 1 << 20]) } else { pack(&vec![0; 16 << 20]).repeat(16) };
    let mut middle = good.clone();
    let place = middle.len() / 2;
    middle[place] ^= 0x55;
    let inner = format!("a.qcow2.{extension}");
    let foreign = super::qcow2::with_extensions(
        super::qcow2::image(),
        &[(0xe279_2aca, b"raw"), (0, b"")],
        crate::names::NEAR.as_bytes(),
    )
    .0;
    vec![
        read(case("good", "no attack: what is broken below").file(name, good.clone()), &[0]),
        case("zeros", "a quarter of a gigabyte of zeros, packed: honest, and no reason to take room")
            .file(name, zeros)
            .run(&["convert", name, "out.raw"], &[0])
            .run(&["convert", name, "out.qcow2"], &[0]),
        read(case("cut", "a file that was cut off").file(name, &good[..good.len() - 9]), &[65]),
        read(case("flipped", "a flipped bit").file(name, middle), &[65]),
        read(
            case("behind", "other bytes behind the end")
                .file(name, [&good[..], b"something else, and more of that"].concat()),
            &[65],
        ),
        read(case("nothing", "nothing, packed").file(name, pack(&[])), &[0, 66]),
        case("inside-itself", "a file in a file in a file, eight times")
            .file(name, (0..8).fold(vec![0; 4096], |bytes, _| pack(&bytes)))
            .run(&["inspect", name], &[0, 2, 65, 69])
            .run(&["convert", name, "out.raw"], &[0, 2, 65, 69]),
        case("foreign-parent", "a packed qcow2 that names a file of the host")
            .file(&inner, pack(&foreign))
            .run(&["inspect", &inner], &[77])
            .run(&["convert", &inner, "out.raw"], &[77]),
        case("hidden", "a packed raw disk that begins like qcow2, whose name says raw")
            .file(name, pack(&foreign))
            .run(&["inspect", name], &[2])
            .run(&["convert", name, "out.qcow2"], &[2]),
    ]
}

/// Headers and tables that speak of terabytes.
fn promises() -> Vec<Case> {
    let case = |name: &str, about: &str, file: &str, content: Content| {
        let codes = &[65, 69];
        Case::new(&format!("compressed/{name}"), about)
            .file(file, content)
            .run(&["info", file], &[0, 65, 69, 75])
            .run(&["check", file], &[0, 1, 65, 69, 75])
            .run(&["convert", file, "out.raw"], codes)
            .run(&["convert", "--spool", ".", file, "out.qcow2"], codes)
    };
    // Frame header: content size in 8 bytes, a window of its own; then one block of a repeated byte.
    let frame = |descriptor: u8, window: &[u8], size: u64| {
        [&[0x28, 0xb5, 0x2f, 0xfd, descriptor][..], window, &size.to_le_bytes(), &[0x03, 0, 0x10, 0]].concat()
    };
    // A skippable frame that claims the rest of the file and more.
    let skip = [&0x184d_2a50_u32.to_le_bytes()[..], &u32::MAX.to_le_bytes(), &[0; 64]].concat();
    let seek_table = |frames: u32| {
        let mut bytes = zst(&[7; 4096]);
        bytes.extend(0x184d_2a5e_u32.to_le_bytes());
        bytes.extend(17_u32.to_le_bytes());
        bytes.extend([0xff; 8]);
        bytes.extend(frames.to_le_bytes());
        bytes.push(0);
        bytes.extend(0x8f92_eab1_u32.to_le_bytes());
        bytes
    };
    let bgzf = |block: u16, size: u32| {
        let mut bytes = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0];
        bytes.extend(block.to_le_bytes());
        bytes.extend([3, 0, 0, 0, 0, 0]);
        bytes.extend(size.to_le_bytes());
        bytes
    };
    let mut xz_size = xz(&[7; 100_000]);
    let footer = xz_size.len() - 12;
    // An index of 16 GiB; its own sum is made right.
    xz_size[footer + 4..footer + 8].fill(0xff);
    let sum = crc32fast::hash(&xz_size[footer + 4..footer + 10]);
    xz_size[footer..footer + 4].copy_from_slice(&sum.to_le_bytes());
    let lz4_head = |flags: u8, size: &[u8], block: u32| {
        let descriptor = [&[flags, 0x70][..], size].concat();
        let sum = (twox_hash::XxHash32::oneshot(0, &descriptor) >> 8) as u8;
        [&[0x04, 0x22, 0x4d, 0x18][..], &descriptor, &[sum], &block.to_le_bytes(), &[0; 64]].concat()
    };
    let lzop_block = |unpacked: u32, packed: u32| {
        let mut bytes = lzo(&[]);
        bytes.truncate(bytes.len() - 4);
        for number in [unpacked, packed, 0] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend([0; 4096]);
        bytes
    };
    let long_name = Bytes::zeros(10).put(0, &[0x1f, 0x8b, 8, 8]).put(10, &[b'a'; 1 << 20]).0;
    vec![
        case("zst-says-tib", "a frame that says it holds a TiB", "a.raw.zst", frame(0xe0, &[], TIB).into()),
        case(
            "zst-says-all",
            "a frame that says it holds 2^64 - 1 bytes",
            "a.raw.zst",
            frame(0xe0, &[], u64::MAX).into(),
        ),
        case(
            "zst-window",
            "a frame with a window of almost 4 TiB",
            "a.raw.zst",
            frame(0xc0, &[0xff], TIB).into(),
        ),
        case("zst-skips", "a frame to be skipped that is longer than the file", "a.raw.zst", skip.into()),
        case(
            "zst-dictionary",
            "a frame that wants a dictionary",
            "a.raw.zst",
            frame(0xe3, &[1, 0, 0, 0], 4096).into(),
        ),
        Case::new(
            "compressed/zst-seek-table",
            "a table of four billion frames: what is in the frames counts",
        )
        .file("a.raw.zst", seek_table(u32::MAX))
        .run(&["check", "a.raw.zst"], &[0])
        .run(&["convert", "a.raw.zst", "out.raw"], &[0]),
        case("xz-index", "an index of 16 GiB", "a.raw.xz", xz_size.into()),
        case(
            "xz-flags",
            "a stream of flags that nobody knows",
            "a.raw.xz",
            b"\xfd7zXZ\0\0\xff\x12\xd9\x41\x02".to_vec().into(),
        ),
        case(
            "lz4-says-tib",
            "a frame that says it holds a TiB",
            "a.raw.lz4",
            lz4_head(0x68, &TIB.to_le_bytes(), 64).into(),
        ),
        case("lz4-block", "a block of 2 GiB", "a.raw.lz4", lz4_head(0x60, &[], 0x7fff_ffff).into()),
        case("lzo-block", "a block of 4 GiB", "a.raw.lzo", lzop_block(u32::MAX - 1, 4096).into()),
        case(
            "lzo-block-zero",
            "a block of 64 MiB that has no bytes",
            "a.raw.lzo",
            lzop_block(64 << 20, 0).into(),
        ),
        case(
            "bz2-level",
            "a block size that does not exist",
            "a.raw.bz2",
            b"BZh01AY&SY\0\0\0\0".to_vec().into(),
        ),
        case("gz-name", "a name of a megabyte without an end", "a.raw.gz", long_name.into()),
        case("gz-bgzf-zero", "a block of BGZF that is its own next one", "a.raw.gz", bgzf(0, 4096).into()),
        case(
            "gz-bgzf-huge",
            "a block of BGZF that says it holds 4 GiB",
            "a.raw.gz",
            bgzf(25, u32::MAX).into(),
        ),
    ]
}
