//! Files of `[Section]` and `Key=Value` lines: systemd's and NetworkManager's.

/// One line of such a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Section(&'a str),
    Pair(&'a str, &'a str),
    Other,
}

/// Takes a line apart.
pub(crate) fn item(line: &str) -> Item<'_> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return Item::Other;
    }
    if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Item::Section(name);
    }
    match line.split_once('=') {
        Some((key, value)) => Item::Pair(key.trim_end(), value.trim_start()),
        None => Item::Other,
    }
}

/// All pairs with the section they stand in.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut section = "";
    text.lines().filter_map(move |line| match item(line) {
        Item::Section(name) => {
            section = name;
            None
        }
        Item::Pair(key, value) => Some((section, key, value)),
        Item::Other => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_know_their_section() {
        let text = "a=0\r\n[Match]\r\nName = ens5\n# Name=x\n;y=z\n[Link]\nMTUBytes=9001\n[bad\n";
        let found: Vec<_> = pairs(text).collect();
        assert_eq!(found, [("", "a", "0"), ("Match", "Name", "ens5"), ("Link", "MTUBytes", "9001")]);
    }
}
