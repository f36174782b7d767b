//! fstab: device names become UUIDs.
//!
//! Facts: a kernel name (`/dev/xvda1`, `/dev/nvme0n1p1`) says on which controller and in which order the old machine
//! found its disks; Hyper-V calls them `sda`, `sdb` (fstab(5) recommends UUID or LABEL for that reason). systemd waits
//! 90 s for a device that does not come and then drops to an emergency shell, unless the line has `nofail`
//! (systemd.mount(5)): instance store and volumes that were not moved would stop the boot. What lies below such a mount point (another
//! mount, a bind mount, an image or swap file) fails with it, because systemd requires the mounts on the way
//! (systemd.unit(5), `RequiresMountsFor=`). Ubuntu's mountall waits for a person unless the line has `nobootwait`.

use crate::config_file::{Line, edit_lines, exists, read};
use crate::device_lists;
use crate::fstab::{FstabEntry, fields, parse_line, read_fstab, with_field};
use crate::kernel_cmdline::Rules;
use crate::stable_name::{Name, stable_name, stable_name_of_mount};
use driver_core::{Applies, Context, Draft, Fixup, Guest};
use format_core::{Error, Result};

const PATH: &str = "/etc/fstab";

/// Without these the system does not come up.
const ESSENTIAL: [&str; 5] = ["/", "/usr", "/var", "/etc", "/boot"];

/// Lost mount points whose dependants are looked for; no machine has more, and each costs a look at every line.
const MAX_LOST: usize = 256;

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
        let entries = read_fstab(&String::from_utf8_lossy(&content));
        let mut notes = Notes { lost: lost_points(context.guest, &entries), ..Notes::default() };
        notes.mountall = exists(draft, "/sbin/mountall")?;
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
    /// Mount points of what is lost, and why.
    lost: Vec<(String, String)>,
    /// Ubuntu's mountall mounts, not systemd.
    mountall: bool,
    /// What is lost and cannot be done without.
    essential: Option<String>,
    /// Mount points that are lost.
    optional: Vec<String>,
}

fn name(guest: &Guest, entry: &FstabEntry) -> Name {
    match (entry.point.as_str(), with_journal(guest, &entry.options.join(","))) {
        ("/", _) => stable_name_of_mount(guest, &entry.device, "/"),
        (_, Err(why)) => Name::Lost(why),
        (_, Ok(_)) => stable_name(guest, &entry.device, Some(&entry.kind)),
    }
}

/// The options with another name of a journal's device (`logdev=` of xfs(5), `journal_path=` of ext4(5)).
///
/// # Errors
/// Which is on none of the disks.
fn with_journal(guest: &Guest, options: &str) -> std::result::Result<String, String> {
    let rules = Rules { guest, consoles: &[], own_kernel: true, has_initramfs: true, add_screen: false };
    device_lists::renamed("rootflags", options, &rules)
}

/// The mount points that stay empty, with what is mounted below them.
fn lost_points(guest: &Guest, entries: &[FstabEntry]) -> Vec<(String, String)> {
    let mut lost: Vec<(String, String)> = Vec::new();
    let mut open: Vec<&FstabEntry> = Vec::new();
    for entry in entries {
        match name(guest, entry) {
            Name::Lost(why) => lost.push((entry.point.clone(), why)),
            Name::Stable | Name::New(_) => open.push(entry),
        }
    }
    lost.truncate(MAX_LOST);
    // Another line may serve the same point.
    lost.retain(|(point, _)| is_point(point) && open.iter().all(|entry| entry.point != *point));
    let mut at = 0;
    while let Some(next) = lost.get(at).filter(|_| at < MAX_LOST).cloned() {
        let (follow, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|entry| needs(entry, &next.0));
        open = rest;
        let points = follow.iter().map(|entry| entry.point.clone()).filter(|point| is_point(point));
        lost.extend(points.map(|point| (point, format!("{} is not there: {}", next.0, next.1))));
        at += 1;
    }
    lost
}

/// Where other things can lie.
fn is_point(point: &str) -> bool {
    point.starts_with('/') && point != "/"
}

/// Whether the line needs what is mounted at `point`: to reach its own mount point, its file or folder, or an overlay's layers.
fn needs(entry: &FstabEntry, point: &str) -> bool {
    let below = |path: &str| path.strip_prefix(point).is_some_and(|rest| rest.starts_with('/'));
    let within = |path: &str| path == point || below(path);
    let named = |option: &String| match option.split_once('=') {
        Some(("lowerdir", layers)) => layers.split(':').any(within),
        Some(("upperdir" | "workdir" | "x-systemd.requires-mounts-for", path)) => within(path),
        _ => false,
    };
    below(&entry.point) || within(&entry.device) || entry.options.iter().any(named)
}

fn edit(guest: &Guest, line: &str, notes: &mut Notes) -> Line {
    let Some(entry) = parse_line(line) else { return Line::Keep };
    let below = notes.lost.iter().find(|(point, _)| needs(&entry, point));
    let edited = match (name(guest, &entry), below) {
        (Name::Stable, None) => None,
        (Name::New(name), None) => with_field(line, 0, &name),
        (Name::New(name), Some((_, why))) => {
            let why = why.clone();
            let renamed = with_field(line, 0, &name).unwrap_or_else(|| line.to_owned());
            Some(without_waiting(&renamed, &entry, &why, notes).unwrap_or(renamed))
        }
        (Name::Lost(why), _) => without_waiting(line, &entry, &why, notes),
        (Name::Stable, Some((_, why))) => {
            let why = why.clone();
            without_waiting(line, &entry, &why, notes)
        }
    };
    let now = edited.as_deref().unwrap_or(line);
    let options = fields(now).nth(3).and_then(|place| now.get(place));
    let renamed = options.and_then(|options| with_journal(guest, options).ok().filter(|new| new != options));
    let renamed = renamed.and_then(|options| with_field(now, 3, &options));
    renamed.or(edited).map_or(Line::Keep, Line::Replace)
}

/// The line with the options that let the boot go on without it; `None` where it has them, or the system cannot do without.
fn without_waiting(line: &str, entry: &FstabEntry, why: &str, notes: &mut Notes) -> Option<String> {
    let waits = notes.mountall && !entry.has("nobootwait");
    if entry.has("noauto") || entry.has("nofail") && !waits {
        return None;
    }
    if ESSENTIAL.contains(&entry.point.as_str()) && !entry.has("nofail") {
        notes.essential.get_or_insert(format!("{} cannot be mounted: {why}", entry.point));
        return None;
    }
    let what = if entry.kind == "swap" { "swap" } else { &entry.point };
    notes.optional.push(format!("{what} ({})", entry.device));
    let mut options = entry.options.clone();
    if options.iter().all(String::is_empty) {
        options = vec!["defaults".into()];
    }
    options.extend((!entry.has("nofail")).then(|| "nofail".into()));
    options.extend(waits.then(|| "nobootwait".into()));
    let options = options.join(",");
    match fields(line).nth(3) {
        Some(_) => with_field(line, 3, &options),
        None => {
            let kind = fields(line).nth(2)?;
            Some(format!("{} {options}{}", line.get(..kind.end)?, line.get(kind.end..)?))
        }
    }
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
        let partition = |number, fs| PartitionFacts {
            number,
            part_uuid: Some(format!("p-{number}")),
            file_system: Some(fs),
            ..PartitionFacts::default()
        };
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
            (
                "UUID=r /data xfs rw,logdev=/dev/sda2,noatime 0 0",
                "UUID=r /data xfs rw,logdev=/dev/disk/by-partuuid/p-2,noatime 0 0",
            ),
            ("UUID=r /data xfs logdev=/dev/sdq2", "UUID=r /data xfs logdev=/dev/sdq2,nofail"),
            ("UUID=r /data xfs logdev=/dev/vg/log,nofail", "kept"),
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

    fn all_edited(text: &str, mountall: bool) -> (String, bool) {
        let guest = guest();
        let mut notes = Notes { lost: lost_points(&guest, &read_fstab(text)), mountall, ..Notes::default() };
        let edited = edit_lines(text.as_bytes(), |line| edit(&guest, line, &mut notes));
        (String::from_utf8(edited).unwrap(), notes.essential.is_some())
    }

    #[test]
    fn what_lies_below_a_lost_mount_does_not_stop_the_boot_either() {
        let text = "LABEL=gone /data ext4 defaults,nofail 0 2\n/dev/xvda1 /data/sub ext4 rw 0 2\n/data/home /home none bind\n\
                    /home/x.iso /mnt/iso iso9660 loop,ro 0 0\n/data/swap none swap sw 0 0\nnas:/database /database nfs rw 0 0\n\
                    overlay /merged overlay lowerdir=/a:/data/b,upperdir=/u 0 0\n";
        let expected = "LABEL=gone /data ext4 defaults,nofail 0 2\nUUID=r /data/sub ext4 rw,nofail 0 2\n\
                        /data/home /home none bind,nofail\n/home/x.iso /mnt/iso iso9660 loop,ro,nofail 0 0\n\
                        /data/swap none swap sw,nofail 0 0\nnas:/database /database nfs rw 0 0\n\
                        overlay /merged overlay lowerdir=/a:/data/b,upperdir=/u,nofail 0 0\n";
        assert_eq!(all_edited(text, false), (expected.into(), false));
        assert_eq!(all_edited(expected, false), (expected.into(), false));
        let var = "LABEL=gone /data ext4 rw,nofail\n/data/var /var none bind 0 0\n";
        assert_eq!(all_edited(var, false), (var.into(), true));
        let twice = "LABEL=gone /data ext4 nofail\n/dev/xvda1 /data ext4 rw\n/data/home /home none bind\n";
        assert_eq!(
            all_edited(twice, false).0,
            twice.replace("/dev/xvda1", "UUID=r"),
            "another line serves it"
        );
    }

    #[test]
    fn mountall_is_told_in_its_own_words() {
        let text = "LABEL=gone /data ext4 rw,nofail 0 2\nLABEL=x /x ext4\nLABEL=y /y ext4 noauto\n";
        let expected = "LABEL=gone /data ext4 rw,nofail,nobootwait 0 2\nLABEL=x /x ext4 defaults,nofail,nobootwait\nLABEL=y /y ext4 noauto\n";
        assert_eq!(all_edited(text, true).0, expected);
        assert_eq!(all_edited(expected, true).0, expected);
    }
}
