//! The platforms that guests come from: names of disks and interfaces, consoles, agents.

use super::{Init, MACS};
use driver_core::MemFs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    AwsXen,
    AwsNitro,
    Vmware,
    Kvm,
    HyperV,
    Azure,
    XenPv,
    VirtualBox,
    Gcp,
    Physical,
    /// A server with a Smart Array controller.
    SmartArray,
}

use Source::*;

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            AwsXen => "aws-xen",
            AwsNitro => "aws-nitro",
            Vmware => "vmware",
            Kvm => "kvm",
            HyperV => "hyperv",
            Azure => "azure",
            XenPv => "xen-pv",
            VirtualBox => "virtualbox",
            Gcp => "gcp",
            Physical => "physical",
            SmartArray => "smart-array",
        }
    }

    /// `/dev/…` of a partition; number 0 is the whole disk.
    pub fn device(self, disk: usize, partition: u32) -> String {
        let letter = ["a", "b", "c"][disk];
        let number = if partition == 0 { String::new() } else { partition.to_string() };
        let part = if partition == 0 { String::new() } else { format!("p{partition}") };
        match self {
            AwsXen => format!("/dev/xvd{}{number}", ["a", "f", "g"][disk]),
            AwsNitro => format!("/dev/nvme{disk}n1{part}"),
            XenPv => format!("/dev/xvd{letter}{number}"),
            Kvm => format!("/dev/vd{letter}{number}"),
            SmartArray => format!("/dev/cciss/c0d{disk}{part}"),
            _ => format!("/dev/sd{letter}{number}"),
        }
    }

    /// What the machine's description calls the disk.
    pub fn described(self, disk: usize) -> Option<String> {
        (self == AwsXen).then(|| ["/dev/sda1", "/dev/sdf"][disk].to_owned())
    }

    /// Names of the two interfaces where udev makes them from slots.
    fn predictable(self) -> [&'static str; 2] {
        match self {
            AwsXen => ["enX0", "enX1"],
            AwsNitro => ["ens5", "ens6"],
            Vmware => ["ens192", "ens224"],
            Kvm => ["enp1s0", "enp2s0"],
            VirtualBox => ["enp0s3", "enp0s8"],
            Gcp => ["ens4", "ens5"],
            Physical | SmartArray => ["eno1", "eno2"],
            HyperV | Azure | XenPv => ["eth0", "eth1"],
        }
    }

    /// Names of the two interfaces in a guest with that init.
    pub fn interfaces(self, init: Init) -> [&'static str; 2] {
        if init == Init::Systemd { self.predictable() } else { ["eth0", "eth1"] }
    }

    /// Kernel arguments that its images have.
    pub fn arguments(self) -> &'static str {
        match self {
            AwsXen => "console=tty1 console=ttyS0",
            AwsNitro => "console=tty0 console=ttyS0,115200n8 nvme_core.io_timeout=4294967295",
            Azure => "console=tty1 console=ttyS0 earlyprintk=ttyS0 rootdelay=300",
            Gcp => "console=ttyS0,38400n8d",
            XenPv => "console=hvc0",
            Kvm => "console=ttyS0,115200",
            _ => "quiet",
        }
    }

    pub fn is_cloud(self) -> bool {
        matches!(self, AwsXen | AwsNitro | Azure | Gcp)
    }

    /// The guest with what the platform leaves in it.
    pub fn marks(self, fs: MemFs, init: Init) -> MemFs {
        let service = |fs: MemFs, name: &str| with_service(fs, init, name);
        match self {
            AwsXen | AwsNitro => {
                let fs = service(fs, "amazon-ssm-agent")
                    .with_file(
                        "/etc/chrony.conf",
                        "server 169.254.169.123 prefer iburst\npool pool.ntp.example iburst\n",
                    )
                    .with_file("/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "datasource_list: [ Ec2 ]\n");
                with_cloud_init(fs, "DataSourceEc2Local", "i-0abc123def4567890")
            }
            Azure => {
                let fs = service(fs, "walinuxagent")
                    .with_file("/var/lib/waagent/ovf-env.xml", "<x/>")
                    .with_file("/etc/cloud/ds-identify.cfg", "datasource: Azure\n");
                with_cloud_init(fs, "DataSourceAzure", "0e4a2a4f-1d3c-4a7e-9c5a-000000000001")
            }
            Gcp => service(fs, "google-guest-agent")
                .with_file("/etc/default/instance_configs.cfg", "[InstanceSetup]\n")
                .with_file(
                    "/etc/hosts",
                    "127.0.0.1 localhost\n169.254.169.254 metadata.google.internal metadata\n",
                ),
            Vmware => service(fs, "vmtoolsd").with_file("/var/log/vmware-vmsvc.log", "x\n"),
            Kvm => service(fs, "qemu-guest-agent").with_file("/usr/bin/qemu-ga", "x"),
            HyperV => service(fs, "hypervkvpd").with_file("/var/lib/hyperv/.kvp_pool_0", "x"),
            XenPv => service(fs, "xe-linux-distribution").with_file("/var/cache/xe-linux-distribution", "x"),
            VirtualBox => service(service(fs, "vboxadd"), "vboxadd-service")
                .with_file("/var/lib/VBoxGuestAdditions/config", "INSTALL_DIR='/opt/VBoxGuestAdditions'\n"),
            Physical | SmartArray => service(fs, "smartd"),
        }
    }
}

fn with_cloud_init(fs: MemFs, source: &str, id: &str) -> MemFs {
    fs.with_file("/etc/cloud/cloud.cfg", "disable_root: true\n")
        .with_file("/var/lib/cloud/data/instance-id", format!("{id}\n"))
        .with_file("/var/lib/cloud/instance/datasource", format!("{source}: {source}\n"))
}

fn with_service(fs: MemFs, init: Init, name: &str) -> MemFs {
    match init {
        Init::Systemd => {
            let unit = format!("/usr/lib/systemd/system/{name}.service");
            fs.with_file(&unit, "[Unit]\nDescription=x\n")
                .with_link(&format!("/etc/systemd/system/multi-user.target.wants/{name}.service"), &unit)
        }
        Init::Upstart => fs.with_file(&format!("/etc/init/{name}.conf"), "start on runlevel [2345]\n"),
        Init::Sysv => fs
            .with_file(&format!("/etc/init.d/{name}"), "#!/bin/sh\n")
            .with_link(&format!("/etc/rc3.d/S20{name}"), &format!("../init.d/{name}")),
        Init::OpenRc => fs
            .with_file(&format!("/etc/init.d/{name}"), "#!/sbin/openrc-run\n")
            .with_link(&format!("/etc/runlevels/default/{name}"), &format!("/etc/init.d/{name}")),
    }
}

/// udev's persistent rules, where its generator still wrote them.
pub fn persistent_rules() -> String {
    let line = |(mac, number): (&&str, usize)| {
        format!(
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{{address}}==\"{mac}\", ATTR{{type}}==\"1\", KERNEL==\"eth*\", NAME=\"eth{number}\"\n"
        )
    };
    MACS.iter().zip(0..).map(line).collect()
}
