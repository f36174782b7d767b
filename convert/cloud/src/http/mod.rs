//! HTTP as this crate speaks it: blocking, bounded in every direction, and tried again where that may help.
//!
//! ```text
//!  Request ──sign──▶ attempt ──▶ 2xx: the caller takes Head and body      Fault::Again ─┐
//!                       │                                                               ├─ pause, next attempt
//!                       └──────▶ 429, 500, 502, 503, 504, cut connection ───────────────┘
//!                       └──────▶ any other answer: a Refusal with its status and code
//! ```
//!
//! Certificates are always verified. Of an answer that is no success nothing is shown but its status and its code, which is a
//! word: the rest is a stranger's text, and may repeat what was sent.

mod body;
mod client;
mod exchange;
mod failure;
mod head;
mod retry;

pub(crate) use body::Incoming;
pub(crate) use client::Client;
pub(crate) use exchange::{Answer, Sign, Unsigned};
pub(crate) use failure::{Failure, Fault, Refusal};
pub(crate) use head::{Head, number};

use crate::url::Url;

/// What is asked for with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Something to send.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: &'a [u8],
    /// How much an answer's body may have, in bytes.
    pub(crate) longest: u64,
    /// Whether a refusal with this code means "later", besides the statuses that always do.
    pub(crate) is_later: fn(&Refusal) -> bool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: &[], longest: 0, is_later: |_| false }
    }

    pub(crate) fn get(url: Url) -> Self {
        Self::new(Method::Get, url)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn with_body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    /// An answer's body has at most so many bytes.
    pub(crate) fn longest(self, longest: u64) -> Self {
        Self { longest, ..self }
    }
}
