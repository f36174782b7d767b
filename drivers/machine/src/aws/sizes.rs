//! Processors and memory of well-known EC2 instance types, for when `describe-instance-types` was not saved.
//!
//! Source: Amazon EC2 Instance Types guide, tables of instance type specifications. Within a family the memory grows
//! with the size, so one number per family is enough; the exceptions are listed by name.

/// What an instance type consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub vcpus: u32,
    pub memory_mib: u64,
}

/// Families whose memory is linear in the size, with the MiB of their `xlarge` (4 vCPUs).
const FAMILIES: &[(u64, &[&str])] = &[
    (7_680, &["c3", "c4"]),
    (
        8_192,
        &[
            "c5", "c5a", "c5ad", "c5d", "c6a", "c6g", "c6gd", "c6gn", "c6i", "c6id", "c6in", "c7a", "c7g",
            "c7gd", "c7gn", "c7i", "c7i-flex", "c8g",
        ],
    ),
    (10_752, &["c5n"]),
    (15_360, &["m3"]),
    (
        16_384,
        &[
            "g4dn", "g5", "h1", "m4", "m5", "m5a", "m5ad", "m5d", "m5dn", "m5n", "m5zn", "m6a", "m6g",
            "m6gd", "m6i", "m6id", "m6idn", "m6in", "m7a", "m7g", "m7gd", "m7i", "m7i-flex", "m8g",
        ],
    ),
    (31_232, &["d2", "i3", "r3", "r4"]),
    (
        32_768,
        &[
            "d3", "i3en", "i4i", "r5", "r5a", "r5ad", "r5b", "r5d", "r5dn", "r5n", "r6a", "r6g", "r6gd",
            "r6i", "r6id", "r6idn", "r6in", "r7a", "r7g", "r7gd", "r7i", "r7iz", "r8g", "z1d",
        ],
    ),
    (62_464, &["x1"]),
    (65_536, &["x2gd", "x2idn"]),
    (124_928, &["x1e"]),
    (131_072, &["x2iedn", "x2iezn"]),
];

/// Burstable families share one list that is not linear below `large`.
const BURSTABLE: &[(&str, Size)] = &[
    ("nano", Size { vcpus: 2, memory_mib: 512 }),
    ("micro", Size { vcpus: 2, memory_mib: 1_024 }),
    ("small", Size { vcpus: 2, memory_mib: 2_048 }),
    ("medium", Size { vcpus: 2, memory_mib: 4_096 }),
    ("large", Size { vcpus: 2, memory_mib: 8_192 }),
    ("xlarge", Size { vcpus: 4, memory_mib: 16_384 }),
    ("2xlarge", Size { vcpus: 8, memory_mib: 32_768 }),
];

/// Sizes that do not follow their family.
const EXCEPTIONS: &[(&str, Size)] = &[
    ("c4.8xlarge", Size { vcpus: 36, memory_mib: 61_440 }),
    ("c5n.9xlarge", Size { vcpus: 36, memory_mib: 98_304 }),
    ("c5n.18xlarge", Size { vcpus: 72, memory_mib: 196_608 }),
    ("d2.8xlarge", Size { vcpus: 36, memory_mib: 249_856 }),
    ("t1.micro", Size { vcpus: 1, memory_mib: 627 }),
];

/// Families that run on Xen: their disks are xen-blkfront devices. All others run on Nitro with NVMe disks.
const XEN: &[&str] = &[
    "c1", "c3", "c4", "cc1", "cc2", "cg1", "cr1", "d2", "f1", "g2", "g3", "g3s", "h1", "hi1", "hs1", "i2",
    "i3", "m1", "m2", "m3", "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e",
];

/// The size of `instance_type`, or `None` when the tables do not know it (metal, new or rare types).
pub(super) fn size_of(instance_type: &str) -> Option<Size> {
    if let Some((_, size)) = EXCEPTIONS.iter().find(|(name, _)| *name == instance_type) {
        return Some(*size);
    }
    let (family, size) = instance_type.split_once('.')?;
    if matches!(family, "t2" | "t3" | "t3a" | "t4g") {
        let (_, known) = BURSTABLE.iter().find(|(name, _)| *name == size)?;
        let one_vcpu = family == "t2" && matches!(size, "nano" | "micro" | "small");
        return Some(if one_vcpu { Size { vcpus: 1, ..*known } } else { *known });
    }
    let (xlarge_mib, _) = FAMILIES.iter().find(|(_, names)| names.contains(&family))?;
    let vcpus = match size {
        "medium" => 1,
        "large" => 2,
        "xlarge" => 4,
        larger => {
            let factor: u32 = larger.strip_suffix("xlarge")?.parse().ok()?;
            if !(2..=48).contains(&factor) {
                return None;
            }
            factor * 4
        }
    };
    Some(Size { vcpus, memory_mib: xlarge_mib * u64::from(vcpus) / 4 })
}

/// Whether instances of this type see Xen devices instead of NVMe and ENA ones.
pub(super) fn is_xen(instance_type: &str) -> bool {
    let Some((family, size)) = instance_type.split_once('.') else { return false };
    size != "metal" && XEN.contains(&family)
}

/// Whether the name tells of instance store disks: a `d` among the attributes after the generation, or a storage
/// family.
pub(super) fn has_instance_store(instance_type: &str) -> bool {
    let family = instance_type.split('.').next().unwrap_or_default();
    let attributes = family.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let storage = [
        "c3", "d2", "d3", "d3en", "f1", "g2", "h1", "i2", "i3", "i3en", "i4g", "i4i", "i7ie", "i8g", "m1",
        "m2", "m3", "r3", "x1", "x1e", "x2gd", "z1d", "g5", "g6",
    ];
    storage.contains(&family) || attributes.contains('d')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sizes_are_the_published_ones() {
        // (type, vCPUs, GiB × 4) as published.
        let published = [
            ("t2.nano", 1, 2),
            ("t2.medium", 2, 16),
            ("t3.micro", 2, 4),
            ("t3a.2xlarge", 8, 128),
            ("t4g.small", 2, 8),
            ("m5.large", 2, 32),
            ("m5.24xlarge", 96, 1536),
            ("m6g.medium", 1, 16),
            ("c5.9xlarge", 36, 288),
            ("c5.large", 2, 16),
            ("c5n.large", 2, 21),
            ("c5n.9xlarge", 36, 384),
            ("c4.large", 2, 15),
            ("c4.8xlarge", 36, 240),
            ("r5.xlarge", 4, 128),
            ("r4.large", 2, 61),
            ("r6i.32xlarge", 128, 4096),
            ("m6i.4xlarge", 16, 256),
            ("m4.10xlarge", 40, 640),
            ("i3.16xlarge", 64, 1952),
            ("x1.32xlarge", 128, 7808),
            ("x1e.xlarge", 4, 488),
            ("m3.medium", 1, 15),
            ("z1d.3xlarge", 12, 384),
            ("m7i-flex.large", 2, 32),
        ];
        for (name, vcpus, quarter_gib) in published {
            assert_eq!(size_of(name), Some(Size { vcpus, memory_mib: quarter_gib * 256 }), "{name}");
        }
    }

    #[test]
    fn unknown_types_are_not_guessed() {
        for name in [
            "",
            "m5",
            "m5.",
            "m5.metal",
            "q9.large",
            "m5.0xlarge",
            "m5.-2xlarge",
            "m5.99999999999xlarge",
            "t3.4xlarge",
            "m5.49xlarge",
        ] {
            assert_eq!(size_of(name), None, "{name}");
        }
    }

    #[test]
    fn hypervisor_and_instance_store_follow_the_family() {
        assert!(is_xen("t2.micro") && is_xen("m4.large") && is_xen("i3.large"));
        assert!(!is_xen("i3.metal") && !is_xen("t3.micro") && !is_xen("nonsense"));
        assert!(
            has_instance_store("m5d.large")
                && has_instance_store("i3.large")
                && has_instance_store("c6gd.medium")
        );
        assert!(
            !has_instance_store("m5.large")
                && !has_instance_store("d.large")
                && !has_instance_store("t3.micro")
        );
    }
}
