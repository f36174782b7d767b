//! Machine descriptions that are no JSON: libvirt, Proxmox, Xen. What is read is written in every dialect of the family,
//! and what can be read again says the same.
#![no_main]

use driver_machine::{
    DefinitionOptions, DiskBus, DiskFile, Machine, MachineError, NicModel, Warning, kubevirt, libvirt, proxmox, xen,
};
use libfuzzer_sys::fuzz_target;

type Read = fn(&str) -> Result<(Machine, Vec<Warning>), MachineError>;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for read in [libvirt::machine_from_xml as Read, proxmox::machine_from_conf, xen::machine_from_cfg] {
        match read(text) {
            Ok((machine, warnings)) => {
                assert!(warnings.iter().all(|warning| !warning.message.chars().any(char::is_control)));
                let json = machine.to_json().expect("what was read can be written");
                assert_eq!(Machine::from_json(&json).expect("and read again"), machine);
                write(&machine);
            }
            Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
        }
    }
});

fn options(machine: &Machine, disk_bus: DiskBus, nic_model: NicModel) -> DefinitionOptions {
    let file = |index: usize, disk: &driver_machine::Disk| DiskFile {
        id: disk.id.clone(),
        file: format!("{index}.raw"),
        manifest: format!("{index}.raw.rehome.json"),
        format: "raw",
        size_bytes: 1 << 30,
    };
    DefinitionOptions {
        firmware: machine.firmware.kind,
        firmware_reason: "fuzzing".into(),
        secure_boot: false,
        disk_bus,
        nic_model,
        disks: machine.disks.iter().enumerate().map(|(index, disk)| file(index, disk)).collect(),
        adapters: Vec::new(),
        fixed_clock: None,
    }
}

fn write(machine: &Machine) {
    let virtio = options(machine, DiskBus::VirtioScsi, NicModel::Virtio);
    let _ = proxmox::definition(machine, &virtio);
    let _ = kubevirt::definition(machine, &virtio);
    if let Ok(made) = libvirt::definition(machine, &virtio, "/images") {
        let (again, _) = libvirt::machine_from_xml(&made.text).expect("what was written can be read");
        same(machine, &again, &made.machine_name);
        assert_eq!((again.cpu, again.tpm), (machine.cpu, machine.tpm));
    }
    let xen = options(machine, DiskBus::XenBlk, NicModel::Netfront);
    if let Ok(made) = xen::definition(machine, &xen, &xen::Guest::Hvm, "/images") {
        let (again, _) = xen::machine_from_cfg(&made.text).expect("what was written can be read");
        same(machine, &again, &made.machine_name);
        assert_eq!(again.cpu.count, machine.cpu.count);
    }
}

fn same(machine: &Machine, again: &Machine, name: &str) {
    assert_eq!(again.name, name.trim());
    assert_eq!((again.memory_mib, again.clock, again.uuid), (machine.memory_mib, machine.clock, machine.uuid));
    assert_eq!(again.firmware.kind, machine.firmware.kind);
    assert_eq!(again.disks.len(), machine.disks.len());
    let macs = |machine: &Machine| machine.nics.iter().map(|nic| nic.mac).collect::<Vec<_>>();
    assert_eq!(macs(again), macs(machine));
}
