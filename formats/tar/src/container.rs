//! An archive as a container: its members that may be disks.

use crate::error::TarError;
use crate::members::{Index, is_called_raw, own, plain_name};
use format_core::{
    CheckReport, Container, Details, DiskEntry, Error, ErrorKind, Gate, InnerImage, LayerContext, Opener,
    Origin, Referenced, Result, Storage, Tick, Warning, is_zero,
};
use std::collections::HashSet;
use std::sync::Arc;
use tar_members::{BLOCK, End};

/// How much behind the end of an archive is looked at: more than the padding of any program.
const BEHIND: u64 = 64 << 10;

struct Archive {
    storage: Arc<dyn Storage>,
    index: Index,
    names: Arc<HashSet<String>>,
    disks: Vec<DiskEntry>,
    opener: Arc<dyn Opener>,
    warnings: Vec<Warning>,
}

pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::File(storage) = origin else {
        return Err(Error::unsupported("an archive is a file, not a folder").in_format(crate::FORMAT.name));
    };
    let index = Index::load(&storage)?;
    if index.disks.is_empty() {
        return Err(index.no_disk().into());
    }
    let mut disks = Vec::with_capacity(index.disks.len());
    for number in 0..index.disks.len() {
        let member = index.disk(number)?;
        // What a member that lost its end has is the business of the walk; here its window is only tried.
        member.storage(&storage).map_err(own)?;
        let virtual_size = is_called_raw(&member.name).then_some(member.size);
        disks.push(DiskEntry { name: plain_name(&member.name).to_owned(), virtual_size });
    }
    let names = Arc::new(index.members.iter().map(|member| plain_name(&member.name).to_owned()).collect());
    let warnings = warnings(&storage, &index)?;
    let opener = Arc::clone(&context.opener);
    Ok(Box::new(Archive { storage, index, names, disks, opener, warnings }))
}

fn warnings(storage: &Arc<dyn Storage>, index: &Index) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    match index.end {
        End::Open => {
            let text =
                "the archive has no end mark: if it was cut off, the members behind the last one are missing";
            warnings.push(Warning::new("tar-no-end", text));
        }
        End::Marked(at) if !is_blank_behind(storage.as_ref(), at)? => {
            let text = format!(
                "bytes follow the end of the archive at {at:#x}: a second archive, which is not read"
            );
            warnings.push(Warning::new("tar-bytes-behind", text));
        }
        End::Marked(_) => {}
    }
    let ovf = index.members.iter().find(|member| member.name.to_ascii_lowercase().ends_with(".ovf"));
    if let Some(ovf) = ovf {
        let text = format!(
            "the archive holds {:?}, the description of a machine: read it with -f ova to have that and its checksums",
            ovf.name
        );
        warnings.push(Warning::new("tar-is-ova", text));
    }
    Ok(warnings)
}

fn is_blank_behind(storage: &dyn Storage, at: u64) -> Result<bool> {
    let len = storage.size().saturating_sub(at).min(BEHIND);
    let mut bytes = vec![0; len as usize];
    storage.read_exact_at(at, &mut bytes)?;
    Ok(is_zero(&bytes))
}

impl Container for Archive {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let member = self.index.disk(index)?;
        let name = plain_name(&member.name);
        let (folder, base) = name.rsplit_once('/').unwrap_or(("", name));
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let gate = ArchiveGate { name: name.to_owned(), folder, names: Arc::clone(&self.names) };
        self.opener.open(member.storage(&self.storage).map_err(own)?, base, Arc::new(gate))
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("members".into(), self.index.members.len().into());
        let sparse = self.index.members.iter().filter(|member| member.segments.is_some()).count();
        details.insert("sparse-members".into(), sparse.into());
        details.insert("data-checksums".into(), "none".into());
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The checksums of all headers were compared when the archive was opened, and the data have none.
    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        for member in &self.index.members {
            let blocks = member.size.div_ceil(BLOCK);
            report.total_chunks = report.total_chunks.saturating_add(blocks);
            report.allocated_chunks = report.allocated_chunks.saturating_add(member.stored.div_ceil(BLOCK));
            report.image_end = report.image_end.max(member.data_at.saturating_add(member.stored));
            tick(member.data_at.saturating_sub(member.header_at))?;
        }
        match self.index.end {
            End::Open => report.error("the archive has no end mark", Some(self.storage.size())),
            End::Marked(at) => {
                report.image_end = report.image_end.max(at.saturating_add(BLOCK));
                if !is_blank_behind(self.storage.as_ref(), at)? {
                    report.note("bytes follow the end of the archive", Some(at));
                }
            }
        }
        report.note("a tar archive has checksums of its headers, not of its data", None);
        Ok(report)
    }
}

/// What an image in an archive names: the other members are not opened for it, and nothing else exists.
struct ArchiveGate {
    name: String,
    folder: String,
    names: Arc<HashSet<String>>,
}

impl Gate for ArchiveGate {
    fn open(&self, name: &str) -> Result<Referenced> {
        if self.names.contains(&format!("{}{name}", self.folder)) {
            return Err(TarError::Further { name: self.name.clone(), other: name.to_owned() }.into());
        }
        let text = format!("member {:?} names {name:?}, which is not in the archive", self.name);
        Err(Error::new(ErrorKind::SourceMissing, text).in_format(crate::FORMAT.name))
    }
}
