//! Objects of S3, against a store that keeps its rules.

mod resumed;

use super::stub::{Reply, Stub, noise, part, raw, reply};
use super::{options, signed};
use convert_cloud::{CloudAddress, CloudOptions, Environment, S3Object, S3Store, Writing, create, open};
use format_core::{ConditionalStore, ErrorKind, Storage};
use test_cloud_servers::s3::Bucket;

fn with(endpoint: String) -> CloudOptions {
    let variables = [
        ("AWS_ENDPOINT_URL_S3", endpoint),
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
    let bucket = Bucket::new();
    let with = with(bucket.url());
    let place = address("s3://bucket/a folder/ü+image.raw");
    let content = noise(40 << 20);
    let target = create(&place, &with, Writing::alone(64 << 20)).unwrap().storage;
    assert!(target.is_sequential() && target.name() == Some("ü+image.raw"));
    // With a gap, and an end that is not written.
    target.write_all_at(0, &content[..5_000_000]).unwrap();
    target.write_all_at(6_000_000, &content[6_000_000..]).unwrap();
    assert_eq!(target.write_all_at(0, &[1]).unwrap_err().kind(), ErrorKind::Contract);
    target.set_len(41 << 20).unwrap();
    assert!(bucket.keys().is_empty());
    target.commit().unwrap();
    let mut wanted = content;
    wanted[5_000_000..6_000_000].fill(0);
    wanted.resize(41 << 20, 0);
    assert!(bucket.object("a folder/ü+image.raw").unwrap() == wanted);
    let source = open(&place, &with).unwrap();
    assert_eq!((source.storage.size(), source.identity.unwrap().kind), (41 << 20, "etag"));
    let mut read = vec![0; wanted.len()];
    source.storage.read_exact_at(0, &mut read).unwrap();
    assert!(read == wanted);
}

#[test]
fn nothing_is_replaced_and_nothing_left_behind() {
    let bucket = Bucket::new();
    let with = with(bucket.url());
    let place = address("s3://bucket/x");
    drop(create(&place, &with, Writing::alone(1)).unwrap());
    assert_eq!(bucket.state().aborted, 1);
    // It appears meanwhile.
    let target = create(&place, &with, Writing::alone(1)).unwrap().storage;
    bucket.put("x", b"other");
    target.write_all_at(0, b"mine").unwrap();
    let error = target.commit().unwrap_err();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Destination, "RH-DESTINATION-EXISTS"));
    assert_eq!(bucket.state().aborted, 2);
    assert_eq!(bucket.object("x").unwrap(), b"other");
    assert_eq!(create(&place, &with, Writing::alone(1)).err().unwrap().kind(), ErrorKind::Destination);
    assert_eq!(
        create(&address("s3://bucket/y"), &with, Writing::alone(1 << 40)).err().unwrap().kind(),
        ErrorKind::Unsupported
    );
    // The answer to what was done is lost: it is done all the same.
    let target = create(&address("s3://bucket/lost"), &with, Writing::alone(1)).unwrap().storage;
    bucket.state().broken = vec![("POST", || raw(|_| {}))];
    target.commit().unwrap();
    // Status 200, and an error in the body.
    let target = create(&address("s3://bucket/z"), &with, Writing::alone(1)).unwrap().storage;
    bucket.state().broken = vec![("POST", || reply(200, &[], "<Error><Code>InternalError</Code></Error>"))];
    assert_eq!(target.commit().unwrap_err().kind(), ErrorKind::Temporary);
}

#[test]
fn leases_are_put_on_a_condition() {
    let bucket = Bucket::new();
    let with = with(bucket.url());
    let store = S3Store::open("bucket", None, &with).unwrap();
    assert_eq!(store.get("lease").unwrap(), None);
    let first = store.put_if_absent("lease", b"one").unwrap().unwrap();
    assert_eq!(store.put_if_absent("lease", b"two").unwrap(), None);
    assert_eq!(store.get("lease").unwrap().unwrap(), (b"one".to_vec(), first.clone()));
    let second = store.put_if_match("lease", &first, b"two").unwrap().unwrap();
    assert_eq!(store.put_if_match("lease", &first, b"three").unwrap(), None);
    assert_eq!(store.get("lease").unwrap().unwrap(), (b"two".to_vec(), second));
    // The answer to what was done is lost: it is done all the same, and once.
    bucket.state().broken = vec![("PUT", || raw(|_| {}))];
    assert!(store.put_if_absent("lost", b"mine").unwrap().is_some());
    bucket.state().broken = vec![("PUT", || reply(503, &[], ""))];
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
    let object = S3Object::open("bucket", "k", None, None, &with(server.url(""))).unwrap();
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
    let error = open(&address("s3://bucket/k"), &with(server.url(""))).err().unwrap();
    assert!(error.to_string().contains("ap-south-1"), "{error}");
}
