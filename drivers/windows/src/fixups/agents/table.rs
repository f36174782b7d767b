//! The agents and tools that platforms put into guests.
//!
//! Sources of the names: Amazon's user guide for Windows instances (EC2Config, EC2Launch v1 and v2, SSM and CloudWatch agents)
//! and CloudFormation's (cfn-hup); Microsoft, "Azure Virtual Machine Agent overview"; Google's guest agent and Ops Agent; a
//! hive of a VMware guest and lists of VMware's services in removal scripts; a hive of a VirtualBox guest; virt-v2v (Parallels'
//! drivers, the service of qemu-ga, blnsvr); win-pv-drivers (XenServer's agents). Amazon spells the service of EC2Launch v2 in
//! two ways. Not verified: codedeployagent and Parallels' services.

use driver_core::Platform::{self, Aws, Azure, Gcp, KubeVirt, Kvm, Proxmox, VirtualBox, Vmware, Xen};

/// The agents of one maker.
pub(super) struct Maker {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// For reasons: `it serves EC2 only`.
    pub(super) name: &'static str,
    /// Where they are of use.
    pub(super) platforms: &'static [Platform],
    /// They also work elsewhere when somebody registers them there: left alone in guests that ran on another platform.
    pub(super) portable: bool,
    /// Services; only those that run in user mode and start by themselves are disabled.
    pub(super) services: &'static [&'static str],
    /// Drivers that do harm elsewhere; they are disabled and taken out of the lists of filters.
    pub(super) drivers: &'static [&'static str],
    /// Scheduled tasks.
    pub(super) tasks: &'static [&'static str],
    /// What a person may do in the running guest.
    pub(super) later: &'static str,
}

/// Nobody's.
const NONE: Maker = Maker {
    id: "",
    title: "",
    name: "",
    platforms: &[],
    portable: false,
    services: &[],
    drivers: &[],
    tasks: &[],
    later: "",
};

pub(super) static AWS: Maker = Maker {
    id: "windows-ec2-agents",
    title: "EC2's agents are disabled",
    name: "EC2",
    platforms: &[Aws],
    portable: true,
    services: &[
        "Ec2Config",
        "Amazon EC2Launch",
        "EC2Launch",
        "AmazonSSMAgent",
        "AmazonCloudWatchAgent",
        "AWSLiteAgent",
        "cfn-hup",
        "codedeployagent",
    ],
    tasks: &["Amazon Ec2 Launch - Instance Initialization"],
    later: "EC2's programs and drivers stay installed: uninstall them in the running guest",
    ..NONE
};

pub(super) static AZURE: Maker = Maker {
    id: "windows-azure-agents",
    title: "Azure's agents are disabled",
    name: "Azure",
    platforms: &[Azure],
    services: &[
        "WindowsAzureGuestAgent",
        "RdAgent",
        "WindowsAzureTelemetryService",
        "WindowsAzureNetAgentSvc",
    ],
    later: "Azure's agent stays installed: uninstall it in the running guest",
    ..NONE
};

pub(super) static GCP: Maker = Maker {
    id: "windows-gcp-agents",
    title: "Google Cloud's agents are disabled",
    name: "Google Cloud",
    platforms: &[Gcp],
    portable: true,
    services: &[
        "GCEAgent",
        "GCEAgentManager",
        "GCEWindowsCompatManager",
        "google_osconfig_agent",
        "google-cloud-ops-agent",
        "google-cloud-ops-agent-diagnostics",
        "google-cloud-ops-agent-fluent-bit",
        "google-cloud-ops-agent-opentelemetry-collector",
        "StackdriverLogging",
        "StackdriverMonitoring",
    ],
    tasks: &["GCEStartup"],
    later: "Google's packages stay installed: remove them with googet in the running guest",
    ..NONE
};

pub(super) static VMWARE: Maker = Maker {
    id: "windows-vmware-tools",
    title: "VMware's tools are disabled",
    name: "VMware",
    platforms: &[Vmware],
    services: &[
        "VMTools",
        "VGAuthService",
        "vm3dservice",
        "VMUpgradeHelper",
        "VMware Physical Disk Helper Service",
        "VMwareCAFCommAmqpListener",
        "VMwareCAFManagementAgentHost",
    ],
    later: "VMware Tools stay installed, and their uninstaller often refuses to work elsewhere: uninstall them at the source \
            before the migration, or by hand later",
    ..NONE
};

pub(super) static VIRTUALBOX: Maker = Maker {
    id: "windows-virtualbox-additions",
    title: "VirtualBox's guest additions are disabled",
    name: "VirtualBox",
    platforms: &[VirtualBox],
    services: &["VBoxService"],
    later: "VirtualBox's guest additions stay installed: uninstall them in the running guest",
    ..NONE
};

/// Parallels is no target: its tools are of no use on any of them.
pub(super) static PARALLELS: Maker = Maker {
    id: "windows-parallels-tools",
    title: "Parallels Tools are disabled",
    name: "Parallels",
    services: &["Parallels Tools Service", "Parallels Coherence Service"],
    drivers: &[
        "prl_boot",
        "prl_dd",
        "prl_eth5",
        "prl_fs",
        "prl_memdev",
        "prl_mouf",
        "prl_pv32",
        "prl_pv64",
        "prl_scsi",
        "prl_sound",
        "prl_strg",
        "prl_tg",
        "prl_time",
        "prl_uprof",
        "prl_va",
    ],
    later: "Parallels Tools stay installed: uninstall them in the running guest",
    ..NONE
};

pub(super) static XEN: Maker = Maker {
    id: "windows-xen-tools",
    title: "Xen's guest agents are disabled",
    name: "Xen",
    platforms: &[Xen],
    services: &["XenSvc", "xenagent", "XenInstall"],
    later: "Xen's tools stay installed: uninstall them in the running guest",
    ..NONE
};

pub(super) static KVM: Maker = Maker {
    id: "windows-kvm-agents",
    title: "KVM's guest agents are disabled",
    name: "KVM",
    platforms: &[Kvm, Proxmox, KubeVirt],
    services: &["QEMU-GA", "BalloonService", "vdservice", "spice-agent"],
    later: "QEMU's agents stay installed: uninstall them in the running guest",
    ..NONE
};
