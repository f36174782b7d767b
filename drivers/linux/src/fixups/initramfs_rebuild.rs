//! initramfs: what cannot be extended is made anew by the guest's own tool, where that can be run before the guest starts.
//!
//! It comes behind the configuration of the tools (`initramfs_config`), which names the target's drivers. The images are looked at
//! again afterwards: a tool that leaves the drivers out is noticed before anything is copied.

use crate::kernels::listing;
use crate::rebuild_tool::RebuildTool;
use driver_core::{Applies, Context, Draft, Fixup, KernelFacts};
use format_core::Result;
use std::collections::BTreeSet;

pub(super) struct InitramfsRebuild;

impl Fixup for InitramfsRebuild {
    fn id(&self) -> &'static str {
        "linux-initramfs-rebuild"
    }

    fn title(&self) -> &'static str {
        "the guest's own tool makes the initramfs anew"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if images(context, draft)?.is_empty() {
            return Ok(Applies::no("the images that are there are extended"));
        }
        if !draft.tree().can_run() {
            return Ok(Applies::no("programs of the guest cannot be run before it starts"));
        }
        Ok(match RebuildTool::find(context, draft)? {
            Some(_) => Applies::Yes,
            None => Applies::cannot(
                "neither update-initramfs nor dracut nor mkinitcpio is in the guest",
                "install the distribution's tool in the guest before exporting",
            ),
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(tool) = RebuildTool::find(context, draft)? else { return Ok(()) };
        for (path, kernel) in images(context, draft)? {
            let reason = format!("drivers for {}, by the guest's own tool", context.target.name);
            draft.run(&path, tool.command(&path, &kernel.version), &reason)?;
        }
        Ok(())
    }
}

/// The images that are made anew: all where that is wished, else the first kernel's when it cannot be extended.
fn images<'a>(context: &Context<'a>, draft: &Draft<'_>) -> Result<Vec<(String, &'a KernelFacts)>> {
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for (number, kernel) in context.guest.kernels.iter().enumerate() {
        let Some(path) = &kernel.initramfs else { continue };
        let wanted = context.wishes.rebuild_initramfs || (number == 0 && is_closed(draft, path)?);
        let full = draft.tree().canonical(path, true)?;
        if wanted && done.insert(full.clone()) {
            found.push((full, kernel));
        }
    }
    Ok(found)
}

/// Whether the image cannot be read, so that nothing can be added to it.
fn is_closed(draft: &Draft<'_>, path: &str) -> Result<bool> {
    Ok(listing(draft.tree(), path)?.is_err())
}

/// Whether another than `initramfs` sees to this kernel's image.
pub(super) fn takes(context: &Context<'_>, draft: &Draft<'_>, number: usize, path: &str) -> Result<bool> {
    let wanted = context.wishes.rebuild_initramfs || (number == 0 && is_closed(draft, path)?);
    // Asked in this order, so that the draft hears of it only where an editor that can run programs would help.
    Ok(wanted && RebuildTool::find(context, draft)?.is_some() && draft.can_run())
}
