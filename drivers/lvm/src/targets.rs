//! The targets of the device mapper that segments other than striped ones become, with their arguments.
//!
//! Names of fields are those of the metadata (LVM2, `lib/thin`, `lib/raid`, `lib/mirror`, `lib/cache_segtype` write them); the
//! arguments are described in the kernel's documentation, "device-mapper", a page for each target.

use crate::layouts;
use crate::metadata::{LogicalText, SegmentKind, SegmentText};
use crate::tables::Tables;
use crate::text::{Node, Section};
use driver_core::MappingArgument;

type Target = (&'static str, Vec<MappingArgument>);

/// Fields that name volumes which belong to the segment alone.
const OWNS: &[&str] =
    &["metadata", "pool", "data", "raids", "raid0_lvs", "mirrors", "mirror_log", "cache_pool", "writecache"];

/// The names of a RAID layout in the metadata and for the kernel, where they differ (lvmraid(7), "RAID TYPES").
const RAIDS: &[(&str, &str)] =
    &[("raid0_meta", "raid0"), ("raid5", "raid5_ls"), ("raid6", "raid6_zr"), ("raid10_near", "raid10")];
/// Those that have the same name.
const SAME_RAIDS: &[&str] = &[
    "raid0",
    "raid1",
    "raid4",
    "raid5_n",
    "raid5_ls",
    "raid5_rs",
    "raid5_la",
    "raid5_ra",
    "raid6_zr",
    "raid6_nr",
    "raid6_nc",
    "raid6_ls_6",
    "raid6_rs_6",
    "raid6_la_6",
    "raid6_ra_6",
    "raid6_n_6",
    "raid10",
];
/// Settings of a write cache that have a number (kernel documentation, "dm-writecache").
const WRITECACHE: &[&str] = &[
    "start_sector",
    "high_watermark",
    "low_watermark",
    "writeback_jobs",
    "autocommit_blocks",
    "autocommit_time",
    "max_age",
    "pause_writeback",
];

/// The segment type of a volume of one segment, without flags.
pub(crate) fn kind(logical: &LogicalText) -> Option<&str> {
    match logical.segments.as_slice() {
        [SegmentText { kind: SegmentKind::Other(kind, _), .. }] => kind.split('+').next(),
        _ => None,
    }
}

/// The fields of a segment that is not striped.
pub(crate) fn section(segment: &SegmentText) -> Option<&Section> {
    match &segment.kind {
        SegmentKind::Other(_, section) => Some(section),
        _ => None,
    }
}

/// Whether `field` names volumes that belong to the segment alone. A cache has its origin, a thin volume only knows it.
pub(crate) fn owns(section: &Section, field: &str) -> bool {
    OWNS.contains(&field) || field == "origin" && (section.has("cache_pool") || section.has("writecache"))
}

/// The target and arguments of a segment of type `kind`.
pub(crate) fn target<'a>(
    tables: &mut Tables<'a>,
    logical: &'a LogicalText,
    kind: &str,
    section: &'a Section,
) -> Result<Target, String> {
    let (plain, flags) = kind.split_once('+').unwrap_or((kind, ""));
    let is_cachevol = flags.split('+').any(|flag| flag == "CACHE_USES_CACHEVOL");
    match plain {
        "thin-pool" => thin_pool(tables, logical, section),
        "thin" => thin(tables, section),
        "mirror" => mirror(tables, section),
        "cache" => cache(tables, section, is_cachevol),
        "writecache" => writecache(tables, section),
        _ => match raid_name(plain) {
            Some(name) => raid(tables, name, section),
            None => Err(layouts::obstacle(kind)),
        },
    }
}

/// What the kernel calls a RAID layout.
fn raid_name(kind: &str) -> Option<&'static str> {
    let other = RAIDS.iter().find(|(name, _)| *name == kind).map(|(_, name)| name);
    other.or_else(|| SAME_RAIDS.iter().find(|name| **name == kind)).copied()
}

fn text<'a>(section: &'a Section, name: &str) -> Result<&'a str, String> {
    section.text(name).map_err(|error| error.to_string())
}

/// A number that the kernel has 32 bits for.
fn number(section: &Section, name: &str) -> Result<u64, String> {
    let found = section.number(name).map_err(|error| error.to_string())?;
    if found > u64::from(u32::MAX) { Err(format!("its {name} is {found}")) } else { Ok(found) }
}

fn optional(section: &Section, name: &str) -> Result<Option<u64>, String> {
    section.has(name).then(|| number(section, name)).transpose()
}

fn word(text: impl ToString) -> MappingArgument {
    MappingArgument::Text(text.to_string())
}

/// `thin-pool METADATA DATA CHUNK LOW_WATER COUNT FEATURES…`. Nobody waits for the water mark here.
fn thin_pool<'a>(
    tables: &mut Tables<'a>,
    logical: &LogicalText,
    section: &'a Section,
) -> Result<Target, String> {
    if section.sections().any(|(name, _)| name.starts_with("message")) {
        return Err("its thin pool has changes that LVM has not told the kernel yet; activate it once in the guest before \
                    exporting"
            .into());
    }
    let metadata = tables.part(text(section, "metadata")?, Some("tmeta"))?;
    let data = tables.part(text(section, "pool")?, Some("tdata"))?;
    let mut features = Vec::new();
    if optional(section, "zero_new_blocks")?.unwrap_or(0) == 0 {
        features.push("skip_block_zeroing");
    }
    match section.text("discards").unwrap_or("passdown") {
        "passdown" => {}
        "ignore" => features.push("ignore_discard"),
        "nopassdown" => features.push("no_discard_passdown"),
        other => return Err(format!("its thin pool treats discards as {other:?}")),
    }
    if logical.has("ERROR_WHEN_FULL") {
        features.push("error_if_no_space");
    }
    let chunk = number(section, "chunk_size")?;
    let mut last = format!("{chunk} 0 {}", features.len());
    features.iter().for_each(|feature| last = format!("{last} {feature}"));
    Ok(("thin-pool", vec![MappingArgument::Mapped(metadata), MappingArgument::Mapped(data), word(last)]))
}

/// `thin POOL ID [EXTERNAL_ORIGIN]`.
fn thin(tables: &mut Tables<'_>, section: &Section) -> Result<Target, String> {
    if section.has("merge") {
        return Err("a snapshot is being merged into it; let that end in the guest before exporting".into());
    }
    let pool = text(section, "thin_pool")?;
    if kind(tables.find(pool)?) != Some("thin-pool") {
        return Err(format!("its pool {pool} is no thin pool"));
    }
    let pool = tables.inner(pool)?;
    // 24 bits (kernel documentation, "thin-provisioning").
    let device = number(section, "device_id").ok().filter(|id| *id < 1 << 24);
    let device = device.ok_or("it has no device_id of 24 bits")?;
    let mut arguments = vec![MappingArgument::Mapped(pool), word(device)];
    if section.has("external_origin") {
        arguments.push(MappingArgument::Mapped(tables.inner(text(section, "external_origin")?)?));
    }
    Ok(("thin", arguments))
}

/// `mirror LOG COUNT ARGUMENTS… MIRRORS (DEVICE OFFSET)… 1 handle_errors`. With a log in memory the kernel makes the
/// copies alike anew after each activation.
fn mirror(tables: &mut Tables<'_>, section: &Section) -> Result<Target, String> {
    let list = section.list("mirrors").map_err(|error| error.to_string())?;
    let region = number(section, "region_size")?;
    let mut arguments = Vec::new();
    if section.has("mirror_log") {
        let log = tables.part(text(section, "mirror_log")?, None)?;
        arguments.extend([word("disk 2"), MappingArgument::Mapped(log), word(region)]);
    } else {
        arguments.push(word(format!("core 1 {region}")));
    }
    let (pairs, rest) = list.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() as u64 != number(section, "mirror_count")? || pairs.is_empty() {
        return Err("its mirrors are no list of names and extents".into());
    }
    arguments.push(word(pairs.len()));
    for pair in pairs {
        let [Node::Text(name), Node::Number(0)] = pair else {
            return Err("its mirrors do not begin at extent 0 of hidden volumes".into());
        };
        arguments.extend([MappingArgument::Mapped(tables.part(name, None)?), word(0)]);
    }
    arguments.push(word("1 handle_errors"));
    Ok(("mirror", arguments))
}

/// `raid TYPE COUNT ARGUMENTS… DEVICES (METADATA DATA)…`.
fn raid(tables: &mut Tables<'_>, kind: &'static str, section: &Section) -> Result<Target, String> {
    for field in ["reshape_count", "delta_disks", "data_offset"] {
        if optional(section, field)?.is_some_and(|value| value > 0) {
            return Err(format!(
                "it is being reshaped ({field}); let that end in the guest before exporting"
            ));
        }
    }
    let (devices, has_metadata) = raid_devices(section)?;
    let counted = optional(section, "device_count")?.or(optional(section, "stripe_count")?);
    if counted != Some(devices.len() as u64) {
        return Err(format!("its RAID has {} devices, and says {counted:?}", devices.len()));
    }
    let mut list = vec![optional(section, "stripe_size")?.unwrap_or(0).to_string()];
    let mut add = |name: &str, value: Option<u64>| {
        list.extend(value.into_iter().flat_map(|n| [name.into(), n.to_string()]))
    };
    add("min_recovery_rate", optional(section, "min_recovery_rate")?);
    add("max_recovery_rate", optional(section, "max_recovery_rate")?);
    for (number, (_, image)) in (0u64..).zip(&devices) {
        add("write_mostly", tables.find(image)?.has("WRITEMOSTLY").then_some(number));
    }
    add("max_write_behind", optional(section, "writebehind")?);
    if has_metadata && kind != "raid0" {
        add("region_size", optional(section, "region_size")?);
    }
    if kind == "raid10" {
        add("raid10_copies", Some(optional(section, "data_copies")?.unwrap_or(2)));
    }
    let mut arguments =
        vec![word(kind), word(format!("{} {}", list.len(), list.join(" "))), word(devices.len())];
    for (metadata, image) in devices {
        arguments.push(match metadata {
            Some(name) => MappingArgument::Mapped(tables.part(name, None)?),
            None => word("-"),
        });
        arguments.push(MappingArgument::Mapped(tables.part(image, None)?));
    }
    Ok(("raid", arguments))
}

/// A device's metadata and its data.
type RaidDevice<'a> = (Option<&'a str>, &'a str);

/// The devices of a RAID, and whether they have metadata.
fn raid_devices(section: &Section) -> Result<(Vec<RaidDevice<'_>>, bool), String> {
    let field = if section.has("raids") { "raids" } else { "raid0_lvs" };
    let list = section.list(field).map_err(|error| error.to_string())?;
    let names: Option<Vec<&str>> = list
        .iter()
        .map(|node| if let Node::Text(name) = node { Some(name.as_str()) } else { None })
        .collect();
    let names = names.filter(|names| !names.is_empty()).ok_or("its RAID has no list of devices")?;
    if field == "raid0_lvs" {
        return Ok((names.into_iter().map(|image| (None, image)).collect(), false));
    }
    let (pairs, rest) = names.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("its RAID has a device without metadata".into());
    }
    Ok((pairs.iter().map(|[metadata, image]| (Some(*metadata), *image)).collect(), true))
}

/// `cache METADATA CACHE ORIGIN CHUNK COUNT FEATURES… POLICY COUNT SETTINGS…`.
fn cache(tables: &mut Tables<'_>, section: &Section, is_cachevol: bool) -> Result<Target, String> {
    let name = text(section, "cache_pool")?;
    let origin = tables.part(text(section, "origin")?, Some("real"))?;
    let (metadata, data, settings) = if is_cachevol {
        let metadata = tables.piece(
            name,
            "cmeta",
            number(section, "metadata_start")?,
            number(section, "metadata_len")?,
        )?;
        let data = tables.piece(
            name,
            "cdata",
            number(section, "data_start")?,
            section.number("data_len").map_err(|e| e.to_string())?,
        )?;
        (metadata, data, section)
    } else {
        let pool = tables.find(name)?;
        let fields = pool.segments.first().and_then(self::section);
        let Some(fields) = fields.filter(|_| kind(pool) == Some("cache-pool")) else {
            return Err(format!("its cache {name} is no cache pool"));
        };
        let metadata = tables.part(text(fields, "metadata")?, Some("cmeta"))?;
        (metadata, tables.part(text(fields, "data")?, Some("cdata"))?, fields)
    };
    let mut features = Vec::new();
    match optional(settings, "metadata_format")?.unwrap_or(1) {
        1 => {}
        2 => features.push("metadata2"),
        other => return Err(format!("its cache has metadata of format {other}")),
    }
    match text(settings, "cache_mode")? {
        mode @ ("writethrough" | "writeback" | "passthrough") => features.push(mode),
        other => return Err(format!("its cache has the mode {other:?}")),
    }
    let policy = settings.text("policy").unwrap_or("smq");
    if !matches!(policy, "smq" | "mq" | "cleaner") {
        return Err(format!("its cache has the policy {policy:?}"));
    }
    let mut values = Vec::new();
    for (key, value) in settings.section("policy_settings").into_iter().flat_map(Section::iter) {
        let Node::Number(value) = value else { return Err(format!("its cache has no number for {key}")) };
        values.extend([key.to_owned(), value.to_string()]);
    }
    let chunk = number(settings, "chunk_size")?;
    let mut last = format!("{chunk} {} {} {policy} {}", features.len(), features.join(" "), values.len());
    values.iter().for_each(|value| last = format!("{last} {value}"));
    let devices = [metadata, data, origin].map(MappingArgument::Mapped);
    Ok(("cache", devices.into_iter().chain([word(last)]).collect()))
}

/// `writecache KIND ORIGIN CACHE BLOCK COUNT SETTINGS…`: of the two kinds, `s` is the one that is no memory.
fn writecache(tables: &mut Tables<'_>, section: &Section) -> Result<Target, String> {
    let origin = tables.part(text(section, "origin")?, Some("real"))?;
    let cache = tables.part(text(section, "writecache")?, Some("cvol"))?;
    let block = number(section, "writecache_block_size")?;
    let mut settings = Vec::new();
    for name in WRITECACHE {
        settings.extend(
            optional(section, name)?.into_iter().flat_map(|value| [(*name).to_owned(), value.to_string()]),
        );
    }
    let unknown = ["fua", "nofua", "cleaner", "metadata_only", "writecache_setting_key"];
    if let Some(name) = unknown.iter().find(|name| section.has(name)) {
        return Err(format!("its write cache has the setting {name}, which is not mapped here"));
    }
    let mut last = format!("{block} {}", settings.len());
    settings.iter().for_each(|setting| last = format!("{last} {setting}"));
    Ok((
        "writecache",
        vec![word("s"), MappingArgument::Mapped(origin), MappingArgument::Mapped(cache), word(last)],
    ))
}
