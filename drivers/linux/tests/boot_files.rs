//! EFI system partitions, systemd-boot, and files besides fstab that name devices.
#![allow(clippy::unwrap_used)]

mod phony;

use driver_core::{
    Context, Firmware, Guest, GuestTree, MemFs, MountFacts, Ownership, Plan, Platform, Target, apply,
    make_plan,
};
use driver_linux::{fixups, missing_fallback};
use driver_targets::{GENERATION_1, GENERATION_2};
use phony::*;

/// The root with an EFI system partition.
fn with_esp(root: MemFs, point: &str, esp: &MemFs) -> GuestTree {
    let mut tree = tree(root.with_folder(point));
    tree.mount(point, Box::new(esp.clone()));
    tree
}

fn facts_of(tree: &GuestTree, point: &str) -> Guest {
    let mut facts = facts();
    let (device, kind) = (String::new(), "vfat".into());
    facts.mounts.push(MountFacts { point: point.into(), device, place: (0, 15).into(), kind });
    driver_linux::inspect(tree, &mut facts, &MODULES).unwrap();
    facts
}

fn planned(tree: &GuestTree, facts: &Guest, target: &Target) -> Plan {
    make_plan(&Context::new(facts, target), tree, fixups()).unwrap()
}

/// Plans, applies, and checks that a second plan is empty.
fn migrated(tree: &mut GuestTree, facts: &Guest) -> Plan {
    let plan = planned(tree, facts, &GENERATION_2);
    assert_eq!(plan.obstacles().count(), 0, "{:#?}", plan.fixups);
    apply(tree, &plan.edits).unwrap();
    let again = planned(tree, facts, &GENERATION_2);
    assert!(again.edits.is_empty(), "{:#?}", again.edits);
    plan
}

fn text(tree: &GuestTree, path: &str) -> String {
    String::from_utf8(tree.read_file(path, 1 << 20).unwrap().unwrap()).unwrap()
}

fn names(tree: &GuestTree, folder: &str) -> Vec<String> {
    tree.read_dir(folder).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn files(folder: &str, names: &[&str]) -> MemFs {
    names.iter().fold(MemFs::new(), |fs, name| fs.with_file(&format!("{folder}/{name}"), name))
}

#[test]
fn the_distributions_loader_becomes_the_fallback() {
    let suse = ["shim.efi", "grub.efi", "MokManager.efi", "grub.cfg"];
    for (root, folder, esp, expected) in [
        (
            debian(),
            "debian",
            &["shimx64.efi", "grubx64.efi", "mmx64.efi", "fbx64.efi", "BOOTX64.CSV", "grub.cfg"][..],
            &["BOOTX64.EFI", "grubx64.efi", "mmx64.efi"][..],
        ),
        (debian(), "debian", &["grubx64.efi"], &["BOOTX64.EFI"]),
        (ubuntu(), "ubuntu", &["shimx64.efi", "grubx64.efi"], &["BOOTX64.EFI", "grubx64.efi"]),
        (rhel(), "redhat", &["shimx64.efi", "grubx64.efi"], &["BOOTX64.EFI", "grubx64.efi"]),
        (amazon(), "amzn", &["grubx64.efi"], &["BOOTX64.EFI"]),
        (debian(), "opensuse", &suse, &["BOOTX64.EFI", "MokManager.efi", "grub.cfg", "grub.efi"]),
    ] {
        let folder = format!("/EFI/{folder}");
        let mut tree = with_esp(root, "/boot/efi", &files(&folder, esp));
        let facts = facts_of(&tree, "/boot/efi");
        let copy = missing_fallback(&tree, &facts).unwrap().unwrap();
        assert_eq!((copy.partition, copy.loader), ((0, 15), format!("/boot/efi{folder}/{}", esp[0])));
        let bios = planned(&tree, &facts, &GENERATION_1);
        assert!(!bios.edits.iter().any(|edit| edit.path.contains("EFI/BOOT")), "BIOS needs none");
        let plan = migrated(&mut tree, &facts);
        assert_eq!(names(&tree, "/boot/efi/EFI/BOOT"), expected, "{folder}");
        assert_eq!(text(&tree, "/boot/efi/EFI/BOOT/BOOTX64.EFI"), esp[0]);
        for name in &expected[1..] {
            assert_eq!(text(&tree, &format!("/boot/efi/EFI/BOOT/{name}")), *name);
        }
        assert_eq!(names(&tree, &format!("/boot/efi{folder}")).len(), esp.len());
        let paths: Vec<_> = plan.edits.iter().filter(|edit| edit.path.starts_with("/boot/efi/EFI")).collect();
        assert_eq!(paths.len(), expected.len() + 1, "the folder and its files: {paths:?}");
        assert!(missing_fallback(&tree, &facts).unwrap().is_none());
    }
}

#[test]
fn what_is_there_or_unclear_is_left() {
    let pair = ["shimx64.efi", "grubx64.efi"];
    let two = files("/EFI/kali", &pair).with_file("/EFI/fedora/grubx64.efi", "g");
    for (what, esp) in [
        ("there", files("/EFI/debian", &pair).with_file("/EFI/BOOT/BOOTX64.EFI", "own")),
        ("two others", two),
        ("shim alone", files("/EFI/debian", &["shimx64.efi"])),
        ("fallback without a list", files("/EFI/debian", &pair).with_file("/EFI/BOOT/fbx64.efi", "f")),
        ("another architecture", files("/EFI/debian", &["shimaa64.efi", "grubaa64.efi"])),
        ("nothing", MemFs::new()),
    ] {
        let mut tree = with_esp(debian(), "/boot/efi", &esp);
        let facts = facts_of(&tree, "/boot/efi");
        assert_eq!(missing_fallback(&tree, &facts).unwrap(), None, "{what}");
        let plan = migrated(&mut tree, &facts);
        assert!(!plan.edits.iter().any(|edit| edit.path.starts_with("/boot/efi/EFI")), "{what}");
    }
    let listed = files("/EFI/debian", &["shimx64.efi", "grubx64.efi", "BOOTX64.CSV"]);
    let tree = with_esp(debian(), "/boot/efi", &listed.with_file("/EFI/BOOT/fbx64.efi", "f"));
    assert!(missing_fallback(&tree, &facts_of(&tree, "/boot/efi")).unwrap().is_some());
}

/// A whole menu on the EFI system partition, as up to RHEL 8.
#[test]
fn a_menu_on_the_efi_system_partition_is_edited() {
    let menu = format!(
        "menuentry 'x' {{\n\tlinuxefi /vmlinuz-{DEBIAN_KERNEL} root=/dev/xvda1 ro\n\tinitrdefi /i\n}}\n"
    );
    let esp = MemFs::new().with_file("/EFI/redhat/grub.cfg", menu).with_file("/EFI/BOOT/BOOTX64.EFI", "x");
    let mut tree = with_esp(debian(), "/boot/efi", &esp);
    let facts = facts_of(&tree, "/boot/efi");
    migrated(&mut tree, &facts);
    assert!(text(&tree, "/boot/efi/EFI/redhat/grub.cfg").contains(&format!("root=UUID={ROOT} ro\n")));
}

const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// systemd-boot with the folders that kernel-install makes, in the partition that is mounted at `point`.
fn systemd_boot(point: &str, settings: &str) -> (GuestTree, Guest) {
    let old = "6.1.0-9-amd64";
    let root = [DEBIAN_KERNEL, old]
        .iter()
        .fold(base("debian", "12"), |fs, version| with_modules(fs, version, &MODULES));
    let root = root
        .with_file("/etc/fstab", format!("UUID={ROOT} / ext4 defaults 0 1\n"))
        .with_file("/etc/kernel/cmdline", "root=/dev/xvda1 ro console=hvc0\n");
    let esp = MemFs::new()
        .with_file("/loader/loader.conf", settings)
        .with_file("/EFI/systemd/systemd-bootx64.efi", "systemd-boot");
    let esp = [DEBIAN_KERNEL, old].iter().fold(esp, |fs, version| {
        let folder = format!("/{MACHINE}/{version}");
        let entry = format!(
            "title Debian\nversion {version}\noptions root=/dev/nvme0n1p1 ro console=ttyS0\nlinux {folder}/linux\ninitrd {folder}/initrd.img-{version}\n"
        );
        fs.with_file(&format!("/loader/entries/{MACHINE}-{version}.conf"), entry)
            .with_file(&format!("{folder}/linux"), "MZ")
            .with_file(
                &format!("{folder}/initrd.img-{version}"),
                initramfs(version, "conf/initramfs.conf", &["ext4", "nvme"]),
            )
    });
    let tree = with_esp(root, point, &esp);
    let facts = facts_of(&tree, point);
    (tree, facts)
}

#[test]
fn entries_and_images_of_systemd_boot_are_edited() {
    for point in ["/boot/efi", "/efi", "/boot"] {
        let (mut tree, facts) = systemd_boot(point, "timeout 3\n");
        assert_eq!(facts.boot.loader.as_deref(), Some("systemd-boot"));
        assert_eq!(facts.kernels.len(), 2);
        let folder = format!("{point}/{MACHINE}/{DEBIAN_KERNEL}");
        let kernel = &facts.kernels[0];
        assert!(kernel.default);
        assert_eq!(kernel.image.as_deref(), Some(format!("{folder}/linux").as_str()));
        let image = format!("{folder}/initrd.img-{DEBIAN_KERNEL}");
        assert_eq!(kernel.initramfs.as_deref(), Some(image.as_str()));
        let plan = migrated(&mut tree, &facts);
        assert_eq!(plan.edits.iter().filter(|edit| edit.verb() == "append").count(), 2);
        for kernel in facts_of(&tree, point).kernels {
            let has = |module| kernel.drivers.iter().any(|d| d.module == module && d.in_initramfs);
            assert!(has("hv_vmbus") && has("hv_storvsc"), "{}", kernel.version);
        }
        let entry = text(&tree, &format!("{point}/loader/entries/{MACHINE}-{DEBIAN_KERNEL}.conf"));
        assert!(
            entry.contains(&format!("options root=UUID={ROOT} ro console=tty0 console=ttyS0\n")),
            "{entry}"
        );
        assert_eq!(text(&tree, "/etc/kernel/cmdline"), format!("root=UUID={ROOT} ro\n"));
        assert_eq!(text(&tree, &format!("{point}/EFI/BOOT/BOOTX64.EFI")), "systemd-boot");
    }
}

#[test]
fn what_grub_left_behind_does_not_count_beside_systemd_boot() {
    let old = "menuentry 'old' {\n\tlinux /boot/vmlinuz-6.1.0-9-amd64 root=/dev/xvda1\n}\n";
    let settings = format!("default *-{DEBIAN_KERNEL}.conf\n");
    for (grub, loader) in [(false, "systemd-boot"), (true, "grub2")] {
        let (mut tree, _) = systemd_boot("/efi", &settings);
        for folder in ["/boot", "/boot/grub"] {
            tree.create_folder(folder, Ownership::ROOT_FOLDER).unwrap();
        }
        tree.create_file("/boot/grub/grub.cfg", old.as_bytes(), Ownership::ROOT_FILE).unwrap();
        if grub {
            tree.create_folder("/efi/EFI/debian", Ownership::ROOT_FOLDER).unwrap();
            tree.create_file("/efi/EFI/debian/grubx64.efi", b"MZ", Ownership::ROOT_FILE).unwrap();
        }
        let facts = facts_of(&tree, "/efi");
        assert_eq!(facts.boot.loader.as_deref(), Some(loader));
        // The kernel in the menu of GRUB is not there.
        assert_eq!(facts.kernels[0].default, !grub);
    }
}

#[test]
fn the_default_of_systemd_boot_is_what_its_settings_say() {
    for (settings, first) in [
        ("", DEBIAN_KERNEL),
        ("default 0123*\n", DEBIAN_KERNEL),
        ("default *-6.1.0-9-amd64.conf\n", "6.1.0-9-amd64"),
        ("#default *-6.1.0-9-amd64\ntimeout 1\n", DEBIAN_KERNEL),
    ] {
        let (_, facts) = systemd_boot("/efi", settings);
        assert_eq!(facts.kernels[0].version, first, "{settings}");
        assert!(facts.kernels[0].default && !facts.kernels[1].default);
    }
}

#[test]
fn unified_kernel_images_need_a_person_unless_something_else_starts() {
    for (settings, refused) in [
        ("timeout 3\n", true),
        ("default 0123*\n", false),
        ("default *\n", true),
        ("default uki.efi\n", true),
    ] {
        let (tree, facts) = systemd_boot("/efi", settings);
        assert!(planned(&tree, &facts, &GENERATION_2).obstacles().next().is_none());
        let mut esp =
            MemFs::new().with_file("/EFI/Linux/uki.efi", "MZ").with_file("/loader/loader.conf", settings);
        for name in names(&tree, "/efi/loader/entries") {
            let path = format!("/loader/entries/{name}");
            esp = esp.with_file(&path, text(&tree, &format!("/efi{path}")));
        }
        let tree = with_esp(debian(), "/efi", &esp);
        let mut facts = facts_of(&tree, "/efi");
        // debian() has GRUB, which does not look for such images.
        assert!(planned(&tree, &facts, &GENERATION_2).obstacles().next().is_none());
        facts.boot.loader = Some("systemd-boot".into());
        let plan = planned(&tree, &facts, &GENERATION_2);
        let obstacles: Vec<_> = plan.obstacles().map(|fixup| fixup.id).collect();
        assert_eq!(obstacles, if refused { vec!["linux-unified-kernels"] } else { vec![] }, "{settings}");
    }
}

#[test]
fn other_files_that_name_devices_are_edited() {
    let fs = debian()
        .with_file("/boot/grub/device.map", "(hd0)\t/dev/disk/by-id/nvme-Amazon_EBS\n")
        .with_file("/etc/mdadm/mdadm.conf", "DEVICE /dev/xvdb1\nARRAY /dev/md0 UUID=1:2:3:4\n")
        .with_file("/etc/kdump.conf", "ext4 /dev/xvda1\npath /var/crash\n")
        .with_file("/etc/systemd/system/data.mount", "[Mount]\nWhat=/dev/xvdb1\nWhere=/data\n")
        .with_file("/etc/systemd/system/gone.mount", "[Mount]\nWhat = /dev/xvdz1\nWhere=/gone\n")
        .with_file(
            "/etc/systemd/system/dev-xvda2.swap",
            "[Unit]\nAfter=dev-xvda2.device\n[Swap]\nWhat=/dev/xvda2\n",
        )
        .with_link(
            "/etc/systemd/system/swap.target.wants/dev-xvda2.swap",
            "/etc/systemd/system/dev-xvda2.swap",
        )
        .with_file("/etc/systemd/system/dev-xvda2.swap.d/10-wait.conf", "[Unit]\nAfter=dev-xvda2.device\n")
        .with_file("/etc/systemd/system/dev-xvdz2.swap", "[Swap]\nWhat=/dev/xvdz2\n");
    let mut tree = tree(fs.clone());
    let facts = inspected(&tree);
    let plan = migrated(&mut tree, &facts);
    assert_eq!(text(&tree, "/boot/grub/device.map"), "");
    assert_eq!(text(&tree, "/etc/mdadm/mdadm.conf"), "DEVICE partitions\nARRAY /dev/md0 UUID=1:2:3:4\n");
    assert_eq!(text(&tree, "/etc/kdump.conf"), format!("ext4 UUID={ROOT}\npath /var/crash\n"));
    let unit = text(&tree, "/etc/systemd/system/data.mount");
    assert_eq!(unit, format!("[Mount]\nWhat=/dev/disk/by-uuid/{DATA}\nWhere=/data\n"));
    let units = plan.fixups.iter().find(|fixup| fixup.id == "linux-mount-units").unwrap();
    let reason = units.reason.as_ref().unwrap();
    assert!(reason.contains("dev-xvdz2.swap") && reason.contains("gone.mount"), "{reason}");
    let escaped = SWAP.replace('-', "\\x2d");
    let name = format!("dev-disk-by\\x2duuid-{escaped}");
    let unit = text(&tree, &format!("/etc/systemd/system/{name}.swap"));
    assert_eq!(unit, format!("[Unit]\nAfter={name}.device\n[Swap]\nWhat=/dev/disk/by-uuid/{SWAP}\n"));
    let more = text(&tree, &format!("/etc/systemd/system/{name}.swap.d/10-wait.conf"));
    assert_eq!(more, format!("[Unit]\nAfter={name}.device\n"));
    assert!(names(&tree, "/etc/systemd/system/dev-xvda2.swap.d").is_empty());
    let link = format!("/etc/systemd/system/swap.target.wants/{name}.swap");
    assert_eq!(tree.read_link(&link).unwrap(), format!("/etc/systemd/system/{name}.swap"));
    assert_eq!(names(&tree, "/etc/systemd/system/swap.target.wants").len(), 1);
    assert!(tree.link_metadata("/etc/systemd/system/dev-xvda2.swap").unwrap().is_none());
    assert!(!plan.edits.iter().any(|edit| edit.path.ends_with("gone.mount")));

    let fs = fs.with_link("/etc/systemd/system/local-fs.target.requires/gone.mount", "../gone.mount");
    let tree = phony::tree(fs);
    let plan = planned(&tree, &facts, &GENERATION_2);
    assert_eq!(plan.obstacles().map(|fixup| fixup.id).collect::<Vec<_>>(), ["linux-mount-units"]);
}

#[test]
fn logins_that_xens_tools_switched_off_come_back_and_others_do_not() {
    let xen = "co:2345:respawn:/sbin/agetty xvc0 9600 vt100\n";
    let off = "#1:2345:respawn:/sbin/mingetty tty1\n#2:2345:respawn:/sbin/mingetty tty2\n";
    for (rest, expected) in [
        (off.to_owned(), off.replace('#', "")),
        (
            "1:2345:respawn:/sbin/mingetty tty1\n#2:2345:respawn:/sbin/mingetty tty2\n".into(),
            "1:2345:respawn:/sbin/mingetty tty1\n#2:2345:respawn:/sbin/mingetty tty2\n".into(),
        ),
    ] {
        let mut tree = tree(debian().with_file("/etc/inittab", format!("{xen}{rest}")));
        let facts = inspected(&tree);
        migrated(&mut tree, &facts);
        let inittab = text(&tree, "/etc/inittab");
        assert_eq!(inittab, format!("{}{expected}", xen.replace("xvc0", "ttyS0")));
    }
}

/// Debian with Xen's front ends, and a kernel that was built so.
fn xen_guest(config: &str, menu: Option<&str>) -> (GuestTree, Guest) {
    let fs = with_modules(debian(), DEBIAN_KERNEL, &["ext4", "nvme", "xen_blkfront", "xen_netfront"])
        .with_file(&format!("/boot/config-{DEBIAN_KERNEL}"), config)
        .with_file("/etc/inittab", "S0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n")
        .with_file("/etc/securetty", "console\nttyS0\n");
    let fs = menu.into_iter().fold(fs, |fs, menu| fs.with_file("/boot/grub/grub.cfg", menu));
    let tree = tree(fs);
    let mut facts = facts();
    driver_linux::inspect(&tree, &mut facts, &MODULES).unwrap();
    (tree, facts)
}

#[test]
fn a_pvh_guest_needs_a_menu_and_a_kernel_of_its_kind() {
    let pvh = driver_targets::target(Platform::Xen, Firmware::Host, None).unwrap();
    let good = "CONFIG_PVH=y\nCONFIG_XEN_PVH=y\n";
    for (config, menu, words) in [
        (good, None, None),
        ("CONFIG_PVH=y\n# CONFIG_XEN_PVH is not set\n", None, Some("without CONFIG_XEN_PVH")),
        ("", None, Some("is not known")),
        (good, Some("insmod blscfg\nblscfg\n"), Some("the command blscfg")),
        (good, Some("menuentry x {\n\tlinuxefi /vmlinuz ro\n}\n"), Some("the command linuxefi")),
    ] {
        let (mut tree, facts) = xen_guest(config, menu);
        let plan = planned(&tree, &facts, pvh);
        let faults: Vec<_> = plan.obstacles().filter(|fixup| fixup.id == "linux-xen-pvh").collect();
        match (words, faults.as_slice()) {
            (None, []) => {
                assert_eq!(plan.obstacles().count(), 0, "{:#?}", plan.fixups);
                apply(&mut tree, &plan.edits).unwrap();
                assert!(planned(&tree, &facts, pvh).edits.is_empty());
                let menu = text(&tree, "/boot/grub/grub.cfg");
                assert!(menu.contains(" console=hvc0 quiet") && !menu.contains("ttyS0"), "{menu}");
                assert!(text(&tree, "/etc/default/grub").contains("console=hvc0"));
                assert!(text(&tree, "/etc/inittab").contains("getty -L hvc0 9600"));
                assert_eq!(text(&tree, "/etc/securetty"), "console\nhvc0\n");
            }
            (Some(words), [fault]) => {
                let reason = fault.reason.as_deref().unwrap();
                assert!(reason.contains(words) && fault.next_step.is_some(), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    // With firmware nobody asks.
    let (tree, facts) = xen_guest("", None);
    let hvm = driver_targets::target(Platform::Xen, Firmware::Bios, None).unwrap();
    assert_eq!(planned(&tree, &facts, hvm).obstacles().count(), 0);
}
