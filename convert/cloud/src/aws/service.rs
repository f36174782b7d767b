//! A service in a region: where it is, and how it is asked.

use super::credentials::Provider;
use super::{instance, profile, signature};
use crate::CloudOptions;
use crate::http::{Answer, Client, Failure, Request, Sign};
use crate::url::Url;
use format_core::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::SystemTime;

/// What signs requests to one service.
struct Signer {
    provider: Arc<Provider>,
    region: String,
    service: &'static str,
}

impl Sign for Signer {
    fn sign(
        &self,
        request: &Request<'_>,
        headers: &mut Vec<(String, String)>,
        now: SystemTime,
    ) -> Result<()> {
        let credentials = self.provider.get()?;
        let scope = signature::Scope { region: &self.region, service: self.service };
        signature::sign(request, headers, &credentials, scope, now)
    }
}

/// The services of AWS as one operator sees them.
pub(crate) struct Services {
    client: Arc<Client>,
    provider: Arc<Provider>,
    options: CloudOptions,
    pub(crate) region: String,
}

impl Services {
    /// In `region`, else in that of the options, the environment, the profile, or this instance.
    pub(crate) fn new(options: &CloudOptions, region: Option<&str>) -> Result<Self> {
        let (client, provider) = (Arc::new(Client::new(options)?), Arc::new(Provider::new(options)));
        let region = match region {
            Some(region) => region.to_owned(),
            None => find_region(options)?,
        };
        let is_name =
            region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if region.is_empty() || region.len() > 32 || !is_name {
            return Err(Error::usage(format!("{:?} is no region of AWS", format_core::printable(&region))));
        }
        Ok(Self { client, provider, options: options.clone(), region })
    }

    /// `ebs`, `ec2` or `s3`.
    pub(crate) fn service(&self, service: &'static str) -> Result<Service> {
        let (address, _) = self.endpoint(service);
        let signer = Signer { provider: Arc::clone(&self.provider), region: self.region.clone(), service };
        Ok(Service {
            client: Arc::clone(&self.client),
            base: Url::parse(&address)?,
            signer: Arc::new(signer),
        })
    }

    /// The address of a service, and whether the operator named it.
    pub(crate) fn endpoint(&self, service: &str) -> (String, bool) {
        let get = |name: &str| self.options.environment.get(name);
        let own = format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase());
        if let Some(address) = get(&own).or_else(|| get("AWS_ENDPOINT_URL")) {
            return (address, true);
        }
        let domain = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        (format!("https://{service}.{}.{domain}", self.region), false)
    }
}

fn find_region(options: &CloudOptions) -> Result<String> {
    let get = |name: &str| options.environment.get(name);
    if let Some(region) =
        options.region.clone().or_else(|| get("AWS_REGION")).or_else(|| get("AWS_DEFAULT_REGION"))
    {
        return Ok(region);
    }
    if let Some(region) = profile::region(&options.environment)? {
        return Ok(region);
    }
    let instance = instance::region(&Client::nearby(options)?, &options.environment)?;
    instance.ok_or_else(|| {
        Error::new(ErrorKind::Usage, "no region of AWS was named")
            .hint("add ?region=NAME to the address, or set AWS_REGION")
    })
}

/// A service that can be asked.
pub(crate) struct Service {
    pub(crate) client: Arc<Client>,
    pub(crate) base: Url,
    pub(crate) signer: Arc<dyn Sign>,
}

impl Service {
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        self.client.send(request, self.signer.as_ref())
    }
}
