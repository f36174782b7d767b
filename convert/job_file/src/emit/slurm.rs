//! A script for Slurm that is two things: run by hand it submits itself as job arrays, run by Slurm it does its task.

use super::quote::{comment, shell};
use super::{Array, Site, arguments, arrays, label, parallel, variables};
use crate::job_file::JobFile;
use crate::resolve::Resolved;
use format_core::{Error, Result};
use std::fmt::Write as _;

const HEAD: &str = "\
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
";

/// What a node does. The script waits for its child, so that it can say what happens next; TERM, which comes two minutes before the time is up
/// and when the task is moved, is handed on.
const TASK: &str = r#"
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
    run & child=$!
    trap 'signalled=1; kill -TERM "$child" 2>/dev/null' TERM INT
    code=0
    # wait ends when a signal comes, too; the child ends later. 127: it was waited for already.
    while :; do
        signalled=
        wait "$child"
        ended=$?
        ((ended == 127)) || code=$ended
        [[ -n $signalled ]] || break
    done
    job=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
    config=$(scontrol show config 2>/dev/null) || config=
    says() { grep -Eq "^$1 *= *(.*,)?$2(,|\$)" <<<"$config"; }
    case $code in
    74 | 75)
        if ((${SLURM_RESTART_COUNT:-0} >= most_restarts)); then
            echo "rehome: $job was begun again $most_restarts times and ended with $code: given up" >&2
            exit 1
        fi
        # Where the site requeues by exit code, Slurm does it; else the task asks for it itself.
        says RequeueExit "$code" || scontrol requeue "$job" || exit "$code"
        exit "$code"
        ;;
    78)
        # A person has to look; then: scontrol release JOB
        says RequeueExitHold 78 || scontrol requeuehold "$job" || exit 78
        exit 78
        ;;
    *) exit "$code" ;;
    esac
fi
"#;

pub(super) fn emit(file: &JobFile, resolved: &Resolved, site: &Site) -> Result<String> {
    if site.program.to_str().is_none() {
        return Err(Error::usage("the program's path cannot be told to tasks").hint("name it with --program"));
    }
    let mut out = format!(
        "#!/bin/bash\n# The batch {} for Slurm. Run this script where sbatch is; it submits itself:  bash THIS\n# Sources, outputs, the job \
         file and the program must be at the same paths on all nodes.\n#\n# Best with RequeueExit=75 and RequeueExitHold=78 in slurm.conf; without \
         them tasks ask for the same themselves.\n# Slurm begins a task that it requeued after about two minutes.\n#SBATCH --job-name={}\n{HEAD}",
        comment(&resolved.name),
        label(&resolved.name),
    );
    let _ = writeln!(out, "#SBATCH --cpus-per-task={}\n#SBATCH --mem={}M", site.cpus, site.memory);
    if let Some(minutes) = site.minutes {
        let _ = writeln!(out, "#SBATCH --time={minutes}");
    }
    if let Some(partition) = &site.queue {
        if partition.is_empty()
            || !partition.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ','))
        {
            return Err(Error::usage(format!("{partition:?} is no name of a partition")));
        }
        let _ = writeln!(out, "#SBATCH --partition={partition}");
    }
    let _ = writeln!(out, "set -u\nmost_restarts={}", resolved.batch.retries.unwrap_or(3).max(10));
    out.push_str(&run(file, site));
    out.push_str(TASK);
    out.push_str(&submit(resolved, site));
    Ok(out)
}

fn run(file: &JobFile, site: &Site) -> String {
    let mut out = String::from("\n# What a task does.\nrun() {\n");
    // What the engine counts with is exported when the arrays are submitted.
    for (name, value) in variables(file, 0).into_iter().filter(|(name, _)| name != "REHOME_SHARD_OFFSET") {
        let _ = writeln!(out, "    export {name}={}", shell(&value));
    }
    let program = shell(&super::text(&site.program));
    let words: Vec<_> = arguments(site).iter().map(|word| shell(word)).collect();
    let _ = writeln!(out, "    exec {program} {}\n}}", words.join(" "));
    out
}

fn submit(resolved: &Resolved, site: &Site) -> String {
    let mut out = String::from(
        "\n# By hand: the arrays of a wave begin when all of the wave before have ended, well or not.\nset -e\nthis=$(readlink -f -- \"${BASH_SOURCE[0]}\")\n\
         logs=${REHOME_LOGS:-$PWD/rehome-logs}\nmkdir -p -- \"$logs\"\nbefore= now=\nsubmit() { # OFFSET TASKS NAME\n    local id\n    \
         id=$(sbatch --parsable --array=\"0-$(($2 - 1))LIMIT\" --export=\"ALL,REHOME_SHARD_OFFSET=$1\" --output=\"$logs/%A_%a.log\" \\\n        \
         ${before:+--dependency=afterany\"$before\"} -- \"$this\")\n    now+=:${id%%;*}\n    printf '%s %s: %s tasks\\n' \"${id%%;*}\" \"$3\" \"$2\"\n}\n",
    );
    let limit = parallel(resolved, site).map(|most| format!("%{most}")).unwrap_or_default();
    out = out.replace("LIMIT", &limit);
    let mut wave = None;
    for array in arrays(resolved, site.array as usize) {
        if wave.is_some_and(|wave| wave != array.wave) {
            out.push_str("before=$now now=\n");
        }
        wave = Some(array.wave);
        let Array { first, jobs, .. } = array;
        let _ = writeln!(out, "submit {first} {jobs} {}", array.name());
    }
    out
}
