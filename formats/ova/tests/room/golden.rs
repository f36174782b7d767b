//! Packages as they should be.

use crate::builder::{Package, bytes_of, content, envelope, items, open, options, run};
use format_core::{OpenOptions, OpenedImage, check_image, open_image};
use std::path::Path;

const ALL: [&str; 4] = ["vm.ovf", "vm.mf", "a.img", "b c.img"];

fn names(images: &[OpenedImage]) -> Vec<&str> {
    images.iter().map(|image| image.name_inside().unwrap()).collect()
}

fn codes(image: &OpenedImage) -> Vec<&str> {
    image.warnings.iter().map(|warning| warning.code).collect()
}

pub(crate) fn check(path: &Path) -> format_core::CheckReport {
    check_image(path, &options(), &|_| Ok(())).unwrap().remove(0).report
}

/// The proofs of all disks, as a copy runs them.
pub(crate) fn prove(path: &Path) -> Vec<Option<format_core::Result<()>>> {
    let images = open(path).unwrap();
    let proof = |image: &OpenedImage| {
        let inside = image.inside.as_ref().unwrap();
        inside.container.proof(inside.index).map(|proof| proof(&|_| Ok(())))
    };
    images.iter().map(proof).collect()
}

#[test]
fn disks_come_in_the_order_of_the_machine() {
    let package = Package::usual();
    for (sum, label) in [("sha1sum", "SHA1"), ("sha256sum", "SHA256"), ("sha512sum", "SHA512")] {
        package.sum(sum, label, &["vm.ovf", "a.img", "b c.img"]);
        let orders = [[0, 1, 2, 3], [0, 2, 3, 1], [0, 3, 2, 1]];
        let archives = orders.map(|order| order.map(|at: usize| ALL[at]));
        for (number, members) in archives.iter().enumerate() {
            let way = ["--format=ustar", "--format=gnu", "--format=posix"][number];
            let path = package.archive_with(&[way], members);
            for path in [path, package.ovf()] {
                let images = open(&path).unwrap();
                assert_eq!(names(&images), ["b c.img", "a.img", "blank"]);
                assert!(
                    bytes_of(&images[0].disk) == content(2, 6000)
                        && bytes_of(&images[1].disk) == content(1, 5000)
                );
                assert_eq!(images[2].disk.virtual_size(), 3 << 20);
                assert_eq!(images[2].disk.extents(0, 3 << 20).count(), 1);
                assert!(images.iter().all(|image| image.warnings.is_empty()), "{:?}", images[0].warnings);
                assert!(check(&path).is_clean());
                let proofs = prove(&path);
                assert!(matches!(proofs.as_slice(), [Some(Ok(())), Some(Ok(())), None]));
                let container = &images[0].inside.as_ref().unwrap().container;
                assert_eq!(container.details()["manifest"], label.to_ascii_lowercase());
                let machine = container.machine_files().unwrap();
                assert_eq!(machine[0].bytes, std::fs::read(package.ovf()).unwrap());
                assert!(container.completeness().unwrap().is_empty());
            }
        }
    }
}

#[test]
fn a_changed_byte_is_found_by_check_and_proof() {
    let package = Package::usual();
    package.sum("sha256sum", "SHA256", &["vm.ovf", "a.img", "b c.img"]);
    let good = std::fs::read(package.path().join("a.img")).unwrap();
    for at in [0, 2500, 4999] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        package.add("a.img", &bytes);
        for path in [package.archive(&ALL), package.ovf()] {
            let report = check(&path);
            assert_eq!(report.errors, 1);
            assert!(report.findings[0].message.contains("SHA256 of \"a.img\""), "{:?}", report.findings);
            let proofs = prove(&path);
            assert!(matches!(proofs.as_slice(), [Some(Ok(())), Some(Err(_)), None]));
            let error = proofs[1].as_ref().unwrap().as_ref().unwrap_err();
            assert_eq!(error.kind(), format_core::ErrorKind::Mismatch);
        }
    }
    package.add("a.img", &good);
    let ovf = std::fs::read_to_string(package.ovf()).unwrap();
    package.add("vm.ovf", ovf.replace("made by a test", "made by a rest").as_bytes());
    assert_eq!(check(&package.ovf()).errors, 1);
    assert!(prove(&package.ovf()).iter().flatten().all(|proof| proof.is_err()));
}

#[test]
fn a_manifest_may_lack_lines_files_or_everything() {
    let package = Package::usual();
    for path in [package.archive(&["vm.ovf", "a.img", "b c.img"]), package.ovf()] {
        let images = open(&path).unwrap();
        assert_eq!(images[0].inside.as_ref().unwrap().container.details()["manifest"], "none");
        assert!(images[0].warnings.is_empty());
        assert!(prove(&path).iter().all(Option::is_none));
        assert!(check(&path).is_clean());
    }
    package.sum("sha256sum", "SHA256", &["vm.ovf", "a.img"]);
    let path = package.archive(&ALL);
    assert_eq!(codes(&open(&path).unwrap()[0]), ["ova-not-covered"]);
    assert!(matches!(prove(&path).as_slice(), [None, Some(Ok(())), None]));
    package.add("extra", b"x");
    package.sum("sha256sum", "SHA256", &["vm.ovf", "a.img", "b c.img", "extra"]);
    let path = package.archive(&ALL);
    assert_eq!(codes(&open(&path).unwrap()[0]), ["ova-line-without-file"]);
    assert_eq!(check(&path).errors, 1);
    package.add("vm.cert", b"certificate");
    let path = package.archive(&[&ALL[..], &["extra", "vm.cert"]].concat());
    assert_eq!(codes(&open(&path).unwrap()[0]), ["ova-signature"]);
    let path = package.archive(&["a.img", "vm.ovf", "vm.mf", "b c.img", "extra"]);
    assert_eq!(codes(&open(&path).unwrap()[0]), ["ova-order"]);
}

#[test]
fn files_may_be_compressed_and_cut_into_chunks() {
    let files = r#"<File ovf:id="f1" ovf:href="a.img" ovf:size="5000" ovf:chunkSize="1024"/>
        <File ovf:id="f2" ovf:href="b.img.gz" ovf:size="99" ovf:compression="gzip"/>
        <File ovf:id="f3" ovf:href="c.img.gz" ovf:compression="gzip" ovf:chunkSize="1000"/>"#;
    let disks = r#"<Disk ovf:diskId="d1" ovf:capacity="5000" ovf:fileRef="f1"/><Disk ovf:diskId="d2" ovf:capacity="6000" ovf:fileRef="f2"/>
        <Disk ovf:diskId="d3" ovf:capacity="7000" ovf:fileRef="f3"/>"#;
    let package = Package::new(&envelope(files, disks, ""));
    let mut members = vec!["vm.ovf".to_owned()];
    let mut cut = |name: &str, bytes: &[u8], len| {
        for (number, chunk) in bytes.chunks(len).enumerate() {
            package.add(&format!("{name}.{number:09}"), chunk);
            members.push(format!("{name}.{number:09}"));
        }
    };
    cut("a.img", &content(1, 5000), 1024);
    for (name, seed, len) in [("b.img", 2, 6000), ("c.img", 3, 7000)] {
        package.add(name, &content(seed, len));
        run(package.path(), "gzip", &["-n", name]);
    }
    cut("c.img.gz", &std::fs::read(package.path().join("c.img.gz")).unwrap(), 1000);
    members.push("b.img.gz".to_owned());
    let members: Vec<_> = members.iter().map(String::as_str).collect();
    package.sum("sha256sum", "SHA256", &members);
    for path in [package.archive(&[&members[..], &["vm.mf"]].concat()), package.ovf()] {
        let images = open(&path).unwrap();
        for (image, (seed, len)) in images.iter().zip([(1, 5000), (2, 6000), (3, 7000)]) {
            assert!(bytes_of(&image.disk) == content(seed, len), "{seed}");
            // The core says that it needed a temporary file.
            assert!(codes(image).iter().all(|code| *code == "unpacked"), "{seed}");
        }
        assert!(check(&path).is_clean());
        assert!(prove(&path).iter().all(|proof| matches!(proof, Some(Ok(())))));
    }
    // Each chunk that is missing is named, also the last, whose name nobody asks for otherwise.
    for missing in ["a.img.000000000", "a.img.000000002", "a.img.000000004", "c.img.gz.000000003"] {
        let rest: Vec<_> = members.iter().copied().filter(|name| *name != missing).collect();
        let error = crate::builder::refused(&package.archive(&rest));
        assert!(error.to_string().contains(missing), "{error}");
        let report = check(&package.archive(&rest));
        assert!(report.findings.iter().any(|finding| finding.message.contains(missing)));
    }
}

#[test]
fn the_image_knows_its_size_better() {
    let files = r#"<File ovf:id="f" ovf:href="disk"/>"#;
    let disk = r#"<Disk ovf:diskId="d" ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^30" ovf:fileRef="f"
        ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>"#;
    let package = Package::new(&envelope(files, disk, &items("d", "d")));
    package.add("disk", b"KDMV and so on");
    let image = open_image(&package.archive(&["vm.ovf", "disk"]), &options()).unwrap();
    assert_eq!((image.disk.virtual_size(), codes(&image)), (14, vec!["ova-capacity"]));
}

#[test]
fn an_image_may_name_a_file_beside_it_but_no_member() {
    let files = r#"<File ovf:id="f" ovf:href="disk.vmdk"/>"#;
    let disk = r#"<Disk ovf:diskId="d" ovf:capacity="9" ovf:fileRef="f"/>"#;
    let package = Package::new(&envelope(files, disk, ""));
    package.add("disk.vmdk", b"KDMV->flat.bin");
    package.add("flat.bin", &content(5, 9));
    assert!(bytes_of(&open(&package.ovf()).unwrap()[0].disk) == content(5, 9));
    let error = crate::builder::refused(&package.archive(&["vm.ovf", "disk.vmdk", "flat.bin"]));
    assert!(error.to_string().contains("another file of the archive"), "{error}");
    let error = crate::builder::refused(&package.archive(&["vm.ovf", "disk.vmdk"]));
    assert!(error.to_string().contains("is not in the package"), "{error}");
}

#[test]
fn an_href_may_be_written_as_a_uri() {
    let package = Package::usual();
    let ovf = std::fs::read_to_string(package.ovf()).unwrap();
    package.add("vm.ovf", ovf.replace("b c.img", "b%20c.img").as_bytes());
    assert!(bytes_of(&open(&package.ovf()).unwrap()[0].disk) == content(2, 6000));
}

#[test]
fn it_is_found_without_being_named() {
    let package = Package::usual();
    let ova = package.archive(&["vm.ovf", "a.img", "b c.img"]);
    for (from, to) in [(ova.as_path(), "nameless"), (ova.as_path(), "x.img")] {
        std::fs::copy(from, package.path().join(to)).unwrap();
    }
    assert_eq!(open(&package.path().join("nameless")).unwrap().len(), 3);
    let OpenOptions { formats, .. } = options();
    let found = format_core::probe_formats(&format_core::FileStorage::open(&ova).unwrap(), formats).unwrap();
    assert_eq!(found[0].0.name, "ova");
    assert!(
        crate::builder::refused(&package.path().join("x.img")).to_string().contains("named like a raw disk")
    );
}

/// VirtualBox's archives just end. What an envelope announces is there nevertheless.
#[test]
fn an_archive_may_end_without_a_mark() {
    let package = Package::usual();
    package.sum("sha256sum", "SHA256", &["vm.ovf", "a.img", "b c.img"]);
    for (members, warnings) in [(&ALL[..], vec![]), (&["vm.ovf", "a.img", "b c.img"], vec!["ova-no-end"])] {
        let path = package.archive(members);
        let bytes = std::fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(512);
        std::fs::write(&path, &bytes[..end]).unwrap();
        assert_eq!(codes(&open(&path).unwrap()[0]), warnings);
        assert!(check(&path).is_clean());
    }
}

#[test]
fn sizes_of_files_that_are_wrong() {
    for (size, warnings) in [("0", vec![]), ("-1", vec![]), ("4000", vec!["ova-size"])] {
        let package = Package::usual();
        let ovf = std::fs::read_to_string(package.ovf()).unwrap();
        package.add("vm.ovf", ovf.replace("ovf:size=\"5000\"", &format!("ovf:size=\"{size}\"")).as_bytes());
        assert_eq!(codes(&open(&package.ovf()).unwrap()[1]), warnings, "{size}");
    }
}

/// No target may take the place of a file that is being read.
#[test]
fn all_files_belong_to_the_source_once() {
    for has_manifest in [false, true] {
        let package = Package::usual();
        if has_manifest {
            package.sum("sha256sum", "SHA256", &["vm.ovf", "a.img", "b c.img"]);
        }
        let images = open(&package.ovf()).unwrap();
        let mut ids: Vec<_> = images[0].chain[0].file_ids().collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), count), (3 + usize::from(has_manifest), 3 + usize::from(has_manifest)));
    }
}
