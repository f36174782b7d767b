//! The readers of other projects, each as a stream of a disk's bytes.

use imago::file::File;
use imago::format::builder::FormatDriverBuilder;
use imago::qcow2::Qcow2;
use imago::{PermissiveImplicitOpenGate, SyncFormatAccess};
use qcow2_rs::dev::Qcow2DevParams;
use qcow2_rs::helpers::Qcow2IoBuf;
use qcow2_rs::utils::qcow2_setup_dev_sync;
use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Bytes that are read at once.
const STEP: u64 = 1 << 20;

/// A reader of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Qcow2Rs,
    Imago,
    VmdkCore,
    VhdxCore,
    VhdCore,
}

impl Reader {
    /// Those that read a format.
    pub fn of(format: &str) -> &'static [Self] {
        match format {
            "qcow2" => &[Self::Qcow2Rs, Self::Imago],
            "vmdk" => &[Self::VmdkCore],
            "vhdx" => &[Self::VhdxCore],
            "vhd" => &[Self::VhdCore],
            _ => &[],
        }
    }

    /// Opens an image, tells `start` the disk's size, and hands its bytes to `each` until that says false.
    pub fn stream(
        self,
        path: &Path,
        start: impl FnOnce(u64) -> bool,
        each: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Qcow2Rs => qcow2_rs(path, start, each),
            Self::Imago => imago(path, start, each),
            Self::VmdkCore => {
                let disk = vmdk::VmdkChainReader::open(path)?;
                let size = disk.virtual_disk_size();
                plain(disk, size, start, each)
            }
            Self::VhdxCore => {
                let disk = vhdx::VhdxReader::open(path)?;
                let size = disk.virtual_disk_size();
                plain(disk, size, start, each)
            }
            Self::VhdCore => {
                let disk = vhd::VhdReader::open(path)?;
                let size = disk.virtual_disk_size();
                plain(disk, size, start, each)
            }
        }
    }
}

fn plain(
    mut disk: impl Read,
    size: u64,
    start: impl FnOnce(u64) -> bool,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Result<(), Box<dyn Error>> {
    let (mut left, mut buf) = (if start(size) { size } else { 0 }, vec![0xee; STEP as usize]);
    while left > 0 {
        let part = &mut buf[..left.min(STEP) as usize];
        disk.read_exact(part)?;
        if !each(part) {
            break;
        }
        left -= part.len() as u64;
    }
    Ok(())
}

fn imago(
    path: &Path,
    start: impl FnOnce(u64) -> bool,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Result<(), Box<dyn Error>> {
    let image = Qcow2::<File>::builder_path(path).open_sync(PermissiveImplicitOpenGate::default())?;
    let disk = SyncFormatAccess::new(image)?;
    let (size, mut at) = (disk.size(), 0);
    let size = if start(size) { size } else { 0 };
    while at < size {
        let mut buf = vec![0xee; (size - at).min(STEP) as usize];
        disk.read(&mut buf, at)?;
        if !each(&buf) {
            break;
        }
        at += buf.len() as u64;
    }
    Ok(())
}

fn qcow2_rs(
    path: &Path,
    start: impl FnOnce(u64) -> bool,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Result<(), Box<dyn Error>> {
    let params = Qcow2DevParams::new(9, None, None, true, false);
    let disk = qcow2_setup_dev_sync(path, &params).map_err(|e| format!("{e:?}"))?;
    // The variant without a runtime leaves loading the L1 table to the caller.
    wait(disk.qcow2_prep_io()).map_err(|e| format!("{e:?}"))?;
    let size = disk.info.virtual_size();
    let (size, mut at) = (if start(size) { size } else { 0 }, 0);
    let mut buf = Qcow2IoBuf::<u8>::new(STEP as usize);
    while at < size {
        let len = (size - at).min(STEP) as usize;
        buf.fill(0xee);
        let read = wait(disk.read_at(&mut buf[..len], at)).map_err(|e| format!("{e:?}"))?;
        if read != len {
            return Err(format!("{read} of {len} bytes at {at:#x}").into());
        }
        if !each(&buf[..len]) {
            break;
        }
        at += len as u64;
    }
    Ok(())
}

/// Runs a future that waits for nothing outside: its input and output block.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        std::thread::yield_now();
    }
}
