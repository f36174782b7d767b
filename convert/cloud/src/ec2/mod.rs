//! What EC2 tells of machines, volumes, snapshots and images (Amazon EC2 API Reference, version 2016-11-15).
//!
//! The service answers in XML; what is given here is the JSON that `aws ec2 describe-…` prints, which the dialect of machines reads.

mod json;

pub use json::to_json;

use crate::CloudOptions;
use crate::aws::{Service, Services};
use crate::http::{Failure, Refusal, Request};
use format_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

/// More than the answer for some machines has, in bytes.
const MAX_ANSWER: u64 = 4 << 20;
const VERSION: &str = "2016-11-15";

/// The EC2 of a region.
pub struct Ec2(Service);

impl Ec2 {
    /// That of `region`, else of the region that the environment says.
    ///
    /// # Errors
    /// `Usage` where no region is said, or for addresses that are none.
    pub fn open(region: Option<&str>, options: &CloudOptions) -> Result<Self> {
        Self::of(&Services::new(options, region)?)
    }

    pub(crate) fn of(services: &Services) -> Result<Self> {
        Ok(Self(services.service("ec2")?))
    }

    /// All that is needed to describe the machine `id` (`i-…`): its instance, volumes, image and type, in one document with the keys
    /// `Reservations`, `Volumes`, `Images` and `InstanceTypes`. Image and type are left out where they are gone or not to be seen.
    ///
    /// # Errors
    /// `SourceMissing` where there is no such instance, else as any request: `Denied`, `Temporary`, `Io`.
    pub fn describe_instance(&self, id: &str) -> Result<Vec<u8>> {
        let id = self.id(id, "i-")?;
        let mut all = self.ask("DescribeInstances", "InstanceId", &[id])?;
        let instance = all.pointer("/Reservations/0/Instances/0").cloned().ok_or_else(|| missing(id))?;
        let get = |name: &str| instance.get(name).and_then(Value::as_str).unwrap_or_default();
        let mappings = instance.get("BlockDeviceMappings").and_then(Value::as_array);
        let volumes: Vec<&str> = mappings
            .into_iter()
            .flatten()
            .filter_map(|mapping| mapping.pointer("/Ebs/VolumeId").and_then(Value::as_str))
            .collect();
        let Some(all) = all.as_object_mut() else { return Err(missing(id)) };
        all.remove("NextToken");
        if !volumes.is_empty() {
            join(all, self.ask("DescribeVolumes", "VolumeId", &volumes)?);
        }
        for (action, parameter, value) in [
            ("DescribeImages", "ImageId", get("ImageId")),
            ("DescribeInstanceTypes", "InstanceType", get("InstanceType")),
        ] {
            if !value.is_empty()
                && let Ok(more) = self.ask(action, parameter, &[value])
            {
                join(all, more);
            }
        }
        serde_json::to_vec(all).map_err(|e| Error::contract("a description cannot be written").with_source(e))
    }

    /// What `aws ec2 describe-volumes` says of these (`vol-…`).
    ///
    /// # Errors
    /// As [`Ec2::describe_instance`].
    pub fn describe_volumes(&self, ids: &[&str]) -> Result<Vec<u8>> {
        self.described("DescribeVolumes", "VolumeId", "vol-", ids)
    }

    /// What `aws ec2 describe-snapshots` says of these (`snap-…`).
    ///
    /// # Errors
    /// As [`Ec2::describe_instance`].
    pub fn describe_snapshots(&self, ids: &[&str]) -> Result<Vec<u8>> {
        self.described("DescribeSnapshots", "SnapshotId", "snap-", ids)
    }

    /// What `aws ec2 describe-images` says of these (`ami-…`).
    ///
    /// # Errors
    /// As [`Ec2::describe_instance`].
    pub fn describe_images(&self, ids: &[&str]) -> Result<Vec<u8>> {
        self.described("DescribeImages", "ImageId", "ami-", ids)
    }

    /// `pending`, `completed` or `error`.
    pub(crate) fn snapshot_state(&self, id: &str) -> Result<String> {
        let all = self.ask("DescribeSnapshots", "SnapshotId", &[id])?;
        let state = all.pointer("/Snapshots/0/State").and_then(Value::as_str);
        state.map(str::to_owned).ok_or_else(|| missing(id))
    }

    /// Gives up a snapshot that was begun and is not complete.
    pub(crate) fn discard(&self, id: &str) -> Result<()> {
        let questions = [("Action", "DeleteSnapshot"), ("SnapshotId", id), ("Version", VERSION)];
        let request =
            Request { is_later, ..Request::get(self.0.base.asking(&questions)).longest(MAX_ANSWER) };
        self.0.send(&request).map(drop).map_err(Error::from)
    }

    fn described(&self, action: &str, parameter: &str, prefix: &str, ids: &[&str]) -> Result<Vec<u8>> {
        let ids = ids.iter().map(|id| self.id(id, prefix)).collect::<Result<Vec<_>>>()?;
        if ids.is_empty() {
            return Err(Error::usage("no id was given: not all of an account is described"));
        }
        let all = self.ask(action, parameter, &ids)?;
        serde_json::to_vec(&all)
            .map_err(|e| Error::contract("a description cannot be written").with_source(e))
    }

    fn id<'a>(&self, id: &'a str, prefix: &str) -> Result<&'a str> {
        let rest = id.strip_prefix(prefix).unwrap_or_default();
        if !(8..=32).contains(&rest.len()) || !rest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::usage(format!(
                "{:?} is no id ({prefix} and hexadecimal digits)",
                format_core::printable(id)
            )));
        }
        Ok(id)
    }

    fn ask(&self, action: &str, parameter: &str, values: &[&str]) -> Result<Value> {
        let names: Vec<String> = (1..=values.len()).map(|number| format!("{parameter}.{number}")).collect();
        let mut questions = vec![("Action", action), ("Version", VERSION)];
        questions.extend(names.iter().map(String::as_str).zip(values.iter().copied()));
        let url = self.0.base.asking(&questions);
        let request = Request { is_later, ..Request::get(url).longest(MAX_ANSWER) };
        match self.0.send(&request) {
            Ok(answer) => to_json(&answer.body),
            Err(Failure::Refused(refusal))
                if refusal.code.as_deref().is_some_and(|code| code.ends_with(".NotFound")) =>
            {
                Err(Error::new(ErrorKind::SourceMissing, refusal.to_string()))
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

fn is_later(refusal: &Refusal) -> bool {
    refusal.is("RequestLimitExceeded") || refusal.is("Throttling") || refusal.is("InternalError")
}

fn missing(id: &str) -> Error {
    Error::new(ErrorKind::SourceMissing, format!("EC2 tells nothing of {id}"))
}

fn join(all: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        all.extend(more.into_iter().filter(|(name, _)| name != "NextToken"));
    }
}
