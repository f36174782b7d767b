//! Which packages of a folder fit a guest, and with which content.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod maker;

use driver_core::DriverPackage;
use driver_inf::{Arch, WindowsVersion, is_signed, packages, signatures};
use format_core::ErrorKind;
use maker::*;
use std::path::Path;
use tempfile::TempDir;

fn found(root: &Path, guest: WindowsVersion) -> Vec<DriverPackage> {
    packages(root, &guest, Arch::Amd64).unwrap()
}

fn sources(packages: &[DriverPackage]) -> Vec<(&str, &str)> {
    packages.iter().map(|package| (package.inf.as_str(), package.source.as_str())).collect()
}

#[test]
fn each_windows_gets_the_build_of_its_folder_with_all_files() {
    let root = TempDir::new().unwrap();
    for os in ["2k8R2", "w7", "2k16", "w10", "2k19", "w11"] {
        put_viostor(root.path(), &format!("viostor/{os}/amd64"), "NTamd64", "01/01/2023,1.0.0.0");
        put_viostor(root.path(), &format!("viostor/{os}/x86"), "NTx86", "01/01/2023,1.0.0.0");
    }
    for (guest, folder, notes) in [
        (SERVER_2008_R2, "2k8R2", 0),
        (SERVER_2016, "2k16", 0),
        (SERVER_2019, "2k19", 0),
        (SERVER_2022, "2k19", 1),
        (WINDOWS_10, "w10", 0),
        (WINDOWS_11, "w11", 0),
    ] {
        let packages = found(root.path(), guest);
        let folder = format!("viostor/{folder}/amd64");
        assert_eq!(sources(&packages), [("viostor.inf", folder.as_str())], "{guest:?}");
        let package = &packages[0];
        assert_eq!(package.notes.len(), notes, "{:?}", package.notes);
        let names: Vec<&str> = package.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["viostor.inf", "viostor.cat", "viostor.sys"]);
        let binary = package.file(&package.services[0].binary).unwrap();
        assert_eq!(*binary.content, *format!("binary of {folder}").as_bytes());
        assert_eq!(binary.target.as_ref().unwrap().dirid, Some(12));
        assert_eq!(package.files[0].target, None);
        assert!(is_signed(package));
        assert!(signatures(package).has_catalog && !signatures(package).is_embedded);
    }
    let small = packages(root.path(), &windows(6, 1, 7601, false), Arch::X86).unwrap();
    assert_eq!(small[0].source, "viostor/w7/x86");
}

#[test]
fn older_layouts_and_plain_folders_are_understood() {
    let root = TempDir::new().unwrap();
    put_viostor(root.path(), "drivers/amd64/Win2012R2", "NTamd64", "01/01/2015,1.0.0.0");
    put_viostor(root.path(), "drivers/by-os/AMD64/2K19", "NTamd64", "01/01/2015,1.0.0.0");
    assert_eq!(found(root.path(), SERVER_2022)[0].source, "drivers/by-os/AMD64/2K19");
    // The folder itself, whatever Windows it is for: the INF decides.
    let folder = root.path().join("drivers/by-os/AMD64/2K19");
    assert_eq!(sources(&found(&folder, SERVER_2016)), [("viostor.inf", "")]);
    // The newest where folders say nothing.
    let plain = TempDir::new().unwrap();
    put_viostor(plain.path(), "a", "NTamd64", "01/01/2015,9.0.0.0");
    put_viostor(plain.path(), "b", "NTamd64", "01/01/2016,1.0.0.0");
    put_viostor(plain.path(), "c", "NTamd64", "01/01/2016,2.0.0.0");
    put_viostor(plain.path(), "d", "NTamd64", "01/01/2016,2.0.0.0");
    assert_eq!(found(plain.path(), SERVER_2016)[0].source, "c");
}

#[test]
fn one_driver_for_each_device_and_none_for_tests() {
    let root = TempDir::new().unwrap();
    let driver = |name: &str| storage_inf(name, "NTamd64", ["1", "2"], 1, "01/01/2020,1.0.0.0");
    for (folder, inf, driver) in [
        ("fwcfg/w10/amd64", "fwcfg.inf", driver("fwcfg")),
        ("qemufwcfg/w10/amd64", "qemufwcfg.inf", driver("qemufwcfg")),
        ("NetKVM/w10/amd64", "vioprot.inf", driver("vioprot")),
        ("NetKVM/w10/amd64", "netkvm_no_rss.inf", driver("netkvm")),
        ("NetKVM/w10/amd64", "netkvm.inf", driver("netkvm")),
        ("sriov/w10/amd64", "netkvmp.inf", driver("netkvmp")),
        ("viostor/w10/amd64/debug", "viostor.inf", driver("viostor")),
    ] {
        put(root.path(), &[(&format!("{folder}/{inf}"), driver.as_bytes())]);
        for name in ["fwcfg", "qemufwcfg", "vioprot", "netkvm", "netkvmp", "viostor"] {
            put(root.path(), &[(&format!("{folder}/{name}.sys"), name.as_bytes())]);
        }
    }
    let packages = found(root.path(), WINDOWS_10);
    assert_eq!(sources(&packages), [("fwcfg.inf", "fwcfg/w10/amd64"), ("netkvm.inf", "NetKVM/w10/amd64")]);
    // No catalog, which is a fact for others to judge.
    assert_eq!(packages[0].notes, ["fwcfg.cat is missing"]);
    assert!(!is_signed(&packages[0]));
}

#[test]
fn a_package_without_its_binary_is_passed_over_for_an_older_one() {
    let root = TempDir::new().unwrap();
    put_viostor(root.path(), "viostor/2k16/amd64", "NTamd64", "01/01/2023,1.0.0.0");
    put(
        root.path(),
        &[("viostor/2k19/amd64/viostor.inf", viostor("NTamd64", "01/01/2024,1.0.0.0").as_bytes())],
    );
    let packages = found(root.path(), SERVER_2019);
    assert_eq!(packages[0].source, "viostor/2k16/amd64");
    assert_eq!(packages[0].notes.len(), 2);
    assert!(
        packages[0].notes[0].contains("viostor/2k19/amd64/viostor.inf was passed over"),
        "{:?}",
        packages[0].notes
    );
}

#[test]
fn names_differ_in_case_and_files_lie_in_subfolders() {
    let root = TempDir::new().unwrap();
    let text =
        viostor("NTamd64", "01/01/2023,1.0.0.0").replace("viostor.sys = 1,,", "VIOSTOR.sys = 1,\\Bin\\x64");
    put(
        root.path(),
        &[
            ("W10/VIOSTOR.INF", text.as_bytes()),
            ("W10/bin/X64/VioStor.SYS", b"x"),
            ("W10/viostor.sys", b"not this"),
        ],
    );
    let packages = found(root.path(), WINDOWS_10);
    let names: Vec<&str> = packages[0].files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["VIOSTOR.INF", "bin\\X64\\VioStor.SYS"]);
    assert_eq!(*packages[0].file("viostor.sys").unwrap().content, *b"x");
}

#[test]
fn links_are_not_followed() {
    let root = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    put_viostor(outside.path(), "w10", "NTamd64", "01/01/2023,1.0.0.0");
    put_viostor(root.path(), "w8", "NTamd64", "01/01/2023,1.0.0.0");
    std::os::unix::fs::symlink(outside.path().join("w10"), root.path().join("w10")).unwrap();
    std::os::unix::fs::symlink(root.path(), root.path().join("loop")).unwrap();
    assert_eq!(found(root.path(), WINDOWS_10)[0].source, "w8");
    // The path that is given may be one.
    std::os::unix::fs::symlink(outside.path(), root.path().join("given")).unwrap();
    assert_eq!(found(&root.path().join("given"), WINDOWS_10)[0].source, "w10");
}

#[test]
fn when_nothing_fits_the_error_says_what_is_there() {
    let root = TempDir::new().unwrap();
    let error = packages(root.path(), &SERVER_2019, Arch::Amd64).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(
        error.to_string().contains("fits Windows 10.0.17763 (server, amd64): there is no INF file"),
        "{error}"
    );
    for os in ["2k22", "2k25", "w11"] {
        put_viostor(root.path(), &format!("viostor/{os}/amd64"), "NTamd64", "01/01/2023,1.0.0.0");
    }
    put(root.path(), &[("broken.inf", b"[Version")]);
    let error = packages(root.path(), &SERVER_2019, Arch::Amd64).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    for says in
        ["broken.inf was passed over: inf: line 1", "viostor/2k22/amd64/viostor.inf", "viostor/w11/amd64"]
    {
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(error.hint_text().is_some());
    let missing = packages(&root.path().join("nowhere"), &SERVER_2019, Arch::Amd64).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::SourceMissing);
    let file = packages(&root.path().join("broken.inf"), &SERVER_2019, Arch::Amd64).unwrap_err();
    assert_eq!(file.kind(), ErrorKind::Usage);
    assert!(file.to_string().contains("neither a folder nor an ISO 9660 image"), "{file}");
}

#[test]
fn files_beyond_the_bounds_are_refused_unread() {
    let root = TempDir::new().unwrap();
    put_viostor(root.path(), "w10", "NTamd64", "01/01/2023,1.0.0.0");
    let huge = std::fs::File::create(root.path().join("w10/viostor.sys")).unwrap();
    huge.set_len((32 << 20) + 1).unwrap();
    let error = packages(root.path(), &WINDOWS_10, Arch::Amd64).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("w10/viostor.sys has 33554433 bytes"), "{error}");
    huge.set_len(32 << 20).unwrap();
    assert_eq!(found(root.path(), WINDOWS_10)[0].file("viostor.sys").unwrap().content.len(), 32 << 20);
    // An INF of that size is no INF.
    let inf = std::fs::File::create(root.path().join("w10/big.inf")).unwrap();
    inf.set_len(1 << 40).unwrap();
    assert_eq!(found(root.path(), WINDOWS_10).len(), 1);
}
