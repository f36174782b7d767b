//! Bearer tokens of Google.

use crate::http::{Client, Request, Sign, Unsigned};
use crate::url::Url;
use crate::{CloudOptions, secret, time};
use format_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// More than the answer has, in bytes.
const MAX_ANSWER: u64 = 64 << 10;
const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

enum Source {
    File(PathBuf),
    /// Asked for on the machine itself ("About VM metadata").
    Metadata(Box<Client>, Url),
    Nobody,
}

/// Who asks.
pub(super) struct Bearer {
    source: Source,
    kept: Mutex<Option<(Zeroizing<String>, SystemTime)>>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

impl Bearer {
    pub(super) fn new(options: &CloudOptions) -> Result<Self> {
        let get = |name: &str| options.environment.get(name);
        let source = if let Some(path) = &options.credentials {
            Source::File(path.clone())
        } else if get("GOOGLE_APPLICATION_CREDENTIALS").is_some() {
            return Err(Error::needs_person("GOOGLE_APPLICATION_CREDENTIALS names a key, and rehome takes tokens only")
                .hint("gcloud auth application-default print-access-token into a file of mode 0600, and name that with --credentials FILE"));
        } else {
            let host = get("GCE_METADATA_HOST").unwrap_or_else(|| "169.254.169.254".into());
            let (client, url) =
                (Box::new(Client::nearby(options)?), Url::parse(&format!("http://{host}{PATH}"))?);
            match ask(&client, &url) {
                Ok(token) => {
                    return Ok(Self { source: Source::Metadata(client, url), kept: Mutex::new(Some(token)) });
                }
                // No machine of Google, or one without an account.
                Err(_) => Source::Nobody,
            }
        };
        Ok(Self { source, kept: Mutex::default() })
    }

    fn token(&self) -> Result<Option<Zeroizing<String>>> {
        match &self.source {
            Source::File(path) => secret::read_line(path).map(Some),
            Source::Nobody => Ok(None),
            Source::Metadata(client, url) => {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((token, _)) = kept.as_ref().filter(|(_, ends)| !time::is_near(*ends)) {
                    return Ok(Some(token.clone()));
                }
                let (token, ends) = ask(client, url)?;
                *kept = Some((token.clone(), ends));
                Ok(Some(token))
            }
        }
    }
}

fn ask(client: &Client, url: &Url) -> Result<(Zeroizing<String>, SystemTime)> {
    let wrong = || Error::new(ErrorKind::Io, "the metadata service of Google gives no token");
    let request = Request::get(url.clone()).header("metadata-flavor", "Google").longest(MAX_ANSWER);
    let answer = client.send(&request, &Unsigned)?;
    let token: Token = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
    let secret = Zeroizing::new(token.access_token);
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    Ok((secret, SystemTime::now() + Duration::from_secs(token.expires_in.min(86_400))))
}

impl Sign for Bearer {
    fn sign(&self, _: &Request<'_>, headers: &mut Vec<(String, String)>, _: SystemTime) -> Result<()> {
        if let Some(token) = self.token()? {
            headers.push(("authorization".into(), format!("Bearer {}", *token)));
        }
        Ok(())
    }
}
