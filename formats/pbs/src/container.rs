//! A snapshot as a container.

use crate::blob::unseal;
use crate::digest::{digest_of, fingerprint_text, hex};
use crate::error::PbsError;
use crate::find::{Found, find};
use crate::index::{Index, load_header};
use crate::key::BackupKey;
use crate::layout::{CONFIG, KEY_BLOB, MANIFEST, MAX_BLOB};
use crate::manifest::Manifest;
use crate::order::{configured, disk_name, sort_disks};
use crate::read::PbsDisk;
use crate::store::Store;
use format_core::{
    CheckReport, Container, Details, Disk, DiskEntry, Error, Finding, InnerImage, Layer, LayerContext,
    MachineFile, Origin, Point, Result, SourceFolder, Storage, Tick, Warning,
};
use std::sync::Arc;

/// A snapshot with what its manifest says.
pub(crate) struct Snapshot {
    pub(crate) folder: Arc<SourceFolder>,
    /// Where its files lie in `folder`.
    pub(crate) prefix: String,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) store: Arc<Store>,
    /// The index files of its disks.
    pub(crate) files: Vec<String>,
    disks: Vec<DiskEntry>,
    points: Vec<Point>,
    warnings: Vec<Warning>,
    /// The index that was named, where one was.
    named: Option<Arc<dyn Storage>>,
}

pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let (folder, found, named) = match origin {
        Origin::Folder(folder) => {
            let found = find(&folder, context.access.at.as_deref())?;
            (folder, found, None)
        }
        Origin::File(storage) => {
            // What is no index of a disk says so first.
            load_header(storage.as_ref())?;
            let (Some(folder), Some(name)) = (&context.folder, &context.name) else {
                let text =
                    "an index alone holds no data: its chunks lie in the folder .chunks of its datastore";
                return Err(Error::unsupported(text)
                    .hint("name it where it lies in the datastore, under its own name")
                    .in_format(crate::FORMAT.name));
            };
            let found = Found { prefix: String::new(), points: Vec::new(), unfinished: Vec::new() };
            (Arc::clone(folder), found, Some((name.clone(), storage)))
        }
    };
    let snapshot = Snapshot::load(folder, found, named, context)?;
    Ok(Box::new(snapshot))
}

impl Snapshot {
    fn load(
        folder: Arc<SourceFolder>,
        found: Found,
        named: Option<(String, Arc<dyn Storage>)>,
        context: &LayerContext,
    ) -> Result<Self> {
        let Found { prefix, points, unfinished } = found;
        let mut warnings = Vec::new();
        if !unfinished.is_empty() {
            let text = format!("passed over, because they have no manifest: {}", unfinished.join(", "));
            warnings.push(Warning::new("pbs-unfinished-snapshot", text));
        }
        let mut key = BackupKey::given(&context.access);
        let manifest = load_manifest(&folder, &prefix)?;
        match &manifest {
            Some(manifest) => {
                key = fitting(manifest, key, &mut warnings)?;
            }
            None => warnings.push(Warning::new(
                "pbs-no-manifest",
                "the snapshot has no manifest (index.json.blob): the backup was not finished, or not all of it was copied; \
                 a disk can be missing in it",
            )),
        }
        let store = Arc::new(Store::new(&folder, key));
        let (named_file, named) = named.unzip();
        let mut snapshot = Self {
            folder,
            prefix,
            manifest,
            store,
            files: Vec::new(),
            disks: Vec::new(),
            points,
            warnings,
            named,
        };
        snapshot.list_files(named_file)?;
        Ok(snapshot)
    }

    /// Finds the indexes of disks, and sorts them.
    fn list_files(&mut self, named: Option<String>) -> Result<()> {
        let entries = self.folder.entries(self.prefix.trim_end_matches('/'))?;
        let present: Vec<_> =
            entries.into_iter().filter(|entry| !entry.is_folder).map(|entry| entry.name).collect();
        let listed: Option<Vec<_>> = self.manifest.as_ref().map(|manifest| {
            let mut names: Vec<_> = manifest.files.iter().map(|file| file.name.clone()).collect();
            names.dedup();
            names
        });
        let all = listed.as_ref().unwrap_or(&present);
        let disks: Vec<_> = all.iter().filter(|name| name.ends_with(".fidx")).cloned().collect();
        let has_archives = all.iter().any(|name| name.ends_with(".didx"));
        if disks.is_empty() && named.is_none() {
            let what = if has_archives { "archives of files (.didx)" } else { "nothing" };
            let text = format!("the snapshot holds {what} and no disk");
            return Err(Error::unsupported(text)
                .hint(
                    "restore its files with proxmox-backup-client restore, or the container with pct restore",
                )
                .in_format(crate::FORMAT.name));
        }
        self.warn_of_files(&present, listed.as_deref(), named.as_deref(), has_archives);
        let config = self.config_text();
        self.files = named.map_or(disks, |name| vec![name]);
        sort_disks(&mut self.files, config.as_deref());
        self.disks = self.files.iter().map(|file| self.entry(file)).collect();
        let lost = self.lost_disks();
        if !lost.is_empty() {
            let text =
                format!("the machine's configuration names disks that are not there: {}", lost.join(", "));
            self.warnings.push(Warning::new("pbs-disk-missing", text));
        }
        Ok(())
    }

    fn warn_of_files(
        &mut self,
        present: &[String],
        listed: Option<&[String]>,
        named: Option<&str>,
        has_archives: bool,
    ) {
        let is_unlisted = |name: &&str| listed.is_some_and(|listed| listed.iter().all(|other| other != name));
        let others = present.iter().map(String::as_str).filter(|name| name.ends_with(".fidx"));
        let unlisted: Vec<_> = others.filter(is_unlisted).collect();
        if let Some(name) = named.filter(is_unlisted) {
            let text = format!("the manifest does not list {name}: nothing but itself says that it is whole");
            self.warnings.push(Warning::new("pbs-unlisted-file", text));
        } else if named.is_none() && !unlisted.is_empty() {
            let text = format!("the manifest does not list {}: passed over", unlisted.join(", "));
            self.warnings.push(Warning::new("pbs-unlisted-file", text));
        }
        if has_archives {
            let text = "the snapshot also holds archives of files (.didx), which are not read";
            self.warnings.push(Warning::new("pbs-file-archives", text));
        }
    }

    fn entry(&self, file: &str) -> DiskEntry {
        let header = self.index_storage(file).and_then(|storage| load_header(storage.as_ref()));
        let listed = || Some(self.manifest.as_ref()?.file(file)?.size);
        let virtual_size = header.ok().map(|header| header.size).or_else(listed);
        DiskEntry { name: disk_name(file).to_owned(), virtual_size }
    }

    /// Disks that nothing but the configuration speaks of, and that are not there.
    pub(crate) fn lost_disks(&self) -> Vec<String> {
        // A manifest knows better, and who names an index wants that one.
        if self.manifest.is_some() || self.named.is_some() {
            return Vec::new();
        }
        let config = self.blob(CONFIG).ok().flatten().unwrap_or_default();
        let names = configured(&String::from_utf8_lossy(&config));
        names.into_iter().filter(|name| !self.files.contains(name)).collect()
    }

    /// The configuration for the order of disks; it is judged when it is asked for.
    fn config_text(&mut self) -> Option<String> {
        match self.blob(CONFIG) {
            Ok(config) => String::from_utf8(config?).ok(),
            Err(error) => {
                let text = format!("the machine's configuration cannot be read: {error}");
                self.warnings.push(Warning::new("pbs-no-configuration", text));
                None
            }
        }
    }

    fn index_storage(&self, file: &str) -> Result<Arc<dyn Storage>> {
        match &self.named {
            Some(storage) => Ok(Arc::clone(storage)),
            None if !self.has(file)? => Err(PbsError::FileMissing { name: file.to_owned() }.into()),
            None => Ok(Arc::new(self.folder.file(&format!("{}{file}", self.prefix))?)),
        }
    }

    pub(crate) fn has(&self, file: &str) -> Result<bool> {
        Ok(self.folder.file_size(&format!("{}{file}", self.prefix))?.is_some())
    }

    /// The content of a blob, compared with the manifest; `None` where the snapshot has none of that name.
    pub(crate) fn blob(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let listed = self.manifest.as_ref().and_then(|manifest| manifest.file(name));
        if !self.has(name)? {
            return match listed {
                Some(_) => Err(PbsError::FileMissing { name: name.to_owned() }.into()),
                None => Ok(None),
            };
        }
        let failed = |e: PbsError| Error::from(self.store.explained(e)).context(name.to_owned());
        let mut bytes = self.folder.read(&format!("{}{name}", self.prefix), MAX_BLOB)?;
        if let Some(listed) = listed {
            let (name, found) = (name.to_owned(), bytes.len() as u64);
            if found != listed.size {
                return Err(PbsError::FileSize { name, found, wanted: listed.size }.into());
            }
            let found = digest_of(&[&bytes]);
            if found != listed.sum {
                let (found, wanted) = (hex(&found), hex(&listed.sum));
                return Err(PbsError::FileSum { name, found, wanted }.into());
            }
        }
        let blob = unseal(&mut bytes, self.store.key()).map_err(failed)?;
        blob.unpack(MAX_BLOB).map(Some).map_err(failed)
    }

    /// The disk of an index, which is compared with the manifest.
    pub(crate) fn disk(&self, file: &str) -> Result<PbsDisk> {
        let failed = |e: Error| e.context(file.to_owned());
        let listed = self.manifest.as_ref().and_then(|manifest| manifest.file(file));
        let storage = self.index_storage(file)?;
        let suffix = self.store.key().map(BackupKey::suffix);
        let index = Index::open(storage, suffix).map_err(failed)?;
        if let Some(listed) = listed {
            let name = file.to_owned();
            let (found, wanted) = (index.header.size, listed.size);
            if found != wanted {
                return Err(PbsError::FileSize { name, found, wanted }.into());
            }
            if index.header.sum != listed.sum {
                let (found, wanted) = (hex(&index.header.sum), hex(&listed.sum));
                return Err(PbsError::FileSum { name, found, wanted }.into());
            }
        }
        let mode = listed.map(|listed| listed.mode);
        Ok(PbsDisk { index, store: Arc::clone(&self.store), file: file.to_owned(), mode })
    }

    /// Nothing can be said about encrypted content without its key.
    pub(crate) fn demand_key(&self) -> Result<()> {
        let is_encrypted = self.manifest.as_ref().is_some_and(Manifest::is_encrypted);
        if !is_encrypted || self.store.key().is_some() {
            return Ok(());
        }
        let error = Error::from(self.store.explained(PbsError::NoKey));
        let name = self.manifest.as_ref().and_then(|manifest| manifest.fingerprint);
        let name = name.map(|name| format!(" (fingerprint {})", fingerprint_text(&name))).unwrap_or_default();
        let error = error.context(format!("the snapshot is encrypted{name}"));
        Err(match self.has(KEY_BLOB) {
            Ok(true) => error.hint(
                "give its key with --key-file FILE; who has the master key gets it out of rsa-encrypted.key.blob with \
                 proxmox-backup-client key import-with-master-key",
            ),
            _ => error,
        })
    }
}

/// The manifest, if there is one.
fn load_manifest(folder: &SourceFolder, prefix: &str) -> Result<Option<Manifest>> {
    let path = format!("{prefix}{MANIFEST}");
    if folder.file_size(&path)?.is_none() {
        return Ok(None);
    }
    let failed = |e: PbsError| Error::from(e).context(MANIFEST);
    let mut bytes = folder.read(&path, MAX_BLOB)?;
    let text = unseal(&mut bytes, None).and_then(|blob| blob.unpack(MAX_BLOB)).map_err(failed)?;
    Manifest::parse(&text).map(Some).map_err(failed)
}

/// The key where it is the backup's; what was given for something else inside the disks is left to that.
fn fitting(
    manifest: &Manifest,
    key: Result<Option<BackupKey>, PbsError>,
    warnings: &mut Vec<Warning>,
) -> Result<Result<Option<BackupKey>, PbsError>> {
    if !manifest.is_protected() {
        return Ok(Ok(None));
    }
    let key = match key {
        Ok(Some(key)) => {
            manifest.verify(&key)?;
            return Ok(Ok(Some(key)));
        }
        key if manifest.is_encrypted() => key,
        _ => Ok(None),
    };
    if manifest.is_signed() {
        let text =
            "the manifest is signed, and nobody compared its signature: that needs the key (--key-file)";
        warnings.push(Warning::new("pbs-signature-unchecked", text));
    }
    Ok(key)
}

impl Container for Snapshot {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let none = || Error::usage(format!("there is no disk {index}")).in_format(crate::FORMAT.name);
        let file = self.files.get(index).ok_or_else(none)?;
        self.demand_key()?;
        let layer: Box<dyn Layer> = Box::new(self.disk(file)?);
        Ok(InnerImage::plain(Disk::new(vec![layer.into()])?))
    }

    fn machine_files(&self) -> Result<Vec<MachineFile>> {
        let name = CONFIG.strip_suffix(".blob").unwrap_or(CONFIG).to_owned();
        Ok(self.blob(CONFIG)?.map(|bytes| MachineFile { name, bytes }).into_iter().collect())
    }

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        let mut put = |key: &str, value: serde_json::Value| details.insert(key.into(), value);
        let Some(manifest) = &self.manifest else { return details };
        put("backup-type", manifest.kind.as_str().into());
        put("backup-id", manifest.id.as_str().into());
        put("backup-time", manifest.time.into());
        put("encrypted", manifest.is_encrypted().into());
        put("signed", manifest.is_signed().into());
        if let Some(fingerprint) = &manifest.fingerprint {
            put("key-fingerprint", fingerprint_text(fingerprint).into());
        }
        if let Some(notes) = &manifest.notes {
            put("notes", notes.as_str().into());
        }
        if let Some(verified) = &manifest.verified {
            put("server-verification", verified.as_str().into());
        }
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn completeness(&self) -> Result<Vec<Finding>> {
        crate::check::completeness(self)
    }

    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        crate::check::check(self, tick)
    }
}
