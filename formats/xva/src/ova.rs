//! What `ova.xml` says about the disks.
//!
//! The machine as a whole is read elsewhere, from the same file, which the container hands on.

use crate::error::XvaError;
use crate::rpc::{self, Value};
use format_core::Warning;

/// Each disk is looked up by going over all.
const MAX_DISKS: usize = 1024;

/// The disks of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ova {
    /// In the order of the file.
    pub(crate) disks: Vec<Vdi>,
    /// Since version 1 of exports each block has its checksum behind it; before, they are in a table at the end.
    pub(crate) has_inline_sums: bool,
}

/// A disk image of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vdi {
    /// Its name in the export, and of the folder with its blocks.
    pub(crate) reference: String,
    pub(crate) label: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Its place among the disks of the machine, the boot disk first; none when it is no disk of it.
    pub(crate) place: Option<(bool, u32)>,
    /// Whether the export has to hold it.
    pub(crate) is_expected: bool,
}

/// How a machine uses a disk image.
struct Vbd<'a> {
    machine: Option<&'a str>,
    vdi: &'a str,
    place: (bool, u32),
    is_disk: bool,
}

impl Ova {
    pub(crate) fn parse(text: &str) -> Result<Self, XvaError> {
        let root = rpc::parse(text, "ova.xml")?;
        let version = root.get("version").and_then(|version| version.text("export_vsn"));
        let objects = root.get("objects").map(Value::items).unwrap_or_default();
        let of_class = |class: &'static str| {
            let all = objects.iter().filter(move |object| object.text("class") == Some(class));
            all.filter_map(|object| Some((object.text("id")?, object.get("snapshot")?)))
        };
        // Snapshots of a machine are machines, too.
        let main = of_class("VM").find(|(_, vm)| !vm.is("is_a_snapshot") && !vm.is("is_control_domain"));
        let main = main.or_else(|| of_class("VM").next());
        let is_pv = main.is_some_and(|(_, vm)| match vm.text("domain_type") {
            Some("hvm") => false,
            Some("pv" | "pv_in_pvh") => true,
            _ => vm.text("HVM_boot_policy").is_none(),
        });
        let uses: Vec<_> = of_class("VBD").filter_map(|(_, vbd)| usage(vbd, is_pv)).collect();
        let found = of_class("VDI").count().max(uses.len());
        if found > MAX_DISKS {
            return Err(XvaError::TooMany { found, most: MAX_DISKS });
        }
        let mut disks: Vec<Vdi> = Vec::new();
        for (reference, vdi) in of_class("VDI") {
            if disks.iter().any(|disk| disk.reference == reference) {
                return Err(XvaError::SameDisk { reference: reference.to_owned() });
            }
            disks.push(disk(reference, vdi, main.map(|(id, _)| id), &uses)?);
        }
        let has_inline_sums = version.and_then(|version| version.parse().ok()).is_some_and(|v: u32| v > 0);
        Ok(Self { disks, has_inline_sums })
    }

    /// Indices of the machine's disks, the boot disk first. `wanted` is one of any machine that the operator names, if the
    /// export has it.
    pub(crate) fn chosen(&self, wanted: Option<&str>, has_data: impl Fn(usize) -> bool) -> Vec<usize> {
        let is_used = self.disks.iter().any(|disk| disk.place.is_some());
        let is_named = |disk: &Vdi, index| wanted.is_some() && disk.is_called(wanted) && has_data(index);
        let is_chosen = |disk: &Vdi| if is_used { disk.place.is_some() } else { disk.is_expected };
        let found = self.disks.iter().enumerate();
        let mut chosen: Vec<_> = found
            .filter(|(index, disk)| is_chosen(disk) || is_named(disk, *index))
            .map(|(index, disk)| (disk.place.unwrap_or((true, u32::MAX)), index))
            .collect();
        chosen.sort_unstable();
        chosen.into_iter().map(|(_, index)| index).collect()
    }

    /// Refuses a wish that is the number of one disk and what another is called. `chosen` is what [`Ova::chosen`] gives for it.
    pub(crate) fn judge(&self, chosen: &[usize], wanted: Option<&str>) -> Result<(), XvaError> {
        let number = wanted.and_then(|wanted| wanted.parse::<usize>().ok());
        let Some(numbered) = number.and_then(|number| chosen.get(number)) else { return Ok(()) };
        let is_other = |disk: &&usize| self.disks.get(**disk).is_some_and(|vdi| vdi.is_called(wanted));
        match chosen.iter().filter(|disk| *disk != numbered).find(is_other) {
            Some(other) => {
                let reference =
                    |disk: usize| self.disks.get(disk).map(|vdi| vdi.reference.clone()).unwrap_or_default();
                let wanted = wanted.unwrap_or_default().to_owned();
                Err(XvaError::TwoMeanings {
                    wanted,
                    named: reference(*other),
                    numbered: reference(*numbered),
                })
            }
            None => Ok(()),
        }
    }

    /// What the operator calls a disk: its label where that was asked for and only one has it, else its name in the export.
    pub(crate) fn name(&self, index: usize, wanted: Option<&str>) -> String {
        let Some(disk) = self.disks.get(index) else { return String::new() };
        let same = self.disks.iter().filter(|other| other.label == disk.label).count();
        let by_label = wanted == Some(disk.label.as_str()) && same == 1;
        if by_label { disk.label.clone() } else { disk.reference.clone() }
    }

    /// Says which disks are there and not of the machine.
    pub(crate) fn warning(&self, chosen: &[usize], has_data: impl Fn(usize) -> bool) -> Option<Warning> {
        let others = self.disks.iter().enumerate();
        let others = others.filter(|(index, _)| has_data(*index) && !chosen.contains(index));
        let others: Vec<_> = others.map(|(_, disk)| format!("{} {:?}", disk.reference, disk.label)).collect();
        (!others.is_empty()).then(|| {
            let text = format!(
                "the export also holds disks of snapshots, which are left out: {}; --pick NAME takes one",
                others.join(", ")
            );
            Warning::new("xva-other-disks", text)
        })
    }
}

impl Vdi {
    fn is_called(&self, wanted: Option<&str>) -> bool {
        wanted == Some(self.reference.as_str()) || wanted == Some(self.label.as_str())
    }
}

fn usage(vbd: &Value, is_pv: bool) -> Option<Vbd<'_>> {
    let device = vbd.text("userdevice").and_then(|device| device.parse().ok()).unwrap_or(u32::MAX);
    Some(Vbd {
        machine: vbd.text("VM"),
        vdi: vbd.text("VDI")?,
        // Only the boot loader of paravirtual guests asks for the mark; firmware takes the first disk.
        place: (is_pv && !vbd.is("bootable"), device),
        is_disk: !matches!(vbd.text("type"), Some("CD" | "Floppy")),
    })
}

fn disk(reference: &str, vdi: &Value, main: Option<&str>, uses: &[Vbd<'_>]) -> Result<Vdi, XvaError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_');
    if reference.is_empty() || reference.len() > 80 || !reference.chars().all(is_plain) {
        let found = reference.chars().take(80).collect();
        return Err(XvaError::Reference { found });
    }
    let reference = reference.to_owned();
    let size = vdi.text("virtual_size").unwrap_or_default();
    let Some(size) = size.parse().ok().filter(|size: &u64| *size <= i64::MAX.unsigned_abs()) else {
        return Err(XvaError::VirtualSize { reference, found: size.chars().take(80).collect() });
    };
    let mut of_it = uses.iter().filter(|vbd| vbd.vdi == reference);
    let of_main = |vbd: &&Vbd<'_>| vbd.is_disk && vbd.machine == main;
    let place = uses.iter().filter(|vbd| vbd.vdi == reference).find(of_main).map(|vbd| vbd.place);
    // A CD that is in a drive is described and not exported; what nobody uses is.
    let is_expected = of_it.clone().next().is_none() || of_it.any(|vbd| vbd.is_disk);
    let label =
        vdi.text("name_label").unwrap_or_default().chars().filter(|c| !c.is_control()).take(255).collect();
    Ok(Vdi { reference, label, size, place, is_expected })
}
