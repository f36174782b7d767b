//! XML from strangers: no document types, so no entities; bounded size, elements and attributes.

use roxmltree::{Document, Node, ParsingOptions};

use crate::MachineError;

/// Larger than the description of a machine with 256 disks.
const MAX_BYTES: usize = 1 << 20;
/// Elements, texts and comments.
const MAX_NODES: u32 = 30_000;
/// Equals signs, so attributes: the parser compares each with all others of its element.
const MAX_ATTRIBUTES: usize = 8192;
/// Declarations of namespaces: the parser's work grows with the third power of their number.
const MAX_NAMESPACES: usize = 64;

/// Parses `text`. Comments and processing instructions are passed over by the helpers of this module.
///
/// # Errors
/// [`MachineError::TooLarge`], or [`MachineError::Dialect`] with line and column for what is not well-formed, has a
/// document type or is beyond a limit.
pub(crate) fn parse<'a>(dialect: &'static str, text: &'a str) -> Result<Document<'a>, MachineError> {
    if text.len() > MAX_BYTES {
        return Err(MachineError::TooLarge { actual: text.len(), limit: MAX_BYTES });
    }
    let bad = |reason: String| MachineError::Dialect { dialect, reason };
    let count = |sign: u8| text.bytes().filter(|&byte| byte == sign).count();
    let (attributes, tags) = (count(b'='), count(b'<'));
    if attributes > MAX_ATTRIBUTES || tags > MAX_NODES as usize {
        return Err(bad(format!(
            "the document has {tags} tags and {attributes} equals signs, at most {MAX_NODES} and {MAX_ATTRIBUTES} are \
             read"
        )));
    }
    let namespaces = text.matches("xmlns").count();
    if namespaces > MAX_NAMESPACES {
        return Err(bad(format!(
            "the document has {namespaces} namespaces, at most {MAX_NAMESPACES} are read"
        )));
    }
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| {
        // The parser repeats names of the document.
        bad(format!("the xml cannot be read: {}", escaped(&error.to_string())))
    })
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).take(300).collect()
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

/// Text of the element at `path` below `node`, without white space around it.
pub(crate) fn text<'a>(node: Node<'a, '_>, path: &[&str]) -> Option<&'a str> {
    at(node, path)?.text().map(str::trim)
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
