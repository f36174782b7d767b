//! The ways to name a remote object or a disk of a cloud.

use crate::ebs::api::is_snapshot;
use crate::s3::is_bucket;
use crate::url::Url;
use crate::{CloudOptions, S3Store};
use format_core::{ConditionalStore, Error, Result};
use std::fmt;
use std::sync::Arc;

/// The ends of the hosts at which Azure keeps blobs and exports disks.
const AZURE_HOSTS: [&str; 4] = [
    ".blob.core.windows.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.core.usgovcloudapi.net",
    ".blob.storage.azure.net",
];

/// A checked address. Shown without its query.
#[derive(Clone, PartialEq, Eq)]
pub struct CloudAddress(pub(crate) Place);

/// What an address names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Http(String),
    /// With a shared access signature.
    AzureSigned(String),
    Azure {
        account: String,
        container: String,
        blob: String,
        snapshot: Option<String>,
    },
    Ebs {
        id: String,
        region: Option<String>,
    },
    NewEbs {
        gib: u64,
        region: Option<String>,
        parent: Option<String>,
    },
    S3 {
        bucket: String,
        key: String,
        region: Option<String>,
        version: Option<String>,
    },
    Gcs {
        bucket: String,
        object: String,
        generation: Option<String>,
    },
}

impl CloudAddress {
    /// Where several runs agree which of them writes to this address, and by which name; `None` where nothing has to be agreed on, or
    /// cannot be.
    ///
    /// # Errors
    /// `Usage` for a name that is too long; without credentials or a region, as [`crate::open()`].
    pub fn agreement(&self, options: &CloudOptions) -> Result<Option<(Arc<dyn ConditionalStore>, String)>> {
        let Place::S3 { bucket, key, region, version: None } = &self.0 else { return Ok(None) };
        if key.len() > 1000 {
            return Err(Error::usage(
                "a key that is written to has at most 1000 bytes: names beside it are longer",
            ));
        }
        Ok(Some((Arc::new(S3Store::open(bucket, region.as_deref(), options)?), key.clone())))
    }

    /// Takes an address apart; `None` for what has none of the schemes `https`, `http`, `ebs`, `s3`, `azblob` and `gs`, such as the name
    /// of a file.
    ///
    /// | address | options behind `?` |
    /// |---|---|
    /// | `https://HOST/PATH`, `http://…` | the server's own |
    /// | `ebs://snap-…` | `region` |
    /// | `ebs://new?size=GIB` (target only) | `region`, `parent` |
    /// | `s3://BUCKET/KEY` | `region`, `versionId` |
    /// | `azblob://ACCOUNT/CONTAINER/BLOB` | `snapshot` |
    /// | `gs://BUCKET/OBJECT` | `generation` |
    ///
    /// # Errors
    /// `Usage` for an address that has such a scheme and is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self>> {
        let (scheme, rest) = text.split_once("://")?;
        let place = match scheme.to_ascii_lowercase().as_str() {
            "https" | "http" => http(text),
            "ebs" => ebs(rest),
            "s3" => s3(rest),
            "azblob" => azure(rest),
            "gs" => gcs(rest),
            _ => return None,
        };
        Some(place.map(Self))
    }

    /// The last part of its name, by which the image's format may be known; of a snapshot the id.
    #[must_use]
    pub fn file_name(&self) -> String {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        match &self.0 {
            Place::Http(address) | Place::AzureSigned(address) => {
                let path = Url::parse(address).map(|url| url.path().to_owned()).unwrap_or_default();
                last(&crate::url::decode(&path).unwrap_or(path))
            }
            Place::Azure { blob, .. } => last(blob),
            Place::Ebs { id, .. } => id.clone(),
            Place::NewEbs { .. } => "new".into(),
            Place::S3 { key, .. } => last(key),
            Place::Gcs { object, .. } => last(object),
        }
    }

    /// Whether what is written there has to be a fixed VHD of whole MiB: a page blob of Azure.
    #[must_use]
    pub fn takes_fixed_vhd(&self) -> bool {
        matches!(self.0, Place::Azure { .. } | Place::AzureSigned(_))
    }

    /// Whether it is a raw disk by its nature, whatever its bytes look like: a snapshot of EBS. A page blob of Azure is a VHD or a raw disk.
    #[must_use]
    pub fn is_raw_disk(&self) -> bool {
        matches!(self.0, Place::Ebs { .. } | Place::NewEbs { .. })
    }
}

impl fmt::Display for CloudAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Http(address) | Place::AzureSigned(address) => match Url::parse(address) {
                Ok(url) => url.fmt(f),
                Err(_) => f.write_str("an address"),
            },
            Place::Azure { account, container, blob, .. } => {
                write!(f, "azblob://{account}/{container}/{blob}")
            }
            Place::Ebs { id, .. } => write!(f, "ebs://{id}"),
            Place::NewEbs { .. } => f.write_str("ebs://new"),
            Place::S3 { bucket, key, .. } => write!(f, "s3://{bucket}/{key}"),
            Place::Gcs { bucket, object, .. } => write!(f, "gs://{bucket}/{object}"),
        }
    }
}

impl fmt::Debug for CloudAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn http(text: &str) -> Result<Place> {
    let url = Url::parse(text)?;
    let is_azure = AZURE_HOSTS.iter().any(|end| url.host().ends_with(end));
    let is_signed = url.query().is_some_and(|query| query.split('&').any(|part| part.starts_with("sig=")));
    Ok(if is_azure && is_signed { Place::AzureSigned(text.to_owned()) } else { Place::Http(text.to_owned()) })
}

/// What comes before `?`, and the options behind it, in the order of `known`.
fn options<'a, const N: usize>(rest: &'a str, known: [&str; N]) -> Result<(&'a str, [Option<String>; N])> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    if place.chars().any(char::is_control) || place.len() > 2048 {
        return Err(Error::usage(
            "the address of an object holds control characters, or is longer than any is",
        ));
    }
    let mut found = known.map(|_| None);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let slot = known.iter().zip(found.iter_mut()).find(|(known, _)| **known == name);
        let value = crate::url::decode(value)
            .filter(|value| !value.is_empty() && !value.chars().any(char::is_control));
        match (slot, value) {
            (Some((_, slot)), Some(value)) if slot.is_none() => *slot = Some(value),
            // The part itself may be a secret in the wrong place.
            _ => {
                return Err(Error::usage(format!(
                    "an option of the address is unknown, empty or twice there; there can be: {}",
                    known.join(", ")
                )));
            }
        }
    }
    Ok((place, found))
}

fn ebs(rest: &str) -> Result<Place> {
    if rest.split('?').next() == Some("new") {
        let (_, [size, region, parent]) = options(rest, ["size", "region", "parent"])?;
        let gib = size.and_then(|size| size.parse().ok()).filter(|gib| (1..=65_536).contains(gib));
        let gib = gib.ok_or_else(|| {
            Error::usage("a new snapshot needs the size of its volume in GiB: ebs://new?size=8")
        })?;
        if parent.as_deref().is_some_and(|parent| !is_snapshot(parent)) {
            return Err(Error::usage("the parent of a new snapshot is no id (snap- and hexadecimal digits)"));
        }
        return Ok(Place::NewEbs { gib, region, parent });
    }
    let (id, [region]) = options(rest, ["region"])?;
    if !is_snapshot(id) {
        return Err(Error::usage(format!(
            "{:?} is no id of a snapshot (snap- and hexadecimal digits)",
            format_core::printable(id)
        ))
        .hint("take a snapshot of the volume first: aws ec2 create-snapshot --volume-id VOLUME"));
    }
    Ok(Place::Ebs { id: id.to_owned(), region })
}

fn s3(rest: &str) -> Result<Place> {
    let (place, [region, version]) = options(rest, ["region", "versionId"])?;
    let (bucket, key) = two(place)
        .filter(|(bucket, _)| is_bucket(bucket))
        .ok_or_else(|| Error::usage("an address of S3 is s3://BUCKET/KEY, the bucket in lower case"))?;
    Ok(Place::S3 { bucket, key, region, version })
}

fn azure(rest: &str) -> Result<Place> {
    let (place, [snapshot]) = options(rest, ["snapshot"])?;
    let wrong = || Error::usage("an address of Azure is azblob://ACCOUNT/CONTAINER/BLOB");
    let (account, path) = two(place).ok_or_else(wrong)?;
    let (container, blob) = two(&path).ok_or_else(wrong)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_account = (3..=24).contains(&account.len()) && account.bytes().all(plain);
    let is_container = container.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'$'));
    if !is_account || !is_container || blob.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(wrong());
    }
    Ok(Place::Azure { account, container, blob, snapshot })
}

fn gcs(rest: &str) -> Result<Place> {
    let (place, [generation]) = options(rest, ["generation"])?;
    let (bucket, object) =
        two(place).ok_or_else(|| Error::usage("an address of Google is gs://BUCKET/OBJECT"))?;
    Ok(Place::Gcs { bucket, object, generation })
}

fn two(place: &str) -> Option<(String, String)> {
    let (first, second) = place.split_once('/')?;
    (!first.is_empty() && !second.is_empty()).then(|| (first.to_owned(), second.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names_of_files() {
        for text in ["disk.img", "/a/b", "nbd://x/y", "json:{}", "", "c:\\x"] {
            assert!(CloudAddress::parse(text).is_none(), "{text}");
        }
        for (text, shown, name) in [
            ("https://h/a/b%20c.vmdk?sig=geheim", "https://h/a/b%20c.vmdk?…", "b c.vmdk"),
            (
                "https://md-1.z1.blob.storage.azure.net/x/abcd?sv=1&sig=geheim",
                "https://md-1.z1.blob.storage.azure.net/x/abcd?…",
                "abcd",
            ),
            (
                "ebs://snap-0123456789abcdef0?region=eu-west-1",
                "ebs://snap-0123456789abcdef0",
                "snap-0123456789abcdef0",
            ),
            ("ebs://new?size=8&parent=snap-0123456789abcdef0", "ebs://new", "new"),
            ("s3://bucket/a/b.qcow2?versionId=x", "s3://bucket/a/b.qcow2", "b.qcow2"),
            ("azblob://account/cont/d/e.vhd", "azblob://account/cont/d/e.vhd", "e.vhd"),
            ("gs://b/o.tar.gz", "gs://b/o.tar.gz", "o.tar.gz"),
        ] {
            let address = CloudAddress::parse(text).unwrap().unwrap();
            assert_eq!((format!("{address}"), address.file_name()), (shown.into(), name.into()));
            assert!(!format!("{address:?}").contains("geheim"));
        }
        let signed = CloudAddress::parse("https://a.blob.core.windows.net/c/b?sig=x").unwrap().unwrap();
        assert!(matches!(signed.0, Place::AzureSigned(_)));
    }

    #[test]
    fn what_only_looks_like_one_is_refused() {
        for text in [
            "https://u:geheim@h/",
            "ebs://vol-0123456789abcdef0",
            "ebs://snap-XYZ",
            "ebs://new",
            "ebs://new?size=0",
            "ebs://new?size=8&size=9",
            "ebs://new?size=8&parent=x",
            "s3://bucket",
            "s3:///k",
            "s3://B/k",
            "s3://bucket/k?secret=geheim",
            "azblob://acc/c",
            "azblob://ACC/c/b",
            "azblob://acc/c/../b",
            "gs://b",
            "gs://b/o?generation=",
            "s3://bucket/a\nb",
        ] {
            let error = CloudAddress::parse(text).unwrap().unwrap_err();
            assert!(!format!("{error:?}").contains("geheim"), "{error}");
        }
    }
}
