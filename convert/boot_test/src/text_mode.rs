//! Text on the screen: the cells of VGA's text mode, and glyphs on a graphical console.

use crate::frame::Frame;
use std::collections::HashMap;

/// Where VGA keeps the cells of its text mode, a physical address, and how many bytes (IBM VGA technical reference).
pub(crate) const CELLS_AT: u64 = 0xb8000;
pub(crate) const CELLS_LEN: u64 = 32 << 10;
/// Cells in a row.
const COLUMNS: usize = 80;

/// Whether a picture of this size shows VGA's text mode: 80×25 cells of 9×16 or 8×16 pixels.
pub(crate) fn is_text_mode(frame: &Frame) -> bool {
    matches!((frame.width, frame.height), (720 | 640, 400))
}

/// The rows of all cells. Consoles scroll by moving the start within them, so rows that left the screen are among them.
pub(crate) fn rows_of_cells(cells: &[u8]) -> String {
    let rows = cells.chunks(COLUMNS * 2).map(|row| {
        let text: String = row.chunks_exact(2).map(|cell| character(cell[0])).collect();
        text.trim_end().to_owned()
    });
    joined(rows)
}

fn character(byte: u8) -> char {
    if (0x20..0x7f).contains(&byte) { char::from(byte) } else { ' ' }
}

/// Rows as lines; runs of empty ones are one.
fn joined(rows: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for row in rows {
        if !(row.is_empty() && (text.is_empty() || text.ends_with("\n\n"))) {
            text.push_str(&row);
            text.push('\n');
        }
    }
    text
}

/// A glyph's rows, a bit for each pixel.
type Glyph = [u8; 16];

/// The letters of the font that VGA has in its ROM, with which Linux also writes on graphical consoles (lib/fonts/font_8x16.c).
pub(crate) struct Font(HashMap<Glyph, char>);

/// The two letters that Linux draws in another way than the BIOS, as they were met on a screen.
const OF_LINUX: [(Glyph, char); 2] = [
    ([0, 0, 0x38, 0x6c, 0xc6, 0xc6, 0xd6, 0xd6, 0xc6, 0xc6, 0x6c, 0x38, 0, 0, 0, 0], '0'),
    ([0, 0, 0, 0, 0, 0xc6, 0x6c, 0x38, 0x38, 0x38, 0x6c, 0xc6, 0, 0, 0, 0], 'x'),
];

/// How many pixels of a letter may differ: fonts of the same family differ in serifs.
const TOLERANCE: u32 = 3;

impl Font {
    /// Looks for the font in a VGA BIOS: 256 glyphs of 16 bytes. `A` and `l` tell where it is.
    pub(crate) fn find(rom: &[u8]) -> Option<Self> {
        const LETTER_A: Glyph =
            [0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0];
        const LETTER_L: Glyph =
            [0, 0, 0x38, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x3c, 0, 0, 0, 0];
        let glyph = |base: usize, letter: u8| rom.get(base + usize::from(letter) * 16..)?.first_chunk::<16>();
        let starts = rom.windows(16).enumerate().filter(|(_, window)| *window == LETTER_A).map(|(at, _)| at);
        let mut bases = starts.filter_map(|at| at.checked_sub(usize::from(b'A') * 16));
        let base = bases.find(|base| glyph(*base, b'l') == Some(&LETTER_L))?;
        let letters = (b'!'..=b'~').filter_map(|letter| Some((*glyph(base, letter)?, char::from(letter))));
        Some(Self(letters.chain(OF_LINUX).collect()))
    }

    /// What is written on a graphical console with cells of 8×16 pixels; empty where it is no such console.
    pub(crate) fn read(&self, frame: &Frame) -> String {
        let (columns, rows) = (frame.width / 8, frame.height / 16);
        let (mut known, mut unknown) = (0u32, 0u32);
        let rows: Vec<String> = (0..rows)
            .map(|row| {
                let cells = (0..columns).map(|column| self.letter(frame, column, row));
                let text: String = cells
                    .map(|cell| match cell {
                        Cell::Blank => ' ',
                        Cell::Letter(letter) => {
                            known += 1;
                            letter
                        }
                        Cell::Other => {
                            unknown += 1;
                            '\u{fffd}'
                        }
                    })
                    .collect();
                // A cursor at the end is no letter.
                text.trim_end_matches([' ', '\u{fffd}']).to_owned()
            })
            .collect();
        // Pictures have a few cells that look like letters.
        if known < 4 || unknown > known / 2 { String::new() } else { joined(rows.into_iter()) }
    }

    fn letter(&self, frame: &Frame, column: u32, row: u32) -> Cell {
        let (x, y) = (column * 8, row * 16);
        let paper = frame.pixel(x, y);
        let mut ink = None;
        let mut glyph: Glyph = [0; 16];
        for (line, bits) in (y..).zip(glyph.iter_mut()) {
            for bit in 0..8 {
                let pixel = frame.pixel(x + bit, line);
                if pixel == paper {
                    continue;
                }
                if *ink.get_or_insert(pixel) != pixel {
                    return Cell::Other;
                }
                *bits |= 0x80 >> bit;
            }
        }
        if ink.is_none() {
            return Cell::Blank;
        }
        if let Some(letter) = self.0.get(&glyph) {
            return Cell::Letter(*letter);
        }
        let distance =
            |other: &Glyph| -> u32 { glyph.iter().zip(other).map(|(a, b)| (a ^ b).count_ones()).sum() };
        let nearest = self.0.iter().map(|(other, letter)| (distance(other), *letter)).min();
        match nearest {
            Some((distance, letter)) if distance <= TOLERANCE => Cell::Letter(letter),
            _ => Cell::Other,
        }
    }
}

enum Cell {
    Blank,
    Letter(char),
    Other,
}

/// Where QEMU and SeaBIOS keep the BIOS of the standard VGA.
const ROMS: [&str; 6] = [
    "/usr/share/seabios/vgabios-stdvga.bin",
    "/usr/share/qemu/vgabios-stdvga.bin",
    "/usr/share/seavgabios/vgabios-stdvga.bin",
    "/usr/share/qemu-kvm/vgabios-stdvga.bin",
    "/usr/share/vgabios/vgabios-stdvga.bin",
    "/usr/local/share/qemu/vgabios-stdvga.bin",
];

/// The font of this host's VGA BIOS, where there is one. Without it graphical consoles are not read.
pub(crate) fn font_of_host() -> Option<Font> {
    ROMS.iter().find_map(|path| Font::find(&std::fs::read(path).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::tests::ppm;

    #[test]
    fn cells_become_lines() {
        let mut cells = vec![0; CELLS_LEN as usize];
        for (row, text) in [(0, "SeaBIOS (version 1.16.2)"), (7, "grub rescue> ")] {
            for (column, byte) in text.bytes().enumerate() {
                cells[(row * COLUMNS + column) * 2] = byte;
                cells[(row * COLUMNS + column) * 2 + 1] = 7;
            }
        }
        assert_eq!(rows_of_cells(&cells), "SeaBIOS (version 1.16.2)\n\ngrub rescue>\n\n");
    }

    /// Letters are drawn by the font that is looked for in the BIOS that QEMU uses here, in another colour and with a serif cut.
    #[test]
    fn what_is_drawn_is_read() {
        let font = font_of_host().expect("no VGA BIOS: install seabios");
        let glyphs: HashMap<char, Glyph> = font.0.iter().map(|(glyph, letter)| (*letter, *glyph)).collect();
        let text = "ip-10-0-1-23 Linux login: Kernel panic - not syncing: VFS (0,0) [ 1.5]";
        let linux: HashMap<char, Glyph> = OF_LINUX.iter().map(|(glyph, letter)| (*letter, *glyph)).collect();
        let draw = |damage: bool| {
            ppm(800, 64, |x, y| {
                let letter = text.chars().nth((x / 8) as usize).filter(|_| (16..32).contains(&y));
                let glyph = letter
                    .and_then(|letter| linux.get(&letter).or(glyphs.get(&letter)))
                    .copied()
                    .unwrap_or_default();
                let line = (y % 16) as usize;
                let is_cursor = x / 8 == 80 && (30..32).contains(&y);
                let is_ink = is_cursor
                    || glyph[line] & (0x80 >> (x % 8)) != 0 && !(damage && line == 11 && x % 8 == 1);
                if is_ink { [0xaa; 3] } else { [0, 0, 0x55] }
            })
        };
        for damage in [false, true] {
            assert_eq!(font.read(&Frame::parse(&draw(damage)).unwrap()).trim(), text);
        }
        let noise = ppm(800, 64, |x, y| [(x * 7 + y * 13) as u8, (x * y) as u8, 3]);
        assert_eq!(font.read(&Frame::parse(&noise).unwrap()), "");
        assert!(Font::find(&[0; 70_000]).is_none());
    }
}
