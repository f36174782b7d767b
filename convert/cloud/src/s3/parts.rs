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

/// What names the parts of an upload, by number from 1.
pub(super) fn list(etags: &[String]) -> String {
    let escaped = |etag: &str| etag.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let part = |(index, etag): (usize, &String)| {
        format!("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", index + 1, escaped(etag))
    };
    let parts: String = etags.iter().enumerate().map(part).collect();
    format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>"
    )
}
