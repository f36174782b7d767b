//! Specifications of engines, judged by the engines' own schemas and by parsers.

use crate::{environment, text};
use convert_job_file::{Engine, JobFile, Notation, Resolved, Site, emit};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HOSTILE: &str = "it's $(touch /tmp/pwned) `id` \"x\"\n# é 𝄞 \u{85}%A\\ $$ $$(REHOME_JOB_FILE) $$$(HOSTILE) $é $(REHOME_JOB_FILE) $(";

/// What Kubernetes makes of arguments and values (third_party/forked/golang/expansion): `$$` is `$`, `$(NAME)` a variable.
fn expanded(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = match after.strip_prefix('$') {
            Some(after) => {
                out.push('$');
                after
            }
            None => match after.strip_prefix('(').and_then(|name| name.split_once(')')) {
                Some((name, after)) => {
                    out.push_str(&format!("EXPANDED {name}"));
                    after
                }
                None => {
                    out.push('$');
                    after
                }
            },
        };
    }
    out + rest
}

/// The Python that has the engines' schemas: tests/packages.sh makes it.
pub(crate) fn oracle() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracles/bin/python3");
    let python =
        std::env::var_os("REHOME_ORACLES").map_or(python, |folder| Path::new(&folder).join("bin/python3"));
    if python.exists() {
        return Some(python);
    }
    let message = "the schemas of engines are not there: run tests/packages.sh test";
    assert!(std::env::var_os("CI").is_none(), "{message}");
    eprintln!("NOT TESTED: {message}");
    None
}

pub(crate) fn run(command: &mut Command, input: &str) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{input}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn batch(jobs: usize, more: &str) -> (JobFile, Resolved) {
    let mut content = format!("version = 1\n[batch]\nname = \"night \\\"1\\\" \\n#\"\noutput = \"/srv/out\"\njobs = 4\n{more}[defaults]\nto = \"kvm\"\ntitle_ = 1\n")
        .replace("title_ = 1\n", "spool = \"/tmp/${HOSTILE:-x}\"\n");
    for job in 0..jobs {
        content.push_str(&format!(
            "[[job]]\nid = \"j{job}\"\nsource = \"/srv/in/{job}.vmdk\"\nwave = {}\n",
            job % 3
        ));
    }
    let environment =
        |name: &str| if name == "HOSTILE" { Some(HOSTILE.to_owned()) } else { environment(name) };
    let file = JobFile::parse(text(Notation::Toml, &content), &environment).unwrap();
    let resolved = file.resolve().unwrap();
    (file, resolved)
}

fn site() -> Site {
    Site {
        mounts: vec![("claim-1".into(), "/srv".into())],
        image: "registry.example/rehome:1".into(),
        minutes: Some(90),
        queue: Some("night-queue".into()),
        ..Site::new("/batch/night 'jobs'.toml".into())
    }
}

/// All documents of the YAML, by a parser of others.
fn documents(python: &Path, yaml: &str) -> Vec<Value> {
    let json = run(
        Command::new(python)
            .args(["-c", "import sys,yaml,json; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))"]),
        yaml,
    );
    serde_json::from_str(&json).unwrap()
}

#[test]
fn kubernetes_takes_it() {
    let Some(python) = oracle() else { return };
    let (file, resolved) = batch(7, "retries = 5\nmax_failures = 2\n");
    let yaml = emit(Engine::Kubernetes, &file, &resolved, &site()).unwrap();
    let validate = python.with_file_name("kubernetes-validate");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.yaml");
    std::fs::write(&path, &yaml).unwrap();
    run(Command::new("timeout").arg("60").arg(&validate).args(["--strict"]).arg(&path), "");
    // The judge judges.
    std::fs::write(&path, yaml.replace("backoffLimitPerIndex", "backoffLimitPerIndx")).unwrap();
    let bad =
        Command::new("timeout").arg("60").arg(&validate).args(["--strict"]).arg(&path).output().unwrap();
    assert!(!bad.status.success());

    let all = documents(&python, &yaml);
    assert_eq!(all.len(), 4);
    assert_eq!(all[0]["data"]["jobs.toml"], file.text.content.as_str());
    let jobs: Vec<_> = all.iter().skip(1).collect();
    assert_eq!(
        jobs.iter().map(|job| job["spec"]["completions"].as_u64().unwrap()).collect::<Vec<_>>(),
        [3, 2, 2]
    );
    assert_eq!(
        jobs.iter().map(|job| job["spec"]["suspend"].as_bool().unwrap()).collect::<Vec<_>>(),
        [false, true, true]
    );
    let job = jobs[1];
    assert_eq!(job["spec"]["backoffLimitPerIndex"], 5);
    assert_eq!(job["spec"]["maxFailedIndexes"], 2);
    let rules = &job["spec"]["podFailurePolicy"]["rules"];
    assert_eq!(rules[0]["onExitCodes"]["values"], serde_json::json!([2, 65, 66, 69, 73, 77, 78]));
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<_> =
        container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(args[..5], ["batch", "run", "/batch/night 'jobs'.toml", "--shard", "env"]);
    let variable = |name: &str| {
        let all = container["env"].as_array().unwrap();
        all.iter().find(|entry| entry["name"] == name).unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(variable("REHOME_SHARD_OFFSET"), "3");
    assert_eq!(variable("REHOME_JOB_FILE"), file.digest());
    assert_eq!(expanded(&variable("HOSTILE")), HOSTILE);
    assert!(expanded(HOSTILE).contains("EXPANDED"), "the judge expands");

    // A job file that YAML cannot show as it is goes along all the same; one on a volume does not.
    let mut odd = file.clone();
    odd.text.content = "a: \u{7f}\r\n \t\u{feff}b\n\n".into();
    let yaml = emit(Engine::Kubernetes, &odd, &resolved, &site()).unwrap();
    assert_eq!(documents(&python, &yaml)[0]["data"]["jobs.toml"], odd.text.content.as_str());
    let on_volume = Site { job_file: "/srv/jobs.toml".into(), ..site() };
    assert_eq!(documents(&python, &emit(Engine::Kubernetes, &file, &resolved, &on_volume).unwrap()).len(), 3);
}

/// Judged by the parser alone, so that it runs wherever that is.
#[test]
fn kubernetes_expands_nothing_in_paths_and_variables() {
    let (file, resolved) = batch(2, "");
    let path = "/batch/$(HOSTILE) $$ $(REHOME_JOB_FILE 'jobs'.toml";
    let named = Site { job_file: path.into(), ..site() };
    let all = documents(Path::new("python3"), &emit(Engine::Kubernetes, &file, &resolved, &named).unwrap());
    for job in all.iter().skip(1) {
        let pod = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(expanded(pod["args"][2].as_str().unwrap()), path);
        let variables = pod["env"].as_array().unwrap();
        let hostile = variables.iter().find(|entry| entry["name"] == "HOSTILE").unwrap();
        assert_eq!(expanded(hostile["value"].as_str().unwrap()), HOSTILE);
    }
    assert!(expanded(HOSTILE).contains("EXPANDED"), "the judge expands");
}

#[test]
fn awsbatch_takes_it() {
    let Some(python) = oracle() else { return };
    let (file, resolved) = batch(7, "retries = 20\n");
    let site = Site {
        job_file: "/srv/jobs.toml".into(),
        mounts: vec![("fs-0123456789abcdef0".into(), "/srv".into())],
        ..site()
    };
    let json = emit(Engine::AwsBatch, &file, &resolved, &site).unwrap();
    let check = "import sys,json,botocore.session as s\nfrom botocore.validate import ParamValidator\n\
                 m=s.get_session().get_service_model('batch'); d=json.load(sys.stdin)\n\
                 def v(op,p):\n r=ParamValidator().validate(p,m.operation_model(op).input_shape)\n assert not r.has_errors(),r.generate_report()\n\
                 v('RegisterJobDefinition',d['registerJobDefinition'])\n[v('SubmitJob',r) for r in d['submitJob']]\n\
                 d['registerJobDefinition']['retryStrategi']={}\n\
                 try: v('RegisterJobDefinition',d['registerJobDefinition'])\nexcept AssertionError: print('judged')\n";
    assert_eq!(run(Command::new(&python).args(["-c", check]), &json).trim(), "judged");
    let all: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(all["registerJobDefinition"]["retryStrategy"]["attempts"], 10);
    let requests = all["submitJob"].as_array().unwrap();
    assert_eq!(
        requests
            .iter()
            .map(|request| request["arrayProperties"]["size"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [3, 2, 2]
    );
    assert_eq!(requests[2]["containerOverrides"]["environment"][0]["value"], "5");
    assert_eq!(requests[2]["dependsOn"][0]["jobId"], "JOB-ID-OF-wave1");
    // One task is no array there.
    let (file, resolved) = batch(1, "");
    let all: Value = serde_json::from_str(&emit(Engine::AwsBatch, &file, &resolved, &site).unwrap()).unwrap();
    assert!(all["submitJob"][0].get("arrayProperties").is_none());
    assert_eq!(all["submitJob"][0]["containerOverrides"]["environment"][1]["name"], "REHOME_SHARD_INDEX");
}

/// The script with a program and an sbatch that write down what they were given.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(file: &JobFile, resolved: &Resolved, array: u32) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let put = |name: &str, content: &str| {
            std::fs::write(here.join(name), content).unwrap();
            std::fs::set_permissions(here.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        put(
            "re home",
            "#!/bin/bash\nprintf '%s\\0' \"$HOSTILE\" \"$REHOME_JOB_FILE\" \"$@\" >out\ntrap 'echo term >>term' TERM\n[[ -n ${SLOW:-} ]] && { sleep 0.5; sleep 0.5; sleep 0.5; }\nexit \"${CODE:-0}\"\n",
        );
        put("sbatch", "#!/bin/bash\nprintf '%s ' \"$@\" >>submitted; echo >>submitted; wc -l <submitted\n");
        put(
            "scontrol",
            "#!/bin/bash\n[[ $1 == show ]] && { echo \"RequeueExit             = ${REQUEUE:-}\"; exit; }\necho \"$@\" >>asked\n",
        );
        let site = Site { program: here.join("re home"), array, ..site() };
        std::fs::write(here.join("jobs.sh"), emit(Engine::Slurm, file, resolved, &site).unwrap()).unwrap();
        Self { folder }
    }

    fn run(&self, variables: &[(&str, &str)]) -> i32 {
        let here = self.folder.path();
        let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap());
        let status = Command::new("bash")
            .arg("jobs.sh")
            .current_dir(here)
            .env("PATH", path)
            .envs(variables.iter().copied())
            .status();
        status.unwrap().code().unwrap()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

#[test]
fn slurm_tasks_run_and_say_what_comes_next() {
    let (file, resolved) = batch(7, "");
    let bench = Bench::new(&file, &resolved, 1000);
    run(Command::new("bash").arg("-n").arg(bench.folder.path().join("jobs.sh")), "");
    let task = [("SLURM_ARRAY_TASK_ID", "2"), ("SLURM_ARRAY_JOB_ID", "9")];
    let with = |more: &[(&'static str, &'static str)]| [&task[..], more].concat();
    assert_eq!(bench.run(&with(&[])), 0);
    let words: Vec<_> = bench.read("out").split_terminator('\0').map(str::to_owned).collect();
    assert_eq!(
        words,
        [HOSTILE, &file.digest(), "batch", "run", "/batch/night 'jobs'.toml", "--shard", "env"]
    );
    assert!(!Path::new("/tmp/pwned").exists());
    assert_eq!(bench.run(&with(&[("CODE", "65")])), 65);
    assert_eq!(bench.read("asked"), "");
    assert_eq!(bench.run(&with(&[("CODE", "75"), ("REQUEUE", "74-75,75")])), 75);
    assert_eq!(bench.read("asked"), "", "Slurm requeues by itself");
    assert_eq!(bench.run(&with(&[("CODE", "75")])), 75);
    assert_eq!(bench.read("asked"), "requeue 9_2\n");
    assert_eq!(bench.run(&with(&[("CODE", "78")])), 78);
    assert_eq!(bench.read("asked"), "requeue 9_2\nrequeuehold 9_2\n");
    assert_eq!(bench.run(&with(&[("CODE", "75"), ("SLURM_RESTART_COUNT", "10")])), 1);
    assert_eq!(bench.read("asked").lines().count(), 2);
}

#[test]
fn slurm_hands_the_signal_on_and_waits() {
    let (file, resolved) = batch(1, "");
    let bench = Bench::new(&file, &resolved, 1000);
    let here = bench.folder.path().to_owned();
    let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap());
    let mut child = Command::new("bash")
        .arg("jobs.sh")
        .current_dir(&here)
        .envs([
            ("PATH", path.as_str()),
            ("SLURM_ARRAY_TASK_ID", "0"),
            ("SLURM_ARRAY_JOB_ID", "1"),
            ("SLOW", "1"),
            ("CODE", "75"),
            ("REQUEUE", "75"),
        ])
        .spawn()
        .unwrap();
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !here.join("out").exists() && std::time::Instant::now() < limit {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    run(Command::new("kill").args(["-TERM", &child.id().to_string()]), "");
    assert_eq!(child.wait().unwrap().code(), Some(75), "the child's own code, after its checkpoint");
    assert_eq!(bench.read("term"), "term\n");
}

#[test]
fn slurm_arrays_come_wave_by_wave() {
    let (file, resolved) = batch(7, "");
    let bench = Bench::new(&file, &resolved, 2);
    assert_eq!(bench.run(&[]), 0);
    let lines: Vec<_> = bench.read("submitted").lines().map(str::to_owned).collect();
    let says = |line: usize, words: &[&str]| {
        for word in words {
            assert!(lines[line].contains(word), "{word}: {}", lines[line]);
        }
    };
    assert_eq!(lines.len(), 4);
    says(0, &["--array=0-1%4", "REHOME_SHARD_OFFSET=0 "]);
    says(1, &["--array=0-0%4", "REHOME_SHARD_OFFSET=2 "]);
    assert!(!lines[1].contains("--dependency"));
    says(2, &["--array=0-1%4", "REHOME_SHARD_OFFSET=3 ", "--dependency=afterany:1:2 "]);
    says(3, &["REHOME_SHARD_OFFSET=5 ", "--dependency=afterany:3 "]);
}

#[test]
fn sites_that_do_not_fit_are_refused() {
    let (file, resolved) = batch(2, "");
    for (engine, site, what) in [
        (Engine::Kubernetes, Site { mounts: vec![], ..site() }, "--mount"),
        (Engine::Kubernetes, Site { mounts: vec![("c".into(), "/data".into())], ..site() }, "--mount"),
        (Engine::AwsBatch, Site { queue: None, ..site() }, "--queue"),
        (Engine::AwsBatch, site(), "--mount"),
        (Engine::Slurm, Site { queue: Some("a b".into()), ..site() }, ""),
        (Engine::Slurm, Site { job_file: "jobs.toml".into(), ..site() }, ""),
        (Engine::Slurm, Site { array: 0, ..site() }, ""),
    ] {
        let error = emit(engine, &file, &resolved, &site).unwrap_err();
        assert_eq!(error.kind().name(), "usage");
        assert!(error.hint_text().unwrap_or_default().contains(what), "{error}");
    }
}
