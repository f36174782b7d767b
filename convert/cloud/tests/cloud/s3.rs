//! Objects of S3, against a store that keeps its rules.

use super::stub::{Ask, Reply, Stub, noise, part, raw, reply};
use super::{options, signed};
use convert_cloud::{CloudAddress, CloudOptions, Environment, S3Object, S3Store, create, open};
use format_core::{ErrorKind, Storage};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// For which method, and what is answered.
type Broken = (&'static str, fn() -> Reply);

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<u32, Vec<u8>>,
    /// Of objects that came in parts.
    tags: BTreeMap<String, String>,
    aborted: u32,
    /// What the next answers to a path are, instead of the right one.
    broken: Vec<Broken>,
}

fn tag(bytes: &[u8]) -> String {
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{sum}\"")
}

impl Bucket {
    fn answer(&mut self, ask: &Ask) -> Reply {
        signed::verify(ask, "s3");
        let key = super::stub::decode(ask.path().strip_prefix("/bucket/").unwrap());
        let lost = self
            .broken
            .iter()
            .position(|(method, _)| *method == ask.method)
            .map(|at| self.broken.remove(at).1);
        let answer = self.right(ask, &key);
        lost.map_or(answer, |lost| lost())
    }

    fn right(&mut self, ask: &Ask, key: &str) -> Reply {
        let there = self.objects.get(key).cloned();
        let fails = match (ask.header("if-none-match"), ask.header("if-match")) {
            (Some("*"), _) => there.is_some(),
            (_, Some(wanted)) => there
                .as_ref()
                .is_none_or(|there| self.tags.get(key).cloned().unwrap_or_else(|| tag(there)) != wanted),
            _ => false,
        };
        if fails {
            return reply(412, &[], "<Error><Code>PreconditionFailed</Code></Error>");
        }
        match (ask.method.as_str(), ask.query("uploads"), ask.query("uploadId"), there) {
            ("POST", Some(_), _, _) => reply(
                200,
                &[],
                "<InitiateMultipartUploadResult><UploadId>u/+1</UploadId></InitiateMultipartUploadResult>",
            ),
            ("PUT", _, Some(_), _) => {
                let number = ask.query("partNumber").unwrap().parse().unwrap();
                self.parts.insert(number, ask.body.clone());
                reply(200, &[("etag", &tag(&ask.body))], "")
            }
            ("POST", _, Some(id), _) => {
                assert_eq!((id.as_str(), ask.header("if-none-match")), ("u/+1", Some("*")));
                let text = String::from_utf8(ask.body.clone()).unwrap();
                let wanted = self.parts.iter().map(|(number, bytes)| {
                    format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", tag(bytes))
                });
                assert!(text.contains(&wanted.collect::<String>()), "{text}");
                let last = self.parts.len() as u32;
                assert!(self.parts.iter().all(|(number, bytes)| *number == last || bytes.len() >= 5 << 20));
                let whole = std::mem::take(&mut self.parts).into_values().collect::<Vec<_>>().concat();
                self.objects.insert(key.into(), whole);
                self.tags.insert(key.into(), format!("\"x-{last}\""));
                reply(
                    200,
                    &[],
                    format!(
                        "<CompleteMultipartUploadResult><ETag>\"x-{last}\"</ETag></CompleteMultipartUploadResult>"
                    ),
                )
            }
            ("DELETE", _, Some(_), _) => {
                self.aborted += 1;
                reply(204, &[], "")
            }
            ("PUT", _, None, _) => {
                self.objects.insert(key.into(), ask.body.clone());
                reply(200, &[("etag", &tag(&ask.body))], "")
            }
            (_, _, _, None) => reply(404, &[], "<Error><Code>NoSuchKey</Code></Error>"),
            ("HEAD", _, _, Some(there)) => reply(
                200,
                &[
                    ("etag", &self.tags.get(key).cloned().unwrap_or_else(|| tag(&there))),
                    ("content-length", &there.len().to_string()),
                ],
                "",
            ),
            (_, _, _, Some(there)) => {
                part(ask, &there, &self.tags.get(key).cloned().unwrap_or_else(|| tag(&there)))
            }
        }
    }
}

fn serve() -> (Arc<Mutex<Bucket>>, Stub, CloudOptions) {
    let bucket = Arc::new(Mutex::new(Bucket::default()));
    let inner = Arc::clone(&bucket);
    let stub = Stub::new(move |ask| inner.lock().unwrap().answer(ask));
    let with = with(&stub);
    (bucket, stub, with)
}

fn with(stub: &Stub) -> CloudOptions {
    let variables = [
        ("AWS_ENDPOINT_URL_S3", stub.url("")),
        ("AWS_ACCESS_KEY_ID", signed::ID.into()),
        ("AWS_SECRET_ACCESS_KEY", signed::KEY.into()),
        ("AWS_REGION", "eu-west-1".into()),
    ];
    CloudOptions { environment: Environment::only(variables), ..options() }
}

fn address(text: &str) -> CloudAddress {
    CloudAddress::parse(text).unwrap().unwrap()
}

#[test]
fn an_object_is_written_in_parts_and_read_again() {
    let (bucket, _stub, with) = serve();
    let place = address("s3://bucket/a folder/ü+image.raw");
    let content = noise(40 << 20);
    let target = create(&place, &with, 64 << 20).unwrap().storage;
    assert!(target.is_sequential() && target.name() == Some("ü+image.raw"));
    // With a gap, and an end that is not written.
    target.write_all_at(0, &content[..5_000_000]).unwrap();
    target.write_all_at(6_000_000, &content[6_000_000..]).unwrap();
    assert_eq!(target.write_all_at(0, &[1]).unwrap_err().kind(), ErrorKind::Contract);
    target.set_len(41 << 20).unwrap();
    assert!(bucket.lock().unwrap().objects.is_empty());
    target.commit().unwrap();
    let mut wanted = content;
    wanted[5_000_000..6_000_000].fill(0);
    wanted.resize(41 << 20, 0);
    assert!(bucket.lock().unwrap().objects["a folder/ü+image.raw"] == wanted);
    let source = open(&place, &with).unwrap();
    assert_eq!((source.storage.size(), source.identity.unwrap().kind), (41 << 20, "etag"));
    let mut read = vec![0; wanted.len()];
    source.storage.read_exact_at(0, &mut read).unwrap();
    assert!(read == wanted);
}

#[test]
fn nothing_is_replaced_and_nothing_left_behind() {
    let (bucket, _stub, with) = serve();
    let place = address("s3://bucket/x");
    drop(create(&place, &with, 1).unwrap());
    assert_eq!(bucket.lock().unwrap().aborted, 1);
    // It appears meanwhile.
    let target = create(&place, &with, 1).unwrap().storage;
    bucket.lock().unwrap().objects.insert("x".into(), b"other".to_vec());
    target.write_all_at(0, b"mine").unwrap();
    let error = target.commit().unwrap_err();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Destination, "RH-DESTINATION-EXISTS"));
    assert_eq!(bucket.lock().unwrap().aborted, 2);
    assert_eq!(bucket.lock().unwrap().objects["x"], b"other");
    assert_eq!(create(&place, &with, 1).err().unwrap().kind(), ErrorKind::Destination);
    assert_eq!(
        create(&address("s3://bucket/y"), &with, 1 << 40).err().unwrap().kind(),
        ErrorKind::Unsupported
    );
    // The answer to what was done is lost: it is done all the same.
    let target = create(&address("s3://bucket/lost"), &with, 1).unwrap().storage;
    bucket.lock().unwrap().broken = vec![("POST", || raw(|_| {}))];
    target.commit().unwrap();
    // Status 200, and an error in the body.
    let target = create(&address("s3://bucket/z"), &with, 1).unwrap().storage;
    bucket.lock().unwrap().broken =
        vec![("POST", || reply(200, &[], "<Error><Code>InternalError</Code></Error>"))];
    assert_eq!(target.commit().unwrap_err().kind(), ErrorKind::Temporary);
}

#[test]
fn leases_are_put_on_a_condition() {
    let (bucket, _stub, with) = serve();
    let store = S3Store::open("bucket", None, &with).unwrap();
    assert_eq!(store.get("lease").unwrap(), None);
    let first = store.put_if_absent("lease", b"one").unwrap().unwrap();
    assert_eq!(store.put_if_absent("lease", b"two").unwrap(), None);
    assert_eq!(store.get("lease").unwrap().unwrap(), (b"one".to_vec(), first.clone()));
    let second = store.put_if_match("lease", &first, b"two").unwrap().unwrap();
    assert_eq!(store.put_if_match("lease", &first, b"three").unwrap(), None);
    assert_eq!(store.get("lease").unwrap().unwrap(), (b"two".to_vec(), second));
    // The answer to what was done is lost: it is done all the same, and once.
    bucket.lock().unwrap().broken = vec![("PUT", || raw(|_| {}))];
    assert!(store.put_if_absent("lost", b"mine").unwrap().is_some());
    bucket.lock().unwrap().broken = vec![("PUT", || reply(503, &[], ""))];
    assert!(store.put_if_absent("lease", b"mine").unwrap().is_none());
    assert_eq!(S3Store::open("no/bucket", None, &with).err().unwrap().kind(), ErrorKind::Usage);
}

#[test]
fn a_version_is_pinned_where_there_are_versions() {
    let content = noise(200_000);
    let server = Stub::new(move |ask| {
        signed::verify(ask, "s3");
        let Reply::Plain(status, mut headers, body) = part(ask, &content, "\"e\"") else { panic!() };
        headers.push(("x-amz-version-id", "v/7".into()));
        Reply::Plain(status, headers, body)
    });
    let object = S3Object::open("bucket", "k", None, None, &with(&server)).unwrap();
    object.read_exact_at(0, &mut vec![0; 200_000]).unwrap();
    assert_eq!(object.identity().unwrap().value, "v/7");
    let asked = server.asked();
    assert!(asked[0].query("versionId").is_none());
    assert!(asked[1..].iter().all(
        |ask| ask.query("versionId").as_deref() == Some("v/7") && ask.header("if-match") == Some("\"e\"")
    ));
}

#[test]
fn a_bucket_in_another_region_is_told() {
    let server = Stub::new(|_| {
        reply(301, &[("x-amz-bucket-region", "ap-south-1")], "<Error><Code>PermanentRedirect</Code></Error>")
    });
    let error = open(&address("s3://bucket/k"), &with(&server)).err().unwrap();
    assert!(error.to_string().contains("ap-south-1"), "{error}");
}
