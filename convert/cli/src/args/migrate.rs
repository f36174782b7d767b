//! Arguments of `rehome migrate`.

use super::{BootTestWish, EditorArgs, OpenArgs, SpeedArgs};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The images of the machine's disks, the boot disk first; they are opened read-only.
    #[arg(required = true)]
    pub(crate) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// The hypervisor to move to.
    #[arg(long, value_enum)]
    pub(crate) to: Platform,
    /// How the machine starts; auto takes UEFI where the guest can.
    #[arg(long, value_enum, default_value_t = FirmwareKind::Auto)]
    pub(crate) firmware: FirmwareKind,
    /// The same as Hyper-V and Azure call it: generation 1 starts by BIOS, 2 by UEFI.
    #[arg(long, value_enum, conflicts_with = "firmware")]
    pub(crate) generation: Option<GenerationKind>,
    /// The controller of the disks, where the platform offers several: virtio-blk, virtio-scsi, sata, ide for kvm;
    /// virtio-blk, virtio-scsi, sata for kubevirt; virtio-scsi, sata, ide for proxmox; pvscsi, lsisas, lsilogic, nvme, sata for
    /// vmware. Without it a Linux guest gets the first, Windows the first that it has a driver for.
    #[arg(long, value_name = "BUS")]
    pub(crate) disk_bus: Option<String>,
    /// How a machine of Xen runs: hvm with emulated hardware and firmware, pvh without: GRUB of the host reads the menu on
    /// the guest's disk. Only with --to xen.
    #[arg(long, value_enum)]
    pub(crate) xen_type: Option<XenKind>,
    /// How the machine is described, where the platform takes several: ovf (imported by ESXi and Workstation), ova (the same in one file) or vmx (keeps
    /// hardware addresses; disks for Workstation and Fusion, for ESXi after vmkfstools -i) for vmware.
    #[arg(long, value_name = "KIND")]
    pub(crate) definition: Option<String>,
    /// Put a boot disk that is one file system without a partition table (Xen's PV guests) behind an MBR, as partition 1 from
    /// 1 MiB on. It gets no boot loader: the next step says how to install one.
    #[arg(long)]
    pub(crate) wrap: bool,
    /// The folder for disks, manifests, script and report; it is created when only its last part is missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What the machine is: rehome's own JSON, what `aws ec2 describe-instances`, `describe-volumes` and
    /// `describe-images` printed, or the source's own definition (libvirt XML, VMX, OVF, Proxmox, xl). Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) machine: Vec<PathBuf>,
    /// Which instance of the machine files is meant, when they hold several.
    #[arg(long, value_name = "ID")]
    pub(crate) instance: Option<String>,
    /// A kernel module that the initramfs shall hold besides the target's own. Repeatable.
    #[arg(long, value_name = "NAME")]
    pub(crate) add_module: Vec<String>,
    /// Hardware addresses of the network adapters: keep (those of the source), new (the target chooses), or the
    /// address at the source and the one at the target (06:3f:9a:52:c4:1d=52:54:00:aa:bb:cc), several with commas
    /// between them; adapters that are not named keep theirs, or get new ones with new. Repeatable.
    #[arg(long, value_name = "keep|new|SRC=NEW", value_delimiter = ',', default_value = "keep")]
    pub(crate) mac: Vec<MacWish>,
    /// Connect the adapters that were in network SRC to the network, switch or bridge TARGET. SRC is its name in the
    /// machine's description, the hardware address of one adapter, or * for all others. libvirt also takes
    /// bridge:NAME, VirtualBox nat, bridged:NAME and so on, KubeVirt pod or a NetworkAttachmentDefinition, clouds the
    /// subnet. Repeatable.
    #[arg(long, value_name = "SRC=TARGET")]
    pub(crate) network_map: Vec<convert_migrate::NetworkPair>,
    /// Give an interface of the guest this address, gateway and name servers, in place of all that it has now, DHCP too
    /// (`eth0=192.0.2.10/24,192.0.2.1,192.0.2.53`). In Windows IFACE is the connection's name or the adapter's hardware address at
    /// the source. Repeatable.
    #[arg(long, value_name = "IFACE=ADDR/LEN[,GW[,DNS...]]")]
    pub(crate) static_ip: Vec<driver_core::StaticAddress>,
    /// Keep an MTU that only the source's network has (EC2's 9001).
    #[arg(long)]
    pub(crate) keep_mtu: bool,
    /// Make the guest a machine of its own: a copy that will run beside the source.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) regenerate: Vec<IdentityKind>,
    /// Have the guest's own tools rebuild its initramfs: in the micro-VM before the copy where that edits the guest (--editor
    /// microvm), else once at its first boot there.
    #[arg(long)]
    pub(crate) rebuild_initramfs: bool,
    /// Have the guest's own grub-mkconfig write the boot menu, in the micro-VM. Without it the menu that is there is edited.
    #[arg(long)]
    pub(crate) rebuild_menu: bool,
    /// Give free space in the guest's file systems back (fstrim, in the micro-VM), so that deleted blocks are not copied.
    #[arg(long)]
    pub(crate) trim: bool,
    #[command(flatten)]
    pub(crate) editor: EditorArgs,
    /// Drivers for a Windows guest that KVM's virtual disks and adapters need: the ISO image of the virtio-win drivers, or a
    /// folder with their contents. Those that fit the guest are put in; without them a Windows that has none gets SATA or IDE.
    #[arg(long, value_name = "ISO|DIR")]
    pub(crate) virtio_win: Option<PathBuf>,
    /// Give up a hibernated Windows (Fast Startup, too). What was open in it and not saved is lost, as with the power cut;
    /// better, run powercfg /h off in it and shut it down.
    #[arg(long)]
    pub(crate) discard_hibernation: bool,
    /// Write a file that says which Windows went where and what was done to it, for you to fill in after the first start and
    /// send to the project. It names neither the machine nor its addresses.
    #[arg(long, value_name = "FILE")]
    pub(crate) collect_feedback: Option<PathBuf>,
    /// Print the plan with reasons and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Replace files of an earlier run.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) boot: BootTestWish,
    #[command(flatten)]
    pub(crate) speed: SpeedArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    /// Microsoft Hyper-V: VHDX and a PowerShell script.
    Hyperv,
    /// KVM: qcow2 and libvirt XML.
    Kvm,
    /// Proxmox VE: qcow2 and a script of qm commands.
    Proxmox,
    /// VMware: streamOptimized VMDK and OVF, or monolithicSparse VMDK and VMX.
    Vmware,
    /// VirtualBox: VDI and a script of VBoxManage commands.
    Virtualbox,
    /// Xen: raw disks and a configuration of xl.
    Xen,
    /// KubeVirt: qcow2 and a manifest.
    #[value(name = "kubevirt")]
    KubeVirt,
    /// Microsoft Azure: fixed VHD and a script of az commands.
    Azure,
    /// Google Compute Engine: raw disks and a script of gcloud commands.
    Gcp,
    /// Amazon EC2: streamOptimized VMDK and a script of aws commands.
    Aws,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirmwareKind {
    /// What the guest can start on, UEFI first.
    Auto,
    /// BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GenerationKind {
    /// What the guest can start on, UEFI first.
    Auto,
    /// BIOS.
    #[value(name = "1")]
    One,
    /// UEFI.
    #[value(name = "2")]
    Two,
}

/// One word of `--mac`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MacWish {
    /// As they are, where the target's definition can say them.
    Keep,
    /// The target chooses.
    New,
    /// One adapter.
    Pair(convert_migrate::MacPair),
}

impl std::str::FromStr for MacWish {
    type Err = format_core::Error;

    fn from_str(text: &str) -> format_core::Result<Self> {
        match text {
            "keep" => Ok(Self::Keep),
            "new" => Ok(Self::New),
            pair => pair.parse().map(Self::Pair),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum XenKind {
    /// Emulated hardware, BIOS or UEFI.
    Hvm,
    /// Nothing emulated, no firmware.
    Pvh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IdentityKind {
    /// An empty /etc/machine-id, which is filled at the next boot.
    MachineId,
    /// No host keys; they are made at the next boot.
    SshHostKeys,
}
