//! A host that looks like Proxmox VE to the script.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use driver_machine::{Definition, DefinitionOptions};

/// A folder with a difficult name, the script, its disks and their manifests, and tools that stand in.
pub struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    pub fn new(made: &Definition, options: &DefinitionOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Self { folder };
        std::fs::create_dir(host.images()).unwrap();
        std::fs::create_dir(host.path("bin")).unwrap();
        std::fs::write(host.images().join("make.sh"), &made.text).unwrap();
        for disk in &options.disks {
            std::fs::write(host.images().join(&disk.file), "12345").unwrap();
            let manifest = r#"{"parents": [{"file_size": 9}], "image": {"name": "x", "file_size": 5}}"#;
            std::fs::write(host.images().join(&disk.manifest), manifest).unwrap();
        }
        host.tool("qm", include_str!("qm.sh"));
        host.tool("pvesh", "#!/bin/sh\n[ \"$*\" = 'get /cluster/nextid' ] && echo 105\n");
        host
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub fn images(&self) -> std::path::PathBuf {
        self.path("it's a $(folder), really")
    }

    fn tool(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn run(&self, arguments: &[&str], fail: &str) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        Command::new("timeout")
            .args(["60", "bash"])
            .arg(self.images().join("make.sh"))
            .args(arguments)
            .current_dir(Path::new("/"))
            .envs([("PATH", path.as_str()), ("QM_FAIL", fail)])
            .env("QM_STATE", self.folder.path())
            .output()
            .unwrap()
    }

    /// The calls of `qm`, each with its arguments.
    pub fn calls(&self) -> Vec<Vec<String>> {
        let log = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        let mut items = log.split_terminator('\0').map(str::to_owned);
        let mut calls = Vec::new();
        while let Some(count) = items.next() {
            calls.push(items.by_ref().take(count.parse().unwrap()).collect());
        }
        calls
    }

    pub fn configuration(&self, vmid: &str) -> Option<String> {
        std::fs::read_to_string(self.path(&format!("{vmid}.conf"))).ok()
    }
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The options of a call of `qm` by name.
pub fn settings(call: &[String]) -> BTreeMap<&str, &str> {
    call[2..].chunks(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect()
}
