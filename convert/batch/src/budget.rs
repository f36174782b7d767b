//! What each of several jobs that run at once may take.

use format_core::units::{format_size, parse_size};
use format_core::{Error, Result};
use std::ffi::{OsStr, OsString};

/// Less memory than this is not enough for any copy.
const LEAST_MEMORY: u64 = 48 << 20;

/// What all jobs together may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of memory for the copies.
    pub memory: Option<u64>,
    /// Bytes read a second.
    pub rate: Option<u64>,
    /// Worker threads; by default one more than there are cores.
    pub threads: Option<usize>,
}

/// What each job may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    memory: Option<u64>,
    rate: Option<u64>,
    threads: Option<usize>,
}

impl Budget {
    /// Divides the budget by the number of jobs that may run at once. As never more run, the sum never exceeds it.
    ///
    /// # Errors
    /// `Usage` when a share would not be enough for a copy.
    pub fn share(&self, jobs: usize) -> Result<Share> {
        let jobs = jobs.max(1);
        let each = |total: u64| total / jobs as u64;
        let memory = self.memory.map(each);
        if let (Some(total), Some(each)) = (self.memory, memory)
            && each < LEAST_MEMORY
        {
            let (total, least) = (format_size(total), format_size(LEAST_MEMORY));
            let text = format!("--max-memory {total} is too little for {jobs} jobs: each needs {least}");
            return Err(Error::usage(text).hint("give more memory, or run fewer jobs at once with --jobs"));
        }
        let rate = self.rate.map(|total| each(total).max(1));
        let threads = self.threads.map(|total| (total / jobs).max(1));
        Ok(Share { memory, rate, threads })
    }
}

/// Commands that know `--max-memory` and `--rate-limit`.
const COPIES: [&str; 3] = ["convert", "flatten", "migrate"];

impl Share {
    /// The arguments of a job within its share: what the job asks for itself counts where it is less.
    #[must_use]
    pub fn apply(&self, command: &[OsString]) -> Vec<OsString> {
        let mut args = command.to_vec();
        if command.first().is_some_and(|name| COPIES.iter().any(|known| name == known)) {
            limit(&mut args, "--max-memory", self.memory);
            limit(&mut args, "--rate-limit", self.rate);
        }
        limit(&mut args, "--threads", self.threads.map(|threads| threads as u64));
        args
    }
}

fn limit(args: &mut Vec<OsString>, flag: &str, share: Option<u64>) {
    let Some(share) = share else { return };
    let number = |text: &OsStr| text.to_str().and_then(|text| parse_size(text).ok());
    let joined = format!("{flag}=");
    let mut own = None;
    // What stands behind a lone `--` are files, whatever they are called.
    let options = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let options = args.get(..options).unwrap_or_default();
    if let Some(at) = options.iter().position(|arg| arg == flag)
        && at + 1 < options.len()
    {
        own = number(&args[at + 1]);
        args.drain(at..at + 2);
    } else if let Some(at) = options.iter().position(|arg| arg.to_string_lossy().starts_with(&joined)) {
        own = number(OsStr::new(args.remove(at).to_string_lossy().trim_start_matches(&joined)));
    }
    let value = own.map_or(share, |own| own.min(share));
    // Behind the command's name: what follows may be anything.
    args.splice(1..1, [flag.into(), value.to_string().into()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn shares_add_up_to_no_more_than_there_is() {
        let budget = Budget { memory: Some(400 << 20), rate: Some(100), threads: Some(5) };
        let share = budget.share(3).unwrap();
        assert_eq!(
            share.apply(&words("convert a b")),
            words("convert --threads 1 --rate-limit 33 --max-memory 139810133 a b")
        );
        assert_eq!(
            share.apply(&words("migrate a --rate-limit 20 --max-memory=1G --threads 64")),
            words("migrate --threads 1 --rate-limit 20 --max-memory 139810133 a")
        );
        assert_eq!(share.apply(&words("boot-test a")), words("boot-test --threads 1 a"));
        // A file with the name of an option.
        assert_eq!(
            share.apply(&words("boot-test -- --threads=9 a")),
            words("boot-test --threads 1 -- --threads=9 a")
        );
        assert_eq!(Budget::default().share(9).unwrap().apply(&words("convert a b")), words("convert a b"));
        let error = budget.share(9).unwrap_err();
        assert!(error.to_string().contains("too little for 9 jobs"), "{error}");
    }
}
