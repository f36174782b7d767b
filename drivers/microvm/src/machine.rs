//! The command line of qemu.

use crate::host::program;
use format_core::{Error, ErrorKind, Result};
use serde_json::json;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk that is served over NBD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskAddress {
    /// The server's unix socket.
    pub socket: PathBuf,
    /// Name of the export.
    pub export: String,
    /// Whether it must not be written.
    pub read_only: bool,
}

/// Memory in MiB.
const MEMORY: &str = "512M";
/// Slots of the bus for disks, eight to a slot; those below are the machine's own.
const FIRST_SLOT: usize = 8;
const SLOTS: usize = 23;
/// Disks at most.
const MAX_DISKS: usize = SLOTS * 8;

/// Whatever costs time and is for nothing here is turned off. A kernel in trouble ends, and with it qemu.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 oops=panic reboot=t nokaslr mitigations=off tsc=reliable \
     no_timer_check random.trust_cpu=on cryptomgr.notests 8250.nr_uarts=1 selinux=0 apparmor=0 audit=0 nowatchdog";

/// How the processor is made this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    Kvm,
    Emulated,
}

/// Files and sockets of a VM.
pub(crate) struct Paths {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) channel: PathBuf,
    pub(crate) console: PathBuf,
}

/// qemu with its arguments. It runs in a session of its own and dies with the thread that starts it, where the machine has the two
/// programs that see to that (util-linux).
pub(crate) fn command(
    qemu: &Path,
    processor: Processor,
    paths: &Paths,
    disks: &[DiskAddress],
    sandbox: bool,
) -> Result<Command> {
    let mut command = wrapped(qemu);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-monitor", "none"]);
    command.args(["-name", "rehome", "-m", MEMORY, "-smp", "1", "-nic", "none"]);
    if sandbox {
        let allowed = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
        command.args(["-sandbox", allowed]);
    }
    match processor {
        Processor::Kvm => command.args(["-accel", "kvm", "-cpu", "host"]),
        Processor::Emulated => command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]),
    };
    command.args(["-machine", "q35,usb=off,vmport=off,hpet=off,smbus=off,sata=off"]);
    command.arg("-kernel").arg(&paths.kernel).arg("-initrd").arg(&paths.initrd);
    command.args(["-append", KERNEL_ARGUMENTS]);
    command.arg("-chardev").arg(socket("console", &paths.console)?);
    command.args(["-serial", "chardev:console"]);
    command.arg("-chardev").arg(socket("channel", &paths.channel)?);
    command.args(["-device", "virtio-serial-pci,max_ports=2"]);
    command.args(["-device", &format!("virtserialport,chardev=channel,name={}", microvm_init::PORT)]);
    add_disks(&mut command, disks)?;
    Ok(command)
}

fn wrapped(qemu: &Path) -> Command {
    match (program("setsid"), program("setpriv")) {
        (Some(setsid), Some(setpriv)) => {
            let mut command = Command::new(setsid);
            command.arg(setpriv).args(["--pdeathsig", "KILL", "--"]).arg(qemu);
            command
        }
        _ => Command::new(qemu),
    }
}

fn socket(id: &str, path: &Path) -> Result<OsString> {
    let path = path.to_str().ok_or_else(|| Error::usage("the folder for temporary files is no UTF-8"))?;
    // A comma ends a value, two are one.
    Ok(format!("socket,id={id},path={}", path.replace(',', ",,")).into())
}

fn add_disks(command: &mut Command, disks: &[DiskAddress]) -> Result<()> {
    if disks.len() > MAX_DISKS {
        let text = format!("the micro-VM takes at most {MAX_DISKS} disks, the guest has {}", disks.len());
        return Err(Error::new(ErrorKind::Limit, text));
    }
    for (number, disk) in disks.iter().enumerate() {
        let path = disk.socket.to_str().ok_or_else(|| Error::usage("the path of a socket is no UTF-8"))?;
        let backend = json!({
            "driver": "nbd",
            "node-name": format!("disk{number}"),
            "server": { "type": "unix", "path": path },
            "export": disk.export,
            "read-only": disk.read_only,
            "discard": "unmap",
            "detect-zeroes": "off",
            // What is written is in the overlay at once; there is nothing to make durable.
            "cache": { "direct": false, "no-flush": true },
        });
        command.arg("-blockdev").arg(backend.to_string());
        let (slot, function) = (FIRST_SLOT + number / 8, number % 8);
        let serial = microvm_init::SERIAL;
        // An error is the kernel's to see. By itself qemu stops a VM whose disk has no room, and nobody would start it again.
        command.arg("-device").arg(format!(
            "virtio-blk-pci,drive=disk{number},serial={serial}{number},num-queues=1,werror=report,rerror=report,\
             addr={slot:#x}.{function},multifunction=on"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_comma_does_not_end_there() {
        assert_eq!(socket("x", Path::new("/a,b/c")).unwrap(), "socket,id=x,path=/a,,b/c");
    }

    #[test]
    fn too_many_disks_are_refused() {
        let disk = DiskAddress { socket: "/x".into(), export: String::new(), read_only: true };
        let mut command = Command::new("qemu");
        assert!(add_disks(&mut command, &vec![disk.clone(); MAX_DISKS]).is_ok());
        let error = add_disks(&mut command, &vec![disk; MAX_DISKS + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
