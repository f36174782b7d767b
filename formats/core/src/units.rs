//! Sizes and offsets: constants, checked alignment, and the sizes people type and read.

use crate::{Error, Result};

/// 2^10 bytes.
pub const KIB: u64 = 1 << 10;
/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;
/// 2^40 bytes.
pub const TIB: u64 = 1 << 40;
/// The sector that image formats count in, 512 bytes.
pub const SECTOR: u64 = 512;

/// Rounds `value` up to a multiple of `step`; `None` when that does not fit or `step` is 0.
#[must_use]
pub fn align_up(value: u64, step: u64) -> Option<u64> {
    value.checked_next_multiple_of(step)
}

/// Rounds `value` down to a multiple of `step` (`step` 0 leaves it alone).
#[must_use]
pub fn align_down(value: u64, step: u64) -> u64 {
    value - value.checked_rem(step).unwrap_or(0)
}

/// Reads a size as people type it: `4096`, `64k`, `2M`, `1.5G`; suffixes are powers of 1024 as in qemu-img.
///
/// # Errors
/// `Usage` when it is no number, has an unknown suffix, or does not fit 64 bits.
pub fn parse_size(text: &str) -> Result<u64> {
    let text = text.trim();
    let bad = || {
        Error::usage(format!("'{text}' is not a size"))
            .hint("write bytes or a suffix: 4096, 64K, 2M, 10G, 1T")
    };
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let shift = match suffix.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        "e" => 60,
        _ => return Err(bad()),
    };
    if let Some((whole, fraction)) = number.split_once('.') {
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let fraction: f64 = format!("0.{fraction}").parse().map_err(|_| bad())?;
        let unit = 1u64.checked_shl(shift).ok_or_else(bad)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let part = (fraction * unit as f64) as u64;
        return whole.checked_mul(unit).and_then(|w| w.checked_add(part)).ok_or_else(bad);
    }
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(1u64 << shift).ok_or_else(bad)
}

/// Prints a size for people: `512 B`, `1.5 GiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 6] =
        [("EiB", 1 << 60), ("PiB", 1 << 50), ("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
    for (name, unit) in UNITS {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                tenth => format!("{}.{tenth} {name}", tenths / 10),
            };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_qemu_img() {
        for (text, bytes) in
            [("4096", 4096), ("64k", 65536), ("2M", 2 * MIB), ("1.5G", 1536 * MIB), ("1TiB", TIB)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "x", "12Q", "99999999999E", "-1", "1..5G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_short() {
        for (bytes, text) in
            [(0, "0 B"), (511, "511 B"), (1536, "1.5 KiB"), (2 * GIB, "2 GiB"), (u64::MAX, "15.9 EiB")]
        {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn alignment_never_wraps() {
        assert_eq!(align_up(1, 512), Some(512));
        assert_eq!(align_up(u64::MAX, 512), None);
        assert_eq!(align_up(5, 0), None);
        assert_eq!(align_down(1023, 512), 512);
    }
}
