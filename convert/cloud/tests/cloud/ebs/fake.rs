//! EBS direct as its documents describe it: what is not as written there makes a request fail, and the test with it.

use super::super::signed;
use super::super::stub::{Ask, Reply, Stub, reply};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub const BLOCK: usize = 512 << 10;
/// Blocks on a page, few so that there are several pages.
const PER_PAGE: usize = 4;

/// What goes wrong, as often as was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    EmptyPages,
    PageTokensEnd,
    BlockTokensEnd,
    Throttled,
    WrongBytes,
    WrongSum,
    NoSum,
    ShortBlock,
    LongBlock,
    /// A block is told twice.
    Twice,
    Outside,
    OddSize,
    OtherSize,
    Endless,
    EndsInError,
    Refused,
}

#[derive(Clone, Default)]
struct Snapshot {
    gib: u64,
    blocks: BTreeMap<u64, Arc<Vec<u8>>>,
    written: u64,
    sums: BTreeMap<u64, Vec<u8>>,
    /// How often it was looked at since it was to be completed.
    looks: Option<u32>,
}

struct State {
    snapshots: BTreeMap<String, Snapshot>,
    fault: (Fault, u32),
    generation: u32,
    counts: BTreeMap<&'static str, usize>,
}

pub struct Fake {
    state: Arc<Mutex<State>>,
    stub: Stub,
}

impl Fake {
    pub fn new() -> Self {
        let state = State {
            snapshots: BTreeMap::new(),
            fault: (Fault::None, 0),
            generation: 0,
            counts: BTreeMap::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let inner = Arc::clone(&state);
        Self { state, stub: Stub::new(move |ask| inner.lock().unwrap().answer(ask)) }
    }

    pub fn url(&self) -> String {
        self.stub.url("")
    }

    pub fn put(&self, id: &str, gib: u64, blocks: Vec<(u64, Vec<u8>)>) {
        let snapshot = Snapshot {
            gib,
            blocks: blocks.into_iter().map(|(index, block)| (index, Arc::new(block))).collect(),
            looks: Some(9),
            ..Snapshot::default()
        };
        self.state.lock().unwrap().snapshots.insert(id.into(), snapshot);
    }

    pub fn set(&self, fault: Fault, times: u32) {
        self.state.lock().unwrap().fault = (fault, times);
    }

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
        let now = self.fault.0 == fault && self.fault.1 > 0;
        if now && self.fault.1 != u32::MAX {
            self.fault.1 -= 1;
        }
        now
    }

    fn answer(&mut self, ask: &Ask) -> Reply {
        if self.fails(Fault::Refused) {
            return refuse(403, "InvalidSignatureException:http://internal.amazon.com/", "x");
        }
        signed::verify(ask, if ask.query("Action").is_some() { "ec2" } else { "ebs" });
        if self.fails(Fault::Throttled) {
            return refuse(400, "RequestThrottledException", "REQUEST_THROTTLED");
        }
        let path: Vec<&str> = ask.path().trim_start_matches('/').split('/').collect();
        let count = |state: &mut Self, what| *state.counts.entry(what).or_default() += 1;
        match (ask.method.as_str(), path.as_slice()) {
            ("GET", [""]) if ask.query("Action").as_deref() == Some("DeleteSnapshot") => {
                let gone = self.snapshots.remove(&ask.query("SnapshotId").unwrap()).unwrap();
                assert!(gone.looks.is_none(), "only what was never complete may be deleted");
                count(self, "deleted");
                reply(200, &[], "<DeleteSnapshotResponse><return>true</return></DeleteSnapshotResponse>")
            }
            ("GET", [""]) => {
                count(self, "state");
                self.state(&ask.query("SnapshotId.1").unwrap())
            }
            ("GET", ["snapshots", id, "blocks"]) => self.list(ask, id, None),
            ("GET", ["snapshots", id, "changedblocks"]) => self.list(ask, id, ask.query("firstSnapshotId")),
            ("GET", ["snapshots", id, "blocks", index]) => {
                count(self, "block");
                self.block(id, index.parse().unwrap(), &ask.query("blockToken").unwrap())
            }
            ("POST", ["snapshots"]) => self.start(ask),
            ("PUT", ["snapshots", id, "blocks", index]) => self.take(ask, id, index.parse().unwrap()),
            ("POST", ["snapshots", "completion", id]) => self.complete(ask, id),
            other => panic!("{other:?}"),
        }
    }

    fn list(&mut self, ask: &Ask, id: &str, older: Option<String>) -> Reply {
        let missing = || refuse(404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND");
        let Some(snapshot) = self.snapshots.get(id).cloned() else { return missing() };
        let most: usize = ask.query("maxResults").unwrap().parse().unwrap();
        assert!((100..=10_000).contains(&most));
        let (mut first, mut was_empty) = (0, false);
        match (ask.query("pageToken"), ask.query("startingBlockIndex")) {
            (Some(token), None) => {
                let parts: Vec<&str> = token.split('-').collect();
                if parts[1] != self.generation.to_string() || self.fails(Fault::PageTokensEnd) {
                    self.generation += 1;
                    return refuse(400, "ValidationException", "INVALID_PAGE_TOKEN");
                }
                (first, was_empty) = (parts[2].parse().unwrap(), true);
            }
            (None, start) => first = start.map_or(first, |start| start.parse().unwrap()),
            both => panic!("{both:?}"),
        }
        let old = match &older {
            Some(older) => match self.snapshots.get(older) {
                Some(old) => old.blocks.clone(),
                None => return missing(),
            },
            None => BTreeMap::new(),
        };
        let mut all: Vec<u64> = snapshot.blocks.keys().chain(old.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|index| *index >= first && snapshot.blocks.get(index) != old.get(index));
        let generation = self.generation;
        let page_token = |first: u64| format!("p-{generation}-{first}");
        // Every page has to be asked for twice; a token that ends does so there.
        let is_empty = matches!(self.fault.0, Fault::EmptyPages | Fault::PageTokensEnd)
            && !was_empty
            && self.fault.1 > 0;
        let is_endless = self.fault.0 == Fault::Endless;
        let mut blocks: Vec<u64> = all.iter().copied().take(PER_PAGE).collect();
        let mut next = (all.len() > PER_PAGE).then(|| page_token(all[PER_PAGE]));
        if is_empty || is_endless {
            (blocks, next) = (Vec::new(), Some(page_token(first)));
        }
        match self.fault.0 {
            Fault::Twice => blocks.extend(blocks.first().copied()),
            Fault::Outside => blocks.push(2048 * snapshot.gib),
            _ => {}
        }
        let size = if self.fault.0 == Fault::OddSize { 500_000 } else { BLOCK };
        let gib = if self.fault.0 == Fault::OtherSize { snapshot.gib + 1 } else { snapshot.gib };
        let entry = |index: &u64| match (older.is_some(), snapshot.blocks.contains_key(index)) {
            (false, _) => format!(r#"{{"BlockIndex":{index},"BlockToken":"t-{generation}-{index}"}}"#),
            (true, true) => format!(
                r#"{{"BlockIndex":{index},"FirstBlockToken":"f","SecondBlockToken":"t-{generation}-{index}"}}"#
            ),
            (true, false) => format!(r#"{{"BlockIndex":{index},"FirstBlockToken":"f"}}"#),
        };
        let name = if older.is_some() { "ChangedBlocks" } else { "Blocks" };
        let entries = blocks.iter().map(entry).collect::<Vec<_>>().join(",");
        let next = next.map_or("null".into(), |next| format!("{next:?}"));
        reply(
            200,
            &[],
            format!(
                r#"{{"BlockSize":{size},"VolumeSize":{gib},"{name}":[{entries}],"ExpiryTime":1.7E9,"NextToken":{next}}}"#
            ),
        )
    }

    fn block(&mut self, id: &str, index: u64, token: &str) -> Reply {
        // Several that are under way with one that has ended do not end those that were got meanwhile.
        let is_known = token == format!("t-{}-{index}", self.generation);
        let ends = is_known && self.fails(Fault::BlockTokensEnd);
        self.generation += u32::from(ends);
        if !is_known || ends {
            return refuse(400, "ValidationException", "INVALID_BLOCK_TOKEN");
        }
        let mut block = self.snapshots[id].blocks[&index].to_vec();
        let mut told = sum(&block);
        if self.fails(Fault::WrongBytes) {
            block[77] ^= 1;
        }
        if self.fails(Fault::WrongSum) {
            told[3] ^= 1;
        }
        if self.fails(Fault::ShortBlock) {
            block.truncate(1000);
        }
        if self.fails(Fault::LongBlock) {
            block.push(0);
        }
        let (length, told) = (block.len().to_string(), STANDARD.encode(told));
        let mut headers = vec![("x-amz-data-length", length.as_str())];
        if !self.fails(Fault::NoSum) {
            headers.extend([("x-amz-checksum", told.as_str()), ("x-amz-checksum-algorithm", "SHA256")]);
        }
        reply(200, &headers, block)
    }

    fn start(&mut self, ask: &Ask) -> Reply {
        let body: serde_json::Value = serde_json::from_slice(&ask.body).unwrap();
        assert!(
            body["ClientToken"].as_str().unwrap().len() <= 255
                && (10..=4320).contains(&body["Timeout"].as_u64().unwrap())
        );
        let parent = body["ParentSnapshotId"].as_str().and_then(|parent| self.snapshots.get(parent));
        let blocks = parent.map(|parent| parent.blocks.clone()).unwrap_or_default();
        let (gib, id) =
            (body["VolumeSize"].as_u64().unwrap(), format!("snap-{:017}", 100 + self.snapshots.len()));
        self.snapshots.insert(id.clone(), Snapshot { gib, blocks, ..Snapshot::default() });
        reply(
            201,
            &[],
            format!(
                r#"{{"SnapshotId":"{id}","Status":"pending","VolumeSize":{gib},"BlockSize":{BLOCK},"OwnerId":"1"}}"#
            ),
        )
    }

    fn take(&mut self, ask: &Ask, id: &str, index: u64) -> Reply {
        assert_eq!((ask.body.len(), ask.header("x-amz-data-length").unwrap()), (BLOCK, "524288"));
        assert_eq!(ask.header("x-amz-checksum-algorithm"), Some("SHA256"));
        let sum = sum(&ask.body);
        assert_eq!(ask.header("x-amz-checksum").unwrap(), STANDARD.encode(&sum));
        let snapshot = self.snapshots.get_mut(id).unwrap();
        assert!(snapshot.looks.is_none() && index < snapshot.gib * 2048);
        snapshot.blocks.insert(index, Arc::new(ask.body.clone()));
        snapshot.sums.insert(index, sum.clone());
        snapshot.written = snapshot.sums.len() as u64;
        reply(201, &[("x-amz-checksum", &STANDARD.encode(&sum)), ("x-amz-checksum-algorithm", "SHA256")], "")
    }

    fn complete(&mut self, ask: &Ask, id: &str) -> Reply {
        let snapshot = self.snapshots.get_mut(id).unwrap();
        assert_eq!(ask.header("x-amz-changedblockscount").unwrap(), snapshot.written.to_string());
        assert_eq!(ask.header("x-amz-checksum-aggregation-method"), Some("LINEAR"));
        let all: Vec<u8> = snapshot.sums.values().flatten().copied().collect();
        assert_eq!(ask.header("x-amz-checksum").unwrap(), STANDARD.encode(sum(&all)));
        snapshot.looks = Some(0);
        reply(202, &[], r#"{"Status":"pending"}"#)
    }

    fn state(&mut self, id: &str) -> Reply {
        let ends_in_error = self.fault.0 == Fault::EndsInError;
        let looks = self.snapshots.get_mut(id).unwrap().looks.as_mut().unwrap();
        *looks += 1;
        let state = if ends_in_error {
            "error"
        } else if *looks > 1 {
            "completed"
        } else {
            "pending"
        };
        let text = format!(
            "<R><snapshotSet><item><snapshotId>{id}</snapshotId><status>{state}</status><progress>9%</progress></item></snapshotSet></R>"
        );
        reply(200, &[], text)
    }
}
