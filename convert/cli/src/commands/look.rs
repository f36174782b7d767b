//! What the commands that look into disks share: from images to a tree.

use crate::args::WhereArgs;
use crate::commands::open_all;
use crate::output::Printer;
use convert_migrate::look_into;
use driver_core::{FileKind, FileMeta, GuestTree};
use format_core::{Error, ErrorKind, Overlay, Result, Warning};
use std::sync::Arc;

/// Bytes of a file that are in memory at once.
pub(crate) const PIECE: usize = 1 << 20;

/// Opens the images and the tree that is asked for. Journals are replayed in memory.
pub(crate) fn tree(args: &WhereArgs, printer: &Printer) -> Result<(GuestTree, Vec<Warning>)> {
    let options = args.open.options()?;
    let (mut overlays, mut warnings) = (Vec::<Arc<Overlay>>::new(), Vec::new());
    for opened in open_all(std::iter::once(&args.image).chain(&args.disk), &options)? {
        warnings.extend(opened.warnings);
        overlays.push(Overlay::new(opened.disk));
    }
    printer.warnings(&warnings);
    let look = look_into(&overlays, &args.open.passphrases()?)?;
    let tree = match (&args.partition, &args.volume) {
        (Some(partition), _) => look.tree_of(true, partition)?,
        (None, Some(volume)) => look.tree_of(false, volume.trim_start_matches("/dev/"))?,
        (None, None) => look.into_tree()?,
    };
    Ok((tree, warnings))
}

/// What `path` leads to. A path of the guest that is wrong is no fault of the command line's form.
pub(crate) fn found(tree: &GuestTree, path: &str) -> Result<FileMeta> {
    if !path.starts_with('/') {
        return Err(
            Error::usage(format!("{path:?} is not an absolute path")).hint(format!("name it /{path}"))
        );
    }
    let found = tree.metadata(path).map_err(|error| match error.kind() {
        // Links that go in circles are the guest's, not the command line's.
        ErrorKind::Usage => {
            error.with_kind(ErrorKind::NeedsPerson).hint("'rehome ls' shows where the links in it point")
        }
        _ => error.context(path.to_owned()),
    })?;
    found.ok_or_else(|| {
        let error = Error::new(ErrorKind::SourceMissing, format!("there is no {path:?} in the guest"));
        match tree.link_metadata(path) {
            Ok(Some(_)) => {
                error.hint("it is a link that leads to nothing; 'rehome ls' shows where it points")
            }
            _ => error,
        }
    })
}

/// `-rw-r--r--`; a node of which the kind is not known is a `?`.
pub(crate) fn mode_text(meta: &FileMeta) -> String {
    let kind = match meta.kind {
        FileKind::File => '-',
        FileKind::Folder => 'd',
        FileKind::Link => 'l',
        FileKind::Other => '?',
    };
    let mut text: Vec<char> = std::iter::once(kind).chain("rwxrwxrwx".chars()).collect();
    for (at, letter) in text.iter_mut().skip(1).enumerate() {
        if meta.mode & (0o400 >> at) == 0 {
            *letter = '-';
        }
    }
    for (at, bit, with, without) in [(3, 0o4000, 's', 'S'), (6, 0o2000, 's', 'S'), (9, 0o1000, 't', 'T')] {
        if let Some(letter) = text.get_mut(at).filter(|_| meta.mode & bit != 0) {
            *letter = if *letter == '-' { without } else { with };
        }
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_nowhere_is_told_from_one_that_goes_in_circles() {
        let mut tree = GuestTree::new();
        let fs = driver_core::MemFs::new().with_link("/a", "b").with_link("/b", "a").with_link("/c", "d");
        tree.mount("/", Box::new(fs));
        for (path, kind) in [
            ("/a", ErrorKind::NeedsPerson),
            ("/c", ErrorKind::SourceMissing),
            ("/d", ErrorKind::SourceMissing),
            ("a", ErrorKind::Usage),
        ] {
            assert_eq!(found(&tree, path).unwrap_err().kind(), kind, "{path}");
        }
    }

    #[test]
    fn modes_read_as_those_of_ls() {
        for (kind, mode, text) in [
            (FileKind::File, 0o644, "-rw-r--r--"),
            (FileKind::Folder, 0o1777, "drwxrwxrwt"),
            (FileKind::File, 0o4755, "-rwsr-xr-x"),
            (FileKind::File, 0o6640, "-rwSr-S---"),
            (FileKind::Link, 0o777, "lrwxrwxrwx"),
        ] {
            let meta = FileMeta { kind, size: 0, mode, uid: 0, gid: 0, inode: 1 };
            assert_eq!(mode_text(&meta), text);
        }
    }
}
