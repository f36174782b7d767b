//! Settings of boot loaders: what `update-grub`, `grub2-mkconfig` and their like will write later.
//!
//! Facts: `GRUB_CMDLINE_LINUX*` hold kernel arguments (GRUB manual, "Simple configuration handling"); the files are
//! shell scripts, /etc/default/grub.d/*.cfg are read after the main one (Debian, Ubuntu). Ubuntu's cloud images set
//! `GRUB_FORCE_PARTUUID`: the first boot of each kernel goes without initramfs, and so without modules, and panics.

//!
//! Likewise `EXTLINUX_ROOT` and `EXTLINUX_PARAMETERS` in Debian's /etc/default/extlinux (extlinux-update(8)), `root` and
//! `default_kernel_opts` in Alpine's /etc/update-extlinux.conf, and SUSE's /etc/sysconfig/bootloader, from which perl-Bootloader takes the
//! arguments of kernels that are installed later (`DEFAULT_APPEND`, `FAILSAFE_APPEND`, …; comments in that file).

use crate::config_file::{Line, edit_continued_lines, exists, list, read, read_lossy};
use crate::kernel_cmdline::{Rules, consoles, is_screen, rewrite};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};

const ALPINE: &str = "/etc/update-extlinux.conf";

pub(super) struct GrubDefault;

impl Fixup for GrubDefault {
    fn id(&self) -> &'static str {
        "linux-grub-default"
    }

    fn title(&self) -> &'static str {
        "kernel arguments in the boot loader's settings fit the target"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !files(draft)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("no boot loader keeps settings in /etc") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason =
            format!("kernel arguments for {}, when the menu is generated again", context.target.name);
        let mut edited = Vec::new();
        for files in [grub(draft)?, others(draft)?] {
            let mut screen = false;
            for path in &files {
                screen |= read_lossy(draft, path)?.is_some_and(|text| has_screen(&text));
            }
            let rules = Rules { add_screen: !screen, ..Rules::of(context) };
            for path in files {
                let Some(content) = read(draft, &path)? else { continue };
                let mut trouble = None;
                let new = edit_continued_lines(&content, |line| {
                    // Alpine's setting is an argument itself.
                    match path == ALPINE && line.starts_with("root=") {
                        true => rewritten(line, &rules, &mut trouble).map_or(Line::Keep, Line::Replace),
                        false => edit(line, &rules, &mut trouble),
                    }
                });
                if let Some(why) = trouble {
                    return Err(Error::needs_person(format!("{path}: {why}")).hint(format!(
                        "correct root= in {path}, or remove it: GRUB finds the root by itself"
                    )));
                }
                edited.push((path, new));
            }
        }
        edited.into_iter().try_for_each(|(path, new)| draft.write(&path, new, &reason))
    }
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    Ok([grub(draft)?, others(draft)?].concat())
}

/// GRUB's settings.
fn grub(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = existing(draft, &["/etc/default/grub", "/etc/sysconfig/grub"])?;
    files.extend(list(draft, "/etc/default/grub.d", ".cfg")?);
    Ok(files)
}

/// Those of other loaders.
fn others(draft: &Draft<'_>) -> Result<Vec<String>> {
    existing(draft, &["/etc/default/extlinux", ALPINE, "/etc/sysconfig/bootloader"])
}

fn existing(draft: &Draft<'_>, paths: &[&str]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for path in paths {
        if exists(draft, path)? {
            files.push((*path).to_owned());
        }
    }
    Ok(files)
}

/// Whether a variable of these files holds kernel arguments.
fn holds_arguments(name: &str) -> bool {
    let grub = name.strip_prefix("GRUB_CMDLINE_LINUX");
    grub.is_some_and(|suffix| suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        || matches!(name, "EXTLINUX_ROOT" | "EXTLINUX_PARAMETERS" | "default_kernel_opts")
        || matches!(
            name,
            "DEFAULT_APPEND" | "FAILSAFE_APPEND" | "IMAGE_APPEND" | "XEN_KERNEL_APPEND" | "RT_APPEND"
        )
}

fn has_screen(text: &str) -> bool {
    text.lines().filter_map(assignment).any(|a| consoles(a.value).into_iter().any(is_screen))
}

fn edit(line: &str, rules: &Rules<'_>, trouble: &mut Option<String>) -> Line {
    if line.trim_start().starts_with("GRUB_FORCE_PARTUUID=") {
        return Line::Replace(format!("#{line}"));
    }
    let Some(found) = assignment(line) else { return Line::Keep };
    let new = rewritten(found.value, rules, trouble);
    new.and_then(|new| found.with_value(&new)).map_or(Line::Keep, Line::Replace)
}

/// The arguments as they have to be; `None` when they are so.
fn rewritten(value: &str, rules: &Rules<'_>, trouble: &mut Option<String>) -> Option<String> {
    match rewrite(value, rules) {
        Ok(new) => Some(new).filter(|new| new != value),
        Err(why) => {
            trouble.get_or_insert(why);
            None
        }
    }
}

/// A shell assignment to a `GRUB_CMDLINE_LINUX…` variable.
struct Assignment<'a> {
    before: &'a str,
    quote: Option<char>,
    value: &'a str,
    after: &'a str,
}

fn assignment(line: &str) -> Option<Assignment<'_>> {
    let start = line.trim_start();
    let start = start.strip_prefix("export ").map_or(start, str::trim_start);
    let (name, rest) = start.split_once('=')?;
    if !holds_arguments(name.strip_suffix('+').unwrap_or(name)) {
        return None;
    }
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let value_start = line.len() - rest.len() + usize::from(quote.is_some());
    let (before, text) = line.split_at_checked(value_start)?;
    let end = match quote {
        Some(quote) => closing(text, quote),
        None => text.find(|c: char| c.is_whitespace() || matches!(c, ';' | '#')),
    };
    let (value, after) = text.split_at_checked(end.unwrap_or(text.len()))?;
    Some(Assignment { before, quote, value, after })
}

/// Where a shell string ends: at its quote, in double quotes not at an escaped one.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.find(|c: char| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped && quote == '"';
        ends
    })
}

impl Assignment<'_> {
    fn with_value(&self, value: &str) -> Option<String> {
        let plain = !value.contains(|c: char| c.is_whitespace() || "\"'\\;#".contains(c));
        match self.quote {
            None if !plain && value.contains(['"', '\'', '\\']) => None,
            None if !plain => Some(format!("{}\"{value}\"{}", self.before, self.after)),
            _ => Some(format!("{}{value}{}", self.before, self.after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, Guest, PartitionFacts};

    #[test]
    fn quoting_and_comments_stay() {
        let fs = FsFacts { kind: "ext4".into(), uuid: Some("r".into()), ..FsFacts::default() };
        let partition = PartitionFacts { number: 1, file_system: Some(fs), ..PartitionFacts::default() };
        let disk = DiskFacts { partitions: vec![partition], ..DiskFacts::default() };
        let guest = Guest { disks: vec![disk], ..Guest::default() };
        let rules = Rules {
            guest: &guest,
            consoles: &["ttyS0", "tty0"],
            own_kernel: true,
            has_initramfs: true,
            add_screen: true,
        };
        for (line, expected) in [
            (
                "GRUB_CMDLINE_LINUX=\"root=/dev/xvda1 ro\" # x",
                Some("GRUB_CMDLINE_LINUX=\"root=UUID=r ro\" # x"),
            ),
            ("GRUB_CMDLINE_LINUX_DEFAULT='root=/dev/sda1'", Some("GRUB_CMDLINE_LINUX_DEFAULT='root=UUID=r'")),
            ("export GRUB_CMDLINE_LINUX=root=/dev/sda1;x", Some("export GRUB_CMDLINE_LINUX=root=UUID=r;x")),
            ("GRUB_CMDLINE_LINUX=console=ttyS0", Some("GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0\"")),
            (
                "GRUB_CMDLINE_LINUX+=\" console=ttyS0\"",
                Some("GRUB_CMDLINE_LINUX+=\" console=tty0 console=ttyS0\""),
            ),
            (
                "GRUB_CMDLINE_LINUX=\"a=\\\"b c\\\" root=/dev/sda1\"",
                Some("GRUB_CMDLINE_LINUX=\"a=\\\"b c\\\" root=UUID=r\""),
            ),
            ("GRUB_CMDLINE_LINUX=\"root=/dev/sda1 \\", Some("GRUB_CMDLINE_LINUX=\"root=UUID=r \\")),
            (
                "GRUB_CMDLINE_LINUX=\"quiet \\\n  root=/dev/sda1 \\\n  a\" # x",
                Some("GRUB_CMDLINE_LINUX=\"quiet \\\n  root=UUID=r \\\n  a\" # x"),
            ),
            ("GRUB_FORCE_PARTUUID=abc", Some("#GRUB_FORCE_PARTUUID=abc")),
            ("root=/dev/sda1", None),
            ("EXTLINUX_ROOT=\"root=/dev/sda1\"", Some("EXTLINUX_ROOT=\"root=UUID=r\"")),
            ("default_kernel_opts=\"console=hvc0 quiet\"", Some("default_kernel_opts=\"quiet\"")),
            ("DEFAULT_APPEND=\"resume=/dev/sdf1 splash\"", Some("DEFAULT_APPEND=\"splash\"")),
            ("LOADER_LOCATION=\"/dev/sda1\"", None),
            ("#GRUB_CMDLINE_LINUX=\"root=/dev/sda1\"", None),
            ("GRUB_CMDLINE_LINUX=\"\"", None),
            ("GRUB_CMDLINE_LINUX=", None),
            ("GRUB_CMDLINE_LINUX", None),
            ("GRUB_CMDLINE_LINUX =\"root=/dev/sda1\"", None),
            ("GRUB_DEVICE=root=/dev/sda1", None),
        ] {
            let mut trouble = None;
            let expected = expected.map_or(Line::Keep, |line| Line::Replace(line.into()));
            assert_eq!(edit(line, &rules, &mut trouble), expected, "{line}");
            assert!(trouble.is_none());
        }
    }
}
