//! Image formats that are recognised and not read: their makers keep the format to themselves, or they hold no disk.
//!
//! A person who has such a file gets told what it is and by which way the disk comes out of it, instead of a copy of
//! bytes that no guest boots from. Recognised by bytes where they are known, by the file's name where not; a raw disk
//! is never claimed by a name that says raw. `SPEC.md` tells where the bytes come from.

mod layout;
mod parse;

use format_core::Format;

/// Apple's disk images.
pub static DMG: Format = Format {
    name: "dmg",
    aliases: &["udif"],
    extensions: &["dmg"],
    description: "an Apple disk image (UDIF)",
    probe: parse::dmg,
    way_out: Some(
        "on a Mac, hdiutil convert -format UDTO makes a raw disk of it; elsewhere qemu-img convert -f dmg does",
    ),
    ..Format::NONE
};

/// Images of the emulator Bochs.
pub static BOCHS: Format = Format {
    name: "bochs",
    description: "a Bochs disk image (growing, undoable or volatile)",
    probe: parse::bochs,
    way_out: Some("make a flat image of it with bximage, which is a raw disk"),
    ..Format::NONE
};

/// Compressed loop images.
pub static CLOOP: Format = Format {
    name: "cloop",
    aliases: &["uzip"],
    extensions: &["cloop", "uzip"],
    description: "a compressed loop image (cloop, uzip)",
    probe: parse::cloop,
    way_out: Some("unpack it with extract_compressed_fs, or copy the device that it is attached as"),
    ..Format::NONE
};

/// Acronis' backups.
pub static TIB: Format = Format {
    name: "tib",
    aliases: &["acronis", "tibx"],
    extensions: &["tib", "tibx"],
    description: "an Acronis backup",
    probe: parse::tib,
    way_out: Some(
        "convert the backup to a virtual machine or a VHD in the Acronis product, or recover it to a disk and read that",
    ),
    ..Format::NONE
};

/// Veeam's backups.
pub static VBK: Format = Format {
    name: "vbk",
    aliases: &["veeam"],
    extensions: &["vbk", "vib", "vrb"],
    description: "a Veeam backup",
    probe: parse::vbk,
    way_out: Some(
        "take the disks out with Veeam's free extract utility, or export them as VMDK, VHD or VHDX in the Veeam console",
    ),
    ..Format::NONE
};

/// Actiphy's backups.
pub static AIV: Format = Format {
    name: "aiv",
    aliases: &["activeimage"],
    extensions: &["aiv"],
    description: "an ActiveImage Protector backup",
    way_out: Some(
        "convert it to a virtual disk with ActiveImage Protector, or mount it there and read the disk",
    ),
    ..Format::NONE
};

/// ShadowProtect's backups.
pub static SPF: Format = Format {
    name: "spf",
    aliases: &["shadowprotect"],
    extensions: &["spf", "spi"],
    description: "a ShadowProtect backup",
    way_out: Some("convert it to VHD or VMDK with ShadowProtect's image conversion tool"),
    ..Format::NONE
};

/// Macrium's backups up to Reflect 8.
pub static MRIMG: Format = Format {
    name: "mrimg",
    aliases: &["macrium"],
    extensions: &["mrimg", "mrbak"],
    description: "a Macrium Reflect backup",
    probe: parse::mrimg,
    way_out: Some("convert it to VHDX in Macrium Reflect"),
    ..Format::NONE
};

/// Ghost's images.
pub static GHO: Format = Format {
    name: "gho",
    aliases: &["ghost"],
    extensions: &["gho", "ghs"],
    description: "a Ghost image",
    probe: parse::gho,
    way_out: Some("restore it with Ghost to a disk or a virtual disk, and read that"),
    ..Format::NONE
};

/// Windows images: files, no disk.
pub static WIM: Format = Format {
    name: "wim",
    aliases: &["esd"],
    extensions: &["wim", "esd", "swm"],
    description: "a Windows image (WIM), which holds files and no disk",
    probe: parse::wim,
    way_out: Some("apply it to a disk with DISM or wimlib-imagex, and read that"),
    ..Format::NONE
};

/// bup's repositories: Git packs of pieces of files.
pub static BUP: Format = Format {
    name: "bup",
    description: "a bup repository",
    probe_folder: parse::bup,
    way_out: Some(
        "bup join takes a file out of it: bup -d REPOSITORY join BRANCH | rehome convert -f raw - TARGET, or bup restore",
    ),
    ..Format::NONE
};

/// Repositories of Borg 2, which are another format than those of Borg 1.
pub static BORG2: Format = Format {
    name: "borg2",
    description: "a repository of Borg 2",
    probe_folder: parse::borg2,
    way_out: Some(
        "borg2 extract --stdout takes a file out of it: borg2 extract --stdout ARCHIVE FILE | rehome convert - TARGET",
    ),
    ..Format::NONE
};
