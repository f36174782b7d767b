//! The writer options that checks run with.

use format_core::Format;

/// One set of `-o key=value` pairs.
pub type Options = &'static [(&'static str, &'static str)];

/// By format, besides no options at all.
const OPTIONS: &[(&str, &[Options])] = &[
    ("raw", &[&[("preallocation", "full")]]),
    (
        "qcow2",
        &[
            &[("compat", "0.10"), ("cluster_size", "4k")],
            &[("cluster_size", "512")],
            &[("cluster_size", "2M")],
            &[("compressed", "on")],
            &[("compressed", "on"), ("compression_type", "zstd"), ("cluster_size", "16k")],
            &[("compressed", "on"), ("compression_level", "9")],
            &[("compressed", "on"), ("compression_type", "zstd"), ("compression_level", "1")],
            &[("extended_l2", "on")],
            &[("extended_l2", "on"), ("cluster_size", "16k"), ("compressed", "on")],
            &[("refcount_bits", "1"), ("compressed", "on")],
            &[("compat", "v2"), ("lazy_refcounts", "off"), ("preallocation", "off")],
            &[("refcount_bits", "64"), ("cluster_size", "512")],
        ],
    ),
    (
        "vmdk",
        &[
            &[("subformat", "streamOptimized"), ("adapter_type", "ide")],
            &[("subformat", "streamOptimized"), ("compression_level", "1")],
            &[("zeroed_grain", "on"), ("hwversion", "14"), ("toolsversion", "12389")],
            &[("compat6", "on"), ("adapter_type", "pvscsi")],
            &[("identity", "0badcafe")],
        ],
    ),
    (
        "vhdx",
        &[
            &[("subformat", "fixed"), ("block_size", "1M")],
            &[("block_size", "8M")],
            &[("logical_sector_size", "4096")],
            &[
                ("identity", "6f5cbd53-2f0b-4c17-8f3e-0d6fb9c1a1e2"),
                ("disk_id", "{A1B7C0D2-5B63-4BFE-9E6D-1F6B2E0F9A10}"),
            ],
        ],
    ),
    ("vdi", &[&[("static", "on")]]),
    (
        "vhd",
        &[
            &[("subformat", "fixed")],
            &[("force_size", "on")],
            &[("azure", "on")],
            &[("identity", "6f5cbd53-2f0b-4c17-8f3e-0d6fb9c1a1e2")],
        ],
    ),
    ("gzip", &[&[("level", "1")], &[("level", "12")]]),
    ("zstd", &[&[("level", "1"), ("frame_size", "64K")], &[("frame_size", "4M")]]),
];

/// By format, the options that make images of several files.
const SEVERAL_FILES: &[(&str, &[Options])] = &[(
    "vmdk",
    &[
        &[("subformat", "monolithicFlat")],
        &[("subformat", "vmfs")],
        &[("subformat", "twoGbMaxExtentFlat")],
        &[("subformat", "twoGbMaxExtentSparse")],
    ],
)];

/// What qemu-img calls a format.
pub fn qemu_name(format: &Format) -> &'static str {
    match format.name {
        "vhd" => "vpc",
        "qcow1" => "qcow",
        name => name,
    }
}

/// The sets of options to try with a writer: none, then each of the table.
pub fn writer_options(format: &Format) -> impl Iterator<Item = Options> + use<> {
    let sets = OPTIONS.iter().find(|(name, _)| *name == format.name).map_or(&[] as &[_], |(_, sets)| sets);
    std::iter::once(&[] as Options).chain(sets.iter().copied())
}

/// The sets of options that make images of several files.
pub fn several_files_options(format: &Format) -> impl Iterator<Item = Options> + use<> {
    let sets = SEVERAL_FILES.iter().find(|(name, _)| *name == format.name);
    sets.map_or(&[] as &[_], |(_, sets)| sets).iter().copied()
}
