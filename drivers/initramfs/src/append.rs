//! Plans what to add to an image so that it has a set of modules.
//!
//! Measured facts that rule this file:
//! - A directory entry for a path that is a symbolic link in the image (`lib` → `usr/lib`) replaces the link and the machine
//!   panics with "No working init found". So files are written below the real path, and directories only where none is.
//! - The kernel drops a file silently when its folder does not exist. So every missing folder gets an entry.
//! - modprobe needs the binary indexes, not only `modules.dep`.
//! - An lz4 segment must be the last thing in an image.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::addition::Addition;
use crate::early::{self, Early};
use crate::error::{Error, Result};
use crate::index_files;
use crate::input::Input;
use crate::listing::{Listing, Maker, ModuleForm, split_version};
use crate::modules::{Closure, Module, ModuleIndex, ModuleSource, ModuleState, module_name};
use crate::nash;
use crate::segment::{self, Compression, Limits, Segment};

/// Largest module after unpacking, in bytes.
const MODULE_MAX: u64 = 256 << 20;
/// Memory in bytes for the dictionary of a `.ko.xz`.
pub(crate) const MODULE_DICTIONARY: u64 = 128 << 20;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Kernel version the image belongs to.
    pub version: &'a str,
    /// Modules that must be in the image.
    pub wanted: &'a [&'a str],
    /// Modules to load before devices are looked for; they count as wanted too.
    pub load_early: &'a [&'a str],
    /// Other files, path and content, that the image gets unless it is known to have just that content
    /// ([`Listing::content`]).
    pub files: &'a [(&'a str, &'a [u8])],
}

/// How to change the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Everything is there.
    Nothing,
    /// Put these bytes, which start with padding, behind the image.
    Append(Vec<u8>),
    /// These bytes are the new image.
    Replace(Vec<u8>),
}

impl Plan {
    /// The segments of the image that [`Plan::into_image`] makes of one with `listing` and `size` bytes.
    ///
    /// # Errors
    /// As [`segment::walk`].
    pub fn segments(&self, listing: &Listing, size: u64, limits: &Limits) -> Result<Vec<Segment>> {
        let walk = |bytes: &[u8]| segment::walk(bytes, limits, &mut |_, _| Ok(()));
        match self {
            Plan::Nothing => Ok(listing.segments().to_vec()),
            Plan::Replace(bytes) => walk(bytes),
            Plan::Append(bytes) => {
                // An archive is aligned to its place in the image; alone it starts at 0.
                let padding = bytes.iter().take_while(|&&byte| byte == 0).count();
                let start = size.saturating_add(padding as u64);
                let appended = walk(bytes.get(padding..).unwrap_or_default())?;
                let moved = appended
                    .into_iter()
                    .map(|segment| Segment { offset: start.saturating_add(segment.offset), ..segment });
                Ok(listing.segments().iter().cloned().chain(moved).collect())
            }
        }
    }

    /// The new image.
    #[must_use]
    pub fn into_image(self, mut old: Vec<u8>) -> Vec<u8> {
        match self {
            Plan::Nothing => old,
            Plan::Append(bytes) => {
                old.extend_from_slice(&bytes);
                old
            }
            Plan::Replace(bytes) => bytes,
        }
    }
}

/// A file that is added or replaced in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Path in the image.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// A plan and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What to do.
    pub plan: Plan,
    /// Modules that are added, in load order.
    pub modules: Vec<Added>,
    /// Indexes and lists that are added or replaced.
    pub files: Vec<Added>,
    /// Names of modules that the image has already.
    pub present: Vec<String>,
    /// Names of modules that are part of the kernel.
    pub builtin: Vec<String>,
    /// Wanted or needed modules that this kernel does not have at all: the caller must decide.
    pub missing: Vec<String>,
    /// Remarks for the report.
    pub notes: Vec<String>,
}

/// Plans the change of `image`, whose listing is `listing`. A plan for the changed image is [`Plan::Nothing`].
///
/// Modules keep the compression they have in the guest when the image holds modules of that compression already, which
/// proves that its modprobe or kernel can unpack it; otherwise they are added unpacked, which always works.
///
/// # Errors
/// [`Error::OtherKernel`], [`Error::Source`], [`Error::BadIndex`], [`Error::BadModule`], [`Error::InTheWay`],
/// [`Error::EarlyList`].
pub fn plan(
    image: &[u8],
    listing: &Listing,
    source: &dyn ModuleSource,
    request: &Request<'_>,
) -> Result<Outcome> {
    let version = request.version;
    check_version(listing, version)?;
    let index = source.index()?;
    let wanted: Vec<&str> = request.wanted.iter().chain(request.load_early).copied().collect();
    let closure = index.closure(&wanted);
    let mut need = self::need(listing, version, &index.hard_closure(&wanted));
    if !need.absent.is_empty() || need.reindex {
        // Soft dependencies come along, but their absence alone is no reason to touch an image.
        need = self::need(listing, version, &closure);
    }
    let mut addition = Addition::new(listing);
    let mut modules = Vec::new();
    let mut notes = Vec::new();
    if listing.builder().maker == Maker::Nash {
        modules = add_to_script(&mut addition, listing, version, source, &need.absent)?;
        need.absent.clear();
        need.reindex = false;
    }
    if !need.absent.is_empty() || need.reindex {
        let root = root_for(listing, version)?;
        let mut paths = BTreeMap::new();
        for module in &need.absent {
            let (relative, bytes) = load_module(listing, version, source, module)?;
            modules.push(addition.add(format!("{root}/{relative}"), bytes));
            paths.insert(module.name.clone(), relative);
        }
        let indexes = index_files::build(listing, version, source, &index, &paths)?;
        notes = indexes.notes;
        for (file, bytes) in indexes.files {
            let added = addition.add(format!("{root}/{file}"), bytes);
            addition.reported.push(added);
        }
    }
    let early: Vec<String> = early_names(&index, request.load_early);
    match early::extend(listing, &early)? {
        Early::Nothing => {}
        Early::Write(list) => {
            let added = addition.add(list.path, list.content);
            addition.reported.push(added);
        }
        Early::NoList => {
            notes.push(
                "no list of modules to load early in this kind of image: device aliases load them".into(),
            );
        }
    }
    for (path, content) in
        request.files.iter().filter(|(path, content)| listing.content(path) != Some(content))
    {
        let added = addition.add((*path).to_owned(), content.to_vec());
        addition.reported.push(added);
    }
    let files = std::mem::take(&mut addition.reported);
    Ok(Outcome {
        plan: addition.into_plan(image)?,
        modules,
        files,
        present: need.present,
        builtin: closure.builtin.into_iter().collect(),
        missing: closure.missing.into_iter().collect(),
        notes,
    })
}

/// The modules that [`plan`] would add, as paths below the version's folder, without reading one: quick. `None` when the
/// image stays as it is.
///
/// # Errors
/// As [`plan`], as far as it can be told from the listing and the indexes.
pub fn survey(
    listing: &Listing,
    source: &dyn ModuleSource,
    request: &Request<'_>,
) -> Result<Option<Vec<String>>> {
    check_version(listing, request.version)?;
    let index = source.index()?;
    let wanted: Vec<&str> = request.wanted.iter().chain(request.load_early).copied().collect();
    let need = need(listing, request.version, &index.hard_closure(&wanted));
    let early = early::extend(listing, &early_names(&index, request.load_early))?;
    let stays = need.absent.is_empty()
        && !need.reindex
        && !matches!(early, Early::Write(_))
        && request.files.iter().all(|(path, content)| listing.content(path) == Some(content));
    if !need.absent.is_empty() || need.reindex {
        root_for(listing, request.version)?;
    }
    for path in need.absent.iter().map(|module| &module.path) {
        // What goes in as it is, is not looked at.
        let Some(compression) = to_unpack(listing, request.version, path) else { continue };
        let bytes = source.read(path).map_err(|source| Error::Source { path: path.clone(), source })?;
        if !segment::begins_with(&bytes, compression) {
            let reason = format!("it is not packed with {compression}");
            return Err(Error::BadModule { path: path.clone(), reason });
        }
    }
    Ok((!stays).then(|| need.absent.into_iter().map(|module| module.path).collect()))
}

/// The folder of a version's modules in the image, which must be one of the two usual ones.
fn root_for(listing: &Listing, version: &str) -> Result<String> {
    let root = listing.module_root(version);
    if split_version(&format!("{root}/")) != Some((version, "")) {
        return Err(Error::InTheWay { path: root, wanted: "folder lib/modules or usr/lib/modules" });
    }
    Ok(root)
}

/// What a module has to be unpacked from, because the image does not prove that its kernel or modprobe can do that.
fn to_unpack(listing: &Listing, version: &str, path: &str) -> Option<Compression> {
    let form = ModuleForm::of(path).unwrap_or(ModuleForm::Plain);
    if listing.modules().iter().any(|m| m.version == version && m.form == form) {
        return None;
    }
    match form {
        ModuleForm::Plain => None,
        ModuleForm::Xz => Some(Compression::Xz),
        ModuleForm::Zstd => Some(Compression::Zstd),
        ModuleForm::Gzip => Some(Compression::Gzip),
    }
}

fn check_version(listing: &Listing, version: &str) -> Result<()> {
    if version.is_empty() || version.starts_with('.') || version.contains(['/', '\0']) || version.len() > 255
    {
        return Err(Error::BadVersion { version: version.to_owned() });
    }
    let found = listing.versions();
    if found.is_empty() || found.contains(version) {
        return Ok(());
    }
    let found = found.into_iter().take(4).collect::<Vec<_>>().join(", ");
    Err(Error::OtherKernel { found, wanted: version.to_owned() })
}

/// An image whose script names each module: they lie beside the others, and the script loads them too.
fn add_to_script(
    addition: &mut Addition<'_>,
    listing: &Listing,
    version: &str,
    source: &dyn ModuleSource,
    absent: &[Module],
) -> Result<Vec<Added>> {
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    let mut modules = Vec::new();
    for module in absent {
        let (relative, bytes) = load_module(listing, version, source, module)?;
        let file = relative.rsplit('/').next().unwrap_or(&relative);
        modules.push(addition.add(format!("{}/{file}", listing.resolve("lib")), bytes));
    }
    let paths: Vec<String> = modules.iter().map(|module| module.path.clone()).collect();
    let script = listing.content(nash::SCRIPT).unwrap_or_default();
    let content = nash::with_modules(script, &paths).ok_or(Error::EarlyList {
        path: nash::SCRIPT.to_owned(),
        reason: "it has no place where more modules could be loaded; in the guest, mkinitrd -f --with=MODULE IMAGE VERSION \
                 makes an image with them",
    })?;
    let added = addition.add(nash::SCRIPT.to_owned(), content);
    addition.reported.push(added);
    Ok(modules)
}

/// Only what is a file: a built-in driver needs no loading, a missing one cannot be loaded.
fn early_names(index: &ModuleIndex, names: &[&str]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names
        .iter()
        .map(|name| module_name(name))
        .filter(|name| matches!(index.state(name), ModuleState::Module(_)) && seen.insert(name.clone()))
        .collect()
}

struct Need {
    absent: Vec<Module>,
    present: Vec<String>,
    /// A module is in the image, but the image's index does not lead to it.
    reindex: bool,
}

fn need(listing: &Listing, version: &str, closure: &Closure) -> Need {
    let mut need = Need { absent: Vec::new(), present: Vec::new(), reindex: false };
    if listing.builder().maker == Maker::Nash {
        let (present, absent) =
            closure.files.iter().cloned().partition(|m: &Module| listing.loads(version, &m.name));
        let names = |modules: Vec<Module>| modules.into_iter().map(|module| module.name).collect();
        return Need { absent, present: names(present), reindex: false };
    }
    let listed = index_files::image_index(listing, version);
    let has_bin = listing.indexes(version).contains(&"modules.dep.bin");
    for module in &closure.files {
        if listing.module(version, &module.name).is_none() {
            need.absent.push(module.clone());
            continue;
        }
        let found = match &listed {
            Some(listed) => listed.get(&module.name).is_some_and(|entry| listing.has(version, entry)),
            None => has_bin,
        };
        need.reindex |= !found;
        need.present.push(module.name.clone());
    }
    need
}

/// Reads a module, unpacks it if need be. Gives its path below the version's folder too.
fn load_module(
    listing: &Listing,
    version: &str,
    source: &dyn ModuleSource,
    module: &Module,
) -> Result<(String, Vec<u8>)> {
    let path = &module.path;
    let bytes = source.read(path).map_err(|source| Error::Source { path: path.clone(), source })?;
    let Some(compression) = to_unpack(listing, version, path) else { return Ok((path.clone(), bytes)) };
    let unpacked =
        unpack(&bytes, compression).map_err(|reason| Error::BadModule { path: path.clone(), reason })?;
    Ok((format!("{}{}", ModuleForm::stem(path), ModuleForm::Plain.suffix()), unpacked))
}

fn unpack(bytes: &[u8], compression: Compression) -> Result<Vec<u8>, String> {
    let mut input = Input::new(bytes);
    let decoder = segment::decoder(&mut input, compression, MODULE_DICTIONARY).map_err(|e| e.to_string())?;
    let mut unpacked = Vec::new();
    decoder.take(MODULE_MAX + 1).read_to_end(&mut unpacked).map_err(|e| e.to_string())?;
    if unpacked.len() as u64 > MODULE_MAX {
        return Err(format!("more than {MODULE_MAX} bytes"));
    }
    Ok(unpacked)
}
