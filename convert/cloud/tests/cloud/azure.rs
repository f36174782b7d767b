//! Blobs of Azure, and objects of Google, against strict stand-ins.

mod written;

use super::stub::{Ask, Reply, Stub, noise, part, reply};
use super::{options, secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use convert_cloud::{AzureBlob, CloudAddress, CloudOptions, Environment, GcsObject, open};
use format_core::{ErrorKind, ExtentKind, Storage};
use test_cloud_servers::page_blobs::{KEY, verify};

const SIZE: usize = 1 << 20;

/// Pages at each even multiple of 64 KiB, told three at a time, and an empty list before each.
fn pages(ask: &Ask) -> Reply {
    let (from, last) = ask.range().unwrap();
    assert_eq!(last, SIZE as u64 - 1);
    let marker = ask.query("marker").map(|marker| marker.parse::<u64>().unwrap());
    let Some(from) = marker else {
        return reply(
            200,
            &[],
            format!("<?xml version=\"1.0\"?><PageList><NextMarker>{from}</NextMarker></PageList>"),
        );
    };
    let kind = |at: u64| {
        if ask.query("prevsnapshot").is_some() && at.is_multiple_of(256 << 10) {
            "ClearRange"
        } else {
            "PageRange"
        }
    };
    let all: Vec<u64> = (0..SIZE as u64).step_by(128 << 10).filter(|at| at + (64 << 10) > from).collect();
    let told: String = all
        .iter()
        .take(3)
        .map(|at| {
            format!(
                "<{0}><Start>{1}</Start><End>{2}</End></{0}>",
                kind(*at),
                at.max(&from),
                at + (64 << 10) - 1
            )
        })
        .collect();
    let next = all.get(3).map(ToString::to_string).unwrap_or_default();
    reply(200, &[], format!("<PageList>{told}<NextMarker>{next}</NextMarker></PageList>"))
}

fn blob() -> Vec<u8> {
    let mut bytes = noise(SIZE);
    bytes.chunks_mut(64 << 10).skip(1).step_by(2).for_each(|chunk| chunk.fill(0));
    bytes
}

fn serve(check: fn(&Ask)) -> Stub {
    let bytes = blob();
    Stub::new(move |ask| {
        check(ask);
        if ask.query("comp").is_some() {
            return pages(ask);
        }
        let Reply::Plain(status, mut headers, body) = part(ask, &bytes, "\"0x8D\"") else { panic!() };
        headers.push(("x-ms-blob-type", "PageBlob".into()));
        Reply::Plain(status, headers, body)
    })
}

fn with(stub: &Stub) -> CloudOptions {
    let endpoint =
        format!("AccountName=account;AccountKey={};BlobEndpoint={}", STANDARD.encode(KEY), stub.url(""));
    CloudOptions {
        environment: Environment::only([("AZURE_STORAGE_CONNECTION_STRING", endpoint)]),
        ..options()
    }
}

#[test]
fn a_page_blob_is_read_with_its_holes() {
    let server = serve(verify);
    let address = CloudAddress::parse("azblob://account/disks/a b/disk.vhd").unwrap().unwrap();
    let source = open(&address, &with(&server)).unwrap();
    assert_eq!((source.storage.size(), source.identity.unwrap().value.as_str()), (SIZE as u64, "\"0x8D\""));
    let (mut at, mut found) = (0, vec![0; SIZE]);
    while at < SIZE as u64 {
        let extent = source.storage.data_at(at).unwrap();
        assert_eq!(extent.kind == ExtentKind::Data, at % (128 << 10) == 0, "{extent:?}");
        assert_eq!((extent.offset, extent.len), (at, 64 << 10));
        if extent.kind == ExtentKind::Data {
            source.storage.read_exact_at(at, &mut found[at as usize..][..64 << 10]).unwrap();
        }
        at += extent.len;
    }
    assert!(found == blob());
    let inside = source.storage.data_at((64 << 10) + 700).unwrap();
    assert_eq!((inside.kind, inside.len), (ExtentKind::Zero, (64 << 10) - 700));
    assert!(server.asked().iter().any(|ask| ask.path() == "/disks/a%20b/disk.vhd"));
}

#[test]
fn what_was_written_and_what_was_cleared_since_a_snapshot() {
    let server = serve(verify);
    let blob = AzureBlob::open("account", "disks", "d", None, &with(&server)).unwrap();
    let changed: Vec<_> = blob.changed_since("2026-11-30T00:00:00.0000000Z").unwrap().iter().collect();
    let wanted: Vec<_> = (0..SIZE as u64).step_by(128 << 10).map(|at| (at, 64 << 10)).collect();
    assert_eq!(changed, wanted);
    let asked = server.asked();
    assert!(
        asked
            .iter()
            .skip(1)
            .all(|ask| ask.query("prevsnapshot").as_deref() == Some("2026-11-30T00:00:00.0000000Z"))
    );
}

#[test]
fn a_signed_address_is_used_as_it_is_and_not_shown() {
    let server = serve(|ask| {
        assert!(ask.header("authorization").is_none() && ask.header("x-ms-version").is_some());
        assert_eq!(
            (ask.query("sv").as_deref(), ask.query("sig").as_deref()),
            (Some("2020"), Some("ge/heim="))
        );
    });
    let address = server.url("/md/abcd?sv=2020&sig=ge%2Fheim%3D");
    let blob = AzureBlob::open_signed(&address, &options()).unwrap();
    assert_eq!(blob.data_at(0).unwrap().len, 64 << 10);
    let folder = tempfile::tempdir().unwrap();
    let mut by_file = with(&server);
    by_file.credentials = Some(secret(folder.path(), "?sv=2020&sig=ge%2Fheim%3D\n"));
    assert_eq!(AzureBlob::open("account", "disks", "d", None, &by_file).unwrap().size(), SIZE as u64);

    let refusing = Stub::new(|_| reply(403, &[("x-ms-error-code", "AuthenticationFailed")], "sig=ge%2Fheim"));
    let error =
        AzureBlob::open_signed(&refusing.url("/md/abcd?sv=2020&sig=ge%2Fheim%3D"), &options()).err().unwrap();
    assert!(error.kind() == ErrorKind::Denied && error.to_string().contains("AuthenticationFailed"));
    assert!(!format!("{error:?}").contains("heim"));
}

#[test]
fn lists_of_pages_that_lead_nowhere_end() {
    for answer in [
        "<PageList><NextMarker>0</NextMarker></PageList>",
        "<PageList><PageRange><Start>0</Start><End>1048576</End></PageRange></PageList>",
        "<PageList><PageRange><Start>0</Start>",
        "<!DOCTYPE x [<!ENTITY y 'z'>]><PageList>&y;</PageList>",
    ] {
        let bytes = blob();
        let server = Stub::new(move |ask| {
            if ask.query("comp").is_some() {
                return reply(200, &[], answer);
            }
            let Reply::Plain(status, mut headers, body) = part(ask, &bytes, "\"1\"") else { panic!() };
            headers.push(("x-ms-blob-type", "PageBlob".into()));
            Reply::Plain(status, headers, body)
        });
        let blob = AzureBlob::open_signed(&server.url("/c/b"), &options()).unwrap();
        assert_eq!(blob.data_at(0).unwrap_err().kind(), ErrorKind::Io, "{answer}");
    }
}

#[test]
fn objects_of_google_are_pinned_to_their_generation() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(100_000);
    let server = Stub::new(move |ask| {
        if ask.path() == "/computeMetadata/v1/instance/service-accounts/default/token" {
            assert_eq!(ask.header("metadata-flavor"), Some("Google"));
            return reply(200, &[], r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#);
        }
        assert_eq!((ask.path(), ask.header("authorization")), ("/bucket/a%20b/disk", Some("Bearer ya29.x")));
        let Reply::Plain(status, mut headers, body) = part(ask, &bytes, "\"g\"") else { panic!() };
        headers.push(("x-goog-generation", "17".into()));
        Reply::Plain(status, headers, body)
    });
    let host = [("STORAGE_EMULATOR_HOST", server.authority()), ("GCE_METADATA_HOST", server.authority())];
    let by_metadata = CloudOptions { environment: Environment::only(host), ..options() };
    let mut by_file = CloudOptions { environment: Environment::only([host[0]]), ..options() };
    by_file.credentials = Some(secret(folder.path(), "ya29.x\n"));
    for with in [by_metadata, by_file] {
        let object = GcsObject::open("bucket", "a b/disk", None, &with).unwrap();
        let mut read = vec![0; 100_000];
        object.read_exact_at(0, &mut read).unwrap();
        assert!(read == noise(100_000));
        let identity = object.identity().unwrap();
        assert_eq!((identity.kind, identity.value.as_str()), ("generation", "17"));
        assert_eq!(server.asked().last().unwrap().query("generation").as_deref(), Some("17"));
    }
    let key = CloudOptions {
        environment: Environment::only([("GOOGLE_APPLICATION_CREDENTIALS", "/k.json")]),
        ..options()
    };
    assert_eq!(GcsObject::open("bucket", "x", None, &key).err().unwrap().kind(), ErrorKind::NeedsPerson);
}
