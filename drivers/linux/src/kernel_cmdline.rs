//! Kernel arguments: device names and consoles, changed word by word.
//!
//! Words are separated by blanks, and double quotes protect blanks (`next_arg` in the kernel's `lib/cmdline.c`; kernel
//! documentation, "The kernel's command-line parameters"). The same text stands in shell assignments, GRUB commands and
//! Boot Loader Specification entries; everything but the changed words stays as it is, quotes and variables included.

use crate::stable_name::{
    Name, depends_on_hardware, is_another_root, is_told_by_partition, partition_name,
    partition_name_of_mount, stable_name, stable_name_of_mount,
};
use driver_core::{Context, Guest, KernelFacts};

/// What the words are changed to.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) guest: &'a Guest,
    /// Consoles that the target has.
    pub(crate) consoles: &'a [&'a str],
    /// The arguments start a kernel of this guest, so that root= is its root.
    pub(crate) own_kernel: bool,
    /// They start it with an initramfs: the kernel itself knows partitions, not file systems (kernel documentation, "root=").
    pub(crate) has_initramfs: bool,
    /// Add a screen where the consoles are serial only.
    pub(crate) add_screen: bool,
}

impl<'a> Rules<'a> {
    /// For every kernel of this guest. `PARTUUID=` is a name with an initramfs too, where the disk has a signature; without one
    /// the kernel counts that starts when nobody chooses.
    pub(crate) fn of(context: &Context<'a>) -> Self {
        let guest = context.guest;
        let counting = if is_told_by_partition(guest, "/") { usize::MAX } else { 1 };
        Self {
            guest,
            consoles: context.target.consoles,
            own_kernel: true,
            has_initramfs: guest.kernels.iter().take(counting).all(has_initramfs),
            add_screen: true,
        }
    }
}

/// A kernel that is no file here is not known to start without.
fn has_initramfs(kernel: &KernelFacts) -> bool {
    kernel.image.is_none() || kernel.initramfs.is_some()
}

/// What becomes of one word.
enum Word {
    Keep,
    Replace(String),
    Drop,
}

/// Rewrites kernel arguments.
///
/// # Errors
/// Why the root file system has no name that survives.
pub(crate) fn rewrite(args: &str, rules: &Rules<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(args.len() + 64);
    let mut rest = args;
    // The blanks before a dropped first word go to the next one, so that no text starts with a blank that did not.
    let mut carried: Option<&str> = None;
    let mut screen_needed = rules.add_screen && needs_screen(args, rules);
    let mut sole_needed = sole(rules.consoles).filter(|sole| !consoles(args).contains(sole));
    while let Some((blanks, word, after)) = next_word(rest) {
        rest = after;
        let changed = match change(word, rules)? {
            // The first console that is gone becomes the only one that there is.
            Word::Drop if console_of(word).is_some() => match sole_needed.take() {
                Some(sole) => Word::Replace(format!("console={sole}")),
                None => Word::Drop,
            },
            changed => changed,
        };
        let text = match changed {
            Word::Keep => word.to_owned(),
            Word::Replace(new) => new,
            Word::Drop => {
                if out.is_empty() {
                    carried.get_or_insert(blanks);
                }
                continue;
            }
        };
        out += carried.take().unwrap_or(blanks);
        if screen_needed && console_of(word).is_some() {
            out += "console=tty0 ";
            screen_needed = false;
        }
        out += &text;
    }
    out += rest;
    Ok(out)
}

/// The devices that `console=` words name.
pub(crate) fn consoles(args: &str) -> Vec<&str> {
    words(args).filter_map(console_of).collect()
}

/// A virtual terminal: what a machine's screen shows.
pub(crate) fn is_screen(console: &str) -> bool {
    console.strip_prefix("tty").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn needs_screen(args: &str, rules: &Rules<'_>) -> bool {
    let kept: Vec<_> = consoles(args).into_iter().filter(|console| !is_gone(console, rules)).collect();
    rules.consoles.contains(&"tty0") && !kept.is_empty() && !kept.into_iter().any(is_screen)
}

/// Xen's own consoles exist nowhere else; the kernel would have no console but a dead one. Where there is nothing but one of
/// them, neither a serial port nor a screen exists.
fn is_gone(console: &str, rules: &Rules<'_>) -> bool {
    let xen = console.starts_with("hvc") || console.starts_with("xvc");
    let emulated = sole(rules.consoles).is_some() && console.starts_with("tty");
    (xen || emulated) && !rules.consoles.contains(&console)
}

/// The only console of a target that has neither a serial port nor a screen.
pub(crate) fn sole<'a>(consoles: &[&'a str]) -> Option<&'a str> {
    match consoles {
        [only] if !only.starts_with("tty") => Some(only),
        _ => None,
    }
}

fn console_of(word: &str) -> Option<&str> {
    let value = bare(word.strip_prefix("console=")?);
    Some(value.split(',').next().unwrap_or(value))
}

/// A word that is quoted as a whole is what stands inside.
fn change(word: &str, rules: &Rules<'_>) -> Result<Word, String> {
    let quotes = word.len() - word.trim_start_matches(['"', '\'', '\\']).len();
    let (quotes, rest) = word.split_at(quotes);
    if quotes.is_empty() {
        return change_plain(word, rules);
    }
    match rest.strip_suffix(quotes).filter(|inner| !inner.contains(|c: char| c.is_ascii_whitespace())) {
        Some(inner) => Ok(match change_plain(inner, rules)? {
            Word::Replace(new) => Word::Replace(format!("{quotes}{new}{quotes}")),
            other => other,
        }),
        None => Ok(Word::Keep),
    }
}

fn change_plain(word: &str, rules: &Rules<'_>) -> Result<Word, String> {
    if let Some(console) = console_of(word) {
        return Ok(if is_gone(console, rules) { Word::Drop } else { Word::Keep });
    }
    let Some((key, value)) = word.split_once('=') else { return Ok(Word::Keep) };
    let device = bare(value);
    match key {
        "root" | "real_root" if depends_on_hardware(device) => root(key, device, rules),
        "resume" => Ok(match stable_name(rules.guest, device, Some("swap")) {
            Name::Stable => Word::Keep,
            Name::New(name) => Word::Replace(format!("{key}={name}")),
            // The early boot would wait for a swap area that never comes.
            Name::Lost(_) => Word::Drop,
        }),
        // `boot=` is what dracut's check of FIPS waits for, `mount.usr=` is /usr of its own (dracut.cmdline(7),
        // systemd-fstab-generator(8)).
        "boot" | "mount.usr" => Ok(match stable_name(rules.guest, device, None) {
            Name::New(name) => Word::Replace(format!("{key}={name}")),
            Name::Stable | Name::Lost(_) => Word::Keep,
        }),
        _ if crate::device_lists::KEYS.contains(&key) => {
            let new = crate::device_lists::renamed(key, device, rules)?;
            Ok(match new == device {
                true => Word::Keep,
                // The quotes stay.
                false => Word::Replace(format!("{key}={}", value.replacen(device, &new, 1))),
            })
        }
        _ => Ok(Word::Keep),
    }
}

fn root(key: &str, device: &str, rules: &Rules<'_>) -> Result<Word, String> {
    let is_own = rules.own_kernel && !is_another_root(rules.guest, device);
    let name = match (is_own, rules.has_initramfs) {
        (true, true) => stable_name_of_mount(rules.guest, device, "/"),
        (true, false) => partition_name_of_mount(rules.guest, "/"),
        (false, true) => stable_name(rules.guest, device, None),
        (false, false) => partition_name(rules.guest, device),
    };
    match name {
        Name::New(name) => Ok(Word::Replace(format!("{key}={name}"))),
        Name::Lost(why) if rules.own_kernel => Err(format!("{key}={device}: {why}")),
        Name::Stable | Name::Lost(_) => Ok(Word::Keep),
    }
}

/// Without quotes, also those that a shell string escapes.
fn bare(value: &str) -> &str {
    value.trim_matches(['"', '\'', '\\'])
}

fn words(args: &str) -> impl Iterator<Item = &str> {
    let mut rest = args;
    std::iter::from_fn(move || {
        let (_, word, after) = next_word(rest)?;
        rest = after;
        Some(word)
    })
}

/// What joins two lines, for shell and GRUB: it is nothing at all.
const JOINT: &str = "\\\n";

/// The blanks before the next word, the word, and what follows; `None` when only blanks are left. Joints beside blanks belong
/// to these.
fn next_word(text: &str) -> Option<(&str, &str, &str)> {
    let start = skip(text, 0, true);
    let (blanks, word) = text.split_at_checked(start).filter(|(_, word)| !word.is_empty())?;
    let (mut at, mut quoted) = (0, false);
    while let Some(c) = word.get(at..).and_then(|rest| rest.chars().next()) {
        let joined = skip(word, at, false);
        let next = word.get(joined..).and_then(|rest| rest.chars().next());
        if !quoted && next.is_none_or(|next| next.is_ascii_whitespace()) {
            break;
        }
        quoted ^= c == '"';
        at = if joined > at { joined } else { at + c.len_utf8() };
    }
    let (word, rest) = word.split_at_checked(at)?;
    Some((blanks, word, rest))
}

/// The place behind all joints at `at`, and behind all blanks too where these are wanted.
fn skip(text: &str, mut at: usize, blanks: bool) -> usize {
    while let Some(rest) = text.get(at..) {
        at += match rest.chars().next() {
            Some(c) if blanks && c.is_ascii_whitespace() => 1,
            Some('\\') if rest.starts_with(JOINT) => JOINT.len(),
            _ => break,
        };
    }
    at
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, MountFacts, PartitionFacts};

    pub(crate) fn guest() -> Guest {
        let partition = |number, kind: &str, uuid: &str| PartitionFacts {
            number,
            file_system: Some(FsFacts { kind: kind.into(), uuid: Some(uuid.into()), ..FsFacts::default() }),
            ..PartitionFacts::default()
        };
        let partitions = vec![partition(1, "ext4", "r"), partition(2, "swap", "s")];
        let mount = MountFacts {
            point: "/".into(),
            device: String::new(),
            place: (0, 1).into(),
            kind: "ext4".into(),
        };
        Guest {
            disks: vec![DiskFacts { partitions, ..DiskFacts::default() }],
            mounts: vec![mount],
            ..Guest::default()
        }
    }

    fn own(guest: &Guest) -> Rules<'_> {
        Rules { guest, consoles: &[], own_kernel: true, has_initramfs: true, add_screen: true }
    }

    fn rewritten(args: &str) -> String {
        let guest = guest();
        let rules = Rules { consoles: &["ttyS0", "tty0"], ..own(&guest) };
        let once = rewrite(args, &rules).unwrap();
        assert_eq!(rewrite(&once, &rules).unwrap(), once, "a second time changes nothing");
        once
    }

    #[test]
    fn devices_and_consoles_change_and_the_rest_stays() {
        for (args, expected) in [
            ("root=/dev/xvda1 ro  quiet", "root=UUID=r ro  quiet"),
            ("  root=\"/dev/nvme0n1p1\"\tro ", "  root=UUID=r\tro "),
            ("root=/dev/nvme3n1p7", "root=UUID=r"),
            (
                "root=UUID=x root=PARTUUID=y root=/dev/mapper/z",
                "root=UUID=x root=PARTUUID=y root=/dev/mapper/z",
            ),
            ("resume=/dev/xvda2 a", "resume=UUID=s a"),
            ("fips=1 boot=/dev/xvda1", "fips=1 boot=UUID=r"),
            ("boot=/dev/xvdf1 mount.usr=/dev/xvda1", "boot=/dev/xvdf1 mount.usr=UUID=r"),
            ("cryptdevice=/dev/xvda1:root:allow-discards", "cryptdevice=UUID=r:root:allow-discards"),
            (
                "rd.luks.key=/key:/dev/xvda1 cryptdevice=UUID=x:root",
                "rd.luks.key=/key:UUID=r cryptdevice=UUID=x:root",
            ),
            (
                "rd.lvm.lv=vg/root rd.md.uuid=1:2 rd.luks.uuid=luks-x",
                "rd.lvm.lv=vg/root rd.md.uuid=1:2 rd.luks.uuid=luks-x",
            ),
            ("resume=/dev/xvdf a", "a"),
            ("console=hvc0 ro", "ro"),
            ("ro console=xvc0", "ro"),
            ("console=hvc0 console=ttyS0,115200n8 x", "console=tty0 console=ttyS0,115200n8 x"),
            ("a console=ttyS0", "a console=tty0 console=ttyS0"),
            ("console=tty1 console=ttyS0", "console=tty1 console=ttyS0"),
            ("console=ttyS0 console=tty0", "console=ttyS0 console=tty0"),
            ("$tuned_params foo=\"a root=/dev/xvda1 b\"", "$tuned_params foo=\"a root=/dev/xvda1 b\""),
            ("\"root=/dev/xvda1\" ro", "\"root=UUID=r\" ro"),
            ("'root=/dev/xvda1'", "'root=UUID=r'"),
            ("\\\"root=/dev/xvda1\\\" x", "\\\"root=UUID=r\\\" x"),
            ("\"root=/dev/xvda1 ro\"", "\"root=/dev/xvda1 ro\""),
            (
                "ro root=/dev/xvda1\\\n  resume=/dev/xvda2 \\\n console=hvc0\\\n quiet",
                "ro root=UUID=r\\\n  resume=UUID=s\\\n quiet",
            ),
            ("a\\", "a\\"),
            ("root=/dev/xvda1\\\n", "root=UUID=r\\\n"),
            ("root=/dev/xvda\\\n1 ro", "root=UUID=r ro"),
            ("\\\n\\\n", "\\\n\\\n"),
            ("", ""),
            (" \t", " \t"),
            ("a\"b", "a\"b"),
            ("nvme_core.io_timeout=4294967295", "nvme_core.io_timeout=4294967295"),
        ] {
            assert_eq!(rewritten(args), expected, "{args}");
        }
    }

    #[test]
    fn what_is_the_only_console_there_takes_the_place_of_the_others() {
        let guest = guest();
        let rules = |consoles| Rules { consoles, ..own(&guest) };
        for (args, expected) in [
            ("ro console=hvc0", "ro console=hvc0"),
            ("console=tty0 console=ttyS0,115200n8 x", "console=hvc0 x"),
            ("console=hvc0 console=tty0 x", "console=hvc0 x"),
            ("console=xvc0", "console=hvc0"),
            ("console=ttyS0 quiet console=hvc0", "quiet console=hvc0"),
            ("quiet", "quiet"),
            ("console=null", "console=null"),
        ] {
            let pvh = rules(&["hvc0"]);
            let once = rewrite(args, &pvh).unwrap();
            assert_eq!(once, expected, "{args}");
            assert_eq!(rewrite(&once, &pvh).unwrap(), once);
        }
        // Xen's HVM guests have it beside the others; VMware's have a screen only, and a serial console is passed over.
        let hvm = rules(&["ttyS0", "hvc0", "tty0"]);
        assert_eq!(rewrite("console=hvc0 ro", &hvm).unwrap(), "console=tty0 console=hvc0 ro");
        assert_eq!(
            rewrite("console=tty0 console=ttyS0", &rules(&["tty0"])).unwrap(),
            "console=tty0 console=ttyS0"
        );
    }

    #[test]
    fn a_root_that_is_nowhere_is_an_error_only_for_own_kernels() {
        let guest = Guest::default();
        let mut rules = own(&guest);
        assert!(rewrite("root=/dev/sda1", &rules).is_err());
        rules.own_kernel = false;
        assert_eq!(rewrite("root=/dev/sda1 console=ttyS0", &rules).unwrap(), "root=/dev/sda1 console=ttyS0");
    }

    #[test]
    fn a_kernel_without_initramfs_gets_the_partition() {
        let mut guest = guest();
        let bare =
            |guest: &Guest| rewrite("root=/dev/xvda1 ro", &Rules { has_initramfs: false, ..own(guest) });
        assert!(bare(&guest).is_err(), "no PARTUUID");
        guest.disks[0].partitions[0].part_uuid = Some("8a3c51d7-01".into());
        assert_eq!(bare(&guest).unwrap(), "root=PARTUUID=8a3c51d7-01 ro");
        assert_eq!(rewrite("root=/dev/xvda1 ro", &own(&guest)).unwrap(), "root=UUID=r ro");
    }

    #[test]
    fn another_systems_root_keeps_being_its_root() {
        let mut guest = guest();
        let other = |number, kind: &str, uuid: &str| PartitionFacts {
            number,
            file_system: Some(FsFacts { kind: kind.into(), uuid: Some(uuid.into()), ..FsFacts::default() }),
            ..PartitionFacts::default()
        };
        guest.disks[0].partitions.extend([other(3, "ext4", "o"), other(5, "ext4", "d")]);
        let data = MountFacts {
            point: "/data".into(),
            device: String::new(),
            place: (0, 5).into(),
            kind: "ext4".into(),
        };
        guest.mounts.push(data);
        for (device, uuid) in [("xvda3", "o"), ("xvda1", "r"), ("xvda5", "r"), ("xvda2", "r"), ("xvda9", "r")]
        {
            let args = rewrite(&format!("root=/dev/{device}"), &own(&guest)).unwrap();
            assert_eq!(args, format!("root=UUID={uuid}"), "{device}");
        }
    }

    #[test]
    fn huge_arguments_take_no_time() {
        let args = "root=/dev/xvda1 console=ttyS0 \"\" ".repeat(1 << 17);
        assert!(rewritten(&args).starts_with("root=UUID=r console=tty0 console=ttyS0"));
    }
}
