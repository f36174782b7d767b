//! Paths are relative to the job file's folder; addresses are none.

use crate::address::is_address;
use crate::model::Job;
use std::path::{Path, PathBuf};

/// `job` with absolute paths. They are not made shorter: where `..` leads is for the file system to say.
pub(super) fn absolute(job: &Job, folder: &Path) -> Job {
    let mut job = job.clone();
    for source in job.source.0.iter_mut().filter(|source| !is_address(source)) {
        *source = folder.join(&source);
    }
    let lists = [&mut job.parent, &mut job.allow_parent, &mut job.key_file, &mut job.machine];
    for path in lists.into_iter().flat_map(|paths| paths.0.iter_mut()) {
        *path = folder.join(&path);
    }
    let singles: [&mut Option<PathBuf>; 10] = [
        &mut job.spool,
        &mut job.kernel,
        &mut job.kernel_modules,
        &mut job.virtio_win,
        &mut job.mapfile,
        &mut job.source_mapfile,
        &mut job.evidence,
        &mut job.ssh_config,
        &mut job.credentials_file,
        &mut job.ca_file,
    ];
    for path in singles.into_iter().flatten() {
        *path = folder.join(&path);
    }
    job
}
