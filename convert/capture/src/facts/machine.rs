//! The facts as a machine that the definitions of targets are written from.

use super::{Adapter, MachineFacts, PhysicalDisk};
use driver_machine::{
    Architecture, Bus, Clock, Cpu, Disk, DiskSource, Firmware, FirmwareKind, MacAddress, Machine,
    MachineError, Nic, OsFamily, OsHint, SchemaVersion, Topology, Tpm,
};
use std::collections::BTreeMap;

impl MachineFacts {
    /// The machine whose disks were copied into `images`, in the order of [`MachineFacts::disks`].
    ///
    /// # Errors
    /// What [`Machine::validate`] finds.
    pub fn to_machine(&self, images: &[String]) -> Result<Machine, MachineError> {
        let platform = &self.platform;
        let boot = self.boot_disk();
        let disks = self.disks.iter().zip(images).enumerate();
        let mut machine = Machine {
            rehome_machine: SchemaVersion,
            name: platform.name.clone(),
            uuid: platform.uuid.as_deref().and_then(|uuid| uuid.parse().ok()),
            architecture: architecture(&platform.architecture),
            firmware: Firmware {
                kind: if platform.firmware == "uefi" { FirmwareKind::Uefi } else { FirmwareKind::Bios },
                secure_boot: platform.secure_boot,
            },
            cpu: self.cpu(),
            memory_mib: platform.memory_mib,
            clock: if platform.local_clock { Clock::Local } else { Clock::Utc },
            tpm: platform.tpm.as_deref().and_then(|version| match version {
                "1.2" => Some(Tpm::V1_2),
                "2.0" => Some(Tpm::V2_0),
                _ => None,
            }),
            disks: disks
                .map(|(order, (disk, image))| of_disk(order, disk, image, boot == Some(order)))
                .collect(),
            nics: self.adapters.iter().map(nic).collect(),
            os: platform
                .system
                .as_ref()
                .map(|description| OsHint { family: OsFamily::Linux, description: description.clone() }),
            tags: BTreeMap::new(),
            notes: platform.product.as_ref().map(|product| format!("captured from {product}")),
            provenance: BTreeMap::new(),
        };
        let said = |field: &str, source: &str| (field.to_owned(), source.to_owned());
        machine.provenance.extend([
            said("firmware", "/sys/firmware/efi"),
            said("cpu", "/proc/cpuinfo"),
            said("memory_mib", "/proc/meminfo, rounded up"),
            said("disks", "/sys/block"),
            said("nics", "/sys/class/net"),
        ]);
        machine.validate()?;
        Ok(machine)
    }

    /// The disk with the running system's `/boot`, else with its `/`.
    fn boot_disk(&self) -> Option<usize> {
        let holds = |place: &str| {
            self.disks.iter().position(|disk| disk.all_mounts().iter().any(|mount| mount.place == place))
        };
        holds("/boot").or_else(|| holds("/boot/efi")).or_else(|| holds("/"))
    }

    /// Sockets and cores only where they multiply to what is online.
    fn cpu(&self) -> Cpu {
        let platform = &self.platform;
        let count = platform.processors.max(1);
        let topology = platform.sockets.zip(platform.cores).and_then(|(sockets, cores)| {
            let per_socket = cores / sockets.max(1);
            let threads = count / cores.max(1);
            let is_even = sockets.checked_mul(per_socket)?.checked_mul(threads)? == count;
            is_even.then_some(Topology { sockets, cores: per_socket, threads })
        });
        Cpu { count, topology }
    }
}

fn architecture(name: &str) -> Architecture {
    match name {
        "aarch64" => Architecture::Arm64,
        "i386" | "i486" | "i586" | "i686" => Architecture::I386,
        _ => Architecture::X86_64,
    }
}

fn of_disk(order: usize, disk: &PhysicalDisk, image: &str, boot: bool) -> Disk {
    let id = disk.path.trim_start_matches("/dev/").replace('/', "-");
    Disk {
        id,
        source: DiskSource::File(image.to_owned()),
        bus: match disk.bus.as_str() {
            "nvme" => Bus::Nvme,
            "virtio" => Bus::Virtio,
            "scsi" => Bus::Scsi,
            "sata" => Bus::Sata,
            "ide" => Bus::Ide,
            "usb" => Bus::Usb,
            "xen" => Bus::Xen,
            _ => Bus::Other,
        },
        order: u32::try_from(order).unwrap_or(u32::MAX),
        boot,
        size_bytes: disk.size.is_multiple_of(512).then_some(disk.size),
        device_name: Some(disk.path.clone()),
    }
}

fn nic(adapter: &Adapter) -> Nic {
    Nic {
        mac: adapter.mac.parse::<MacAddress>().ok(),
        network: adapter.master.clone(),
        model: adapter.driver.clone(),
        addresses: adapter.addresses.clone(),
    }
}
