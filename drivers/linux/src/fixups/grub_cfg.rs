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

use super::menu_commands::{Around, Reader, Style, commands};
use crate::config_file::{Line, edit_continued_lines, edit_lines, exists, folders, list, read, read_small};
use crate::kernel_cmdline::{Rules, rewrite};
use crate::loader_files::{ESPS, GRUB1, GRUB2, SYSLINUX, SYSLINUX_FOLDERS, included};
use crate::stable_name::depends_on_hardware;
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
        if let Some(path) = leads_elsewhere(draft)? {
            return Err(Error::needs_person(format!(
                "{path} starts nothing itself, and what it reads was not found"
            ))
            .hint("mount the file system with the menu in the guest's /etc/fstab before exporting"));
        }
        let mut edited = Vec::new();
        for path in files(draft)? {
            let Some(content) = read(draft, &path)? else { continue };
            let new = match Menu::of(&path).edited(&content, context) {
                Ok(new) => new,
                Err(Trouble::Lost(why)) => {
                    return Err(Error::needs_person(format!("{path}: {why}"))
                        .hint("add the disk that holds the root file system to the migration"));
                }
                Err(Trouble::Unclear(what)) => {
                    return Err(Error::needs_person(format!(
                        "{path}: '{what}' names a disk of the source, and kernels are given that"
                    ))
                    .hint("write root=UUID=… into the menu in the guest before exporting"));
                }
            };
            edited.push((path, new));
        }
        let reason = format!("root device and consoles of {}", context.target.name);
        edited.into_iter().try_for_each(|(path, new)| draft.write(&path, new, &reason))
    }
}

/// Why a menu cannot be edited.
enum Trouble {
    /// A root that is nowhere.
    Lost(String),
    /// A variable that holds a device.
    Unclear(String),
}

/// How a file is read.
#[derive(Clone, Copy)]
struct Menu {
    style: Style,
    /// GRUB 2: lines go on, and hold several commands.
    is_script: bool,
}

impl Menu {
    fn of(path: &str) -> Self {
        let is_syslinux = SYSLINUX.iter().any(|(known, _)| *known == path)
            || SYSLINUX_FOLDERS.iter().any(|folder| path.starts_with(folder));
        let style = if is_syslinux { Style::Syslinux } else { Style::Grub };
        Self { style, is_script: !is_syslinux && !GRUB1.contains(&path) }
    }

    fn each_line(self, content: &[u8], edit: impl FnMut(&str) -> Line) -> Vec<u8> {
        if self.is_script { edit_continued_lines(content, edit) } else { edit_lines(content, edit) }
    }

    fn commands(self, line: &str) -> Vec<&str> {
        if self.is_script { commands(line) } else { vec![line] }
    }

    fn edited(self, content: &[u8], context: &Context<'_>) -> Result<Vec<u8>, Trouble> {
        let mut reader = Reader::new(context.guest, self.style);
        let mut variables = Vec::new();
        self.each_line(content, |line| {
            for command in self.commands(line) {
                reader.read(command, arguments(command).is_some());
                variables.extend(device_variable(command));
            }
            Line::Keep
        });
        let mut around = reader.around().into_iter();
        let mut trouble = None;
        let new = self.each_line(content, |line| {
            if line.trim() == INITRDLESS {
                return Line::Replace(line.replace(INITRDLESS, ALWAYS));
            }
            let (mut new, mut at) = (String::with_capacity(line.len() + 64), 0);
            for command in self.commands(line) {
                let lines = Lines { context, variables: &variables };
                match lines.edited(command, &mut around) {
                    Ok(changed) => new += changed.as_deref().unwrap_or(command),
                    Err(why) => {
                        trouble.get_or_insert(why);
                    }
                }
                at += command.len();
                // What ends it.
                new += line.get(at..at + 1).unwrap_or_default();
                at += 1;
            }
            if new == line { Line::Keep } else { Line::Replace(new) }
        });
        trouble.map_or(Ok(new), Err)
    }
}
/// A menu of GRUB 2 that only reads another file, which is not in the guest's tree.
fn leads_elsewhere(draft: &Draft<'_>) -> Result<Option<&'static str>> {
    for path in GRUB2 {
        let text = read_small(draft, path)?;
        let places = included(&text, path.strip_suffix("/grub.cfg").unwrap_or(path));
        let starts = |line: &str| {
            let word = line.split_whitespace().next().unwrap_or_default();
            matches!(word, "blscfg" | "chainloader") || arguments(line).is_some()
        };
        if places.is_empty() || text.lines().flat_map(commands).any(starts) {
            continue;
        }
        let mut found = false;
        for place in places.iter().flatten() {
            found |= exists(draft, place)?;
        }
        if !found {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Every file that holds a menu or a part of one.
fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for path in GRUB2.into_iter().chain(GRUB1).chain(SYSLINUX.map(|(path, _)| path)) {
        if exists(draft, path)? {
            files.push(path.to_owned());
        }
    }
    // What GRUB 2 reads besides, such as custom.cfg.
    for path in GRUB2 {
        let folder = path.strip_suffix("/grub.cfg").unwrap_or(path);
        for places in included(&read_small(draft, path)?, folder) {
            for place in places {
                if exists(draft, &place)? {
                    files.push(place);
                    break;
                }
            }
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

/// What all commands of a menu are edited by.
struct Lines<'a> {
    context: &'a Context<'a>,
    variables: &'a [(String, String)],
}

impl Lines<'_> {
    /// The command as it has to be, `None` when it is so.
    fn edited(
        &self,
        command: &str,
        around: &mut impl Iterator<Item = Around>,
    ) -> Result<Option<String>, Trouble> {
        let Some((before, args, kernel)) = arguments(command) else { return Ok(None) };
        let around = around.next().unwrap_or_default();
        let used = |name: &str| args.contains(&format!("${name}")) || args.contains(&format!("${{{name}}}"));
        if let Some((_, what)) = self.variables.iter().find(|(name, _)| used(name)) {
            return Err(Trouble::Unclear(what.clone()));
        }
        let after = command.get(before.len() + args.len()..).unwrap_or_default();
        let new = rewrite(args, &rules(kernel, around, self.context)).map_err(Trouble::Lost)?;
        Ok((new != args).then(|| format!("{before}{new}{after}")))
    }
}

/// `set rd=/dev/sda1`: the variable, and the command.
fn device_variable(command: &str) -> Option<(String, String)> {
    let assignment = command.trim().strip_prefix("set ").map_or(command.trim(), str::trim_start);
    let (name, value) = assignment.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (is_name && depends_on_hardware(value.trim_matches(['"', '\''])))
        .then(|| (name.to_owned(), command.trim().to_owned()))
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
        // A command line of syslinux, or a label; what stands behind it are arguments in both cases.
        _ if command.eq_ignore_ascii_case("default") => {
            let (before, args) = behind(words.next()?)?;
            args.contains('=').then_some((before, args, None))
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

/// What holds for the arguments of the kernel at `path`; without a path for those of any kernel of the guest.
fn rules<'a>(path: Option<&str>, around: Around, context: &Context<'a>) -> Rules<'a> {
    let rules = Rules::of(context);
    let rules = Rules { own_kernel: !around.is_foreign, ..rules };
    fn name(path: &str) -> &str {
        path.rsplit('/').next().unwrap_or(path)
    }
    // Settings of syslinux stand in its label, those of GRUB nowhere near an initramfs.
    let Some(path) = path else {
        return Rules { has_initramfs: rules.has_initramfs || around.has_initrd, ..rules };
    };
    let mut known = context.guest.kernels.iter().filter_map(|kernel| kernel.image.as_deref()).peekable();
    let is_own =
        name(path) == "vmlinuz" || known.peek().is_none() || known.any(|image| name(image) == name(path));
    Rules { own_kernel: rules.own_kernel && is_own, has_initramfs: around.has_initrd, ..rules }
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
            let menu =
                Menu::of(if line.trim_start().starts_with(['A', 'a']) { "/boot/extlinux.conf" } else { "" });
            let text = format!("{line}\ninitrd /i\n");
            let new = menu.edited(text.as_bytes(), &context).ok().unwrap();
            let expected = format!("{}\ninitrd /i\n", expected.unwrap_or(line));
            assert_eq!(String::from_utf8(new).unwrap(), expected, "{line}");
        }
    }

    fn edited(text: &str) -> Result<String, String> {
        let fs = |uuid: &str| FsFacts { kind: "ext4".into(), uuid: Some(uuid.into()), ..FsFacts::default() };
        let partition = |number, uuid: &str| PartitionFacts {
            number,
            file_system: Some(fs(uuid)),
            part_uuid: Some(format!("8a3c51d7-0{number}")),
            ..PartitionFacts::default()
        };
        let disk = |partitions| DiskFacts { partitions, ..DiskFacts::default() };
        let place = driver_core::MountFacts {
            point: "/".into(),
            device: String::new(),
            place: (0, 1).into(),
            kind: "ext4".into(),
        };
        let kernel = |name: &str, initramfs: bool| driver_core::KernelFacts {
            image: Some(format!("/boot/{name}")),
            initramfs: initramfs.then(|| "/boot/i".into()),
            ..Default::default()
        };
        let guest = Guest {
            disks: vec![
                disk(vec![partition(1, "r")]),
                disk(vec![PartitionFacts { part_uuid: Some("x-01".into()), ..partition(1, "o") }]),
            ],
            mounts: vec![place],
            kernels: vec![kernel("vmlinuz-2", true), kernel("vmlinuz-1", false)],
            ..Guest::default()
        };
        let context = Context::new(&guest, &driver_targets::GENERATION_1);
        match Menu::of("/boot/grub/grub.cfg").edited(text.as_bytes(), &context) {
            Ok(new) => Ok(String::from_utf8(new).unwrap()),
            Err(Trouble::Lost(why) | Trouble::Unclear(why)) => Err(why),
        }
    }

    #[test]
    fn kernels_are_found_however_they_are_written() {
        for (text, expected) in [
            (
                "linux /vmlinuz-2 \\\n  root=/dev/sda1 \\\n ro\ninitrd /i\n",
                "linux /vmlinuz-2 \\\n  root=UUID=r \\\n ro\ninitrd /i\n",
            ),
            (
                "echo a; linux /vmlinuz-2 root=/dev/sda1 ro; initrd /i\n",
                "echo a; linux /vmlinuz-2 root=UUID=r ro; initrd /i\n",
            ),
            (
                "menuentry x { linux /vmlinuz-2 \"root=/dev/sda1\" ro ; initrd /i }\n",
                "menuentry x { linux /vmlinuz-2 \"root=UUID=r\" ro ; initrd /i }\n",
            ),
            // Without an initramfs, whatever lies in /boot; kernels that are not known.
            (
                "linux /vmlinuz-2 root=/dev/sda1\n}\nmenuentry y {\ninitrd /i\n",
                "linux /vmlinuz-2 root=PARTUUID=8a3c51d7-01\n}\nmenuentry y {\ninitrd /i\n",
            ),
            ("linux /vmlinuz-own root=/dev/sda1\n", "linux /vmlinuz-own root=PARTUUID=8a3c51d7-01\n"),
            ("linux /vmlinuz-own root=/dev/sda1\ninitrd /i\n", "linux /vmlinuz-own root=UUID=r\ninitrd /i\n"),
            // Another system with a kernel of the same name.
            (
                "search --no-floppy --fs-uuid --set=root o\nlinux /vmlinuz-2 root=/dev/sdb1\ninitrd /i\n",
                "search --no-floppy --fs-uuid --set=root o\nlinux /vmlinuz-2 root=UUID=o\ninitrd /i\n",
            ),
            (
                "set rd=/dev/sda1\nlinux /vmlinuz-2 root=UUID=r\ninitrd /i\n",
                "set rd=/dev/sda1\nlinux /vmlinuz-2 root=UUID=r\ninitrd /i\n",
            ),
        ] {
            assert_eq!(edited(text).unwrap(), expected, "{text}");
            assert_eq!(edited(expected).unwrap(), expected, "a second time");
        }
        for text in [
            "set rd=/dev/sda1\nlinux /vmlinuz-2 root=$rd ro\n",
            "rd='/dev/sda1'\nlinux /vmlinuz-2 root=${rd}\n",
        ] {
            assert!(edited(text).unwrap_err().contains("rd="), "{text}");
        }
    }
}
