//! Configuration of the initramfs builders: later rebuilds in the guest keep the target's drivers.
//!
//! Facts: initramfs-tools adds what /etc/initramfs-tools/modules lists, one module per line (initramfs-tools(7));
//! dracut adds `add_drivers` of /etc/dracut.conf.d/*.conf also to images for one host (dracut.conf(5)). Without this the
//! next kernel update inside the guest may build an image without drivers for its disk: Amazon Linux and RHEL configure
//! `hostonly`, and a rebuild soon after the move may run before every device was seen. mkinitcpio reads
//! /etc/mkinitcpio.conf, a shell file, and mkinitcpio.conf.d after it (mkinitcpio.conf(5)): `MODULES`. mkinitfs has a file with patterns of
//! modules for each of the `features` in /etc/mkinitfs/mkinitfs.conf (mkinitfs(1)). mkinitrd of SUSE up to 11 takes `INITRD_MODULES` in
//! /etc/sysconfig/kernel (mkinitrd(8) of SLES 11); later ones are dracut.

use super::initramfs::{distinct, load_index, modules_only, required};
use crate::config_file::{Line, edit_lines, exists, read, read_lossy, read_small, with_line};
use driver_core::{Applies, Context, Draft, Fixup};
use driver_initramfs::ModuleState;
use format_core::Result;

const INITRAMFS_TOOLS: &str = "/etc/initramfs-tools";
const MODULES: &str = "/etc/initramfs-tools/modules";
/// initramfs-tools of Debian 13 and Ubuntu 24.04 brings a program of dracut's in /usr/lib/dracut, but not its modules.
const DRACUT: [&str; 3] = ["/etc/dracut.conf.d", "/etc/dracut.conf", "/usr/lib/dracut/modules.d"];
const DRACUT_DROP_IN: &str = "/etc/dracut.conf.d/90-rehome.conf";
const SUSE: &str = "/etc/sysconfig/kernel";
const MKINITCPIO: &str = "/etc/mkinitcpio.conf";
const MKINITCPIO_FOLDER: &str = "/etc/mkinitcpio.conf.d";
const MKINITFS: &str = "/etc/mkinitfs/mkinitfs.conf";
const MKINITFS_FEATURE: &str = "/etc/mkinitfs/features.d/rehome.modules";

pub(super) struct InitramfsConfig;

impl Fixup for InitramfsConfig {
    fn id(&self) -> &'static str {
        "linux-initramfs-config"
    }

    fn title(&self) -> &'static str {
        "later initramfs rebuilds keep the target's drivers"
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some(
            "add the target's drivers to /etc/initramfs-tools/modules, or a file with add_drivers+=\" … \" to /etc/dracut.conf.d",
        )
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let others = exists(draft, MKINITCPIO)? || exists(draft, MKINITFS)? || has_suse_list(draft)?;
        if !exists(draft, INITRAMFS_TOOLS)? && !has_dracut(draft)? && !others {
            return Ok(Applies::no("no builder of initramfs images is configured"));
        }
        Ok(match wanted(context, draft).is_empty() {
            true => Applies::no("the target's drivers are part of the kernel"),
            false => Applies::Yes,
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let wanted = wanted(context, draft);
        let reason = format!("later rebuilds keep the drivers for {}", context.target.name);
        if exists(draft, INITRAMFS_TOOLS)? {
            let listed = read_lossy(draft, MODULES)?.unwrap_or_default();
            let mut content = read(draft, MODULES)?.unwrap_or_default();
            for module in wanted.iter().filter(|module| !is_listed(&listed, module)) {
                content = with_line(content, module);
            }
            draft.write(MODULES, content, &reason)?;
        }
        if has_dracut(draft)? {
            let comment = format!("# drivers that {} needs at boot", context.target.name);
            let content = format!("{comment}\nadd_drivers+=\" {} \"\n", wanted.join(" "));
            draft.write(DRACUT_DROP_IN, content, &reason)?;
        }
        if has_suse_list(draft)? {
            suse(draft, &wanted, &reason)?;
        }
        if exists(draft, MKINITCPIO)? {
            mkinitcpio(draft, &wanted, &reason)?;
        }
        if exists(draft, MKINITFS)? {
            mkinitfs(context, draft, &wanted, &reason)?;
        }
        Ok(())
    }
}

/// The list of SUSE's mkinitrd is in use where there is no dracut.
fn has_suse_list(draft: &Draft<'_>) -> Result<bool> {
    let text = read_small(draft, SUSE)?;
    Ok(text.lines().any(|line| suse_list(line).is_some()) && !has_dracut(draft)?)
}

fn suse_list(line: &str) -> Option<&str> {
    line.strip_prefix("INITRD_MODULES=\"")?.split('"').next()
}

fn suse(draft: &mut Draft<'_>, wanted: &[&str], reason: &str) -> Result<()> {
    let Some(content) = read(draft, SUSE)? else { return Ok(()) };
    let new = edit_lines(&content, |line| {
        let Some(list) = suse_list(line) else { return Line::Keep };
        let listed: Vec<&str> = list.split_whitespace().collect();
        let all = distinct(listed.iter().copied().chain(wanted.iter().copied()));
        if all.len() == listed.len() {
            return Line::Keep;
        }
        let rest =
            line.split_once('"').and_then(|(_, value)| value.split_once('"')).map_or("", |(_, rest)| rest);
        Line::Replace(format!("INITRD_MODULES=\"{}\"{rest}", all.join(" ")))
    });
    draft.write(SUSE, new, reason)
}

fn mkinitcpio(draft: &mut Draft<'_>, wanted: &[&str], reason: &str) -> Result<()> {
    let line = format!("MODULES+=({})", wanted.join(" "));
    if exists(draft, MKINITCPIO_FOLDER)? {
        return draft.write(&format!("{MKINITCPIO_FOLDER}/90-rehome.conf"), format!("{line}\n"), reason);
    }
    let content = read(draft, MKINITCPIO)?.unwrap_or_default();
    if String::from_utf8_lossy(&content).lines().any(|old| old == line) {
        return Ok(());
    }
    draft.write(MKINITCPIO, with_line(content, &line), reason)
}

fn mkinitfs(context: &Context<'_>, draft: &mut Draft<'_>, wanted: &[&str], reason: &str) -> Result<()> {
    let index = context.guest.kernels.first().and_then(|kernel| load_index(draft.tree(), kernel).ok());
    let Some(index) = index else { return Ok(()) };
    // `kernel/drivers/hv/hv_vmbus.ko*`: the path is the same in later kernels.
    let pattern = |module: &&str| match index.state(module) {
        ModuleState::Module(path) => {
            let end = path.rfind(".ko").unwrap_or(path.len());
            Some(format!("{}.ko*\n", path.get(..end)?))
        }
        _ => None,
    };
    let patterns: String = wanted.iter().filter_map(pattern).collect();
    draft.write(MKINITFS_FEATURE, patterns, reason)?;
    let content = read(draft, MKINITFS)?.unwrap_or_default();
    let mut found = false;
    let new = edit_lines(&content, |line| {
        let Some(value) = line.strip_prefix("features=") else { return Line::Keep };
        found = true;
        let list = value.trim().trim_matches(['"', '\'']);
        match list.split_whitespace().any(|feature| feature == "rehome") {
            true => Line::Keep,
            false => Line::Replace(format!("features=\"{list} rehome\"")),
        }
    });
    if !found {
        draft.note(format!("{MKINITFS} has no line with features: add rehome to them for later images"));
    }
    draft.write(MKINITFS, new, reason)
}

fn has_dracut(draft: &Draft<'_>) -> Result<bool> {
    for path in DRACUT {
        if exists(draft, path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What at least one kernel has as a module.
fn wanted<'a>(context: &Context<'a>, draft: &Draft<'_>) -> Vec<&'a str> {
    let indexes: Vec<_> =
        context.guest.kernels.iter().filter_map(|kernel| load_index(draft.tree(), kernel).ok()).collect();
    let helpful = context.target.helpful_modules.iter().copied();
    let mut modules = distinct(required(context).into_iter().chain(helpful));
    modules.retain(|module| indexes.iter().any(|index| !modules_only(index, &[*module]).is_empty()));
    modules
}

fn is_listed(text: &str, module: &str) -> bool {
    let name = |word: &str| word.replace('-', "_");
    text.lines().filter_map(|line| line.split_whitespace().next()).any(|word| name(word) == name(module))
}
