//! Machine definitions: JSON documents divided by NUL bytes, VMX files and OVF envelopes. What was read can be written
//! as JSON, and by VMware's dialects so that the same machine is read again.
#![no_main]

use driver_machine::{DefinitionOptions, DiskBus, DiskFile, Machine, NicModel, ovf, read_documents, vmx};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let documents: Vec<&[u8]> = input.split(|&byte| byte == 0).take(4).collect();
    for documents in [documents.as_slice(), &[input]] {
        let Ok((machine, _)) = read_documents(documents, None) else { continue };
        let json = machine.to_json().expect("what was read can be written");
        assert_eq!(Machine::from_json(&json).expect("and read again"), machine);
        let name = driver_machine::hyperv::windows_name(&machine.name);
        assert_eq!(driver_machine::hyperv::windows_name(&name), name);
        write_and_read(&machine);
    }
});

fn write_and_read(machine: &Machine) {
    let options = DefinitionOptions {
        firmware: machine.firmware.kind,
        firmware_reason: String::new(),
        secure_boot: machine.firmware.secure_boot == Some(true),
        disk_bus: DiskBus::Sata,
        nic_model: NicModel::Vmxnet3,
        disks: (0..)
            .zip(&machine.disks)
            .map(|(number, disk): (u32, _)| DiskFile {
                id: disk.id.clone(),
                file: format!("{number}.vmdk"),
                manifest: format!("{number}.vmdk.rehome.json"),
                format: "vmdk",
                size_bytes: 1 << 20,
            })
            .collect(),
        adapters: Vec::new(),
        fixed_clock: None,
    };
    if let Ok(made) = vmx::definition(machine, &options) {
        let (again, _) = vmx::machine_from_vmx(made.text.as_bytes()).expect("our own VMX file is read");
        assert_eq!(again.name, machine.name);
        assert_eq!((again.firmware.kind, again.cpu.count), (machine.firmware.kind, machine.cpu.count));
        assert_eq!((again.disks.len(), again.nics.len()), (machine.disks.len(), machine.nics.len()));
    }
    if let Ok(made) = ovf::definition(machine, &options) {
        let (again, _) = ovf::machine_from_ovf(&made.text, None).expect("our own envelope is read");
        // Space around a text means nothing in an envelope.
        assert_eq!(again.name, machine.name.trim());
        assert_eq!((again.firmware.kind, again.cpu.count), (machine.firmware.kind, machine.cpu.count));
        assert_eq!((again.disks.len(), again.nics.len()), (machine.disks.len(), machine.nics.len()));
    }
}
