//! What guests look like after the plan.
#![allow(clippy::unwrap_used)]

mod phony;

use driver_core::{Context, GuestTree, MemFs, Plan, apply, make_plan};
use driver_linux::fixups;
use driver_targets::{GENERATION_1, GENERATION_2};
use phony::*;

fn migrated(fs: MemFs) -> (GuestTree, Plan) {
    let mut tree = tree(fs);
    let facts = inspected(&tree);
    let context = Context::new(&facts, &GENERATION_2);
    let plan = make_plan(&context, &tree, fixups()).unwrap();
    assert_eq!(plan.obstacles().count(), 0, "{:#?}", plan.fixups);
    apply(&mut tree, &plan.edits).unwrap();
    (tree, plan)
}

fn text(tree: &GuestTree, path: &str) -> String {
    String::from_utf8(tree.read_file(path, 1 << 20).unwrap().unwrap()).unwrap()
}

fn is_masked(tree: &GuestTree, path: &str) -> bool {
    tree.read_link(path).is_ok_and(|target| target == "/dev/null")
}

#[test]
fn debian() {
    let (tree, _) = migrated(phony::debian());
    assert_eq!(
        text(&tree, "/etc/fstab"),
        format!(
            "# static\nUUID={ROOT} / ext4 rw,discard,errors=remount-ro 0 1\nUUID={SWAP}\tnone\tswap\tsw\t0 0\n\
             UUID=8A3C-51D7 /boot/efi vfat umask=0077 0 1\nUUID={DATA} /data xfs defaults 0 2\n\
             /dev/xvdf /scratch auto defaults,nofail 0 2\n"
        )
    );
    let arguments = format!("root=UUID={ROOT} ro  console=tty0 console=ttyS0,115200n8 quiet\n");
    assert!(text(&tree, "/boot/grub/grub.cfg").contains(&arguments));
    assert!(text(&tree, "/boot/grub/grub.cfg").contains(&format!("--set=root {ROOT}\n")));
    let default = format!("GRUB_CMDLINE_LINUX=\"root=UUID={ROOT} console=tty0 console=ttyS0,115200n8\"\n");
    assert!(text(&tree, "/etc/default/grub").ends_with(&default));
    let modules = text(&tree, "/etc/initramfs-tools/modules");
    assert_eq!(modules, "# modules\nnvme\nhv_vmbus\nhv_storvsc\nsd_mod\nhv_netvsc\nhid_hyperv\n");
    let interfaces = text(&tree, "/etc/network/interfaces");
    assert!(interfaces.ends_with("allow-hotplug eth0\niface eth0 inet dhcp\n\tmtu 1500\n"));
    assert!(tree.metadata("/etc/udev/rules.d/70-persistent-net.rules").unwrap().is_none());
    assert!(
        text(&tree, "/etc/cloud/cloud.cfg.d/99-rehome.cfg").contains("datasource_list: [ NoCloud, None ]\n")
    );
    assert_eq!(text(&tree, "/var/lib/cloud/seed/nocloud/meta-data"), "instance-id: i-0abc123\n");
    assert!(tree.read_dir("/etc/systemd/system/multi-user.target.wants").unwrap().is_empty());
}

#[test]
fn modules_of_the_operator_are_added_once() {
    let mut tree = tree(phony::debian());
    let facts = inspected(&tree);
    let extra = ["hv-storvsc".to_owned(), "ata_piix".to_owned()];
    let context = Context { extra_modules: &extra, ..Context::new(&facts, &GENERATION_1) };
    let plan = make_plan(&context, &tree, fixups()).unwrap();
    apply(&mut tree, &plan.edits).unwrap();
    let modules = text(&tree, "/etc/initramfs-tools/modules");
    assert_eq!(modules, "# modules\nnvme\nhv_vmbus\nhv_storvsc\nsd_mod\nhv_netvsc\nata_piix\nhid_hyperv\n");
    let extra = ["not_there".to_owned()];
    let plan = make_plan(&Context { extra_modules: &extra, ..context }, &tree, fixups()).unwrap();
    assert!(plan.obstacles().next().unwrap().reason.as_ref().unwrap().contains("not_there"));
}

#[test]
fn ubuntu() {
    let (tree, _) = migrated(phony::ubuntu());
    let cfg = text(&tree, "/boot/grub/grub.cfg");
    assert!(cfg.contains("\tif [ 1 = 1 ]; then\n") && !cfg.contains("initrdfail}"));
    assert_eq!(cfg.matches("root=PARTUUID=8a3c51d7-01 ro").count(), 2, "survives the move");
    let partuuid = text(&tree, "/etc/default/grub.d/40-force-partuuid.cfg");
    assert!(partuuid.ends_with("\n#GRUB_FORCE_PARTUUID=8a3c51d7-01\n"));
    assert_eq!(
        text(&tree, "/etc/netplan/50-cloud-init.yaml"),
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n      dhcp6: false\n"
    );
    assert_eq!(text(&tree, "/etc/cloud/ds-identify.cfg"), "policy: enabled\ndatasource: NoCloud\n");
    assert!(tree.metadata("/var/lib/cloud/seed").unwrap().is_none(), "no instance id to keep");
    assert!(text(&tree, "/etc/fstab").starts_with("LABEL=cloudimg-rootfs\t/\t ext4"));
    assert!(tree.read_dir("/etc/systemd/system/multi-user.target.wants").unwrap().is_empty());
}

#[test]
fn amazon() {
    let (tree, _) = migrated(phony::amazon());
    let entry = text(&tree, &format!("/boot/loader/entries/abc-{AMAZON_KERNEL}.conf"));
    assert!(
        entry.contains(&format!("\noptions root=UUID={ROOT} ro console=tty0 console=ttyS0,115200n8 nvme"))
    );
    let environment = text(&tree, "/boot/grub2/grubenv");
    assert_eq!(environment.len(), 1024);
    assert!(environment.contains(&format!("\nkernelopts=root=UUID={ROOT} ro\n###")));
    assert_eq!(text(&tree, "/boot/efi/EFI/amzn/grub.cfg"), "configfile $prefix/grub.cfg\n");
    let drop_in = text(&tree, "/etc/dracut.conf.d/90-rehome.conf");
    assert!(drop_in.ends_with("add_drivers+=\" hv_vmbus hv_storvsc sd_mod hv_netvsc hid_hyperv \"\n"));
    assert_eq!(
        text(&tree, "/etc/systemd/network/80-ec2.network.d/90-rehome.conf"),
        "[Match]\nDriver=hv_netvsc\n\n[Link]\nMTUBytes=1500\n"
    );
    assert!(text(&tree, "/usr/lib/systemd/network/80-ec2.network").contains("Driver=ena ixgbevf vif\n"));
    assert!(tree.read_dir("/etc/systemd/system/multi-user.target.wants").unwrap().is_empty());
}

#[test]
fn rhel() {
    let (tree, plan) = migrated(phony::rhel());
    let entry = text(&tree, &format!("/boot/loader/entries/m-{RHEL_KERNEL}.conf"));
    assert!(
        entry.ends_with(&format!(
            "options root=UUID={ROOT} console=tty0 console=ttyS0,115200n8 $tuned_params\n"
        ))
    );
    let ifcfg = text(&tree, "/etc/sysconfig/network-scripts/ifcfg-eth0");
    assert_eq!(ifcfg, "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n");
    assert!(!plan.edits.iter().any(|edit| edit.path.contains("kdump") || edit.path == "/etc/fstab"));
}

#[test]
fn vendor_files_are_masked_not_removed() {
    let fs = phony::amazon()
        .with_file("/usr/lib/udev/rules.d/53-ec2-network-interfaces.rules", "x")
        .with_file("/etc/udev/rules.d/51-ec2-hvm-devices.rules", "x")
        .with_link("/etc/udev/rules.d/52-ec2-vcpu.rules", "/dev/null")
        .with_link("/usr/lib/systemd/system/multi-user.target.wants/amazon-cloudwatch-agent.service", "../x");
    let (tree, _) = migrated(fs);
    assert!(is_masked(&tree, "/etc/udev/rules.d/53-ec2-network-interfaces.rules"));
    assert!(is_masked(&tree, "/etc/udev/rules.d/52-ec2-vcpu.rules"));
    assert!(tree.metadata("/etc/udev/rules.d/51-ec2-hvm-devices.rules").unwrap().is_none());
    assert!(is_masked(&tree, "/etc/systemd/system/amazon-cloudwatch-agent.service"));
}

#[test]
fn other_network_files_are_freed_from_the_source() {
    let fs = phony::rhel()
        .with_file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=br0\nTYPE=Bridge\n")
        .with_file("/etc/sysconfig/network-scripts/ifcfg-ens5", "TYPE=Ethernet\nDEVICE=ens5\n");
    let tree = tree(fs);
    let facts = inspected(&tree);
    let context = Context::new(&facts, &GENERATION_1);
    let plan = make_plan(&context, &tree, fixups()).unwrap();
    assert_eq!(plan.obstacles().map(|o| o.id).collect::<Vec<_>>(), ["linux-ifcfg"], "the bridge stays");

    let fs = phony::rhel()
        .with_file(
            "/etc/systemd/network/10-nic.network",
            "[Match]\nMACAddress=06:3f:9a:52:c4:1d\n\n[Network]\nDHCP=yes\n",
        )
        .with_file(
            "/etc/systemd/network/10-nic.link",
            "[Match]\nMACAddress=06:3f:9a:52:c4:1d\n\n[Link]\nName=ens5\n",
        )
        .with_file("/etc/lvm/devices/system.devices", "IDTYPE=sys_wwid\n")
        .with_file("/etc/crypttab", "data /dev/xvdf none luks\n");
    let (tree, _) = migrated(fs);
    assert_eq!(
        text(&tree, "/etc/systemd/network/10-nic.network"),
        "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n"
    );
    assert!(text(&tree, "/etc/systemd/network/10-nic.link").ends_with("[Link]\n#Name=ens5\n"));
    assert!(tree.metadata("/etc/lvm/devices/system.devices").unwrap().is_none());
    assert_eq!(text(&tree, "/etc/crypttab"), "data /dev/xvdf none luks,nofail\n");
}

#[test]
fn static_routes_move_with_their_interface() {
    let scripts = "/etc/sysconfig/network-scripts";
    let fs = phony::debian()
        .with_file(&format!("{scripts}/ifcfg-ens5"), "TYPE=Ethernet\nDEVICE=ens5\n")
        .with_file(&format!("{scripts}/route-ens5"), "10.9.0.0/16 via 10.0.1.1 dev ens5\n");
    let (tree, _) = migrated(fs);
    assert_eq!(text(&tree, &format!("{scripts}/ifcfg-eth0")), "TYPE=Ethernet\nDEVICE=eth0\n");
    assert_eq!(text(&tree, &format!("{scripts}/route-eth0")), "10.9.0.0/16 via 10.0.1.1 dev eth0\n");
    assert!(tree.metadata(&format!("{scripts}/route-ens5")).unwrap().is_none());
}

#[test]
fn a_cloud_init_file_that_overrules_ours_is_said() {
    let fs = phony::debian().with_file("/etc/cloud/cloud.cfg.d/99_ec2.cfg", "datasource_list: [ Ec2 ]\n");
    let (_, plan) = migrated(fs);
    let fixup = plan.fixups.iter().find(|fixup| fixup.id == "linux-cloud-init").unwrap();
    assert!(fixup.reason.as_ref().unwrap().starts_with("/etc/cloud/cloud.cfg.d/99_ec2.cfg is read last"));
}

#[test]
fn kernels_that_will_not_start_are_said() {
    let old = "5.10.0-1-amd64";
    let cfg = "menuentry 'own' {\nlinux /vmlinuz-own\n}\n";
    let fs = with_modules(phony::debian(), old, &["ext4", "nvme"])
        .with_file(&format!("/boot/vmlinuz-{old}"), "MZ")
        .with_file(&format!("/boot/initrd.img-{old}"), initramfs(old, "conf/initramfs.conf", &["ext4"]))
        .with_file("/boot/grub/grub.cfg", cfg);
    let built_in = "CONFIG_HYPERV=y\nCONFIG_HYPERV_STORAGE=y\nCONFIG_HYPERV_NET=y\nCONFIG_BLK_DEV_SD=y\nCONFIG_ATA_PIIX=y\n";
    for (config, starts) in
        [(built_in, true), (&built_in.replace("STORAGE=y", "STORAGE=m"), false), ("", false)]
    {
        let tree = tree(fs.clone().with_file("/boot/config-own", config));
        let facts = inspected(&tree);
        let plan = make_plan(&Context::new(&facts, &GENERATION_1), &tree, fixups()).unwrap();
        let fixup = plan.fixups.iter().find(|fixup| fixup.id == "linux-initramfs").unwrap();
        let reason = fixup.reason.as_ref().unwrap();
        assert!(reason.contains(&format!("kernel {old} will not start there")), "{reason}");
        assert_eq!(fixup.status == driver_core::Status::Planned, starts, "{config}: {reason}");
        assert_eq!(!starts, reason.contains("the boot loader starts vmlinuz-own"), "{reason}");
        assert_eq!(!starts, fixup.next_step.is_some());
    }
}

#[test]
fn menus_that_read_other_files_are_read_whole() {
    let entry = |kernel: &str| {
        format!(
            "menuentry 'x' --id mine {{\n\tlinux /boot/{kernel} root=/dev/nvme0n1p1\n\tinitrd /boot/i\n}}\n"
        )
    };
    let linux = entry(&format!("vmlinuz-{DEBIAN_KERNEL}"));
    let stock = format!(
        "set default=\"0\"\n{linux}if [ -f  ${{config_directory}}/custom.cfg ]; then\n  source ${{config_directory}}/custom.cfg\nfi\n"
    );
    for (main, other, content) in [
        ("configfile /boot/grub/real.cfg\n".to_owned(), "/boot/grub/real.cfg", linux.clone()),
        ("source ${prefix}/real.cfg\n".into(), "/boot/grub/real.cfg", linux.clone()),
        ("configfile ($root)/grub/real.cfg\n".into(), "/boot/grub/real.cfg", linux.clone()),
        (
            stock,
            "/boot/grub/custom.cfg",
            format!("set default=mine\n{}", entry(&format!("vmlinuz-{DEBIAN_KERNEL}"))),
        ),
    ] {
        let (tree, _) =
            migrated(phony::debian().with_file("/boot/grub/grub.cfg", &main[..]).with_file(other, content));
        let text = String::from_utf8(tree.read_file(other, 1 << 20).unwrap().unwrap()).unwrap();
        assert!(text.contains(&format!("root=UUID={ROOT}\n")), "{main}: {text}");
    }
    let tree = tree(phony::debian().with_file("/boot/grub/grub.cfg", "configfile (hd1,1)/grub/else.cfg\n"));
    let facts = inspected(&tree);
    let plan = make_plan(&Context::new(&facts, &GENERATION_1), &tree, fixups()).unwrap();
    assert!(plan.obstacles().any(|fixup| fixup.id == "linux-grub-cfg" && fixup.next_step.is_some()));
}

#[test]
fn several_pinned_interfaces_need_a_person() {
    for (path, content) in [
        (
            "/etc/netplan/50-cloud-init.yaml",
            "network:\n  ethernets:\n    ens5: \n      dhcp4: true\n    ens6:\n      dhcp4: true\n",
        ),
        ("/etc/network/interfaces", "iface ens5 inet dhcp\niface ens6 inet dhcp\n"),
        (
            "/etc/udev/rules.d/70-persistent-net.rules",
            "ATTR{address}==\"a\", NAME=\"eth0\"\nATTR{address}==\"b\", NAME=\"eth1\"\n",
        ),
    ] {
        let tree = tree(phony::debian().with_file(path, content));
        let facts = inspected(&tree);
        let context = Context::new(&facts, &GENERATION_1);
        let plan = make_plan(&context, &tree, fixups()).unwrap();
        let obstacles: Vec<_> = plan.obstacles().collect();
        assert_eq!(obstacles.len(), 1, "{path}");
        assert!(obstacles[0].next_step.is_some());
        assert!(!plan.edits.iter().any(|edit| edit.path == path), "{path} is left alone");
    }
}
