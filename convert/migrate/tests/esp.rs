//! A guest whose boot menu and loader are on its EFI system partition: edited, and judged by fsck.fat and mtools.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use convert_migrate::{inspect_disks, plan_for, readiness};
use driver_core::apply;
use format_core::{OpenOptions, Overlay, open_image};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;

const MIB: usize = 1 << 20;
const ROOT: (usize, usize) = (MIB, 24 * MIB);
const ESP: (usize, usize) = (32 * MIB, 16 * MIB);
const UUID: &str = "5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11";

fn tool(name: &str, arguments: &[&str]) -> Output {
    let done = Command::new("timeout")
        .args(["60", name])
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {name} (packages e2fsprogs, dosfstools, mtools): {e}"));
    assert!(done.status.success(), "{name} (packages e2fsprogs, dosfstools, mtools): {done:?}");
    done
}

/// A disk with an MBR, the root file system and an EFI system partition.
fn disk(folder: &Path) -> Arc<Overlay> {
    let path = |name: &str| folder.join(name).display().to_string();
    let put = |name: &str, content: &str| {
        let path = folder.join("root").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    put("etc/os-release", "ID=rhel\nVERSION_ID=\"8.10\"\n");
    put("etc/fstab", "/dev/xvda1 / ext4 defaults 0 1\n/dev/xvda2 /boot/efi vfat umask=0077 0 1\n");
    put("boot/efi/.keep", "");
    let (root, esp) = (path("root.img"), path("esp.img"));
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-U", UUID, "-d", &path("root"), &root, "24M"]);
    std::fs::File::create(&esp).unwrap().set_len(ESP.1 as u64).unwrap();
    tool("mkfs.fat", &["-F", "16", "-n", "EFI", &esp]);
    let menu = "menuentry 'RHEL' {\n\tlinuxefi /vmlinuz-4.18 root=/dev/xvda1 ro console=ttyS0\n\tinitrdefi /initramfs-4.18.img\n}\n";
    for (name, content) in [("grub.cfg", menu), ("shimx64.efi", "shim"), ("grubx64.efi", "grub")] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    tool("mmd", &["-i", &esp, "::/EFI", "::/EFI/redhat"]);
    for name in ["grub.cfg", "shimx64.efi", "grubx64.efi"] {
        tool("mcopy", &["-i", &esp, &path(name), "::/EFI/redhat/"]);
    }
    let file = std::fs::File::create(folder.join("disk.raw")).unwrap();
    file.set_len(64 * MIB as u64).unwrap();
    let mut sector = [0u8; 512];
    for (number, ((start, len), kind)) in [(ROOT, 0x83), (ESP, 0xef)].into_iter().enumerate() {
        let entry = &mut sector[446 + 16 * number..][..16];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
        entry[12..].copy_from_slice(&((len / 512) as u32).to_le_bytes());
    }
    sector[510..].copy_from_slice(b"\x55\xaa");
    file.write_all_at(&sector, 0).unwrap();
    file.write_all_at(&std::fs::read(&root).unwrap(), ROOT.0 as u64).unwrap();
    file.write_all_at(&std::fs::read(&esp).unwrap(), ESP.0 as u64).unwrap();
    let raw = format_all::FORMATS.iter().find(|format| format.is_called("raw")).copied();
    let options = OpenOptions::new(format_all::FORMATS, raw);
    Overlay::new(open_image(&folder.join("disk.raw"), &options).unwrap().disk)
}

#[test]
fn the_menu_on_the_esp_is_edited_and_its_loader_becomes_the_fallback() {
    let folder = TempDir::new().unwrap();
    let overlay = disk(folder.path());
    let mut inspection = inspect_disks(&[Arc::clone(&overlay)]).unwrap();
    let esp = inspection.guest.disks[0].partitions[1].file_system.clone().unwrap();
    assert_eq!((esp.state.as_deref(), esp.not_editable), (Some("clean"), None));
    let uefi = inspection.guest.boot.uefi.clone().unwrap();
    assert!(
        uefi.contains("/EFI/redhat/shimx64.efi") && uefi.contains("after the loader was copied"),
        "{uefi}"
    );
    let for_generation_2 = &readiness(&inspection).unwrap()[1];
    let reasons = for_generation_2.reasons.join("; ");
    assert!(!reasons.contains("cannot be edited") && !reasons.contains("boot loader"), "{reasons}");

    let plan = plan_for(&inspection, generation_2(), &[], &driver_core::Wishes::NONE).unwrap();
    apply(inspection.tree.as_mut().unwrap(), &plan.edits).unwrap();
    drop(inspection);
    let mut bytes = vec![0; ESP.1];
    overlay.disk().read_exact_at(ESP.0 as u64, &mut bytes).unwrap();
    let image = folder.path().join("after.img");
    std::fs::write(&image, bytes).unwrap();
    let image = image.to_str().unwrap();
    tool("fsck.fat", &["-n", image]);
    let read = |path: &str| String::from_utf8(tool("mtype", &["-i", image, path]).stdout).unwrap();
    let menu = format!("linuxefi /vmlinuz-4.18 root=UUID={UUID} ro console=tty0 console=ttyS0\n");
    assert!(read("::/EFI/redhat/grub.cfg").contains(&menu));
    assert_eq!(read("::/EFI/BOOT/BOOTX64.EFI"), "shim");
    assert_eq!(read("::/EFI/BOOT/grubx64.efi"), "grub");

    let again = inspect_disks(&[overlay]).unwrap();
    assert!(again.guest.boot.uefi.as_deref().unwrap().contains("/EFI/BOOT/BOOTX64.EFI"));
    assert_eq!(again.guest.boot.uefi_copy, None);
    assert!(plan_for(&again, generation_2(), &[], &driver_core::Wishes::NONE).unwrap().edits.is_empty());
}

fn generation_2() -> &'static driver_core::Target {
    driver_targets::target(driver_core::Platform::HyperV, driver_core::Firmware::Uefi, None).unwrap()
}
