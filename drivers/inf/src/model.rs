//! From an INF file to a driver package for one guest.
//!
//! Sources: "INF Version Section", "INF Manufacturer Section", "INF Models Section", "INF DDInstall Section", "INF
//! DDInstall.HW Section", "INF DDInstall.Services Section", "INF AddService Directive" and "INF DriverVer Directive" of
//! Microsoft's driver documentation.

use crate::copies::{Copied, Copies};
use crate::inf::Inf;
use crate::lines::Line;
use crate::reader::Reader;
use crate::registry;
use crate::service;
use crate::target::{Arch, WindowsVersion, decorated, fit, undecorated};
use driver_core::{DriverDate, DriverDevice, DriverPackage, DriverService, ServiceValue};
use format_core::Result;
use std::collections::BTreeMap;

/// What an INF file declares for a guest, before its files are read.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    /// Without `inf`, `source` and `files`: the INF does not know them.
    pub(crate) package: DriverPackage,
    pub(crate) copied: Vec<Copied>,
    /// Bytes that this keeps, about.
    pub(crate) cost: usize,
}

/// What an install section makes of a device.
#[derive(Clone, Default)]
struct Install {
    service: Option<String>,
    values: Vec<ServiceValue>,
}

/// Reads what `inf` declares for the guest. `None`: it is no driver's INF, or for others.
///
/// # Errors
/// `Corrupt` for a service that is not fully declared, `Limit`.
pub(crate) fn declared(inf: &Inf, guest: &WindowsVersion, arch: Arch) -> Result<Option<Declared>> {
    let signature = inf.value("Version", "Signature").unwrap_or_default();
    if !["$Windows NT$", "$Chicago$"].iter().any(|known| known.eq_ignore_ascii_case(signature)) {
        return Ok(None);
    }
    let mut reader = Reader::new(inf, arch);
    let models = models(&mut reader, guest)?;
    if models.is_empty() {
        return Ok(None);
    }
    let mut package = version(inf, arch);
    let mut copies = Copies::new(&mut reader)?;
    let mut installs: BTreeMap<String, Install> = BTreeMap::new();
    for line in models {
        let Some(name) = line.field(0) else { continue };
        let key = name.to_lowercase();
        let install = match installs.get(&key) {
            Some(install) => install,
            None => {
                let made = install(&mut reader, name, &mut copies, &mut package.services)?;
                installs.entry(key).or_insert(made)
            }
        };
        for (index, id) in line.fields.iter().skip(1).enumerate().filter(|(_, id)| !id.is_empty()) {
            let values: usize = install.values.iter().map(registry::size).sum();
            reader.charge(size_of::<DriverDevice>() + values + id.len() + 256)?;
            package.devices.push(DriverDevice {
                hardware_id: id.clone(),
                is_compatible_id: index > 0,
                description: line.key.clone().unwrap_or_default(),
                service: install.service.clone(),
                values: install.values.clone(),
            });
        }
    }
    if package.devices.is_empty() {
        return Ok(None);
    }
    let cost = reader.cost();
    package.notes = reader.notes;
    Ok(Some(Declared { package, copied: copies.copied, cost }))
}

/// The entries of the models sections that fit best, one section for each manufacturer.
fn models<'a>(reader: &mut Reader<'a>, guest: &WindowsVersion) -> Result<Vec<&'a Line>> {
    let mut models = Vec::new();
    for line in reader.section("Manufacturer")?.unwrap_or_default() {
        let Some(name) = line.field(0) else { continue };
        // An entry without `=` is name and section in one, and has no decorations.
        let decorations = line.fields.get(1..).filter(|_| line.key.is_some()).unwrap_or_default();
        reader.charge(size_of_val(decorations))?;
        let own = undecorated(reader.arch).map(|fit| (fit, name.to_owned()));
        let others = decorations.iter().filter_map(|decoration| {
            let fit = fit(decoration, guest, reader.arch)?;
            Some((fit, format!("{name}.{decoration}")))
        });
        // An empty section that fits best is there to say that nothing is for this Windows.
        let Some((_, section)) = own.into_iter().chain(others).max_by_key(|(fit, _)| *fit) else { continue };
        match reader.section(&section)? {
            Some(lines) => models.extend(lines),
            None if decorations.is_empty() => {}
            None => reader.note(format!("[Manufacturer] names [{section}], which is not there")),
        }
    }
    Ok(models)
}

fn version(inf: &Inf, arch: Arch) -> DriverPackage {
    let text = |key: &str| inf.value("Version", key).unwrap_or_default().to_owned();
    let catalog = decorated("CatalogFile", arch).into_iter().find_map(|key| inf.value("Version", &key));
    let lines = inf.section("Version").unwrap_or_default();
    let driver_ver = lines.iter().find(|line| line.is("DriverVer"));
    let field = |index| driver_ver.and_then(|line| line.field(index)).unwrap_or_default();
    DriverPackage {
        inf: String::new(),
        source: String::new(),
        provider: text("Provider"),
        class: text("Class"),
        class_guid: text("ClassGuid").to_lowercase(),
        date: date(field(0)).unwrap_or_default(),
        version: numbers(field(1)).unwrap_or_default(),
        catalog: catalog.map(str::to_owned),
        services: Vec::new(),
        devices: Vec::new(),
        files: Vec::new(),
        notes: Vec::new(),
    }
}

/// `mm/dd/yyyy`, also with hyphens.
fn date(text: &str) -> Option<DriverDate> {
    let mut parts = text.split(['/', '-']);
    let mut next = || parts.next()?.trim().parse::<u16>().ok();
    let (month, day, year) = (next()?, next()?, next()?);
    let is_day = (1..=12).contains(&month) && (1..=31).contains(&day) && parts.next().is_none();
    is_day.then_some(())?;
    Some(DriverDate { year, month: u8::try_from(month).ok()?, day: u8::try_from(day).ok()? })
}

/// `w[.x[.y[.z]]]`, each up to 65535.
fn numbers(text: &str) -> Option<[u16; 4]> {
    let mut version = [0; 4];
    let mut parts = text.split('.');
    for (slot, part) in version.iter_mut().zip(&mut parts) {
        *slot = part.trim().parse().ok()?;
    }
    parts.next().is_none().then_some(version)
}

/// What the install section `name` does.
fn install<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    copies: &mut Copies<'a>,
    services: &mut Vec<DriverService>,
) -> Result<Install> {
    let Some(section) = reader.install_section(name) else {
        reader.note(format!("there is no install section [{name}]"));
        return Ok(Install::default());
    };
    for part in [section.clone(), format!("{section}.CoInstallers")] {
        let lines = reader.with_needs(&part)?;
        copies.take(reader, &lines)?;
    }
    let lines = reader.with_needs(&format!("{section}.HW"))?;
    let values = registry::values(reader, &lines)?;
    let service = service::add(reader, &format!("{section}.Services"), services)?;
    Ok(Install { service, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_versions() {
        let day = |year, month, day| Some(DriverDate { year, month, day });
        for (text, value) in [
            ("07/21/2023", day(2023, 7, 21)),
            ("7-1-2010", day(2010, 7, 1)),
            ("13/01/2023", None),
            ("01/01/2023/1", None),
            ("2023", None),
            ("", None),
        ] {
            assert_eq!(date(text), value, "{text}");
        }
        for (text, value) in [
            ("62.93.104.24000", Some([62, 93, 104, 24000])),
            ("1.2", Some([1, 2, 0, 0])),
            ("1.2.3.4.5", None),
            ("1.65536", None),
            ("", None),
        ] {
            assert_eq!(numbers(text), value, "{text}");
        }
    }
}
