//! What the names of files in the folder mean: which content, of what, compressed how, and which piece of it.

use crate::error::ClonezillaError;
use std::collections::BTreeMap;

/// The content of a partition or logical volume, in one file or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) kind: Kind,
    /// As the file's name has it.
    pub(crate) file_system: String,
    /// What stands in the name for the compression; empty where nothing does.
    pub(crate) compression: String,
    /// Its name without compression and number of the piece.
    pub(crate) stem: String,
    /// Names, each with its length, in order.
    pub(crate) pieces: Vec<(String, u64)>,
}

/// What a content was saved with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Partclone,
    /// All bytes as they are.
    Raw,
    Ntfsclone,
    /// Pieces that only the partition's name stands before: partimage, from the time before partclone.
    Old,
}

/// What compressions are called in names, and a program for those that are not known here.
const COMPRESSIONS: [(&str, Option<&str>); 12] = [
    ("gz", None),
    ("bz2", None),
    ("lzo", None),
    ("xz", None),
    ("lz4", None),
    ("zst", None),
    ("zstd", None),
    ("uncomp", None),
    ("lzma", Some("xz --format=lzma")),
    ("lzip", Some("lzip")),
    ("lz", Some("lzip")),
    ("lrz", Some("lrzip")),
];

/// All contents in a folder with these files, by the name of the partition or volume.
pub(crate) fn contents<'a>(files: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<String, Saved> {
    let mut found = BTreeMap::<String, Saved>::new();
    for (name, len) in files {
        let Some((subject, one)) = parse(name, len) else { continue };
        match found.get_mut(&subject) {
            Some(saved) if saved.stem == one.stem && saved.compression == one.compression => {
                saved.pieces.extend(one.pieces);
            }
            // What was unpacked by hand beside the packed file.
            Some(saved) if one.compression == "uncomp" || saved.kind == Kind::Old => *saved = one,
            Some(_) => {}
            None => {
                found.insert(subject, one);
            }
        }
    }
    for saved in found.values_mut() {
        saved.pieces.sort_by(|a, b| (a.0.len(), &a.0).cmp(&(b.0.len(), &b.0)));
    }
    found
}

fn parse(name: &str, len: u64) -> Option<(String, Saved)> {
    let (stem, rest, kind) = ["-ptcl-img", ".dd-img", ".ntfs-img"]
        .into_iter()
        .zip([Kind::Partclone, Kind::Raw, Kind::Ntfsclone])
        .find_map(|(mark, kind)| {
            let end = name.rfind(mark)?.checked_add(mark.len())?;
            let (stem, rest) = name.split_at(end);
            (rest.is_empty() || rest.starts_with('.')).then_some((stem, rest, kind))
        })
        .or_else(|| {
            let (stem, piece) = name.rsplit_once('.')?;
            is_first_of_old(piece).then_some((stem, &name[stem.len()..], Kind::Old))
        })?;
    let (compression, piece) = tail(rest, kind)?;
    let (subject, file_system) = match kind {
        Kind::Old => (stem, ""),
        Kind::Raw | Kind::Ntfsclone => stem.rsplit_once('.')?,
        Kind::Partclone => stem.strip_suffix("-ptcl-img")?.rsplit_once('.')?,
    };
    // partclone.dd saves all bytes as they are; an image of partclone.imager tells so itself.
    let saved = Saved {
        kind,
        file_system: if kind == Kind::Ntfsclone { "ntfs" } else { file_system }.replace("dd-img", "dd"),
        compression: compression.to_owned(),
        stem: stem.to_owned(),
        pieces: vec![(name.to_owned(), len)],
    };
    (piece.is_none_or(is_piece) && !subject.is_empty()).then(|| (subject.to_owned(), saved))
}

/// Compression and piece of what follows the stem.
fn tail(rest: &str, kind: Kind) -> Option<(&str, Option<&str>)> {
    let mut parts = rest.split('.').skip(1);
    let first = parts.next();
    let known = first.filter(|first| kind != Kind::Old && COMPRESSIONS.iter().any(|(name, _)| name == first));
    let piece = if known.is_some() { parts.next() } else { first };
    parts.next().is_none().then_some((known.unwrap_or_default(), piece))
}

fn is_piece(text: &str) -> bool {
    (2..=4).contains(&text.len())
        && (text.bytes().all(|byte| byte.is_ascii_lowercase())
            || text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_first_of_old(piece: &str) -> bool {
    is_piece(piece) && piece.bytes().all(|byte| byte == b'a' || byte == b'0')
}

impl Saved {
    /// The first piece that is missing between others, or whose length cannot be.
    pub(crate) fn fault(&self) -> Option<ClonezillaError> {
        let mut expected = None::<String>;
        for (name, _) in &self.pieces {
            let (front, piece) = name.rsplit_once('.')?;
            if !is_piece(piece) || (self.pieces.len() == 1 && self.compression == piece) {
                return None;
            }
            let first = piece.chars().map(|digit| if digit.is_ascii_digit() { '0' } else { 'a' }).collect();
            let wanted = expected.unwrap_or(first);
            if wanted != piece {
                return Some(ClonezillaError::Missing { name: format!("{front}.{wanted}") });
            }
            expected = Some(successor(piece));
        }
        let (_, wanted) = self.pieces.first()?;
        let (last, before) = self.pieces.split_last()?;
        let odd = before.iter().find(|(_, len)| len != wanted);
        let odd = odd.or(Some(last).filter(|(_, len)| len > wanted));
        odd.map(|(name, len)| ClonezillaError::PieceSize { file: name.clone(), found: *len, wanted: *wanted })
    }

    /// The program for a compression that is not known here.
    pub(crate) fn foreign_tool(&self) -> Option<&'static str> {
        COMPRESSIONS.iter().find(|(name, _)| *name == self.compression).and_then(|(_, tool)| *tool)
    }

    /// The first file.
    pub(crate) fn file(&self) -> &str {
        self.pieces.first().map_or(self.stem.as_str(), |(name, _)| name)
    }

    /// Bytes of all files.
    pub(crate) fn len(&self) -> u64 {
        self.pieces.iter().fold(0, |sum, (_, len)| sum.saturating_add(*len))
    }
}

/// The piece that follows, as split counts: ab, ac … az, ba.
fn successor(piece: &str) -> String {
    let mut letters: Vec<u8> = piece.bytes().collect();
    for letter in letters.iter_mut().rev() {
        match *letter {
            b'z' => *letter = b'a',
            b'9' => *letter = b'0',
            other => {
                *letter = other.saturating_add(1);
                break;
            }
        }
    }
    String::from_utf8_lossy(&letters).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(names: &[&str]) -> BTreeMap<String, Saved> {
        contents(names.iter().map(|name| (*name, 10)))
    }

    #[test]
    fn names_tell_partition_kind_compression_and_piece() {
        for (name, subject, kind, file_system, compression) in [
            ("sda1.ext4-ptcl-img.gz.aa", "sda1", Kind::Partclone, "ext4", "gz"),
            ("sda1.ext4-ptcl-img.gz", "sda1", Kind::Partclone, "ext4", "gz"),
            ("nvme0n1p2.vfat-ptcl-img.zst.aaa", "nvme0n1p2", Kind::Partclone, "vfat", "zst"),
            ("vg-a.b.xfs-ptcl-img.uncomp", "vg-a.b", Kind::Partclone, "xfs", "uncomp"),
            ("sda2.ntfs-img.aa", "sda2", Kind::Ntfsclone, "ntfs", ""),
            ("sda3.dd-img.aa", "sda3", Kind::Raw, "dd", ""),
            ("sda3.dd-img.xz", "sda3", Kind::Raw, "dd", "xz"),
            ("sda4.dd-ptcl-img.lzma.ab", "sda4", Kind::Partclone, "dd", "lzma"),
            ("sda5.000", "sda5", Kind::Old, "", ""),
            ("hda1.aa", "hda1", Kind::Old, "", ""),
        ] {
            let found = one(&[name]);
            let saved = found.get(subject).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((saved.kind, saved.file_system.as_str()), (kind, file_system), "{name}");
            assert_eq!(saved.compression, compression, "{name}");
        }
        for name in
            ["sda-pt.sf", "parts", "sda1.ext4-ptcl-img.gz.aa.bak", "sda-mbr", "Info-img-id.txt", ".dd-img.aa"]
        {
            assert!(one(&[name]).is_empty(), "{name}");
        }
    }

    #[test]
    fn missing_pieces_are_named() {
        let fault = |names: &[&str]| one(names).into_values().next().unwrap().fault().map(|e| e.to_string());
        assert_eq!(fault(&["a1.x-ptcl-img.gz.aa", "a1.x-ptcl-img.gz.ab"]), None);
        assert_eq!(fault(&["a1.x-ptcl-img.gz"]), None);
        assert_eq!(
            fault(&["a1.x-ptcl-img.gz.aa", "a1.x-ptcl-img.gz.ac"]).unwrap(),
            "a1.x-ptcl-img.gz.ab is missing"
        );
        assert_eq!(fault(&["a1.dd-img.ab"]).unwrap(), "a1.dd-img.aa is missing");
        assert_eq!(successor("az"), "ba");
        assert_eq!(successor("azz"), "baa");
        assert_eq!(successor("009"), "010");
        let sizes = contents([("a.dd-img.aa", 9), ("a.dd-img.ab", 8), ("a.dd-img.ac", 9)].into_iter());
        assert!(sizes["a"].fault().unwrap().to_string().contains("a.dd-img.ab has 0x8 bytes"));
    }

    #[test]
    fn what_was_unpacked_by_hand_goes_before() {
        let found = one(&["a1.x-ptcl-img.lzma.aa", "a1.x-ptcl-img.uncomp"]);
        assert_eq!(found["a1"].compression, "uncomp");
        assert_eq!(one(&["a1.x-ptcl-img.lrz"])["a1"].foreign_tool(), Some("lrzip"));
    }
}
