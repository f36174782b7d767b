//! Descriptions that products and other projects wrote: `configs/` of the collection in `shared/corpus` beside the
//! repository, or where `REHOME_CORPUS` says. They are unpacked below `target/` and never copied into the repository.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use driver_machine::{Bus, FirmwareKind, Machine, MachineErrorKind, OsFamily, Warning, read_documents};

/// Unpacks the descriptions; `None`, loudly, where the collection is not there. Under CI that is an error.
fn configs(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    let archive = corpus.join("third-party.tar.zst");
    if !archive.is_file() {
        let message = format!("the collection is not in {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("configs-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let script =
        "zstd -dcq --long=31 \"$1\" | tar -xf - -C \"$2\" --no-same-owner --wildcards '*.ovf' '*.vmx'";
    let arguments =
        ["-euo", "pipefail", "-c", script, "bash", archive.to_str().unwrap(), folder.to_str().unwrap()];
    assert!(Command::new("bash").args(arguments).status().unwrap().success());
    Some(folder.join("third-party/configs"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

fn read(path: &Path, instance: Option<&str>) -> (Machine, Vec<Warning>) {
    let bytes = std::fs::read(path).unwrap();
    read_documents(&[&bytes], instance).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the projects' own tests expect of these files, or what their text says.
#[test]
fn real_machines_read_as_their_projects_expect() {
    let Some(folder) = configs("expected") else { return };
    type Wanted = (&'static str, &'static str, FirmwareKind, u32, u64, usize, Bus, Option<u64>, OsFamily);
    let cases: &[Wanted] = &[
        (
            "virt-v2v/test-i-vmx-1.vmx",
            "BZ1308535_21disks",
            FirmwareKind::Bios,
            1,
            2048,
            21,
            Bus::Scsi,
            None,
            OsFamily::Linux,
        ),
        (
            "virt-v2v/test-i-vmx-3.vmx",
            "RHEL 7.1 UEFI",
            FirmwareKind::Uefi,
            1,
            2048,
            1,
            Bus::Scsi,
            None,
            OsFamily::Linux,
        ),
        (
            "virt-v2v/test-i-vmx-4.vmx",
            "Windows 7 x64",
            FirmwareKind::Bios,
            1,
            2048,
            1,
            Bus::Scsi,
            None,
            OsFamily::Windows,
        ),
        (
            "virt-v2v/test-i-vmx-6.vmx",
            "esx6.7-rhel8.6-nvme-disk",
            FirmwareKind::Bios,
            1,
            2048,
            1,
            Bus::Nvme,
            None,
            OsFamily::Linux,
        ),
        (
            "virt-v2v/test-i-ova.ovf",
            "TestOva",
            FirmwareKind::Bios,
            1,
            2048,
            1,
            Bus::Scsi,
            Some(32 << 30),
            OsFamily::Windows,
        ),
        (
            "virt-v2v/test-i-ova-as-root.ovf",
            "ova-test",
            FirmwareKind::Bios,
            2,
            4096,
            1,
            Bus::Scsi,
            Some(512 << 20),
            OsFamily::Windows,
        ),
        (
            "virt-v2v/test-i-ova-two-disks.ovf",
            "2K8R2EESP1_2_Medium",
            FirmwareKind::Bios,
            1,
            1024,
            2,
            Bus::Scsi,
            Some(50 << 30),
            OsFamily::Windows,
        ),
        (
            "virt-v2v/test-i-ova-formats.ovf",
            "2K8R2EESP1_2_Medium",
            FirmwareKind::Uefi,
            1,
            1024,
            1,
            Bus::Scsi,
            Some(50 << 30),
            OsFamily::Windows,
        ),
        (
            "govmomi/ttylinux.ovf",
            "ttylinux-pc_i486-16.1",
            FirmwareKind::Bios,
            1,
            32,
            1,
            Bus::Ide,
            Some(30 << 20),
            OsFamily::Linux,
        ),
        (
            "govmomi/uber.ovf",
            "uber-vm",
            FirmwareKind::Bios,
            1,
            512,
            1,
            Bus::Scsi,
            Some(20 << 30),
            OsFamily::Linux,
        ),
    ];
    for (file, name, firmware, cpus, memory, disks, bus, size, family) in cases {
        let (machine, _) = read(&folder.join(file), None);
        let first = &machine.disks[0];
        assert_eq!(
            (
                machine.name.as_str(),
                machine.firmware.kind,
                machine.cpu.count,
                machine.memory_mib,
                machine.disks.len()
            ),
            (*name, *firmware, *cpus, *memory, *disks),
            "{file}"
        );
        assert_eq!(
            (first.bus, first.size_bytes, machine.os.unwrap().family),
            (*bus, *size, *family),
            "{file}"
        );
    }
    let (machine, _) = read(&folder.join("virt-v2v/test-i-vmx-3.vmx"), None);
    assert_eq!(machine.nics[0].mac.unwrap().to_string(), "00:0c:29:4b:2b:8c");
    let (machine, _) = read(&folder.join("virt-v2v/test-i-vmx-1.vmx"), None);
    assert_eq!(machine.uuid.unwrap().to_string(), "564d96af-e646-bd86-5c4d-654e7736ef31");
    assert_eq!(machine.disks[20].id, "scsi1:5");
    let (_, warnings) = read(&folder.join("virt-v2v/test-i-ova-gz.ovf"), None);
    assert!(warnings.iter().any(|warning| warning.code == "ovf-compressed"));
    let several = folder.join("govmomi/external/2011OVFs/vCD_vApp_ovf/vCD_vApp_OVF.ovf");
    let (machine, _) = read(&several, Some("s-xp"));
    assert_eq!((machine.name.as_str(), machine.disks.len()), ("s-xp", 2));
}

/// Every envelope of VMware's own test collection is read, or refused for a reason that its text shows.
#[test]
fn every_description_is_read_or_refused_for_a_reason() {
    let Some(folder) = configs("all") else { return };
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    assert!(paths.len() > 200, "{}", paths.len());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let started = std::time::Instant::now();
        let outcome = read_documents(&[&bytes], None);
        assert!(started.elapsed().as_millis() < 500, "{}", path.display());
        let what = match outcome {
            Ok((machine, _)) => {
                assert_eq!(Machine::from_json(&machine.to_json().unwrap()).unwrap(), machine);
                "read"
            }
            Err(error) => {
                let words = error.to_string();
                let reasons: [(&str, bool); 6] = [
                    (
                        "0.9",
                        error.kind() == MachineErrorKind::Unsupported
                            && text.contains("vmware.com/schema/ovf/1/"),
                    ),
                    (
                        "several",
                        error.kind() == MachineErrorKind::Choice
                            && text.matches("VirtualSystem ").count() > 1,
                    ),
                    ("none", words.contains("no VirtualSystem") && !text.contains("VirtualSystem ")),
                    ("no disks", words.contains("disks: has 0 entries")),
                    ("template", text.contains("@@")),
                    // Files that are wrong on purpose.
                    ("wrong", path.to_str().unwrap().contains("/Neg/") || text.contains("not-a-schema")),
                ];
                let reason = reasons.iter().find(|(_, holds)| *holds).map(|(reason, _)| *reason);
                reason.unwrap_or_else(|| panic!("{}: {words}", path.display()))
            }
        };
        *counts.entry(what).or_default() += 1;
    }
    assert!(counts["read"] >= 40 && counts["0.9"] >= 70, "{counts:?}");
}
