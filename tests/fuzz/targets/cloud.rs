//! Answers of clouds, and addresses: none makes the program panic, and what is taken keeps the rules by which disks are read.
#![no_main]

use convert_cloud::answers::{Page, PageList, completed, listed, to_json, upload_id};
use convert_cloud::{CloudAddress, ContentRange};
use fuzz::write_seeds;
use libfuzzer_sys::fuzz_target;

const BLOCKS: &str = r#"{"BlockSize":524288,"VolumeSize":1,"Blocks":[{"BlockIndex":5,"BlockToken":"a"},{"BlockIndex":2047,"BlockToken":"b"}],"NextToken":"n"}"#;
const CHANGES: &str = r#"{"BlockSize":512,"VolumeSize":16384,"ChangedBlocks":[{"BlockIndex":6,"FirstBlockToken":"x"},{"BlockIndex":7,"SecondBlockToken":"y"}]}"#;
const PAGES: &str = "<?xml version=\"1.0\"?><PageList><PageRange><Start>0</Start><End>511</End></PageRange><ClearRange><Start>1024</Start><End>2047</End></ClearRange><NextMarker>m</NextMarker></PageList>";
const EC2: &str = "<R xmlns=\"u\"><reservationSet><item><groupSet/><instancesSet><item><instanceId>i-0</instanceId><cpuOptions><coreCount>2</coreCount></cpuOptions><tagSet><item><key>Name</key><value>&lt;true&gt;</value></item></tagSet></item></instancesSet></item></reservationSet></R>";
const UPLOAD: &str = "<R><UploadId>u</UploadId></R>";
const PARTS: &str = "<ListPartsResult><UploadId>u</UploadId><NextPartNumberMarker>7</NextPartNumberMarker><IsTruncated>true</IsTruncated><Part><PartNumber>7</PartNumber><ETag>&quot;a&quot;</ETag><Size>16777216</Size></Part></ListPartsResult>";
const DONE: &str = "<CompleteMultipartUploadResult><ETag>\"x-1\"</ETag></CompleteMultipartUploadResult>";
const ADDRESSES: [&str; 6] = [
    "https://h:8443/a%20b.vmdk?sig=secret",
    "ebs://snap-0123456789abcdef0?region=eu-west-1",
    "ebs://new?size=8&parent=snap-0123456789abcdef0",
    "s3://bucket/a/b?versionId=x",
    "azblob://account/cont/d/e.vhd?snapshot=2026",
    "gs://b/o?generation=7",
];
/// The size of the blob whose pages are told.
const BLOB: u64 = 1 << 30;

fuzz_target!(
    init: write_seeds(|| {
        let mut seeds: Vec<(String, Vec<u8>)> = [("blocks", BLOCKS), ("changes", CHANGES), ("pages", PAGES), ("ec2", EC2), ("upload", UPLOAD), ("parts", PARTS), ("done", DONE)]
            .iter()
            .map(|(name, text)| ((*name).into(), text.as_bytes().to_vec()))
            .collect();
        seeds.extend(ADDRESSES.iter().enumerate().map(|(number, text)| (format!("address-{number}"), text.as_bytes().to_vec())));
        seeds.push(("range".into(), b"bytes 0-511/1048576".to_vec()));
        seeds
    }),
    |input: &[u8]| {
        blocks(input);
        pages(input);
        let _ = (upload_id(input), completed(input));
        if let Ok(found) = listed(input, 5) {
            assert!(found.next.is_none_or(|next| next > 5));
        }
        if let Ok(value) = to_json(input) {
            assert!(value.is_object() && !value.to_string().is_empty());
        }
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Some(range) = ContentRange::parse(text) {
            assert!(range.first <= range.last && range.last < range.total);
        }
        if let Some(Ok(address)) = CloudAddress::parse(text) {
            let shown = address.to_string();
            assert!(shown.split_once('?').is_none_or(|(_, query)| query == "…") && !shown.chars().any(char::is_control));
            let _ = (address.file_name(), address.is_raw_disk());
        }
    }
);

fn blocks(input: &[u8]) {
    for first in [0, 5] {
        let Ok(page) = Page::parse(input, first) else { continue };
        assert!(
            page.block_size.is_power_of_two()
                && page.volume_size % page.block_size == 0
                && page.volume_size > 0
        );
        assert!(
            page.blocks
                .iter()
                .all(|block| block.index >= first && block.index < page.volume_size / page.block_size)
        );
        assert!(page.blocks.windows(2).all(|pair| pair[0].index < pair[1].index));
    }
}

fn pages(input: &[u8]) {
    let Ok(list) = PageList::parse(input, BLOB) else { return };
    assert!(
        list.ranges.iter().all(|range| range.start < range.end
            && range.end <= BLOB
            && (range.start | range.end) % 512 == 0)
    );
    assert!(list.ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
}
