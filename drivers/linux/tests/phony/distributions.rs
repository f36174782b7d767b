//! Phony guests of every distribution with each of its network stacks, as they come from one platform or another.

use super::*;
use driver_core::{Adapter, Firmware, Platform, Target, Wishes};
use driver_targets::GENERATION_2;

/// Drivers of Hyper-V, KVM and VMware.
pub const ALL_MODULES: [&str; 14] = [
    "ext4",
    "hv_vmbus",
    "hv_storvsc",
    "sd_mod",
    "hv_netvsc",
    "ata_piix",
    "nvme",
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "virtio_net",
    "vmw_pvscsi",
    "vmxnet3",
    "ahci",
];

/// Address of the first and the second adapter in every guest that has one in its configuration.
pub const MACS: [&str; 2] = ["06:3f:9a:52:c4:1d", "06:3f:9a:52:c4:2e"];

/// A target that names adapters by slots.
pub static KVM: Target = Target {
    id: "kvm",
    name: "KVM",
    platform: Platform::Kvm,
    firmware: Firmware::Bios,
    boot_modules: &["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod"],
    helpful_modules: &[],
    network_module: "virtio_net",
    first_nic: None,
    consoles: &["tty0", "ttyS0"],
    datasources: &["NoCloud", "ConfigDrive", "None"],
    definitions: &[],
    disk_bus: "virtio-blk",
    is_default: true,
};

/// A target with a data source of its own.
pub static AZURE: Target =
    Target { id: "azure", name: "Azure", platform: Platform::Azure, datasources: &["Azure"], ..GENERATION_2 };

/// Two adapters whose addresses stay, or are chosen by the target.
pub fn wishes(kept: bool) -> Wishes {
    let adapter = |mac: &str| {
        let mac = Some(mac.parse().unwrap());
        Adapter { source: mac, target: mac.filter(|_| kept) }
    };
    let mut wishes = Wishes::NONE;
    wishes.network.adapters = MACS.map(adapter).to_vec();
    wishes
}

const KERNEL: &str = "5.4.0-42";

/// A system with GRUB, one kernel and a root that is named by UUID already.
fn system(id: &str, version: &str, maker_file: &str) -> MemFs {
    let cfg = format!(
        "menuentry 'x' {{\nlinux /boot/vmlinuz-{KERNEL} root=UUID={ROOT} ro\ninitrd /boot/initramfs-{KERNEL}.img\n}}\n"
    );
    let fs = base(id, version)
        .with_file("/etc/fstab", format!("UUID={ROOT} / ext4 defaults 0 1\n"))
        .with_file("/boot/grub/grub.cfg", cfg)
        .with_file(&format!("/boot/vmlinuz-{KERNEL}"), "MZ")
        .with_file(&format!("/boot/initramfs-{KERNEL}.img"), initramfs(KERNEL, maker_file, &["ext4"]));
    with_modules(fs, KERNEL, &ALL_MODULES)
}

const DEBIAN_INITRD: &str = "conf/initramfs.conf";
const DRACUT_INITRD: &str = "usr/lib/dracut/build-parameter.txt";

/// systemd, with its rules for predictable names.
fn with_systemd(fs: MemFs) -> MemFs {
    fs.with_file("/usr/lib/systemd/systemd", "\x7fELF")
        .with_file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "# x\n")
}

fn with_cloud_init(fs: MemFs, source: &str, id: &str) -> MemFs {
    fs.with_file("/etc/cloud/cloud.cfg", "disable_root: true\n")
        .with_file("/var/lib/cloud/data/instance-id", format!("{id}\n"))
        .with_file("/var/lib/cloud/instance/datasource", format!("{source}: {source}\n"))
}

fn with_unit(fs: MemFs, unit: &str, text: &str) -> MemFs {
    fs.with_file(&format!("/usr/lib/systemd/system/{unit}"), text).with_link(
        &format!("/etc/systemd/system/multi-user.target.wants/{unit}"),
        &format!("/usr/lib/systemd/system/{unit}"),
    )
}

fn debian_networkd() -> MemFs {
    let fs = with_systemd(system("debian", "12", DEBIAN_INITRD))
        .with_file("/etc/initramfs-tools/modules", "")
        .with_file("/etc/ssh/sshd_config", "")
        .with_file("/etc/ssh/ssh_host_ed25519_key", "secret")
        .with_file("/etc/ssh/ssh_host_ed25519_key.pub", "public")
        .with_file("/usr/sbin/update-initramfs", "")
        .with_file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .with_file("/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n")
        .with_file(
            "/etc/systemd/network/10-lan.network",
            "[Match]\nName=ens4\n\n[Network]\nAddress=10.1.2.3/24\nGateway=10.1.2.1\nDNS=169.254.169.254\n\n[Link]\nMTUBytes=8896\n",
        )
        .with_file("/etc/default/instance_configs.cfg", "[Instance]\n")
        .with_file("/etc/hosts", "127.0.0.1 localhost\n169.254.169.254 metadata.google.internal metadata\n");
    let fs = with_unit(fs, "google-guest-agent.service", "[Unit]\nDescription=x\n");
    with_unit(fs, "google-cloud-ops-agent-fluent-bit.service", "[Unit]\n")
}

fn ubuntu_netplan_azure() -> MemFs {
    let fs = with_systemd(system("ubuntu", "22.04", DEBIAN_INITRD))
        .with_file("/etc/initramfs-tools/modules", "")
        .with_file(
            "/etc/netplan/50-cloud-init.yaml",
            format!(
                "network:\n    ethernets:\n        eth0:\n            dhcp4: true\n            match:\n                driver: hv_netvsc\n                macaddress: {}\n            set-name: eth0\n    version: 2\n",
                MACS[0]
            ),
        )
        .with_file("/etc/chrony/chrony.conf", "refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0\npool ntp.example iburst\n")
        .with_file("/etc/apt/sources.list", "deb http://azure.archive.example/ubuntu jammy main\n")
        .with_file("/var/lib/waagent/ovf-env.xml", "<x/>");
    let fs = with_cloud_init(fs, "DataSourceAzure", "0e4a2a4f-1d3c-4a7e-9c5a-000000000001");
    let fs = with_unit(fs, "walinuxagent.service", "[Unit]\n");
    with_unit(fs, "hv-kvp-daemon.service", "[Unit]\nConditionVirtualization=microsoft\n")
}

fn ubuntu_old() -> MemFs {
    system("ubuntu", "14.04", DEBIAN_INITRD)
        .with_file("/etc/initramfs-tools/modules", "")
        .with_file("/etc/network/interfaces", "auto eth0\niface eth0 inet static\n\taddress 10.0.0.5\n\tnetmask 255.255.255.0\n")
        .with_file(
            "/etc/udev/rules.d/70-persistent-net.rules",
            format!("# VMware\nSUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{{address}}==\"{}\", NAME=\"eth0\"\n", MACS[0]),
        )
        .with_file("/etc/init/vmware-tools.conf", "exec /usr/sbin/vmtoolsd\n")
        .with_file("/etc/vmware-tools/locations", "")
        .with_link("/etc/rc2.d/S20vboxadd-service", "../init.d/vboxadd-service")
        .with_file("/etc/X11/xorg.conf", "Section \"Device\"\n    Driver \"vmware\"\nEndSection\n")
}

fn rhel_keyfile_vmware() -> MemFs {
    let fs = with_systemd(system("rhel", "9.4", DRACUT_INITRD))
        .with_folder("/etc/dracut.conf.d")
        .with_file("/usr/lib/systemd/system/sshd-keygen@.service", "[Unit]\n")
        .with_file("/etc/ssh/ssh_host_rsa_key", "secret")
        .with_file(
            "/etc/NetworkManager/system-connections/ens192.nmconnection",
            "[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n\n[ipv4]\naddress1=10.0.0.5/24,10.0.0.1\nmethod=manual\n",
        )
        .with_file(
            "/etc/NetworkManager/system-connections/vlan10.nmconnection",
            "[connection]\ntype=vlan\ninterface-name=ens192.10\n[vlan]\nparent=ens192\nid=10\n",
        )
        .with_file("/var/log/vmware-vmsvc-root.log", "x");
    with_unit(fs, "vmtoolsd.service", "[Unit]\nConditionVirtualization=vmware\n")
}

fn rhel_ifcfg_xen() -> MemFs {
    let scripts = "/etc/sysconfig/network-scripts";
    let fs = with_systemd(system("centos", "7", DRACUT_INITRD))
        .with_folder("/etc/dracut.conf.d")
        .with_file(&format!("{scripts}/ifcfg-lo"), "DEVICE=lo\n")
        .with_file(
            &format!("{scripts}/ifcfg-ens3"),
            format!("TYPE=Ethernet\nDEVICE=ens3\nHWADDR={}\nIPADDR=10.0.0.5\n", MACS[0]),
        )
        .with_file(
            &format!("{scripts}/ifcfg-ens4"),
            format!("TYPE=Ethernet\nDEVICE=ens4\nHWADDR={}\nIPADDR=10.0.1.5\n", MACS[1]),
        )
        .with_file(&format!("{scripts}/ifcfg-ens4.20"), "DEVICE=ens4.20\nVLAN=yes\nPHYSDEV=ens4\n")
        .with_file(&format!("{scripts}/route-ens4"), "10.9.0.0/16 via 10.0.1.1 dev ens4\n")
        .with_file("/var/cache/xe-linux-distribution", "x");
    with_unit(fs, "xe-linux-distribution.service", "[Unit]\n")
}

fn rhel_5() -> MemFs {
    system("centos", "5.11", DRACUT_INITRD)
        .with_file("/etc/modprobe.conf", "alias eth0 xennet\nalias scsi_hostadapter xenblk\nalias eth1 tg3\n")
        .with_file("/etc/inittab", "id:3:initdefault:\nco:2345:respawn:/sbin/agetty xvc0 9600 vt100-nav\n#1:2345:respawn:/sbin/mingetty tty1\n")
        .with_file("/etc/securetty", "tty1\nxvc0\n")
        .with_file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n")
        .with_link("/etc/rc.d/rc3.d/S14xe-linux-distribution", "../init.d/xe-linux-distribution")
        .with_link("/etc/rc3.d", "rc.d/rc3.d")
}

fn fedora_virtualbox() -> MemFs {
    let fs = with_systemd(system("fedora", "40", DRACUT_INITRD))
        .with_folder("/etc/dracut.conf.d")
        .with_file(
            "/etc/NetworkManager/system-connections/wired.nmconnection",
            format!(
                "[connection]\ntype=ethernet\n\n[ethernet]\nmac-address={}\n\n[ipv4]\nmethod=auto\n",
                MACS[0].to_uppercase()
            ),
        )
        .with_file("/var/lib/VBoxGuestAdditions/config", "INSTALL_DIR='/opt/x'\n");
    let fs = with_unit(fs, "vboxadd.service", "[Unit]\n");
    let fs = with_unit(fs, "vboxadd-service.service", "[Unit]\n");
    with_unit(fs, "vboxservice.service", "[Unit]\nConditionVirtualization=oracle\n")
}

fn amazon_2() -> MemFs {
    let fs = with_systemd(system("amzn", "2", DRACUT_INITRD))
        .with_folder("/etc/dracut.conf.d")
        .with_file(
            "/etc/default/grub",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty0 console=ttyS0 net.ifnames=0\"\n",
        )
        .with_file(
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            "DEVICE=eth0\nBOOTPROTO=dhcp\nTYPE=Ethernet\n",
        )
        .with_file("/etc/chrony.conf", "server 169.254.169.123 prefer iburst\npool ntp.example iburst\n");
    let fs = with_cloud_init(fs, "DataSourceEc2", "i-0abc");
    with_unit(fs, "amazon-ssm-agent.service", "[Unit]\n")
}

fn sles_wicked() -> MemFs {
    let folder = "/etc/sysconfig/network";
    with_systemd(system("sles", "15.5", DRACUT_INITRD))
        .with_folder("/etc/dracut.conf.d")
        .with_file(&format!("{folder}/config"), "NETCONFIG_DNS_STATIC_SERVERS=\"10.0.0.2\"\n")
        .with_file(&format!("{folder}/ifcfg-lo"), "IPADDR=127.0.0.1/8\n")
        .with_file(
            &format!("{folder}/ifcfg-ens3"),
            "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='10.0.0.5/24'\n",
        )
        .with_file(&format!("{folder}/ifroute-ens3"), "default 10.0.0.1 - ens3\n")
        .with_file(&format!("{folder}/ifcfg-vlan7"), "ETHERDEVICE='ens3'\nVLAN_ID='7'\n")
}

fn opensuse_parallels() -> MemFs {
    let fs = with_systemd(system("opensuse-leap", "15.6", DRACUT_INITRD))
        .with_folder("/etc/dracut.conf.d")
        .with_file(
            "/etc/NetworkManager/system-connections/a.nmconnection",
            "[connection]\ntype=ethernet\ninterface-name=eth0\n",
        );
    with_unit(fs, "prltoolsd.service", "[Unit]\n")
}

fn arch_networkd() -> MemFs {
    with_systemd(system("arch", "", "buildconfig"))
        .with_file("/etc/mkinitcpio.conf", "MODULES=()\nHOOKS=(base udev)\n")
        .with_file("/etc/systemd/network/20-wired.network", "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n")
        .with_file(
            "/etc/systemd/network/10-name.link",
            format!("[Match]\nMACAddress={}\n\n[Link]\nName=lan0\n", MACS[0]),
        )
}

fn alpine() -> MemFs {
    system("alpine", "3.20", "etc/mkinitfs/x")
        .with_file("/etc/mkinitfs/mkinitfs.conf", "features=\"ata base ext4 scsi\"\n")
        .with_file(
            "/etc/network/interfaces",
            "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
        )
        .with_link("/etc/runlevels/default/open-vm-tools", "/etc/init.d/open-vm-tools")
        .with_link("/etc/runlevels/default/sshd", "/etc/init.d/sshd")
        .with_file("/etc/init.d/sshd", "#!/sbin/openrc-run\nssh-keygen -A\n")
        .with_file("/etc/inittab", "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n")
        .with_file("/etc/ssh/ssh_host_rsa_key", "secret")
}

fn unknown() -> MemFs {
    with_systemd(system("frobnix", "7", DRACUT_INITRD)).with_folder("/etc/dracut.conf.d").with_file(
        "/etc/systemd/network/a.network",
        format!("[Match]\nMACAddress={}\n\n[Network]\nDHCP=yes\n", MACS[0]),
    )
}

/// All of them by name.
pub fn every() -> Vec<(&'static str, MemFs)> {
    vec![
        ("debian-networkd-gcp", debian_networkd()),
        ("ubuntu-netplan-azure", ubuntu_netplan_azure()),
        ("ubuntu-1404-ifupdown-vmware", ubuntu_old()),
        ("rhel-9-keyfile-vmware", rhel_keyfile_vmware()),
        ("centos-7-ifcfg-xen", rhel_ifcfg_xen()),
        ("centos-5-ifcfg-xen", rhel_5()),
        ("fedora-keyfile-virtualbox", fedora_virtualbox()),
        ("amazon-2-ifcfg-aws", amazon_2()),
        ("sles-wicked", sles_wicked()),
        ("opensuse-keyfile-parallels", opensuse_parallels()),
        ("arch-networkd", arch_networkd()),
        ("alpine-ifupdown-vmware", alpine()),
        ("unknown-networkd", unknown()),
    ]
}
