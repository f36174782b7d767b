//! All fixups over one guest: the plan, and its application.

use crate::{Action, Applies, Context, Draft, Edit, Fixup, GuestTree, PlannedFixup, Status};
use driver_registry::{FileTime, Value};
use format_core::{Error, ErrorKind, Result};
use serde::Serialize;
use std::time::SystemTime;

/// What will be done to a guest.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// Every fixup that was considered, in order.
    pub fixups: Vec<PlannedFixup>,
    /// All edits, in the order in which they are applied.
    pub edits: Vec<Edit>,
}

impl Plan {
    /// The fixups that are left to a person in the running guest.
    pub fn left_out(&self) -> impl Iterator<Item = &PlannedFixup> {
        self.fixups.iter().filter(|fixup| fixup.status == Status::LeftOut)
    }

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
    plan_in(Draft::new(tree), context, fixups)
}

/// The same for an overview: quick, and not to be applied, because large content may be left empty.
///
/// # Errors
/// As [`make_plan`].
pub fn outline(context: &Context<'_>, tree: &GuestTree, fixups: &[&dyn Fixup]) -> Result<Plan> {
    plan_in(Draft::outline(tree), context, fixups)
}

fn plan_in(mut draft: Draft<'_>, context: &Context<'_>, fixups: &[&dyn Fixup]) -> Result<Plan> {
    let mut plan = Plan::default();
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
    let mut refused_by_editor = false;
    let (status, reason, next_step) = match fixup.applies(context, draft)? {
        Applies::No(reason) => (Status::NotApplicable, Some(reason), None),
        Applies::Cannot { reason, next_step } => (Status::Cannot, Some(reason), Some(next_step)),
        Applies::Yes => match fixup.plan(context, draft) {
            Ok(()) if draft.planned_edits() == before => (Status::NothingToDo, None, None),
            Ok(()) => match draft.refusal()? {
                None => (Status::Planned, None, None),
                Some(error) => {
                    refused_by_editor = true;
                    draft.withdraw();
                    refused(fixup, &error)
                }
            },
            Err(e) if e.kind() == ErrorKind::NeedsPerson => {
                (Status::Cannot, Some(e.to_string()), e.hint_text().map(str::to_owned))
            }
            Err(e) => return Err(e),
        },
    };
    let edits = draft.planned_edits() - before;
    let asked = draft.take_asked();
    let by_editor = refused_by_editor || (asked && status == Status::Cannot);
    let notes = draft.take_notes();
    let reason = if notes.is_empty() {
        reason
    } else {
        Some(reason.into_iter().chain(notes).collect::<Vec<_>>().join("; "))
    };
    Ok(PlannedFixup { id: fixup.id(), title: fixup.title(), status, reason, next_step, edits, by_editor })
}

/// What becomes of a fixup of which a file system refuses an edit.
fn refused(fixup: &dyn Fixup, error: &Error) -> (Status, Option<String>, Option<String>) {
    let reason = Some(error.to_string());
    match fixup.by_hand() {
        Some(step) => (Status::LeftOut, reason, Some(step.to_owned())),
        None => (Status::Cannot, reason, error.hint_text().map(str::to_owned)),
    }
}

/// Applies `edits` in order, and writes the file systems. The caller drops the overlay when this fails.
///
/// # Errors
/// `Contract` when the guest is not what the plan saw; what the file systems report.
pub fn apply(tree: &mut GuestTree, edits: &[Edit]) -> Result<()> {
    // Whether the guest still is what the plan saw is asked of the file systems themselves.
    tree.forget();
    let now = FileTime::from_system(SystemTime::now());
    for edit in edits {
        apply_one(tree, edit, now).map_err(|e| e.context(format!("{} {}", edit.verb(), edit.path)))?;
    }
    tree.finish()
}

fn apply_one(tree: &mut GuestTree, edit: &Edit, now: FileTime) -> Result<()> {
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
        Action::Run { command } => {
            let outcome = tree.run(command)?;
            if outcome.succeeded() {
                return Ok(());
            }
            Err(Error::needs_person(format!("{} {}", command.program, outcome.describe()))
                .hint("see to it in the running guest, then export and migrate it again"))
        }
        Action::SetValue { key, name, before, after } => {
            same_value(tree, key, name, before.as_ref())?;
            tree.edit_registry(key, now, |editor, key| editor.set_value(key, name, after).map(drop))
        }
        Action::DeleteValue { key, name, before } => {
            same_value(tree, key, name, Some(before))?;
            tree.edit_registry(key, now, |editor, key| editor.delete_value(key, name).map(drop))
        }
        Action::CreateKey { key } => {
            tree.edit_registry(key, now, |editor, key| editor.create_key(key, None).map(drop))
        }
        Action::DeleteKey { key } => {
            tree.edit_registry(key, now, |editor, key| editor.delete_key(key).map(drop))
        }
    }
}

fn same_value(tree: &GuestTree, key: &str, name: &str, before: Option<&Value>) -> Result<()> {
    if tree.registry_value(key, name)?.as_ref() == before { Ok(()) } else { Err(changed()) }
}

fn changed() -> Error {
    Error::contract("the guest is not as it was when the plan was made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, DirEntry, FileMeta, Firmware, Guest, GuestFs, MemFs, Ownership, Target};

    const TARGET: Target = Target {
        id: "t",
        name: "T",
        platform: crate::Platform::Kvm,
        firmware: Firmware::Bios,
        disk_bus: "virtio-blk",
        is_default: true,
        boot_modules: &[],
        helpful_modules: &[],
        network_module: "net",
        first_nic: None,
        consoles: &[],
        datasources: &["None"],
        definitions: &[],
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

    /// Files in memory that keep their names and their size.
    struct Fixed(MemFs);

    impl GuestFs for Fixed {
        fn kind(&self) -> &'static str {
            "fixed"
        }
        fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
            self.0.metadata(path)
        }
        fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
            self.0.read_dir(path)
        }
        fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
            self.0.read_file(path, limit)
        }
        fn read_link(&self, path: &str) -> Result<String> {
            self.0.read_link(path)
        }
        fn allows(&self, path: &str, change: Change) -> Result<()> {
            let size = self.metadata(path)?.map(|meta| meta.size);
            let fits = matches!(change, Change::Content { size: new } if size.is_some_and(|old| new <= old));
            if fits { Ok(()) } else { Err(Error::needs_person("in place only").hint("do it there")) }
        }
        fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
            self.0.replace_file(path, content)
        }
        fn append_file(&mut self, _: &str, _: &[u8]) -> Result<()> {
            Err(Error::contract("not asked for"))
        }
        fn create_file(&mut self, _: &str, _: &[u8], _: Ownership) -> Result<()> {
            Err(Error::contract("not asked for"))
        }
        fn create_folder(&mut self, _: &str, _: Ownership) -> Result<()> {
            Err(Error::contract("not asked for"))
        }
        fn create_link(&mut self, _: &str, _: &str) -> Result<()> {
            Err(Error::contract("not asked for"))
        }
        fn rename(&mut self, _: &str, _: &str) -> Result<()> {
            Err(Error::contract("not asked for"))
        }
        fn remove(&mut self, _: &str) -> Result<()> {
            Err(Error::contract("not asked for"))
        }
        fn finish(&mut self) -> Result<()> {
            Ok(())
        }
    }

    /// Writes a file, and says whether a person could.
    struct Write(&'static str, &'static str, Option<&'static str>);

    impl Fixup for Write {
        fn id(&self) -> &'static str {
            self.0
        }
        fn title(&self) -> &'static str {
            "writes a file"
        }
        fn applies(&self, _: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
            Ok(Applies::Yes)
        }
        fn by_hand(&self) -> Option<&'static str> {
            self.2
        }
        fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
            let seen = draft.read_text("/x")?.unwrap_or_default();
            draft.note(format!("saw {seen}"));
            draft.write("/x", self.1, "test")?;
            draft.write(self.0, "", "test")
        }
    }

    #[test]
    fn what_a_file_system_refuses_is_left_out_whole_or_an_obstacle() {
        let guest = Guest::default();
        let context = Context::new(&guest, &TARGET);
        let mut tree = GuestTree::new();
        let files = MemFs::new().with_file("/x", "old").with_file("/y", "why");
        tree.mount("/", Box::new(Fixed(files)));
        let fixups: [&dyn Fixup; 4] = [
            &Write("/new", "one", Some("by hand")),
            &Write("/y", "two", None),
            &Write("/y", "four", Some("again")),
            &Write("/other", "six", None),
        ];
        let plan = make_plan(&context, &tree, &fixups).unwrap();
        let status: Vec<_> = plan.fixups.iter().map(|fixup| (fixup.status, fixup.edits)).collect();
        let expected =
            [(Status::LeftOut, 0), (Status::Planned, 2), (Status::LeftOut, 0), (Status::Cannot, 0)];
        assert_eq!(status, expected);
        assert_eq!(plan.fixups[0].reason.as_deref(), Some("create /new: in place only; saw old"));
        assert_eq!(plan.fixups[0].next_step.as_deref(), Some("by hand"));
        assert_eq!(plan.fixups[1].reason.as_deref(), Some("saw old"), "nothing of the first is seen");
        assert_eq!(plan.fixups[3].reason.as_deref(), Some("create /other: in place only; saw two"));
        assert_eq!(plan.fixups[3].next_step.as_deref(), Some("do it there"));
        assert_eq!((plan.left_out().count(), plan.obstacles().count()), (2, 1));
        apply(&mut tree, &plan.edits).unwrap();
        assert_eq!(tree.read_file("/x", 9).unwrap().unwrap(), b"two");
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
