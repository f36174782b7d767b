//! Canonical Huffman codes: shorter codes before longer ones, and symbols of one length in their order.

/// The longest code, in bits.
const MAX_LEN: usize = 16;
/// Codes up to this length are found in a table.
const QUICK: usize = 9;

/// A code, ready to decode.
pub(super) struct Code {
    /// By the first bits: length in the upper four bits, symbol below; 0 for longer codes.
    quick: Vec<u16>,
    /// For each length, the end of its codes, shifted to 16 bits.
    limits: [u32; MAX_LEN + 1],
    /// For each length, its first code, and the place of its first symbol.
    firsts: [(u32, usize); MAX_LEN + 1],
    symbols: Vec<u16>,
}

impl Code {
    /// The code with these lengths; 0 for symbols that do not occur. A code may leave room.
    ///
    /// # Errors
    /// When there are more codes than bits.
    pub(super) fn new(lengths: &[u8]) -> Result<Self, String> {
        let mut counts = [0_u32; MAX_LEN + 1];
        for len in lengths {
            let count = counts.get_mut(usize::from(*len)).ok_or("a code is longer than 16 bits")?;
            *count += 1;
        }
        let mut code = Self {
            quick: vec![0; 1 << QUICK],
            limits: [0; MAX_LEN + 1],
            firsts: [(0, 0); MAX_LEN + 1],
            symbols: Vec::with_capacity(lengths.len()),
        };
        let (mut next, mut place) = (0_u32, 0);
        let rows = code.limits.iter_mut().zip(&mut code.firsts).zip(&counts).enumerate().skip(1);
        for (len, ((limit, first), count)) in rows {
            *first = (next, place);
            next += count;
            place += *count as usize;
            *limit = next << (MAX_LEN - len);
            if *limit > 1 << MAX_LEN {
                return Err("its codes do not fit their lengths".into());
            }
            next <<= 1;
        }
        for wanted in 1..=MAX_LEN as u8 {
            let of_len = lengths.iter().enumerate().filter(|(_, len)| **len == wanted);
            code.symbols.extend(of_len.map(|(symbol, _)| symbol as u16));
        }
        for at in 0..1_u16 << QUICK {
            let found = code.search(at << (MAX_LEN - QUICK));
            let short = found.filter(|(_, len)| *len as usize <= QUICK);
            if let (Some((symbol, len)), Some(entry)) = (short, code.quick.get_mut(usize::from(at))) {
                *entry = symbol | (len as u16) << 12;
            }
        }
        Ok(code)
    }

    /// The symbol that the 16 bits `peek` start with, and the length of its code.
    pub(super) fn decode(&self, peek: u16) -> Result<(u16, u32), String> {
        match self.quick.get(usize::from(peek >> (MAX_LEN - QUICK))) {
            Some(entry) if *entry != 0 => Ok((entry & 0xfff, u32::from(entry >> 12))),
            _ => self.search(peek).ok_or_else(|| "a code that stands for nothing".into()),
        }
    }

    fn search(&self, peek: u16) -> Option<(u16, u32)> {
        let len =
            (1..=MAX_LEN).find(|len| self.limits.get(*len).is_some_and(|limit| u32::from(peek) < *limit))?;
        let (first, place) = self.firsts.get(len)?;
        let above = (u32::from(peek) >> (MAX_LEN - len)).checked_sub(*first)?;
        Some((*self.symbols.get(place + above as usize)?, len as u32))
    }
}
