//! The state of a sink as bytes, written by [`Sink::checkpoint`](crate::Sink::checkpoint) and read again as bytes of a
//! stranger.

use crate::{Error, Result};

/// Collects the parts of a state.
#[derive(Debug, Default)]
pub struct StateWriter(Vec<u8>);

impl StateWriter {
    /// Appends a number.
    #[must_use]
    pub fn number(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends how many numbers there are, and the numbers.
    #[must_use]
    pub fn list<T: Copy + Into<u64>>(mut self, values: &[T]) -> Self {
        self = self.number(values.len() as u64);
        // Tables are mostly of narrow numbers, and are written every few seconds.
        let width = size_of::<T>();
        self.0.reserve(size_of_val(values));
        for &value in values {
            let bytes: [u8; 8] = value.into().to_le_bytes();
            self.0.extend(bytes.iter().take(width));
        }
        self
    }

    /// The state.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a state apart in the order in which it was written.
#[derive(Debug)]
pub struct StateReader<'a>(&'a [u8]);

impl<'a> StateReader<'a> {
    /// A reader of the whole state.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| unfit("it is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next number.
    ///
    /// # Errors
    /// `Corrupt` at the end of the state.
    pub fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// The next number, which is at most `most`.
    ///
    /// # Errors
    /// `Corrupt` when it is larger, and at the end of the state.
    pub fn number_to(&mut self, most: u64) -> Result<u64> {
        let number = self.number()?;
        if number > most {
            return Err(unfit(&format!("it says {number:#x}, possible is {most:#x}")));
        }
        Ok(number)
    }

    /// The next list.
    ///
    /// # Errors
    /// `Corrupt` when the state is shorter than it says.
    pub fn list<T: Copy + TryFrom<u64>>(&mut self) -> Result<Vec<T>> {
        let (count, width) = (self.number()?, size_of::<T>());
        // Checked against what is there before anything is allocated for it.
        let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(width));
        let bytes = self.take(len.ok_or_else(|| unfit("a list is longer than it"))?)?;
        let values = bytes.chunks_exact(width).map(|part| {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(part).for_each(|(byte, part)| *byte = *part);
            T::try_from(u64::from_le_bytes(bytes)).map_err(|_| unfit("a number is too large"))
        });
        values.collect()
    }

    /// The next list, which has `count` numbers.
    ///
    /// # Errors
    /// `Corrupt` for any other count, and when the state is too short.
    pub fn list_of<T: Copy + TryFrom<u64>>(&mut self, count: usize) -> Result<Vec<T>> {
        let list = self.list()?;
        if list.len() != count {
            return Err(unfit(&format!("a list has {:#x} numbers instead of {count:#x}", list.len())));
        }
        Ok(list)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// `Corrupt` when something is.
    pub fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(unfit("it is too long")) }
    }
}

fn unfit(why: &str) -> Error {
    Error::corrupt(format!("the state of the interrupted run is not one of this image: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let state = StateWriter::default().number(7).list(&[1u32, u32::MAX]).list(&[5u64]).list::<u16>(&[]);
        let state = state.bytes();
        let read = |bytes: &[u8]| -> Result<_> {
            let mut reader = StateReader::new(bytes);
            let found = (
                reader.number_to(7)?,
                reader.list::<u32>()?,
                reader.list_of::<u64>(1)?,
                reader.list::<u16>()?,
            );
            reader.end().map(|()| found)
        };
        assert_eq!(read(&state).unwrap(), (7, vec![1, u32::MAX], vec![5], vec![]));
        for len in 0..state.len() {
            assert!(read(&state[..len]).is_err(), "{len}");
        }
        assert!(read(&[&state[..], &[0]].concat()).is_err());
        let mut endless = state.clone();
        endless[8..16].fill(0xff);
        assert!(read(&endless).is_err());
        assert!(StateReader::new(&state).number_to(6).is_err());
    }
}
