//! Writing a bundle: a tar archive in gzip, which every system opens, and its parts.

use crate::collect::Collected;
use crate::{Listing, Request};
use flate2::{Compression, write::GzEncoder};
use format_core::{Error, ErrorKind, Result, codes};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Parts of a bundle at most.
const PARTS: u64 = 999;

pub(crate) fn write(request: &Request, collected: Collected) -> Result<Listing> {
    let Collected { contents, mut listing } = collected;
    let output = &request.output;
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |e: std::io::Error| {
        Error::io(format!("cannot write {}", output.display()), e).with_kind(ErrorKind::Destination)
    };
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    if !request.force && (is_there(output) || is_there(&part_name(output, 1))) {
        return Err(Error::new(ErrorKind::Destination, format!("{} already exists", output.display()))
            .with_code(&codes::DESTINATION_EXISTS)
            .hint("choose another name with -o, or --force to replace it"));
    }
    // Under its own name only when it is whole. For its owner alone: logs tell names of machines and people.
    let mut file = tempfile::Builder::new().prefix(".rehome-support-").tempfile_in(folder).map_err(failed)?;
    archive(file.as_file_mut(), request, &listing, contents).map_err(failed)?;
    let size = file.as_file().metadata().map_err(failed)?.len();
    match request.split.filter(|part| size > *part) {
        None => {
            file.persist(output).map_err(|e| failed(e.error))?;
            listing.written = vec![output.clone()];
        }
        Some(part) => {
            if size.div_ceil(part) > PARTS {
                return Err(Error::usage(format!(
                    "{size} bytes in parts of {part} are more than {PARTS} parts"
                )));
            }
            listing.written = split(file.as_file_mut(), output, folder, part).map_err(failed)?;
        }
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(listing)
}

fn archive(
    file: &mut File,
    request: &Request,
    listing: &Listing,
    contents: Vec<Vec<u8>>,
) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let root = "rehome-support";
    append(&mut tar, &format!("{root}/LISTING.txt"), listing.text(&request.version).as_bytes())?;
    append(
        &mut tar,
        &format!("{root}/listing.json"),
        format!("{:#}\n", serde_json::json!(listing)).as_bytes(),
    )?;
    for (packed, bytes) in listing.files.iter().zip(contents) {
        append(&mut tar, &format!("{root}/{}", packed.name), &bytes)?;
    }
    let file = tar.into_inner()?.finish()?;
    file.sync_all()
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    header.set_mtime(now.as_secs());
    tar.append_data(&mut header, name, bytes)
}

fn part_name(output: &Path, number: u64) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(format!(".{number:03}"));
    name.into()
}

fn split(whole: &mut File, output: &Path, folder: &Path, part: u64) -> std::io::Result<Vec<PathBuf>> {
    whole.rewind()?;
    let mut names = Vec::new();
    for number in 1.. {
        let mut file = tempfile::Builder::new().prefix(".rehome-support-").tempfile_in(folder)?;
        if std::io::copy(&mut Read::by_ref(whole).take(part), file.as_file_mut())? == 0 {
            break;
        }
        file.as_file().sync_all()?;
        let name = part_name(output, number);
        file.persist(&name).map_err(|e| e.error)?;
        names.push(name);
    }
    Ok(names)
}
