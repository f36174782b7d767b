//! Feeds writers as the pipeline does, and asks qemu-img.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic)]

use format_core::{
    CreateRequest, ExtentKind, FileStorage, FolderGate, Format, LayerContext, OpenOptions, OpenedImage,
    ParentImage, Result, Sink, TargetStorage, open_image,
};
use format_vmdk::FORMAT;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

pub const GRAIN: usize = 65536;
pub const STREAM: (&str, &str) = ("subformat", "streamOptimized");

const FORMATS: &[&Format] = &[&FORMAT];

pub fn open(path: &Path) -> Result<OpenedImage> {
    open_image(path, &OpenOptions::new(FORMATS, Some(&FORMAT)))
}

pub fn create(target: Box<dyn TargetStorage>, len: u64, options: &[(&str, &str)]) -> Result<Box<dyn Sink>> {
    create_child(target, len, options, None)
}

pub fn create_child(
    target: Box<dyn TargetStorage>,
    len: u64,
    options: &[(&str, &str)],
    parent: Option<ParentImage>,
) -> Result<Box<dyn Sink>> {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    (FORMAT.create.unwrap())(target, &CreateRequest { virtual_size: len, options, parent })
}

/// Feeds all of `raw`.
pub fn feed(sink: Box<dyn Sink>, raw: &[u8]) -> Result<()> {
    for (number, chunk) in raw.chunks(GRAIN).enumerate() {
        give(sink.as_ref(), (number * GRAIN) as u64, chunk)?;
    }
    sink.flush()?;
    sink.finish()
}

/// One write as the pipeline does it.
pub fn give(sink: &dyn Sink, offset: u64, chunk: &[u8]) -> Result<()> {
    if format_core::is_zero(chunk) {
        return sink.zero_at(offset, chunk.len() as u64);
    }
    let packed = sink.pack(chunk)?;
    sink.write_at(offset, packed)
}

pub fn qemu_img(folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new("timeout").args(["60", "qemu-img"]).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run timeout: {e} (package coreutils)"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "qemu-img {arguments:?} (package qemu-utils): {said}");
    said
}

/// qemu-img finds `image` whole, of type `create_type`, and of the content and size of `raw`; so does the reader.
pub fn judge(folder: &Path, image: &str, raw: &str, create_type: &str) {
    assert!(
        qemu_img(folder, &["compare", "-f", "vmdk", "-F", "raw", image, raw]).contains("identical"),
        "{create_type}"
    );
    let said = qemu_img(folder, &["check", "-f", "vmdk", image]);
    assert!(said.contains("No errors"), "{create_type}: {said}");
    let info = qemu_img(folder, &["info", "--output=json", "-f", "vmdk", image]);
    let size = std::fs::metadata(folder.join(raw)).unwrap().len();
    assert!(info.contains(&format!("\"virtual-size\": {size}")), "{info}");
    assert!(info.contains(&format!("\"create-type\": \"{create_type}\"")), "{info}");
    if let Some(check) = FORMAT.check {
        let mut context = LayerContext::new(Arc::new(FolderGate::new(folder.to_owned(), Arc::new([]))));
        context.name = Some(image.to_owned());
        let storage = FileStorage::open(&folder.join(image)).unwrap();
        let report = check(Arc::new(storage), &context).unwrap();
        assert!(report.findings.is_empty(), "{create_type}: {report:?}");
    }
    let disk = open(&folder.join(image)).unwrap().disk;
    assert_eq!(disk.virtual_size(), size, "{create_type}");
    let raw = std::fs::File::open(folder.join(raw)).unwrap();
    let (mut found, mut expected) = (vec![0; 4 << 20], vec![0; 4 << 20]);
    for extent in disk.extents(0, size) {
        let extent = extent.unwrap();
        // Holes of gigabytes were compared by qemu-img.
        let steps = (extent.offset..extent.offset + extent.len).step_by(found.len());
        for at in steps.filter(|_| extent.kind == ExtentKind::Data || extent.len < 64 << 20) {
            let len = found.len().min((extent.offset + extent.len - at) as usize);
            disk.read_exact_at(at, &mut found[..len]).unwrap();
            raw.read_exact_at(&mut expected[..len], at).unwrap();
            assert!(found[..len] == expected[..len], "{create_type} differs in {len:#x} bytes at {at:#x}");
        }
    }
}
