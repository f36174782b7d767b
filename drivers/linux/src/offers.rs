//! What the boot loader offers, and which of it starts when nobody chooses.

use crate::boot_menu::{Entry, Menu, grubenv_value, parse_bls_entry, parse_grub_cfg};
use crate::inspect::{kind_of, text};
use crate::kernels::compare_versions;
use crate::loader_files::{self, GRUB1, MAX_INCLUDED, MenuFile, SYSLINUX, first_text, grub2_menu};
use crate::old_menus::{parse_grub1, parse_syslinux};
use driver_core::{FileKind, GuestTree};
use format_core::Result;

/// Where loader entries may be, and where the partition that holds them is mounted.
const ENTRY_ROOTS: [&str; 3] = ["/boot", "/boot/efi", "/efi"];
/// What the boot loader offers.
pub(crate) struct Offers {
    menu: Menu,
    bls: Vec<Entry>,
    saved: Option<String>,
    /// systemd-boot's pattern for the entry that it starts; `None` where the loader is another.
    pattern: Option<String>,
}

impl Offers {
    /// `by_systemd`: the loader is known to be systemd-boot.
    pub(crate) fn load(tree: &GuestTree, by_systemd: bool) -> Result<Self> {
        let menu = if by_systemd { None } else { load_menu(tree)? };
        let own = grub2_menu(tree)?.map(|file| file.path.replace("grub.cfg", "grubenv"));
        let places = ["/boot/grub2/grubenv", "/boot/grub/grubenv"].into_iter().chain(own.as_deref());
        let environment = first_text(tree, places)?.map(|file| file.text).unwrap_or_default();
        let (mut bls, mut pattern) = (Vec::new(), None);
        for root in ENTRY_ROOTS {
            let folder = format!("{root}/loader/entries");
            for file in tree.read_dir(&folder).unwrap_or_default() {
                let Some(id) = file.name.strip_suffix(".conf") else { continue };
                if let Some(text) = text(tree, &format!("{folder}/{}", file.name))? {
                    bls.push(Entry { root: root.into(), ..parse_bls_entry(id, &text) });
                }
            }
            let settings = text(tree, &format!("{root}/loader/loader.conf"))?;
            if let Some(settings) = settings.filter(|_| menu.is_none()) {
                let value = |line: &str| Some(line.trim().strip_prefix("default")?.trim().to_owned());
                pattern.get_or_insert(settings.lines().find_map(value).unwrap_or_default());
            }
        }
        Ok(Self {
            pattern,
            menu: menu.unwrap_or_default(),
            bls,
            saved: grubenv_value(&environment, "saved_entry").map(str::to_owned),
        })
    }

    /// The file name of the kernel that starts when nobody chooses. Links such as `/vmlinuz` are followed.
    pub(crate) fn default_kernel(&self, tree: &GuestTree) -> Result<Option<String>> {
        let Some(entry) = self.default_entry() else { return Ok(None) };
        // A path with a variable in it is known to the loader alone.
        let Some(path) = entry.kernel.as_deref().filter(|path| !path.contains('$')) else { return Ok(None) };
        let found = first_file(tree, &in_tree(entry, path))?;
        let real = found.map(|path| tree.canonical(&path, true)).transpose()?;
        Ok(Some(file_name(real.as_deref().unwrap_or(path)).to_owned()))
    }

    fn default_entry(&self) -> Option<&Entry> {
        let saved = self.saved.as_deref();
        if self.pattern.is_some() {
            return self.chosen_by_pattern();
        }
        if self.menu.uses_bls {
            return saved.and_then(|saved| self.bls.iter().find(|entry| entry.id == saved));
        }
        let fixed = Some(self.menu.default.as_str()).filter(|choice| !choice.is_empty());
        let chosen = fixed.or(saved).and_then(|choice| self.menu.find(choice));
        chosen.or_else(|| self.menu.find("0"))
    }

    /// The entry that systemd-boot starts: the newest that its pattern fits (loader.conf(5), "default"), if any does.
    fn chosen_by_pattern(&self) -> Option<&Entry> {
        let pattern = self.pattern.as_deref().filter(|pattern| !pattern.is_empty())?;
        let pattern = pattern.strip_suffix(".conf").unwrap_or(pattern);
        let fits = |entry: &&Entry| matches(pattern.as_bytes(), entry.id.as_bytes());
        self.bls.iter().filter(fits).max_by(|a, b| compare_versions(&a.version, &b.version))
    }

    /// Whether `kernel`, which lies at `image`, is what the pattern of systemd-boot chooses: there paths differ and file
    /// names (`linux`) do not.
    pub(crate) fn is_chosen(&self, version: &str, image: Option<&str>) -> bool {
        self.chosen_by_pattern().is_some_and(|entry| {
            let path = entry.kernel.as_deref();
            is_of_version(entry, version)
                || path
                    .is_some_and(|path| in_tree(entry, path).iter().any(|path| Some(path.as_str()) == image))
        })
    }

    /// The loader entry of a kernel. kernel-install(8) puts it and its initramfs into a folder with the version's name.
    pub(crate) fn entry_of_version(&self, version: &str) -> Option<&Entry> {
        self.bls.iter().find(|entry| is_of_version(entry, version))
    }

    /// The entry that starts the kernel with that file name.
    pub(crate) fn entry_of(&self, image: &str) -> Option<&Entry> {
        let name = file_name(image);
        self.all()
            .into_iter()
            .find(|entry| entry.kernel.as_deref().is_some_and(|kernel| file_name(kernel) == name))
    }

    /// Every entry that is no submenu.
    pub(crate) fn all(&self) -> Vec<&Entry> {
        fn add<'a>(entries: &'a [Entry], all: &mut Vec<&'a Entry>) {
            for entry in entries {
                all.push(entry);
                add(&entry.children, all);
            }
        }
        let mut all = Vec::new();
        add(&self.menu.entries, &mut all);
        add(&self.bls, &mut all);
        all
    }
}

fn is_of_version(entry: &Entry, version: &str) -> bool {
    let in_path = |path: &String| path.split('/').any(|part| part == version);
    entry.version == version || entry.kernel.as_ref().is_some_and(in_path)
}

/// The menu of GRUB 2, of GRUB legacy, or of extlinux and its like: the first that there is.
fn load_menu(tree: &GuestTree) -> Result<Option<Menu>> {
    if let Some(file) = grub2_menu(tree)? {
        return whole_grub_cfg(tree, &file).map(Some);
    }
    if let Some(file) = first_text(tree, GRUB1)? {
        let saved = text(tree, "/boot/grub/default")?;
        let saved = saved.as_deref().and_then(|text| text.lines().next()).map(str::trim);
        return Ok(Some(parse_grub1(&file.text, saved)));
    }
    let Some(file) = first_text(tree, SYSLINUX.map(|(path, _)| path))? else { return Ok(None) };
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut whole = file.text.clone();
    for name in file.text.lines().filter_map(included).take(MAX_INCLUDED) {
        whole += &text(tree, &format!("{folder}/{name}"))?.unwrap_or_default();
        whole.push('\n');
    }
    Ok(Some(parse_syslinux(&whole, folder)))
}

/// A menu of GRUB 2 with what it reads besides, such as custom.cfg. The last one that names a default has its way.
fn whole_grub_cfg(tree: &GuestTree, file: &MenuFile) -> Result<Menu> {
    let mut menu = parse_grub_cfg(&file.text);
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for places in loader_files::included(&file.text, folder) {
        let Some(more) = first_text(tree, places.iter().map(String::as_str))? else { continue };
        let more = parse_grub_cfg(&more.text);
        menu.entries.extend(more.entries);
        menu.uses_bls |= more.uses_bls;
        if !more.default.is_empty() {
            menu.default = more.default;
        }
    }
    Ok(menu)
}

/// The file beside it that a line of extlinux.conf includes.
fn included(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let word = words.next().filter(|word| word.eq_ignore_ascii_case("include"));
    word.and_then(|_| words.next()).filter(|name| !name.contains('/') && *name != "..")
}

/// Where a path of an entry may lie in the guest's tree.
pub(crate) fn in_tree(entry: &Entry, path: &str) -> Vec<String> {
    let mut places = Vec::new();
    if !entry.root.is_empty() {
        places.push(format!("{}{path}", entry.root));
    }
    places.extend([format!("/boot{path}"), path.to_owned()]);
    places
}

/// The first of the paths that is a file.
pub(crate) fn first_file(tree: &GuestTree, paths: &[String]) -> Result<Option<String>> {
    for path in paths.iter().filter(|path| path.starts_with('/')) {
        if kind_of(tree, path)? == Some(FileKind::File) {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

/// What stands behind the last `/`.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether `text` fits a pattern with `*` and `?`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut text_at, mut star) = (0, 0, None);
    while text_at < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, text_at));
                at += 1;
            }
            Some(b'?') => (at, text_at) = (at + 1, text_at + 1),
            Some(wanted) if text.get(text_at) == Some(wanted) => (at, text_at) = (at + 1, text_at + 1),
            _ => {
                let Some((star_at, from)) = star else { return false };
                star = Some((star_at, from + 1));
                (at, text_at) = (star_at + 1, from + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_a_shell_has_them() {
        for (pattern, text, fits) in [
            ("abc-*", "abc-6.1", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "a", false),
            ("*b", "abab", true),
            ("*x", "abab", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }
}
