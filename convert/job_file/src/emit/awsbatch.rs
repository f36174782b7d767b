//! Requests of AWS Batch: a job definition, and an array job for each wave.

use super::{Array, Site, arguments, arrays, label, parallel, text, variables};
use crate::job_file::JobFile;
use crate::resolve::Resolved;
use format_core::{Error, Result};
use serde_json::{Value, json};

/// What AWS Batch takes of an array.
const MOST_TASKS: usize = 10_000;
/// What a definition may hold.
const MOST_DEFINITION: usize = 24 << 10;

const NOTES: [&str; 4] = [
    "register once: jq .registerJobDefinition THIS > d.json; aws batch register-job-definition --cli-input-json file://d.json",
    "then submit in this order: jq '.submitJob[0]' THIS > s.json; aws batch submit-job --cli-input-json file://s.json",
    "in later requests, put the jobId that the requests of the wave before answered into dependsOn; AWS begins them when those succeeded, so \
     where a job of a wave failed, submit the next without dependsOn when the wave has ended",
    "the job file, sources and outputs lie on the mounted file systems; AWS_BATCH_JOB_ATTEMPT counts attempts",
];

pub(super) fn emit(file: &JobFile, resolved: &Resolved, site: &Site) -> Result<String> {
    let Some(queue) = &site.queue else {
        return Err(Error::usage("no job queue is named").hint("name it with --queue QUEUE"));
    };
    for path in [&site.job_file, &resolved.output] {
        if !site.mounts.iter().any(|(_, mount)| path.starts_with(mount)) {
            return Err(Error::usage(format!("tasks would not see {}", path.display())).hint(
                "name the EFS file system and where it is mounted, as in --mount fs-0123456789abcdef0=/srv",
            ));
        }
    }
    let name = format!("rehome-{}", label(&resolved.name));
    let definition = definition(file, resolved, site, &name);
    if definition.to_string().len() > MOST_DEFINITION {
        return Err(Error::usage("the variables of the job file are too long for a job definition")
            .hint("write their values into the job file"));
    }
    let mut requests: Vec<Value> = Vec::new();
    let arrays = arrays(resolved, MOST_TASKS);
    for array in &arrays {
        let before = arrays.iter().rev().find(|other| other.wave < array.wave).map(|other| other.wave);
        let needs: Vec<_> =
            arrays.iter().filter(|other| Some(other.wave) == before).map(|other| other.name()).collect();
        requests.push(request(*array, &name, queue, &needs));
    }
    let parallel = parallel(resolved, site);
    let mut notes: Vec<String> = NOTES.iter().map(|note| (*note).to_owned()).collect();
    if let Some(parallel) = parallel {
        notes.push(format!(
            "AWS Batch has no limit of its own for an array: so that {parallel} tasks run at once, the compute environment has {} vCPUs at most",
            u64::from(parallel) * u64::from(site.cpus)
        ));
    }
    let all = json!({ "notes": notes, "registerJobDefinition": definition, "submitJob": requests });
    serde_json::to_string_pretty(&all)
        .map(|text| text + "\n")
        .map_err(|e| Error::contract("the requests cannot be written as JSON").with_source(e))
}

fn definition(file: &JobFile, resolved: &Resolved, site: &Site, name: &str) -> Value {
    let offset = ["REHOME_SHARD_OFFSET"];
    let environment: Vec<_> = variables(file, 0)
        .into_iter()
        .filter(|(name, _)| !offset.contains(&name.as_str()))
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    let volumes = site.mounts.iter().enumerate().map(|(number, (id, _))| {
        json!({
            "name": format!("volume{number}"),
            "efsVolumeConfiguration": { "fileSystemId": id, "transitEncryption": "ENABLED" },
        })
    });
    let points = site.mounts.iter().enumerate().map(|(number, (_, path))| {
        json!({ "sourceVolume": format!("volume{number}"), "containerPath": text(path), "readOnly": false })
    });
    let mut definition = json!({
        "jobDefinitionName": name,
        "type": "container",
        "containerProperties": {
            "image": site.image,
            // AWS Batch replaces Ref::NAME in words that begin so; none of these does.
            "command": arguments(site),
            "environment": environment,
            "user": "65532:65532",
            "volumes": volumes.collect::<Vec<_>>(),
            "mountPoints": points.collect::<Vec<_>>(),
            "resourceRequirements": [
                { "type": "VCPU", "value": site.cpus.to_string() },
                { "type": "MEMORY", "value": site.memory.to_string() },
            ],
        },
        "retryStrategy": {
            "attempts": resolved.batch.retries.unwrap_or(3).saturating_add(1).clamp(1, 10),
            "evaluateOnExit": [
                { "onExitCode": "75", "action": "RETRY" },
                { "onExitCode": "74", "action": "RETRY" },
                // The host went away: a spot instance, mostly.
                { "onStatusReason": "Host EC2*", "action": "RETRY" },
                { "onExitCode": "*", "action": "EXIT" },
            ],
        },
    });
    if let Some(minutes) = site.minutes {
        definition["timeout"] = json!({ "attemptDurationSeconds": u64::from(minutes) * 60 });
    }
    definition
}

fn request(array: Array, name: &str, queue: &str, needs: &[String]) -> Value {
    let mut environment = vec![json!({ "name": "REHOME_SHARD_OFFSET", "value": array.first.to_string() })];
    // An array has two tasks at least. One task is none, and has no index.
    if array.jobs == 1 {
        environment.push(json!({ "name": "REHOME_SHARD_INDEX", "value": "0" }));
    }
    let mut request = json!({
        "jobName": format!("{name}-{}", array.name()),
        "jobQueue": queue,
        "jobDefinition": name,
        "containerOverrides": { "environment": environment },
    });
    if array.jobs > 1 {
        request["arrayProperties"] = json!({ "size": array.jobs });
    }
    if !needs.is_empty() {
        let ids: Vec<_> = needs.iter().map(|wave| json!({ "jobId": format!("JOB-ID-OF-{wave}") })).collect();
        request["dependsOn"] = json!(ids);
    }
    request
}
