//! The files of a backup set: those beside the one that was named, by their numbers.

use crate::error::MrimgxError;
use crate::index::IndexPlace;
use crate::json::Description;
use crate::layout::name;
use crate::metadata::{BlockHeader, block_of, load_footer, load_list};
use format_core::{Error, ErrorKind, LayerContext, Result, SourceFolder, Storage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Extensions of files in a set, without the dot.
const EXTENSIONS: [&str; 4] = ["mrimgx", "mrbakx", "mrimg", "mrbak"];

/// A file of the set.
pub(crate) struct BackupFile {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) description: Description,
}

/// What a file of the set says about a disk.
#[derive(Clone, Debug)]
pub(crate) struct DiskPlaces {
    pub(crate) blocks: Vec<BlockHeader>,
    /// All metadata blocks of its partitions.
    pub(crate) partition_blocks: Vec<BlockHeader>,
    pub(crate) partitions: Vec<IndexPlace>,
}

/// The files that the named one needs.
pub(crate) struct Set {
    files: Vec<BackupFile>,
    /// Files by their own numbers, and by those of files that were merged into them.
    numbers: BTreeMap<u16, usize>,
    /// The file with a full index, and those with changes to it up to the one that was named, which is the last.
    chain: Vec<usize>,
    /// Files of the folder that look as if they could belong to it and cannot be read.
    pub(crate) unreadable: Vec<String>,
    is_alone: bool,
}

/// The description in a file.
pub(crate) fn load_description(storage: &dyn Storage) -> Result<Description> {
    let (blocks, _) = load_list(storage, load_footer(storage)?)?;
    let text = block_of(&blocks, name::JSON)?.load(storage, None)?;
    Ok(Description::parse(&text)?)
}

impl BackupFile {
    fn number(&self) -> u16 {
        self.description.header.file_number
    }

    /// Where the metadata of its disks lie.
    pub(crate) fn places(&self) -> Result<Vec<DiskPlaces>> {
        let storage = self.storage.as_ref();
        let mut next = self.description.header.index_file_position;
        let is_delta = self.description.header.delta_index;
        let mut disks = Vec::new();
        for disk in &self.description.disks {
            let (blocks, end) = load_list(storage, next)?;
            next = end;
            let (mut partition_blocks, mut partitions) = (Vec::new(), Vec::new());
            for partition in &disk.partitions {
                let (blocks, end) = load_list(storage, next)?;
                next = end;
                let index = block_of(&blocks, name::INDEX)?;
                let number = partition.header.partition_number;
                partitions.push(IndexPlace::load(storage, index, is_delta, number)?);
                partition_blocks.extend(blocks);
            }
            disks.push(DiskPlaces { blocks, partition_blocks, partitions });
        }
        Ok(disks)
    }
}

impl Set {
    /// Finds the files that the one in `storage` needs in its folder.
    pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Self> {
        let named = BackupFile { description: load_description(storage.as_ref())?, storage };
        let mut set = Self {
            numbers: BTreeMap::from([(named.number(), 0)]),
            files: vec![named],
            chain: Vec::new(),
            unreadable: Vec::new(),
            is_alone: context.folder.is_none(),
        };
        if let Some(folder) = &context.folder {
            set.add_folder(folder, context.name.as_deref())?;
        }
        set.add_merged();
        let top = set.top_of_named()?;
        set.chain = set.chain_of(top)?;
        Ok(set)
    }

    /// The file whose index says what the disks are.
    pub(crate) fn top(&self) -> Result<&BackupFile> {
        self.chain_files().last().ok_or_else(|| Error::contract("a backup set without a file"))
    }

    /// The file with the full index first.
    pub(crate) fn chain_files(&self) -> impl Iterator<Item = &BackupFile> {
        self.chain.iter().filter_map(|index| self.files.get(*index))
    }

    /// The storage of the file with this number.
    pub(crate) fn storage(&self, number: u16) -> Result<&dyn Storage, MrimgxError> {
        let index = self.numbers.get(&number).ok_or_else(|| self.missing(number))?;
        self.files.get(*index).map(|file| file.storage.as_ref()).ok_or_else(|| self.missing(number))
    }

    fn missing(&self, number: u16) -> MrimgxError {
        if self.is_alone {
            return MrimgxError::NoFolder;
        }
        let mut names = self.files.iter().filter_map(|file| file.description.name_of(number));
        let mut name = names.next_back().map(|name| format!(", it was called {name}")).unwrap_or_default();
        if !self.unreadable.is_empty() {
            name = format!("{name} (these cannot be read: {})", self.unreadable.join(", "));
        }
        MrimgxError::FileMissing { number, name }
    }

    fn add_folder(&mut self, folder: &SourceFolder, named: Option<&str>) -> Result<()> {
        for entry in folder.entries("")? {
            let extension = entry.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
            let is_backup = extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()));
            if entry.is_folder || !is_backup || named == Some(entry.name.as_str()) {
                continue;
            }
            let found = folder.piece(&entry.name).and_then(|file| load_description(&file));
            match found {
                Ok(description) if self.is_wanted(&description) => {
                    let storage = Arc::new(folder.file(&entry.name)?);
                    self.add(BackupFile { storage, description })?;
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(_) => self.unreadable.push(entry.name),
            }
        }
        Ok(())
    }

    /// Of the same set, and not younger than the file that was named.
    fn is_wanted(&self, other: &Description) -> bool {
        self.files.first().is_some_and(|named| {
            let named = &named.description.header;
            named.imageid.eq_ignore_ascii_case(&other.header.imageid)
                && other.header.increment_number <= named.increment_number
        })
    }

    fn add(&mut self, file: BackupFile) -> Result<()> {
        let number = file.number();
        if self.numbers.insert(number, self.files.len()).is_some() {
            let error = Error::from(MrimgxError::FileTwice { number }).with_kind(ErrorKind::Usage);
            return Err(error.hint("leave only one of them in the folder"));
        }
        self.files.push(file);
        Ok(())
    }

    fn add_merged(&mut self) {
        for (index, file) in self.files.iter().enumerate() {
            for number in &file.description.header.merged_files {
                if let Ok(number) = u16::try_from(*number) {
                    self.numbers.entry(number).or_insert(index);
                }
            }
        }
    }

    /// A backup that was cut into files has its index in the last of them.
    fn top_of_named(&self) -> Result<usize, MrimgxError> {
        let named = self.files.first().map(|file| &file.description.header);
        let Some(header) = named.filter(|header| header.split_file) else { return Ok(0) };
        let is_it = |file: &BackupFile| {
            let other = &file.description.header;
            !other.split_file && other.increment_number == header.increment_number
        };
        let found = self.files.iter().position(is_it);
        found.ok_or_else(|| self.missing(header.file_number.saturating_add(1)))
    }

    /// From the newest file with a full index to `top`; none between them may be missing.
    fn chain_of(&self, top: usize) -> Result<Vec<usize>, MrimgxError> {
        let header = |index: usize| self.files.get(index).map(|file| &file.description.header);
        let Some(last) = header(top) else { return Ok(Vec::new()) };
        let mut chain = vec![top];
        if !last.delta_index {
            return Ok(chain);
        }
        for number in (0..last.file_number).rev() {
            let index = *self.numbers.get(&number).ok_or_else(|| self.missing(number))?;
            let Some(found) = header(index) else { continue };
            // Parts of another have no index, and a merged file is met under each of its numbers.
            if found.split_file || chain.contains(&index) {
                continue;
            }
            chain.push(index);
            if !found.delta_index {
                chain.reverse();
                return Ok(chain);
            }
        }
        Err(MrimgxError::NoFull)
    }
}
