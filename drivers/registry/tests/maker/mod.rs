//! Small hives and logs from a recipe.

#![allow(dead_code, reason = "each test binary uses its part")]

/// Time of the recipe's root key.
pub const MADE: u64 = 0x01d0_0000_0000_0000;

/// A security descriptor: owner and group are the administrators, everybody may do everything.
pub const DESCRIPTOR: [u8; 72] = {
    let mut bytes = [0; 72];
    let head = [1, 0, 4, 0x80, 48, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0];
    let acl = [2, 0, 28, 0, 1, 0, 0, 0, 0, 2, 20, 0, 0x3f, 0, 0x0f, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let sid = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    let mut at = 0;
    while at < head.len() {
        bytes[at] = head[at];
        at += 1;
    }
    at = 0;
    while at < acl.len() {
        bytes[20 + at] = acl[at];
        at += 1;
    }
    at = 0;
    while at < sid.len() {
        bytes[48 + at] = sid[at];
        bytes[60 + at] = sid[at];
        at += 1;
    }
    bytes
};

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes[at..at + new.len()].copy_from_slice(new);
}

pub fn put32(bytes: &mut [u8], at: usize, number: u32) {
    put(bytes, at, &number.to_le_bytes());
}

pub fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Makes the checksum of a base block right.
pub fn seal(bytes: &mut [u8]) {
    let sum = (0..127).fold(0, |sum, word| sum ^ get32(bytes, word * 4));
    let sum = match sum {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        sum => sum,
    };
    put32(bytes, 508, sum);
}

/// A hive of version 1.`minor` with a root key and nothing in it.
pub fn empty(minor: u32) -> Vec<u8> {
    let mut bytes = vec![0; 0x2000];
    put(&mut bytes, 0, b"regf");
    for (at, number) in [(4, 7), (8, 7), (20, 1), (24, minor), (32, 1), (36, 0x20), (40, 0x1000), (44, 1)] {
        put32(&mut bytes, at, number);
    }
    put(&mut bytes, 12, &MADE.to_le_bytes());
    seal(&mut bytes);
    let bins = &mut bytes[0x1000..];
    put(bins, 0, b"hbin");
    put32(bins, 8, 0x1000);
    put(bins, 20, &MADE.to_le_bytes());
    // The root key in a cell of 0x58 bytes, its descriptor behind it, and the rest free.
    let (root, security) = (0x20, 0x78);
    let security_size = (4 + 20 + DESCRIPTOR.len()).next_multiple_of(8);
    put32(bins, root, 0x58u32.wrapping_neg());
    put(bins, root + 4, b"nk\x2c\0");
    put(bins, root + 8, &MADE.to_le_bytes());
    for (at, number) in
        [(16, u32::MAX), (28, u32::MAX), (32, u32::MAX), (40, u32::MAX), (44, 0x78), (48, u32::MAX)]
    {
        put32(bins, root + 4 + at, number);
    }
    put(bins, root + 4 + 72, b"\x04\0\0\0ROOT");
    put32(bins, security, (security_size as u32).wrapping_neg());
    put(bins, security + 4, b"sk\0\0");
    for (at, number) in [(4, 0x78), (8, 0x78), (12, 1), (16, DESCRIPTOR.len() as u32)] {
        put32(bins, security + 4 + at, number);
    }
    put(bins, security + 24, &DESCRIPTOR);
    let free = security + security_size;
    put32(bins, free, 0x1000 - free as u32);
    bytes
}

/// Marvin32, a second time: the crate's own is not used to make what it reads.
pub fn marvin(data: &[u8]) -> [u8; 8] {
    let mut state = (0x7a4e_55c5u32, 0x82ef_4d88u32);
    let mut padded = data.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(4) + 4, 0);
    for word in padded.chunks_exact(4) {
        let (mut low, mut high) = state;
        low = low.wrapping_add(u32::from_le_bytes(word.try_into().unwrap()));
        high ^= low;
        low = low.rotate_left(20).wrapping_add(high);
        high = high.rotate_left(9) ^ low;
        low = low.rotate_left(27).wrapping_add(high);
        high = high.rotate_left(19);
        state = (low, high);
    }
    let mut hash = [0; 8];
    put32(&mut hash, 0, state.0);
    put32(&mut hash, 4, state.1);
    hash
}

/// The first sector of a log.
pub fn log_header(primary: &[u8], file_type: u32, sequence: u32) -> Vec<u8> {
    let mut header = primary[..512].to_vec();
    put32(&mut header, 4, sequence);
    put32(&mut header, 8, sequence);
    put32(&mut header, 28, file_type);
    seal(&mut header);
    header
}

/// An entry that turns `old` into `new`.
pub fn log_entry(old: &[u8], new: &[u8], sequence: u32) -> Vec<u8> {
    let page_of = |hive: &[u8], at: usize| hive.get(at..at + 4096).map(<[u8]>::to_vec);
    let changed: Vec<_> =
        (4096..new.len()).step_by(4096).filter(|at| page_of(old, *at) != page_of(new, *at)).collect();
    let mut entry = b"HvLE".to_vec();
    entry.resize(40, 0);
    put32(&mut entry, 12, sequence);
    put32(&mut entry, 16, get32(new, 40));
    put32(&mut entry, 20, changed.len() as u32);
    for at in &changed {
        entry.extend((*at as u32 - 4096).to_le_bytes());
        entry.extend(4096u32.to_le_bytes());
    }
    changed.iter().for_each(|at| entry.extend(&new[*at..at + 4096]));
    entry.resize(entry.len().next_multiple_of(512), 0);
    let size = entry.len() as u32;
    put32(&mut entry, 4, size);
    seal_entry(&mut entry);
    entry
}

/// Makes the hashes of an entry right, which `entry` is the whole of.
pub fn seal_entry(entry: &mut [u8]) {
    let hash = marvin(&entry[40..]);
    entry[24..32].copy_from_slice(&hash);
    let hash = marvin(&entry[..32]);
    entry[32..40].copy_from_slice(&hash);
}

/// A log of the old format that turns `old` into `new`.
pub fn old_log(old: &[u8], new: &[u8], sequence: u32) -> Vec<u8> {
    let page_of = |hive: &[u8], at: usize| hive.get(at..at + 4096).map(<[u8]>::to_vec);
    let is_dirty = |at: usize| page_of(old, at) != page_of(new, at);
    let pages: Vec<_> = (4096..new.len()).step_by(4096).collect();
    let mut log = log_header(new, 1, sequence);
    log.extend(b"DIRT");
    log.extend(pages.iter().map(|at| if is_dirty(*at) { 0xff } else { 0 }));
    log.resize(log.len().next_multiple_of(512), 0);
    pages.iter().filter(|at| is_dirty(**at)).for_each(|at| log.extend(&new[*at..at + 4096]));
    log
}
