//! The neutral machine: what every hypervisor calls by another name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{MacAddress, MachineError};

/// One virtual or physical machine without anything that belongs to a single hypervisor.
///
/// Read it with [`Machine::from_json`]; one made in code is checked by [`Machine::validate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Marks the document as ours and names the version of the schema; always 1.
    pub rehome_machine: SchemaVersion,
    /// Name shown to people, 1 to 255 characters.
    pub name: String,
    /// SMBIOS UUID, where the guest may have bound a licence to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<uuid::Uuid>,
    /// Instruction set of the guest.
    #[serde(default)]
    pub architecture: Architecture,
    /// How the machine starts.
    pub firmware: Firmware,
    /// Processors.
    pub cpu: Cpu,
    /// Memory in MiB (1,048,576 bytes), 1 to 64 TiB.
    pub memory_mib: u64,
    /// What the guest expects of the real-time clock.
    #[serde(default)]
    pub clock: Clock,
    /// The machine's Trusted Platform Module; absent when it has none, or none is known. Its keys never move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<Tpm>,
    /// 1 to 256 disks; their order is in [`Disk::order`], not in the list.
    pub disks: Vec<Disk>,
    /// Network adapters in the guest's order, at most 64.
    #[serde(default)]
    pub nics: Vec<Nic>,
    /// What is believed to run inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsHint>,
    /// Labels of the source, at most 256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// One line for people, at most 1,024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// How it was known: field path to the fact it came from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provenance: BTreeMap<String, String>,
}

/// Version of the schema; only 1 exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct SchemaVersion;

impl TryFrom<u64> for SchemaVersion {
    type Error = String;

    fn try_from(version: u64) -> Result<Self, String> {
        match version {
            1 => Ok(Self),
            other => Err(format!("rehome_machine is {other}, this version reads 1")),
        }
    }
}

impl From<SchemaVersion> for u64 {
    fn from(SchemaVersion: SchemaVersion) -> Self {
        1
    }
}

/// Instruction set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit x86.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 32-bit x86.
    I386,
    /// 64-bit Arm.
    Arm64,
}

/// How the machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// BIOS or UEFI.
    pub kind: FirmwareKind,
    /// Whether Secure Boot was enforced; absent when it is not known. Never true with BIOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
}

/// The two firmwares of a PC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirmwareKind {
    /// Legacy BIOS: starts the boot sector.
    Bios,
    /// UEFI: starts a loader from the EFI system partition.
    Uefi,
}

/// Processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Processors the guest sees, 1 to 4,096.
    pub count: u32,
    /// How they are arranged; the product of its numbers is `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
}

/// Arrangement of processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Sockets, at least 1.
    pub sockets: u32,
    /// Cores in each socket, at least 1.
    pub cores: u32,
    /// Threads in each core, at least 1.
    pub threads: u32,
}

/// What the guest expects of the real-time clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Coordinated universal time.
    #[default]
    Utc,
    /// Local time of the host.
    Local,
}

/// Version of a Trusted Platform Module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the numbers say it all")]
pub enum Tpm {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "2.0")]
    V2_0,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Name by which the rest of a migration speaks of the disk; unique.
    pub id: String,
    /// Where its content comes from.
    pub source: DiskSource,
    /// Bus of the source machine.
    pub bus: Bus,
    /// Place among the disks, unique, from 0; the target attaches in this order.
    pub order: u32,
    /// The disk the firmware starts. At most one; without any it is the one of lowest order.
    #[serde(default)]
    pub boot: bool,
    /// Virtual size in bytes, a multiple of 512; absent when not known before the image is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Device name the source gave it, such as `/dev/xvda`. The guest may use another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
}

/// Where a disk's content comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskSource {
    /// Name of an image file. A name only: whoever opens it decides where it may lie.
    File(String),
    /// Identifier of a volume at the source, such as `vol-0123456789abcdef0`.
    Volume(String),
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names of the buses say it all")]
pub enum Bus {
    Ide,
    Sata,
    Scsi,
    Nvme,
    Virtio,
    Xen,
    Usb,
    /// Something else, or not known.
    Other,
}

/// One network adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// Hardware address; absent when the target shall choose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Network, port group, bridge or subnet it was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Adapter model of the source, such as `ena`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// IP addresses the source knew of, for information; at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// What is believed to run inside, before anyone looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsHint {
    /// Kind of system.
    pub family: OsFamily,
    /// The source's own words.
    pub description: String,
}

/// Kind of operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it all")]
pub enum OsFamily {
    Linux,
    Windows,
    Other,
}

impl Machine {
    /// Reads a machine from JSON of our own schema (`machine.schema.json`) and checks it.
    ///
    /// # Errors
    /// [`MachineError::Json`] with line and column when the text is not of the schema's shape, else what
    /// [`Machine::validate`] finds.
    pub fn from_json(text: &str) -> Result<Self, MachineError> {
        crate::text::check_length(text.len())?;
        let machine: Self = serde_json::from_str(text).map_err(|error| MachineError::Json {
            document: "machine JSON".into(),
            // The parser repeats unknown keys and values; they are foreign text.
            reason: error.to_string().chars().flat_map(char::escape_debug).take(400).collect(),
        })?;
        check_objects(text)?;
        machine.validate()?;
        Ok(machine)
    }

    /// Indented JSON of our own schema, with a final newline. Reads back as the same machine.
    ///
    /// # Errors
    /// [`MachineError::Json`]; the model itself gives the serialiser no reason for one.
    pub fn to_json(&self) -> Result<String, MachineError> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| MachineError::Json {
            document: "machine JSON".into(),
            reason: error.to_string(),
        })?;
        text.push('\n');
        Ok(text)
    }

    /// The disks in the order the target attaches them: the boot disk, then the others by [`Disk::order`].
    pub fn disks_in_boot_order(&self) -> Vec<&Disk> {
        let mut disks: Vec<&Disk> = self.disks.iter().collect();
        disks.sort_by_key(|disk| (!disk.boot, disk.order));
        disks
    }
}

/// Refuses lists where the schema has objects: the deserialiser would take their items for the fields in order.
fn check_objects(text: &str) -> Result<(), MachineError> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let single = ["", "/firmware", "/cpu", "/cpu/topology", "/os"].map(String::from);
    let listed = ["disks", "nics"].into_iter().flat_map(|field| {
        let length = value.get(field).and_then(serde_json::Value::as_array).map_or(0, Vec::len);
        (0..length).map(move |index| format!("/{field}/{index}"))
    });
    for pointer in single.into_iter().chain(listed) {
        if value.pointer(&pointer).is_some_and(serde_json::Value::is_array) {
            return Err(MachineError::field(
                format!("machine{pointer}"),
                "is a JSON array, expected an object",
            ));
        }
    }
    Ok(())
}
