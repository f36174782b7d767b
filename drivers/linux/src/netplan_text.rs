//! The `ethernets:` part of a netplan file, found by indentation.
//!
//! Only the block style is understood, which is what cloud-init and people write; everything else is said to be unclear,
//! so that nothing is edited by guess. Source: netplan documentation, "YAML configuration", properties `match`, `set-name`.

use std::ops::Range;

/// One interface definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ethernet {
    pub(crate) id: String,
    /// The line with the id.
    pub(crate) line: usize,
    /// The lines of `match`.
    pub(crate) matches: Option<Range<usize>>,
    /// The value of `name` in `match`, when it is all that `match` has.
    pub(crate) name_pattern: Option<String>,
    /// The line of `set-name`.
    pub(crate) set_name: Option<usize>,
    /// Its value.
    pub(crate) new_name: Option<String>,
    /// The value of `macaddress` in `match`.
    pub(crate) mac: Option<String>,
    /// The line behind the definition's last one.
    pub(crate) end: usize,
    /// It has other properties too.
    pub(crate) more: bool,
}

/// Finds the definitions.
///
/// # Errors
/// What is not understood, with its line.
pub(crate) fn ethernets(lines: &[&str]) -> Result<Vec<Ethernet>, String> {
    let mut found: Vec<Ethernet> = Vec::new();
    let mut section: Option<usize> = None;
    let mut child: Option<usize> = None;
    let mut body: Option<usize> = None;
    for (number, line) in lines.iter().enumerate() {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || text.starts_with("---") {
            continue;
        }
        let unclear = |what: &str| format!("line {}: {what}", number + 1);
        if line.get(..line.len() - line.trim_start().len()).is_some_and(|blanks| blanks.contains('\t')) {
            return Err(unclear("a tab in the indentation"));
        }
        let indent = line.len() - line.trim_start().len();
        if section.is_some_and(|section| indent <= section) {
            section = None;
        }
        if section.is_none() {
            section = (key(text) == Some("ethernets")).then_some(indent);
            (child, body) = (None, None);
            let value = value(text);
            if section.is_some() && !value.is_empty() && value != "{}" {
                return Err(unclear("definitions in braces"));
            }
            if key(text) == Some("network") && value.contains('{') {
                return Err(unclear("definitions in braces"));
            }
            continue;
        }
        if indent == *child.get_or_insert(indent) {
            let Some(id) = key(text) else { return Err(unclear("no interface definition")) };
            // `eth0: {dhcp4: true}` names an interface; a match in braces would have to be taken apart.
            let braces = value(text);
            let whole = braces.starts_with('{') && braces.ends_with('}');
            if !braces.is_empty() && (!whole || braces.contains("match") || braces.contains("set-name")) {
                return Err(unclear("a definition in braces"));
            }
            found.push(Ethernet { id: id.to_owned(), line: number, end: number + 1, ..Ethernet::default() });
            body = None;
        } else if let Some(ethernet) = found.last_mut() {
            ethernet.end = number + 1;
            let at_body = indent == *body.get_or_insert(indent);
            property(ethernet, number, text, at_body).map_err(unclear)?;
        }
    }
    Ok(found)
}

fn property(ethernet: &mut Ethernet, number: usize, text: &str, at_body: bool) -> Result<(), &'static str> {
    if let Some(matches) = ethernet.matches.as_mut().filter(|matches| matches.end == number && !at_body) {
        matches.end = number + 1;
        let first = matches.len() == 2;
        if key(text) == Some("macaddress") {
            ethernet.mac = Some(unquoted(value(text)).to_owned());
        }
        ethernet.name_pattern =
            (key(text) == Some("name") && first).then(|| unquoted(value(text)).to_owned());
        return Ok(());
    }
    match key(text) {
        Some("match") if at_body && ethernet.matches.is_some() => return Err("a second match"),
        Some("set-name") if at_body && ethernet.set_name.is_some() => return Err("a second set-name"),
        Some("match") if at_body => {
            let value = value(text);
            if value.starts_with('{') != value.ends_with('}') || value.starts_with(['&', '*']) {
                return Err("a match that is not understood");
            }
            ethernet.matches = Some(number..number + 1);
            // `{macaddress: "x"}`
            let inside = value.trim_matches(['{', '}', ' ']);
            let pair = inside.split(',').find_map(|part| part.trim().strip_prefix("macaddress:"));
            ethernet.mac = pair.map(|address| unquoted(address.trim()).to_owned());
        }
        Some("set-name") if at_body => {
            ethernet.set_name = Some(number);
            ethernet.new_name = Some(unquoted(value(text)).to_owned());
        }
        Some(_) if at_body => ethernet.more = true,
        _ => {}
    }
    Ok(())
}

/// `key` of `key: value`, without quotes; `None` for list items and everything else.
pub(crate) fn key(text: &str) -> Option<&str> {
    let (key, rest) = text.split_once(':')?;
    let plain = !key.is_empty() && !key.starts_with(['-', '?', '&', '*', '{', '[']);
    (plain && (rest.is_empty() || rest.starts_with([' ', '\t']))).then(|| unquoted(key))
}

/// What follows `key:`, without a comment.
pub(crate) fn value(text: &str) -> &str {
    let value = text.split_once(':').map_or("", |(_, value)| value.trim());
    if value.starts_with('#') {
        return "";
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Ethernet>, String> {
        ethernets(&text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn definitions_are_found_by_indentation() {
        let text = "network:\n  version: 2\n  ethernets:\n    ens5:\n      dhcp4: true\n      match:\n        macaddress: x\n        driver: ena\n      set-name: ens5\n      addresses:\n      - 10.0.0.1/24\n    \"eth1\": # second\n        match: {name: 'e*'}\n  bridges:\n    br0:\n      match:\n        a: b\n";
        let found = parsed(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].id.as_str(), found[0].line), ("ens5", 3));
        assert_eq!((found[0].matches.clone(), found[0].set_name), (Some(5..8), Some(8)));
        assert_eq!(found[0].name_pattern, None);
        assert_eq!((found[1].id.as_str(), found[1].matches.clone()), ("eth1", Some(12..13)));
        let by_name = parsed(
            "network:\n  ethernets:\n    all:\n      match:\n        name: \"en*\"\n      dhcp4: yes\n",
        );
        assert_eq!(by_name.unwrap()[0].name_pattern.as_deref(), Some("en*"));
        let flow = parsed("network:\n  ethernets:\n    eth0: {dhcp4: true}\n").unwrap();
        assert_eq!((flow.len(), flow[0].id.as_str()), (1, "eth0"));
        assert!(parsed("network: {config: disabled}\n").is_err());
        assert_eq!(parsed("network:\n  version: 2\n").unwrap(), []);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for text in [
            "network:\n  ethernets: {ens5: {dhcp4: true}}\n",
            "network:\n  ethernets:\n    ens5: {match: {macaddress: x}}\n",
            "network:\n  ethernets:\n    ens5: {dhcp4:\n      true}\n",
            "network:\n  ethernets:\n    ens5:\n      match: *a\n",
            "network:\n  ethernets:\n    ens5:\n      match:\n        a: b\n      match:\n        name: x\n",
            "network:\n\tethernets:\n\t\tens5:\n",
            "network:\n  ethernets:\n    - ens5\n",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
