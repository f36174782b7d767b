//! Which disk of a container the operator means.

use crate::{DiskEntry, Error, Result};

impl DiskEntry {
    /// The index in `disks` of the one that is called `wanted` or has that number; without a wish the only one. `format` is
    /// the container's.
    ///
    /// # Errors
    /// `Usage` when none is it, or one by its name and another by its number, or when one of several has to be picked;
    /// `Unsupported` where there is none.
    pub fn pick(disks: &[Self], wanted: Option<&str>, format: &'static str) -> Result<usize> {
        let names: Vec<_> = disks.iter().map(|disk| disk.name.as_str()).collect();
        let known = || format!("the disks are {}", names.join(", "));
        let Some(wanted) = wanted else {
            return match disks.len() {
                1 => Ok(0),
                0 => Err(Error::unsupported(format!("the {format} holds no disk")).in_format(format)),
                many => Err(Error::usage(format!("it holds {many} disks"))
                    .hint(format!("pick one with --pick NAME; {}", known()))),
            };
        };
        let by_name = names.iter().position(|name| *name == wanted);
        let by_number = wanted.parse().ok().filter(|index: &usize| *index < names.len());
        if by_name.zip(by_number).is_some_and(|(name, number)| name != number) {
            let text = format!("{wanted:?} is the name of one disk and the number of another");
            return Err(Error::usage(text).hint(known()));
        }
        let found = by_name.or(by_number);
        found.ok_or_else(|| Error::usage(format!("no disk is called {wanted:?}")).hint(known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_disk_is_known_by_name_or_number_and_never_by_both() {
        let disks = ["a", "2", "1"].map(|name| DiskEntry { name: name.into(), virtual_size: None });
        let pick = |wanted| DiskEntry::pick(&disks, wanted, "x").map_err(|e| e.kind());
        assert_eq!((pick(Some("a")), pick(Some("0"))), (Ok(0), Ok(0)));
        for wanted in [None, Some("1"), Some("2"), Some("3"), Some("b")] {
            assert_eq!(pick(wanted), Err(ErrorKind::Usage), "{wanted:?}");
        }
        assert_eq!(DiskEntry::pick(&disks[..1], None, "x").unwrap(), 0);
        assert!(DiskEntry::pick(&[], None, "x").is_err());
    }
}
