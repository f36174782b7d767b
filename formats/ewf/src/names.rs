//! How the files of an image are called: `E01` to `E99`, then `EAA` to `EZZ`, `FAA` and so on to `ZZZ`.

/// Numbers that have two digits.
const NUMBERED: u32 = 99;
const LETTERS: u32 = 26;

/// What stands before the numbers: the stem, and the first letter of the extension in the case that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    stem: String,
    letter: u8,
}

impl Naming {
    /// The naming of an image whose first segment is called `first`.
    pub(crate) fn of(first: &str) -> Option<Self> {
        let (stem, extension) = first.rsplit_once('.')?;
        let [letter, b'0', b'1'] = extension.as_bytes() else { return None };
        letter.is_ascii_alphabetic().then(|| Self { stem: stem.to_owned(), letter: *letter })
    }

    /// What segment `number` is called, from 1; `None` beyond the last name there is.
    pub(crate) fn name(&self, number: u32) -> Option<String> {
        if number <= NUMBERED {
            return Some(format!("{}.{}{number:02}", self.stem, char::from(self.letter)));
        }
        let rest = number - NUMBERED - 1;
        let (first, second, third) = (rest / (LETTERS * LETTERS), rest / LETTERS % LETTERS, rest % LETTERS);
        let (a, z) = if self.letter.is_ascii_lowercase() { (b'a', b'z') } else { (b'A', b'Z') };
        let letter = |from: u8, by: u32| u8::try_from(u32::from(from) + by).ok().filter(|found| *found <= z);
        let extension = [letter(self.letter, first)?, letter(a, second)?, letter(a, third)?].map(char::from);
        Some(format!("{}.{}", self.stem, extension.iter().collect::<String>()))
    }

    /// How many segments have names.
    pub(crate) fn most(&self) -> u32 {
        let last = if self.letter.is_ascii_lowercase() { b'z' } else { b'Z' };
        NUMBERED + (u32::from(last - self.letter) + 1) * LETTERS * LETTERS
    }

    /// The number of a segment that is called `name` and begins with the same letter as the first: `disk.raw` is no
    /// segment of `disk.E01`, though a very large image would get there.
    pub(crate) fn number_beside(&self, name: &str) -> Option<u32> {
        let (_, extension) = name.rsplit_once('.')?;
        self.number(name).filter(|_| extension.as_bytes().first() == Some(&self.letter))
    }

    /// The number of the segment that is called `name`, in whatever case.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let (stem, extension) = name.rsplit_once('.')?;
        if !stem.eq_ignore_ascii_case(&self.stem) {
            return None;
        }
        let upper = extension.to_ascii_uppercase();
        let [first, second, third] = *upper.as_bytes() else { return None };
        let base = self.letter.to_ascii_uppercase();
        if first == base && second.is_ascii_digit() && third.is_ascii_digit() {
            return Some(u32::from(second - b'0') * 10 + u32::from(third - b'0'))
                .filter(|number| *number > 0);
        }
        let letters = [first, second, third].iter().all(u8::is_ascii_uppercase) && first >= base;
        letters.then(|| {
            let [first, second, third] = [first - base, second - b'A', third - b'A'].map(u32::from);
            NUMBERED + 1 + (first * LETTERS + second) * LETTERS + third
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_each_other_as_the_tools_make_them() {
        let naming = Naming::of("a.b.E01").unwrap();
        for (number, name) in [
            (1, "a.b.E01"),
            (99, "a.b.E99"),
            (100, "a.b.EAA"),
            (125, "a.b.EAZ"),
            (126, "a.b.EBA"),
            (775, "a.b.EZZ"),
            (776, "a.b.FAA"),
            (14_971, "a.b.ZZZ"),
        ] {
            assert_eq!(naming.name(number).as_deref(), Some(name));
            assert_eq!(naming.number(name), Some(number));
            assert_eq!(naming.number(&name.to_lowercase()), Some(number));
        }
        assert_eq!((naming.name(14_972), naming.most()), (None, 14_971));
        let naming = Naming::of("a.s01").unwrap();
        assert_eq!(naming.name(100).as_deref(), Some("a.saa"));
        assert_eq!(naming.name(99 + 8 * 676).as_deref(), Some("a.zzz"));
        assert_eq!(naming.name(100 + 8 * 676), None);
        assert_eq!(naming.name(u32::MAX), None);
        for name in ["a.e00", "a.raa", "b.s02", "a.s0a", "a.s001", "s02"] {
            assert_eq!(naming.number(name), None, "{name}");
        }
        for name in ["a.E02", "E01", "a", "a.Ex01", "a.001"] {
            assert_eq!(Naming::of(name), None, "{name}");
        }
    }
}
