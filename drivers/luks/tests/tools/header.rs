//! Headers of version 2 that are bent, with checksums that are right.

#![allow(dead_code, reason = "each test binary uses its part")]

use sha2::{Digest, Sha256};

/// Bytes of a copy.
pub const COPY: usize = 16384;

/// Puts the checksum of the copy at `at` right.
pub fn seal(bytes: &mut [u8], at: usize) {
    bytes[at + 448..at + 512].fill(0);
    let sum = Sha256::digest(&bytes[at..at + COPY]);
    bytes[at + 448..at + 480].copy_from_slice(&sum);
}

/// The volume with this text in the JSON areas of both copies.
pub fn with_json(bytes: &[u8], json: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in [0, COPY] {
        let area = &mut bytes[at + 4096..at + COPY];
        area.fill(0);
        area[..json.len()].copy_from_slice(json.as_bytes());
        seal(&mut bytes, at);
    }
    bytes
}

/// The text of the first copy.
pub fn json_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[4096..COPY]).trim_end_matches('\0').to_owned()
}

/// Sets the sequence number of the copy at `at`.
pub fn set_seqid(bytes: &mut [u8], at: usize, seqid: u64) {
    bytes[at + 16..at + 24].copy_from_slice(&seqid.to_be_bytes());
    seal(bytes, at);
}
