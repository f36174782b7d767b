//! Disks that show mistakes: odd tails, long holes, single bytes, dense noise.

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub struct Noise(pub u64);

impl Noise {
    /// The next number, below 2^31.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A number below `end`, 0 when there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.number() << 31 | self.number()).checked_rem(end).unwrap_or(0)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.number() as u8);
    }
}

/// A disk's bytes with a name for messages.
#[derive(Clone, Debug)]
pub struct Content {
    /// What is special about it.
    pub name: String,
    /// The guest's bytes.
    pub bytes: Vec<u8>,
}

impl Content {
    /// Runs of noise, of text that compresses, and of zeros, each of about `run` bytes.
    #[must_use]
    pub fn mixed(size: usize, run: u64, seed: u64) -> Self {
        let (mut bytes, mut noise, mut at) = (vec![0; size], Noise(seed), 0);
        while at < size {
            let len = (1 + noise.below(2 * run)) as usize;
            let part = &mut bytes[at..size.min(at + len)];
            match noise.below(3) {
                0 => {}
                1 => noise.fill(part),
                _ => part.iter_mut().enumerate().for_each(|(i, byte)| *byte = b'a' + (i / 7 % 20) as u8),
            }
            at += len;
        }
        // The last byte of a disk is the one that a wrong size loses.
        if let Some(last) = bytes.last_mut() {
            *last = 0x5a;
        }
        Self { name: format!("mixed, {size} bytes, runs of {run}"), bytes }
    }

    /// Noise from end to end.
    #[must_use]
    pub fn dense(size: usize) -> Self {
        let mut bytes = vec![0; size];
        Noise(9).fill(&mut bytes);
        Self { name: format!("dense, {size} bytes"), bytes }
    }

    /// Zeros but for single bytes at the first, the last, and some places between.
    #[must_use]
    pub fn sparse(size: usize) -> Self {
        let (mut bytes, mut noise) = (vec![0; size], Noise(3));
        let mut places = vec![0, size.saturating_sub(1)];
        places.extend((0..3).map(|_| noise.below(size as u64) as usize));
        places.into_iter().filter_map(|at| bytes.get_mut(at).map(|byte| *byte = 0xd1)).for_each(drop);
        Self { name: format!("sparse, {size} bytes"), bytes }
    }

    /// Zeros.
    #[must_use]
    pub fn empty(size: usize) -> Self {
        Self { name: format!("all zeros, {size} bytes"), bytes: vec![0; size] }
    }
}

/// The disks that every writer has to hold.
#[must_use]
pub fn all_contents() -> Vec<Content> {
    const MIB: usize = 1 << 20;
    vec![
        Content::dense(512),
        Content::mixed(1, 1, 1),
        Content::mixed(4096 + 513, 600, 2),
        Content::empty(3 * MIB + 512),
        Content::sparse(9 * MIB + 3 * 512),
        Content::dense(2 * MIB + 65536),
        Content::mixed(4 * MIB, 30_000, 5),
        Content::mixed(5 * MIB + 777, 200_000, 6),
        Content::mixed(3 * MIB + 4096, 4_000, 7),
    ]
}
