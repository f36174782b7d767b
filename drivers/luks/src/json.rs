//! The JSON area of version 2 ("LUKS2 On-Disk Format Specification", section 3): text to checked parameters, no I/O.
//!
//! Numbers of 64 bits are texts there, references too. What is unknown is passed over, as the specification wants; what
//! must be known to read the content is named in `requirements`.

use crate::cipher::{CipherName, SECTOR};
use crate::hash::Hash;
use crate::header::{DETACHED, Digest, Keyslot, Priority, Segment, Slot, Usable, segment_size};
use crate::kdf::Kdf;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use format_core::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Objects of a kind (section 3: 32 keyslots).
const MAX_OBJECTS: usize = 32;
/// Bytes of stripes that a keyslot may have; 64 bytes in 4000 stripes are usual.
const MAX_STRIPE_BYTES: usize = 4 << 20;
/// Bytes of keys, salts and digests.
const MAX_BYTES: usize = 512;

/// What the area says.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) cipher: String,
    pub(crate) keyslots: Vec<Keyslot>,
    pub(crate) tokens: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) usable: Result<Usable, String>,
}

#[derive(Deserialize)]
struct Area {
    keyslots: BTreeMap<String, KeyslotText>,
    #[serde(default)]
    tokens: BTreeMap<String, TokenText>,
    segments: BTreeMap<String, SegmentText>,
    digests: BTreeMap<String, DigestText>,
    config: ConfigText,
}

#[derive(Deserialize)]
struct KeyslotText {
    r#type: String,
    #[serde(default)]
    key_size: usize,
    priority: Option<u8>,
    area: Option<AreaText>,
    kdf: Option<KdfText>,
    af: Option<AfText>,
}

#[derive(Deserialize)]
struct AreaText {
    offset: String,
    size: String,
    #[serde(default)]
    encryption: String,
    #[serde(default)]
    key_size: usize,
}

#[derive(Deserialize)]
struct KdfText {
    r#type: String,
    #[serde(default)]
    salt: String,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    iterations: u32,
    #[serde(default)]
    time: u32,
    #[serde(default)]
    memory: u32,
    #[serde(default)]
    cpus: u32,
}

#[derive(Deserialize)]
struct AfText {
    r#type: String,
    #[serde(default)]
    stripes: usize,
    #[serde(default)]
    hash: String,
}

#[derive(Deserialize)]
struct TokenText {
    r#type: String,
}

#[derive(Deserialize)]
struct SegmentText {
    r#type: String,
    #[serde(default)]
    offset: String,
    #[serde(default)]
    size: String,
    #[serde(default)]
    iv_tweak: String,
    #[serde(default)]
    encryption: String,
    #[serde(default)]
    sector_size: u32,
    integrity: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct DigestText {
    r#type: String,
    keyslots: Vec<String>,
    segments: Vec<String>,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    iterations: u32,
    #[serde(default)]
    salt: String,
    #[serde(default)]
    digest: String,
}

#[derive(Deserialize)]
struct ConfigText {
    json_size: String,
    keyslots_size: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    requirements: Requirements,
}

#[derive(Default, Deserialize)]
struct Requirements {
    #[serde(default)]
    mandatory: Vec<String>,
}

/// Parses the area of a header whose copies have `header_size` bytes each, on a volume of `volume_size` bytes.
///
/// # Errors
/// `Corrupt` when it contradicts itself or leaves the volume.
pub(crate) fn parse(text: &[u8], header_size: u64, volume_size: u64) -> Result<Parts> {
    let area: Area = serde_json::from_slice(text)
        .map_err(|error| Error::corrupt(format!("its JSON area cannot be read: {error}")))?;
    let counts = [area.keyslots.len(), area.tokens.len(), area.segments.len(), area.digests.len()];
    if let Some(count) = counts.into_iter().find(|count| *count > MAX_OBJECTS) {
        return Err(Error::corrupt(format!(
            "its JSON area has {count} objects of a kind, {MAX_OBJECTS} are possible"
        )));
    }
    let first = header_size.saturating_mul(2);
    let end = first.checked_add(number(&area.config.keyslots_size, "keyslots_size")?);
    let end = end.filter(|end| *end <= volume_size);
    let wrong_size = number(&area.config.json_size, "json_size")?.checked_add(4096) != Some(header_size);
    let Some(end) = end.filter(|_| !wrong_size) else {
        return Err(Error::corrupt(format!(
            "its areas are of {} and {} bytes, behind headers of {header_size:#x}, on {volume_size:#x} bytes",
            area.config.json_size, area.config.keyslots_size
        )));
    };
    let numbers: Vec<u32> = area.keyslots.keys().map(|key| object_number(key)).collect::<Result<_>>()?;
    let content = content(&area, end, volume_size)?;
    let (usable, owner) = match content {
        Ok((segment, digest, options, owner)) => (Ok(Usable { segment, digest, options }), owner),
        Err(reason) => (Err(reason), None),
    };
    let mut keyslots = Vec::new();
    for ((key, text), number) in area.keyslots.iter().zip(numbers) {
        // A keyslot of another digest holds another key.
        if owner.is_some_and(|owner| !owner.keyslots.contains(key)) || text.r#type == "reencrypt" {
            continue;
        }
        let found = keyslot(number, text, first..end).map_err(|e| e.context(format!("keyslot {number}")))?;
        keyslots.push(found);
    }
    keyslots.sort_by_key(|keyslot| keyslot.number);
    let cipher = area.segments.values().next().map(|segment| segment.encryption.clone()).unwrap_or_default();
    let tokens = area.tokens.into_values().map(|token| token.r#type).collect();
    let warnings = unknown_flags(&area.config.flags);
    Ok(Parts { cipher, keyslots, tokens, warnings, usable })
}

/// A number of 64 bits, which is a text of digits.
fn number(text: &str, name: &str) -> Result<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let found = text.parse().ok().filter(|_| plain);
    found.ok_or_else(|| Error::corrupt(format!("its {name} is {text:?}")))
}

/// The name of an object is a small number.
fn object_number(text: &str) -> Result<u32> {
    let found =
        u32::try_from(number(text, "object's name")?).ok().filter(|number| *number < MAX_OBJECTS as u32);
    found.ok_or_else(|| Error::corrupt(format!("an object's name is {text:?}")))
}

fn bytes(text: &str, name: &str) -> Result<Vec<u8>> {
    let found = BASE64.decode(text).ok().filter(|bytes| (1..=MAX_BYTES).contains(&bytes.len()));
    found.ok_or_else(|| Error::corrupt(format!("its {name} is {text:?}")))
}

/// Segment, digest, options of dm-crypt, and the digest's text.
type Content<'a> = (Segment, Digest, Vec<&'static str>, Option<&'a DigestText>);

/// The outer error is a contradiction, the inner one says what is not done here.
fn content(area: &Area, end: u64, volume_size: u64) -> Result<Result<Content<'_>, String>> {
    if let Some(reason) = requirement(&area.config.requirements.mandatory) {
        return Ok(Err(reason));
    }
    let Some((name, text)) = area.segments.first_key_value() else {
        return Ok(Err(DETACHED.into()));
    };
    if area.segments.len() > 1 || area.keyslots.values().any(|keyslot| keyslot.r#type == "reencrypt") {
        return Ok(Err(REENCRYPTION.into()));
    }
    if let Some(reason) = segment_obstacle(text) {
        return Ok(Err(reason));
    }
    let offset = number(&text.offset, "segment's offset")?;
    if offset == 0 {
        return Ok(Err(DETACHED.into()));
    }
    let size = match text.size.as_str() {
        "dynamic" => None,
        size => Some(number(size, "segment's size")?),
    };
    let sector_size = text.sector_size;
    let is_possible = matches!(sector_size, 512 | 1024 | 2048 | 4096);
    if !is_possible || !offset.is_multiple_of(SECTOR) || offset < end {
        return Err(Error::corrupt(format!(
            "content from {offset:#x} in sectors of {sector_size} bytes, the keyslots end at {end:#x}"
        )));
    }
    if size.is_some_and(|size| size == 0 || !size.is_multiple_of(u64::from(sector_size))) {
        return Err(Error::corrupt(format!("the content's size is {:?}", text.size)));
    }
    let first_number = number(&text.iv_tweak, "iv_tweak")?;
    let size = segment_size(offset, size, sector_size, volume_size)?;
    let mut owners = area.digests.values().filter(|digest| digest.segments.contains(name));
    let (Some(owner), None) = (owners.next(), owners.next()) else {
        return Err(Error::corrupt("not exactly one digest belongs to its content"));
    };
    let found = CipherName::parse(&text.encryption).and_then(|cipher| {
        let segment = Segment { offset, size, first_number, cipher, sector_size };
        Ok((segment, digest(owner).map_err(|error| error.to_string())?.checked()?))
    });
    let options = area.config.flags.iter().filter_map(|flag| option(flag)).collect();
    Ok(found.map(|(segment, digest)| (segment, digest, options, Some(owner))))
}

const REENCRYPTION: &str =
    "it is being re-encrypted; let cryptsetup reencrypt end in the guest before exporting";

/// What somebody must be able to do who opens it (section 3.6), when that is more than is done here.
fn requirement(mandatory: &[String]) -> Option<String> {
    let first = mandatory.first()?;
    Some(if first.contains("reencrypt") {
        REENCRYPTION.into()
    } else {
        format!(
            "it requires {first:?}, which is not supported here; copy its content to a plain LUKS volume in the guest before \
             exporting"
        )
    })
}

fn segment_obstacle(text: &SegmentText) -> Option<String> {
    let what = match text.r#type.as_str() {
        "crypt" if text.integrity.is_some() => "integrity data (dm-integrity)".into(),
        "crypt" => return None,
        kind if kind.starts_with("hw-opal") => "encryption by the drive itself (OPAL)".into(),
        kind => format!("a segment of type {kind:?}"),
    };
    Some(format!(
        "it has {what}, which is not supported here; copy its content to a plain LUKS volume in the guest before exporting"
    ))
}

fn digest(text: &DigestText) -> Result<Digest> {
    if text.r#type != "pbkdf2" || text.iterations == 0 {
        let (kind, count) = (&text.r#type, text.iterations);
        return Err(Error::unsupported(format!("a digest of type {kind:?} with {count} iterations")));
    }
    let hash = Hash::by_name(&text.hash).map_err(Error::unsupported)?;
    let value = bytes(&text.digest, "digest")?;
    if value.len() != hash.len() {
        return Err(Error::corrupt(format!("a digest of {} bytes", value.len())));
    }
    Ok(Digest { hash, iterations: text.iterations, salt: bytes(&text.salt, "digest's salt")?, value })
}

fn keyslot(number: u32, text: &KeyslotText, room: std::ops::Range<u64>) -> Result<Keyslot> {
    let priority = match text.priority {
        Some(0) => Priority::Ignored,
        None | Some(1) => Priority::Normal,
        Some(2) => Priority::Preferred,
        Some(other) => return Err(Error::corrupt(format!("its priority is {other}"))),
    };
    let unknown = |kind: &str| Ok(Err(format!("a keyslot of type {kind:?} is not supported")));
    let (kdf, usable) = match (text.r#type.as_str(), &text.area, &text.kdf, &text.af) {
        ("luks2", Some(area), Some(kdf), Some(af)) => {
            let kind = self::kdf(kdf)?;
            let name = kind.as_ref().map_or_else(|_| kdf.r#type.clone(), Kdf::describe);
            (name, slot(text.key_size, area, kind, af, room))
        }
        ("luks2", ..) => return Err(Error::corrupt("it has no area, no derivation or no stripes")),
        (kind, ..) => (kind.into(), unknown(kind)),
    };
    Ok(Keyslot { number, priority, kdf, usable: usable? })
}

fn kdf(text: &KdfText) -> Result<Result<Kdf, String>> {
    let salt = bytes(&text.salt, "salt")?;
    Ok(match text.r#type.as_str() {
        "pbkdf2" if text.iterations == 0 => return Err(Error::corrupt("its PBKDF2 wants no iteration")),
        "pbkdf2" => {
            Hash::by_name(&text.hash).map(|hash| Kdf::Pbkdf2 { hash, iterations: text.iterations, salt })
        }
        "argon2i" | "argon2id" => Ok(Kdf::Argon2 {
            is_id: text.r#type == "argon2id",
            passes: text.time,
            kib: text.memory,
            lanes: text.cpus,
            salt,
        }),
        other => Err(format!("the key derivation {other:?} is not supported")),
    })
}

fn slot(
    key_len: usize,
    area: &AreaText,
    kdf: Result<Kdf, String>,
    af: &AfText,
    room: std::ops::Range<u64>,
) -> Result<Result<Slot, String>> {
    let (offset, size) = (number(&area.offset, "area's offset")?, number(&area.size, "area's size")?);
    let stripes = af.stripes;
    let needed = key_len.checked_mul(stripes).filter(|len| (1..=MAX_STRIPE_BYTES).contains(len));
    let needed = needed.and_then(|len| len.checked_next_multiple_of(SECTOR as usize));
    let fits = needed.is_some_and(|needed| needed as u64 <= size)
        && room.start <= offset
        && offset.is_multiple_of(SECTOR)
        && offset.checked_add(size).is_some_and(|end| end <= room.end);
    if !fits || key_len > MAX_BYTES {
        return Err(Error::corrupt(format!(
            "it has {stripes} stripes of {key_len} bytes in {size:#x} bytes at {offset:#x}; keyslots lie from {:#x} to {:#x}",
            room.start, room.end
        )));
    }
    Ok(kdf.and_then(|kdf| {
        if af.r#type != "luks1" {
            return Err(format!("stripes of type {:?} are not supported", af.r#type));
        }
        let cipher = CipherName::parse(&area.encryption)?;
        cipher.check_key(area.key_size)?;
        kdf.check(area.key_size)?;
        let hash = Hash::by_name(&af.hash)?;
        Ok(Slot { kdf, key_len, stripes, hash, offset, cipher, cipher_key_len: area.key_size })
    }))
}

/// Persistent flags (section 3.5) and the kernel's words for them (kernel documentation, "dm-crypt").
const FLAGS: &[(&str, &str)] = &[
    ("allow-discards", "allow_discards"),
    ("same-cpu-crypt", "same_cpu_crypt"),
    ("submit-from-crypt-cpus", "submit_from_crypt_cpus"),
    ("no-read-workqueue", "no_read_workqueue"),
    ("no-write-workqueue", "no_write_workqueue"),
    ("high-priority", "high_priority"),
];

fn option(flag: &str) -> Option<&'static str> {
    FLAGS.iter().find(|(name, _)| *name == flag).map(|(_, word)| *word)
}

/// Flags change how the kernel works, not what the content is.
fn unknown_flags(flags: &[String]) -> Vec<String> {
    let unknown = flags.iter().filter(|flag| option(flag).is_none());
    unknown.map(|flag| format!("its flag {flag:?} is not known here")).collect()
}
