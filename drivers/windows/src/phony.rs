//! Small Windows guests in memory, for tests of single fixups. Whole ones on disks are in `tests/windows_guests`.

use crate::{BOOT_VOLUME, inspect, mount_hives};
use driver_core::{Context, Fixup, Guest, GuestTree, MemFs, Plan, Target, Wishes, apply, make_plan};
use driver_registry::{FileTime, Hive, Value};

#[path = "../../registry/tests/maker/mod.rs"]
mod maker;

/// A guest in the making.
pub(crate) struct Phony {
    hives: Vec<(&'static str, Hive)>,
    files: MemFs,
    boot: MemFs,
}

pub(crate) const SET: &str = r"SYSTEM\ControlSet001";

impl Phony {
    /// A Windows with one control set and nothing in it but its version.
    pub(crate) fn new(major: u32, minor: u32, build: u32, product: &str) -> Self {
        let empty = || Hive::open(maker::empty(5)).unwrap();
        let version = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
        let mut phony = Self {
            hives: vec![("SYSTEM", empty()), ("SOFTWARE", empty()), ("BCD", empty())],
            files: MemFs::new(),
            boot: MemFs::new(),
        };
        for name in ["Current", "Default"] {
            phony = phony.value(r"SYSTEM\Select", name, Value::dword(1));
        }
        if major >= 10 {
            phony = phony.value(version, "CurrentMajorVersionNumber", Value::dword(major));
            phony = phony.value(version, "CurrentMinorVersionNumber", Value::dword(minor));
        }
        phony
            .value(version, "CurrentVersion", Value::string(&format!("{major}.{minor}")))
            .value(version, "CurrentBuildNumber", Value::string(&build.to_string()))
            .value(version, "ProductName", Value::string(product))
            .value(version, "InstallationType", Value::string("Server"))
            .value(
                &format!(r"{SET}\Control\Session Manager\Environment"),
                "PROCESSOR_ARCHITECTURE",
                Value::string("AMD64"),
            )
            .key(&format!(r"{SET}\Services"))
    }

    pub(crate) fn windows_2016() -> Self {
        Self::new(10, 0, 14393, "Windows Server 2016 Datacenter")
    }

    pub(crate) fn windows_2008_r2() -> Self {
        Self::new(6, 1, 7601, "Windows Server 2008 R2 Standard")
    }

    fn hive(&mut self, key: &str) -> (&mut Hive, String) {
        let (name, below) = key.split_once('\\').unwrap();
        let hive = self.hives.iter_mut().find(|(own, _)| *own == name).unwrap();
        (&mut hive.1, below.to_owned())
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        let (hive, below) = self.hive(key);
        hive.edit(FileTime(1)).unwrap().create_key(&below, None).unwrap();
        self
    }

    pub(crate) fn value(self, key: &str, name: &str, value: Value) -> Self {
        let mut phony = self.key(key);
        let (hive, below) = phony.hive(key);
        hive.edit(FileTime(1)).unwrap().set_value(&below, name, &value).unwrap();
        phony
    }

    /// A service with its type and start; a driver has its file.
    pub(crate) fn service(self, name: &str, kind: u32, start: u32) -> Self {
        let key = format!(r"{SET}\Services\{name}");
        let file = format!("/Windows/System32/drivers/{}.sys", name.to_lowercase());
        let path = Value::expand_string(&format!(r"System32\drivers\{}.sys", name.to_lowercase()));
        let phony = self.value(&key, "Type", Value::dword(kind)).value(&key, "Start", Value::dword(start));
        if kind == 1 { phony.value(&key, "ImagePath", path).file(&file, name) } else { phony }
    }

    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files = self.files.with_file(path, content);
        self
    }

    /// A file on the partition that the firmware starts from.
    pub(crate) fn boot_file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.boot = self.boot.with_file(path, content);
        self
    }

    /// The guest, inspected.
    pub(crate) fn build(mut self) -> (GuestTree, Guest) {
        for (name, hive) in std::mem::take(&mut self.hives) {
            let bytes = hive.into_bytes().unwrap();
            self = match name {
                "BCD" => self.boot_file("/Boot/BCD", bytes),
                name => self.file(&format!("/Windows/System32/config/{name}"), bytes),
            };
        }
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(self.files));
        tree.mount(BOOT_VOLUME, Box::new(self.boot));
        mount_hives(&mut tree).unwrap();
        let mut guest = Guest::default();
        inspect(&tree, &mut guest).unwrap();
        (tree, guest)
    }
}

pub(crate) fn target(id: &str) -> &'static Target {
    driver_targets::targets().find(|target| target.id == id).unwrap()
}

/// Plans one fixup.
pub(crate) fn plan(tree: &GuestTree, guest: &Guest, id: &str, wishes: &Wishes, fixup: &dyn Fixup) -> Plan {
    let context = Context { wishes, ..Context::new(guest, target(id)) };
    make_plan(&context, tree, &[fixup]).unwrap()
}

/// Plans one fixup, applies it, and shows that a second plan is empty. Gives the edits in words.
pub(crate) fn carried_out(
    phony: Phony,
    id: &str,
    wishes: &Wishes,
    fixup: &dyn Fixup,
) -> (GuestTree, Vec<String>) {
    let (mut tree, mut guest) = phony.build();
    let planned = plan(&tree, &guest, id, wishes, fixup);
    assert!(planned.obstacles().next().is_none(), "{:?}", planned.fixups);
    apply(&mut tree, &planned.edits).unwrap();
    inspect(&tree, &mut guest).unwrap();
    let again = plan(&tree, &guest, id, wishes, fixup);
    assert!(again.edits.is_empty(), "the second plan: {:?}", again.edits);
    let words =
        planned.edits.iter().map(|edit| format!("{} {}: {}", edit.verb(), edit.path, edit.describe()));
    (tree, words.collect())
}
