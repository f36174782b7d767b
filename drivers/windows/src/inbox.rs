//! Storage drivers that are part of Windows, and making the boot loader start them.
//!
//! Sources: values of the services and of the critical devices are those of installed systems (SYSTEM hives of Windows 7 and 8.1). That a
//! boot-start driver of Windows 8 and later is held back by `StartOverride` ("0" = 3), and that deleting that key is what starts it on other
//! hardware, is what XCP-ng's offline boot repair relies on. Microsoft's recovery of a disk on Azure sets the same services to boot
//! ("Azure VM conversions: hydration": vmbus, storvsc, storflt, intelide, atapi). Up to Windows 7 a boot device that was never seen needs an entry in
//! CriticalDeviceDatabase (Microsoft, "How to troubleshoot 0x0000007B"); later ones do not look there.

use crate::in_the_way::nothing_in_the_way;
use crate::services::{BOOT, KERNEL_DRIVER, driver_file, number, service_key, text};
use crate::storage::is_file;
use driver_core::{Draft, FileKind, Ownership, WindowsFacts};
use driver_registry::Value;
use format_core::Result;

/// A driver is far smaller.
const DRIVER_LIMIT: u64 = 32 << 20;
const STORE: &str = "System32/DriverStore/FileRepository";

/// Class of IDE and SATA controllers.
const HDC: &str = "{4D36E96A-E325-11CE-BFC1-08002BE10318}";
/// Class of SCSI controllers.
const SCSI: &str = "{4D36E97B-E325-11CE-BFC1-08002BE10318}";
/// Class of system devices.
const SYSTEM: &str = "{4D36E97D-E325-11CE-BFC1-08002BE10318}";

/// A driver of Windows itself.
pub(crate) struct InboxDriver {
    /// Key below `Services`.
    pub(crate) service: &'static str,
    /// File in `System32\drivers`.
    file: &'static str,
    /// INF file of its package.
    inf: &'static str,
    group: &'static str,
    error_control: u32,
    /// Devices by which Windows 7 and earlier know it before anything was installed: identifier and class.
    critical: &'static [(&'static str, &'static str)],
}

pub(crate) const VMBUS: InboxDriver = InboxDriver {
    service: "vmbus",
    file: "vmbus.sys",
    inf: "wvmbus.inf",
    group: "System Bus Extender",
    error_control: 1,
    critical: &[("ACPI#VMBus", SYSTEM)],
};
/// Hyper-V's SCSI disks, and those of its IDE controller once Windows runs.
pub(crate) const STORVSC: InboxDriver = InboxDriver {
    service: "storvsc",
    file: "storvsc.sys",
    inf: "wstorvsc.inf",
    group: "Base",
    error_control: 1,
    critical: &[("VMBUS#{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}", SCSI)],
};
pub(crate) const STORFLT: InboxDriver = InboxDriver {
    service: "storflt",
    file: "vmstorfl.sys",
    inf: "wstorflt.inf",
    group: "Extended Base",
    error_control: 1,
    critical: &[],
};
pub(crate) const INTELIDE: InboxDriver = InboxDriver {
    service: "intelide",
    file: "intelide.sys",
    inf: "mshdc.inf",
    group: "System Bus Extender",
    error_control: 3,
    critical: &[("PCI#VEN_8086&DEV_7010", HDC), ("PCI#VEN_8086&DEV_7111", HDC)],
};
pub(crate) const PCIIDE: InboxDriver =
    InboxDriver { service: "pciide", file: "pciide.sys", critical: &[("PCI#CC_0101", HDC)], ..INTELIDE };
pub(crate) const ATAPI: InboxDriver = InboxDriver {
    service: "atapi",
    file: "atapi.sys",
    group: "SCSI Miniport",
    critical: &[("Primary_IDE_Channel", HDC), ("Secondary_IDE_Channel", HDC)],
    ..INTELIDE
};
/// SATA up to Windows 7.
pub(crate) const MSAHCI: InboxDriver = InboxDriver {
    service: "msahci",
    file: "msahci.sys",
    group: "SCSI Miniport",
    critical: &[("PCI#CC_010601", HDC)],
    ..INTELIDE
};
/// SATA from Windows 8 on.
pub(crate) const STORAHCI: InboxDriver = InboxDriver {
    service: "storahci",
    file: "storahci.sys",
    group: "SCSI Miniport",
    critical: &[],
    ..INTELIDE
};
/// NVMe from Windows 8.1 on, and in a Windows 7 with the hotfix for it.
pub(crate) const STORNVME: InboxDriver = InboxDriver {
    service: "stornvme",
    file: "stornvme.sys",
    inf: "stornvme.inf",
    group: "SCSI Miniport",
    error_control: 3,
    critical: &[("PCI#CC_010802", SCSI)],
};
/// VMware's LSI Logic SAS is an LSI SAS1068.
pub(crate) const LSI_SAS: InboxDriver = InboxDriver {
    service: "LSI_SAS",
    file: "lsi_sas.sys",
    inf: "lsi_sas.inf",
    group: "SCSI Miniport",
    error_control: 1,
    critical: &[("PCI#VEN_1000&DEV_0054", SCSI)],
};
/// VMware's LSI Logic is an LSI 53C1030. No longer part of Windows 8.
pub(crate) const LSI_SCSI: InboxDriver = InboxDriver {
    service: "LSI_SCSI",
    file: "lsi_scsi.sys",
    inf: "lsi_scsi.inf",
    critical: &[("PCI#VEN_1000&DEV_0030", SCSI)],
    ..LSI_SAS
};

impl InboxDriver {
    /// Whether the guest has the driver: its file, or a copy in the driver store, or in the package that another control set names.
    pub(crate) fn is_there(&self, draft: &Draft<'_>, windows: &WindowsFacts) -> Result<bool> {
        for set in &windows.control_sets {
            if !self.has_file(draft, windows, set)? && self.in_store(draft, windows)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn target(&self, draft: &Draft<'_>, windows: &WindowsFacts, set: &str) -> Result<Option<String>> {
        let image = text(draft, &service_key(set, self.service), "ImagePath")?;
        let usual = format!("{}/System32/drivers/{}", windows.system_root, self.file);
        let name = self.file.trim_end_matches(".sys");
        let path = driver_file(&windows.system_root, name, image.as_deref());
        // Control sets spell it differently, and a draft takes two spellings for two files.
        Ok(path.map(|path| if path.eq_ignore_ascii_case(&usual) { usual } else { path }))
    }

    fn has_file(&self, draft: &Draft<'_>, windows: &WindowsFacts, set: &str) -> Result<bool> {
        self.target(draft, windows, set)?.map_or(Ok(false), |path| is_file(draft, &path))
    }

    /// The newest copy in the driver store: of the package that is active, else of the last in the order of names.
    fn in_store(&self, draft: &Draft<'_>, windows: &WindowsFacts) -> Result<Option<String>> {
        let store = format!("{}/{STORE}", windows.system_root);
        let active = format!(r"SYSTEM\DriverDatabase\DriverInfFiles\{}", self.inf);
        let active = text(draft, &active, "Active")?.unwrap_or_default();
        let prefix = format!("{}_", self.inf);
        let folders = draft.read_dir(&store)?.into_iter().map(|entry| entry.name);
        let mut folders: Vec<String> =
            folders.filter(|name| name.to_ascii_lowercase().starts_with(&prefix)).collect();
        folders.sort_by_key(|name| name.eq_ignore_ascii_case(&active));
        for folder in folders.iter().rev() {
            let path = format!("{store}/{folder}/{}", self.file);
            let meta = draft.metadata(&path)?;
            if meta.is_some_and(|meta| meta.kind == FileKind::File && meta.size > 0) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Plans that the boot loader starts the driver, in every control set. It must be there.
    pub(crate) fn start_at_boot(
        &self,
        draft: &mut Draft<'_>,
        windows: &WindowsFacts,
        reason: &str,
    ) -> Result<()> {
        for set in &windows.control_sets {
            if !self.has_file(draft, windows, set)? {
                self.copy(draft, windows, set)?;
            }
            self.register(draft, set, reason)?;
            if !windows.has_driver_database() {
                self.make_critical(draft, set, reason)?;
            }
        }
        Ok(())
    }

    fn copy(&self, draft: &mut Draft<'_>, windows: &WindowsFacts, set: &str) -> Result<()> {
        let (from, to) = (self.in_store(draft, windows)?, self.target(draft, windows, set)?);
        let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
        let Some(content) = draft.read(&from, DRIVER_LIMIT)? else { return Ok(()) };
        let reason = "the driver's file was missing; this copy is the driver store's";
        nothing_in_the_way(draft, &to)?;
        match draft.read(&to, DRIVER_LIMIT)? {
            Some(before) if before == content => Ok(()),
            Some(before) => draft.replace(&to, before, content, reason),
            None => draft.create(&to, content, Ownership::ROOT_FILE, reason),
        }
    }

    fn register(&self, draft: &mut Draft<'_>, set: &str, reason: &str) -> Result<()> {
        let key = service_key(set, self.service);
        if !draft.has_key(&key)? {
            let path = format!(r"System32\drivers\{}", self.file);
            draft.set_value(&key, "Type", Value::dword(KERNEL_DRIVER), reason)?;
            draft.set_value(&key, "ErrorControl", Value::dword(self.error_control), reason)?;
            draft.set_value(&key, "Group", Value::string(self.group), reason)?;
            draft.set_value(&key, "ImagePath", Value::expand_string(&path), reason)?;
        }
        if number(draft, &key, "Start")? != Some(BOOT) {
            draft.set_value(&key, "Start", Value::dword(BOOT), reason)?;
        }
        draft
            .delete_key(&format!(r"{key}\StartOverride"), "it keeps the driver from starting on new hardware")
    }

    fn make_critical(&self, draft: &mut Draft<'_>, set: &str, reason: &str) -> Result<()> {
        for (device, class) in self.critical {
            let key = format!(r"SYSTEM\{set}\Control\CriticalDeviceDatabase\{device}");
            if text(draft, &key, "Service")?.is_none_or(|own| !own.eq_ignore_ascii_case(self.service)) {
                draft.set_value(&key, "Service", Value::string(self.service), reason)?;
            }
            if text(draft, &key, "ClassGUID")?.is_none_or(|own| !own.eq_ignore_ascii_case(class)) {
                draft.set_value(&key, "ClassGUID", Value::string(class), reason)?;
            }
        }
        Ok(())
    }
}
