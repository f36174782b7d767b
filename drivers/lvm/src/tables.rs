//! What LVM tells the device mapper when it activates a volume (`lvchange -ay`): the volume's device, and those below it.
//!
//! ```text
//!  visible volume ─▶ layer (snapshot-origin, pool) ─▶ `-real`, `-tpool` ─▶ hidden volumes ─▶ members
//! ```
//!
//! Every device is made once and shared by those that lie on it, as in the guest. Tables are compared with those that LVM
//! loads into a kernel (`tests/judged`).

use crate::layouts;
use crate::metadata::{GroupText, LogicalText, PhysicalText, SECTOR, SegmentKind, SegmentText};
use crate::names;
use crate::snapshots::Snapshots;
use crate::targets;
use driver_core::{Mapping, MappingArgument, MappingLine};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Devices on devices: a snapshot of a thin volume on a cached pool on RAID is eight deep.
const MAX_DEPTH: usize = 16;

/// What is under way with a volume that its table does not show.
const UNFINISHED: &[&str] = &[
    "PVMOVE",
    "CONVERTING",
    "LOCKED",
    "REBUILD",
    "RESHAPE",
    "RESHAPE_DELTA_DISKS_PLUS",
    "RESHAPE_DELTA_DISKS_MINUS",
    "REMOVE_AFTER_RESHAPE",
    "PARTIAL_LV",
];

/// Physical volumes by the name that segments use, with their place among the members.
pub(crate) type Places<'a> = BTreeMap<&'a str, (usize, &'a PhysicalText)>;

/// Makes the devices of one group.
pub(crate) struct Tables<'a> {
    text: &'a GroupText,
    places: &'a Places<'a>,
    snapshots: &'a Snapshots<'a>,
    logical: BTreeMap<&'a str, &'a LogicalText>,
    /// Pools that have volumes, and volumes that thin ones go back to.
    used: BTreeSet<&'a str>,
    /// By name below `/dev/mapper`.
    made: BTreeMap<String, Result<Arc<Mapping>, String>>,
    depth: usize,
    /// Why no device of the group is made.
    obstacle: Option<String>,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(
        text: &'a GroupText,
        places: &'a Places<'a>,
        snapshots: &'a Snapshots<'a>,
        obstacle: Option<String>,
    ) -> Self {
        let logical = text.logical.iter().map(|logical| (logical.name.as_str(), logical)).collect();
        let segments = text.logical.iter().flat_map(|logical| &logical.segments);
        let sections = segments.filter_map(targets::section);
        let fields = sections
            .flat_map(|section| ["thin_pool", "external_origin"].map(|field| section.text(field).ok()));
        let used = fields.flatten().collect();
        let obstacle = obstacle.or_else(|| owned_twice(text));
        Self { text, places, snapshots, logical, used, made: BTreeMap::new(), depth: 0, obstacle }
    }

    /// The device that `lvchange -ay` makes for this volume. A snapshot's store stands for the snapshot.
    pub(crate) fn volume(&mut self, logical: &'a LogicalText) -> Result<Arc<Mapping>, String> {
        if let Some(reason) = &self.obstacle {
            return Err(reason.clone());
        }
        let name = logical.name.as_str();
        if self.snapshots.is_merging(name) {
            return Err(
                "a snapshot is being merged into it; let that end in the guest before exporting".into()
            );
        }
        if let Some(origin) = self.snapshots.by_store.get(name) {
            let sectors = self.find(origin)?.count * self.text.extent_size / SECTOR;
            return self.snapshot(logical, origin, sectors);
        }
        if self.snapshots.stores(name).is_empty() && !self.used.contains(logical.name.as_str()) {
            return self.inner(name);
        }
        let below = self.inner(name)?;
        let is_pool = targets::kind(logical) == Some("thin-pool");
        let target = if self.snapshots.stores(name).is_empty() { "linear" } else { "snapshot-origin" };
        let mut arguments = vec![MappingArgument::Mapped(Arc::clone(&below))];
        arguments.extend((target == "linear").then(|| MappingArgument::Text("0".into())));
        let line = MappingLine { start: 0, sectors: below.sectors(), target: target.into(), arguments };
        let mut device = self.device(logical, None, is_pool.then_some("pool"), vec![line]);
        // Whoever opens the pool as a device may read it.
        device.read_only |= is_pool;
        Ok(Arc::new(device))
    }

    /// Devices that have to be there as well before the volume is written: the snapshots that keep what it was.
    pub(crate) fn beside(&mut self, logical: &'a LogicalText) -> Result<Vec<Arc<Mapping>>, String> {
        let stores = self.snapshots.stores(&logical.name).to_vec();
        stores.into_iter().map(|store| self.find(store).and_then(|store| self.volume(store))).collect()
    }

    pub(crate) fn find(&self, name: &str) -> Result<&'a LogicalText, String> {
        self.logical
            .get(name)
            .copied()
            .ok_or_else(|| format!("a part of it is on {name}, which is not there"))
    }

    fn device(
        &self,
        logical: &LogicalText,
        layer: Option<&str>,
        suffix: Option<&str>,
        lines: Vec<MappingLine>,
    ) -> Mapping {
        let group_writes = self.text.status.iter().any(|flag| flag == "WRITE");
        Mapping {
            name: names::device(self.text, &logical.name, layer),
            uuid: names::uuid(self.text, logical, suffix),
            lines,
            read_only: !group_writes || !logical.has("WRITE"),
        }
    }

    /// The device below all layers of a volume.
    pub(crate) fn inner(&mut self, name: &str) -> Result<Arc<Mapping>, String> {
        let logical = self.find(name)?;
        if targets::kind(logical) == Some("thin-pool") {
            // A pool without volumes is opened itself.
            let layer = self.used.contains(logical.name.as_str()).then_some("tpool");
            return self.plain(logical, layer, Some("tpool"));
        }
        let has_layer = !self.snapshots.stores(name).is_empty() || self.used.contains(logical.name.as_str());
        let layer = has_layer.then_some("real");
        self.plain(logical, layer, layer)
    }

    /// The device of a hidden volume, which is `role` for the one on it.
    pub(crate) fn part(&mut self, name: &str, role: Option<&str>) -> Result<Arc<Mapping>, String> {
        let logical = self.find(name)?;
        self.plain(logical, None, role)
    }

    /// A piece of a hidden volume, as a device of its own.
    pub(crate) fn piece(
        &mut self,
        name: &str,
        role: &str,
        start: u64,
        sectors: u64,
    ) -> Result<Arc<Mapping>, String> {
        let logical = self.find(name)?;
        let whole = self.part(name, Some("cvol"))?;
        if sectors == 0 || start.checked_add(sectors).is_none_or(|end| end > whole.sectors()) {
            let has = whole.sectors();
            return Err(format!("it uses {sectors} sectors from {start} of {name}, which has {has}"));
        }
        let arguments = vec![MappingArgument::Mapped(whole), MappingArgument::Text(start.to_string())];
        let line = MappingLine { start: 0, sectors, target: "linear".into(), arguments };
        Ok(Arc::new(self.device(logical, Some(role), Some(role), vec![line])))
    }

    fn plain(
        &mut self,
        logical: &'a LogicalText,
        layer: Option<&str>,
        suffix: Option<&str>,
    ) -> Result<Arc<Mapping>, String> {
        let name = names::device(self.text, &logical.name, layer);
        if let Some(made) = self.made.get(&name) {
            return made.clone();
        }
        if self.depth >= MAX_DEPTH {
            return Err("its metadata contradicts itself: volumes lie on each other in a circle".into());
        }
        self.depth += 1;
        let lines = self.lines(logical);
        self.depth -= 1;
        let made = lines.map(|lines| Arc::new(self.device(logical, layer, suffix, lines)));
        self.made.insert(name, made.clone());
        made
    }

    fn lines(&mut self, logical: &'a LogicalText) -> Result<Vec<MappingLine>, String> {
        if let Some(flag) = UNFINISHED.iter().find(|flag| logical.has(flag)) {
            return Err(format!(
                "{} is being moved, converted or rebuilt ({flag}); let that end in the guest before exporting",
                logical.name
            ));
        }
        logical.segments.iter().map(|segment| self.line(logical, segment)).collect()
    }

    fn line(&mut self, logical: &'a LogicalText, segment: &'a SegmentText) -> Result<MappingLine, String> {
        let extent = self.text.extent_size / SECTOR;
        let (start, sectors) = (segment.start * extent, segment.count * extent);
        let (target, arguments) = match &segment.kind {
            SegmentKind::Striped { stripe_size, stripes } => {
                self.striped(segment.count, *stripe_size, stripes)?
            }
            SegmentKind::Snapshot { .. } => return Err(layouts::obstacle("snapshot")),
            SegmentKind::Other(kind, section) => targets::target(self, logical, kind, section)?,
        };
        Ok(MappingLine { start, sectors, target: target.into(), arguments })
    }

    /// `linear DEVICE OFFSET`, or `striped COUNT CHUNK` and that for each stripe (kernel documentation, "dm-linear",
    /// "dm-stripe").
    fn striped(
        &self,
        extents: u64,
        stripe_size: u64,
        stripes: &[(String, u64)],
    ) -> Result<(&'static str, Vec<MappingArgument>), String> {
        let count = extents / stripes.len() as u64;
        let mut arguments = Vec::new();
        if stripes.len() > 1 {
            arguments.push(MappingArgument::Text(format!("{} {}", stripes.len(), stripe_size / SECTOR)));
        }
        for (name, first) in stripes {
            let Some((member, physical)) = self.places.get(name.as_str()) else {
                return Err(format!(
                    "a part of it is on {name}, which is no physical volume; if extents are being moved, let pvmove end in the \
                     guest before exporting"
                ));
            };
            if first + count > physical.count {
                let (end, has) = (first + count, physical.count);
                return Err(format!("extents {first} to {end} of {name} are used, it has {has}"));
            }
            let start = (physical.start + first * self.text.extent_size) / SECTOR;
            arguments.push(MappingArgument::Member(*member));
            arguments.push(MappingArgument::Text(start.to_string()));
        }
        Ok((if stripes.len() > 1 { "striped" } else { "linear" }, arguments))
    }

    /// `snapshot ORIGIN STORE PERSISTENT CHUNK` (kernel documentation, "Device-mapper snapshot support").
    fn snapshot(
        &mut self,
        store: &'a LogicalText,
        origin: &str,
        sectors: u64,
    ) -> Result<Arc<Mapping>, String> {
        let chunk = self.snapshots.chunk(&store.name).filter(|chunk| chunk.is_power_of_two());
        let chunk = chunk.ok_or("its snapshot has no chunk_size that is a power of two")?;
        let below = self.inner(origin)?;
        let cow = self.plain(store, Some("cow"), Some("cow"))?;
        let arguments = vec![
            MappingArgument::Mapped(below),
            MappingArgument::Mapped(cow),
            MappingArgument::Text(format!("P {chunk}")),
        ];
        let line = MappingLine { start: 0, sectors, target: "snapshot".into(), arguments };
        Ok(Arc::new(self.device(store, None, None, vec![line])))
    }
}

/// A volume that two others think to have for themselves: then each would change the other's content.
fn owned_twice(text: &GroupText) -> Option<String> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for logical in &text.logical {
        for section in logical.segments.iter().filter_map(targets::section) {
            for name in section
                .iter()
                .filter(|(field, _)| targets::owns(section, field))
                .flat_map(|(_, node)| node.texts())
            {
                if let Some(other) = owners.insert(name, &logical.name) {
                    let own = &logical.name;
                    return Some(format!(
                        "its metadata contradicts itself: {name} belongs to {other} and to {own}"
                    ));
                }
            }
        }
    }
    None
}
