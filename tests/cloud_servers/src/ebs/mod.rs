//! EBS direct and what of EC2 goes with it, as their documents describe them (EBS direct APIs Reference, version 2019-11-02; Amazon EC2
//! API Reference, version 2016-11-15).

mod machine;
mod reading;
mod writing;

use crate::signed;
use crate::stub::{Ask, Reply, Stub, reply};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bytes of a block.
pub const BLOCK: usize = 512 << 10;
/// The machine that [`Fake`] tells of.
pub const INSTANCE: &str = "i-0123456789abcdef0";
/// Blocks on a page, few so that there are several pages.
const PER_PAGE: usize = 4;
/// How long is to be waited where the service says so.
const WAIT: Duration = Duration::from_secs(1);

/// What goes wrong, as often as was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Each page has to be asked for twice: the first answer has a token and no block.
    EmptyPages,
    /// As [`Fault::EmptyPages`], and the token has had its time.
    PageTokensEnd,
    /// Tokens of blocks have had their time: only those of lists got later count.
    BlockTokensEnd,
    /// Status 400 for too many requests.
    Throttled,
    /// The same with `Retry-After`: who comes back earlier is a fault of the caller.
    ThrottledFor,
    /// Bytes that are not those of the checksum.
    WrongBytes,
    /// A checksum that is not that of the bytes.
    WrongSum,
    /// No checksum.
    NoSum,
    /// A block that is told, and is, shorter.
    ShortBlock,
    /// A block that is told, and is, longer.
    LongBlock,
    /// A block whose connection ends before it does.
    CutBlock,
    /// A block is told twice.
    Twice,
    /// A block behind the volume's end.
    Outside,
    /// Blocks of 500,000 bytes.
    OddSize,
    /// A volume of another size than was told before.
    OtherSize,
    /// Empty pages without an end.
    Endless,
    /// A snapshot that is told to be complete and does not become so.
    EndsInError,
    /// A signature that is not accepted.
    Refused,
    /// Credentials whose time has ended.
    CredentialsEnd,
}

#[derive(Clone, Default)]
struct Snapshot {
    gib: u64,
    blocks: BTreeMap<u64, Arc<Vec<u8>>>,
    sums: BTreeMap<u64, Vec<u8>>,
    /// How often it was looked at since it was to be completed.
    looks: Option<u32>,
}

struct State {
    snapshots: BTreeMap<String, Snapshot>,
    fault: Fault,
    /// How often what would fail still goes well.
    after: u32,
    /// How often it fails then; `u32::MAX` is always.
    times: u32,
    generation: u32,
    counts: BTreeMap<&'static str, usize>,
    /// Requests that are not to come again before this.
    waited_for: BTreeMap<String, Instant>,
    /// The session that credentials have to be of; any where `None`.
    session: Option<String>,
}

/// The services with their snapshots, in memory.
pub struct Fake {
    state: Arc<Mutex<State>>,
    stub: Stub,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    /// One without snapshots.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            snapshots: BTreeMap::new(),
            fault: Fault::None,
            after: 0,
            times: 0,
            generation: 0,
            counts: BTreeMap::new(),
            waited_for: BTreeMap::new(),
            session: None,
        };
        let state = Arc::new(Mutex::new(state));
        let inner = Arc::clone(&state);
        Self { state, stub: Stub::new(move |ask| inner.lock().unwrap().answer(ask)) }
    }

    /// The endpoint, of EBS and EC2.
    #[must_use]
    pub fn url(&self) -> String {
        self.stub.url("")
    }

    /// A complete snapshot of a volume of so many GiB.
    pub fn put(&self, id: &str, gib: u64, blocks: Vec<(u64, Vec<u8>)>) {
        let snapshot = Snapshot {
            gib,
            blocks: blocks.into_iter().map(|(index, block)| (index, Arc::new(block))).collect(),
            looks: Some(9),
            ..Snapshot::default()
        };
        self.state.lock().unwrap().snapshots.insert(id.into(), snapshot);
    }

    /// From now on this goes wrong so often.
    pub fn set(&self, fault: Fault, times: u32) {
        self.set_after(0, fault, times);
    }

    /// The same, after what would go wrong went well so often.
    pub fn set_after(&self, after: u32, fault: Fault, times: u32) {
        let mut state = self.state.lock().unwrap();
        (state.after, state.fault, state.times) = (after, fault, times);
    }

    /// Only credentials of this session count from now on.
    pub fn expect_session(&self, token: &str) {
        self.state.lock().unwrap().session = Some(token.into());
    }

    /// How often there was a `block`, `list`, `state`, `deleted` or `refused`.
    ///
    /// # Panics
    /// Where a request was not as the documents want it.
    #[must_use]
    pub fn count(&self, what: &str) -> usize {
        self.state.lock().unwrap().counts.get(what).copied().unwrap_or_default()
    }
}

fn refuse(status: u16, code: &str, reason: &str) -> Reply {
    reply(
        status,
        &[("x-amzn-errortype", code)],
        format!(r#"{{"Message":"secret words","Reason":"{reason}"}}"#),
    )
}

fn sum(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

impl State {
    /// Whether it goes wrong now.
    fn fails(&mut self, fault: Fault) -> bool {
        if self.fault != fault || self.times == 0 {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        if self.times != u32::MAX {
            self.times -= 1;
        }
        self.add_one("refused");
        true
    }

    fn add_one(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What is said of who asks, or how often, in the words of the service that is asked.
    fn refusal(&mut self, ask: &Ask) -> Option<Reply> {
        let is_ec2 = ask.query("Action").is_some();
        let said = |status: u16, ec2: &str, ebs: &str, reason: &str| match is_ec2 {
            true => {
                let text = format!("<Response><Errors><Error><Code>{ec2}</Code></Error></Errors></Response>");
                reply(status, &[], text)
            }
            false => refuse(status, ebs, reason),
        };
        if self.fails(Fault::CredentialsEnd) {
            return Some(said(403, "RequestExpired", "ExpiredTokenException", "x"));
        }
        if self.fails(Fault::Throttled) {
            let status = if is_ec2 { 503 } else { 400 };
            return Some(said(
                status,
                "RequestLimitExceeded",
                "RequestThrottledException",
                "REQUEST_THROTTLED",
            ));
        }
        if !is_ec2 && self.fails(Fault::ThrottledFor) {
            self.waited_for.insert(ask.target.clone(), Instant::now() + WAIT);
            let headers = [("x-amzn-errortype", "RequestThrottledException"), ("retry-after", "1")];
            return Some(reply(400, &headers, r#"{"Reason":"REQUEST_THROTTLED"}"#));
        }
        None
    }

    fn answer(&mut self, ask: &Ask) -> Reply {
        if self.fails(Fault::Refused) {
            return refuse(403, "InvalidSignatureException:http://internal.amazon.com/", "x");
        }
        signed::verify(ask, if ask.query("Action").is_some() { "ec2" } else { "ebs" });
        if let Some(session) = &self.session {
            assert_eq!(ask.header("x-amz-security-token"), Some(session.as_str()));
        }
        if let Some(due) = self.waited_for.remove(&ask.target) {
            assert!(Instant::now() >= due, "{} came back before Retry-After", ask.target);
        }
        if let Some(refusal) = self.refusal(ask) {
            return refusal;
        }
        let path: Vec<&str> = ask.path().trim_start_matches('/').split('/').collect();
        match (ask.method.as_str(), path.as_slice()) {
            ("GET", [""]) => self.ec2(ask),
            ("GET", ["snapshots", id, "blocks"]) => self.list(ask, id, None),
            ("GET", ["snapshots", id, "changedblocks"]) => {
                self.list(ask, id, Some(ask.query("firstSnapshotId").expect("no older snapshot")))
            }
            ("GET", ["snapshots", id, "blocks", index]) => {
                self.add_one("block");
                self.block(id, index.parse().unwrap(), &ask.query("blockToken").unwrap())
            }
            ("POST", ["snapshots"]) => self.start(ask),
            ("PUT", ["snapshots", id, "blocks", index]) => self.take(ask, id, index.parse().unwrap()),
            ("POST", ["snapshots", "completion", id]) => self.complete(ask, id),
            other => panic!("{other:?}"),
        }
    }
}
