//! Images of RHEL 5's mkinitrd: nash, a small interpreter, runs `init`, which loads each module by its path and knows nothing of
//! device aliases.
//!
//! Facts: mkinitrd(8) of RHEL 5 copies modules to `/lib/NAME.ko` and writes `insmod /lib/NAME.ko` for each in the order of their
//! dependencies. `mkblkdevs` makes the device nodes once before any module and once more after them; `resume` and `mkrootdev`
//! follow. So a module that is not in the script is never loaded, and new lines go behind the last `insmod` before the first
//! command that needs the devices.

use crate::modules::module_name;
use std::collections::BTreeSet;

/// The script, in the image.
pub(crate) const SCRIPT: &str = "init";

/// Whether it is a script of nash.
pub(crate) fn is_script(content: &[u8]) -> bool {
    let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"#!") && first.trim_ascii_end().ends_with(b"/nash")
}

/// Names of the modules that the script loads.
pub(crate) fn loaded(script: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(script);
    text.lines().filter_map(loads).collect()
}

/// The module of an `insmod` line.
fn loads(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let path = words.next().filter(|word| *word == "insmod").and_then(|_| words.next())?;
    let file = path.rsplit('/').next().unwrap_or(path);
    Some(module_name(file.strip_suffix(".ko").unwrap_or(file)))
}

/// Whether the line works with the devices that the modules above it have found.
fn needs_devices(line: &str) -> bool {
    matches!(line.split_whitespace().next(), Some("mkblkdevs" | "mkrootdev" | "resume"))
}

/// The script with the modules at `paths` loaded too, in that order; `None` where there is no place for them.
pub(crate) fn with_modules(script: &[u8], paths: &[String]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(script).ok()?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let first = lines.iter().position(|line| loads(line).is_some())?;
    let needed = first + lines.get(first..)?.iter().position(|line| needs_devices(line))?;
    let last = lines.get(..needed)?.iter().rposition(|line| loads(line).is_some())?;
    let mut new = String::with_capacity(text.len() + paths.len() * 80);
    for (at, line) in lines.iter().enumerate() {
        new += line;
        if at == last {
            for path in paths {
                let name = path.rsplit('/').next().unwrap_or(path);
                new += &format!("echo \"Loading {name} module\"\ninsmod /{path}\n");
            }
        }
    }
    Some(new.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: &[u8] =
        b"#!/bin/nash\nsetquiet\ninsmod /lib/sd_mod.ko\ninsmod /lib/dm-mod.ko x=1\nmkblkdevs\ninsmod /lib/late.ko\n";

    #[test]
    fn modules_are_loaded_before_devices_get_their_nodes() {
        assert!(is_script(INIT) && !is_script(b"#!/bin/sh\n# /bin/nash\n") && !is_script(b""));
        assert_eq!(loaded(INIT).into_iter().collect::<Vec<_>>(), ["dm_mod", "late", "sd_mod"]);
        let new = with_modules(INIT, &["lib/a.ko".into(), "lib/b-c.ko".into()]).unwrap();
        let expected = "#!/bin/nash\nsetquiet\ninsmod /lib/sd_mod.ko\ninsmod /lib/dm-mod.ko x=1\n\
                        echo \"Loading a.ko module\"\ninsmod /lib/a.ko\necho \"Loading b-c.ko module\"\ninsmod /lib/b-c.ko\n\
                        mkblkdevs\ninsmod /lib/late.ko\n";
        assert_eq!(String::from_utf8(new).unwrap(), expected);
        assert_eq!(with_modules(b"#!/bin/nash\nmkblkdevs\n", &[]), None);
        assert_eq!(with_modules(b"#!/bin/nash\ninsmod /lib/a.ko\n", &[]), None);
    }

    #[test]
    fn nodes_are_made_before_the_modules_too() {
        let before = "#!/bin/nash\nmount -t proc /proc /proc\nsetquiet\necho Setting up hotplug.\nhotplug\n\
                      echo Creating block device nodes.\nmkblkdevs\necho \"Loading ehci-hcd.ko module\"\n\
                      insmod /lib/ehci-hcd.ko \nmount -t usbfs /proc/bus/usb /proc/bus/usb\n\
                      echo \"Loading scsi_mod.ko module\"\ninsmod /lib/scsi_mod.ko \ninsmod /lib/mptspi.ko \n";
        let added = "echo \"Loading virtio_blk.ko module\"\ninsmod /lib/virtio_blk.ko\n";
        let root = "echo Creating root device.\nmkrootdev -t ext3 -o defaults,ro /dev/VolGroup00/LogVol00\n";
        for after in [
            format!(
                "echo Waiting for driver initialization.\nstabilized --hash /proc/scsi/scsi\nmkblkdevs\nlvm vgscan\nresume LABEL=s\n{root}"
            ),
            format!("resume LABEL=s\ninsmod /lib/late.ko\nmkblkdevs\n{root}"),
            root.to_owned(),
        ] {
            let script = format!("{before}{after}");
            let new = with_modules(script.as_bytes(), &["lib/virtio_blk.ko".into()]).unwrap();
            assert_eq!(String::from_utf8(new).unwrap(), format!("{before}{added}{after}"));
        }
    }
}
