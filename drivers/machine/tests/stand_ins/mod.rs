//! A folder with a script, its disks, and stand-ins for the tools of the hypervisors: they write down what they are
//! called with, and answer as the real ones do.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use driver_machine::DefinitionOptions;

/// One call a record, one argument a field: the model refuses these characters in names.
const RECORD: char = '\u{1e}';
const FIELD: char = '\u{1f}';

/// The answers: what is not listed succeeds in silence.
const STAND_IN: &str = r#"#!/bin/bash
{
    printf '%s\x1f' "$(basename "$0")" "$@"
    printf '\x1e'
} >>"$CALLS"
if [[ -n ${FAIL_AT:-} ]]; then
    for word in "$@"; do [[ $word != "$FAIL_AT" ]] || exit 9; done
fi
case "$(basename "$0") $*" in
'VBoxManage showvminfo '*) exit 1 ;;
# Some of what version 7.0 says.
'VBoxManage list ostypes') printf 'ID:          %s\n\n' Debian_64 Linux26_64 Windows10_64 Windows2019_64 Windows2022_64 ;;
'az vm show '* | 'az disk show '*) exit 3 ;;
'az disk grant-access '*) echo 'https://md-1.blob.example/abcd?sig=secret' ;;
'gcloud compute instances describe '* | 'gcloud compute images describe '*) exit 1 ;;
'aws ec2 describe-images '*) echo 0 ;;
'aws ec2 import-snapshot '*) echo import-snap-0123 ;;
'aws ec2 describe-import-snapshot-tasks '*)
    if [[ -e $CALLS.asked ]]; then
        printf 'completed\tsnap-0abc\tNone\n'
    else
        printf 'active\tNone\tconverting\n'
    fi
    touch "$CALLS.asked"
    ;;
'aws ec2 register-image '*) echo ami-0123 ;;
'aws ec2 import-image '*) echo import-ami-0123 ;;
'aws ec2 describe-import-image-tasks '*)
    if [[ -e $CALLS.asked ]]; then
        printf '%s\tami-0456\tNone\n' "${IMPORT_ENDS:-completed}"
    else
        printf 'active\tNone\tbooting\n'
    fi
    touch "$CALLS.asked"
    ;;
esac
"#;

pub struct Workplace {
    folder: tempfile::TempDir,
    fail_at: std::cell::RefCell<String>,
}

impl Workplace {
    /// A folder with the script only.
    pub fn empty(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("made.sh"), script).unwrap();
        Self { folder, fail_at: std::cell::RefCell::default() }
    }

    /// With disks and manifests: a fixed VHD has a footer, a VMDK any length.
    pub fn new(script: &str, options: &DefinitionOptions) -> Self {
        let place = Self::empty(script);
        for disk in &options.disks {
            let length = disk.size_bytes + if disk.format == "vhd" { 512 } else { 0 };
            fs::File::create(place.path(&disk.file)).unwrap().set_len(length).unwrap();
            fs::write(place.path(&disk.manifest), "{}").unwrap();
        }
        fs::create_dir(place.path("bin")).unwrap();
        for tool in ["VBoxManage", "az", "azcopy", "gcloud", "aws"] {
            let path = place.path("bin").join(tool);
            fs::write(&path, STAND_IN).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(place.path("work")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn script(&self) -> PathBuf {
        self.path("made.sh")
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub fn cut(&self, name: &str) {
        let file = fs::File::options().write(true).open(self.path(name)).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub fn has_canary(&self) -> bool {
        self.exists("CANARY") || self.path("work").join("CANARY").exists()
    }

    /// The stand-ins fail when they are called with this word.
    pub fn fail_at(&self, word: &str) {
        *self.fail_at.borrow_mut() = word.into();
    }

    /// Runs the script as an operator would who filled in these variables.
    pub fn run(&self, filled: &[(&str, &str)]) -> Output {
        Command::new("timeout")
            .args(["60", "bash"])
            .arg(self.script())
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("CALLS", self.path("calls"))
            .env("FAIL_AT", &*self.fail_at.borrow())
            .env("WORK_FOLDER", self.path("work"))
            .envs(filled.iter().copied())
            .output()
            .unwrap()
    }

    /// What was called, in order.
    pub fn calls(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.split_terminator(RECORD)
            .map(|call| call.split_terminator(FIELD).map(String::from).collect())
            .collect()
    }

    /// The calls with the folder's name taken out, a line each.
    pub fn calls_as_text(&self) -> String {
        let folder = self.folder.path().canonicalize().unwrap();
        let lines = self.calls().into_iter().map(|call| {
            let words: Vec<String> = call
                .iter()
                .map(|word| word.replace(folder.to_str().unwrap(), "HERE"))
                .map(|word| hidden(&word))
                .collect();
            format!("{}\n", words.join(" | "))
        });
        lines.collect()
    }
}

/// Without the letters that mktemp chose.
fn hidden(word: &str) -> String {
    match word.find("rehome-gcp.") {
        Some(at) => {
            let after = at + "rehome-gcp.".len();
            format!("{}XXXXXXXX{}", &word[..after], &word[after + 8..])
        }
        None => word.to_owned(),
    }
}

/// Values that bash gives variables after it read a block of data.
pub fn variables(data: &str, names: &[&str]) -> Vec<String> {
    let print: String = names.iter().map(|name| format!("printf '%s\\x1f' \"${{{name}}}\"\n")).collect();
    let output = Command::new("bash").args(["-euc", &format!("{data}\n{print}")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_terminator(FIELD).map(String::from).collect()
}
