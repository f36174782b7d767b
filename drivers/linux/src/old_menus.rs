//! Menus of GRUB legacy, and of extlinux and syslinux.
//!
//! Sources: GRUB legacy manual ("default", "kernel", "module"; `default saved` is the number in /boot/grub/default); Syslinux wiki,
//! "Config" and "Menu" (keywords in any case, `LABEL`, `LINUX` or `KERNEL`, `INITRD` or `initrd=` in `APPEND`, `MENU DEFAULT`;
//! `ONTIMEOUT` counts where something waits: a menu or `PROMPT`, with a `TIMEOUT` other than 0).

use crate::boot_menu::{Entry, Menu};

/// Reads menu.lst. `saved` is what `default saved` means.
pub(crate) fn parse_grub1(text: &str, saved: Option<&str>) -> Menu {
    let mut menu = Menu::default();
    let mut modules = 0;
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        let rest = rest.trim_start_matches([' ', '\t', '=']);
        let path =
            || rest.split_whitespace().next().filter(|path| !path.starts_with('-')).map(without_device);
        let entry = menu.entries.last_mut();
        match (word, entry) {
            ("default", None) => {
                let choice = if rest.starts_with("saved") { saved.unwrap_or_default() } else { rest };
                menu.default = choice.chars().take_while(char::is_ascii_digit).collect();
            }
            ("title", _) => {
                modules = 0;
                menu.entries.push(Entry { title: rest.trim().to_owned(), ..Entry::default() });
            }
            ("kernel", Some(entry)) => {
                // Options of the command stand before the path.
                let path = rest.split_whitespace().find(|word| !word.starts_with("--")).map(without_device);
                entry.kernel = path;
            }
            ("initrd", Some(entry)) => entry.initrd = path(),
            // Below a hypervisor kernel and initramfs are its modules.
            ("module", Some(entry)) => {
                match modules {
                    0 => entry.kernel = path(),
                    _ => entry.initrd = path(),
                }
                modules += 1;
            }
            _ => {}
        }
    }
    if menu.default.is_empty() {
        menu.default = "0".into();
    }
    menu
}

/// `(hd0,0)/vmlinuz` is `/vmlinuz`.
fn without_device(path: &str) -> String {
    let bare = path.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(_, path)| path);
    bare.unwrap_or(path).to_owned()
}

/// What the lines of a syslinux menu say about what starts when nobody chooses.
#[derive(Default)]
struct Choice {
    /// The last `DEFAULT`: a label, the program of a menu, or a command line.
    default: String,
    marked: String,
    on_timeout: String,
    has_menu: bool,
    prompts: bool,
    timeout: bool,
    total_timeout: bool,
}

/// Reads extlinux.conf with what it includes in `text`; paths without `/` at their start begin in `folder`.
pub(crate) fn parse_syslinux(text: &str, folder: &str) -> Menu {
    let mut menu = Menu { is_by_label: true, ..Menu::default() };
    let mut choice = Choice::default();
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim();
        let entry = menu.entries.last_mut();
        match (word.to_ascii_lowercase().as_str(), entry) {
            ("default", _) => rest.clone_into(&mut choice.default),
            ("ontimeout", _) => first_word(rest).clone_into(&mut choice.on_timeout),
            ("ui", _) => choice.has_menu = is_menu(first_word(rest)),
            ("prompt", _) => choice.prompts = is_set(first_word(rest)),
            ("timeout", _) => choice.timeout = is_set(first_word(rest)),
            ("totaltimeout", _) => choice.total_timeout = is_set(first_word(rest)),
            ("label", _) => {
                menu.entries.push(Entry { id: rest.to_owned(), ..Entry::default() });
            }
            ("menu", Some(entry)) if rest.eq_ignore_ascii_case("default") => {
                choice.marked.clone_from(&entry.id);
            }
            ("linux" | "kernel", Some(entry)) => entry.kernel = Some(absolute(folder, rest)),
            ("initrd", Some(entry)) => entry.initrd = last_image(folder, rest),
            ("append", Some(entry)) => entry.initrd = initrd_of(folder, rest).or(entry.initrd.take()),
            _ => {}
        }
    }
    choice.settle(&mut menu, folder);
    menu
}

impl Choice {
    /// A menu goes by its own mark, and so does the program of a menu that is the default. Without a menu or a prompt the
    /// default starts at once; where no label is called so, it is a command line.
    fn settle(self, menu: &mut Menu, folder: &str) {
        // Arguments may stand behind the label.
        let default = first_word(&self.default);
        let waits = self.has_menu || self.prompts || is_menu(default);
        let on_timeout = match waits && (self.timeout || self.total_timeout) {
            true => self.on_timeout.as_str(),
            false => "",
        };
        let marked = self.marked.as_str();
        let order = if self.has_menu { [on_timeout, marked, default] } else { [on_timeout, default, marked] };
        let is_label = |name: &&str| !name.is_empty() && menu.entries.iter().any(|entry| entry.id == *name);
        let chosen = order.into_iter().find(is_label);
        let first = menu.entries.first().map(|entry| entry.id.clone());
        let is_command = default.contains('/') || default != self.default;
        if chosen.is_none() && is_command && !self.has_menu && !is_menu(default) {
            menu.entries.push(Entry {
                id: default.to_owned(),
                kernel: Some(absolute(folder, default)),
                initrd: initrd_of(folder, &self.default),
                ..Entry::default()
            });
            default.clone_into(&mut menu.default);
        } else {
            menu.default = chosen.map(str::to_owned).or(first).unwrap_or_default();
        }
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// The programs of menus are `menu.c32` and `vesamenu.c32`, in any folder.
fn is_menu(program: &str) -> bool {
    program.ends_with("menu.c32")
}

/// A number other than 0.
fn is_set(number: &str) -> bool {
    number.parse::<u64>().is_ok_and(|number| number > 0)
}

/// The image that an `initrd=` among kernel arguments names.
fn initrd_of(folder: &str, arguments: &str) -> Option<String> {
    let named = arguments.split_whitespace().find_map(|word| word.strip_prefix("initrd="));
    named.and_then(|list| last_image(folder, list))
}

/// Images are separated by commas, microcode first.
fn last_image(folder: &str, list: &str) -> Option<String> {
    list.split(',').next_back().filter(|path| !path.is_empty()).map(|path| absolute(folder, path))
}

/// `../vmlinuz` in /boot/syslinux is /boot/vmlinuz.
fn absolute(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grub_legacy_is_read() {
        let text = "# default=9\ndefault=1\ntimeout 5\ntitle A\n\troot (hd0,0)\n\tkernel /vmlinuz-1 root=/dev/sda1\n\tinitrd /i-1\n\
                    title Xen\nkernel /xen.gz dom0_mem=1G\nmodule /vmlinuz-2 ro\nmodule /i-2\ntitle C\nkernel --no-mem-option (hd0,0)/vmlinuz-3\n";
        let menu = parse_grub1(text, None);
        let entry = menu.find(&menu.default).unwrap();
        assert_eq!((entry.title.as_str(), entry.kernel.as_deref()), ("Xen", Some("/vmlinuz-2")));
        assert_eq!(entry.initrd.as_deref(), Some("/i-2"));
        assert_eq!(menu.find("2").unwrap().kernel.as_deref(), Some("/vmlinuz-3"));
        assert_eq!(parse_grub1("default saved\ntitle A\n", Some("3")).default, "3");
        assert_eq!(parse_grub1("title A\ndefault 4\n", None).default, "0", "behind the entries it is none");
    }

    #[test]
    fn extlinux_and_syslinux_are_read() {
        let debian = "default l1\nlabel l0\n\tlinux /boot/vmlinuz-2\n\tappend initrd=/boot/u.img,/boot/i-2 root=/dev/sda1\nlabel l1\n\tkernel /boot/vmlinuz-1\n";
        let menu = parse_syslinux(debian, "/boot/extlinux");
        assert_eq!(menu.find(&menu.default).unwrap().kernel.as_deref(), Some("/boot/vmlinuz-1"));
        assert_eq!(menu.find("l0").unwrap().initrd.as_deref(), Some("/boot/i-2"));
        let alpine = "DEFAULT menu.c32\nLABEL a\n LINUX vmlinuz-a\nLABEL lts\n  MENU DEFAULT\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n";
        let menu = parse_syslinux(alpine, "/boot");
        let entry = menu.find(&menu.default).unwrap();
        assert_eq!(entry.kernel.as_deref(), Some("/boot/vmlinuz-lts"));
        assert_eq!(entry.initrd.as_deref(), Some("/boot/initramfs-lts"));
        let arch =
            parse_syslinux("LABEL x\nLINUX ../vmlinuz-linux\nINITRD ../../../../i\n", "/boot/syslinux");
        let entry = arch.find(&arch.default).unwrap();
        assert_eq!(entry.kernel.as_deref(), Some("/boot/vmlinuz-linux"));
        assert_eq!(entry.initrd.as_deref(), Some("/i"));
    }

    #[test]
    fn syslinux_chooses_by_label() {
        let labels = "label old\nlinux /a\nlabel new\nlinux /b\nlabel 1\nlinux /c\n";
        for (head, tail, expected) in [
            ("default 1\n", "", "/c"),
            ("default 0\n", "", "/a"),
            ("default new quiet\n", "", "/b"),
            ("default old\ndefault new\n", "", "/b"),
            ("default old\nprompt 1\ntimeout 50\nontimeout new\n", "", "/b"),
            ("default menu.c32\ntotaltimeout 50\nontimeout new\n", "menu default\n", "/b"),
            ("ui /boot/menu.c32\ntimeout 50\ndefault old\nontimeout new quiet\n", "", "/b"),
            ("default old\ntimeout 50\nontimeout new\n", "", "/a"),
            ("default old\nprompt 1\ntimeout 0\nontimeout new\n", "", "/a"),
            ("default old\n", "menu default\n", "/a"),
            ("default /vmlinuz initrd=/i root=/dev/sda1\n", "", "/vmlinuz"),
            ("ui menu.c32\ndefault nowhere\n", "", "/a"),
            ("ui vesamenu.c32\ndefault old\n", "menu default\n", "/c"),
            ("default vesamenu.c32\n", "menu default\n", "/c"),
        ] {
            let menu = parse_syslinux(&format!("{head}{labels}{tail}"), "/boot");
            let entry = menu.find(&menu.default).unwrap();
            assert_eq!(entry.kernel.as_deref(), Some(expected), "{head}");
        }
        for line in ["default = 1", "default\t1 # x", "default=1", "default \t=1#x", "default 01"] {
            let menu = parse_grub1(&format!("{line}\ntitle a\nkernel /a\ntitle b\nkernel /b\n"), None);
            assert_eq!(menu.find(&menu.default).unwrap().kernel.as_deref(), Some("/b"), "{line}");
        }
    }
}
