//! /etc/default/grub: what `update-grub` and `grub2-mkconfig` will write later.
//!
//! Facts: `GRUB_CMDLINE_LINUX*` hold kernel arguments (GRUB manual, "Simple configuration handling"); the files are
//! shell scripts, /etc/default/grub.d/*.cfg are read after the main one (Debian, Ubuntu). Ubuntu's cloud images set
//! `GRUB_FORCE_PARTUUID`: the first boot of each kernel goes without initramfs, and so without modules, and panics.

use crate::config_file::{Line, edit_lines, exists, list, read, read_lossy};
use crate::kernel_cmdline::{Rules, consoles, is_screen, rewrite};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};

pub(super) struct GrubDefault;

impl Fixup for GrubDefault {
    fn id(&self) -> &'static str {
        "linux-grub-default"
    }

    fn title(&self) -> &'static str {
        "kernel arguments in /etc/default/grub fit the target"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !files(draft)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("there is no /etc/default/grub") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let files = files(draft)?;
        let mut screen = false;
        for path in &files {
            screen |= read_lossy(draft, path)?.is_some_and(|text| has_screen(&text));
        }
        let rules = Rules { add_screen: !screen, ..Rules::of(context) };
        let mut edited = Vec::new();
        for path in files {
            let Some(content) = read(draft, &path)? else { continue };
            let mut trouble = None;
            let new = edit_lines(&content, |line| edit(line, &rules, &mut trouble));
            if let Some(why) = trouble {
                return Err(Error::needs_person(format!("{path}: {why}"))
                    .hint(format!("correct root= in {path}, or remove it: GRUB finds the root by itself")));
            }
            edited.push((path, new));
        }
        let reason =
            format!("kernel arguments for {}, when the menu is generated again", context.target.name);
        edited.into_iter().try_for_each(|(path, new)| draft.write(&path, new, &reason))
    }
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for path in ["/etc/default/grub", "/etc/sysconfig/grub"] {
        if exists(draft, path)? {
            files.push(path.to_owned());
        }
    }
    files.extend(list(draft, "/etc/default/grub.d", ".cfg")?);
    Ok(files)
}

fn has_screen(text: &str) -> bool {
    text.lines().filter_map(assignment).any(|a| consoles(a.value).into_iter().any(is_screen))
}

fn edit(line: &str, rules: &Rules<'_>, trouble: &mut Option<String>) -> Line {
    if line.trim_start().starts_with("GRUB_FORCE_PARTUUID=") {
        return Line::Replace(format!("#{line}"));
    }
    let Some(found) = assignment(line) else { return Line::Keep };
    match rewrite(found.value, rules) {
        Ok(new) if new == found.value => Line::Keep,
        Ok(new) => found.with_value(&new).map_or(Line::Keep, Line::Replace),
        Err(why) => {
            trouble.get_or_insert(why);
            Line::Keep
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
    let name = name.strip_suffix('+').unwrap_or(name);
    let suffix = name.strip_prefix("GRUB_CMDLINE_LINUX")?;
    if !suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
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
        let rules = Rules { guest: &guest, consoles: &["ttyS0", "tty0"], own_kernel: true, add_screen: true };
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
            ("GRUB_FORCE_PARTUUID=abc", Some("#GRUB_FORCE_PARTUUID=abc")),
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
