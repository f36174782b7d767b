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

/// The files of the disks that a backup of a machine with this configuration has.
pub(crate) fn configured(config: &str) -> Vec<String> {
    // The lines that the backup itself adds say it best: #qmdump#map:DEVICE:NAME:STORAGE:FORMAT:
    let noted = config.lines().filter_map(|line| line.strip_prefix("#qmdump#map:")?.split(':').nth(1));
    let mut names: Vec<_> = noted.map(str::to_owned).collect();
    if names.is_empty() {
        let lines = config.lines().take_while(|line| !line.starts_with('['));
        names.extend(lines.filter_map(|line| device_of(line.split_once(':')?)));
    }
    names.into_iter().map(|name| format!("{name}.img.fidx")).collect()
}

/// What a backup calls the disk that a line of a configuration describes: those that are changed media are in none, and
/// those that nobody wants.
fn device_of((key, value): (&str, &str)) -> Option<String> {
    let bus = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    if bus == key || !["ide", "sata", "scsi", "virtio", "efidisk", "tpmstate"].contains(&bus) {
        return None;
    }
    let mut parts = value.split(',').map(str::trim);
    let is_left_out = |part: &str| matches!(part, "media=cdrom" | "backup=0" | "backup=no" | "backup=off");
    if parts.next() == Some("none") || parts.any(is_left_out) {
        return None;
    }
    let end = if bus == "tpmstate" { "-backup" } else { "" };
    Some(format!("drive-{key}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_the_disks_of_a_backup() {
        let plain = "boot: order=scsi0\nscsi0: a:1/x.raw,size=1G\nscsihw: lsi\nide2: none,media=cdrom\nide0: a:iso/x.iso,media=cdrom\n\
            virtio12: a:2\nsata1: a:3,backup=0\nunused0: a:4\ntpmstate0: a:5\nnet0: virtio=00:11\n[old]\nscsi7: a:6\n";
        assert_eq!(
            configured(plain),
            ["drive-scsi0.img.fidx", "drive-virtio12.img.fidx", "drive-tpmstate0-backup.img.fidx"]
        );
        let noted = format!("{plain}#qmdump#map:virtio12:drive-virtio12:local:raw:\n");
        assert_eq!(configured(&noted), ["drive-virtio12.img.fidx"]);
        assert!(configured("").is_empty());
    }

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
