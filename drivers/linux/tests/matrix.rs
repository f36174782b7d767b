//! Every phony guest of the table, to every target, on file systems that are edited freely and in place only: the laws, and
//! the plans as snapshots. `REHOME_SNAPSHOTS=write cargo test -p driver-linux` writes them; look at what changed.
#![allow(clippy::unwrap_used)]

mod phony;

use driver_core::{
    Action, Context, Edit, FileKind, Guest, GuestTree, Plan, Platform, Status, Target, Wishes, apply,
    make_plan,
};
use driver_linux::fixups;
use driver_targets::targets;
use phony::distributions::wishes;
use phony::matrix::guests::{GUESTS, guests};
use phony::matrix::loaders::Loader;
use phony::matrix::{Phony, Recipe};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

/// What is known of the adapters: hypervisors that keep addresses, clouds that choose new ones, and nothing.
fn wishes_for(target: &Target, adapters: usize) -> Wishes {
    let mut wishes = match target.platform {
        Platform::HyperV | Platform::VirtualBox => Wishes::NONE,
        Platform::Azure | Platform::Gcp | Platform::Aws => wishes(false),
        _ => wishes(true),
    };
    wishes.network.adapters.truncate(adapters);
    wishes
}

fn plan(tree: &GuestTree, guest: &Guest, target: &Target, wishes: &Wishes) -> Plan {
    make_plan(&Context { wishes, ..Context::new(guest, target) }, tree, fixups()).unwrap()
}

fn modules() -> Vec<&'static str> {
    let all = targets().flat_map(|target| target.boot_modules.iter().copied());
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Everything in a tree: content of files, targets of links.
fn content(tree: &GuestTree) -> BTreeMap<String, Vec<u8>> {
    fn add(tree: &GuestTree, folder: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in tree.read_dir(folder).unwrap() {
            let path = format!("{}/{}", folder.trim_end_matches('/'), entry.name);
            let content = match entry.kind {
                FileKind::Folder => {
                    add(tree, &path, found);
                    b"folder".to_vec()
                }
                FileKind::Link => tree.read_link(&path).unwrap().into_bytes(),
                _ => tree.read_file(&path, u64::MAX).unwrap().unwrap(),
            };
            found.insert(path, content);
        }
    }
    let mut found = BTreeMap::new();
    add(tree, "/", &mut found);
    found
}

/// Lines that say something, of every text file of the guest.
fn lines(content: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = (&str, &str)> {
    content
        .iter()
        .filter(|(path, _)| {
            path.starts_with("/etc/") || path.starts_with("/boot/") || path.starts_with("/efi/")
        })
        .filter(|(_, bytes)| !bytes.starts_with(b"07070"))
        .filter_map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(bytes).ok()?)))
        .flat_map(|(path, text)| text.lines().map(move |line| (path, line.trim())))
        .filter(|(_, line)| !line.starts_with(['#', ';']) || line.starts_with("# kopt="))
}

/// Whether a word is the name of a disk or partition of some platform.
fn names_hardware(word: &str) -> bool {
    let Some(name) = word.split("/dev/").nth(1) else { return word.contains("/dev/disk/by-id/") };
    let then = |prefix: &str, next: fn(char) -> bool| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(next))
    };
    name.starts_with("cciss/")
        || name.starts_with("disk/by-id/")
        || name.starts_with("disk/by-path/")
        || then("nvme", |c| c.is_ascii_digit())
        || ["sd", "xvd", "vd", "hd"].iter().any(|prefix| then(prefix, |c| c.is_ascii_lowercase()))
}

/// Lines with names of the source's disks; those of volumes that were lost before and are passed over do not count.
fn hardware_names(content: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    lines(content)
        .filter(|(_, line)| line.split([' ', '\t', '=', '"', '\'', ',']).any(names_hardware))
        .filter(|(path, line)| !(*path == "/etc/fstab" && line.contains("nofail")))
        .map(|(path, line)| format!("{path}: {line}"))
        .collect()
}

/// The addresses in a guest's configuration, but those of clouds' own services.
fn addresses(content: &BTreeMap<String, Vec<u8>>) -> BTreeSet<IpAddr> {
    let word = |c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':'));
    lines(content)
        .filter(|(path, _)| path.starts_with("/etc/"))
        .flat_map(|(_, line)| line.split(word).filter_map(|word| word.parse::<IpAddr>().ok()))
        .filter(|address| !address.is_loopback() && !address.to_string().starts_with("169.254."))
        .collect()
}

/// Interfaces that no rule and no target names so any more, and files that still speak of them. What the kernel counts (`eth0`)
/// is there everywhere.
fn stale_names<'a>(
    after: &'a BTreeMap<String, Vec<u8>>,
    before: &BTreeMap<String, Vec<u8>>,
) -> Vec<(&'a str, String)> {
    let in_word = |c: char| c.is_ascii_alphanumeric();
    let words = |content| -> BTreeSet<String> {
        lines(content).flat_map(|(_, line)| line.split(|c| !in_word(c))).map(str::to_owned).collect()
    };
    let is_name = |word: &String| {
        ["ens", "enp", "eno", "enX"].iter().any(|start| word.starts_with(start))
            && word.ends_with(|c: char| c.is_ascii_digit())
    };
    let rules: String =
        lines(after).filter(|(path, _)| path.ends_with(".rules")).map(|(_, line)| line).collect();
    let gone =
        words(before).into_iter().filter(is_name).filter(|name| !rules.contains(&format!("NAME=\"{name}\"")));
    // Where some file has the name and no rule holds it, the target gives it, or it is wrong everywhere.
    let gone: Vec<String> =
        gone.filter(|name| !lines(after).any(|(path, _)| path.ends_with(name.as_str()))).collect();
    let changed = |path: &str| after.get(path) != before.get(path);
    let renamed =
        |name: &String| lines(before).any(|(path, line)| changed(path) && line.contains(name.as_str()));
    lines(after)
        // What people call a connection is theirs.
        .filter(|(_, line)| !line.starts_with("id="))
        .flat_map(|(path, line)| {
            let found = gone
                .iter()
                .filter(|name| renamed(name) && line.split(|c| !in_word(c)).any(|word| word == *name));
            found.map(move |name| (path, name.clone())).collect::<Vec<_>>()
        })
        .collect()
}

/// What is wrong, as lines for people.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

/// The laws for one guest on one target; the plan, for the snapshots.
fn check(
    wrong: &mut Wrong,
    phony: &Phony,
    guest: &Guest,
    before: &BTreeMap<String, Vec<u8>>,
    target: &Target,
    in_place: bool,
) -> Plan {
    let at = format!("{} to {}{}", phony.name, target.id, if in_place { ", in place" } else { "" });
    let wishes = wishes_for(target, phony.adapters);
    let mut tree = phony.tree(in_place);
    let plan = self::plan(&tree, guest, target, &wishes);
    check_outline(wrong, &at, &Context { wishes: &wishes, ..Context::new(guest, target) }, &tree, &plan);
    for fixup in &plan.fixups {
        let needs = matches!(fixup.status, Status::Cannot | Status::LeftOut);
        let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        wrong.unless(!needs || said(&fixup.reason) && said(&fixup.next_step), || {
            format!("{at}: {} says nothing", fixup.id)
        });
    }
    // A plan with obstacles is never applied.
    if plan.obstacles().count() > 0 {
        return plan;
    }
    if let Err(e) = apply(&mut tree, &plan.edits) {
        wrong.unless(false, || format!("{at}: {e}"));
        return plan;
    }
    let after = content(&tree);
    let planned: BTreeSet<&str> = plan.edits.iter().map(|edit| edit.path.as_str()).collect();
    for path in before.keys().chain(after.keys()) {
        let same = before.get(path) == after.get(path);
        wrong.unless(same || planned.contains(path.as_str()), || format!("{at}: {path} was not planned"));
    }
    let left_out: Vec<_> = plan.left_out().map(|fixup| fixup.id).collect();
    for name in hardware_names(&after) {
        wrong.unless(in_place && !left_out.is_empty(), || format!("{at}: still there: {name}"));
    }
    for (path, name) in stale_names(&after, before) {
        wrong.unless(false, || format!("{at}: {path} still names {name}"));
    }
    wrong.unless(addresses(before) == addresses(&after), || format!("{at}: other addresses"));
    let again = phony.inspected(&tree, target.boot_modules);
    let first = &again.kernels[0];
    for driver in first.drivers.iter().filter(|driver| !driver.in_initramfs) {
        wrong.unless(false, || format!("{at}: kernel {} lacks {}", first.version, driver.module));
    }
    // Facts from before are what a second run in the same process has.
    for facts in [Some(&again), Some(guest).filter(|_| !in_place)].into_iter().flatten() {
        let more = self::plan(&tree, facts, target, &wishes);
        for edit in &more.edits {
            wrong.unless(false, || format!("{at}: planned again: {} {}", edit.path, edit.describe()));
        }
        wrong.unless(more.obstacles().count() == 0, || format!("{at}: the second plan has obstacles"));
    }
    plan
}

/// The overview promises what the plan holds. Whether an initramfs fits when it is packed again is known to the plan alone.
fn check_outline(wrong: &mut Wrong, at: &str, context: &Context<'_>, tree: &GuestTree, plan: &Plan) {
    let outline = driver_core::outline(context, tree, fixups()).unwrap();
    for (planned, outlined) in plan.fixups.iter().zip(&outline.fixups) {
        let same = planned.id == outlined.id && planned.status == outlined.status;
        let is_packed_again = outlined.reason.as_ref().is_some_and(|reason| reason.contains("packed again"));
        wrong.unless(same || is_packed_again, || {
            format!("{at}: {} is {:?}, in the overview {:?}", planned.id, planned.status, outlined.status)
        });
    }
}

/// The kernel that the boot loader starts: recipes choose the older one where there are two.
fn check_kernels(wrong: &mut Wrong, recipe: &Recipe, phony: &Phony, guest: &Guest) {
    let expected = recipe.distribution.kernels.last().unwrap();
    let at = &phony.name;
    wrong.unless(guest.kernels.len() == recipe.distribution.kernels.len(), || format!("{at}: other kernels"));
    wrong.unless(guest.boot.loader.is_some(), || format!("{at}: no loader: {:?}", guest.obstacles));
    let first = &guest.kernels[0];
    // What a unified image holds is not known.
    let known = recipe.loader == Loader::Unified || first.version == *expected && first.default;
    wrong.unless(known, || {
        format!("{at}: starts {} by default: {}, not {expected}", first.version, first.default)
    });
    for kernel in guest.kernels.iter().filter(|_| recipe.loader != Loader::Unified) {
        let whole = kernel.image.is_some() && kernel.initramfs.is_some();
        wrong.unless(whole, || {
            format!("{at}: {} has image {:?}, initramfs {:?}", kernel.version, kernel.image, kernel.initramfs)
        });
    }
}

/// The targets of the snapshots: one of each platform, with the firmware that the guest has, and SATA.
fn is_shown(target: &Target, uefi: bool) -> bool {
    let firmware = if uefi { driver_core::Firmware::Uefi } else { driver_core::Firmware::Bios };
    let shown =
        target.is_default && target.platform != Platform::Proxmox || target.id.ends_with("kvm-bios-sata");
    target.firmware == firmware && shown
}

/// Two halves, for two cores.
#[test]
fn laws_hold_and_plans_are_as_recorded() {
    laws_of_every_second(0);
}

#[test]
fn laws_hold_and_plans_are_as_recorded_for_the_others() {
    laws_of_every_second(1);
}

fn laws_of_every_second(first: usize) {
    let modules = modules();
    let mut wrong = Wrong::default();
    for (recipe, phony) in GUESTS.iter().zip(guests()).skip(first).step_by(2) {
        let tree = phony.tree(false);
        let guest = phony.inspected(&tree, &modules);
        check_kernels(&mut wrong, recipe, &phony, &guest);
        let before = content(&tree);
        let mut shown = Shown::new(&guest);
        for target in targets() {
            let free = check(&mut wrong, &phony, &guest, &before, target, false);
            let in_place = check(&mut wrong, &phony, &guest, &before, target, true);
            if is_shown(target, recipe.loader.esp().is_some()) {
                shown.add(target, &free, &in_place);
            }
        }
        wrong.0.extend(differs(&phony.name, &shown.text()));
    }
    let count = wrong.0.len();
    wrong.0.truncate(20000);
    assert!(wrong.0.is_empty(), "{count} wrong:\n{}", wrong.0.join("\n"));
}

#[test]
fn each_guest_has_a_snapshot_and_each_snapshot_a_guest() {
    let mut names = BTreeSet::new();
    for phony in guests() {
        assert!(names.insert(phony.name.clone()), "{} is in the table twice", phony.name);
        assert!(std::path::Path::new(&format!("{}/{}.txt", folder(), phony.name)).exists());
    }
    let kept =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = kept.filter(|file| !names.contains(file.trim_end_matches(".txt"))).collect();
    assert!(left.is_empty(), "snapshots of no guest: {left:?}");
}

fn folder() -> String {
    format!("{}/tests/snapshots", env!("CARGO_MANIFEST_DIR"))
}

/// Compares with the snapshot, or writes it.
fn differs(name: &str, text: &str) -> Option<String> {
    let path = format!("{}/{name}.txt", folder());
    if std::env::var_os("REHOME_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    (text != expected).then(|| format!("{name} differs from {path}:\n{text}"))
}

/// One guest's plans: what is the same for several targets stands once.
struct Shown {
    head: String,
    targets: Vec<String>,
    /// Text, and the targets that have it.
    parts: Vec<(String, Vec<String>)>,
}

impl Shown {
    fn new(guest: &Guest) -> Self {
        let mut head = format!(
            "source: {}\nloader: {}\n",
            guest.source.describe(),
            guest.boot.loader.as_deref().unwrap_or("none")
        );
        for kernel in &guest.kernels {
            let name = |path: &Option<String>| path.clone().unwrap_or_else(|| "nothing".into());
            let mark = if kernel.default { " (default)" } else { "" };
            let kind = kernel.initramfs_kind.as_deref().unwrap_or("unknown");
            writeln!(
                head,
                "kernel: {}{mark}: {}, {} ({kind})",
                kernel.version,
                name(&kernel.image),
                name(&kernel.initramfs)
            )
            .unwrap();
        }
        for obstacle in &guest.obstacles {
            writeln!(head, "obstacle: {obstacle}").unwrap();
        }
        Self { head, targets: Vec::new(), parts: Vec::new() }
    }

    fn add(&mut self, target: &Target, free: &Plan, in_place: &Plan) {
        self.targets.push(target.id.to_owned());
        for fixup in free.fixups.iter().filter(|fixup| fixup.status != Status::NotApplicable) {
            let reason = fixup.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            if fixup.status != Status::Planned || fixup.reason.is_some() {
                self.part(target, format!("{} {:?}{reason}\n", fixup.id, fixup.status));
            }
        }
        for edit in &free.edits {
            self.part(target, shown(edit, target));
        }
        for fixup in in_place.fixups.iter().filter(|f| matches!(f.status, Status::Cannot | Status::LeftOut)) {
            self.part(target, format!("in place: {} {:?}\n", fixup.id, fixup.status));
        }
    }

    fn part(&mut self, target: &Target, text: String) {
        let id = target.id.to_owned();
        match self.parts.iter_mut().find(|(other, ids)| *other == text && !ids.contains(&id)) {
            Some((_, ids)) => ids.push(id),
            None => self.parts.push((text, vec![id])),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}targets: {}\n", self.head, self.targets.join(" "));
        for (part, ids) in &self.parts {
            let most = ids.len() * 2 > self.targets.len();
            let others: Vec<_> = self.targets.iter().filter(|id| !ids.contains(id)).cloned().collect();
            let tag = match (others.is_empty(), most) {
                (true, _) => String::new(),
                (_, true) => format!("[not {}]\n", others.join(" ")),
                _ => format!("[{}]\n", ids.join(" ")),
            };
            text += &format!("\n{tag}{part}");
        }
        text
    }
}

fn shown(edit: &Edit, target: &Target) -> String {
    let what = match &edit.action {
        // Bytes of an initramfs: what they are stands in the reason.
        Action::Append { .. } => edit.reason.split_once(": ").map_or("", |(_, what)| what).to_owned(),
        _ => edit.describe().trim_end().replace(target.name, "TARGET"),
    };
    format!("{} {}\n{what}\n", edit.verb(), edit.path)
}
