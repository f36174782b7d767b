//! A safe owner of one open file system.

use crate::callbacks::{BlockIo, read_block, write_block};
use crate::raw;
use crate::{Error, Result};
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

/// What the library says about a volume that is to be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was left in order.
    Clean,
    /// `hiberfil.sys` holds a running Windows.
    Hibernated,
    /// The log or the volume's flags say that it was not left in order.
    Unclean,
    /// The library would not write.
    ReadOnly,
}

/// Bytes of a security descriptor at most.
const MAX_DESCRIPTOR: u32 = 0x1_0000;

/// An open file system. Files and folders are named by their references: record number in the low 48 bits, sequence
/// number above. What an edit changes is on the volume after [`Filesystem::sync`].
pub struct Filesystem {
    fs: NonNull<raw::Fs>,
    /// The library keeps pointers to these two until `fs` is closed.
    _io: Box<raw::Io>,
    _source: Box<Box<dyn BlockIo>>,
}

// SAFETY: the library keeps no thread-local state for an open file system (the shim's message is set and read within one
// call), `BlockIo` is `Send`, and everything the raw pointers lead to is owned by this value alone.
unsafe impl Send for Filesystem {}

impl Drop for Filesystem {
    fn drop(&mut self) {
        // SAFETY: `fs` came from `rn_open` and is closed here only; `io` and `source` outlive it as fields.
        unsafe { raw::rn_close(self.fs.as_ptr()) };
    }
}

fn name_length(name: &[u16]) -> Result<u8> {
    match u8::try_from(name.len()) {
        Ok(length) if length > 0 => Ok(length),
        _ => Err(Error::Library { code: 0, message: format!("a name of {} characters", name.len()) }),
    }
}

fn forget_message() {
    // SAFETY: clears a buffer of this thread.
    unsafe { raw::rn_forget_message() }
}

impl Filesystem {
    /// Opens the file system on `source` for editing. Nothing is written by that.
    ///
    /// # Errors
    /// What the library finds wrong with the volume.
    pub fn open(source: Box<dyn BlockIo>) -> Result<Self> {
        forget_message();
        let size = source.size();
        let source = Box::new(source);
        let context = std::ptr::from_ref(source.as_ref()).cast_mut().cast::<c_void>();
        let io = Box::new(raw::Io { context, size, read: read_block, write: write_block });
        let mut fs = std::ptr::null_mut();
        // SAFETY: `io` and what it points to live as long as the returned value; `fs` is an out parameter.
        let code = unsafe { raw::rn_open(&raw const *io, &raw mut fs) };
        let opened = NonNull::new(fs).map(|fs| Self { fs, _io: io, _source: source });
        Error::check(code)?;
        opened.ok_or_else(|| Error::Library { code: 0, message: "opened nothing".into() })
    }

    /// What the library says about the volume's state.
    ///
    /// # Errors
    /// What the library reports; likewise for every method.
    pub fn state(&self) -> Result<State> {
        forget_message();
        let mut state = 0;
        // SAFETY: `fs` is open and used by one call at a time, since the value is not `Sync` (so for every call below).
        Error::check(unsafe { raw::rn_state(self.fs.as_ptr(), &raw mut state) })?;
        Ok(match state {
            0 => State::Clean,
            1 => State::Hibernated,
            2 => State::Unclean,
            _ => State::ReadOnly,
        })
    }

    /// Writes what the library keeps of the volume's own files.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn sync(&mut self) -> Result<()> {
        forget_message();
        // SAFETY: see `state`.
        Error::check(unsafe { raw::rn_sync(self.fs.as_ptr()) })
    }

    /// Free clusters.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn free_clusters(&mut self) -> Result<u64> {
        forget_message();
        let mut clusters = 0;
        // SAFETY: see `state`.
        Error::check(unsafe { raw::rn_free_space(self.fs.as_ptr(), &raw mut clusters) })?;
        Ok(clusters)
    }

    /// The security descriptor of a file or folder, self-relative.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn descriptor(&mut self, file: u64) -> Result<Vec<u8>> {
        forget_message();
        let mut buffer = vec![0_u8; MAX_DESCRIPTOR as usize];
        let mut length = 0;
        let at = buffer.as_mut_ptr().cast();
        // SAFETY: see `state`; `buffer` has `MAX_DESCRIPTOR` bytes.
        let code = unsafe { raw::rn_descriptor(self.fs.as_ptr(), file, at, MAX_DESCRIPTOR, &raw mut length) };
        Error::check(code)?;
        buffer.truncate(length as usize);
        Ok(buffer)
    }

    /// A new file or folder without content, with `descriptor` as its security descriptor. Returns its reference.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn create(&mut self, folder: u64, name: &[u16], is_folder: bool, descriptor: &[u8]) -> Result<u64> {
        forget_message();
        let length = name_length(name)?;
        let size = u32::try_from(descriptor.len())
            .map_err(|_| Error::Library { code: 0, message: "a long descriptor".into() })?;
        let mut file = 0;
        // SAFETY: see `state`; `name` has `length` units and `descriptor` has `size` bytes.
        Error::check(unsafe {
            raw::rn_create(
                self.fs.as_ptr(),
                folder,
                name.as_ptr(),
                length,
                c_int::from(is_folder),
                descriptor.as_ptr().cast(),
                size,
                &raw mut file,
            )
        })?;
        Ok(file)
    }

    /// Writes into a file, which grows as needed.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn write(&mut self, file: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        forget_message();
        let (at, length) = (bytes.as_ptr().cast(), bytes.len() as u64);
        // SAFETY: see `state`; `bytes` has `length` bytes.
        Error::check(unsafe { raw::rn_write(self.fs.as_ptr(), file, offset, at, length) })
    }

    /// Empties a file.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn cut(&mut self, file: u64) -> Result<()> {
        forget_message();
        // SAFETY: see `state`.
        Error::check(unsafe { raw::rn_cut(self.fs.as_ptr(), file) })
    }

    /// Empties a compressed or sparse file and makes it a plain one; takes its reparse point away, and the stream
    /// `stream`, when asked to.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn make_plain(&mut self, file: u64, drop_reparse: bool, stream: &[u16]) -> Result<()> {
        forget_message();
        let length = if stream.is_empty() { 0 } else { u32::from(name_length(stream)?) };
        // SAFETY: see `state`; `stream` has `length` units.
        Error::check(unsafe {
            raw::rn_make_plain(self.fs.as_ptr(), file, c_int::from(drop_reparse), stream.as_ptr(), length)
        })
    }

    /// Gives a file or folder one more name.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn link(&mut self, file: u64, folder: u64, name: &[u16]) -> Result<()> {
        forget_message();
        let length = name_length(name)?;
        // SAFETY: see `state`; `name` has `length` units.
        Error::check(unsafe { raw::rn_link(self.fs.as_ptr(), file, folder, name.as_ptr(), length) })
    }

    /// Takes a name away with its short twin, and the file with its last name.
    ///
    /// # Errors
    /// As [`Filesystem::state`].
    pub fn unlink(&mut self, file: u64, folder: u64, name: &[u16]) -> Result<()> {
        forget_message();
        let length = name_length(name)?;
        // SAFETY: see `state`; `name` has `length` units.
        Error::check(unsafe { raw::rn_unlink(self.fs.as_ptr(), file, folder, name.as_ptr(), length) })
    }
}
