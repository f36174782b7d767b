//! gzip from the start to the end: members follow each other, zeros may fill the end.

use super::{bgzf, header};
use crate::error::{PackedError, Result};
use crate::input::Input;
use crate::stream::{Step, Unpack};
use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};
use format_core::Access;

pub(crate) struct Gzip {
    inflate: Decompress,
    blocks: bgzf::Decoder,
    member: Option<Member>,
    /// How many members there were.
    members: u64,
    /// Whether the last one was a block of BGZF, and with how many bytes.
    last_block: Option<usize>,
}

struct Member {
    crc: Hasher,
    len: u64,
}

impl Unpack for Gzip {
    const NAME: &'static str = super::NAME;

    fn new(_: &Access) -> Result<Self> {
        Ok(Self {
            inflate: Decompress::new(false),
            blocks: bgzf::Decoder::default(),
            member: None,
            members: 0,
            last_block: None,
        })
    }

    fn unpack(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        loop {
            let made = match self.member.take() {
                Some(member) => self.inflate(member, input, out)?,
                None if self.members > 0 && input.peek(1)?.first().is_none_or(|&byte| byte == 0) => {
                    return self.end(input).map(|()| 0);
                }
                None => self.begin(input, out)?,
            };
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

impl Gzip {
    /// Begins a member, or unpacks it at once where it is a block of BGZF and there is room.
    fn begin(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        if input.peek(1)?.is_empty() {
            return Err(PackedError::Empty);
        }
        self.members += 1;
        let at = input.position();
        let len = bgzf::block_len(input.peek(bgzf::HEADER_LEN)?);
        self.last_block = None;
        if let Some(len) = len {
            let block = input.exactly(len, "a BGZF block")?;
            let size = bgzf::data_len(block, at)?;
            self.last_block = Some(size);
            if let Some(room) = out.get_mut(..size) {
                self.blocks.unpack(block, at, room)?;
                input.consume(len);
                return Ok(size);
            }
        }
        header::skip_header(input)?;
        self.inflate.reset(false);
        self.member = Some(Member { crc: Hasher::new(), len: 0 });
        Ok(0)
    }

    fn inflate(&mut self, mut member: Member, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let at = input.position();
        let bytes = input.available()?;
        let offered = bytes.len();
        let status = self.inflate.decompress(bytes, out, FlushDecompress::None);
        let status = status.map_err(|e| PackedError::Data { at, why: e.to_string() })?;
        let used = (self.inflate.total_in() - before_in) as usize;
        let made = (self.inflate.total_out() - before_out) as usize;
        input.consume(used);
        member.crc.update(out.get(..made).unwrap_or_default());
        member.len += made as u64;
        if status == Status::StreamEnd {
            check_end(member, input)?;
        } else {
            Step { used, made, offered }.moved(input, "compressed data")?;
            self.member = Some(member);
        }
        Ok(made)
    }

    /// Behind the last member nothing but zeros is taken for nothing.
    fn end(&self, input: &mut Input) -> Result<()> {
        if self.last_block.is_some_and(|len| len > 0) {
            return Err(PackedError::NoEndMarker { at: input.position() });
        }
        loop {
            let bytes = input.available()?;
            let (len, zeros) = (bytes.len(), bytes.iter().take_while(|&&byte| byte == 0).count());
            input.consume(zeros);
            if zeros < len {
                return Err(input.garbage());
            }
            if len == 0 {
                return Ok(());
            }
        }
    }
}

fn check_end(member: Member, input: &mut Input) -> Result<()> {
    let at = input.position();
    let [crc @ .., l0, l1, l2, l3] = input.take::<8>("the end of a gzip member")?;
    let (found, computed) = (u32::from_le_bytes(crc), member.crc.finalize());
    if found != computed {
        return Err(PackedError::Checksum { what: "the CRC32 of a member", at, found, computed });
    }
    let (said, found) = (u32::from_le_bytes([l0, l1, l2, l3]), member.len & 0xffff_ffff);
    if u64::from(said) != found {
        return Err(PackedError::Length { what: "the end of a member", at, said: said.into(), found });
    }
    Ok(())
}
