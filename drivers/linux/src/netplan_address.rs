//! `macaddress` of netplan outside of `match`: the address that an adapter, a bridge or a bond is given (netplan documentation, "YAML
//! configuration").

use crate::netplan_text::{key, value};
use crate::set_address::{Set, SetAddresses};

/// Lines of a definition, and places in a line, at most.
const MAX_DEFINITION: usize = 4096;

/// Changes the addresses in the lines as decided; a line that goes becomes `None`.
pub(crate) fn edit(lines: &mut [Option<String>], set: &mut SetAddresses<'_>) {
    for number in 0..lines.len() {
        let Some(line) = lines.get(number).cloned().flatten() else { continue };
        let text = line.trim();
        if text.starts_with('#') {
            continue;
        }
        if let Some((start, end)) = in_braces(&line) {
            let pair = line.get(start..end).unwrap_or_default();
            let new = match set.decide(value(pair)) {
                Set::Keep => continue,
                Set::Replace(mac) => format!("macaddress: \"{mac}\""),
                Set::Drop => String::new(),
            };
            put(lines, number, Some(with_pair(&line, start, end, &new)));
            continue;
        }
        if key(text) != Some("macaddress") {
            continue;
        }
        let parent = parent(lines, number);
        let is_match = parent.and_then(|at| key(lines.get(at)?.as_deref()?.trim())) == Some("match");
        if parent.is_none() || is_match {
            continue;
        }
        match set.decide(value(text)) {
            Set::Keep => {}
            Set::Replace(mac) => {
                let old = value(text).trim_matches(['"', '\'']);
                put(lines, number, Some(line.replacen(old, &mac.to_string(), 1)));
            }
            Set::Drop => {
                put(lines, number, None);
                fill(lines, parent);
            }
        }
    }
}

fn put(lines: &mut [Option<String>], number: usize, line: Option<String>) {
    if let Some(slot) = lines.get_mut(number) {
        *slot = line;
    }
}

/// Where `macaddress: …` stands in braces that are no `match`.
fn in_braces(line: &str) -> Option<(usize, usize)> {
    let (start, _) = line.match_indices("macaddress:").take(MAX_DEFINITION).find(|(at, _)| {
        let before = line.get(..*at).unwrap_or_default();
        let brace = before.rfind('{');
        let is_match = brace.is_some_and(|brace| {
            let owner = before.get(..brace).unwrap_or_default().trim_end();
            owner
                .strip_suffix(':')
                .is_some_and(|owner| owner.trim_end_matches(['"', '\'']).ends_with("match"))
        });
        brace.is_some() && !is_match && before.trim_end().ends_with(['{', ','])
    })?;
    let rest = line.get(start..)?;
    Some((start, start + rest.find([',', '}'])?))
}

/// The line with another pair in its braces; with an empty one, its comma goes too.
fn with_pair(line: &str, start: usize, end: usize, new: &str) -> String {
    let (before, after) = (line.get(..start).unwrap_or_default(), line.get(end..).unwrap_or_default());
    if !new.is_empty() {
        return format!("{before}{new}{after}");
    }
    match (after.strip_prefix(','), before.trim_end().strip_suffix(',')) {
        (Some(after), _) => format!("{before}{}", after.trim_start()),
        (None, Some(before)) => format!("{before}{after}"),
        (None, None) => format!("{before}{after}"),
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_text(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with('#')
}

/// The line whose key holds line `number`.
fn parent(lines: &[Option<String>], number: usize) -> Option<usize> {
    let own = indent(lines.get(number)?.as_deref()?);
    let above = lines.iter().enumerate().take(number).rev().take(MAX_DEFINITION);
    let mut above = above.filter_map(|(at, line)| Some((at, line.as_deref()?)));
    above.find(|(_, line)| is_text(line) && indent(line) < own).map(|(at, _)| at)
}

/// netplan refuses all of its files when a definition is empty.
fn fill(lines: &mut [Option<String>], parent: Option<usize>) {
    let Some(at) = parent else { return };
    let Some(own) = lines.get(at).and_then(|line| line.as_deref()).map(indent) else { return };
    let mut below = lines.iter().skip(at + 1).flatten().filter(|line| is_text(line));
    if below.next().is_none_or(|line| indent(line) <= own) {
        let filled = lines.get(at).cloned().flatten().map(|line| line.replacen(':', ": {}", 1));
        put(lines, at, filled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{Adapter, Mac};

    fn edited(text: &str, target: Option<Mac>) -> String {
        let adapters = [Adapter { source: "06:3f:9a:52:c4:1d".parse().ok(), target }];
        let mut lines: Vec<Option<String>> = text.split('\n').map(|line| Some(line.to_owned())).collect();
        edit(&mut lines, &mut SetAddresses::new(&adapters, &[]));
        lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn addresses_outside_of_match_are_changed() {
        let new: Option<Mac> = "52:54:00:aa:bb:cc".parse().ok();
        let text = "ethernets:\n  ens5:\n    match:\n      macaddress: 06:3f:9a:52:c4:1d\n    macaddress: \"06:3F:9A:52:C4:1D\" # x\n\
                    bonds:\n  bond0:\n    macaddress: 06:3f:9a:52:c4:1d\n  bond1:\n    macaddress: 02:00:00:00:00:01\n";
        assert_eq!(
            edited(text, new),
            text.replace("06:3F:9A:52:C4:1D\"", "52:54:00:aa:bb:cc\"").replace(
                "bond0:\n    macaddress: 06:3f:9a:52:c4:1d",
                "bond0:\n    macaddress: 52:54:00:aa:bb:cc"
            )
        );
        assert_eq!(
            edited(text, None),
            "ethernets:\n  ens5:\n    match:\n      macaddress: 06:3f:9a:52:c4:1d\nbonds:\n  bond0: {}\n  bond1:\n    macaddress: 02:00:00:00:00:01\n"
        );
    }

    #[test]
    fn addresses_in_braces_are_changed() {
        let new: Option<Mac> = "52:54:00:aa:bb:cc".parse().ok();
        for (text, replaced, dropped) in [
            (
                "  e: {dhcp4: true, macaddress: \"06:3f:9a:52:c4:1d\"}",
                "  e: {dhcp4: true, macaddress: \"52:54:00:aa:bb:cc\"}",
                "  e: {dhcp4: true}",
            ),
            (
                "  e: {macaddress: 06:3f:9a:52:c4:1d, mtu: 1500}",
                "  e: {macaddress: \"52:54:00:aa:bb:cc\", mtu: 1500}",
                "  e: {mtu: 1500}",
            ),
            ("  e: {macaddress: 06:3f:9a:52:c4:1d}", "  e: {macaddress: \"52:54:00:aa:bb:cc\"}", "  e: {}"),
        ] {
            assert_eq!(edited(text, new), replaced);
            assert_eq!(edited(text, None), dropped);
        }
        for text in
            ["match: {macaddress: \"06:3f:9a:52:c4:1d\"}", "e: {match: {macaddress: 06:3f:9a:52:c4:1d}}"]
        {
            assert_eq!(edited(text, None), text);
        }
    }
}
