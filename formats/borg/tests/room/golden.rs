//! Whole repositories.

use crate::{Made, bytes, noise, open, options};
use format_core::{ErrorKind, check_image, open_images};

/// 3 MiB with zeros and noise.
fn disk(seed: u64) -> Vec<u8> {
    let mut disk = vec![0; 3 << 20];
    disk[..1 << 20].copy_from_slice(&noise(1 << 20, seed));
    disk.push(1);
    disk
}

#[test]
fn archives_are_points_in_time_and_nothing_is_written() {
    let made = Made::new("none");
    let (old, new) = (disk(1), disk(2));
    made.put("vm/--odd [*] \"näme\".raw", &old);
    made.put("vm/a.xml", b"<domain/>");
    made.put("vm/readme", b"x");
    made.borg(&["create", "::first", "vm"], None);
    made.put("vm/--odd [*] \"näme\".raw", &new);
    made.put("vm/z.img", &old);
    made.borg(&["create", "--chunker-params", "fixed,65536", "::second", "vm"], None);
    let before = made.files();

    let all = open_images(&made.repo(), &options(None)).unwrap();
    assert!(all.len() == 2 && bytes(&all[0]) == new && bytes(&all[1]) == old);
    assert_eq!(all[0].name_inside(), Some("vm/--odd [*] \"näme\".raw"));
    let container = &all[0].inside.as_ref().unwrap().container;
    let points: Vec<_> = container.points().iter().map(|point| point.id.as_str()).collect();
    assert_eq!(points, ["first", "second"]);
    assert!(container.points()[0].time.is_some_and(|time| time > 1_700_000_000));
    assert_eq!(container.machine_files().unwrap()[0].bytes, b"<domain/>");
    assert_eq!(container.details()["encryption"], "none");
    assert_eq!(container.disks()[1].virtual_size, Some(old.len() as u64));
    let first = open(&made.repo(), None, None, Some("first")).unwrap();
    assert!(bytes(&first) == old);
    let checked = check_image(&made.repo(), &options(None), &|_| Ok(())).unwrap();
    assert!(checked[0].report.is_clean(), "{:?}", checked[0].report);
    let stop = |_| Err(format_core::Error::new(ErrorKind::Temporary, "stop"));
    assert_eq!(check_image(&made.repo(), &options(None), &stop).err().unwrap().kind(), ErrorKind::Temporary);
    assert!(before == made.files(), "the repository was changed");
}

#[test]
fn passphrases_reach_borg_and_wrong_ones_are_told() {
    let made = Made::new("repokey-blake2");
    let disk = disk(3);
    made.borg(&["create", "--stdin-name", "vm-100-disk-0", "::a", "-"], Some(&disk));
    let before = made.files();
    assert!(bytes(&open(&made.repo(), Some("pässword\n"), None, None).unwrap()) == disk);
    for passphrase in [None, Some("no")] {
        let error = open(&made.repo(), passphrase, None, None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
        assert!(error.hint_text().unwrap().contains("--key-file"), "{error}");
    }
    assert!(before == made.files(), "the repository was changed");
}
