//! The handshake: fixed newstyle negotiation and option haggling.

use crate::Export;
use crate::exports::{Exports, Named};
use crate::options::{ContextRequest, InfoRequest};
use crate::wire::{
    ALLOCATION, ALLOCATION_ID, FIXED_NEWSTYLE, Fields, IHAVEOPT, INIT_PASSWD, MAX_REQUEST, Message,
    NO_ZEROES, OPTION_REPLY_MAGIC, able, answer, broken, info, len32, option, take, violation,
};
use format_core::Result;
use std::io::{BufRead, Read, Write};

/// How many options a client may send. A list of exports with the facts of each takes some for every export.
const MAX_OPTIONS: u32 = 4096;
/// The longest data of an option that is looked at: a name and some queries.
const MAX_DATA: u32 = 64 << 10;
/// The longest data that is passed over so that the next option can be read.
const MAX_SKIP: u32 = MAX_REQUEST;

/// What was agreed on.
pub(crate) struct Session<'a> {
    pub(crate) export: &'a dyn Export,
    /// Replies are structured.
    pub(crate) is_structured: bool,
    /// `base:allocation` was chosen.
    pub(crate) has_allocation: bool,
}

/// What follows an option.
enum Step {
    Next,
    Leave,
    /// Into transmission, with this export.
    Enter(usize),
}

struct Haggling<'a, R, W> {
    reader: R,
    writer: W,
    exports: &'a Exports,
    is_fixed: bool,
    sends_zeroes: bool,
    is_structured: bool,
    /// The export for which `base:allocation` was chosen.
    allocation_of: Option<usize>,
}

/// Agrees with the client on an export; `None` when it left.
///
/// # Errors
/// A violation of the protocol, or a connection that broke.
pub(crate) fn handshake<'a>(
    reader: impl BufRead,
    writer: impl Write,
    exports: &'a Exports,
) -> Result<Option<Session<'a>>> {
    let mut haggling = Haggling {
        reader,
        writer,
        exports,
        is_fixed: false,
        sends_zeroes: true,
        is_structured: false,
        allocation_of: None,
    };
    haggling.greet()?;
    for _ in 0..MAX_OPTIONS {
        if haggling.reader.fill_buf().map_err(broken)?.is_empty() {
            return Ok(None);
        }
        match haggling.option()? {
            Step::Next => {}
            Step::Leave => return Ok(None),
            Step::Enter(place) => {
                let named = haggling.named(place)?;
                return Ok(Some(Session {
                    export: named.export.as_ref(),
                    is_structured: haggling.is_structured,
                    has_allocation: haggling.is_structured && haggling.allocation_of == Some(place),
                }));
            }
        }
    }
    Err(violation(format!("more than {MAX_OPTIONS} options")))
}

impl<'a, R: BufRead, W: Write> Haggling<'a, R, W> {
    fn greet(&mut self) -> Result<()> {
        let greeting = Message::default().u64(INIT_PASSWD).u64(IHAVEOPT).u16(FIXED_NEWSTYLE | NO_ZEROES);
        self.send(&greeting)?;
        // A port that is only tried out says nothing at all.
        if self.reader.fill_buf().map_err(broken)?.is_empty() {
            return Ok(());
        }
        let flags = u32::from_be_bytes(take(&mut self.reader).map_err(broken)?);
        if flags & !u32::from(FIXED_NEWSTYLE | NO_ZEROES) != 0 {
            return Err(violation(format!("unknown client flags {flags:#x}")));
        }
        self.is_fixed = flags & u32::from(FIXED_NEWSTYLE) != 0;
        self.sends_zeroes = flags & u32::from(NO_ZEROES) == 0;
        Ok(())
    }

    fn option(&mut self) -> Result<Step> {
        let header: [u8; 16] = take(&mut self.reader).map_err(broken)?;
        let mut fields = Fields(&header);
        let (magic, kind, len) = (fields.u64(), fields.u32().unwrap_or(0), fields.u32().unwrap_or(0));
        if magic != Some(IHAVEOPT) {
            return Err(violation(format!("an option starts with {:#x}", magic.unwrap_or(0))));
        }
        if !self.is_fixed && kind != option::EXPORT_NAME {
            return Err(violation(format!("option {kind} without fixed newstyle negotiation")));
        }
        if len > MAX_DATA {
            if len > MAX_SKIP || kind == option::EXPORT_NAME {
                return Err(violation(format!("option {kind} with {len:#x} bytes of data")));
            }
            let mut data = (&mut self.reader).take(len.into());
            std::io::copy(&mut data, &mut std::io::sink()).map_err(broken)?;
            return self.refuse(kind, answer::ERR_TOO_BIG, "this option is too long");
        }
        let mut data = vec![0; usize::try_from(len).unwrap_or(0)];
        self.reader.read_exact(&mut data).map_err(broken)?;
        self.answer(kind, &data)
    }

    fn answer(&mut self, kind: u32, data: &[u8]) -> Result<Step> {
        match kind {
            option::EXPORT_NAME => self.export_name(data),
            option::ABORT => {
                // The client need not wait for the answer.
                let _ = self.reply(kind, answer::ACK, &[]);
                Ok(Step::Leave)
            }
            option::LIST => self.list(data),
            option::STARTTLS => {
                self.refuse(kind, answer::ERR_POLICY, "there is no TLS here: use a unix socket or a tunnel")
            }
            option::INFO | option::GO => self.info(kind, data),
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.is_structured = true;
                self.accept(kind)
            }
            option::STRUCTURED_REPLY => self.refuse(kind, answer::ERR_INVALID, "this option has no data"),
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(kind, data),
            _ => self.refuse(kind, answer::ERR_UNSUP, "this option is not known here"),
        }
    }

    /// The old way in, which has no way to refuse but to hang up.
    fn export_name(&mut self, data: &[u8]) -> Result<Step> {
        let place = std::str::from_utf8(data).ok().and_then(|name| self.exports.find(name));
        let place = place.ok_or_else(|| violation("an export was asked for that is not here"))?;
        let named = self.named(place)?;
        let flags = self.flags(named.export.as_ref());
        let reply = Message::default().u64(named.export.size()).u16(flags);
        let zeroes: &[u8] = if self.sends_zeroes { &[0; 124] } else { &[] };
        self.send(&reply.bytes(zeroes))?;
        Ok(Step::Enter(place))
    }

    fn list(&mut self, data: &[u8]) -> Result<Step> {
        if !data.is_empty() {
            return self.refuse(option::LIST, answer::ERR_INVALID, "this option has no data");
        }
        let exports = self.exports;
        for named in exports.iter() {
            let name = named.name.as_bytes();
            let entry =
                Message::default().u32(len32(name.len())).bytes(name).bytes(named.description.as_bytes());
            self.reply(option::LIST, answer::SERVER, &entry.0)?;
        }
        self.accept(option::LIST)
    }

    fn info(&mut self, kind: u32, data: &[u8]) -> Result<Step> {
        let Some(request) = InfoRequest::parse(data) else {
            return self.refuse(kind, answer::ERR_INVALID, "this option is not put together as it must be");
        };
        let Some(place) = self.exports.find(request.name) else {
            return self.refuse(kind, answer::ERR_UNKNOWN, "there is no export of this name");
        };
        let named = self.named(place)?;
        let wants = |what: u16| request.wanted.contains(&what);
        let flags = self.flags(named.export.as_ref());
        let facts = Message::default().u16(info::EXPORT).u64(named.export.size()).u16(flags);
        self.reply(kind, answer::INFO, &facts.0)?;
        for (what, text) in [(info::NAME, &named.name), (info::DESCRIPTION, &named.description)] {
            if wants(what) {
                self.reply(kind, answer::INFO, &Message::default().u16(what).bytes(text.as_bytes()).0)?;
            }
        }
        if wants(info::BLOCK_SIZE) {
            // Any byte can be read and written; whole blocks are what an overlay is fast at.
            let sizes = Message::default().u16(info::BLOCK_SIZE).u32(1).u32(4096).u32(MAX_REQUEST);
            self.reply(kind, answer::INFO, &sizes.0)?;
        }
        self.reply(kind, answer::ACK, &[])?;
        Ok(if kind == option::GO { Step::Enter(place) } else { Step::Next })
    }

    fn contexts(&mut self, kind: u32, data: &[u8]) -> Result<Step> {
        let only_list = kind == option::LIST_META_CONTEXT;
        if !only_list {
            // Whatever comes of it replaces what was chosen before.
            self.allocation_of = None;
        }
        if !self.is_structured {
            return self.refuse(kind, answer::ERR_INVALID, "structured replies have to be negotiated first");
        }
        let Some(request) = ContextRequest::parse(data) else {
            return self.refuse(kind, answer::ERR_INVALID, "this option is not put together as it must be");
        };
        let Some(place) = self.exports.find(request.name) else {
            return self.refuse(kind, answer::ERR_UNKNOWN, "there is no export of this name");
        };
        if request.means_allocation(only_list) {
            let id = if only_list { 0 } else { ALLOCATION_ID };
            let context = Message::default().u32(id).bytes(ALLOCATION.as_bytes());
            self.reply(kind, answer::META_CONTEXT, &context.0)?;
            if !only_list {
                self.allocation_of = Some(place);
            }
        }
        self.accept(kind)
    }

    fn named(&self, place: usize) -> Result<&'a Named> {
        self.exports.get(place).ok_or_else(|| format_core::Error::contract("an export without a place"))
    }

    /// What clients may do with an export ("Transmission flags").
    fn flags(&self, export: &dyn Export) -> u16 {
        let mut flags = able::HAS_FLAGS | able::SEND_FLUSH | able::SEND_FUA | able::SEND_CACHE;
        flags |= if export.is_writable() {
            able::SEND_TRIM | able::SEND_WRITE_ZEROES | able::SEND_FAST_ZERO
        } else {
            able::READ_ONLY
        };
        for (is_so, flag) in [(self.is_structured, able::SEND_DF), (export.is_shared(), able::CAN_MULTI_CONN)]
        {
            flags |= if is_so { flag } else { 0 };
        }
        flags
    }

    fn accept(&mut self, kind: u32) -> Result<Step> {
        self.reply(kind, answer::ACK, &[])?;
        Ok(Step::Next)
    }

    fn refuse(&mut self, kind: u32, why: u32, text: &str) -> Result<Step> {
        self.reply(kind, why, text.as_bytes())?;
        Ok(Step::Next)
    }

    fn reply(&mut self, kind: u32, what: u32, data: &[u8]) -> Result<()> {
        let head = Message::default().u64(OPTION_REPLY_MAGIC).u32(kind).u32(what).u32(len32(data.len()));
        self.send(&head.bytes(data))
    }

    fn send(&mut self, message: &Message) -> Result<()> {
        self.writer.write_all(&message.0).map_err(broken)
    }
}
