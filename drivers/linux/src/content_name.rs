//! Names of what is on a disk, as opposed to names of hardware: tags, logical volumes and arrays.
//!
//! Facts: `LABEL=…` and its like (libblkid, fstab(5)); udev's links encode names by `\xNN`; lvm(8), "VALID NAMES"; mdadm(8), "DEVICE NAMES".

/// What a name is the name of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ContentName {
    Uuid(String),
    Label(String),
    PartUuid(String),
    PartLabel(String),
    /// The path of a logical volume.
    Logical(String),
    /// The path of an array.
    Array(String),
}

/// Takes a name apart; `None` for names of other things.
pub(crate) fn content_name(spec: &str) -> Option<ContentName> {
    let tag = |key: &str, folder: &str| {
        let plain = spec.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
        let plain = plain.map(|value| value.trim_matches(['"', '\'']).to_owned());
        plain.or_else(|| spec.strip_prefix(folder).map(decoded)).filter(|value| !value.trim().is_empty())
    };
    let tagged = tag("UUID", "/dev/disk/by-uuid/")
        .map(ContentName::Uuid)
        .or_else(|| tag("LABEL", "/dev/disk/by-label/").map(ContentName::Label))
        // `PARTUUID=…/PARTNROFF=1` is the kernel's.
        .or_else(|| {
            tag("PARTUUID", "/dev/disk/by-partuuid/")
                .filter(|uuid| !uuid.contains('/'))
                .map(ContentName::PartUuid)
        })
        .or_else(|| tag("PARTLABEL", "/dev/disk/by-partlabel/").map(ContentName::PartLabel));
    tagged
        .or_else(|| is_logical(spec).then(|| ContentName::Logical(spec.to_owned())))
        .or_else(|| is_array(spec).then(|| ContentName::Array(spec.to_owned())))
}

/// `\x20` of udev's links is a blank.
fn decoded(link: &str) -> String {
    let mut bytes = Vec::with_capacity(link.len());
    let mut rest = link;
    while let Some(next) = rest.chars().next() {
        let code = rest.strip_prefix("\\x").and_then(|rest| u8::from_str_radix(rest.get(..2)?, 16).ok());
        let taken = if code.is_some() { 4 } else { next.len_utf8() };
        match code {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(rest.get(..taken).unwrap_or_default().as_bytes()),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `/dev/VG/LV`, `/dev/mapper/VG-LV`. Other devices have names of that form too; those of partitions, multipath and live systems
/// are told by theirs.
fn is_logical(spec: &str) -> bool {
    const FOLDERS: [&str; 31] = [
        "ataraid",
        "bcache",
        "block",
        "bsg",
        "bus",
        "cciss",
        "char",
        "cpu",
        "disk",
        "dm",
        "dri",
        "drbd",
        "etherd",
        "evms",
        "fd",
        "i2o",
        "ida",
        "input",
        "loop",
        "mapper",
        "md",
        "mqueue",
        "net",
        "oracleoci",
        "pts",
        "raw",
        "rd",
        "shm",
        "snd",
        "vx",
        "zvol",
    ];
    let plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+'))
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+_.-".contains(&b))
    };
    let mapped = spec.strip_prefix("/dev/mapper/").or_else(|| spec.strip_prefix("/dev/disk/by-id/dm-name-"));
    if let Some(name) = mapped {
        let single = name.replace("--", "").matches('-').count() == 1;
        let part = name.rsplit('-').next().unwrap_or_default();
        let is_part = part.strip_prefix("part").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let other = ["live-", "mpath", "luks-", "isw_", "ddf1_"].iter().any(|start| name.starts_with(start));
        return single && !is_part && !other && plain(name) && !name.ends_with('-');
    }
    match spec.strip_prefix("/dev/").and_then(|rest| rest.split_once('/')) {
        Some((group, volume)) => plain(group) && plain(volume) && !FOLDERS.contains(&group),
        None => false,
    }
}

/// `/dev/md0`, `/dev/md/data`, `/dev/disk/by-id/md-uuid-…`; not the partitions of one.
fn is_array(spec: &str) -> bool {
    let name = spec.strip_prefix("/dev/md/").or_else(|| spec.strip_prefix("/dev/disk/by-id/md-name-"));
    let uuid = spec.strip_prefix("/dev/disk/by-id/md-uuid-");
    let last = spec.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_part = last.ends_with('p')
        && last != spec
        && last.trim_end_matches('p').ends_with(|c: char| c.is_ascii_digit());
    let named =
        name.or(uuid).is_some_and(|name| !name.is_empty() && !name.contains('/') && !name.contains("-part"));
    (named && !is_part) || number_of_array(spec).is_some()
}

/// The number in `/dev/md0` and `/dev/md/0`.
pub(crate) fn number_of_array(spec: &str) -> Option<u32> {
    spec.strip_prefix("/dev/md/").or_else(|| spec.strip_prefix("/dev/md"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_content_are_told_from_others() {
        let text = |text: &str| text.to_owned();
        for (spec, expected) in [
            ("UUID=\"a\"", ContentName::Uuid(text("a"))),
            ("LABEL=my data", ContentName::Label(text("my data"))),
            ("/dev/disk/by-label/my\\x20d\\xc3\\xa4", ContentName::Label(text("my d\u{e4}"))),
            ("/dev/disk/by-label/\\x2", ContentName::Label(text("\\x2"))),
            ("PARTUUID=a-01", ContentName::PartUuid(text("a-01"))),
            ("/dev/disk/by-partlabel/data", ContentName::PartLabel(text("data"))),
            ("/dev/mapper/my--vg-data", ContentName::Logical(text("/dev/mapper/my--vg-data"))),
            ("/dev/vg/data", ContentName::Logical(text("/dev/vg/data"))),
            ("/dev/disk/by-id/dm-name-vg-a", ContentName::Logical(text("/dev/disk/by-id/dm-name-vg-a"))),
            ("/dev/md127", ContentName::Array(text("/dev/md127"))),
            ("/dev/md/host:data", ContentName::Array(text("/dev/md/host:data"))),
            ("/dev/disk/by-id/md-uuid-1:2:3:4", ContentName::Array(text("/dev/disk/by-id/md-uuid-1:2:3:4"))),
        ] {
            assert_eq!(content_name(spec), Some(expected), "{spec}");
        }
        for spec in [
            "LABEL=",
            "PARTUUID=a/PARTNROFF=1",
            "/dev/mapper/control",
            "/dev/mapper/cryptswap1",
            "/dev/mapper/mpatha-part1",
            "/dev/mapper/3600508b-part2",
            "/dev/mapper/live-rw",
            "/dev/mapper/a-b-c",
            "/dev/mapper/luks-1-2",
            "/dev/loop0",
            "/dev/zvol/pool",
            "/dev/bcache/x",
            "/dev/etherd/e0.0",
            "/dev/md0p1",
            "/dev/md/0p1",
            "/dev/md_d0",
            "/dev/a/b/c",
            "tmpfs",
            "nas:/x",
            "//nas/share",
            "/srv/data",
            "/dev/../x",
            "",
        ] {
            assert_eq!(content_name(spec), None, "{spec}");
        }
    }
}
