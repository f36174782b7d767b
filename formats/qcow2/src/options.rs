//! The writer's `-o` keys, checked.

use crate::backing::Backing;
use crate::codec::Codec;
use crate::layout::*;
use crate::parse::Compression;
use format_core::units::{SECTOR, align_up, format_size, parse_size};
use format_core::{CreateOption, CreateRequest, Error, ErrorKind, Result};

pub(crate) static CREATE_OPTIONS: &[CreateOption] = &[
    CreateOption {
        key: "compat",
        values: "0.10, 1.1",
        default: "1.1",
        help: "version 2 (0.10) or version 3 (1.1) of the format",
    },
    CreateOption {
        key: "cluster_size",
        values: "512 to 2M, a power of two",
        default: "64k",
        help: "allocation granularity",
    },
    CreateOption {
        key: "compressed",
        values: "on, off",
        default: "off",
        help: "compress the clusters that become smaller",
    },
    CreateOption {
        key: "compression_type",
        values: "zlib, zstd",
        default: "zlib",
        help: "how clusters are compressed; zstd needs compat=1.1",
    },
    CreateOption {
        key: "compression_level",
        values: "1 to 9 with zlib, 1 to 19 with zstd",
        default: "6 with zlib, 3 with zstd",
        help: "how hard to try: 1 is the fastest",
    },
    CreateOption {
        key: "extended_l2",
        values: "on, off",
        default: "off",
        help: "allocate subclusters, 32 to a cluster; needs compat=1.1 and clusters of 16k or more",
    },
    CreateOption {
        key: "refcount_bits",
        values: "1, 2, 4, 8, 16, 32, 64",
        default: "16",
        help: "width of a reference count; other than 16 needs compat=1.1",
    },
    CreateOption {
        key: "lazy_refcounts",
        values: "off",
        default: "off",
        help: "postpone updates of reference counts; an image is written with exact ones",
    },
    CreateOption {
        key: "preallocation",
        values: "off",
        default: "off",
        help: "reserve space for zeros; not done",
    },
];

/// QEMU opens no larger refcount table than 8 MiB.
const MAX_REFCOUNT_BLOCKS: u64 = (8 << 20) / ENTRY_SIZE;

/// What to write.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub version: u32,
    pub cluster_bits: u32,
    pub extended_l2: bool,
    pub refcount_order: u32,
    pub compressed: bool,
    pub codec: Codec,
    pub backing: Option<Backing>,
    /// The disk as the caller knows it.
    pub virtual_size: u64,
    /// The disk as the header says it: whole sectors, because QEMU ignores a last broken one.
    pub header_size: u64,
    pub l1_entries: u64,
}

impl Plan {
    /// # Errors
    /// `Usage` for a value that is none; `Limit` for a disk that the cluster size cannot hold.
    pub(crate) fn new(request: &CreateRequest) -> Result<Self> {
        let option = |key| request.options.get(key).map(String::as_str);
        let version = match option("compat") {
            Some("0.10" | "v2") => 2,
            None | Some("1.1" | "v3") => 3,
            Some(other) => return Err(refused("compat", other, "0.10 or 1.1")),
        };
        let compression = match option("compression_type") {
            None | Some("zlib") => Compression::Zlib,
            Some("zstd") if version == 3 => Compression::Zstd,
            Some("zstd") => return Err(refused("compression_type", "zstd", "zlib with compat=0.10")),
            Some(other) => return Err(refused("compression_type", other, "zlib or zstd")),
        };
        refuse_what_is_not_written(request)?;
        let cluster_bits = cluster_bits(option("cluster_size").unwrap_or("64k"))?;
        let extended_l2 = switch(request, "extended_l2")?;
        if extended_l2 && version < 3 {
            return Err(refused("extended_l2", "on", "off with compat=0.10"));
        }
        if extended_l2 && cluster_bits < MIN_EXTENDED_CLUSTER_BITS {
            let size = option("cluster_size").unwrap_or_default();
            return Err(refused("cluster_size", size, "16k to 2M with extended_l2=on"));
        }
        let mut plan = Self {
            version,
            cluster_bits,
            extended_l2,
            refcount_order: refcount_order(option("refcount_bits").unwrap_or("16"), version)?,
            compressed: switch(request, "compressed")?,
            codec: Codec { compression, level: compression_level(option("compression_level"), compression)? },
            backing: request.parent.as_ref().map(Backing::new).transpose()?,
            virtual_size: request.virtual_size,
            header_size: align_up(request.virtual_size, SECTOR).unwrap_or(u64::MAX),
            l1_entries: 0,
        };
        plan.l1_entries = plan.virtual_size.div_ceil(plan.clusters_per_table() << cluster_bits);
        plan.check_limits()?;
        Ok(plan)
    }

    /// Bytes of an L2 entry.
    pub(crate) fn entry_size(&self) -> u64 {
        if self.extended_l2 { 2 * ENTRY_SIZE } else { ENTRY_SIZE }
    }

    /// Guest clusters that an L2 table describes.
    pub(crate) fn clusters_per_table(&self) -> u64 {
        self.cluster_size() / self.entry_size()
    }

    /// Bytes that can be data, zeros or the parent's on their own: a cluster or a subcluster.
    pub(crate) fn unit_size(&self) -> u64 {
        if self.extended_l2 { self.cluster_size() / SUBCLUSTERS } else { self.cluster_size() }
    }

    /// Bytes of which the sink can be told separately. Without a parent a sink of subclusters finds the zeros in a
    /// cluster by itself, and so needs no order.
    pub(crate) fn chunk_size(&self) -> u64 {
        if self.in_parts() { self.unit_size() } else { self.cluster_size() }
    }

    /// Whether a cluster may come in several calls.
    pub(crate) fn in_parts(&self) -> bool {
        self.extended_l2 && self.backing.is_some() && !self.compressed
    }

    pub(crate) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Host clusters of the L1 table.
    pub(crate) fn l1_clusters(&self) -> u64 {
        (self.l1_entries * ENTRY_SIZE).div_ceil(self.cluster_size())
    }

    /// Better now than after hours of copying.
    fn check_limits(&self) -> Result<()> {
        // An L2 entry has this many bits for a place in the file, which may be twice as large as the disk and never is.
        let offset_bits = if self.compressed { compressed_offset_bits(self.cluster_bits) } else { 56 };
        if self.l1_entries <= MAX_L1_ENTRIES && self.header_size >> (offset_bits - 1) == 0 {
            let clusters = self.header_size.div_ceil(self.cluster_size()) + self.l1_entries;
            let counts_per_block = (self.cluster_size() * 8) >> self.refcount_order;
            // The refcount structures count themselves, hence one in `counts_per_block` more, and a few for rounding.
            let blocks = clusters.saturating_add(self.l1_clusters()).div_ceil(counts_per_block - 2) + 2;
            if blocks <= MAX_REFCOUNT_BLOCKS {
                return Ok(());
            }
        }
        let (disk, cluster) = (format_size(self.virtual_size), format_size(self.cluster_size()));
        let text = format!("a disk of {disk} is too large for clusters of {cluster}");
        let error = Error::new(ErrorKind::Limit, text).in_format(crate::FORMAT.name);
        Err(if self.cluster_bits < 16 { error.hint("use -o cluster_size=64k") } else { error })
    }
}

/// What is not done is refused instead of ignored.
fn refuse_what_is_not_written(request: &CreateRequest) -> Result<()> {
    for (key, why) in [
        ("lazy_refcounts", "an image is written with exact reference counts; qemu-img amend can change that"),
        ("preallocation", "zeros are not allocated in what is written"),
    ] {
        match request.options.get(key).map(String::as_str) {
            None | Some("off") => {}
            Some(other) => return Err(refused(key, other, "off").hint(why)),
        }
    }
    Ok(())
}

fn switch(request: &CreateRequest, key: &str) -> Result<bool> {
    match request.options.get(key).map(String::as_str) {
        Some("on") => Ok(true),
        None | Some("off") => Ok(false),
        Some(other) => Err(refused(key, other, "on or off")),
    }
}

fn refcount_order(text: &str, version: u32) -> Result<u32> {
    match text {
        "16" => Ok(REFCOUNT_ORDER),
        "1" | "2" | "4" | "8" | "32" | "64" if version < 3 => {
            Err(refused("refcount_bits", text, "16 with compat=0.10"))
        }
        "1" => Ok(0),
        "2" => Ok(1),
        "4" => Ok(2),
        "8" => Ok(3),
        "32" => Ok(5),
        "64" => Ok(6),
        other => Err(refused("refcount_bits", other, "1, 2, 4, 8, 16, 32 or 64")),
    }
}

fn compression_level(text: Option<&str>, compression: Compression) -> Result<u8> {
    let Some(text) = text else { return Ok(Codec::default_level(compression)) };
    let most = Codec::max_level(compression);
    let level = text.parse().ok().filter(|level| (1..=most).contains(level));
    level.ok_or_else(|| refused("compression_level", text, &format!("1 to {most}")))
}

fn cluster_bits(text: &str) -> Result<u32> {
    let size = parse_size(text)?;
    let bits = size.checked_ilog2().unwrap_or(0);
    if size.is_power_of_two() && (MIN_CLUSTER_BITS..=MAX_CLUSTER_BITS).contains(&bits) {
        return Ok(bits);
    }
    Err(refused("cluster_size", text, "a power of two from 512 to 2M"))
}

fn refused(key: &str, value: &str, possible: &str) -> Error {
    Error::usage(format!("-o {key}={value}: possible is {possible}")).in_format(crate::FORMAT.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(virtual_size: u64, options: &[(&str, &str)]) -> Result<Plan> {
        let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Plan::new(&CreateRequest { virtual_size, options, parent: None })
    }

    #[test]
    fn options_are_read_and_refused() {
        let found =
            plan(1 << 30, &[("compat", "0.10"), ("cluster_size", "2M"), ("compressed", "on")]).unwrap();
        assert_eq!((found.version, found.cluster_bits, found.compressed), (2, 21, true));
        for (key, value) in [
            ("compat", "2"),
            ("cluster_size", "256"),
            ("cluster_size", "4M"),
            ("cluster_size", "65000"),
            ("cluster_size", "0"),
            ("compressed", "yes"),
            ("compression_type", "lz4"),
            ("compression_level", "0"),
            ("compression_level", "10"),
            ("compression_level", "fast"),
            ("extended_l2", "true"),
            ("refcount_bits", "3"),
            ("refcount_bits", "128"),
            ("lazy_refcounts", "on"),
            ("preallocation", "metadata"),
        ] {
            assert_eq!(plan(1, &[(key, value)]).unwrap_err().kind(), ErrorKind::Usage, "{key}={value}");
        }
        for (key, value) in [("compression_type", "zstd"), ("extended_l2", "on"), ("refcount_bits", "8")] {
            assert!(plan(1, &[(key, value)]).is_ok(), "{key}");
            let both = [("compat", "0.10"), (key, value)];
            assert_eq!(plan(1, &both).unwrap_err().kind(), ErrorKind::Usage, "{key}");
        }
        let level = |level| [("compression_type", "zstd"), ("compression_level", level)];
        assert_eq!(plan(1, &level("19")).unwrap().codec.level, 19);
        assert_eq!(plan(1, &level("20")).unwrap_err().kind(), ErrorKind::Usage);
        let both = [("cluster_size", "8k"), ("extended_l2", "on")];
        assert_eq!(plan(1, &both).unwrap_err().kind(), ErrorKind::Usage);
        let off = [("lazy_refcounts", "off"), ("preallocation", "off"), ("refcount_bits", "16")];
        assert!(plan(1, &off).is_ok());
    }

    #[test]
    fn disks_that_qemu_would_not_open_are_refused_at_once() {
        assert!(plan(64 << 40, &[]).is_ok());
        assert!(plan(64 << 40, &[("extended_l2", "on")]).is_ok());
        assert!(plan(100 << 30, &[("cluster_size", "512")]).is_ok());
        let wide = [("cluster_size", "512"), ("refcount_bits", "64")];
        assert_eq!(plan(100 << 30, &wide).unwrap_err().kind(), ErrorKind::Limit);
        for (size, cluster) in [(128 << 30, "512"), (64 << 40, "512"), (u64::MAX, "64k"), (u64::MAX, "2M")] {
            let kind = plan(size, &[("cluster_size", cluster)]).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::Limit, "{size} {cluster}");
        }
    }

    #[test]
    fn places_that_an_entry_cannot_hold_are_refused() {
        let large = |compressed| plan(1 << 49, &[("cluster_size", "2M"), ("compressed", compressed)]).is_ok();
        assert!(large("off") && !large("on"));
    }

    #[test]
    fn a_broken_last_sector_is_made_whole() {
        assert_eq!(plan(1000, &[]).unwrap().header_size, 1024);
        assert_eq!(plan(1024, &[]).unwrap().header_size, 1024);
    }
}
