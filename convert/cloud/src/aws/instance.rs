//! The metadata service of EC2, version 2 (Amazon EC2 User Guide, "Use the Instance Metadata Service").

use super::credentials::Credentials;
use crate::Environment;
use crate::http::{Client, Failure, Method, Request, Unsigned};
use crate::url::{Url, encode};
use format_core::{Error, ErrorKind, Result};

/// More than anything that it says has, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// The role's credentials; `None` where this is no instance, or one without a role.
pub(super) fn credentials(client: &Client, environment: &Environment) -> Result<Option<Credentials>> {
    let roles = "/latest/meta-data/iam/security-credentials/";
    let Some((base, token)) = session(client, environment)? else { return Ok(None) };
    let Some(role) = get(client, &base, &token, roles)? else { return Ok(None) };
    let role = String::from_utf8_lossy(&role).lines().next().unwrap_or_default().trim().to_owned();
    if role.is_empty() {
        return Ok(None);
    }
    get(client, &base, &token, &format!("{roles}{}", encode(&role)))?
        .map(|body| Credentials::parse(&body))
        .transpose()
}

/// The region in which the instance is.
pub(super) fn region(client: &Client, environment: &Environment) -> Result<Option<String>> {
    let Some((base, token)) = session(client, environment)? else { return Ok(None) };
    let found = get(client, &base, &token, "/latest/meta-data/placement/region")?;
    Ok(found.and_then(|body| String::from_utf8(body).ok()).map(|region| region.trim().to_owned()))
}

/// The service's address and a token for it.
fn session(client: &Client, environment: &Environment) -> Result<Option<(Url, String)>> {
    if environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let address = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let base = Url::parse(address.as_deref().unwrap_or("http://169.254.169.254"))?;
    let request = Request::new(Method::Put, base.with_path("/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", "300")
        .longest(MAX_ANSWER);
    match client.send(&request, &Unsigned) {
        Ok(answer) => {
            let token = String::from_utf8(answer.body)
                .ok()
                .filter(|token| token.bytes().all(|b| b.is_ascii_graphic()));
            let token = token.ok_or_else(|| {
                Error::new(ErrorKind::Io, "the metadata service gives a token that is none")
            })?;
            Ok(Some((base, token)))
        }
        // Nobody is there, or somebody else is.
        Err(_) => Ok(None),
    }
}

fn get(client: &Client, base: &Url, token: &str, path: &str) -> Result<Option<Vec<u8>>> {
    let request =
        Request::get(base.with_path(path)).header("x-aws-ec2-metadata-token", token).longest(MAX_ANSWER);
    match client.send(&request, &Unsigned) {
        Ok(answer) => Ok(Some(answer.body)),
        Err(Failure::Refused(refusal)) if refusal.status == 404 => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}
