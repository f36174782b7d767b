//! The machine around the disks: read from the operator's files, or made from what the guest says.

use driver_core::{DefinitionKind, Guest};
use driver_machine::{
    Architecture, Bus, Clock, Cpu, Disk, DiskSource, FirmwareKind, Machine, MachineErrorKind, Nic, OsFamily,
    OsHint, Warning,
};
use format_core::{Error, ErrorKind, Result, check_json_weight, read_small_file};
use std::path::Path;

/// A small server, for guests that come without a description.
const DEFAULT_CPUS: u32 = 2;
const DEFAULT_MEMORY_MIB: u64 = 4096;
/// Descriptions of a whole region's machines have a few MiB.
const MOST_BYTES: u64 = 64 << 20;
/// And so many values, where they are JSON.
const MOST_VALUES: usize = 1_000_000;
/// Characters of a name that every dialect reads.
const MAX_NAME: usize = 255;
/// Characters of a guest's name for itself.
const MAX_DESCRIPTION: usize = 200;

/// Reads the machine from `files`; `None` when there are none.
///
/// # Errors
/// `Corrupt` or `Unsupported` for what the files say; `SourceMissing` when one is missing; `Usage` when the machine
/// does not have as many disks as images were given.
pub fn described(
    files: &[std::path::PathBuf],
    instance: Option<&str>,
    images: usize,
) -> Result<Option<(Machine, Vec<Warning>)>> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut documents = Vec::new();
    for path in files {
        let bytes = read_small_file(path, MOST_BYTES)?;
        if bytes.trim_ascii_start().starts_with(b"{") || bytes.trim_ascii_start().starts_with(b"[") {
            check_json_weight(&bytes, MOST_VALUES).map_err(|e| e.context(path.display().to_string()))?;
        }
        documents.push(bytes);
    }
    let documents: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
    let (machine, warnings) = driver_machine::read_documents(&documents, instance).map_err(convert_error)?;
    if machine.disks.len() != images {
        let ids: Vec<_> = machine.disks_in_boot_order().iter().map(|disk| disk.id.as_str()).collect();
        let disks = machine.disks.len();
        return Err(Error::usage(format!(
            "the machine has {disks} disks ({}), {images} images were given",
            ids.join(", ")
        ))
        .hint("name one image for each disk, the boot disk first"));
    }
    Ok(Some((machine, warnings)))
}

/// Whether the images seem to be others than the description's, or in another order: nothing else tells data disks apart.
pub(crate) fn compare_names(machine: &Machine, sources: &[std::path::PathBuf]) -> Option<Warning> {
    let base = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let given: Vec<String> = sources.iter().map(|path| base(path)).collect();
    let disks = machine.disks_in_boot_order();
    let said: Vec<Option<String>> = disks
        .iter()
        .map(|disk| match &disk.source {
            DiskSource::File(name) => Some(base(Path::new(name))),
            DiskSource::Volume(_) => None,
        })
        .collect();
    if said.iter().all(Option::is_none) {
        return None;
    }
    let whole = |name: &str| name.to_owned();
    // A conversion changes what a name ends with.
    let stem = |name: &str| Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let found = places(&said, &given, whole).or_else(|| places(&said, &given, stem));
    let wrong = match &found {
        None => "no image has the name that the machine's description has for its disk",
        Some(places)
            if places.iter().enumerate().any(|(at, place)| place.is_some_and(|place| place != at)) =>
        {
            "the images are given in another order than in the machine's description"
        }
        Some(_) => return None,
    };
    let pairs = disks.iter().zip(&said).zip(&given);
    let pairs: Vec<String> = pairs
        .map(|((disk, said), given)| match said {
            Some(said) => format!("{} ({said}) gets {given}", disk.id),
            None => format!("{} gets {given}", disk.id),
        })
        .collect();
    Some(Warning { code: "disk-names", message: format!("{wrong}: {}; make sure of it", pairs.join(", ")) })
}

/// Which image has the name of each disk, where there is only one; `None` when no image has any.
fn places(
    said: &[Option<String>],
    given: &[String],
    part: impl Fn(&str) -> String,
) -> Option<Vec<Option<usize>>> {
    let place = |said: &Option<String>| {
        let said = part(said.as_deref()?);
        let mut fitting = (0..).zip(given).filter(|(_, name)| part(name) == said).map(|(at, _)| at);
        fitting.next().filter(|_| fitting.next().is_none())
    };
    let found: Vec<Option<usize>> = said.iter().map(place).collect();
    found.iter().any(Option::is_some).then_some(found)
}

/// A plain machine for `guest`.
pub(crate) fn plain(guest: &Guest, sources: &[std::path::PathBuf]) -> (Machine, Vec<Warning>) {
    let machine = plain_machine(guest, sources);
    let own = own_name(guest, sources);
    let renamed = (!own.trim().is_empty() && machine.name != own.trim()).then_some(own);
    let warning = default_warning(renamed.as_deref(), &machine.name);
    (machine, vec![warning])
}

/// What the guest's files say of its system, where the description says nothing: targets choose defaults by it. A description of Windows is
/// often vague, where its registry is exact.
pub(crate) fn name_system(machine: &mut Machine, guest: &Guest) {
    let Some(os) = guest.os.as_ref().filter(|_| machine.os.is_none() || guest.windows.is_some()) else {
        return;
    };
    let family = match os.family.as_str() {
        "linux" => OsFamily::Linux,
        "windows" => OsFamily::Windows,
        _ => OsFamily::Other,
    };
    let mut words = os.name.trim().to_owned();
    let says = |words: &str, more: &str| words.to_lowercase().contains(&more.to_lowercase());
    for more in [&os.id, &os.version] {
        if !says(&words, more) {
            words = format!("{words} {more}");
        }
    }
    machine.os = Some(OsHint { family, description: plain_text(&words) });
}

/// The clock of a machine for Windows: what its registry says when the fixups are done, which follow what the platform can say.
pub(crate) fn set_clock(machine: &mut Machine, guest: &Guest, kind: &DefinitionKind) {
    let (Some(_), Some(os)) = (&guest.windows, &guest.os) else { return };
    machine.clock = match kind.clock {
        driver_core::Clock::Local => Clock::Local,
        driver_core::Clock::Utc => Clock::Utc,
        driver_core::Clock::Either if os.local_clock => Clock::Local,
        driver_core::Clock::Either => Clock::Utc,
    };
}

/// What may stand in a machine's description of a foreign text.
fn plain_text(text: &str) -> String {
    plain_chars(text).take(MAX_DESCRIPTION).collect::<String>().trim().to_owned()
}

fn plain_chars(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| !format_core::steers(*c) && *c != '\t')
}

/// The machine's errors with this program's kinds.
pub(crate) fn convert_error(error: driver_machine::MachineError) -> Error {
    let kind = match error.kind() {
        MachineErrorKind::Invalid => ErrorKind::Corrupt,
        MachineErrorKind::Unsupported => ErrorKind::Unsupported,
        MachineErrorKind::Network => {
            return Error::usage(error.to_string()).hint("name another in --network-map");
        }
        MachineErrorKind::Together => {
            return Error::usage(error.to_string())
                .hint("give one --machine FILE; only the answers of AWS come in several files");
        }
        MachineErrorKind::Choice => {
            return Error::usage(error.to_string()).hint("name the one you mean with --instance ID");
        }
    };
    Error::new(kind, error.to_string())
}

fn default_warning(renamed: Option<&str>, name: &str) -> Warning {
    let mut message = format!(
        "no machine description was given: the machine gets {DEFAULT_CPUS} CPUs, {DEFAULT_MEMORY_MIB} MiB of memory \
         and one network adapter"
    );
    if let Some(own) = renamed {
        let own = driver_core::printable(own);
        message.push_str(&format!(
            "; its own name, {own:?}, is none that a machine can have, and it is called {name:?}"
        ));
    }
    Warning { code: "machine-default", message }
}

/// What the guest calls itself, else what its first image is called.
fn own_name(guest: &Guest, sources: &[std::path::PathBuf]) -> String {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let hostname = guest.os.as_ref().and_then(|os| os.hostname.clone());
    hostname.or_else(|| sources.first().map(|path| stem(path))).unwrap_or_default()
}

fn plain_machine(guest: &Guest, sources: &[std::path::PathBuf]) -> Machine {
    let name: String =
        plain_chars(&own_name(guest, sources)).take(MAX_NAME).collect::<String>().trim().to_owned();
    // For people alone: the image is opened by its path.
    let file = |path: &Path| {
        plain_chars(&path.file_name().unwrap_or_default().to_string_lossy()).collect::<String>()
    };
    let arm = guest.os.as_ref().and_then(|os| os.arch.as_deref()) == Some("aarch64");
    let boot = &guest.boot;
    let as_it_is = boot.uefi.is_some() && (boot.uefi_copy.is_none() || boot.bios.is_none());
    let kind = if as_it_is { FirmwareKind::Uefi } else { FirmwareKind::Bios };
    let local = guest.os.as_ref().is_some_and(|os| os.local_clock);
    let disk = |(order, (path, facts)): (u32, (&std::path::PathBuf, &driver_core::DiskFacts))| Disk {
        id: format!("disk{order}"),
        source: DiskSource::File(
            Some(file(path)).filter(|name| !name.is_empty()).unwrap_or_else(|| format!("disk{order}")),
        ),
        bus: Bus::Other,
        order,
        boot: order == 0,
        size_bytes: Some(facts.size).filter(|size| *size > 0 && size % 512 == 0),
        device_name: None,
    };
    Machine {
        rehome_machine: driver_machine::SchemaVersion,
        name: if name.trim().is_empty() { "rehomed".into() } else { name },
        uuid: None,
        architecture: if arm { Architecture::Arm64 } else { Architecture::X86_64 },
        firmware: driver_machine::Firmware { kind, secure_boot: None },
        cpu: Cpu { count: DEFAULT_CPUS, topology: None },
        memory_mib: DEFAULT_MEMORY_MIB,
        clock: if local { Clock::Local } else { Clock::Utc },
        tpm: None,
        disks: (0..).zip(sources.iter().zip(&guest.disks)).map(disk).collect(),
        nics: vec![Nic::default()],
        os: None,
        tags: Default::default(),
        notes: None,
        provenance: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::OsFacts;

    fn guest(family: &str, id: &str, version: &str, name: &str) -> Guest {
        let text = str::to_owned;
        let os = OsFacts {
            family: text(family),
            id: text(id),
            version: text(version),
            name: text(name),
            ..OsFacts::default()
        };
        Guest { os: Some(os), ..Guest::default() }
    }

    #[test]
    fn images_in_another_order_than_described_are_noticed() {
        let told = |said: &[&str], given: &[&str]| {
            let paths = |names: &[&str]| names.iter().map(std::path::PathBuf::from).collect::<Vec<_>>();
            let disks = vec![driver_core::DiskFacts::default(); said.len()];
            let (machine, _) = plain(&Guest { disks, ..Guest::default() }, &paths(said));
            compare_names(&machine, &paths(given)).map(|warning| warning.message)
        };
        let said = ["b.raw", "d1.raw", "d2.raw"];
        assert_eq!(told(&said, &["x/b.raw", "d1.raw", "/y/d2.raw"]), None);
        let swapped = told(&said, &["b.raw", "d2.raw", "d1.raw"]).unwrap();
        assert!(
            swapped.contains("another order") && swapped.contains("disk1 (d1.raw) gets d2.raw"),
            "{swapped}"
        );
        assert_eq!(told(&said, &["b.qcow2", "d1.qcow2", "d2.qcow2"]), None);
        assert!(told(&said, &["b.qcow2", "d2.qcow2", "d1.qcow2"]).is_some());
        assert!(told(&said, &["x.raw", "y.raw", "z.raw"]).unwrap().contains("no image has the name"));
        assert_eq!(told(&said, &["b.raw", "y.raw", "d2.raw"]), None);
        // Nothing tells the parts of one name apart.
        assert_eq!(told(&["vm.1", "vm.2"], &["vm.1", "vm.2"]), None);
    }

    #[test]
    fn a_guest_says_what_system_it_is_where_no_description_does() {
        for (guest, expected) in [
            (
                guest("linux", "debian", "12", "Debian GNU/Linux 12 (bookworm)"),
                "Debian GNU/Linux 12 (bookworm)",
            ),
            (guest("linux", "amzn", "2023", "Amazon Linux"), "Amazon Linux amzn 2023"),
            (guest("linux", "ubuntu", "", "\u{1b}[31mx\n"), "[31mx ubuntu"),
        ] {
            let (mut machine, _) = plain(&guest, &[]);
            assert_eq!(machine.os, None);
            name_system(&mut machine, &guest);
            let hint = machine.os.clone().unwrap();
            assert_eq!((hint.family, hint.description.as_str()), (OsFamily::Linux, expected));
        }
        let (mut machine, _) = plain(&Guest::default(), &[]);
        name_system(&mut machine, &Guest::default());
        assert_eq!(machine.os, None);
        let own = OsHint { family: OsFamily::Windows, description: "Windows".into() };
        machine.os = Some(own.clone());
        name_system(&mut machine, &guest("linux", "debian", "12", "Debian"));
        assert_eq!(machine.os, Some(own), "the description goes before");
    }
}
