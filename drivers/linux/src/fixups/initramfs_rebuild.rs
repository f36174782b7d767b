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

#[cfg(test)]
mod tests {
    use super::super::menu_rebuild::MenuRebuild;
    use super::*;
    use driver_core::{
        Action, CommandOutcome, Guest, GuestCommand, GuestRunner, GuestTree, MemFs, Status, Wishes, apply,
        make_plan,
    };
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Says what it was asked to run, and how it ended.
    struct Recorder(Rc<RefCell<Vec<String>>>, i32);

    impl GuestRunner for Recorder {
        fn run(&self, command: &GuestCommand) -> Result<CommandOutcome> {
            self.0.borrow_mut().push(command.line());
            Ok(CommandOutcome { status: Some(self.1), timed_out: false, log: "no space left".into() })
        }
    }

    fn tree(tool: &str) -> GuestTree {
        let fs = MemFs::new()
            .with_file(tool, "")
            .with_file("/boot/initrd.img-6.1", "neither an archive nor packed")
            .with_file("/boot/grub2/grub.cfg", "")
            .with_file("/usr/sbin/grub2-mkconfig", "");
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(fs));
        tree
    }

    fn guest() -> Guest {
        let kernel = KernelFacts {
            version: "6.1".into(),
            initramfs: Some("/boot/initrd.img-6.1".into()),
            ..KernelFacts::default()
        };
        Guest { kernels: vec![kernel], ..Guest::default() }
    }

    #[test]
    fn an_image_that_cannot_be_read_is_made_anew_where_programs_can_be_run() {
        let (guest, ran) = (guest(), Rc::default());
        let target = driver_targets::targets().next().unwrap();
        let wishes = Wishes { rebuild_menu: true, ..Wishes::NONE };
        let context = Context { wishes: &wishes, ..Context::new(&guest, target) };
        for (tool, line) in [
            ("/usr/bin/dracut", "/usr/bin/dracut --force /boot/initrd.img-6.1 6.1"),
            ("/usr/sbin/update-initramfs", "/usr/sbin/update-initramfs -u -k 6.1"),
            ("/usr/bin/mkinitcpio", "/usr/bin/mkinitcpio -k 6.1 -g /boot/initrd.img-6.1"),
        ] {
            let mut tree = tree(tool);
            tree.set_runner(Box::new(Recorder(Rc::clone(&ran), 0)));
            let plan = make_plan(&context, &tree, &[&InitramfsRebuild, &MenuRebuild]).unwrap();
            assert!(plan.edits.iter().all(|edit| matches!(edit.action, Action::Run { .. })));
            apply(&mut tree, &plan.edits).unwrap();
            let menu = "/usr/sbin/grub2-mkconfig -o /boot/grub2/grub.cfg";
            assert_eq!(ran.take(), [line, menu]);
            assert_eq!(tree.take_commands().len(), 2);
        }
    }

    #[test]
    fn without_a_runner_the_plan_says_that_one_would_help() {
        let guest = guest();
        let target = driver_targets::targets().next().unwrap();
        let wishes = Wishes { rebuild_menu: true, ..Wishes::NONE };
        let context = Context { wishes: &wishes, ..Context::new(&guest, target) };
        let plan = make_plan(&context, &tree("/usr/bin/dracut"), &[&InitramfsRebuild, &MenuRebuild]).unwrap();
        let status: Vec<_> = plan.fixups.iter().map(|fixup| (fixup.status, fixup.by_editor)).collect();
        assert_eq!(status, [(Status::NotApplicable, false), (Status::Cannot, true)]);
    }

    #[test]
    fn a_program_that_fails_stops_the_edits_with_what_it_said() {
        let guest = guest();
        let target = driver_targets::targets().next().unwrap();
        let mut tree = tree("/usr/bin/dracut");
        tree.set_runner(Box::new(Recorder(Rc::default(), 1)));
        let plan = make_plan(&Context::new(&guest, target), &tree, &[&InitramfsRebuild]).unwrap();
        let error = apply(&mut tree, &plan.edits).unwrap_err();
        assert_eq!(error.kind(), format_core::ErrorKind::NeedsPerson);
        assert!(error.to_string().contains("status 1: no space left"), "{error}");
    }
}
