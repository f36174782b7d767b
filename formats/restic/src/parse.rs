//! From decrypted bytes to trusted types. Everything that is read is JSON.

use crate::error::ResticError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::fmt;
use zeroize::Zeroizing;

/// The SHA-256 that a file or blob is called by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) [u8; 32]);

impl Id {
    /// The ID with these 64 digits.
    pub(crate) fn parse(text: &str) -> Result<Self, ResticError> {
        let failed = || ResticError::Id { found: text.chars().take(80).collect() };
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(failed());
        }
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(failed()) };
            *byte = high << 4 | low;
        }
        Ok(Self(id))
    }
}

/// Only what restic writes: an ID has one spelling, so that it is also a file's name.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 hexadecimal digits")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                Id::parse(text).map_err(E::custom)
            }
        }
        from.deserialize_str(Digits)
    }
}

/// `config`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) version: u32,
    pub(crate) id: String,
}

/// A file in `keys`: what makes a key of a password, and the repository's keys, encrypted by that.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile {
    pub(crate) n: u64,
    pub(crate) r: u32,
    pub(crate) p: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

#[derive(Deserialize)]
struct KeyJson {
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

#[derive(Deserialize)]
struct MasterJson {
    mac: MacJson,
    encrypt: String,
}

#[derive(Deserialize)]
struct MacJson {
    k: String,
    r: String,
}

/// The keys of a repository, not yet looked at.
pub(crate) struct MasterKey {
    pub(crate) encrypt: Zeroizing<Vec<u8>>,
    pub(crate) mac_k: Zeroizing<Vec<u8>>,
    pub(crate) mac_r: Zeroizing<Vec<u8>>,
}

/// A file in `snapshots`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) time: String,
    pub(crate) tree: Id,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) paths: Vec<String>,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) tags: Vec<String>,
}

/// What is in a folder, without what files consist of.
#[derive(Debug, Deserialize)]
pub(crate) struct Tree {
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) nodes: Vec<Node>,
}

/// A file or folder.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) subtree: Option<Id>,
}

/// Go writes an empty list as null.
fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A file in `index`.
#[derive(Debug, Deserialize)]
pub(crate) struct IndexFile {
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) packs: Vec<IndexPack>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct IndexPack {
    pub(crate) id: Id,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) blobs: Vec<IndexBlob>,
}

/// Where a blob lies.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct IndexBlob {
    pub(crate) id: Id,
    #[serde(rename = "type")]
    pub(crate) kind: BlobKind,
    pub(crate) offset: u32,
    /// Bytes in the pack.
    pub(crate) length: u32,
    /// Bytes of the plaintext unpacked; 0 where it was not packed.
    #[serde(default, rename = "uncompressed_length")]
    pub(crate) unpacked: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BlobKind {
    Data,
    Tree,
}

/// What a file consists of: different blobs, and their order.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) ids: Vec<Id>,
    /// Indices in `ids`.
    pub(crate) order: Vec<u32>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of IDs")
            }
            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
                let (mut content, mut known) = (Content::default(), HashMap::<Id, u32>::new());
                while let Some(id) = list.next_element::<Id>()? {
                    let next = u32::try_from(content.ids.len()).map_err(A::Error::custom)?;
                    let index = *known.entry(id).or_insert(next);
                    if index == next {
                        content.ids.push(id);
                    }
                    content.order.push(index);
                }
                Ok(content)
            }
        }
        from.deserialize_any(List)
    }
}

/// What the file called `name` in the folder's JSON `tree` consists of; nothing of the other files is kept.
pub(crate) fn content_of(tree: &[u8], name: &str, what: &str) -> Result<Option<Content>, ResticError> {
    let mut read = serde_json::Deserializer::from_slice(tree);
    let found = FolderOf(name).deserialize(&mut read).map_err(|e| json_error(what, &e))?;
    read.end().map_err(|e| json_error(what, &e))?;
    Ok(found)
}

struct FolderOf<'a>(&'a str);

impl FolderOf<'_> {
    fn deserialize<'de, D: Deserializer<'de>>(self, from: D) -> Result<Option<Content>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FolderOf<'_> {
    type Value = Option<Content>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folder")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "nodes" {
                found = map.next_value_seed(NodesOf(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct NodesOf<'a>(&'a str);

impl<'de> serde::de::DeserializeSeed<'de> for NodesOf<'_> {
    type Value = Option<Content>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodesOf<'_> {
    type Value = Option<Content>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct File {
            name: String,
            #[serde(default)]
            content: Content,
        }
        let mut found = None;
        while let Some(file) = list.next_element::<File>()? {
            if file.name == self.0 {
                found = Some(file.content);
            }
        }
        Ok(found)
    }
}

/// The JSON in `bytes`.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, ResticError> {
    serde_json::from_slice(bytes).map_err(|e| json_error(what, &e))
}

fn json_error(what: &str, error: &serde_json::Error) -> ResticError {
    ResticError::Json { what: what.to_owned(), reason: error.to_string() }
}

/// A file in `keys`.
pub(crate) fn key_file(bytes: &[u8], what: &str) -> Result<KeyFile, ResticError> {
    let found: KeyJson = json(bytes, what)?;
    if found.kdf != "scrypt" {
        return Err(ResticError::Kdf { found: found.kdf });
    }
    let KeyJson { n, r, p, .. } = found;
    Ok(KeyFile { n, r, p, salt: decoded(&found.salt, what)?, data: decoded(&found.data, what)? })
}

/// The repository's keys.
pub(crate) fn master_key(bytes: &[u8], what: &str) -> Result<MasterKey, ResticError> {
    let found: MasterJson = json(bytes, what)?;
    let decoded = |text: String| decoded(&Zeroizing::new(text), what).map(Zeroizing::new);
    Ok(MasterKey {
        encrypt: decoded(found.encrypt)?,
        mac_k: decoded(found.mac.k)?,
        mac_r: decoded(found.mac.r)?,
    })
}

fn decoded(text: &str, what: &str) -> Result<Vec<u8>, ResticError> {
    STANDARD.decode(text).map_err(|e| ResticError::Json { what: what.to_owned(), reason: e.to_string() })
}

/// A file name as people write it. restic writes names as Go quotes strings; what is no UTF-8 stays as it is.
pub(crate) fn plain_name(quoted: &str) -> String {
    if !quoted.contains('\\') {
        return quoted.to_owned();
    }
    unquoted(quoted).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| quoted.to_owned())
}

fn unquoted(quoted: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::with_capacity(quoted.len()), quoted);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let sign = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + sign.len_utf8()..];
        let digits = match sign {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let number = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
            rest = &rest[digits..];
            match sign {
                'x' => bytes.push(u8::try_from(number).ok()?),
                _ => bytes.extend_from_slice(char::from_u32(number)?.to_string().as_bytes()),
            }
            continue;
        }
        bytes.push(match sign {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '"' | '\'' => sign as u8,
            _ => return None,
        });
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unquoted_as_go_does() {
        for (quoted, plain) in [
            ("a b.raw", "a b.raw"),
            (r#"\"q\"\\\n"#, "\"q\"\\\n"),
            (r"\a\b\f\r\t\v\'", "\u{7}\u{8}\u{c}\r\t\u{b}'"),
            (r"\xc3\xa9\u00e9\U0001f600", "éé😀"),
            (r"bad\xff", r"bad\xff"),
            (r"end\", r"end\"),
            (r"\q", r"\q"),
            (r"\x4", r"\x4"),
        ] {
            assert_eq!(plain_name(quoted), plain, "{quoted}");
        }
    }

    #[test]
    fn only_one_file_of_a_folder_is_kept() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let text = format!(
            r#"{{"x":[1],"nodes":[{{"name":"o"}},{{"content":["{a}","{b}","{a}"],"name":"d"}},{{"name":"e","content":null}}]}}"#
        );
        let found = content_of(text.as_bytes(), "d", "x").unwrap().unwrap();
        assert_eq!((found.ids.len(), found.order), (2, vec![0, 1, 0]));
        assert_eq!(content_of(text.as_bytes(), "e", "x").unwrap().unwrap().order.len(), 0);
        assert!(content_of(text.as_bytes(), "no", "x").unwrap().is_none());
        assert!(content_of(br#"{"nodes":null}"#, "d", "x").unwrap().is_none());
        assert!(content_of(br#"{"nodes":[{"name":"d","content":["zz"]}]}"#, "d", "x").is_err());
        assert!(content_of(b"[]", "d", "x").is_err());
    }

    #[test]
    fn values_of_another_type_are_named_by_what_they_should_be() {
        fn refused<T: DeserializeOwned>(good: &serde_json::Value, field: &str, wanted: &str) {
            assert!(json::<T>(good.to_string().as_bytes(), "x").is_ok(), "{good}");
            let mut broken = good.clone();
            broken[field] = serde_json::json!(-1.5);
            let text = json::<T>(broken.to_string().as_bytes(), "x").err().unwrap().to_string();
            assert!(text.contains(wanted), "{field}: {text}");
        }
        let id = "a".repeat(64);
        let snapshot =
            serde_json::json!({"time": "t", "tree": id, "paths": null, "hostname": "h", "tags": []});
        refused::<Snapshot>(&snapshot, "tree", "expected 64 hexadecimal digits");
        refused::<Snapshot>(&snapshot, "paths", "expected a sequence");
        refused::<Snapshot>(&snapshot, "hostname", "expected a string");
        refused::<Snapshot>(&snapshot, "tags", "expected a sequence");
        let node = serde_json::json!({"name": "n", "type": "file", "size": 1, "subtree": null});
        refused::<Node>(&node, "size", "expected u64");
        refused::<Node>(&node, "subtree", "expected 64 hexadecimal digits");
        let blob =
            serde_json::json!({"id": id, "type": "data", "offset": 0, "length": 1, "uncompressed_length": 1});
        refused::<IndexBlob>(&blob, "uncompressed_length", "expected u32");
        for (text, wanted) in [
            (r#"{"nodes":1}"#, "expected a list of files"),
            (r#"{"nodes":[{"name":"d","content":1}]}"#, "expected a list of IDs"),
            (r#"{"nodes":[{"content":[],"name":1}]}"#, "expected a string"),
            ("[]", "expected a folder"),
        ] {
            let error = content_of(text.as_bytes(), "d", "x").unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
