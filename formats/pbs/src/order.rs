//! Names of disks, and which comes first.

/// What the container calls the disk in the file `name`: `drive-scsi0` for `drive-scsi0.img.fidx`.
pub(crate) fn disk_name(name: &str) -> &str {
    let stem = name.strip_suffix(".fidx").unwrap_or(name);
    stem.strip_suffix(".img").unwrap_or(stem)
}

/// Sorts the names of disks: those that the machine starts from, the others, what belongs to the firmware.
pub(crate) fn sort_disks(names: &mut [String], config: Option<&str>) {
    let boot = config.map(boot_order).unwrap_or_default();
    names.sort_by_cached_key(|name| {
        let device = disk_name(name);
        let device = device.strip_prefix("drive-").unwrap_or(device);
        let place = boot.iter().position(|wanted| *wanted == device).unwrap_or(usize::MAX);
        let is_firmware = device.starts_with("efidisk") || device.starts_with("tpmstate");
        let bus = device.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let number = device.get(bus.len()..).and_then(|digits| digits.parse::<u32>().ok());
        (place, is_firmware, bus.to_owned(), number, name.clone())
    });
}

/// The devices that the configuration of a machine starts from, in order. Sections behind it are its snapshots.
fn boot_order(config: &str) -> Vec<&str> {
    let mut devices = Vec::new();
    for line in config.lines().take_while(|line| !line.starts_with('[')) {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key.trim() {
            "boot" => {
                let orders = value.split(',').filter_map(|part| part.trim().strip_prefix("order="));
                devices.extend(orders.flat_map(|order| order.split(';')).map(str::trim));
            }
            "bootdisk" => devices.push(value.trim()),
            _ => {}
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_disk_comes_first_and_firmware_last() {
        let files =
            ["drive-efidisk0", "drive-scsi10", "drive-scsi2", "drive-tpmstate0-backup", "drive-virtio0"];
        let mut names: Vec<_> = files.iter().map(|name| format!("{name}.img.fidx")).collect();
        sort_disks(&mut names, None);
        let order =
            |names: &[String]| names.iter().map(|name| disk_name(name).to_owned()).collect::<Vec<_>>();
        let plain =
            ["drive-scsi2", "drive-scsi10", "drive-virtio0", "drive-efidisk0", "drive-tpmstate0-backup"];
        assert_eq!(order(&names), plain);
        sort_disks(&mut names, Some("name: x\nboot: order=ide2;virtio0;net0\n[old]\nbootdisk: scsi2\n"));
        assert_eq!(order(&names)[..2], ["drive-virtio0", "drive-scsi2"]);
        sort_disks(&mut names, Some("boot: c\nbootdisk: scsi10\n"));
        assert_eq!(order(&names)[0], "drive-scsi10");
    }
}
