//! Temporary files of images that can only be read from their start to their end: where they lie, and how long it takes.

use crate::output::{safe, to_stderr};
use crate::progress::Progress;
use convert_engine::Observer;
use format_core::{Error, ErrorKind, Spool, SpoolEvent, SpoolObserver, codes};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Who is told, for the whole process: every command that opens images may need such a file.
static OBSERVER: OnceLock<Arc<SpoolObserver>> = OnceLock::new();

/// Shows from now on what happens with temporary files, and stops it on a signal.
pub(crate) fn watch(progress: Arc<Progress>, interrupted: Arc<AtomicBool>) {
    let observer = move |event: SpoolEvent<'_>| {
        match event {
            SpoolEvent::Begin { name, expected } => {
                to_stderr(&format!("note: {} is unpacked into a temporary file first", safe(name)));
                progress.begin("unpack", expected.unwrap_or(0));
            }
            SpoolEvent::Bytes(bytes) => progress.advance(bytes),
            SpoolEvent::End => progress.end(),
        }
        match interrupted.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Temporary, "interrupted")
                .with_code(&codes::INTERRUPTED)
                .hint("run the same command again")),
            false => Ok(()),
        }
    };
    // A second call would be of a second command in one process, and there is none.
    let _ = OBSERVER.set(Arc::new(observer));
}

/// Temporary files in `folder`.
pub(crate) fn spool_in(folder: PathBuf) -> Spool {
    Spool::new(folder, OBSERVER.get().cloned())
}
