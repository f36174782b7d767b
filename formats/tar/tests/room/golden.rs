//! Archives that GNU tar, libarchive and Python wrote.

use crate::builder::{bytes_of, disk, open, open_all, options, run, stored, write_sparse};
use format_core::{ErrorKind, Severity, check_image, open_image};
use std::path::Path;

/// Every way of GNU tar to write a file, sparse or not.
const WAYS: &[&[&str]] = &[
    &["--format=v7"],
    &["--format=ustar"],
    &["--format=gnu"],
    &["--format=posix"],
    &["-S", "--format=oldgnu"],
    &["-S", "--format=gnu"],
    &["-S", "--format=posix", "--sparse-version=0.0"],
    &["-S", "--format=posix", "--sparse-version=0.1"],
    &["-S", "--format=posix", "--sparse-version=1.0"],
];

/// The archive of `name` in `folder`, made with these options.
pub(crate) fn tar(folder: &Path, options: &[&str], members: &[&str]) -> std::path::PathBuf {
    run(folder, "tar", &[&["-cf", "made.tar"], options, &["--"], members].concat());
    folder.join("made.tar")
}

#[test]
fn every_way_of_gnu_tar_is_read_with_its_holes() {
    let folder = tempfile::tempdir().unwrap();
    for size in [16 << 20, (16 << 20) + 700, 3 << 20] {
        let disk = disk(size);
        write_sparse(&folder.path().join("disk.raw"), &disk);
        for way in WAYS {
            let archive = tar(folder.path(), way, &["disk.raw"]);
            let named = if way.contains(&"--format=v7") { Some(&format_tar::FORMAT) } else { None };
            let image = open_image(&archive, &options(named)).unwrap();
            assert!(bytes_of(&image.disk) == disk, "{way:?} {size}");
            assert!(image.warnings.is_empty(), "{:?}", image.warnings);
            if way.contains(&"-S") {
                assert!(stored(&image.disk) < 300_000, "{way:?}: {}", stored(&image.disk));
            }
        }
    }
}

#[test]
fn libarchive_and_python_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(8 << 20);
    write_sparse(&folder.path().join("disk.raw"), &disk);
    for format in ["ustar", "pax", "gnutar", "v7"] {
        run(folder.path(), "bsdtar", &["-cf", "made.tar", "--format", format, "disk.raw"]);
        let named = if format == "v7" { Some(&format_tar::FORMAT) } else { None };
        let image = open_image(&folder.path().join("made.tar"), &options(named)).unwrap();
        assert!(bytes_of(&image.disk) == disk, "{format}");
    }
    for format in ["USTAR", "GNU", "PAX"] {
        let program = format!(
            "import tarfile\nwith tarfile.open('made.tar', 'w', format=tarfile.{format}_FORMAT) as t: t.add('disk.raw')"
        );
        run(folder.path(), "python3", &["-c", &program]);
        assert!(bytes_of(&open(&folder.path().join("made.tar")).unwrap().disk) == disk, "{format}");
    }
}

#[test]
fn long_names_are_whole_in_every_dialect() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{}/{}/disk.raw", "a".repeat(120), "ö".repeat(100));
    let path = folder.path().join(&long);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_sparse(&path, &disk(4 << 20));
    for way in WAYS
        .iter()
        .filter(|way| way.len() > 1 || way.contains(&"--format=gnu") || way.contains(&"--format=posix"))
    {
        let image = open(&tar(folder.path(), way, &[&long])).unwrap();
        assert_eq!(image.name_inside(), Some(long.as_str()), "{way:?}");
    }
    let split = format!("{}/disk.raw", "a".repeat(120));
    write_sparse(&folder.path().join(&split), &disk(4 << 20));
    let image = open(&tar(folder.path(), &["--format=ustar"], &[&split])).unwrap();
    assert_eq!(image.name_inside(), Some(split.as_str()));
}

#[test]
fn what_is_no_disk_is_not_offered() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("readme.txt"), [b'x'; 9000]).unwrap();
    std::fs::write(at("disk.mf"), [b'x'; 900]).unwrap();
    std::fs::write(at("tiny.raw"), [b'x'; 511]).unwrap();
    std::fs::write(at("._disk.raw"), [b'x'; 4096]).unwrap();
    std::fs::create_dir(at("folder.raw")).unwrap();
    std::os::unix::fs::symlink("disk.raw", at("link.raw")).unwrap();
    write_sparse(&at("disk.raw"), &disk(4 << 20));
    std::fs::hard_link(at("disk.raw"), at("same.raw")).unwrap();
    std::fs::write(at("data.raw"), [3; 1024]).unwrap();
    let members =
        ["readme.txt", "disk.mf", "tiny.raw", "._disk.raw", "folder.raw", "link.raw", "disk.raw", "same.raw"];
    let archive = tar(folder.path(), &["-S"], &members);
    let image = open(&archive).unwrap();
    assert_eq!(image.name_inside(), Some("disk.raw"));
    assert!(bytes_of(&image.disk) == disk(4 << 20));

    let archive = tar(folder.path(), &["-S"], &["./disk.raw", "./data.raw"]);
    assert_eq!(open(&archive).err().unwrap().kind(), ErrorKind::Usage);
    let names: Vec<_> =
        open_all(&archive).unwrap().iter().map(|i| i.name_inside().unwrap().to_owned()).collect();
    assert_eq!(names, ["disk.raw", "data.raw"]);
    for pick in ["data.raw", "1"] {
        let mut options = options(None);
        options.access.pick = Some(pick.to_owned());
        assert_eq!(bytes_of(&open_image(&archive, &options).unwrap().disk), [3; 1024]);
    }
}

#[test]
fn an_image_in_an_archive_is_opened_by_its_own_format() {
    let folder = tempfile::tempdir().unwrap();
    let image = [b"OTHER".as_slice(), &[1; 3000]].concat();
    std::fs::write(folder.path().join("disk.other"), &image).unwrap();
    let opened = open(&tar(folder.path(), &[], &["disk.other"])).unwrap();
    assert_eq!(opened.inside.unwrap().format.unwrap().name, "other");
    std::fs::write(folder.path().join("disk.raw"), disk(4 << 20)).unwrap();
    run(folder.path(), "gzip", &["-n", "disk.raw"]);
    let opened = open(&tar(folder.path(), &[], &["disk.raw.gz"])).unwrap();
    assert!(bytes_of(&opened.disk) == disk(4 << 20));
}

#[test]
fn a_check_says_what_is_covered() {
    let folder = tempfile::tempdir().unwrap();
    write_sparse(&folder.path().join("disk.raw"), &disk(4 << 20));
    let archive = tar(folder.path(), &["-S"], &["disk.raw"]);
    let report = &check_image(&archive, &options(None), &|_| Ok(())).unwrap()[0].report;
    assert!(report.is_clean());
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Note));

    let bytes = std::fs::read(&archive).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 512 * 512 + 512;
    std::fs::write(&archive, &bytes[..end]).unwrap();
    let image = open(&archive).unwrap();
    assert_eq!(image.warnings[0].code, "tar-no-end");
    assert_eq!(check_image(&archive, &options(None), &|_| Ok(())).unwrap()[0].report.errors, 1);
    std::fs::write(&archive, [&bytes[..], &bytes[..]].concat()).unwrap();
    assert_eq!(open(&archive).unwrap().warnings[0].code, "tar-bytes-behind");
}
