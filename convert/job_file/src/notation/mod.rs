//! From a notation to values with their places.

mod from_toml;
mod from_yaml;

use crate::fault::Result;
use crate::node::Node;
use crate::text::{Notation, Text};

/// The values in `text`.
pub(crate) fn parse(text: &Text) -> Result<Node> {
    match text.notation {
        Notation::Toml => from_toml::parse(text),
        Notation::Yaml => from_yaml::parse(text),
    }
}
