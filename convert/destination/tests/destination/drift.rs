//! Volumes that are mounted elsewhere than configured.

use crate::bench::{fails, inside, tool};
use convert_destination::{CODE, Destination, Device, Host, Required, init};
use std::path::Path;

/// Moves a mount to another name in a new folder tree.
fn moves(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let device = tool(&["findmnt", "-n", "-o", "SOURCE", from.to_str().unwrap()]);
    tool(&["umount", from.to_str().unwrap()]);
    tool(&["mount", &device, to.to_str().unwrap()]);
}

#[test]
fn the_place_is_named_by_marker_by_uuid_and_by_name() {
    inside("drift::the_place_is_named_by_marker_by_uuid_and_by_name", |bench| {
        let host = Host::system();
        // Where automounters work, but in memory of this namespace.
        let media = Path::new("/media");
        tool(&["mount", "-t", "tmpfs", "none", "/media"]);
        let (point, _) = bench.destination("first", "ext4", "rw");
        let (home, away) = (media.join("ann/BACK UP"), media.join("ann/BACK UP1"));
        moves(&point, &home);
        let uuid = tool(&["findmnt", "-n", "-o", "UUID", home.to_str().unwrap()]);
        let vms = home.join("vms");
        let id = init(&host, &vms).unwrap().0.id;
        let is_here = |destination: &Destination| destination.check(&host);
        let marked = Destination::new(&vms, Required::Marked(Some(id)));
        let any = Destination::new(&vms, Required::Marked(None));
        let by_uuid = Destination {
            mount_point: Some(home.clone()),
            device: Some(Device::Uuid(uuid)),
            ..Destination::new(&vms, Required::Exists)
        };
        let by_name = Destination::new(&vms, Required::SubfolderOfVolume);
        for destination in [&marked, &any, &by_uuid, &by_name] {
            is_here(destination).unwrap();
        }
        moves(&home, &away);
        let (now, hint) =
            (format!("is mounted at {}", away.display()), format!("name '{}/vms'", away.display()));
        for destination in [&marked, &any, &by_uuid, &by_name] {
            fails(is_here(destination), 73, &[CODE, &now, &hint, "umount '/media/ann/BACK UP1'"]);
        }
        // The folder that the automounter left behind is no destination.
        std::fs::create_dir_all(&vms).unwrap();
        for destination in [&marked, &any, &by_uuid, &by_name] {
            fails(is_here(destination), 73, &[CODE, &now]);
        }
        // Without the marker the name alone tells.
        std::fs::remove_file(away.join("vms").join(convert_destination::MARKER)).unwrap();
        fails(is_here(&by_name), 73, &[CODE, &now]);
        fails(is_here(&by_uuid), 73, &[CODE, &now]);
        fails(is_here(&marked), 73, &[CODE]);
        // What it says is true: there it is.
        let there = Destination { folder: away.join("vms"), ..by_name.clone() };
        is_here(&there).unwrap();
        // Somebody else's volume is not named.
        tool(&["umount", away.to_str().unwrap()]);
        let error = fails(is_here(&by_name), 73, &[CODE]);
        assert!(!error.to_string().contains("BACK UP1"), "{error}");
    });
}
