//! What the operator says besides the address.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How remote places are reached.
#[derive(Clone, Debug, Default)]
pub struct CloudOptions {
    /// A file with the secret for the address, mode 0600: `user:password` for HTTP, a SAS for Azure, a bearer token for
    /// Google. Without it, each cloud's own conventions count.
    pub credentials: Option<PathBuf>,
    /// A file of certificates (PEM) of authorities that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Plain http is spoken with hosts other than this one, too: whoever is on the way reads and changes all of it.
    pub insecure: bool,
    /// The region of AWS, where neither the address nor the environment is to say it.
    pub region: Option<String>,
    /// How long is waited.
    pub limits: TimeLimits,
    /// Where the clouds' own variables are looked up.
    pub environment: Environment,
}

/// How long is waited for other machines, and how often it is tried again.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// For a name and a connection, with its handshake.
    pub connect: Duration,
    /// For all headers of an answer, from the end of the request.
    pub headers: Duration,
    /// Between two reads or writes of a body.
    pub idle: Duration,
    /// The least that a body moves at, in bytes a second, once `idle` has passed.
    pub bytes_per_second: u64,
    /// How often a request is sent at most.
    pub attempts: u32,
    /// The pause before the second attempt; each later one is twice as long.
    pub pause: Duration,
    /// The longest pause that a server may ask for with `Retry-After`, or that the doubling comes to.
    pub longest_pause: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            headers: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            bytes_per_second: 64 << 10,
            attempts: 5,
            pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl TimeLimits {
    /// For a body of `len` bytes.
    pub(crate) fn body(&self, len: u64) -> Duration {
        self.idle + Duration::from_secs(len / self.bytes_per_second.max(1))
    }
}

/// The variables by which clouds are configured: those of the process, or given ones.
#[derive(Clone, Default)]
pub struct Environment(Option<BTreeMap<String, String>>);

impl Environment {
    /// These variables and no others; no proxy is used.
    pub fn only<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(Some(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }

    /// The value of a variable; one that is set to nothing counts as unset, as AWS has it.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            None => std::env::var(name).ok(),
            Some(given) => given.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    pub(crate) fn is_of_process(&self) -> bool {
        self.0.is_none()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values are secrets, often.
        match &self.0 {
            None => f.write_str("the process's"),
            Some(given) => f.debug_set().entries(given.keys()).finish(),
        }
    }
}
