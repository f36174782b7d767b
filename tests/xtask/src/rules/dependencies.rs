//! Who may see whom.
//!
//! `formats/core ← rooms ← formats/all ← convert/engine ← convert/migrate ← convert/cli`. Format rooms never see each
//! other; those of archives see `formats/tar_members`. `convert/nbd`, `cloud`, `destination`, `job_file`, `doctor` and `support` see `formats/core` alone,
//! but that `doctor` tries out `convert/sandbox`, which sees nobody; `convert/batch` what it needs to start processes and tell of them, `convert/mount` and `report` the two cores, `convert/boot_test` the server and
//! the drivers' models. Drivers see the two cores; `drivers/linux` also the initramfs reader, `drivers/windows` the registry,
//! `drivers/microvm` its program and the initramfs reader. A guest's tree has
//! its registry, so `drivers/core` sees `drivers/registry`. Nothing in formats or drivers sees convert, and nothing sees tests, but
//! for the tests of a migration, which need whole guests, and those of clouds, which need their servers.

use super::{Violation, read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A crate of the workspace.
struct Package {
    manifest: PathBuf,
    /// Such as `drivers/linux`.
    folder: String,
    name: String,
    needs: Vec<Need>,
}

/// An entry of a table of dependencies.
struct Need {
    name: String,
    line: usize,
    only_tests: bool,
}

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Violation>, String> {
    let mut packages = Vec::new();
    for manifest in files.iter().filter(|path| path.ends_with("Cargo.toml")) {
        let folder = manifest.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        packages.push(parse(manifest, folder, &read(root, manifest)?));
    }
    let folders: BTreeMap<&str, &str> =
        packages.iter().map(|package| (package.name.as_str(), package.folder.as_str())).collect();
    let mut violations = Vec::new();
    for package in packages.iter().filter(|package| !package.folder.starts_with("tests/")) {
        for need in &package.needs {
            let Some(seen) = folders.get(need.name.as_str()) else { continue };
            if !may_see(&package.folder, seen, need.only_tests) {
                violations.push(Violation {
                    path: package.manifest.clone(),
                    line: need.line,
                    rule: format!("{} must not see {seen}{}", package.folder, tests(need.only_tests)),
                });
            }
        }
    }
    Ok(violations)
}

fn tests(only_tests: bool) -> &'static str {
    if only_tests { ", not even in tests" } else { "" }
}

/// The names in the tables of dependencies, and the crate's own. Both are written one to a line in this project.
fn parse(manifest: &Path, folder: String, text: &str) -> Package {
    let mut package =
        Package { manifest: manifest.to_path_buf(), folder, name: String::new(), needs: Vec::new() };
    let mut section = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(|c| c == '[' || c == ']');
            // `[dependencies.NAME]`
            if let Some((table, name)) = section.rsplit_once('.')
                && is_table(table)
            {
                package.needs.push(need(name, number, table));
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let name = key.trim().trim_end_matches(".workspace").trim_matches('"');
            if section == "package" && name == "name" {
                package.name = value.trim().trim_matches('"').to_owned();
            } else if is_table(section) && !line.starts_with('#') {
                package.needs.push(need(name, number, section));
            }
        }
    }
    package
}

fn is_table(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or_default();
    matches!(last, "dependencies" | "dev-dependencies" | "build-dependencies")
}

fn need(name: &str, number: usize, table: &str) -> Need {
    Need { name: name.to_owned(), line: number + 1, only_tests: table.ends_with("dev-dependencies") }
}

fn may_see(folder: &str, seen: &str, only_tests: bool) -> bool {
    let (role, room) = folder.split_once('/').unwrap_or((folder, ""));
    let (seen_role, seen_room) = seen.split_once('/').unwrap_or((seen, ""));
    let a_core = matches!(seen, "formats/core" | "drivers/core");
    // The one format without bytes of its own: tests outside of formats open their files through it.
    let for_tests = only_tests && role != "formats" && seen == "formats/raw";
    for_tests
        || match (role, room) {
            ("formats", "core") => false,
            ("formats", "all") => seen_role == "formats",
            ("formats", "tar" | "ova") => matches!(seen, "formats/core" | "formats/tar_members"),
            ("formats", _) => seen == "formats/core",
            ("drivers", "core") => matches!(seen, "formats/core" | "drivers/registry"),
            ("drivers", "registry") => seen == "formats/core",
            ("drivers", "fs_ext") => a_core || seen == "drivers/fs_ext_sys",
            ("drivers", "fs_ntfs") => a_core || seen == "drivers/fs_ntfs_sys",
            ("drivers", "fs_ext_sys" | "fs_ntfs_sys") => false,
            ("drivers", "linux") => {
                a_core || seen == "drivers/initramfs" || (only_tests && seen == "drivers/targets")
            }
            ("drivers", "windows") => {
                a_core || seen == "drivers/registry" || (only_tests && seen == "drivers/targets")
            }
            ("drivers", "microvm") => {
                a_core
                    || matches!(seen, "drivers/initramfs" | "drivers/microvm_init")
                    || (only_tests && seen == "convert/nbd")
            }
            ("drivers", "microvm_init") => false,
            ("drivers", _) => a_core,
            ("convert", "sandbox") => false,
            ("convert", "doctor") => matches!(seen, "formats/core" | "convert/sandbox"),
            ("convert", "cloud") => seen == "formats/core" || (only_tests && seen == "tests/cloud_servers"),
            ("convert", "nbd" | "destination" | "job_file" | "support") => seen == "formats/core",
            ("convert", "batch") => matches!(seen, "formats/core" | "convert/destination" | "convert/report"),
            ("convert", "mount" | "report") => a_core,
            ("convert", "boot_test") => {
                matches!(seen, "formats/core" | "convert/nbd" | "drivers/core" | "drivers/machine")
                    || (only_tests && seen == "drivers/targets")
            }
            ("convert", "capture") => {
                matches!(seen, "formats/core" | "convert/engine" | "convert/nbd" | "drivers/machine")
            }
            ("convert", "engine") => matches!(seen, "formats/core" | "formats/all"),
            ("convert", "migrate") => {
                matches!(
                    seen,
                    "formats/core" | "formats/all" | "convert/engine" | "convert/nbd" | "convert/sandbox"
                ) || seen_role == "drivers"
                    || (only_tests && seen == "tests/windows_guests")
            }
            ("convert", "cli") => match seen_role {
                "formats" => matches!(seen_room, "core" | "all"),
                other => matches!(other, "convert" | "drivers"),
            },
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_dependency_is_read() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\nc = { path = \"c\" }\n# d = 1\n\
                    [dev-dependencies]\ne = \"1\"\n[target.'cfg(unix)'.dependencies]\nf.workspace = true\n\
                    [dependencies.g]\nversion = \"1\"\n[features]\nh = []\n";
        let package = parse(Path::new("Cargo.toml"), "x/a".into(), text);
        let needs: Vec<_> =
            package.needs.iter().map(|need| (need.name.as_str(), need.line, need.only_tests)).collect();
        assert_eq!(package.name, "a");
        assert_eq!(
            needs,
            [("b", 4, false), ("c", 5, false), ("e", 8, true), ("f", 10, false), ("g", 11, false)]
        );
    }

    #[test]
    fn the_direction_is_the_one_of_the_architecture() {
        for (folder, seen) in [
            ("formats/qcow2", "formats/core"),
            ("formats/all", "formats/qcow2"),
            ("convert/engine", "formats/all"),
            ("convert/migrate", "convert/engine"),
            ("convert/migrate", "drivers/linux"),
            ("convert/cli", "convert/migrate"),
            ("convert/cli", "convert/nbd"),
            ("convert/nbd", "formats/core"),
            ("convert/cloud", "formats/core"),
            ("convert/cli", "convert/cloud"),
            ("convert/destination", "formats/core"),
            ("convert/job_file", "formats/core"),
            ("convert/cli", "convert/job_file"),
            ("convert/doctor", "formats/core"),
            ("convert/doctor", "convert/sandbox"),
            ("convert/migrate", "convert/sandbox"),
            ("convert/support", "formats/core"),
            ("convert/mount", "drivers/core"),
            ("convert/report", "drivers/core"),
            ("convert/cli", "convert/report"),
            ("convert/boot_test", "convert/nbd"),
            ("convert/cli", "convert/boot_test"),
            ("drivers/linux", "drivers/initramfs"),
            ("drivers/core", "drivers/registry"),
            ("drivers/fs_new", "drivers/core"),
        ] {
            assert!(may_see(folder, seen, false), "{folder} {seen}");
            assert!(!may_see(seen, folder, false), "{seen} {folder}");
        }
        for (folder, seen) in [
            ("formats/new", "formats/qcow2"),
            ("formats/vmdk", "drivers/core"),
            ("drivers/fs_ext", "drivers/linux"),
            ("drivers/machine", "drivers/linux"),
            ("drivers/initramfs", "drivers/linux"),
            ("drivers/partitions", "convert/engine"),
            ("convert/engine", "drivers/core"),
            ("convert/boot_test", "convert/engine"),
            ("convert/nbd", "formats/all"),
            ("convert/nbd", "convert/engine"),
            ("convert/cloud", "formats/all"),
            ("convert/cloud", "drivers/machine"),
            ("convert/destination", "convert/engine"),
            ("convert/job_file", "formats/all"),
            ("convert/job_file", "convert/engine"),
            ("convert/doctor", "convert/engine"),
            ("convert/sandbox", "formats/core"),
            ("convert/engine", "convert/sandbox"),
            ("convert/support", "formats/all"),
            ("convert/mount", "convert/migrate"),
            ("convert/report", "convert/engine"),
            ("convert/cli", "formats/vhdx"),
            ("convert/cli", "tests/conformance"),
        ] {
            assert!(!may_see(folder, seen, false) && !may_see(folder, seen, true), "{folder} {seen}");
        }
        assert!(may_see("drivers/partitions", "formats/raw", true));
        assert!(
            !may_see("drivers/partitions", "formats/raw", false)
                && !may_see("formats/vmdk", "formats/raw", true)
        );
    }
}
