//! Headers of tar members: bytes to trusted types, no I/O.

use crate::error::XvaError;
use format_core::{Score, is_zero};

/// Tar is made of sectors of this many bytes.
pub(crate) const SECTOR: usize = 512;
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE_AT: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..263;
const PREFIX: std::ops::Range<usize> = 345..500;
/// The member that makes a tar an XVA.
pub(crate) const OVA: &str = "ova.xml";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    /// Says more about the next member, or about all that follow.
    Pax,
}

/// A member's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Without `./` before it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Bytes of its content, which whole sectors follow.
    pub(crate) len: u64,
}

/// An `ova.xml` with the beginning of a description of XenServer, or a block of a disk in its place: that is an export that
/// was packed again in another order, and no archive of disks.
pub(crate) fn probe(head: &[u8], _: &[u8]) -> Score {
    let Some((header, rest)) = head.split_first_chunk() else { return Score::No };
    if first_file(head).is_some_and(|member| is_block(&member.name)) {
        return Score::Magic;
    }
    let is_it = Member::parse(header).is_ok_and(|member| member.is_some_and(|member| member.name == OVA));
    let says = |text: &[u8]| rest.windows(text.len()).take(4096).any(|window| window == text);
    if is_it && (says(b"<value") || says(b"<appliance")) { Score::Magic } else { Score::No }
}

/// The first file of an archive of which the beginning is known.
fn first_file(mut head: &[u8]) -> Option<Member> {
    loop {
        let (header, rest) = head.split_first_chunk()?;
        let member = Member::parse(header).ok()??;
        if member.kind == Kind::File {
            return Some(member);
        }
        let len = member.len.checked_next_multiple_of(SECTOR as u64)?;
        head = rest.get(usize::try_from(len).ok()?..)?;
    }
}

/// Whether a file is called as a block of a disk is: `Ref:7/00000000`.
fn is_block(name: &str) -> bool {
    let parts = name.strip_prefix("Ref:").and_then(|rest| rest.split_once('/'));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts.is_some_and(|(disk, block)| are_digits(disk) && block.len() >= 8 && are_digits(block))
}

impl Member {
    /// `None` for the sector of zeros that ends an archive.
    pub(crate) fn parse(header: &[u8; SECTOR]) -> Result<Option<Self>, XvaError> {
        if is_zero(header) {
            return Ok(None);
        }
        let field = |range: std::ops::Range<usize>| header.get(range).unwrap_or_default();
        let said = number(field(CHECKSUM), "checksum")?;
        let sum = |add: fn(u8) -> i64| -> i64 {
            let bytes = header.iter().enumerate();
            bytes.map(|(at, byte)| add(if CHECKSUM.contains(&at) { b' ' } else { *byte })).sum()
        };
        let found = sum(i64::from);
        // Some old writers took bytes for signed.
        let signed = sum(|byte| byte.cast_signed().into());
        if said != found.unsigned_abs() && i64::try_from(said) != Ok(signed) {
            return Err(XvaError::HeaderChecksum { said, found: found.unsigned_abs() });
        }
        let mut name = text(field(NAME));
        if field(MAGIC) == b"ustar\0" && field(PREFIX).first().is_some_and(|byte| *byte != 0) {
            name = format!("{}/{name}", text(field(PREFIX)));
        }
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let kind = match header.get(TYPE_AT).copied().unwrap_or_default() {
            b'0' | 0 => Kind::File,
            b'5' => Kind::Folder,
            b'x' | b'g' => Kind::Pax,
            kind => return Err(XvaError::MemberType { name, kind: kind.into() }),
        };
        Ok(Some(Self { name, kind, len: number(field(SIZE), "size")? }))
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

/// Octal digits, or with the first bit set a big-endian binary number.
fn number(field: &[u8], what: &'static str) -> Result<u64, XvaError> {
    let bad = || XvaError::Number { what, found: String::from_utf8_lossy(field).into_owned() };
    if let Some((0x80, rest)) = field.split_first() {
        let (high, low) = rest.split_last_chunk::<8>().ok_or_else(bad)?;
        let value = u64::from_be_bytes(*low);
        return if is_zero(high) && value < 1 << 56 { Ok(value) } else { Err(bad()) };
    }
    let digits = std::str::from_utf8(field).map_err(|_| bad())?;
    let digits = digits.trim_matches(['\0', ' ']);
    let is_octal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    u64::from_str_radix(digits, 8).ok().filter(|_| is_octal).ok_or_else(bad)
}
