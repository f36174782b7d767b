//! Where boot loaders keep what they start.
//!
//! Sources: GRUB manual; Debian's extlinux package (`extlinux-update` writes linux.cfg, which extlinux.conf includes);
//! Alpine's `update-extlinux` (/boot/extlinux.conf, because `extlinux --install /boot`); Arch's syslinux package
//! (/boot/syslinux/syslinux.cfg); Syslinux wiki, "Config" (where it is looked for); up to RHEL 8 the whole menu of a UEFI system lies
//! on the EFI system partition.

use crate::inspect::{kind_of, text};
use driver_core::{FileKind, GuestTree};
use format_core::Result;

/// GRUB 2's menus.
pub(crate) const GRUB2: [&str; 2] = ["/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"];
/// GRUB legacy's.
pub(crate) const GRUB1: [&str; 2] = ["/boot/grub/menu.lst", "/boot/grub/grub.conf"];
/// Those of extlinux and syslinux, and what each is.
pub(crate) const SYSLINUX: [(&str, &str); 7] = [
    ("/boot/extlinux/extlinux.conf", "extlinux"),
    ("/boot/extlinux.conf", "extlinux"),
    ("/boot/syslinux/extlinux.conf", "extlinux"),
    ("/boot/syslinux/syslinux.cfg", "syslinux"),
    ("/boot/syslinux.cfg", "syslinux"),
    ("/boot/efi/EFI/syslinux/syslinux.cfg", "syslinux"),
    ("/boot/EFI/syslinux/syslinux.cfg", "syslinux"),
];
/// Folders whose files these include.
pub(crate) const SYSLINUX_FOLDERS: [&str; 2] = ["/boot/extlinux", "/boot/syslinux"];
/// Where EFI system partitions are mounted.
pub(crate) const ESPS: [&str; 3] = ["/boot/efi", "/efi", "/boot"];
/// Settings of systemd-boot.
const SYSTEMD_BOOT: [&str; 3] =
    ["/boot/efi/loader/loader.conf", "/boot/loader/loader.conf", "/efi/loader/loader.conf"];

/// A file that describes a menu.
pub(crate) struct MenuFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The first of `paths` that is there.
pub(crate) fn first_text<'a>(
    tree: &GuestTree,
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<Option<MenuFile>> {
    for path in paths {
        if let Some(text) = text(tree, path)? {
            return Ok(Some(MenuFile { path: path.to_owned(), text }));
        }
    }
    Ok(None)
}

/// What a menu of GRUB 2 reads besides: for each `configfile` and `source` the places where the file may be, none where only GRUB
/// knows. `folder` is where the menu lies, which is `$prefix`.
pub(crate) fn included(text: &str, folder: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split([' ', '\t', ';']).filter(|word| !word.is_empty());
        if !matches!(words.next(), Some("configfile" | "source" | ".")) {
            continue;
        }
        let Some(word) = words.next() else { continue };
        let mut path = word.trim_matches(['"', '\'']).replace(['"', '\''], "");
        for name in ["${prefix}", "$prefix", "${config_directory}", "$config_directory"] {
            path = path.replace(name, folder);
        }
        // `($root)/grub/x.cfg`, `(hd0,1)/grub/x.cfg`
        if let Some((_, rest)) = path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            path = rest.to_owned();
        }
        let is_plain =
            path.starts_with('/') && !path.contains('$') && !path.split('/').any(|part| part == "..");
        found.push(if is_plain { vec![path.clone(), format!("/boot{path}")] } else { Vec::new() });
        if found.len() == MAX_INCLUDED {
            break;
        }
    }
    found
}

/// GRUB 2's menu: the one in /boot, else a whole one on the EFI system partition, where most are stubs.
pub(crate) fn grub2_menu(tree: &GuestTree) -> Result<Option<MenuFile>> {
    if let Some(found) = first_text(tree, GRUB2)? {
        return Ok(Some(found));
    }
    for esp in ESPS {
        for vendor in tree.read_dir(&format!("{esp}/EFI")).unwrap_or_default() {
            let path = format!("{esp}/EFI/{}/grub.cfg", vendor.name);
            let whole = |text: &String| {
                text.lines().any(|line| line.starts_with("menuentry ") || line.trim() == "blscfg")
            };
            if let Some(text) = text(tree, &path)?.filter(whole) {
                return Ok(Some(MenuFile { path, text }));
            }
        }
    }
    Ok(None)
}

/// No menu includes more files.
pub(crate) const MAX_INCLUDED: usize = 8;

/// No loader is larger.
const LOADER_LIMIT: u64 = 16 << 20;

/// Whether systemd-boot is what UEFI starts, whatever GRUB left behind: it is on the EFI system partition with its settings, and
/// GRUB is not, neither by its name nor as the loader that is started without a boot entry.
pub(crate) fn is_systemd_boot(tree: &GuestTree) -> Result<bool> {
    for path in SYSTEMD_BOOT {
        if kind_of(tree, path)? != Some(FileKind::File) {
            continue;
        }
        let esp = path.strip_suffix("/loader/loader.conf").unwrap_or(path);
        let (mut systemd, mut grub) = (false, false);
        for folder in tree.read_dir(&format!("{esp}/EFI")).unwrap_or_default() {
            for file in tree.read_dir(&format!("{esp}/EFI/{}", folder.name)).unwrap_or_default() {
                let name = file.name.to_ascii_lowercase();
                systemd |= name.starts_with("systemd-boot") && name.ends_with(".efi");
                grub |= name.starts_with("grub") && name.ends_with(".efi");
                if name.starts_with("boot") && name.ends_with(".efi") {
                    let path = format!("{esp}/EFI/{}/{}", folder.name, file.name);
                    let loader = tree.read_file(&path, LOADER_LIMIT).unwrap_or_default().unwrap_or_default();
                    grub |= !loader.windows(12).any(|window| window == b"systemd-boot");
                }
            }
        }
        if systemd && !grub {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The boot loader that is configured: its name, and the file. `by_systemd`: it is known to be systemd-boot.
pub(crate) fn loader(tree: &GuestTree, by_systemd: bool) -> Result<Option<(&'static str, String)>> {
    if let Some(found) = grub2_menu(tree)?.filter(|_| !by_systemd) {
        return Ok(Some(("grub2", found.path)));
    }
    let old = GRUB1.iter().filter(|_| !by_systemd).map(|path| (*path, "grub1"));
    let others = old.chain(SYSTEMD_BOOT.iter().map(|path| (*path, "systemd-boot"))).chain(SYSLINUX);
    for (path, loader) in others {
        if kind_of(tree, path)? == Some(FileKind::File) {
            return Ok(Some((loader, path.to_owned())));
        }
    }
    Ok(None)
}
