//! ISO 9660 images by hand, for what no tool makes.

#![allow(dead_code, reason = "each test binary uses its part")]

pub const SECTOR: usize = 2048;

/// Where the root folder of [`image`] is, in sectors.
pub const ROOT: u32 = 20;

pub const FOLDER: u8 = 0x02;
pub const GOES_ON: u8 = 0x80;

fn both16(n: u16) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

fn both32(n: u32) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

/// A directory record; what follows the name is `system_use`.
pub fn record(name: &[u8], extent: u32, size: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both32(extent));
    record.extend(both32(size));
    record.extend([120, 1, 1, 0, 0, 0, 0, flags, 0, 0]);
    record.extend(both16(1));
    record.push(name.len() as u8);
    record.extend(name);
    if name.len().is_multiple_of(2) {
        record.push(0);
    }
    record.extend(system_use);
    record[0] = record.len() as u8;
    record
}

/// The records of a folder in `sector`: itself, its parent (the root), and others.
pub fn folder(sector: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let own = [record(&[0], sector, 2048, FOLDER, &[]), record(&[1], ROOT, 2048, FOLDER, &[])];
    own.iter().chain(records).flatten().copied().collect()
}

/// A descriptor of this kind, with the root folder.
pub fn descriptor(kind: u8) -> Vec<u8> {
    let mut descriptor = vec![0; SECTOR];
    descriptor[0] = kind;
    descriptor[1..7].copy_from_slice(b"CD001\x01");
    descriptor[128..132].copy_from_slice(&both16(2048));
    descriptor[156..190].copy_from_slice(&record(&[0], ROOT, 2048, FOLDER, &[]));
    descriptor
}

/// An image of 64 sectors with a primary descriptor and these sectors.
pub fn image(sectors: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut image = vec![0; 64 * SECTOR];
    let mut put = |sector: u32, bytes: &[u8]| {
        let at = sector as usize * SECTOR;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(16, &descriptor(1));
    put(17, &descriptor(255));
    for (sector, bytes) in sectors {
        put(*sector, bytes);
    }
    image
}

/// An image with these records in its root folder.
pub fn rooted(records: &[Vec<u8>]) -> Vec<u8> {
    image(&[(ROOT, folder(ROOT, records))])
}
