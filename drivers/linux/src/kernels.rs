//! The installed kernels, their drivers, and which of them starts by default.

use crate::boot_menu::{Entry, Menu, grubenv_value, parse_bls_entry, parse_grub_cfg};
use crate::inspect::{kind_of, text};
use crate::module_source::GuestModules;
use driver_core::{DriverFacts, DriverState, FileKind, GuestTree, KernelFacts};
use driver_initramfs::{Limits, Listing, Maker, ModuleIndex, ModuleState};
use format_core::{ErrorKind, Result};
use std::cmp::Ordering;

/// Larger initramfs images are not read.
pub(crate) const INITRAMFS_LIMIT: u64 = 512 << 20;

/// More kernels than any system keeps; the rest of a hostile folder is not looked at.
const MAX_KERNELS: usize = 64;

/// The installed kernels, the default one first, then the newest; and the file name of the kernel that the menu starts.
pub(crate) fn find(
    tree: &GuestTree,
    interesting: &[&str],
    obstacles: &mut Vec<String>,
) -> Result<(Vec<KernelFacts>, Option<String>)> {
    let menu = Offers::load(tree)?;
    let mut kernels = Vec::new();
    for folder in tree.read_dir("/lib/modules")? {
        let version = folder.name;
        let index = format!("/lib/modules/{version}/modules.dep");
        if is_special(&version) || kind_of(tree, &index)? != Some(FileKind::File) {
            continue;
        }
        if kernels.len() == MAX_KERNELS {
            obstacles.push(format!("only the first {MAX_KERNELS} kernels were looked at"));
            break;
        }
        kernels.push(files_of(tree, version, &menu)?);
    }
    let chosen = menu.default_kernel(tree)?;
    if !choose_default(&mut kernels, chosen.as_deref()) {
        let name = chosen.as_deref().unwrap_or_default();
        obstacles.push(format!("the menu starts {name}, which is the kernel of no folder in /lib/modules"));
    }
    for kernel in &mut kernels {
        look_inside(tree, kernel, interesting, obstacles)?;
    }
    Ok((kernels, chosen))
}

/// Kernels that are there for other purposes than to run the system.
fn is_special(version: &str) -> bool {
    ["debug", "-dbg", "rescue", "kdump"].iter().any(|word| version.contains(word))
}

fn files_of(tree: &GuestTree, version: String, menu: &Offers) -> Result<KernelFacts> {
    let images = [
        format!("/boot/vmlinuz-{version}"),
        format!("/boot/vmlinux-{version}"),
        format!("/boot/Image-{version}"),
        format!("/boot/kernel-{version}"),
        format!("/lib/modules/{version}/vmlinuz"),
    ];
    let image = first_file(tree, &images)?;
    let mut names = vec![
        format!("/boot/initrd.img-{version}"),
        format!("/boot/initramfs-{version}.img"),
        format!("/boot/initrd-{version}"),
        format!("/boot/initrd-{version}.img"),
        format!("/boot/initramfs-{version}"),
    ];
    // A name of its own: only the menu knows it.
    if let Some(entry) = image.as_deref().and_then(|image| menu.entry_of(image)) {
        names.extend(entry.initrd.iter().flat_map(|path| [format!("/boot{path}"), path.clone()]));
    }
    let initramfs = first_file(tree, &names)?;
    Ok(KernelFacts { version, image, initramfs, ..KernelFacts::default() })
}

fn first_file(tree: &GuestTree, paths: &[String]) -> Result<Option<String>> {
    for path in paths.iter().filter(|path| path.starts_with('/')) {
        if kind_of(tree, path)? == Some(FileKind::File) {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

/// Driver states of one kernel. Reads its initramfs.
fn look_inside(
    tree: &GuestTree,
    kernel: &mut KernelFacts,
    interesting: &[&str],
    obstacles: &mut Vec<String>,
) -> Result<()> {
    let version = kernel.version.clone();
    let index = match ModuleIndex::load(&GuestModules::new(tree, &version)) {
        Ok(index) => index,
        Err(e) => {
            obstacles.push(format!("kernel {version}: {e}"));
            return Ok(());
        }
    };
    let listing = match &kernel.initramfs {
        None => {
            obstacles.push(format!("kernel {version}: no initramfs was found"));
            None
        }
        Some(path) => match read_listing(tree, path)? {
            Ok(listing) => Some(listing),
            Err(why) => {
                obstacles.push(format!("{path}: {why}"));
                None
            }
        },
    };
    kernel.initramfs_kind = listing.as_ref().and_then(|listing| maker_name(listing.builder().maker));
    kernel.drivers =
        interesting.iter().map(|module| driver(&index, listing.as_ref(), &version, module)).collect();
    Ok(())
}

/// The content table of the image at `path`, or why it cannot be read.
fn read_listing(tree: &GuestTree, path: &str) -> Result<Result<Listing, String>> {
    match tree.read_file(path, INITRAMFS_LIMIT) {
        Ok(Some(image)) => {
            Ok(Listing::from_image(image.as_slice(), &Limits::default()).map_err(|e| e.to_string()))
        }
        Ok(None) => Ok(Err("it is no file".into())),
        Err(e) if e.kind() == ErrorKind::Limit => Ok(Err(e.to_string())),
        Err(e) => Err(e.context(format!("read {path}"))),
    }
}

fn driver(index: &ModuleIndex, listing: Option<&Listing>, version: &str, module: &str) -> DriverFacts {
    let state = match index.state(module) {
        ModuleState::Builtin => DriverState::BuiltIn,
        ModuleState::Module(_) => DriverState::Module,
        ModuleState::Missing => DriverState::Missing,
    };
    let listed = listing.is_some_and(|listing| listing.module(version, module).is_some());
    DriverFacts {
        module: module.replace('-', "_"),
        state,
        in_initramfs: state == DriverState::BuiltIn || listed,
    }
}

fn maker_name(maker: Maker) -> Option<String> {
    let name = match maker {
        Maker::InitramfsTools => "initramfs-tools",
        Maker::Dracut => "dracut",
        Maker::Mkinitcpio => "mkinitcpio",
        Maker::Mkinitfs => "mkinitfs",
        Maker::Unknown => return None,
    };
    Some(name.into())
}

/// What the boot loader offers.
struct Offers {
    menu: Menu,
    bls: Vec<Entry>,
    saved: Option<String>,
}

impl Offers {
    fn load(tree: &GuestTree) -> Result<Self> {
        let first = |paths: [&str; 2]| -> Result<Option<String>> {
            for path in paths {
                if let Some(found) = text(tree, path)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        };
        let menu = first(["/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"])?;
        let environment = first(["/boot/grub2/grubenv", "/boot/grub/grubenv"])?.unwrap_or_default();
        let mut bls = Vec::new();
        for file in tree.read_dir("/boot/loader/entries").unwrap_or_default() {
            let Some(id) = file.name.strip_suffix(".conf") else { continue };
            if let Some(text) = text(tree, &format!("/boot/loader/entries/{}", file.name))? {
                bls.push(parse_bls_entry(id, &text));
            }
        }
        Ok(Self {
            menu: menu.as_deref().map(parse_grub_cfg).unwrap_or_default(),
            bls,
            saved: grubenv_value(&environment, "saved_entry").map(str::to_owned),
        })
    }

    /// The file name of the kernel that starts when nobody chooses. Links such as `/vmlinuz` are followed.
    fn default_kernel(&self, tree: &GuestTree) -> Result<Option<String>> {
        // A path with a variable in it is known to the loader alone.
        let Some(path) = self.default_path().filter(|path| !path.contains('$')) else { return Ok(None) };
        let found = first_file(tree, &[format!("/boot{path}"), path.to_owned()])?;
        let real = found.map(|path| tree.canonical(&path, true)).transpose()?;
        Ok(Some(file_name(real.as_deref().unwrap_or(path)).to_owned()))
    }

    /// The same as the loader names it.
    fn default_path(&self) -> Option<&str> {
        let saved = self.saved.as_deref();
        let entry = if self.menu.uses_bls {
            saved.and_then(|saved| self.bls.iter().find(|entry| entry.id == saved))
        } else {
            let fixed = Some(self.menu.default.as_str()).filter(|choice| !choice.is_empty());
            let chosen = fixed.or(saved).and_then(|choice| self.menu.find(choice));
            chosen.or_else(|| self.menu.find("0"))
        };
        entry?.kernel.as_deref()
    }

    fn entry_of(&self, image: &str) -> Option<&Entry> {
        fn search<'a>(entries: &'a [Entry], name: &str) -> Option<&'a Entry> {
            entries.iter().find_map(|entry| {
                let own = entry.kernel.as_deref().is_some_and(|kernel| file_name(kernel) == name);
                if own { Some(entry) } else { search(&entry.children, name) }
            })
        }
        let name = file_name(image);
        search(&self.menu.entries, name).or_else(|| search(&self.bls, name))
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Marks the default kernel and puts it first; without a menu that names one it is the newest with an image. `false`
/// when the menu's is not among them.
fn choose_default(kernels: &mut [KernelFacts], named: Option<&str>) -> bool {
    kernels.sort_by(|a, b| {
        b.image.is_some().cmp(&a.image.is_some()).then_with(|| compare_versions(&b.version, &a.version))
    });
    let by_name = named.and_then(|name| {
        kernels
            .iter()
            .position(|kernel| kernel.image.as_deref().is_some_and(|image| file_name(image) == name))
    });
    if let Some(front) = kernels.get_mut(..=by_name.unwrap_or(0)) {
        front.rotate_right(1);
    }
    let known = named.is_none() || by_name.is_some();
    if let Some(first) = kernels.first_mut() {
        first.default = known && first.image.is_some();
    }
    known || kernels.is_empty()
}

/// Compares versions as people read them: numbers by value, everything else by letter.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (part_a, rest_a) = leading_part(a);
        let (part_b, rest_b) = leading_part(b);
        let order = match (part_a.parse::<u64>(), part_b.parse::<u64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            _ => part_a.cmp(part_b),
        };
        if order != Ordering::Equal || (rest_a.is_empty() && rest_b.is_empty()) {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The digits or the other characters that `text` starts with, and the rest.
fn leading_part(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_people_read_them() {
        for (older, newer) in [
            ("6.1.0-9-amd64", "6.1.0-13-amd64"),
            ("5.10.0", "5.10.0-1"),
            ("6.1.112-122.189.amzn2023.x86_64", "6.1.115-126.197.amzn2023.x86_64"),
            ("", "6"),
        ] {
            assert_eq!(compare_versions(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare_versions(newer, older), Ordering::Greater);
            assert_eq!(compare_versions(newer, newer), Ordering::Equal);
        }
    }
}
