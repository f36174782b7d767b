//! Writes `modules.dep.bin`, the index that modprobe and udev read instead of the text.
//!
//! Form (kmod, `libkmod/libkmod-index.c`, comment on the on-disk form), all numbers big-endian: magic 0xB007F457, version
//! 0x00020001, offset of the root node; a radix tree of nodes follows. The upper bits of a node's offset tell which parts
//! the node has: a NUL-terminated prefix; the range of first characters of its children with one offset each (0: none);
//! values with a priority each.

use std::collections::BTreeMap;

const INDEX_MAGIC: u32 = 0xB007_F457;
const INDEX_VERSION: u32 = 0x0002_0001;
const INDEX_NODE_PREFIX: u32 = 0x8000_0000;
const INDEX_NODE_VALUES: u32 = 0x4000_0000;
const INDEX_NODE_CHILDS: u32 = 0x2000_0000;
const INDEX_NODE_MASK: u32 = 0x0FFF_FFFF;

/// Keys are printable ASCII of at most 255 bytes (checked by the parser of `modules.dep`), so the depth is bounded.
/// `None` when the index would exceed the 256 MiB that its offsets can address.
pub(crate) fn write(values: &BTreeMap<&str, String>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for word in [INDEX_MAGIC, INDEX_VERSION, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    let entries: Vec<(&[u8], &str)> = values.iter().map(|(k, v)| (k.as_bytes(), v.as_str())).collect();
    let root = write_node(&mut out, &entries)?;
    out.get_mut(8..12)?.copy_from_slice(&root.to_be_bytes());
    Some(out)
}

/// Writes the children first, then the node. Entries are sorted and distinct; keys are what is left of them here.
fn write_node(out: &mut Vec<u8>, entries: &[(&[u8], &str)]) -> Option<u32> {
    let (first, last) = (entries.first().map_or(&b""[..], |e| e.0), entries.last().map_or(&b""[..], |e| e.0));
    let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let prefix = first.get(..shared)?;
    let mut own = None;
    let mut children: BTreeMap<u8, Vec<(&[u8], &str)>> = BTreeMap::new();
    for (key, value) in entries {
        match key.get(shared..)?.split_first() {
            None => own = Some(*value),
            Some((byte, rest)) => children.entry(*byte).or_default().push((rest, value)),
        }
    }
    let mut offsets = BTreeMap::new();
    for (byte, child) in &children {
        offsets.insert(*byte, write_node(out, child)?);
    }
    let mut node = u32::try_from(out.len()).ok().filter(|offset| *offset <= INDEX_NODE_MASK)?;
    if !prefix.is_empty() {
        node |= INDEX_NODE_PREFIX;
        out.extend_from_slice(prefix);
        out.push(0);
    }
    if let (Some((low, _)), Some((high, _))) = (offsets.first_key_value(), offsets.last_key_value()) {
        node |= INDEX_NODE_CHILDS;
        out.extend_from_slice(&[*low, *high]);
        for byte in *low..=*high {
            out.extend_from_slice(&offsets.get(&byte).copied().unwrap_or(0).to_be_bytes());
        }
    }
    if let Some(value) = own {
        node |= INDEX_NODE_VALUES;
        out.extend_from_slice(&1_u32.to_be_bytes());
        out.extend_from_slice(&0_u32.to_be_bytes());
        out.extend_from_slice(value.as_bytes());
        out.push(0);
    }
    Some(node)
}
