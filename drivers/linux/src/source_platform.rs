//! Which platform a guest comes from, by the files in it.
//!
//! Facts: cloud-init keeps the name of the data source that it used last (`/var/lib/cloud/instance/datasource`, cloud-init
//! documentation, "Datasources"); waagent keeps the deployment's `ovf-env.xml`; Google's agent writes
//! `/etc/default/instance_configs.cfg`; hv_kvp_daemon makes its pools, open-vm-tools its logs and XenServer's guest daemon its
//! cache only where that hypervisor answers. Everything else is only installed, and images for several platforms have it.

use crate::inspect::{kind_of, text};
use driver_core::Platform::{Aws, Azure, Gcp, HyperV, Kvm, Proxmox, VirtualBox, Vmware, Xen};
use driver_core::{GuestTree, Platform, PlatformSign, SourceFacts, Strength};
use format_core::Result;

const DATASOURCE: &str = "/var/lib/cloud/instance/datasource";
/// Fewer are kept than a hostile guest can make.
const MAX_SIGNS: usize = 24;

/// Files that only a guest running on the platform gets.
const RECORDS: [(&str, &[Platform]); 9] = [
    ("/var/lib/waagent/ovf-env.xml", &[Azure]),
    ("/var/lib/waagent/provisioned", &[Azure]),
    ("/etc/default/instance_configs.cfg", &[Gcp]),
    ("/var/lib/amazon/ssm/runtimeconfig/identity_config.json", &[Aws]),
    ("/var/lib/hyperv/.kvp_pool_0", &[HyperV, Azure]),
    ("/var/log/vmware-vmsvc.log", &[Vmware]),
    ("/var/log/vmware-vmsvc-root.log", &[Vmware]),
    ("/var/log/vmware-vmtoolsd-root.log", &[Vmware]),
    ("/var/cache/xe-linux-distribution", &[Xen]),
];

/// What belongs to a platform's agents and tools.
const INSTALLED: [(&str, &[Platform]); 22] = [
    ("/usr/bin/amazon-ssm-agent", &[Aws]),
    ("/snap/amazon-ssm-agent", &[Aws]),
    ("/usr/sbin/ec2net", &[Aws]),
    ("/usr/lib/udev/rules.d/51-ec2-hvm-devices.rules", &[Aws]),
    ("/etc/udev/rules.d/51-ec2-hvm-devices.rules", &[Aws]),
    ("/usr/share/amazon-ec2-net-utils", &[Aws]),
    ("/usr/sbin/waagent", &[Azure]),
    ("/etc/waagent.conf", &[Azure]),
    ("/usr/bin/google_guest_agent", &[Gcp]),
    ("/usr/bin/google_osconfig_agent", &[Gcp]),
    ("/usr/bin/vmtoolsd", &[Vmware]),
    ("/etc/vmware-tools/locations", &[Vmware]),
    ("/usr/bin/vmware-config-tools.pl", &[Vmware]),
    ("/var/lib/VBoxGuestAdditions/config", &[VirtualBox]),
    ("/usr/sbin/VBoxService", &[VirtualBox]),
    ("/usr/sbin/xe-daemon", &[Xen]),
    ("/usr/sbin/xe-linux-distribution", &[Xen]),
    ("/usr/sbin/xen-guest-agent", &[Xen]),
    ("/usr/bin/qemu-ga", &[Kvm, Proxmox]),
    ("/usr/sbin/qemu-ga", &[Kvm, Proxmox]),
    ("/usr/sbin/hypervkvpd", &[HyperV, Azure]),
    ("/usr/sbin/hv_kvp_daemon", &[HyperV, Azure]),
];

/// Names of cloud-init's data sources that belong to one platform.
const DATASOURCES: [(&str, &[Platform]); 5] = [
    ("DataSourceEc2", &[Aws]),
    ("DataSourceAzure", &[Azure]),
    ("DataSourceGCE", &[Gcp]),
    ("DataSourceVMware", &[Vmware]),
    ("DataSourceOpenStack", &[Kvm]),
];

/// What the guest's files say of the platform it comes from. `kernels` are version strings.
pub(crate) fn find<'a>(
    tree: &GuestTree,
    os_id: &str,
    kernels: impl Iterator<Item = &'a str>,
) -> Result<SourceFacts> {
    let mut signs = Vec::new();
    signs.extend(used_datasource(tree)?);
    for (paths, strength) in [(&RECORDS[..], Strength::Recorded), (&INSTALLED[..], Strength::Installed)] {
        for (path, platforms) in paths {
            if kind_of(tree, path)?.is_some() {
                signs.push(sign(platforms, strength, (*path).to_owned()));
            }
        }
    }
    signs.extend(configured(tree)?);
    if os_id == "amzn" {
        signs.push(sign(&[Aws], Strength::Installed, "the system is Amazon Linux".into()));
    }
    signs.extend(kernels.filter_map(kernel_flavour));
    signs.truncate(MAX_SIGNS);
    Ok(SourceFacts::from_signs(signs))
}

fn sign(platforms: &[Platform], strength: Strength, found: String) -> PlatformSign {
    PlatformSign { platforms: platforms.to_vec(), strength, found }
}

/// `DataSourceEc2Local: DataSourceEc2Local`
fn used_datasource(tree: &GuestTree) -> Result<Option<PlatformSign>> {
    let content = text(tree, DATASOURCE)?.unwrap_or_default();
    let name: String = content.chars().take_while(char::is_ascii_alphanumeric).take(64).collect();
    let known = DATASOURCES.iter().find(|(prefix, _)| name.starts_with(prefix));
    Ok(known.map(|(prefix, platforms)| {
        // OpenStack runs on other hypervisors too.
        let strength =
            if *prefix == "DataSourceOpenStack" { Strength::Installed } else { Strength::Recorded };
        sign(platforms, strength, format!("{DATASOURCE} says {name}"))
    }))
}

/// ds-identify.cfg names a source before cloud-init looks for one.
fn configured(tree: &GuestTree) -> Result<Option<PlatformSign>> {
    let path = "/etc/cloud/ds-identify.cfg";
    let content = text(tree, path)?.unwrap_or_default();
    let named = content.lines().find_map(|line| line.trim().strip_prefix("datasource:")).unwrap_or_default();
    let platforms: &[Platform] = match named.trim().trim_matches(['"', '\'']) {
        "Ec2" => &[Aws],
        "Azure" => &[Azure],
        "GCE" => &[Gcp],
        "VMware" => &[Vmware],
        _ => return Ok(None),
    };
    Ok(Some(sign(platforms, Strength::Installed, format!("{path} names the data source"))))
}

fn kernel_flavour(version: &str) -> Option<PlatformSign> {
    let platforms: &[Platform] = match version.rsplit('-').next()? {
        "aws" => &[Aws],
        "azure" => &[Azure],
        "gcp" | "gke" => &[Gcp],
        // The kernel of a paravirtual guest: `2.6.18-398.el5xen`.
        last if last.ends_with("xen") => &[Xen],
        _ => return None,
    };
    Some(sign(platforms, Strength::Installed, format!("kernel {version}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::MemFs;

    fn found(fs: MemFs, kernels: &[&str]) -> SourceFacts {
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(fs));
        find(&tree, "x", kernels.iter().copied()).unwrap()
    }

    #[test]
    fn records_of_a_running_guest_name_the_platform() {
        for (path, content, platform) in [
            (DATASOURCE, "DataSourceEc2Local: DataSourceEc2Local\n", Aws),
            (DATASOURCE, "DataSourceAzure: DataSourceAzure [seed=/dev/sr0]", Azure),
            (DATASOURCE, "DataSourceGCELocal: x", Gcp),
            ("/var/lib/waagent/ovf-env.xml", "", Azure),
            ("/var/log/vmware-vmsvc-root.log", "", Vmware),
            ("/var/cache/xe-linux-distribution", "", Xen),
        ] {
            let facts = found(MemFs::new().with_file(path, content).with_file("/usr/bin/vmtoolsd", ""), &[]);
            assert_eq!((facts.platform, facts.recorded), (Some(platform), true), "{path}");
        }
    }

    #[test]
    fn what_is_installed_is_only_probable_and_may_be_nothing() {
        let facts = found(MemFs::new().with_file("/usr/bin/vmtoolsd", ""), &[]);
        assert_eq!((facts.platform, facts.recorded), (Some(Vmware), false));
        assert_eq!(
            found(MemFs::new().with_file("/usr/bin/qemu-ga", ""), &[]).platform,
            None,
            "KVM or Proxmox"
        );
        assert_eq!(found(MemFs::new().with_file("/usr/bin/vmtoolsd", ""), &["6.8.0-1-aws"]).platform, None);
        assert_eq!(found(MemFs::new(), &["6.8.0-1-azure", "6.1.0-9-amd64"]).platform, Some(Azure));
        let none = found(MemFs::new().with_file(DATASOURCE, "DataSourceNoCloud: x"), &["6.1.0-9-amd64"]);
        assert_eq!(none, SourceFacts::default());
    }
}
