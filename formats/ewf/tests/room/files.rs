//! Opening images by their files.

use format_core::{CheckReport, Format, OpenOptions, OpenedImage, Result, check_image, open_image};
use std::path::Path;

pub static FORMATS: &[&Format] = &[&format_ewf::FORMAT, &format_ewf::EWF2, &format_ewf::L01];

pub fn open(path: &Path) -> Result<OpenedImage> {
    open_image(path, &OpenOptions::new(FORMATS, None))
}

pub fn content(image: &OpenedImage) -> Result<Vec<u8>> {
    let mut bytes = vec![0xaa; image.disk.virtual_size() as usize];
    image.disk.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

pub fn check(path: &Path) -> CheckReport {
    let checked = check_image(path, &OpenOptions::new(FORMATS, None), &|_| Ok(())).unwrap();
    checked.into_iter().next().unwrap().report
}

/// The source's own hashes, compared as a copy does.
pub fn prove(image: &OpenedImage) -> Result<()> {
    let inside = image.inside.as_ref().unwrap();
    inside.container.proof(inside.index).expect("the image holds hashes")(&|_| Ok(()))
}
