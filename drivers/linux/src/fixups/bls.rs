//! Boot Loader Specification: the entries that Fedora, RHEL and Amazon Linux boot.
//!
//! Facts: /boot/loader/entries/*.conf have `options` lines (The UAPI Group, Boot Loader Specification, type 1);
//! `$kernelopts` in them comes from GRUB's environment block, which is 1024 bytes long and padded with `#` (GRUB manual,
//! "The GRUB environment block"). /etc/kernel/cmdline is what kernel-install(8) gives to the next kernel.

use crate::config_file::{Line, edit_lines, exists, list, read};
use crate::kernel_cmdline::{Rules, rewrite};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};

/// The second and third are where systemd-boot has its entries.
const ENTRIES: [&str; 3] = ["/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries"];
const CMDLINE: &str = "/etc/kernel/cmdline";
const ENVIRONMENTS: [&str; 2] = ["/boot/grub2/grubenv", "/boot/grub/grubenv"];

pub(super) struct Bls;

impl Fixup for Bls {
    fn id(&self) -> &'static str {
        "linux-bls"
    }

    fn title(&self) -> &'static str {
        "kernel arguments of boot loader entries fit the target"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !entries(draft)?.is_empty() || exists(draft, CMDLINE)?;
        Ok(if found { Applies::Yes } else { Applies::no(format!("there are no entries in {}", ENTRIES[0])) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let rules = Rules::of(context);
        let mut edited = Vec::new();
        let mut files: Vec<(String, &[&str])> =
            entries(draft)?.into_iter().map(|path| (path, &["options ", "options\t"][..])).collect();
        files.extend(ENVIRONMENTS.map(|path| (path.to_owned(), &["kernelopts="][..])));
        files.push((CMDLINE.to_owned(), &[""]));
        for (path, keys) in files {
            let Some(content) = read(draft, &path)? else { continue };
            // An entry says itself whether it has an initramfs.
            let has = String::from_utf8_lossy(&content).lines().any(|line| line.starts_with("initrd"));
            let is_entry = path.ends_with(".conf");
            let rules = Rules { has_initramfs: if is_entry { has } else { rules.has_initramfs }, ..rules };
            let mut trouble = None;
            let mut new = edit_lines(&content, |line| edit(line, keys, &rules, &mut trouble));
            if let Some(why) = trouble {
                return Err(Error::needs_person(format!("{path}: {why}"))
                    .hint("add the disk that holds the root file system to the migration"));
            }
            if path.ends_with("grubenv") && new != content {
                new = refill(new, content.len()).ok_or_else(|| {
                    Error::needs_person(format!(
                        "{path}: the new arguments do not fit {} bytes",
                        content.len()
                    ))
                    .hint("shorten kernelopts with grub2-editenv before exporting")
                })?;
            }
            edited.push((path, new));
        }
        let reason = format!("root device and consoles of {}", context.target.name);
        edited.into_iter().try_for_each(|(path, new)| draft.write(&path, new, &reason))
    }
}

fn entries(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in ENTRIES {
        found.extend(list(draft, folder, ".conf")?);
    }
    Ok(found)
}

fn edit(line: &str, keys: &[&str], rules: &Rules<'_>, trouble: &mut Option<String>) -> Line {
    let Some(args) = keys.iter().find_map(|key| line.strip_prefix(key)) else { return Line::Keep };
    match rewrite(args, rules) {
        Ok(new) if new == args => Line::Keep,
        Ok(new) => Line::Replace(format!("{}{new}", line.strip_suffix(args).unwrap_or_default())),
        Err(why) => {
            trouble.get_or_insert(why);
            Line::Keep
        }
    }
}

/// Makes an environment block as long as it was; `None` when it does not fit.
fn refill(mut block: Vec<u8>, len: usize) -> Option<Vec<u8>> {
    let used = block.iter().rposition(|&byte| byte != b'#').map_or(0, |last| last + 1);
    if used > len {
        return None;
    }
    block.resize(len.max(used), b'#');
    Some(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_blocks_keep_their_size() {
        assert_eq!(refill(b"a=1\n####".to_vec(), 6).unwrap(), b"a=1\n##");
        assert_eq!(refill(b"a=1\n#".to_vec(), 8).unwrap(), b"a=1\n####");
        assert_eq!(refill(b"a=1\n".to_vec(), 4).unwrap(), b"a=1\n");
        assert_eq!(refill(b"a=12\n#".to_vec(), 4), None);
        assert_eq!(refill(b"##".to_vec(), 1).unwrap(), b"#");
    }
}
