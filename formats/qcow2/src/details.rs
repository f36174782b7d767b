//! What is told about an image: details for `info`, and warnings.

use crate::bitmaps::Bitmap;
use crate::crypto::{LuksHeader, Method};
use crate::layout::*;
use crate::parse::{Compression, Header};
use crate::snapshots::{Snapshot, SnapshotTable};
use format_core::{Details, Result, Warning};
use serde_json::{Value, json};

/// Names that a message lists.
const MAX_NAMES: usize = 10;
/// Characters of a name that a message shows.
const MAX_NAME: usize = 80;

/// Bytes of a name that are told in details: the longest that QEMU gives a bitmap.
const MAX_TOLD: usize = 1023;
/// Snapshots or bitmaps that are told in details. A file could claim 64 MiB of them, and JSON is many times larger.
const MAX_LISTED: usize = 4096;

/// A name as text, of a very long one the beginning.
pub(crate) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..MAX_TOLD).unwrap_or(name)).into_owned()
}

/// Names for a message; of very many the first.
pub(crate) fn list<'a>(names: impl ExactSizeIterator<Item = &'a [u8]>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let shown: Vec<_> = names
        .take(MAX_NAMES)
        .map(|name| format!("{:?}", shown(name).chars().take(MAX_NAME).collect::<String>()))
        .collect();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// What QEMU's `info` calls format specific, by its names.
pub(crate) fn details(
    header: &Header,
    method: Option<&Method>,
    snapshots: &SnapshotTable,
    bitmaps: &[Bitmap],
) -> Details {
    let (v2, v3) = (&header.v2, &header.v3);
    let mut details = Details::new();
    let mut add = |key: &str, value: Value| details.insert(key.to_owned(), value);
    add("compat", if v2.version == 2 { "0.10" } else { "1.1" }.into());
    let compression = match header.compression {
        Compression::Zlib => "zlib",
        Compression::Zstd => "zstd",
    };
    add("compression-type", compression.into());
    add("refcount-bits", (1u32 << v3.refcount_order).into());
    if v2.version >= 3 {
        add("lazy-refcounts", (v3.compatible_features & COMPAT_LAZY_REFCOUNTS != 0).into());
        add("corrupt", (v3.incompatible_features & INCOMPAT_CORRUPT != 0).into());
        add("extended-l2", header.geometry.extended_l2.into());
    }
    if header.has_data_file() {
        add("data-file", header.extensions.data_file.clone().into());
        add("data-file-raw", (v3.autoclear_features & AUTOCLEAR_RAW_DATA_FILE != 0).into());
    }
    match method {
        None => {}
        Some(Method::Aes) => {
            add("encrypt", json!({ "format": "aes" }));
        }
        Some(Method::Luks(luks)) => {
            add("encrypt", luks_details(luks));
        }
    }
    if !bitmaps.is_empty() {
        add("bitmaps", bitmaps.iter().take(MAX_LISTED).map(Bitmap::details).collect());
    }
    if !snapshots.snapshots.is_empty() {
        let listed = snapshots.snapshots.iter().take(MAX_LISTED);
        add("snapshots", listed.map(Snapshot::details).collect());
    }
    details
}

fn luks_details(luks: &LuksHeader) -> Value {
    let (cipher_mode, ivgen) = luks.cipher_mode.split_once('-').unwrap_or((&luks.cipher_mode, "plain"));
    let (ivgen, ivgen_hash) = ivgen.split_once(':').map_or((ivgen, None), |(alg, hash)| (alg, Some(hash)));
    let slots = luks.slots().iter().map(|slot| {
        let key_offset = slot.material_offset();
        if slot.is_active() {
            let (iters, stripes) = (slot.iterations, slot.stripes);
            json!({ "active": true, "iters": iters, "key-offset": key_offset, "stripes": stripes })
        } else {
            json!({ "active": false, "key-offset": key_offset })
        }
    });
    let mut details = json!({
        "format": "luks",
        "cipher-alg": format!("{}-{}", luks.cipher_name, luks.cipher_bits()),
        "cipher-mode": cipher_mode,
        "ivgen-alg": ivgen,
        "hash-alg": luks.hash_name,
        "uuid": luks.uuid,
        "slots": slots.collect::<Vec<_>>(),
        "payload-offset": luks.payload_offset(),
        "master-key-iters": luks.master_key_iterations(),
        "detached-header": false,
    });
    if let (Some(hash), Some(details)) = (ivgen_hash, details.as_object_mut()) {
        details.insert("ivgen-hash-alg".into(), hash.into());
    }
    details
}

/// What a person should know. `snapshot` is the one that is read, if it is not the current state.
pub(crate) fn warnings(
    header: &Header,
    snapshots: &Result<SnapshotTable>,
    bitmaps: &Result<Vec<Bitmap>>,
    snapshot: Option<&str>,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, text: String| warnings.push(Warning::new(code, text));
    let incompatible = header.v3.incompatible_features;
    if incompatible & INCOMPAT_DIRTY != 0 {
        warn(
            "qcow2-dirty",
            "the image was not closed properly (dirty bit); its data are read, the machine may have crashed"
                .into(),
        );
    }
    if incompatible & INCOMPAT_CORRUPT != 0 {
        warn(
            "qcow2-corrupt",
            "QEMU marked the image as corrupt; run qemu-img check on a copy before you trust the result"
                .into(),
        );
    }
    match (snapshots, snapshot) {
        (Err(error), _) => {
            let count = header.v2.nb_snapshots;
            warn(
                "qcow2-snapshots",
                format!(
                    "the table of {count} internal snapshots cannot be read, the current state is: {error}"
                ),
            );
        }
        (Ok(table), _) if table.snapshots.is_empty() => {}
        (Ok(table), None) => {
            let (count, names) = (table.snapshots.len(), table.names());
            warn(
                "qcow2-snapshots",
                format!("{count} internal snapshots are left out ({names}), the current state is read"),
            );
        }
        (Ok(_), Some(name)) => {
            warn(
                "qcow2-snapshots",
                format!(
                    "the internal snapshot {name:?} is read, the current state and any other snapshot are left out"
                ),
            );
        }
    }
    match bitmaps {
        Err(error) => warn("qcow2-bitmaps", format!("the bitmaps cannot be read and are left out: {error}")),
        Ok(bitmaps) if bitmaps.is_empty() => {}
        Ok(bitmaps) => {
            let names = list(bitmaps.iter().map(|bitmap| &*bitmap.name));
            warn(
                "qcow2-bitmaps",
                format!(
                    "{} dirty bitmaps are left out ({names}): the next backup has to be a full one",
                    bitmaps.len()
                ),
            );
        }
    }
    let size = header.v2.size;
    if !size.is_multiple_of(512) {
        warn(
            "qcow2-odd-size",
            format!("the disk has {size:#x} bytes, no multiple of 512; QEMU ignores the last {}", size % 512),
        );
    }
    warnings
}
