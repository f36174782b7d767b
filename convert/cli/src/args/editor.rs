//! Arguments about who looks into a guest and edits it.

use clap::{Args, ValueEnum};
use convert_migrate::{Editor, EditorWish, Passphrase};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct EditorArgs {
    /// Who opens and edits a Linux guest: rehome itself (native: ext2/3/4, FAT, NTFS, XFS within the blocks that files have), or a
    /// small virtual machine with a kernel's own drivers (microvm: also btrfs, XFS without bounds, thin LVM, RAID 5 and 6; the
    /// guest's own programs can be run). auto takes the micro-VM only where it is needed, and says why. It needs
    /// qemu-system-x86_64 and a Linux kernel on this host, no root and no network.
    #[arg(long, value_enum, default_value_t = EditorKind::Auto)]
    pub(crate) editor: EditorKind,
    /// The kernel of the micro-VM, when it shall not be the newest in /boot (x86-64 with virtio drivers, as modules or built in).
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// The folder with the modules of that kernel, when it is not /lib/modules/VERSION.
    #[arg(long, value_name = "DIR")]
    pub(crate) kernel_modules: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EditorKind {
    /// rehome itself where it can, else the micro-VM.
    Auto,
    /// rehome itself.
    Native,
    /// The micro-VM.
    Microvm,
}

impl EditorArgs {
    /// As the stages want it.
    pub(crate) fn wish(&self, trim: bool, passphrases: Vec<Passphrase>) -> EditorWish {
        let editor = match self.editor {
            EditorKind::Auto => Editor::Auto,
            EditorKind::Native => Editor::Native,
            EditorKind::Microvm => Editor::MicroVm,
        };
        let (kernel, modules) = (self.kernel.clone(), self.kernel_modules.clone());
        EditorWish { editor, kernel, modules, trim, passphrases }
    }
}
