//! Snapshots that cannot be read: nobody knows when they were made, so numbers and times may mean one of them.

use format_core::{Error, Point, Result};

/// Snapshots that a message lists.
const LISTED: usize = 5;

/// A snapshot that is not what was written.
pub(crate) struct Damaged {
    pub(crate) id: String,
    pub(crate) error: Error,
}

/// Refuses a wish that a damaged snapshot may be meant by: where there is one, only an ID says for sure which.
pub(crate) fn judge(damaged: &[Damaged], points: &[Point], wanted: Option<&str>) -> Result<()> {
    let Some(first) = damaged.first() else { return Ok(()) };
    let refused = |damaged: &Damaged, text: &str| {
        let error = Error::new(damaged.error.kind(), format!("{}; {text}", damaged.error));
        let known: Vec<_> = points.iter().rev().take(LISTED).map(|point| point.id.as_str()).collect();
        let hint = format!("name another snapshot with --at ID; the newest are {}", known.join(", "));
        Err(error.in_format(crate::FORMAT.name).hint(hint))
    };
    let wanted = wanted.unwrap_or("latest");
    if points.iter().any(|point| point.id == wanted) {
        return Ok(());
    }
    let begins = |id: &str| !wanted.is_empty() && id.starts_with(wanted);
    if let Some(meant) = damaged.iter().find(|damaged| begins(&damaged.id)) {
        return refused(meant, &format!("it is what --at {wanted} means, or may mean"));
    }
    let all = points.len() + damaged.len();
    let is_number = wanted.parse().is_ok_and(|number: usize| number < all);
    if !is_number && points.iter().any(|point| begins(&point.id)) {
        return Ok(());
    }
    let text = format!("when it was made is not known, and which snapshot {wanted:?} is depends on that");
    refused(first, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_says_which_snapshot_is_meant() {
        let point = |id: &str| Point { id: id.into(), time: Some(0), virtual_size: None, is_chosen: false };
        let points = ["1aaa", "1bbb", "77cc"].map(point);
        let damaged = [Damaged { id: "1abc".into(), error: Error::corrupt("broken") }];
        for wanted in ["1aaa", "1aa", "1b", "77"] {
            assert!(judge(&damaged, &points, Some(wanted)).is_ok(), "{wanted}");
        }
        for wanted in ["0", "1", "3", "latest", "2024-01-01", "1a", "1abc", "", "x"] {
            let error = judge(&damaged, &points, Some(wanted)).unwrap_err();
            assert_eq!(error.kind(), format_core::ErrorKind::Corrupt, "{wanted}");
        }
        assert!(judge(&damaged, &points, None).is_err());
        assert!(judge(&[], &points, Some("0")).is_ok());
    }
}
