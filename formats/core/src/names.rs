//! What the names of files in a backup say about them: most of a backup is no disk.

/// Extensions of disk images, and of files that hold some.
const IMAGES: [&str; 21] = [
    "raw", "img", "dd", "qcow2", "qcow", "qed", "vmdk", "vhd", "vhdx", "avhd", "avhdx", "vdi", "hds", "hdd",
    "vma", "xva", "ova", "ptcl", "e01", "aff4", "mrimgx",
];
/// Extensions that compression adds.
const WRAPS: [&str; 7] = ["gz", "zst", "xz", "lz4", "bz2", "lzo", "zstd"];

/// Whether a file is called like a disk image, compressed or not.
#[must_use]
pub fn is_image_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = match lower.rsplit_once('.') {
        Some((stem, wrap)) if WRAPS.contains(&wrap) => stem,
        _ => &lower,
    };
    has_extension(stem, &IMAGES)
}

/// Whether a file is called like a disk of which it holds nothing but the bytes.
#[must_use]
pub fn is_raw_name(name: &str) -> bool {
    has_extension(name, &["raw", "img", "dd"]) || name.to_ascii_lowercase().ends_with("-flat.vmdk")
}

/// The name by which the image in a file is opened. The plain extent of a VMDK is called as if it were one, and is a raw disk.
#[must_use]
pub fn image_name(name: &str) -> String {
    match name.len().checked_sub(".vmdk".len()) {
        Some(stem)
            if is_raw_name(name)
                && name.is_char_boundary(stem)
                && name[stem..].eq_ignore_ascii_case(".vmdk") =>
        {
            format!("{}.raw", &name[..stem])
        }
        _ => name.to_owned(),
    }
}

/// Whether a name has one of these extensions, which are in lower case.
#[must_use]
pub fn has_extension(name: &str, extensions: &[&str]) -> bool {
    let (stem, extension) = name.rsplit_once('.').unwrap_or(("", ""));
    let extension = extension.to_ascii_lowercase();
    !stem.is_empty() && extensions.contains(&extension.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_names() {
        for name in ["a.raw", "A.QCOW2", "vzdump-qemu-100.vma.zst", "b.img.gz", "c-flat.vmdk"] {
            assert!(is_image_name(name), "{name}");
        }
        for name in ["raw", ".raw", "a.zst", "a.tar.gz", "movie.mp4", "a.raw.bak", ""] {
            assert!(!is_image_name(name), "{name}");
        }
        assert!(
            is_raw_name("a.RAW")
                && is_raw_name("c-flat.vmdk")
                && !is_raw_name("c.vmdk")
                && !is_raw_name("a.raw.gz")
        );
        assert_eq!(image_name("c-FLAT.vmdk"), "c-FLAT.raw");
        assert_eq!(image_name("c.vmdk"), "c.vmdk");
        assert_eq!(image_name("é"), "é");
    }
}
