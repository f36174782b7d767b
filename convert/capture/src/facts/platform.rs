//! Firmware, processors, memory and names.

use super::{Roots, names_in, number_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The GUID of the UEFI global variables (UEFI 2.10, 3.3).
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// The number of a module's own memory that the firmware keeps is not in MemTotal; sizes are rounded up to this, in MiB.
const MEMORY_STEP: u64 = 256;

/// What the machine is, without its disks and adapters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlatformFacts {
    /// Host name.
    pub name: String,
    /// What the kernel calls the instruction set: `x86_64`.
    pub architecture: String,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// Whether Secure Boot is on; unknown with BIOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// Processors that are online.
    pub processors: u32,
    /// Sockets, and cores in each, where the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<u32>,
    /// Cores in all sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// What the processor calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Memory in MiB, rounded up from what the kernel has for itself and its programs.
    pub memory_mib: u64,
    /// UUID of SMBIOS, where we may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Manufacturer and product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Serial number of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Version of the TPM: `1.2` or `2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<String>,
    /// Whether the hardware clock has local time.
    pub local_clock: bool,
    /// The running system in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Release of the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Changes with every start of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
}

pub(super) fn read(roots: &Roots) -> PlatformFacts {
    let firmware = roots.path("sys/firmware/efi").is_dir();
    let (processors, sockets, cores, processor) = processors(roots);
    let dmi = |name: &str| roots.text(&format!("sys/class/dmi/id/{name}"));
    let product = [dmi("sys_vendor"), dmi("product_name")].into_iter().flatten().collect::<Vec<_>>();
    PlatformFacts {
        name: roots.text("proc/sys/kernel/hostname").unwrap_or_else(|| "machine".into()),
        architecture: rustix::system::uname().machine().to_string_lossy().into_owned(),
        firmware: if firmware { "uefi" } else { "bios" }.into(),
        secure_boot: secure_boot(roots).filter(|_| firmware),
        processors,
        sockets,
        cores,
        processor,
        memory_mib: memory(roots),
        uuid: dmi("product_uuid").map(|uuid| uuid.to_lowercase()),
        product: (!product.is_empty()).then(|| product.join(" ")),
        serial: dmi("product_serial"),
        tpm: tpm(roots),
        local_clock: roots.text("etc/adjtime").is_some_and(|text| text.lines().nth(2) == Some("LOCAL")),
        system: system(roots),
        kernel: roots.text("proc/sys/kernel/osrelease"),
        boot_id: roots.text("proc/sys/kernel/random/boot_id"),
    }
}

/// Online processors, sockets, cores, and the processor's name.
fn processors(roots: &Roots) -> (u32, Option<u32>, Option<u32>, Option<String>) {
    let text = roots.text("proc/cpuinfo").unwrap_or_default();
    let field = |line: &str, name: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    let (mut count, mut sockets, mut cores) = (0, BTreeSet::new(), BTreeSet::new());
    for processor in text.split("\n\n") {
        let find = |name: &str| processor.lines().find_map(|line| field(line, name));
        if find("processor").is_none() {
            continue;
        }
        count += 1;
        let Some(socket) = find("physical id") else { continue };
        cores.extend(find("core id").map(|core| (socket.clone(), core)));
        sockets.insert(socket);
    }
    let known = |set: usize| u32::try_from(set).ok().filter(|count| *count > 0);
    let name = text.lines().find_map(|line| field(line, "model name"));
    (count.max(1), known(sockets.len()), known(cores.len()), name)
}

fn memory(roots: &Roots) -> u64 {
    let text = roots.text("proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let mib = kib.map_or(0, |kib| kib.div_ceil(1024));
    mib.div_ceil(MEMORY_STEP).max(1).saturating_mul(MEMORY_STEP)
}

/// The last byte of the variable; the four before it are its attributes.
fn secure_boot(roots: &Roots) -> Option<bool> {
    let path = roots.path(&format!("sys/firmware/efi/efivars/SecureBoot-{GLOBAL}"));
    let bytes = std::fs::read(path).ok()?;
    match bytes.as_slice() {
        [_, _, _, _, value] => Some(*value == 1),
        _ => None,
    }
}

fn tpm(roots: &Roots) -> Option<String> {
    let folder = roots.path("sys/class/tpm");
    let first = names_in(&folder).into_iter().next()?;
    match number_of(&folder.join(first).join("tpm_version_major"))? {
        1 => Some("1.2".into()),
        2 => Some("2.0".into()),
        _ => None,
    }
}

fn system(roots: &Roots) -> Option<String> {
    let text = roots.text("etc/os-release").or_else(|| roots.text("usr/lib/os-release"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}
