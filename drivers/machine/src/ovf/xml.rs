//! XML from strangers: bounded before it is parsed, without document types, read by local names.

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

/// Parses a document of the dialect `what`. A document type is refused: it is what entities are declared in.
pub(super) fn parse<'a>(text: &'a str, what: &'static str) -> Result<Document<'a>, MachineError> {
    if text.len() > MAX_BYTES {
        return Err(MachineError::TooLarge { actual: text.len(), limit: MAX_BYTES });
    }
    check_effort(text, what)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| MachineError::Dialect {
        dialect: what,
        // The parser repeats names; they are foreign text.
        reason: error.to_string().chars().flat_map(char::escape_debug).take(400).collect(),
    })
}

/// Refuses documents on which the parser would work for more than a second.
fn check_effort(text: &str, what: &'static str) -> Result<(), MachineError> {
    let refuse = |reason: String| Err(MachineError::Dialect { dialect: what, reason });
    if text.bytes().filter(|&byte| byte == b'<').count() > MAX_TAGS {
        return refuse(format!("more than {MAX_TAGS} tags"));
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
            return refuse(format!("an element has more than {MAX_ATTRIBUTES} attributes"));
        }
        for (at, _) in tag.match_indices("xmlns") {
            let name = tag.get(at..).and_then(|rest| rest.split(['=', ' ', '\t', '\r', '\n', '>']).next());
            declarations += 1;
            prefixes.insert(name.unwrap_or_default());
        }
        if prefixes.len() > MAX_NAMESPACES || declarations > MAX_DECLARATIONS {
            return refuse(format!(
                "more than {MAX_NAMESPACES} different or {MAX_DECLARATIONS} namespace declarations"
            ));
        }
    }
    Ok(())
}

/// Local name of the root element, without parsing the document; `None` when the text does not begin like XML.
pub(super) fn root_name(text: &str) -> Option<&str> {
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

/// The child elements with a local name.
pub(super) fn children<'a, 'i>(
    node: Node<'a, 'i>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> + use<'a, 'i> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The first child element with a local name.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Option<Node<'a, 'i>> {
    children(node, name).next()
}

/// The text of a child element, trimmed; `None` when there is none, or nothing in it.
pub(super) fn text<'a>(node: Node<'a, '_>, name: &'static str) -> Option<&'a str> {
    child(node, name).and_then(|child| child.text()).map(str::trim).filter(|text| !text.is_empty())
}

/// An attribute by its local name.
pub(super) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value())
}
