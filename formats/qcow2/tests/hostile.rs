//! Files that lie: one thing broken in good bytes, every prefix, every flipped header bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disks;

use disks::{image_of, mixed, open, open_layer, read_all};
use format_core::{Disk, Error, ErrorKind, ExtentKind, MemTarget};
use format_qcow2::FORMAT;
use std::time::{Duration, Instant};

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;

/// A version 3 image of 16 KiB clusters, built by hand: header, L1 table, L2 table, one data cluster of sevens.
struct Image {
    bytes: Vec<u8>,
}

const CLUSTER: usize = 16 << 10;
const L1: usize = CLUSTER;
const L2: usize = 2 * CLUSTER;
const DATA: usize = 3 * CLUSTER;

impl Image {
    fn new() -> Self {
        let mut image = Self { bytes: vec![0; 4 * CLUSTER] };
        image.bytes[..4].copy_from_slice(b"QFI\xfb");
        image.u32(4, 3).u32(20, 14).u64(24, 8 * CLUSTER as u64).u32(36, 1).u64(40, L1 as u64);
        image.u32(96, 4).u32(100, 104);
        image.u64(L1, L2 as u64 | COPIED).u64(L2, DATA as u64 | COPIED);
        image.bytes[DATA..].fill(7);
        image
    }

    fn u32(&mut self, at: usize, value: u32) -> &mut Self {
        self.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        self
    }

    fn u64(&mut self, at: usize, value: u64) -> &mut Self {
        self.bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
        self
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// One header extension behind a header of 104 bytes.
    fn extension(&mut self, kind: u32, data: &[u8]) -> &mut Self {
        self.u32(104, kind).u32(108, data.len() as u32).put(112, data)
    }

    fn outcome(&self) -> Result<Vec<u8>, Error> {
        read_all(&open(self.bytes.clone())?)
    }
}

fn assert_error(image: &Image, kind: ErrorKind, text: &str) {
    let error = image.outcome().expect_err(text);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().starts_with("qcow2: "), "{error}");
    assert!(error.to_string().contains(text), "wanted {text:?} in: {error}");
}

fn broken(kind: ErrorKind, text: &str, change: impl FnOnce(&mut Image)) {
    let mut image = Image::new();
    change(&mut image);
    assert_error(&image, kind, text);
}

#[test]
fn the_hand_made_image_is_good() {
    let bytes = Image::new().outcome().unwrap();
    assert_eq!((bytes[0], bytes[CLUSTER - 1], bytes[CLUSTER]), (7, 7, 0));
    assert_eq!(bytes.len(), 8 * CLUSTER);
}

#[test]
fn every_fault_of_the_header_is_named() {
    use ErrorKind::{Corrupt, Denied, Limit, NeedsPerson, Unsupported};
    broken(Corrupt, "the magic is [51", |i| i.bytes[3] = 0xfa);
    broken(Corrupt, "the header wants 0x48 bytes, the file has 0x28", |i| i.bytes.truncate(40));
    broken(Corrupt, "the header wants 0x68 bytes, the file has 0x50", |i| i.bytes.truncate(80));
    broken(Unsupported, "version 4 is not supported", |i| {
        i.u32(4, 4);
    });
    broken(Unsupported, "version 1 is not supported", |i| {
        i.u32(4, 1);
    });
    broken(Corrupt, "cluster_bits is 8, possible are 9 to 21", |i| {
        i.u32(20, 8);
    });
    broken(Corrupt, "cluster_bits is 22", |i| {
        i.u32(20, 22);
    });
    broken(Corrupt, "cluster_bits is 13, possible are 14 to 21", |i| {
        i.u32(20, 13).u64(72, 16);
    });
    broken(NeedsPerson, "encrypted with AES", |i| {
        i.u32(32, 1);
    });
    broken(Corrupt, "crypt_method is LUKS, but there is no encryption header extension", |i| {
        i.u32(32, 2);
    });
    broken(NeedsPerson, "unknown method 9", |i| {
        i.u32(32, 9);
    });
    broken(Corrupt, "the external data file feature bit is set, but there is no name of the file", |i| {
        i.u64(72, 4);
    });
    broken(Denied, "the image refers to \"/etc/passwd\"", |i| {
        i.u64(72, 4).extension(0x4441_5441, b"/etc/passwd");
    });
    broken(Unsupported, "feature bit 40 is", |i| {
        i.u64(72, 1 << 40);
    });
    broken(Unsupported, "\"warp drive\" (bit 41), bit 42", |i| {
        let mut name = [0; 48];
        name[..12].copy_from_slice(b"\0\x29warp drive");
        i.u64(72, 3 << 41).extension(0x6803_f857, &name);
    });
    broken(Corrupt, "compression_type is 1, but the compression type feature bit is 0", |i| {
        i.u32(100, 112).bytes[104] = 1;
    });
    broken(Corrupt, "compression_type is 0, but the compression type feature bit is 1", |i| {
        i.u64(72, 8);
    });
    broken(Unsupported, "compression_type 2 is not supported", |i| {
        i.u64(72, 8).u32(100, 112).bytes[104] = 2;
    });
    broken(Corrupt, "header_length is 0x60, possible are 0x68", |i| {
        i.u32(100, 96);
    });
    // The extensions behind it would be read from the wrong place, and the backing file's format be lost.
    broken(Corrupt, "header_length is 0x6c", |i| {
        i.u32(100, 108);
    });
    broken(Corrupt, "header_length is 0x4008", |i| {
        i.u32(100, 0x4008);
    });
    broken(Corrupt, "refcount_order is 7", |i| {
        i.u32(96, 7);
    });
    broken(Corrupt, "the header extension 0x12345678 has 0xffffffff bytes", |i| {
        i.u32(104, 0x1234_5678).u32(108, u32::MAX);
    });
    broken(Corrupt, "the header extension 0xe2792aca is no text", |i| {
        i.extension(0xe279_2aca, &[0xff; 4]);
    });
    for (offset, len) in [(CLUSTER as u64 - 4, 5), (200, 1024), (200, 0), (u64::MAX, 2)] {
        broken(Corrupt, "the backing file name has", |i| {
            i.u64(8, offset).u32(16, len);
        });
    }
    broken(Corrupt, "the backing file name is not UTF-8", |i| {
        i.u64(8, 200).u32(16, 4).put(200, &[0xff; 4]);
    });
    broken(Corrupt, "l1_size is 0, a disk of 0x20000 bytes needs 1", |i| {
        i.u32(36, 0);
    });
    broken(Limit, "the L1 table has 4294967295 entries", |i| {
        i.u32(36, u32::MAX);
    });
    broken(Limit, "the L1 table has", |i| {
        i.u64(24, u64::MAX);
    });
    broken(Corrupt, "it overlaps the header", |i| {
        i.u64(40, 0);
    });
    broken(Corrupt, "no multiple of the cluster size", |i| {
        i.u64(40, L1 as u64 + 8);
    });
    for offset in [4 * CLUSTER as u64, !(CLUSTER as u64 - 1)] {
        broken(Corrupt, "the L1 table of 0x8 bytes at", |i| {
            i.u64(40, offset);
        });
    }
    broken(Corrupt, "the L1 table of 0x10008 bytes at 0x4000 leaves the file", |i| {
        i.u32(36, 8193);
    });
    broken(Corrupt, "the refcount table of 0x4000 bytes at 0x10000 leaves the file", |i| {
        i.u64(48, 4 * CLUSTER as u64).u32(56, 1);
    });
}

#[test]
fn every_fault_of_a_table_entry_is_named() {
    use ErrorKind::Corrupt;
    broken(Corrupt, "L1 entry 0 is 0x8000000000008002: reserved bits 0x2", |i| {
        i.u64(L1, L2 as u64 | COPIED | 2);
    });
    broken(Corrupt, "0x8200 is no multiple of the cluster size 0x4000", |i| {
        i.u64(L1, L2 as u64 + 512);
    });
    broken(Corrupt, "it points to 0x10000, the file ends at 0x10000", |i| {
        i.u64(L1, 4 * CLUSTER as u64);
    });
    broken(Corrupt, "it points to 0x8000, the file ends at 0xbfff", |i| i.bytes.truncate(DATA - 1));
    let entry = |value: u64| {
        move |i: &mut Image| {
            i.u64(L2, value);
        }
    };
    broken(Corrupt, "L2 entry 0 of the table at 0x8000 is 0xc004: reserved bits 0x4", entry(DATA as u64 | 4));
    broken(Corrupt, "reserved bits 0x200000000000000", entry(DATA as u64 | 1 << 57));
    broken(Corrupt, "the host offset 0xc200 is no multiple", entry(DATA as u64 + 512));
    broken(Corrupt, "it points to 0x10000, the file ends at 0x10000", entry(4 * CLUSTER as u64));
    broken(Corrupt, "the zero flag is set in a version 2 image", |i| {
        i.u32(4, 2).u64(L2, 1);
    });
    broken(Corrupt, "reserved bits 0x8000000000000000", entry(COPIED | COMPRESSED | DATA as u64));
    broken(Corrupt, "it points to 0x10000", entry(COMPRESSED | (4 * CLUSTER as u64)));
    broken(Corrupt, "the compressed cluster of at most 0x200 bytes does not give 0x4000 bytes", |i| {
        i.u64(L2, COMPRESSED | DATA as u64);
    });
    let bitmap = |entry: u64, map: u64| {
        move |i: &mut Image| {
            i.u64(72, 16).u64(L2, entry).u64(L2 + 8, map);
        }
    };
    broken(Corrupt, "its subcluster bitmap 0x100000001", bitmap(DATA as u64, 1 << 32 | 1));
    broken(Corrupt, "its subcluster bitmap 0x1 contradicts", bitmap(0, 1));
    broken(Corrupt, "reserved bits 0x1", bitmap(DATA as u64 | 1, 1));
}

#[test]
fn a_bad_entry_harms_only_its_own_cluster() {
    let mut image = Image::new();
    image.u64(L2 + 8, DATA as u64 + 512);
    let layer = open_layer(image.bytes).unwrap();
    let mut cluster = [0; CLUSTER];
    layer.read_exact_at(0, &mut cluster).unwrap();
    assert_eq!(cluster, [7; CLUSTER]);
    let answer = |at: u64| layer.extent_at(at).map(|e| e.len).map_err(|e| e.kind());
    assert_eq!(answer(0), Ok(CLUSTER as u64));
    assert_eq!(answer(CLUSTER as u64), Err(ErrorKind::Corrupt));
    assert_eq!(answer(2 * CLUSTER as u64), Ok(6 * CLUSTER as u64));
}

#[test]
fn zero_and_unallocated_are_told_apart() {
    let mut image = Image::new();
    image.u64(L2 + 8, 1).u64(L2 + 16, DATA as u64 | 1);
    let layer = open_layer(image.bytes).unwrap();
    let kinds: Vec<_> = (0..4)
        .map(|i| layer.extent_at(i * CLUSTER as u64).unwrap())
        .map(|e| (e.len / CLUSTER as u64, e.kind))
        .collect();
    use ExtentKind::{Data, Unallocated, Zero};
    assert_eq!(kinds, [(1, Data), (2, Zero), (1, Zero), (5, Unallocated)]);
    // Asked directly, a layer fills in zeros for what it does not hold.
    let mut bytes = vec![0xee; 8 * CLUSTER];
    layer.read_exact_at(0, &mut bytes).unwrap();
    assert!(bytes[..CLUSTER].iter().all(|&byte| byte == 7) && format_core::is_zero(&bytes[CLUSTER..]));
}

#[test]
fn subclusters_are_read_one_by_one() {
    let mut image = Image::new();
    // Subcluster 0 data, 1 zero, 2 nothing, 3 and 4 data.
    image.u64(72, 16).u64(L2 + 8, 0b10 << 32 | 0b11001);
    let layer = open_layer(image.bytes).unwrap();
    let size = CLUSTER as u64 / 32;
    let kinds: Vec<_> =
        [0, 1, 2, 3].map(|i| layer.extent_at(i * size).unwrap()).map(|e| (e.len, e.kind)).into();
    use ExtentKind::{Data, Unallocated, Zero};
    assert_eq!(kinds, [(size, Data), (size, Zero), (size, Unallocated), (2 * size, Data)]);
    assert_eq!(layer.host_range(3 * size + 5).unwrap().offset, DATA as u64 + 3 * size + 5);
}

#[test]
fn doubtful_images_are_read_with_a_warning() {
    for (change, code) in [
        (Image::new().u64(72, 1), "qcow2-dirty"),
        (Image::new().u64(72, 2), "qcow2-corrupt"),
        (Image::new().u32(60, 3), "qcow2-snapshots"),
        (Image::new().u64(24, 100_001), "qcow2-odd-size"),
    ] {
        let layer = open_layer(change.bytes.clone()).unwrap();
        assert_eq!(layer.warnings().iter().map(|w| w.code).collect::<Vec<_>>(), [code]);
        assert_eq!(change.outcome().unwrap()[0], 7);
    }
}

#[test]
fn the_backing_file_is_named_as_stored() {
    let mut image = Image::new();
    image.extension(0xe279_2aca, b"raw").u64(8, 200).u32(16, 8).put(200, b"base.img");
    let layer = open_layer(image.bytes).unwrap();
    let parent = layer.parent().unwrap();
    assert_eq!(
        (parent.names.as_slice(), parent.format.as_deref()),
        (&["base.img".to_owned()][..], Some("raw"))
    );
}

/// Uses an opened disk as a hostile one: some extents, some reads, whatever its size.
fn exercise(disk: &Disk) {
    let size = disk.virtual_size();
    let mut buf = vec![0; 1 << 20];
    for extent in disk.extents(0, u64::MAX).take(2000) {
        let Ok(extent) = extent else { break };
        let _ = disk.host_range(extent.offset);
    }
    for start in [0, size / 3, size.saturating_sub(1 << 20)] {
        let len = (size - start).min(buf.len() as u64) as usize;
        let _ = disk.read_exact_at(start, &mut buf[..len]);
    }
}

fn survives(bytes: Vec<u8>, what: &str) {
    let start = Instant::now();
    if let Ok(disk) = open(bytes) {
        exercise(&disk);
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
}

#[test]
fn every_flipped_header_bit_ends_well() {
    for good in [
        Image::new().bytes,
        image_of(&mixed(1 << 20, 30_000, 1), 1 << 20, &[("cluster_size", "512")]).unwrap(),
        image_of(&mixed(1 << 20, 30_000, 2), 1 << 20, &[("compressed", "on"), ("compression_type", "zstd")])
            .unwrap(),
    ] {
        for bit in 0..8 * 128 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            survives(bytes, &format!("header bit {bit}"));
        }
    }
}

#[test]
fn flipped_table_bits_end_well() {
    let good = Image::new();
    for at in [L1, L2] {
        for bit in 0..64 {
            for incompatible in [0, 16] {
                let mut image = Image { bytes: good.bytes.clone() };
                image.u64(72, incompatible).bytes[at + bit / 8] ^= 1 << (bit % 8);
                survives(image.bytes, &format!("bit {bit} at {at:#x}"));
            }
        }
    }
}

/// A cut file is an error, or what was cut off was not needed. Nothing is silently lost.
#[test]
fn no_prefix_reads_as_another_disk() {
    let disk = mixed(100_000, 5_000, 3);
    let disk = [disk, vec![0; 352]].concat();
    for options in
        [[("cluster_size", "4k"), ("compressed", "off")], [("cluster_size", "4k"), ("compressed", "on")]]
    {
        let good = image_of(&disk, 1 << 20, &options).unwrap();
        let mut refused = 0;
        for len in (0..good.len()).filter(|len| *len < 9000 || len % 61 == 0) {
            match open(good[..len].to_vec()).and_then(|found| read_all(&found)) {
                Ok(found) => assert!(found == disk, "{len} of {} bytes read as another disk", good.len()),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 9000);
    }
}

#[test]
fn a_huge_disk_in_a_small_file_costs_nothing() {
    let mut image = Image::new();
    // 2 MiB clusters: one L1 entry is 512 GiB, 4 Mi entries would be 2 EiB; the file holds none of them.
    image.u32(20, 21).u64(24, 1 << 61).u32(36, 1 << 22).u64(40, 2 << 20);
    assert_error(&image, ErrorKind::Corrupt, "the L1 table of 0x2000000 bytes at 0x200000 leaves the file");
    // 512-byte clusters on 64 TiB: more L1 entries than QEMU opens.
    let mut image = Image::new();
    image.u32(20, 9).u64(24, 64 << 40).u32(36, u32::MAX);
    assert_error(&image, ErrorKind::Limit, "the L1 table has 4294967295 entries");
}

/// Whatever write fails, an error comes out and nothing appears under the final name.
#[test]
fn every_failing_write_is_an_error() {
    let disk = mixed(300_000, 20_000, 4);
    for options in
        [[("cluster_size", "4k"), ("compressed", "off")], [("cluster_size", "4k"), ("compressed", "on")]]
    {
        let mut n = 0;
        loop {
            let target = MemTarget::failing_after(n);
            let request = disks::request(disk.len() as u64, &options);
            let result = FORMAT.create.unwrap()(Box::new(target.clone()), &request).and_then(|sink| {
                disks::copy(&disk, 64 << 10, sink.as_ref())?;
                sink.finish()
            });
            if result.is_ok() {
                break;
            }
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Temporary);
            assert!(target.committed_bytes().is_none(), "write {n}");
            n += 1;
        }
        assert!(n > 10, "{n} writes");
    }
}

#[test]
fn a_sink_refuses_what_breaks_its_needs() {
    let sink = FORMAT.create.unwrap()(Box::<MemTarget>::default(), &disks::request(200_000, &[])).unwrap();
    let plain = |offset, len: usize| sink.write_at(offset, format_core::Packed::Plain(&vec![1; len]));
    for (offset, len) in
        [(1, 65536), (0, 1000), (0, 0), (131_072, 70_000), (196_608, 4096), (u64::MAX - 65535, 65536)]
    {
        assert_eq!(plain(offset, len).unwrap_err().kind(), ErrorKind::Contract, "{offset} {len}");
        assert_eq!(sink.zero_at(offset, len as u64).unwrap_err().kind(), ErrorKind::Contract);
    }
    let encoded = format_core::Packed::Encoded { bytes: vec![1; 65536], guest_len: 65536 };
    assert_eq!(sink.write_at(0, encoded).unwrap_err().kind(), ErrorKind::Contract);
    plain(196_608, 3392).unwrap();
}
