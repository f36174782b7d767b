//! Puts arrays together: which members the kernel would take, and what keeps an array from being used.
//!
//! Members are judged by the superblock with the most events, as `mdadm --assemble` and the kernel do: one event less is
//! as good (the last update may have reached only some), but a member that the freshest superblock calls faulty or spare
//! is none, whatever it says itself.

use crate::map::{Layout, Mapped, Slot};
use crate::raid10;
use crate::superblock::{Role, Superblock};
use crate::version_1::MAX_DEVICES;
use driver_core::Volume;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An array.
pub struct Array {
    /// Its name as the superblock has it (`host:0`), or `md3`.
    pub name: String,
    /// Its UUID as `mdadm` prints it.
    pub uuid: String,
    /// `raid1`, …
    pub level: String,
    /// Version of the superblocks.
    pub metadata: &'static str,
    /// The names that the guest has for it, the usual one first.
    pub devices: Vec<String>,
    /// Bytes; 0 when it is not known.
    pub size: u64,
    /// Its members.
    pub members: Vec<Member>,
    /// What was not as it should be and did not matter.
    pub warnings: Vec<String>,
    /// Its content, or why it cannot be used and the next step.
    pub content: Result<Arc<dyn Volume>, String>,
    /// Why it must not be written, and the next step. Writes are refused with the same words.
    pub read_only: Option<String>,
    /// Nothing but its level (4, 5 or 6) keeps its content from being read here: a kernel starts it from its `members` that
    /// are in use or being rebuilt.
    pub needs_kernel: bool,
    /// Of level 1: the places of the members that are in use among those that were given, and where its content begins on
    /// each, in bytes. Empty where a change of one would not be one of the array.
    pub mirrors: Vec<(usize, u64)>,
}

/// A member of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its place among those that were given; `None` when it is not there.
    pub member: Option<usize>,
    /// Its own UUID, where it has one.
    pub uuid: Option<String>,
    /// What it is worth.
    pub state: MemberState,
}

/// What a member is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// Complete.
    InSync,
    /// Being rebuilt: it is written, and not read.
    Recovering,
    /// Holds no data of the array.
    Spare,
    /// The others went on without it.
    OutOfDate,
    /// Not there.
    Missing,
}

impl MemberState {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::InSync => "in use",
            Self::Recovering => "being rebuilt",
            Self::Spare => "spare",
            Self::OutOfDate => "out of date",
            Self::Missing => "missing",
        }
    }
}

type Given = (Superblock, Arc<dyn Volume>);

/// Puts the arrays of these members together.
#[must_use]
pub fn assemble(members: &[Given]) -> Vec<Array> {
    let mut sets: BTreeMap<[u8; 16], Vec<usize>> = BTreeMap::new();
    for (index, (superblock, _)) in members.iter().enumerate() {
        sets.entry(superblock.uuid).or_default().push(index);
    }
    sets.into_values().filter_map(|set| Assembly::of(members, &set)).map(Assembly::build).collect()
}

/// One set of members, judged by its freshest superblock.
struct Assembly<'a> {
    fresh: &'a Superblock,
    given: &'a [Given],
    members: Vec<Member>,
    /// For each of the array's devices the member that has its role.
    roles: Vec<Option<usize>>,
    obstacle: Option<String>,
    warnings: Vec<String>,
}

impl<'a> Assembly<'a> {
    fn of(given: &'a [Given], set: &[usize]) -> Option<Self> {
        let events = |index: &usize| given.get(*index).map(|(superblock, _)| superblock.events);
        let best = set.iter().filter_map(events).max()?;
        let first = set.iter().find(|index| events(index) == Some(best))?;
        let (fresh, _) = given.get(*first)?;
        let (roles, obstacle) = (Vec::new(), fresh.unsupported.clone());
        let mut found = Self { fresh, given, members: Vec::new(), roles, obstacle, warnings: Vec::new() };
        if fresh.raid_disks == 0 || fresh.raid_disks > MAX_DEVICES {
            found.refuse(format!("it has {} devices, 1 to {MAX_DEVICES} are possible", fresh.raid_disks));
        } else {
            found.roles.resize(fresh.raid_disks as usize, None);
        }
        set.iter().for_each(|&index| found.judge(index));
        found.count_missing();
        Some(found)
    }

    fn refuse(&mut self, reason: String) {
        self.obstacle.get_or_insert(reason);
    }

    fn judge(&mut self, index: usize) {
        let (Some((own, _)), fresh) = (self.given.get(index), self.fresh) else { return };
        let role = fresh.roles.get(own.number as usize).copied().unwrap_or(Role::Spare);
        let state = match role {
            _ if own.events.saturating_add(1) < fresh.events => MemberState::OutOfDate,
            Role::Faulty => MemberState::OutOfDate,
            Role::Spare | Role::Journal => MemberState::Spare,
            Role::Active(_) if own.is_recovering => MemberState::Recovering,
            Role::Active(_) => MemberState::InSync,
        };
        let uuid = Some(own.member_uuid.clone()).filter(|uuid| !uuid.is_empty());
        self.members.push(Member { member: Some(index), uuid, state });
        if role == Role::Journal || own.roles.get(own.number as usize) == Some(&Role::Journal) {
            self.refuse("it has a write journal; remove it in the guest before exporting".into());
        }
        // Two members with the most events that see each other differently went on separately.
        if own.events == fresh.events && active(own) != active(fresh) {
            self.refuse(
                "its members contradict each other: each went on without the other; keep the right one and run mdadm \
                 --zero-superblock on the other in the guest before exporting"
                    .into(),
            );
        }
        if matches!(state, MemberState::OutOfDate | MemberState::Spare) {
            return;
        }
        if let Some(reason) = &own.unsupported {
            self.refuse(reason.clone());
        }
        if !is_same_array(own, fresh) {
            self.refuse("its members describe different arrays (level, layout, chunk, size, devices)".into());
        }
        if let Role::Active(role) = role {
            match self.roles.get_mut(role as usize) {
                Some(slot @ None) => *slot = Some(index),
                Some(Some(_)) => self.refuse(format!("two members are device {role}; leave out the copy")),
                None => self.refuse(format!("a member is device {role} of {}", fresh.raid_disks)),
            }
        }
    }

    fn count_missing(&mut self) {
        let missing = self.roles.iter().filter(|slot| slot.is_none()).count();
        let present = self.members.iter().filter(|member| member.state == MemberState::OutOfDate).count();
        let gone = Member { member: None, uuid: None, state: MemberState::Missing };
        self.members.extend(std::iter::repeat_n(gone, missing.saturating_sub(present)));
        if missing > 0 {
            let count = self.roles.len();
            self.warnings.push(format!("it is degraded: {} of {count} devices are in use", count - missing));
        }
        if !self.fresh.is_clean && !matches!(self.fresh.level, 0 | -1) {
            self.warnings.push(
                "it was not cleanly stopped; of copies that differ the first is taken, as the kernel does"
                    .into(),
            );
        }
    }

    fn build(mut self) -> Array {
        let fresh = self.fresh;
        let read_only = self.read_only();
        let needs_kernel = self.obstacle.is_none() && self.starts_in_a_kernel();
        let content = match self.obstacle.take() {
            Some(reason) => Err(reason),
            None => self.map(read_only.clone()),
        };
        let size = content.as_ref().map_or(0, |mapped| mapped.size);
        let is_mirror = fresh.level == 1 && content.is_ok() && read_only.is_none();
        let used = self.roles.iter().flatten().filter(|_| is_mirror);
        let mirrors = used.filter_map(|&index| Some((index, self.given.get(index)?.0.data_offset))).collect();
        Array {
            name: fresh.name(),
            uuid: fresh.uuid(),
            level: level_name(fresh.level),
            metadata: fresh.version,
            devices: devices(fresh),
            size,
            members: self.members,
            warnings: self.warnings,
            content: content.map(|mapped| Arc::new(mapped) as Arc<dyn Volume>),
            read_only,
            needs_kernel,
            mirrors,
        }
    }

    /// Whether an array with parity has enough members, and may be started: one that is both degraded and not cleanly stopped may
    /// have lost data, and the kernel does not start it by itself (kernel documentation, "RAID arrays").
    fn starts_in_a_kernel(&self) -> bool {
        let parity = match self.fresh.level {
            4 | 5 => 1,
            6 => 2,
            _ => return false,
        };
        let is_whole = |role: &Option<usize>| {
            role.and_then(|index| self.given.get(index)).is_some_and(|(own, _)| !own.is_recovering)
        };
        let lacking = self.roles.iter().filter(|role| !is_whole(role)).count();
        let may_start = lacking == 0 || lacking <= parity && self.fresh.is_clean;
        may_start && self.roles.len() > parity && self.fresh.size > 0 && self.used().is_ok()
    }

    /// With a bitmap, a member that comes back is brought up to date only where the bitmap says so, and it would not know of
    /// what is written here. One that md itself did not give up comes back as if it were up to date.
    fn read_only(&self) -> Option<String> {
        let name = self.fresh.name();
        let missing = (0u32..).zip(&self.roles).filter(|(_, slot)| slot.is_none()).map(|(role, _)| role);
        let missing: Vec<u32> = missing.collect();
        if let Some(role) = missing.iter().find(|role| self.fresh.roles.contains(&Role::Active(**role))) {
            return Some(format!(
                "array {name} counts on its member {role}, which was not given and would not know of a change; give all its \
                 disks, or remove that member in the guest (mdadm --fail, --remove) before exporting"
            ));
        }
        (!missing.is_empty() && self.fresh.has_bitmap).then(|| {
            format!(
                "array {name} is degraded and has a bitmap, which would not know of a change from outside; re-add the missing \
                 member, or run mdadm --grow --bitmap=none in the guest before exporting"
            )
        })
    }

    fn map(&self, read_only: Option<String>) -> Result<Mapped, String> {
        let fresh = self.fresh;
        let count = u64::from(fresh.raid_disks);
        let used = self.used()?;
        let complete = self.roles.iter().all(Option::is_some);
        let (layout, size) = match fresh.level {
            -1 if complete => {
                let mut end = 0u64;
                let ends = used.iter().flatten().map(|len| {
                    end = end.checked_add(*len)?;
                    Some(end)
                });
                let ends: Option<Vec<u64>> = ends.collect();
                let ends = ends.ok_or("it is larger than all disks")?;
                (Layout::Concatenated(ends), end)
            }
            0 if complete => {
                let mut lens = used.iter().flatten();
                let len = lens.next().copied().unwrap_or(0);
                if lens.any(|other| *other != len) {
                    return Err("its members have different sizes, which is not mapped here; copy its content to an array of \
                                equal members in the guest before exporting"
                        .into());
                }
                (
                    Layout::Rows { chunk: fresh.chunk, copies: 1 },
                    len.checked_mul(count).ok_or("it is larger than all disks")?,
                )
            }
            0 | -1 => return Err("a member is missing, without which it has no content; add its disk".into()),
            1 => (Layout::Rows { chunk: fresh.size, copies: count }, fresh.size),
            10 => raid10::layout(fresh)?,
            level => {
                return Err(format!(
                    "{} is not mapped here; copy its content to a plain disk or a raid1 in the guest before exporting",
                    level_name(level)
                ));
            }
        };
        if size == 0 {
            return Err("it has no size".into());
        }
        let slots = self.roles.iter().map(|role| role.and_then(|index| self.slot(index))).collect();
        let mapped = Mapped { layout, slots, size, read_only };
        if !mapped.is_complete() {
            return Err("no member that is in sync has all of its content; add the missing disks".into());
        }
        Ok(mapped)
    }

    fn slot(&self, index: usize) -> Option<Slot> {
        let (own, volume) = self.given.get(index)?;
        Some(Slot {
            volume: Arc::clone(volume),
            start: own.data_offset,
            is_in_sync: !own.is_recovering,
            is_write_mostly: own.is_write_mostly,
        })
    }

    /// Bytes that the array uses of each member; every one is really there and holds nothing of md's own.
    fn used(&self) -> Result<Vec<Option<u64>>, String> {
        let fresh = self.fresh;
        let in_chunks = match fresh.level {
            0 | 10 => true,
            -1 => fresh.chunk > 0,
            _ => false,
        };
        // The kernel wants whole pages (`md_run` of these levels).
        if in_chunks && (fresh.chunk == 0 || !fresh.chunk.is_multiple_of(4096)) {
            return Err(format!("its chunk size is {:#x} bytes", fresh.chunk));
        }
        let mut lens = Vec::with_capacity(self.roles.len());
        for role in &self.roles {
            let Some((own, volume)) = role.and_then(|index| self.given.get(index)) else {
                lens.push(None);
                continue;
            };
            let all = if matches!(fresh.level, 0 | -1) { own.data_size } else { fresh.size };
            let len = if in_chunks { all - all % fresh.chunk } else { all };
            let end =
                own.data_offset.checked_add(len).filter(|&end| end <= volume.size() && len <= own.data_size);
            let Some(end) = end else {
                return Err(format!(
                    "the data of device {} is {:#x}+{len:#x}, its member has {:#x} bytes; the disk or partition is smaller \
                     than it was",
                    own.number,
                    own.data_offset,
                    volume.size()
                ));
            };
            if own.reserved.iter().any(|&(at, size)| at < end && own.data_offset < at.saturating_add(size)) {
                return Err(format!("the data of device {} overlaps its superblock or bitmap", own.number));
            }
            lens.push(Some(len));
        }
        Ok(lens)
    }
}

/// Which numbers have which active roles.
fn active(superblock: &Superblock) -> Vec<(usize, u32)> {
    let roles = superblock.roles.iter().enumerate();
    roles
        .filter_map(|(number, role)| if let Role::Active(role) = role { Some((number, *role)) } else { None })
        .collect()
}

fn is_same_array(a: &Superblock, b: &Superblock) -> bool {
    let facts =
        |s: &Superblock| (s.version, s.level, s.layout, s.chunk, s.raid_disks, s.size, s.name.clone());
    facts(a) == facts(b)
}

fn level_name(level: i32) -> String {
    match level {
        -1 => "linear".into(),
        -4 => "multipath".into(),
        -5 => "faulty".into(),
        level => format!("raid{level}"),
    }
}

/// Names that udev and mdadm give (mdadm(8), "DEVICE NAMES"): a name that is a number makes `/dev/mdN`, the host that made
/// the array is left out on that host.
fn devices(superblock: &Superblock) -> Vec<String> {
    let mut names = Vec::new();
    let local = superblock.name.split_once(':').map_or(superblock.name.as_str(), |(_, name)| name);
    let is_number =
        |name: &str| !name.is_empty() && name.len() < 6 && name.bytes().all(|b| b.is_ascii_digit());
    let is_plain =
        |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_control() || c == '/' || c == ' ');
    let number = superblock.minor.map(|minor| minor.to_string());
    let number = number.or_else(|| Some(local.to_owned()).filter(|name| is_number(name)));
    if let Some(number) = number {
        names.push(format!("/dev/md{number}"));
        names.push(format!("/dev/md/{number}"));
    } else if is_plain(local) {
        names.push(format!("/dev/md/{local}"));
        // With a line in mdadm.conf and CREATE names=yes.
        names.push(format!("/dev/md_{local}"));
    }
    if is_plain(&superblock.name) && superblock.name != local {
        names.push(format!("/dev/md/{}", superblock.name));
        names.push(format!("/dev/disk/by-id/md-name-{}", superblock.name));
    }
    names.push(format!("/dev/disk/by-id/md-uuid-{}", superblock.uuid()));
    names
}
