//! CreateMultipartUpload, UploadPart, ListParts, CompleteMultipartUpload, AbortMultipartUpload.

use super::{LEAST_PART, Object, PER_PAGE, State, Upload, refuse, tag};
use crate::stub::{Ask, Reply, reply};
use std::sync::Arc;

impl State {
    pub(super) fn begin(&mut self, key: &str) -> Reply {
        self.begun += 1;
        // As S3's, it has signs that an address has to escape.
        let id = format!("u/+{}", self.begun);
        self.uploads.insert(id.clone(), Upload { key: key.into(), ..Upload::default() });
        let text = format!(
            "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        reply(200, &[], text)
    }

    fn upload(&mut self, key: &str, id: &str) -> Result<&mut Upload, Reply> {
        let found = self.uploads.get_mut(id).filter(|upload| upload.key == key);
        found.ok_or_else(|| refuse(404, "NoSuchUpload"))
    }

    pub(super) fn take_part(&mut self, ask: &Ask, key: &str, id: &str) -> Reply {
        let number: u32 = ask.query("partNumber").unwrap().parse().unwrap();
        assert!((1..=10_000).contains(&number));
        let upload = match self.upload(key, id) {
            Ok(upload) => upload,
            Err(refusal) => return refusal,
        };
        let tag = tag(&ask.body);
        upload.parts.insert(number, Object { bytes: Arc::new(ask.body.clone()), tag: tag.clone() });
        self.parts_put += 1;
        reply(200, &[("etag", &tag)], "")
    }

    pub(super) fn list_parts(&mut self, ask: &Ask, key: &str, id: &str) -> Reply {
        let after: u32 = ask.query("part-number-marker").map_or(0, |marker| marker.parse().unwrap());
        let upload = match self.upload(key, id) {
            Ok(upload) => upload,
            Err(refusal) => return refusal,
        };
        let rest: Vec<_> = upload.parts.range(after + 1..).collect();
        let told: String = rest
            .iter()
            .take(PER_PAGE)
            .map(|(number, part)| {
                let tag = part.tag.replace('"', "&quot;");
                format!(
                    "<Part><PartNumber>{number}</PartNumber><LastModified>2026-11-30T12:00:00.000Z</LastModified><ETag>{tag}</ETag><Size>{}</Size></Part>",
                    part.bytes.len()
                )
            })
            .collect();
        let is_cut = rest.len() > PER_PAGE;
        let next = rest.get(PER_PAGE - 1).map_or(String::new(), |(number, _)| {
            format!("<NextPartNumberMarker>{number}</NextPartNumberMarker>")
        });
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListPartsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><UploadId>{id}</UploadId>\
             <PartNumberMarker>{after}</PartNumberMarker>{next}<MaxParts>{PER_PAGE}</MaxParts><IsTruncated>{is_cut}</IsTruncated>{told}</ListPartsResult>"
        );
        reply(200, &[], text)
    }

    pub(super) fn complete(&mut self, ask: &Ask, key: &str, id: &str) -> Reply {
        assert_eq!(ask.header("if-none-match"), Some("*"), "nothing is replaced");
        let upload = match self.upload(key, id) {
            Ok(upload) => upload.clone(),
            Err(refusal) => return refusal,
        };
        let text = String::from_utf8(ask.body.clone()).unwrap();
        let (mut whole, mut last) = (Vec::new(), 0);
        let named: Vec<&str> = text.split("<Part>").skip(1).collect();
        for (index, part) in named.iter().enumerate() {
            let inside = |name: &str| {
                let rest = part.split_once(&format!("<{name}>")).unwrap().1;
                rest.split_once(&format!("</{name}>")).unwrap().0.replace("&quot;", "\"")
            };
            let number: u32 = inside("PartNumber").parse().unwrap();
            if number <= last {
                return refuse(400, "InvalidPartOrder");
            }
            let Some(part) = upload.parts.get(&number).filter(|part| part.tag == inside("ETag")) else {
                return refuse(400, "InvalidPart");
            };
            if index + 1 < named.len() && part.bytes.len() < LEAST_PART {
                return refuse(400, "EntityTooSmall");
            }
            whole.extend_from_slice(&part.bytes);
            last = number;
        }
        assert!(!named.is_empty());
        self.uploads.remove(id);
        let tag = format!("\"x-{}\"", named.len());
        self.objects.insert(key.into(), Object { bytes: Arc::new(whole), tag: tag.clone() });
        let text =
            format!("<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>");
        reply(200, &[], text)
    }

    pub(super) fn abort(&mut self, key: &str, id: &str) -> Reply {
        if let Err(refusal) = self.upload(key, id) {
            return refusal;
        }
        self.uploads.remove(id);
        self.aborted += 1;
        reply(204, &[], "")
    }
}
