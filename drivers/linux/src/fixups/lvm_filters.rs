//! LVM looks at the target's disks: filters that let only the source's disks through go.
//!
//! Facts: lvm.conf(5): without a filter every device is looked at. What a filter kept LVM off for another reason (CD-ROM
//! drives, DRBD, ZFS volumes) stays so. An initramfs has a copy of the configuration, and of the devices file: an empty one
//! would mean no device at all, and an archive cannot remove a file; lvmlocal.conf is read after lvm.conf, its filters go
//! before those of lvm.conf and its `use_devicesfile` counts (measured with LVM 2.03.16).

use crate::config_file::read;
use crate::lvm_conf::{Filter, Verdict, filters, is_harmless, verdict};
use driver_core::{Applies, Context, Draft, Fixup, GroupKind, Guest, Target, VolumeId};
use driver_initramfs::Listing;
use format_core::{Error, Result};

const FILES: [&str; 2] = ["/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"];
const REMARK: &str = "# rehome: names the source's disks: ";
/// Where an initramfs has them.
pub(super) const LOCAL: &str = "etc/lvm/lvmlocal.conf";
const DEVICES_FILE: &str = "etc/lvm/devices/system.devices";
const OVERRIDE: &str = "# rehome: the disks have other names here\n\
                        devices {\n\tuse_devicesfile = 0\n\tfilter = [ \"a|.*|\" ]\n\tglobal_filter = [ \"a|.*|\" ]\n}\n";

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
            let (edited, unclear) = mended(&content, prefix(context.target)).map_err(|key| {
                Error::needs_person(format!("{path}: {key} hides the target's disks, and shares its line"))
                    .hint(format!("remove {key} from {path} in the guest before exporting"))
            })?;
            for key in unclear {
                draft.note(format!(
                    "{path}: {key} rejects devices by their names; look whether these are other disks there"
                ));
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

/// The content without filters that hide disks called PREFIX, and the keys of filters that may. The error is the key of one
/// that cannot be taken out.
fn mended(content: &[u8], prefix: &str) -> Result<(Vec<u8>, Vec<String>), String> {
    let text = String::from_utf8_lossy(content);
    let (mut hiding, mut unclear) = (Vec::new(), Vec::new());
    for filter in filters(&text) {
        match verdict(&filter.patterns, prefix) {
            Verdict::Seen => {}
            Verdict::Unclear => unclear.push(filter.key),
            Verdict::Hidden if filter.is_alone => hiding.push(filter),
            Verdict::Hidden => return Err(filter.key),
        }
    }
    let mut edited = Vec::with_capacity(content.len() + 128);
    for (number, line) in content.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let Some(filter) = hiding.iter().find(|filter| filter.lines.contains(&number)) else {
            edited.extend_from_slice(line);
            continue;
        };
        edited.extend_from_slice(REMARK.as_bytes());
        edited.extend_from_slice(line);
        if number + 1 == filter.lines.end {
            edited.extend_from_slice(what_stays(filter, line).as_bytes());
        }
    }
    Ok((edited, unclear))
}

/// The filter's line without what names the source's disks; nothing when nothing is left.
fn what_stays(filter: &Filter, last_line: &[u8]) -> String {
    let kept: Vec<_> = filter.patterns.iter().filter(|pattern| is_harmless(pattern)).collect();
    if kept.is_empty() {
        return String::new();
    }
    let kept: String = kept.iter().map(|pattern| format!("\"{pattern}\", ")).collect();
    let gap = if last_line.ends_with(b"\n") { "" } else { "\n" };
    format!("{gap}\t{} = [ {kept}\"a|.*|\" ]\n", filter.key)
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
    let is_done = local.windows(OVERRIDE.len()).any(|window| window == OVERRIDE.as_bytes());
    let hides = |path: &str| {
        let text = String::from_utf8_lossy(listing.content(path).unwrap_or_default());
        filters(&text).iter().any(|filter| verdict(&filter.patterns, prefix(target)) == Verdict::Hidden)
    };
    let is_hidden = listing.kind(DEVICES_FILE).is_some() || hides("etc/lvm/lvm.conf") || hides(LOCAL);
    if !is_needed || is_done || !is_hidden {
        return Ok(None);
    }
    // Its own filters would go before these.
    let (mut content, _) = mended(local, prefix(target))
        .map_err(|key| format!("{key} in its {LOCAL} hides the target's disks, and shares its line"))?;
    if content.last().is_some_and(|&byte| byte != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(OVERRIDE.as_bytes());
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
        let (edited, unclear) = mended(CONF.as_bytes(), "sd").unwrap();
        let text = String::from_utf8(edited.clone()).unwrap();
        assert!(unclear.is_empty());
        assert_eq!(mended(&edited, "sd").unwrap().0, edited, "a second time");
        assert_eq!(text.matches(REMARK).count(), 3);
        assert_eq!(lvmconfig(&text, "", "devices/filter"), "filter=[\"r|^/dev/cdrom|\",\"a|.*|\"]");
        assert_eq!(lvmconfig(&text, "", "devices/global_filter"), "", "as if it was never set");
        assert_eq!(lvmconfig(&text, "", "devices/scan"), "scan=\"/dev\"");
        assert_eq!(mended(b"devices { filter = [ \"r|.*|\" ] }\n", "sd"), Err("filter".into()));
        let unsure = b"filter = [ \"r|/dev/sdb|\" ]\n";
        assert_eq!(mended(unsure, "sd").unwrap(), (unsure.to_vec(), vec!["filter".to_owned()]));
    }

    #[test]
    fn what_an_initramfs_gets_counts_for_lvm() {
        let conf = CONF.replace("dir = \"/dev\"", "use_devicesfile = 1");
        for local in ["", "local {\n\t# system_id = \"\"\n}\n"] {
            let local = format!("{local}{OVERRIDE}");
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
            let (path, content) = get(GroupKind::Lvm, &image(&[hiding])).unwrap();
            assert_eq!((path, content.as_slice()), (LOCAL, OVERRIDE.as_bytes()));
            assert_eq!(get(GroupKind::Lvm, &image(&[hiding, (LOCAL, &content)])), None, "a second time");
            assert_eq!(get(GroupKind::Md, &image(&[hiding])), None, "no volume group");
            let (_, content) = get(GroupKind::Lvm, &image(&[hiding, (LOCAL, b"local { }")])).unwrap();
            assert_eq!(content, format!("local {{ }}\n{OVERRIDE}").into_bytes());
        }
        assert_eq!(get(GroupKind::Lvm, &image(&[("etc/lvm/lvm.conf", b"devices { }\n")])), None);
    }
}
