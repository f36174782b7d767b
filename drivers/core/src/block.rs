//! Numbers out of a block or sector, zero where it is too short. Callers check lengths where it matters.

/// `N` bytes at `at`.
#[must_use]
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// The byte at `at`.
#[must_use]
pub fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

macro_rules! numbers {
    ($($name:ident $kind:ident $from:ident $order:literal,)*) => {
        $(
            #[doc = concat!("The ", $order, "-endian number at `at`.")]
            #[must_use]
            pub fn $name(bytes: &[u8], at: usize) -> $kind {
                $kind::$from(array(bytes, at))
            }
        )*
    };
}

numbers! {
    le16 u16 from_le_bytes "little",
    le32 u32 from_le_bytes "little",
    be16 u16 from_be_bytes "big",
    be32 u32 from_be_bytes "big",
    be64 u64 from_be_bytes "big",
}

/// Writes `value` at `at`, if it fits.
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
        place.copy_from_slice(value);
    }
}
