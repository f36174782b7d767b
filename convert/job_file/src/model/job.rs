//! What can be said of a job; `[defaults]` says it for all. Fields are called like the options of `rehome migrate` and `rehome convert`.

use super::batch::{Destination, Isolate};
use super::values::{Pairs, Paths, Size, Words};
use super::words::{Editor, Firmware, Hash, Identity, Kind, Platform, XenType};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// A job, or what all jobs have in common.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Job {
    // What it is.
    /// Its name in states and reports: letters, digits, dots, dashes and underlines, at most 64. By default made from the source's name.
    #[schemars(length(min = 1, max = 64))]
    pub id: Option<String>,
    /// A line for people.
    pub title: Option<String>,
    /// What it does: migrate where `to` says a platform, else convert.
    pub kind: Option<Kind>,
    /// The images of the machine's disks or its backup, the boot disk first; paths, or addresses (ssh://HOST/dev/DISK, nbd://, s3://, …).
    pub source: Paths,
    /// Where results go, relative to the batch's output; by default a folder named like the job.
    pub output: Option<PathBuf>,

    // When it runs.
    /// Jobs of a lower wave come first.
    #[schemars(range(max = 100_000))]
    pub wave: Option<u32>,
    /// Within a wave, jobs of a higher priority come first.
    pub priority: Option<i32>,
    /// Jobs of the same source group share what max_per_source allows; by default those with a source in the same folder.
    pub source_group: Option<String>,
    /// Jobs of the same target group share what max_per_target allows; by default those that write into the same folder.
    pub target_group: Option<String>,
    /// Seconds after which an attempt at the job is asked to stop at a checkpoint; the next attempt goes on from there.
    #[schemars(range(min = 1))]
    pub timeout: Option<u32>,
    /// In place of the batch's.
    pub isolate: Option<Isolate>,
    /// In place of the batch's.
    pub destination: Option<Destination>,

    // How the source is read.
    /// Format of the source.
    pub format: Option<String>,
    /// The internal snapshot to read.
    pub snapshot: Option<String>,
    /// Of a backup with several disks, this one.
    pub pick: Option<String>,
    /// Of a backup with several points in time, this one.
    pub at: Option<String>,
    /// Parents of the image, where it does not say where they are.
    pub parent: Paths,
    /// Folders in which parents may lie.
    pub allow_parent: Paths,
    /// Files with passphrases or keys.
    pub key_file: Paths,
    /// Read an image although the checksum of a header is wrong.
    pub ignore_checksum: Option<bool>,
    /// Unpack zstd files with large windows.
    pub long_window: Option<bool>,
    /// The folder for temporary files.
    pub spool: Option<PathBuf>,

    // How an address is reached.
    /// Configuration of ssh in the place of the user's own.
    pub ssh_config: Option<PathBuf>,
    /// Options of ssh, as 'ssh -o' takes them.
    pub ssh_option: Words,
    /// Become root at the other machine by 'sudo -n'.
    pub sudo: Option<bool>,
    /// Do not move what the file systems of a disk over SSH say is free.
    pub skip_free: Option<bool>,
    /// The file with the secret for an address (--credentials).
    pub credentials_file: Option<PathBuf>,
    /// Certificates of authorities that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Speak plain http with other hosts.
    pub insecure_http: Option<bool>,

    // migrate: the machine.
    /// The hypervisor to move to.
    pub to: Option<Platform>,
    /// Files that say what the machine is.
    pub machine: Paths,
    /// Which instance of the machine files is meant.
    pub instance: Option<String>,
    /// How the machine starts.
    pub firmware: Option<Firmware>,
    /// The generation of Hyper-V, in place of the firmware.
    #[schemars(range(min = 1, max = 2))]
    pub generation: Option<u8>,
    /// The controller of the disks.
    pub disk_bus: Option<String>,
    /// How a machine of Xen runs.
    pub xen_type: Option<XenType>,
    /// How the machine is described.
    pub definition: Option<String>,
    /// Put a boot disk without a partition table behind one.
    pub wrap: Option<bool>,
    /// Networks of the source and of the target.
    pub network_map: Pairs,
    /// Hardware addresses: keep, new, or SOURCE=TARGET.
    pub mac: Words,
    /// Addresses of interfaces: IFACE=ADDR/LEN[,GATEWAY[,DNS...]].
    pub static_ip: Words,
    /// Keep an MTU that only the source's network has.
    pub keep_mtu: Option<bool>,

    // migrate: the guest.
    /// What the guest gets anew.
    pub regenerate: Vec<Identity>,
    /// Kernel modules that the initramfs shall hold besides.
    pub add_module: Words,
    /// Have the guest's own tools rebuild its initramfs.
    pub rebuild_initramfs: Option<bool>,
    /// Have the guest's own tools write the boot menu.
    pub rebuild_menu: Option<bool>,
    /// Give free space in the guest's file systems back.
    pub trim: Option<bool>,
    /// Who edits the guest.
    pub editor: Option<Editor>,
    /// The kernel of the micro-VM.
    pub kernel: Option<PathBuf>,
    /// The modules of that kernel.
    pub kernel_modules: Option<PathBuf>,
    /// Drivers for Windows guests.
    pub virtio_win: Option<PathBuf>,
    /// Give up a hibernated Windows.
    pub discard_hibernation: Option<bool>,
    /// Boot the written images in QEMU at the end.
    pub boot_test: Option<bool>,
    /// With boot_test: the guest's memory in MiB.
    #[schemars(range(min = 64))]
    pub boot_test_memory: Option<u32>,
    /// With boot_test: how long it may take, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub boot_test_timeout: Option<u32>,

    // convert: the image.
    /// Format of the target; by default what `target` says.
    pub target_format: Option<String>,
    /// The file's name in the output folder; by default the job's with the extension of the format.
    pub target: Option<String>,
    /// Options of the target format.
    pub options: Pairs,
    /// Another size of the disk.
    pub size: Option<Size>,
    /// Read the target back and compare.
    pub verify: Option<bool>,
    /// Hashes of the whole disk.
    pub also: Vec<Hash>,
    /// What to do where the source cannot be read: fail, zero, retry=N.
    pub on_read_error: Option<String>,
    /// Which ranges were read.
    pub mapfile: Option<PathBuf>,
    /// The mapfile of the source, which ddrescue wrote.
    pub source_mapfile: Option<PathBuf>,

    // Both.
    /// Replace what an earlier run wrote.
    pub force: Option<bool>,
    /// Worker threads.
    #[schemars(range(min = 1, max = 64))]
    pub threads: Option<u8>,
    /// Data to read a second.
    pub rate_limit: Option<Size>,
    /// Memory for the copy.
    pub max_memory: Option<Size>,
    /// The folder for a chain of custody.
    pub evidence: Option<PathBuf>,
}
