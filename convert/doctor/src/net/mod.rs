//! Whether endpoints are reached, step by step: name, connection, proxy, TLS, certificate, first answer.
//!
//! Each step is a line of its own, so that a person sees where it ends. An answer of HTTP means that the endpoint is reached, whatever its
//! status says: 200, 401, 403, 404. Only a connection that does not come about fails.

mod connect;
mod http;
mod proxy;
mod steps;
mod timed;
mod tls;
mod url;

pub use proxy::Wish;
pub use tls::Certificate;
pub use url::{Endpoint, Scheme};

use format_core::{Code, Result};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;
use tls::Trust;

/// Endpoints that are tried at once.
const AT_ONCE: usize = 16;

/// How one step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should.
    Ok,
    /// It is reached, but not as one would like.
    Warning,
    /// It ends here.
    Failed,
}

/// A line of the result.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// `dns`, `proxy`, `tcp`, `tls`, `certificate`, `http`, `ssh`, `nbd`.
    pub step: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was seen.
    pub text: String,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// The code of a failure or a warning, for `rehome explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    /// The server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

impl Line {
    pub(crate) fn ok(step: &'static str, text: impl Into<String>) -> Self {
        let text = crate::text::line(&text.into());
        Self { step, verdict: Verdict::Ok, text, milliseconds: 0, code: None, hint: None, certificate: None }
    }

    pub(crate) fn failed(step: &'static str, code: &'static Code, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, code: Some(code.id), hint: Some(code.step), ..Self::ok(step, text) }
    }

    pub(crate) fn warning(step: &'static str, code: &'static Code, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, ..Self::failed(step, code, text) }
    }
}

/// What was seen of one endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Reached {
    /// The endpoint, without what is secret in it.
    pub url: String,
    /// Whether a connection came about.
    pub reachable: bool,
    /// The steps, in their order.
    pub lines: Vec<Line>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// URLs: `http`, `https`, `tcp://host:port`, `ssh`, `nbd`.
    pub urls: Vec<String>,
    /// Which proxy is taken.
    pub proxy: Wish,
    /// How long each step may take.
    pub limit: Duration,
}

/// All endpoints, in the order in which they were named.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether all are reached.
    pub reachable: bool,
    /// What was found of each.
    pub endpoints: Vec<Reached>,
    /// The authorities that this host trusts.
    pub trust: String,
}

/// Tries to reach all endpoints.
///
/// # Errors
/// `Usage` for what is no URL or no proxy; an endpoint that is not reached is part of the result.
pub fn reach(request: &Request) -> Result<Report> {
    let get = |name: &str| std::env::var(name).ok();
    let mut targets = Vec::new();
    for url in &request.urls {
        let endpoint = Endpoint::parse(url)?;
        let route = proxy::route(&endpoint, &request.proxy, &get)?;
        targets.push((endpoint, route));
    }
    let trust = Trust::of_system();
    let mut endpoints = Vec::new();
    for some in targets.chunks(AT_ONCE) {
        let found: Vec<Reached> = std::thread::scope(|scope| {
            let all: Vec<_> = some
                .iter()
                .map(|(endpoint, route)| scope.spawn(|| steps::take(endpoint, route, &trust, request.limit)))
                .collect();
            all.into_iter().filter_map(|one| one.join().ok()).collect()
        });
        endpoints.extend(found);
    }
    let reachable = endpoints.len() == targets.len() && endpoints.iter().all(|one| one.reachable);
    Ok(Report { reachable, endpoints, trust: trust.told })
}

impl Report {
    /// The result as text: for a terminal, and for a log that is sent to somebody.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for one in &self.endpoints {
            let verdict = if one.reachable { "reachable" } else { "NOT REACHABLE" };
            let _ = writeln!(text, "{}  {verdict}", one.url);
            for line in &one.lines {
                let mark = match line.verdict {
                    Verdict::Ok => "ok",
                    Verdict::Warning => "warning",
                    Verdict::Failed => "FAILED",
                };
                let code = line.code.map(|code| format!(" [{code}]")).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "  {:<12}{mark:<8}{:>6} ms  {}{code}",
                    line.step, line.milliseconds, line.text
                );
                if let Some(certificate) = &line.certificate {
                    let _ = writeln!(text, "{:33}for {}, by {}", "", certificate.subject, certificate.issuer);
                    let _ = writeln!(text, "{:33}names {}", "", certificate.names.join(", "));
                    let _ = writeln!(
                        text,
                        "{:33}from {} to {}",
                        "", certificate.not_before, certificate.not_after
                    );
                }
                if let Some(hint) = line.hint {
                    let _ = writeln!(text, "{:33}hint: {hint}", "");
                }
            }
        }
        let _ = writeln!(text, "({})", self.trust);
        text
    }
}
