//! Which platform a Windows guest comes from.
//!
//! What the firmware said of the machine is recorded: `HardwareConfig` of SYSTEM (Windows 8 and later) has SystemManufacturer, and in
//! `ComputerIds` the texts that the hardware's identifiers are made of (Microsoft, "Using chids"), the manufacturer first;
//! `Control\SystemInformation` has it in all versions. Services of a platform's tools are only installed.

use crate::services::service_key;
use driver_core::Platform::{Aws, Azure, Gcp, HyperV, Kvm, Proxmox, VirtualBox, Vmware, Xen};
use driver_core::{GuestTree, Platform, PlatformSign, SourceFacts, Strength};
use driver_registry::Value;
use format_core::Result;

/// Beginnings of what the firmware calls the manufacturer.
const MANUFACTURERS: [(&str, &[Platform]); 8] = [
    ("Amazon EC2", &[Aws]),
    ("VMware", &[Vmware]),
    ("innotek GmbH", &[VirtualBox]),
    ("Oracle Corporation", &[VirtualBox]),
    ("Xen", &[Xen, Aws]),
    ("QEMU", &[Kvm, Proxmox]),
    ("Google", &[Gcp]),
    ("Microsoft Corporation", &[HyperV, Azure]),
];

/// Services of a platform's tools.
const SERVICES: [(&str, &[Platform]); 17] = [
    ("AmazonSSMAgent", &[Aws]),
    ("Ec2Config", &[Aws]),
    ("Amazon EC2Launch", &[Aws]),
    ("AWSLiteAgent", &[Aws]),
    ("AWSNVMe", &[Aws]),
    ("ena", &[Aws]),
    ("VMTools", &[Vmware]),
    ("vmci", &[Vmware]),
    ("VBoxService", &[VirtualBox]),
    ("VBoxGuest", &[VirtualBox]),
    ("xenvbd", &[Xen, Aws]),
    ("XenSvc", &[Xen]),
    ("QEMU-GA", &[Kvm, Proxmox]),
    ("GCEAgent", &[Gcp]),
    ("WindowsAzureGuestAgent", &[Azure]),
    ("RdAgent", &[Azure]),
    ("prl_tools", &[]),
];

/// The platform's services in the guest, by their names.
pub(crate) fn agents(tree: &GuestTree, set: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, _) in SERVICES {
        if tree.registry_key(&service_key(set, name))?.is_some() {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

pub(crate) fn source_platform(tree: &GuestTree, set: &str) -> Result<SourceFacts> {
    let mut signs = Vec::new();
    let mut recorded = manufacturers(tree)?;
    let information = format!(r"SYSTEM\{set}\Control\SystemInformation");
    let current = tree.registry_value(&information, "SystemManufacturer")?;
    recorded.extend(current.as_ref().and_then(Value::as_str));
    recorded.dedup();
    for name in recorded {
        let known = MANUFACTURERS.iter().find(|(known, _)| name.starts_with(known));
        signs.extend(known.map(|(_, platforms)| PlatformSign {
            platforms: platforms.to_vec(),
            strength: Strength::Recorded,
            found: format!("its firmware called itself {name:?}"),
        }));
    }
    for name in agents(tree, set)? {
        let known = SERVICES.iter().find(|(known, platforms)| *known == name && !platforms.is_empty());
        signs.extend(known.map(|(name, platforms)| PlatformSign {
            platforms: platforms.to_vec(),
            strength: Strength::Installed,
            found: format!("service {name}"),
        }));
    }
    Ok(SourceFacts::from_signs(signs))
}

/// The manufacturer of the hardware that was used last.
fn manufacturers(tree: &GuestTree) -> Result<Vec<String>> {
    const CONFIGS: &str = r"SYSTEM\HardwareConfig";
    let mut latest: Option<(u64, String)> = None;
    for config in tree.registry_subkeys(CONFIGS)? {
        let key = format!(r"{CONFIGS}\{config}");
        let used = tree.registry_value(&key, "LastUse")?;
        let bytes = used.and_then(|used| used.data.as_slice().try_into().ok());
        let used = bytes.map_or(0, u64::from_le_bytes);
        let mut name = tree.registry_value(&key, "SystemManufacturer")?.as_ref().and_then(Value::as_str);
        if name.is_none() {
            let ids = tree.registry_values(&format!(r"{key}\ComputerIds"))?;
            let texts = ids.iter().filter_map(|(_, value)| value.as_str());
            name = texts.filter_map(|text| text.split('&').next().map(str::to_owned)).next();
        }
        if let Some(name) = name.filter(|_| latest.as_ref().is_none_or(|(last, _)| used >= *last)) {
            latest = Some((used, name));
        }
    }
    Ok(latest.into_iter().map(|(_, name)| name).collect())
}
