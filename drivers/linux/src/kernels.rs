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
    let known = choose_default(&mut kernels, chosen.as_deref());
    if let Some(version) = menu.default_entry().map(|entry| &entry.version) {
        put_first(&mut kernels, version);
    }
    if !known {
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
    // What a loader entry names is what starts, whatever lies in /boot besides.
    let entry = menu.entry_of_version(&version);
    let in_entry = |path: Option<&String>| -> Vec<String> {
        let root = entry.map(|entry| entry.root.as_str()).unwrap_or_default();
        path.into_iter().flat_map(|path| [format!("{root}{path}"), path.clone()]).collect()
    };
    let mut images = in_entry(entry.and_then(|entry| entry.kernel.as_ref()));
    images.extend([
        format!("/boot/vmlinuz-{version}"),
        format!("/boot/vmlinux-{version}"),
        format!("/boot/Image-{version}"),
        format!("/boot/kernel-{version}"),
        format!("/lib/modules/{version}/vmlinuz"),
    ]);
    let image = first_file(tree, &images)?;
    let mut names = in_entry(entry.and_then(|entry| entry.initrd.as_ref()));
    names.extend([
        format!("/boot/initrd.img-{version}"),
        format!("/boot/initramfs-{version}.img"),
        format!("/boot/initrd-{version}"),
        format!("/boot/initrd-{version}.img"),
        format!("/boot/initramfs-{version}"),
    ]);
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

/// Where loader entries may be, and where the partition that holds them is mounted.
const ENTRY_ROOTS: [&str; 3] = ["/boot", "/boot/efi", "/efi"];

/// What the boot loader offers.
struct Offers {
    menu: Menu,
    bls: Vec<Entry>,
    saved: Option<String>,
    /// systemd-boot's pattern for the entry that it starts; `None` where the loader is another.
    pattern: Option<String>,
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
        let (mut bls, mut pattern) = (Vec::new(), None);
        for root in ENTRY_ROOTS {
            let folder = format!("{root}/loader/entries");
            for file in tree.read_dir(&folder).unwrap_or_default() {
                let Some(id) = file.name.strip_suffix(".conf") else { continue };
                if let Some(text) = text(tree, &format!("{folder}/{}", file.name))? {
                    bls.push(Entry { root: root.into(), ..parse_bls_entry(id, &text) });
                }
            }
            let settings = text(tree, &format!("{root}/loader/loader.conf"))?;
            if let Some(settings) = settings.filter(|_| menu.is_none()) {
                let value = |line: &str| Some(line.trim().strip_prefix("default")?.trim().to_owned());
                pattern.get_or_insert(settings.lines().find_map(value).unwrap_or_default());
            }
        }
        Ok(Self {
            pattern,
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

    /// The entry that systemd-boot starts: the newest that its pattern fits (loader.conf(5), "default"), if any does.
    fn default_entry(&self) -> Option<&Entry> {
        let pattern = self.pattern.as_deref().filter(|pattern| !pattern.is_empty())?;
        let pattern = pattern.strip_suffix(".conf").unwrap_or(pattern);
        let fits = |entry: &&Entry| matches(pattern.as_bytes(), entry.id.as_bytes());
        self.bls.iter().filter(fits).max_by(|a, b| compare_versions(&a.version, &b.version))
    }

    /// The loader entry of a kernel. kernel-install(8) puts it and its initramfs into a folder with the version's name.
    fn entry_of_version(&self, version: &str) -> Option<&Entry> {
        let in_path = |path: &String| path.split('/').any(|part| part == version);
        self.bls.iter().find(|entry| entry.version == version || entry.kernel.as_ref().is_some_and(in_path))
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

/// Makes the kernel with that version the default, if there is one.
fn put_first(kernels: &mut [KernelFacts], version: &str) {
    let Some(place) = kernels.iter().position(|kernel| kernel.version == version) else { return };
    kernels.iter_mut().for_each(|kernel| kernel.default = false);
    if let Some(front) = kernels.get_mut(..=place) {
        front.rotate_right(1);
    }
    if let Some(first) = kernels.first_mut() {
        first.default = first.image.is_some();
    }
}

/// Whether `text` fits a pattern with `*` and `?`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut text_at, mut star) = (0, 0, None);
    while text_at < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, text_at));
                at += 1;
            }
            Some(b'?') => (at, text_at) = (at + 1, text_at + 1),
            Some(wanted) if text.get(text_at) == Some(wanted) => (at, text_at) = (at + 1, text_at + 1),
            _ => {
                let Some((star_at, from)) = star else { return false };
                star = Some((star_at, from + 1));
                (at, text_at) = (star_at + 1, from + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|&byte| byte == b'*')
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
    fn patterns_fit_as_a_shell_has_them() {
        for (pattern, text, fits) in [
            ("abc-*", "abc-6.1", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "a", false),
            ("*b", "abab", true),
            ("*x", "abab", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

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
