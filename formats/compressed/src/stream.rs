//! What all compressions have in common when they are read from the start to the end.

use crate::error::{PackedError, Result};
use crate::input::Input;
use format_core::{Access, Error, LayerContext};
use std::io::Read;

/// What unpacking may take of memory for what a file refers back to, if the operator says nothing else.
pub(crate) const WINDOW_LIMIT: u64 = 128 << 20;

/// Unpacks a file piece by piece.
pub(crate) trait Unpack: Send + Sized {
    /// The format's name.
    const NAME: &'static str;

    /// At the start of a file.
    fn new(access: &Access) -> Result<Self>;

    /// Puts the next bytes to the start of `out`, which has room, and says how many they are: none at the end of the
    /// file, where everything was compared that the file says about itself.
    fn unpack(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize>;
}

struct Unpacked<U> {
    input: Input,
    unpacker: U,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    Ended,
    Failed,
}

/// [`format_core::Format::unpack`] of a format.
pub(crate) fn open<U: Unpack + 'static>(
    from: Box<dyn Read + Send>,
    context: &LayerContext,
) -> format_core::Result<Box<dyn Read + Send>> {
    let unpacker = U::new(&context.access).map_err(|e| e.named(U::NAME))?;
    Ok(Box::new(Unpacked { input: Input::new(from), unpacker, state: State::Going }))
}

impl<U: Unpack> Read for Unpacked<U> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if buf.is_empty() || self.state == State::Ended {
            return Ok(0);
        }
        if self.state == State::Failed {
            // An end must never be seen where an error was.
            let again = Error::contract("a compressed file was read on after an error");
            return Err(std::io::Error::other(again));
        }
        match self.unpacker.unpack(&mut self.input, buf) {
            Ok(len) => {
                if len == 0 {
                    self.state = State::Ended;
                }
                Ok(len)
            }
            Err(error) => {
                self.state = State::Failed;
                Err(std::io::Error::other(error.named(U::NAME)))
            }
        }
    }
}

/// What a decoder did in one step.
pub(crate) struct Step {
    /// How much it took.
    pub(crate) used: usize,
    /// How much it gave.
    pub(crate) made: usize,
    /// How much it was offered.
    pub(crate) offered: usize,
}

impl Step {
    /// A step that neither takes nor gives would be repeated for ever.
    pub(crate) fn moved(&self, input: &Input, what: &'static str) -> Result<()> {
        match (self.used, self.made, self.offered) {
            (0, 0, 0) => Err(PackedError::Truncated { at: input.position(), what }),
            (0, 0, _) => {
                Err(PackedError::Data { at: input.position(), why: "the decoder takes no more of it".into() })
            }
            _ => Ok(()),
        }
    }
}
