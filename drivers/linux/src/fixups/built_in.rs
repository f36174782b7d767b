//! Drivers that are part of a kernel of which the guest has no modules, as far as its configuration says.
//!
//! Source: the kernel's Kconfig files, which name the option of each driver.

use crate::kernel_config::{has, kernel_config};
use driver_core::Draft;
use format_core::Result;

/// Module, and the option that builds it in.
const OPTIONS: [(&str, &str); 20] = [
    ("ahci", "CONFIG_SATA_AHCI"),
    ("ata_piix", "CONFIG_ATA_PIIX"),
    ("e1000", "CONFIG_E1000"),
    ("e1000e", "CONFIG_E1000E"),
    ("ena", "CONFIG_ENA_ETHERNET"),
    ("hv_netvsc", "CONFIG_HYPERV_NET"),
    ("hv_storvsc", "CONFIG_HYPERV_STORAGE"),
    ("hv_vmbus", "CONFIG_HYPERV"),
    ("mptsas", "CONFIG_FUSION_SAS"),
    ("mptspi", "CONFIG_FUSION_SPI"),
    ("nvme", "CONFIG_BLK_DEV_NVME"),
    ("sd_mod", "CONFIG_BLK_DEV_SD"),
    ("virtio_blk", "CONFIG_VIRTIO_BLK"),
    ("virtio_net", "CONFIG_VIRTIO_NET"),
    ("virtio_pci", "CONFIG_VIRTIO_PCI"),
    ("virtio_scsi", "CONFIG_SCSI_VIRTIO"),
    ("vmw_pvscsi", "CONFIG_VMWARE_PVSCSI"),
    ("vmxnet3", "CONFIG_VMXNET3"),
    ("xen_blkfront", "CONFIG_XEN_BLKDEV_FRONTEND"),
    ("xen_netfront", "CONFIG_XEN_NETDEV_FRONTEND"),
];

/// Those of `modules` that the kernel's configuration does not show to be built in.
pub(super) fn lacking<'a>(draft: &Draft<'_>, version: &str, modules: &[&'a str]) -> Result<Vec<&'a str>> {
    let config = kernel_config(draft, version)?;
    let is_in = |module: &&&str| {
        let name = module.replace('-', "_");
        OPTIONS.iter().any(|(known, option)| *known == name && has(&config, option))
    };
    Ok(modules.iter().filter(|module| !is_in(module)).copied().collect())
}
