//! grub.cfg: the menu that GRUB shows at the next start; likewise the menus of GRUB legacy and extlinux.
//!
//! Facts: `linux`, `linux16` and `linuxefi` commands carry a kernel's arguments (GRUB manual, "linux"); in menu.lst of GRUB
//! legacy it is `kernel`, below Xen's hypervisor `module`, and `# kopt=` is what Debian's update-grub writes there again; in files of
//! extlinux and syslinux it is `APPEND`, in any case. `search --fs-uuid`
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
use crate::kernel_cmdline::{Rules, has_initramfs, rewrite};
use crate::loader_files::{ESPS, GRUB1, GRUB2, SYSLINUX, SYSLINUX_FOLDERS};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};
use std::collections::BTreeSet;

const INITRDLESS: &str = "if [ \"${initrdfail}\" = 1 ]; then";
const ALWAYS: &str = "if [ 1 = 1 ]; then";

pub(super) struct GrubCfg;

impl Fixup for GrubCfg {
    fn id(&self) -> &'static str {
        "linux-grub-cfg"
    }

    fn title(&self) -> &'static str {
        "kernel arguments in the boot loader's menu fit the target"
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
    for path in GRUB2.into_iter().chain(GRUB1).chain(SYSLINUX.map(|(path, _)| path)) {
        if exists(draft, path)? {
            files.push(path.to_owned());
        }
    }
    // What the main file of extlinux includes.
    for folder in SYSLINUX_FOLDERS {
        for suffix in [".cfg", ".conf"] {
            files.extend(list(draft, folder, suffix)?);
        }
    }
    // Up to RHEL 8 the whole menu of a UEFI system is here.
    for esp in ESPS {
        for vendor in folders(draft, &format!("{esp}/EFI"))? {
            files.extend(list(draft, &vendor, "grub.cfg")?);
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|path| seen.insert(path.clone()));
    Ok(files)
}

fn edit(line: &str, context: &Context<'_>, trouble: &mut Option<String>) -> Line {
    let start = line.trim_start();
    if start.trim_end() == INITRDLESS {
        return Line::Replace(line.replace(INITRDLESS, ALWAYS));
    }
    let Some((before, args, kernel)) = arguments(line) else { return Line::Keep };
    let after = line.get(before.len() + args.len()..).unwrap_or_default();
    match rewrite(args, &rules(kernel, context)) {
        Ok(new) if new == args => Line::Keep,
        Ok(new) => Line::Replace(format!("{before}{new}{after}")),
        Err(why) => {
            trouble.get_or_insert(why);
            Line::Keep
        }
    }
}

/// What stands before the kernel arguments in a line, the arguments, and the kernel's path where the line has it.
fn arguments(line: &str) -> Option<(&str, &str, Option<&str>)> {
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
            Some((before, args, Some(kernel)))
        }
        // The hypervisor's modules: only a kernel has arguments.
        "module" | "module2" => {
            let kernel = words.find(|word| !word.starts_with("--"))?;
            let (before, args) = behind(kernel)?;
            kernel.contains("vmlinu").then_some((before, args, Some(kernel)))
        }
        _ if command.eq_ignore_ascii_case("append") => {
            let (before, args) = behind(command)?;
            Some((before, args, None))
        }
        "#" if start.starts_with("# kopt") => {
            // `# kopt_2_6=` is for kernels of that version.
            let (key, _) = start.split_once('=').filter(|(key, _)| !key["# kopt".len()..].contains(' '))?;
            let (before, args) = behind(&format!("{key}="))?;
            Some((before, args, None))
        }
        "set" => {
            let value = ["set kernelopts=\"", "set default_kernelopts=\""]
                .iter()
                .find_map(|assignment| start.strip_prefix(assignment))?;
            let (before, args) = line.split_at_checked(line.len() - value.len())?;
            // The closing quote is not part of the last word: without it GRUB reads no line of the rest.
            let args = args.rsplit_once('"').map_or(args, |(args, _)| args);
            Some((before, args, None))
        }
        _ => None,
    }
}

/// What holds for the arguments of the kernel at `path`; without a path for those of the one that starts by default.
fn rules<'a>(path: Option<&str>, context: &Context<'a>) -> Rules<'a> {
    let rules = Rules::of(context);
    let Some(path) = path else { return rules };
    fn name(path: &str) -> &str {
        path.rsplit('/').next().unwrap_or(path)
    }
    let mut known = context.guest.kernels.iter().filter(|kernel| kernel.image.is_some()).peekable();
    let own = name(path) == "vmlinuz" || known.peek().is_none();
    match known.find(|kernel| kernel.image.as_deref().map(name) == Some(name(path))) {
        Some(kernel) => Rules { has_initramfs: has_initramfs(kernel), ..rules },
        None => Rules { own_kernel: own, ..rules },
    }
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
            ("# kopt_2_6=root=/dev/sda1 ro", Some("# kopt_2_6=root=UUID=r ro")),
            ("# kopt x=root=/dev/sda1 ro", None),
            ("  APPEND root=/dev/sda1 quiet", Some("  APPEND root=UUID=r quiet")),
            ("\tappend initrd=/i root=/dev/sda1", Some("\tappend initrd=/i root=UUID=r")),
            ("\tmodule /vmlinuz-1 root=/dev/sda1 ro", Some("\tmodule /vmlinuz-1 root=UUID=r ro")),
            ("\tmodule2 --nounzip /initrd-1", None),
            ("module", None),
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
