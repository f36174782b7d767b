//! XML of services, which is a stranger's text: without a document type, and bounded.

use format_core::{Error, ErrorKind, Result};
use roxmltree::{Document, Node, ParsingOptions};

/// More nodes than any answer has that is asked for here.
const MAX_NODES: u32 = 1 << 20;

/// Takes a document apart. Entities are the five of XML itself: a document type is refused.
///
/// # Errors
/// `Io` where it is none.
pub(crate) fn parse(text: &str) -> Result<Document<'_>> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    // What the parser says names what it found, which is not to be shown.
    let text = text.trim_start_matches('\u{feff}');
    Document::parse_with_options(text, options).map_err(|_| wrong("the answer is no XML"))
}

/// The text of the child `name`, whatever its namespace.
pub(crate) fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name).map(|child| child.text().unwrap_or_default().trim())
}

/// The child `name`, whatever its namespace.
pub(crate) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.tag_name().name() == name)
}

pub(crate) fn wrong(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Io, why)
}
