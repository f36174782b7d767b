//! Swap units: systemd finds them by a file name that is their device's path (systemd.swap(5)).

use super::mount_units::{FOLDER, device_of};
use crate::config_file::{Line, edit_lines, exists, folders, list, read};
use crate::fixups::kdump::as_path;
use crate::stable_name::{Name, depends_on_hardware, stable_name};
use driver_core::{Change, Context, Draft};
use format_core::{ErrorKind, Result};

/// Plans that the unit at `path` has its device's new name, or says that there will be no swap.
pub(super) fn plan(context: &Context<'_>, draft: &mut Draft<'_>, path: &str, reason: &str) -> Result<()> {
    let Some(content) = read(draft, path)? else { return Ok(()) };
    let text = String::from_utf8_lossy(&content).into_owned();
    let is_lost = |device: &str| matches!(stable_name(context.guest, device, Some("swap")), Name::Lost(_));
    let device =
        text.lines().filter_map(device_of).find(|device| depends_on_hardware(device) || is_lost(device));
    let Some(device) = device else { return Ok(()) };
    let new_device = match stable_name(context.guest, device, Some("swap")) {
        Name::New(name) => as_path(&name),
        Name::Stable | Name::Lost(_) => None,
    };
    let old_name = path.rsplit('/').next().unwrap_or_default();
    let named = old_name.strip_suffix(".swap") == Some(escaped(device).as_str());
    let new = new_device.filter(|_| named).map(|device| (format!("{}.swap", escaped(&device)), device));
    let allowed = match draft.allows(path, Change::Remove) {
        Err(e) if e.kind() == ErrorKind::NeedsPerson => false,
        other => other.map(|()| true)?,
    };
    let Some((new_name, new_device)) = new.filter(|_| allowed) else {
        draft.note(format!("{path}: there is no {device} on {}: no swap there", context.target.name));
        return Ok(());
    };
    let to = format!("{FOLDER}/{new_name}");
    // Its drop-ins go by its name; those that are there already are of another unit.
    for taken in [to.clone(), format!("{to}.d")] {
        if exists(draft, &taken)? {
            draft.note(format!("{path}: {taken} is there too: no swap from {device}"));
            return Ok(());
        }
    }
    draft.write(&to, with_device(&content, device, &new_device), reason)?;
    for from in list(draft, &format!("{path}.d"), "")? {
        let Some(content) = read(draft, &from)? else { continue };
        let name = from.rsplit('/').next().unwrap_or_default();
        draft.write(&format!("{to}.d/{name}"), with_device(&content, device, &new_device), reason)?;
        draft.remove(&from, reason)?;
    }
    for folder in folders(draft, FOLDER)? {
        if !folder.ends_with(".wants") && !folder.ends_with(".requires") {
            continue;
        }
        for link in list(draft, &folder, &format!("/{old_name}"))? {
            let Some(target) = draft.read_link(&link)? else { continue };
            draft.remove(&link, reason)?;
            let target = format!("{}{new_name}", target.strip_suffix(old_name).unwrap_or("../"));
            draft.link(&format!("{folder}/{new_name}"), &target, reason)?;
        }
    }
    draft.remove(path, reason)
}

/// The content of a unit or drop-in with another device in `What=` and in what it waits for.
pub(super) fn with_device(content: &[u8], device: &str, new_device: &str) -> Vec<u8> {
    let unit = format!("{}.device", escaped(device));
    let new_unit = format!("{}.device", escaped(new_device));
    edit_lines(content, |line| match (device_of(line), line.split_once('=')) {
        (Some(old), Some((key, _))) if old == device => Line::Replace(format!("{key}={new_device}")),
        _ => Line::Replace(line.replace(&unit, &new_unit)),
    })
}

/// systemd-escape(1) --path.
fn escaped(path: &str) -> String {
    let mut name = String::new();
    for (at, byte) in path.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name += "\\x2e",
            b if b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'.') => name.push(char::from(b)),
            b => name += &format!("\\x{b:02x}"),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, Edit, FsFacts, Guest, GuestTree, MemFs, PartitionFacts};

    #[test]
    fn paths_become_names_of_units() {
        for (path, expected) in [
            ("/dev/xvda2", "dev-xvda2"),
            ("/dev/disk/by-uuid/0c-1", "dev-disk-by\\x2duuid-0c\\x2d1"),
            ("/.a b", "\\x2ea\\x20b"),
        ] {
            assert_eq!(escaped(path), expected);
        }
    }

    const UNIT: &str = "/etc/systemd/system/dev-nvme0n1p2.swap";
    const DROP_IN: &str = "/etc/systemd/system/dev-nvme0n1p2.swap.d/what.conf";
    const NEW_UNIT: &str = "/etc/systemd/system/dev-disk-by\\x2duuid-s.swap";
    const NEW_DROP_IN: &str = "/etc/systemd/system/dev-disk-by\\x2duuid-s.swap.d/what.conf";

    fn planned(files: MemFs) -> (Vec<Edit>, Vec<Option<String>>) {
        let fs = FsFacts { kind: "swap".into(), uuid: Some("s".into()), ..FsFacts::default() };
        let partition = PartitionFacts { number: 2, file_system: Some(fs), ..PartitionFacts::default() };
        let disks = vec![DiskFacts { partitions: vec![partition], ..DiskFacts::default() }];
        let guest = Guest { disks, ..Guest::default() };
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(files.with_file(UNIT, "[Swap]\nWhat=/dev/nvme0n1p2\n")));
        let mut draft = Draft::new(&tree);
        plan(&Context::new(&guest, &driver_targets::GENERATION_1), &mut draft, UNIT, "why").unwrap();
        let texts = [UNIT, DROP_IN, NEW_UNIT, NEW_DROP_IN].map(|path| draft.read_text(path).unwrap());
        (draft.take_edits(), texts.to_vec())
    }

    #[test]
    fn drop_ins_name_the_new_device_and_take_no_place_of_others() {
        let drop_in = "[Unit]\nAfter=dev-nvme0n1p2.device\n[Swap]\nWhat=/dev/nvme0n1p2\nOptions=discard\n";
        let (_, texts) = planned(MemFs::new().with_file(DROP_IN, drop_in));
        let new = "[Unit]\nAfter=dev-disk-by\\x2duuid-s.device\n[Swap]\nWhat=/dev/disk/by-uuid/s\nOptions=discard\n";
        let unit = "[Swap]\nWhat=/dev/disk/by-uuid/s\n";
        assert_eq!(texts, [None, None, Some(unit.into()), Some(new.into())]);
        let (edits, _) =
            planned(MemFs::new().with_file(DROP_IN, drop_in).with_file(NEW_DROP_IN, "[Swap]\nPriority=1\n"));
        assert!(edits.is_empty(), "{edits:?}");
        let (edits, _) = planned(MemFs::new().with_file(NEW_DROP_IN, "[Swap]\nPriority=1\n"));
        assert!(edits.is_empty(), "it would count for the renamed unit: {edits:?}");
    }
}
