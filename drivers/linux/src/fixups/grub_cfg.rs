//! grub.cfg: the menu that GRUB shows at the next start; likewise the menus of GRUB legacy and extlinux.
//!
//! Facts: `linux`, `linux16` and `linuxefi` commands carry a kernel's arguments (GRUB manual, "linux"); in menu.lst of GRUB
//! legacy it is `kernel`, and `# kopt=` is what Debian's update-grub writes there again; in extlinux.conf it is `APPEND`. `search --fs-uuid`
//! lines name file systems already. On Fedora 34, RHEL 9 and newer the file on the EFI system partition is a stub
//! (`configfile`) without any such command, so editing lines can never overwrite it.
//!
//! Consoles: the one named last becomes /dev/console (kernel documentation, "Linux Serial Console"). A serial console
//! stays where it is: generation 1 has COM1, generation 2 only when it is switched on, and a console without hardware is
//! passed over. The screen is put *before* it, because without `console=tty0` the machine's window stays black.
//!
//! Ubuntu's cloud images write entries that try without initramfs first when `GRUB_FORCE_PARTUUID` was set: no module,
//! no root, a panic and a reboot. The branch with the initramfs is made the only one.

use crate::config_file::{Line, edit_lines, exists, folders, list, read};
use crate::kernel_cmdline::{Rules, rewrite};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};

const INITRDLESS: &str = "if [ \"${initrdfail}\" = 1 ]; then";
const ALWAYS: &str = "if [ 1 = 1 ]; then";

const MENUS: [&str; 5] = [
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/boot/grub/menu.lst",
    "/boot/grub/grub.conf",
    "/boot/extlinux/extlinux.conf",
];

pub(super) struct GrubCfg;

impl Fixup for GrubCfg {
    fn id(&self) -> &'static str {
        "linux-grub-cfg"
    }

    fn title(&self) -> &'static str {
        "kernel arguments in the generated grub.cfg fit the target"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if !files(draft)?.is_empty() {
            return Ok(Applies::Yes);
        }
        Ok(match &context.guest.boot.loader {
            Some(loader) => Applies::no(format!("the boot loader is {loader}: there is no grub.cfg")),
            None => Applies::cannot(
                "no boot loader configuration was found below /boot",
                "name the file system that is mounted at /boot in /etc/fstab of the guest before exporting",
            ),
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let mut edited = Vec::new();
        for path in files(draft)? {
            let Some(content) = read(draft, &path)? else { continue };
            let mut trouble = None;
            let new = edit_lines(&content, |line| edit(line, context, &mut trouble));
            if let Some(why) = trouble {
                return Err(Error::needs_person(format!("{path}: {why}"))
                    .hint("add the disk that holds the root file system to the migration"));
            }
            edited.push((path, new));
        }
        let reason = format!("root device and consoles of {}", context.target.name);
        edited.into_iter().try_for_each(|(path, new)| draft.write(&path, new, &reason))
    }
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for path in MENUS {
        if exists(draft, path)? {
            files.push(path.to_owned());
        }
    }
    // Up to RHEL 8 the whole menu of a UEFI system is here.
    for esp in ["/boot/efi/EFI", "/efi/EFI"] {
        for vendor in folders(draft, esp)? {
            files.extend(list(draft, &vendor, "grub.cfg")?);
        }
    }
    Ok(files)
}

fn edit(line: &str, context: &Context<'_>, trouble: &mut Option<String>) -> Line {
    let start = line.trim_start();
    if start.trim_end() == INITRDLESS {
        return Line::Replace(line.replace(INITRDLESS, ALWAYS));
    }
    let Some((before, args, own_kernel)) = arguments(line, context) else { return Line::Keep };
    let after = line.get(before.len() + args.len()..).unwrap_or_default();
    match rewrite(args, &Rules { own_kernel, ..Rules::of(context) }) {
        Ok(new) if new == args => Line::Keep,
        Ok(new) => Line::Replace(format!("{before}{new}{after}")),
        Err(why) => {
            trouble.get_or_insert(why);
            Line::Keep
        }
    }
}

/// What stands before the kernel arguments in a line, the arguments, and whether the kernel is one of this guest.
fn arguments<'a>(line: &'a str, context: &Context<'_>) -> Option<(&'a str, &'a str, bool)> {
    let start = line.trim_start();
    let mut words = start.split_ascii_whitespace();
    let command = words.next()?;
    let behind = |word: &str| {
        let place = start.find(word)? + word.len() + (line.len() - start.len());
        line.split_at_checked(place)
    };
    match command {
        "linux" | "linux16" | "linuxefi" | "kernel" => {
            let kernel = words.next()?;
            let (before, args) = behind(kernel)?;
            Some((before, args, is_own(kernel, context)))
        }
        "append" | "APPEND" => {
            let (before, args) = behind(command)?;
            Some((before, args, true))
        }
        "#" if start.starts_with("# kopt=") => {
            let (before, args) = behind("# kopt=")?;
            Some((before, args, true))
        }
        "set" => {
            let value = ["set kernelopts=\"", "set default_kernelopts=\""]
                .iter()
                .find_map(|assignment| start.strip_prefix(assignment))?;
            let (before, args) = line.split_at_checked(line.len() - value.len())?;
            // The closing quote is not part of the last word: without it GRUB reads no line of the rest.
            let args = args.rsplit_once('"').map_or(args, |(args, _)| args);
            Some((before, args, true))
        }
        _ => None,
    }
}

fn is_own(kernel: &str, context: &Context<'_>) -> bool {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let images: Vec<_> = context.guest.kernels.iter().filter_map(|kernel| kernel.image.as_deref()).collect();
    images.is_empty()
        || name(kernel) == "vmlinuz"
        || images.into_iter().any(|image| name(image) == name(kernel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, Guest, PartitionFacts};

    #[test]
    fn only_kernel_arguments_change() {
        let fs = FsFacts { kind: "ext4".into(), uuid: Some("r".into()), ..FsFacts::default() };
        let partition = PartitionFacts { number: 1, file_system: Some(fs), ..PartitionFacts::default() };
        let disk = DiskFacts { partitions: vec![partition], ..DiskFacts::default() };
        let guest = Guest { disks: vec![disk], ..Guest::default() };
        let target = &driver_targets::GENERATION_1;
        let context = Context::new(&guest, target);
        for (line, expected) in [
            ("\tlinux\t/vmlinuz-1 root=/dev/sda1 ro", Some("\tlinux\t/vmlinuz-1 root=UUID=r ro")),
            ("linuxefi (hd0,gpt1)/vmlinuz root=/dev/xvda1", Some("linuxefi (hd0,gpt1)/vmlinuz root=UUID=r")),
            ("kernel /boot/vmlinuz root=/dev/sda1", Some("kernel /boot/vmlinuz root=UUID=r")),
            ("# kopt=root=/dev/sda1 ro", Some("# kopt=root=UUID=r ro")),
            ("  APPEND root=/dev/sda1 quiet", Some("  APPEND root=UUID=r quiet")),
            ("set kernelopts=\"root=/dev/sda1 ro \"", Some("set kernelopts=\"root=UUID=r ro \"")),
            ("set kernelopts=\"ro root=/dev/sda1\" # x", Some("set kernelopts=\"ro root=UUID=r\" # x")),
            ("  set kernelopts=\"ro console=hvc0\"", Some("  set kernelopts=\"ro\"")),
            ("search --no-floppy --fs-uuid --set=root 1-2", None),
            ("set root='hd0,gpt1'", None),
            ("# linux /vmlinuz root=/dev/sda1", None),
            ("linux", None),
            ("linux /vmlinuz", None),
            ("configfile $prefix/grub.cfg", None),
        ] {
            let mut trouble = None;
            let expected = expected.map_or(Line::Keep, |line| Line::Replace(line.into()));
            assert_eq!(edit(line, &context, &mut trouble), expected, "{line}");
        }
    }
}
