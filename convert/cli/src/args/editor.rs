//! Arguments about who looks into a guest and edits it.

use clap::{Args, ValueEnum};
use convert_migrate::{Editor, EditorWish, MAX_PASSPHRASE, Passphrase};
use format_core::{Error, Result};
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct EditorArgs {
    /// Who opens and edits a Linux guest: rehome itself (native: ext2/3/4, FAT, NTFS, XFS within the blocks that files have), or a
    /// small virtual machine with a kernel's own drivers (microvm: also btrfs, XFS without bounds, thin LVM, RAID 5 and 6; the
    /// guest's own programs can be run). auto takes the micro-VM only where it is needed, and says why. It needs
    /// qemu-system-x86_64 and a Linux kernel on this host, no root and no network.
    #[arg(long, value_enum, default_value_t = EditorKind::Auto)]
    pub(crate) editor: EditorKind,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    /// The kernel of the micro-VM, when it shall not be the newest in /boot (x86-64 with virtio drivers, as modules or built in).
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// The folder with the modules of that kernel, when it is not /lib/modules/VERSION.
    #[arg(long, value_name = "DIR")]
    pub(crate) kernel_modules: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct KeyArgs {
    /// A file with the key or the passphrase of an encrypted volume (LUKS), as cryptsetup takes it; a line break at its end is left
    /// out where it does not fit with it. The volume stays encrypted with the same keys. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Vec<PathBuf>,
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
    /// Reads the key files.
    pub(crate) fn wish(&self, trim: bool) -> Result<EditorWish> {
        let editor = match self.editor {
            EditorKind::Auto => Editor::Auto,
            EditorKind::Native => Editor::Native,
            EditorKind::Microvm => Editor::MicroVm,
        };
        let passphrases = self.keys.read()?;
        let (kernel, modules) = (self.kernel.clone(), self.kernel_modules.clone());
        Ok(EditorWish { editor, kernel, modules, trim, passphrases })
    }
}

impl KeyArgs {
    /// Reads the files: each as a key, and as a passphrase when it ends a line.
    pub(crate) fn read(&self) -> Result<Vec<Passphrase>> {
        let mut passphrases = Vec::new();
        for path in &self.key_file {
            let key = read_key(path)?;
            let ends_a_line = key.ends_with(b"\n");
            passphrases.push(Passphrase::from_key_file(key.clone())?);
            passphrases.extend(ends_a_line.then(|| Passphrase::from_text(key)).transpose()?);
        }
        Ok(passphrases)
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io(format!("cannot read the key file {}", path.display()), e);
    let mut key = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_PASSPHRASE as u64 + 1).read_to_end(&mut key).map_err(failed)?;
    if key.is_empty() {
        return Err(Error::usage(format!("the key file {} is empty", path.display())));
    }
    Ok(key)
}
