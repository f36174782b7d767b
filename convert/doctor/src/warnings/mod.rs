//! What warnings mean. Their codes are made where the warnings are; a test reads the sources and finds each of them here.

mod images;
mod machines;

/// A warning as it is explained.
pub(crate) struct Meaning {
    pub(crate) code: String,
    pub(crate) cause: String,
    pub(crate) step: &'static str,
}

/// What each platform is called.
const PLATFORMS: [(&str, &str); 13] = [
    ("aws", "an EC2 instance"),
    ("azure", "Azure"),
    ("ec2", "an image for EC2"),
    ("gcp", "Google Cloud"),
    ("hyperv", "Hyper-V"),
    ("kubevirt", "KubeVirt"),
    ("libvirt", "libvirt"),
    ("ovf", "an OVF package"),
    ("proxmox", "Proxmox VE"),
    ("virtualbox", "VirtualBox"),
    ("vmx", "VMware"),
    ("xapi", "XenServer"),
    ("xen", "Xen"),
];

const MACHINE_STEP: &str = "compare the definition with the source's settings before the machine starts, and set by hand what the guest needs";

/// All warnings, by their codes.
pub(crate) fn all() -> Vec<Meaning> {
    let of_images = images::IMAGES.iter().map(|(code, cause, step)| Meaning {
        code: (*code).into(),
        cause: (*cause).into(),
        step,
    });
    let of_machines = machines::SUBJECTS.iter().flat_map(|(subject, dialects, cause)| {
        dialects.split(' ').map(move |dialect| {
            let name =
                PLATFORMS.iter().find(|(prefix, _)| *prefix == dialect).map_or(dialect, |(_, name)| *name);
            Meaning {
                code: format!("{dialect}-{subject}"),
                cause: format!("{name}: {cause}"),
                step: MACHINE_STEP,
            }
        })
    });
    let mut all: Vec<Meaning> = of_images.chain(of_machines).collect();
    all.sort_by(|a, b| a.code.cmp(&b.code));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" && !path.join("CACHEDIR.TAG").exists() {
                sources(&path, found);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                found.push(path);
            }
        }
    }

    /// The first text behind each place where `text` has `call` and a quotation mark.
    fn codes_behind(text: &str, call: &str, found: &mut BTreeSet<String>) {
        let mut rest = text;
        while let Some(at) = rest.find(call) {
            rest = &rest[at + call.len()..];
            if let Some(code) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                let is_code = code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                // Fixed texts of other calls with the same name have spaces.
                if is_code && !code.is_empty() {
                    found.insert(code.to_owned());
                }
            }
        }
    }

    #[test]
    fn every_warning_that_the_sources_make_is_explained() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let mut files = Vec::new();
        for folder in ["formats", "drivers", "convert"] {
            sources(&root.join(folder), &mut files);
        }
        let mut made = BTreeSet::new();
        for path in files.iter().filter(|path| !path.starts_with(root.join("convert/doctor"))) {
            let text = std::fs::read_to_string(path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for call in ["Warning::new(", "notes.warn(", "findings.warn(", "Warning { code:"] {
                codes_behind(text, call, &mut made);
            }
            if text.contains("Warning") && path.to_string_lossy().contains("drivers/machine") {
                codes_behind(text, " warn(", &mut made);
                for field in [
                    "firmware:",
                    "secure_boot:",
                    "boot_disk:",
                    "tags:",
                    "name:",
                    "clock:",
                    "tpm:",
                    "mac:",
                    "uuid:",
                    "size:",
                ] {
                    for part in text.split("Codes {").skip(1) {
                        codes_behind(part.split('}').next().unwrap(), field, &mut made);
                    }
                }
            }
        }
        let known: BTreeSet<String> = all().into_iter().map(|meaning| meaning.code).collect();
        let unknown: Vec<_> = made.difference(&known).collect();
        assert!(unknown.is_empty(), "add them to convert/doctor/src/warnings: {unknown:?}");
        assert!(made.len() > 250, "only {} warnings were found in the sources", made.len());
    }

    #[test]
    fn codes_are_unique_and_texts_are_plain() {
        let all = all();
        let codes: BTreeSet<&str> = all.iter().map(|meaning| meaning.code.as_str()).collect();
        assert_eq!(codes.len(), all.len());
        for Meaning { code, cause, step } in &all {
            assert!(
                !cause.ends_with('.') && !step.ends_with('.') && cause.len() > 10 && !step.is_empty(),
                "{code}"
            );
        }
    }
}
