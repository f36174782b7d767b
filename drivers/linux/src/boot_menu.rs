//! What the boot loader offers and what it starts when nobody chooses: GRUB 2's generated configuration and the
//! Boot Loader Specification.
//!
//! Sources: GRUB manual ("Simple configuration", "The GRUB environment block"); The UAPI Group's Boot Loader
//! Specification, type 1 entries.

/// One thing the menu offers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) title: String,
    pub(crate) id: String,
    /// The kernel's path as the loader names it.
    pub(crate) kernel: Option<String>,
    pub(crate) initrd: Option<String>,
    /// The kernel's version, where a loader entry names it.
    pub(crate) version: String,
    /// Where its paths begin in the guest's tree: the partition of the loader entry.
    pub(crate) root: String,
    /// The entries of a submenu.
    pub(crate) children: Vec<Entry>,
}

/// A parsed grub.cfg.
#[derive(Debug, Default)]
pub(crate) struct Menu {
    pub(crate) entries: Vec<Entry>,
    /// The value that `default` has when no environment says otherwise.
    pub(crate) default: String,
    /// It shows the entries in `/boot/loader/entries`.
    pub(crate) uses_bls: bool,
    /// Entries are chosen by their labels, never by number (syslinux).
    pub(crate) is_by_label: bool,
}

/// Deeper menus are no menus.
const MAX_DEPTH: usize = 8;

/// Reads a generated grub.cfg, line by line as grub-mkconfig writes it.
pub(crate) fn parse_grub_cfg(text: &str) -> Menu {
    let mut menu = Menu::default();
    // Open menu blocks, outermost first, each with the depth of braces inside of it.
    let mut open: Vec<(Entry, usize)> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let word = line.split_whitespace().next().unwrap_or_default();
        match word {
            "menuentry" | "submenu" if line.ends_with('{') && open.len() < MAX_DEPTH => {
                open.push((entry_head(line), 0));
                continue;
            }
            "blscfg" => menu.uses_bls = true,
            "set" if open.is_empty() && menu.default.is_empty() => {
                if let Some(value) = line.strip_prefix("set default=") {
                    let value = value.trim_matches(['"', '\'']);
                    if !value.starts_with('$') {
                        menu.default = value.to_owned();
                    }
                }
            }
            "linux" | "linux16" | "linuxefi" => set_first(&mut open, line, |entry| &mut entry.kernel),
            "initrd" | "initrd16" | "initrdefi" => set_last(&mut open, line),
            _ => {}
        }
        if let Some((_, depth)) = open.last_mut() {
            if line == "}" && *depth == 0 {
                close(&mut open, &mut menu);
            } else if line == "}" {
                *depth -= 1;
            } else if line.ends_with('{') {
                *depth += 1;
            }
        }
    }
    menu
}

fn close(open: &mut Vec<(Entry, usize)>, menu: &mut Menu) {
    if let Some((entry, _)) = open.pop() {
        match open.last_mut() {
            Some((parent, _)) => parent.children.push(entry),
            None => menu.entries.push(entry),
        }
    }
}

fn set_first(open: &mut [(Entry, usize)], line: &str, field: impl Fn(&mut Entry) -> &mut Option<String>) {
    if let (Some((entry, _)), Some(path)) = (open.last_mut(), line.split_whitespace().nth(1)) {
        field(entry).get_or_insert_with(|| path.to_owned());
    }
}

/// Microcode images come first, the initramfs last.
fn set_last(open: &mut [(Entry, usize)], line: &str) {
    if let (Some((entry, _)), Some(path)) = (open.last_mut(), line.split_whitespace().skip(1).last()) {
        entry.initrd = Some(path.to_owned());
    }
}

/// `menuentry 'Title' --class x $menuentry_id_option 'id' {`
fn entry_head(line: &str) -> Entry {
    let mut words = quoted_words(line).into_iter().skip(1);
    let title = words.next().unwrap_or_default();
    let mut id = String::new();
    while let Some(word) = words.next() {
        if word == "$menuentry_id_option" || word == "--id" {
            id = words.next().unwrap_or_default();
        }
    }
    Entry { title, id, ..Entry::default() }
}

fn quoted_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Menu {
    /// The entry that `choice` names: a number, a title or an id, with `>` between levels.
    pub(crate) fn find(&self, choice: &str) -> Option<&Entry> {
        let mut entries = &self.entries;
        let mut found = None;
        for part in choice.split('>') {
            let number = part.parse::<usize>().ok().filter(|_| !self.is_by_label);
            let by_number = number.and_then(|number| entries.get(number));
            let entry = by_number
                .or_else(|| entries.iter().find(|e| e.id == part && !part.is_empty() || e.title == part))?;
            found = Some(entry);
            entries = &entry.children;
        }
        // A submenu's own first entry is what GRUB shows first when a submenu is the default.
        let mut entry = found?;
        while let (None, Some(first)) = (&entry.kernel, entry.children.first()) {
            entry = first;
        }
        Some(entry)
    }
}

/// A value of a GRUB environment block.
pub(crate) fn grubenv_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).filter(|value| !value.is_empty())
}

/// Reads a type 1 entry of the Boot Loader Specification; `id` is the file name without `.conf`.
pub(crate) fn parse_bls_entry(id: &str, text: &str) -> Entry {
    let mut entry = Entry { id: id.to_owned(), ..Entry::default() };
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once([' ', '\t']) else { continue };
        let value = value.trim();
        match key {
            "title" => entry.title = value.to_owned(),
            "version" => entry.version = value.to_owned(),
            "linux" => entry.kernel = Some(value.to_owned()),
            "initrd" => {
                // Variables such as $tuned_initrd stand behind the path.
                entry.initrd = value.split_whitespace().next().map(str::to_owned);
            }
            _ => {}
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    const CFG: &str = r#"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="1>0"
fi
function load_video {
  insmod x
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {
	if [ x$grub_platform = xxen ]; then insmod xzio; fi
	linux	/boot/vmlinuz-6.1.0-9 root=UUID=1 ro
	initrd	/boot/ucode.img /boot/initrd.img-6.1.0-9
}
submenu 'Advanced' $menuentry_id_option 'adv' {
	menuentry 'Old' --id old {
		linux /boot/vmlinuz-5.10 root=/dev/xvda1
	}
}
"#;

    #[test]
    fn the_default_is_found_by_number_title_or_id() {
        let menu = parse_grub_cfg(CFG);
        assert_eq!(menu.default, "1>0");
        assert_eq!(menu.find("0").unwrap().initrd.as_deref(), Some("/boot/initrd.img-6.1.0-9"));
        for choice in ["1>0", "adv>old", "Advanced>Old", "1"] {
            assert_eq!(menu.find(choice).unwrap().kernel.as_deref(), Some("/boot/vmlinuz-5.10"), "{choice}");
        }
        assert_eq!(menu.find("gnulinux-simple").unwrap().title, "Debian GNU/Linux");
        assert!(menu.find("7").is_none() && menu.find("").is_none());
    }

    #[test]
    fn hostile_menus_end() {
        let deep = "menuentry x {\n".repeat(5000) + &"}\n".repeat(9000);
        assert!(parse_grub_cfg(&deep).entries.len() < 9000);
        assert!(parse_grub_cfg("}\n}\n{\nmenuentry {\n").entries.is_empty());
        assert!(parse_grub_cfg("menuentry 'a {\n}\n").find("0").is_some());
    }

    #[test]
    fn bls_entries_and_environment_blocks_are_read() {
        let entry = parse_bls_entry(
            "abc-6.1",
            "title Amazon Linux\nlinux /vmlinuz-6.1\ninitrd /initramfs-6.1.img $tuned_initrd\noptions root=UUID=1\n",
        );
        assert_eq!(entry.initrd.as_deref(), Some("/initramfs-6.1.img"));
        assert_eq!(entry.kernel.as_deref(), Some("/vmlinuz-6.1"));
        let env = "# GRUB Environment Block\nsaved_entry=abc-6.1\nempty=\n####";
        assert_eq!(grubenv_value(env, "saved_entry"), Some("abc-6.1"));
        assert_eq!(grubenv_value(env, "empty"), None);
        assert_eq!(grubenv_value(env, "saved"), None);
    }
}
