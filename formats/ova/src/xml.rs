//! The elements of an envelope that have to do with disks, in the order of the text. XML from strangers: one pass, no document
//! types and so no entities, and bounds for everything that is kept.

use crate::error::OvaError;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

const MAX_ELEMENTS: usize = 200_000;
const MAX_DEPTH: usize = 64;
const MAX_ATTRIBUTES: usize = 256;
/// Of one element's text; licences are longer, and nobody asks for them.
const MAX_TEXT: usize = 4096;

/// An element, told by local names: every program has prefixes of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Element {
    /// A value that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Is told about each element when it ends: the names of those around it from the outside, and itself.
pub(crate) fn walk(
    text: &str,
    mut each: impl FnMut(&[String], Element) -> Result<(), OvaError>,
) -> Result<(), OvaError> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let (mut path, mut open) = (Vec::<String>::new(), Vec::<Element>::new());
    let mut count = 0;
    loop {
        let event = reader.read_event();
        let at = reader.buffer_position();
        match event.map_err(|e| fault(at, e))? {
            Event::Start(start) => {
                count_one(&mut count)?;
                if path.len() >= MAX_DEPTH {
                    return Err(OvaError::Many { what: "elements inside each other", limit: MAX_DEPTH });
                }
                let element = element(&start, at)?;
                path.push(element.name.clone());
                open.push(element);
            }
            Event::Empty(start) => {
                count_one(&mut count)?;
                each(&path, element(&start, at)?)?;
            }
            Event::End(_) => {
                path.pop();
                let Some(element) = open.pop() else { return Err(fault(at, "an end without a start")) };
                each(&path, element)?;
            }
            Event::Text(text) => add(&mut open, &text.xml10_content()),
            Event::CData(text) => add(&mut open, &text.xml10_content()),
            Event::GeneralRef(name) => {
                let known = name.resolve_char_ref().map_err(|e| fault(at, e))?;
                let known = known.or(match name.xml10_content().as_ref() {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "apos" => Some('\''),
                    "quot" => Some('"'),
                    _ => None,
                });
                let known = known.ok_or_else(|| fault(at, "an entity that is not known"))?;
                add(&mut open, known.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err(OvaError::DocType),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if open.is_empty() && count > 0 => return Ok(()),
            Event::Eof => return Err(fault(at, "it ends too early")),
        }
    }
}

fn count_one(count: &mut usize) -> Result<(), OvaError> {
    *count += 1;
    if *count > MAX_ELEMENTS {
        return Err(OvaError::Many { what: "elements", limit: MAX_ELEMENTS });
    }
    Ok(())
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut()
        && element.text.len() + text.len() <= MAX_TEXT
    {
        element.text.push_str(text);
    }
}

fn element(start: &BytesStart<'_>, at: u64) -> Result<Element, OvaError> {
    let mut element = Element { name: local(start.local_name().as_ref()), ..Element::default() };
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|e| fault(at, e))?;
        if element.attributes.len() >= MAX_ATTRIBUTES {
            return Err(OvaError::Many { what: "attributes of one element", limit: MAX_ATTRIBUTES });
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| fault(at, e))?;
        element.attributes.push((local(attribute.key.local_name().as_ref()), value.into_owned()));
    }
    Ok(element)
}

fn local(name: &str) -> String {
    name.to_owned()
}

fn fault(at: u64, why: impl ToString) -> OvaError {
    // The parser repeats names of the document.
    let why = why.to_string().chars().flat_map(char::escape_debug).take(200).collect();
    OvaError::Xml { at, why }
}
