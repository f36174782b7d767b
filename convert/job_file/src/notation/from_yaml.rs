//! YAML, from the events of a parser. Aliases are copies, and count as what they stand for: a file that is small and means much ends at a bound.

use crate::fault::{Fault, Result};
use crate::node::{Key, MOST_DEPTH, MOST_NODES, Node, Value};
use crate::text::Text;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// So many bytes of text count as much as a value: what aliases multiply is bounded in memory, too.
const BYTES_OF_A_VALUE: usize = 64;

pub(super) fn parse(text: &Text) -> Result<Node> {
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str(&text.content),
        offsets: Offsets { text: &text.content, at: (0, 0) },
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    reader.document()
}

struct Reader<'t> {
    text: &'t Text,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    offsets: Offsets<'t>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<Node> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd | Event::DocumentEnd, span) => {
                    return Err(Fault::at(self.text, &span, "the job file is empty"));
                }
                (event, span) => {
                    let node = self.node(event, span, 0)?;
                    return self.end(node);
                }
            }
        }
    }

    /// Nothing but the end comes behind the document.
    fn end(&mut self, node: Node) -> Result<Node> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(node),
                (Event::DocumentStart(_), span) => {
                    return Err(Fault::at(self.text, &span, "a second document begins: a job file is one"));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Range<usize>)> {
        let end = self.text.content.len();
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let start = self.offsets.of(&span.start);
                Ok((event, start..self.offsets.of(&span.end).max(start)))
            }
            Some(Err(error)) => {
                let at = self.offsets.of(error.marker());
                Err(Fault::at(self.text, &(at..at), error.info().replace('\n', ", ")))
            }
            None => Err(Fault::at(self.text, &(end..end), "the file ends too early")),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Range<usize>, depth: usize) -> Result<Node> {
        if depth > MOST_DEPTH {
            return Err(Fault::at(self.text, &span, "maps and lists are nested too deep for a job file"));
        }
        let before = self.nodes;
        self.count(1, &span)?;
        let (value, anchor, end) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), &span)?;
                self.count(text.len() / BYTES_OF_A_VALUE, &span)?;
                (scalar(text.into_owned(), style), anchor, span.end)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &span)?;
                let (items, end) = self.items(depth)?;
                (Value::List(items), anchor, end)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &span)?;
                let (entries, end) = self.entries(depth)?;
                (Value::Map(entries), anchor, end)
            }
            Event::Alias(anchor) => return self.alias(anchor, &span, depth),
            _ => return Err(Fault::at(self.text, &span, "a value is missing here")),
        };
        let node = Node { span: span.start..end.max(span.end), value };
        if anchor != 0 {
            let count = self.nodes - before;
            // What is kept for aliases is a copy, too.
            self.count(count, &span)?;
            self.anchors.insert(anchor, (node.clone(), count));
        }
        Ok(node)
    }

    fn items(&mut self, depth: usize) -> Result<(Vec<Node>, usize)> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, span) => return Ok((items, span.end)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<(Key, Node)>, usize)> {
        let mut entries = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let (name, span) = match self.next()? {
                (Event::MappingEnd, span) => return Ok((entries, span.end)),
                (Event::Scalar(name, ..), span) => (name.into_owned(), span),
                (_, span) => return Err(Fault::at(self.text, &span, "a key is text")),
            };
            if !names.insert(name.clone()) {
                return Err(Fault::at(self.text, &span, format!("the key {name:?} is there twice")));
            }
            let (event, value_span) = self.next()?;
            let node = self.node(event, value_span, depth + 1)?;
            entries.push((Key { span, name }, node));
        }
    }

    fn alias(&mut self, anchor: usize, span: &Range<usize>, depth: usize) -> Result<Node> {
        let Some((node, count)) = self.anchors.get(&anchor) else {
            return Err(Fault::at(self.text, span, "an alias stands inside of what it is an alias of"));
        };
        let (count, deep) = (*count, depth_of(node));
        if depth + deep > MOST_DEPTH {
            return Err(Fault::at(self.text, span, "maps and lists are nested too deep for a job file"));
        }
        // Before the copy is made.
        self.count(count, span)?;
        let copy = self.anchors.get(&anchor).map(|(node, _)| node.clone());
        copy.ok_or_else(|| Fault::at(self.text, span, "an alias of nothing"))
    }

    fn count(&mut self, more: usize, span: &Range<usize>) -> Result<()> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MOST_NODES {
            let text = "the file has more than 500,000 values, aliases counted as what they stand for";
            return Err(Fault::at(self.text, span, text).kind(format_core::ErrorKind::Limit));
        }
        Ok(())
    }

    fn check_tag(&self, tag: Option<&saphyr_parser::Tag>, span: &Range<usize>) -> Result<()> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => {
                Err(Fault::at(self.text, span, "tags of one's own have no meaning in a job file"))
            }
            _ => Ok(()),
        }
    }
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    let is_plain = style == ScalarStyle::Plain;
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" if is_plain => Value::Null,
        _ => Value::Text { text, loose: is_plain },
    }
}

fn depth_of(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|(_, node)| depth_of(node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The parser counts characters; places are bytes. Events come nearly in order, so this goes on from where it was.
struct Offsets<'t> {
    text: &'t str,
    /// Characters and bytes.
    at: (usize, usize),
}

impl Offsets<'_> {
    fn of(&mut self, marker: &Marker) -> usize {
        let wanted = marker.index();
        let (mut chars, mut bytes) = self.at;
        while chars > wanted {
            bytes = self.text.floor_char_boundary(bytes.saturating_sub(1));
            chars -= 1;
        }
        for c in self.text.get(bytes..).unwrap_or_default().chars() {
            if chars == wanted {
                break;
            }
            chars += 1;
            bytes += c.len_utf8();
        }
        self.at = (chars, bytes);
        bytes
    }
}
