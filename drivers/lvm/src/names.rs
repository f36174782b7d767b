//! Names and UUIDs of devices as LVM gives them to the device mapper (lvm(8), "VALID NAMES"; tried against LVM 2.03).

use crate::metadata::{GroupText, LogicalText};

/// The name below `/dev/mapper`: a hyphen within a name is doubled, because one stands between names.
pub(crate) fn device(group: &GroupText, logical: &str, layer: Option<&str>) -> String {
    let name = format!("{}-{}", group.name.replace('-', "--"), logical.replace('-', "--"));
    match layer {
        Some(layer) => format!("{name}-{layer}"),
        None => name,
    }
}

/// `LVM-`, the group's id, the volume's, and what the device is for the volume.
pub(crate) fn uuid(group: &GroupText, logical: &LogicalText, suffix: Option<&str>) -> String {
    let uuid = format!("LVM-{}{}", group.id, logical.id);
    match suffix {
        Some(suffix) => format!("{uuid}-{suffix}"),
        None => uuid,
    }
}
