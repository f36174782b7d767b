//! File type identifier and the two headers (MS-VHDX 2.2.1, 2.2.2).

use super::record;
use crate::error::VhdxError;
use crate::layout::{
    CHECKSUM_AT, FILE_SIGNATURE, HEADER_LEN, HEADER_SECTION, HEADER_SIGNATURE, Header, VERSION,
};
use format_core::units::MIB;
use uuid::Uuid;

/// What the current header says.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    /// Changes whenever the guest-visible bytes change: children name it as their parent's identity.
    pub(crate) data_write_guid: Uuid,
    /// Nil when there is nothing to replay.
    pub(crate) log_guid: Uuid,
    /// Trusted only when `log_guid` is not nil: whole MiB behind the header section.
    pub(crate) log_offset: u64,
    pub(crate) log_length: u64,
    /// Which of the two have their signature and checksum.
    pub(crate) are_valid: [bool; 2],
    /// The current header itself, and which of the two it is.
    pub(crate) current: Header,
    pub(crate) place: usize,
}

/// CRC-32C over all bytes with the Checksum field taken as zero.
pub(crate) fn is_checksum_right(bytes: &[u8]) -> bool {
    let (Some(before), Some(field), Some(after)) =
        (bytes.get(..CHECKSUM_AT), bytes.get(CHECKSUM_AT..CHECKSUM_AT + 4), bytes.get(CHECKSUM_AT + 4..))
    else {
        return false;
    };
    let sum = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]), after);
    field == sum.to_le_bytes()
}

/// Chooses the current header: the valid one with the higher sequence number.
///
/// With `ignore_checksums` one with a wrong checksum counts where no other does. `size` is the file's. Equal numbers are accepted where the two are the same, as Disk2vhd writes them.
pub(crate) fn parse_headers(
    identifier: [u8; 8],
    first: &[u8; HEADER_LEN],
    second: &[u8; HEADER_LEN],
    size: u64,
    ignore_checksums: bool,
) -> Result<Headers, VhdxError> {
    if identifier != FILE_SIGNATURE {
        return Err(VhdxError::FileSignature { found: identifier });
    }
    let (mut one, mut two) = (valid(first, true)?, valid(second, true)?);
    let are_valid = [one.is_some(), two.is_some()];
    if ignore_checksums && are_valid == [false; 2] {
        (one, two) = (valid(first, false)?, valid(second, false)?);
    }
    let (current, place) = match (one, two) {
        (None, None) => return Err(VhdxError::NoHeader),
        (Some(one), None) => (one, 0),
        (None, Some(two)) => (two, 1),
        (Some(one), Some(two)) if one.sequence_number == two.sequence_number => {
            if first != second {
                return Err(VhdxError::HeadersDiffer { sequence: one.sequence_number });
            }
            (one, 0)
        }
        (Some(one), Some(two)) if one.sequence_number > two.sequence_number => (one, 0),
        (Some(_), Some(two)) => (two, 1),
    };
    if current.version != VERSION {
        return Err(VhdxError::Version { found: current.version });
    }
    let log_guid = Uuid::from_bytes_le(current.log_guid);
    if !log_guid.is_nil() {
        check_log(&current, size)?;
    }
    Ok(Headers {
        data_write_guid: Uuid::from_bytes_le(current.data_write_guid),
        log_guid,
        log_offset: current.log_offset,
        log_length: current.log_length.into(),
        are_valid,
        current,
        place,
    })
}

fn valid(bytes: &[u8; HEADER_LEN], checked: bool) -> Result<Option<Header>, VhdxError> {
    if !bytes.starts_with(&HEADER_SIGNATURE) || checked && !is_checksum_right(bytes) {
        return Ok(None);
    }
    record(bytes, 0, HEADER_LEN).map(Some)
}

fn check_log(header: &Header, size: u64) -> Result<(), VhdxError> {
    if header.log_version != 0 {
        return Err(VhdxError::LogVersion { found: header.log_version });
    }
    let (offset, length) = (header.log_offset, u64::from(header.log_length));
    let inside = offset.checked_add(length).is_some_and(|end| end <= size);
    if !inside || length == 0 || length % MIB != 0 || offset % MIB != 0 || offset < HEADER_SECTION {
        return Err(VhdxError::LogPlace { offset, length, size });
    }
    Ok(())
}
