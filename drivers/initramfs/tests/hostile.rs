//! Damaged and malicious images: a named error within a second, or a listing; never a panic or a flood of memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Read, Write};
use std::time::Duration;

use driver_initramfs::cpio::Writer;
use driver_initramfs::{Compression, Error, Limits, Listing};

fn archive() -> Vec<u8> {
    let mut writer = Writer::new(1);
    writer.directory("conf").unwrap();
    writer.file("conf/modules", b"loop\n").unwrap();
    writer.symlink("lib", "usr/lib").unwrap();
    writer
        .file("noise", &(0..4000_u32).flat_map(|n| (n * n * 31).to_le_bytes()).collect::<Vec<_>>())
        .unwrap();
    writer.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut out).unwrap();
    out
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bzip2::read::BzEncoder::new(bytes, bzip2::Compression::fast()).read_to_end(&mut out).unwrap();
    out
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress(bytes);
    [&[2, 0x21, 0x4c, 0x18][..], &(packed.len() as u32).to_le_bytes(), &packed].concat()
}

fn all_forms() -> Vec<Vec<u8>> {
    let a = archive();
    vec![a.clone(), gzip(&a), xz(&a), zstd::encode_all(&a[..], 1).unwrap(), lz4(&a), bzip2(&a)]
}

/// Time this thread was running: other programs on the machine do not count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn list(image: &[u8]) -> Result<Listing, Error> {
    let start = cpu_time();
    let result = Listing::from_image(image, &Limits::default());
    let spent = cpu_time() - start;
    assert!(spent < Duration::from_secs(1), "{spent:?} for {} bytes", image.len());
    result
}

fn patched(at: usize, bytes: &[u8]) -> Result<Listing, Error> {
    let mut a = archive();
    a[at..at + bytes.len()].copy_from_slice(bytes);
    list(&a)
}

#[test]
fn each_fault_of_an_archive_is_named() {
    // The first header is at 0, its name at 110; the second header at 116.
    assert!(matches!(patched(116, b"070707"), Err(Error::BadMagic { segment: 0, at: 116, .. })));
    assert!(matches!(patched(116 + 94, b"zz"), Err(Error::BadField { at: 116, field: "c_namesize", .. })));
    assert!(matches!(patched(94, b"FFFFFFFF"), Err(Error::NameSize { size: u32::MAX, .. })));
    assert!(matches!(patched(94, b"00000000"), Err(Error::NameSize { size: 0, .. })));
    assert!(matches!(patched(114, b"x"), Err(Error::NameTerminator { at: 0, .. })));
    assert!(matches!(patched(112, b"\0"), Err(Error::NameTerminator { at: 0, .. })));
    assert!(matches!(patched(116 + 54, b"FFFFFFFF"), Err(Error::Truncated { .. })));
    let link = archive().windows(4).position(|w| w == b"lib\0").unwrap() - 110;
    assert!(matches!(patched(link + 54, b"00001001"), Err(Error::LinkSize { size: 4097, .. })));
}

#[test]
fn each_fault_around_archives_is_named() {
    let a = archive();
    assert!(matches!(list(b""), Err(Error::Empty { size: 0 })));
    assert!(matches!(list(&[0; 4096]), Err(Error::Empty { size: 4096 })));
    assert!(matches!(list(b"MZ\x90\0"), Err(Error::UnifiedKernelImage)));
    assert!(matches!(list(b"hello"), Err(Error::UnknownMagic { offset: 0, .. })));
    assert!(matches!(list(&[&a[..], &[0, 0], &a[..]].concat()), Err(Error::Misaligned { .. })));
    let text = list(&[&a[..], b"\x89LZO"].concat()).unwrap_err().to_string();
    assert_eq!(text, format!("initramfs: compression lzo at {:#x} is not supported", a.len()));
    let junk = [&a[..], b"junk"].concat();
    assert!(matches!(list(&gzip(&junk)), Err(Error::Junk { byte: b'j', .. })));
    assert!(matches!(list(&gzip(&[0; 100])), Err(Error::Truncated { .. })));
    let mut damaged = xz(&a);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    assert!(matches!(list(&damaged), Err(Error::Decode { compression: Compression::Xz, .. })));
}

#[test]
fn no_prefix_passes_unless_only_padding_is_lost() {
    for image in all_forms() {
        let whole = list(&image).unwrap();
        let segment = &whole.segments()[0];
        let step = (image.len() / 400).max(1);
        for cut in
            (0..segment.len as usize).step_by(step).chain(segment.len as usize - 9..segment.len as usize)
        {
            // The last 3 bytes of a plain archive may be the padding of the trailer, which is required too.
            assert!(list(&image[..cut]).is_err(), "{} cut at {cut} of {}", segment.compression, segment.len);
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    for image in all_forms() {
        for at in (0..image.len()).step_by(1 + image.len() / 300) {
            for bit in [0, 3, 7] {
                let mut flipped = image.clone();
                flipped[at] ^= 1 << bit;
                drop(list(&flipped));
            }
        }
    }
}

/// An archive of one file of zeros, made while it is read.
fn zeros(bytes: u64) -> impl Read {
    let mut writer = Writer::new(1);
    writer.file("zeros", b"").unwrap();
    writer.directory("x").unwrap();
    let mut head = writer.finish().unwrap();
    let rest = head.split_off(116);
    head[54..62].copy_from_slice(format!("{bytes:08X}").as_bytes());
    io::Cursor::new(head).chain(io::repeat(0).take(bytes)).chain(io::Cursor::new(rest))
}

#[test]
fn bombs_are_stopped() {
    let bomb = zstd::encode_all(zeros(0xF000_0000), 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(list(&bomb), Err(Error::Limit { what: "unpacked bytes per packed byte", .. })));
    let limits = Limits { unpacked: 1 << 20, ..Limits::default() };
    let e = Listing::from_image(zeros(2 << 20), &limits).unwrap_err();
    assert!(matches!(e, Error::Limit { what: "unpacked bytes", limit: 0x10_0000, .. }), "{e}");
    // Small zeros are fine.
    assert!(list(&zstd::encode_all(zeros(1 << 20), 1).unwrap()).is_ok());
}

#[test]
fn counts_are_limited() {
    let limits = Limits { entries: 3, ..Limits::default() };
    assert!(matches!(
        Listing::from_image(&archive()[..], &limits),
        Err(Error::Limit { what: "entries", .. })
    ));
    let limits = Limits { name_bytes: 20, ..Limits::default() };
    let e = Listing::from_image(&archive()[..], &limits).unwrap_err();
    assert!(matches!(e, Error::Limit { what: "bytes of names", limit: 20, .. }));
    let limits = Limits { kept_file: 4, ..Limits::default() };
    assert!(Listing::from_image(&archive()[..], &limits).unwrap().content("conf/modules").is_none());
}

#[test]
fn many_small_pieces_cost_little() {
    let pieces: Vec<u8> = (0..65).flat_map(|_| gzip(&archive())).collect();
    assert!(matches!(list(&pieces), Err(Error::Limit { what: "segments", limit: 64, .. })));
    // An lz4 frame of blocks of one byte each.
    let mut frame = vec![2, 0x21, 0x4c, 0x18];
    for byte in archive() {
        frame.extend_from_slice(&[2, 0, 0, 0, 0x10, byte]);
    }
    assert_eq!(list(&frame).unwrap().entries().count(), 4);
}

#[test]
fn a_maze_of_links_is_left() {
    let mut writer = Writer::new(1);
    for n in 0..40 {
        let target = format!("{}{}", "./".repeat(2000), n + 1);
        writer.symlink(&n.to_string(), &target).unwrap();
    }
    for n in 0..20_000 {
        writer.file(&format!("0/{n}"), b"").unwrap();
    }
    let e = list(&writer.finish().unwrap()).unwrap_err();
    assert!(matches!(e, Error::Limit { what: "bytes of paths to look up", .. }), "{e}");
}

#[test]
fn a_failing_reader_is_an_io_error() {
    struct Bad;
    impl Read for Bad {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    let image = archive();
    let cut = io::Cursor::new(&image[..200]).chain(Bad);
    assert!(matches!(Listing::from_image(cut, &Limits::default()), Err(Error::Io { .. })));
    let image = gzip(&image);
    let cut = io::Cursor::new(&image[..200]).chain(Bad);
    assert!(matches!(Listing::from_image(cut, &Limits::default()), Err(Error::Io { .. })));
}
