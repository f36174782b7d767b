//! The client's side of the handshake: fixed newstyle negotiation, options one after the other.

use super::facts::{Facts, Gathered, listed};
use super::fault::Fault;
use super::line::{Line, Paced};
use super::tls::TlsSetup;
use crate::wire::{
    FIXED_NEWSTYLE, Fields, IHAVEOPT, INIT_PASSWD, MAX_STRING, Message, NO_ZEROES, OLDSTYLE,
    OPTION_REPLY_MAGIC, answer, info, len32, option, take,
};
use format_core::{Error, ErrorKind, codes, printable};
use std::io::Write;
use std::time::{Duration, Instant};

/// The longest data of a reply: two strings and their lengths, with some air.
const MAX_DATA: u32 = 16 << 10;
/// Replies to an option, where their number does not follow from what was asked.
const MAX_ANSWERS: usize = 256;
/// Names in a list that is for a message only.
const MAX_NAMES: usize = 1000;

/// How an option ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Done,
    Refused { kind: u32, text: String },
}

impl Ended {
    /// The refusal as an error, `what` being what was refused.
    pub(crate) fn into_error(self, what: &str) -> Option<Error> {
        let Self::Refused { kind, text } = self else { return None };
        let text = if text.is_empty() { String::new() } else { format!(": {}", printable(&text)) };
        let error = |kind, why: &str| Error::new(kind, format!("{what}: {why}{text}")).in_format("nbd");
        Some(match kind {
            answer::ERR_UNKNOWN => error(ErrorKind::SourceMissing, "the server has no such export"),
            answer::ERR_POLICY => error(ErrorKind::Denied, "the server does not allow it"),
            answer::ERR_TLS_REQD => {
                error(ErrorKind::Denied, "the server wants TLS").hint("write nbds:// in place of nbd://")
            }
            answer::ERR_SHUTDOWN => error(ErrorKind::Temporary, "the server is being shut down"),
            _ => error(ErrorKind::Unsupported, &format!("the server refuses (reply {kind:#x})")),
        })
    }
}

/// A handshake on its way.
pub(crate) struct Haggle {
    line: Line,
    sends_zeroes: bool,
    is_structured: bool,
    /// The quickest answer so far.
    round_trip: Duration,
}

impl Haggle {
    /// Hears the greeting, and goes inside TLS where that is wanted.
    pub(crate) fn start(line: Paced, tls: Option<&TlsSetup>) -> Result<Self, Fault> {
        let (line, round_trip) = (Line::Plain(line), Duration::MAX);
        let mut haggle = Self { line, sends_zeroes: true, is_structured: false, round_trip };
        haggle.greet()?;
        let Some(tls) = tls else { return Ok(haggle) };
        if let Some(error) = haggle.ask(option::STARTTLS, &[], 0, |_, _| Ok(()))?.into_error("TLS") {
            return Err(Fault::Final(error.with_code(&codes::NET_TLS)));
        }
        // Exactly the reply was read, so nothing that was said in the clear is left over.
        let Self { line: Line::Plain(line), .. } = haggle else { return Ok(haggle) };
        haggle.line = tls.wrap(line)?;
        Ok(haggle)
    }

    fn greet(&mut self) -> Result<(), Fault> {
        let greeting: [u8; 16] = self.take()?;
        let mut fields = Fields(&greeting);
        match (fields.u64(), fields.u64()) {
            (Some(INIT_PASSWD), Some(IHAVEOPT)) => {}
            (Some(INIT_PASSWD), Some(OLDSTYLE)) => return Err(too_old("oldstyle")),
            (Some(magic), _) => {
                return Err(Fault::violation(format!("the server greets with {magic:#x}, which is not NBD")));
            }
            _ => return Err(Fault::violation("no greeting")),
        }
        let flags = u16::from_be_bytes(self.take()?);
        if flags & FIXED_NEWSTYLE == 0 {
            return Err(too_old("unfixed newstyle"));
        }
        self.sends_zeroes = flags & NO_ZEROES == 0;
        self.send(&Message::default().u32((FIXED_NEWSTYLE | flags & NO_ZEROES).into()))
    }

    /// Into transmission with `export`, and with those of the `contexts` that the server has.
    pub(crate) fn go(mut self, export: &str, contexts: &[String]) -> Result<(Line, Facts), Fault> {
        self.agree_on_structure()?;
        let mut chosen = Vec::new();
        if self.is_structured && !contexts.is_empty() {
            chosen = self.contexts(option::SET_META_CONTEXT, export, contexts, contexts.len())?;
        }
        let mut gathered = Gathered::default();
        let ended = self.info(option::GO, export, &mut gathered)?;
        if let Ended::Refused { kind: answer::ERR_UNSUP, .. } = ended {
            // Contexts belong to GO as far as old servers go.
            return self.export_name(export);
        }
        if matches!(ended, Ended::Refused { kind: answer::ERR_UNKNOWN, .. }) {
            let names = self.names().unwrap_or_default();
            let what = format!("export {:?}", printable(export));
            let error = ended.into_error(&what).unwrap_or_else(|| Error::contract("no refusal"));
            return Err(Fault::Final(error.context(format!("it has {}", listed(&names)))));
        }
        let what = format!("export {:?}", printable(export));
        match ended.into_error(&what) {
            Some(error) if error.kind() == ErrorKind::Temporary => Err(Fault::Lost(error)),
            Some(error) => Err(Fault::Final(error)),
            None => {
                let facts = gathered.facts(self.is_structured, chosen)?;
                Ok((self.line, Facts { round_trip: self.round_trip, ..facts }))
            }
        }
    }

    /// Structured replies, where the server has them.
    pub(crate) fn agree_on_structure(&mut self) -> Result<bool, Fault> {
        let ended = self.ask(option::STRUCTURED_REPLY, &[], 0, |_, _| Ok(()))?;
        self.is_structured = matches!(ended, Ended::Done);
        match ended {
            // Then nothing else will be answered either.
            Ended::Refused { kind: answer::ERR_TLS_REQD, .. } => {
                Err(ended.into_error("handshake").map_or_else(|| Fault::lost("no refusal"), Fault::Final))
            }
            _ => Ok(self.is_structured),
        }
    }

    /// What the server says of `export`, without entering transmission.
    pub(crate) fn info(&mut self, kind: u32, export: &str, into: &mut Gathered) -> Result<Ended, Fault> {
        let data = string(export).u16(1).u16(info::BLOCK_SIZE);
        self.ask(kind, &data.0, MAX_ANSWERS, |kind, data| {
            let mut fields = Fields(data);
            match (kind, fields.u16()) {
                (answer::INFO, Some(info::EXPORT)) => into.export(fields),
                (answer::INFO, Some(info::BLOCK_SIZE)) => into.blocks(fields),
                (answer::INFO, Some(_)) => Ok(()),
                _ => Err(Fault::violation(format!("reply {kind:#x} to a question about an export"))),
            }
        })
    }

    /// The oldest way into transmission: the server ends the connection when it has no such export.
    fn export_name(mut self, export: &str) -> Result<(Line, Facts), Fault> {
        self.option(option::EXPORT_NAME, export.as_bytes())?;
        let facts: [u8; 10] = self.take()?;
        if self.sends_zeroes {
            let _: [u8; 124] = self.take()?;
        }
        let mut gathered = Gathered::default();
        gathered.export(Fields(&facts))?;
        Ok((self.line, gathered.facts(self.is_structured, Vec::new())?))
    }

    /// Metadata contexts: those chosen of `queries`, or for a list, all that match (no queries: all).
    pub(crate) fn contexts(
        &mut self,
        kind: u32,
        export: &str,
        queries: &[String],
        most: usize,
    ) -> Result<Vec<(String, u32)>, Fault> {
        let mut data = string(export).u32(len32(queries.len()));
        for query in queries {
            data = data.u32(len32(query.len())).bytes(query.as_bytes());
        }
        let mut found: Vec<(String, u32)> = Vec::new();
        let sets = kind == option::SET_META_CONTEXT;
        let ended = self.ask(kind, &data.0, most, |kind, data| {
            let Some((id, name)) = data.split_first_chunk::<4>().filter(|_| kind == answer::META_CONTEXT)
            else {
                return Err(Fault::violation(format!("reply {kind:#x} to a question about contexts")));
            };
            let id = u32::from_be_bytes(*id);
            let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= MAX_STRING);
            let name = name.ok_or_else(|| Fault::violation("the name of a context is no string"))?;
            let is_new = !found.iter().any(|(known, other)| known == name || *other == id);
            if sets && !(is_new && queries.iter().any(|query| query == name)) {
                return Err(Fault::violation(format!("context {:?} was not asked for", printable(name))));
            }
            found.push((name.to_owned(), id));
            Ok(())
        })?;
        // A server that has none says so as it likes; the reply to GO tells the rest.
        Ok(if matches!(ended, Ended::Done) { found } else { Vec::new() })
    }

    /// The names of the exports with their descriptions, at most `most`.
    pub(crate) fn list(&mut self, most: usize) -> Result<(Vec<(String, String)>, Ended), Fault> {
        let mut found = Vec::new();
        let ended = self.ask(option::LIST, &[], most, |kind, data| {
            let mut fields = Fields(data);
            let name = fields.string().filter(|_| kind == answer::SERVER);
            let name = name.ok_or_else(|| Fault::violation(format!("reply {kind:#x} to a list")))?;
            let text = String::from_utf8_lossy(fields.0).into_owned();
            found.push((name.to_owned(), text));
            Ok(())
        })?;
        Ok((found, ended))
    }

    fn names(&mut self) -> Result<Vec<String>, Fault> {
        Ok(self.list(MAX_NAMES)?.0.into_iter().map(|(name, _)| name).collect())
    }

    /// Leaves politely; the server may be gone already.
    pub(crate) fn leave(mut self) {
        let _ = self.option(option::ABORT, &[]);
    }

    /// Sends an option, and gives each of at most `most` replies before the last one to `each`.
    fn ask(
        &mut self,
        kind: u32,
        data: &[u8],
        most: usize,
        mut each: impl FnMut(u32, &[u8]) -> Result<(), Fault>,
    ) -> Result<Ended, Fault> {
        self.option(kind, data)?;
        let asked = Instant::now();
        for _ in 0..=most {
            let head: [u8; 20] = self.take()?;
            self.round_trip = self.round_trip.min(asked.elapsed());
            let mut fields = Fields(&head);
            let (magic, about) = (fields.u64(), fields.u32());
            let (reply, len) = (fields.u32().unwrap_or(0), fields.u32().unwrap_or(u32::MAX));
            if magic != Some(OPTION_REPLY_MAGIC) || about != Some(kind) {
                return Err(Fault::violation(format!("what follows option {kind} is no reply to it")));
            }
            if len > MAX_DATA {
                return Err(Fault::violation(format!("a reply to option {kind} has {len:#x} bytes")));
            }
            let mut data = vec![0; usize::try_from(len).unwrap_or(0)];
            std::io::Read::read_exact(&mut self.line, &mut data).map_err(|e| Fault::io(&e))?;
            match reply {
                answer::ACK if data.is_empty() => return Ok(Ended::Done),
                answer::ACK => return Err(Fault::violation("an acknowledgement with data")),
                // The highest bit is an error's.
                _ if reply >> 31 == 1 => {
                    if data.len() > MAX_STRING {
                        return Err(Fault::violation("an error's text of more than 4096 bytes"));
                    }
                    return Ok(Ended::Refused {
                        kind: reply,
                        text: String::from_utf8_lossy(&data).into_owned(),
                    });
                }
                _ => each(reply, &data)?,
            }
        }
        Err(Fault::violation(format!("more than {most} replies to option {kind}")))
    }

    fn option(&mut self, kind: u32, data: &[u8]) -> Result<(), Fault> {
        self.send(&Message::default().u64(IHAVEOPT).u32(kind).u32(len32(data.len())).bytes(data))
    }

    fn send(&mut self, message: &Message) -> Result<(), Fault> {
        self.line.write_all(&message.0).and_then(|()| self.line.flush()).map_err(|e| Fault::io(&e))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        take(&mut self.line).map_err(|e| Fault::io(&e))
    }
}

fn string(text: &str) -> Message {
    Message::default().u32(len32(text.len())).bytes(text.as_bytes())
}

fn too_old(what: &str) -> Fault {
    let text = format!("the server speaks {what} negotiation, which ended in 2011");
    Fault::Final(Error::unsupported(text).in_format("nbd"))
}
