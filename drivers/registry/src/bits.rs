//! A set of small numbers.

/// One bit for each number below a bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// An empty set for numbers below `bound`.
    pub(crate) fn new(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(64)])
    }

    /// Whether `at` is in the set. What lies beyond the bound never is.
    pub(crate) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Adds `at`, and says whether it is new. The set grows as needed.
    pub(crate) fn add(&mut self, at: usize) -> bool {
        if at / 64 >= self.0.len() {
            self.0.resize(at / 64 + 1, 0);
        }
        let Some(word) = self.0.get_mut(at / 64) else { return false };
        let is_new = *word >> (at % 64) & 1 == 0;
        *word |= 1 << (at % 64);
        is_new
    }

    /// Takes `at` out.
    pub(crate) fn remove(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_once_and_removes() {
        let mut bits = Bits::new(10);
        assert!(bits.add(3) && !bits.add(3) && bits.has(3) && !bits.has(4));
        bits.remove(3);
        assert!(!bits.has(3) && !bits.has(1 << 40));
        assert!(bits.add(1000) && bits.has(1000));
    }
}
