//! The installed kernels, their drivers, and which of them starts by default.

use crate::inspect::kind_of;
use crate::kernel_image;
use crate::module_source::GuestModules;
use crate::offers::{Offers, file_name, first_file, in_tree};
use driver_core::{DriverFacts, DriverState, FileKind, GuestFile, GuestTree, KernelFacts};
use driver_initramfs::{Limits, Listing, Maker, ModuleIndex, ModuleSource, ModuleState};
use format_core::{Error, ErrorKind, Result};
use std::cell::Cell;
use std::cmp::Ordering;
use std::io::{BufReader, Read};
use std::rc::Rc;

/// Larger initramfs images are not read.
pub(crate) const INITRAMFS_LIMIT: u64 = 512 << 20;

/// What the images of one guest unpack to, all together: more than sixty kernels of the largest kind.
const ALL_UNPACKED: u64 = 32 << 30;
/// Images that are damaged, each of which may have taken its time: after so many no other is unpacked.
const MAX_DAMAGED: u64 = 4;
/// Bytes of an image that are read at once.
const PIECE: usize = 256 << 10;

/// Larger kernel images are not read for their version.
const IMAGE_LIMIT: u64 = 128 << 20;
/// More kernels without version in their name than any system keeps.
const MAX_UNNAMED: usize = 8;

/// More kernels than any system keeps; the rest of a hostile folder is not looked at.
const MAX_KERNELS: usize = 64;

/// The installed kernels, the default one first, then the newest; and the file name of the kernel that the menu starts.
pub(crate) fn find(
    tree: &GuestTree,
    by_systemd: bool,
    interesting: &[&str],
    obstacles: &mut Vec<String>,
) -> Result<(Vec<KernelFacts>, Option<String>)> {
    let menu = Offers::load(tree, by_systemd)?;
    let mut versions = Vec::new();
    for folder in tree.read_dir("/lib/modules")? {
        let version = folder.name;
        let index = format!("/lib/modules/{version}/modules.dep");
        if is_special(&version) || kind_of(tree, &index)? != Some(FileKind::File) {
            continue;
        }
        if versions.len() == MAX_KERNELS {
            obstacles.push(format!("only the first {MAX_KERNELS} kernels were looked at"));
            break;
        }
        versions.push(version);
    }
    let unnamed = unnamed_images(tree, &versions, &menu)?;
    let mut kernels = Vec::new();
    for version in versions {
        kernels.push(files_of(tree, version, &menu, &unnamed)?);
    }
    let chosen = menu.default_kernel(tree)?;
    let known = choose_default(&mut kernels, chosen.as_deref());
    let of_pattern =
        kernels.iter().position(|kernel| menu.is_chosen(&kernel.version, kernel.image.as_deref()));
    if let Some(place) = of_pattern {
        put_first(&mut kernels, place);
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

fn files_of(
    tree: &GuestTree,
    version: String,
    menu: &Offers,
    unnamed: &[(String, String)],
) -> Result<KernelFacts> {
    // What a loader entry names is what starts, whatever lies in /boot besides.
    let entry = menu.entry_of_version(&version);
    let in_entry = |path: Option<&String>| -> Vec<String> {
        entry.zip(path).map(|(entry, path)| in_tree(entry, path)).unwrap_or_default()
    };
    let mut images = in_entry(entry.and_then(|entry| entry.kernel.as_ref()));
    images.extend([
        format!("/boot/vmlinuz-{version}"),
        format!("/boot/vmlinux-{version}"),
        format!("/boot/Image-{version}"),
        format!("/boot/kernel-{version}"),
    ]);
    images.extend(unnamed.iter().filter(|(of, _)| *of == version).map(|(_, path)| path.clone()));
    images.push(format!("/lib/modules/{version}/vmlinuz"));
    let image = first_file(tree, &images)?;
    let mut names = in_entry(entry.and_then(|entry| entry.initrd.as_ref()));
    names.extend(initramfs_names(&version));
    // A name of its own: the menu knows it, or it is that of the kernel.
    if let Some(image) = image.as_deref() {
        if let Some((entry, initrd)) = menu.entry_of(image).and_then(|e| Some((e, e.initrd.as_ref()?))) {
            names.extend(in_tree(entry, initrd));
        }
        if let Some(flavour) = file_name(image).strip_prefix("vmlinuz-") {
            names.extend(initramfs_names(flavour));
        }
    }
    let initramfs = first_file(tree, &names)?;
    Ok(KernelFacts { version, image, initramfs, ..KernelFacts::default() })
}

fn initramfs_names(version: &str) -> [String; 5] {
    [
        format!("/boot/initrd.img-{version}"),
        format!("/boot/initramfs-{version}.img"),
        format!("/boot/initrd-{version}"),
        format!("/boot/initrd-{version}.img"),
        format!("/boot/initramfs-{version}"),
    ]
}

/// Images whose names do not say of which kernel they are (Arch's `vmlinuz-linux`, Alpine's `vmlinuz-lts`): the version in their
/// head, and the path.
fn unnamed_images(tree: &GuestTree, versions: &[String], menu: &Offers) -> Result<Vec<(String, String)>> {
    let mut paths = Vec::new();
    for entry in menu.all() {
        paths.extend(first_file(
            tree,
            &entry.kernel.iter().flat_map(|path| in_tree(entry, path)).collect::<Vec<_>>(),
        )?);
    }
    for entry in tree.read_dir("/boot").unwrap_or_default() {
        if ["vmlinuz", "bzImage", "kernel"].iter().any(|start| entry.name.starts_with(start)) {
            paths.push(format!("/boot/{}", entry.name));
        }
    }
    // A link leads to a name that says it, as a rule.
    let real = paths.iter().map(|path| tree.canonical(path, true));
    let mut paths = real.filter(Result::is_ok).collect::<Result<Vec<_>>>()?;
    paths.sort();
    paths.dedup();
    // The name, or the folder of kernel-install(8), says it.
    paths.retain(|path| !versions.iter().any(|version| path.contains(version.as_str())));
    let mut found = Vec::new();
    for path in paths.into_iter().take(MAX_UNNAMED) {
        let image = match tree.read_file(&path, IMAGE_LIMIT) {
            Ok(image) => image.unwrap_or_default(),
            Err(e) if matches!(e.kind(), ErrorKind::Limit | ErrorKind::Usage) => continue,
            Err(e) => return Err(e.context(format!("read {path}"))),
        };
        found.extend(kernel_image::version(&image).map(|version| (version, path)));
    }
    Ok(found)
}

/// Driver states of one kernel. Reads its initramfs.
fn look_inside(
    tree: &GuestTree,
    kernel: &mut KernelFacts,
    interesting: &[&str],
    obstacles: &mut Vec<String>,
) -> Result<()> {
    let version = kernel.version.clone();
    let index = match GuestModules::new(tree, &version).index() {
        Ok(index) => index,
        Err(e) => {
            obstacles.push(format!("kernel {version}: {e}"));
            return Ok(());
        }
    };
    let listed = match &kernel.initramfs {
        Some(path) => listing(tree, path)?,
        None => Rc::new(Err("no initramfs was found".into())),
    };
    if let Err(why) = &*listed {
        let what = kernel.initramfs.clone().unwrap_or_else(|| format!("kernel {version}"));
        obstacles.push(format!("{what}: {why}"));
    }
    let listing = listed.as_ref().as_ref().ok();
    kernel.initramfs_kind = listing.and_then(|listing| maker_name(listing.builder().maker));
    kernel.drivers = interesting.iter().map(|module| driver(&index, listing, &version, module)).collect();
    Ok(())
}

/// The content table of the image at `path`, or why it cannot be read.
pub(crate) fn listing(tree: &GuestTree, path: &str) -> Result<Rc<Result<Listing, String>>> {
    let name = tree.canonical(path, true)?;
    let bytes = |listed: &Result<Listing, String>| listed.as_ref().map_or(0, Listing::bytes);
    tree.remember(&name, bytes, || open(tree, &name).map_err(|e| e.context(format!("read {path}"))))
}

fn open(tree: &GuestTree, name: &str) -> Result<Result<Listing, String>> {
    let size = match tree.metadata(name)? {
        Some(meta) if meta.kind == FileKind::File => meta.size,
        _ => return Ok(Err("it is no file".into())),
    };
    if size > INITRAMFS_LIMIT {
        return Ok(Err(format!("it has {size} bytes, {INITRAMFS_LIMIT} are read at most")));
    }
    let image = match tree.open_file(name) {
        Ok(image) => image,
        // The micro-VM gives files as a whole.
        Err(e) if e.kind() == ErrorKind::Limit => {
            let image = tree.read_file(name, INITRAMFS_LIMIT)?.unwrap_or_default();
            return unpack(tree, size, image.as_slice());
        }
        Err(e) => return Err(e),
    };
    let mut failure = None;
    let pieces = Pieces { image: image.as_ref(), at: 0, failure: &mut failure };
    let listed = unpack(tree, size, BufReader::with_capacity(PIECE, pieces));
    failure.map_or(listed, Err)
}

/// Unpacks an image to see what is in it, as long as those before it have left something to unpack.
fn unpack(tree: &GuestTree, size: u64, image: impl Read) -> Result<Result<Listing, String>> {
    let left = tree.remember("unpacked", |_| 0, || Ok::<_, Error>(Unpacked(Cell::new(ALL_UNPACKED))))?;
    if left.0.get() == 0 {
        return Ok(Err("it was not unpacked: another image unpacks to too much".into()));
    }
    let limits = Limits::default();
    let limits = Limits { unpacked: limits.unpacked.min(left.0.get()), ..limits };
    let listed = Listing::from_image(image, &limits);
    let spent = match &listed {
        Ok(listing) => listing.segments().iter().map(|segment| segment.unpacked).sum(),
        // One that is made to unpack to very much has brothers.
        Err(driver_initramfs::Error::Limit { .. }) => ALL_UNPACKED,
        Err(_) => (ALL_UNPACKED / MAX_DAMAGED).max(size),
    };
    left.0.set(left.0.get().saturating_sub(spent));
    Ok(listed.map_err(|e| e.to_string()))
}

/// What may still be unpacked of a guest's images.
struct Unpacked(Cell<u64>);

/// A file's bytes in order. Why they could not be read is kept beside.
struct Pieces<'a> {
    image: &'a dyn GuestFile,
    at: u64,
    failure: &'a mut Option<Error>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = self.image.size().saturating_sub(self.at);
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let part = buf.get_mut(..len).unwrap_or_default();
        if let Err(error) = self.image.read_at(self.at, part) {
            let text = error.to_string();
            *self.failure = Some(error);
            return Err(std::io::Error::other(text));
        }
        self.at += len as u64;
        Ok(len)
    }
}

fn driver(index: &ModuleIndex, listing: Option<&Listing>, version: &str, module: &str) -> DriverFacts {
    let state = match index.state(module) {
        ModuleState::Builtin => DriverState::BuiltIn,
        ModuleState::Module(_) => DriverState::Module,
        ModuleState::Missing => DriverState::Missing,
    };
    let listed = listing.is_some_and(|listing| listing.loads(version, module));
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
        Maker::Nash => "mkinitrd",
        Maker::Unknown => return None,
    };
    Some(name.into())
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

/// Makes the kernel at that place the default.
fn put_first(kernels: &mut [KernelFacts], place: usize) {
    kernels.iter_mut().for_each(|kernel| kernel.default = false);
    if let Some(front) = kernels.get_mut(..=place) {
        front.rotate_right(1);
    }
    if let Some(first) = kernels.first_mut() {
        first.default = first.image.is_some();
    }
}

/// Compares versions as people read them: numbers by value, everything else by letter.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
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
    use driver_core::MemFs;

    #[test]
    fn one_image_that_unpacks_to_too_much_is_enough() {
        // Zeros in gzip, many members behind one another: each image is its own file.
        let bomb: Vec<u8> = {
            let blocks = (0..16_384u32).flat_map(|at| {
                let header = (0x2_0000u32 << 3) | 2 | u32::from(at == 16_383);
                [header.to_le_bytes()[0], header.to_le_bytes()[1], header.to_le_bytes()[2], 0]
            });
            b"\x28\xb5\x2f\xfd\x00\x58".iter().copied().chain(blocks).collect()
        };
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_file("/a", &bomb).with_file("/b", &bomb)));
        let why = |path: &str| listing(&tree, path).unwrap().as_ref().as_ref().err().cloned().unwrap();
        assert!(why("/a").contains("per packed byte"), "{}", why("/a"));
        assert!(why("/b").contains("another image"), "{}", why("/b"));
        assert!(why("/none").contains("no file"));
    }

    #[test]
    fn after_four_damaged_images_no_other_is_unpacked() {
        let fs = (0..6).fold(MemFs::new(), |fs, number| fs.with_file(&format!("/{number}"), "07070"));
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(fs));
        for number in 0..6 {
            let listed = listing(&tree, &format!("/{number}")).unwrap();
            let why = listed.as_ref().as_ref().err().cloned().unwrap();
            assert_eq!(why.contains("another image"), number >= 4, "{number}: {why}");
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
