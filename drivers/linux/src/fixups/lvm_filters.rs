//! LVM looks at the target's disks: filters that let only the source's disks through go.
//!
//! Facts: lvm.conf(5): without a filter every device is looked at. What a filter kept LVM off or let through for another reason
//! (CD-ROM drives, DRBD, ZFS volumes, LUKS) stays so, and a filter that names no disk of the source stays whole: LVM on the disks
//! below DRBD or multipath would write past them. An initramfs has a copy of the configuration, and of the devices file: an empty one
//! would mean no device at all, and an archive cannot remove a file; lvmlocal.conf is read after lvm.conf, its filters go
//! before those of lvm.conf and its `use_devicesfile` counts (measured with LVM 2.03.16).

use crate::config_file::read;
use crate::lvm_conf::{ALL, Filter, Verdict, filters, verdict, without_disks};
use driver_core::{Applies, Context, Draft, Fixup, GroupKind, Guest, Target, VolumeId};
use driver_initramfs::Listing;
use format_core::{Error, Result};

const FILES: [&str; 2] = ["/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"];
const REMARK: &str = "# rehome: names the source's disks: ";
/// Where an initramfs has them.
pub(super) const LOCAL: &str = "etc/lvm/lvmlocal.conf";
const DEVICES_FILE: &str = "etc/lvm/devices/system.devices";
const MARK: &str = "# rehome: the disks have other names here\n";

pub(super) struct LvmFilters;

impl Fixup for LvmFilters {
    fn id(&self) -> &'static str {
        "linux-lvm-filters"
    }

    fn title(&self) -> &'static str {
        "LVM's filters let the target's disks through"
    }

    fn applies(&self, context: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
        let found = context.guest.groups.iter().any(|group| group.kind == GroupKind::Lvm);
        Ok(if found { Applies::Yes } else { Applies::no("there is no volume group") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = format!("{} does not have the source's device names", context.target.name);
        for path in FILES {
            let Some(content) = read(draft, path)? else { continue };
            let (edited, notes) = mended(&content, prefix(context.target)).map_err(|key| {
                Error::needs_person(format!("{path}: {key} hides the target's disks, and shares its line"))
                    .hint(format!("remove {key} from {path} in the guest before exporting"))
            })?;
            for note in notes {
                draft.note(format!("{path}: {note}"));
            }
            draft.write(path, edited, &reason)?;
        }
        Ok(())
    }
}

/// What disks are called there.
fn prefix(target: &Target) -> &'static str {
    match target.disk_bus {
        "virtio-blk" => "vd",
        "nvme" => "nvme",
        "xen" => "xvd",
        _ => "sd",
    }
}

/// The content without filters that hide disks called PREFIX, and what to say of filters that may. The error is the key of one
/// that cannot be taken out.
fn mended(content: &[u8], prefix: &str) -> Result<(Vec<u8>, Vec<String>), String> {
    let text = String::from_utf8_lossy(content);
    let (mut hiding, mut notes) = (Vec::new(), Vec::new());
    for filter in filters(&text) {
        let mut found = verdict(&filter.patterns, prefix);
        let key = filter.key.clone();
        if found == Verdict::Hidden {
            if !filter.is_alone {
                return Err(key);
            }
            found = verdict(&without_disks(&filter.patterns), prefix);
            hiding.push(filter);
        }
        let note = match found {
            Verdict::Seen | Verdict::Hidden => continue,
            Verdict::Others => format!(
                "{key} lets LVM look only at devices that are no disks of the source, and stays; look whether they exist there"
            ),
            Verdict::Unclear => {
                format!("{key} rejects devices by their names; look whether these are other disks there")
            }
        };
        // Few keys, however many lines.
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    let mut edited = Vec::with_capacity(content.len().saturating_add(128));
    // They are in the order of their lines.
    let mut hiding = hiding.iter().peekable();
    for (number, line) in content.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let Some(filter) = hiding.next_if(|filter| number + 1 == filter.lines.end) else {
            if hiding.peek().is_some_and(|filter| filter.lines.contains(&number)) {
                edited.extend_from_slice(REMARK.as_bytes());
            }
            edited.extend_from_slice(line);
            continue;
        };
        edited.extend_from_slice(REMARK.as_bytes());
        edited.extend_from_slice(line);
        edited.extend_from_slice(what_stays(filter, line).as_bytes());
    }
    Ok((edited, notes))
}

/// The filter's line without what names the source's disks; nothing when nothing is left.
fn what_stays(filter: &Filter, last_line: &[u8]) -> String {
    let kept = without_disks(&filter.patterns);
    if kept == [ALL] {
        return String::new();
    }
    let gap = if last_line.ends_with(b"\n") { "" } else { "\n" };
    format!("{gap}\t{} = [ {} ]\n", filter.key, kept.join(", "))
}

/// What goes into an initramfs's lvmlocal.conf. With a devices file LVM looked at no filter before, so none may count now.
fn overruling(conf: &str, prefix: &str, has_devices_file: bool) -> String {
    let mut text = format!("{MARK}devices {{\n\tuse_devicesfile = 0\n");
    let found = filters(conf);
    for key in ["filter", "global_filter"] {
        let hides = |filter: &&Filter| {
            filter.key.trim_start_matches("devices/") == key
                && verdict(&filter.patterns, prefix) == Verdict::Hidden
        };
        let patterns = match found.iter().find(hides) {
            _ if has_devices_file => ALL.to_owned(),
            Some(filter) => without_disks(&filter.patterns).join(", "),
            None => continue,
        };
        text.push_str(&format!("\t{key} = [ {patterns} ]\n"));
    }
    text.push_str("}\n");
    text
}

/// A file that the initramfs needs so that LVM finds a root in a volume group on the target's disks. The error says why it
/// cannot be made.
pub(super) fn initramfs_file(
    guest: &Guest,
    target: &Target,
    listing: &Listing,
) -> Result<Option<(&'static str, Vec<u8>)>, String> {
    let in_group = |id: VolumeId| match id {
        VolumeId::Mapped { volume } => {
            let group = guest.volumes.get(volume).and_then(|volume| guest.groups.get(volume.group));
            group.is_some_and(|group| group.kind == GroupKind::Lvm)
        }
        VolumeId::Partition { .. } => false,
    };
    let is_needed = guest
        .mounts
        .iter()
        .any(|mount| matches!(mount.point.as_str(), "/" | "/usr") && in_group(mount.place));
    let local = listing.content(LOCAL).unwrap_or_default();
    let is_done = local.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    let prefix = prefix(target);
    let conf = String::from_utf8_lossy(listing.content("etc/lvm/lvm.conf").unwrap_or_default());
    let hides =
        |text: &str| filters(text).iter().any(|filter| verdict(&filter.patterns, prefix) == Verdict::Hidden);
    let has_devices_file = listing.kind(DEVICES_FILE).is_some();
    let is_hidden = has_devices_file || hides(&conf) || hides(&String::from_utf8_lossy(local));
    if !is_needed || is_done || !is_hidden {
        return Ok(None);
    }
    // Its own filters would go before these.
    let (mut content, _) = mended(local, prefix)
        .map_err(|key| format!("{key} in its {LOCAL} hides the target's disks, and shares its line"))?;
    if content.last().is_some_and(|&byte| byte != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(overruling(&conf, prefix, has_devices_file).as_bytes());
    Ok(Some((LOCAL, content)))
}

/// Whether the initramfs has to be looked into for that.
pub(super) fn concerns(guest: &Guest) -> bool {
    guest.groups.iter().any(|group| group.kind == GroupKind::Lvm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What LVM itself makes of the files.
    fn lvmconfig(conf: &str, local: &str, setting: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lvm.conf"), conf).unwrap();
        std::fs::write(folder.path().join("lvmlocal.conf"), local).unwrap();
        let output = Command::new("timeout")
            .args(["20", "lvm", "lvmconfig", setting])
            .env("LVM_SYSTEM_DIR", folder.path())
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .output()
            .unwrap_or_else(|e| panic!("cannot run lvm (package lvm2): {e}"));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    const CONF: &str = "devices {\n\tdir = \"/dev\"\n\tfilter = [ \"r|^/dev/cdrom|\", \"a|^/dev/nvme0n1p2$|\",\n\t\t\"r|.*|\" ]\n\
                        \tglobal_filter = [ \"a|nvme0n1p2|\", \"r|.*|\" ]\n\tscan = [ \"/dev\" ]\n}\n";

    #[test]
    fn filters_that_name_the_sources_disks_go_and_the_rest_stays() {
        let (edited, notes) = mended(CONF.as_bytes(), "sd").unwrap();
        let text = String::from_utf8(edited.clone()).unwrap();
        assert!(notes.is_empty());
        assert_eq!(mended(&edited, "sd").unwrap().0, edited, "a second time");
        assert_eq!(text.matches(REMARK).count(), 3);
        assert_eq!(lvmconfig(&text, "", "devices/filter"), "filter=[\"r|^/dev/cdrom|\",\"a|.*|\"]");
        assert_eq!(lvmconfig(&text, "", "devices/global_filter"), "", "as if it was never set");
        assert_eq!(lvmconfig(&text, "", "devices/scan"), "scan=\"/dev\"");
        assert_eq!(mended(b"devices { filter = [ \"a|vda|\", \"r|.*|\" ] }\n", "sd"), Err("filter".into()));
    }

    #[test]
    fn filters_that_name_no_disk_of_the_source_stay_and_are_told() {
        for (kept, note) in [
            ("filter = [ \"a|^/dev/drbd.*|\", \"r|.*|\" ]\n", "filter lets LVM look only at"),
            (
                "devices { global_filter = [ 'a|^/dev/md|', 'r|.*|' ] }\n",
                "global_filter lets LVM look only at",
            ),
            ("filter = [ \"r|/dev/sdb|\" ]\n", "filter rejects devices"),
            ("filter = [ ]\n", "filter rejects devices"),
        ] {
            let (edited, notes) = mended(kept.as_bytes(), "sd").unwrap();
            assert_eq!(edited, kept.as_bytes());
            assert!(notes.len() == 1 && notes[0].starts_with(note), "{notes:?}");
        }
    }

    #[test]
    fn what_stays_keeps_its_order_and_quotes_for_lvm() {
        let conf = "devices {\n\tfilter = [ 'a|^/dev/sda2$|', 'a|^/dev/mapper/luks-pv$|',\n\t\t\"r|^/dev/mapper/.*|\", 'r|.*|' ]\n}\n";
        let text = String::from_utf8(mended(conf.as_bytes(), "vd").unwrap().0).unwrap();
        assert_eq!(
            lvmconfig(&text, "", "devices/filter"),
            "filter=[\"a|^/dev/mapper/luks-pv$|\",\"r|^/dev/mapper/.*|\",\"a|.*|\"]"
        );
        let kept = "filter = [ 'a|sda|', 'r|sdb|', 'r|.*|' ]\n";
        let (_, notes) = mended(kept.as_bytes(), "vd").unwrap();
        assert!(notes[0].starts_with("filter rejects devices"), "{notes:?}");
    }

    #[test]
    fn many_filters_take_no_long_time() {
        let many = "filter=['a|sda|','r|.*|']\n".repeat(270_000);
        let start = std::time::Instant::now();
        let (edited, notes) = mended(many.as_bytes(), "vd").unwrap();
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
        assert_eq!(edited.len(), many.len() + 270_000 * REMARK.len());
        assert!(notes.is_empty());
    }

    #[test]
    fn what_an_initramfs_gets_counts_for_lvm() {
        let conf = CONF.replace("dir = \"/dev\"", "use_devicesfile = 1");
        for local in ["", "local {\n\t# system_id = \"\"\n}\n"] {
            let mended = format!("{local}{}", overruling(&conf, "sd", false));
            let filter = lvmconfig(&conf, &mended, "devices/filter");
            assert!(filter.starts_with("filter=[\"r|^/dev/cdrom|\",\"a|.*|\""), "{filter}");
            let local = format!("{local}{}", overruling(&conf, "sd", true));
            assert!(lvmconfig(&conf, &local, "devices/filter").starts_with("filter=[\"a|.*|\""));
            assert_eq!(lvmconfig(&conf, &local, "devices/use_devicesfile"), "use_devicesfile=0");
            let global = lvmconfig(&conf, &local, "devices/global_filter");
            assert!(
                global.starts_with("global_filter=\"a|.*|\"")
                    || global.starts_with("global_filter=[\"a|.*|\""),
                "{global}"
            );
        }
    }

    #[test]
    fn an_initramfs_that_hides_a_root_in_a_volume_group_is_mended_once() {
        let group = |kind| driver_core::GroupFacts {
            kind,
            name: "vg".into(),
            uuid: String::new(),
            layout: String::new(),
            parts: Vec::new(),
            warnings: Vec::new(),
            obstacle: None,
        };
        let volume = driver_core::VolumeFacts {
            group: 0,
            devices: Vec::new(),
            size: 1,
            layout: "linear".into(),
            file_system: None,
            obstacle: None,
        };
        let root = driver_core::MountFacts {
            point: "/".into(),
            device: String::new(),
            place: VolumeId::Mapped { volume: 0 },
            kind: "ext4".into(),
        };
        let guest = |kind| Guest {
            groups: vec![group(kind)],
            volumes: vec![volume.clone()],
            mounts: vec![root.clone()],
            ..Guest::default()
        };
        let target = driver_targets::targets().find(|target| target.id == "kvm-bios").unwrap();
        let image = |files: &[(&str, &[u8])]| {
            let mut writer = driver_initramfs::cpio::Writer::new(1);
            for folder in ["etc", "etc/lvm", "etc/lvm/devices"] {
                writer.directory(folder).unwrap();
            }
            files.iter().for_each(|(path, content)| writer.file(path, content).unwrap());
            Listing::from_image(&writer.finish().unwrap()[..], &driver_initramfs::Limits::default()).unwrap()
        };
        let get = |kind, listing: &Listing| initramfs_file(&guest(kind), target, listing).unwrap();
        let (devices, conf) =
            ((DEVICES_FILE, &b"VERSION=1.1.1\n"[..]), ("etc/lvm/lvm.conf", CONF.as_bytes()));
        for hiding in [devices, conf] {
            let wanted = overruling(CONF, "vd", hiding == devices);
            let (path, content) = get(GroupKind::Lvm, &image(&[hiding])).unwrap();
            assert_eq!((path, content.as_slice()), (LOCAL, wanted.as_bytes()));
            assert_eq!(get(GroupKind::Lvm, &image(&[hiding, (LOCAL, &content)])), None, "a second time");
            assert_eq!(get(GroupKind::Md, &image(&[hiding])), None, "no volume group");
            let (_, content) = get(GroupKind::Lvm, &image(&[hiding, (LOCAL, b"local { }")])).unwrap();
            assert_eq!(content, format!("local {{ }}\n{wanted}").into_bytes());
        }
        assert_eq!(get(GroupKind::Lvm, &image(&[("etc/lvm/lvm.conf", b"devices { }\n")])), None);
        let drbd = b"devices {\n filter = [ \"a|drbd|\", \"r|.*|\" ]\n}\n";
        assert_eq!(get(GroupKind::Lvm, &image(&[("etc/lvm/lvm.conf", drbd)])), None, "LVM stays on DRBD");
    }
}
