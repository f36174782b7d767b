//! The partitions of a disk, as sfdisk and parted wrote them down.

use crate::error::ClonezillaError;

/// Tables with more partitions than this are refused: GPT has 128.
const MAX_PARTS: usize = 1024;

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Bytes of a sector.
    pub(crate) sector: u64,
    /// Size of the disk in bytes, where it is told.
    pub(crate) size: Option<u64>,
    pub(crate) is_gpt: bool,
    pub(crate) parts: Vec<Part>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// As the kernel calls it, without /dev.
    pub(crate) name: String,
    pub(crate) number: u32,
    /// In bytes of the disk.
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// Type of an MBR partition.
    pub(crate) id: u8,
}

impl Part {
    pub(crate) fn is_extended(&self) -> bool {
        matches!(self.id, 0x05 | 0x0f | 0x85)
    }

    pub(crate) fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// What the kernel calls partition `number` of `disk`.
pub(crate) fn part_name(disk: &str, number: u32) -> String {
    let separator = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{separator}{number}")
}

/// A partition from its numbers in sectors.
pub(crate) fn part(
    file: &str,
    disk: &str,
    number: u32,
    (start, count, sector): (u64, u64, u64),
    id: u8,
) -> Result<Part, ClonezillaError> {
    let name = part_name(disk, number);
    let bytes = |sectors: u64| sectors.checked_mul(sector);
    let end = start.checked_add(count).and_then(bytes).filter(|end| i64::try_from(*end).is_ok());
    match (end, bytes(start), bytes(count)) {
        (Some(_), Some(start), Some(len)) => Ok(Part { name, number, start, len, id }),
        _ => Err(ClonezillaError::Size { file: file.into(), part: name, start, count }),
    }
}

/// The number of the partition that the kernel calls `name` on `disk`.
fn number_of(name: &str, disk: &str) -> Option<u32> {
    let rest = name.trim_start_matches("/dev/").strip_prefix(disk)?;
    rest.strip_prefix('p').unwrap_or(rest).parse().ok()
}

/// Reads the output of `sfdisk -d`, of any version; old ones do not tell the bytes of a sector, which are `sector_size` then.
pub(crate) fn parse_sfdisk(
    file: &str,
    disk: &str,
    text: &str,
    sector_size: u64,
) -> Result<Table, ClonezillaError> {
    let mut table = Table { sector: sector_size, size: None, is_gpt: false, parts: Vec::new() };
    for (number, line) in text.lines().enumerate() {
        let bad = || ClonezillaError::Line { file: file.into(), line: number + 1, text: line.into() };
        let Some((key, value)) = line.split_once(':').map(|(key, value)| (key.trim(), value.trim())) else {
            continue;
        };
        match key {
            "sector-size" => table.sector = sector(value).ok_or_else(bad)?,
            "label" => table.is_gpt = value == "gpt",
            _ => {}
        }
        let Some(number) = key.starts_with("/dev/").then(|| number_of(key, disk)) else { continue };
        let field = |wanted: &str| {
            value.split(',').find_map(|field| {
                let (key, value) = field.split_once('=')?;
                (key.trim() == wanted).then(|| value.trim())
            })
        };
        let sectors = |wanted: &str| field(wanted).and_then(|value| value.parse::<u64>().ok());
        let (start, count) = sectors("start").zip(sectors("size")).ok_or_else(bad)?;
        let id = field("type").or_else(|| field("Id")).and_then(|id| u8::from_str_radix(id, 16).ok());
        if count > 0 {
            let number = number.ok_or_else(bad)?;
            table.parts.push(part(file, disk, number, (start, count, table.sector), id.unwrap_or(0))?);
        }
        if table.parts.len() > MAX_PARTS {
            return Err(bad());
        }
    }
    Ok(table)
}

/// Reads the output of `parted unit s print`.
pub(crate) fn parse_parted(file: &str, disk: &str, text: &str) -> Result<Table, ClonezillaError> {
    let mut table = Table { sector: 512, size: None, is_gpt: false, parts: Vec::new() };
    let (mut size, mut has_kind, mut has_sector) = (None, false, false);
    for (number, line) in text.lines().enumerate() {
        let bad = || ClonezillaError::Line { file: file.into(), line: number + 1, text: line.into() };
        let sectors = |text: &str| text.strip_suffix('s').and_then(|number| number.parse::<u64>().ok());
        if let Some((key, value)) = line.split_once(':') {
            let value = value.trim();
            match key.trim() {
                "Partition Table" => (table.is_gpt, has_kind) = (value == "gpt", true),
                key if key.starts_with("Sector size") => {
                    let logical = value.split('B').next().and_then(sector);
                    table.sector = logical.ok_or_else(bad)?;
                    has_sector = true;
                }
                key if key.starts_with("Disk /") => size = sectors(value),
                _ => {}
            }
            continue;
        }
        let mut words = line.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u32>().ok()) else { continue };
        let (Some(start), Some(_), Some(count)) =
            (words.next().and_then(sectors), words.next(), words.next().and_then(sectors))
        else {
            return Err(bad());
        };
        let id = if words.next() == Some("extended") { 5 } else { 0 };
        table.parts.push(part(file, disk, number, (start, count, table.sector), id)?);
        if table.parts.len() > MAX_PARTS {
            return Err(bad());
        }
    }
    if size.is_none() || !has_kind || !has_sector {
        let what =
            "it does not tell the disk's size, the bytes of a sector and the kind of table, as parted does";
        return Err(ClonezillaError::Table { file: file.into(), what });
    }
    table.size =
        size.and_then(|size| size.checked_mul(table.sector)).filter(|size| i64::try_from(*size).is_ok());
    Ok(table)
}

/// Reads the size in bytes out of `cylinders=`, `heads=`, `sectors=`.
pub(crate) fn parse_chs(text: &str) -> Option<u64> {
    let number = |key: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('=')?.trim().parse::<u64>().ok())
    };
    number("cylinders")?.checked_mul(number("heads")?)?.checked_mul(number("sectors")?)?.checked_mul(512)
}

fn sector(text: &str) -> Option<u64> {
    text.parse().ok().filter(|size: &u64| matches!(size, 512 | 1024 | 2048 | 4096))
}

impl Table {
    /// Sorts the partitions and refuses those that lie over each other; logical ones lie in the extended one.
    pub(crate) fn checked(mut self) -> Result<Self, ClonezillaError> {
        self.parts.sort_by_key(|part| part.number);
        let mut plain: Vec<&Part> = self.parts.iter().filter(|part| !part.is_extended()).collect();
        plain.sort_by_key(|part| part.start);
        for two in plain.windows(2) {
            if let [first, second] = two
                && first.end() > second.start
            {
                return Err(ClonezillaError::Overlap {
                    first: first.name.clone(),
                    second: second.name.clone(),
                    end: first.end(),
                    start: second.start,
                });
            }
        }
        Ok(self)
    }

    /// Where the last partition ends, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.parts.iter().map(Part::end).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_all_ages_are_read() {
        let old = "# partition table of /dev/sda\nunit: sectors\n\n/dev/sda1 : start=       63, size= 208782, Id=83, bootable\n\
                   /dev/sda2 : start=   208845, size= 800000, Id= 5\n/dev/sda3 : start=        0, size=        0, Id= 0\n\
                   /dev/sda5 : start=   208908, size= 100, Id=82\n";
        let table = parse_sfdisk("sda-pt.sf", "sda", old, 512).unwrap().checked().unwrap();
        let found: Vec<_> =
            table.parts.iter().map(|part| (part.name.as_str(), part.start, part.len, part.id)).collect();
        let b = |sectors: u64| sectors * 512;
        let expected = [
            ("sda1", b(63), b(208_782), 0x83),
            ("sda2", b(208_845), b(800_000), 5),
            ("sda5", b(208_908), b(100), 0x82),
        ];
        assert_eq!(found, expected);
        let new = "label: gpt\nsector-size: 4096\n\n/dev/nvme0n1p3 : start= 256, size= 10, type=0FC63DAF, name=\"a, size=7\"\n";
        let table = parse_sfdisk("x", "nvme0n1", new, 512).unwrap();
        assert_eq!(
            (table.parts[0].name.as_str(), table.parts[0].start, table.parts[0].len),
            ("nvme0n1p3", 1 << 20, 40960)
        );
        let parted = "Model: x\nDisk /dev/sda: 1000s\nSector size (logical/physical): 512B/4096B\nPartition Table: msdos\n\n\
                      Number  Start  End  Size  Type  File system\n 1  34s  133s  100s  primary  ext4\n 2 200s 899s 700s extended\n";
        let table = parse_parted("x", "sda", parted).unwrap();
        assert_eq!((table.size, table.parts.len(), table.parts[1].is_extended()), (Some(512_000), 2, true));
        assert_eq!(parse_chs("cylinders=10\nheads=255\nsectors=63\n"), Some(10 * 255 * 63 * 512));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["/dev/sda1 : start=x, size=1\n", "/dev/sdb1 : start=1, size=1\n", "sector-size: 7\n"] {
            assert!(parse_sfdisk("f", "sda", text, 512).is_err(), "{text}");
        }
        let huge = format!("/dev/sda1 : start={}, size=1\n", u64::MAX);
        assert!(matches!(parse_sfdisk("f", "sda", &huge, 512), Err(ClonezillaError::Size { .. })));
        let over = "/dev/sda1 : start=1, size=10\n/dev/sda2 : start=10, size=10\n";
        assert!(matches!(
            parse_sfdisk("f", "sda", over, 512).unwrap().checked(),
            Err(ClonezillaError::Overlap { .. })
        ));
        assert!(parse_parted("f", "sda", " 1 x y z\n").is_err());
    }
}
