//! Segment types that are not mapped: what they are, and how the guest gets rid of them (lvmraid(7), lvmthin(7),
//! lvmcache(7), lvmvdo(7), lvconvert(8)).

/// Type without flags, what such a volume is, the command that makes it a plain one.
const LAYOUTS: &[(&str, &str, &str)] = &[
    ("thin", "a thin volume", COPY),
    ("thin-pool", "a thin pool", "move its thin volumes to plain ones"),
    ("cache", "a cached volume", "lvconvert --uncache"),
    ("cache-pool", "a cache pool", "lvconvert --uncache of the volume that uses it"),
    ("writecache", "a volume with a write cache", "lvconvert --uncache"),
    ("integrity", "a volume with integrity data", "lvconvert --raidintegrity n"),
    ("vdo", "a deduplicated (VDO) volume", COPY),
    ("vdo-pool", "a VDO pool", "move its volumes to plain ones"),
    ("raid0", "an LVM RAID volume", "lvconvert --type striped"),
    ("raid0_meta", "an LVM RAID volume", "lvconvert --type striped"),
    ("raid1", "an LVM RAID volume", "lvconvert -m 0"),
    ("mirror", "a mirrored volume", "lvconvert -m 0"),
    ("snapshot", "a snapshot", "lvremove it, or lvconvert --merge"),
    ("error", "a volume of which parts are lost", "restore it from a backup"),
    ("zero", "a volume of zeros", "lvremove"),
];

const COPY: &str = "copy its content to a linear volume";

/// Why a segment of type `kind` is not mapped, and the next step.
pub(crate) fn obstacle(kind: &str) -> String {
    // Newer LVM appends flags (`cache+METADATA_FORMAT`).
    let plain = kind.split('+').next().unwrap_or(kind);
    let found = LAYOUTS.iter().find(|(name, ..)| *name == plain);
    let (what, step) = match found {
        Some((_, what, step)) => (*what, *step),
        _ if plain.starts_with("raid") => ("an LVM RAID volume", COPY),
        _ => ("of a type that is not known here", COPY),
    };
    format!(
        "it is {what} (segment type {kind}), which is not mapped here; in the guest before exporting: {step}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name_and_a_next_step() {
        for (kind, what, step) in [
            ("thin", "a thin volume", "copy"),
            ("cache+METADATA_FORMAT", "a cached volume", "--uncache"),
            ("raid6_zr", "an LVM RAID volume", "copy"),
            ("raid1", "an LVM RAID volume", "lvconvert -m 0"),
            ("striped+NEW", "not known", "copy"),
            ("", "not known", "copy"),
        ] {
            let text = obstacle(kind);
            assert!(text.contains(what) && text.contains(step) && text.contains(kind), "{kind}: {text}");
        }
    }
}
