//! SysV init: consoles of Xen become those that the target has, and logins that Xen's tools switched off come back. For a PVH
//! guest of Xen it is the serial line that becomes `hvc0`.
//!
//! Facts: inittab(5): `id:runlevels:action:process`; the login on Xen's `hvc0` or `xvc0` is a getty there, and /etc/securetty lists
//! terminals on which root may log in (securetty(5)). XenServer's installer comments out the gettys of `tty1` … (`#1:2345:respawn:/sbin/mingetty tty1`)
//! and adds one on its own console. A getty on a console that does not exist dies at once, and init starts it again and again.

use crate::config_file::{Line, edit_lines, exists, read, read_lossy};
use crate::kernel_cmdline::sole;
use driver_core::{Applies, Context, Draft, Fixup, Platform};
use format_core::Result;

const INITTAB: &str = "/etc/inittab";
const SECURETTY: &str = "/etc/securetty";
const XEN: [&str; 2] = ["hvc0", "xvc0"];
/// A PVH guest of Xen has `hvc0` only.
const PVH_LACKS: [&str; 2] = ["ttyS0", "xvc0"];

pub(super) struct Inittab;

impl Fixup for Inittab {
    fn id(&self) -> &'static str {
        "linux-inittab"
    }

    fn title(&self) -> &'static str {
        "logins of SysV init are on consoles that the target has"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.platform == Platform::Xen && sole(context.target.consoles).is_none() {
            return Ok(Applies::no("Xen is where these consoles are"));
        }
        Ok(if exists(draft, INITTAB)? { Applies::Yes } else { Applies::no("there is no /etc/inittab") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let text = read_lossy(draft, INITTAB)?.unwrap_or_default();
        let only = sole(context.target.consoles);
        let reason = match only {
            Some(only) => format!("{only} is the only console of the target"),
            None => "the target does not have Xen's consoles".to_owned(),
        };
        let gone = if only.is_some() { PVH_LACKS } else { XEN };
        let line_of = only.unwrap_or("ttyS0");
        let ours = [line_of, "tty1"].into_iter().find(|console| {
            let there = context
                .target
                .consoles
                .iter()
                .any(|have| have == console || (*have == "tty0" && *console == "tty1"));
            there && !text.lines().any(|line| runs_getty(line) && has_word(line, console))
        });
        if text.lines().any(|line| runs_getty(line) && gone.iter().any(|console| has_word(line, console))) {
            let content = read(draft, INITTAB)?.unwrap_or_default();
            let mut given = false;
            // Xen's tools switch all of them off; where one is left, a person did.
            let restores = only.is_none() && !text.lines().any(|line| runs_getty(line) && on_screen(line));
            let new = edit_lines(&content, |line| {
                if let Some(restored) = switched_off(line).filter(|_| restores) {
                    return Line::Replace(restored.to_owned());
                }
                let Some(old) = gone.iter().find(|console| runs_getty(line) && has_word(line, console))
                else {
                    return Line::Keep;
                };
                match ours.filter(|console| *console == line_of && !given) {
                    Some(console) => {
                        given = true;
                        Line::Replace(line.replace(old, console))
                    }
                    None => Line::Replace(format!("#{line}")),
                }
            });
            draft.write(INITTAB, new, &reason)?;
        }
        let Some(content) = read(draft, SECURETTY)? else { return Ok(()) };
        let listed = String::from_utf8_lossy(&content).into_owned();
        let mut given = listed.lines().any(|line| line.trim() == line_of);
        let new = edit_lines(&content, |line| match gone.contains(&line.trim()) {
            true if !given => {
                given = true;
                Line::Replace(line_of.into())
            }
            true => Line::Drop,
            false => Line::Keep,
        });
        draft.write(SECURETTY, new, &reason)
    }
}

fn runs_getty(line: &str) -> bool {
    !line.trim_start().starts_with('#') && line.split(':').count() >= 4 && line.contains("getty")
}

/// A commented getty on a virtual terminal.
fn switched_off(line: &str) -> Option<&str> {
    let bare = line.strip_prefix('#')?;
    let id = bare.split(':').next()?;
    let plain = !id.is_empty() && id.len() <= 4 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let xen = XEN.iter().any(|console| has_word(bare, console));
    (plain && !xen && runs_getty(bare) && bare.contains(":respawn:") && on_screen(bare)).then_some(bare)
}

/// It names a virtual terminal.
fn on_screen(line: &str) -> bool {
    let is_terminal = |n: &str| matches!(n, "1" | "2" | "3" | "4" | "5" | "6");
    line.split_whitespace().any(|word| word.strip_prefix("tty").is_some_and(is_terminal))
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| c.is_whitespace() || c == ':' || c == '/').any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gettys_are_told_from_other_lines() {
        assert!(runs_getty("co:2345:respawn:/sbin/agetty xvc0 9600 vt100"));
        assert!(!runs_getty("#co:2345:respawn:/sbin/agetty xvc0 9600 vt100"));
        assert_eq!(
            switched_off("#1:2345:respawn:/sbin/mingetty tty1"),
            Some("1:2345:respawn:/sbin/mingetty tty1")
        );
        for line in
            ["# 1:2345:respawn:/sbin/mingetty tty1", "#T0:23:respawn:/sbin/getty -L ttyS0", "#1: tty1", ""]
        {
            assert_eq!(switched_off(line), None, "{line}");
        }
        assert!(has_word("h0:2345:respawn:/sbin/getty 38400 hvc0", "hvc0") && !has_word("a hvc01", "hvc0"));
    }
}
