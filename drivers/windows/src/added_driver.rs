//! Storage drivers that are not part of Windows: one that is installed, or one out of a package.
//!
//! Sources: what is written for a package is what its INF declares for the service. How Windows 8 and later find a driver for a boot device that
//! they never saw is what virt-v2v writes, which is known to start Windows 8 to Server 2025: `DriverDatabase` of SYSTEM with the device's
//! identifiers, a configuration that names the service, and a package whose `Version` holds the class (the form was compared with a SYSTEM hive
//! of Windows 8.1: two flags, the processor, the class, date, version). Date and version stay zero, so that the package itself, which is
//! installed at the first start, goes before it. Up to Windows 7 it is CriticalDeviceDatabase.

use crate::in_the_way::nothing_in_the_way;
use crate::services::{BOOT, service_key};
use driver_core::{Draft, DriverPackage, DriverService, Ownership, ServiceData, WindowsFacts, WriteMode};
use driver_registry::{Kind, Value};
use format_core::{Error, Result};

const DATABASE: &str = r"SYSTEM\DriverDatabase";
/// A driver is far smaller.
const DRIVER_LIMIT: u64 = 32 << 20;
/// Flags of a device's entry in real hives: the INF has it as its hardware identifier, or as a compatible one.
const HARDWARE_ID: [u8; 4] = [1, 0xff, 0, 0];
const COMPATIBLE_ID: [u8; 4] = [2, 0xff, 0, 0];
/// Of a name in the registry, in UTF-16 units (Microsoft, "Registry element size limits").
const LONGEST_KEY: usize = 255;

/// Plans that an installed driver is started by the boot loader.
pub(crate) fn start_at_boot(
    draft: &mut Draft<'_>,
    windows: &WindowsFacts,
    service: &str,
    reason: &str,
) -> Result<()> {
    for set in &windows.control_sets {
        let key = service_key(set, service);
        draft.set_value(&key, "Start", Value::dword(BOOT), reason)?;
        let held = "it keeps the driver from starting on new hardware";
        draft.delete_key(&format!(r"{key}\StartOverride"), held)?;
    }
    Ok(())
}

/// Plans that `service` of `package` drives the disk that Windows starts from.
pub(crate) fn inject(
    draft: &mut Draft<'_>,
    windows: &WindowsFacts,
    arch: Option<&str>,
    package: &DriverPackage,
    service: &DriverService,
) -> Result<()> {
    let reason = format!("the target's disks need it; from {} {}", package.source, version_text(package));
    copy_binary(draft, windows, package, service, &reason)?;
    for set in &windows.control_sets {
        register(draft, set, service, &reason)?;
        if !windows.has_driver_database() {
            make_critical(draft, set, package, service, &reason)?;
        }
    }
    if windows.has_driver_database() {
        add_to_database(draft, arch, package, service, &reason)?;
    }
    Ok(())
}

/// A path below the package's folder that is neither anything else nor anything to cmd.exe or NTFS.
pub(crate) fn is_plain(name: &str) -> bool {
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    name.len() < 200 && name.split('\\').all(is_name)
}

fn version_text(package: &DriverPackage) -> String {
    package.version.map(|part| part.to_string()).join(".")
}

fn copy_binary(
    draft: &mut Draft<'_>,
    windows: &WindowsFacts,
    package: &DriverPackage,
    service: &DriverService,
    reason: &str,
) -> Result<()> {
    let missing = || Error::needs_person(format!("{} has no {}", package.source, service.binary));
    let file = package.file(&service.binary).ok_or_else(missing)?;
    if service.binary.contains('\\') || !is_plain(&service.binary) {
        return Err(Error::needs_person(format!(
            "{}: {:?} is no name of a driver",
            package.source, service.binary
        )));
    }
    let path = format!("{}/System32/drivers/{}", windows.system_root, service.binary);
    nothing_in_the_way(draft, &path)?;
    let content = file.content.to_vec();
    match draft.read(&path, DRIVER_LIMIT)? {
        Some(before) if before == content => Ok(()),
        Some(before) => draft.replace(&path, before, content, reason),
        None => draft.create(&path, content, Ownership::ROOT_FILE, reason),
    }
}

fn register(draft: &mut Draft<'_>, set: &str, service: &DriverService, reason: &str) -> Result<()> {
    let key = service_key(set, &service.name);
    let path = format!(r"System32\drivers\{}", service.binary);
    draft.set_value(&key, "Type", Value::dword(service.service_type), reason)?;
    draft.set_value(&key, "Start", Value::dword(BOOT), reason)?;
    draft.set_value(&key, "ErrorControl", Value::dword(service.error_control), reason)?;
    draft.set_value(&key, "ImagePath", Value::expand_string(&path), reason)?;
    if let Some(group) = &service.load_order_group {
        draft.set_value(&key, "Group", Value::string(group), reason)?;
    }
    for value in &service.values {
        let below = if value.key.is_empty() { key.clone() } else { format!(r"{key}\{}", value.key) };
        if value.key.split('\\').any(|name| name.encode_utf16().count() > LONGEST_KEY) {
            return Err(Error::needs_person(format!(
                "service {}: a key of its INF has a name that is too long",
                service.name
            )));
        }
        let before = draft.value(&below, &value.name)?;
        let Some(data) = registry_value(&value.value) else {
            draft.create_key(&below, reason)?;
            continue;
        };
        let keeps = match value.mode {
            WriteMode::Set => false,
            WriteMode::Keep => before.is_some(),
            WriteMode::ReplaceOnly => before.is_none(),
            WriteMode::Append => before.as_ref().is_some_and(|before| holds_all(before, &data)),
        };
        if !keeps {
            let data = if value.mode == WriteMode::Append { appended(before, data) } else { data };
            draft.set_value(&below, &value.name, data, reason)?;
        }
    }
    draft.delete_key(&format!(r"{key}\StartOverride"), "it keeps the driver from starting on new hardware")
}

fn registry_value(data: &ServiceData) -> Option<Value> {
    Some(match data {
        ServiceData::Dword(number) => Value::dword(*number),
        ServiceData::String(text) => Value::string(text),
        ServiceData::ExpandString(text) => Value::expand_string(text),
        ServiceData::MultiString(texts) => Value::multi_string(texts),
        ServiceData::Binary(bytes) => Value::binary(bytes.clone()),
        ServiceData::Key => return None,
    })
}

fn holds_all(before: &Value, more: &Value) -> bool {
    let (before, more) = (before.as_multi_str().unwrap_or_default(), more.as_multi_str().unwrap_or_default());
    more.iter().all(|text| before.contains(text))
}

fn appended(before: Option<Value>, more: Value) -> Value {
    let Some(mut texts) = before.as_ref().and_then(Value::as_multi_str) else { return more };
    let new = more.as_multi_str().unwrap_or_default();
    texts.extend(new.into_iter().filter(|text| !texts.contains(text)).collect::<Vec<_>>());
    Value::multi_string(&texts)
}

/// Identifiers of the devices that the service drives, without their bus: `VEN_1AF4&DEV_1001&…` of `PCI`; and whether it is a compatible one.
fn devices<'a>(
    package: &'a DriverPackage,
    service: &'a DriverService,
) -> impl Iterator<Item = (&'a str, &'a str, bool)> {
    let own =
        |name: &Option<String>| name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&service.name));
    let devices = package.devices.iter().filter(move |device| own(&device.service));
    devices.filter_map(|device| {
        let (bus, id) = device.hardware_id.split_once('\\')?;
        Some((bus, id, device.is_compatible_id))
    })
}

fn make_critical(
    draft: &mut Draft<'_>,
    set: &str,
    package: &DriverPackage,
    service: &DriverService,
    reason: &str,
) -> Result<()> {
    for (bus, device, _) in devices(package, service) {
        let device = device.replace('\\', "#");
        let key = format!(r"SYSTEM\{set}\Control\CriticalDeviceDatabase\{bus}#{device}");
        draft.set_value(&key, "Service", Value::string(&service.name), reason)?;
        draft.set_value(&key, "ClassGUID", Value::string(&package.class_guid.to_uppercase()), reason)?;
    }
    Ok(())
}

fn add_to_database(
    draft: &mut Draft<'_>,
    arch: Option<&str>,
    package: &DriverPackage,
    service: &DriverService,
    reason: &str,
) -> Result<()> {
    let (name, number) = match arch {
        Some("i686") => ("x86", 0),
        Some("aarch64") => ("arm64", 12),
        _ => ("amd64", 9),
    };
    let inf = format!("rehome_{}.inf", service.name.to_lowercase());
    let label = format!("{inf}_{name}_0000000000000000");
    let configuration = format!("rehome_{}", service.name.to_lowercase());
    let file = format!(r"{DATABASE}\DriverInfFiles\{inf}");
    draft.set_value(&file, "", Value::multi_string(&[&label]), reason)?;
    draft.set_value(&file, "Active", Value::string(&label), reason)?;
    draft.set_value(&file, "Configurations", Value::multi_string(&[&configuration]), reason)?;
    let root = format!(r"{DATABASE}\DriverPackages\{label}");
    let version = Value::raw(Kind::BINARY, version_blob(number, &package.class_guid)?);
    draft.set_value(&root, "Version", version, reason)?;
    let configured = format!(r"{root}\Configurations\{configuration}");
    draft.set_value(&configured, "ConfigFlags", Value::dword(0), reason)?;
    draft.set_value(&configured, "Service", Value::string(&service.name), reason)?;
    for (bus, device, is_compatible) in devices(package, service) {
        let id = format!(r"{DATABASE}\DeviceIds\{bus}\{device}");
        draft.set_value(
            &id,
            &inf,
            Value::binary(if is_compatible { COMPATIBLE_ID } else { HARDWARE_ID }),
            reason,
        )?;
        let descriptor = format!(r"{root}\Descriptors\{bus}\{device}");
        draft.set_value(&descriptor, "Configuration", Value::string(&configuration), reason)?;
    }
    Ok(())
}

/// `Version` of a package: flags of a foreign one, the processor, the class; date and version zero.
fn version_blob(processor: u8, class_guid: &str) -> Result<Vec<u8>> {
    let mut blob = vec![0, 0xff, processor, 0, 0, 0, 0, 0];
    blob.extend(
        guid_bytes(class_guid)
            .ok_or_else(|| Error::needs_person(format!("{class_guid:?} is no class of drivers")))?,
    );
    blob.resize(48, 0);
    Ok(blob)
}

/// A GUID as it lies in memory: the first three fields little-endian.
fn guid_bytes(text: &str) -> Option<[u8; 16]> {
    let hex: String = text.trim_matches(['{', '}']).chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == 32)?;
    let mut bytes = number.to_be_bytes();
    for (from, to) in [(0, 4), (4, 6), (6, 8)] {
        bytes.get_mut(from..to)?.reverse();
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_package_is_that_of_real_hives_but_for_date_and_version() {
        let blob = version_blob(9, "{4d36e97b-e325-11ce-bfc1-08002be10318}").unwrap();
        let real = "00ff0900000000007be9364d25e3ce11bfc108002be10318";
        let hex: String = blob.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(hex.starts_with(real) && hex[real.len()..].bytes().all(|byte| byte == b'0'), "{hex}");
        assert_eq!(blob.len(), 48);
        assert!(version_blob(9, "").is_err());
    }
}
