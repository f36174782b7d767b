//! The module indexes that go into an image: the guest's own, with the paths that hold in the image.
//!
//! Indexes other than `modules.dep` and `modules.dep.bin` speak of modules by name and are copied as they are. The two
//! speak of paths, and these may differ: some makers unpack `.ko.xz` and `.ko.zst` files on their way into the image.
//! A full index may name modules that the image lacks: modprobe then fails for those alone.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::kmod_index;
use crate::listing::{Listing, ModuleForm};
use crate::modules::{
    Dependencies, INDEX_FILES, ModuleIndex, ModuleSource, module_name, parse_dep, read_optional,
};

/// Index files by name, and remarks for the report.
pub(crate) struct Indexes {
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    pub(crate) notes: Vec<String>,
}

/// `added` maps the names of modules that are being added to their paths below the version's folder.
pub(crate) fn build(
    listing: &Listing,
    version: &str,
    source: &dyn ModuleSource,
    index: &ModuleIndex,
    added: &BTreeMap<String, String>,
) -> Result<Indexes> {
    let mut indexes = Indexes { files: Vec::new(), notes: Vec::new() };
    for file in INDEX_FILES {
        if let Some(bytes) = read_optional(source, file)? {
            indexes.files.push((file, bytes));
        }
    }
    let mut in_image: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for module in listing.modules().iter().filter(|m| m.version == version) {
        in_image.entry(&module.name).or_default().push(&module.relative);
    }
    let extra = only_in_image(listing, version, index, &in_image);
    let place = |name: &str, path: &str| -> String {
        // Of several files the guest's own index says which one is meant.
        let files = in_image.get(name).map(Vec::as_slice).unwrap_or_default();
        let meant =
            files.iter().find(|file| ModuleForm::stem(file) == ModuleForm::stem(path)).or(files.last());
        let own = added.get(name).map(String::as_str);
        own.or(meant.copied()).unwrap_or(path).to_owned()
    };
    let moved = index.modules().iter().any(|(name, module)| place(name, &module.path) != module.path);
    let has_bin = indexes.files.iter().any(|(file, _)| *file == "modules.dep.bin");
    if !moved && extra.is_empty() && has_bin {
        return Ok(indexes);
    }
    for name in extra.keys() {
        indexes.notes.push(format!(
            "module {name} of the image is not in the guest's index: kept, but not loaded by device alias"
        ));
    }
    let lines: BTreeMap<&str, String> = index
        .modules()
        .iter()
        .chain(&extra)
        .map(|(name, module)| (name.as_str(), line(name, module, &place)))
        .collect();
    let text: String = lines.values().map(|line| format!("{line}\n")).collect();
    let binary = kmod_index::write(&lines)
        .ok_or_else(|| Error::TooLarge { path: "modules.dep.bin".to_owned(), size: text.len() as u64 })?;
    indexes.files.retain(|(file, _)| !matches!(*file, "modules.dep" | "modules.dep.bin"));
    indexes.files.insert(0, ("modules.dep", text.into_bytes()));
    indexes.files.insert(1, ("modules.dep.bin", binary));
    Ok(indexes)
}

fn line(name: &str, module: &Dependencies, place: &dyn Fn(&str, &str) -> String) -> String {
    let mut line = place(name, &module.path);
    line.push(':');
    for path in &module.needs {
        line.push(' ');
        line.push_str(&place(&module_name(path), path));
    }
    line
}

/// Modules that the image has and lists, but the guest's index does not know.
fn only_in_image(
    listing: &Listing,
    version: &str,
    index: &ModuleIndex,
    in_image: &BTreeMap<&str, Vec<&str>>,
) -> BTreeMap<String, Dependencies> {
    let mut listed = image_index(listing, version).unwrap_or_default();
    listed.retain(|name, _| in_image.contains_key(name.as_str()) && !index.modules().contains_key(name));
    listed
}

/// The image's own `modules.dep`, when it has one that can be read.
pub(crate) fn image_index(listing: &Listing, version: &str) -> Option<BTreeMap<String, Dependencies>> {
    let path = format!("{}/modules.dep", listing.module_root(version));
    parse_dep(listing.content(&path)?).ok()
}
