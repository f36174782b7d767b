//! Whether a package carries signatures. Facts only: whether Windows trusts them is for Windows to say.
//!
//! 64-bit Windows since Vista refuses boot-start drivers without a signature; the loader knows embedded ones and
//! those of catalogs that are installed. Source: "Driver Signing" of Microsoft's driver documentation; "PE Format" for
//! the certificate table.

use driver_core::DriverPackage;

/// What a package carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// The catalog that the INF names is there.
    pub has_catalog: bool,
    /// Every service's binary has a certificate table; `false` for a package without services.
    pub is_embedded: bool,
}

/// Looks for the catalog and for embedded signatures.
#[must_use]
pub fn signatures(package: &DriverPackage) -> Signatures {
    let catalog = package.catalog.as_deref().and_then(|name| package.file(name));
    let is_embedded = |service: &driver_core::DriverService| {
        package.file(&service.binary).is_some_and(|file| is_embedded_signed(&file.content))
    };
    Signatures {
        has_catalog: catalog.is_some_and(|file| !file.content.is_empty()),
        is_embedded: !package.services.is_empty() && package.services.iter().all(is_embedded),
    }
}

/// Whether the package carries any signature: a catalog, or one in every binary.
#[must_use]
pub fn is_signed(package: &DriverPackage) -> bool {
    let signatures = signatures(package);
    signatures.has_catalog || signatures.is_embedded
}

/// Whether a PE file has a certificate table that lies within it.
#[must_use]
pub fn is_embedded_signed(file: &[u8]) -> bool {
    let certificates = certificates(file);
    certificates.is_some_and(|(offset, size)| {
        let end = u64::from(offset) + u64::from(size);
        offset != 0 && size != 0 && end <= file.len() as u64
    })
}

/// File offset and size of the certificate table, the fifth data directory.
fn certificates(file: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| file.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let header = usize::try_from(number(0x3c)?).ok()?;
    if !file.starts_with(b"MZ") || file.get(header..)?.first_chunk() != Some(b"PE\0\0") {
        return None;
    }
    let optional = header.checked_add(24)?;
    let directories = match file.get(optional..)?.first_chunk()? {
        [0x0b, 0x01] => optional.checked_add(96)?,
        [0x0b, 0x02] => optional.checked_add(112)?,
        _ => return None,
    };
    let count = number(directories.checked_sub(4)?)?;
    let entry = directories.checked_add(4 * 8)?;
    (count > 4).then_some((number(entry)?, number(entry.checked_add(4)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The headers of a PE file of 1024 bytes.
    fn pe(magic: u16, count: u32, table: (u32, u32)) -> Vec<u8> {
        let mut file = vec![0; 1024];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        let directories = 0x80 + 24 + if magic == 0x10b { 96 } else { 112 };
        put(0, b"MZ");
        put(0x3c, &0x80_u32.to_le_bytes());
        put(0x80, b"PE\0\0");
        put(0x80 + 24, &magic.to_le_bytes());
        put(directories - 4, &count.to_le_bytes());
        put(directories + 32, &table.0.to_le_bytes());
        put(directories + 36, &table.1.to_le_bytes());
        file
    }

    #[test]
    fn the_certificate_table_is_found_in_both_kinds() {
        assert!(is_embedded_signed(&pe(0x20b, 16, (768, 256))));
        assert!(is_embedded_signed(&pe(0x10b, 16, (768, 256))));
        for unsigned in [
            pe(0x20b, 16, (0, 0)),
            pe(0x20b, 4, (768, 256)),
            pe(0x20b, 16, (768, 257)),
            pe(0x20b, 16, (u32::MAX, u32::MAX)),
            pe(0x107, 16, (768, 256)),
            b"MZ".to_vec(),
            Vec::new(),
        ] {
            assert!(!is_embedded_signed(&unsigned));
        }
        let whole = pe(0x20b, 16, (200, 8));
        assert!((0..200).all(|len| !is_embedded_signed(&whole[..len])));
    }
}
