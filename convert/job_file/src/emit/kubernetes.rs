//! Indexed Jobs of Kubernetes, one for each wave, and a ConfigMap with the job file where no volume holds it.

use super::quote::{comment, yaml};
use super::{Array, Site, arguments, arrays, label, parallel, text, variables};
use crate::job_file::JobFile;
use crate::resolve::Resolved;
use format_core::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;

/// Of the MiB that a ConfigMap may have.
const MOST_CONFIG: usize = 900 << 10;
/// What Kubernetes takes of indices with their own back-off.
const MOST_INDICES: usize = 100_000;
/// For another try nothing would be different.
const FINAL: &str = "[2, 65, 66, 69, 73, 77, 78]";

pub(super) fn emit(file: &JobFile, resolved: &Resolved, site: &Site) -> Result<String> {
    let name = label(&resolved.name);
    let is_on_volume = site.mounts.iter().any(|(_, path)| site.job_file.starts_with(path));
    if site.mounts.is_empty() {
        return Err(Error::usage("the pods would see neither sources nor outputs")
            .hint("name the claim of a volume and where it is mounted, as in --mount CLAIM=/srv/images"));
    }
    if !resolved.output.starts_with("/")
        || !site.mounts.iter().any(|(_, path)| resolved.output.starts_with(path))
    {
        let text = format!("the outputs in {} would lie in no volume", resolved.output.display());
        return Err(Error::usage(text).hint("mount a claim there, as in --mount CLAIM=/srv/out"));
    }
    if !is_on_volume && file.text.content.len() > MOST_CONFIG {
        return Err(Error::usage("the job file is too large for a ConfigMap")
            .hint("put it on a volume, and name that with --mount CLAIM=DIR"));
    }
    let mut out = head(resolved, &name);
    if !is_on_volume {
        out.push_str(&config_map(file, site, &name));
    }
    for (number, array) in arrays(resolved, MOST_INDICES).into_iter().enumerate() {
        let kind = Kind { name: &name, is_on_volume, is_later: number > 0 };
        out.push_str(&job(file, resolved, site, array, &kind));
    }
    Ok(out)
}

struct Kind<'k> {
    name: &'k str,
    is_on_volume: bool,
    is_later: bool,
}

fn head(resolved: &Resolved, name: &str) -> String {
    let mut out = format!(
        "# The batch {} as Indexed Jobs of Kubernetes: kubectl apply -f THIS\n",
        comment(&resolved.name)
    );
    let waves = arrays(resolved, MOST_INDICES);
    if waves.len() > 1 {
        out.push_str("# A later wave waits until it is released, when the one before has ended:\n");
        for array in waves.iter().skip(1) {
            let _ = writeln!(
                out,
                "#   kubectl patch job {name}-{} --type=strategic --patch '{{\"spec\":{{\"suspend\":false}}}}'",
                array.name()
            );
        }
    }
    out.push_str("# A pod that ends with 74 or 75 is tried again, with any of the codes below it is not.\n");
    out
}

fn config_map(file: &JobFile, site: &Site, name: &str) -> String {
    let mut out = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\n",
        yaml(&format!("{name}-jobs"))
    );
    if let Some(namespace) = &site.queue {
        let _ = writeln!(out, "  namespace: {}", yaml(namespace));
    }
    let _ = writeln!(
        out,
        "immutable: true\ndata:\n  {}: {}",
        yaml(&key_of(&site.job_file)),
        block(&file.text.content)
    );
    out
}

/// Keys of a ConfigMap are letters, digits, dots, dashes and underlines.
fn key_of(path: &Path) -> String {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => "jobs.toml".into(),
        _ => "jobs.yaml".into(),
    }
}

/// As people read it, where YAML can say it so.
fn block(content: &str) -> String {
    let is_plain = |c: char| {
        matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}') && !matches!(c, '\u{2028}' | '\u{2029}')
    };
    let is_whole = content.ends_with('\n') && !content.ends_with("\n\n") && content.len() > 1;
    if !is_whole || !content.chars().all(is_plain) {
        return yaml(content);
    }
    let mut out = String::from("|2");
    for line in content.lines() {
        out.push('\n');
        if !line.is_empty() {
            out.push_str("    ");
            out.push_str(line);
        }
    }
    out
}

fn job(file: &JobFile, resolved: &Resolved, site: &Site, array: Array, kind: &Kind<'_>) -> String {
    let name = format!("{}-{}", kind.name, array.name());
    let parallel = parallel(resolved, site).unwrap_or(10);
    let mut out = format!("---\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {}\n", yaml(&name));
    if let Some(namespace) = &site.queue {
        let _ = writeln!(out, "  namespace: {}", yaml(namespace));
    }
    let _ = write!(
        out,
        "  labels:\n    app.kubernetes.io/name: rehome\n    app.kubernetes.io/part-of: {}\nspec:\n  suspend: {}\n  completionMode: Indexed\n  \
         completions: {}\n  parallelism: {parallel}\n  backoffLimitPerIndex: {}\n  maxFailedIndexes: {}\n  podReplacementPolicy: Failed\n  \
         ttlSecondsAfterFinished: 604800\n  podFailurePolicy:\n    rules:\n      - action: FailIndex\n        onExitCodes:\n          \
         containerName: rehome\n          operator: In\n          values: {FINAL}\n      - action: Ignore\n        onPodConditions:\n          \
         - type: DisruptionTarget\n",
        yaml(kind.name),
        kind.is_later,
        array.jobs,
        resolved.batch.retries.unwrap_or(3),
        resolved.batch.max_failures.map_or(array.jobs, |most| most as usize).min(array.jobs),
    );
    out.push_str(&pod(file, site, array, kind));
    out
}

fn pod(file: &JobFile, site: &Site, array: Array, kind: &Kind<'_>) -> String {
    let mut out = String::from("  template:\n    spec:\n      restartPolicy: Never\n");
    // Time for a checkpoint.
    out.push_str("      terminationGracePeriodSeconds: 120\n      automountServiceAccountToken: false\n");
    if let Some(minutes) = site.minutes {
        let _ = writeln!(out, "      activeDeadlineSeconds: {}", u64::from(minutes) * 60);
    }
    out.push_str(
        "      securityContext:\n        runAsNonRoot: true\n        runAsUser: 65532\n        runAsGroup: 65532\n        fsGroup: 65532\n        \
         fsGroupChangePolicy: OnRootMismatch\n        seccompProfile:\n          type: RuntimeDefault\n      containers:\n        - name: rehome\n",
    );
    let _ = writeln!(out, "          image: {}\n          args:", yaml(&site.image));
    let more = ["--status-file".to_owned(), "/dev/termination-log".to_owned()];
    for word in arguments(site).into_iter().chain(more) {
        let _ = writeln!(out, "            - {}", yaml(&dollars(&word)));
    }
    out.push_str("          env:\n            - name: TMPDIR\n              value: /tmp\n");
    for (name, value) in variables(file, array.first) {
        let _ = writeln!(
            out,
            "            - name: {}\n              value: {}",
            yaml(&name),
            yaml(&dollars(&value))
        );
    }
    let _ = write!(
        out,
        "          securityContext:\n            allowPrivilegeEscalation: false\n            readOnlyRootFilesystem: true\n            \
         capabilities:\n              drop: [ALL]\n          resources:\n            requests:\n              cpu: {}\n              \
         memory: {}\n            limits:\n              memory: {}\n          volumeMounts:\n            - name: tmp\n              mountPath: /tmp\n",
        yaml(&site.cpus.to_string()),
        yaml(&format!("{}Mi", site.memory)),
        yaml(&format!("{}Mi", site.memory)),
    );
    for (number, (_, path)) in site.mounts.iter().enumerate() {
        let _ = writeln!(
            out,
            "            - name: volume{number}\n              mountPath: {}",
            yaml(&text(path))
        );
    }
    if !kind.is_on_volume {
        let (path, key) = (yaml(&text(&site.job_file)), yaml(&key_of(&site.job_file)));
        let _ = writeln!(
            out,
            "            - name: jobs\n              mountPath: {path}\n              subPath: {key}\n              readOnly: true"
        );
    }
    out.push_str("      volumes:\n        - name: tmp\n          emptyDir: {}\n");
    for (number, (claim, _)) in site.mounts.iter().enumerate() {
        let _ = writeln!(
            out,
            "        - name: volume{number}\n          persistentVolumeClaim:\n            claimName: {}",
            yaml(claim)
        );
    }
    if !kind.is_on_volume {
        let _ = writeln!(
            out,
            "        - name: jobs\n          configMap:\n            name: {}",
            yaml(&format!("{}-jobs", kind.name))
        );
    }
    out
}

/// Kubernetes expands `$(NAME)` in arguments and values, and takes `$$` for `$` everywhere in them.
fn dollars(value: &str) -> String {
    value.replace('$', "$$")
}
