//! StartSnapshot, PutSnapshotBlock, CompleteSnapshot.

use super::{BLOCK, Fault, Snapshot, State, sum};
use crate::stub::{Ask, Reply, reply};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

impl State {
    pub(super) fn start(&mut self, ask: &Ask) -> Reply {
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
        let answer = format!(
            r#"{{"SnapshotId":"{id}","Status":"pending","VolumeSize":{gib},"BlockSize":{BLOCK},"OwnerId":"1"}}"#
        );
        reply(201, &[], answer)
    }

    pub(super) fn take(&mut self, ask: &Ask, id: &str, index: u64) -> Reply {
        assert_eq!((ask.body.len(), ask.header("x-amz-data-length").unwrap()), (BLOCK, "524288"));
        assert_eq!(ask.header("x-amz-checksum-algorithm"), Some("SHA256"));
        let sum = sum(&ask.body);
        assert_eq!(ask.header("x-amz-checksum").unwrap(), STANDARD.encode(&sum));
        let snapshot = self.snapshots.get_mut(id).unwrap();
        assert!(snapshot.looks.is_none() && index < snapshot.gib * 2048);
        snapshot.blocks.insert(index, Arc::new(ask.body.clone()));
        snapshot.sums.insert(index, sum.clone());
        reply(201, &[("x-amz-checksum", &STANDARD.encode(&sum)), ("x-amz-checksum-algorithm", "SHA256")], "")
    }

    pub(super) fn complete(&mut self, ask: &Ask, id: &str) -> Reply {
        let snapshot = self.snapshots.get_mut(id).unwrap();
        let written = snapshot.sums.len().to_string();
        assert_eq!(ask.header("x-amz-changedblockscount").unwrap(), written);
        assert_eq!(ask.header("x-amz-checksum-aggregation-method"), Some("LINEAR"));
        let all: Vec<u8> = snapshot.sums.values().flatten().copied().collect();
        assert_eq!(ask.header("x-amz-checksum").unwrap(), STANDARD.encode(sum(&all)));
        snapshot.looks = Some(0);
        reply(202, &[], r#"{"Status":"pending"}"#)
    }

    /// The state that DescribeSnapshots tells.
    pub(super) fn state(&mut self, id: &str) -> Reply {
        self.add_one("state");
        let ends_in_error = self.fault == Fault::EndsInError;
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
