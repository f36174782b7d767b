//! Units of sizes: the programmatic units of DSP0004, and the older words that VMware and VirtualBox wrote.

/// Bytes in one unit, or `None` for a unit that is not known here.
pub(super) fn bytes_in(unit: &str) -> Option<u64> {
    let plain: String =
        unit.chars().filter(|c| !c.is_whitespace()).take(40).collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "byte" | "bytes" => return Some(1),
        "kilobytes" | "kilobyte" | "kb" | "kib" => return Some(1 << 10),
        "megabytes" | "megabyte" | "mb" | "mib" => return Some(1 << 20),
        "gigabytes" | "gigabyte" | "gb" | "gib" => return Some(1 << 30),
        "terabytes" | "terabyte" | "tb" | "tib" => return Some(1 << 40),
        _ => {}
    }
    let factor = plain.strip_prefix("bytes*").or_else(|| plain.strip_prefix("byte*"))?;
    match factor.split_once('^') {
        None => factor.parse().ok(),
        Some((base, exponent)) => base.parse::<u64>().ok()?.checked_pow(exponent.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes_in;

    #[test]
    fn every_spelling_in_real_files_is_known() {
        for (unit, bytes) in [
            ("byte", Some(1)),
            ("byte * 2^30", Some(1 << 30)),
            ("byte*2^30", Some(1 << 30)),
            ("byte * 2 ^ 20", Some(1 << 20)),
            ("byte * 10^9", Some(1_000_000_000)),
            ("byte * 512", Some(512)),
            ("MegaBytes", Some(1 << 20)),
            ("hertz * 10^6", None),
            ("byte * 2^64", None),
            ("byte * 99^99", None),
            ("byte * -1", None),
            ("", None),
        ] {
            assert_eq!(bytes_in(unit), bytes, "{unit}");
        }
    }
}
