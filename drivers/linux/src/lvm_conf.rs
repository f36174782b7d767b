//! lvm.conf and lvmlocal.conf: which devices LVM looks at.
//!
//! Facts: lvm.conf(5), `devices/filter`, `devices/global_filter`: patterns are tried in order, the first that matches accepts or
//! rejects, and a device that none matches is accepted; without a filter all are. Patterns are `a` or `r` and a regular
//! expression between two equal characters. A list may go over several lines. Texts stand in `"` or in `'` (measured with
//! LVM 2.03.16).

use std::ops::Range;

/// A filter that is set in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// `filter` or `global_filter`, as it is written.
    pub(crate) key: String,
    /// Its lines, counted from 0.
    pub(crate) lines: Range<usize>,
    /// Nothing else stands on those lines.
    pub(crate) is_alone: bool,
    /// As they are written, with their quotes.
    pub(crate) patterns: Vec<String>,
}

/// What a filter means for disks with other names.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Verdict {
    /// They are looked at.
    Seen,
    /// They are not, and the source's disks are by their names.
    Hidden,
    /// They are not, nor are the source's disks: what it lets through is on top of them (DRBD, md, multipath).
    Others,
    /// It cannot be read, or rejects names of which it is not clear what they mean there.
    Unclear,
}

const KEYS: [&str; 4] = ["filter", "global_filter", "devices/filter", "devices/global_filter"];
/// Expressions that match every device.
const EVERYTHING: [&str; 6] = ["", ".", ".*", "/dev/", "/dev/.*", ".*/.*"];
/// Names of devices that no disk of a machine has.
const NO_DISKS: [&str; 14] =
    ["cdrom", "cdrw", "dvd", "sr", "scd", "fd", "loop", "ram", "zram", "zd", "drbd", "nbd", "rbd", "mapper/"];
/// How the names of a machine's disks begin, below `/dev`.
const DISKS: [&str; 11] = [
    "sd",
    "vd",
    "xvd",
    "hd",
    "nvme",
    "cciss/",
    "cciss!",
    "disk/by-id/",
    "disk/by-path/",
    "by-id/",
    "by-path/",
];
/// Links in `by-id` to what is made of disks.
const NOT_HARDWARE: [&str; 4] = ["by-id/dm-", "by-id/md-", "by-id/lvm-pv-uuid-", "by-id/drbd"];
/// The pattern that lets every device through.
pub(crate) const ALL: &str = "\"a|.*|\"";

/// The filters that are set in the text of a file.
pub(crate) fn filters(text: &str) -> Vec<Filter> {
    let mut found: Vec<Filter> = Vec::new();
    let mut open: Option<Filter> = None;
    for (number, line) in text.lines().enumerate() {
        let code = without_comment(line);
        let (mut filter, rest) = match open.take() {
            Some(filter) => (filter, code),
            None => {
                let Some((before, key, rest)) = assignment(code) else { continue };
                let is_alone = before.trim().is_empty();
                (Filter { key: key.into(), lines: number..number, is_alone, patterns: Vec::new() }, rest)
            }
        };
        let is_first = filter.lines.start == number;
        let is_list = !is_first || rest.trim_start().starts_with('[');
        let end = list_end(rest, &mut filter.patterns, is_list);
        filter.lines.end = number + 1;
        match end {
            Some(after) => {
                filter.is_alone &= after.trim().is_empty();
                found.push(filter);
            }
            None if is_list => open = Some(filter),
            None => found.push(filter),
        }
    }
    found
}

/// What stands before a filter's name, the name, and what follows the equals sign.
fn assignment(code: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = code.split_once('=')?;
    let name =
        before.split(|c: char| c.is_whitespace() || "{}".contains(c)).rfind(|word| !word.is_empty())?;
    let at = before.rfind(name)?;
    KEYS.contains(&name).then_some((before.get(..at)?, name, rest))
}

/// Takes the patterns; gives what follows the end of the list or of the one pattern.
fn list_end<'a>(text: &'a str, patterns: &mut Vec<String>, is_list: bool) -> Option<&'a str> {
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\'', ']'])?;
        let (mark, after) = (rest.get(at..=at)?, rest.get(at + 1..)?);
        if mark == "]" {
            return Some(after);
        }
        let close = at + 1 + after.find(mark)?;
        patterns.push(rest.get(at..=close)?.to_owned());
        rest = rest.get(close + 1..)?;
        if !is_list {
            return Some(rest);
        }
    }
}

/// The line up to a `#` that stands in no text.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            ('#', None) => return line.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    line
}

/// Whether it accepts, and its expression without anchors.
fn parts(pattern: &str) -> Option<(bool, &str)> {
    let pattern = pattern.get(1..pattern.len().checked_sub(1)?)?;
    let accepts = match pattern.chars().next()? {
        'a' => true,
        'r' => false,
        _ => return None,
    };
    let delimited = pattern.get(1..)?;
    let delimiter = delimited.chars().next()?;
    let inner = delimited.strip_prefix(delimiter)?.strip_suffix(delimiter)?;
    let inner = inner.strip_prefix('^').unwrap_or(inner);
    Some((accepts, inner.strip_suffix('$').unwrap_or(inner)))
}

/// Whether the pattern rejects only what is no disk of the machine.
fn is_harmless(pattern: &str) -> bool {
    parts(pattern).is_some_and(|(accepts, body)| {
        let name = body.strip_prefix("/dev/").or_else(|| body.strip_prefix(".*/")).unwrap_or(body);
        !accepts && NO_DISKS.iter().any(|known| name.starts_with(known)) && !name.contains('|')
    })
}

/// The parts of an expression that are names, each with whether it is a disk's.
fn names(body: &str) -> impl Iterator<Item = bool> {
    let name = |part: &str| -> Option<bool> {
        let part = part.trim_start_matches('^').trim_end_matches('$');
        let name = ["/dev/", ".*/", "dev/", "/"].iter().find_map(|start| part.strip_prefix(start));
        let name = name.unwrap_or(part);
        let is_other = NOT_HARDWARE.iter().any(|link| name.trim_start_matches("disk/").starts_with(link));
        // `[hsv]d`
        let class = name.strip_prefix('[').and_then(|rest| rest.split_once("]d"));
        let is_class = class.is_some_and(|(set, _)| set.chars().all(|c| "hsv".contains(c)));
        let is_disk = is_class || DISKS.iter().any(|start| name.starts_with(start));
        (!name.is_empty()).then_some(is_disk && !is_other)
    };
    body.split(['|', '(', ')']).filter_map(name)
}

/// The patterns without those that let through the source's disks alone, up to the one that rejects the rest: that one lets
/// the rest through.
pub(crate) fn without_disks(patterns: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    for pattern in patterns {
        match parts(pattern) {
            Some((false, body)) if EVERYTHING.contains(&body) => {
                kept.push(ALL.to_owned());
                break;
            }
            Some((true, body)) if names(body).count() > 0 && names(body).all(|is_disk| is_disk) => {}
            _ => kept.push(pattern.clone()),
        }
    }
    kept
}

/// What becomes of disks that are called `/dev/PREFIX…` (`sd`, `vd`).
pub(crate) fn verdict(patterns: &[String], prefix: &str) -> Verdict {
    if patterns.is_empty() {
        return Verdict::Unclear;
    }
    let (mut verdict, mut names_disks) = (Verdict::Seen, false);
    for pattern in patterns {
        let Some((accepts, body)) = parts(pattern) else { return Verdict::Unclear };
        let is_everything = EVERYTHING.contains(&body);
        let kind = body.strip_prefix("/dev/").and_then(|name| name.strip_prefix(prefix));
        let is_all_of_kind =
            kind.is_some_and(|rest| matches!(rest, "" | ".*" | "*" | "[a-z]" | "[a-z].*" | "[a-z]*"));
        match accepts {
            true if is_everything || is_all_of_kind => return verdict,
            true => names_disks |= names(body).any(|is_disk| is_disk),
            false if is_everything && names_disks => return Verdict::Hidden,
            false if is_everything => return Verdict::Others,
            false if is_harmless(pattern) => {}
            false => verdict = Verdict::Unclear,
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|text| format!("\"{text}\"")).collect()
    }

    #[test]
    fn filters_are_found_in_lists_over_lines_and_in_one_line() {
        let text = "# filter = [ \"r|.*|\" ]\ndevices {\n\tfilter = [ \"a|^/dev/sda2$|\", # the disk\n\t\t\"r|.*|\" ]\n\
                    \tpreferred_names = [ \"^/dev/mpath/\" ]\n}\ndevices/global_filter=\"r|#x|\"\n\
                    devices { global_filter = [ \"r/.*/\" ] }\nactivation { volume_list = [ \"a\" ] }\n";
        let found = filters(text);
        let shown: Vec<_> = found.iter().map(|f| (f.key.as_str(), f.lines.clone(), f.is_alone)).collect();
        assert_eq!(
            shown,
            [("filter", 2..4, true), ("devices/global_filter", 6..7, true), ("global_filter", 7..8, false)]
        );
        assert_eq!(found[0].patterns, owned(&["a|^/dev/sda2$|", "r|.*|"]));
        assert_eq!(found[1].patterns, owned(&["r|#x|"]));
        assert!(filters("filter = [ \"a|x|\",").is_empty(), "a list without an end");
    }

    #[test]
    fn what_hides_other_disks_is_known() {
        for (patterns, prefix, wanted) in [
            (&["a|.*|"][..], "vd", Verdict::Seen),
            (&[], "vd", Verdict::Unclear),
            (&["a|^/dev/drbd.*|", "r|.*|"], "sd", Verdict::Others),
            (&["a|^/dev/mapper/mpath.*|", "a|/dev/md|", "r|.*|"], "vd", Verdict::Others),
            (&["a|/dev/disk/by-id/dm-uuid-mpath-.*|", "r|.*|"], "vd", Verdict::Others),
            (&["a|^/dev/disk/by-id/ata-x$|", "r|.*|"], "vd", Verdict::Hidden),
            (&["a|/dev/(md0|sda)|", "r|.*|"], "vd", Verdict::Hidden),
            (&["a|/dev/[hs]d.*|", "r|.*|"], "vd", Verdict::Hidden),
            (&["a|^/dev/cciss/c0d0p2$|", "r|.*|"], "vd", Verdict::Hidden),
            (&["r|.*|"], "vd", Verdict::Others),
            (&["a|^/dev/nvme0n1p2$|", "r|.*|"], "vd", Verdict::Hidden),
            (&["a/sda/", "r/.*/"], "sd", Verdict::Hidden),
            (&["a|/dev/sd.*|", "r|.*|"], "sd", Verdict::Seen),
            (&["a|/dev/sd.*|", "r|.*|"], "vd", Verdict::Hidden),
            (&["r|/dev/zd.*|", "r|/dev/rbd.*|"], "sd", Verdict::Seen),
            (&["r|^/dev/cdrom|", "a|.*|", "r|.*|"], "sd", Verdict::Seen),
            (&["r|/dev/sdb|"], "sd", Verdict::Unclear),
            (&["r|/dev/(sr|sd)|", "a|.*|"], "sd", Verdict::Unclear),
            (&["x"], "sd", Verdict::Unclear),
        ] {
            assert_eq!(verdict(&owned(patterns), prefix), wanted, "{patterns:?}");
        }
    }
    #[test]
    fn both_quotes_are_quotes() {
        let found =
            filters("filter = [ 'a|^/dev/sda[0-9]*$|', \"r|'#|\", 'r|\".*|' ] # ']\nglobal_filter = [ a ]\n");
        assert_eq!(found[0].patterns, ["'a|^/dev/sda[0-9]*$|'", "\"r|'#|\"", "'r|\".*|'"]);
        assert!(found[0].is_alone);
        assert_eq!(verdict(&found[1].patterns, "vd"), Verdict::Unclear, "no pattern");
        let found = filters("filter = [ 'a|^/dev/sda[0-9]*$|', 'r|.*|' ]\n");
        assert_eq!(verdict(&found[0].patterns, "vd"), Verdict::Hidden);
    }

    #[test]
    fn only_the_sources_disks_go() {
        for (patterns, wanted) in [
            (
                &["a|^/dev/sda2$|", "a|^/dev/mapper/luks-pv$|", "r|^/dev/mapper/.*|", "r|.*|"][..],
                &["a|^/dev/mapper/luks-pv$|", "r|^/dev/mapper/.*|", "a|.*|"][..],
            ),
            (&["a/sda|sdb/", "a|md0|", "r/.*/", "r|x|"], &["a|md0|", "a|.*|"]),
            (&["a|/dev/(md0|sda)|", "r|/dev/sdb|", "r|.*|"], &["a|/dev/(md0|sda)|", "r|/dev/sdb|", "a|.*|"]),
        ] {
            assert_eq!(without_disks(&owned(patterns)), owned(wanted));
        }
    }
}
