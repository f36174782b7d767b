//! Mount units: `What=` with the source's device names.
//!
//! Facts: systemd.mount(5): `What=` in `[Mount]` is an absolute path where it is a device, so a UUID is written as udev's link. A unit
//! that local-fs.target requires stops the boot in an emergency shell when its device does not come. A swap unit's file
//! name is its device's path (systemd.swap(5), systemd-escape(1)): it is renamed with the links to it; without its device the boot
//! waits 90 s and goes on, so one that cannot be renamed is a remark.

use super::swap_units::with_device;
use crate::config_file::{exists, list, read};
use crate::fixups::kdump::as_path;
use crate::ini::{Item, item, pairs};
use crate::stable_name::{Name, stable_name};
use driver_core::{Applies, Context, Draft, Fixup, Guest};
use format_core::{Error, Result};

pub(super) const FOLDER: &str = "/etc/systemd/system";

pub(super) struct MountUnits;

impl Fixup for MountUnits {
    fn id(&self) -> &'static str {
        "linux-mount-units"
    }

    fn title(&self) -> &'static str {
        "device names in mount units become UUIDs"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !list(draft, FOLDER, ".mount")?.is_empty() || !list(draft, FOLDER, ".swap")?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no(format!("there are no mount units in {FOLDER}")) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = format!("{} does not have the source's device names", context.target.name);
        for path in list(draft, FOLDER, ".swap")? {
            super::swap_units::plan(context, draft, &path, &reason)?;
        }
        let mut edited = Vec::new();
        for path in list(draft, FOLDER, ".mount")? {
            let mut files = vec![path.clone()];
            files.extend(list(draft, &format!("{path}.d"), ".conf")?);
            let mut contents = Vec::new();
            for file in files {
                contents.extend(read(draft, &file)?.map(|content| (file, content)));
            }
            let found = devices(context.guest, &contents);
            if let Some(why) = found.lost {
                let name = path.rsplit('/').next().unwrap_or_default();
                if exists(draft, &format!("{FOLDER}/local-fs.target.requires/{name}"))? {
                    return Err(Error::needs_person(format!("{path}: the boot would stop: {why}")).hint(
                        "add the disk that holds it to the migration, or disable the unit before exporting",
                    ));
                }
                draft.note(format!("{path}: {why}"));
            }
            for (file, content) in contents {
                let new =
                    found.renames.iter().fold(content, |content, (old, new)| with_device(&content, old, new));
                edited.push((file, new));
            }
        }
        edited.into_iter().try_for_each(|(path, new)| draft.write(&path, new, &reason))
    }
}

/// The device of a `What=` line.
pub(super) fn device_of(line: &str) -> Option<&str> {
    match item(line) {
        Item::Pair("What", value) => Some(value),
        _ => None,
    }
}

/// What becomes of the devices of one unit.
#[derive(Default)]
struct Found {
    /// Old and new names.
    renames: Vec<(String, String)>,
    /// Why the one that counts is on no disk.
    lost: Option<String>,
}

/// Looks at the devices that a unit and its drop-ins name; the last one counts.
fn devices(guest: &Guest, files: &[(String, Vec<u8>)]) -> Found {
    let texts: Vec<_> = files.iter().map(|(_, content)| String::from_utf8_lossy(content)).collect();
    let kinds = texts.iter().flat_map(|text| pairs(text)).filter(|(_, key, _)| *key == "Type");
    let kind = kinds.map(|(.., value)| value.trim()).last();
    let mut found = Found::default();
    for device in texts.iter().flat_map(|text| text.lines()).filter_map(device_of) {
        found.lost = None;
        match stable_name(guest, device, kind) {
            Name::New(name) => {
                let rename = as_path(&name).map(|path| (device.to_owned(), path));
                found.renames.extend(rename.filter(|rename| !found.renames.contains(rename)));
            }
            Name::Lost(why) => found.lost = Some(why),
            Name::Stable => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, GuestTree, MemFs, PartitionFacts};

    #[test]
    fn drop_ins_and_what_is_waited_for_follow() {
        let fs = FsFacts { kind: "xfs".into(), uuid: Some("d".into()), ..FsFacts::default() };
        let partition = PartitionFacts { number: 1, file_system: Some(fs), ..PartitionFacts::default() };
        let disks = vec![DiskFacts { partitions: vec![partition], ..DiskFacts::default() }];
        let guest = Guest { disks, ..Guest::default() };
        let unit = "[Unit]\nAfter=dev-sda1.device\n[Mount]\nWhat=/dev/sdq1\nWhere=/data\nType=xfs\n";
        let drop_in = "[Mount]\nWhat=/dev/sda1\n";
        let path = format!("{FOLDER}/data.mount");
        let files = MemFs::new().with_file(&path, unit).with_file(&format!("{path}.d/a.conf"), drop_in);
        let mut tree = GuestTree::new();
        tree.mount(
            "/",
            Box::new(files.with_file(&format!("{FOLDER}/local-fs.target.requires/data.mount"), "")),
        );
        let mut draft = Draft::new(&tree);
        let context = Context::new(&guest, &driver_targets::GENERATION_1);
        MountUnits.plan(&context, &mut draft).unwrap();
        let read = |path: &str| draft.read_text(path).unwrap().unwrap();
        assert_eq!(read(&format!("{path}.d/a.conf")), "[Mount]\nWhat=/dev/disk/by-uuid/d\n");
        assert_eq!(read(&path), unit.replace("dev-sda1.device", "dev-disk-by\\x2duuid-d.device"));
        let lost = [(path, b"[Mount]\nWhat=LABEL=gone\nType=xfs\n".to_vec())];
        assert!(devices(&guest, &lost).lost.is_some());
        let wrong = [("x".to_owned(), b"[Mount]\nWhat=/dev/sda1\nType=ext4\n".to_vec())];
        assert!(devices(&guest, &wrong).lost.is_some());
    }
}
