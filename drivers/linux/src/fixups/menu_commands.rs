//! The commands of a boot menu, and what stands around those that start kernels.
//!
//! Facts: `initrd` follows `linux` (GRUB manual, "initrd"), `initrd` follows `kernel` in GRUB legacy, a second `module` is the
//! initramfs below a hypervisor; in a label of syslinux INITRD may stand anywhere, or `initrd=` in APPEND. `search --fs-uuid` in front
//! says on which file system the kernel lies.

use driver_core::Guest;

/// What stands around the command that starts a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    /// An initramfs is loaded with it.
    pub(super) has_initrd: bool,
    /// It lies on a file system that this guest does not mount: it is another system's.
    pub(super) is_foreign: bool,
}

/// What a menu is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// GRUB 2 and GRUB legacy: commands in order.
    Grub,
    /// extlinux and syslinux: settings of a label.
    Syslinux,
}

enum Mark {
    Head,
    Kernel { has_initrd: bool },
    Initrd,
    Search { is_foreign: bool },
}

/// Reads commands in order; gives what stands around each that starts a kernel.
pub(super) struct Reader<'a> {
    guest: &'a Guest,
    style: Style,
    marks: Vec<Mark>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(guest: &'a Guest, style: Style) -> Self {
        Self { guest, style, marks: Vec::new() }
    }

    /// The next command. `starts_kernel`: it has a kernel's arguments.
    pub(super) fn read(&mut self, command: &str, starts_kernel: bool) {
        let mut words = command.split_ascii_whitespace();
        let word = words.next().unwrap_or_default().to_ascii_lowercase();
        let mark = match word.as_str() {
            _ if starts_kernel => Mark::Kernel { has_initrd: command.contains("initrd=") },
            "menuentry" | "submenu" | "title" | "label" => Mark::Head,
            "initrd" | "initrd16" | "initrdefi" | "module" | "module2" => Mark::Initrd,
            "search" if command.contains("-u") => {
                let uuid = words.rfind(|word| !word.starts_with('-')).unwrap_or_default();
                Mark::Search { is_foreign: self.is_foreign(uuid.trim_matches(['"', '\''])) }
            }
            _ => return,
        };
        self.marks.push(mark);
    }

    fn is_foreign(&self, uuid: &str) -> bool {
        let place = self.guest.resolve_device(&format!("UUID={uuid}"));
        place.is_some_and(|place| self.guest.mounts.iter().all(|mount| mount.place != place))
    }

    /// One for each command that starts a kernel, in order.
    pub(super) fn around(&self) -> Vec<Around> {
        let mut found: Vec<Around> = Vec::new();
        // Of a label of syslinux: its settings stand in any order.
        let (mut is_foreign, mut given, mut block) = (false, false, 0);
        for mark in &self.marks {
            let before = given;
            match mark {
                Mark::Head => (is_foreign, given, block) = (false, false, found.len()),
                Mark::Search { is_foreign: foreign } => is_foreign = *foreign,
                Mark::Kernel { has_initrd } => {
                    given |= *has_initrd;
                    let has_initrd = *has_initrd || before && self.style == Style::Syslinux;
                    found.push(Around { has_initrd, is_foreign });
                }
                Mark::Initrd => {
                    given = true;
                    if let Some(last) = found.get_mut(block..).and_then(<[Around]>::last_mut) {
                        last.has_initrd = true;
                    }
                }
            }
            if self.style == Style::Syslinux && given && !before {
                found.iter_mut().skip(block).for_each(|one| one.has_initrd = true);
            }
        }
        found
    }
}

/// The commands in a line of GRUB 2, as they stand there: ends are semicolons, and braces that are words of their own.
pub(super) fn commands(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quote, mut before) = (0, None, ' ');
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let is_alone = before.is_whitespace() && chars.peek().is_none_or(|(_, next)| next.is_whitespace());
        match (c, quote) {
            ('\\', None | Some('"')) => {
                chars.next();
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (';', None) => {
                found.extend(line.get(start..at));
                start = at + 1;
            }
            ('{' | '}', None) if is_alone => {
                found.extend(line.get(start..at));
                start = at + 1;
            }
            ('#', None) if before.is_whitespace() => break,
            _ => {}
        }
        before = c;
    }
    found.extend(line.get(start..));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, MountFacts, PartitionFacts};

    #[test]
    fn lines_are_cut_into_commands() {
        for (line, expected) in [
            ("linux /v root=/dev/sda1 ro", &["linux /v root=/dev/sda1 ro"][..]),
            ("echo \"a;b\"; linux /v ${x}; initrd /i", &["echo \"a;b\"", " linux /v ${x}", " initrd /i"]),
            ("menuentry 'x {' { linux /v a=b\\;c }", &["menuentry 'x {' ", " linux /v a=b\\;c ", ""]),
            ("linux /v # a; b", &["linux /v # a; b"]),
            ("", &[""]),
        ] {
            assert_eq!(commands(line), expected, "{line}");
        }
    }

    #[test]
    fn initramfs_and_file_system_of_each_kernel_are_seen() {
        let partition = |number, uuid: &str| PartitionFacts {
            number,
            file_system: Some(FsFacts { kind: "ext4".into(), uuid: Some(uuid.into()), ..FsFacts::default() }),
            ..PartitionFacts::default()
        };
        let disk = DiskFacts {
            partitions: vec![partition(1, "own"), partition(2, "other")],
            ..DiskFacts::default()
        };
        let mount = MountFacts {
            point: "/".into(),
            device: String::new(),
            place: (0, 1).into(),
            kind: "ext4".into(),
        };
        let guest = Guest { disks: vec![disk], mounts: vec![mount], ..Guest::default() };
        let seen = |style, text: &str| -> Vec<(bool, bool)> {
            let mut reader = Reader::new(&guest, style);
            for line in text.lines() {
                let word = line.split(' ').next().unwrap();
                reader.read(line, matches!(word, "linux" | "kernel" | "append"));
            }
            reader.around().iter().map(|one| (one.has_initrd, one.is_foreign)).collect()
        };
        let text = "search --fs-uuid --set=root other\nmenuentry a\nsearch --no-floppy --fs-uuid --set=root own\nlinux a\ninitrd i\n\
                    menuentry b\nsearch --fs-uuid --set=root other\nlinux b\ninitrd i\nlinux c\nmenuentry c\nsearch -u gone\nlinux d\n";
        assert_eq!(seen(Style::Grub, text), [(true, false), (true, true), (false, true), (false, false)]);
        let text = "label a\nlinux a\nappend x\ninitrd i\nlabel b\ninitrd i\nkernel b\nappend y\nlabel c\nkernel c\nappend initrd=i\nlabel d\nkernel d\n";
        let with: Vec<bool> = seen(Style::Syslinux, text).into_iter().map(|(with, _)| with).collect();
        assert_eq!(with, [true, true, true, true, true, true, false]);
    }
}
