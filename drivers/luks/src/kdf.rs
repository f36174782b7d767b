//! From a passphrase to the key of a keyslot: PBKDF2 and Argon2, within bounds of time and memory.
//!
//! A header says how long a derivation takes and how much memory it needs. Both are what makes guessing expensive, and both
//! come from a stranger: what goes beyond [`SLOT_COST`] or [`MAX_MEMORY`], or beyond what the machine has, is refused before
//! anything is computed.

use crate::hash::Hash;
use crate::memory;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use format_core::{Error, ErrorKind, Result};
use zeroize::{Zeroize, Zeroizing};

/// What one keyslot may cost, in microseconds of an ordinary processor (see [`Kdf::cost`]): a minute. cryptsetup chooses two
/// seconds on the machine that makes the keyslot.
pub(crate) const SLOT_COST: u64 = 60_000_000;
/// What all tries of one unlocking may cost together: five minutes.
pub(crate) const TOTAL_COST: u64 = 300_000_000;
/// Bytes that Argon2 may use: cryptsetup makes no keyslot with more (cryptsetup-luksFormat(8), `--pbkdf-memory`).
pub(crate) const MAX_MEMORY: u64 = 4 << 30;
/// Threads that Argon2 may want, likewise.
const MAX_LANES: u32 = 4;
/// Blocks of PBKDF2 with SHA-256 that a microsecond is enough for.
const BLOCKS: u64 = 6;

/// A derivation with its parameters. Salts are public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kdf {
    Pbkdf2 { hash: Hash, iterations: u32, salt: Vec<u8> },
    Argon2 { is_id: bool, passes: u32, kib: u32, lanes: u32, salt: Vec<u8> },
}

impl Kdf {
    /// About how many microseconds [`Kdf::derive`] takes for `len` bytes: PBKDF2 six blocks of SHA-256 each, Argon2 a KiB.
    pub(crate) fn cost(&self, len: usize) -> u64 {
        match self {
            Self::Pbkdf2 { hash, iterations, .. } => pbkdf2_cost(*hash, *iterations, len),
            Self::Argon2 { passes, kib, .. } => u64::from(*passes) * u64::from(*kib),
        }
    }

    /// For people: `argon2id, 1024 MiB`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Pbkdf2 { .. } => "pbkdf2".into(),
            Self::Argon2 { is_id, kib, .. } => {
                let name = if *is_id { "argon2id" } else { "argon2i" };
                let size = if *kib < 1024 { format!("{kib} KiB") } else { format!("{} MiB", kib / 1024) };
                format!("{name}, {size}")
            }
        }
    }

    /// What is wrong with the parameters, if anything: nothing that depends on the machine.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn check(&self, len: usize) -> Result<(), String> {
        if let Self::Argon2 { passes, kib, lanes, .. } = self
            && (u64::from(*kib) * 1024 > MAX_MEMORY || !(1..=MAX_LANES).contains(lanes) || *passes == 0)
        {
            return Err(format!(
                "its Argon2 wants {kib} KiB of memory, {passes} passes and {lanes} threads, at most {} KiB and {MAX_LANES} \
                     threads are possible",
                MAX_MEMORY >> 10
            ));
        }
        check_cost(self.cost(len))
    }

    /// Derives `len` bytes.
    ///
    /// # Errors
    /// `Limit` when the machine has too little memory; `Corrupt` for parameters that Argon2 does not have.
    pub(crate) fn derive(&self, passphrase: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>> {
        let mut key = Zeroizing::new(vec![0; len]);
        match self {
            Self::Pbkdf2 { hash, iterations, salt } => hash.stretch(passphrase, salt, *iterations, &mut key),
            Self::Argon2 { is_id, passes, kib, lanes, salt } => {
                let algorithm = if *is_id { Algorithm::Argon2id } else { Algorithm::Argon2i };
                let params = Params::new(*kib, *passes, *lanes, Some(len)).map_err(argon2_error)?;
                let mut blocks = blocks(params.block_count())?;
                let argon2 = Argon2::new(algorithm, Version::V0x13, params);
                let done = argon2.hash_password_into_with_memory(passphrase, salt, &mut key, &mut blocks[..]);
                blocks.iter_mut().for_each(Zeroize::zeroize);
                done.map_err(argon2_error)?;
            }
        }
        Ok(key)
    }
}

/// # Errors
/// A sentence when it is above [`SLOT_COST`].
pub(crate) fn check_cost(cost: u64) -> Result<(), String> {
    if cost <= SLOT_COST {
        return Ok(());
    }
    let (takes, limit) = (cost / 1_000_000, SLOT_COST / 1_000_000);
    Err(format!("its key derivation takes about {takes} seconds, the limit is {limit}"))
}

/// As [`Kdf::cost`], for PBKDF2.
pub(crate) fn pbkdf2_cost(hash: Hash, iterations: u32, len: usize) -> u64 {
    u64::from(iterations) * (len as u64).div_ceil(hash.len() as u64) * hash.weight() / BLOCKS
}

fn argon2_error(error: argon2::Error) -> Error {
    Error::corrupt(format!("Argon2 has no such parameters: {error}"))
}

/// Memory for Argon2, if the machine has it: an allocation that succeeds is no proof of that.
fn blocks(count: usize) -> Result<Vec<Block>> {
    let bytes = (count as u64).saturating_mul(size_of::<Block>() as u64);
    let lacking = |available: Option<u64>| {
        let has = available.map(|bytes| format!(", {} MiB are available", bytes >> 20)).unwrap_or_default();
        Error::new(ErrorKind::Limit, format!("its Argon2 needs {} MiB of memory{has}", bytes >> 20))
            .hint("run where there is more memory, or add a keyslot of type pbkdf2 in the guest (cryptsetup luksAddKey)")
    };
    let available = memory::available();
    if available.is_some_and(|available| bytes > available) {
        return Err(lacking(available));
    }
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(count).map_err(|_| lacking(available))?;
    blocks.resize(count, Block::default());
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argon2(passes: u32, kib: u32, lanes: u32) -> Kdf {
        Kdf::Argon2 { is_id: true, passes, kib, lanes, salt: vec![1; 32] }
    }

    fn pbkdf2(hash: Hash, iterations: u32) -> Kdf {
        Kdf::Pbkdf2 { hash, iterations, salt: vec![1; 32] }
    }

    #[test]
    fn what_takes_too_long_or_too_much_is_refused_before() {
        for good in [
            argon2(12, 1 << 20, 4),
            argon2(4, 32, 1),
            pbkdf2(Hash::Sha256, 20_000_000),
            pbkdf2(Hash::Sha512, 1000),
        ] {
            assert_eq!(good.check(64), Ok(()), "{good:?}");
        }
        for (bad, word) in [
            (argon2(1 << 31, 1 << 20, 1), "seconds"),
            (argon2(u32::MAX, u32::MAX, 1), "KiB"),
            (argon2(4, (4 << 20) + 1, 1), "KiB"),
            (argon2(4, 32, 5), "threads"),
            (argon2(4, 32, 0), "threads"),
            (argon2(0, 32, 1), "passes"),
            (pbkdf2(Hash::Sha512, u32::MAX), "seconds"),
        ] {
            assert!(bad.check(64).unwrap_err().contains(word), "{bad:?}");
        }
    }

    #[test]
    fn memory_that_is_not_there_is_not_taken() {
        let error = blocks(usize::MAX / 2048).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.to_string().contains("MiB are available"), "{error}");
    }

    #[test]
    fn parameters_that_argon2_does_not_have_are_refused() {
        assert!(argon2(1, 7, 1).derive(b"x", 32).is_err());
        let short = Kdf::Argon2 { is_id: false, passes: 1, kib: 8, lanes: 1, salt: vec![1; 3] };
        assert!(short.derive(b"x", 32).is_err());
    }
}
