//! A job as arguments of `rehome migrate` or `rehome convert`.

use super::ResolvedJob;
use crate::model::{Job, Kind, Size};
use std::ffi::{OsStr, OsString};

/// Arguments, and which of them decide the result.
pub(super) struct Arguments {
    list: Vec<(OsString, bool)>,
    files: Vec<OsString>,
}

impl Arguments {
    /// Those that do the job.
    pub(super) fn of(job: &ResolvedJob) -> Self {
        let mut arguments = Self { list: Vec::new(), files: Vec::new() };
        let options = &job.job;
        arguments.word(job.kind.word());
        arguments.opening(options);
        match job.kind {
            Kind::Migrate => {
                arguments.option("out", &job.output);
                arguments.machine(options);
                arguments.guest(options);
                arguments.files.extend(job.sources().iter().map(|path| path.clone().into_os_string()));
            }
            Kind::Convert => {
                arguments.image(options);
                arguments.files.extend(job.sources().iter().map(|path| path.clone().into_os_string()));
                arguments.files.extend(job.target.iter().map(|path| path.clone().into_os_string()));
            }
        }
        arguments.running(options);
        arguments
    }

    /// Those that show what a migration would do.
    pub(super) fn dry_run(job: &ResolvedJob) -> Self {
        let mut arguments = Self::of(job);
        // The two exclude each other.
        arguments.list.retain(|(text, _)| !text.as_encoded_bytes().starts_with(b"--boot-test"));
        arguments.flag("dry-run", Some(true));
        arguments
    }

    pub(super) fn all(self) -> Vec<OsString> {
        let mut all: Vec<_> = self.list.into_iter().map(|(text, _)| text).collect();
        all.push("--".into());
        all.extend(self.files);
        all
    }

    pub(super) fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"rehome job v1\n");
        let deciding = self.list.iter().filter(|(_, decides)| *decides).map(|(text, _)| text);
        for text in deciding.chain(&self.files) {
            let bytes = text.as_encoded_bytes();
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        hasher.finalize().to_hex().to_string()
    }

    fn word(&mut self, text: impl Into<OsString>) {
        self.list.push((text.into(), true));
    }

    fn flag(&mut self, name: &str, wish: Option<bool>) {
        if wish == Some(true) {
            self.word(format!("--{name}"));
        }
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.list.push((joined(name, value.as_ref()), true));
    }

    /// One that is about how the job runs.
    fn manner(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.list.push((joined(name, value.as_ref()), false));
    }

    fn options(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<OsStr>>) {
        values.into_iter().for_each(|value| self.option(name, value));
    }

    fn opening(&mut self, job: &Job) {
        self.options("format", &job.format);
        self.options("snapshot", &job.snapshot);
        self.options("pick", &job.pick);
        self.options("at", &job.at);
        self.options("parent", &job.parent.0);
        self.options("allow-parent", &job.allow_parent.0);
        self.options("key-file", &job.key_file.0);
        self.flag("ignore-checksum", job.ignore_checksum);
        self.flag("long-window", job.long_window);
        self.options("ssh-config", &job.ssh_config);
        self.options("ssh-option", job.ssh_option.iter());
        self.flag("sudo", job.sudo);
        self.flag("skip-free", job.skip_free);
        self.options("credentials", &job.credentials_file);
        self.options("ca-file", &job.ca_file);
        self.flag("insecure-http", job.insecure_http);
    }

    fn machine(&mut self, job: &Job) {
        self.options("to", job.to.map(|to| to.word()));
        self.options("machine", &job.machine.0);
        self.options("instance", &job.instance);
        self.options("firmware", job.firmware.map(|firmware| firmware.word()));
        self.options("generation", job.generation.map(|number| number.to_string()));
        self.options("disk-bus", &job.disk_bus);
        self.options("xen-type", job.xen_type.map(|kind| kind.word()));
        self.options("definition", &job.definition);
        self.flag("wrap", job.wrap);
        self.options("network-map", job.network_map.0.iter().map(|(from, to)| format!("{from}={to}")));
        self.options("mac", job.mac.iter());
        self.options("static-ip", job.static_ip.iter());
        self.flag("keep-mtu", job.keep_mtu);
    }

    fn guest(&mut self, job: &Job) {
        self.options("regenerate", job.regenerate.iter().map(|what| what.word()));
        self.options("add-module", job.add_module.iter());
        self.flag("rebuild-initramfs", job.rebuild_initramfs);
        self.flag("rebuild-menu", job.rebuild_menu);
        self.flag("trim", job.trim);
        self.options("editor", job.editor.map(|editor| editor.word()));
        self.options("kernel", &job.kernel);
        self.options("kernel-modules", &job.kernel_modules);
        self.options("virtio-win", &job.virtio_win);
        self.flag("discard-hibernation", job.discard_hibernation);
        if job.boot_test == Some(true) {
            self.flag("boot-test", Some(true));
            self.options("boot-test-memory", job.boot_test_memory.map(|mib| mib.to_string()));
            self.options("boot-test-timeout", job.boot_test_timeout.map(|seconds| seconds.to_string()));
        }
    }

    fn image(&mut self, job: &Job) {
        self.options("target-format", &job.target_format);
        for (key, value) in &job.options.0 {
            self.word("-o");
            self.word(format!("{key}={value}"));
        }
        self.options("size", job.size.map(bytes));
        self.flag("verify", job.verify);
        self.options("also", job.also.iter().map(|hash| hash.word()));
        self.options("on-read-error", &job.on_read_error);
        self.options("mapfile", &job.mapfile);
        self.options("source-mapfile", &job.source_mapfile);
    }

    fn running(&mut self, job: &Job) {
        if job.force == Some(true) {
            self.list.push(("--force".into(), false));
        }
        job.spool.iter().for_each(|path| self.manner("spool", path));
        job.threads.iter().for_each(|number| self.manner("threads", number.to_string()));
        job.rate_limit.iter().for_each(|size| self.manner("rate-limit", bytes(*size)));
        job.max_memory.iter().for_each(|size| self.manner("max-memory", bytes(*size)));
        job.evidence.iter().for_each(|path| self.manner("evidence", path));
    }
}

fn bytes(size: Size) -> String {
    size.0.to_string()
}

fn joined(name: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(format!("--{name}="));
    text.push(value);
    text
}
