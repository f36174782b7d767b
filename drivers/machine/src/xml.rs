//! XML from strangers: bounded before it is parsed, without document types, so without entities; read by local names.

use std::collections::BTreeSet;

use roxmltree::{Document, Node, ParsingOptions};

use crate::MachineError;

/// Descriptions with translated licence texts have a few hundred KiB.
const MAX_BYTES: usize = 8 << 20;
const MAX_NODES: u32 = 200_000;
const MAX_TAGS: usize = 200_000;
/// The parser compares each attribute of a tag with the ones before it.
const MAX_ATTRIBUTES: usize = 256;
/// The parser carries every namespace in scope from element to element.
const MAX_NAMESPACES: usize = 128;
const MAX_DECLARATIONS: usize = 20_000;

/// Parses `text`. A document type is refused: it is what entities are declared in.
///
/// # Errors
/// [`MachineError::TooLarge`], or [`MachineError::Dialect`] with line and column for what is not well-formed, has a
/// document type or is beyond a limit.
pub(crate) fn parse<'a>(dialect: &'static str, text: &'a str) -> Result<Document<'a>, MachineError> {
    if text.len() > MAX_BYTES {
        return Err(MachineError::TooLarge { actual: text.len(), limit: MAX_BYTES });
    }
    let bad = |reason: String| MachineError::Dialect { dialect, reason };
    check_effort(text).map_err(bad)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| {
        // The parser repeats names of the document.
        let reason: String = error.to_string().chars().flat_map(char::escape_debug).take(400).collect();
        bad(format!("the xml cannot be read: {reason}"))
    })
}

/// Refuses documents on which the parser would work for more than a second.
fn check_effort(text: &str) -> Result<(), String> {
    if text.bytes().filter(|&byte| byte == b'<').count() > MAX_TAGS {
        return Err(format!("more than {MAX_TAGS} tags"));
    }
    let (mut declarations, mut prefixes) = (0_usize, BTreeSet::new());
    // No `<` stands in an attribute: one tag at most lies between two of them.
    for tag in text.split('<') {
        let mut equal_signs = tag.match_indices('=');
        let attributes = equal_signs
            .by_ref()
            .filter(|(at, _)| {
                let after = tag.get(at + 1..).unwrap_or_default().trim_start_matches([' ', '\t', '\r', '\n']);
                after.starts_with(['"', '\''])
            })
            .take(MAX_ATTRIBUTES + 1)
            .count();
        if attributes > MAX_ATTRIBUTES {
            return Err(format!("an element has more than {MAX_ATTRIBUTES} attributes"));
        }
        for (at, _) in tag.match_indices("xmlns") {
            let name = tag.get(at..).and_then(|rest| rest.split(['=', ' ', '\t', '\r', '\n', '>']).next());
            declarations += 1;
            prefixes.insert(name.unwrap_or_default());
        }
        if prefixes.len() > MAX_NAMESPACES || declarations > MAX_DECLARATIONS {
            return Err(format!(
                "more than {MAX_NAMESPACES} different or {MAX_DECLARATIONS} namespace declarations"
            ));
        }
    }
    Ok(())
}

/// Local name of the root element, without parsing the document; `None` when the text does not begin like XML.
pub(crate) fn root_name(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        rest = match rest.strip_prefix('<')? {
            after if after.starts_with('?') => after.split_once("?>")?.1,
            after if after.starts_with("!--") => after.split_once("-->")?.1,
            after if after.starts_with('!') => after.split_once('>')?.1,
            after => {
                let name = after.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next()?;
                return Some(name.rsplit(':').next().unwrap_or(name));
            }
        }
        .trim_start();
    }
}

/// The child elements called `name`, whatever their namespace.
pub(crate) fn children<'a, 'i>(node: Node<'a, 'i>, name: &'a str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The first child element called `name`.
pub(crate) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

/// The element at `path` below `node`.
pub(crate) fn at<'a, 'i>(node: Node<'a, 'i>, path: &[&str]) -> Option<Node<'a, 'i>> {
    path.iter().try_fold(node, |node, name| child(node, name))
}

/// Attribute `name` of the element at `path` below `node`.
pub(crate) fn attribute<'a>(node: Node<'a, '_>, path: &[&str], name: &str) -> Option<&'a str> {
    at(node, path)?.attribute(name)
}

/// An attribute of `node` by its local name.
pub(crate) fn local_attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value())
}

/// Text of the element at `path` below `node`, without white space around it; `None` when there is nothing in it.
pub(crate) fn text<'a>(node: Node<'a, '_>, path: &[&str]) -> Option<&'a str> {
    at(node, path)?.text().map(str::trim).filter(|text| !text.is_empty())
}

/// `text` as it stands between tags or in an attribute of either quoting.
///
/// # Errors
/// Kind `Unsupported` for the two characters that are valid Unicode and refused by XML 1.0 (section 2.2).
pub(crate) fn escape(dialect: &'static str, text: &str) -> Result<String, MachineError> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => {
                let reason = format!("U+{:04X} cannot stand in xml", u32::from(c));
                return Err(MachineError::Unsupported { what: dialect, reason });
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}
