//! Hives: made by hivexregedit from an empty one, and dirty ones with their logs.

use crate::maker;
use crate::regedit::Keys;
use crate::tools::{arg, must};
use std::path::Path;

/// Sequence number of a hive that a recipe made.
const SEQUENCE: u32 = 1000;

/// Makes a hive with these keys in one run of hivexregedit.
pub(crate) fn make(keys: &Keys, into: &Path) {
    std::fs::write(into, maker::empty(5)).unwrap();
    merge(keys, into);
}

fn merge(keys: &Keys, into: &Path) {
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), keys.regedit()).unwrap();
    must("hivexregedit", &["--merge", arg(into), arg(text.path())]);
    let mut bytes = std::fs::read(into).unwrap();
    number(&mut bytes, SEQUENCE, SEQUENCE);
    std::fs::write(into, bytes).unwrap();
}

fn number(hive: &mut [u8], first: u32, second: u32) {
    maker::put32(hive, 4, first);
    maker::put32(hive, 8, second);
    maker::seal(hive);
}

/// Makes a hive dirty, as a machine leaves it that was switched off: what `later` says is in the transaction logs alone,
/// which are put beside the hive as `NAME.LOG1` and `NAME.LOG2`. `LOG1` has the entry that counts; `LOG2` an older one,
/// which the hive has already.
pub(crate) fn soil(hive: &Path, later: &Keys) {
    let before = std::fs::read(hive).unwrap();
    merge(later, hive);
    let after = std::fs::read(hive).unwrap();
    let beside = |extension: &str| hive.with_extension(extension);
    let mut primary = before.clone();
    number(&mut primary, SEQUENCE + 1, SEQUENCE);
    let log = |entry: Vec<u8>, sequence: u32| [maker::log_header(&primary, 6, sequence), entry].concat();
    std::fs::write(beside("LOG1"), log(maker::log_entry(&before, &after, SEQUENCE), SEQUENCE)).unwrap();
    let old = maker::log_entry(&maker::empty(5), &before, SEQUENCE - 1);
    std::fs::write(beside("LOG2"), log(old, SEQUENCE - 1)).unwrap();
    std::fs::write(hive, primary).unwrap();
}
