//! Edits of a guest's registry: planned, seen by later fixups, withdrawn, applied.

#![allow(clippy::unwrap_used, reason = "tests")]

use driver_core::{
    Applies, Context, Draft, Edit, Firmware, Fixup, Guest, GuestTree, MemFs, Platform, Target, apply,
    make_plan,
};
use driver_registry::{FileTime, Hive, Value};
use format_core::{ErrorKind, Result};

#[path = "../../registry/tests/maker/mod.rs"]
mod maker;

const PATH: &str = "/Windows/System32/config/SYSTEM";

const TARGET: Target = Target {
    id: "t",
    name: "T",
    platform: Platform::Kvm,
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

fn hive() -> Vec<u8> {
    let mut hive = Hive::open(maker::empty(5)).unwrap();
    let mut edit = hive.edit(FileTime(1)).unwrap();
    edit.create_key(r"ControlSet001\Services\vmbus\Parameters", None).unwrap();
    edit.set_value(r"ControlSet001\Services\vmbus", "Start", &Value::dword(3)).unwrap();
    hive.into_bytes().unwrap()
}

fn tree() -> GuestTree {
    let log = maker::empty(5)[..512].to_vec();
    let mut tree = GuestTree::new();
    let files = MemFs::new().with_file(PATH, hive()).with_file(&format!("{PATH}.LOG1"), log);
    tree.mount("/", Box::new(files));
    assert!(!tree.mount_hive("SYSTEM", PATH).unwrap().was_dirty);
    tree
}

/// What a fixup does with the registry.
struct Keys(fn(&mut Draft<'_>) -> Result<()>);

impl Fixup for Keys {
    fn id(&self) -> &'static str {
        "keys"
    }
    fn title(&self) -> &'static str {
        "edits keys"
    }
    fn applies(&self, _: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
        Ok(Applies::Yes)
    }
    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        (self.0)(draft)
    }
}

const VMBUS: &str = r"SYSTEM\ControlSet001\Services\vmbus";
const NEW: &str = r"SYSTEM\ControlSet001\Services\new";

fn first(draft: &mut Draft<'_>) -> Result<()> {
    draft.set_value(&VMBUS.to_lowercase(), "start", Value::dword(0), "it starts at boot")?;
    draft.delete_key(&format!(r"{VMBUS}\Parameters"), "not wanted")?;
    draft.set_value(NEW, "", Value::string("x"), "new")
}

fn second(draft: &mut Draft<'_>) -> Result<()> {
    assert_eq!(draft.value(VMBUS, "Start")?, Some(Value::dword(0)));
    assert!(!draft.has_key(&format!(r"{VMBUS}\Parameters"))?);
    assert_eq!(draft.subkeys(VMBUS)?, [""; 0]);
    assert_eq!(draft.subkeys(r"SYSTEM\ControlSet001\services")?, ["vmbus", "new"]);
    assert_eq!(draft.values(NEW)?, [(String::new(), Value::string("x"))]);
    draft.delete_key(NEW, "again")?;
    draft.create_key(NEW, "once more")?;
    assert_eq!(draft.value(NEW, "")?, None);
    draft.delete_value(NEW, "", "there is none")
}

#[test]
fn the_registry_is_planned_and_applied_and_a_second_plan_is_empty() {
    let guest = Guest::default();
    let context = Context::new(&guest, &TARGET);
    let mut tree = tree();
    let fixups: [&dyn Fixup; 2] = [&Keys(first), &Keys(second)];
    let plan = make_plan(&context, &tree, &fixups).unwrap();
    let verbs: Vec<_> = plan.edits.iter().map(Edit::verb).collect();
    let expected =
        ["change", "set-value", "delete-key", "create-key", "set-value", "delete-key", "create-key"];
    assert_eq!(verbs, expected);
    assert_eq!(plan.edits[0].path, format!("{PATH}.LOG1"));
    assert_eq!(
        plan.edits[1].describe(),
        "[system\\controlset001\\services\\vmbus]\n-\"start\"=dword:00000003\n+\"start\"=dword:00000000"
    );
    assert_eq!(
        tree.registry_value(VMBUS, "Start").unwrap(),
        Some(Value::dword(3)),
        "planning writes nothing"
    );
    apply(&mut tree, &plan.edits).unwrap();
    for _ in 0..2 {
        assert_eq!(tree.registry_value(VMBUS, "Start").unwrap(), Some(Value::dword(0)));
        assert_eq!(tree.registry_subkeys(r"SYSTEM\ControlSet001\Services").unwrap(), ["new", "vmbus"]);
        tree.release_hives();
    }
    assert_eq!(tree.metadata(&format!("{PATH}.LOG1")).unwrap().unwrap().size, 0);
    let bytes = tree.read_file(PATH, 1 << 20).unwrap().unwrap();
    assert!(!Hive::open(bytes).unwrap().is_dirty());
    let again = make_plan(&context, &tree, &[&Keys(first)]).unwrap();
    let verbs: Vec<_> = again.edits.iter().map(Edit::verb).collect();
    assert_eq!(verbs, ["set-value"], "only the value that the second fixup took away");
}

#[test]
fn a_plan_for_another_registry_is_refused() {
    let guest = Guest::default();
    let context = Context::new(&guest, &TARGET);
    let plan = make_plan(&context, &tree(), &[&Keys(first)]).unwrap();
    let mut other = tree();
    let change = |draft: &mut Draft<'_>| draft.set_value(VMBUS, "Start", Value::dword(4), "off");
    let changed = make_plan(&context, &other, &[&Keys(change)]).unwrap();
    apply(&mut other, &changed.edits).unwrap();
    let own = plan.edits.iter().filter(|edit| edit.path == PATH).cloned().collect::<Vec<_>>();
    assert_eq!(apply(&mut other, &own).unwrap_err().kind(), ErrorKind::Contract);
}

#[test]
fn a_hive_that_is_not_there_is_said() {
    let guest = Guest::default();
    let tree = tree();
    let write = Keys(|draft| draft.set_value(r"SAM\x", "a", Value::dword(1), "no such hive"));
    let error = make_plan(&Context::new(&guest, &TARGET), &tree, &[&write]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains(r"the registry hive of SAM\x is not there"), "{error}");
}
