//! How the parts of a split disk are named. There is no specification: these are the habits of `split`, of forensic
//! imagers and of archivers.

/// Endings that mean a plain raw disk, though `dd` could be the 82nd part of a set.
pub(crate) const PLAIN: [&str; 4] = ["raw", "img", "dd", "bin"];

/// What a file's name says about its place in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartName {
    /// All up to and with the last dot.
    stem: String,
    suffix: Suffix,
}

/// The changing part of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suffix {
    kind: Kind,
    /// The value of each place, the highest first: 0 to 9, or 0 to 25.
    places: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Digits,
    Lower,
    Upper,
}

impl Kind {
    fn top(self) -> u8 {
        if self == Self::Digits { 9 } else { 25 }
    }

    fn zero(self) -> u8 {
        match self {
            Self::Digits => b'0',
            Self::Lower => b'a',
            Self::Upper => b'A',
        }
    }
}

/// The first part of the set that a file can belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the first itself, unless the other one exists (sets start at 0 or at 1).
    First { unless: Option<String> },
    /// It is a later one if one of these exists.
    Later { first: Vec<String> },
}

impl PartName {
    /// The part that `name` can be: two or more digits, or two or three letters, after the last dot.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let dot = name.rfind('.')?;
        let (stem, ending) = name.split_at_checked(dot + 1)?;
        if dot == 0 || PLAIN.contains(&ending.to_ascii_lowercase().as_str()) {
            return None;
        }
        let all = |test: fn(&u8) -> bool| ending.as_bytes().iter().all(test);
        let kind = match ending.len() {
            2..=9 if all(u8::is_ascii_digit) => Kind::Digits,
            2..=3 if all(u8::is_ascii_lowercase) => Kind::Lower,
            2..=3 if all(u8::is_ascii_uppercase) => Kind::Upper,
            _ => return None,
        };
        let places = ending.bytes().map(|byte| byte - kind.zero()).collect();
        Some(Self { stem: stem.to_owned(), suffix: Suffix { kind, places } })
    }

    /// Where it stands in its set, as far as the name can tell.
    pub(crate) fn place(&self) -> Place {
        let Suffix { kind, places } = &self.suffix;
        let zeros = places.iter().take_while(|&&place| place == 0).count();
        let first = self.with(vec![0; places.len()]);
        if zeros == places.len() {
            return Place::First { unless: None };
        }
        if *kind != Kind::Digits {
            return Place::Later { first: vec![first.to_string()] };
        }
        let mut one = vec![0; places.len()];
        one[places.len() - 1] = 1;
        if *places == one {
            return Place::First { unless: Some(first.to_string()) };
        }
        let mut first = vec![first.to_string(), self.with(one).to_string()];
        // 1000 follows 999, whose set starts with 000 or 001; 9000 follows 89, whose set starts with 00.
        let narrow = places.len() - 1;
        if zeros == 0 && narrow >= 3 {
            first.extend(["0", "1"].map(|last| format!("{}{last:0>narrow$}", self.stem)));
            first.push(format!("{}00", self.stem));
        }
        Place::Later { first }
    }

    /// Whether the name counts with leading zeros, as nothing but sets does.
    pub(crate) fn is_counted(&self) -> bool {
        self.suffix.kind == Kind::Digits && self.suffix.places.first() == Some(&0)
    }

    /// What the next part can be called, the likeliest first.
    pub(crate) fn next(&self) -> Vec<Self> {
        let Suffix { kind, places } = &self.suffix;
        let top = kind.top();
        let mut next = Vec::with_capacity(2);
        match places.iter().rposition(|&place| place < top) {
            Some(at) => {
                let mut places = places.clone();
                places[at] += 1;
                places[at + 1..].fill(0);
                next.push(self.with(places));
            }
            // After 999 comes 1000. After zz comes nothing.
            None if *kind == Kind::Digits => {
                let mut wider = vec![0; places.len() + 1];
                wider[0] = 1;
                next.push(self.with(wider));
            }
            None => {}
        }
        next.extend(self.widened().map(|places| self.with(places)));
        next
    }

    /// What `split` does when it was told no length: after yz comes zaaa, after zyzz zzaaaa; after 89 comes 9000.
    fn widened(&self) -> Option<Vec<u8>> {
        let Suffix { kind, places } = &self.suffix;
        let top = kind.top();
        let fixed = places.iter().take_while(|&&place| place == top).count();
        let (&first, rest) = places.get(fixed..)?.split_first()?;
        if first != top - 1 || rest.iter().any(|&place| place != top) {
            return None;
        }
        let mut wider = vec![top; fixed + 1];
        wider.resize(places.len() + 2, 0);
        Some(wider)
    }

    fn with(&self, places: Vec<u8>) -> Self {
        Self { stem: self.stem.clone(), suffix: Suffix { kind: self.suffix.kind, places } }
    }
}

impl std::fmt::Display for PartName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Suffix { kind, places } = &self.suffix;
        let ending: String = places.iter().map(|place| char::from(kind.zero() + place)).collect();
        write!(f, "{}{ending}", self.stem)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
    use super::*;

    fn next(name: &str) -> Vec<String> {
        PartName::parse(name).unwrap().next().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn parts_are_counted_as_their_makers_count() {
        for (name, then) in [
            ("a.000", vec!["a.001"]),
            ("a.009", vec!["a.010"]),
            ("a.999", vec!["a.1000"]),
            ("a.1000", vec!["a.1001"]),
            ("a.89", vec!["a.90", "a.9000"]),
            ("a.9899", vec!["a.9900", "a.990000"]),
            ("a.img.aa", vec!["a.img.ab"]),
            ("a.az", vec!["a.ba"]),
            ("a.yz", vec!["a.za", "a.zaaa"]),
            ("a.zz", vec![]),
            ("a.AAZ", vec!["a.ABA"]),
        ] {
            assert_eq!(next(name), then, "{name}");
        }
        // The names behind the second widening are not parsed but counted to.
        let part = PartName::parse("a.yz").unwrap().next().remove(1);
        let mut last = part.with(vec![25, 24, 25, 25]);
        assert_eq!(last.next().iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.zzaa", "a.zzaaaa"]);
        last = part.with(vec![25, 23, 25, 25]);
        assert_eq!(last.next()[0].to_string(), "a.zyaa");
    }

    #[test]
    fn only_endings_that_count_are_parts() {
        for name in
            ["a", "a.", ".000", "a.0", "a.raw", "a.IMG", "a.dd", "a.bin", "a.qcow2", "a.a", "a.aB", "a.00a"]
        {
            assert_eq!(PartName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_knows_its_first_part() {
        let place = |name: &str| PartName::parse(name).unwrap().place();
        let later = |first: &[&str]| Place::Later { first: first.iter().map(ToString::to_string).collect() };
        assert_eq!(place("a.000"), Place::First { unless: None });
        assert_eq!(place("a.001"), Place::First { unless: Some("a.000".into()) });
        assert_eq!(place("a.aa"), Place::First { unless: None });
        assert_eq!(place("a.002"), later(&["a.000", "a.001"]));
        assert_eq!(place("a.ac"), later(&["a.aa"]));
        assert_eq!(place("a.1000"), later(&["a.0000", "a.0001", "a.000", "a.001", "a.00"]));
        assert!(PartName::parse("a.002").unwrap().is_counted());
        assert!(!PartName::parse("a.2024").unwrap().is_counted());
    }
}
