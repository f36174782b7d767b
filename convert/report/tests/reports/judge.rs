//! Programs of others that judge pages and documents. Without them nothing is tested, so they have to be there: see `tests/packages.sh`.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// What a parser of HTML found.
#[derive(Deserialize)]
pub struct Page {
    pub errors: Vec<String>,
    pub comments: u64,
    pub elements: Vec<Element>,
}

#[derive(Deserialize)]
pub struct Element {
    pub tag: String,
    pub attributes: BTreeMap<String, String>,
    pub text: String,
    pub parent: Option<usize>,
}

impl Element {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    fn fits(&self, tag: &str, class: &str) -> bool {
        let mut classes = self.attribute("class").unwrap_or_default().split_whitespace();
        (tag.is_empty() || self.tag == tag) && (class.is_empty() || classes.any(|own| own == class))
    }
}

impl Page {
    pub fn parse(page: &str) -> Self {
        let said = python(include_str!("parse.py"), &[], page);
        serde_json::from_str(&said).unwrap()
    }

    /// Elements by `tag`, `.class`, `tag.class`, or one of these below another: `.rows rect`.
    pub fn all(&self, selector: &str) -> Vec<&Element> {
        let (outer, inner) = selector.rsplit_once(' ').unwrap_or(("", selector));
        let (tag, class) = inner.split_once('.').unwrap_or((inner, ""));
        let found = self.elements.iter().filter(|element| element.fits(tag, class));
        found.filter(|element| outer.is_empty() || self.is_below(element, outer)).collect()
    }

    fn is_below(&self, element: &Element, selector: &str) -> bool {
        let (tag, class) = selector.split_once('.').unwrap_or((selector, ""));
        let mut parent = element.parent;
        while let Some(place) = parent {
            if self.elements[place].fits(tag, class) {
                return true;
            }
            parent = self.elements[place].parent;
        }
        false
    }

    /// Those whose parent is `outer`.
    pub fn children<'a>(&'a self, outer: &Element) -> impl Iterator<Item = &'a Element> {
        let place = self.elements.iter().position(|element| std::ptr::eq(element, outer));
        self.elements.iter().filter(move |element| element.parent == place)
    }

    pub fn text(&self) -> &str {
        &self.all("body")[0].text
    }
}

/// Runs a script of ours with Debian's Python and its packages, and gives what it printed.
pub fn python(script: &str, args: &[&str], stdin: &str) -> String {
    let mut command = Command::new("timeout");
    command.args(["120", "/usr/bin/python3", "-c", script]).args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let text = stdin.to_owned();
    let writer = std::thread::spawn(move || pipe.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "is python3-html5lib or python3-jsonschema missing? {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
