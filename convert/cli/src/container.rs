//! What there is to say about a backup, archive or package, for `info` and `inspect`.

use crate::output::safe;
use format_core::units::format_size;
use format_core::{Details, Finding, OpenedImage, Result, Severity};
use serde::Serialize;
use serde_json::Value;

/// Points in time that are listed for people, the newest.
const MOST_POINTS: usize = 12;

/// A container and what is in it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ContainerFacts {
    format: &'static str,
    disks: Vec<DiskFacts>,
    machine_files: Vec<String>,
    points: Vec<PointFacts>,
    /// Whether nothing is missing, as far as that shows without reading the data.
    complete: bool,
    findings: Vec<Finding>,
    details: Details,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DiskFacts {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
    /// Its own format, where it is an image file of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    /// Whether it is one of those that were asked for.
    opened: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PointFacts {
    number: usize,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
    chosen: bool,
}

impl ContainerFacts {
    /// The container that the images lie in, if they do.
    pub(crate) fn of(opened: &[OpenedImage]) -> Result<Option<Self>> {
        let Some(inside) = opened.first().and_then(|image| image.inside.as_ref()) else { return Ok(None) };
        let container = &inside.container;
        let disk = |(index, entry): (usize, &format_core::DiskEntry)| {
            let image = opened.iter().find(|image| image.inside.as_ref().is_some_and(|i| i.index == index));
            let details = image.and_then(|image| image.disk.layers().first()).map(|layer| layer.details());
            DiskFacts {
                name: entry.name.clone(),
                virtual_size: image.map(|image| image.disk.virtual_size()).or(entry.virtual_size),
                format: image.and_then(|image| image.inside.as_ref()?.format).map(|format| format.name),
                opened: image.is_some(),
                details: details.filter(|details| !details.is_empty()),
            }
        };
        let findings = container.completeness()?;
        let point = |(number, point): (usize, &format_core::Point)| PointFacts {
            number,
            id: point.id.clone(),
            time: point.time.and_then(utc),
            virtual_size: point.virtual_size,
            chosen: point.is_chosen,
        };
        Ok(Some(Self {
            format: container.format(),
            disks: container.disks().iter().enumerate().map(disk).collect(),
            machine_files: container.machine_files()?.into_iter().map(|file| file.name).collect(),
            points: container.points().iter().enumerate().map(point).collect(),
            complete: findings.iter().all(|finding| finding.severity != Severity::Error),
            findings,
            details: container.details(),
        }))
    }

    /// Whether something that is needed is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// All of it for people.
    pub(crate) fn lines(&self) -> String {
        let mut lines = vec!["disks:".to_owned()];
        for (number, disk) in self.disks.iter().enumerate() {
            let size = disk.virtual_size.map(|size| format!(": {} ({size} bytes)", format_size(size)));
            let format = disk.format.map(|format| format!(", {format}"));
            let more = [size, format].into_iter().flatten().collect::<String>();
            lines.push(format!("    {number} {}{more}", safe(&disk.name)));
        }
        lines.extend(self.machine_files.iter().map(|name| format!("machine description: {}", safe(name))));
        if !self.points.is_empty() {
            lines.push(format!("points in time: {}", self.points.len()));
            let skipped = self.points.len().saturating_sub(MOST_POINTS);
            lines.extend(self.points.iter().skip(skipped).map(point_line));
        }
        lines.push(format!("complete: {}", if self.complete { "nothing is missing" } else { "NO" }));
        lines.extend(self.findings.iter().map(|finding| format!("    {}", safe(&finding.message))));
        if !self.details.is_empty() {
            lines.push("format specific information:".into());
            let line =
                |(key, value): (&String, &Value)| format!("    {}: {}", safe(key), safe(&plain(value)));
            lines.extend(self.details.iter().map(line));
        }
        lines.join("\n") + "\n"
    }
}

fn point_line(point: &PointFacts) -> String {
    let mark = if point.chosen { "*" } else { " " };
    let time = point.time.as_ref().map(|time| format!(" {time}")).unwrap_or_default();
    let size = point.virtual_size.map(|size| format!(", {}", format_size(size))).unwrap_or_default();
    format!("  {mark} {} {}{time}{size}", point.number, safe(&point.id))
}

/// Seconds since 1970 as RFC 3339.
fn utc(seconds: i64) -> Option<String> {
    let time =
        std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(u64::try_from(seconds).ok()?))?;
    Some(humantime::format_rfc3339_seconds(time).to_string())
}

/// A JSON value on one line: text as it is, objects as `key value` pairs.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}
