//! Builds small ESX snapshot extents from what is known of them, without the reader's code.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use super::builder::noise;

const SECTOR: usize = 512;
pub const SECTORS: usize = 64;

/// A COWD extent with grains of one sector: data in 0 to 3 backwards, 10 and 63, nothing elsewhere.
pub struct Cowd {
    pub bytes: Vec<u8>,
    pub content: Vec<u8>,
    here: Vec<usize>,
}

impl Cowd {
    pub fn sample() -> Self {
        let mut bytes = b"COWD".to_vec();
        for value in [1, 3, SECTORS as u32, 1, 4, 1, 100] {
            bytes.extend(u32::to_le_bytes(value));
        }
        bytes.resize(4 * SECTOR, 0);
        let mut directory = 5u32.to_le_bytes().to_vec();
        directory.resize(SECTOR, 0);
        bytes.extend(directory);
        let (table_at, mut content) = (bytes.len(), vec![0; SECTORS * SECTOR]);
        bytes.resize(table_at + 4096 * 4, 0);
        let here = vec![3, 2, 1, 0, 10, 63];
        for &grain in &here {
            let (sector, data) = ((bytes.len() / SECTOR) as u32, noise(grain as u64 + 77, SECTOR));
            bytes[table_at + grain * 4..][..4].copy_from_slice(&sector.to_le_bytes());
            content[grain * SECTOR..][..SECTOR].copy_from_slice(&data);
            bytes.extend(data);
        }
        Self { bytes, content, here }
    }

    pub fn over(&self, base: &[u8]) -> Vec<u8> {
        let mut result = base.to_vec();
        for &grain in &self.here {
            let range = grain * SECTOR..(grain + 1) * SECTOR;
            result[range.clone()].copy_from_slice(&self.content[range]);
        }
        result
    }
}

/// A seSparse extent of eight grains: data, nothing, unmapped, zeros, data, nothing…, data.
pub struct SeSparse {
    pub bytes: Vec<u8>,
    pub content: Vec<u8>,
    hides: Vec<usize>,
}

impl SeSparse {
    pub const DIRECTORY: usize = 8;
    pub const TABLES: usize = 16;
    const GRAINS: usize = 16 + 64;

    pub fn sample() -> Self {
        let areas = [
            (1, 1),
            (2, 2),
            (4, 4),
            (Self::DIRECTORY, 1),
            (Self::TABLES, 64),
            (0, 0),
            (0, 0),
            (Self::GRAINS, 64),
        ];
        let mut bytes = 0xcafe_babe_u64.to_le_bytes().to_vec();
        for value in [0x2_0000_0001, SECTORS as u64, 8, 64, 0, 0, 0, 0, 0] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(
            areas
                .iter()
                .flat_map(|&(at, len)| [(at as u64).to_le_bytes(), (len as u64).to_le_bytes()].concat()),
        );
        bytes.resize(SECTOR, 0);
        bytes.extend(0xcafe_cafe_u64.to_le_bytes());
        bytes.resize(Self::DIRECTORY * SECTOR, 0);
        bytes.extend(0x1000_0000_0000_0000_u64.to_le_bytes());
        bytes.resize(Self::TABLES * SECTOR, 0);
        // A grain number's lowest twelve bits come first.
        let at = |number: u64| 3 << 60 | (number & 0xfff) << 48 | number >> 12;
        let entries = [at(2), 0, 1 << 60, 2 << 60, at(0), 0, 0, at(1)];
        bytes.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
        bytes.resize(Self::GRAINS * SECTOR, 0);
        let grains: Vec<_> = (0..3).map(|number| noise(number + 33, 4096)).collect();
        bytes.extend(grains.concat());
        let zeros = vec![0; 4096];
        let content = [&grains[2], &zeros, &zeros, &zeros, &grains[0], &zeros, &zeros, &grains[1]]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        Self { bytes, content, hides: vec![0, 2, 3, 4, 7] }
    }

    pub fn over(&self, base: &[u8]) -> Vec<u8> {
        let mut result = base.to_vec();
        for &grain in &self.hides {
            let range = grain * 4096..(grain + 1) * 4096;
            result[range.clone()].copy_from_slice(&self.content[range]);
        }
        result
    }
}
