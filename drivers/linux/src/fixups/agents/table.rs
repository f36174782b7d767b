//! The agents and tools that platforms put into guests.
//!
//! Sources: unit files of the packages `amazon-ssm-agent`, `amazon-ec2-net-utils`, `ec2-hibinit-agent`, `walinuxagent`,
//! `hyperv-daemons`, `google-guest-agent`, `google-osconfig-agent`, the Ops Agent, `open-vm-tools`, VirtualBox Guest
//! Additions (manual, "Guest Additions for Linux"), `xe-guest-utilities`, `xen-guest-agent` and Parallels Tools.

use driver_core::Platform::{self, Aws, Azure, Gcp, HyperV, VirtualBox, Vmware, Xen};

/// The agents of one maker.
pub(super) struct Maker {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// For reasons: `this agent serves EC2 only`.
    pub(super) name: &'static str,
    /// Where they are of use.
    pub(super) platforms: &'static [Platform],
    /// They also work elsewhere when somebody registers them there: left alone in guests that ran on another platform.
    pub(super) portable: bool,
    /// Names of services: systemd units without suffix, OpenRC, SysV and Upstart services. `@` ends a template's name, `*`
    /// the beginning of names.
    pub(super) services: &'static [&'static str],
}

pub(super) static AWS: Maker = Maker {
    id: "linux-ec2-agents",
    title: "EC2's agents are disabled",
    name: "EC2",
    platforms: &[Aws],
    portable: true,
    services: &[
        "amazon-ssm-agent",
        "snap.amazon-ssm-agent.amazon-ssm-agent",
        "amazon-cloudwatch-agent",
        "awslogsd",
        "awslogs",
        "codedeploy-agent",
        "ec2-instance-connect",
        "ec2-instance-connect-harvest-hostkeys",
        "hibinit-agent",
        "ec2-hibinit-agent",
        "elastic-network-interfaces",
        "nitro-enclaves-allocator",
        "ec2net-scan",
        "ec2net-ifup@",
        "policy-routes@",
        "refresh-policy-routes@",
    ],
};

pub(super) static AZURE: Maker = Maker {
    id: "linux-azure-agents",
    title: "Azure's agents are disabled",
    name: "Azure",
    platforms: &[Azure],
    portable: true,
    services: &[
        "walinuxagent",
        "waagent",
        "walinuxagent-network-setup",
        "waagent-network-setup",
        "azure-ephemeral-disk-setup",
        "ephemeral-disk-warning",
        "azuremonitoragent",
        "azuremonitor-agentlauncher",
        "azuremonitor-coreagent",
        "omid",
        "omsagent-*",
        "mdsd",
    ],
};

pub(super) static HYPERV: Maker = Maker {
    id: "linux-hyperv-daemons",
    title: "Hyper-V's daemons are disabled",
    name: "Hyper-V",
    platforms: &[HyperV, Azure],
    portable: false,
    services: &[
        "hypervkvpd",
        "hypervvssd",
        "hypervfcopyd",
        "hv-kvp-daemon",
        "hv-vss-daemon",
        "hv-fcopy-daemon",
        "hv_kvp_daemon",
        "hv_vss_daemon",
        "hv_fcopy_daemon",
        "hyperv-daemons.*",
        "hyperv-daemons",
    ],
};

pub(super) static GCP: Maker = Maker {
    id: "linux-gcp-agents",
    title: "Google Cloud's agents are disabled",
    name: "Google Cloud",
    platforms: &[Gcp],
    portable: true,
    services: &[
        "google-guest-agent",
        "google-guest-agent-manager",
        "google-guest-compat-manager",
        "google-osconfig-agent",
        "google-startup-scripts",
        "google-shutdown-scripts",
        "google-oslogin-cache",
        "google-instance-setup",
        "google-network-daemon",
        "google-accounts-daemon",
        "google-clock-skew-daemon",
        "google-cloud-ops-agent",
        "google-cloud-ops-agent-*",
        "google-fluentd",
        "stackdriver-agent",
        "gce-workload-cert-refresh",
    ],
};

pub(super) static VMWARE: Maker = Maker {
    id: "linux-vmware-tools",
    title: "VMware's tools are disabled",
    name: "VMware",
    platforms: &[Vmware],
    portable: false,
    services: &[
        "open-vm-tools",
        "vmtoolsd",
        "vgauth",
        "vgauthd",
        "vmware-tools",
        "vmware-tools-services",
        "vmware-tools-thinprint",
        "run-vmblock\\x2dfuse",
    ],
};

pub(super) static VIRTUALBOX: Maker = Maker {
    id: "linux-virtualbox-additions",
    title: "VirtualBox's guest additions are disabled",
    name: "VirtualBox",
    platforms: &[VirtualBox],
    portable: false,
    services: &[
        "vboxadd",
        "vboxadd-service",
        "vboxadd-x11",
        "vboxadd-cups",
        "vboxservice",
        "virtualbox-guest-utils",
        "virtualbox-guest-x11",
        "virtualbox-guest-additions",
    ],
};

pub(super) static XEN: Maker = Maker {
    id: "linux-xen-tools",
    title: "Xen's guest utilities are disabled",
    name: "Xen",
    platforms: &[Xen],
    portable: false,
    services: &["xe-linux-distribution", "xe-daemon", "xe-guest-utilities", "xen-guest-agent"],
};

/// Parallels is no target: its tools are of no use on any of them.
pub(super) static PARALLELS: Maker = Maker {
    id: "linux-parallels-tools",
    title: "Parallels Tools are disabled",
    name: "Parallels",
    platforms: &[],
    portable: false,
    services: &["prltoolsd", "prl-x11", "prltools_updater"],
};

impl Maker {
    /// Whether a service of this name is one of theirs.
    pub(super) fn has(&self, service: &str) -> bool {
        self.services.iter().any(|known| match (known.strip_suffix('*'), known.ends_with('@')) {
            (Some(start), _) => service.len() > start.len() && service.starts_with(start),
            (None, true) => service.starts_with(known),
            (None, false) => service == *known,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_their_services_are_theirs() {
        for (maker, service) in [
            (&AWS, "amazon-ssm-agent"),
            (&AWS, "policy-routes@ens5"),
            (&AWS, "refresh-policy-routes@ens5"),
            (&GCP, "google-cloud-ops-agent-fluent-bit"),
            (&HYPERV, "hyperv-daemons.hv-kvp-daemon"),
            (&VMWARE, "run-vmblock\\x2dfuse"),
        ] {
            assert!(maker.has(service), "{service}");
        }
        for service in
            ["ssh", "my-amazon-ssm-agent", "amazon-ssm-agent2", "omsagent-", "qemu-guest-agent", ""]
        {
            for maker in [&AWS, &AZURE, &HYPERV, &GCP, &VMWARE, &VIRTUALBOX, &XEN, &PARALLELS] {
                assert!(!maker.has(service), "{} {service}", maker.id);
            }
        }
    }
}
