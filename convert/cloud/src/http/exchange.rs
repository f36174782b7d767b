//! One exchange: attempts, redirects, and what comes of them.

use super::body::Incoming;
use super::failure::{Failure, Fault, Refusal, broken};
use super::{Client, Head, Method, Request, retry};
use crate::error_body;
use crate::url::Url;
use format_core::{Error, ErrorKind, Result};
use std::time::SystemTime;
use ureq::http;

/// How much of a refusal's body is read, in bytes.
const MAX_ERROR_BODY: u64 = 64 << 10;
/// How many redirects are followed.
const MAX_REDIRECTS: u32 = 5;

/// Says who asks.
pub(crate) trait Sign: Send + Sync {
    /// Adds headers to `headers`, which has those of the request already.
    ///
    /// # Errors
    /// What getting credentials comes to.
    fn sign(&self, request: &Request<'_>, headers: &mut Vec<(String, String)>, now: SystemTime)
    -> Result<()>;
}

/// Nobody asks in particular.
pub(crate) struct Unsigned;

impl Sign for Unsigned {
    fn sign(&self, _: &Request<'_>, _: &mut Vec<(String, String)>, _: SystemTime) -> Result<()> {
        Ok(())
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// What an attempt came to.
enum Outcome<T> {
    Done(T),
    Elsewhere(Url),
    Refused(Refusal),
    Broken(Error, bool),
}

impl Client {
    /// Sends it, and takes the whole answer.
    pub(crate) fn send(&self, request: &Request<'_>, signer: &dyn Sign) -> Result<Answer, Failure> {
        let longest = request.longest;
        let (head, body) = self.exchange(request, signer, &mut |head, body| {
            // Nothing follows the headers of what HEAD asks for, whatever length they tell.
            let said = head.length().filter(|_| request.method != Method::Head);
            Ok((head.clone(), body.all(said, longest)?))
        })?;
        Ok(Answer { head, body })
    }

    /// Sends it and lets `take` have the body of a success; both may happen several times.
    pub(crate) fn exchange<T>(
        &self,
        request: &Request<'_>,
        signer: &dyn Sign,
        take: &mut dyn FnMut(&Head, &mut Incoming<'_>) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        let mut attempt = 1;
        loop {
            let (failure, asked, is_passing) = match self.follow(request, signer, take, attempt)? {
                Outcome::Done(done) => return Ok(done),
                Outcome::Refused(mut refusal) => {
                    refusal.is_later = (request.is_later)(&refusal);
                    let (asked, is_passing) = (refusal.retry_after, refusal.is_passing() || refusal.is_later);
                    (Failure::Refused(refusal), asked, is_passing)
                }
                Outcome::Broken(error, is_passing) => (Failure::Failed(error), None, is_passing),
                // `follow` goes there itself.
                Outcome::Elsewhere(url) => {
                    return Err(Error::contract(format!("a redirect to {url} was left over")).into());
                }
            };
            match retry::pause(&self.limits, attempt, asked).filter(|_| is_passing) {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(failure),
            }
            attempt += 1;
        }
    }

    /// An attempt, with the redirects of its answer.
    fn follow<T>(
        &self,
        request: &Request<'_>,
        signer: &dyn Sign,
        take: &mut dyn FnMut(&Head, &mut Incoming<'_>) -> Result<T, Fault>,
        attempt: u32,
    ) -> Result<Outcome<T>, Failure> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            // What was given for one host is for no other.
            let is_home = url.is_same_origin(&request.url);
            let mut headers = Vec::new();
            if is_home {
                headers
                    .extend(request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
                signer.sign(request, &mut headers, SystemTime::now())?;
            } else {
                let harmless = request
                    .headers
                    .iter()
                    .filter(|(name, _)| matches!(*name, "range" | "if-range" | "accept"));
                headers.extend(harmless.map(|(name, value)| ((*name).to_owned(), value.clone())));
            }
            match self.attempt(request, &url, &headers, take, attempt)? {
                Outcome::Elsewhere(next) => url = next,
                outcome => return Ok(outcome),
            }
        }
        Err(Error::new(
            ErrorKind::Io,
            format!("{} leads to more than {MAX_REDIRECTS} redirects", request.url),
        )
        .into())
    }

    fn attempt<T>(
        &self,
        request: &Request<'_>,
        url: &Url,
        headers: &[(String, String)],
        take: &mut dyn FnMut(&Head, &mut Incoming<'_>) -> Result<T, Fault>,
        attempt: u32,
    ) -> Result<Outcome<T>, Failure> {
        self.allow(url)?;
        let what = format!("{} {url}", request.method.name());
        let mut building = http::Request::builder().method(request.method.name()).uri(url.wire());
        for (name, value) in headers {
            building = building.header(name.as_str(), value.as_str());
        }
        // The message of the library may hold a secret header's value.
        let unsendable = || Error::usage(format!("{what}: the address or a header cannot be sent"));
        let sent = match request.method {
            Method::Get | Method::Head | Method::Delete => {
                let request = building.body(()).map_err(|_| unsendable())?;
                self.run(request, 0, url.is_loopback())
            }
            Method::Put | Method::Post => {
                let len = request.body.len() as u64;
                self.run(building.body(request.body).map_err(|_| unsendable())?, len, url.is_loopback())
            }
        };
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => {
                let (error, is_passing) = broken(&what, error);
                return Ok(Outcome::Broken(error, is_passing));
            }
        };
        let head = Head::new(response.status(), response.headers());
        let mut reader = response.body_mut().as_reader();
        let (idle, bytes_per_second) = (self.limits.idle, self.limits.bytes_per_second);
        let mut body = Incoming { reader: &mut reader, what: &what, idle, bytes_per_second };
        if matches!(head.status, 301 | 302 | 303 | 307 | 308) && head.get("location").is_some() {
            return redirected(request, url, &head).map(Outcome::Elsewhere).map_err(Failure::from);
        }
        if (200..300).contains(&head.status) {
            return Ok(match take(&head, &mut body) {
                Ok(done) => Outcome::Done(done),
                Err(Fault::Again(error)) => Outcome::Broken(error, true),
                Err(Fault::Final(error)) => Outcome::Broken(error, false),
            });
        }
        let text = if request.method == Method::Head {
            Vec::new()
        } else {
            body.all(None, MAX_ERROR_BODY).unwrap_or_default()
        };
        let (code, reason) = error_body::code(&head, &text);
        let retry_after =
            head.get("retry-after").and_then(|value| retry::retry_after(value, SystemTime::now()));
        Ok(Outcome::Refused(Refusal {
            status: head.status,
            code,
            reason,
            what,
            retry_after,
            attempts: attempt,
            is_later: false,
        }))
    }

    fn run(
        &self,
        request: http::Request<impl ureq::AsSendBody>,
        body: u64,
        is_near: bool,
    ) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let with = self.agent.configure_request(request).timeout_send_body(Some(self.limits.body(body)));
        // "This machine" is another one for a proxy, and the way there is plain.
        let with = if is_near { with.proxy(None) } else { with };
        self.agent.run(with.build())
    }
}

/// Where a redirect leads, if it may be followed.
fn redirected(request: &Request<'_>, from: &Url, head: &Head) -> Result<Url> {
    let refuse = |why: &str| {
        Err(Error::unsupported(format!("{from} redirects (status {}) {why}", head.status))
            .hint("give the address to which it leads, if you trust that"))
    };
    if !matches!(request.method, Method::Get | Method::Head) {
        return refuse("what changes something: that is not sent elsewhere");
    }
    let Some(to) = head.get("location").and_then(|location| from.to(location).ok()) else {
        return refuse("to no address that can be understood");
    };
    match (from.is_secure(), to.is_secure()) {
        (true, true) => Ok(to),
        (true, false) => refuse("from https to http"),
        (false, false) if from.is_same_origin(&to) => Ok(to),
        (false, _) => refuse("from plain http to another place"),
    }
}
