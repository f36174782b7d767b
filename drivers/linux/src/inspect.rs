//! Looks at a Linux guest: facts only.

use crate::fstab::fields;
use crate::kernels;
use crate::loader_files;
use crate::os_release::{
    OsRelease, elf_machine, parse_lsb_release, parse_os_release, parse_release_line, parse_version_file,
};
use crate::source_platform;
use driver_core::{FileKind, Guest, GuestTree, MappingFacts, OsFacts, TEXT_LIMIT};
use format_core::{ErrorKind, Result};

/// A shell is far smaller.
const PROGRAM_LIMIT: u64 = 32 << 20;

/// Adds to `facts` what the file systems of a Linux guest say: the system, its kernels with the state of each of
/// `interesting_modules`, the boot loader, and obstacles. A tree without a Linux system adds nothing.
///
/// Reads each initramfs once. What is broken in the guest becomes an obstacle.
///
/// # Errors
/// When a file system cannot be read.
pub fn inspect(tree: &GuestTree, facts: &mut Guest, interesting_modules: &[&str]) -> Result<()> {
    let Some(os) = operating_system(tree)? else { return Ok(()) };
    facts.os = Some(os);
    // By BIOS systemd-boot starts nothing.
    let by_systemd = facts.boot.bios.is_none() && loader_files::is_systemd_boot(tree)?;
    facts.mappings = read_crypttab(&text(tree, "/etc/crypttab")?.unwrap_or_default());
    if facts.boot.loader.is_none() {
        facts.boot.loader = boot_loader(tree, by_systemd, &mut facts.obstacles)?;
    }
    (facts.kernels, facts.boot.kernel) =
        kernels::find(tree, by_systemd, interesting_modules, &mut facts.obstacles)?;
    let id = facts.os.as_ref().map(|os| os.id.as_str()).unwrap_or_default();
    facts.source =
        source_platform::find(tree, id, facts.kernels.iter().map(|kernel| kernel.version.as_str()))?;
    if facts.kernels.is_empty() {
        facts.obstacles.push("no kernel was found: /lib/modules has no folder with a modules.dep".into());
    }
    Ok(())
}

/// A small file as text; `None` when there is none, or when it is too large or a loop of links.
pub(crate) fn text(tree: &GuestTree, path: &str) -> Result<Option<String>> {
    match tree.read_file(path, TEXT_LIMIT) {
        Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if matches!(e.kind(), ErrorKind::Limit | ErrorKind::Usage) => Ok(None),
        Err(e) => Err(e.context(format!("read {path}"))),
    }
}

/// Whether `path` leads to something; a loop of links leads nowhere.
pub(crate) fn kind_of(tree: &GuestTree, path: &str) -> Result<Option<FileKind>> {
    match tree.metadata(path) {
        Ok(meta) => Ok(meta.map(|meta| meta.kind)),
        Err(e) if e.kind() == ErrorKind::Usage => Ok(None),
        Err(e) => Err(e.context(format!("look at {path}"))),
    }
}

/// The lines of crypttab(5).
#[must_use]
pub fn read_crypttab(text: &str) -> Vec<MappingFacts> {
    text.lines().filter_map(mapping).collect()
}

fn mapping(line: &str) -> Option<MappingFacts> {
    let mut fields = fields(line).filter_map(|place| line.get(place));
    Some(MappingFacts { name: fields.next()?.to_owned(), device: fields.next()?.to_owned() })
}

fn operating_system(tree: &GuestTree) -> Result<Option<OsFacts>> {
    let Some((release, known_by)) = release(tree)? else { return Ok(None) };
    let hostname = text(tree, "/etc/hostname")?
        .and_then(|text| text.lines().map(str::trim).find(|line| is_host_name(line)).map(str::to_owned));
    Ok(Some(OsFacts {
        family: "linux".into(),
        id: release.id,
        version: release.version,
        name: release.name,
        arch: architecture(tree)?,
        known_by: known_by.into(),
        hostname,
        local_clock: text(tree, "/etc/adjtime")?.is_some_and(|text| is_local(&text)),
    }))
}

/// The third line says what the hardware clock is in (adjtime_config(5)); without one it is UTC.
fn is_local(adjtime: &str) -> bool {
    adjtime.lines().nth(2).is_some_and(|line| line.trim() == "LOCAL")
}

fn release(tree: &GuestTree) -> Result<Option<(OsRelease, &'static str)>> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(found) = text(tree, path)?.as_deref().and_then(parse_os_release) {
            return Ok(Some((found, path)));
        }
    }
    for path in ["/etc/redhat-release", "/etc/system-release", "/etc/SuSE-release"] {
        if let Some(found) = text(tree, path)?.as_deref().and_then(parse_release_line) {
            return Ok(Some((found, path)));
        }
    }
    let path = "/etc/lsb-release";
    if let Some(found) = text(tree, path)?.as_deref().and_then(parse_lsb_release) {
        return Ok(Some((found, path)));
    }
    for (path, id) in
        [("/etc/alpine-release", "alpine"), ("/etc/arch-release", "arch"), ("/etc/debian_version", "debian")]
    {
        if let Some(content) = text(tree, path)? {
            return Ok(Some((parse_version_file(id, &content), path)));
        }
    }
    Ok(None)
}

/// hostname(5): letters, digits, hyphens and dots; `#` starts a comment.
fn is_host_name(line: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !line.is_empty() && line.len() <= 253 && line.chars().all(fits)
}

fn architecture(tree: &GuestTree) -> Result<Option<String>> {
    for path in ["/bin/sh", "/usr/bin/env", "/sbin/init"] {
        let program = match tree.read_file(path, PROGRAM_LIMIT) {
            Ok(program) => program,
            Err(e) if matches!(e.kind(), ErrorKind::Limit | ErrorKind::Usage) => None,
            Err(e) => return Err(e.context(format!("read {path}"))),
        };
        if let Some(machine) = program.as_deref().and_then(elf_machine) {
            return Ok(Some(machine.into()));
        }
    }
    Ok(None)
}

fn boot_loader(tree: &GuestTree, by_systemd: bool, obstacles: &mut Vec<String>) -> Result<Option<String>> {
    let unified = tree.read_dir("/boot/efi/EFI/Linux").unwrap_or_default();
    if unified.iter().any(|entry| entry.name.to_ascii_lowercase().ends_with(".efi")) {
        obstacles.push("unified kernel images in /boot/efi/EFI/Linux cannot be extended with drivers".into());
    }
    if let Some((loader, _)) = loader_files::loader(tree, by_systemd)? {
        return Ok(Some(loader.into()));
    }
    obstacles.push("no boot loader configuration was found below /boot".into());
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn the_third_line_of_adjtime_says_the_clock() {
        for (text, local) in
            [("0.0 0 0.0\n0\nLOCAL\n", true), ("0.0 0 0.0\n0\nUTC\n", false), ("LOCAL\n", false), ("", false)]
        {
            assert_eq!(is_local(text), local, "{text:?}");
        }
    }
}
