//! Credentials of containers: ECS, and EKS Pod Identity (AWS SDKs and Tools Reference Guide, "Container credential provider").

use super::credentials::Credentials;
use crate::CloudOptions;
use crate::http::{Client, Request, Unsigned};
use crate::url::Url;
use format_core::{Error, ErrorKind, Result};
use std::io::Read;

/// More than the answer or a token has, in bytes.
const MAX_ANSWER: u64 = 64 << 10;
/// Where plain http may go: ECS, and EKS in both address families.
const NEARBY: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

pub(super) fn credentials(options: &CloudOptions) -> Result<Option<Credentials>> {
    let get = |name: &str| options.environment.get(name);
    let address =
        match (get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), get("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
            (Some(path), _) => format!("http://169.254.170.2{path}"),
            (None, Some(address)) => address,
            (None, None) => return Ok(None),
        };
    let url = Url::parse(&address)?;
    if !url.is_secure() && !url.is_loopback() && !NEARBY.contains(&url.host()) {
        return Err(Error::new(
            ErrorKind::Denied,
            format!("{url} is plain http and no service for containers: no credentials are got from there"),
        ));
    }
    let mut request = Request::get(url).longest(MAX_ANSWER);
    let token = match get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => {
            let failed = |e| Error::io(format!("cannot read {path}"), e);
            let mut token = String::new();
            std::fs::File::open(&path)
                .and_then(|file| file.take(MAX_ANSWER).read_to_string(&mut token))
                .map_err(failed)?;
            Some(token.trim().to_owned())
        }
        None => get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let answer = Client::nearby(options)?.send(&request, &Unsigned)?;
    Credentials::parse(&answer.body).map(Some)
}
