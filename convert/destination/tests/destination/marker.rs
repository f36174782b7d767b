//! The marker, and what others may put in its place.

use crate::bench::{fails, inside, tool};
use convert_destination::{CODE, Destination, Host, MARKER, Place, Required, init};
use format_core::Result;
use std::path::Path;

fn marked(folder: &Path, id: Option<uuid::Uuid>) -> Result<Place> {
    Destination::new(folder, Required::Marked(id)).check(&Host::system())
}

#[test]
fn a_marked_folder_is_known_by_its_id_and_its_volume() {
    inside("marker::a_marked_folder_is_known_by_its_id_and_its_volume", |bench| {
        let (point, _) = bench.destination("backup", "ext4", "rw");
        let host = Host::system();
        fails(marked(&point, None), 73, &[CODE, "holds no marker", "rehome destination init"]);
        let (marker, warnings) = init(&host, &point).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(marked(&point, Some(marker.id)).unwrap().marker, Some(marker.clone()));
        marked(&point, None).unwrap();
        Destination::new(&point, Required::SubfolderOfVolume).check(&host).unwrap();
        fails(marked(&point, Some(uuid::Uuid::nil())), 73, &[CODE, "is marked as the destination"]);
        // Once is for ever.
        assert_eq!(init(&host, &point).unwrap().0, marker);
        // The marker that a copy of the folder took along is no sign of the volume.
        let copy = bench.dir("copy");
        std::fs::copy(point.join(MARKER), copy.join(MARKER)).unwrap();
        let (other, _) = bench.destination("other", "ext4", "rw");
        std::fs::copy(point.join(MARKER), other.join(MARKER)).unwrap();
        for folder in [&copy, &other] {
            fails(marked(folder, Some(marker.id)), 73, &[CODE]);
            fails(Destination::new(folder, Required::Exists).check(&host), 73, &[CODE]);
            fails(init(&host, folder), 73, &[CODE, "the marker of another volume"]);
        }
        tool(&["umount", point.to_str().unwrap()]);
        fails(marked(&point, Some(marker.id)), 73, &[CODE]);
    });
}

#[test]
fn a_marker_on_the_root_disk_or_in_memory_is_warned_of() {
    inside("marker::a_marker_on_the_root_disk_or_in_memory_is_warned_of", |bench| {
        let host = Host::system();
        let warned =
            |folder: &Path| init(&host, folder).unwrap().1.iter().map(|w| w.code).collect::<Vec<_>>();
        let folder = bench.dir("root");
        assert_eq!(warned(&folder), ["destination-on-root"]);
        marked(&folder, None).unwrap();
        let memory = bench.dir("memory");
        tool(&["mount", "-t", "tmpfs", "none", memory.to_str().unwrap()]);
        assert_eq!(warned(&memory), ["destination-in-memory"]);
        marked(&memory, None).unwrap();
        fails(init(&host, &bench.path("missing")), 73, &[CODE, "does not exist"]);
    });
}

#[test]
fn what_is_no_marker_is_refused_and_never_waited_for() {
    inside("marker::what_is_no_marker_is_refused_and_never_waited_for", |bench| {
        let host = Host::system();
        let folder = bench.dir("folder");
        init(&host, &folder).unwrap();
        let marker = folder.join(MARKER);
        let real = std::fs::read(&marker).unwrap();
        let refused = |how: &str| {
            fails(marked(&folder, None), 73, &[how, "rehome destination init"]);
            fails(init(&host, &folder), 73, &[how]);
            std::fs::remove_file(&marker).unwrap();
        };
        std::fs::write(&marker, "{\"id\": 7}").unwrap();
        refused("is none of ours");
        std::fs::write(&marker, vec![b' '; 70_000]).unwrap();
        refused("is too long");
        std::fs::write(folder.join("real"), &real).unwrap();
        std::os::unix::fs::symlink("real", &marker).unwrap();
        refused("is a link");
        tool(&["mkfifo", marker.to_str().unwrap()]);
        refused("is not a plain file");
    });
}
