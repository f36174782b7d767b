//! Which format an image has that nobody named.

use crate::{Error, Format, Result, Score, Storage, codes};

/// Which formats claim these bytes, surest first.
///
/// # Errors
/// What the storage reports.
pub fn probe_formats(
    storage: &dyn Storage,
    formats: &'static [&'static Format],
) -> Result<Vec<(&'static Format, Score)>> {
    let len = storage.size().min(Format::PROBE_LEN as u64);
    let (mut head, mut tail) = (vec![0; len as usize], vec![0; len as usize]);
    storage.read_exact_at(0, &mut head)?;
    storage.read_exact_at(storage.size() - len, &mut tail)?;
    let mut found: Vec<_> = formats
        .iter()
        .map(|&format| (format, (format.probe)(&head, &tail)))
        .filter(|(_, score)| *score > Score::No)
        .collect();
    found.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
    Ok(found)
}

/// The format of an unnamed image, and whether its file name confirms it.
///
/// A guest can write any header into a raw disk. So bytes that look like a format are only believed where the
/// file's own name does not say raw, and the format may refer to other files only where the name confirms it.
pub(crate) fn guess(
    name: &str,
    storage: &dyn Storage,
    is_device: bool,
    formats: &'static [&'static Format],
) -> Result<(&'static Format, bool)> {
    let extension = extension_of(name);
    let named = |format: &Format| extension.as_deref().is_some_and(|e| format.extensions.contains(&e));
    let found = probe_formats(storage, formats)?;
    let name_it = |message: String| {
        Error::usage(message)
            .with_code(&codes::FORMAT_UNCLEAR)
            .hint("name the format with -f, for example -f raw")
    };
    let magic: Vec<_> =
        found.iter().filter(|(_, score)| *score == Score::Magic).map(|(format, _)| *format).collect();
    let fallback = found.iter().find(|(_, score)| *score == Score::Possible).map(|(format, _)| *format);
    let says_raw = is_device || fallback.is_some_and(named);
    match (magic.as_slice(), fallback) {
        ([format], _) if !says_raw => Ok((format, named(format))),
        ([], Some(raw)) if says_raw || extension.is_none() || !formats.iter().any(|f| named(f)) => {
            Ok((raw, true))
        }
        ([], _) => match formats.iter().find(|format| named(format)) {
            // Nobody published its magic: the name is all there is.
            Some(format) if !format.is_readable() => Ok((format, false)),
            Some(format) => {
                Err(Error::corrupt(format!("the file is named like {0} but is no {0} image", format.name))
                    .hint("if it is a raw disk, say so with -f raw"))
            }
            None => Err(name_it("the format cannot be recognised".into())),
        },
        ([format], _) => {
            let text = format!("the file is named like a raw disk but starts like {0}", format.name);
            Err(Error::usage(text).with_code(&codes::FORMAT_UNCLEAR).hint(format!(
                "name the format: -f {} if the file is one, -f raw if it is a disk on which somebody wrote that",
                format.name
            )))
        }
        (several, _) => {
            // The end of a file can look like one format while its start looks like another: compressed blocks that come first.
            let mut confirmed = several.iter().filter(|format| named(format));
            if let (Some(format), None) = (confirmed.next(), confirmed.next())
                && !says_raw
            {
                return Ok((format, true));
            }
            let names: Vec<_> = several.iter().map(|format| format.name).collect();
            Err(name_it(format!("the file looks like {}", names.join(" and "))))
        }
    }
}

/// What stands after the last dot of a file name, in lower case.
pub(crate) fn extension_of(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
}
