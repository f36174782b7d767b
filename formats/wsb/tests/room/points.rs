//! Several points in time: the newest without a wish, else the one that was asked for.

use crate::builder::{DATA, SYSTEM, backup, open_one, options, text};
use format_core::ErrorKind;

#[test]
fn the_point_that_was_asked_for_is_read() {
    let root = tempfile::tempdir().unwrap();
    let names = ["Backup 2019-02-22 124351", "Backup 2020-01-01 000000", "Backup 2021-06-30 235959"];
    for (number, name) in names.iter().enumerate() {
        backup(root.path(), "PC", name, &[if number == 1 { SYSTEM } else { DATA }]);
    }
    for (at, wanted) in [
        (None, 2),
        (Some("0"), 0),
        (Some("2020-06-01"), 1),
        (Some("2019-02-22T12:43:51Z"), 0),
        (Some("Backup 2020"), 1),
        (Some(names[2]), 2),
    ] {
        let mut asked = options();
        asked.access.at = at.map(str::to_owned);
        let image = open_one(root.path(), &asked).unwrap();
        assert!(text(&image).starts_with(names[wanted]), "{at:?}");
        let container = &image.inside.as_ref().unwrap().container;
        let chosen: Vec<_> = container.points().iter().map(|point| point.is_chosen).collect();
        assert_eq!(chosen, [0, 1, 2].map(|number| number == wanted), "{at:?}");
        assert_eq!(container.points()[0].time, Some(1_550_839_431));
        assert_eq!(container.details()["host"], "PC");
    }
    let mut asked = options();
    asked.access.at = Some("2018-01-01".into());
    assert_eq!(open_one(root.path(), &asked).err().unwrap().kind(), ErrorKind::Usage);
}
