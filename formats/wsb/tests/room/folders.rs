//! Whichever of its folders is named, the backup is found, and its volumes are its disks.

use crate::builder::{DATA, SYSTEM, WINDOWS, backup, open_all, open_one, options, text};
use format_core::{ErrorKind, Origin, Score, Severity, SourceFolder, check_image};
use format_wsb::FORMAT;
use std::path::Path;

const NAME: &str = "Backup 2019-02-22 124351";

#[test]
fn each_folder_of_a_backup_leads_to_its_volumes() {
    let root = tempfile::tempdir().unwrap();
    // In another order than their places on the disk.
    let host = backup(root.path(), "PC", NAME, &[DATA, WINDOWS, SYSTEM]);
    for path in [root.path(), &root.path().join("WindowsImageBackup"), &host, &host.join(NAME)] {
        let images = open_all(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let names: Vec<_> = images.iter().map(|image| image.name_inside().unwrap()).collect();
        assert_eq!(names, [SYSTEM, WINDOWS, DATA], "{}", path.display());
        for (image, name) in images.iter().zip([SYSTEM, WINDOWS, DATA]) {
            assert_eq!(text(image), format!("{NAME} {name}"));
            assert_eq!(image.inside.as_ref().unwrap().format.unwrap().name, "image");
            assert!(image.warnings.iter().any(|warning| warning.code == "wsb-volumes"));
        }
        let mut picked = options();
        picked.access.pick = Some(WINDOWS.into());
        assert_eq!(text(&open_one(path, &picked).unwrap()), format!("{NAME} {WINDOWS}"));
        assert_eq!(open_one(path, &options()).err().unwrap().kind(), ErrorKind::Usage);
        let details = images[0].inside.as_ref().unwrap().container.details();
        assert_eq!(details["backup"], NAME);
        assert_eq!(details["volumes"][1]["disk-signature"], "0x06fedb78");
        assert_eq!(details["volumes"][1]["partition-offset"], 501 << 20);
        assert!(details["volumes"][2].get("disk-signature").is_none());
    }
}

#[test]
fn other_folders_are_not_claimed() {
    let root = tempfile::tempdir().unwrap();
    let score = |path: &Path| (FORMAT.probe_folder)(&SourceFolder::open(path).unwrap());
    assert_eq!(score(root.path()), Score::No);
    std::fs::create_dir_all(root.path().join("Backup of things")).unwrap();
    std::fs::write(root.path().join("a.vhdx"), b"an image").unwrap();
    assert_eq!(score(root.path()), Score::No);
    let host = backup(root.path(), "PC", NAME, &[DATA]);
    for path in [root.path(), &root.path().join("WindowsImageBackup"), &host, &host.join(NAME)] {
        assert_eq!(score(path), Score::Magic, "{}", path.display());
    }
    assert_eq!(score(&host.join("Catalog")), Score::No);
}

#[test]
fn backups_of_several_computers_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    backup(root.path(), "PC", NAME, &[DATA]);
    let other = backup(root.path(), "SERVER", NAME, &[SYSTEM]);
    let error = open_all(root.path()).err().unwrap();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("PC, SERVER"), "{error}");
    assert_eq!(open_all(&other).unwrap().len(), 1);
}

#[test]
fn what_is_missing_is_told() {
    let root = tempfile::tempdir().unwrap();
    let host = backup(root.path(), "PC", NAME, &[DATA]);
    std::fs::remove_file(host.join(NAME).join("BackupSpecs.xml")).unwrap();
    let images = open_all(&host).unwrap();
    assert!(images[0].warnings.iter().any(|warning| warning.code == "wsb-unfinished"));
    let checked = check_image(&host, &options(), &|_| Ok(())).unwrap();
    assert_eq!(checked[0].report.errors, 1);
    std::fs::remove_file(host.join(NAME).join(DATA)).unwrap();
    let error = open_all(&host).err().unwrap();
    assert!(error.kind() == ErrorKind::Unsupported && error.hint_text().is_some(), "{error}");
    std::fs::remove_dir_all(host.join(NAME)).unwrap();
    let mut named = options();
    named.format = Some(&FORMAT);
    assert_eq!(open_one(&host, &named).err().unwrap().kind(), ErrorKind::SourceMissing);
    let file = Origin::File(std::sync::Arc::new(format_core::MemStorage::default()));
    let context = format_core::LayerContext::new(std::sync::Arc::new(format_core::DenyAll));
    assert_eq!(FORMAT.open_container.unwrap()(file, &context).err().unwrap().kind(), ErrorKind::Usage);
}

#[test]
fn a_damaged_volume_does_not_hide_the_others() {
    let root = tempfile::tempdir().unwrap();
    let host = backup(root.path(), "PC", NAME, &[SYSTEM, DATA]);
    std::fs::write(host.join(NAME).join(SYSTEM), b"nonsense").unwrap();
    let mut picked = options();
    picked.access.pick = Some(DATA.into());
    assert_eq!(text(&open_one(&host, &picked).unwrap()), format!("{NAME} {DATA}"));
    let report = check_image(&host, &options(), &|_| Ok(())).unwrap().remove(0).report;
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    assert!(report.errors == 1 && errors.clone().all(|error| error.message.contains(SYSTEM)), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.severity == Severity::Note));
}

/// A link in the folder could name any file of the host.
#[test]
fn links_lead_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let host = backup(root.path(), "PC", NAME, &[DATA]);
    std::fs::write(root.path().join("secret.vhdx"), b"an image of the host").unwrap();
    std::os::unix::fs::symlink("../../../secret.vhdx", host.join(NAME).join(SYSTEM)).unwrap();
    std::os::unix::fs::symlink("/", host.join("Backup 2020-01-01 000000")).unwrap();
    let images = open_all(&host).unwrap();
    assert_eq!((images.len(), text(&images[0])), (1, format!("{NAME} {DATA}")));
}
