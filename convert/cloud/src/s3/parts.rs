//! What S3 answers when an object is uploaded in parts.

use crate::xml;
use format_core::{Error, ErrorKind, Result};

/// The id of an upload that was begun.
///
/// # Errors
/// `Io` where the answer has none.
pub fn upload_id(body: &[u8]) -> Result<String> {
    let wrong = || xml::wrong("S3 does not tell which upload it began");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let document = xml::parse(text)?;
    let id = xml::text(document.root_element(), "UploadId").unwrap_or_default();
    let is_id = !id.is_empty() && id.len() <= 4096 && id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_id { Ok(id.to_owned()) } else { Err(wrong()) }
}

/// The ETag of an upload that was completed. S3 sends status 200 before it knows how it ends: an error then stands in the body.
///
/// # Errors
/// `Temporary` for an error in the answer, `Io` where it is neither.
pub fn completed(body: &[u8]) -> Result<String> {
    let wrong = || xml::wrong("S3 does not tell how the upload ended");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let document = xml::parse(text)?;
    match document.root_element().tag_name().name() {
        "CompleteMultipartUploadResult" => xml::text(document.root_element(), "ETag")
            .filter(|etag| !etag.is_empty())
            .map(str::to_owned)
            .ok_or_else(wrong),
        "Error" => Err(Error::new(ErrorKind::Temporary, "S3 could not put the parts of the upload together")),
        _ => Err(wrong()),
    }
}

/// A page of the parts that an upload has.
pub struct Listed {
    /// Number, ETag and size in bytes.
    pub parts: Vec<(u64, (String, u64))>,
    /// The number after which more follow.
    pub next: Option<u64>,
}

/// Reads an answer of ListParts to the question for those after number `after`.
///
/// # Errors
/// `Io` where it is none, or leads nowhere.
pub fn listed(body: &[u8], after: u64) -> Result<Listed> {
    let wrong = || xml::wrong("S3 does not tell which parts an upload has");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let document = xml::parse(text)?;
    let root = document.root_element();
    // Emulators call the answer itself otherwise; one about no upload is none.
    if xml::text(root, "UploadId").is_none() {
        return Err(wrong());
    }
    let number = |node, name| xml::text(node, name).and_then(crate::http::number);
    let mut parts = Vec::new();
    for part in root.children().filter(|node| node.tag_name().name() == "Part") {
        let etag = xml::text(part, "ETag").filter(|etag| !etag.is_empty()).ok_or_else(wrong)?;
        let found = (number(part, "PartNumber").ok_or_else(wrong)?, number(part, "Size").ok_or_else(wrong)?);
        parts.push((found.0, (etag.to_owned(), found.1)));
    }
    let is_cut = xml::text(root, "IsTruncated") == Some("true");
    let next = if is_cut { Some(number(root, "NextPartNumberMarker").ok_or_else(wrong)?) } else { None };
    if next.is_some_and(|next| next <= after) {
        return Err(xml::wrong("S3 tells the same parts of an upload again and again"));
    }
    Ok(Listed { parts, next })
}

/// What names the parts of an upload, by number from 1.
pub(super) fn list(etags: &[&str]) -> String {
    let escaped = |etag: &str| etag.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let part = |(index, etag): (usize, &&str)| {
        format!("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", index + 1, escaped(etag))
    };
    let parts: String = etags.iter().enumerate().map(part).collect();
    format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>"
    )
}
