//! Storage whose bytes are changed in place: a file that is brought up to date, a device, memory.

mod device;
mod file;
mod memory;

pub use device::DeviceInPlace;
pub use file::FileInPlace;
pub use memory::MemInPlace;

use crate::Result;

/// How many zeros are written at once.
const ZEROS: u64 = 1 << 20;

/// Writes zeros where the host cannot make holes.
fn write_zeros(offset: u64, len: u64, mut write: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    let zeros = vec![0; len.min(ZEROS) as usize];
    let mut done = 0;
    while done < len {
        let part = (len - done).min(ZEROS);
        write(offset + done, &zeros[..part as usize])?;
        done += part;
    }
    Ok(())
}
