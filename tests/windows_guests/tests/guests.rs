//! Every recipe builds, and other people's programs accept what was built.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod judges;

use driver_registry::{Hive, Log, LogFile, recover};
use judges::{bcd_device, python_counts, sfdisk, text_of, volume};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use test_windows_guests::{
    Export, Layout, Recipe, Special, build, diff, export, file, file_list, files, recipe, recipes,
    registry_diff, shared,
};

const CONFIG: &str = "Windows/System32/config";

fn bcd_path(recipe: &Recipe) -> &'static str {
    if matches!(recipe.layout, Layout::Uefi { .. }) { "EFI/Microsoft/Boot/BCD" } else { "Boot/BCD" }
}

/// The number of a partition that has C:.
fn system_number(recipe: &Recipe) -> usize {
    match recipe.layout {
        Layout::BiosSingle => 1,
        Layout::BiosReserved => 2,
        Layout::Uefi { .. } => 3,
    }
}

/// Runs a check on every guest, and says which one failed.
fn every_guest(check: impl Fn(&Recipe, &Path)) {
    for recipe in recipes() {
        let built = shared(recipe);
        eprintln!("{}", recipe.name);
        check(recipe, built.disk());
    }
}

#[test]
fn names_are_different_and_fit_the_recipe() {
    let names: BTreeSet<_> = recipes().iter().map(|recipe| recipe.name).collect();
    assert_eq!(names.len(), recipes().len());
    assert!(recipes().len() >= 14);
    assert!(recipes().iter().all(
        |it| it.name.contains(if it.is_uefi() { "uefi" } else { "bios" }) || it.has(Special::DynamicDisk)
    ));
}

#[test]
fn partition_tables_are_what_the_recipe_says() {
    every_guest(|recipe, disk| {
        let table = sfdisk(disk);
        let count = match recipe.layout {
            Layout::BiosSingle => 1,
            Layout::BiosReserved => 2,
            Layout::Uefi { .. } => 4,
        };
        assert_eq!(table.matches("start=").count(), count, "{table}");
        assert_eq!(table.contains("label: gpt"), recipe.is_uefi(), "{table}");
        assert_eq!(table.matches("bootable").count(), usize::from(!recipe.is_uefi()), "{table}");
        assert_eq!(table.contains("type=42"), recipe.has(Special::DynamicDisk), "{table}");
        assert!(disk.metadata().unwrap().len() <= 300 << 20);
    });
}

#[test]
fn volumes_are_accepted_by_their_checkers() {
    every_guest(|recipe, disk| {
        for number in 1..=sfdisk(disk).matches("start=").count() {
            let is_system = number == system_number(recipe);
            let image = volume(disk, number);
            let boot = std::fs::read(&image.path).unwrap()[..512].to_vec();
            if is_system && recipe.has(Special::BitLocker) {
                assert_eq!(&boot[3..11], b"-FVE-FS-");
            } else if &boot[3..7] == b"NTFS" {
                image.assert_ntfs(is_system && recipe.has(Special::Hibernated));
            } else if recipe.is_uefi() && number == 1 {
                image.assert_fat();
            } else {
                assert!(recipe.is_uefi() && number == 2 && boot.iter().all(|byte| *byte == 0));
            }
        }
    });
}

#[test]
fn hives_are_the_same_for_two_readers() {
    every_guest(|recipe, disk| {
        let mut paths = vec![bcd_path(recipe).to_owned()];
        if !recipe.has(Special::BitLocker) {
            paths.extend(
                ["SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT"].map(|name| format!("{CONFIG}/{name}")),
            );
        }
        let names: Vec<&str> = paths.iter().map(String::as_str).collect();
        for (path, bytes) in names.iter().zip(files(disk, &names)) {
            let keys = export(&bytes);
            let values: usize = keys.values().map(std::collections::BTreeMap::len).sum();
            assert_eq!(python_counts(&bytes), (keys.len(), values), "{path}");
            assert!(Hive::open(bytes).unwrap().check().is_ok(), "{path}");
        }
    });
}

/// The value of a key, or that there is none.
fn value<'a>(keys: &'a Export, key: &str, name: &str) -> &'a str {
    keys.get(key).and_then(|values| values.get(name)).map_or("none", String::as_str)
}

#[test]
fn boot_devices_are_the_partitions() {
    every_guest(|recipe, disk| {
        let bcd = export(&file(disk, bcd_path(recipe)));
        let element = |object: &str, element: &str| {
            value(&bcd, &format!(r"\Objects\{object}\Elements\{element}"), "Element").to_owned()
        };
        let manager = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
        let loader = element(manager, "23000003");
        let loader = loader.strip_prefix("sz:\"").unwrap().strip_suffix('"').unwrap();
        assert_eq!(element(manager, "24000001"), format!("multi:\"{loader}\""));
        let extension = if recipe.is_uefi() { "efi" } else { "exe" };
        assert_eq!(element(loader, "12000002"), format!(r#"sz:"\Windows\system32\winload.{extension}""#));
        let table = sfdisk(disk);
        assert_eq!(bcd_device(&element(manager, "11000001"), &table), Some(1));
        assert_eq!(bcd_device(&element(loader, "11000001"), &table), Some(system_number(recipe)));
        assert_eq!(element(loader, "21000001"), element(loader, "11000001"));
        let ems = if recipe.has(Special::SerialConsole) { "hex(3):01" } else { "none" };
        assert_eq!(element(loader, "260000b0"), ems);
    });
}

#[test]
fn every_boot_driver_has_its_file() {
    every_guest(|recipe, disk| {
        if recipe.has(Special::BitLocker) {
            return;
        }
        let system = export(&file(disk, &format!("{CONFIG}/SYSTEM")));
        let files: BTreeSet<String> = file_list(disk).into_keys().map(|path| path.to_lowercase()).collect();
        let mut missing = BTreeSet::new();
        for (key, values) in &system {
            let start = values.get("Start").map(String::as_str);
            let path = values.get("ImagePath").map(|path| text_of(path).to_lowercase().replace('\\', "/"));
            let Some(path) = path.filter(|path| path.ends_with(".sys") && start == Some("dword:00000000"))
            else {
                continue;
            };
            let name = path.rsplit('/').next().unwrap().to_owned();
            if !files.contains(&format!("{}/windows/system32/drivers/{name}", system_number(recipe))) {
                missing.insert(name);
            }
            assert!(key.to_lowercase().starts_with(r"\controlset00"), "{key}");
        }
        let expected: &[&str] =
            if recipe.has(Special::StoreOnly) { &["storvsc.sys", "vmstorfl.sys"] } else { &[] };
        assert_eq!(missing.into_iter().collect::<Vec<_>>(), expected);
        for name in expected {
            assert!(files.iter().any(|path| path.contains("/filerepository/") && path.ends_with(name)));
        }
    });
}

#[test]
fn control_sets_are_those_that_select_names() {
    every_guest(|recipe, disk| {
        if recipe.has(Special::BitLocker) {
            return;
        }
        let system = export(&file(disk, &format!("{CONFIG}/SYSTEM")));
        let two = system.contains_key(r"\ControlSet002");
        assert_eq!(two, recipe.release.is_nt61());
        assert_eq!(
            value(&system, r"\Select", "LastKnownGood"),
            if two { "dword:00000002" } else { "dword:00000001" }
        );
        assert_eq!(system.contains_key(r"\DriverDatabase"), !two);
        assert_eq!(system.contains_key(r"\ControlSet001\Control\CriticalDeviceDatabase"), two);
        let services = if two { "services" } else { "Services" };
        let is_override = |key: &&String| key.ends_with("StartOverride");
        assert_eq!(system.keys().filter(is_override).count() > 5, !two);
        for driver in recipe_drivers(recipe) {
            let key = format!(r"\ControlSet001\{services}\{driver}");
            assert_eq!(value(&system, &key, "Start"), "dword:00000000", "{key}");
            assert!(!system.contains_key(&format!(r"{key}\StartOverride")), "{key}");
        }
    });
}

/// What the guest starts from on its source.
fn recipe_drivers(recipe: &Recipe) -> &'static [&'static str] {
    use test_windows_guests::Source;
    match recipe.source {
        Source::AwsXen | Source::Citrix => &["xenbus", "xenfilt", "xenvbd", "intelide", "atapi"],
        Source::AwsNitro => &["AWSNVMe"],
        Source::VmwareLsi => &["LSI_SAS"],
        Source::VmwarePvscsi => &["pvscsi"],
        Source::VirtualBox => &["storahci"],
        Source::VirtioBlk => &["viostor"],
        Source::VirtioScsi => &["vioscsi"],
        Source::HyperV => &["vmbus", "storvsc", "storflt"],
        Source::PhysicalMegasas => &["megasas"],
        Source::PhysicalIntelRaid => &["iaStorVD"],
    }
}

#[test]
fn the_logs_of_a_dirty_hive_hold_what_came_last() {
    let dirty = recipe("2019-hyperv-bios-dirty");
    let disk = shared(dirty);
    let names = ["SYSTEM", "SYSTEM.LOG1", "SYSTEM.LOG2"].map(|name| format!("{CONFIG}/{name}"));
    let mut read = files(disk.disk(), &names.each_ref().map(String::as_str)).into_iter();
    let mut next = || read.next().unwrap();
    let (primary, one, two) = (next(), next(), next());
    assert_ne!(primary[4..8], primary[8..12]);
    let before = export(&primary);
    assert_eq!(
        value(&before, r"\ControlSet001\Control\ComputerName\ComputerName", "ComputerName"),
        "sz:\"PHONY-PC\""
    );
    let logs = [Log { file: LogFile::Log1, bytes: &one }, Log { file: LogFile::Log2, bytes: &two }];
    let recovered = recover(primary, &logs).unwrap();
    assert!(recovered.replay.was_dirty && recovered.replay.applied.len() == 1);
    let changes = diff(&before, &export(&recovered.bytes));
    assert!(
        changes.contains("-\"ComputerName\"=sz:\"PHONY-PC\"\n+\"ComputerName\"=sz:\"AFTERLOG\"\n"),
        "{changes}"
    );
    assert!(changes.contains("+[\\ControlSet001\\Services\\LateService]\n"), "{changes}");
    assert_eq!(changes.matches('[').count(), 2, "{changes}");
}

#[test]
fn a_difference_is_exactly_what_changed() {
    let built = shared(recipe("2008r2-vmware-bios"));
    let folder = tempfile::tempdir().unwrap();
    let other = build(recipe("2008r2-vmware-bios"), folder.path());
    let hive = "windows\\system32\\CONFIG\\system";
    assert_eq!(registry_diff(built.disk(), other.disk(), hive), "");
    let (old, new) = (file_list(built.disk()), file_list(other.disk()));
    assert_eq!(old, new);
    assert!(old.contains_key("2/Users/Administrator/Documents/letter.txt"));
    let xen = registry_diff(built.disk(), shared(recipe("2008r2-xen-bios")).disk(), hive);
    assert!(
        xen.contains(
            "[\\ControlSet001\\services\\LSI_SAS]\n-\"Start\"=dword:00000000\n+\"Start\"=dword:00000003\n"
        ),
        "{xen}"
    );
    assert!(xen.contains("+[\\ControlSet002\\services\\xenfilt]\n"));
}

#[test]
fn packed_files_are_packed() {
    // ntfs-3g does not unpack them without a plug-in; that it sees a link to nowhere is what shows the reparse point.
    let list = file_list(shared(recipe("2022-kvm-uefi-compact")).disk());
    let packed: Vec<_> =
        list.iter().filter(|(_, hash)| *hash == "unreadable").map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        packed,
        ["3/Windows/System32/cmd.exe", "3/Windows/System32/drivers/disk.sys", "3/Windows/explorer.exe"]
    );
}

#[test]
fn building_is_fast() {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let built = build(recipe("2022-nitro-uefi"), folder.path());
    let took = start.elapsed();
    // Alone it takes a second; the machine has other things to do.
    assert!(took < Duration::from_secs(15), "{took:?}");
    use std::os::unix::fs::MetadataExt;
    assert!(built.disk().metadata().unwrap().blocks() * 512 < 40 << 20);
}
