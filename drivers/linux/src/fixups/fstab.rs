//! fstab: device names become UUIDs.
//!
//! Facts: a kernel name (`/dev/xvda1`, `/dev/nvme0n1p1`) says on which controller and in which order the old machine
//! found its disks; Hyper-V calls them `sda`, `sdb` (fstab(5) recommends UUID or LABEL for that reason). systemd waits
//! 90 s for a device that does not come and then drops to an emergency shell, unless the line has `nofail`
//! (systemd.mount(5)): instance store and volumes that were not moved would stop the boot.

use crate::config_file::{Line, edit_lines, exists, read};
use crate::fstab::{FstabEntry, fields, parse_line, with_field};
use crate::stable_name::{Name, stable_name, stable_name_of_mount};
use driver_core::{Applies, Context, Draft, Fixup, Guest};
use format_core::{Error, Result};

const PATH: &str = "/etc/fstab";

/// Without these the system does not come up.
const ESSENTIAL: [&str; 5] = ["/", "/usr", "/var", "/etc", "/boot"];

pub(super) struct Fstab;

impl Fixup for Fstab {
    fn id(&self) -> &'static str {
        "linux-fstab"
    }

    fn title(&self) -> &'static str {
        "device names in /etc/fstab become UUIDs"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        Ok(if exists(draft, PATH)? { Applies::Yes } else { Applies::no("there is no /etc/fstab") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(content) = read(draft, PATH)? else { return Ok(()) };
        let mut notes = Notes::default();
        let edited = edit_lines(&content, |line| edit(context.guest, line, &mut notes));
        if let Some(lost) = notes.essential {
            return Err(Error::needs_person(format!("{PATH}: {lost}")).hint(
                "add the disk that holds it to the migration, or remove its line from /etc/fstab before exporting",
            ));
        }
        let mut reason = format!("{} does not have the source's device names", context.target.name);
        if !notes.optional.is_empty() {
            reason += &format!("; nofail, so that the boot does not wait for {}", notes.optional.join(", "));
        }
        draft.write(PATH, edited, &reason)
    }
}

#[derive(Default)]
struct Notes {
    /// What is lost and cannot be done without.
    essential: Option<String>,
    /// Mount points that are lost.
    optional: Vec<String>,
}

fn edit(guest: &Guest, line: &str, notes: &mut Notes) -> Line {
    let Some(entry) = parse_line(line) else { return Line::Keep };
    let name = match entry.point.as_str() {
        "/" => stable_name_of_mount(guest, &entry.device, "/"),
        _ => stable_name(guest, &entry.device, Some(&entry.kind)),
    };
    let edited = match name {
        Name::Stable => None,
        Name::New(name) => with_field(line, 0, &name),
        Name::Lost(_) if entry.has("nofail") || entry.has("noauto") => None,
        Name::Lost(why) if ESSENTIAL.contains(&entry.point.as_str()) => {
            notes.essential.get_or_insert(format!("{} cannot be mounted: {why}", entry.point));
            None
        }
        Name::Lost(_) => {
            let what = if entry.kind == "swap" { "swap" } else { &entry.point };
            notes.optional.push(format!("{what} ({})", entry.device));
            with_nofail(line, &entry)
        }
    };
    edited.map_or(Line::Keep, Line::Replace)
}

fn with_nofail(line: &str, entry: &FstabEntry) -> Option<String> {
    if !entry.options.is_empty() {
        return with_field(line, 3, &format!("{},nofail", entry.options.join(",")));
    }
    let kind = fields(line).nth(2)?;
    Some(format!("{} defaults,nofail{}", line.get(..kind.end)?, line.get(kind.end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, MountFacts, PartitionFacts};

    fn guest() -> Guest {
        let fs = |kind: &str, uuid: &str| FsFacts {
            kind: kind.into(),
            uuid: Some(uuid.into()),
            ..FsFacts::default()
        };
        let partition =
            |number, fs| PartitionFacts { number, file_system: Some(fs), ..PartitionFacts::default() };
        let partitions = vec![partition(1, fs("ext4", "r")), partition(2, fs("swap", "s"))];
        let root = MountFacts {
            point: "/".into(),
            device: String::new(),
            place: (0, 1).into(),
            kind: "ext4".into(),
        };
        let disks = vec![DiskFacts { partitions, ..DiskFacts::default() }];
        Guest { disks, mounts: vec![root], ..Guest::default() }
    }

    fn edited(line: &str) -> String {
        let mut notes = Notes::default();
        match edit(&guest(), line, &mut notes) {
            Line::Keep => format!("kept{}", notes.essential.map(|_| " and refused").unwrap_or_default()),
            Line::Replace(line) => line,
            Line::Drop => "dropped".into(),
        }
    }

    #[test]
    fn lines_are_edited_field_by_field() {
        for (line, expected) in [
            ("/dev/xvda1\t/\text4  rw,discard 0 1 # a", "UUID=r\t/\text4  rw,discard 0 1 # a"),
            ("/dev/nvme0n1p2 none swap sw 0 0", "UUID=s none swap sw 0 0"),
            ("UUID=r / ext4 defaults 0 1", "kept"),
            ("LABEL=data /data ext4 defaults 0 1", "LABEL=data /data ext4 defaults,nofail 0 1"),
            ("LABEL=data /data auto defaults 0 1", "LABEL=data /data auto defaults,nofail 0 1"),
            ("PARTLABEL=data /data ext4", "PARTLABEL=data /data ext4 defaults,nofail"),
            ("/dev/mapper/vg-x /data ext4 defaults", "/dev/mapper/vg-x /data ext4 defaults,nofail"),
            ("/dev/md127 /data ext4 rw", "/dev/md127 /data ext4 rw,nofail"),
            ("LABEL=root / ext4 defaults 0 1", "kept"),
            ("LABEL=var /var ext4 defaults 0 1", "kept and refused"),
            ("/dev/vg/var /var ext4 defaults 0 1", "kept and refused"),
            (
                "/dev/disk/azure/scsi1/lun0-part1 /mnt auto rw",
                "/dev/disk/azure/scsi1/lun0-part1 /mnt auto rw,nofail",
            ),
            ("/dev/xvdb /mnt auto defaults 0 2", "/dev/xvdb /mnt auto defaults,nofail 0 2"),
            ("/dev/xvdb /mnt auto", "/dev/xvdb /mnt auto defaults,nofail"),
            ("/dev/xvdb /mnt auto noatime,nofail 0 2", "kept"),
            ("/dev/hdc /media/cdrom iso9660 ro,noauto 0 0", "kept"),
            ("UUID=gone /mnt ext4 rw", "UUID=gone /mnt ext4 rw,nofail"),
            ("/dev/xvdb /var ext4 defaults 0 2", "kept and refused"),
            ("/dev/xvda1 /data xfs defaults", "/dev/xvda1 /data xfs defaults,nofail"),
            ("#/dev/xvda1 / ext4", "kept"),
            ("/dev/xvda1", "kept"),
            ("", "kept"),
        ] {
            assert_eq!(edited(line), expected, "{line}");
        }
    }
}
