//! Fields of headers, each set to numbers that no honest program writes there.

use super::Files;
use crate::{Case, Run};

/// A field of a header: its name, where it lies, how many bytes it has, and how a copy of the disk ends where it is
/// 0, 1, the sign bit alone, and all ones.
pub(super) type Field = (&'static str, usize, usize, [u8; 4]);

/// What is written into a field, by name.
const VALUES: [&str; 4] = ["zero", "one", "sign", "ones"];

/// How a format writes numbers.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Big,
    Little,
}

/// A small valid image whose header is taken apart.
pub(super) struct Sweep<'a> {
    /// The family, and a word for the structure: `qcow2/header`.
    pub(super) name: &'static str,
    /// What `-f` takes.
    pub(super) format: &'static str,
    /// The image below the folder of each value.
    pub(super) image: &'static str,
    /// The bytes in which the fields lie.
    pub(super) base: Vec<u8>,
    pub(super) order: Order,
    /// Makes the image's files of the changed bytes: checksums right again.
    pub(super) wrap: &'a dyn Fn(Vec<u8>) -> Files,
}

impl Sweep<'_> {
    /// A case for each field; first of all, that the image as it is can be read.
    pub(super) fn cases(&self, fields: &[Field]) -> Vec<Case> {
        let mut good = Case::new(&format!("{}-good", self.name), "no attack: the image that is taken apart");
        good.files = (self.wrap)(self.base.clone());
        good.runs = vec![self.convert(self.image, 0), self.info(self.image, 0)];
        let broken = fields.iter().map(|field| self.case(field));
        std::iter::once(good).chain(broken).collect()
    }

    fn case(&self, (name, at, width, codes): &Field) -> Case {
        let about = format!("the field {name} at {at:#x} is 0, 1, the sign bit alone, all ones");
        let mut case = Case::new(&format!("{}-{name}", self.name), &about);
        for (index, (value, code)) in VALUES.iter().zip(codes).enumerate() {
            let mut bytes = self.base.clone();
            bytes[*at..at + width].copy_from_slice(&self.number(index, *width));
            case.files.extend(
                (self.wrap)(bytes).into_iter().map(|(file, content)| (format!("{value}/{file}"), content)),
            );
            let image = format!("{value}/{}", self.image);
            case.runs.extend([self.convert(&image, *code), self.info(&image, *code)]);
        }
        case
    }

    fn number(&self, index: usize, width: usize) -> Vec<u8> {
        let mut bytes = vec![if index == 3 { 0xff } else { 0 }; width];
        match index {
            1 => bytes[width - 1] = 1,
            2 => bytes[0] = 0x80,
            _ => {}
        }
        if matches!(self.order, Order::Little) {
            bytes.reverse();
        }
        bytes
    }

    fn convert(&self, image: &str, code: u8) -> Run {
        Run::new(&["convert", "-f", self.format, image, "out.raw"], &[code])
    }

    /// What cannot be read may still have a header to be shown.
    fn info(&self, image: &str, code: u8) -> Run {
        Run::new(&["info", "-f", self.format, image], &[0]).or(&[code])
    }
}
