//! What can be typed. Only clap here: no defaults from the environment, no decisions.

mod agent;
mod batch;
mod batch_file;
mod batch_run;
mod boot_test;
mod capture;
mod chains;
mod cutover;
mod destination;
mod doctor;
mod editor;
mod images;
mod look;
mod migrate;
mod proof;
mod remote;
mod report;
mod rescue;
mod serve;
mod speed;

pub(crate) use agent::*;
pub(crate) use batch::*;
pub(crate) use batch_file::*;
pub(crate) use batch_run::*;
pub(crate) use boot_test::*;
pub(crate) use capture::*;
pub(crate) use chains::*;
pub(crate) use cutover::*;
pub(crate) use destination::*;
pub(crate) use doctor::*;
pub(crate) use editor::*;
pub(crate) use images::*;
pub(crate) use look::*;
pub(crate) use migrate::*;
pub(crate) use proof::*;
pub(crate) use remote::*;
pub(crate) use report::*;
pub(crate) use rescue::*;
pub(crate) use serve::*;
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
    /// Worker threads; one more than there are cores by default, and at least four.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64), help_heading = "Output and speed")]
    pub(crate) threads: Option<u8>,
    /// Take at most so much memory: by fewer workers where that helps, else the run ends with 69. A copy takes 256M at most without
    /// this. For 'batch run', which divides it among the jobs that run at once.
    #[arg(long, global = true, value_name = "SIZE", value_parser = size, help_heading = "Output and speed")]
    pub(crate) max_memory: Option<u64>,
    /// End with 69 when an image is not open, or the guest in it not looked through, after so many seconds; 0 waits for ever. The time
    /// in which a stream is unpacked into a temporary file does not count, nor does a micro-VM's.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 600,
        help_heading = "Output and speed"
    )]
    pub(crate) open_timeout: u32,
    /// Keep a chain of custody in DIR/evidence.jsonl: who ran what and when, SHA-256 and BLAKE3 of every byte of the sources before and
    /// after, of what was made, and files in the guest that hold memory. Each line names the one before by its hash; note the last
    /// one elsewhere. For convert, flatten, migrate, inspect, info, check and digest.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Output and speed")]
    pub(crate) evidence: Option<PathBuf>,
    /// With --evidence: a file that belongs to the case, such as a dump of memory (LiME, AVML, vmcore). Its hashes are kept. Repeatable.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "evidence",
        help_heading = "Output and speed"
    )]
    pub(crate) attach: Vec<PathBuf>,
    /// Let this run do whatever its user may. Without this, it is confined before it reads the first byte of an image: to the folders of the
    /// files that are named, without network, and to the system calls that it needs, as far as the kernel can do that ('rehome
    /// doctor' tells; --output json of convert and migrate says what it was). Where something that you may do is refused, report it.
    #[arg(long, global = true, help_heading = "Output and speed")]
    pub(crate) no_sandbox: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  rehome inspect server.vmdk                            what is in it, and where could it go
  rehome inspect root.vmdk data.vmdk                    a machine with several disks, the boot disk first
  rehome migrate server.vmdk --to hyperv --dry-run --out vm
  rehome migrate server.vmdk --to hyperv --machine ec2.json --out vm
  rehome boot-test vm/server.vhdx --target hyperv       does it start: booted in QEMU, unchanged
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
    web.boot-test             with --boot-test: what was seen when the images were booted in QEMU
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

const AFTER_SERVE: &str = "\
Prints a URI for each image, as JSON with --output json, and serves until SIGINT or SIGTERM; then the exit code is 0.
The socket is gone afterwards. A socket that a killed server left is replaced, any other file is not.
There is no TLS: from another host, forward the socket with ssh -L.

Examples:
  rehome serve disk.vmdk
  rehome serve disk.vhdx --listen unix:/run/user/1000/disk.sock
  rehome serve root.vmdk data.vmdk --overlay --listen tcp:127.0.0.1:10809
  rehome serve disk.qcow2 -l before-upgrade             as it was in a snapshot

With what is printed as URI:
  nbdinfo --map URI                                     which ranges hold data
  nbdcopy URI disk.raw
  qemu-img convert -f raw -O qcow2 URI disk.qcow2
  qemu-system-x86_64 -drive file=URI,format=raw         with --overlay: a guest that leaves no trace
  mkdir m; nbdfuse -r m/disk.raw URI                    a file that losetup, mount and fsck can read";

const AFTER_MOUNT: &str = "\
In DIR, until Ctrl-C, SIGTERM, umount DIR or fusermount3 -u DIR:
  disk.raw                  the disk as the image holds it; disk0.raw, disk1.raw where several are named
  partitions/1.raw          its partitions; partitions/0-1.raw where there are several disks, the first 0
  volumes/VG/LV.raw         logical volumes, and arrays: volumes/md0.raw
  fs/1, fs/VG/LV            the files in them, where rehome reads the file system
  guest                     the files as the installed system sees them, with what its fstab mounts
Nothing can be written and the image is not touched. Journals are replayed in memory: that is seen below fs and guest; disks,
partitions and volumes are what the image holds. Links are shown as they are: one to /etc leads to the /etc of this host.
Files have no times (1970), each hard link counts as a file, and devices are shown as sockets, which nobody can open.

Examples:
  mkdir m; rehome mount server.vmdk m
  rehome mount root.vhdx data.vhdx m                    a machine with several disks
  diff -r m/guest/etc /etc
  mount -o ro,loop,noload m/partitions/1.raw /mnt       file systems that rehome does not read, too";

const AFTER_LS: &str = "\
The path is one of the guest's own tree: its root file system with what its fstab mounts. Without an installed system the only file
system is taken; where there are several, name one with --partition or --volume. Windows: /Windows/System32, in any case.

Examples:
  rehome ls server.vmdk /etc
  rehome ls data.qcow2 --partition 2
  rehome ls root.vmdk --disk data.vmdk /srv             a machine with several disks
  rehome ls data.qcow2 --volume vg0/srv /www --output json";

const AFTER_CAT: &str = "\
The path is one of the guest's own tree, as for 'rehome ls'.

Examples:
  rehome cat server.vmdk /etc/fstab
  rehome cat server.vmdk /var/log/messages | grep error
  rehome cat data.qcow2 --partition 2 /backup.tar | tar -t";

const AFTER_CP_OUT: &str = "\
The path is one of the guest's own tree, as for 'rehome ls'. A file has the name NAME.partial until it is complete, and so has the
folder that is copied. Links are copied as links and never followed, permissions are kept without set-uid and set-gid, files get no
times of the guest, devices are left out with a warning. The exit code is 1 when something of the guest could not be read.

Examples:
  rehome cp-out server.vmdk /etc etc-of-server
  rehome cp-out server.vmdk /boot/vmlinuz-6.1.0-28-amd64 .
  rehome cp-out windows.vhdx /Windows/System32/config hives
  sudo rehome cp-out data.qcow2 --volume vg0/srv / srv --preserve";

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
    /// Copy the disks of a physical or running machine, here or over SSH, with a description of the machine; follow their changes.
    #[command(after_help = capture::AFTER_CAPTURE)]
    Capture(CaptureArgs),
    /// End a warm migration: fetch the last changes of a captured machine, and migrate it.
    #[command(after_help = cutover::AFTER_CUTOVER)]
    Cutover(CutoverArgs),
    /// What 'capture' starts at the other machine.
    #[command(hide = true)]
    Agent(AgentArgs),
    /// Boot a machine's disks in QEMU, unchanged, and tell whether the guest comes up. Exit 0: it did, 1: it did not, 78: nobody
    /// can tell.
    #[command(after_help = AFTER_BOOT_TEST)]
    BootTest(BootTestArgs),
    /// Move many machines: job files, their preflight, and what batch engines need.
    #[command(after_help = AFTER_BATCH)]
    Batch(BatchArgs),
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
    /// Show an image and all its parents, and what is wrong with them; or all the chains of a folder.
    #[command(after_help = AFTER_CHAIN)]
    Chain(ChainListArgs),
    /// Merge the oldest images of a chain, so that at most N restore points remain. Files are replaced and removed.
    #[command(after_help = AFTER_CONSOLIDATE)]
    Consolidate(ConsolidateArgs),
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
    /// Serve images as block devices to other programs (NBD), with all their parents; read-only, or on an overlay.
    #[command(after_help = AFTER_SERVE)]
    Serve(ServeArgs),
    /// Mount a machine's disks, their partitions and volumes, and the guest's files as a folder (FUSE), read-only.
    #[command(after_help = AFTER_MOUNT, override_usage = "rehome mount [OPTIONS] <IMAGE>... <DIR>")]
    Mount(MountArgs),
    /// List a folder of the guest.
    #[command(after_help = AFTER_LS)]
    Ls(LsArgs),
    /// Print a file of the guest.
    #[command(after_help = AFTER_CAT)]
    Cat(CatArgs),
    /// Copy files and folders out of the guest.
    #[command(after_help = AFTER_CP_OUT)]
    CpOut(CpOutArgs),
    /// Mark and check the folder that images go to; take its volume out of reach, and bring it back.
    #[command(after_help = destination::AFTER_DESTINATION)]
    Destination(DestinationArgs),
    /// Show, sign and check the reports of jobs and batches.
    #[command(after_help = report::AFTER_REPORT)]
    Report(ReportArgs),
    /// List the image formats and their options.
    Formats,
    /// Tell what this host can do, what rehome does without the rest, and how to get it; or which endpoints it reaches.
    #[command(after_help = AFTER_DOCTOR)]
    Doctor(DoctorArgs),
    /// Explain the code of an error or a warning: cause, next step, exit code.
    #[command(after_help = AFTER_EXPLAIN)]
    Explain(ExplainArgs),
    /// Pack what somebody needs to understand a failed run: logs, reports, headers of images; nothing of the guest, no secrets.
    #[command(after_help = AFTER_SUPPORT)]
    SupportBundle(SupportArgs),
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
    /// Read this internal snapshot instead of the current state, by its id or else its name; snapshot.id=ID and snapshot.name=NAME say which.
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
    /// The file with the passphrase of an encrypted image, every byte of it: no newline at its end; or with the key or passphrase of
    /// an encrypted volume (LUKS) in the guest, where a newline at its end is left out when it does not fit with it. Repeatable: an
    /// image takes the first, volumes any.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Vec<PathBuf>,
    /// Read an image although the checksum of a header is wrong.
    #[arg(long)]
    pub(crate) ignore_checksum: bool,
    /// Of a backup or archive with several disks, the one with this name or number, from 0.
    #[arg(long, value_name = "DISK")]
    pub(crate) pick: Option<String>,
    /// Of a backup with several points in time, this one: its number from 0, the oldest, its id or the beginning of that, or the newest
    /// until a time in UTC (2026-11-29, 2026-11-29T10:00). By default the newest.
    #[arg(long, value_name = "POINT")]
    pub(crate) at: Option<String>,
    /// Unpack zstd files that were made with a window of more than 128 MiB (zstd --long), which take up to 2 GiB of memory.
    #[arg(long)]
    pub(crate) long_window: bool,
    /// The folder for temporary files, which images need that can only be read from their start to their end. By default the
    /// target's, or the system's.
    #[arg(long, value_name = "DIR")]
    pub(crate) spool: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ssh: SshArgs,
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The images of the machine's disks, the boot disk first: volume groups and arrays may lie on several.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) editor: EditorArgs,
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
