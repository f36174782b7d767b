//! Puts groups together: which text counts, which volume is which part, and what keeps a group or a volume from being used.

use crate::label::printed;
use crate::layouts;
use crate::load::PhysicalVolume;
use crate::map::{Mapped, Segment, Stripe};
use crate::metadata::{GroupText, LogicalText, PhysicalText, SegmentKind, SegmentText};
use crate::snapshots::Snapshots;
use crate::tables::{Places, Tables};
use crate::unused::unused;
use driver_core::{Mapping, Volume};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A volume group.
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its UUID as `vgs` prints it.
    pub uuid: String,
    /// The version of the metadata that was used.
    pub seqno: u64,
    /// Its physical volumes.
    pub parts: Vec<Part>,
    /// Its visible logical volumes, by name.
    pub volumes: Vec<LogicalVolume>,
    /// What was not as it should be and did not matter.
    pub warnings: Vec<String>,
    /// Why none of its volumes can be used, and the next step.
    pub obstacle: Option<String>,
}

/// A physical volume of a group.
pub struct Part {
    /// Its place among the members that were given; `None` when it is not there.
    pub member: Option<usize>,
    /// UUID as `pvs` prints it.
    pub uuid: String,
    /// Bytes of it that no logical volume has; none where that is not certain.
    pub unused: Vec<Range<u64>>,
}

/// A logical volume.
pub struct LogicalVolume {
    /// Its name.
    pub name: String,
    /// UUID as `lvs` prints it.
    pub uuid: String,
    /// Bytes.
    pub size: u64,
    /// `linear`, `striped`, or the segment type that keeps it from being mapped.
    pub layout: String,
    /// Its content, or why it cannot be used and the next step.
    pub content: Result<Arc<dyn Volume>, String>,
    /// Why it must not be written, and the next step. Writes are refused with the same words. The device of
    /// [`mapping`](Self::mapping) can be written all the same, unless it says otherwise: it keeps snapshots right.
    pub read_only: Option<String>,
    /// The device that `lvchange -ay` makes for it, in a kernel that has these targets, or why there is none here and the next
    /// step. Members are places among those that were given. Devices that several volumes lie on have the same name, and are
    /// the same: each is made once.
    ///
    /// What opening it writes, beside what its user writes, is what the guest's own kernel writes at every start: thin pools
    /// and caches a transaction of their metadata, RAID the superblocks and bitmaps of its metadata devices; and copies that
    /// were not alike when the machine stopped are made alike, of a mirror with its log in memory all of them.
    pub mapping: Result<Arc<Mapping>, String>,
    /// Devices that have to be made as well before that device is written: its snapshots, which would be damaged otherwise.
    pub beside: Vec<Arc<Mapping>>,
}

type Member = (PhysicalVolume, Arc<dyn Volume>);
/// Physical volumes that can be used, by the name that segments use.
type Parts<'a> = BTreeMap<&'a str, (&'a PhysicalText, Arc<dyn Volume>)>;

/// Puts the groups of these physical volumes together. The second value says why members belong to no group that is
/// known; an unused physical volume is not mentioned.
#[must_use]
pub fn assemble(members: &[Member]) -> (Vec<Group>, Vec<(usize, String)>) {
    let mut texts: BTreeMap<&str, Vec<&GroupText>> = BTreeMap::new();
    for text in members.iter().flat_map(|(found, _)| &found.texts) {
        texts.entry(&text.id).or_default().push(text);
    }
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    let newest: Vec<(&GroupText, Option<String>)> =
        texts.values().filter_map(|texts| newest(texts)).collect();
    for volume in newest.iter().flat_map(|(text, _)| text.physical.values()) {
        *owners.entry(&volume.id).or_default() += 1;
    }
    let groups = newest.iter().map(|(text, contradiction)| {
        let group = Assembly { text, members, owners: &owners, snapshots: Snapshots::of(text) };
        group.build(contradiction.clone())
    });
    (groups.collect(), strays(members, &owners))
}

/// The text with the highest seqno, and what is wrong when there are two different ones.
fn newest<'a>(texts: &[&'a GroupText]) -> Option<(&'a GroupText, Option<String>)> {
    let best = *texts.iter().max_by_key(|text| text.seqno)?;
    let differ = texts.iter().any(|text| text.seqno == best.seqno && *text != best);
    let contradiction = differ.then(|| {
        format!(
            "its physical volumes have different metadata with the same seqno {}; run vgck --updatemetadata {} in the guest \
             before exporting",
            best.seqno, best.name
        )
    });
    Some((best, contradiction))
}

/// Members that no group names.
fn strays(members: &[Member], owners: &BTreeMap<&str, usize>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, (member, _)) in members.iter().enumerate() {
        if owners.contains_key(member.label.uuid.as_str()) {
            continue;
        }
        if let Some(text) = member.texts.first() {
            let name = &text.name;
            found.push((
                index,
                format!("it was taken out of volume group {name}, whose newer metadata is elsewhere"),
            ));
        } else if let Some(damage) = member.damaged.first() {
            found.push((index, format!("its volume group is not known: {damage}")));
        } else if member.label.used {
            let text = "its volume group's metadata is on another disk, which is not here; add that disk";
            found.push((index, text.into()));
        }
    }
    found
}

struct Assembly<'a> {
    text: &'a GroupText,
    members: &'a [Member],
    /// How many groups name a physical volume.
    owners: &'a BTreeMap<&'a str, usize>,
    snapshots: Snapshots<'a>,
}

impl<'a> Assembly<'a> {
    fn build(&self, contradiction: Option<String>) -> Group {
        let text = self.text;
        let mut parts = Vec::new();
        let (mut volumes, mut places) = (BTreeMap::new(), Places::new());
        let (mut obstacle, mut warnings) = (contradiction, Vec::new());
        for (name, physical) in &text.physical {
            let members: Vec<usize> = (0..self.members.len())
                .filter(|&index| self.members.get(index).is_some_and(|(m, _)| m.label.uuid == physical.id))
                .collect();
            let part = |member| Part { member, uuid: printed(&physical.id), unused: Vec::new() };
            parts.extend(members.iter().map(|&member| part(Some(member))));
            let found = match members.as_slice() {
                [] => {
                    parts.push(part(None));
                    Err(format!(
                        "physical volume {} is on none of the disks; add its disk",
                        printed(&physical.id)
                    ))
                }
                [member] => self.part(*member, physical, &mut warnings),
                [_, ..] => Err(format!(
                    "physical volume {} is there {} times; leave out the copies",
                    printed(&physical.id),
                    members.len()
                )),
            };
            match found {
                Ok(volume) => {
                    volumes.insert(name.as_str(), (physical, volume));
                    places.extend(members.first().map(|&member| (name.as_str(), (member, physical))));
                }
                Err(reason) => drop(obstacle.get_or_insert(reason)),
            }
        }
        let obstacle = obstacle.or_else(|| self.unusable()).or_else(|| overlap(text));
        if obstacle.is_none() {
            let mut unused = unused(text);
            parts.iter_mut().for_each(|part| part.unused = unused.remove(&part.uuid).unwrap_or_default());
        }
        let mut tables = Tables::new(text, &places, &self.snapshots, obstacle.clone());
        let visible = text.logical.iter().filter_map(|logical| visible(logical, &tables)).collect::<Vec<_>>();
        let volumes = visible
            .into_iter()
            .map(|logical| self.logical(logical, &volumes, obstacle.as_ref(), &mut tables))
            .collect();
        Group {
            name: text.name.clone(),
            uuid: printed(&text.id),
            seqno: text.seqno,
            parts,
            volumes,
            warnings,
            obstacle,
        }
    }

    /// The volume of a part that is there, checked against what the group says of it.
    fn part(
        &self,
        index: usize,
        physical: &PhysicalText,
        warnings: &mut Vec<String>,
    ) -> Result<Arc<dyn Volume>, String> {
        let uuid = printed(&physical.id);
        let Some((member, volume)) = self.members.get(index) else { return Err("no such member".into()) };
        if self.owners.get(physical.id.as_str()).is_some_and(|&owners| owners > 1) {
            return Err(format!("physical volume {uuid} is claimed by several volume groups"));
        }
        if physical.is_missing {
            return Err(format!(
                "physical volume {uuid} was missing once and came back; run vgextend --restoremissing in the guest before \
                 exporting"
            ));
        }
        // Extents may reach neither the label nor LVM's own areas: they are never written.
        let end = physical.start + physical.count * self.text.extent_size;
        let label = (0, (member.label.sector + 1) * 512);
        let own = member.label.areas.iter().copied().chain([label]);
        if own.into_iter().any(|(at, len)| at < end && physical.start < at.saturating_add(len)) {
            return Err(format!("the extents of physical volume {uuid} overlap its label or metadata"));
        }
        if end > member.size {
            return Err(format!(
                "the extents of physical volume {uuid} end at {end:#x}, its device at {:#x}; the disk or partition is \
                 smaller than it was",
                member.size
            ));
        }
        for text in member.texts.iter().filter(|text| text.seqno < self.text.seqno) {
            warnings.push(format!("physical volume {uuid} has older metadata (seqno {})", text.seqno));
        }
        warnings.extend(member.damaged.iter().map(|damage| format!("physical volume {uuid}: {damage}")));
        if member.label.device_size > member.size {
            warnings
                .push(format!("physical volume {uuid} was larger: {:#x} bytes", member.label.device_size));
        }
        Ok(Arc::clone(volume))
    }

    /// Why the group as a whole must not be used.
    fn unusable(&self) -> Option<String> {
        let (text, name) = (self.text, &self.text.name);
        let has = |flag: &str| text.status.iter().any(|set| set == flag);
        if has("EXPORTED") {
            return Some(format!(
                "it is exported; run vgimport {name} in the guest before exporting the machine"
            ));
        }
        if has("CLUSTERED") || text.lock_type != "none" {
            let lock = if has("CLUSTERED") { "clvm" } else { text.lock_type.as_str() };
            return Some(format!(
                "it is shared with other machines ({lock}); run vgchange --lock-type none {name} in the guest before \
                 exporting"
            ));
        }
        has("PARTIAL").then(|| "it is partial: volumes are missing; add their disks".into())
    }

    fn logical(
        &self,
        logical: &'a LogicalText,
        volumes: &Parts<'_>,
        obstacle: Option<&String>,
        tables: &mut Tables<'a>,
    ) -> LogicalVolume {
        let read_only = self.read_only(logical);
        let mapped = match obstacle {
            Some(reason) => Err(reason.clone()),
            None => self.segments(logical, volumes),
        };
        let (mapping, beside) =
            match tables.volume(logical).and_then(|mapping| Ok((mapping, tables.beside(logical)?))) {
                Ok((mapping, beside)) => (Ok(mapping), beside),
                Err(reason) => (Err(reason), Vec::new()),
            };
        let origin = self.snapshots.by_store.get(logical.name.as_str());
        let origin = origin.and_then(|name| tables.find(name).ok());
        let size = origin.unwrap_or(logical).count.saturating_mul(self.text.extent_size);
        let content = mapped.map(|segments| {
            Arc::new(Mapped { segments, size, read_only: read_only.clone() }) as Arc<dyn Volume>
        });
        LogicalVolume {
            name: logical.name.clone(),
            uuid: printed(&logical.id),
            size,
            layout: self.layout(logical),
            content,
            read_only,
            mapping,
            beside,
        }
    }

    fn layout(&self, logical: &LogicalText) -> String {
        if self.snapshots.by_store.contains_key(logical.name.as_str()) {
            return "snapshot".into();
        }
        let mut layout = "linear";
        for segment in &logical.segments {
            match &segment.kind {
                SegmentKind::Striped { stripes, .. } if stripes.len() > 1 => layout = "striped",
                SegmentKind::Striped { .. } => {}
                SegmentKind::Snapshot { .. } => return "snapshot".into(),
                SegmentKind::Other(kind, _) => return kind.clone(),
            }
        }
        layout.into()
    }

    /// A write past the snapshot driver would change the snapshots, too.
    fn read_only(&self, logical: &LogicalText) -> Option<String> {
        let path = format!("{}/{}", self.text.name, logical.name);
        if let Some(snapshot) = self.snapshots.stores(&logical.name).first() {
            return Some(format!(
                "logical volume {path} has a snapshot, {snapshot}, which a change from outside would damage; remove it with \
                 lvremove in the guest before exporting"
            ));
        }
        let group_writes = self.text.status.iter().any(|flag| flag == "WRITE");
        (!logical.has("WRITE") || !group_writes).then(|| {
            format!(
                "logical volume {path} is read-only; run lvchange -p rw {path} in the guest before exporting"
            )
        })
    }

    fn segments(&self, logical: &LogicalText, volumes: &Parts<'_>) -> Result<Vec<Segment>, String> {
        if let Some(origin) = self.snapshots.by_store.get(logical.name.as_str()) {
            return Err(format!("it is a snapshot of {origin}, which is not mapped here"));
        }
        if self.snapshots.is_merging(&logical.name) {
            return Err(
                "a snapshot is being merged into it; let that end in the guest before exporting".into()
            );
        }
        if logical.has("PVMOVE") || logical.has("CONVERTING") {
            return Err("it is being moved or converted; let that end in the guest before exporting".into());
        }
        logical.segments.iter().map(|segment| self.segment(segment, volumes)).collect()
    }

    fn segment(&self, segment: &SegmentText, volumes: &Parts<'_>) -> Result<Segment, String> {
        let (stripe_size, list) = match &segment.kind {
            SegmentKind::Striped { stripe_size, stripes } => (*stripe_size, stripes),
            SegmentKind::Other(kind, _) => return Err(layouts::obstacle(kind)),
            SegmentKind::Snapshot { .. } => return Err(layouts::obstacle("snapshot")),
        };
        // The end of every physical volume was checked: no product of an extent on it overflows.
        let extent = self.text.extent_size;
        let count = segment.count / list.len() as u64;
        let mut stripes = Vec::with_capacity(list.len());
        for (name, first) in list {
            let Some((physical, volume)) = volumes.get(name.as_str()) else {
                return Err(format!(
                    "a part of it is on {name}, which is no physical volume; if extents are being moved, let pvmove end in \
                     the guest before exporting"
                ));
            };
            if first + count > physical.count {
                let (end, has) = (first + count, physical.count);
                return Err(format!("extents {first} to {end} of {name} are used, it has {has}"));
            }
            stripes.push(Stripe { volume: Arc::clone(volume), start: physical.start + first * extent });
        }
        let end = (segment.start + segment.count).checked_mul(extent).ok_or("it is larger than all disks")?;
        let len = segment.count * extent;
        if list.len() > 1 && !(count * extent).is_multiple_of(stripe_size) {
            return Err(format!("stripes of {stripe_size:#x} bytes do not fit extents of {extent:#x} bytes"));
        }
        let stripe_size = if list.len() == 1 { len } else { stripe_size };
        Ok(Segment { start: end - len, len, stripe_size, stripes })
    }
}

/// The volume that people see in place of this one, if any: a snapshot has an entry of its own, and is known by the name of
/// its store.
fn visible<'a>(logical: &'a LogicalText, tables: &Tables<'a>) -> Option<&'a LogicalText> {
    if !logical.has("VISIBLE") {
        return None;
    }
    let [SegmentText { kind: SegmentKind::Snapshot { store, .. }, .. }] = logical.segments.as_slice() else {
        return Some(logical);
    };
    match tables.find(store) {
        Ok(store) => (!store.has("VISIBLE")).then_some(store),
        Err(_) => Some(logical),
    }
}

/// Extents that two segments use: then one volume's content is another's. Hidden volumes count, too.
fn overlap(text: &GroupText) -> Option<String> {
    let mut used: Vec<(&str, u64, u64, &str)> = Vec::new();
    for logical in &text.logical {
        for segment in &logical.segments {
            let SegmentKind::Striped { stripes, .. } = &segment.kind else { continue };
            let count = segment.count / stripes.len() as u64;
            used.extend(
                stripes
                    .iter()
                    .map(|(name, first)| (name.as_str(), *first, first + count, logical.name.as_str())),
            );
        }
    }
    used.retain(|(name, ..)| text.physical.contains_key(*name));
    used.sort_unstable();
    used.windows(2).find_map(|pair| match pair {
        [(one, first, end, a), (other, next, _, b)] if one == other && next < end => Some(format!(
            "its metadata contradicts itself: {a} (extents {first} to {end} of {one}) and {b} (from {next}) overlap"
        )),
        _ => None,
    })
}
