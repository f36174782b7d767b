//! What can be typed. Only clap here: no defaults from the environment, no decisions.

mod images;
mod proof;
mod rescue;
mod speed;

pub(crate) use images::*;
pub(crate) use proof::*;
pub(crate) use rescue::*;
pub(crate) use speed::*;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Moves a machine's disks to another hypervisor, makes the guest boot there, and proves what it did.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 110, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// How results are printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t = OutputKind::Human, help_heading = "Output and speed")]
    pub(crate) output: OutputKind,
    /// How progress is shown on stderr; `auto` is a bar on a terminal and nothing elsewhere.
    #[arg(long, global = true, value_enum, default_value_t = ProgressKind::Auto, help_heading = "Output and speed")]
    pub(crate) progress: ProgressKind,
    /// Worker threads; one more than there are cores by default.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64), help_heading = "Output and speed")]
    pub(crate) threads: Option<u8>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  rehome inspect server.vmdk                            what is in it, and where could it go
  rehome inspect root.vmdk data.vmdk                    a machine with several disks, the boot disk first
  rehome migrate server.vmdk --to hyperv --dry-run --out vm
  rehome migrate server.vmdk --to hyperv --machine ec2.json --out vm
  rehome convert disk.vmdk disk.qcow2                   copy only, no changes to the guest
  rehome info disk.vmdk                                 format, sizes, parents
  rehome check disk.qcow2                               is its structure whole
  rehome verify vm/server.vhdx                          does it still hold what its manifest says

Exit codes:
   0  done                            70  a bug in rehome
   1  a difference, or data lost      73  destination missing or exists
   2  wrong usage                     74  I/O error
  65  corrupt, or proof failed        75  try again later
  66  source missing                  77  denied
  69  not supported                   78  needs a person";

const AFTER_MIGRATE: &str = "\
What happens:
  The guest's file systems are opened on an overlay in memory; the plan lists every edit with its reason.
  If something cannot be mended, nothing is written and the exit code is 78.
  Otherwise DIR gets, for a machine called web:
    web.vhdx                  the disk, read back and compared with the source
    web.vhdx.rehome.json      its manifest; 'rehome verify DIR/web.vhdx' checks it at any time
    web.ps1                   makes the machine on the Hyper-V host; try it with -WhatIf. Other platforms have their
                              own: web.xml for libvirt, web.ovf for VMware, a script for Proxmox, VirtualBox, clouds
    web.report.json           what was found, planned, done and proven
    web.undo                  the originals of all files that were changed in the guest
  While it runs, or when it was interrupted, DIR also holds web.unfinished: the same command starts again.

Examples:
  rehome migrate root.vmdk --to hyperv --dry-run --out vm
  rehome migrate root.vmdk data.vmdk --to hyperv --machine instance.json --machine volumes.json --out vm
  rehome migrate web.vmdk --machine web.vmx --to proxmox --out vm
  rehome migrate domu.img --to kvm --wrap --out vm      a disk of a Xen PV guest, which has no partition table
  rehome migrate web.vhdx --to kvm --firmware uefi --disk-bus virtio-scsi --out vm
  rehome migrate web.vmdk --machine ec2.json --to hyperv --network-map subnet-1=LAN --network-map '*=DMZ' --out vm
  rehome migrate web.vmdk --machine web.vmx --to kvm --mac 00:50:56:01:02:03=52:54:00:aa:bb:cc --out vm";

const AFTER_CONVERT: &str = "\
Examples:
  rehome convert disk.vmdk disk.vhdx                    the target's name says its format
  rehome convert disk.raw disk.vmdk -o subformat=streamOptimized --verify
  rehome convert disk.qcow2 disk.vhd -o azure=on        as Azure takes it
  rehome convert disk.qcow2 old.raw -l before-upgrade   an internal snapshot
  rehome convert disk.vhdx /dev/sdX -n --overwrite-device
  rehome convert disk.vmdk disk.vhdx --sync             again, after a test: only what differs is rewritten
  ssh host cat /dev/sda | rehome convert -f raw - disk.qcow2
  rehome convert disk.vmdk disk.qcow2 --also sha256     as sha256sum would give for the raw disk
  rehome convert a.vmdk b.vmdk --out vm -O vhdx         several at once: vm/a.vhdx, vm/b.vhdx
  rehome convert disk.vmdk - --tar disk.raw | ssh host tar -x
  rehome convert /dev/sdX disk.qcow2 --on-read-error retry=3 --mapfile disk.map
  rehome convert rescue.img disk.qcow2 --source-mapfile rescue.map

A copy that was interrupted (a signal, a full disk, an I/O error, a power cut) leaves NAME.partial and its journal: the
same command goes on where it stopped, or says why it starts over. A copy of a few seconds, a copy from or to a pipe,
and one from or onto a device always start over; --restart makes any other do so.
Beside the target lies its manifest afterwards: 'rehome verify disk.vhdx' checks the image at any time.

Disks that fail: a range that cannot be read is tried in smaller pieces down to a sector; the
kernel itself reads devices in pages, mostly 4 KiB. Where 128 sectors in a row are bad, growing
runs are passed over ('*' in the mapfile). A device that answers nowhere any more ends the run
with 74. A second run with the same mapfile reads only what is missing from the source, and puts
it together with the first target: into a new file that replaces it, or in place on a device.";

const AFTER_DELTA: &str = "\
-f and -l are about TOP, -F is about BASE. The target names BASE as its parent: keep BASE, and keep it unchanged.

Examples:
  rehome delta monday.qcow2 tuesday.qcow2 change.qcow2 --verify
  rehome delta base.vhdx now.vmdk change.avhdx          TOP can have any format
  rehome delta disk.raw disk.qcow2 old.qcow2 -l before  TOP as it was in a snapshot";

const AFTER_CREATE: &str = "\
Examples:
  rehome create data.vhdx 40G
  rehome create data.vmdk 40G -o subformat=monolithicFlat
  rehome create work.qcow2 -b golden.qcow2              what is written later lies in work.qcow2 alone";

const AFTER_MEASURE: &str = "\
The sizes are exact and count every file of the image, holes included. The required size is that of this disk's
content, the fully allocated one that of a disk full of data.

Examples:
  rehome measure disk.vmdk -O qcow2 -o compressed
  rehome measure --size 2T -O vhdx";

const AFTER_CHECK: &str = "\
Errors are places where data is lost, shared or cannot be trusted; leaks are room in the file that nothing uses.
'rehome verify' checks the content against a manifest, this command the structure.

Example:
  rehome check broken.qcow2 --repair mended.qcow2";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show what is in a machine's disks: chain, partitions, guest, drivers, and how ready it is for each target.
    Inspect(InspectArgs),
    /// Copy an image into another format. The guest is not changed.
    #[command(after_help = AFTER_CONVERT)]
    Convert(ConvertArgs),
    /// Move a machine to another hypervisor: fix the guest on an overlay, copy, prove, define the machine.
    #[command(after_help = AFTER_MIGRATE)]
    Migrate(MigrateArgs),
    /// Put an image and all its parents together into one image.
    ///
    /// The same as convert, under the name that says what it is for.
    Flatten(ConvertArgs),
    /// Write only what differs between two images, as an image whose parent is the first.
    #[command(after_help = AFTER_DELTA)]
    Delta(DeltaArgs),
    /// Make an empty image, or one that reads like its base.
    #[command(after_help = AFTER_CREATE)]
    Create(CreateArgs),
    /// Show an image's format, sizes, snapshots and parents.
    Info(InfoArgs),
    /// List which ranges of the disk hold data, in which file and where.
    Map(MapArgs),
    /// Tell how large an image would become, without writing it.
    #[command(after_help = AFTER_MEASURE)]
    Measure(MeasureArgs),
    /// Check the structure of an image and its parents. Exit 0: whole, 1: errors or leaks.
    #[command(after_help = AFTER_CHECK)]
    Check(CheckArgs),
    /// Check an image against the manifest that was written with it. Exit 0: the same, 1: different.
    #[command(after_help = AFTER_VERIFY)]
    Verify(VerifyArgs),
    /// Compare two images byte by byte, as the guest sees them. Exit 0: the same, 1: different.
    Compare(CompareArgs),
    /// List where two images differ, or an image and a manifest, with partitions and files. Exit 0: the same, 1: different.
    #[command(after_help = AFTER_DIFF)]
    Diff(DiffArgs),
    /// Print the digest of the disk in an image: the same for every format of the same disk.
    #[command(after_help = AFTER_DIGEST)]
    Digest(DigestArgs),
    /// List the image formats and their options.
    Formats,
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

/// How an image is opened.
#[derive(Args, Clone, Debug)]
pub(crate) struct OpenArgs {
    /// Format of the source. Without it the bytes and the file name decide; raw disks are never guessed when the
    /// bytes look like something else.
    #[arg(short = 'f', long = "format", value_name = "FMT")]
    pub(crate) format: Option<String>,
    /// Read this internal snapshot instead of the current state, by its name or id.
    #[arg(short = 'l', long, value_name = "NAME")]
    pub(crate) snapshot: Option<String>,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
}

/// What an image may need besides its own file.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChainArgs {
    /// A folder outside the image's own in which parents and extent files of the image may lie. Repeatable.
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_parent: Vec<PathBuf>,
    /// A parent of the image, for formats that say which one it is but not where (VirtualBox). Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) parent: Vec<PathBuf>,
    /// Read the image without its parent: what it does not hold itself becomes zeros. For looking at what is left when a
    /// parent is lost; the result is not the guest's disk.
    #[arg(long, conflicts_with = "parent")]
    pub(crate) ignore_parent: bool,
    /// The file with the passphrase of an encrypted image, every byte of it: no newline at its end.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read an image although the checksum of a header is wrong.
    #[arg(long)]
    pub(crate) ignore_checksum: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The images of the machine's disks, the boot disk first: volume groups and arrays may lie on several.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

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
    /// virtio-blk, virtio-scsi, sata for kubevirt; pvscsi, lsilogic, nvme, sata for vmware.
    #[arg(long, value_name = "BUS")]
    pub(crate) disk_bus: Option<String>,
    /// How a machine of Xen runs: hvm with emulated hardware and firmware, pvh without: GRUB of the host reads the menu on
    /// the guest's disk. Only with --to xen.
    #[arg(long, value_enum)]
    pub(crate) xen_type: Option<XenKind>,
    /// How the machine is described, where the platform takes several: ovf (imported by ESXi and Workstation) or vmx (keeps
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
    /// (`eth0=192.0.2.10/24,192.0.2.1,192.0.2.53`). Repeatable.
    #[arg(long, value_name = "IFACE=ADDR/LEN[,GW[,DNS...]]")]
    pub(crate) static_ip: Vec<driver_core::StaticAddress>,
    /// Keep an MTU that only the source's network has (EC2's 9001).
    #[arg(long)]
    pub(crate) keep_mtu: bool,
    /// Make the guest a machine of its own: a copy that will run beside the source.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) regenerate: Vec<IdentityKind>,
    /// Have the guest rebuild its initramfs once, with its own tools, at its first boot there.
    #[arg(long)]
    pub(crate) rebuild_initramfs: bool,
    /// Print the plan with reasons and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Replace files of an earlier run.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) speed: SpeedArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputKind {
    /// Tables and sentences.
    Human,
    /// One JSON document.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A bar on a terminal, nothing elsewhere.
    Auto,
    /// A bar.
    Bar,
    /// One JSON object a line.
    Json,
    /// Nothing.
    None,
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
