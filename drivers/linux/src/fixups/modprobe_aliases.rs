//! modprobe aliases of old systems: they load the target's drivers, not the source's.
//!
//! Facts: RHEL 5 and its like write `alias eth0 e1000` and `alias scsi_hostadapter mptspi` into /etc/modprobe.conf
//! (modprobe.conf(5)); their mkinitrd takes the drivers of later images from `scsi_hostadapter` lines, so a line of the
//! source's controller there fails, and a missing one of the target's leaves the next kernel without its disk. Aliases that start a guest
//! addition's modules (`vboxguest`, `vmxnet`, `pvscsi` of VMware's own package) name modules that do nothing elsewhere.

use super::initramfs::{load_index, modules_only};
use crate::config_file::{Line, edit_lines, list, read};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

/// Modules for devices that hypervisors make.
const VIRTUAL: [&str; 30] = [
    "xennet",
    "xen-vnif",
    "xen_vnif",
    "xen-netfront",
    "xen_netfront",
    "xenblk",
    "xen-vbd",
    "xen_vbd",
    "xen-blkfront",
    "xen_blkfront",
    "virtio_net",
    "virtio_blk",
    "virtio_scsi",
    "virtio_pci",
    "vmxnet",
    "vmxnet3",
    "pvscsi",
    "vmw_pvscsi",
    "hv_netvsc",
    "hv_storvsc",
    "ena",
    "nvme",
    "e1000",
    "e1000e",
    "pcnet32",
    "mptspi",
    "mptscsih",
    "mptsas",
    "BusLogic",
    "ixgbevf",
];

/// Controllers of physical machines, which no target has.
const PHYSICAL: [&str; 14] = [
    "cciss",
    "hpsa",
    "megaraid_sas",
    "megaraid_mbox",
    "aacraid",
    "aic7xxx",
    "aic79xx",
    "ips",
    "3w-9xxx",
    "3w-xxxx",
    "arcmsr",
    "mpt2sas",
    "mpt3sas",
    "sata_nv",
];

pub(super) struct ModprobeAliases;

impl Fixup for ModprobeAliases {
    fn id(&self) -> &'static str {
        "linux-modprobe-aliases"
    }

    fn title(&self) -> &'static str {
        "modprobe aliases for network and disks name the target's drivers"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let wanted = Wanted::of(context, draft);
        for path in files(draft)? {
            let content = read(draft, &path)?.unwrap_or_default();
            if String::from_utf8_lossy(&content).lines().any(|line| alias(line, &wanted).is_some()) {
                return Ok(Applies::Yes);
            }
        }
        Ok(Applies::no("no modprobe alias names a driver of the source"))
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let wanted = Wanted::of(context, draft);
        let reason = format!("the drivers for {}", context.target.name);
        for path in files(draft)? {
            let Some(content) = read(draft, &path)? else { continue };
            let new = edit_lines(&content, |line| alias(line, &wanted).map_or(Line::Keep, Line::Replace));
            draft.write(&path, new, &reason)?;
        }
        Ok(())
    }
}

/// The drivers that take the place of others, where the guest's kernel has them.
struct Wanted<'a> {
    network: Option<&'a str>,
    storage: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(context: &Context<'a>, draft: &Draft<'_>) -> Self {
        let index = context.guest.kernels.first().and_then(|kernel| load_index(draft.tree(), kernel).ok());
        let target = context.target;
        let Some(index) = index else { return Self { network: None, storage: None } };
        let has = |module: &'a str| modules_only(&index, &[module]).first().copied();
        let storage = [
            "hv_storvsc",
            "virtio_scsi",
            "virtio_blk",
            "vmw_pvscsi",
            "mptspi",
            "ahci",
            "xen_blkfront",
            "nvme",
        ];
        let storage = storage.into_iter().find(|module| target.boot_modules.contains(module));
        Self { network: has(target.network_module), storage: storage.and_then(has) }
    }
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = vec!["/etc/modprobe.conf".to_owned(), "/etc/modules.conf".to_owned()];
    files.extend(list(draft, "/etc/modprobe.d", "")?);
    Ok(files)
}

/// The line with the target's driver, `None` for lines that are right or about something else.
fn alias(line: &str, wanted: &Wanted<'_>) -> Option<String> {
    let mut words = line.split_whitespace();
    let (word, name, module) = (words.next()?, words.next()?, words.next()?);
    if word != "alias" || words.next().is_some() || !VIRTUAL.contains(&module) && !PHYSICAL.contains(&module)
    {
        return None;
    }
    let numbered =
        |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    let new = if numbered("eth") {
        wanted.network?
    } else if numbered("scsi_hostadapter") {
        wanted.storage?
    } else {
        return None;
    };
    let same = |module: &str| module.replace('-', "_");
    (same(new) != same(module)).then(|| format!("alias {name} {new}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_of_virtual_hardware_follow() {
        let wanted = Wanted { network: Some("hv_netvsc"), storage: Some("hv_storvsc") };
        for (line, expected) in [
            ("alias eth0 xennet", Some("alias eth0 hv_netvsc")),
            ("alias scsi_hostadapter xenblk", Some("alias scsi_hostadapter hv_storvsc")),
            ("alias scsi_hostadapter1 mptspi", Some("alias scsi_hostadapter1 hv_storvsc")),
            ("alias scsi_hostadapter cciss", Some("alias scsi_hostadapter hv_storvsc")),
            ("alias eth0 hv_netvsc", None),
            ("alias scsi_hostadapter ata_piix", None),
            ("alias eth0 tg3", None),
            ("alias net-pf-10 off", None),
            ("alias ethx e1000", None),
            ("# alias eth0 xennet", None),
            ("alias eth0", None),
        ] {
            assert_eq!(alias(line, &wanted).as_deref(), expected, "{line}");
        }
        assert_eq!(alias("alias eth0 xennet", &Wanted { network: None, storage: None }), None);
    }
}
