//! Writes the disk of a qcow2 image (with its backing chain) to standard output: `raw_of IMAGE [KEY-FILE] | sha256sum`.

use format_core::{Error, Format, Key, OpenOptions, Result, open_image};
use std::io::Write;

static FORMATS: &[&Format] = &[&format_qcow2::FORMAT];

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or_default();
    let mut options = OpenOptions::new(FORMATS, Some(&format_qcow2::FORMAT));
    if let Some(key_file) = std::env::args_os().nth(2) {
        let key = std::fs::read(key_file).map_err(|e| Error::io("cannot read the key file", e))?;
        options.access.key = Some(Key::new(key));
    }
    let image = open_image(path.as_ref(), &options)?;
    for warning in &image.warnings {
        eprintln!("{}: {}", warning.code, warning.message);
    }
    let mut block = vec![0; 4 << 20];
    let mut out = std::io::stdout().lock();
    let mut at = 0;
    while at < image.disk.virtual_size() {
        let len = (image.disk.virtual_size() - at).min(block.len() as u64);
        let part = &mut block[..len as usize];
        image.disk.read_exact_at(at, part)?;
        out.write_all(part).map_err(|e| Error::io("cannot write", e))?;
        at += len;
    }
    Ok(())
}
