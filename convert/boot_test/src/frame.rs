//! A picture of the guest's screen.

use format_core::{Error, Result};
use std::collections::HashMap;

/// The widest and highest screen that is looked at, in pixels.
const MOST_PIXELS: u32 = 4096;

/// A screen as red, green and blue bytes, row by row.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) width: u32,
    pub(crate) height: u32,
    rgb: Vec<u8>,
}

/// The largest file that [`Frame::parse`] takes, in bytes.
pub(crate) const MOST_BYTES: u64 = MOST_PIXELS as u64 * MOST_PIXELS as u64 * 3 + 64;

impl Frame {
    /// Reads a picture as QEMU's `screendump` writes it: binary PPM with 255 shades (netpbm, ppm(5)).
    ///
    /// # Errors
    /// `Corrupt` for anything else.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let no_picture = || Error::corrupt("what QEMU wrote is no picture of the screen");
        let mut rest = bytes;
        let mut word = || -> Option<&[u8]> {
            let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
            let from = rest.get(start..)?;
            let len = from.iter().position(u8::is_ascii_whitespace)?;
            // One separator belongs to the word.
            rest = from.get(len + 1..)?;
            from.get(..len)
        };
        let kind = word().ok_or_else(no_picture)?;
        let mut number = || std::str::from_utf8(word()?).ok()?.parse::<u32>().ok();
        let (width, height, most) =
            number().zip(number()).zip(number()).map(|((w, h), m)| (w, h, m)).ok_or_else(no_picture)?;
        let fits = (1..=MOST_PIXELS).contains(&width) && (1..=MOST_PIXELS).contains(&height);
        let size = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        if kind != b"P6" || most != 255 || !fits || size.map(|size| size as usize) != Some(rest.len()) {
            return Err(no_picture());
        }
        Ok(Self { width, height, rgb: rest.to_vec() })
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// `Contract` when the picture cannot be packed.
    pub(crate) fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.rgb));
        written.map_err(|e| Error::contract("the picture cannot be packed").with_source(e))?;
        Ok(bytes)
    }

    /// The colour at a place; black outside.
    pub(crate) fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = (y as usize * self.width as usize + x as usize) * 3;
        match self.rgb.get(at..at + 3) {
            Some([red, green, blue]) if x < self.width => [*red, *green, *blue],
            _ => [0; 3],
        }
    }

    fn pixels(&self) -> impl Iterator<Item = [u8; 3]> {
        self.rgb.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]])
    }

    /// Whether more than a cursor differs: a part in 500 of the screen.
    pub(crate) fn differs_from(&self, other: &Self) -> bool {
        if (self.width, self.height) != (other.width, other.height) {
            return true;
        }
        let differing = self.pixels().zip(other.pixels()).filter(|(a, b)| a != b).count();
        differing > self.rgb.len() / 3 / 500
    }

    /// Whether the screen has one colour only.
    pub(crate) fn is_blank(&self) -> bool {
        let mut pixels = self.pixels();
        let first = pixels.next();
        pixels.all(|pixel| Some(pixel) == first)
    }

    /// The blue that covers most of the screen, and how much of it in percent, where that is what a stop or recovery screen of Windows
    /// looks like: one strong blue on 60 % and more, something else on a hundredth.
    pub(crate) fn blue(&self) -> Option<([u8; 3], u32)> {
        let mut counts: HashMap<[u8; 3], u32> = HashMap::new();
        // Every 16th pixel tells as much; an odd step meets every column.
        let mut looked_at = 0u32;
        for pixel in self.pixels().step_by(17) {
            *counts.entry(pixel).or_default() += 1;
            looked_at += 1;
        }
        let (colour, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let [red, green, blue] = colour;
        let percent = u32::try_from(u64::from(count) * 100 / u64::from(looked_at.max(1))).ok()?;
        let is_blue = blue >= 0x70 && red <= 0x30 && u32::from(green) * 10 <= u32::from(blue) * 7;
        (is_blue && (60..=99).contains(&percent)).then_some((colour, percent))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn ppm(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
        let mut bytes = format!("P6\n{width} {height}\n255\n").into_bytes();
        for y in 0..height {
            (0..width).for_each(|x| bytes.extend(pixel(x, y)));
        }
        bytes
    }

    #[test]
    fn pictures_are_read_and_anything_else_refused() {
        let bytes = ppm(32, 3, |x, y| [x as u8, y as u8, 9]);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.pixel(31, 2), frame.pixel(32, 0), frame.pixel(0, 3)), ([31, 2, 9], [0; 3], [0; 3]));
        for end in 0..bytes.len() {
            assert!(Frame::parse(&bytes[..end]).is_err(), "{end}");
        }
        for text in
            ["P6\n0 0\n255\n", "P6\n4294967295 4294967295\n255\n", "P6\n1 1\n65535\nxxx", "P5\n1 1\n255\nx"]
        {
            assert!(Frame::parse(text.as_bytes()).is_err(), "{text}");
        }
        let mut reader = png::Decoder::new(std::io::Cursor::new(frame.png().unwrap())).read_info().unwrap();
        let mut out = vec![0; 32 * 3 * 3];
        reader.next_frame(&mut out).unwrap();
        assert_eq!(out, frame.rgb);
    }

    #[test]
    fn a_stop_screen_is_blue_and_other_screens_are_not() {
        let of = |background: [u8; 3], text: u32| {
            let bytes = ppm(200, 100, |x, y| if y < text && x % 3 == 0 { [255; 3] } else { background });
            Frame::parse(&bytes).unwrap().blue().map(|(colour, _)| colour)
        };
        for blue in [[0, 0x78, 0xd7], [0, 0, 0xaa], [0, 0, 0x80], [0x11, 0x71, 0xab]] {
            assert_eq!(of(blue, 20), Some(blue), "{blue:?}");
        }
        assert_eq!(of([0, 0x78, 0xd7], 0), None, "nothing is written on it");
        for other in [[0; 3], [255; 3], [0, 0xaa, 0xaa], [0xaa, 0, 0xaa], [0x70, 0x70, 0x80]] {
            assert_eq!(of(other, 20), None, "{other:?}");
        }
    }

    #[test]
    fn a_cursor_is_no_change() {
        let frame = |cursor: bool| {
            let at = move |x, y| cursor && x < 8 && (14..16).contains(&y);
            Frame::parse(&ppm(720, 400, |x, y| if at(x, y) { [170; 3] } else { [0; 3] })).unwrap()
        };
        assert!(!frame(true).differs_from(&frame(false)));
        assert!(frame(false).is_blank() && !frame(true).is_blank());
        let other = Frame::parse(&ppm(720, 400, |_, y| [(y / 16 % 2) as u8; 3])).unwrap();
        assert!(other.differs_from(&frame(false)));
    }
}
