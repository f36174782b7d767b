//! ListSnapshotBlocks, ListChangedBlocks, GetSnapshotBlock.

use super::{BLOCK, Fault, PER_PAGE, State, refuse, sum};
use crate::stub::{Ask, Reply, raw, reply};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

impl State {
    pub(super) fn list(&mut self, ask: &Ask, id: &str, older: Option<String>) -> Reply {
        self.add_one("list");
        let missing = || refuse(404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND");
        let Some(snapshot) = self.snapshots.get(id).cloned() else { return missing() };
        assert!(snapshot.looks.is_some(), "only completed snapshots are read");
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
        // Every page has to be asked for twice; a token that ends does so there.
        let is_empty = matches!(self.fault, Fault::EmptyPages | Fault::PageTokensEnd) && self.times > 0;
        let is_empty = (is_empty && !was_empty) || self.fault == Fault::Endless;
        self.page(&all, first, is_empty, snapshot.gib, &older.map(|_| snapshot.blocks))
    }

    /// What there is of `all`. Of a list of changes, `now` are the blocks that are there.
    fn page(
        &self,
        all: &[u64],
        first: u64,
        is_empty: bool,
        gib: u64,
        now: &Option<BTreeMap<u64, Arc<Vec<u8>>>>,
    ) -> Reply {
        let generation = self.generation;
        let page_token = |first: u64| format!("p-{generation}-{first}");
        let mut blocks: Vec<u64> = all.iter().copied().take(PER_PAGE).collect();
        let mut next = (all.len() > PER_PAGE).then(|| page_token(all[PER_PAGE]));
        if is_empty {
            (blocks, next) = (Vec::new(), Some(page_token(first)));
        }
        match self.fault {
            Fault::Twice => blocks.extend(blocks.first().copied()),
            Fault::Outside => blocks.push(2048 * gib),
            _ => {}
        }
        let size = if self.fault == Fault::OddSize { 500_000 } else { BLOCK };
        let gib = if self.fault == Fault::OtherSize { gib + 1 } else { gib };
        let entry = |index: &u64| match now.as_ref().map(|now| now.contains_key(index)) {
            None => format!(r#"{{"BlockIndex":{index},"BlockToken":"t-{generation}-{index}"}}"#),
            Some(true) => format!(
                r#"{{"BlockIndex":{index},"FirstBlockToken":"f","SecondBlockToken":"t-{generation}-{index}"}}"#
            ),
            Some(false) => format!(r#"{{"BlockIndex":{index},"FirstBlockToken":"f"}}"#),
        };
        let name = if now.is_some() { "ChangedBlocks" } else { "Blocks" };
        let entries = blocks.iter().map(entry).collect::<Vec<_>>().join(",");
        let next = next.map_or("null".into(), |next| format!("{next:?}"));
        let body = format!(
            r#"{{"BlockSize":{size},"VolumeSize":{gib},"{name}":[{entries}],"ExpiryTime":1.7E9,"NextToken":{next}}}"#
        );
        reply(200, &[], body)
    }

    pub(super) fn block(&mut self, id: &str, index: u64, token: &str) -> Reply {
        // Several that are under way with one that has ended do not end those that were got meanwhile.
        let is_known = token == format!("t-{}-{index}", self.generation);
        let ends = is_known && self.fails(Fault::BlockTokensEnd);
        self.generation += u32::from(ends);
        if !is_known || ends {
            return refuse(400, "ValidationException", "INVALID_BLOCK_TOKEN");
        }
        let mut block = self.snapshots[id].blocks[&index].to_vec();
        if self.fails(Fault::CutBlock) {
            let told = STANDARD.encode(sum(&block));
            let head = format!(
                "HTTP/1.1 200 OK\r\nx-amz-data-length: {BLOCK}\r\nx-amz-checksum: {told}\r\n\
                 x-amz-checksum-algorithm: SHA256\r\ncontent-length: {BLOCK}\r\n\r\n"
            );
            return raw(move |stream| {
                // The other side may have gone.
                let _ =
                    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&block[..BLOCK / 3]));
            });
        }
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
}
