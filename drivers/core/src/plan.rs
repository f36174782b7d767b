//! All fixups over one guest: the plan, and its application.

use crate::{Action, Applies, Context, Draft, Edit, Fixup, GuestTree, PlannedFixup, Status};
use format_core::{Error, ErrorKind, Result};
use serde::Serialize;

/// What will be done to a guest.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// Every fixup that was considered, in order.
    pub fixups: Vec<PlannedFixup>,
    /// All edits, in the order in which they are applied.
    pub edits: Vec<Edit>,
}

impl Plan {
    /// The fixups that concern the guest and cannot be done.
    pub fn obstacles(&self) -> impl Iterator<Item = &PlannedFixup> {
        self.fixups.iter().filter(|fixup| fixup.status == Status::Cannot)
    }
}

/// Runs every fixup over a draft of `tree`.
///
/// # Errors
/// When the guest cannot be read. What a fixup cannot do is no error but part of the plan.
pub fn make_plan(context: &Context<'_>, tree: &GuestTree, fixups: &[&dyn Fixup]) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut draft = Draft::new(tree);
    for fixup in fixups {
        let planned =
            plan_one(context, &mut draft, *fixup).map_err(|e| e.context(format!("plan {}", fixup.id())))?;
        plan.fixups.push(planned);
        plan.edits.append(&mut draft.take_edits());
    }
    Ok(plan)
}

fn plan_one(context: &Context<'_>, draft: &mut Draft<'_>, fixup: &dyn Fixup) -> Result<PlannedFixup> {
    let before = draft.planned_edits();
    let (status, reason, next_step) = match fixup.applies(context, draft)? {
        Applies::No(reason) => (Status::NotApplicable, Some(reason), None),
        Applies::Cannot { reason, next_step } => (Status::Cannot, Some(reason), Some(next_step)),
        Applies::Yes => match fixup.plan(context, draft) {
            Ok(()) if draft.planned_edits() == before => (Status::NothingToDo, None, None),
            Ok(()) => (Status::Planned, None, None),
            Err(e) if e.kind() == ErrorKind::NeedsPerson => {
                (Status::Cannot, Some(e.to_string()), e.hint_text().map(str::to_owned))
            }
            Err(e) => return Err(e),
        },
    };
    let edits = draft.planned_edits() - before;
    let notes = draft.take_notes();
    let reason = if notes.is_empty() {
        reason
    } else {
        Some(reason.into_iter().chain(notes).collect::<Vec<_>>().join("; "))
    };
    Ok(PlannedFixup { id: fixup.id(), title: fixup.title(), status, reason, next_step, edits })
}

/// Applies `edits` in order, and writes the file systems. The caller drops the overlay when this fails.
///
/// # Errors
/// `Contract` when the guest is not what the plan saw; what the file systems report.
pub fn apply(tree: &mut GuestTree, edits: &[Edit]) -> Result<()> {
    for edit in edits {
        apply_one(tree, edit).map_err(|e| e.context(format!("{} {}", edit.verb(), edit.path)))?;
    }
    tree.finish()
}

fn apply_one(tree: &mut GuestTree, edit: &Edit) -> Result<()> {
    let path = edit.path.as_str();
    match &edit.action {
        Action::Replace { before, after } => {
            let len = before.len() as u64;
            let same_size = tree.metadata(path)?.is_some_and(|meta| meta.size == len);
            if !same_size || tree.read_file(path, len)?.as_ref() != Some(before) {
                return Err(changed());
            }
            tree.replace_file(path, after)
        }
        Action::Append { before_len, bytes } => {
            if tree.metadata(path)?.map(|meta| meta.size) != Some(*before_len) {
                return Err(changed());
            }
            tree.append_file(path, bytes)
        }
        Action::Create { content, ownership } => tree.create_file(path, content, *ownership),
        Action::CreateFolder { ownership } => tree.create_folder(path, *ownership),
        Action::CreateLink { target } => tree.create_link(path, target),
        Action::RemoveFile { .. } | Action::RemoveLink { .. } => tree.remove(path),
    }
}

fn changed() -> Error {
    Error::contract("the guest is not as it was when the plan was made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Firmware, Guest, MemFs, Ownership, Target};

    const TARGET: Target = Target {
        id: "t",
        name: "T",
        platform: crate::Platform::Kvm,
        firmware: Firmware::Bios,
        boot_modules: &[],
        helpful_modules: &[],
        network_module: "net",
        first_nic: None,
        consoles: &[],
        datasources: &["None"],
        image_format: "raw",
    };

    /// Replaces a word in one file, and leaves a mark.
    struct Word(&'static str, &'static str);

    impl Fixup for Word {
        fn id(&self) -> &'static str {
            self.0
        }
        fn title(&self) -> &'static str {
            "replaces a word"
        }
        fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
            Ok(if draft.exists("/etc/x")? { Applies::Yes } else { Applies::no("no /etc/x") })
        }
        fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
            let text = draft.read_text("/etc/x")?.unwrap_or_default();
            draft.write("/etc/x", text.replace(self.0, self.1), "test")?;
            if !draft.exists("/etc/marks/done")? {
                draft.link("/etc/marks/done", "/etc/x", "test")?;
            }
            if text.contains("odd") {
                draft.note("odd".into());
                draft.note("very odd".into());
            }
            draft.remove("/etc/old", "test")
        }
    }

    fn tree() -> GuestTree {
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_file("/etc/x", "a b").with_link("/etc/old", "x")));
        tree
    }

    #[test]
    fn later_fixups_see_what_earlier_ones_planned_and_a_second_plan_is_empty() {
        let guest = Guest::default();
        let context = Context::new(&guest, &TARGET);
        let fixups: [&dyn Fixup; 2] = [&Word("a", "b"), &Word("b", "c")];
        let mut tree = tree();
        let plan = make_plan(&context, &tree, &fixups).unwrap();
        let verbs: Vec<_> = plan.edits.iter().map(Edit::verb).collect();
        assert_eq!(verbs, ["change", "create-folder", "link", "unlink", "change"]);
        assert_eq!(tree.read_file("/etc/x", 9).unwrap().unwrap(), b"a b", "planning writes nothing");
        apply(&mut tree, &plan.edits).unwrap();
        assert_eq!(tree.read_file("/etc/x", 9).unwrap().unwrap(), b"c c");
        assert_eq!(tree.read_link("/etc/marks/done").unwrap(), "/etc/x");
        assert!(tree.link_metadata("/etc/old").unwrap().is_none());
        let again = make_plan(&context, &tree, &fixups).unwrap();
        assert!(again.edits.is_empty());
        assert_eq!(again.fixups[0].status, Status::NothingToDo);
    }

    #[test]
    fn remarks_stay_with_their_fixup() {
        let guest = Guest::default();
        let context = Context::new(&guest, &TARGET);
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_file("/etc/x", "odd")));
        let plan = make_plan(&context, &tree, &[&Word("odd", "even"), &Word("a", "b")]).unwrap();
        assert_eq!(plan.fixups[0].status, Status::Planned);
        assert_eq!(plan.fixups[0].reason.as_deref(), Some("odd; very odd"));
        assert_eq!(plan.fixups[1].reason, None);
    }

    #[test]
    fn a_plan_is_refused_by_another_guest() {
        let guest = Guest::default();
        let context = Context::new(&guest, &TARGET);
        let plan = make_plan(&context, &tree(), &[&Word("a", "b")]).unwrap();
        let mut other = tree();
        other.replace_file("/etc/x", b"a other").unwrap();
        assert_eq!(apply(&mut other, &plan.edits).unwrap_err().kind(), ErrorKind::Contract);
    }

    #[test]
    fn what_exists_is_not_created() {
        let tree = tree();
        let mut draft = Draft::new(&tree);
        assert!(draft.create("/etc/x", "n", Ownership::ROOT_FILE, "test").is_err());
        draft.create("/etc/deep/er/file", "n", Ownership::ROOT_FILE, "test").unwrap();
        assert_eq!(draft.read("/etc/deep/er/file", 9).unwrap().unwrap(), b"n");
        let names: Vec<_> = draft.read_dir("/etc").unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["deep", "old", "x"]);
        assert_eq!(draft.take_edits().len(), 3);
    }
}
