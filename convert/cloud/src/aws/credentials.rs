//! Who asks, by AWS's own conventions (AWS SDKs and Tools Reference Guide, "Credential provider chain").

use super::{container, instance, profile};
use crate::http::Client;
use crate::{CloudOptions, time};
use format_core::{Error, ErrorKind, Result};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// An identity of AWS.
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) token: Option<Zeroizing<String>>,
    /// When they stop to count.
    pub(super) ends: Option<SystemTime>,
}

impl Credentials {
    pub(super) fn new(id: String, secret: String, token: Option<String>) -> Result<Self> {
        let secret = Zeroizing::new(secret);
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain(&id) || !is_plain(&secret) || !token.as_deref().is_none_or(is_plain) {
            return Err(Error::usage(
                "the credentials of AWS hold what none have: spaces, or characters beyond ASCII",
            ));
        }
        Ok(Self { id, secret, token: token.map(Zeroizing::new), ends: None })
    }

    /// As the services inside of AWS give them: `AccessKeyId`, `SecretAccessKey`, `Token`, `Expiration`.
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Io, "the answer holds no credentials as AWS describes them");
        let value: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(id), Some(secret)) = (text("AccessKeyId"), text("SecretAccessKey")) else {
            return Err(wrong());
        };
        let ends = text("Expiration").map(|ends| time::parse_rfc3339(&ends).ok_or_else(wrong)).transpose()?;
        Ok(Self { ends, ..Self::new(id, secret, text("Token"))? })
    }

    fn is_ending(&self) -> bool {
        self.ends.is_some_and(time::is_near)
    }
}

/// The credentials, got when they are first needed and again before they end.
pub(super) struct Provider {
    options: CloudOptions,
    kept: Mutex<Option<Arc<Credentials>>>,
}

impl Provider {
    pub(super) fn new(options: &CloudOptions) -> Self {
        Self { options: options.clone(), kept: Mutex::default() }
    }

    /// Those that count now.
    ///
    /// # Errors
    /// `NeedsPerson` where there are none.
    pub(super) fn get(&self) -> Result<Arc<Credentials>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.as_ref().filter(|found| !found.is_ending()) {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(find(&self.options)?);
        *kept = Some(Arc::clone(&found));
        Ok(found)
    }
}

fn find(options: &CloudOptions) -> Result<Credentials> {
    let get = |name: &str| options.environment.get(name);
    // Keys of the environment count before a profile, as in the SDKs.
    if let (Some(id), Some(secret)) = (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
        return Credentials::new(id, secret, get("AWS_SESSION_TOKEN"));
    }
    if let Some(found) = profile::credentials(&options.environment)? {
        return Ok(found);
    }
    if let Some(found) = container::credentials(options)? {
        return Ok(found);
    }
    if let Some(found) = instance::credentials(&Client::nearby(options)?, &options.environment)? {
        return Ok(found);
    }
    Err(Error::needs_person(
        "no credentials of AWS were found: not in the environment, not in ~/.aws, and this is no machine or container of AWS with a role",
    )
    .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile in AWS_PROFILE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_aws_are_read() {
        let text = br#"{"Code":"Success","AccessKeyId":"ID","SecretAccessKey":"S/+","Token":"T","Expiration":"2035-01-01T00:00:00Z"}"#;
        let found = Credentials::parse(text).unwrap();
        assert_eq!(
            (found.id.as_str(), found.secret.as_str(), found.token.unwrap().as_str()),
            ("ID", "S/+", "T")
        );
        assert!(found.ends.is_some());
        for text in [
            "",
            "{}",
            "[]",
            r#"{"AccessKeyId":"a"}"#,
            r#"{"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"soon"}"#,
        ] {
            assert!(Credentials::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Credentials::parse(br#"{"AccessKeyId":"a\nb","SecretAccessKey":"b"}"#).is_err());
    }
}
